"""What lies in a home and no catalog knows."""

from dataclasses import replace
from pathlib import Path

import pytest

from askpix.api.jobs.queue import JobLedger
from askpix.api.security.tables import database_of
from askpix.api.services.doctor import examine_collection
from askpix.api.services.orphans import find_orphans
from askpix.api.settings import Settings
from askpix.api.workspace.identity import mark_deleted, read_identity
from askpix.api.workspace.workspace import Workspace
from askpix.ingest.catalog.models import Collection


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = Workspace(Settings(home=tmp_path, local_servers="", generator="extractive", embedder="mini"))
    with made.open_store(made.create_collection("album")):
        pass
    return made


def test_a_folder_says_of_which_collection_it_is(workspace: Workspace) -> None:
    album = workspace.collection("album")
    folder = workspace.folder(album)
    assert read_identity(folder) == album
    moved = folder.rename(folder.with_name(f"renamed-{album.id[:8]}"))  # as an import does at its end
    assert read_identity(moved) == replace(album, name="renamed")
    (moved / "collection.json").write_text('{"id": 1}')
    assert read_identity(moved) is None
    assert find_orphans(workspace)[0].mend is None, "without its id nothing can be rebuilt"
    assert "older versions" in find_orphans(workspace)[0].why


def test_what_a_deletion_left_is_removed_and_not_brought_back(workspace: Workspace) -> None:
    album = workspace.collection("album")
    mark_deleted(workspace.folder(album))
    workspace.catalog.delete_collection("album")
    (orphan,) = find_orphans(workspace)
    assert "deleted" in orphan.what and orphan.mend is not None and orphan.mend() == "removed"
    assert find_orphans(workspace) == []


def test_a_name_that_is_taken_is_said(workspace: Workspace) -> None:
    workspace.catalog.delete_collection("album")
    workspace.create_collection("album")
    (orphan,) = find_orphans(workspace)
    assert orphan.mend is None and "another collection 'album'" in orphan.why


def test_uploads_of_a_collection_that_can_be_rebuilt_are_not_to_be_deleted(workspace: Workspace) -> None:
    album = workspace.collection("album")
    (workspace.settings.home / "uploads" / album.id / "ab").mkdir(parents=True)
    workspace.catalog.delete_collection("album")
    (orphan,) = find_orphans(workspace)
    assert orphan.path == workspace.folder(album) and orphan.mend is not None


def test_uploads_that_nobody_knows_are_named_and_kept(workspace: Workspace) -> None:
    root = workspace.settings.home / "uploads"
    for name in (workspace.collection("album").id, "0" * 36):
        (root / name / "ab").mkdir(parents=True)
        (root / name / "ab" / "a.jpg").write_bytes(bytes(2_000_000))
    found = find_orphans(workspace)
    assert [orphan.what.partition(" MB")[0].rpartition(" ")[2].lstrip("(") for orphan in found] == ["2.0"] * 2
    assert all(orphan.mend is None and "askpix index" in orphan.why for orphan in found)


def test_a_collection_that_is_made_meanwhile_is_no_orphan(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = workspace.catalog.list_collections

    def list_collections() -> list[Collection]:
        known = real()
        folder = workspace.folder(workspace.create_collection("new"))
        folder.mkdir(parents=True)
        return known

    monkeypatch.setattr(workspace.catalog, "list_collections", list_collections)
    assert find_orphans(workspace) == []


def test_what_a_job_has_fetched_so_far_is_no_orphan(workspace: Workspace) -> None:
    album = workspace.collection("album")
    ledger = JobLedger(database_of(workspace.settings.home))
    job = ledger.add(
        kind="urls", collection="album", collection_id=album.id, spec={"urls": ["https://example.org/a.jpg"]}
    )
    (workspace.settings.home / "uploads" / album.id / "ab").mkdir(parents=True)
    for state, orphans in (("running", 0), ("failed", 1)):
        ledger.change(job.id, only=("queued", "running"), state=state)
        assert len(find_orphans(workspace)) == orphans


def test_vectors_of_no_generation_are_named_with_their_size(workspace: Workspace) -> None:
    stray = workspace.folder(workspace.collection("album")) / "vectors-7"
    stray.mkdir()
    (stray / "x").write_bytes(bytes(3_000_000))
    said = examine_collection(workspace, "album")
    assert not said.ok and "3.0 MB in 'vectors-7' that nothing uses" in said.detail
    assert examine_collection(workspace, "album", mend=True).ok and not stray.exists()
