"""The signs of a query and what it does not want: "quotes", -minus, 2:weights, "without people"."""

import re
from collections.abc import Iterator

from askpix.core.types import Part
from askpix.retrieval.query.base import Claim, Context
from askpix.retrieval.text.tokenize import content_words, squeeze

UNWANTED = -0.3
"""Weight of what must not be seen, beside 1 for what is sought.

Measured with ``mini`` on 83 pairs of things in 854 captioned photos: the mean average precision of "a and not
b" is 0.368 with it, 0.364 without what is not wanted, 0.345 for the words "a without b"; from -0.2 to -0.4 it
is flat.
"""

# A quote opens where no word ends and closes where none begins: 19" is a size, not the start of a phrase.
_QUOTED = re.compile(
    r'(?P<minus>(?<!\S)-|(?<!\S)(?:but )?(?:not|without)\s+)?(?<!\w)["“”„«]'
    r'(?P<phrase>[^"“”„«»\n]*)["“”»](?!\w)'
)
_MINUS_WORD = re.compile(r"(?<!\S)-(?P<word>[^\W\d_][^\s\"“”„«»]*)")
_AROUND = ".,;:!?()[]{}'’"
_WEIGHT = re.compile(
    r"(?<!\S)(?P<w>\d{1,2}(?:\.\d{1,3})?"
    r"|\.\d{1,3}):(?P<t>[^\W\d_][^\n]*?)(?=\s+(?:\d{1,2}(?:\.\d{1,3})?|\.\d{1,3}):[^\W\d_]|\s*$|\s*\n)"
)
_LIKE = re.compile(
    r"\A\W*(?:(?:something|anything|more|a picture|pictures|photos|one|ones|the) )?(?:like (?:this"
    r"|that|it)(?: one| picture| photo| image)?"
    r"|similar(?: to (?:this|that))?|(?:the )?same(?: (?:thing|scene|place|picture|photo|as this))?"
    r"|this(?: one| picture| photo| image)?)"
    r"(?:,? (?:but|only|except|just)(?: (?:is|was|it is))?)?(?=\W|$)",
    re.IGNORECASE,
)
_WANT = r"(?P<n>(?:any |a |an |the |some )?[^\W\d_][\w'’-]*(?: [^\W\d_][\w'’-]*){0,3})"
_WITHOUT = re.compile(
    r"(?<![\w-])(?:(?:any|every)thing but|(?:but |and )?(?:without|with no|(?<=but )no|excluding"
    rf"|except(?: for)?|not including|other than))\s+{_WANT}",
    re.IGNORECASE,
)
_NOT = re.compile(rf"(?P<before>\b[\w'’]+\s+)?(?<![\w-])(?:but )?not\s+{_WANT}", re.IGNORECASE)
_NO = re.compile(
    rf"\A\W*no\s+(?:photos?|pictures?|images?|pics|shots)\s+of\s+{_WANT}"
    r"|(?<![\w-])(?:but |and |with )?no\s+(?P<n2>(?:other )?(?:people|persons?|humans?|faces?|men|women"
    r"|children|kids|crowds?|tourists?|text|words"
    r"|writing|captions?|cars|traffic|animals|buildings|trees|clouds|flash|watermarks?|screenshots"
    r"|background|snow|rain))\b"
    r"(?!\s+(?:sign|zone|allowed|entry|parking|please|mother|land|man))",
    re.IGNORECASE,
)
_STOPS = frozenset(
    (
        "and or but with in on at near from of by that which who to over under for last this is are was"
        " were , if when while taken"
    ).split()
)
_NOT_BEFORE = frozenset(
    """do does did is are was were am be been will would can could should shall may might must has have had
    or why if whether do don doesn isn aren it they i we you he she this that there ought need""".split()
)
_NOT_AFTER = frozenset(
    """only yet far sure just so very too much many all every even enough found available applicable really
    as more less to a the an at been be valid allowed responsible included necessary required""".split()
) - {"a", "the", "an", "at", "in"}


def read_quotes(text: str, context: Context) -> Iterator[Claim]:
    """``"exact words"`` and ``-"these words"``."""
    del context
    for match in _QUOTED.finditer(text):
        phrase = " ".join(match["phrase"].split())
        if not squeeze(phrase):
            # Quotes around nothing that could be found; a "not" before them is a word like any other.
            start = match.end("minus") if squeeze(match["minus"] or "") else match.start()
            yield Claim(start, match.end(), "", "")
        elif match["minus"]:
            yield _excluded(match, phrase)
        else:
            yield Claim(match.start(), match.end(), "phrase", phrase, {"phrases": (phrase,)})


def read_minus(text: str, context: Context) -> Iterator[Claim]:
    """``-word``: not in the text, and rather not in the image."""
    del context
    for match in _MINUS_WORD.finditer(text):
        yield _excluded(match, match["word"].strip(_AROUND))


def _excluded(match: re.Match[str], phrase: str) -> Claim:
    return Claim(
        match.start(), match.end(), "without", phrase, {"without": (phrase,)}, (Part(phrase, UNWANTED),)
    )


def read_weights(text: str, context: Context) -> Iterator[Claim]:
    """``2:golden retriever 0.5:beach``: parts that count so much; each reaches to the next weight."""
    del context
    for match in _WEIGHT.finditer(text):
        weight = float(match["w"])
        words = match["t"].strip()
        if weight > 0 and words:
            yield Claim(
                match.start(), match.end(), "weight", f"{weight:g}", {}, (Part(words, weight),), words
            )


def read_likeness(text: str, context: Context) -> Iterator[Claim]:
    """ "Like this but at night" beside an image: the words before "at night" mean the image."""
    if context.beside_image and (match := _LIKE.match(text)):
        yield Claim(match.start(), match.end(), "picture", "like this")


def read_unwanted(text: str, context: Context) -> Iterator[Claim]:
    """ "Without people", "not at night", "no text": rather not in the image."""
    del context
    for pattern in (_WITHOUT, _NOT, _NO):
        for match in pattern.finditer(text):
            before = (match.groupdict().get("before") or "").strip().casefold()
            if pattern is _NOT and (before.split("'")[0] in _NOT_BEFORE or before.endswith(("n't", "n’t"))):
                continue
            start = match.end("before") if before else match.start()
            group = "n" if match["n"] else "n2"
            words = _up_to_a_stop(match[group], may_begin_with="at in on with" if pattern is _NOT else "")
            if not words or (pattern is _NOT and words[0].casefold() in _NOT_AFTER):
                continue
            end = match.start(group) + len(" ".join(words))
            phrase = re.sub(r"^(?:any|a|an|the|some|other)\s+", "", " ".join(words), flags=re.IGNORECASE)
            yield Claim(start, end, "not", phrase, {}, (Part(phrase, UNWANTED),))


def _up_to_a_stop(phrase: str, *, may_begin_with: str) -> list[str]:
    words: list[str] = []
    for word in phrase.split():
        if word.casefold() in _STOPS and not (not words and word.casefold() in may_begin_with.split()):
            break
        if words and word.endswith("ing"):
            break  # "no shirt sitting on a dock"
        words.append(word)
    return words


_PAPERS = frozenset("receipt invoice bill ticket payment purchase order expense price cost".split())


def names_papers_only(text: str) -> bool:
    """Return whether the words say no more than that it is about something paid: "my receipts"."""
    words = content_words(text)
    return bool(words) and set(words) <= _PAPERS
