"""Lets torchvision from PyPI be imported beside a torch built for CPUs.

That pair (the only one on package indexes without PyTorch's own) stops at import with "operator
torchvision::nms does not exist": torchvision registers its compiled operators with the CUDA build alone. What
open_clip and transformers use of it is Python, so declaring the operators is enough for tests. Python loads a
module of this name by itself in every process that has this folder on ``PYTHONPATH``; ``conftest.py`` sees to
that. Never part of the product: users install both packages from one index.
"""

import sys
from importlib.abc import MetaPathFinder
from importlib.metadata import PackageNotFoundError, version
from typing import Any


class _DeclareOperators(MetaPathFinder):
    """Finds nothing; acts when torchvision is about to be imported."""

    library: Any = None

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> None:
        if fullname == "torchvision" and self.library is None and mismatched():
            import torch

            self.library = torch.library.Library("torchvision", "DEF")
            for name in ("nms", "qnms"):
                self.library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


def mismatched() -> bool:
    """Whether torch says it is a CPU build and torchvision does not."""
    try:
        return version("torch").endswith("+cpu") and "+" not in version("torchvision")
    except PackageNotFoundError:
        return False


if not any(type(finder).__name__ == _DeclareOperators.__name__ for finder in sys.meta_path):
    sys.meta_path.insert(0, _DeclareOperators())
