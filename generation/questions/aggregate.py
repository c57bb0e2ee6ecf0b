"""Questions about the whole collection rather than about a few images: "How many receipts in 2018?"

Read by rules that are precise rather than clever: what is counted must be images ("photos", "receipts",
"screens I took"), or something that somebody photographed. "How many pages does the report have?" asks what
stands in an image and is none of these. What is left of the words is a search: dates, places and what
images show are read from it elsewhere.
"""

import re
from dataclasses import dataclass

from askpix.generation.questions import aggregate_patterns as patterns
from askpix.generation.questions.aggregate_patterns import By, What
from askpix.retrieval.query.german import to_grammar


@dataclass(frozen=True, slots=True)
class ArchiveAsked:
    """A question about a collection, as understood."""

    what: What
    search: str
    """Words for the search, "photos of dogs in 2018"; "" for all."""
    noun: str = "picture"
    """Name that the question gives them, in the singular."""
    by: By | None = None
    limit: int = 1
    """Number of ``first`` and ``last`` that are wanted."""
    days: bool = False
    """True if days count, not images."""


def read_archive_question(question: str) -> ArchiveAsked | None:
    """Parse a question about the whole collection; None for one about what a few images hold."""
    text = to_grammar(" ".join(question.split()).rstrip(" ?!.")).text
    if not text or len(text) > 500:
        return None
    for read in (_span, _money, _often, _which, _most, _counted, _ordered, _grouped):
        if found := read(text):
            return found
    return None


def _span(text: str) -> ArchiveAsked | None:
    match = patterns.SPAN.match(text)
    return ArchiveAsked("span", _rest(match["rest"])) if match else None


_AT_A_NAME = re.compile(r" (?:at|in|with|on) (?!(?:the|this|that|these|a|an|my|it|them)\b)\w", re.IGNORECASE)


def _money(text: str) -> ArchiveAsked | None:
    if match := patterns.EXTREME.match(text):
        much = (match["much"] or match["much2"]).casefold()
        noun = _singular(match["noun"] or match["noun2"])
        rest = match["rest"] or match["rest2"] or ""
        if patterns.SEEN_THERE.search(rest):
            return None
        return ArchiveAsked("lowest" if much in patterns.LOW else "highest", _search(noun, rest), noun)
    if match := patterns.LIST.match(text):
        noun = _singular(match["noun"])
        return ArchiveAsked("list", _search(noun, match["rest"]), noun)
    if match := patterns.SUM.match(text):
        noun = _singular(match["noun"])
        rest, by = _by(match["rest"])
        return ArchiveAsked("sum", _search(noun, rest), noun, by)
    match = patterns.SPEND.match(text)
    spent = match and _AT_A_NAME.match(match["rest"]) and "spen" in match[0].casefold()
    if match and (spent or patterns.ALTOGETHER.search(match["rest"]) or patterns.PER.search(match["rest"])):
        rest, by = _by(patterns.ALTOGETHER.sub(" ", match["rest"]))
        return ArchiveAsked(
            "sum", _search("receipt", re.sub(r"^ ?(?:at|on|for) ", " from ", rest)), "receipt", by
        )
    return None


def _often(text: str) -> ArchiveAsked | None:
    if match := patterns.HOW_OFTEN.match(text):
        return ArchiveAsked("count", _rest(match["rest"]), days=True)
    if match := patterns.DID_I.match(text):
        return ArchiveAsked("count", _rest(f"{match['thing']} {match['rest']}"))
    match = patterns.WHEN_FIRST.match(text)
    if not match:
        return None
    order = (match["order"] or match["order2"]).casefold()
    rest = match["rest"] if match["rest"] is not None else match["rest2"]
    return ArchiveAsked("last" if order in patterns.LATE else "first", _rest(rest or ""))


def _which(text: str) -> ArchiveAsked | None:
    match = patterns.WHICH.match(text)
    if not match or patterns.MUCH.search(text) or re.search(rf"\b{patterns.ORDER}\b", text, re.IGNORECASE):
        return None
    return ArchiveAsked("group", _rest(match["rest"]), by=_group(match["by"]))


def _most(text: str) -> ArchiveAsked | None:
    if match := patterns.WHEN_MOST.match(text):
        by: By = "city" if match["q"].casefold() == "where" else "month"
        noun = _singular(match["noun"])
        return ArchiveAsked(_much(match["much"]), _search(noun, match["rest"]), noun, by)
    match = patterns.MOST.match(text)
    if not match:
        return None
    much = patterns.MUCH.search(match["rest"])
    asks = re.search(rf"\b(?:i|we|my|our)\b|\b{patterns.NOUN}\b", match["rest"], re.IGNORECASE)
    if not much or not asks or patterns.SEEN_THERE.search(patterns.MUCH.sub(" ", match["rest"])):
        return None
    if not much["noun"] and not re.search(
        r"\b(?:photograph|use|take|took|shoot|photos|pictures)", text, re.IGNORECASE
    ):
        return None
    noun = _singular(much["noun"] or "picture")
    rest = match["rest"][: much.start()] + " " + match["rest"][much.end() :]
    rest = (
        re.sub(
            r"\b(?:has|had|have|with|did|do|i|we|my|took|take|taken|shoot|shot|made|make|use[d]?|"
            r"were|was|are|is|there|photograph(?:ed)?|often)\b",
            " ",
            rest,
            flags=re.IGNORECASE,
        )
        if not re.search(r"\b(?:of|with|from|in|showing) ", match["rest"][much.end() :])
        else match["rest"][much.end() :]
    )
    return ArchiveAsked(_much(much["much"]), _search(noun, rest), noun, _group(match["by"]))


def _counted(text: str) -> ArchiveAsked | None:
    match = patterns.HOW_MANY.match(text)
    if not match:
        return None
    rest = match["rest"].strip()
    if patterns.SEEN_THERE.search(f"{match['adj']}{rest}"):
        return None
    if _singular(match["noun"]) in patterns.INSIDE and not patterns.OWN.search(text):
        return None
    opened = re.match(
        rf"(?:{patterns.MINE}|(?:were|are|was|is) (?:taken|shot|made|dated|tagged|from|of|in|with|about|"
        rf"scanned)|{patterns.OF_IMAGE})\b",
        rest,
        re.IGNORECASE,
    )
    if rest and not opened and not patterns.PER.match(rest) and not patterns.A_YEAR.match(rest):
        return None
    noun = _singular(match["noun"])
    left, by = _by(rest)
    return ArchiveAsked("group" if by else "count", _search(noun, left, match["adj"]), noun, by)


def _ordered(text: str) -> ArchiveAsked | None:
    match = patterns.FIRST.match(text)
    if (
        not match
        or patterns.SEEN_THERE.search(match["rest"])
        or re.search(r"\bsays?\b|\babout$", match["rest"])
    ):
        return None
    if _singular(match["noun"]) in patterns.INSIDE and not patterns.OWN.search(text):
        return None
    rest = match["rest"].strip()
    if rest and not re.match(
        rf"(?:{patterns.OF_IMAGE}|(?:i|we|that|taken|was|is) )\b", f"{rest} ", re.IGNORECASE
    ):
        return None
    noun = _singular(match["noun"])
    written = match["limit"] or ("1" if not match["noun"].casefold().endswith("s") else "5")
    limit = patterns.LIMITS.get(written.casefold()) or max(1, min(20, int(written)))
    late = match["order"].casefold() in patterns.LATE
    return ArchiveAsked("last" if late else "first", _search(noun, rest, match["adj"]), noun, limit=limit)


def _grouped(text: str) -> ArchiveAsked | None:
    match = patterns.PLAIN_PER.match(text)
    if not match:
        return None
    rest, by = _by(match["rest"])
    if by is None or patterns.SEEN_THERE.search(rest):
        return None
    noun = _singular(match["noun"])
    return ArchiveAsked("group", _search(noun, rest), noun, by)


def _by(rest: str) -> tuple[str, By | None]:
    found = patterns.PER.search(rest) or patterns.A_YEAR.search(rest)
    if not found:
        return rest, None
    return f"{rest[: found.start()]} {rest[found.end() :]}", _group(found["by"])


def _group(words: str) -> By:
    return next(by for by, pattern in patterns.GROUPS if re.fullmatch(pattern, words, re.IGNORECASE))


def _much(word: str) -> What:
    return "most" if word.casefold() == "most" else "fewest"


def _singular(noun: str) -> str:
    noun = noun.casefold().replace(" ", "")
    return noun[:-1] if noun.endswith("s") else noun


_ANY_NOUN = frozenset({"picture", "image", "pic", "snap", "shot", "snapshot", "file", "photograph", "photo"})
"""Nouns that name no kind: every image is one."""


def _search(noun: str, rest: str, adjectives: str = "") -> str:
    """``rest`` as words of a search, with the noun where it says what the images are."""
    left = _rest(rest)
    adjectives = re.sub(r"\b(?:different|distinct|of|all|my|our|the)\b", " ", adjectives, flags=re.IGNORECASE)
    said = " ".join(f"{adjectives} {'' if noun in _ANY_NOUN else noun + 's'} {left}".split())
    return said


def _rest(rest: str) -> str:
    left = patterns.FILL.sub(" ", rest)
    left = re.sub(
        r"^\W*(?:of|with|that|which|show(?:s|ing)?|contain(?:s|ing)?|have|has|about|mention(?:s|ing)?)\b",
        " ",
        " ".join(left.split()),
        flags=re.IGNORECASE,
    )
    left = re.sub(
        r"^\W*(?:there )?(?:an?|the|any|some|my|our)\b(?! \d)",
        " ",
        " ".join(left.split()),
        flags=re.IGNORECASE,
    )
    return " ".join(left.split()).strip(" ,;:")
