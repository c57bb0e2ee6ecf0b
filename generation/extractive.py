"""The generator that invents nothing: it picks the words, facts or picture that answer, and quotes them.

A question is sorted by rules (``generation.question``). Values come from typed patterns beside the words that
name them, from labels of forms and tables, and from the usual places of receipts; other questions are
answered with the rows that share most words with them and mean most nearly the same. Where nothing fits
well it says ``NO ANSWER``: a wrong answer is worse than none.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from core.types import Evidence, Message, Usage, Vectors
from generation import patterns, receipt
from generation.found import Found
from generation.generator import Piece
from generation.labelled import find_labelled, find_near
from generation.metadata import KNOWN
from generation.page import Page
from generation.patterns import Finder
from generation.prompt import NO_ANSWER, file_name
from generation.question import Asked, understand
from generation.rules import Wanted
from generation.verify import locate
from generation.words import content_words, holds, squeeze, tokens

EmbedTexts = Callable[[list[str]], Vectors]
"""``(n,)`` texts -> ``(n, dim)`` rows of length one."""

_FINDERS: dict[Wanted, Finder] = {
    "date": patterns.dates,
    "time": patterns.times,
    "year": patterns.years,
    "total": patterns.amounts,
    "amount": patterns.amounts,
    "percent": patterns.percents,
    "count": patterns.counts,
    "phone": patterns.phones,
    "email": patterns.emails,
    "url": patterns.urls,
    "ident": patterns.idents,
    "number": patterns.quantities,
    "person": patterns.names,
    "measure": patterns.measures,
}
_ALONE: frozenset[Wanted] = frozenset({"phone", "email", "url"})
"""Types whose only value on a page answers even when nothing beside it names it."""
_LOOKED_FOR: dict[Wanted, str] = {
    "date": "a date", "time": "a time", "year": "a year", "total": "a total", "amount": "an amount of money",
    "percent": "a percentage", "count": "a number", "phone": "a telephone number",
    "email": "an e-mail address", "url": "a web address", "ident": "a number or code", "number": "a number",
    "measure": "a measure",
    "person": "a name", "company": "a company's name", "address": "an address", "presence": "these words",
}  # fmt: skip
_MIN_NEAR = 0.55
"""Of the focus words (rare ones weigh more) near a typed value. Chosen on one half of the sample."""
_MIN_LABEL = 0.75
_MIN_COVERED = 0.6
_MIN_SHARE = 0.6
_MIN_COSINE = 0.45
_RANK_COST = 0.08
_LONGEST = 240
"""Characters of an answer that is text."""


@dataclass(frozen=True)
class _Seen:
    """One piece of evidence, read."""

    evidence: Evidence

    @cached_property
    def page(self) -> Page:
        return Page(self.evidence.lines)

    @cached_property
    def name_words(self) -> tuple[str, ...]:
        record = self.evidence.hit.record
        name = re.sub(r"[_\W]+", " ", " ".join((file_name(record), *record.tags)))
        return tuple(tokens(name))

    def holds(self, word: str) -> bool:
        """Whether the picture's words, its file name or its tags hold the word."""
        return holds(self.page.words, self.page.squeezed, word) or holds(
            self.name_words, "".join(self.name_words), word
        )

    def share(self, words: Sequence[str]) -> float:
        """The part of ``words`` it holds; 1.0 for no words."""
        return sum(self.holds(word) for word in words) / len(words) if words else 1.0


class ExtractiveGenerator:
    """A ``Generator`` that quotes. ``embed_texts`` says how near sentences are in meaning.

    Keeps no state: as thread-safe as ``embed_texts``.
    """

    model_id = "extractive"

    def __init__(self, embed_texts: EmbedTexts) -> None:
        self._embed_texts = embed_texts

    def generate(self, messages: Sequence[Message], /) -> Iterator[Piece]:
        """One piece: the answer to the last user message from its evidence."""
        question = next((message for message in reversed(messages) if message.role == "user"), None)
        text = "no question was asked." if question is None else ""
        if question is not None:
            yield Piece(self._answer(question.text, question.evidence), Usage())
            return
        yield Piece(f"{NO_ANSWER}: {text}", Usage())

    def _answer(self, question: str, evidence: Sequence[Evidence]) -> str:
        asked = understand(question)
        if not evidence:
            return f"{NO_ANSWER}: there was no picture to look at."
        if asked.wanted in KNOWN:
            return _known(asked, evidence)
        seen = [_Seen(each) for each in evidence]
        if asked.wanted == "picture":
            return _best_picture(asked, seen)
        if asked.wanted == "reading":
            return _read_out(asked, seen)
        if asked.wanted == "judgement":
            for each in seen:
                printed = find_labelled(each.page, asked.words, exact=0.95)
                if printed is not None:
                    return _quoted(printed, each.evidence)
            return f"{NO_ANSWER}: this takes looking or reckoning, and only written words are quoted here."
        best: tuple[float, _Seen, Found] | None = None
        for place, each in enumerate(seen):
            if not _is_about(asked, each):
                continue
            found = self._find(asked, each.page)
            if found is None:
                continue
            fit = found.fit + 0.3 * each.share(asked.focus) - _RANK_COST * place
            if best is None or fit > best[0]:
                best = (fit, each, found)
        if best is None:
            return _nothing(asked, seen)
        return _quoted(best[2], best[1].evidence)

    def _find(self, asked: Asked, page: Page) -> Found | None:
        finder = _FINDERS.get(asked.wanted)
        if asked.wanted == "presence":
            return _presence(asked, page)
        if asked.wanted == "title":
            return _labelled(asked, page, None, exact=0.95) or _title(page)
        if asked.wanted == "text":
            return _labelled(asked, page, None) or self._window(asked, page)
        if asked.wanted in ("company", "address"):
            if asked.wanted == "address":
                return _labelled(asked, page, patterns.addresses, exact=0.9) or _address(asked, page)
            return _labelled(asked, page, patterns.names, exact=0.9) or receipt.find_company(page)
        assert finder is not None
        return _typed(asked, page, finder)

    def _window(self, asked: Asked, page: Page) -> Found | None:
        """One to three rows that hold most of the question's words and mean most nearly the same."""
        if not asked.focus or not page.rows:
            return None
        spans = [
            (at, size) for at in range(len(page.rows)) for size in (1, 2, 3) if at + size <= len(page.rows)
        ]
        texts = [" ".join(page.row_text(at + i) for i in range(size)) for at, size in spans]
        covered = [
            sum(holds(tokens(text), squeeze(text), word) for word in asked.focus) / len(asked.focus)
            for text in texts
        ]
        order = sorted(range(len(spans)), key=lambda i: (-covered[i], spans[i][1], spans[i][0]))[:24]
        order = [i for i in order if covered[i] >= _MIN_COVERED and len(texts[i]) > 0]
        if not order:
            return None
        vectors = self._embed_texts([asked.text, *(texts[i] for i in order)])
        cosines = vectors[1:] @ vectors[0]
        scores = [0.5 * covered[i] + 0.5 * float(cosines[j]) for j, i in enumerate(order)]
        best = int(np.argmax(scores))
        text = texts[order[best]]
        if float(cosines[best]) < _MIN_COSINE or set(content_words(text)) <= set(asked.words):
            return None  # the question's own words and nothing else: a label without its value
        return Found(_cut(text), _cut(text), scores[best])


def _typed(asked: Asked, page: Page, finder: Finder) -> Found | None:
    """A value of the wanted type: beside the question's label, near its words, or in its usual place."""
    found = _labelled(asked, page, finder)
    if asked.wanted == "total" and not asked.focus:
        usual = receipt.find_total(page)
        return usual or found
    if found is not None and found.fit >= 0.85:
        return found
    if asked.focus and asked.wanted != "person":
        quoted = [word for word in asked.focus for phrase in asked.quoted if word in tokens(phrase)]
        least = 0.9 if asked.wanted == "count" else 0.6
        near = find_near(
            page, asked.focus, finder, head=asked.head, least_head=least, together=list(dict.fromkeys(quoted))
        )
        if near is not None and near.fit >= _MIN_NEAR:
            return near
    if found is not None:
        return found
    return _usual(asked, page, finder)


def _usual(asked: Asked, page: Page, finder: Finder) -> Found | None:
    """Where pages of their kind have it, when all that was named is somewhere on the page."""
    if not all(holds(page.words, page.squeezed, word) for word in asked.focus):
        return None
    if asked.wanted == "total":
        return receipt.find_total(page)
    if asked.wanted == "date":
        return receipt.find_date(page)
    if asked.wanted in _ALONE:
        values = [(cell, span) for cell in page.cells for span in finder(cell.text)]
        if (
            asked.wanted == "phone"
        ):  # long numbers of other kinds look the same: spaced or announced ones only
            announced = re.compile(r"tel|phone|call|mobile|hp|fax|\+", re.IGNORECASE)
            values = [
                each for each in values if announced.search(each[0].text) or re.search("[- ]", each[1].text)
            ]
            values.sort(key=lambda each: announced.search(each[0].text) is None)
        if values:
            cell, span = values[0]
            return Found(span.text, cell.text, 0.6 if len(values) == 1 else 0.5)
    return None


def _labelled(asked: Asked, page: Page, finder: Finder | None, exact: float = _MIN_LABEL) -> Found | None:
    """With the type's own words ("completion date") and without them, whichever fits a label better."""
    labels = (asked.focus,) if asked.wanted == "count" else dict.fromkeys((asked.words, asked.focus))
    found = [find_labelled(page, label, finder=finder, exact=exact) for label in labels if label]
    # The rest of a label that the question named in full is no value: "Department | Name".
    values = [each for each in found if each and not set(tokens(each.value)) <= set(asked.words)]
    return max(values, key=lambda each: each.fit, default=None)


def _address(asked: Asked, page: Page) -> Found | None:
    """Under the row that names whose address it is, else the usual place."""
    if not all(holds(page.words, page.squeezed, word) for word in asked.focus):
        return None
    for at in range(len(page.rows)):
        text = page.row_text(at)
        if asked.focus and all(holds(tokens(text), squeeze(text), word) for word in asked.focus):
            return receipt.find_address(page, start=at + 1)
    return receipt.find_address(page)


def _title(page: Page) -> Found | None:
    """The row of the tallest letters in the upper half."""
    rows = [
        row for row in page.rows[: max(3, len(page.rows) // 2)] if len(squeeze(page.row_text(row[0].row))) > 3
    ]
    if not rows:
        return None
    tallest = max(
        rows, key=lambda row: (max(cell.line.box.y1 - cell.line.box.y0 for cell in row), -row[0].row)
    )
    text = page.row_text(tallest[0].row)
    return Found(_cut(text), _cut(text), 0.6)


def _read_out(asked: Asked, seen: Sequence[_Seen]) -> str:
    """The words of the picture that is meant, from the top as far as an answer may be long."""
    readable = [each for each in seen if each.page.rows]
    if not readable:
        return _nothing(asked, seen)
    best = max(readable, key=lambda each: (each.share(asked.focus), -each.evidence.number))
    text = _cut(" ".join(best.page.row_text(at) for at in range(len(best.page.rows))))
    return _quoted(Found(text, text, 1.0), best.evidence)


def _presence(asked: Asked, page: Page) -> Found | None:
    """Yes, with the row that holds every word that was named; never no: reading may have missed it."""
    wanted = asked.named or asked.focus
    if not wanted:
        return None
    for at in range(len(page.rows)):
        text = page.row_text(at)
        if all(holds(tokens(text), squeeze(text), word) for word in wanted):
            return Found("Yes", _cut(text), 0.9)
    return None


def _is_about(asked: Asked, seen: _Seen) -> bool:
    """Whether the picture can be the one asked about: it holds the names in the question, mostly."""
    if asked.named and seen.share(asked.named) < 0.5:
        return False
    return seen.share(asked.focus) >= _MIN_SHARE


def _known(asked: Asked, evidence: Sequence[Evidence]) -> str:
    """From the record of the best hit; a photo where there is one. Another picture's facts would mislead."""
    tell, what = KNOWN[asked.wanted]
    best = next((each for each in evidence if each.hit.record.kind == "photo"), evidence[0])
    fact = tell(best.hit.record)
    if fact is None:
        return f"{NO_ANSWER}: nothing is known of {_safe(file_name(best.hit.record))} that says {what}."
    return f"{_safe(fact)} [{best.number}]"


def _best_picture(asked: Asked, seen: Sequence[_Seen]) -> str:
    """The best hit that holds the names of the question, with the row that shows it."""
    wanted = asked.named or asked.focus
    fitting = [each for each in seen if not asked.named or each.share(asked.named) >= 0.5]
    if not fitting:
        return f"{NO_ANSWER}: none of the pictures found holds {_listed(asked.named)}."
    best = max(fitting, key=lambda each: (round(each.share(asked.named), 3), -each.evidence.number))
    record = best.evidence.hit.record
    name = _safe(file_name(record)) + (f", page {record.page}" if record.page is not None else "")
    row = _fullest_row(best.page, wanted)
    quote = f': "{_quotable(row)}"' if row else ""
    return f"The picture that fits best is {name} [{best.evidence.number}{quote}]"


def _fullest_row(page: Page, words: Sequence[str]) -> str | None:
    best, most = None, 0
    for at in range(len(page.rows)):
        text = page.row_text(at)
        count = sum(holds(tokens(text), squeeze(text), word) for word in words)
        if count > most:
            best, most = text, count
    return _cut(best) if best else None


def _quoted(found: Found, evidence: Evidence) -> str:
    """The value with its quote; the value alone where its label stands too far off to be quoted with it."""
    quote = _quotable(found.quote)
    if locate(quote, evidence.lines) is None:
        quote = _quotable(found.value)
    return f'{_safe(found.value)} [{evidence.number}: "{quote}"]'


def _quotable(quote: str) -> str:
    """Words fit to stand between quotation marks; punctuation does not count when they are checked."""
    return " ".join(re.sub(r"[\"“”„«»\[\]]", " ", _cut(quote)).split())


def _safe(text: str) -> str:
    """Words from a picture or a file name as plain text: no brackets that would read as citations."""
    printable = "".join(char if char.isprintable() else " " for char in text)
    return _cut(" ".join(printable.replace("[", "(").replace("]", ")").split()))


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[:_LONGEST].rsplit(" ", 1)[0]


def _listed(words: Sequence[str]) -> str:
    return " ".join(repr(_safe(word)) for word in words[:6])


def _nothing(asked: Asked, seen: Sequence[_Seen]) -> str:
    """One sentence of what was looked at."""
    names = [_safe(file_name(each.evidence.hit.record)) for each in seen]
    shown = ", ".join(names[:2]) + (f" and {len(names) - 2} more" if len(names) > 2 else "")
    if not any(each.evidence.lines for each in seen):
        return f"{NO_ANSWER}: no words were read in {shown}."
    what = _LOOKED_FOR.get(asked.wanted, "words")
    missing = [word for word in asked.named if not any(each.holds(word) for each in seen)]
    about = f" about {_listed(missing)}" if missing else ""
    return f"{NO_ANSWER}: {shown} held no text that gives {what}{about} as asked."
