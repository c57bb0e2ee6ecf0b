"""Check hits against a filter exactly, where an engine can only narrow."""

import fnmatch
import re
from datetime import datetime
from typing import Any

from askpix.core.types import Where
from askpix.retrieval.stores.facets import Facet
from askpix.retrieval.text.tokenize import has_phrase, squeeze

FACET_FIELDS: dict[Facet, str] = {
    "kinds": "kind",
    "years": "years",
    "months": "months",
    "countries": "country",
    "cities": "city",
    "cameras": "camera",
    "tags": "tags",
}
"""The payload field of each facet; all of them are in ``INDEXES``."""


_SURROGATE = re.compile("[\ud800-\udfff]")


def clean(text: str) -> str:
    """``text`` without lone surrogates (file names that are not UTF-8 hold them), which no engine stores."""
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


def path_key(path: str) -> str:
    """A path or glob as compared: case and the kind of slash do not matter."""
    return clean(path).casefold().replace("\\", "/")


def iso(moment: datetime | None) -> str | None:
    """Local time without a zone, written as UTC because some engines compare instants. Sorts as text."""
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z" if moment else None


def city_ending(country: str) -> str | None:
    """How the cities of a state end: ", CA, US" for "US-CA"; None for a country."""
    nation, dash, state = country.partition("-")
    return f", {clean(state)}, {clean(nation)}" if dash else None


def longest_literal(glob: str) -> str:
    """The longest piece of a glob without wildcards, as ``path_key`` writes paths."""
    # From the first bracket on, what is literal is not worth finding out.
    before_bracket = _glob_key(glob).partition("[")[0]
    return max(re.split(r"[*?]", before_bracket), key=len)


def _glob_key(glob: str) -> str:
    return path_key(glob).removeprefix("./")


def path_pattern(glob: str) -> re.Pattern[str]:
    """What matches a ``path_key`` whose end, from the start or after some slash, fits the glob."""
    return re.compile(r"(?s:(?:.*/)?)" + fnmatch.translate(_glob_key(glob)))


class Check:
    """What the filter of an engine cannot say exactly: globs and phrases."""

    def __init__(self, where: Where) -> None:
        self._path = path_pattern(where.path) if where.path else None
        self._phrases = tuple(phrase for phrase in where.phrases if squeeze(phrase))
        self._without = tuple(phrase for phrase in where.without if squeeze(phrase))
        texts = ["text"] if self._phrases or self._without else []
        self.fields = (["paths"] if self._path else []) + texts
        """What it needs of a payload; nothing when the filter alone is exact."""

    def __call__(self, payload: dict[str, Any] | None) -> bool:
        """Whether a stored payload really satisfies the filter."""
        if not self.fields:
            return True
        payload = payload or {}
        if self._path and not any(self._path.match(path) for path in payload.get("paths") or ()):
            return False
        text = payload.get("text") or ""
        if not all(has_phrase(text, phrase) for phrase in self._phrases):
            return False
        return not any(has_phrase(text, phrase) for phrase in self._without)
