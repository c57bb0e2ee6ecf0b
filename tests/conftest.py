"""Fixtures every test may use. The real data set is found beside the checkout when it is there."""

import os
import runpy
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

# Hub libraries must never try the network in a test.
os.environ["HF_HUB_OFFLINE"] = "1"

# Several processes share the cores: where threads of torch spin while they wait for a turn, what takes
# one thread milliseconds takes minutes.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A job in the background (`make test &`, nohup) ignores Ctrl-C, and so would every command that tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parent.parent

# torchvision beside a CPU build of torch: here, and in every process that a test starts.
_SHIM = ROOT / "tests" / "support" / "torchvision_on_cpu"
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(_SHIM), os.environ.get("PYTHONPATH", "")]))
runpy.run_path(str(_SHIM / "sitecustomize.py"))


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test sees the developer's settings or home; the home goes with the test.

    A store's files are mostly preallocated zeros, tens of MB: thousands of kept homes fill a disk.
    """
    for name in [n for n in os.environ if n.startswith("ASKPIX_")]:
        monkeypatch.delenv(name)
    with tempfile.TemporaryDirectory(prefix="askpix-home-", ignore_cleanup_errors=True) as home:
        monkeypatch.setenv("ASKPIX_HOME", home)
        monkeypatch.setenv("ASKPIX_OPENVINO", "0")  # most people run without; tests of it ask for it
        yield


@pytest.fixture(scope="session", autouse=True)
def nothing_left_on_a_server() -> Iterator[None]:
    """What tests made on the Qdrant server of ``ASKPIX_QDRANT_URL`` goes, also when they failed."""
    yield
    stores = sys.modules.get("tests.support.stores")
    if stores is not None and stores.QDRANT_URL:
        stores.drop_from_server()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The research-only evaluation data beside the checkout; tests of it are skipped where it is not."""
    folder = Path(os.environ.get("ASKPIX_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("no evaluation data beside the checkout")
    return folder


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a real server, started when the first test needs it."""
    from tests.support.postgres import postgres_server

    with postgres_server() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """Where an empty catalog can be made: in a file and on a server."""
    from tests.support.postgres import new_schema

    if request.param == "sqlite":
        return tmp_path / "catalog.sqlite"
    return new_schema(request.getfixturevalue("postgres"))
