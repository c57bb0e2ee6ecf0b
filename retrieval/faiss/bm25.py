"""BM25 over postings, with the constants that every store uses: all give the same scores.

Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009.
"""

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

_K = 1.2
_B = 0.75
_USUAL_LENGTH = 60.0


def bm25(postings: Iterable[NDArray[np.int64]], *, texts: int, size: int) -> NDArray[np.float64]:
    """Scores by number, ``(size,)``, 0 where no term occurs.

    ``postings`` has ``(n, 3)`` for each term of the query: number, how often it occurs there, and the tokens
    of that text; ``texts`` is how many texts there are.
    """
    totals = np.zeros(size, np.float64)
    for rows in postings:
        idf = math.log(1 + (texts - len(rows) + 0.5) / (len(rows) + 0.5))
        count = rows[:, 1]
        length = rows[:, 2]
        weight = count * (_K + 1) / (count + _K * (1 - _B + _B * length / _USUAL_LENGTH))
        totals[rows[:, 0]] += idf * weight
    return totals.round(4)
