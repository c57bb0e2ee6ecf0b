"""A typed question read with what is known at the doors: the clock, the locale, what the collection holds."""

import json
import os
import time
from collections.abc import Callable
from collections.abc import Collection as Names
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from askpix.core.files import written_whole
from askpix.core.types import Query, Where
from askpix.retrieval.query.base import Known
from askpix.retrieval.query.parser import EVERYTHING, parse
from askpix.retrieval.stores.base import VectorStore
from askpix.retrieval.stores.facets import FACETS, Count, Facets

KEPT = "known.json"
"""What a collection's folder calls the file that remembers what it holds."""
_KEPT_S = 600.0
"""Seconds. Counting the facets of 20,000 pictures takes 0.14 s: too long for every query."""


def understand(
    text: str,
    where: Where | None = None,
    *,
    store: VectorStore,
    kept: Path,
    off: Names[str] = (),
    beside_picture: bool = False,
    now: datetime | None = None,
    locale: str | None = None,
) -> Query:
    """``retrieval.query.parser.parse`` with the local time, the locale of this process and what ``store``
    holds.

    ``kept`` is the file that remembers what it holds. ``off`` as in ``parse``.
    """
    return parse(
        text,
        where,
        now=now or datetime.now(),
        locale=locale or _locale(),
        off=off,
        known=lambda: _known(store, kept),
        beside_picture=beside_picture,
    )


def reading_of(store: VectorStore, folder: Path, *, literal: bool) -> Callable[..., Query]:
    """``(question, filter=None) -> Query`` as a search of the collection in ``folder`` reads it; to measure.

    Quotes and minus signs of a caption are no operators. ``literal`` reads nothing.
    """
    off = (EVERYTHING,) if literal else ()

    def read(question: str, where: Where | None = None) -> Query:
        plain = question.replace('"', " ").replace(" -", " ")
        return understand(plain, where, store=store, kept=folder / KEPT, off=off)

    return read


def _known(store: VectorStore, kept: Path) -> Known:
    count = store.count()
    with suppress(OSError, ValueError, TypeError, KeyError, IndexError):
        found = json.loads(kept.read_text("utf-8"))
        if found["count"] == count and 0 <= time.time() - found["at"] < _KEPT_S:
            facets: Facets = {
                name: tuple(Count(each[0], each[1]) for each in found["facets"][name]) for name in FACETS
            }
            return Known.of(facets)
    facets = store.facets(Where(), most=2_000)
    # A disk that is full or read-only makes it slower, not wrong.
    with suppress(OSError), written_whole(kept) as draft:
        draft.write_text(json.dumps({"count": count, "at": time.time(), "facets": facets}), "utf-8")
    return Known.of(facets)


def _locale() -> str:
    return next((os.environ[name] for name in ("LC_ALL", "LC_TIME", "LANG") if os.environ.get(name)), "en")
