"""The sub-queries of one search: one that cannot be answered is named, and the others make the result."""

from collections.abc import Callable
from typing import TypeVar

from askpix.core.errors import StoreUnavailableError

MEANING = "texts by meaning"
WORDS = "words in texts"
PAGES = "pages"
REGIONS = "regions of pages"

Found = TypeVar("Found")


class SubQueries:
    """Failures of one search. Not ``partial``: the first failure is raised as it is."""

    def __init__(self, *, partial: bool = False) -> None:
        self._partial = partial
        self._failures: dict[str, StoreUnavailableError] = {}
        self._answered = False

    def ask(self, name: str, question: Callable[[], Found], otherwise: Found) -> Found:
        """Return what ``question`` gives, or ``otherwise`` where its store fails, now or earlier."""
        if name in self._failures:
            return otherwise
        try:
            found = question()
        except StoreUnavailableError as error:
            if not self._partial:
                raise
            self._failures[name] = error
            return otherwise
        self._answered = True
        return found

    def raise_if_none_answered(self) -> None:
        """Raise the first failure where there was nothing else."""
        if self._failures and not self._answered:
            raise next(iter(self._failures.values()))

    def notes(self) -> tuple[str, ...]:
        """Return a line for each failure."""
        return tuple(
            f"{name} were not searched, so hits may be missing: {error}"
            for name, error in self._failures.items()
        )
