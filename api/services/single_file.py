"""One file looked at by itself, in no collection: its page, the words in it, and evidence for a generator."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from askpix.api.workspace.workspace import Workspace
from askpix.core.errors import BadImageError, NotFoundError
from askpix.core.imaging.decode import Picture
from askpix.core.types import Evidence, Hit, ImageRecord, TextLine
from askpix.ingest.formats.content import Content, place_of, read_content, sha256_of
from askpix.ingest.formats.pages import open_page, open_pages
from askpix.ingest.metadata.exif import read_metadata
from askpix.ingest.pipeline.ocr_stage import on_original
from askpix.ingest.sources.original import FILE_ID


@dataclass(frozen=True, slots=True)
class Looked:
    """A page of a file, read. ``lines`` have boxes in pixels of the upright original."""

    record: ImageRecord
    picture: Picture
    lines: tuple[TextLine, ...]

    @property
    def evidence(self) -> Evidence:
        """As the one piece of evidence, number 1."""
        return Evidence(1, Hit(1, self.record, 1.0), self.lines)


def look(workspace: Workspace, path: Path, *, read: bool = True, page: int | None = None) -> Looked:
    """The page of a file (the first by default), with its words when ``read``.

    Raises ``NotFoundError`` for a missing file or page and ``BadImageError`` for one that cannot be opened.
    """
    if not path.exists():
        raise NotFoundError(f"no file {str(path)!r}")
    if path.is_dir():
        raise NotFoundError(f"{str(path)!r} is a folder; name a file in it")
    for looked in pages(workspace, path, read=read, only=page):
        return looked
    raise NotFoundError(f"{path.name!r} has no page {page}")


def look_again(workspace: Workspace, record: ImageRecord, content: Content, *, read: bool = True) -> Looked:
    """A picture of a collection, from what is in its file now. Raises ``BadImageError``."""
    picture = open_page(content, place_of(record), limits=workspace.limits)
    return Looked(record, picture, _lines(workspace, picture) if read else ())


def pages(
    workspace: Workspace, path: Path, *, read: bool = True, only: int | None = None
) -> Iterator[Looked]:
    """Every page of a file. Raises ``BadImageError`` for a page that cannot be decoded."""
    data = read_content(path, limits=workspace.limits)
    sha256 = sha256_of(data)
    for found in open_pages(data, limits=workspace.limits):
        if only is not None and (found.page or 1) != only:
            continue
        if found.picture is None:
            where = f"page {found.page} of " if found.page else ""
            raise BadImageError(f"{where}{path.name!r}: {found.error}")
        about = read_metadata(found.picture.exif)
        record = ImageRecord(
            id=f"{FILE_ID}{sha256}",
            uri=str(path.absolute()),
            kind=found.kind,
            width=found.picture.width,
            height=found.picture.height,
            page=found.page,
            time_s=found.time_s,
            taken_at=about.taken_at,
            camera=about.camera,
            lat=about.lat,
            lon=about.lon,
        )
        lines = _lines(workspace, found.picture) if read else ()
        yield Looked(record, found.picture, lines)


def _lines(workspace: Workspace, picture: Picture) -> tuple[TextLine, ...]:
    return tuple(on_original(workspace.reader.read(picture.image), picture))
