"""A better model over HTTP: who may, which names, one at a time; stopped downloads, files that are gone."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants
from starlette.testclient import TestClient

from askpix.api.demo import PICTURES
from askpix.api.jobs.queue import JobStoppedError
from askpix.api.models.proofs import Proofs
from askpix.api.server.app import create_app
from askpix.api.service.service import Service
from askpix.api.services.index import run_index
from askpix.api.services.prove import forget_proofs
from askpix.api.services.upgrade import find_upgrade, upgrade
from askpix.api.settings import Settings
from askpix.api.workspace.workspace import Workspace
from askpix.core.errors import AskpixError
from askpix.ingest.pipeline.report import Progress
from tests.support.fake_hub import Hub, Repository, serving
from tests.support.published_mini import published_mini

NAME, REPOSITORY = "siglip2-b32", "immich-app/ViT-B-32-SigLIP2-256__webli"
PATH = "/v1/collections/default/upgrade"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with serving(Hub({REPOSITORY: Repository(published_mini())})) as found:
        monkeypatch.setattr(constants, "ENDPOINT", found.url)
        template = found.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        yield found


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with the collection ``default`` of two photos in ``photos``."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in ("cat", "rocket-launch"):
        shutil.copy(PICTURES / "photos" / f"{name}.jpg", photos)
    workspace = opened(tmp_path / "home")
    made = workspace.create_collection("default", "mini")
    run_index(workspace, made, [photos], ocr="off", prune=False)
    workspace.catalog.close()
    return tmp_path / "home"


def opened(home: Path) -> Workspace:
    return Workspace(Settings(home=home, device="cpu", ocr="off", generator="extractive"))


def test_only_admins_of_all_may_and_only_what_is_listed(home: Path, hub: Hub) -> None:
    service = Service(Settings(home=home, device="cpu", ocr="off", requests_per_minute=0))
    texts = {scope: service.keys.create(scope, scope=scope)[1] for scope in ("read", "write", "admin")}
    texts["one"] = service.keys.create("one", scope="admin", collections=["default"])[1]
    with TestClient(create_app(service), base_url="http://localhost") as client:

        def ask(who: str, method: str, path: str = PATH, **body: object) -> int:
            headers = {"Authorization": f"Bearer {texts[who]}"}
            return client.request(method, path, headers=headers, json=body or None).status_code

        for who in ("read", "write", "one"):
            assert ask(who, "GET") == ask(who, "DELETE", f"{PATH}?model={NAME}") == 403
            assert ask(who, "POST", model=NAME) == 403
        for name in (f"onnx:{REPOSITORY}", REPOSITORY, "someone/other", "../../etc", "mini", "qwen3-vl-2b"):
            assert ask("admin", "POST", model=name) == 404, name
            assert ask("admin", "DELETE", f"{PATH}?model={name}") == 404
        assert ask("admin", "POST", model=NAME, repo="someone/other") == 422
        assert ask("admin", "POST", "/v1/collections/none/upgrade", model=NAME) == 404
        assert not hub.requests
        assert ask("admin", "POST", model=NAME) == 202 and ask("admin", "POST", model=NAME) == 409
        assert ask("admin", "DELETE", f"{PATH}?model={NAME}") == 204
    assert [
        job.kind for job in service.jobs.list(collection_ids={service.workspace.collection("default").id})
    ] == ["upgrade"]
    service.engine.dispose()


def test_a_stopped_download_goes_on_and_the_change_is_whole(home: Path, hub: Hub) -> None:
    workspace, stages = opened(home), list[str]()

    def stop_in_the_middle(progress: Progress) -> None:
        if progress.stage == "downloading" and progress.done > 10_000_000:
            raise JobStoppedError

    def note(progress: Progress) -> None:
        if progress.stage not in stages:
            stages.append(progress.stage)
        assert progress.total is None or progress.done <= progress.total

    with pytest.raises(JobStoppedError):
        upgrade(workspace, "default", NAME, stop_in_the_middle)
    assert workspace.collection("default").embedder == "mini"
    hub.asked.clear()
    report = upgrade(workspace, "default", NAME, note)
    assert any(start > 0 for _, start in hub.asked), "it goes on where it stopped"
    assert stages == ["downloading", "proving", "embedding anew"]
    assert report.was == "mini" and report.images == 2 and report.model == NAME
    assert workspace.collection("default").embedder == report.embedder
    assert report.embedder.startswith(f"onnx:{REPOSITORY}@")
    assert find_upgrade(workspace, workspace.collection("default")) is None
    forget_proofs(workspace, NAME)
    assert not Proofs(home).kept("embedder", report.embedder), "its short name stands for it"
    workspace.catalog.close()


def test_images_whose_files_are_gone_stay_searchable(home: Path, hub: Hub) -> None:
    (home.parent / "photos" / "cat.jpg").unlink()
    workspace = opened(home)
    with pytest.raises(AskpixError, match=r"1 of 2 images could not be embedded again .*'mini' stays in use"):
        upgrade(workspace, "default", NAME, lambda progress: None)
    assert workspace.collection("default").embedder == "mini"
    with workspace.open_store(workspace.collection("default")) as store:
        assert store.count() == 2
    workspace.catalog.close()


def test_nothing_is_offered_where_it_cannot_be_had_or_is_not_wanted(home: Path, hub: Hub) -> None:
    def offered(**more: object) -> bool:
        settings = Settings(home=home, device="cpu", languages="en", **more)  # type: ignore[arg-type]
        workspace = Workspace(settings)
        found = find_upgrade(workspace, workspace.collection("default"))
        workspace.catalog.close()
        return found is not None

    assert offered() and offered(download="always")
    assert not offered(download="never") and not offered(embedder="mini")
    hub_url, constants.ENDPOINT = constants.ENDPOINT, "http://127.0.0.1:9"
    assert not offered(), "the hub cannot be reached"
    constants.ENDPOINT = hub_url
    assert offered()
