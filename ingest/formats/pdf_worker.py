"""PDFs in processes apart: one that makes PDFium crash, or draw for minutes, costs one page.

A child serves one document at a time and several one after another (``askpix.core.sandbox``).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from PIL import Image

from askpix.core.errors import BadImageError, DecoderKilledError
from askpix.core.imaging.decode import ImageLimits, Picture
from askpix.core.sandbox import NONSENSE, TOO_LONG, Child, Children, answer_all
from askpix.core.types import Box, TextLine

_MOST_KILLS = 2
"""Of one document: its other pages are left, else a long one takes hours."""
CHILDREN = Children("askpix.ingest.formats.pdf_worker")


class ApartPdf:
    """A PDF that another process has open. Not thread-safe.

    Raises ``BadImageError``, also for what the process ended of: a crash, too long, too much memory. The next
    page is asked of another one.
    """

    def __init__(self, data: bytes, limits: ImageLimits) -> None:
        self._data, self._limits, self._seconds = data, limits, limits.decode_seconds
        self._child: Child | None = None
        self._kills = 0
        self.pages = 0
        try:
            with self._served() as child:
                self.pages = int(child.said["pages"])
        except BaseException:
            self.close()
            raise

    def picture(self, number: int, min_side: int | None) -> Picture:
        """See ``askpix.ingest.formats.pdf.PdfDocument.picture``."""
        with self._served() as child:
            question = {"do": "picture", "page": number, "min_side": min_side}
            answer, pixels = child.ask(question, seconds=self._seconds, most=3 * self._limits.max_pixels)
            width, height, *drawn = (int(side) for side in answer["sides"])
            image = Image.frombytes("RGB", (drawn[0], drawn[1]), pixels)
        return Picture(image, width, height, "PDF", self.pages, Image.Exif())

    def lines(self, number: int) -> list[TextLine] | None:
        """See ``askpix.ingest.formats.pdf.PdfDocument.lines``."""
        with self._served() as child:
            question = {"do": "lines", "page": number}
            lines = child.ask(question, seconds=self._seconds)[0]["lines"]
            found = [TextLine(str(text), Box(*(float(side) for side in box))) for text, *box in lines or ()]
        return None if lines is None else found

    def close(self) -> None:
        """Leave the process to the next document. Closing twice is fine."""
        child, self._child = self._child, None
        if child is not None:
            CHILDREN.give_back(child)

    @contextmanager
    def _served(self) -> Iterator[Child]:
        """The process with this document, a new one where the last has ended."""
        if self._kills >= _MOST_KILLS:
            raise BadImageError(f"not read: the PDF has ended its reader {self._kills} times before")
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
        question = {"do": "open", "limits": asdict(self._limits)}
        while True:
            child, fresh = CHILDREN.take()
            try:
                child.ask(question, self._data, seconds=self._seconds)
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
        child, self._child = self._child, None
        return child.end() if child else 0

    def _why(self, code: int) -> str:
        if code == TOO_LONG:
            return (
                f"a page takes more than {self._seconds:g} seconds to read (ASKPIX_MAX_DECODE_SECONDS): "
                "save the PDF anew, or print it"
            )
        return "the PDF makes its reader crash, or takes too much memory: save it anew, or print it to PDF"


@contextmanager
def opened(data: bytes, limits: ImageLimits) -> Iterator[ApartPdf]:
    """A PDF for as long as the block lasts. Raises ``BadImageError``."""
    document = ApartPdf(data, limits)
    try:
        yield document
    finally:
        document.close()


def serve() -> None:
    """In the child."""
    from askpix.ingest.formats.pdf import PdfDocument  # noqa: PLC0415 - PDFium is for the child alone

    document: PdfDocument | None = None

    def answer(question: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
        nonlocal document
        if question["do"] == "open":
            if document is not None:
                document.close()
                document = None
            document = PdfDocument(data, ImageLimits(**question["limits"]))
            return {"pages": document.pages}, b""
        if document is None:
            raise BadImageError("no document is open")
        if question["do"] == "picture":
            picture = document.picture(question["page"], question["min_side"])
            sides = [picture.width, picture.height, *picture.image.size]
            return {"sides": sides}, picture.image.convert("RGB").tobytes()
        lines = document.lines(question["page"])
        return {"lines": None if lines is None else [[line.text, *line.box] for line in lines]}, b""

    answer_all(answer, most=2**32)
