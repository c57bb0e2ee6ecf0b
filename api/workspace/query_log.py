"""Log of searches and of the images chosen, kept beside a collection's vectors.

A change of the model is judged by these searches, and ``collections adapt`` learns from the choices. They
never leave the home, nobody is told who asked, and ``ASKPIX_REMEMBER_QUERIES=0`` keeps none of either.
"""

import json
import logging
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from askpix.core.log import tolerated

_log = logging.getLogger(__name__)
KEEP_HITS = 20_000
"""Latest pairs that count, at some 100 bytes each."""
_MAX_LENGTH = 500
_SPARE = 4
"""The file may hold so many times what is kept before it is cut: rewriting it at each search would cost."""
_LINE = 60
"""Bytes of a line, guessed low: the file is cut a little early rather than late."""


class _JsonLines:
    """A file with a JSON value a line, oldest first; damaged lines are none. Processes may share it.

    It is a convenience: a disk that is full or read-only never stops a search, it only forgets.
    """

    def __init__(self, path: Path, *, keep: int) -> None:
        self._path = path
        self._keep = keep

    def append(self, values: Iterable[Any]) -> bool:
        """Add values in one write, so that lines of several processes do not mix; whether it worked."""
        lines = "".join(json.dumps(value) + "\n" for value in values)
        if not (lines and self._keep):
            return False
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.write(descriptor, lines.encode())
                size = os.fstat(descriptor).st_size
            finally:
                os.close(descriptor)
        except OSError as error:
            _log.info("%s is not kept: %s", self._path.name, error)
            return False
        if size > self._keep * _SPARE * _LINE:
            with tolerated(_log, f"{self._path.name} is not shortened", OSError):
                self._cut()
        return True

    def values(self) -> list[Any]:
        """The latest values that are kept, oldest first."""
        found: list[Any] = []
        with tolerated(_log, f"{self._path.name} is not read", OSError):
            for line in self._path.read_bytes().splitlines()[-self._keep :]:
                with suppress(ValueError):
                    found.append(json.loads(line))
        return found

    def clear(self) -> None:
        self._path.unlink(missing_ok=True)

    def _cut(self) -> None:
        draft = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        draft.write_text("".join(json.dumps(value) + "\n" for value in self.values()), "utf-8")
        draft.chmod(0o600)
        draft.replace(self._path)


class RecentQueries:
    """The latest searches of a collection."""

    def __init__(self, path: Path, *, keep: int) -> None:
        self._lines = _JsonLines(path, keep=keep)

    def add(self, text: str) -> None:
        """Note a search; blank ones are not worth it."""
        if text := _shortened(text):
            self._lines.append([text])

    def latest(self, number: int) -> list[str]:
        """Up to ``number`` different ones, latest first."""
        texts = [each for each in self._lines.values() if isinstance(each, str)]
        return list(dict.fromkeys(reversed(texts)))[:number]


class GoodHits:
    """Pairs of a query and the id of an image that it was for."""

    def __init__(self, path: Path, *, on: bool = True, keep: int = KEEP_HITS) -> None:
        self._lines = _JsonLines(path, keep=keep if on else 0)

    def add(self, query: str, image_ids: Iterable[str]) -> int:
        """Note that these images are what ``query`` looked for; how many were noted."""
        text = _shortened(query)
        ids = list(dict.fromkeys(image_ids))
        return len(ids) if text and self._lines.append([text, each] for each in ids) else 0

    def pairs(self) -> list[tuple[str, str]]:
        """Different ``(query, image id)``, oldest first."""
        pairs = (each for each in self._lines.values() if isinstance(each, list) and len(each) == 2)
        return list(dict.fromkeys((a, b) for a, b in pairs if isinstance(a, str) and isinstance(b, str)))

    def forget(self) -> int:
        """Drop all of them; how many different ones there were."""
        count = len(self.pairs())
        self._lines.clear()
        return count


def _shortened(text: str) -> str:
    return " ".join(text.split())[:_MAX_LENGTH]
