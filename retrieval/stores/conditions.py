"""Meaning of a filter in terms of the stored fields of an image (``payload``), whatever the engine."""

import fnmatch
import math
import re
import unicodedata
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Literal, NamedTuple

from askpix.core.errors import BadQueryError
from askpix.core.types import MAX_RATING, Where, rating_tag
from askpix.retrieval.stores.derived_fields import on_globe, whole_years
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


_ACCENTS = re.compile("[\u0300-\u036f]")
_SURROGATE = re.compile("[\ud800-\udfff]")


def clean(text: str) -> str:
    """``text`` without lone surrogates (file names that are not UTF-8 hold them), which no engine stores."""
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


def name_as_seen(name: str) -> str:
    """A name as compared: case, accents and the way in which they are composed do not matter."""
    name = clean(name).casefold()
    if name.isascii():
        return name
    bare = _ACCENTS.sub("", unicodedata.normalize("NFD", name))
    return unicodedata.normalize("NFC", bare)


def path_key(path: str) -> str:
    """A path or glob as compared: as ``name_as_seen``, and the kind of slash does not matter."""
    return name_as_seen(path).replace("\\", "/")


def iso(moment: datetime | None) -> str | None:
    """Local time without a zone, written as UTC because some engines compare instants. Sorts as text."""
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z" if moment else None


def longest_literal(glob: str) -> str:
    """The longest piece of a glob without wildcards, as ``path_key`` writes paths."""
    # From the first bracket on, what is literal is not worth finding out.
    before_bracket = _glob_key(glob).partition("[")[0]
    return max(re.split(r"[*?]", before_bracket), key=len)


def _glob_key(glob: str) -> str:
    return path_key(glob).removeprefix("./")


def path_pattern(glob: str) -> re.Pattern[str]:
    """Return the pattern of a ``path_key`` whose end, from the start or after a slash, fits the glob."""
    return re.compile(r"(?s:(?:.*/)?)" + fnmatch.translate(_glob_key(glob)))


class Check:
    """Test for what the engine's filter cannot express exactly: globs and phrases."""

    def __init__(self, where: Where) -> None:
        self._path = path_pattern(where.path) if where.path else None
        self._other_paths = [path_pattern(each.path) for each in where.must_not if each.path]
        self._phrases = tuple(phrase for phrase in where.phrases if squeeze(phrase))
        unwanted = [*where.without, *(phrase for each in where.must_not for phrase in each.phrases)]
        self._without = tuple(phrase for phrase in unwanted if squeeze(phrase))
        texts = ["text"] if self._phrases or self._without else []
        self.fields = (["paths"] if self._path or self._other_paths else []) + texts
        """Payload fields that the test needs; empty when the filter alone is exact."""

    def __call__(self, payload: dict[str, Any] | None) -> bool:
        """Return whether a stored payload satisfies the filter."""
        if not self.fields:
            return True
        payload = payload or {}
        paths = payload.get("paths") or ()
        if self._path and not any(self._path.match(path_key(path)) for path in paths):
            return False
        if any(pattern.match(path_key(path)) for pattern in self._other_paths for path in paths):
            return False
        text = payload.get("text") or ""
        if not all(has_phrase(text, phrase) for phrase in self._phrases):
            return False
        return not any(has_phrase(text, phrase) for phrase in self._without)


class Condition(NamedTuple):
    """Condition on a field; of several values one is enough.

    ``in``: one of a sequence; ``holds``: a value with this text in it; ``moments``: from, until (exclusive);
    ``numbers``: least, greatest; bounds may be None; ``circle``: a ``Near``; ``absent``: no value.
    """

    field: str
    op: Literal["in", "holds", "moments", "numbers", "circle", "absent"]
    value: Any = None


class Clause(NamedTuple):
    """Conditions of which one must hold, or none of them may."""

    any_of: tuple[Condition, ...]
    negative: bool = False


def to_clauses(where: Where) -> list[Clause]:
    """Return what must hold, all of it: exact but for paths and phrases, which it narrows down for ``Check``.

    A place that is not on the globe, and a denial of a denial, is a ``BadQueryError``.
    """
    clauses = [Clause(each) for each in _conditions(where, narrow=True)]
    clauses += _stars(where, negative=False)
    for denied in where.must_not:
        if denied.must_not or denied.without:
            raise BadQueryError("'must_not' holds what is denied; it cannot hold 'must_not' or 'without'")
        # Paths and phrases are left to ``Check``: what only narrows down would deny too much.
        clauses += [Clause(each, negative=True) for each in _conditions(denied, narrow=False)]
        clauses += _stars(denied, negative=True)
    return clauses


def _conditions(where: Where, *, narrow: bool) -> list[tuple[Condition, ...]]:
    # A store of an earlier version has no ``tag_keys``.
    every: list[tuple[Condition, ...]] = [
        (Condition("tag_keys", "in", (name_as_seen(tag),)), Condition("tags", "in", (clean(tag),)))
        for tag in where.tags
    ]
    found: list[Condition] = []
    if where.kind:
        found.append(Condition("kind", "in", (clean(where.kind),)))
    if where.camera:
        found.append(Condition("camera_key", "holds", clean(where.camera).casefold()))
    for field, wanted in (("months", where.months), ("weekdays", where.weekdays), ("hour", where.hours)):
        if wanted:
            found.append(Condition(field, "in", wanted))
    if where.amount_min is not None or where.amount_max is not None:
        found.append(Condition("amounts", "numbers", (where.amount_min, where.amount_max)))
    found += _place(where)
    if narrow and where.path and (piece := longest_literal(where.path)):
        found.append(Condition("paths", "holds", piece))
    for phrase in where.phrases if narrow else ():
        # Whatever ``has_phrase`` accepts holds the phrase's letters and digits in one piece.
        if piece := squeeze(clean(phrase)):
            found.append(Condition("squeezed", "holds", piece))
    every += [(condition,) for condition in found]
    if where.after or where.before:
        every.append(_when(where.after, where.before))
    if where.spans:
        every.append(tuple(each for span in where.spans for each in _when(*span)))
    return every


def _stars(where: Where, *, negative: bool) -> Iterator[Clause]:
    """A rating is a tag, and no rating is none of them."""
    if where.rating_min is None and where.rating_max is None:
        return
    low = 1 if where.rating_min is None else where.rating_min
    high = MAX_RATING if where.rating_max is None else where.rating_max
    meant = range(low, high + 1)
    with_unrated = 0 in meant
    named = tuple(rating_tag(n) for n in range(-1, MAX_RATING + 1) if n and (n in meant) != with_unrated)
    if named or not with_unrated:
        yield Clause((Condition("tags", "in", named),), negative=negative != with_unrated)
    elif negative:
        raise BadQueryError("'must_not' denies every rating and none: nothing can be found")


def _place(where: Where) -> Iterator[Condition]:
    if where.country:
        field = "region" if "-" in where.country else "country"
        yield Condition(field, "in", (clean(where.country),))
    if near := where.near:
        if not (on_globe(near.lat, near.lon) and 0 <= near.km < math.inf):
            raise BadQueryError(
                f"no such place: {near.lat!r},{near.lon!r},{near.km!r}; latitude is -90 to 90, longitude -180"
                " to 180, and the distance in km not negative"
            )
        yield Condition("location", "circle", near)


def _when(after: datetime | None, before: datetime | None) -> tuple[Condition, ...]:
    """Taken then, or without a date of its own (the other fields are empty else) and written of then."""
    span = iso(after), iso(before)
    first, end = whole_years(after, before)
    years = first, None if end is None else end - 1
    return (
        Condition("taken_at", "moments", span),
        Condition("written", "moments", span),
        Condition("written_years", "numbers", years),
    )
