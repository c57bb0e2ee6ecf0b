"""A question that leans on what was said before, made to stand alone: "and in 2019?", "who issued it?".

Rules, so that it works with no model; each is sure of what it does or leaves the question alone:

    the second one, number 3, the next one    one of the images that the last answer rests on
    who issued it? the address? when?         the image that the last answer cites
    and in 2019? what about Berlin?           the last question, with its date or place put in another's stead
    and the taxi receipt? how about cats?     the last question about something else
    more, any others?                         the images after those

A conversation is folded from its first question on: nothing has to be remembered between two requests.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from askpix.core.types import Clause, Message
from askpix.generation.questions.aggregate import read_archive_question
from askpix.generation.questions.aggregate_patterns import PER
from askpix.generation.questions.understand import search_text, understand
from askpix.generation.word_match import content_words, normalise

ClausesOf = Callable[[str], Iterable[Clause]]
"""Clauses of a search: the words that became a filter."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A question that needs nothing before it."""

    question: str
    """Question for whoever answers."""
    about: str
    """The question whose images it is about: itself, mostly."""
    pick: int | None = None
    """Only the image with this rank among the hits of ``about``; below 0 counts from the last."""
    pages: int = 0
    """So many pages of hits further."""

    @property
    def leans(self) -> bool:
        """True if it is about one image, or about further ones, of ``about``."""
        return self.pick is not None or self.pages > 0


SHOW = "Show me the picture"
_ORDINALS = {
    **{word: i for i, words in enumerate(
        ("first 1st", "second 2nd", "third 3rd", "fourth 4th", "fifth 5th", "sixth 6th", "seventh 7th",
         "eighth 8th", "ninth 9th", "tenth 10th"), start=1) for word in words.split()},
    "last": -1,
}  # fmt: skip
_NTH = "|".join([*_ORDINALS, "next", "previous", "other"])
_THING = r"(?:one|picture|photo|image|result|hit|match|of (?:them|those|these))"
_WHICH = re.compile(
    rf"\b(?:the )?(?:(?P<nth>{_NTH})(?: {_THING}))\b|(?:\b(?:number|no\.?|picture|result|hit)|"
    rf"#) ?(?P<n>\d{{1,2}})\b|"
    r"^\W*\[(?P<m>\d{1,2})\]\W*$"
)
_BARE_WHICH = re.compile(rf"^(?:the )?(?P<nth>{_NTH})$")
_ASKS_TO_SEE = re.compile(
    r"^(?:(?:ok|okay|and|now|please|then|so|can you|could you|yes)[, ]+)*"
    r"(?:(?:show|open|display|give|let)(?: me| us)?(?: see)?|see|i (?:want|mean|meant)|(?:what|how) about|"
    r"tell (?:me|us)(?: more)? about|look at|zoom (?:in )?(?:on|to))?\W*$"
)
_MORE = re.compile(
    r"^(?:(?:and|ok|please|can you|are there|do (?:i|you|we) have|show|give|find|have|got)(?: me| "
    r"us| you)?[, ]+)*(?:any |some |a few |the )*"
    r"(?:more|others?|other ones?|rest|next (?:page|ones))(?: (?:of (?:them|those|these)|pictures?|"
    r"photos?|results?|hits?|"
    r"like (?:this|that|these|those)))?$"
    r"|^(?:and )?(?:anything|something|what|who|which ones?) else(?: is there| do (?:i|we|you) have)?$"
    r"|^(?:and )?(?:is that|are (?:these|those)) all(?: of (?:them|it))?$"
)
_NOUN = (
    r"(?:one|picture|photo|image|receipt|invoice|bill|document|page|chart|graph|form|letter|"
    r"screenshot|scan|slide|"
    r"shop|store|company|hotel|restaurant)"
)
_IT = re.compile(
    r"\b(?:it|its|they|them|their|he|she|him|his|her|hers)\b|"
    rf"\b(?:that|this|those|these)(?:$| (?:{_NOUN}s?\b|taken\b|from\b|about\b|cost\b|say\b|in total\b))|"
    rf"\bthe same {_NOUN}\b|\b(?:on|in|from|of) there$"
)
_OF_THEM = re.compile(r"\b(?:of )?(?:them|those|these)\b")
_LEAD = re.compile(
    r"^(?:(?:and|or|but|also|so|ok|then|now|only|just)\b[, ]*)+(?:(?:what|how) about\b)?"
    r"|^(?:what|how) about\b"
)
_LEAD_AS_WRITTEN = re.compile(r"^(?:(?:and|or|but|also|so|ok|then|now|only|just)\b[, ]*)+", re.IGNORECASE)
_FEW = 6
"""Words of a question that says little without the one before."""
_STARTS = re.compile(
    r"^(?:what|which|who|whose|whom|when|where|why|how|is|are|was|were|do|does|did|can|could|has|"
    r"have|show|find|"
    r"give|list|tell|count|open|read)\b"
)
_DATES = frozenset("date after before until year month months weekday weekdays hour hours".split())
_PLACES = frozenset({"near", "in", "country", "place"})
_PREPOSITION = re.compile(r"^(?:in|from|on|at|of|during|near|since|before|after|with|by|for|to|per)\b ?")
_POINTS = re.compile(r"\b(?:the|that|this|those)\b.*\bones?\b|\bover there\b", re.IGNORECASE)
"""Points at something in what was shown."""
_OBJECT = re.compile(
    r"^(?P<head>.*?\b(?:of|on|for|from|with|at|in|by|shows?|showing|mentions?|contains?)\b "
    r")(?P<object>.+?)(?P<end>\W*)$"
)
_PLAIN: frozenset[str] = frozenset({"text", "picture", "judgement", "presence", "reading"})
_MARK = re.compile(r"\[(\d{1,2})\]")
_LONGEST = 400
_LONGEST_ABOUT = 500
"""Characters of a question that leans on another, and of the other: each turn reads both as a search."""


def stand_alone(messages: Sequence[Message], *, clauses_of: ClausesOf) -> Standing | None:
    """The last user message of a conversation as a question of its own; None when no user said anything.

    ``messages`` are turns of user and assistant in their order; an answer's ``[2]`` says which image it
    rests on.
    """
    standing: Standing | None = None
    said = ""
    cited: tuple[Standing, str] | None = None
    for message in messages:
        if message.role == "assistant":
            said = message.text
            if standing is not None and _MARK.search(said):
                cited = (standing, said)
        elif message.role == "user" and message.text.strip():
            standing = follow(standing, said, message.text, clauses_of=clauses_of, cited=cited)
            said = ""
    return standing


def follow(
    before: Standing | None,
    said: str,
    question: str,
    *,
    clauses_of: ClausesOf,
    cited: tuple[Standing, str] | None = None,
) -> Standing:
    """``question`` after ``before`` was answered with ``said``. ``cited`` is the last question whose answer
    cited an image, with that answer: "it" is of that one, where the last answer found nothing."""
    question = " ".join(question.split())
    alone = Standing(question, question)
    if before is None or len(question) > _LONGEST or len(before.about) > _LONGEST_ABOUT:
        return alone
    plain = normalise(question).strip(" ?!.")
    if _MORE.match(plain):
        return replace(before, pages=before.pages + 1, pick=None, question=before.about)
    turn = _Turn(before, said, question, plain, clauses_of)
    pointing = turn if _MARK.search(said) or cited is None else replace(turn, before=cited[0], said=cited[1])
    for read, of in ((_one_of_them, pointing), (_narrowed, turn), (_about_it, pointing), (_instead, turn)):
        if found := read(of):
            return found
    return alone


def not_understood(standing: Standing, question: str) -> bool:
    """Return whether a question plainly leans on what was said ("and the other?") and was left as it is."""
    plain = normalise(" ".join(question.split())).strip(" ?!.")
    left = standing.question == " ".join(question.split()) and not standing.leans
    return left and bool(_LEAD.match(plain) or (_IT.search(plain) and len(plain.split()) <= _FEW))


def _without_lead(question: str) -> str:
    """The question without "and", "so" ... before it: rules read a question from its first word."""
    left = _LEAD_AS_WRITTEN.sub("", question, count=1)
    return left[:1].upper() + left[1:] if left and left != question else question


@dataclass(frozen=True, slots=True)
class _Turn:
    """A question after an answer."""

    before: Standing
    said: str
    question: str
    plain: str
    clauses_of: ClausesOf

    @property
    def cited(self) -> int:
        """The rank of the image that the answer rests on."""
        if self.before.pick is not None:
            return self.before.pick
        found = _MARK.search(self.said)
        return max(1, int(found[1])) if found else 1


def _one_of_them(turn: _Turn) -> Standing | None:
    """ "Show me the second one", "when was number 3 taken?"."""
    question = turn.question
    plain = turn.plain
    before = turn.before
    led = _LEAD.sub("", plain).strip()
    match = _BARE_WHICH.match(led) or _WHICH.search(plain)
    if match is None or read_archive_question(question):
        return None
    groups = match.groupdict()
    word = groups.get("nth")
    if word in ("next", "other"):
        pick = (before.pick or 1) + 1
    elif word == "previous":
        pick = max(1, (before.pick or 2) - 1)
    else:
        pick = _ORDINALS[word] if word else int(groups.get("n") or groups["m"])
    if pick == 0:
        return None
    rest = f"{plain[: match.start()]} {plain[match.end() :]}".strip()
    if match.re is _BARE_WHICH or _ASKS_TO_SEE.match(rest):
        asks = SHOW
    else:
        asks = re.sub(r"\s+", " ", f"{plain[: match.start()]}the picture{plain[match.end() :]}?").strip()
    return Standing(asks, before.about, pick, before.pages)


def _narrowed(turn: _Turn) -> Standing | None:
    """ "How many of them in 2019?": of what was counted before."""
    question = turn.question
    before = turn.before
    asked = read_archive_question(_OF_THEM.sub("pictures", question))
    earlier = read_archive_question(before.about)
    if not asked or not earlier or not _OF_THEM.search(question.casefold()):
        return None
    subject = earlier.search or f"{earlier.noun}s"
    whole = _OF_THEM.sub(f"pictures of {subject}", question, count=1)
    return Standing(whole, whole)


def _about_it(turn: _Turn) -> Standing | None:
    """ "Who issued it?", "the address?", "when?": of the image that the last answer cites."""
    question = turn.question
    plain = turn.plain
    before = turn.before
    if read_archive_question(question):
        return None
    led = _LEAD.sub("", plain).strip()
    asked = understand(question)
    if _IT.search(plain) and not asked.quoted:
        return Standing(_without_lead(question), before.about, turn.cited, before.pages)
    if read_archive_question(before.about) and before.pick is None:
        return None
    short = re.sub(r"^(?:the|its|and|what|which)\b ?", "", led)
    starts = _STARTS.match(led)
    few = len(led.split()) <= (4 if starts else 3) and not asked.named and not re.search(r"\d", led)
    whole = re.search(r"\b(?:of|on|for|in|from)\b", led)
    if starts and few and not whole and understand(led).wanted not in _PLAIN:
        return Standing(_without_lead(question), before.about, turn.cited, before.pages)
    if not starts and few and short and understand(f"what is the {short}").wanted not in _PLAIN:
        return Standing(f"What is the {short}?", before.about, turn.cited, before.pages)
    return None


def _instead(turn: _Turn) -> Standing | None:
    """ "And in 2019?", "what about the taxi receipt?": the last question with one thing changed."""
    question = turn.question
    plain = turn.plain
    before = turn.before
    lead = _LEAD.match(plain)
    # An ellipsis without "and": "In 2019?"
    if not lead and (_STARTS.match(plain) or not (_PREPOSITION.match(plain) or PER.match(plain))):
        return None
    words = question.rstrip(" ?!.").split()
    led = " ".join(words[len(plain[: lead.end()].split()) :]) if lead else " ".join(words)
    if PER.match(led) and read_archive_question(before.about):
        whole = f"{before.about.rstrip(' ?!.')} {led}?"
        return Standing(whole, whole)
    if not led or _STARTS.match(normalise(led)) or _POINTS.search(led):
        return None
    last = before.about.rstrip(" ?!.")
    clauses = list(turn.clauses_of(led))
    left = led
    for clause in clauses:
        left = left.replace(clause.words, " ")
    if clauses and not content_words(_PREPOSITION.sub("", " ".join(left.split()).casefold())):
        whole = _with_filter(last, led, clauses, turn.clauses_of)
    else:
        whole = _with_object(last, led, turn.clauses_of)
    return Standing(f"{whole}?", f"{whole}?")


def _with_filter(last: str, led: str, clauses: Sequence[Clause], clauses_of: ClausesOf) -> str:
    """The last question with its dates or its place replaced by those of ``led``, or with them added."""
    families = {_family(clause.field) for clause in clauses}
    kept = last
    at: int | None = None
    for clause in clauses_of(_searched(last)):
        start = kept.casefold().find(clause.words.casefold())
        if _family(clause.field) in families and start >= 0:
            kept = f"{kept[:start]} {kept[start + len(clause.words) :]}"
            at = start if at is None else min(at, start)
    if at is None:
        return f"{last} {led}"
    return " ".join(f"{kept[:at]} {led} {kept[at:]}".split())


def _with_object(last: str, led: str, clauses_of: ClausesOf) -> str:
    """The last question about something else; its dates and places stay."""
    archive = read_archive_question(last)
    if archive is not None:
        subject = archive.search
        for clause in clauses_of(archive.search):
            subject = subject.replace(clause.words, " ")
        subject = " ".join(subject.split())
        bare = re.sub(r"^(?:with|of|the|a|an|any|my)\b ?", "", led, flags=re.IGNORECASE)
        if subject and subject.casefold() in last.casefold():
            at = last.casefold().find(subject.casefold())
            return f"{last[:at]}{bare}{last[at + len(subject) :]}"
        return f"{last} of {bare}" if not subject else led
    match = _OBJECT.match(last)
    if match is None:
        return led
    return f"{match['head']}{_PREPOSITION.sub('', led)}"


def _searched(question: str) -> str:
    archive = read_archive_question(question)
    return archive.search if archive else search_text(question)


def _family(field: str) -> str:
    return "date" if field in _DATES else "place" if field in _PLACES else field
