"""``askpix models``: the offer at the first run, installing, removing, against a hub on this machine."""

import json
import os
import pty
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import PICTURES, Askpix, runner
from tests.support.fake_hub import COMMIT, Hub, Repository, serving
from tests.support.fork_server import server_for
from tests.support.published_mini import published_mini

SMALL, USUAL = "immich-app/ViT-B-32-SigLIP2-256__webli", "onnx-community/siglip2-base-patch16-224-ONNX"
PINNED = "ba1f3b0843f24bc5417d38e19c37b287d719b2f4"
PATHS = {SMALL: f"onnx:{SMALL}@{COMMIT}", USUAL: f"onnx:{USUAL}@{PINNED}"}

Terminal = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def cached(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hf")


@pytest.fixture(scope="module")
def server() -> Iterator[Hub]:
    with serving(Hub({})) as hub:
        yield hub


@pytest.fixture
def hub(server: Hub, cached: Path) -> Hub:
    """The hub as it is published, and nothing of it here."""
    shutil.rmtree(cached / "hub", ignore_errors=True)
    server.repositories = {
        SMALL: Repository(published_mini()),
        USUAL: Repository(published_mini(transformers=True), commit=PINNED),
        "google/siglip2-base-patch16-224": Repository({"config.json": b"{}"}, gated=True),
    }
    for log in (server.asked, server.requests, server.cuts, server.busy):
        log.clear()
    server.corrupt.clear()
    return server


@pytest.fixture
def network(hub: Hub, cached: Path) -> dict[str, str]:
    return {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(cached),
        "HF_HUB_OFFLINE": "0",
        "ASKPIX_DEVICE": "cpu",
        "ASKPIX_LANGUAGES": "en,de",
    }


@pytest.fixture
def album(tmp_path: Path) -> Path:
    folder = tmp_path / "album"
    folder.mkdir()
    for name in ("cat", "rocket-launch", "coffee-cup"):
        shutil.copy(PICTURES / "photos" / f"{name}.jpg", folder)
    return folder


@pytest.fixture
def askpix(tmp_path: Path, network: dict[str, str]) -> Askpix:
    """The command on an empty home, connected to the hub."""
    run = runner(tmp_path / "home", tmp_path)
    return lambda *words, **options: run(*words, **{**network, **options})


@pytest.fixture
def terminal(tmp_path: Path, network: dict[str, str]) -> Terminal:
    """The command on a pseudo-terminal where somebody types ``typed``: its exit code and all it shows."""

    def run(*words: str | Path, typed: str = "", **settings: str) -> tuple[int, str]:
        keyboard, screen = pty.openpty()
        shown = bytearray()

        def read() -> None:
            try:
                while block := os.read(keyboard, 4096):
                    shown.extend(block)
            except OSError:  # the other end is closed
                pass

        reader = threading.Thread(target=read)
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("ASKPIX_")},
            **network,
            "ASKPIX_HOME": str(tmp_path / "home"),
            "ASKPIX_OPENVINO": "0",
            **settings,
        }
        reader.start()
        with os.fdopen(screen, "r+b", buffering=0) as stream:
            os.write(keyboard, typed.encode())
            found = server_for(environment, torch=False).run(
                [str(word) for word in words],
                cwd=tmp_path,
                environment=environment,
                streams=(stream, stream, stream),
            )
        reader.join()
        os.close(keyboard)
        return found, shown.decode()

    return run


def embedder_of(askpix: Askpix, collection: str = "default") -> str:
    rows = json.loads(askpix("collections", "list", "--json").stdout)
    return str(next(row["embedder"] for row in rows if row["name"] == collection))


def models(askpix: Askpix) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in json.loads(askpix("models", "--json").stdout)}


def test_the_first_run_asks_installs_and_searches_with_the_model(
    askpix: Askpix, terminal: Terminal, album: Path, hub: Hub
) -> None:
    screen = askpix("models").stdout
    assert len(screen.splitlines()) < 24 and screen.count("askpix models install") == 1
    name = screen.partition("askpix models install ")[2].split()[0]
    code, shown = terminal("index", album, "--ocr", "off", typed="\n")
    assert code == 0, shown
    assert f"better search, many languages: {name}, 37 MB, Apache-2.0. Download? [Y/n]" in shown
    assert "works: found 12 of 12" in shown and "3 added" in shown and "dry-run" not in shown
    assert embedder_of(askpix).partition("+")[0] in PATHS.values()

    files, asked = len(hub.asked), len(hub.requests)
    found = askpix("search", "eine Katze, die in die Kamera schaut", "--json")
    assert json.loads(found.stdout)["hits"][0]["uri"].endswith("cat.jpg")
    assert len(hub.requests) == asked, "a pinned model is opened without the hub"
    again = json.loads(askpix("models", "install", name, "--json").stdout)
    assert again["fetched_bytes"] == 0 and len(hub.asked) == files
    assert again["proof"]["passed"] and again["revision"] in again["path"]
    rows = models(askpix)
    used = next(row for row in rows.values() if row["role"] == "embedder" and row["in_use"])
    assert used["name"] == name and not any(
        row["recommended"] for row in rows.values() if row["role"] == "embedder"
    )

    same = askpix("index", album, "--ocr", "off", "--embedder", name, "--json")
    assert json.loads(same.stdout)["unchanged"] == 3, "a short name is the model that is installed"

    refused = askpix("models", "remove", name, code=1).stderr
    assert "made the vectors of 'default'" in refused and "reembed default --embedder mini" in refused
    askpix("collections", "delete", "default", "--yes")
    assert json.loads(askpix("models", "remove", name, "--json").stdout)["freed_bytes"] > 30e6
    assert "not on this machine" in askpix("models", "remove", name, code=1).stderr
    assert "mini" in askpix("models").stdout.splitlines()[0]


def test_a_no_is_remembered(askpix: Askpix, terminal: Terminal, album: Path, hub: Hub) -> None:
    code, shown = terminal("index", album, "--ocr", "off", typed="what?\nn\n")
    assert code == 0 and shown.count("[Y/n]") == 2 and "going on with mini" in shown
    assert embedder_of(askpix) == "mini" and not hub.asked
    code, shown = terminal("index", album, "--ocr", "off", "--collection", "other")
    assert code == 0 and "[Y/n]" not in shown and "models install" not in shown


def test_without_a_terminal_one_line_names_the_command_once(askpix: Askpix, album: Path, hub: Hub) -> None:
    first = askpix("index", album, "--ocr", "off").stderr
    assert first.count("`askpix models install best`") == 1
    assert "models install" not in askpix("index", album, "--ocr", "off", "--collection", "b").stderr
    assert embedder_of(askpix, "b") == "mini" and not hub.requests
    assert "nobody can be asked here" in askpix("models", "install", "siglip2-b32", code=1).stderr


def test_always_downloads_and_never_says_nothing(
    askpix: Askpix, terminal: Terminal, album: Path, hub: Hub, tmp_path: Path
) -> None:
    never = terminal("index", album, "--ocr", "off", "--collection", "n", ASKPIX_DOWNLOAD="never")
    assert never[0] == 0 and "install" not in never[1] and not hub.requests
    askpix("index", album, "--ocr", "off", ASKPIX_DOWNLOAD="always")
    assert embedder_of(askpix).partition("+")[0] in PATHS.values() and embedder_of(askpix, "n") == "mini"
    offline = runner(tmp_path / "home2", tmp_path)
    shown = offline("index", album, "--ocr", "off", ASKPIX_DOWNLOAD="always", ASKPIX_DEVICE="cpu").stderr
    assert "is not downloaded (HF_HUB_OFFLINE is set); going on with mini" in shown
    assert embedder_of(offline) == "mini"


def test_a_cut_download_goes_on_and_a_damaged_file_is_refused(askpix: Askpix, hub: Hub) -> None:
    install = ("models", "install", "siglip2-b32", "--yes")
    hub.cuts["visual/model.onnx"] = [9 * 2**20] * 9  # only the first brings something
    assert "it goes on where it stopped" in askpix(*install, code=1).stderr
    hub.cuts.clear()
    hub.asked.clear()
    assert "siglip2-b32 works" in askpix(*install).stdout
    assert dict(hub.asked)["visual/model.onnx"] == 9 * 2**20
    askpix("models", "remove", "siglip2-b32")
    hub.repositories[SMALL].digests["textual/model.onnx"] = "0" * 64
    assert "cannot get" in askpix(*install, code=1).stderr
    assert "mini" in askpix("models").stdout.splitlines()[0]


def test_what_is_wrong_is_one_line_that_says_what_to_do(askpix: Askpix, hub: Hub) -> None:
    for name, words in (
        ("siglip2-bas", "did you mean siglip2-base"),
        ("siglip2-base-torch", "wants terms accepted first"),
        ("multilingual-e5-small", "has no repository 'intfloat/multilingual-e5-small'"),
    ):
        done = askpix("models", "install", name, "--yes", code=1)
        assert words in done.stderr and done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    hub.busy["/api/models/"] = [(429, {"Retry-After": "900"})]
    limited = askpix("models", "install", "siglip2-b32", "--yes", code=1).stderr
    assert "run it again in 900 seconds" in limited


def test_a_model_that_does_not_work_is_used_by_nothing(askpix: Askpix, album: Path, hub: Hub) -> None:
    hub.repositories[SMALL] = Repository(published_mini(broken=True))
    hub.repositories[USUAL] = Repository(published_mini(transformers=True, broken=True), commit=PINNED)
    failed = askpix("models", "install", "best", "--yes", code=1).stderr
    assert "is here but does not work: found" in failed and "askpix models remove" in failed
    shown = askpix("index", album, "--ocr", "off", ASKPIX_DOWNLOAD="always").stderr
    assert embedder_of(askpix) == "mini" and "does not work" in shown
