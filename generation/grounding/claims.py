"""Verification of a generated text, claim by claim, against the evidence it cites.

A claim is a sentence or a line of a list. It is kept, kept with a doubt, or dropped:

    a quote that the cited image does not hold      another image holds it: the citation is mended
                                                      none does: dropped
    a number that is in no words of what it cites     nothing but words was shown: dropped
                                                      the model saw the image, or nobody read it: a doubt
    a name in the same case                           a doubt
    words that read like an instruction to a model,   dropped
    and nothing else to rest on
    an address on the web that no image cited holds taken out
    a number and no citation                          in no evidence: dropped; in some: a doubt

A doubt about a number or name in an image that the model saw may be settled by a second look at the place:
what is shown there is kept without the doubt, what is not is dropped (``generation.grounding.second_look``).

Links and images in markdown and HTML are always undone: an answer that is rendered must not fetch anything.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeAlias

from askpix.core.types import Doubt, Evidence, ImageRecord
from askpix.generation.grounding.citations import locate
from askpix.generation.grounding.injection import planted_lines
from askpix.generation.prompting.prompt import Cited, ParsedAnswer, citation_spans, file_name, parse_answer
from askpix.generation.word_match import content_words, normalise, squeeze, tokens

_END = re.compile(r"(?<=[.!?。！？])[\"”’)]*(?=\s)|(?<=[。！？])|\n+")
_SHORT = re.compile(
    r"(?:\b(?:no|nr|mr|mrs|ms|dr|st|inc|co|ltd|vs|approx|e\.g|i\.e|p|pp|fig|vol|tel)|\b[A-Z]|"
    r"^\s*\d{1,2})\.$",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"\d{1,40}(?:[.,:/\-’']\d{1,40}){0,8}")
_LIST = re.compile(r"^\s*(?:[-*•]|\d{1,2}[.)])\s+")
_NAME = re.compile(r"(?<![.!?:] )(?<!^)(?<![\w\"“])\b[A-ZÄÖÜÉ][\w&'’-]{2,}(?: [A-ZÄÖÜÉ][\w&'’-]+)*")
_ENGLISH = re.compile(r"\b(?:the|is|are|was|were|what|who|which|when|where|how|did|does|do)\b", re.IGNORECASE)
_LINK = re.compile(r"!?\[([^\]\n]{0,300})\]\(\s*[^)\s]{0,2000}[^)]{0,300}\)?")
_LINK_ID = re.compile(
    r"!\[([^\]\n]{0,300})\](?:\[[^\]\n]{0,100}\])?|^\s*\[[^\]\n]{1,60}\]:\s+\S+", re.MULTILINE
)
_TAG = re.compile(r"<(?:/?[A-Za-z][^<>\n]{0,2000}|!--.{0,2000}?--)>")
_URL = re.compile(
    r"(?:\b[a-z][a-z0-9+.-]{1,10}://|\bwww\.|\bdata:|\bjavascript:|\bmailto:)[^\s<>\"'”)\]]+", re.IGNORECASE
)
_SMALL = 20
"""Whole numbers up to it are counted as often as read."""
_MONTHS = "january february march april may june july august september october november december".split()

NO_QUOTE = "the words quoted are not in the image"
_NOT_READ = "is not in the words of what it cites"
NO_NUMBER = "the number {} " + _NOT_READ
NO_NAME = "{!r} " + _NOT_READ
NOT_SEEN = "a second look at the image did not find it"
UNCITED = "it cites nothing"
ORDERED = "it rests on words that read like an instruction to a model"
BESIDE = "it rests on words right under an instruction to a model"
MOVED = "the words quoted are in image {}, not in {}"
ADDRESS = "an address on the web that is not in what it cites was taken out"


Look: TypeAlias = Callable[[str, Evidence, str | None], bool | None]
"""Function that says whether an image shows a claim, which may quote it; None: cannot be told."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A verified answer, and what was wrong with it."""

    parsed: ParsedAnswer
    doubts: tuple[Doubt, ...]


class _Shown:
    """A piece of evidence and what a claim may rest on."""

    def __init__(self, evidence: Evidence, *, seen: bool) -> None:
        self.evidence = evidence
        # Where nobody read, or the model looked for itself, words that are missing prove little.
        self.seen = seen or not evidence.lines
        self.orders, self.after = planted_lines(evidence.lines)
        self.honest = [line for i, line in enumerate(evidence.lines) if i not in self.orders]

    @cached_property
    def text(self) -> str:
        lines = "\n".join(line.text for line in self.honest)
        return normalise(lines + "\n" + _facts(self.evidence.hit.record))

    @cached_property
    def squeezed(self) -> str:
        return squeeze(self.text)

    @cached_property
    def words(self) -> frozenset[str]:
        return frozenset(tokens(self.text))

    @cached_property
    def numbers(self) -> frozenset[str]:
        return _numbers(self.text)

    @cached_property
    def ordered(self) -> frozenset[str]:
        """Numbers of lines that read like instructions."""
        return _numbers("\n".join(self.evidence.lines[i].text for i in self.orders))

    def holds_date(self, written: str) -> bool:
        """Return whether "12/05/2018" occurs with its month in letters."""
        parts = _parts(written)
        if len(parts) != 3 or max(parts) < 1000:
            return False
        months = {part for part in parts if 1 <= part <= 12 and _MONTHS[part - 1][:3] in self.text}
        return any(all(str(p) in self.numbers for p in parts if p != month) for month in months)

    def holds_name(self, name: str) -> bool:
        """Return whether most of a name's words occur, spaces aside."""
        parts = tokens(name)
        there = sum(part in self.words for part in parts)
        return squeeze(name) in self.squeezed or there >= max(1, len(parts) - 1)

    def only_ordered(self, claim: str, question: str) -> bool:
        """Return whether half of a claim's words come from lines that read like instructions, and from no
        other.
        """
        if not self.orders:
            return False
        told = {word for i in self.orders for word in content_words(self.evidence.lines[i].text)}
        said = content_words(claim)
        only = [word for word in said if word in told and word not in self.words | set(tokens(question))]
        return bool(only) and 2 * len(only) >= len(said)

    def only_planted(self, quote: str) -> bool:
        """Return whether a quote occurs only in lines that read like instructions."""
        return bool(self.orders) and locate(quote, self.honest) is None

    def beside_planted(self, quote: str) -> bool:
        """Return whether a quote occurs only in such lines and right under them."""
        open_ = [line for i, line in enumerate(self.evidence.lines) if i not in self.orders | self.after]
        return bool(self.after) and locate(quote, open_) is None


def judge(
    text: str,
    question: str,
    evidence: Sequence[Evidence],
    *,
    seen: frozenset[int] = frozenset(),
    look: Look | None = None,
) -> Judged:
    """Read an answer and hold each of its claims against what it cites.

    ``seen`` are the numbers of evidence that was shown as an image; ``look`` looks at such an image again
    where a claim is doubtful. What comes back is fit for
    ``generation.grounding.citations.verify``: claims that were dropped are gone from the text, with their
    citations.
    """
    whole = parse_answer(text, evidence)
    if not whole.answered:
        return Judged(replace(whole, text=_unlinked(whole.text, "")[0]), ())
    shown = {each.number: _Shown(each, seen=each.number in seen) for each in evidence}
    kept: list[str] = []
    cited: list[Cited] = []
    doubts: list[Doubt] = []
    for claim, gap in _claims(text):
        parsed = parse_answer(claim, evidence)
        if not parsed.answered:
            continue
        mended, found = _hold(parsed, question, shown)
        if look is not None:
            found = _looked_at(mended, found, [each for each in evidence if each.number in seen], look)
        doubts += found
        if any(doubt.dropped for doubt in found):
            continue
        kept += [mended.text, gap]
        cited += [each for each in mended.cited if each not in cited]
    left = "".join(kept).strip()
    if not re.search(r"\w", re.sub(r"\[\d+\]", "", left)):
        return Judged(ParsedAnswer(whole.text, True, ()), tuple(doubts))
    return Judged(ParsedAnswer(left, True, tuple(cited)), tuple(doubts))


def _claims(text: str) -> Iterator[tuple[str, str]]:
    """Sentences and lines, each with its citations, and the space after each."""
    masked = list(text)
    for start, end in citation_spans(text):
        masked[start:end] = "\u2060" * (end - start)
    plain = "".join(masked)
    at = 0
    cuts = [
        match.end()
        for match in _END.finditer(plain)
        if "\n" in match[0] or not _SHORT.search(plain[: match.start()][-12:])
    ]
    for cut in [*cuts, len(text)]:
        if cut <= at:
            continue
        end = cut
        # "67.85. [1]": the citation belongs to the sentence before it.
        after = re.match(r"[ \t]*\u2060+[.]?", plain[end:])
        if after:
            end += after.end()
        piece = text[at:end]
        if piece.strip():
            body = piece.rstrip()
            gap = piece[len(body) :] or ("\n" if text[end : end + 1] == "\n" else " ")
            yield body, gap
        at = end


def _hold(
    parsed: ParsedAnswer, question: str, shown: Mapping[int, _Shown]
) -> tuple[ParsedAnswer, list[Doubt]]:
    """A claim with its citations mended, and what is doubtful about it."""
    doubts: list[Doubt] = []

    def doubt(reason: str, *, dropped: bool = False) -> None:
        doubts.append(Doubt(_plain(parsed.text), reason, dropped))

    parsed, moved = _mended(parsed, shown)
    for reason in moved:
        doubt(reason)
    rests = [shown[each.marker] for each in parsed.cited if each.marker in shown]
    for each in parsed.cited:
        wrong = _wrong_quote(each.quote, shown[each.marker]) if each.quote and each.marker in shown else None
        if wrong:
            doubt(wrong, dropped=wrong != BESIDE)
    text, away = _unlinked(parsed.text, " ".join(each.text for each in rests))
    if away:
        doubt(ADDRESS)
    parsed = replace(parsed, text=text)
    basis = rests or list(shown.values())
    plain = _LIST.sub("", _plain(parsed.text))
    for reason, dropped in _wrong_numbers(plain, question, basis):
        doubt(reason, dropped=dropped)
    if any(each.only_ordered(plain, question) for each in basis):
        doubt(ORDERED, dropped=True)
    if not rests and _NUMBER.search(plain):
        doubt(UNCITED)
    names = dict.fromkeys(_NAME.findall(plain))
    for name in names if _ENGLISH.search(question) else (each for each in names if " " in each):
        known = squeeze(name) in squeeze(question) or name.casefold() in _MONTHS
        if rests and not known and not any(each.holds_name(name) for each in rests):
            doubt(NO_NAME.format(name))
    return parsed, doubts


def _looked_at(
    parsed: ParsedAnswer, doubts: list[Doubt], seen: Sequence[Evidence], look: Look
) -> list[Doubt]:
    """The doubts after a second look at the first image that the claim cites and the model saw."""
    open_ = [each for each in doubts if each.reason.endswith(_NOT_READ)]
    pictures = {each.number: each for each in seen}
    cited = next((each for each in parsed.cited if each.marker in pictures), None)
    if not open_ or cited is None or any(each.dropped for each in doubts):
        return doubts
    shown = look(open_[0].claim, pictures[cited.marker], cited.quote)
    if shown is None:
        return doubts
    left = [each for each in doubts if each not in open_]
    return left if shown else [*left, Doubt(open_[0].claim, NOT_SEEN, True)]


def _wrong_quote(quote: str, on: _Shown) -> str | None:
    """Return why a quote supports nothing; None when it does, or when the image was not read."""
    if on.evidence.lines and locate(quote, on.evidence.lines) is None:
        return NO_QUOTE
    if on.only_planted(quote):
        return ORDERED
    return BESIDE if on.beside_planted(quote) else None


def _wrong_numbers(claim: str, question: str, basis: Sequence[_Shown]) -> Iterator[tuple[str, bool]]:
    """Numbers that none of the evidence bears: why, and whether the claim must go."""
    asked = _numbers(normalise(question))
    for written in _NUMBER.findall(normalise(claim)):
        forms = _forms(written)
        if forms & asked or any(forms & each.numbers or each.holds_date(written) for each in basis):
            continue
        if any(forms & each.ordered for each in basis):
            yield ORDERED, True
            continue
        counted = written.isdigit() and int(written) <= _SMALL
        yield NO_NUMBER.format(written), not counted and not any(each.seen for each in basis)


def _mended(parsed: ParsedAnswer, shown: Mapping[int, _Shown]) -> tuple[ParsedAnswer, list[str]]:
    """Quotes that stand in another image than the one they cite are said to be of that one."""
    reasons: list[str] = []
    text = parsed.text
    cited = list(parsed.cited)
    for at, each in enumerate(cited):
        on = shown.get(each.marker)
        if not each.quote or on is None or locate(each.quote, on.evidence.lines) is not None:
            continue
        if len(squeeze(each.quote)) < 4:
            continue  # too short to be of one image
        holders = [n for n, other in shown.items() if locate(each.quote, other.evidence.lines) is not None]
        if len(holders) == 1:
            reasons.append(MOVED.format(holders[0], each.marker))
            text = text.replace(f"[{each.marker}]", f"[{holders[0]}]", 1)
            cited[at] = Cited(holders[0], each.quote)
    return replace(parsed, text=text, cited=tuple(cited)), reasons


def _unlinked(text: str, held: str) -> tuple[str, bool]:
    """The text without anything that a page would fetch or open; addresses stay where ``held`` has them."""
    away = False

    def bare(match: re.Match[str]) -> str:
        nonlocal away
        away = True
        return match[1] or "" if match.re is not _TAG else ""

    for pattern in (_LINK, _LINK_ID, _TAG):
        text = pattern.sub(bare, text)

    def address(match: re.Match[str]) -> str:
        nonlocal away
        if squeeze(match[0]) and squeeze(match[0]) in squeeze(held):
            return match[0]
        away = True
        return ""

    text = _URL.sub(address, text)
    return re.sub(r"[ \t]{2,}", " ", text).strip(" \t"), away


def _plain(text: str) -> str:
    return " ".join(re.sub(r"\[\d+\]", " ", text).split())


def _numbers(text: str) -> frozenset[str]:
    """Return what the numbers of a text support: each as written and as a value, and the parts of dates and
    times.
    """
    found: set[str] = set()
    for written in _NUMBER.findall(text):
        found |= _forms(written)
        parts = _parts(written)
        found |= {str(part) for part in parts}
        found |= {f"20{part:02d}" for part in parts[-1:] if len(parts) == 3 and part < 100}
        if written.isdigit() and len(written) < 3:
            # "7.00" is not borne by any 7.
            found.discard(f"={float(written):.12g}")
    return frozenset(found)


def _forms(written: str) -> frozenset[str]:
    """The ways a number may be written elsewhere: "1,234.50" as "=1234.5", "12/05/2018" as "5 12 2018"."""
    written = written.replace("’", "'")
    plain = re.sub(r"(?<=\d)[,'](?=\d{3}(?!\d))", "", written)
    if re.fullmatch(r"\d+(?:[.,]\d+)?", plain):
        return frozenset({written, f"={float(plain.replace(',', '.')):.12g}"})
    parts = _parts(written)
    if len(parts) == 3 and parts[-1] < 100 and not re.search("[:]", written):
        parts = [*parts[:-1], parts[-1] + 2000]
    return frozenset({written, " ".join(map(str, sorted(parts)))})


def _parts(written: str) -> list[int]:
    """Return the numbers in a date, a time or a version."""
    if re.search(r"[/\-:]", written) or written.count(".") == 2:
        return [int(part) for part in re.split(r"[.,:/\-'’]", written) if part]
    return []


def _facts(record: ImageRecord) -> str:
    """Return the facts known of an image beside its words (``prompt.describe``), and what follows from
    them.
    """
    pixels = f"{record.width * record.height / 1e6:.1f}"
    facts = [file_name(record), str(record.width), str(record.height), pixels]
    if record.page is not None:
        facts.append(str(record.page))
    if record.time_s is not None:
        minutes, seconds = divmod(int(record.time_s), 60)
        facts += [f"{record.time_s:.1f}", str(int(record.time_s)), f"{minutes}:{seconds:02d}"]
    if record.taken_at is not None:
        facts += [f"{record.taken_at:%Y-%m-%d %H:%M %B}"]
    if record.camera:
        facts.append(record.camera)
    if record.lat is not None and record.lon is not None:
        facts += [f"{abs(value):.{n}f}" for value in (record.lat, record.lon) for n in range(1, 6)]
    return "\n".join((*facts, record.uri, *record.tags))
