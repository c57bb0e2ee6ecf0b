"""The words in pictures: OCR lines with boxes, and the passages that their meaning is searched by."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from PIL import Image

from core.errors import BadImageError, ModelUnavailableError
from core.layout import reading_order, rows
from core.types import Box, TextLine

if TYPE_CHECKING:
    from rapidocr import RapidOCR

MAX_SIDE = 1280
"""Longer sides are shrunk to this before reading. Measured: receipts read as well at 1000 pixels as at their
native size, and A4 pages of 10-point print need about 1280."""
_MIN_CONFIDENCE = 0.6
"""Below, what is read is mostly texture taken for letters."""
_PASSAGE_WORDS = 60
_MODELS = ("PP-OCRv6_det_small.onnx", "PP-OCRv6_rec_small.onnx")


class TextReader(Protocol):
    """Reads the words in pictures."""

    @property
    def engine_id(self) -> str:
        """Engine, version and models: another one may read other words."""
        ...

    @property
    def workers(self) -> int:
        """How many threads may call ``read`` at once to keep the cores busy."""
        ...

    def read(self, image: Image.Image, /) -> list[TextLine]:
        """Lines in reading order (``core.layout``), boxes in pixels of ``image``. Thread-safe.

        Raises ``BadImageError`` when this picture makes the engine fail.
        """
        ...


class RapidOcrReader:
    """PP-OCR on ONNX Runtime through ``rapidocr``, with the weights its wheel carries. A ``TextReader``.

    Each calling thread has an engine of its own on one core: twice as much is read as by one engine on two.
    """

    def __init__(self, engine_id: str, workers: int) -> None:
        self.engine_id = engine_id
        self.workers = workers
        self._local = threading.local()

    @classmethod
    def load(cls, *, workers: int = 1) -> "RapidOcrReader":
        """Check that the engine and its weights are there. Raises ``ModelUnavailableError``.

        The engine would fetch missing weights from the network; here that is an error instead.
        """
        try:
            from importlib.metadata import version  # noqa: PLC0415 - the protocol alone must import fast
            from importlib.util import find_spec  # noqa: PLC0415

            spec = find_spec("rapidocr")
            folder = Path(spec.origin or "").parent / "models" if spec else Path()
            missing = [name for name in _MODELS if not (folder / name).is_file()]
            if missing or spec is None:
                raise ModelUnavailableError(
                    f"rapidocr has no {missing[0]!r}; pip install --force-reinstall rapidocr"
                )
            return cls(f"rapidocr-{version('rapidocr')}/PP-OCRv6-small", workers)
        except ImportError as error:
            raise ModelUnavailableError(f"cannot load rapidocr: {error}") from error

    def read(self, image: Image.Image, /) -> list[TextLine]:
        """See ``TextReader.read``. A blank or tiny picture has no lines."""
        if min(image.size) < 8 or max(image.size) > 60 * min(image.size):
            return []
        scale = min(1.0, MAX_SIDE / max(image.size))
        if scale < 1:
            size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
            shrunk = image.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
        else:
            shrunk = image
        pixels = np.asarray(shrunk)[:, :, ::-1]  # the engine wants BGR
        try:
            found = self._engine()(np.ascontiguousarray(pixels))
        except Exception as error:
            # The engine raises whatever its parts raise; this one picture cannot be read.
            raise BadImageError(f"cannot be read: {' '.join(str(error).split())[-200:]}") from error
        if found.boxes is None or found.txts is None:
            return []
        lines = [
            TextLine(" ".join(text.split()), _box(corners / scale), float(confidence))
            for corners, text, confidence in zip(found.boxes, found.txts, found.scores, strict=True)
            if confidence >= _MIN_CONFIDENCE and text.strip()
        ]
        return reading_order(lines)

    def _engine(self) -> "RapidOCR":
        engine: RapidOCR | None = getattr(self._local, "engine", None)
        if engine is None:
            engine = self._local.engine = _make_engine()
        return engine


def _make_engine() -> Any:
    from rapidocr import RapidOCR  # noqa: PLC0415 - half a second; only who reads pays

    return RapidOCR(
        params={
            "Global.log_level": "critical",
            "Global.use_cls": False,
            "Global.max_side_len": MAX_SIDE,
            # Never enlarge for detection, as the default does to 736 pixels: photos without text cost a
            # tenth then (15 against 130 ms), and receipts and forms read the same.
            "Det.limit_type": "max",
            "Det.limit_side_len": 960,
            "EngineConfig.onnxruntime.intra_op_num_threads": 1,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        }
    )


def _box(corners: Any) -> Box:
    (x0, y0), (x1, y1) = corners.min(axis=0), corners.max(axis=0)
    return Box(float(x0), float(y0), float(x1), float(y1))


def passages(lines: Sequence[TextLine]) -> list[str]:
    """Pieces of about 60 words for the text embedder, rows kept whole, in reading order."""
    pieces: list[list[str]] = [[]]
    words = 0
    for row in rows(lines):
        text = " ".join(line.text for line in row)
        count = len(text.split())
        if words and words + count > _PASSAGE_WORDS:
            pieces.append([])
            words = 0
        pieces[-1].append(text)
        words += count
    return ["\n".join(piece) for piece in pieces if piece]
