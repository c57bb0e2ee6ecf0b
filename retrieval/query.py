"""A typed query into what it asks for: meaning, exact words, words to leave out, filters.

Deterministic and offline. Each reader below takes its words out of the text and notes a clause for them, so
that a person can see and undo it; what no reader takes is searched by meaning.
"""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from core.errors import BadQueryError
from core.types import Clause, Query, Where
from retrieval.words import squeeze

MAX_LENGTH = 2_000
"""Characters of a query. Text embedders read about 1,000 of them."""

# A quote opens where no word ends and closes where none begins: 19" is a size, not the start of a phrase.
_QUOTED = re.compile(r'(?P<minus>(?<!\S)-)?(?<!\w)["“”„«](?P<phrase>[^"“”„«»]*)["“”»](?!\w)')
_MINUS_WORD = re.compile(r"(?<!\S)-(?P<word>[^\W\d_][^\s\"“”„«»]*)")
_AROUND = ".,;:!?()[]{}'’"


@dataclass(slots=True)
class _Reading:
    """The filter as it grows, and the clauses in the order they were read."""

    where: Where
    clauses: list[Clause] = field(default_factory=list)

    def note(self, words: str, name: str, value: str) -> None:
        self.clauses.append(Clause(words, name, value))


def parse(raw: str, where: Where | None = None) -> Query:
    """Understand ``raw`` on top of the caller's filter.

    ``"exact words"`` must stand in the picture's text; ``-word`` and ``-"some words"`` must not. A minus
    counts at the beginning of a word and before a letter ("x-ray", "-5" and a lone "-" are words); a quote
    that is not closed is a character like any other. The rest is searched by meaning. Control characters
    count as spaces.

    Raises ``BadQueryError`` for text over ``MAX_LENGTH`` characters, and when the same words are both
    demanded and excluded.
    """
    if len(raw) > MAX_LENGTH:
        raise BadQueryError(f"a query of {len(raw)} characters is over the limit of {MAX_LENGTH}; shorten it")
    text = "".join(" " if unicodedata.category(char) in {"Cc", "Cs"} else char for char in raw)
    reading = _Reading(where or Where())
    for read in _READERS:
        text = read(text, reading)
    _refuse_contradiction(reading.where)
    return Query(raw=raw, text=" ".join(text.split()), where=reading.where, clauses=tuple(reading.clauses))


def _quoted(text: str, reading: _Reading) -> str:
    def take(match: re.Match[str]) -> str:
        phrase = " ".join(match["phrase"].split())
        if not squeeze(phrase):
            return " "  # quotes around nothing that could be found
        if match["minus"]:
            _exclude(phrase, match[0], reading)
        else:
            demanded = (*reading.where.phrases, phrase)
            reading.where = replace(reading.where, phrases=tuple(dict.fromkeys(demanded)))
            reading.note(match[0], "phrase", phrase)
        return " "

    return _QUOTED.sub(take, text)


def _minus(text: str, reading: _Reading) -> str:
    def take(match: re.Match[str]) -> str:
        _exclude(match["word"].strip(_AROUND), match[0], reading)
        return " "

    return _MINUS_WORD.sub(take, text)


def _exclude(phrase: str, words: str, reading: _Reading) -> None:
    excluded = (*reading.where.without, phrase)
    reading.where = replace(reading.where, without=tuple(dict.fromkeys(excluded)))
    reading.note(words, "without", phrase)


def _refuse_contradiction(where: Where) -> None:
    excluded = {squeeze(phrase) for phrase in where.without}
    for phrase in where.phrases:
        if squeeze(phrase) in excluded:
            raise BadQueryError(f"{phrase!r} is both demanded and excluded; take one of them out")


_READERS: tuple[Callable[[str, _Reading], str], ...] = (_quoted, _minus)
"""Quotes first: what stands in them is meant literally."""
