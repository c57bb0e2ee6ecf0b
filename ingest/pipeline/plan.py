"""Plan of a run: the walk compared with the ledger. No file is opened for it."""

import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, field, replace
from pathlib import Path

from askpix.core.imaging.decode import ImageLimits
from askpix.ingest.catalog.models import SourceState
from askpix.ingest.formats.pages import formats
from askpix.ingest.metadata.sidecars import with_unnamed
from askpix.ingest.pipeline.report import Failure
from askpix.ingest.sources.ignore import leaves_out
from askpix.ingest.sources.remote import is_elsewhere, root_of
from askpix.ingest.sources.walk import Skipped, Source

_log = logging.getLogger(__name__)
_FORMAT = 3
"""Raised when what can be decoded changes, so that files that failed are tried again."""


@dataclass(frozen=True, slots=True)
class Task:
    """A file to look into, and what the ledger had about it."""

    source: Source
    before: SourceState | None
    indexed: bool = False
    """True if its images, as they were before, are in the index."""


@dataclass(slots=True)
class Plan:
    """``todo`` has to be looked into; ``gone`` are sources under the given paths whose file is no more."""

    todo: list[Task] = field(default_factory=list)
    unchanged: int = 0
    failures: list[Failure] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    gone: dict[str, SourceState] = field(default_factory=dict)
    beside: dict[str, str | None] = field(default_factory=dict)
    """Unchanged sources of which a file beside them has changed, come or gone, and how those are now."""
    ctimes: dict[str, int] = field(default_factory=dict)
    """Unchanged sources of which the ledger does not know yet when their inode changed."""
    empty_roots: list[str] = field(default_factory=list)
    """Given folders in which nothing lies at all, though the ledger has sources in them."""


def tried_with(limits: ImageLimits) -> str:
    """The conditions under which a file fails or not."""
    openable = (name for name, form in formats().items() if not form.missing(limits))
    return "/".join(map(str, (_FORMAT, *astuple(limits), *openable)))


def make_plan(
    paths: Sequence[Path],
    found: Iterable[Source | Skipped],
    *,
    known: dict[str, SourceState],
    contents: set[str],
    limits: ImageLimits,
    ignore: Sequence[str] = (),
) -> Plan:
    """Sort what the walk of ``paths`` found.

    ``contents`` are the SHA-256 whose images are in the index; those that are worth another try leave it.
    Entries are taken out of ``known``: what is left was not seen. What ``ignore`` and ``.askpixignore`` files
    leave out by now is gone too.
    """
    plan = Plan()
    conditions = tried_with(limits)
    roots = tuple(_inside(root_of(path)) for path in paths)
    seen_far: set[str] = set()
    again: set[str | None] = set()
    for item in found:
        if isinstance(item, Skipped):
            _log.info("skipped %r: %s", item.path, item.reason)
            plan.skipped.append(item)
            continue
        if "://" in item.uri:
            seen_far.add(item.uri)
        before = known.pop(item.uri, None)
        if before is not None and before.beside != item.beside:
            item = replace(item, beside=with_unnamed(item.beside, before.beside, roots))  # noqa: PLW2901
        indexed = before is not None and before.sha256 in contents
        if before is None or _changed(before, item):
            plan.todo.append(Task(item, before, indexed))
            if before is not None and before.error is not None:
                again.add(before.sha256)
        elif (
            before.error is not None
            and before.tried_with == conditions
            and (before.set_aside or not before.kills)
        ):
            plan.failures.append(Failure(item.uri, before.error))
        elif before.error is None and indexed:
            plan.unchanged += 1
            if before.beside != item.beside:
                plan.beside[item.uri] = item.beside
            if before.ctime_ns is None and item.ctime_ns is not None:
                plan.ctimes[item.uri] = item.ctime_ns
        else:
            plan.todo.append(Task(item, before, indexed))
            again.add(before.sha256)
    contents -= again
    _find_gone(plan, paths, known, seen_far, ignore)
    return plan


def _changed(before: SourceState, item: Source) -> bool:
    if (before.size, before.mtime_ns) != (item.size, item.mtime_ns):
        return True
    # Some programs put the time of a file back when they have changed it.
    return None not in (before.ctime_ns, item.ctime_ns) and before.ctime_ns != item.ctime_ns


def _find_gone(
    plan: Plan,
    paths: Sequence[Path],
    unseen: dict[str, SourceState],
    seen: set[str],
    ignore: Sequence[str],
) -> None:
    roots = [root_of(path) for path in paths]
    unread = [_inside(root_of(item.path)) for item in plan.skipped if item.unread]
    for root in roots:
        here = _inside(root)
        if not any(uri.startswith(here) for uri in unseen) or not _is_empty(root, seen):
            continue
        # A share that is not mounted leaves an empty folder where it belongs.
        plan.empty_roots.append(root)
        unread.append(here)
    inside = tuple(_inside(root) for root in roots)
    away = tuple(unread)
    for uri, state in unseen.items():
        if uri.startswith(away) or not (uri.startswith(inside) or uri in roots):
            continue
        if _is_gone(uri) or _is_left_out(uri, roots, ignore):
            plan.gone[uri] = state


def _inside(folder: str) -> str:
    return folder if folder.endswith((os.sep, "/")) else folder + os.sep


def _is_empty(folder: str, seen: set[str]) -> bool:
    if is_elsewhere(folder):
        return not any(uri.startswith(_inside(folder)) for uri in seen)
    try:
        with os.scandir(folder) as entries:
            return next(entries, None) is None
    except OSError:
        return False


def _is_left_out(uri: str, roots: Sequence[str], ignore: Sequence[str]) -> bool:
    """Return whether every folder that it lies in leaves it out; a file named on the command line is always
    taken.
    """
    above = [root for root in roots if uri.startswith(_inside(root))]
    return uri not in roots and bool(above) and all(leaves_out(uri, root, ignore) for root in above)


def _is_gone(path: str) -> bool:
    """Return whether the file is certainly gone: a disk that does not answer proves nothing."""
    if is_elsewhere(path):
        return True  # its bucket or archive was listed to the end without it
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False
