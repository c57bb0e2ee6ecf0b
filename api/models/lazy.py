"""An embedder loaded when it is first asked for anything: a run in which nothing changed needs none."""

from collections.abc import Callable
from typing import Any, cast

from askpix.retrieval.embedders.base import Embedder


def later(load: Callable[[], Embedder]) -> Embedder:
    """What ``load`` gives, once something of it is needed; raises then what ``load`` raises."""
    return cast(Embedder, _Later(load))


class _Later:
    def __init__(self, load: Callable[[], Embedder]) -> None:
        self._load = load

    def __getattr__(self, name: str) -> Any:
        # Asked for by any thread: the workspace loads a model once.
        return getattr(self._load(), name)
