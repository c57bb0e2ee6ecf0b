"""clip-retrieval's reader of files: decoding and resizing in its workers, no model and no index.

Run by ``python -m benchmarks peers`` with the package on PYTHONPATH and torch installed:
``clip_retrieval_driver.py index FOLDER HOME N``. Only the reader's module is loaded: the package as a whole
needs versions of numpy and pyarrow that current ones have replaced.
"""

import importlib.machinery
import importlib.metadata
import importlib.util
import json
import os
import resource
import sys
import time
from typing import Any

import numpy as np
import torch
from PIL import Image

FOLDER = sys.argv[2]


def transform(image: Image.Image) -> Any:
    """Preprocess to 224 pixels like its ViT-B/32."""
    image = image.convert("RGB")
    scale = 224 / min(image.size)
    image = image.resize([max(224, round(side * scale)) for side in image.size], Image.Resampling.BICUBIC)
    left = (image.width - 224) // 2
    top = (image.height - 224) // 2
    pixels = np.asarray(image.crop((left, top, left + 224, top + 224)), np.float32) / 255
    return torch.from_numpy(pixels.transpose(2, 0, 1).copy())


def main() -> None:
    """Print what reading took as JSON."""
    distribution = importlib.metadata.distribution("clip-retrieval")
    path = str(distribution.locate_file("clip_retrieval/clip_inference/reader.py"))
    loader = importlib.machinery.SourceFileLoader("reader", path)
    reader = importlib.util.module_from_spec(importlib.machinery.ModuleSpec("reader", loader))
    loader.exec_module(reader)
    files = reader.FilesReader(
        sampler=lambda keys: keys,
        preprocess=transform,
        tokenizer=None,
        input_dataset=FOLDER,
        batch_size=16,
        num_prepro_workers=os.cpu_count() or 1,
        enable_text=False,
        enable_image=True,
    )
    began = time.perf_counter()
    pictures = sum(len(batch["image_tensor"]) for batch in files)
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak += resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss  # of the largest of its workers
    said = {"version": distribution.version, "seconds": seconds, "pictures": pictures, "peak_mb": peak / 1024}
    sys.stdout.write(json.dumps(said) + "\n")


if __name__ == "__main__":
    main()
