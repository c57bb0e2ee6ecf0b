"""Options of a model at the end of its id: ``+dim=256`` and ``+tokens=70``.

They are part of the id since they make another space (``dim``) or other vectors in it (``tokens``).
"""

import re
from collections.abc import Collection
from dataclasses import dataclass

from askpix.core.errors import ModelUnavailableError

_OPTION = re.compile(r"\+(dim|tokens)=(\d{1,5})$")


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """``dim``: how many numbers of a vector are kept. ``tokens``: at most so many stand for an image."""

    dim: int | None = None
    tokens: int | None = None

    def __str__(self) -> str:
        given = {"dim": self.dim, "tokens": self.tokens}
        return "".join(f"+{name}={value}" for name, value in given.items() if value is not None)

    def check(self, name: str, *, dims: Collection[int] = (), tokens: Collection[int] = ()) -> None:
        """Raise ``ModelUnavailableError`` for a choice that the model was not trained for."""
        for what, wanted, offered in (("dim", self.dim, dims), ("tokens", self.tokens, tokens)):
            if wanted is not None and wanted not in offered:
                raise ModelUnavailableError(f"{name!r} has no +{what}={wanted}; it offers {_listed(offered)}")

    def check_dim(self, name: str, dim: int) -> None:
        """Raise ``ModelUnavailableError`` where the model's own vectors are shorter than was asked for."""
        if self.dim not in (None, dim):
            raise ModelUnavailableError(f"{name!r} has no +dim={self.dim}; its vectors have {dim} numbers")


def _listed(offered: Collection[int]) -> str:
    if isinstance(offered, range):
        return f"{offered[0]} to {offered[-1]}"
    return ", ".join(map(str, offered)) or "no choice of it"


def split_options(reference: str) -> tuple[str, ModelOptions]:
    """``(reference, options)`` of ``REFERENCE[+dim=N][+tokens=N]``."""
    found: dict[str, int] = {}
    while match := _OPTION.search(reference):
        found.setdefault(match[1], int(match[2]))
        reference = reference[: match.start()]
    return reference, ModelOptions(**found)
