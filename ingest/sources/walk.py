"""Folders and files into sources, in a steady order, reading nothing but names and the first bytes."""

import errno
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from askpix.core.errors import BadImageError, NotFoundError
from askpix.core.imaging.decode import DEFAULT_LIMITS, ImageLimits
from askpix.ingest.formats.pages import HEAD, by_extension, formats, is_known_start
from askpix.ingest.metadata.quicktime import read_film_header
from askpix.ingest.metadata.sidecars import Beside, Found
from askpix.ingest.sources.ignore import IGNORE_FILE, Ignores

_JUNK = frozenset(
    """@eadir|#recycle|#snapshot|@__thumb|@recycle|$recycle.bin|__macosx|system volume information|lost+found
    """.strip().split("|")
)
_LIVE = (".mov", ".mp4")
_STILLS = ("heic", "heif", "jpg", "jpeg")
MOTION_PART = "the moving part of a live photo; name it to index it"
Elsewhere: TypeAlias = Callable[[str], list[Found]]
"""Sidecars of other folders and archives, for the images of a folder."""
_URI = re.compile(r"(s3|gs|az|https?):/", re.IGNORECASE)
"""Looked for by ``askpix.ingest.sources.remote``."""
_OPEN = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
"""A file may have become a pipe or a link since it was listed."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file to look into. ``uri`` is its absolute path as text."""

    uri: str
    size: int
    mtime_ns: int
    beside: str | None = None
    """The files beside it that tell about it, as ``askpix.ingest.metadata.sidecars.Beside`` stamps them."""
    ctime_ns: int | None = None
    """Time of the last change of its inode, where there is one."""

    @property
    def path(self) -> Path:
        return Path(self.uri)


@dataclass(frozen=True, slots=True)
class Skipped:
    """Something left out, and why."""

    path: str
    reason: str

    @property
    def unread(self) -> bool:
        """True if it was to be read and could not be: what lies below it is not known."""
        return self.reason.startswith("cannot read")


def check_paths(paths: Sequence[Path]) -> None:
    """Raise ``NotFoundError`` unless every path exists."""
    missing = [str(path) for path in paths if not _exists(path) and not _URI.match(str(path))]
    if missing:
        raise NotFoundError(f"no such file or folder: {', '.join(repr(path) for path in missing)}")


def walk(
    paths: Sequence[Path],
    *,
    ignore: Sequence[str] = (),
    limits: ImageLimits | None = DEFAULT_LIMITS,
    elsewhere: Elsewhere = lambda folder: [],
) -> Iterator[Source | Skipped]:
    """Every image and document under ``paths``, each file once, sorted within its folder.

    A file that is named is always taken; in folders only known extensions, and files without one that
    begin like an image. Links to folders are not followed; a link to a file only when it is named.
    ``ignore`` (globs as git has them, relative to each path) and ``.askpixignore`` files leave out more.
    Formats that cannot be opened here (videos, office documents) are left out with the reason, unless
    ``limits`` is None: another machine opens them. ``elsewhere`` finds the sidecars of other folders. What
    cannot be read is reported and the walk goes on.
    Raises ``NotFoundError`` before the first result, ``AskpixError`` for rules that cannot be used.
    """
    check_paths(paths)
    Ignores.of(ignore, "")
    # resolve() would follow links, and the names would not come back as they were given.
    found = _walk(list(dict.fromkeys(os.path.abspath(path) for path in paths)), ignore, elsewhere)  # noqa: PTH100
    return found if limits is None else without_missing(found, limits)


def without_missing(found: Iterable[Source | Skipped], limits: ImageLimits) -> Iterator[Source | Skipped]:
    """Yield the same; files for which something is not installed or set are left out with the reason."""
    reasons = {
        extension: reason
        for form in formats().values()
        if (reason := form.missing(limits))
        for extension in form.extensions
    }
    for each in found:
        if isinstance(each, Source) and (reason := reasons.get(_extension(each.uri))):
            yield Skipped(_shown(each.uri), reason)
        else:
            yield each


def _walk(roots: list[str], ignore: Sequence[str], elsewhere: Elsewhere) -> Iterator[Source | Skipped]:
    folders = [root for root in roots if os.path.isdir(root)]  # noqa: PTH112 - Path.is_dir() may raise
    named = set(roots).difference(folders)
    parents: dict[str, Beside | None] = {}
    for root in roots:
        if root in named:
            yield _named(root, parents)
        elif not any(_reaches(folder, root) for folder in folders):
            for found in _folder(root, Ignores.of(ignore, root), elsewhere):
                # Named files come when it is their turn.
                if not named or (found.uri if isinstance(found, Source) else found.path) not in named:
                    yield found


def _exists(path: Path) -> bool:
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False
    except OSError:
        pass  # it may well exist: the walk says why it cannot be read
    return True


def _reaches(folder: str, path: str) -> bool:
    """Return whether the walk of ``folder`` reaches the folder ``path`` below it."""
    start = folder.rstrip(os.sep) + os.sep
    if path == folder or not path.startswith(start):
        return False
    at = Path(folder)
    for name in Path(path[len(start) :]).parts:
        at /= name
        if is_ignored(name) or at.is_symlink():
            return False
    return True


def _named(path: str, parents: dict[str, Beside | None]) -> Source | Skipped:
    parent = os.path.dirname(path)  # noqa: PTH120
    try:
        if parent not in parents:
            parents.clear()
            with os.scandir(parent) as entries:
                parents[parent] = Beside.of(list(entries))
    except OSError:
        parents[parent] = None  # a folder may hide its list and give its files
    try:
        return _source(path, os.stat(path), parents[parent])  # noqa: PTH116
    except OSError as error:
        return _unreadable(path, error)


@dataclass(frozen=True, slots=True)
class _Here:
    """A folder on the way: what is left of it, and what holds in it."""

    entries: Iterator[os.DirEntry[str]]
    beside: Beside | None
    ignores: Ignores
    stills: frozenset[str]
    """Names of photos without their extension, where there are films too."""


def _folder(root: str, ignores: Ignores, elsewhere: Elsewhere) -> Iterator[Source | Skipped]:
    """Depth first with a stack of our own: no depth is too deep, and memory is that of one path."""
    inside = os.path.realpath(root)
    stack: list[_Here] = []
    pending: list[str] = [root]
    while pending or stack:
        if pending:
            folder = pending.pop()
            try:
                with os.scandir(folder) as entries:
                    here = sorted(entries, key=lambda entry: entry.name)
            except OSError as error:
                yield _unreadable(folder, error)
                continue
            if any(entry.name == IGNORE_FILE for entry in here):
                ignores = ignores.inside(folder)
            beside = Beside.of(here, elsewhere(folder))
            stack.append(_Here(iter(here), beside, ignores, _stills(here)))
            continue
        entry = next(stack[-1].entries, None)
        if entry is None:
            stack.pop()
            ignores = stack[-1].ignores if stack else ignores
            continue
        found = _entry(entry, inside, stack[-1])
        if isinstance(found, str):
            pending.append(found)
        elif found is not None:
            yield found


def _stills(entries: Sequence[os.DirEntry[str]]) -> frozenset[str]:
    names = [entry.name for entry in entries]
    if not any(name.casefold().endswith(_LIVE) for name in names):
        return frozenset()
    return live_stems(names)


def live_stems(names: Iterable[str]) -> frozenset[str]:
    """Stems of photos, which the films that phones write beside them share (``IMG_1.HEIC``, ``.MOV``)."""
    stems = {name.rpartition(".")[0] for name in names if _extension(name) in _STILLS}
    # Google's: PXL_1.MP.jpg and PXL_1.mp4.
    return frozenset(stems | {stem[:-3] for stem in stems if stem.casefold().endswith(".mp")})


def may_be_motion_part(name: str, stems: frozenset[str]) -> bool:
    """Return whether a file is a film of a photo's name, also as iCloud calls it (``IMG_1_HEVC.MOV``)."""
    stem = name.rpartition(".")[0]
    return name.casefold().endswith(_LIVE) and (stem in stems or stem.removesuffix("_HEVC") in stems)


def _entry(entry: os.DirEntry[str], inside: str, here: _Here) -> Source | Skipped | str | None:
    """A source, a reason, a folder to enter, or nothing of interest."""
    name = entry.name
    path = entry.path
    extension = _extension(name)
    form = by_extension().get(extension)
    known = form is not None
    try:
        is_folder = entry.is_dir(follow_symlinks=False)
        if reason := is_ignored(name):
            return Skipped(_shown(path), reason) if is_folder or known else None
        if (known or is_folder) and here.ignores.leaves_out(path, is_folder=is_folder):
            return None
        if is_folder:
            return path
        if entry.is_symlink():
            return _link(path, known, inside)
        if extension == "zip":
            return Skipped(_shown(path), "an archive; name it to index what is in it")
        if not known and ("." in name or not entry.is_file() or not _begins_like_image(path)):
            return None
        if form and extension in form.ambiguous and not _begins_like_image(path):
            return None
        if not known and here.ignores.leaves_out(path, is_folder=False):
            return None
        status = entry.stat(follow_symlinks=False)
        if may_be_motion_part(name, here.stills) and _is_motion_part(path):
            return Skipped(_shown(path), MOTION_PART)
        return _source(path, status, here.beside)
    except OSError as error:
        return _unreadable(path, error)
    except BadImageError as error:
        return Skipped(_shown(path), str(error))


def _link(path: str, known: bool, inside: str) -> Skipped | None:
    """Return why a link is not followed; None where it leads to nothing of interest anyway."""
    try:
        is_folder = stat.S_ISDIR(os.stat(path).st_mode)  # noqa: PTH116
    except (FileNotFoundError, NotADirectoryError):
        return Skipped(_shown(path), "a link to nothing") if known else None
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        return Skipped(_shown(path), "a link that leads back to itself") if known else None
    if is_folder:
        return Skipped(_shown(path), "a link to a folder; name it to index what is there")
    if not known:
        return None
    if os.path.realpath(path).startswith(inside.rstrip(os.sep) + os.sep):
        return Skipped(_shown(path), "a link to a file in this same folder")
    return Skipped(_shown(path), "a link to a file elsewhere; name it to index it")


def _source(path: str, status: os.stat_result, beside: Beside | None = None) -> Source | Skipped:
    if not stat.S_ISREG(status.st_mode):
        return Skipped(_shown(path), "not a regular file")
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return Skipped(_shown(path), "its name is not valid UTF-8; rename it")
    stamp = beside.stamp(os.path.basename(path)) if beside else None  # noqa: PTH119
    return Source(path, status.st_size, status.st_mtime_ns, stamp, status.st_ctime_ns)


def is_ignored(name: str) -> str | None:
    """Return why anything of this name, and all below it, is ignored; None when it is not."""
    if name.startswith("."):
        return "hidden"
    return "a system's own folder" if name.casefold() in _JUNK else None


def _extension(name: str) -> str:
    return name.rpartition(".")[2].casefold() if "." in name else ""


def _begins_like_image(path: str) -> bool:
    descriptor = os.open(path, _OPEN)
    try:
        head = os.read(descriptor, HEAD)
    finally:
        os.close(descriptor)
    return is_known_start(head)


def motion_part_of(path: Path) -> Path | None:
    """The short film that a phone wrote beside a photo; None where there is none."""
    for stem in sorted(live_stems([path.name])):
        for ending in (".MOV", ".mov", ".MP4", ".mp4", "_HEVC.MOV"):
            film = path.with_name(stem + ending)
            try:
                if _is_motion_part(str(film)):
                    return film
            except OSError:
                continue  # mostly as there is none
    return None


def _is_motion_part(path: str) -> bool:
    descriptor = os.open(path, _OPEN)
    with os.fdopen(descriptor, "rb") as file:
        header = read_film_header(file, os.fstat(descriptor).st_size)
    return header is not None and header.is_motion_part


def _unreadable(path: str, error: OSError) -> Skipped:
    return Skipped(_shown(path), f"cannot read: {error.strerror or error}")


def _shown(path: str) -> str:
    return path.encode("utf-8", "backslashreplace").decode("utf-8")
