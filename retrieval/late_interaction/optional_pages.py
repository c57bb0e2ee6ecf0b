"""Pages as one part of a search, which goes on where their store cannot be opened."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, NoReturn

from askpix.core.errors import StoreUnavailableError


class UnavailablePages:
    """Stands for a store that cannot be opened: each request is the error that opening was."""

    def __init__(self, error: StoreUnavailableError) -> None:
        self._error = error

    def __getattr__(self, name: str) -> NoReturn:
        raise StoreUnavailableError(str(self._error)) from self._error


@contextmanager
def open_for_search(open_pages: Callable[[], AbstractContextManager[Any]]) -> Iterator[Any]:
    """Open a store of pages, or what says at each request why that cannot be done."""
    with ExitStack() as stack:
        try:
            pages = stack.enter_context(open_pages())
        except StoreUnavailableError as error:
            pages = UnavailablePages(error)
        yield pages
