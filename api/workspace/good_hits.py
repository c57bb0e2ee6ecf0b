"""Which pictures people took for what they looked for, kept beside a collection's vectors.

`collections adapt` learns from them. They stay in the home and nobody is told who clicked; what
``ASKPIX_REMEMBER_QUERIES=0`` says of searches holds for them too: nothing is kept then.
"""

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

KEEP = 20_000
"""Latest pairs that count; at some 100 bytes each."""
_MAX_LENGTH = 500
_SPARE = 2
_LINE = 120


class GoodHits:
    """A file of JSON pairs ``[query, image id]``, one a line, oldest first. Processes may share it.

    It is a convenience: a disk that is full or read-only never stops a search, it only forgets.
    """

    def __init__(self, path: Path, *, on: bool = True, keep: int = KEEP) -> None:
        self._path, self._on, self._keep = path, on, keep

    def add(self, query: str, image_ids: Iterable[str]) -> int:
        """Note that these pictures are what ``query`` looked for; how many were noted."""
        text = " ".join(query.split())[:_MAX_LENGTH]
        lines = [json.dumps([text, image_id]) + "\n" for image_id in dict.fromkeys(image_ids)]
        if not (text and lines and self._on):
            return 0
        try:
            # One write in append mode: lines of several processes do not mix.
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.write(descriptor, "".join(lines).encode())
                size = os.fstat(descriptor).st_size
            finally:
                os.close(descriptor)
        except OSError:
            return 0
        if size > self._keep * _SPARE * _LINE:
            with suppress(OSError):
                self._cut()
        return len(lines)

    def pairs(self) -> list[tuple[str, str]]:
        """Different ``(query, image id)``, oldest first; damaged lines are none."""
        found: dict[tuple[str, str], None] = {}
        with suppress(OSError):
            for line in self._path.read_bytes().splitlines()[-self._keep :]:
                with suppress(ValueError):
                    pair = json.loads(line)
                    if isinstance(pair, list) and len(pair) == 2 and all(isinstance(p, str) for p in pair):
                        found[pair[0], pair[1]] = None
        return list(found)

    def forget(self) -> int:
        """Drop all of them; how many different ones there were."""
        count = len(self.pairs())
        with suppress(FileNotFoundError):
            self._path.unlink()
        return count

    def _cut(self) -> None:
        draft = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        draft.write_text("".join(json.dumps(pair) + "\n" for pair in self.pairs()), "utf-8")
        draft.chmod(0o600)
        draft.replace(self._path)
