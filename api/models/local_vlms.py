"""Vision-language models of transformers on this machine: which there are, and which of them ``auto`` takes.

Nothing is downloaded here: what counts is what lies in the Hugging Face cache.
"""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.util import find_spec

from askpix.api.models.auto_select import weights_here

_MODULES = ("torch", "transformers")


@dataclass(frozen=True, slots=True)
class KnownVlm:
    """A row of ``generation/generators/local_models.toml``."""

    repo: str
    parameters: int
    licence: str
    notes: str
    auto_gpu: int | None = None
    auto_cpu: int | None = None

    @property
    def id(self) -> str:
        return f"transformers:{self.repo}"


@cache
def known_vlms() -> tuple[KnownVlm, ...]:
    """Every model of the file, in its order."""
    text = files("askpix.generation.generators").joinpath("local_models.toml").read_text("utf-8")
    return tuple(KnownVlm(**row) for row in tomllib.loads(text)["model"])


def missing_modules() -> str | None:
    """What to install before one of them runs; None when all is there."""
    lacking = [name for name in _MODULES if find_spec(name) is None]
    return f"needs {' and '.join(lacking)}: pip install 'askpix[torch]'" if lacking else None


def vlms_here(*, device: str) -> Iterator[KnownVlm]:
    """Those whose weights are here and that are worth their time on ``device`` (``auto``, ``cpu``, ``cuda``
    ...), in the order of ``auto``."""
    here = [] if missing_modules() else [vlm for vlm in known_vlms() if weights_here(vlm.repo)]
    if not here:
        return
    gpu = _has_gpu() if device == "auto" else device != "cpu"
    places = [(vlm.auto_gpu if gpu else vlm.auto_cpu, vlm) for vlm in here]
    yield from (vlm for place, vlm in sorted(places, key=lambda row: row[0] or 0) if place is not None)


def _has_gpu() -> bool:
    import torch

    return bool(torch.cuda.is_available() or torch.backends.mps.is_available())
