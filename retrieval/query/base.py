"""Readings of a query: these characters mean that filter. ``query.parse`` accepts them or not."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from dataclasses import field as attribute
from datetime import datetime
from functools import cached_property
from typing import Any, TypeAlias

from askpix.core.types import Part, Where
from askpix.retrieval.stores.conditions import name_as_seen
from askpix.retrieval.stores.facets import Facets

TAKEN = "\n"
"""Stands where a reader took characters: no pattern reaches across it."""


@dataclass(frozen=True, slots=True)
class Claim:
    """``text[start:end]`` became ``field`` = ``value``: a change of the filter, or parts for the vectors."""

    start: int
    end: int
    field: str
    value: str
    where: Mapping[str, Any] = attribute(default_factory=dict)
    parts: tuple[Part, ...] = ()
    kept: str = ""
    """Text that stays in its place."""
    negative: bool = False
    """True if what the change names is excluded."""


@dataclass(frozen=True, slots=True)
class Known:
    """Names that a collection holds: they confirm words that could mean many things."""

    kinds: frozenset[str]
    years: frozenset[int]
    countries: frozenset[str]
    cities: frozenset[str]
    cameras: tuple[str, ...]
    tags: Mapping[str, str]
    """Tags by their names as people see them: ``name_as_seen``."""

    @classmethod
    def of(cls, facets: Facets) -> "Known":
        """Return what the facets of a whole collection name."""
        return cls(
            kinds=frozenset(str(each.value) for each in facets["kinds"]),
            years=frozenset(int(each.value) for each in facets["years"]),
            countries=frozenset(str(each.value) for each in facets["countries"]),
            cities=frozenset(str(each.value) for each in facets["cities"]),
            cameras=tuple(str(each.value).casefold() for each in facets["cameras"]),
            tags={name_as_seen(str(each.value)): str(each.value) for each in facets["tags"]},
        )


class Context:
    """Context of a query beside its words: the time, the order of day and month, the collection."""

    def __init__(
        self,
        text: str,
        *,
        now: datetime | None = None,
        day_first: bool = True,
        known: Callable[[], Known] | None = None,
        beside_image: bool = False,
    ) -> None:
        self.now = now
        self.day_first = day_first
        self.beside_image = beside_image
        self._known = known
        self.about_images = bool(_ABOUT_IMAGES.search(text))
        asks = _QUESTION.match(text) or text.rstrip().endswith("?")
        self.about_content = bool(asks) and not (_NAMES_IMAGES.search(text) or _FIRST_PERSON.search(text))
        """A question about what stands in a chart or a page: "in 2015" is part of what is asked."""
        self.printed = bool(_PRINTED.match(text)) and not self.about_images
        """Copied from a page: "DATE: March 27, 1984". Its words are what is sought, and no filter."""
        self.about_money = bool(_MONEY.search(text))

    @cached_property
    def known(self) -> Known | None:
        """Names that the collection holds, asked for when the first reader wants to know."""
        return self._known() if self._known else None


_REACH = 60


def text_before(text: str, at: int) -> str:
    """Return what stands right before a place of the text: readers look no further back, however long it
    is.
    """
    return text[max(0, at - _REACH) : at]


_QUESTION = re.compile(
    r"\W*(?:in|on|at|for|by|from|of|to|among|between|as of|according to|based on)?\s*(?:the year \d+,?"
    r"|\d{4},?)?\s*(?:what|which|who|whom|whose|when|where|why|how|is|are|was|were|do|does|did|has|have"
    r"|had|can|could|will)\b",
    re.IGNORECASE,
)
_PRINTED = re.compile(r"\W*(?:[A-Z][\w./ -]{1,40}:\s|(?:DATE|Date)\b(?! (?:of|from)\b))")
_ABOUT_IMAGES = re.compile(
    r"\b(?:photo|photograph|picture|pic|image|snapshot|shot|selfie|video|screenshot|screen ?shot"
    r"|receipt|invoice|bill"
    r"|ticket|scan|document|statement|trip|vacation|holiday|wedding|birthday|honeymoon|travel|party)s?\b",
    re.IGNORECASE,
)
_NAMES_IMAGES = re.compile(
    r"\b(?:photo|photograph|picture|image|snapshot|selfie|video|screenshot|receipt|invoice)s?\b",
    re.IGNORECASE,
)
_FIRST_PERSON = re.compile(r"\b(?:[iI]|[wW]e|[mM]e|[mM]y|[oO]ur|us|mine|ours)\b")
_MONEY = re.compile(
    r"\b(?:receipt|invoice|bill|ticket|purchase|payment|expense|order|paid|pay|spent|spend|cost|price"
    r"|total|amount)"
    r"(?:s|ing|ed|ings)?\b",
    re.IGNORECASE,
)

Reader: TypeAlias = Callable[[str, Context], Iterator[Claim]]


def merged(where: Where, change: Mapping[str, Any], *, negative: bool = False) -> Where | None:
    """The filter with the change; None when it cannot be had together with what the filter already says."""
    if negative:
        denied = Where(**change)
        return where if denied in where.must_not else replace(where, must_not=(*where.must_not, denied))
    joined = {name: _joined(name, getattr(where, name), value) for name, value in change.items()}
    if any(value is None for value in joined.values()):
        return None
    result = replace(where, **joined)
    if result.after and result.before and result.after >= result.before:
        return None
    for low, high in ((result.amount_min, result.amount_max), (result.rating_min, result.rating_max)):
        if low is not None and high is not None and low > high:
            return None
    return result


def _joined(name: str, old: Any, new: Any) -> Any:
    """Both values of a field as one that means both; None when there is none."""
    if name in ("tags", "phrases", "without"):
        return tuple(dict.fromkeys((*old, *new)))
    if name == "spans":
        return new if not old or old == new else None
    if name in ("months", "weekdays", "hours"):
        return tuple(item for item in new if item in old) or None if old else new
    if old is None or old == new:
        return new
    if name in ("after", "amount_min", "rating_min"):
        return max(old, new)
    if name in ("before", "amount_max", "rating_max"):
        return min(old, new)
    if name == "path" and old.endswith("/*") and "/" not in new:
        return old + new.lstrip("*")
    return None
