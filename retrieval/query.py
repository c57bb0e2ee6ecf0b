"""A typed query into what it asks for: meaning, exact words, words to leave out, filters.

Deterministic and offline. Every piece that became a filter is a clause, so that a person can see and undo it.
"""

import re
import unicodedata
from dataclasses import replace

from core.errors import BadQueryError
from core.types import Clause, Query, Where
from retrieval.words import squeeze

MAX_LENGTH = 2_000
"""Characters of a query. Text embedders read about 1,000 of them."""

_QUOTED = re.compile(r'(?P<minus>(?<!\S)-)?["“”„«](?P<phrase>[^"“”„«»]*)["“”»]')
_MINUS_WORD = re.compile(r"(?<!\S)-(?P<word>[^\W\d_][^\s\"]*)")


def parse(raw: str, where: Where | None = None) -> Query:
    """Understand ``raw`` on top of the caller's filter.

    ``"exact words"`` must stand in the picture's text; ``-word`` and ``-"some words"`` must not. A minus
    counts at the beginning of a word and before a letter ("x-ray", "-5" and a lone "-" are words); a quote
    that is not closed is a character like any other. The rest is searched by meaning.

    Raises ``BadQueryError`` for text over ``MAX_LENGTH`` characters.
    """
    if len(raw) > MAX_LENGTH:
        raise BadQueryError(f"a query of {len(raw)} characters is over the limit of {MAX_LENGTH}")
    where = where or Where()
    text = "".join(" " if unicodedata.category(char) == "Cc" else char for char in raw)
    clauses: list[Clause] = []
    phrases: list[str] = []
    without: list[str] = []

    def take_quoted(match: re.Match[str]) -> str:
        phrase = " ".join(match["phrase"].split())
        if not squeeze(phrase):
            return " "
        target, field = (without, "without") if match["minus"] else (phrases, "phrase")
        target.append(phrase)
        clauses.append(Clause(match[0].strip(), field, phrase))
        return " "

    def take_minus(match: re.Match[str]) -> str:
        word = match["word"].strip(".,;:!?")
        without.append(word)
        clauses.append(Clause(match[0], "without", word))
        return " "

    rest = _MINUS_WORD.sub(take_minus, _QUOTED.sub(take_quoted, text))
    combined = replace(where, phrases=(*where.phrases, *phrases), without=(*where.without, *without))
    return Query(raw=raw, text=" ".join(rest.split()), where=combined, clauses=tuple(clauses))
