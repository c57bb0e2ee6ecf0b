"""The generator that invents nothing: it picks the words, facts or image that answer, and quotes them.

A question is sorted by rules (``generation.questions.understand``). Values come from typed patterns beside
the words that name them, from labels of forms and tables, and from the usual places of receipts; other
questions are answered with the rows that share most words with them and mean most nearly the same. Where
nothing fits well it says ``NO ANSWER``: a wrong answer is worse than none.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from askpix.core.types import Evidence, Message, Usage, Vectors
from askpix.generation.extractive.labels import find_labelled
from askpix.generation.extractive.page import Found, Page
from askpix.generation.extractive.record_facts import KNOWN
from askpix.generation.extractive.table_lookup import find_in_table
from askpix.generation.extractive.values import find_value
from askpix.generation.generators.base import Generator, GeneratorKind, GeneratorOptions, Piece
from askpix.generation.grounding.citations import locate
from askpix.generation.grounding.injection import without_planted
from askpix.generation.prompting.prompt import NO_ANSWER, file_name
from askpix.generation.questions.rules import Wanted
from askpix.generation.questions.understand import Asked, understand
from askpix.generation.word_match import content_words, holds, squeeze, tokens
from askpix.retrieval.model_hub.registry import ModelFact
from askpix.retrieval.onnx.mini import shared_minilm

EmbedTexts = Callable[[list[str]], Vectors]
"""``(n,)`` texts -> ``(n, dim)`` rows of length one."""

HELP = "A vision model looks at the image itself: askpix models install vlm"
_LOOKED_FOR: dict[Wanted, str] = {
    "date": "a date", "time": "a time", "year": "a year", "total": "a total", "amount": "an amount of money",
    "percent": "a percentage", "count": "a number", "phone": "a telephone number",
    "email": "an e-mail address", "url": "a web address", "ident": "a number or code", "number": "a number",
    "measure": "a measure",
    "person": "a name", "company": "a company's name", "address": "an address", "presence": "these words",
}  # fmt: skip
_IN_TABLES: frozenset[Wanted] = frozenset(
    {"number", "percent", "count", "text", "amount", "measure", "person", "company", "judgement"}
)
_TABLES = 2
"""Pages whose tables are looked into: the further down, the less likely it is the one meant."""
_KINDS = frozenset(
    "shop store restaurant supermarket market place merchant cafe café bar dinner lunch breakfast meal "
    "purchase shopping trip visit company business".split()
)
_MIN_SHARE = 0.6
"""Share of the focus words that an image must hold to be the one asked about."""
_MIN_COVERED = 0.6
_MIN_COSINE = 0.45
"""Least cosine of a window of rows with the question (all-MiniLM-L6-v2): unrelated passages seldom reach
it.
"""
_RANK_COST = 0.08
"""Margin by which an image one place further down must be better."""
_LONGEST = 240
"""Characters of an answer that is text."""


@dataclass(frozen=True)
class _Seen:
    """A parsed piece of evidence."""

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
        """Return whether the image's text, its file name or its tags hold the word."""
        return holds(self.page.words, self.page.squeezed, word) or holds(
            self.name_words, "".join(self.name_words), word
        )

    def share(self, words: Sequence[str]) -> float:
        """The part of ``words`` it holds; 1.0 for no words."""
        return sum(self.holds(word) for word in words) / len(words) if words else 1.0


class ExtractiveGenerator(Generator):
    """A generator that quotes. ``embed_texts`` says how near sentences are in meaning.

    Keeps no state: as thread-safe as ``embed_texts``.
    """

    model_id = "extractive"
    follows_instructions = False

    def __init__(self, embed_texts: EmbedTexts) -> None:
        self._embed_texts = embed_texts

    def generate(self, messages: Sequence[Message], /) -> Iterator[Piece]:
        """Yield the answer to the last user message from its evidence, in one piece."""
        question = next((message for message in reversed(messages) if message.role == "user"), None)
        if question is None:
            yield Piece(f"{NO_ANSWER}: No question was asked.", Usage())
        else:
            yield Piece(self._answer(question.text, question.evidence), Usage())

    def _answer(self, question: str, evidence: Sequence[Evidence]) -> str:
        asked = understand(question)
        if not evidence:
            return f"{NO_ANSWER}: No image was found to look at."
        if asked.wanted in KNOWN:
            return _known(asked, evidence)
        evidence = [without_planted(each) for each in evidence]
        seen = [_Seen(each) for each in evidence]
        if asked.wanted == "picture":
            return _best_image(asked, seen)
        if asked.wanted == "reading":
            return _read_out(asked, seen)
        if asked.wanted == "judgement":
            for each in seen:
                printed = find_labelled(each.page, asked.words, exact=0.95) or self._in_table(asked, each)
                if printed is not None:
                    return _quoted(printed, each.evidence)
            return f"{NO_ANSWER}: Only text that stands in images is quoted here, and this needs more. {HELP}"
        best: tuple[float, _Seen, Found] | None = None
        for place, each in enumerate(seen):
            found = self._in_table(asked, each)
            if found is None and _is_about(asked, each):
                found = self._find(_without_kind(asked, each), each.page)
            if found is None:
                continue
            fit = found.fit + 0.3 * each.share(asked.focus) - _RANK_COST * place
            if best is None or fit > best[0]:
                best = (fit, each, found)
        if best is None:
            return _nothing(asked, seen)
        return _quoted(best[2], best[1].evidence)

    def _find(self, asked: Asked, page: Page) -> Found | None:
        found = find_value(asked, page)
        return self._window(asked, page) if found is None and asked.wanted == "text" else found

    def _in_table(self, asked: Asked, seen: _Seen) -> Found | None:
        """A cell of a table, or of a chart's printed numbers, on one of the best two pages.

        A chart seldom says in words what it is about: a name that the question shares with one of its labels
        ties them, a year does not.
        """
        if asked.wanted not in _IN_TABLES or seen.evidence.number > _TABLES:
            return None
        found = find_in_table(asked, seen.evidence.lines)
        if found is None:
            return None
        words = [word for word in asked.focus if not word[0].isdigit()]
        label = {word for word in tokens(found.quote) if not word[0].isdigit()}
        tied = bool(label & set(words)) and seen.share(asked.named) >= 0.5
        return found if seen.share(words) >= (0.35 if tied else _MIN_SHARE) else None

    def _window(self, asked: Asked, page: Page) -> Found | None:
        """Find the one to three rows that hold most of the question's words and are nearest to it in
        meaning.
        """
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


def _read_out(asked: Asked, seen: Sequence[_Seen]) -> str:
    """The words of the image that is meant, from the top, as far as an answer may be long."""
    readable = [each for each in seen if each.page.rows]
    if not readable:
        return _nothing(asked, seen)
    best = max(readable, key=lambda each: (each.share(asked.focus), -each.evidence.number))
    if best.share(asked.focus) < 0.5:
        return _nothing(asked, seen)
    text = _cut(" ".join(best.page.row_text(at) for at in range(len(best.page.rows))))
    return _quoted(Found(text, text, 1.0), best.evidence)


def _without_kind(asked: Asked, seen: _Seen) -> Asked:
    """Without words like "shop" that say what kind of place it is, where the page does not say so."""
    focus = tuple(word for word in asked.focus if word not in _KINDS or seen.holds(word))
    return replace(asked, focus=focus)


def _is_about(asked: Asked, seen: _Seen) -> bool:
    """Return whether the image can be the one asked about: it holds the names in the question, mostly."""
    if asked.named and seen.share(asked.named) < 0.5:
        return False
    return seen.share(_without_kind(asked, seen).focus) >= _MIN_SHARE


def _known(asked: Asked, evidence: Sequence[Evidence]) -> str:
    """Answer from the record of the best hit: a photo where there is one, a frame for a moment of a video.
    Another image's facts would mislead.
    """
    tell, what = KNOWN[asked.wanted]
    kind = "frame" if asked.wanted == "moment" else "photo"
    best = next((each for each in evidence if each.hit.record.kind == kind), evidence[0])
    if asked.wanted == "moment" and re.search(r"\bfirst\b", asked.text, re.IGNORECASE):
        film = [each for each in evidence if each.hit.record.uri == best.hit.record.uri]
        best = min(film, key=lambda each: each.hit.record.time_s or 0.0)
    fact = tell(best.hit.record)
    if fact is None:
        return f"{NO_ANSWER}: {_safe(file_name(best.hit.record))} does not say {what}."
    return f"{_safe(fact)} [{best.number}]"


def _best_image(asked: Asked, seen: Sequence[_Seen]) -> str:
    """The best hit that holds the names of the question, with the row that shows it."""
    wanted = asked.named or asked.focus
    fitting = [each for each in seen if not asked.named or each.share(asked.named) >= 0.5]
    if not fitting:
        return f"{NO_ANSWER}: None of the images found mentions {_listed(asked.named)}."
    best = max(fitting, key=lambda each: (round(each.share(asked.named), 3), -each.evidence.number))
    record = best.evidence.hit.record
    name = _safe(file_name(record)) + (f", page {record.page}" if record.page is not None else "")
    row = _fullest_row(best.page, wanted)
    quote = f': "{_quotable(row)}"' if row else ""
    return f"The image that fits best is {name} [{best.evidence.number}{quote}]"


def _fullest_row(page: Page, words: Sequence[str]) -> str | None:
    best = None
    most = 0
    for at in range(len(page.rows)):
        text = page.row_text(at)
        count = sum(holds(tokens(text), squeeze(text), word) for word in words)
        if count > most:
            best = text
            most = count
    return _cut(best) if best else None


def _quoted(found: Found, evidence: Evidence) -> str:
    """The value with its quote; the value alone where its label stands too far off to be quoted with it."""
    quote = _quotable(found.quote)
    if locate(quote, evidence.lines) is None:
        quote = _quotable(found.value)
    return f'{_safe(found.value)} [{evidence.number}: "{quote}"]'


def _quotable(quote: str) -> str:
    """Words fit to stand between quotation marks; punctuation does not count when checked."""
    return " ".join(re.sub(r"[\"“”„«»\[\]]", " ", _cut(quote)).split())


def _safe(text: str) -> str:
    """Words from an image or a file name as plain text: no brackets that would read as citations."""
    printable = "".join(char if char.isprintable() else " " for char in text)
    return _cut(" ".join(printable.replace("[", "(").replace("]", ")").split()))


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[:_LONGEST].rsplit(" ", 1)[0]


def _listed(words: Sequence[str]) -> str:
    return " ".join(repr(_safe(word)) for word in words[:6])


def _nothing(asked: Asked, seen: Sequence[_Seen]) -> str:
    """Say what was looked for, and what would help."""
    shown = f"the {len(seen)} images that fit best" if len(seen) > 1 else "the image that fits best"
    if not any(each.evidence.lines for each in seen):
        return f"{NO_ANSWER}: No text was read in {shown}. {HELP}"
    what = _LOOKED_FOR.get(asked.wanted, "an answer")
    missing = [word for word in asked.named if not any(each.holds(word) for each in seen)]
    about = f" about {_listed(missing)}" if missing else ""
    return f"{NO_ANSWER}: The text of {shown} does not give {what}{about}. {HELP}"


def _open(_: str, options: GeneratorOptions) -> ExtractiveGenerator:
    return ExtractiveGenerator(shared_minilm().embed_texts)


def _facts() -> list[ModelFact]:
    return [
        ModelFact(
            id="extractive",
            role="generator",
            licence="Apache-2.0",
            languages=("en",),
            notes="quotes the words, dates and images that answer; invents nothing",
        )
    ]


KIND = GeneratorKind(open=_open, facts=_facts)
