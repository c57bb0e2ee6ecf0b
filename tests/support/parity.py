"""What embedders are compared on."""

from typing import Any

import numpy as np
from PIL import Image

from tests.support.fakes import picture

TEXTS = ["a red dog", "invoice total", "", "dog " * 200]


def pictures() -> list[Image.Image]:
    """Odd sizes, portrait, grey, tiny, and one that needs no resizing."""
    noise = np.random.default_rng(0).integers(0, 255, (97, 211, 3), dtype=np.uint8)
    return [
        picture("red", "TOTAL", (201, 97)),
        picture("green", "dog", (61, 333)),
        Image.fromarray(noise),
        Image.linear_gradient("L").resize((77, 50)),
        Image.new("RGB", (3, 5), "blue"),
        Image.fromarray(noise[:32, :32]),
    ]


def distance(ours: Any, library: Any) -> float:
    """The largest cosine distance between rows."""
    library = library.float().numpy()
    library = library / np.linalg.norm(library, axis=1, keepdims=True)
    assert ours.shape == library.shape
    np.testing.assert_allclose(np.linalg.norm(ours, axis=1), 1, atol=1e-5)
    return float((1 - (ours * library).sum(1)).max())
