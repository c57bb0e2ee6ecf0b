"""Askpix beside its peers: each run by a driver in a process of its own, in turn, on the same images.

Models are taken out on both sides, so that what is compared is what each does around a model. A driver
prints one line of JSON: ``seconds`` and ``pictures`` of a run over a folder, ``p50_ms`` of its searches,
``peak_mb`` of its process, and where vectors are the same on both sides, what was ``found``.
"""

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from askpix.core.errors import AskpixError

ASKED = ("query", "filtered")
"""Phases that search."""
_TIMEOUT_S = 3600
_ALIKE = 0.95


@dataclass(frozen=True, slots=True)
class Driver:
    """Command that starts a program's driver, without the task."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    phases: tuple[str, ...] = ("index", "again", "query")


@dataclass(frozen=True, slots=True)
class PeerRow:
    """Result of one phase. ``ours`` and ``theirs``: images/s, of ``ASKED`` milliseconds (medians of the
    rounds).

    ``ratio`` above 1 means that Askpix is faster; ``peak_mb`` are (ours, theirs).
    """

    peer: str
    version: str
    phase: str
    ours: float
    theirs: float
    ratio: float
    peak_mb: tuple[float, float]


def compare_with(
    ours: Driver, peer: Driver, folder: Path, work: Path, *, rounds: int = 3, queries: int = 50
) -> list[PeerRow]:
    """Run both programs in turn over the images in ``folder``, each round in new homes below ``work``.

    Phases: ``index`` into an empty home, ``again`` with nothing changed, ``query``, ``filtered`` queries.
    Raises ``AskpixError`` when a driver fails, or when the two did not index equally many or did not find
    the same.
    """
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for number in range(rounds):
        for phase in peer.phases:
            for driver in (ours, peer):
                home = work / f"{driver.name}-{number}"
                home.mkdir(parents=True, exist_ok=True)
                said = run_driver(driver, phase, folder, home, queries=queries)
                found.setdefault((driver.name, phase), []).append(said)
    counts = {name: run["pictures"] for (name, _), runs in found.items() for run in runs if "pictures" in run}
    if len(set(counts.values())) > 1:
        raise AskpixError(f"not the same images were read, so nothing is compared: {counts}")
    for phase in ASKED:
        _check_alike(found.get((ours.name, phase), []), found.get((peer.name, phase), []))
    return [_row(peer, phase, found[ours.name, phase], found[peer.name, phase]) for phase in peer.phases]


def run_driver(driver: Driver, phase: str, folder: Path, home: Path, *, queries: int) -> dict[str, Any]:
    """Return the driver's output. Raises ``AskpixError``, with the last line of its standard error."""
    doing = phase if phase in ASKED else "index"
    command = [*driver.command, doing, str(folder), str(home), str(queries)]
    try:
        done = subprocess.run(
            command, env=dict(driver.environment), capture_output=True, timeout=_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise AskpixError(f"{driver.name} cannot be measured: {error}") from error
    if done.returncode:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["it says nothing"]
        raise AskpixError(f"{driver.name} cannot be measured: {lines[-1][:300]}")
    said = json.loads(done.stdout.splitlines()[-1])
    return dict(said)


def _check_alike(ours: Sequence[dict[str, Any]], theirs: Sequence[dict[str, Any]]) -> None:
    """Exact searches of the same vectors may differ where scores are equal to the last digits."""
    for one, other in zip(ours, theirs, strict=True):
        pairs = list(zip(one.get("found", ()), other.get("found", ()), strict=True))
        same = sum(len(set(a) & set(b)) for a, b in pairs)
        if same < _ALIKE * sum(len(b) for _, b in pairs):
            raise AskpixError("not the same images were found, so nothing is compared")


def _row(
    peer: Driver, phase: str, ours: Sequence[dict[str, Any]], theirs: Sequence[dict[str, Any]]
) -> PeerRow:
    one = _figure(phase, ours)
    other = _figure(phase, theirs)
    return PeerRow(
        peer=peer.name,
        version=str(theirs[0]["version"]),
        phase=phase,
        ours=one,
        theirs=other,
        ratio=other / one if phase in ASKED else one / other,
        peak_mb=(max(run["peak_mb"] for run in ours), max(run["peak_mb"] for run in theirs)),
    )


def _figure(phase: str, runs: Sequence[dict[str, Any]]) -> float:
    if phase in ASKED:
        return median(float(run["p50_ms"]) for run in runs)
    return median(float(run["pictures"]) / float(run["seconds"]) for run in runs)
