"""The sign of a clause: "not in France", "everything but Paris", "-tag:Holiday", "outside of 2018".

A denial stands before what it denies (``denied``): the words between may only say how it is part of an image.
What is excluded by name alone is read here (``read_denied``), as a preposition would have it read.
"""

import re
from collections.abc import Iterator, Set
from dataclasses import replace
from datetime import datetime, time

from askpix.core.types import Part
from askpix.retrieval.query.base import TAKEN, Claim, Context
from askpix.retrieval.query.date_spans import SEASON_MONTHS, WEEKDAYS, M, W, month_of, span_of
from askpix.retrieval.query.dates import AFTER_IMAGES, EXPRESSION
from askpix.retrieval.query.media import brand_or_known_camera, kind_claim
from askpix.retrieval.query.operators import UNWANTED
from askpix.retrieval.query.places import named_place
from askpix.retrieval.stores.conditions import name_as_seen

_THINGS = (
    r"(?:photo|photograph|picture|pic|image|shot|snapshot|selfie|one|file|receipt|invoice|document|place"
    r"|year)s?"
)
_NOT = (
    r"(?:not|never|nor|neither|no longer|no|nothing|none|nowhere|isn['’]?t|aren['’]?t|wasn['’]?t|weren['’]?t"
    r"|don['’]?t|didn['’]?t|haven['’]?t|(?:leave|leaving) out|omit(?:ting)?|skip(?:ping)?|hide|hiding|non)"
)
_EXCEPT = (
    rf"(?:(?:all|any|every)(?:thing|where|one|time)?\s+(?:of\s+(?:them|my|the)\s+)?(?:{_THINGS}\s+)?(?:but|bar)"
    r"|(?:(?:from|in|at)\s+)?(?:(?:all|any|every)(?:thing|where|one|time)?\s+"
    r"(?:(?:other\s+)?(?:year|place|country|city|month|day)s?\s+)?)?(?:except(?:ing)?(?:\s+for)?|excluding|exclud(?:e|es)"
    r"|exclusive of|other\s+than|apart\s+from|aside\s+from|besides|save\s+for|minus|without"
    r"|ignor(?:e|ing)|rather\s+than|instead\s+of|sans))"
)
_GERMAN = r"(?:nicht|nie|niemals|keine?[nr]?|ohne|außer|ausser)"
"""Before a sign ("ohne #Urlaub"): signs are read in the words that were typed."""
_OUTSIDE = r"(?:outside(?:\s+of)?)"
_FAR = r"(?:(?<!not )far\s+(?:away\s+)?from|away\s+from|beyond)"
_LEAD = (
    rf"(?:(?:any|the|those|that|which|ones?|they|it|{_THINGS}|is|are|was|were|be|been|being|have|had|has|i|we|my"
    r"|taken?|took|shot|shoot|made|captured?|photographed|filmed|recorded|dated|located|anything|something|from"
    r"|with|by|ever|ones)\s+)*"
)
_JOINED = r"(?:(?:and|or|but|taken|shot|made|,|;)\s*)?"
_BEFORE_CLAIM = re.compile(rf"(?<![\w-]){_JOINED}(?P<d>{_NOT}|{_EXCEPT}|{_GERMAN})\s+{_LEAD}$", re.IGNORECASE)
_MINUSES = frozenset("-−–!")
_SAYS_NO = re.compile(
    r"\b(?:n[eio]|all|any|every|exc|other|apart|aside|beside|save|minus|with|ignor|rather|instead|sans|is|are|was|wer"
    r"|do|did|hav|leav|omit|skip|hid|k?ein|ohne|au[ßs]s?er)|n['’]t",
    re.IGNORECASE,
)
"""Words that a denial may begin with: cheaper to look for."""
_MINUS = re.compile(r"(?<!\S)[-−–!]\s?$")
_OR = re.compile(r"\s*(?:,\s*)?(?:or|nor)\s+(?:(?:was|were|is|are|taken|shot|made)\s+)*")
_SINCE = re.compile(
    r"\s*,?\s+(?:(?:taken|made|were|was|is|are|been|have)\b\s*)+(?=\W*$|\s+(?:and|or|but)\b)|\s+(?:taken|shot)\b"
)
_AFTERWARDS = re.compile(
    r"\s*,?\s*(?:(?:is|are|was|were)\s+)?(?:excluded|left out|not included|omitted|aside|excepted)\b",
    re.IGNORECASE,
)
_LEFT_OUT = re.compile("excluded|left out|included|omitted|aside|excepted", re.IGNORECASE)
_READS = re.compile(
    rf"(?<![\w-]){_JOINED}(?P<d>(?P<not>{_NOT})|(?P<far>{_FAR})|(?P<out>{_OUTSIDE})|{_EXCEPT}|non(?=-))(?:\s+{_LEAD}|-)",
    re.IGNORECASE,
)
_HOW = re.compile(
    r"(?P<p>(?:(?:in|inside|across|at|on|of|from|during|to|around|near|nearby|close to)"
    r"(?:\s+the\s+(?:year|month of))?"
    r"|the\s+year|(?:the\s+)?tags?|tagged(?:\s+(?:as|with))?|camera)\s+)?(?:the\s+(?=\d))?",
    re.IGNORECASE,
)
_NEXT = re.compile(r"\s*(?P<j>,\s*(?:and|or|nor)|,|and|or|nor|&|/)\s*(?:also\s+)?", re.IGNORECASE)
_TIME = re.compile(rf"(?P<e>(?:{EXPRESSION}|{M})(?!\w))", re.IGNORECASE)
_DAY = re.compile(rf"(?P<d>{W}|weekend|weekday)s\b|(?P<e>(?:the )?weekend)\b", re.IGNORECASE)
_SEASON = re.compile(r"(?:the )?(?P<n>spring|summer|autumn|fall|winter)s?\b", re.IGNORECASE)
_NAMED_TAG = re.compile(r"\s+(?:tags?|labels?)\b", re.IGNORECASE)
_OF_A_YEAR = re.compile(r"\s*(?:of\s+)?['’]?\d")
_WORD = re.compile(r"[\w'’.&-]+")
_KINDS = {
    "photos": "photo", "photographs": "photo", "pages": "page", "pdfs": "page", "documents": "page",
    "scans": "page", "videos": "frame", "frames": "frame", "films": "frame", "clips": "frame",
    "screenshots": "screenshot",
}  # fmt: skip
_ENDS = re.compile(
    r"\s*(?:$|[\n,;.!?)]|(?:and|or|but|nor|not|in|on|at|from|with|without|taken|shot|made|of|near|before|after|since"
    r"|during|between|over|under|that|which|where|when|last|this|by|were|was|is|are|please|tagged"
    r"|tags?|labels?|photos?|pictures?|images?|pics|shots)\b|\d{4}\b)",
    re.IGNORECASE,
)
_NEAR = frozenset({"near", "nearby", "close to", "around"})
_REACH = 120
"""Characters before a claim in which its denial stands."""


def denied(claim: Claim, text: str, denials: Set[int]) -> Claim:
    """The claim with its sign, and the words of its denial; ``denials``: where denied claims end."""
    if claim.negative or not claim.where or claim.field in ("without", "not"):
        return claim
    before = text[max(0, claim.start - _REACH) : claim.start]
    found = _MINUS.search(before[-3:]) if before[-2:].strip() in _MINUSES else None
    if found is None and _SAYS_NO.search(before):
        found = _BEFORE_CLAIM.search(before)
    start = claim.start
    if found and TAKEN not in found[0]:
        start -= len(found.string) - found.start()
    else:
        at = next(
            (end for end in denials if end < claim.start and _OR.fullmatch(text, end, claim.start)), None
        )
        if at is None:
            return claim
        start = at
    end = claim.end
    if follows := _SINCE.match(text, end):
        end = follows.end()
    if claim.field == "phrase":
        change = {"without": claim.where["phrases"]}
        parts = (Part(claim.value, UNWANTED),)
        return replace(claim, start=start, end=end, field="without", where=change, parts=parts)
    return replace(claim, start=start, end=end, negative=True)


def read_denied(text: str, context: Context) -> Iterator[Claim]:
    """Read what is excluded by its name: "all but 2018", "outside France", "not Paris or Rome"."""
    for match in _READS.finditer(text):
        start = match.start()
        at = match.end()
        family = way = joint = ""
        while True:
            how = _HOW.match(text, at)
            assert how
            said = (how["p"] or "").casefold().strip()
            # "Outside in 2018" is where somebody was; "not 2018" and "outside France" name what is denied.
            if said and match["out"]:
                break
            claim = _value(text, how.end(), context, weak=bool(match["not"]), said=said or way, match=match)
            if claim is None or (family and claim.field != family and joint != "or"):
                break
            end = claim.end
            if match["out"] and not _ENDS.match(text, end):
                break  # "outside Paris cafes"
            if follows := _SINCE.match(text, end):
                end = follows.end()
            yield replace(claim, start=start, end=end, negative=True)
            family = claim.field
            way = said or way
            start = end
            following = _NEXT.match(text, end)
            if following is None:
                break
            joint = "or" if following["j"].casefold().endswith("or") else ","
            at = following.end()
            if joint != "or" and (again := _HOW.match(text, at)) and again["p"]:
                break  # "not in France and from 2018": that is wanted
    yield from _left_out_after(text, context)


def _left_out_after(text: str, context: Context) -> Iterator[Claim]:
    """ "France excluded", "Paris aside"."""
    for after in _AFTERWARDS.finditer(text) if _LEFT_OUT.search(text) else ():
        words = list(_WORD.finditer(text, max(0, after.start() - 60), after.start()))[-4:]
        for word in words:
            claim = _value(text, word.start(), context, weak=False, said="", match=after)
            if claim and claim.end == after.start():
                yield replace(claim, end=after.end(), negative=True)
                break


def _value(
    text: str, at: int, context: Context, *, weak: bool, said: str, match: re.Match[str]
) -> Claim | None:
    """Read what stands at a place of the text as a filter; ``weak``: after a mere "not"."""
    if said.startswith(("tag", "the tag")):
        return _tag(text, at, context, known=False)
    found = _time(text, at, context, weak=weak, said=said, began=match.start())
    found = found or _tag(text, at, context, known=True) or _kind(text, at, context)
    if found is None and said in ("", "with", "camera", "from"):
        found = _camera(text, at, context, named=said == "camera")
    if found is None and not (weak and said in ("of", "on", "during")):
        if match.groupdict().get("far"):
            said = "near"
        found = named_place(text, at, "near" if said in _NEAR else "in", context)
        if found and not said and text[at].islower() and not _certain(found, context, weak=weak):
            return None  # "dogs not barking"
    return found


def _certain(place: Claim, context: Context, *, weak: bool) -> bool:
    """Return whether a name that is written small is a place: one that the collection holds, or a country."""
    if context.known and place.field == "near":
        return place.value.split(" (")[0] in context.known.cities
    held = context.known is not None and place.where.get("country") in context.known.countries
    return place.field == "country" and (held or not weak)


def _time(text: str, at: int, context: Context, *, weak: bool, said: str, began: int) -> Claim | None:
    season = _SEASON.match(text, at)
    about = (
        season
        and (not weak or said.startswith(("in", "during")))
        and not _OF_A_YEAR.match(text, season.end())
    )
    if season and about and AFTER_IMAGES.search(text[max(0, began - 40) : began]):
        first = SEASON_MONTHS[season["n"].casefold()]
        months = tuple((first + each - 1) % 12 + 1 for each in range(3))
        return Claim(at, season.end(), "month", f"{months[0]:02}-{months[-1]:02}", {"months": months})
    if day := _DAY.match(text, at):
        name = (day["d"] or "weekend").casefold()
        days = {"weekend": (5, 6), "weekday": (0, 1, 2, 3, 4)}.get(name) or (WEEKDAYS[name],)
        return Claim(at, day.end(), "weekday", name, {"weekdays": days})
    match = _TIME.match(text, at)
    if match is None or not _ENDS.match(text, match.end()):
        return None
    if number := month_of(match["e"]):
        if not said and weak:
            return None
        if not said and not match["e"][:1].isupper():
            return None
        return Claim(at, match.end(), "month", f"{number:02}", {"months": (number,)})
    found = span_of(match["e"], now=context.now, day_first=context.day_first)
    if found is None or (found[0] == "day" and not said):
        return None
    if found[0] == "year" and said in ("at", "to"):
        return None
    span = found[1]
    when = {"after": datetime.combine(span.start, time()), "before": datetime.combine(span.end, time())}
    return Claim(at, match.end(), "date", str(span), when)


def _tag(text: str, at: int, context: Context, *, known: bool) -> Claim | None:
    words = list(_WORD.finditer(text, at, at + 80))[:4]
    tags = context.known.tags if context.known else {}
    for count in range(len(words), 0, -1):
        end = words[count - 1].end()
        if words[0].start() != at or not _ENDS.match(text, end):
            continue
        name = text[at:end].rstrip(".").strip("'\"“”")
        tag = tags.get(name_as_seen(name))
        if tag is None and (known or count > 1):
            continue
        if name.casefold() == "screenshot":
            continue
        named = _NAMED_TAG.match(text, end)
        return Claim(at, named.end() if named else end, "tag", tag or name, {"tags": (tag or name,)})
    return None


def _kind(text: str, at: int, context: Context) -> Claim | None:
    word = _WORD.match(text, at)
    kind = _KINDS.get(word[0].casefold()) if word else None
    if word is None or kind is None or context.known is None or not _ENDS.match(text, word.end()):
        return None
    if re.match(r"\s+(?:of|with|from|in)\b", text[word.end() :]):
        return None
    return kind_claim(word, kind, context)


def _camera(text: str, at: int, context: Context, *, named: bool) -> Claim | None:
    match = re.compile(r"(?:(?:a|an|my|our|the)\s+)?(?P<m>[A-Za-z][\w-]*(?: [\w-]+){0,3})").match(text, at)
    if match is None:
        return None
    words = match["m"].split(" ")
    for count in range(len(words), 0, -1):
        name = " ".join(words[:count])
        end = match.start("m") + len(name)
        if _ENDS.match(text, end) and (named or brand_or_known_camera(name, context)):
            return Claim(at, end, "camera", name.casefold(), {"camera": name.casefold()})
    return None
