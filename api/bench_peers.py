"""What ``askpix bench peers`` sets up: each peer in an environment of its own, from the package index."""

import importlib.util
import os
import subprocess
import sys
import venv
from collections.abc import Callable, Sequence
from pathlib import Path

from core.errors import AskpixError
from evaluation.peers import Driver

PEERS = {"rclip": "rclip==3.3.0", "clip-retrieval": "clip-retrieval==2.45.0"}
"""Versions that the drivers were written for."""
NOT_COMPARED = {
    "rclip": (
        "It adds and subtracts queries ('2:dog - cat'), previews pictures in the terminal, and reads RAW."
        " Askpix also keeps EXIF, places and words, knows near duplicates, says when nothing matches."
    ),
    "clip-retrieval": (
        "Its reader only decodes and resizes: no hashes, no ledger, no index. It also reads webdatasets and"
        " parquet, writes embeddings for billions of pictures, and serves them from memory-mapped FAISS."
    ),
}
_DRIVERS = Path(__file__).resolve().parent / "peer_drivers"
_ROOT = Path(__file__).resolve().parent.parent


def ours() -> Driver:
    """Askpix itself, as installed here."""
    return Driver("askpix", (sys.executable, "-m", "api.peer_drivers.askpix_driver"), _environment(_ROOT))


def driver_of(peer: str, work: Path, tell: Callable[[str], object]) -> Driver:
    """A peer installed below ``work``. Raises ``AskpixError`` when that cannot be done."""
    if peer == "rclip":
        tell(f"installing {PEERS[peer]} into an environment of its own ...")
        venv.create(work / "rclip", with_pip=True)
        python = work / "rclip" / ("Scripts" if os.name == "nt" else "bin") / "python"
        _install([str(python), "-m", "pip", "install", "--quiet", PEERS[peer]], peer)
        return Driver(peer, (str(python), str(_DRIVERS / "rclip_driver.py")), _environment())
    if importlib.util.find_spec("torch") is None:
        raise AskpixError("clip-retrieval's reader needs torch: `pip install askpix[torch]`")
    tell(f"installing {PEERS[peer]} without what it depends on ...")
    target = work / "clip-retrieval"
    where = ["--no-deps", "--target", str(target)]
    _install([sys.executable, "-m", "pip", "install", "--quiet", *where, PEERS[peer]], peer)
    command = (sys.executable, str(_DRIVERS / "clip_retrieval_driver.py"))
    return Driver(peer, command, _environment(target), ("index",))


def _environment(*paths: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "SYSTEMROOT", "TMPDIR") if name in os.environ}
    return kept | {"PYTHONPATH": os.pathsep.join(map(str, paths))}


def _install(command: Sequence[str], peer: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - pip
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["pip says nothing"]
        raise AskpixError(f"{peer} cannot be installed: {lines[-1][:300]}")
