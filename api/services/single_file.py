"""Files looked at by themselves, in no collection: their pages, and the words in them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from askpix.api.workspace.workspace import Workspace
from askpix.core.errors import BadImageError, NotFoundError
from askpix.core.imaging.decode import DecodedImage
from askpix.core.types import Evidence, Hit, ImageRecord, TextLine
from askpix.ingest.formats.base import Page
from askpix.ingest.formats.content import Content, place_label, place_of, sha256_of
from askpix.ingest.formats.pages import open_page, open_pages, read_content
from askpix.ingest.metadata.exif import read_metadata
from askpix.ingest.pipeline.ocr_stage import on_original
from askpix.ingest.pipeline.report import Failure
from askpix.ingest.sources.original import FILE_ID
from askpix.ingest.sources.walk import Skipped, walk


@dataclass(frozen=True, slots=True)
class Looked:
    """A page of a file, read. ``lines`` have boxes in pixels of the upright original."""

    record: ImageRecord
    picture: DecodedImage
    lines: tuple[TextLine, ...]

    @property
    def evidence(self) -> Evidence:
        """The image as the one piece of evidence, number 1."""
        return Evidence(1, Hit(1, self.record, 1.0), self.lines)


def look(workspace: Workspace, path: Path, *, read: bool = True, page: int | None = None) -> Looked:
    """The page of a file (the first by default), with its words when ``read``.

    Raises ``NotFoundError`` for a missing file or page and ``BadImageError`` for one that cannot be opened.
    """
    if not path.exists():
        raise NotFoundError(f"no file {str(path)!r}")
    if path.is_dir():
        raise NotFoundError(f"{str(path)!r} is a folder; name a file in it")
    content = read_content(path, limits=workspace.limits)
    for found in open_pages(content, limits=workspace.limits):
        if page is not None and (found.page or 1) != page:
            continue
        if found.picture is None:
            where = f"page {found.page} of " if found.page else ""
            raise BadImageError(f"{where}{path.name!r}: {found.error}")
        uri = str(path.absolute())
        return _looked(workspace, uri, sha256_of(content), found, found.picture, read=read)
    raise NotFoundError(f"{path.name!r} has no page {page}")


def look_again(workspace: Workspace, record: ImageRecord, content: Content, *, read: bool = True) -> Looked:
    """An image of a collection, from what is in its file now. Raises ``BadImageError``."""
    picture = open_page(content, place_of(record), limits=workspace.limits)
    return Looked(record, picture, _lines(workspace, picture) if read else ())


def look_under(
    workspace: Workspace,
    paths: Sequence[Path],
    failed: list[Failure],
    *,
    read: bool = True,
    min_side: int | None = None,
) -> Iterator[Looked]:
    """Yield every page of the files and folders ``paths``; what cannot be opened is added to ``failed``.

    ``read`` reads the words; ``min_side`` (pixels) decodes no larger than that where it can. Raises
    ``NotFoundError`` for a path that does not exist.
    """
    named = {str(path.absolute()) for path in paths}
    for source in walk(paths, limits=workspace.limits):
        if isinstance(source, Skipped):
            if source.path in named or source.reason.startswith("cannot read"):
                failed.append(Failure(source.path, source.reason))
            continue
        try:
            content = read_content(source.path, limits=workspace.limits)
            for page in open_pages(content, limits=workspace.limits, min_side=min_side):
                if page.picture is None:
                    uri = source.uri + place_label(page.kind, page.place)
                    failed.append(Failure(uri, page.error or "cannot be decoded"))
                else:
                    yield _looked(workspace, source.uri, sha256_of(content), page, page.picture, read=read)
        except BadImageError as error:
            failed.append(Failure(source.uri, str(error)))


def _looked(
    workspace: Workspace, uri: str, sha256: str, page: Page, picture: DecodedImage, *, read: bool
) -> Looked:
    about = read_metadata(picture.exif)
    record = ImageRecord(
        id=f"{FILE_ID}{sha256}",
        uri=uri,
        kind=page.kind,
        width=picture.width,
        height=picture.height,
        page=page.page,
        time_s=page.time_s,
        taken_at=about.taken_at,
        camera=about.camera,
        lat=about.lat,
        lon=about.lon,
    )
    return Looked(record, picture, _lines(workspace, picture) if read else ())


def _lines(workspace: Workspace, picture: DecodedImage) -> tuple[TextLine, ...]:
    return tuple(on_original(workspace.reader.read(picture.image), picture))
