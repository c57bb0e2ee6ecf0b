"""Follow folders: what changed in them, in bursts, as paths to be indexed again.

The system tells of changes (``watchfiles``); a camera import or an unpacked archive is a burst of thousands,
which is waited out and handed over once.
"""

import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import watchfiles

from askpix.ingest.formats.pages import by_extension
from askpix.ingest.metadata.sidecars import is_sidecar
from askpix.ingest.sources.ignore import IGNORE_FILE, leaves_out
from askpix.ingest.sources.walk import is_ignored

_QUIET_MS = 1_600
"""A burst is over when nothing changed for so long, or after ``_QUIET_MS`` times ten at the latest."""
_TICK_MS = 200


def follow(
    roots: Sequence[Path],
    *,
    prune: bool = False,
    ignore: Sequence[str] = (),
    stop: threading.Event | None = None,
    quiet_ms: int = _QUIET_MS,
) -> Iterator[list[Path]]:
    """The paths to index again after each burst of changes under ``roots``, until ``stop`` is set.

    Ctrl-C raises KeyboardInterrupt.
    """
    # Polling where the system cannot tell (network shares) is decided by watchfiles itself.
    for changes in watchfiles.watch(
        *(root if root.is_dir() else root.parent for root in roots),
        watch_filter=None,
        debounce=10 * quiet_ms,
        step=quiet_ms,
        stop_event=stop,
        rust_timeout=_TICK_MS,
        yield_on_timeout=False,
    ):
        targets = to_index((Path(path) for _, path in changes), roots, prune=prune, ignore=ignore)
        if targets:
            yield targets


def to_index(
    changed: Iterable[Path], roots: Sequence[Path], *, prune: bool, ignore: Sequence[str] = ()
) -> list[Path]:
    """Return the paths to index for these changes: the files themselves, new folders and, to ``prune`` what
    is gone, the nearest folder that still exists. Never anything outside ``roots``; what the walk ignores is
    ignored. No path of the result lies in another one.
    """
    inside = [Path(os.path.abspath(root)) for root in roots]  # noqa: PTH100 - links are kept, as the walk does
    wanted: set[Path] = set()
    for path in changed:
        root = next((root for root in inside if path == root or root in path.parents), None)
        if root is None:
            continue
        if path.name == IGNORE_FILE or is_sidecar(path.name):
            # It speaks of what lies beside it; what is unchanged there costs a stat.
            if path != root and path.parent.is_dir() and not any(map(is_ignored, _parts(path.parent, root))):
                wanted.add(path.parent)
            continue
        if any(map(is_ignored, _parts(path, root))):
            continue
        if path != root and leaves_out(str(path), str(root), ignore):
            continue
        if path.is_dir() or (path.suffix.lower().removeprefix(".") in by_extension() and path.exists()):
            wanted.add(path)
        elif path.exists():
            if path == root:
                wanted.add(path)
            elif not path.suffix:
                wanted.add(
                    path.parent
                )  # the walk looks at how it begins; a file that is named is always taken
        elif prune:
            there = next((each for each in path.parents if each.exists()), root)
            wanted.add(there if there == root or root in there.parents else root)
    return sorted(path for path in wanted if path.exists() and not any(up in wanted for up in path.parents))


def _parts(path: Path, root: Path) -> tuple[str, ...]:
    return path.relative_to(root).parts
