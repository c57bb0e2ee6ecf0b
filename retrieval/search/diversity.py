"""Bursts and near duplicates become one hit, and a page may be spread over what there is.

Two images are one for a person when any of these holds, and nothing that is written in them differs:

    edited     their perceptual hashes differ in at most EDITED of 256 bits (saved anew, shrunk, brightened)
    retouched  in at most RETOUCHED, and their vectors are much alike (a small crop, a slight turn)
    burst      taken within BURST_S seconds with the same camera, and their vectors are much alike

"Much alike" is ALIKE standard deviations above the mean cosine of two images of this collection, but no
higher than ``NEARLY_ONE``. Forms, receipts of one shop and charts of one style look the same and say other
things: so where words were read, nearly all of them must be in both, and every number.

Measured (README, "Numbers"): the nearest two of 774 unlike photos are 90 bits apart, of 240 charts 32, of 299
pages 18; edits change up to 24 bits, a crop of 2 % or a turn by 1.5 degrees up to 72.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from askpix.core.types import ImageRecord, Vectors
from askpix.retrieval.search.perceptual_hash import BITS, PLAIN, bits_apart
from askpix.retrieval.text.tokenize import tokens

EDITED = 24
RETOUCHED = 60
UNREAD = 8
"""Bits, for papers, charts and screens in which nothing was read: only their looks tell them apart."""
BURST_S = 10.0
ALIKE = 2.5
NEARLY_ONE = 0.97
_SAME_WORDS = 0.8
_FEW_WORDS = 3
"""Number of words up to which text is noise: a sign in the background, read in one image of a burst and
not in another.
"""
_AT_ONCE = 512
"""Images that are compared with all heads and each other in one go."""
_DIGITS = re.compile(r"\d{2,}")


@dataclass(frozen=True, slots=True)
class Seen:
    """A found image as it is compared with others."""

    record: ImageRecord
    vector: Vectors
    """``(dim,)``"""


def alike_from(mean: float, spread: float) -> float:
    """The cosine from which two images are much alike, where two usually have ``mean`` +- ``spread``."""
    return min(mean + ALIKE * spread, NEARLY_ONE)


def is_near_duplicate(one: Seen, other: Seen, *, alike: float) -> bool:
    """Return whether a person would call them one image; ``alike`` as ``alike_from`` gives it."""
    a = one.record
    b = other.record
    if a.kind != b.kind or (a.page or 0) != (b.page or 0):
        return False  # pages of one document follow each other, and are not each other
    apart = bits_apart(a.phash, b.phash) if a.phash and b.phash else None
    if not a.text and not b.text and _is_plain(a) and _is_plain(b):
        return apart is not None and apart <= UNREAD
    if apart is not None and apart <= EDITED:
        return same_words(a.text, b.text)
    if float(one.vector @ other.vector) < alike:
        return False
    if not (_is_burst(a, b) or (apart is not None and apart <= RETOUCHED)):
        return False
    return same_words(a.text, b.text)


def _is_plain(record: ImageRecord) -> bool:
    return (record.phash or "").endswith(PLAIN)


def _is_burst(one: ImageRecord, other: ImageRecord) -> bool:
    if one.taken_at is None or other.taken_at is None or one.camera != other.camera:
        return False
    return abs((one.taken_at - other.taken_at).total_seconds()) <= BURST_S


def same_words(one: str, other: str) -> bool:
    """Return whether two images have the same text, as far as it can be read: most words, and all long
    numbers.
    """
    if one == other:
        return True
    words = set(tokens(one))
    others = set(tokens(other))
    if len(words) <= _FEW_WORDS and len(others) <= _FEW_WORDS:
        return True
    if not words or not others:
        # One of them may not have been read yet; a page full of words is no double of an empty one.
        return False
    if set(_DIGITS.findall(one)) != set(_DIGITS.findall(other)):
        return False
    return len(words & others) >= _SAME_WORDS * len(words | others)


def collapsed(found: Sequence[Seen], *, alike: float) -> list[tuple[int, list[int]]]:
    """Positions of the images that stay, in order, each with those that are the same as it."""
    doubles = Doubles(alike)
    doubles.add(found)
    return doubles.groups


class Doubles:
    """Gathers doubles, best hits first.

    An image is compared with the ones that stayed before it and with nothing behind it: what is found
    further down changes nothing above, so pages follow each other without gaps or repeats.
    """

    def __init__(self, alike: float) -> None:
        self._alike = alike
        self.groups: list[tuple[int, list[int]]] = []
        """Positions in all that was added, of those that stay, each with those that are the same."""
        self._heads: list[Seen] = []
        self._count = 0

    def add(self, found: Sequence[Seen]) -> None:
        """Add hits that follow those added before."""
        for at in range(0, len(found), _AT_ONCE):
            self._add(found[at : at + _AT_ONCE])

    def _add(self, found: Sequence[Seen]) -> None:
        before = len(self._heads)
        everyone = [*self._heads, *found]
        vectors = np.stack([seen.vector for seen in everyone])
        hashes = np.stack([_bits(seen.record.phash) for seen in everyone]).view(np.uint64)
        cosines = vectors[before:] @ vectors.T
        apart = np.bitwise_count(hashes[before:, None] ^ hashes[None]).sum(axis=2)
        hashed = np.array([bool(seen.record.phash) for seen in everyone])
        likely = (cosines >= self._alike) | ((apart <= EDITED) & hashed[before:, None] & hashed)
        stays = np.zeros(len(everyone), bool)
        stays[:before] = True
        place = list(range(before)) + [-1] * len(found)
        for n, seen in enumerate(found):
            heads = np.flatnonzero(likely[n] & stays)
            for i in heads[np.argsort(-cosines[n, heads], kind="stable")]:
                if is_near_duplicate(everyone[i], seen, alike=self._alike):
                    self.groups[place[i]][1].append(self._count + n)
                    break
            else:
                stays[before + n], place[before + n] = True, len(self.groups)
                self.groups.append((self._count + n, []))
                self._heads.append(seen)
        self._count += len(found)


def _bits(phash: str | None) -> NDArray[np.uint8]:
    """The hash as bytes; what is not one is like nothing by chance only, and looked at again."""
    try:
        found = np.frombuffer(bytes.fromhex((phash or "").removesuffix(PLAIN)), np.uint8)
    except ValueError:
        found = np.zeros(0, np.uint8)
    return found if len(found) == BITS // 8 else np.zeros(BITS // 8, np.uint8)


def spread_out(scores: Sequence[float], vectors: Vectors, *, weight: float) -> list[int]:
    """The order of maximal marginal relevance (Carbonell and Goldstein 1998) over all that is given.

    ``weight`` 1 keeps the order of ``scores``, 0 looks for what is unlike the ones before it. Scores and
    cosines ``(n, dim)`` are both brought to 0..1 first: neither scale depends on the model.
    """
    if not len(scores):
        return []
    worth = _scaled(np.asarray(scores, np.float64))
    among = vectors @ vectors.T
    likeness = (among - among.min()) / max(float(1.0 - among.min()), 1e-9)
    nearest = np.zeros(len(worth))
    left = list(range(len(worth)))
    order = []
    while left:
        value = weight * worth[left] - (1 - weight) * nearest[left]
        best = left.pop(int(value.argmax()))
        order.append(best)
        nearest = np.maximum(nearest, likeness[best])
    return order


def _scaled(values: NDArray[np.float64]) -> NDArray[np.float64]:
    low = float(values.min())
    high = float(values.max())
    return (values - low) / (high - low) if high > low else np.ones(len(values))
