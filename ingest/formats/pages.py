"""The registry of formats, and files into pages.

A photo is one page, a PDF or a multi-page TIFF several; a film has one for each scene, and an animation its
first frame and one for each further scene.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path

from askpix.core.errors import AskpixError, BadImageError
from askpix.core.files import read_whole
from askpix.core.imaging.decode import DecodedImage, ImageLimits
from askpix.core.imaging.decoder_errors import one_line
from askpix.core.registry import Registry
from askpix.ingest.formats.base import Document, Format, Page
from askpix.ingest.formats.content import Content, OnDisk
from askpix.ingest.formats.sandboxed import SandboxedDocument

_BUILTIN = {
    "image": "image:IMAGE",  # first: most files are photos, and the others are not asked then
    "animation": "animation:ANIMATION",
    "raw": "raw:RAW",
    "tiff": "image:TIFF",  # after those that begin as it does
    "jpeg_xl": "jpeg_xl:JPEG_XL",
    "svg": "svg:SVG",
    "video": "video:VIDEO",
    "pdf": "pdf:PDF",
    "office": "office:OFFICE",
}
REGISTRY: Registry[Format] = Registry(
    "askpix.formats", {name: f"askpix.ingest.formats.{target}" for name, target in _BUILTIN.items()}
)
HEAD = 1024
"""Bytes at the beginning of a file that tell its format."""


@cache
def formats() -> Mapping[str, Format]:
    """Return all formats by name, in the order in which a file is held against them."""
    found = dict(REGISTRY.items())
    for name, each in found.items():
        if not isinstance(each, Format):
            raise AskpixError(f"the plug-in {name!r} (askpix.formats) is no Format; update or uninstall it")
    return found


@cache
def by_extension() -> Mapping[str, Format]:
    """Return the format that files of each extension are looked at for; their bytes decide what they are."""
    return {extension: each for each in reversed(list(formats().values())) for extension in each.extensions}


def format_of(content: Content) -> Format:
    """Return the format of a file by its bytes; that of images, whose decoder says what is wrong, where none
    fits. Raises ``BadImageError`` when the format of a package fails."""
    data = content.head if isinstance(content, OnDisk) else content
    found = formats()
    return next((each for each in found.values() if _holds(each, each.sniff, data)), found["image"])


def is_known_start(head: bytes) -> bool:
    """Return whether a file without an extension that begins so is looked at. Raises ``BadImageError`` when
    the format of a package fails."""
    return any(_holds(each, each.sniff_unnamed or each.sniff, head) for each in formats().values())


def _holds(form: Format, sniff: Callable[[bytes], bool], data: bytes) -> bool:
    try:
        return sniff(data)
    except Exception as error:
        why = f"the format {form.name!r} fails on its first bytes: {one_line(error)}"
        raise BadImageError(f"{why}; update or uninstall its package") from error


def read_content(path: Path, *, limits: ImageLimits) -> Content:
    """Return a file's bytes, never more than the limit, or the film that it is. Raises ``BadImageError``."""
    try:
        with path.open("rb", buffering=0) as file:
            head = file.read(HEAD)
            if format_of(head).on_disk:
                return OnDisk(path, head)
            file.seek(0)
            data = read_whole(file, limits.max_bytes)
    except OSError as error:
        raise BadImageError(f"cannot read {str(path)!r}: {error.strerror or error}") from error
    if len(data) > limits.max_bytes:
        raise BadImageError(f"{path.name!r} is over the limit of {limits.max_bytes} bytes")
    return data


def open_document(content: Content, limits: ImageLimits) -> Document:
    """Open a file of any format. Raises ``BadImageError`` when that fails, or something is not installed."""
    form = format_of(content)
    if why := form.missing(limits):
        raise BadImageError(why)
    if form.open:
        return form.open(content, limits)
    assert isinstance(content, bytes)
    return SandboxedDocument(form, content, limits)


def open_pages(content: Content, *, limits: ImageLimits, min_side: int | None = None) -> Iterator[Page]:
    """Decode the pages of a file, one after another. ``min_side`` as in ``open_image``.

    One broken page is a ``Page`` with an error. Raises ``BadImageError`` when nothing can be opened.
    """
    with open_document(content, limits) as document:
        yield from document.pages(min_side)


def open_page(
    content: Content, place: int | None, *, limits: ImageLimits, min_side: int | None = None
) -> DecodedImage:
    """Decode one page of a file; ``place`` as ``ingest.formats.content.place_of`` has it. Raises
    ``BadImageError``."""
    with open_document(content, limits) as document:
        return document.picture(place, min_side)
