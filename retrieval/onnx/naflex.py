"""SigLIP 2 NaFlex: images of any shape as patches, as its processor in transformers makes them.

An image is enlarged or shrunk, its aspect nearly kept, to the most patches that fit into the budget, and cut
into them row by row; what is left of the budget is padding (Tschannen et al. 2025, "SigLIP 2", 2.4.2).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from askpix.retrieval.onnx.preprocess import normalized, three_numbers, whole_number

_EPS = 1e-5
_MAX_SCALE = 100.0


@dataclass(frozen=True, slots=True)
class Patches:
    """Preprocessing into patches. ``patch`` is a patch's side in pixels, ``most`` the budget of patches."""

    patch: int
    most: int
    resample: Image.Resampling
    rescale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def side(self) -> int:
        """Pixels of the shorter side that are made use of."""
        return math.ceil(self.patch * math.sqrt(self.most))

    def prepare(self, image: Image.Image) -> dict[str, NDArray[Any]]:
        """``pixel_values`` ``(most, 3 * patch ** 2)``, ``pixel_attention_mask`` ``(most,)`` and
        ``spatial_shapes`` ``(2,)``: rows and columns of patches."""
        image = image if image.mode == "RGB" else image.convert("RGB")
        height, width = fitting_size(image.height, image.width, self.patch, self.most)
        image = image.resize((width, height), self.resample)
        rows = height // self.patch
        columns = width // self.patch
        values = normalized(image, self.rescale, self.mean, self.std)
        cut = values.reshape(rows, self.patch, columns, self.patch, 3).transpose(0, 2, 1, 3, 4)
        pixels = np.zeros((self.most, 3 * self.patch**2), np.float32)
        pixels[: rows * columns] = cut.reshape(rows * columns, -1)
        mask = (np.arange(self.most) < rows * columns).astype(np.int32)
        return {
            "pixel_values": pixels,
            "pixel_attention_mask": mask,
            "spatial_shapes": np.array([rows, columns], np.int64),
        }


def from_naflex(config: Mapping[str, Any]) -> Patches:
    """Read the preprocessing from ``preprocessor_config.json``. Raises ``ModelUnavailableError`` for
    impossible sizes.
    """
    normalise = config.get("do_normalize", True)
    return Patches(
        patch=whole_number(config.get("patch_size", 16)),
        most=whole_number(config.get("max_num_patches", 256)),
        resample=Image.Resampling(int(config.get("resample", 2))),
        rescale=float(config.get("rescale_factor", 1 / 255)) if config.get("do_rescale", True) else 1.0,
        mean=three_numbers(config.get("image_mean", 0.5)) if normalise else (0.0,) * 3,
        std=three_numbers(config.get("image_std", 0.5)) if normalise else (1.0,) * 3,
    )


def fitting_size(height: int, width: int, patch: int, most: int) -> tuple[int, int]:
    """(height, width) in whole patches, at most ``most`` of them: the library's own search, step for step."""

    def sizes(scale: float) -> tuple[int, int]:
        tall, wide = (max(patch, math.ceil(side * scale / patch) * patch) for side in (height, width))
        return tall, wide

    low = _EPS / 10
    high = _MAX_SCALE
    while high - low >= _EPS:
        scale = (low + high) / 2
        tall, wide = sizes(scale)
        if (tall / patch) * (wide / patch) <= most:
            low = scale
        else:
            high = scale
    return sizes(low)
