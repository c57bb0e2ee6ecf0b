"""Documents in child processes with limits: what makes a decoder crash, or work for minutes, costs one page.

A child serves one document at a time and several one after another (``askpix.core.sandbox``). Decoders run
there that are less fuzzed than those of ``core.imaging.decode``, that know a size only when all is decoded,
or that installed packages bring.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib import import_module
from typing import Any

from PIL import Image

from askpix.core.errors import BadImageError, DecoderKilledError
from askpix.core.imaging.decode import DEFAULT_LIMITS, DecodedImage, ImageLimits, check_size
from askpix.core.imaging.decoder_errors import DECODER_ERRORS, one_line
from askpix.core.sandbox import NONSENSE, TOO_LONG, Child, Children, StoppedError, answer_all
from askpix.core.types import Box, TextLine
from askpix.ingest.formats.base import Document, Format

_MAX_KILLS = 2
"""Most kills by one document: its other pages are then left out, else a long one takes hours."""
CHILDREN = Children("askpix.ingest.formats.sandboxed")


class SandboxedDocument(Document):
    """A document that a child process has open.

    Raises ``BadImageError``, also for what the process ended of: a crash, too long, too much memory. The next
    page is asked of another one.
    """

    def __init__(self, form: Format, data: bytes, limits: ImageLimits) -> None:
        super().__init__(data, limits)
        self._format = form
        self.kind = form.kind
        self._child: Child | None = None
        self._kills = 0
        try:
            with self._served() as child:
                self.count = int(child.said["pages"])
            if not self.count:
                raise BadImageError(f"damaged {form.name}: it has no pages")
            if self.count > limits.max_pages:
                many = f"{form.name} of {self.count} pages is over the limit of {limits.max_pages}"
                raise BadImageError(f"{many}: split it")
        except BaseException:
            self.close()
            raise

    def picture(self, place: int | None, min_side: int | None) -> DecodedImage:
        """See ``Document``."""
        with self._served() as child:
            question = {"do": "picture", "page": place or 1, "min_side": min_side}
            answer, pixels = self._ask(child, question, limit=3 * self.limits.max_pixels)
            width, height, *drawn = (int(side) for side in answer["sides"])
            image = Image.frombytes("RGB", (drawn[0], drawn[1]), pixels)
            exif = Image.Exif()
            try:
                exif.load(bytes.fromhex(answer["exif"]))
            except DECODER_ERRORS:
                exif = Image.Exif()
        return DecodedImage(image, width, height, self._format.name, self.count, exif)

    def lines(self, place: int | None) -> list[TextLine] | None:
        """See ``Document``."""
        with self._served() as child:
            lines = self._ask(child, {"do": "lines", "page": place or 1})[0]["lines"]
            found = [TextLine(str(text), Box(*(float(side) for side in box))) for text, *box in lines or ()]
        return None if lines is None else found

    def close(self) -> None:
        """Leave the process to the next document. Closing twice is fine."""
        child = self._child
        self._child = None
        if child is None:
            return
        try:
            self._ask(child, {"do": "close"})  # what it has in memory is of no use to the next one
        except (*NONSENSE, BadImageError, StoppedError):
            child.end()
        else:
            CHILDREN.give_back(child)

    def _ask(
        self, child: Child, question: dict[str, Any], data: bytes = b"", *, limit: int = 0
    ) -> tuple[dict[str, Any], bytes]:
        return child.ask(question, data, seconds=self.limits.decode_seconds, max_bytes=limit)

    @contextmanager
    def _served(self) -> Iterator[Child]:
        """The process with this document, a new one where the last has ended."""
        if self._kills >= _MAX_KILLS:
            name = self._format.name
            raise BadImageError(f"not read: the {name} has ended its reader {self._kills} times before")
        try:
            if self._child is None:
                self._child = self._opened()
            yield self._child
        except BadImageError:
            raise
        except NONSENSE as error:
            self._kills += 1
            raise DecoderKilledError(self._why(self._end())) from error
        except BaseException:
            self._end()  # Ctrl-C: what it would still say is nobody's
            raise

    def _opened(self) -> Child:
        form = self._format
        question = {"do": "open", "name": form.name, "decoder": form.decoder, "limits": asdict(self.limits)}
        while True:
            child, fresh = CHILDREN.take()
            try:
                self._ask(child, question, self.data)
            except EOFError:
                if fresh:
                    self._child = child
                    raise
                child.end()  # while it was idle, perhaps: a fresh one will tell
            except BaseException:
                self._child = child
                raise
            else:
                return child

    def _end(self) -> int:
        child = self._child
        self._child = None
        return child.end() if child else 0

    def _why(self, code: int) -> str:
        name = self._format.name
        if code == TOO_LONG:
            why = f"it takes more than {self.limits.decode_seconds:g} seconds to decode"
            return f"{name}: {why} (ASKPIX_MAX_DECODE_SECONDS)"
        return f"{name}: it makes its decoder crash, or takes too much memory: save it as JPEG or PNG"


def serve() -> None:
    """Serve questions in the child process."""
    document = nothing = Document(b"", DEFAULT_LIMITS)
    name = ""

    def answer(question: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
        nonlocal document, name
        if question["do"] in ("open", "close"):
            document.close()
            document = nothing
        if question["do"] == "close":
            return {}, b""
        if question["do"] == "open":
            name = question["name"]
            decoder = _loaded(question["decoder"], name)
        try:
            if question["do"] == "open":
                document = decoder(data, ImageLimits(**question["limits"]))
                return {"pages": document.count}, b""
            if question["do"] == "lines":
                lines = document.lines(question["page"])
                return {"lines": None if lines is None else [[each.text, *each.box] for each in lines]}, b""
            return _drawn(document.picture(question["page"], question["min_side"]), document.limits)
        except (BadImageError, MemoryError):
            raise
        except Exception as error:  # decoders raise anything for damaged files
            raise BadImageError(f"damaged {name}: {one_line(error)}") from error

    answer_all(answer, max_bytes=2**32)


def _loaded(decoder: str, name: str) -> type[Document]:
    module, _, attribute = decoder.partition(":")
    try:
        found: type[Document] = getattr(import_module(module), attribute)
    except Exception as error:
        raise BadImageError(f"{name}: its decoder {decoder!r} cannot be loaded: {one_line(error)}") from error
    return found


def _drawn(picture: DecodedImage, limits: ImageLimits) -> tuple[dict[str, Any], bytes]:
    check_size(picture.width, picture.height, limits)
    try:
        exif = picture.exif.tobytes().hex()
    except DECODER_ERRORS:
        exif = ""
    sides = [picture.width, picture.height, *picture.image.size]
    return {"sides": sides, "exif": exif}, picture.image.convert("RGB").tobytes()
