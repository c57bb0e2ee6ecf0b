"""rclip with its model taken out: what reading, hashing, decoding and its database cost.

Run by ``python -m benchmarks peers`` under a Python that has rclip: ``rclip_driver.py index|query FOLDER HOME
N``.
"""

import json
import os
import resource
import sys
import time
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from rclip import db, model
from rclip.main import RClip

FOLDER = sys.argv[2]
HOME = sys.argv[3]
NUMBER = int(sys.argv[4])
os.environ["RCLIP_DATADIR"] = HOME


class Blocks:
    """Stand-in for the visual model: every eighth pixel of every eighth row, which costs nothing."""

    class Input:
        """Attributes of a model input that rclip reads."""

        type = "tensor(float)"

    def get_inputs(self) -> list[Any]:
        """Return one input of 32-bit numbers."""
        return [self.Input]

    def run(self, _: object, feed: dict[str, Any]) -> list[Any]:
        """``(n, 512)`` of ``(n, 3, 256, 256)``."""
        pixels = feed["input"]
        return [np.ascontiguousarray(pixels[:, :, ::16, ::16].reshape(len(pixels), -1)[:, :512])]


def opened() -> Any:
    """rclip on the database in HOME, with no model to load."""
    made = model.Model()
    made._session_visual_var = Blocks()
    made.compute_text_features = lambda texts: np.stack(
        [np.random.default_rng(sum(map(ord, text))).normal(size=512).astype(np.float32) for text in texts]
    )
    return RClip(made, db.DB(Path(HOME) / "db.sqlite3"), 8, None)


def main() -> None:
    """Print what it took as JSON."""
    said: dict[str, Any] = {"version": version("rclip")}
    rclip = opened()
    if sys.argv[1] == "index":
        began = time.perf_counter()
        rclip.ensure_index(FOLDER)
        said["seconds"] = time.perf_counter() - began
        said["pictures"] = len(rclip._get_features(FOLDER)[0])
    else:
        took = []
        for number in range(NUMBER):
            began = time.perf_counter()
            rclip.search(f"query {number}", FOLDER, 10)
            took.append(1000 * (time.perf_counter() - began))
        said["p50_ms"] = median(took)
    said["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    rclip.close()
    sys.stdout.write(json.dumps(said) + "\n")


main()
