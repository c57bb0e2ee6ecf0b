"""Words as they are compared everywhere: in the store's BM25, in quoted phrases, in snippets.

Text comes from OCR: spaces are swallowed ("GRANDTOTAL"), cases vary, punctuation is unsure. Tokens and
phrases are therefore compared after Unicode normalisation (NFKC) and case folding.
"""

import re
import unicodedata
from functools import lru_cache

from askpix.core.text.normalize import FUNCTION_WORDS, folded, singular

# Scripts written without spaces (kana, ideographs, Thai, Lao, Burmese, Khmer): any place may be the edge of a
# word, and the tokens of a run are its overlapping pairs.
_SPACELESS = (
    "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\U00020000-\U0003ffff"
)
_SEPARATED = r"\d+(?:[.,/:\-]\d+)+"
# Vowel signs and accents that stand as characters of their own belong to the word.
_MARKS = "".join(chr(code) for code in range(0x300, 0xE00) if unicodedata.category(chr(code)).startswith("M"))
# A word ends where a separated number begins: "RM67.85" is "rm" and "67.85".
_TOKEN = re.compile(rf"{_SEPARATED}|[{_SPACELESS}]+|(?:(?!\d+[.,/:\-]\d)(?:[^\W_{_SPACELESS}]|[{_MARKS}]))+")
_WORD = re.compile(r"[^\W_]+")
# What must follow each other in a phrase: a line may break anywhere in a spaceless script.
_PIECE = re.compile(rf"(?=[^\W_])[{_SPACELESS}]|[^\W_{_SPACELESS}]+")
_SPACELESS_CHAR = re.compile(f"[{_SPACELESS}]")

STOP_WORDS = FUNCTION_WORDS | frozenset(
    """
    him list many more most much no nor not own she should
    """.split()
)
"""English; words of a question that say nothing about an image."""

normalise = folded


def squeeze(text: str) -> str:
    """Return only the letters and digits, normalised: what remains when spaces cannot be trusted."""
    return "".join(_WORD.findall(normalise(text)))


def tokens(text: str) -> list[str]:
    """Normalised tokens in order. Numbers keep their inner separators (``67.85``, ``12/05/2018``) and give
    their parts too; a plural ``s`` of English words is dropped; runs of spaceless scripts become pairs."""
    found: list[str] = []
    for match in _TOKEN.finditer(normalise(text)):
        word = match[0]
        if _SPACELESS_CHAR.match(word):
            found += [word[i : i + 2] for i in range(max(1, len(word) - 1))]
        elif word[0].isdigit() and not word.isalnum():
            found += [word, *re.split(r"[.,/:\-]", word)]
        else:
            found.append(singular(word))
    return found


def content_words(text: str) -> list[str]:
    """The distinct tokens of a question that can be looked for, in order, without stop words."""
    return list(dict.fromkeys(token for token in tokens(text) if token not in STOP_WORDS))


def has_phrase(text: str, phrase: str) -> bool:
    """Return whether the words of ``phrase`` occur in ``text`` in order, next to each other.

    Punctuation, line breaks and swallowed spaces between them do not matter: "GRANDTOTAL" holds
    "grand total". Both ends lie on word boundaries (a change from letter to digit is one), so "art" is not
    in "party"; scripts without spaces have none. A phrase without letters or digits is in every text.
    """
    pattern = phrase_pattern(phrase)
    return pattern is None or pattern.search(normalise(text)) is not None


@lru_cache(maxsize=256)
def phrase_pattern(phrase: str) -> re.Pattern[str] | None:
    """Return the pattern that finds ``phrase`` in a normalised text; None when the phrase has no letter or
    digit.
    """
    pieces = _PIECE.findall(normalise(phrase))
    if not pieces:
        return None
    middle = r"[\W_]*".join(re.escape(piece) for piece in pieces)
    return re.compile(_boundary(pieces[0][0], before=True) + middle + _boundary(pieces[-1][-1], before=False))


def _boundary(char: str, *, before: bool) -> str:
    if _SPACELESS_CHAR.match(char):
        return ""
    kind = r"\d" if char.isdigit() else rf"[^\W\d_{_SPACELESS}]"
    return f"(?<!{kind})" if before else f"(?!{kind})"
