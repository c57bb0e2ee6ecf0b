"""Words of questions and of images as they are compared here: OCR swallows spaces and mistakes letters.

Everything is pure text; nothing here knows of boxes or images.
"""

import re
from collections.abc import Iterable
from difflib import SequenceMatcher
from functools import lru_cache

from askpix.core.text.normalize import FUNCTION_WORDS, folded, singular

_TOKEN = re.compile(r"\d+(?:[.,:/\-]\d+)+|[^\W\d_]+(?:['’][^\W\d_]+)*|\d+")
_SPACELESS = re.compile("[぀-ヿ㐀-䶿一-鿿฀-๿]")
_STOP = FUNCTION_WORDS | frozenset("being get itself say says see whats whether".split())
_ALIKE = (
    frozenset("no number num nos nr №".split()),
    frozenset("tel telephone phone mobile handphone hp".split()),
    frozenset("qty quantity pcs".split()),
    frozenset("amt amount".split()),
    frozenset("addr address".split()),
    frozenset("dept department".split()),
    frozenset("acct account a/c".split()),
    frozenset("mail email e-mail".split()),
    frozenset("inv invoice".split()),
    frozenset("percent percentage %".split()),
)


def normalise(text: str) -> str:
    """NFKC, case folded, one space between words."""
    return " ".join(folded(text).split())


def squeeze(text: str) -> str:
    """Letters and digits only, normalised: what is left when spaces cannot be trusted."""
    return "".join(char for char in normalise(text) if char.isalnum())


def tokens(text: str) -> list[str]:
    """Normalised words in order, plurals and possessives without their ``s``; numbers keep separators."""
    found: list[str] = []
    for word in _TOKEN.findall(normalise(text)):
        if _SPACELESS.search(word):
            found += word
        else:
            found.append(_stem(word))
    return found


def content_words(text: str) -> list[str]:
    """The distinct words of ``text`` that carry meaning, in order."""
    return list(dict.fromkeys(word for word in tokens(text) if word not in _STOP_STEMS))


def _stem(word: str) -> str:
    word = re.sub(r"['’]s?$", "", word)
    return singular(word)


@lru_cache(maxsize=65536)
def same_word(one: str, other: str) -> bool:
    """Return whether two tokens are one word: equal, of one family of abbreviations, or a letter apart (OCR).

    Numbers must be equal: a digit read wrongly is another number.
    """
    if one == other:
        return True
    if any(one in family and other in family for family in _ALIKE):
        return True
    if min(len(one), len(other)) < 5 or any(char.isdigit() for char in one + other):
        return False
    shared = next(
        (i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )
    if shared >= 5 and shared >= 0.65 * max(len(one), len(other)):
        return True  # publish, published: endings of one word
    return SequenceMatcher(None, one, other).ratio() >= 0.88


def holds(words: Iterable[str], squeezed: str, word: str) -> bool:
    """Return whether a text with these ``words``, and this squeezed form, holds ``word``."""
    if any(same_word(word, other) for other in words):
        return True
    return len(word) >= 5 and not word[0].isdigit() and squeeze(word) in squeezed


_STOP_STEMS = frozenset(_stem(word) for word in _STOP)
