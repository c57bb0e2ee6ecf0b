"""A page embedder of colours."""

from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from askpix.retrieval.stores.pages import Matrix
from tests.support.fakes import ColourEmbedder, picture


class PatchEmbedder:
    """A ``LateEmbedder``: 16 patches a picture, each the mean colour there; a query is its colour words."""

    model_id, dim, image_side, batch = "patches", 5, 64, 2

    def __init__(self) -> None:
        self.colours = ColourEmbedder()
        self.seen = 0
        self.before: Callable[[], None] = lambda: None

    def embed_images(self, images: Sequence[Image.Image], /) -> list[Matrix]:
        self.before()
        self.seen += len(images)
        return [
            self.colours.embed_images(
                [
                    image.crop((x * w // 4, y * h // 4, (x + 1) * w // 4, (y + 1) * h // 4))
                    for y in range(4)
                    for x in range(4)
                ]
            ).astype(np.float16)
            for image in images
            for w, h in [image.size]
        ]

    def embed_texts(self, texts: Sequence[str], /) -> list[Matrix]:
        return [self.colours.embed_texts(text.split() or [""]).astype(np.float16) for text in texts]


def half(colour: str) -> Image.Image:
    """A white page whose lower half is of that colour."""
    page = Image.new("RGB", (80, 80), "white")
    page.paste(picture(colour, size=(80, 40)), (0, 40))
    return page
