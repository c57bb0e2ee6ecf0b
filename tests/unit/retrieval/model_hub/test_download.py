"""Downloads against a hub on this machine: resumed, pinned, checked, and one clear line when it fails."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import numpy as np
import pytest
from huggingface_hub import constants

from askpix.api.settings import Settings
from askpix.api.workspace.rerankers import load_reranker
from askpix.api.workspace.workspace import Workspace
from askpix.core.errors import ModelUnavailableError
from askpix.retrieval.embedders.transformers import load_transformers_embedder
from askpix.retrieval.model_hub.download import (
    cached_files,
    check_digests,
    delete_cached,
    download,
    download_one_of,
    list_repository,
    weights_here,
)
from askpix.retrieval.onnx.image_embedder import OnnxEmbedder
from tests.conftest import ROOT
from tests.support.fake_hub import COMMIT, Hub, Repository, serving
from tests.support.onnx_exports import export_towers
from tests.support.parity import pictures
from tests.support.tiny_models import export_cross_encoder, save_cross_encoder
from tests.support.tiny_vlms import save_vlm
from tests.support.two_tower_models import save_transformers

LARGE = np.random.default_rng(0).bytes(9 * 2**20)
NAME = "someone/model"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    files = {"config.json": b"{}", "model.safetensors": LARGE, "other.bin": b"x"}
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with serving(Hub({NAME: Repository(files)})) as found:
        monkeypatch.setattr(constants, "ENDPOINT", found.url)
        template = found.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        yield found


def test_the_folder_is_the_commit_and_holds_what_was_asked_for(hub: Hub) -> None:
    folder = download(NAME, ["*.json", "*.safetensors"])
    assert folder.name == COMMIT
    assert (folder / "model.safetensors").read_bytes() == LARGE
    assert not (folder / "other.bin").exists()
    assert download(f"{NAME}@{COMMIT}", ["*.json"]) == folder
    sent = len(hub.asked)
    assert download(NAME, ["*.json", "*.safetensors"]) == folder
    assert len(hub.asked) == sent, "nothing is fetched twice"
    assert download_one_of(NAME, ["nothing.bin", "other.bin"]) == folder
    assert download_one_of(NAME, ["nothing.bin"]) is None


@pytest.mark.parametrize("reset", [False, True])
def test_a_cut_connection_goes_on_where_it_broke(hub: Hub, reset: bool) -> None:
    hub.cuts["model.safetensors"] = [3 * 2**20, 5 * 2**20]
    hub.reset = reset
    folder = download(NAME, ["*.safetensors"])
    assert (folder / "model.safetensors").read_bytes() == LARGE
    starts = [start for name, start in hub.asked if name == "model.safetensors"]
    assert starts[0] == 0 and len(starts) == 3
    assert 0 < starts[1] <= 3 * 2**20 and starts[1] < starts[2] <= 5 * 2**20


def test_a_hub_that_goes_away_is_one_line_and_the_next_run_goes_on(hub: Hub) -> None:
    hub.cuts["model.safetensors"] = [4 * 2**20] * 9  # only the first brings something
    with pytest.raises(ModelUnavailableError, match="it goes on where it stopped") as caught:
        download(NAME, ["*.safetensors"])
    assert "\n" not in str(caught.value) and hub.url in str(caught.value)
    hub.asked.clear()
    hub.cuts.clear()
    folder = download(NAME, ["*.safetensors"])
    assert (folder / "model.safetensors").read_bytes() == LARGE
    assert next(start for _, start in hub.asked) > 2**20
    assert not list(folder.parent.parent.rglob("*.part"))


def test_a_killed_download_goes_on_in_the_next_process(hub: Hub, tmp_path: Path) -> None:
    hub.cuts["model.safetensors"] = [6 * 2**20]
    hub.pause = threading.Event()
    code = (
        "from askpix.retrieval.model_hub.download import download;"
        f"print(download({NAME!r}, ['*.safetensors']))"
    )
    environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HUB_CACHE": str(tmp_path / "hub")}
    environment.pop("HF_HUB_OFFLINE", None)
    run = {"cwd": ROOT, "env": environment, "text": True}
    with subprocess.Popen([sys.executable, "-c", code], **run) as first:
        assert hub.pause.wait(20)
        part = next(iter(wait_for(tmp_path / "hub", "*.part", 2**20)))
        first.send_signal(signal.SIGKILL)
    had = part.stat().st_size
    hub.pause = None
    hub.asked.clear()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, **run)
    folder = Path(done.stdout.strip())
    assert (folder / "model.safetensors").read_bytes() == LARGE
    assert hub.asked == [("model.safetensors", had)]


def wait_for(folder: Path, pattern: str, size: int) -> list[Path]:
    """Files that match, once one has so many bytes."""
    for _ in range(200):
        found = [path for path in folder.rglob(pattern) if path.stat().st_size >= size]
        if found:
            return found
        threading.Event().wait(0.05)
    raise AssertionError(f"no {pattern} of {size} bytes")


def test_a_server_without_ranges_sends_all_again(hub: Hub) -> None:
    hub.cuts["model.safetensors"] = [4 * 2**20]
    hub.ignore_ranges = True
    folder = download(NAME, ["*.safetensors"])
    assert (folder / "model.safetensors").read_bytes() == LARGE


def test_bytes_that_are_not_the_file_are_refused(hub: Hub) -> None:
    hub.corrupt.add("model.safetensors")
    with pytest.raises(ModelUnavailableError, match="cannot get 'someone/model'"):
        download(NAME, ["*.safetensors"])
    kept = [path for path in Path(constants.HF_HUB_CACHE).rglob("*") if path.is_file()]
    assert max(path.stat().st_size for path in kept) < 2**20
    hub.corrupt.clear()
    assert (download(NAME, ["*.safetensors"]) / "model.safetensors").read_bytes() == LARGE


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (f"{NAME}@v9", "has no revision 'v9'"),
        ("someone/nothing", "has no repository 'someone/nothing', or it is private"),
        ("someone/closed", "wants terms accepted first: at http"),
        ("someone/--bad--", "is no name of a hub repository"),
    ],
)
def test_what_is_not_there_is_one_line(hub: Hub, name: str, words: str) -> None:
    hub.repositories["someone/closed"] = Repository({"config.json": b"{}"}, gated=True)
    with pytest.raises(ModelUnavailableError, match=words) as caught:
        download(name, ["*.json"])
    assert "\n" not in str(caught.value)


def test_who_has_a_token_is_told_that_the_terms_are_not_accepted_yet(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = {"config.json": b"{}", "model.safetensors": LARGE}
    hub.repositories["someone/closed"] = Repository(weights, gated=True, allowed=("hf_good",))
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    with pytest.raises(ModelUnavailableError, match="your account may not read 'someone/closed' yet"):
        download("someone/closed", ["*"])
    monkeypatch.setenv("HF_TOKEN", "hf_good")
    assert (download("someone/closed", ["*"]) / "model.safetensors").read_bytes() == LARGE


@pytest.mark.parametrize("where", ["/revision/main", "/tree/", "/resolve/", "/storage/"])
@pytest.mark.parametrize(("status", "headers"), [(503, {}), (429, {"Retry-After": "0"})])
def test_a_busy_hub_or_storage_is_asked_again(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, where: str, status: int, headers: dict[str, str]
) -> None:
    monkeypatch.setattr("askpix.retrieval.model_hub.download._PAUSE_S", 0.0)
    hub.busy[where] = [(status, headers)]
    assert (download(NAME, ["*.safetensors"]) / "model.safetensors").read_bytes() == LARGE
    assert hub.busy == {where: []}


def test_a_hub_that_stays_rate_limited_says_so_and_is_not_asked_for_ever(hub: Hub) -> None:
    hub.busy["/resolve/"] = [(429, {"Retry-After": "0"})] * 99
    with pytest.raises(ModelUnavailableError, match="too many requests from here: run it again in 0 seconds"):
        download(NAME, ["*.safetensors"])
    assert len(hub.busy["/resolve/"]) > 90
    hub.busy["/resolve/"] = [(429, {"RateLimit": '"resolvers";r=0;t=3600'})] * 99
    with pytest.raises(ModelUnavailableError, match=r"in 3600 seconds .*hf auth login"):
        download(NAME, ["*.safetensors"])
    assert len(hub.busy["/resolve/"]) > 90, "an hour is not waited for"


def test_a_full_disk_is_said_before_anything_is_fetched(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=70_000_000))
    with pytest.raises(ModelUnavailableError, match=r"needs 9 MB and the disk .* has 70 MB free: free some"):
        download(NAME, ["*.safetensors"])
    assert not hub.asked


def test_files_are_listed_with_their_digests_and_held_against_them(hub: Hub) -> None:
    found = list_repository(NAME)
    assert found.commit == COMMIT and {file.name for file in found.files} == set(hub.repositories[NAME].files)
    assert cached_files(NAME, COMMIT, found.files) == 0
    folder = download(NAME, ["*"])
    check_digests(folder, found.files)
    assert cached_files(NAME, COMMIT, found.files) == sum(file.size for file in found.files)
    (folder / "config.json").resolve().write_bytes(b"[]")
    with pytest.raises(ModelUnavailableError, match=r"'config\.json' is damaged"):
        check_digests(folder, found.files)
    download(NAME, ["*"])
    check_digests(folder, found.files)
    assert delete_cached(NAME) > len(LARGE) and delete_cached(NAME) == 0
    assert not weights_here(NAME)


def test_a_hub_cannot_name_files_outside_the_cache(hub: Hub, tmp_path: Path) -> None:
    odd = {"../../../../../outside.json": b"{}", "/etc/odd.json": b"{}", "config.json": b"{}"}
    hub.repositories["someone/odd"] = Repository(odd)
    assert [file.name for file in list_repository("someone/odd").files] == ["config.json"]
    for commit in ("../../x", "", 7):
        hub.repositories["someone/odd"].commit = commit  # type: ignore[assignment]
        with pytest.raises(ModelUnavailableError, match="cannot get 'someone/odd'"):
            list_repository("someone/odd")
    hub.repositories["someone/odd"] = Repository(
        {"model.safetensors": LARGE}, digests={"model.safetensors": "../../../outside"}
    )
    with pytest.raises(ModelUnavailableError, match="cannot get 'someone/odd'"):
        download("someone/odd", ["*"])
    assert not list(tmp_path.rglob("outside*"))


def test_offline_takes_what_is_here(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelUnavailableError, match="was not downloaded before"):
        download(NAME, ["*.json"], local_files_only=True)
    folder = download(NAME, ["*.json"])
    hub.repositories.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert download(NAME, ["*.json"]) == folder
    with pytest.raises(ModelUnavailableError, match="HF_HUB_OFFLINE is set"):
        download(f"{NAME}@{'0' * 40}", ["*.json"])


def test_an_unreachable_hub_is_one_line_and_the_cache_does(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = download(NAME, ["*.json"])
    nowhere = "http://127.0.0.1:9"
    monkeypatch.setattr(constants, "ENDPOINT", nowhere)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", nowhere + "/{repo_id}/resolve/{revision}/{filename}"
    )
    assert download(NAME, ["*.json"]) == folder
    with pytest.raises(ModelUnavailableError, match="set HF_ENDPOINT to a mirror, or name a directory"):
        download("someone/else", ["*.json"])


def test_the_bar_is_shown_though_transformers_hid_it(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    huggingface_hub.utils.disable_progress_bars()
    try:
        download(NAME, ["*.safetensors"])
        assert huggingface_hub.utils.are_progress_bars_disabled()
    finally:
        huggingface_hub.utils.enable_progress_bars()
    assert "model.safetensors" in capsys.readouterr().err


def test_a_model_of_the_hub_is_pinned_and_loads(hub: Hub, tmp_path: Path) -> None:
    folder = tmp_path / "saved"
    model, *_ = save_transformers(folder, "clip")
    export_towers(
        model, folder, vision="onnx/vision_model.onnx", text="onnx/text_model.onnx", masked=True, side=32
    )
    files = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    hub.repositories["someone/clip"] = Repository(files)
    torch_model = load_transformers_embedder("someone/clip", device="cpu")
    assert torch_model.model_id == f"transformers:someone/clip@{COMMIT}"
    onnx = OnnxEmbedder.load("someone/clip", device="cpu")
    assert onnx.model_id == f"onnx:someone/clip@{COMMIT}+fp32"
    near = (onnx.embed_images(pictures()) * torch_model.embed_images(pictures())).sum(1)
    assert near.min() > 0.999
    hub.repositories.clear()  # the pinned id needs no hub any more
    assert OnnxEmbedder.load(f"someone/clip@{COMMIT}+fp32", device="cpu").dim == onnx.dim


def test_rerankers_and_generators_of_the_hub_are_pinned_and_resumed(hub: Hub, tmp_path: Path) -> None:
    cross, sight = tmp_path / "cross", tmp_path / "sight"
    save_cross_encoder(cross)
    export_cross_encoder(cross)
    save_vlm(sight, "smolvlm")
    for folder in (cross, sight):
        files = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
        hub.repositories[f"someone/{folder.name}"] = Repository(files)
    workspace = Workspace(Settings(home=tmp_path / "home", prove_sight=False, device="cpu"))
    for scheme in ("transformers", "onnx"):
        reranker = load_reranker(workspace, f"{scheme}:someone/cross", page_sub_query=None)
        assert reranker.model_id == f"{scheme}:someone/cross@{COMMIT}"
    generator = workspace.generator("transformers:someone/sight")
    assert generator.model_id == f"transformers:someone/sight@{COMMIT}"
    hub.repositories.clear()  # what is pinned needs no hub any more
    assert load_reranker(workspace, f"onnx:someone/cross@{COMMIT}", page_sub_query=None)
    with pytest.raises(ModelUnavailableError, match="has no repository 'someone/other'"):
        workspace.generator("transformers:someone/other")
    with pytest.raises(ModelUnavailableError, match="has no repository 'someone/other'"):
        load_reranker(workspace, "onnx:someone/other", page_sub_query=None)
    with pytest.raises(ModelUnavailableError, match="neither a directory nor a hub repository"):
        load_reranker(workspace, "transformers:no such thing", page_sub_query=None)
