"""Word normalisation shared by search and answers: stop words, equal words, case and accent folding.

Each goes on from here in its own way: search compares what OCR wrote letter by letter, answers forgive a
letter.
"""

import unicodedata

FUNCTION_WORDS = frozenset(
    """
    a an and any are as at be been but by can could did do does each every find for from give had
    has have he her here his how i if in into is it its just me my of on one or our out over please
    s show so some such t tell than that the their them then there these they this those to too
    under up us very was we were what when where which while who whom whose why will with would you
    your
    """.split()
)
"""English words that say nothing about an image, for whoever asks about one."""


def folded(text: str) -> str:
    """NFKC and case folding: one spelling for what a reader takes as the same."""
    if text.isascii():
        return text.lower()
    # Folding may bring letters that are not normal again.
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def singular(word: str) -> str:
    """A folded English word without the ``s`` of a plural; other words as they are."""
    plural = len(word) > 3 and word.isascii() and word.endswith("s") and not word.endswith(("ss", "us", "is"))
    return word[:-1] if plural else word
