"""Install each peer of ``python -m benchmarks peers`` into an environment of its own."""

import importlib.util
import os
import subprocess
import sys
import venv
from collections.abc import Callable, Sequence
from pathlib import Path

from askpix.core.errors import AskpixError
from benchmarks.peers.compare import Driver

PEERS = {
    "rclip": "rclip==3.3.0",
    "clip-retrieval": "clip-retrieval==2.45.0",
    "qdrant-client": "qdrant-client==1.20.0",
    "faiss": "faiss-cpu==1.15.1",
    "clip-back": "clip-retrieval==2.45.0",
}
"""Versions that the drivers were written for; those of ``ON_VECTORS`` are taken as they are installed."""
ON_VECTORS = {"qdrant-client": "qdrant_client", "faiss": "faiss", "clip-back": ""}
"""Compared on the same vectors instead of images, with the module that they are. ``clip-back`` is
clip-retrieval's ``index`` and ``back``: what it does with embeddings once they are there."""
NOT_COMPARED = {
    "qdrant-client": (
        "Its local mode is for tests and trials, says its maker; the same calls then go to a server. It also"
        " has recommendations, discovery and formulas over fields that Askpix leaves unused."
    ),
    "faiss": (
        "Exact and in memory; which ids pass a filter is found in Python. It also has graphs, codes and GPUs,"
        " which Askpix's FAISS store uses. As used here nothing survives a kill half way."
    ),
    "rclip": (
        "It adds and subtracts queries ('2:dog - cat'), previews images in the terminal, and reads RAW."
        " Askpix also keeps EXIF, places and words, knows near duplicates, says when nothing matches."
    ),
    "clip-retrieval": (
        "Its reader only decodes and resizes: no hashes, no ledger, no index. It also reads webdatasets and"
        " parquet, writes embeddings for billions of images, and serves them from memory-mapped FAISS."
    ),
    "clip-back": (
        "Built in one go over all embeddings, for a given memory and time; nothing can be added, changed"
        " or filtered afterwards. It also drops duplicates and unsafe images from what it found."
    ),
}
_BACK_NEEDS = (
    *("autofaiss", "flask", "flask_restful", "flask_cors", "fire", "fsspec", "h5py", "pillow"),
    *("prometheus_client", "pyarrow<22", "tqdm"),
)
"""Packages that those two of its modules import, in versions that go together now: autofaiss wants NumPy 1,
for which pyarrow 22 and later have no wheel.
"""
_DRIVERS = Path(__file__).parent
_ROOT = _DRIVERS.parent.parent


def ours() -> Driver:
    """Askpix itself, as installed here."""
    return Driver("askpix", (sys.executable, "-m", "benchmarks.peers.askpix_driver"), _environment(_ROOT))


def ours_on_vectors() -> Driver:
    """Askpix's default store."""
    return _on_vectors("askpix", _environment(_ROOT))


def vectors_in(folder: Path, points: int) -> Path:
    """A folder that tells the drivers which vectors to make."""
    folder.mkdir()
    (folder / "points").write_text(f"{points}", "ascii")
    return folder


def _on_vectors(
    name: str,
    environment: dict[str, str],
    python: str = sys.executable,
    phases: tuple[str, ...] = ("index", "query", "filtered"),
) -> Driver:
    return Driver(name, (python, "-m", "benchmarks.peers.vector_driver", name), environment, phases)


def driver_of(peer: str, work: Path, tell: Callable[[str], object]) -> Driver:
    """A peer installed below ``work``. Raises ``AskpixError`` when that cannot be done."""
    if peer == "clip-back":
        tell(f"installing {PEERS[peer]}'s index and service into an environment of their own ...")
        python = _environment_of_its_own(work / peer, peer, _BACK_NEEDS)
        _install([python, "-m", "pip", "install", "--quiet", "--no-deps", PEERS[peer]], peer)
        return _on_vectors(peer, _environment(_ROOT), python, ("index", "query"))
    if peer in ON_VECTORS:
        if importlib.util.find_spec(ON_VECTORS[peer]) is not None:
            return _on_vectors(peer, _environment(_ROOT))
        tell(f"installing {PEERS[peer]} ...")
        _install(
            [sys.executable, "-m", "pip", "install", "-q", "--target", str(work / peer), PEERS[peer]], peer
        )
        return _on_vectors(peer, _environment(_ROOT, work / peer))
    if peer == "rclip":
        tell(f"installing {PEERS[peer]} into an environment of its own ...")
        python = _environment_of_its_own(work / peer, peer, [PEERS[peer]])
        return Driver(peer, (python, str(_DRIVERS / "rclip_driver.py")), _environment())
    if importlib.util.find_spec("torch") is None:
        raise AskpixError("clip-retrieval's reader needs torch: `pip install askpix[torch]`")
    tell(f"installing {PEERS[peer]} without what it depends on ...")
    target = work / "clip-retrieval"
    where = ["--no-deps", "--target", str(target)]
    _install([sys.executable, "-m", "pip", "install", "--quiet", *where, PEERS[peer]], peer)
    command = (sys.executable, str(_DRIVERS / "clip_retrieval_driver.py"))
    return Driver(peer, command, _environment(target), ("index",))


def _environment_of_its_own(folder: Path, peer: str, packages: Sequence[str]) -> str:
    """The Python of a new environment with ``packages``."""
    venv.create(folder, with_pip=True)
    python = str(folder / ("Scripts" if os.name == "nt" else "bin") / "python")
    _install([python, "-m", "pip", "install", "--quiet", *packages], peer)
    return python


def _environment(*paths: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "SYSTEMROOT", "TMPDIR") if name in os.environ}
    return kept | {"PYTHONPATH": os.pathsep.join(map(str, paths))}


def _install(command: Sequence[str], peer: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["pip says nothing"]
        raise AskpixError(f"{peer} cannot be installed: {lines[-1][:300]}")
