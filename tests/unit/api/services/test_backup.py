import json
import shutil
import zipfile
from io import BytesIO
from pathlib import Path

import filelock
import pytest

from askpix.api.jobs.queue import JobLedger
from askpix.api.jobs.uploads import Uploads
from askpix.api.security.keys import KeyRing
from askpix.api.security.tables import database_of
from askpix.api.services.backup import back_up, restore
from askpix.api.services.index import run_index
from askpix.api.services.search import open_searcher
from askpix.api.settings import Settings
from askpix.api.workspace.server_file import LOCK
from askpix.api.workspace.workspace import Workspace
from askpix.core.errors import AskpixError
from askpix.ingest.pipeline.embed_images import collection_run
from askpix.retrieval.query.parser import parse
from tests.support.cli import runner
from tests.support.service import jpeg, served, until_ready
from tests.support.sparse import copy_tree


@pytest.fixture
def home(whole: Path, tmp_path: Path) -> Path:
    """A copy of the home that tests may use up."""
    (tmp_path / "pictures").mkdir()
    return copy_tree(whole, tmp_path / "home")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two pictures, a key, a thumbnail, an upload."""
    folder = tmp_path_factory.mktemp("backup")
    home, pictures = folder / "home", folder / "pictures"
    pictures.mkdir()
    for colour in ("red", "blue"):
        (pictures / f"{colour}.jpg").write_bytes(jpeg(colour))
    workspace = Workspace(Settings(home=home))
    made = workspace.create_collection("default")
    run_index(workspace, made, [pictures], ocr="off", prune=False, on_progress=lambda _: None)
    engine = database_of(home)
    KeyRing(engine).create("me", scope="read")
    engine.dispose()
    workspace.catalog.close()
    for name in ("thumbnails/aa/x.webp", "uploads/c/f/kept.jpg"):
        (home / name).parent.mkdir(parents=True)
        (home / name).write_bytes(b"bytes")
    return home


def found(home: Path) -> list[tuple[str, float]]:
    workspace = Workspace(Settings(home=home))
    with open_searcher(workspace, workspace.collection("default")) as searcher:
        hits = searcher.retriever.retrieve(parse("red"), show_all=True).hits
    workspace.catalog.close()
    return [(hit.record.id, round(hit.score, 3)) for hit in hits]


def test_what_is_restored_answers_as_before(home: Path, tmp_path: Path) -> None:
    before = found(home)
    assert len(before) == 2
    made = back_up(home, tmp_path / "b.zip")
    back = restore(tmp_path / "b.zip", tmp_path / "new" / "home")
    assert back == made
    assert found(tmp_path / "new" / "home") == before
    engine = database_of(tmp_path / "new" / "home")
    assert [key.name for key in KeyRing(engine).list()] == ["me"]
    engine.dispose()
    assert (tmp_path / "new/home/uploads/c/f/kept.jpg").read_bytes() == b"bytes"
    assert not (tmp_path / "new/home/thumbnails").exists(), "made again by themselves"
    assert found(home) == before, "and the home is in use again"


def test_nobody_writes_meanwhile(home: Path, tmp_path: Path) -> None:
    (folder,) = (home / "collections").iterdir()
    with collection_run(folder), pytest.raises(AskpixError, match="being indexed"):
        back_up(home, tmp_path / "b.zip")
    with filelock.FileLock(home / LOCK), pytest.raises(AskpixError, match="askpix serve"):
        back_up(home, tmp_path / "b.zip")
    workspace = Workspace(Settings(home=home))
    with (
        workspace.open_store(workspace.collection("default")),
        pytest.raises(AskpixError, match="in use by this very process"),
    ):
        back_up(home, tmp_path / "b.zip")
    assert not list(tmp_path.glob("b.zip*")), "nothing half-written is left"


def test_what_is_in_the_way_stays(home: Path, tmp_path: Path) -> None:
    (tmp_path / "b.zip").write_text("mine")
    with pytest.raises(AskpixError, match="there already"):
        back_up(home, tmp_path / "b.zip")
    assert (tmp_path / "b.zip").read_text() == "mine"
    back_up(home, tmp_path / "c.zip")
    with pytest.raises(AskpixError, match="is not empty"):
        restore(tmp_path / "c.zip", home)
    with pytest.raises(AskpixError, match="no home"):
        back_up(tmp_path / "pictures", tmp_path / "d.zip")


def changed(data: bytes) -> bytes:
    """One byte of a file in the middle is another one, and its sum in the archive fits."""
    buffer = BytesIO()
    with zipfile.ZipFile(BytesIO(data)) as old, zipfile.ZipFile(buffer, "w") as new:
        for info in old.infolist():
            held = old.read(info)
            new.writestr(info, b"B" + held[1:] if info.filename.endswith("kept.jpg") else held)
    return buffer.getvalue()


def torn(data: bytes) -> bytes:
    """One byte of a file in the middle is another one."""
    at = data.index(b"kept.jpg") + len("kept.jpg")
    at = data.index(b"bytes", at)
    return data[:at] + b"B" + data[at + 1 :]


def without_list(data: bytes) -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(BytesIO(data)) as old, zipfile.ZipFile(buffer, "w") as new:
        for info in old.infolist():
            if info.filename != "askpix-backup.json":
                new.writestr(info, old.read(info))
    return buffer.getvalue()


def hostile(name: str, attributes: int = 0) -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        info = zipfile.ZipInfo(name)
        info.external_attr = attributes
        archive.writestr(info, "/etc/passwd")
    return buffer.getvalue()


def newer(data: bytes) -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(BytesIO(data)) as old, zipfile.ZipFile(buffer, "w") as new:
        for info in old.infolist():
            new.writestr(info, old.read(info).replace(b'{"format": 2,', b'{"format": 9,'))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (changed, "'uploads/c/f/kept.jpg' is not what was written"),
        (torn, "damaged"),
        (without_list, "cut off"),
        (newer, "newer version"),
        (lambda data: data[: len(data) // 2], "cut off"),
        (lambda _: b"", "no backup"),
        (lambda _: b"hello" * 1000, "no backup"),
        (lambda _: hostile("../outside"), "no place"),
        (lambda _: hostile("/outside"), "no place"),
        (lambda _: hostile("folder/"), "no place"),
        (lambda _: hostile("link", 0o120777 << 16), "no place"),
        (lambda _: hostile("device", 0o020666 << 16), "no place"),
    ],
)
def test_what_is_not_whole_is_not_restored(home: Path, tmp_path: Path, damage: object, says: str) -> None:
    back_up(home, tmp_path / "b.zip")
    (tmp_path / "b.zip").write_bytes(damage((tmp_path / "b.zip").read_bytes()))  # type: ignore[operator]
    with pytest.raises(AskpixError, match=says):
        restore(tmp_path / "b.zip", tmp_path / "new")
    assert not (tmp_path / "new").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"b.zip", "home", "pictures"}, "nothing is left"


def test_the_list_tells_what_is_in_it(home: Path, tmp_path: Path) -> None:
    made = back_up(home, tmp_path / "b.zip")
    with zipfile.ZipFile(tmp_path / "b.zip") as archive:
        about = json.loads(archive.read("askpix-backup.json"))
    assert about["home"] == str(home) and len(about["files"]) == made.files > 5
    assert not any(name.endswith(("lock", "-wal", "owner.json")) for name in about["files"])


def test_zeros_take_no_room_in_it_nor_after_it(home: Path, tmp_path: Path) -> None:
    """A store reserves tens of megabytes for a few pictures."""
    made = back_up(home, tmp_path / "b.zip")
    restore(tmp_path / "b.zip", tmp_path / "new")
    taken = sum(path.stat().st_blocks * 512 for path in (tmp_path / "new").rglob("*") if path.is_file())
    assert made.size > 20e6, "as it lies"
    assert (tmp_path / "b.zip").stat().st_size < made.size / 10
    assert taken < made.size / 4
    for path in home.rglob("*"):
        again = tmp_path / "new" / path.relative_to(home)
        if again.is_file() and not path.name.endswith(".sqlite"):
            assert again.read_bytes() == path.read_bytes()


def test_uploads_are_found_where_the_home_is_restored(tmp_path: Path) -> None:
    """Through the command, the service and its job ledger: one is indexed, one was only acknowledged."""
    old, new = tmp_path / "old", tmp_path / "new"
    with served(old) as (url, process):
        client = until_ready(url)
        client.create_collection("album")
        (tmp_path / "red.jpg").write_bytes(jpeg("red"))
        (tmp_path / "blue.jpg").write_bytes(jpeg("blue"))
        client.index("album", [tmp_path / "red.jpg"])
        process.terminate()
        process.wait(30)
    engine = database_of(old)
    ledger = JobLedger(engine)
    uploads = Uploads(old, max_bytes=10**9, max_files=10)
    workspace = Workspace(Settings(home=old))
    album = workspace.collection("album")
    workspace.catalog.close()
    incoming = uploads.begin("blue.jpg")
    incoming.write((tmp_path / "blue.jpg").read_bytes())
    kept = incoming.commit(uploads.folder(album.id))
    spec = {
        "files": [{"path": str(kept.path), "name": "blue.jpg", "sha256": kept.sha256, "duplicate": False}]
    }
    ledger.add(kind="files", collection="album", collection_id=album.id, spec=spec)
    engine.dispose()
    runner(old, tmp_path)("backup", tmp_path / "b.zip")
    shutil.rmtree(old)
    said = runner(new, tmp_path)("restore", tmp_path / "b.zip")
    assert "1 uploaded images lie below" in said.stderr
    with served(new) as (url, _):
        client = until_ready(url)
        for job in client.jobs():
            client.wait(job.id)
        hits = client.search("album", "red", all=True).hits
        assert {hit.uri for hit in hits} == {"upload:red.jpg", "upload:blue.jpg"}
        for hit in hits:
            assert client.thumbnail(hit.id)
            name = hit.uri.removeprefix("upload:")
            assert client.image_file(hit.id) == (tmp_path / name).read_bytes()
