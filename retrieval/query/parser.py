"""A typed query into what it asks for: meaning, exact words, words to leave out, filters.

Deterministic and offline. Each reader proposes what some of the words mean; what is believed becomes a
clause, so that a person can see and undo it, and what no reader takes is searched by meaning. No word
disappears: each is in the text, in a part or in a clause. Readers are precise rather than clever: a date that
does not exist, a place nobody knows and a word that may be many things stay words.
"""

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from askpix.core.errors import BadQueryError
from askpix.core.types import Clause, Part, Query, Where
from askpix.retrieval.query.alternatives import read_lists
from askpix.retrieval.query.amounts import read_amounts
from askpix.retrieval.query.base import TAKEN, Claim, Context, Known, Reader, merged
from askpix.retrieval.query.dates import read_dates, read_days, read_months, read_seasons
from askpix.retrieval.query.denial import denied, read_denied
from askpix.retrieval.query.fields import read_fields
from askpix.retrieval.query.german import Aligned, to_grammar
from askpix.retrieval.query.media import read_cameras, read_files, read_kinds, read_tags, tag_of
from askpix.retrieval.query.operators import (
    read_likeness,
    read_minus,
    read_quotes,
    read_unwanted,
    read_weights,
)
from askpix.retrieval.query.places import read_places, read_points
from askpix.retrieval.query.ratings import read_ratings
from askpix.retrieval.query.times import read_moments, read_times
from askpix.retrieval.query.windows import Spots, claims_in, spots_of
from askpix.retrieval.text.tokenize import content_words, squeeze

MAX_LENGTH = 2_000
"""Characters of a query. Text embedders read about 1,000 of them."""
MAX_CLAUSES = 50
"""Filters and parts of a query: each is work for the store or the embedder."""
_MAX_ROUNDS = 8
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
EVERYTHING = "*"
"""Value in ``off`` that reads nothing at all."""

_SIGNS: tuple[Reader, ...] = (read_fields, read_files, read_quotes, read_minus, read_tags)
"""Typed on purpose: believed in any text. Quotes before words: what stands in them is meant literally."""
_PROSE: tuple[Reader, ...] = (
    read_likeness,
    read_denied,
    read_points,
    read_cameras,
    read_times,
    read_moments,
    read_ratings,
    read_amounts,
    read_lists,
    read_dates,
    read_months,
    read_seasons,
    read_days,
    read_places,
    read_kinds,
    read_unwanted,
)
"""Plain language. Not read in a question about what stands in a chart or on a page."""
_SPOTS: dict[Reader, str] = {
    **dict.fromkeys((read_points, read_amounts, read_lists, read_dates), "dates"),
    **dict.fromkeys((read_months, read_seasons, read_days), "dates"),
    **dict.fromkeys((read_times, read_moments), "hours"),
    read_denied: "denials",
}
"""Readers of what is made of certain words only."""
_MONTH_FIRST = frozenset({"us", "ph", "fm", "mh"})
"""Countries that write 05/12 for the twelfth of May."""
_JOURNEYS = frozenset({"trip", "travel", "journey", "visit"})
_MEDIUM = frozenset(
    "photo photograph picture image pic shot file thing stuff all every only just everything anything".split()
)


@dataclass(slots=True)
class _Reading:
    """State of the reading so far."""

    text: str
    where: Where
    off: frozenset[str]
    taken: list[Claim] = field(default_factory=list)
    clauses: list[Clause] = field(default_factory=list)


def parse(
    raw: str,
    where: Where | None = None,
    *,
    now: datetime | None = None,
    locale: str = "en",
    off: Collection[str] = (),
    known: Callable[[], Known] | None = None,
    beside_image: bool = False,
) -> Query:
    """Understand ``raw`` on top of the caller's filter.

    ``"exact words"`` must stand in the image's text; ``-word`` and ``-"some words"`` must not. A minus
    counts at the beginning of a word and before a letter ("x-ray", "-5" and a lone "-" are words); a quote
    that is not closed is a character like any other. ``field:value`` and plain language set the other filters
    (README, "What a query understands"). The rest is searched by meaning. Control characters count as spaces.

    ``now`` is local time; without it "last summer" stays words. ``locale`` ("en_US") says whether 05/12 is in
    December. ``off`` holds fields or words of clauses that shall stay words, or ``EVERYTHING``. ``known``
    tells what the collection holds; asked at most once, and only when words depend on it. ``beside_image``
    says that an image is asked with: "like this but at night" means it.

    Raises ``BadQueryError`` for text over ``MAX_LENGTH`` characters, for one that means over ``MAX_CLAUSES``
    filters and parts, and when the same words are both demanded and excluded.
    """
    if len(raw) > MAX_LENGTH:
        raise BadQueryError(f"a query of {len(raw)} characters is over the limit of {MAX_LENGTH}; shorten it")
    spaced = _CONTROL.sub(" ", raw)
    reading = _Reading(" ".join(spaced.split()), where or Where(), frozenset(off))
    if EVERYTHING not in reading.off:
        context = Context(
            reading.text,
            now=now,
            day_first=re.split(r"[-_.@]", locale.casefold() + "_")[1] not in _MONTH_FIRST,
            known=known,
            beside_image=beside_image,
        )
        readers = _SIGNS if context.about_content or context.printed else _SIGNS + _PROSE
        # What is taken out may bring words together that mean something now: "photos #a in #b May".
        near: list[int] | None = None
        for _ in range(_MAX_ROUNDS):
            near = _read(reading, readers, context, near)
            if not near:
                break
    _refuse_contradiction(reading.where)
    return _finished(raw, reading, where or Where())


def _read(
    reading: _Reading, readers: tuple[Reader, ...], context: Context, near: list[int] | None
) -> list[int]:
    """One round of all readers, ``near`` the places where the round before took words; where this one did."""
    masked = reading.text
    believed = list[Claim]()
    denials = set[int]()
    aligned: Aligned | None = None
    spots: Spots = {}
    count = len(reading.clauses)
    for read in readers:
        if read is _PROSE[0]:
            aligned = to_grammar(masked)
            spots = spots_of(aligned.text)
        source = aligned.text if aligned else masked
        kind = _SPOTS.get(read)
        only = spots[kind] if kind else None
        for found in claims_in(source, read, context, spots=only, near=near):
            claim = denied(found, source, denials)
            if TAKEN in source[claim.start : claim.end] or not source[claim.start : claim.end].strip():
                continue
            start, end = aligned.span(claim.start, claim.end) if aligned else (claim.start, claim.end)
            if aligned and aligned.translated and claim.field in ("tag", "not"):
                claim = _as_typed(claim, aligned, reading.text, context)
            words = reading.text[start:end]
            if not {claim.field, words.strip()} & reading.off:
                changed = merged(reading.where, claim.where, negative=claim.negative)
                if changed is None:
                    continue
                reading.where = changed
                believed.append(replace(claim, start=start, end=end))
                if claim.negative:
                    denials.add(claim.end)
                count += bool(claim.field)
                _check_count(count)
            source = source[: claim.start] + TAKEN * (claim.end - claim.start) + source[claim.end :]
            if aligned:
                aligned = replace(aligned, text=source)
            else:
                masked = source
    return _taken(reading, sorted(believed, key=lambda claim: claim.start))


def _as_typed(claim: Claim, aligned: Aligned, typed: str, context: Context) -> Claim:
    """A tag or a thing in the words that were typed, not in the grammar's."""
    first = claim.end - len(claim.value)
    if aligned.text[first : claim.end] != claim.value:
        return claim
    start, end = aligned.span(first, claim.end)
    words = typed[start:end]
    if claim.field == "tag":
        tag = tag_of(words, context)
        return replace(claim, value=tag, where={"tags": (tag,)})
    return replace(claim, value=words, parts=tuple(Part(words, part.weight) for part in claim.parts))


def _taken(reading: _Reading, believed: Sequence[Claim]) -> list[int]:
    """Take what is believed out of the text; where it stood in what is left."""
    pieces: list[str] = []
    changes: list[int] = []
    at = length = 0
    for claim in believed:
        words = reading.text[claim.start : claim.end].strip()
        if claim.field:
            negative = claim.negative or claim.field in ("without", "not")
            reading.clauses.append(Clause(words, claim.field, claim.value, negative))
        reading.taken.append(claim)
        piece = f"{reading.text[at : claim.start]} {claim.kept} "
        pieces.append(piece)
        length += len(" ".join(piece.split())) + 1
        changes.append(length)
        at = claim.end
    reading.text = " ".join("".join([*pieces, reading.text[at:]]).split())
    if believed:
        reading.text = _tidy(reading.text)
    return changes


def _finished(raw: str, reading: _Reading, asked: Where) -> Query:
    """The query: words that carry no meaning become a clause of their own, and the parts are put together."""
    text = reading.text
    parts = list[Part]()
    unwanted = [part for claim in reading.taken for part in claim.parts]
    if EVERYTHING not in reading.off and "weight" not in reading.off:
        weights = list(read_weights(text, Context("")))
        rest = text
        for claim in reversed(weights):
            reading.clauses.append(Clause(text[claim.start : claim.end], claim.field, claim.value))
            rest = f"{rest[: claim.start]} {rest[claim.end :]}"
            text = f"{text[: claim.start]}{claim.kept}{text[claim.end :]}"
        parts = [part for claim in weights for part in claim.parts]
        if weights and (rest := " ".join(rest.split())):
            parts.insert(0, Part(rest))
        text = " ".join(text.split())
    filters = reading.where != asked or unwanted
    placed = any(clause.field in ("near", "country") for clause in reading.clauses)
    if text and not parts and filters and "filler" not in reading.off and _says_nothing(text, placed=placed):
        reading.clauses.append(Clause(text, "filler", ""))
        text = ""
    if unwanted and not text:
        # Words that must not be in the text are a filter and need no ranking.
        unwanted = [part for claim in reading.taken if claim.field == "not" for part in claim.parts]
    if unwanted:
        parts = [*(parts or ([Part(text)] if text else [])), *unwanted]
    _check_count(len(reading.clauses))
    order = " ".join(raw.split())
    clauses = sorted(reading.clauses, key=lambda clause: order.find(clause.words) % (MAX_LENGTH + 1))
    return Query(raw=raw, text=text, where=reading.where, clauses=tuple(clauses), parts=tuple(parts))


def _tidy(text: str) -> str:
    """Without the commas and spaces that stood around what was taken out."""
    return re.sub(r"\s+(?=[,;.?!](?:\s|$))", "", text).strip(" ,;")


def _check_count(count: int) -> None:
    if count > MAX_CLAUSES:
        raise BadQueryError(
            f"a query of {count} filters and parts is over the limit of {MAX_CLAUSES}; cut it"
        )


def _says_nothing(text: str, *, placed: bool) -> bool:
    """Return whether words say nothing of what an image shows: "my trip" says no more than the place it
    went to.
    """
    words = set(content_words(to_grammar(text).text)) - _MEDIUM
    # "2:" is what a weight leaves of "2:in Lisbon".
    return not (words - _JOURNEYS if placed else words) or re.fullmatch(r"[\d.]+:", text) is not None


def _refuse_contradiction(where: Where) -> None:
    excluded = {squeeze(phrase) for phrase in where.without}
    for phrase in where.phrases:
        if squeeze(phrase) in excluded:
            raise BadQueryError(f"{phrase!r} is both demanded and excluded; take one of them out")
