"""The latest searches of a collection, kept beside its vectors, so that a change of the model can be judged
by what its people really look for. They never leave the home; ``ASKPIX_REMEMBER_QUERIES=0`` keeps none."""

import json
import os
from contextlib import suppress
from pathlib import Path

_MAX_LENGTH = 500
_SPARE = 4
"""The file may hold so many times what is kept before it is cut: rewriting it at each search would cost."""


class RecentQueries:
    """A file of JSON strings, one a line, oldest first. Processes may share it.

    It is a convenience: a disk that is full or read-only never stops a search, it only forgets.
    """

    def __init__(self, path: Path, *, keep: int) -> None:
        self._path, self._keep = path, keep

    def add(self, text: str) -> None:
        """Note a search; blank ones are not worth it."""
        text = " ".join(text.split())[:_MAX_LENGTH]
        if not (text and self._keep):
            return
        line = json.dumps(text, ensure_ascii=True) + "\n"
        with suppress(OSError):
            # One write of one line in append mode: lines of several processes do not mix.
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.write(descriptor, line.encode())
                size = os.fstat(descriptor).st_size
            finally:
                os.close(descriptor)
            if size > self._keep * _SPARE * 60:
                self._cut()

    def latest(self, number: int) -> list[str]:
        """Up to ``number`` different ones, latest first."""
        return list(dict.fromkeys(reversed(self._lines())))[:number]

    def _lines(self) -> list[str]:
        found: list[str] = []
        with suppress(OSError):
            for line in self._path.read_bytes().splitlines()[-self._keep :]:
                with suppress(ValueError):
                    text = json.loads(line)
                    if isinstance(text, str):
                        found.append(text)
        return found

    def _cut(self) -> None:
        draft = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        draft.write_text("".join(json.dumps(text) + "\n" for text in self._lines()), "utf-8")
        draft.chmod(0o600)
        draft.replace(self._path)
