"""Words as they are compared everywhere: in the store's BM25, in quoted phrases, in snippets.

Text comes from OCR: spaces are swallowed ("GRANDTOTAL"), cases vary, punctuation is unsure. Tokens and
phrases are therefore compared after Unicode normalisation (NFKC) and case folding.
"""

import re
import unicodedata

# A run of ideographs or kana is written without spaces: its tokens are its overlapping pairs.
_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_TOKEN = re.compile(rf"\d+(?:[.,/:\-]\d+)+|[{_CJK}]+|[^\W_{_CJK}]+")
_CJK_RUN = re.compile(rf"[{_CJK}]+")

STOP_WORDS = frozenset(
    """a an and any are as at be been but by can could did do does each every for from had has have he her
    here him his how i if in into is it its just me more most much my no nor not of on one or our out over
    own she should show so some such tell than that the their them then there these they this those to too
    under up us very was we were what when where which while who whom whose why will with would you your
    please find give many list s t""".split()
)  # English; words of a question that say nothing about a picture


def normalise(text: str) -> str:
    """NFKC and case folding: one spelling for what a reader takes as the same."""
    return unicodedata.normalize("NFKC", text).casefold()


def squeeze(text: str) -> str:
    """Only the letters and digits, normalised: what is left when spaces cannot be trusted."""
    return "".join(char for char in normalise(text) if char.isalnum())


def tokens(text: str) -> list[str]:
    """Normalised tokens in order. Numbers keep their inner separators (``67.85``, ``12/05/2018``) and give
    their parts too; a plural ``s`` of English words is dropped; CJK runs become pairs."""
    found: list[str] = []
    for match in _TOKEN.finditer(normalise(text)):
        word = match[0]
        if _CJK_RUN.fullmatch(word):
            found += [word[i : i + 2] for i in range(max(1, len(word) - 1))]
        elif word[0].isdigit() and not word.isalnum():
            found += [word, *re.split(r"[.,/:\-]", word)]
        else:
            found.append(_singular(word))
    return found


def content_words(text: str) -> list[str]:
    """The distinct tokens of a question that can be looked for, in order, without stop words."""
    return list(dict.fromkeys(token for token in tokens(text) if token not in STOP_WORDS))


def _singular(word: str) -> str:
    plural = len(word) > 3 and word.isascii() and word.endswith("s") and not word.endswith(("ss", "us", "is"))
    return word[:-1] if plural else word


def has_phrase(text: str, phrase: str) -> bool:
    """Whether the words of ``phrase`` stand in ``text`` in order, next to each other.

    Punctuation, line breaks and swallowed spaces between them do not matter: "GRANDTOTAL" holds
    "grand total". Both ends lie on word boundaries (a change from letter to digit is one), so "art" is not
    in "party"; ideographs have none. A phrase without letters or digits is in every text.
    """
    pattern = phrase_pattern(phrase)
    return pattern is None or pattern.search(normalise(text)) is not None


def phrase_pattern(phrase: str) -> re.Pattern[str] | None:
    """What finds ``phrase`` in a normalised text; None when the phrase holds no letter or digit."""
    words = re.findall(r"[^\W_]+", normalise(phrase))
    if not words:
        return None
    middle = r"[\W_]*".join(re.escape(word) for word in words)
    return re.compile(_boundary(words[0][0], before=True) + middle + _boundary(words[-1][-1], before=False))


def _boundary(char: str, *, before: bool) -> str:
    if _CJK_RUN.match(char):
        return ""
    kind = r"\d" if char.isdigit() else rf"[^\W\d_{_CJK}]"
    return f"(?<!{kind})" if before else f"(?!{kind})"
