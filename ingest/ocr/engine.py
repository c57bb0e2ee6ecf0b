"""OCR engine: PP-OCR networks of ``rapidocr`` from the weights in its wheel, on one core. Nothing else
imports ``rapidocr``.
"""

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from askpix.core.errors import BadImageError, ModelUnavailableError
from askpix.core.types import Box, TextLine
from askpix.ingest.ocr.resolution import CLOSEST, DETECT_SIDE

_MODELS = {"Det": "PP-OCRv6_det_small.onnx", "Rec": "PP-OCRv6_rec_small.onnx"}
_REMEDY = "pip install --force-reinstall 'rapidocr>=3.10,<4'"


@dataclass(frozen=True, slots=True)
class Found:
    """A line as the networks see it: ``slope`` is how many pixels it sinks per pixel to the right."""

    line: TextLine
    slope: float


class OcrEngine:
    """Finds and reads lines. Not thread-safe: one per thread. It never reaches for the network."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine

    @classmethod
    def load(cls, folder: Path | None = None, *, openvino: bool = False) -> "OcrEngine":
        """Load the engine on OpenVINO where it is wanted and works, else on ONNX Runtime, which is as
        accurate and slower.

        The weights are those of the wheel unless ``folder`` has others: ``*det*.onnx`` finds lines,
        ``*rec*.onnx`` reads them and holds its letters, as PP-OCR models for ``rapidocr`` are published for
        each script. Raises ``ModelUnavailableError``.
        """
        weights = _weights(folder)
        runtimes = (["openvino"] if openvino and find_spec("openvino") else []) + ["onnxruntime"]
        for runtime in runtimes:
            try:
                engine = _make(runtime, weights)
                # Networks are loaded at their first use; broken ones must fail here and not at every image.
                _try(engine)
                if runtime == "openvino":
                    _bound_memory(engine)
                    _try(engine)
                return cls(engine)
            except Exception as error:  # noqa: BLE001 - whatever a runtime raises, the next one is tried
                failure = error
        raise ModelUnavailableError(
            f"OCR cannot be loaded ({_last_line(failure)}); try: {_REMEDY}"
        ) from failure

    def has_text(self, image: Image.Image) -> bool:
        """Return whether the image has anything like a line of text. Raises ``BadImageError``."""
        return bool(self.find_boxes(image, DETECT_SIDE))

    def find_boxes(self, image: Image.Image, side: int) -> list[Box]:
        """Return the boxes of likely text lines at a longer side of ``side``. Raises ``BadImageError``."""
        found = self._run(image, side, use_rec=False).boxes
        return [] if found is None else [_box(corners) for corners in found]

    def find_lines(self, image: Image.Image, side: int = DETECT_SIDE) -> list[Found]:
        """Return all likely text, however unsure, in no special order. Raises ``BadImageError``.

        Lines are looked for at a longer side of ``side`` and then cut out of the image as it is: with one
        of twice the side 90 % of the words of 5-point print were read on A4 pages of 1811 pixels, and 61 %
        when the pages were themselves shrunk to 1280. From 6 points on both read all.
        """
        found = self._run(image, side, use_rec=True)
        if found.boxes is None or found.txts is None:
            return []
        read = zip(found.boxes, found.txts, found.scores, strict=True)
        return [
            Found(TextLine(" ".join(text.split()), _box(corners), float(confidence)), _slope(corners))
            for corners, text, confidence in read
            if text.strip()
        ]

    def _run(self, image: Image.Image, side: int, *, use_rec: bool) -> Any:
        self._engine.text_det.limit_side_len = min(
            side, CLOSEST
        )  # read at each call; there is no option for it
        pixels = np.ascontiguousarray(_rgb(image)[:, :, ::-1])  # the networks were trained on BGR
        try:
            return self._engine(pixels, use_det=True, use_rec=use_rec)  # it keeps what the last call said
        except Exception as error:
            # It raises whatever its parts raise; this one image cannot be read.
            raise BadImageError(f"words cannot be read: {_last_line(error)}") from error


def engine_id(folder: Path | None = None) -> str:
    """Engine, version and weights. Raises ``ModelUnavailableError`` when it is not installed."""
    weights = _weights(folder)["Rec"].stem if folder else "PP-OCRv6-small"
    try:
        return f"rapidocr-{version('rapidocr')}/{weights}"
    except PackageNotFoundError as error:
        raise ModelUnavailableError(f"rapidocr is not installed; {_REMEDY}") from error


def _wheel_folder() -> Path:
    spec = find_spec("rapidocr")
    if spec is None or spec.origin is None:
        raise ModelUnavailableError(f"rapidocr is not installed; {_REMEDY}")
    return Path(spec.origin).parent / "models"


def _weights(folder: Path | None) -> dict[str, Path]:
    wheel = _wheel_folder()
    weights = {part: wheel / name for part, name in _MODELS.items()}
    if folder is not None:
        found = {part: sorted(folder.glob(f"*{part.lower()}*.onnx")) for part in _MODELS}
        if not found["Rec"]:
            raise ModelUnavailableError(
                f"no *rec*.onnx in {str(folder)!r}; put a PP-OCR recognition model there (ASKPIX_OCR_MODELS)"
            )
        weights |= {part: paths[0] for part, paths in found.items() if paths}
    for path in weights.values():
        if not path.is_file():
            raise ModelUnavailableError(f"OCR weights {path.name!r} are missing; {_REMEDY}")
    return weights


def _make(runtime: str, weights: dict[str, Path]) -> Any:
    from rapidocr import EngineType, RapidOCR  # noqa: PLC0415 - half a second; only who reads pays

    return RapidOCR(
        params={
            "Global.log_level": "critical",
            "Global.text_score": 0.0,  # the caller judges
            # Turns lines that stand on their head one by one; whole pages are turned by the caller.
            "Global.use_cls": False,
            "Global.max_side_len": 100_000,  # the caller's image is cut as it is
            "Det.engine_type": EngineType(runtime),
            "Rec.engine_type": EngineType(runtime),
            # Named files are taken as they are. Without a name it checks sums, and fetches what differs.
            "Det.model_path": str(weights["Det"]),
            "Rec.model_path": str(weights["Rec"]),
            # Never enlarge, as the default does to 736 pixels: a small photo without text costs a tenth
            # (20 against 217 ms of CPU), and receipts, forms and charts read the same.
            "Det.limit_type": "max",
            "Det.limit_side_len": DETECT_SIDE,
            "Det.max_candidates": 10_000,  # of a sheet with small print; 1000 unless given
            # Line by line: a batch is padded to its longest line, which costs a sixth more than it saves.
            "Rec.rec_batch_num": 1,
            "EngineConfig.onnxruntime.intra_op_num_threads": 1,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            "EngineConfig.openvino.inference_num_threads": 1,
            "EngineConfig.openvino.num_streams": 1,
            # Threads of several engines would be pinned to the same first core.
            "EngineConfig.openvino.enable_cpu_pinning": False,
        }
    )


def _try(engine: Any) -> None:
    blank = np.full((64, 64, 3), 255, np.uint8)
    engine(blank, use_det=False)
    engine(blank, use_det=True, use_rec=False)


def _bound_memory(engine: Any) -> None:
    """Compile again with a small cache: OpenVINO keeps code for each width of line it has met.

    ``rapidocr`` has no option for it. After 40 receipts and forms an engine took 0.7 GB instead of 1.3, at a
    tenth more time.
    """
    import openvino  # noqa: PLC0415 - an extra

    core = openvino.Core()
    options = {
        "INFERENCE_NUM_THREADS": 1,
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,
        "CPU_RUNTIME_CACHE_CAPACITY": 100,
    }
    for network in (engine.text_det, engine.text_rec):
        compiled = core.compile_model(network.session.model, "CPU", options)
        network.session.session = compiled.create_infer_request()


def _rgb(image: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"), np.uint8)


def _box(corners: Any) -> Box:
    (x0, y0) = corners.min(axis=0)
    (x1, y1) = corners.max(axis=0)
    return Box(float(x0), float(y0), float(x1), float(y1))


def _slope(corners: Any) -> float:
    across, down = (corners[1] + corners[2] - corners[0] - corners[3]) / 2
    return float(down / across) if across > 0 else 0.0


def _last_line(error: Exception) -> str:
    # Errors of the runtimes carry whole tracebacks in their text.
    lines = str(error).strip().splitlines()
    return " ".join(lines[-1].split())[:200] if lines else type(error).__name__
