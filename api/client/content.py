"""Content of requests beside JSON: files of an upload in batches, and images as data URIs."""

from __future__ import annotations

import base64
import io
import re
import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from askpix.api.client.connection import Body
from askpix.core.errors import AskpixError, BadQueryError, NotFoundError

if TYPE_CHECKING:
    from PIL import Image as PillowImage

    ImageInput: TypeAlias = str | Path | bytes | PillowImage.Image
    """A path; the bytes of a file; an image of Pillow; the id of an indexed image; or a data URI."""

T = TypeVar("T")
_MAX_BATCH_FILES = 250
_MAX_BATCH_BYTES = 256 * 2**20
"""Most files and bytes of one upload; a server takes 1,000 files and 2 GiB by default, but a broken upload is
sent anew.
"""
_MAX_REQUEST_CHARS = 48 * 2**20
"""Most characters of the images in one JSON request; the server takes 64 MiB."""
_PIECE = 256 * 1024
_LONGEST_VALUE = 100
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_LOSSLESS_PIXELS = 4_000_000
"""A photo beyond it would be too large a PNG for a request."""

File: TypeAlias = tuple[Path, int]
"""A path, and the size of the file in bytes."""


class Multipart(Body):
    """Files as ``multipart/form-data``: read when it is their turn, one open at a time."""

    def __init__(self, files: Sequence[File]) -> None:
        boundary = secrets.token_hex(16)
        self._files = [(_head(boundary, path), path, size) for path, size in files]
        self._end = f"--{boundary}--\r\n".encode()
        length = sum(len(head) + size + 2 for head, _, size in self._files) + len(self._end)
        self.headers = {
            "Content-Type": f"multipart/form-data; boundary={boundary}",
            "Content-Length": str(length),
        }

    def __iter__(self) -> Iterator[bytes]:
        for head, path, size in self._files:
            yield head
            yield from _pieces(path, size)
            yield b"\r\n"
        yield self._end

    async def __aiter__(self) -> AsyncIterator[bytes]:
        from anyio import to_thread  # noqa: PLC0415 - for those who are asynchronous

        pieces = iter(self)
        while piece := await to_thread.run_sync(next, pieces, b""):
            yield piece


def batches(paths: Path | str | Iterable[Path | str]) -> Iterator[list[File]]:
    """Yield files, and the images and documents in folders, as lists that fit into one upload.

    Raises ``NotFoundError`` before the first one, if a path does not exist.
    """
    given = [paths] if isinstance(paths, str | Path) else [*listed(paths)]
    if "" in given:
        raise BadQueryError("a path is empty; name a file or a folder ('.' is the working folder)")
    files = _files([Path(path) for path in given])
    return _grouped(files, lambda file: file[1], max_items=_MAX_BATCH_FILES, max_size=_MAX_BATCH_BYTES)


def listed(values: Iterable[T]) -> Iterable[T]:
    """Return what is meant as a list. Raises ``BadQueryError`` for a single value, and for a string."""
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
        raise BadQueryError(f"{_short(values)} is one value; pass a list")
    return values


def _short(value: object) -> str:
    written = repr(value)
    return written if len(written) <= _LONGEST_VALUE else f"{written[:_LONGEST_VALUE]}..."


def image_reference(image: ImageInput) -> str:
    """Return an image as a request names it: by its id, or as a data URI.

    Raises ``NotFoundError`` for a file that cannot be read, ``BadQueryError`` for what is no image.
    """
    if isinstance(image, str) and (image.startswith("data:") or _ID.fullmatch(image)):
        return image
    if isinstance(image, str | Path):
        try:
            data = Path(image).read_bytes()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise NotFoundError(f"{str(image)!r} is neither an id nor a readable file: {reason}") from error
    elif isinstance(image, bytes):
        data = image
    else:
        data = _encoded(image)
    return f"data:image/*;base64,{base64.b64encode(data).decode()}"


def in_batches(references: Iterable[str], *, max_items: int) -> Iterator[list[str]]:
    """Yield references to images, or texts, as lists that fit into one request."""
    return _grouped(references, len, max_items=max_items, max_size=_MAX_REQUEST_CHARS)


def _grouped(
    items: Iterable[T], size_of: Callable[[T], int], *, max_items: int, max_size: int
) -> Iterator[list[T]]:
    group: list[T] = []
    total = 0
    for item in items:
        size = size_of(item)
        if group and (len(group) == max_items or total + size > max_size):
            yield group
            group = []
            total = 0
        group.append(item)
        total += size
    if group:
        yield group


def _encoded(image: PillowImage.Image) -> bytes:
    from PIL import Image  # noqa: PLC0415 - not for every request

    if not isinstance(image, Image.Image):
        raise BadQueryError(f"{image!r} is not an image; pass a path, bytes, an image of Pillow or an id")
    data = io.BytesIO()
    if image.width * image.height <= _LOSSLESS_PIXELS:
        exact = image if image.mode in {"1", "L", "LA", "P", "RGB", "RGBA"} else image.convert("RGB")
        exact.save(data, "PNG", compress_level=1)
    else:
        image.convert("RGB").save(data, "JPEG", quality=95)
    return data.getvalue()


def _files(paths: Sequence[Path]) -> Iterator[File]:
    for path in paths:
        if not path.exists():
            raise NotFoundError(f"no such file or folder: {str(path)!r}")
    for path in paths:
        if path.is_dir():
            from askpix.ingest.sources.walk import Source, walk  # noqa: PLC0415 - for folders

            yield from (
                (each.path, each.size) for each in walk([path], limits=None) if isinstance(each, Source)
            )
        else:
            yield path, path.stat().st_size


def _head(boundary: str, path: Path) -> bytes:
    name = path.name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
    lines = (
        f"--{boundary}",
        f'Content-Disposition: form-data; name="files"; filename="{name}"',
        "Content-Type: application/octet-stream",
    )
    return "\r\n".join((*lines, "", "")).encode("utf-8", "surrogateescape")


def _pieces(path: Path, size: int) -> Iterator[bytes]:
    left = size
    try:
        with path.open("rb") as file:
            while left and (piece := file.read(min(left, _PIECE))):
                left -= len(piece)
                yield piece
    except OSError as error:
        raise NotFoundError(f"cannot read {str(path)!r}: {error.strerror or error}") from error
    if left:
        raise AskpixError(f"{str(path)!r} became shorter while it was sent; send it again")
