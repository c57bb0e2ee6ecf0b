"""Folders and files into sources, in a steady order, reading nothing but names and the first bytes."""

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.errors import NotFoundError

EXTENSIONS = frozenset(
    """jpg jpeg jpe jfif mpo png apng webp gif tif tiff bmp dib avif avifs heic heif hif jp2 j2k jpx ppm pgm
    pbm pnm ico tga pdf svg""".split()
)
"""Looked at in folders. SVG is refused later with a reason: better said than silently missing."""

_JUNK = frozenset(
    {"@eadir", "#recycle", "$recycle.bin", "__macosx", "system volume information", "lost+found"}
)
_MAGIC = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"RIFF", b"II*\0", b"MM\0*", b"BM", b"%PDF", b"\0\0\0\x0cjP")
_FTYP = (b"ftypavif", b"ftyphei", b"ftypmif1", b"ftypmsf1")


@dataclass(frozen=True, slots=True)
class Source:
    """A file to look into. ``uri`` is its absolute path as text."""

    uri: str
    size: int
    mtime_ns: int

    @property
    def path(self) -> Path:
        return Path(self.uri)


@dataclass(frozen=True, slots=True)
class Skipped:
    """Something left out, and why."""

    path: str
    reason: str


def check_paths(paths: Sequence[Path]) -> None:
    """Raise ``NotFoundError`` unless every path exists."""
    missing = [str(path) for path in paths if not os.path.lexists(path)]
    if missing:
        raise NotFoundError(f"no such file or folder: {', '.join(repr(path) for path in missing)}")


def walk(paths: Sequence[Path]) -> Iterator[Source | Skipped]:
    """Every picture and document under ``paths``, each file once, sorted within its folder.

    A file that is named is always taken; in folders only known extensions, and files without one that
    begin like a picture. Links to folders are not followed; a link to a file only when it is named.
    Unreadable folders are reported and the walk goes on. Raises ``NotFoundError`` before the first result.
    """
    check_paths(paths)
    return _walk([Path(os.path.abspath(path)) for path in paths])  # noqa: PTH100 - resolve() would follow links


def _walk(paths: list[Path]) -> Iterator[Source | Skipped]:
    seen: set[str] = set()
    for root in paths:
        found = _folder(str(root)) if root.is_dir() else iter([_named(root)])
        for item in found:
            name = item.uri if isinstance(item, Source) else item.path
            if name not in seen:
                seen.add(name)
                yield item


def _named(path: Path) -> Source | Skipped:
    try:
        return _source(str(path), path.stat())
    except OSError as error:
        return Skipped(_shown(str(path)), f"cannot read: {error.strerror}")


def _folder(root: str) -> Iterator[Source | Skipped]:
    """Depth first with a stack of our own: no depth is too deep, and memory is that of one path."""
    stack: list[Iterator[os.DirEntry[str]]] = []
    pending: list[str] = [root]
    while pending or stack:
        if pending:
            folder = pending.pop()
            try:
                with os.scandir(folder) as entries:
                    stack.append(iter(sorted(entries, key=lambda entry: entry.name)))
            except OSError as error:
                yield Skipped(_shown(folder), f"cannot read: {error.strerror}")
            continue
        entry = next(stack[-1], None)
        if entry is None:
            stack.pop()
            continue
        found = _entry(entry)
        if isinstance(found, str):
            pending.append(found)
        elif found is not None:
            yield found


def _entry(entry: os.DirEntry[str]) -> Source | Skipped | str | None:
    """A source, a reason, a folder to enter, or nothing of interest."""
    name, path = entry.name, entry.path
    try:
        is_folder = entry.is_dir(follow_symlinks=False)
        interesting = is_folder or _extension(name) in EXTENSIONS
        if name.startswith(".") or name.casefold() in _JUNK:
            return Skipped(_shown(path), "hidden") if interesting else None
        if is_folder:
            return path
        if entry.is_symlink():
            if not interesting and not Path(path).is_dir():
                return None
            return Skipped(_shown(path), "a link; links are not followed")
        if not interesting and ("." in name or not _begins_like_picture(path)):
            return None
        return _source(path, entry.stat(follow_symlinks=False))
    except OSError as error:
        return Skipped(_shown(path), f"cannot read: {error.strerror}")


def _source(path: str, status: os.stat_result) -> Source | Skipped:
    if not stat.S_ISREG(status.st_mode):
        return Skipped(_shown(path), "not a regular file")
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return Skipped(_shown(path), "its name is not valid UTF-8; rename it")
    return Source(path, status.st_size, status.st_mtime_ns)


def _extension(name: str) -> str:
    return name.rpartition(".")[2].casefold() if "." in name else ""


def _begins_like_picture(path: str) -> bool:
    if not stat.S_ISREG(os.lstat(path).st_mode):
        return False
    with open(path, "rb") as file:  # noqa: PTH123 - a plain string path in the hot loop of a walk
        head = file.read(16)
    return head.startswith(_MAGIC) or head[4:].startswith(_FTYP)


def _shown(path: str) -> str:
    return path.encode("utf-8", "backslashreplace").decode("utf-8")
