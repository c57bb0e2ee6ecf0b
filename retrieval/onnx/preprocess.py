"""Images into the numbers a model was trained on, as its configuration files say: nothing is assumed.

``preprocessor_config.json`` of transformers (CLIP, SigLIP, ViT processors) and jina-clip, and
``preprocess_cfg.json`` of open_clip. Equal to the processors of transformers on Pillow
(tests/unit/retrieval/onnx/test_image_embedder.py).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from askpix.core.errors import ModelUnavailableError

Resize = Literal["exact", "shortest", "longest", "none"]
_RESAMPLE = {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3, "box": 4, "hamming": 5}
_PROCESSORS = re.compile(
    r"(AltCLIP|Bit|Blip|CLIP|ChineseCLIP|DeiT|Siglip|ViT)(ImageProcessor(Fast|Pil)?|FeatureExtractor)"
)
"""Image processors of transformers that resize, crop and normalise in this order, each by its
configuration alone.
"""
_JINA = "JinaCLIPImageProcessor"
"""Comes with jina-clip's weights; its configuration has the keys of open_clip, whose transform it copies."""
_MAX_SIDE = 4096
_STRIP = 64
"""Times the crop: of an image that would become longer only the middle is made."""


@dataclass(frozen=True, slots=True)
class Pixels:
    """Preprocessing of images. Sizes are (height, width); ``mean`` and ``std`` are of 0..1 values."""

    resize: Resize
    size: tuple[int, int]
    crop: tuple[int, int] | None
    resample: Image.Resampling
    rescale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fill: int = 0
    as_bytes: bool = False
    """True for graphs that normalise by themselves: ``(height, width, 3)`` of the resized image's bytes."""

    @property
    def side(self) -> int:
        """Pixels of the shorter side that are made use of."""
        return max(self.size)

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) of what comes out, where it is always the same."""
        return self.crop or self.size

    def __call__(self, image: Image.Image) -> NDArray[Any]:
        """``(3, height, width)`` from an upright image."""
        image = image if image.mode == "RGB" else image.convert("RGB")
        image = _cropped(self._resized(image), self.crop)
        if self.as_bytes:
            return np.asarray(image)
        return np.ascontiguousarray(normalized(image, self.rescale, self.mean, self.std).transpose(2, 0, 1))

    def prepare(self, image: Image.Image) -> dict[str, NDArray[Any]]:
        """Return a graph's input for one image, without the batch axis."""
        return {"pixel_values": self(image)}

    def _resized(self, image: Image.Image) -> Image.Image:
        if self.resize == "none":
            return image
        height, width = self.size
        if self.resize == "shortest":
            short, long = sorted(image.size)
            other = max(1, int(self.size[0] * long / short))
            width, height = (self.size[0], other) if image.width <= image.height else (other, self.size[0])
            if self.crop and other > _STRIP * max(self.crop):
                return _resized_middle(image, (width, height), _STRIP * max(self.crop), self.resample)
            return image.resize((width, height), self.resample)
        if self.resize == "longest":
            scale = min(height / image.height, width / image.width)
            inner = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
            sheet = Image.new("RGB", (width, height), (self.fill,) * 3)
            sheet.paste(
                image.resize(inner, self.resample), ((width - inner[0]) // 2, (height - inner[1]) // 2)
            )
            return sheet
        return image.resize((width, height), self.resample)


def normalized(
    image: Image.Image, rescale: float, mean: tuple[float, ...], std: tuple[float, ...]
) -> NDArray[np.float32]:
    """``(height, width, 3)`` of an image's bytes, ``(x * rescale - mean) / std``."""
    values = np.asarray(image, np.float32) * np.float32(rescale)
    values -= np.array(mean, np.float32)
    values /= np.array(std, np.float32)
    return values


def from_preprocessor(config: Mapping[str, Any]) -> Pixels:
    """Read the preprocessing from ``preprocessor_config.json``. Raises ``ModelUnavailableError`` for what
    is not understood.
    """
    name = config.get("image_processor_type") or config.get("feature_extractor_type")
    if name == _JINA:
        return from_open_clip(config)
    if not _PROCESSORS.fullmatch(str(name)):
        raise ModelUnavailableError(
            f"how the model's image processor {name!r} prepares images is not known here; take an export "
            "whose preprocessor_config.json names one of CLIP, SigLIP or ViT"
        )
    size = config.get("size")
    resize: Resize = "none"
    sides = (0, 0)
    if config.get("do_resize", True):
        if isinstance(size, Mapping) and "shortest_edge" in size:
            resize = "shortest"
            sides = (whole_number(size["shortest_edge"]),) * 2
        elif isinstance(size, Mapping):
            resize = "exact"
            sides = (whole_number(size.get("height")), whole_number(size.get("width")))
        else:
            # A number alone is the shortest edge for processors that crop, both sides for the others.
            resize = "shortest" if config.get("do_center_crop") else "exact"
            sides = (whole_number(size),) * 2
    crop = None
    if config.get("do_center_crop"):
        given = config.get("crop_size", size)
        crop = (
            (whole_number(given.get("height")), whole_number(given.get("width")))
            if isinstance(given, Mapping)
            else (whole_number(given),) * 2
        )
    if crop is None and resize in ("shortest", "none"):
        raise ModelUnavailableError("the model's preprocessing leaves images of different sizes")
    normalise = config.get("do_normalize", True)
    return Pixels(
        resize=resize,
        size=sides if resize != "none" else crop or (224, 224),
        crop=crop,
        resample=Image.Resampling(int(config.get("resample", 3))),
        rescale=float(config.get("rescale_factor", 1 / 255)) if config.get("do_rescale", True) else 1.0,
        mean=three_numbers(config.get("image_mean")) if normalise else (0.0,) * 3,
        std=three_numbers(config.get("image_std")) if normalise else (1.0,) * 3,
    )


def from_open_clip(config: Mapping[str, Any]) -> Pixels:
    """Read open_clip's ``preprocess_cfg``: size, mean, std, interpolation, resize_mode, fill_color."""
    size = config.get("size", 224)
    sides = (
        (whole_number(size[0]), whole_number(size[-1]))
        if isinstance(size, list | tuple)
        else (whole_number(size),) * 2
    )
    mode = config.get("resize_mode") or "shortest"
    modes: dict[str, Resize] = {"shortest": "shortest", "squash": "exact", "longest": "longest"}
    if mode not in modes:
        raise ModelUnavailableError(f"the model resizes by {mode!r}, which is not known here")
    return Pixels(
        resize=modes[mode],
        size=sides,
        crop=sides if mode == "shortest" else None,
        resample=Image.Resampling(_RESAMPLE.get(str(config.get("interpolation", "bicubic")), 3)),
        rescale=1 / 255,
        mean=three_numbers(config.get("mean", (0.48145466, 0.4578275, 0.40821073))),
        std=three_numbers(config.get("std", (0.26862954, 0.26130258, 0.27577711))),
        fill=int(config.get("fill_color") or 0),
    )


def _resized_middle(
    image: Image.Image, size: tuple[int, int], longest: int, resample: Image.Resampling
) -> Image.Image:
    """The middle of what ``resize(size)`` would make, at most ``longest`` pixels of it: of a strip, 1 by
    20,000 pixels, all of it would take gigabytes. The filter sees what lies around the box, and what is made
    stays a strip, for which Pillow does its passes in the same order: the pixels are the same."""
    wide, high = (side - (side - min(side, longest)) // 2 * 2 for side in size)
    left = (size[0] - wide) // 2
    top = (size[1] - high) // 2
    across = image.width / size[0]
    down = image.height / size[1]
    box = (left * across, top * down, (left + wide) * across, (top + high) * down)
    return image.resize((wide, high), resample, box=box)


def _cropped(image: Image.Image, crop: tuple[int, int] | None) -> Image.Image:
    if crop is None or (image.height, image.width) == crop:
        return image
    # Pillow fills what lies outside with black, as the processors do.
    top = (image.height - crop[0]) // 2
    left = (image.width - crop[1]) // 2
    return image.crop((left, top, left + crop[1], top + crop[0]))


def whole_number(value: Any) -> int:
    """A size in pixels from a model's files. Raises ``ModelUnavailableError``."""
    if not isinstance(value, int | float) or not 1 <= value <= _MAX_SIDE:
        raise ModelUnavailableError(f"the model's preprocessing asks for a size of {value!r} pixels")
    return int(value)


def three_numbers(value: Any) -> tuple[float, ...]:
    """Read one number for each colour from a model's files. Raises ``ModelUnavailableError``."""
    given = list(value) if isinstance(value, list | tuple) else [value] * 3
    if len(given) != 3 or not all(isinstance(each, int | float) for each in given):
        raise ModelUnavailableError(f"the model's preprocessing has {value!r} where three numbers belong")
    return tuple(float(each) for each in given)
