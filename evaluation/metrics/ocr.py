"""How well the words of a picture were read: character and word error rates, bags of words, fields found.

Error rates compare text in reading order and suit single lines and simple pages. On receipts and forms the
order of lines is a matter of taste; there ``word_scores`` and ``field_similarity`` say more.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from askpix.evaluation.metrics.edit_distance import edit_distance, last_row

_EDGES = re.compile(r"^[\W_]+|[\W_]+$")


@dataclass(frozen=True, slots=True)
class ErrorRate:
    """Edits needed over the length of the truth. Add them up to weigh pages by their length."""

    edits: int
    length: int

    @property
    def rate(self) -> float:
        """``edits / length``: 0.0 is perfect and more than 1.0 possible. No truth: 0.0 when nothing was
        read either, else 1.0."""
        if self.length:
            return self.edits / self.length
        return 1.0 if self.edits else 0.0

    def __add__(self, other: "ErrorRate") -> "ErrorRate":
        return ErrorRate(self.edits + other.edits, self.length + other.length)


@dataclass(frozen=True, slots=True)
class WordScores:
    """Words of the truth and of what was read as bags: how many there are, and how many are in both."""

    common: int
    expected: int
    found: int

    @property
    def recall(self) -> float:
        """Share of the true words that were read; 1.0 when there are none."""
        return self.common / self.expected if self.expected else 1.0

    @property
    def precision(self) -> float:
        """Share of the words read that are true; 1.0 when nothing was read."""
        return self.common / self.found if self.found else 1.0

    @property
    def f1(self) -> float:
        total = self.expected + self.found
        return 2 * self.common / total if total else 1.0

    def __add__(self, other: "WordScores") -> "WordScores":
        return WordScores(
            self.common + other.common, self.expected + other.expected, self.found + other.found
        )


def normalise(text: str) -> str:
    """Compatibility forms folded (NFKC), case folded, runs of white space as one space."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def words(text: str) -> list[str]:
    """Words of the normalised text without punctuation at their ends; what is only punctuation is none."""
    stripped = (_EDGES.sub("", word) for word in normalise(text).split())
    return [word for word in stripped if word]


def cer(truth: str, read: str) -> ErrorRate:
    """Character error rate of the normalised texts, spaces counted."""
    a, b = normalise(truth), normalise(read)
    return ErrorRate(edit_distance(a, b), len(a))


def wer(truth: str, read: str) -> ErrorRate:
    """Word error rate, punctuation at the ends of words and case left aside."""
    a, b = words(truth), words(read)
    return ErrorRate(edit_distance(a, b), len(a))


def word_scores(truth: str | Iterable[str], read: str | Iterable[str]) -> WordScores:
    """Both texts (or lines) as bags of words: order does not matter, how often does."""
    a, b = Counter(words(_joined(truth))), Counter(words(_joined(read)))
    return WordScores((a & b).total(), a.total(), b.total())


def field_similarity(value: str, read: str) -> float:
    """How well the best stretch of ``read`` fits ``value``: 1.0 = it is there, letter by letter.

    Spaces and case are left aside, so a value may run over lines. Approximate string matching (Sellers
    1980): 1 - edits / length of the value. An empty value is anywhere: 1.0.
    """
    a, b = normalise(value).replace(" ", ""), normalise(read).replace(" ", "")
    return 1.0 - min(last_row(a, b, anywhere=True)) / len(a) if a else 1.0


def field_found(value: str, read: str, *, similarity: float = 1.0) -> bool:
    """Whether ``value`` was read, at least this similar.

    Exactly (1.0) it must stand whole: no digit goes on where a digit of it ends, "7.85" is not in "67.85".
    """
    if similarity < 1.0:
        return field_similarity(value, read) >= similarity
    wanted = normalise(value).replace(" ", "")
    if not wanted:
        return True
    # Spaces may come and go, but digits on both sides of one are two numbers.
    pattern = r"\s*".join(re.escape(character) for character in wanted)
    before = r"(?<!\d)(?<!\d[.,])" if wanted[0].isdigit() else ""
    after = r"(?!\d)(?![.,]\d)" if wanted[-1].isdigit() else ""
    return re.search(before + pattern + after, normalise(read)) is not None


def _joined(text: str | Iterable[str]) -> str:
    return text if isinstance(text, str) else "\n".join(text)
