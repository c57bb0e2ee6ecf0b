"""Published recipes of models, written out by hand from their sources."""

import math
from typing import Any

import numpy as np
import torch
from PIL import Image


def gemma_patches(image: Image.Image, tokens: int) -> tuple[Any, Any, int]:
    """huggingface/transformers, gemma4/image_processing_gemma4.py and its twin in transformers.js.

    The largest size of whole cells of 48 pixels within the budget, bicubic, 0..1; patches of 16 row by row.
    """
    side = 48
    factor = math.sqrt(tokens * side**2 / (image.width * image.height))
    wide, high = (int(factor * each // side) for each in image.size)
    if high == 0:
        wide, high = min(image.width // image.height, tokens), 1
    elif wide == 0:
        wide, high = 1, min(image.height // image.width, tokens)
    resized = image.convert("RGB").resize((wide * side, high * side), Image.Resampling.BICUBIC)
    pixels = np.asarray(resized, np.float32) / 255
    limit = tokens * 9
    values, places = np.zeros((limit, 768), np.float32), np.full((limit, 2), -1)
    at = 0
    for y in range(0, high * side, 16):
        for x in range(0, wide * side, 16):
            values[at], places[at] = pixels[y : y + 16, x : x + 16].ravel(), (x // 16, y // 16)
            at += 1
    return torch.tensor(values)[None], torch.tensor(places)[None], wide * high


def gemma_image(model: Any, image: Image.Image, tokens: int) -> Any:
    """huggingface.co/docs/transformers/model_doc/embedding_gemma2, "media-only": <bos>, the image between its
    marks, <eos>; mean over all of it, length one."""
    values, places, count = gemma_patches(image, tokens)
    c = model.config
    ids = [1, c.boi_token_id, *[c.image_token_id] * count, c.eoi_token_id, 2]
    given = torch.tensor([ids])
    states = model(
        input_ids=given,
        attention_mask=torch.ones_like(given),
        pixel_values=values,
        image_position_ids=places,
    ).last_hidden_state
    return states.mean(dim=1)
