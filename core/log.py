"""Logging conventions: ``_log = logging.getLogger(__name__)``; nothing is shown until a program asks for it.

``info``: decisions, fallbacks, what was skipped or opened, how long it took. ``debug``: the rest, and only
there queries and words read from images. No secrets at any level.
"""

import logging
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

_SECRET_NAMES = re.compile(r"(?i)(key|token|secret|password|passwd)$")
_secrets: set[str] = set()


def hide(*secrets: str | None) -> None:
    """Mask these, and the values of variables that are named like secrets, in what ``masked`` returns."""
    named = (value for name, value in os.environ.items() if _SECRET_NAMES.search(name))
    _secrets.update(value for value in (*secrets, *named) if value and len(value) >= 8)


def masked(text: str) -> str:
    """``text`` without secrets that ``hide`` knows."""
    for secret in _secrets:
        text = text.replace(secret, "***")
    return text


class _Tolerated:
    def __init__(self, log: logging.Logger, what: str, errors: tuple[type[BaseException], ...]) -> None:
        self._log = log
        self._what = what
        self._errors = errors

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> bool:
        if not isinstance(error, self._errors):
            return False
        level = logging.DEBUG if isinstance(error, FileNotFoundError) else logging.INFO
        self._log.log(level, "%s: %s", self._what, error or type(error).__name__)
        return True


def tolerated(log: logging.Logger, what: str, *errors: type[BaseException]) -> _Tolerated:
    """``suppress(*errors)``, which says at ``info`` ``what`` follows, and why; a file that is not there is
    ``debug``."""
    return _Tolerated(log, what, errors)


@contextmanager
def timed(log: logging.Logger, what: str) -> Iterator[None]:
    """Say at ``info`` how long ``what`` took, when it is done."""
    began = time.perf_counter()
    yield
    log.info("%s in %.2f s", what, time.perf_counter() - began)
