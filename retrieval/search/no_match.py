"""Does anything match? What images show, what their text says, how their files are called.

By what images show: ``calibration``. By their text an image matches when the part of the query's words
in it, rare ones counting more, and half the cosine of its best passage add up to enough. How much that is
depends on how the query is put:

    a question      "What is the value of India Bar?"   most of its words ask and stand in no image
    words           "fire extinguisher report"          what is looked for says so itself
    with a number   "SYARIKAT PERNIAGAAN 12/05/2018"    a code, a date, an amount is read or is not there:
                                                        what images show says nothing of it

A file's name matches when it holds every word of the query and the image is among the nearest.

The three thresholds were chosen on one half of receipts, forms, charts and screenshots so that few right
answers are hidden, and checked on the other half (README, "Numbers"; ``askpix eval retrieval --absent``).
"""

import logging
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from askpix.retrieval.text.tokenize import content_words, tokens

_log = logging.getLogger(__name__)

ASKED = 0.3
WORDED = 0.5
NUMBERED = 0.62
_STEEP = 8.0
"""Slope of the confidence with the fit of a text: 0.1 more than enough is 0.69."""
_ASKING = frozenset("what which who whom whose how when where why".split())
_OPENING = frozenset("is are was were do does did can could has have should will would".split())
_EXACT = re.compile(r"\d[.,/:\-]\d|\d{5}")
"""Dates, amounts and codes; not the number of a year, of a flight or of dogs."""
_SPLIT = re.compile(r"[\W_]+")


@dataclass(frozen=True, slots=True)
class Verdict:
    """``reason`` is None when something matches; ``confidence`` is 0..1, above 0.5 exactly then."""

    reason: str | None
    confidence: float

    @property
    def matched(self) -> bool:
        """True if anything matches."""
        return self.reason is None


def text_enough(text: str) -> float:
    """Return how well a text must fit the query ``text``."""
    words = _SPLIT.split(text.casefold().strip(" ¿"))
    if text.rstrip().endswith("?") or _ASKING & set(words[:4]) or words[0] in _OPENING:
        return ASKED
    return NUMBERED if _EXACT.search(text) else WORDED


def text_confidence(text: str, fit: float) -> float:
    """0..1 for the fit of the best text, 0.5 at ``text_enough``."""
    return 1.0 / (1.0 + math.exp(-_STEEP * (min(fit, 5.0) - text_enough(text))))


def named(uris: Iterable[str], terms: Sequence[str]) -> bool:
    """Return whether the name of a file holds all of ``terms`` (as ``words.content_words`` gives them)."""
    wanted = {term for term in terms if len(term) > 1}
    return bool(wanted) and any(wanted <= _name_words(uri) for uri in uris)


def _name_words(uri: str) -> set[str]:
    words = _SPLIT.sub(" ", PurePath(uri.replace("\\", "/")).stem)
    # "IMG_CatOnSofa" says as much as "cat on sofa".
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", words)
    return {*tokens(words), *tokens(parted)}


def decide(
    text: str,
    *,
    shown: float | None,
    needed: float | None,
    text_fit: float | None,
    uris: Iterable[str] = (),
    image_confidence: float = 0.0,
) -> Verdict:
    """The verdict on a query ``text``.

    ``shown`` is the evidence of the nearest images and ``needed`` the least that means something, both None
    when images were not compared; ``text_fit`` is None when texts were not asked. ``uris`` are the nearest
    images' files.
    """
    says = 0.0 if text_fit is None else text_confidence(text, text_fit)
    if text_fit is not None and text_enough(text) == NUMBERED:
        shown = None
        image_confidence = 0.0
    confidence = max(image_confidence, says)
    if confidence > 0.5:
        return Verdict(None, confidence)
    if named(uris, content_words(text)):
        return Verdict(None, max(confidence, 0.75))
    missing = []
    if shown is not None and needed is not None:
        missing.append("no image shows it")
    if text_fit is not None:
        missing.append("no text in an image mentions it")
    _log.debug("shown %s of %s, text fit %s of %s for %r", shown, needed, text_fit, text_enough(text), text)
    return Verdict(", and ".join(missing) or "nothing fits", confidence)
