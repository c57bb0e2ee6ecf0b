"""The piece of an image's text that shows why it was found."""

from collections.abc import Mapping, Sequence

from askpix.retrieval.text.tokenize import has_phrase, normalise, phrase_pattern

MAX_LENGTH = 200
_JOINED = " · "


def holds(text: str, terms: Sequence[str]) -> frozenset[str]:
    """Return the ``terms`` (as ``words.content_words`` gives them) that occur in ``text``, also in the
    plural.
    """
    plain = normalise(text)
    return frozenset(term for term in terms if _stands(term, plain))


def _stands(term: str, plain: str) -> bool:
    # By hand: a pattern per word of a query costs more to compile than to search a hundred pages with.
    at = plain.find(term)
    while at >= 0:
        end = at + len(term)
        plural = end + 1 if plain[end : end + 1] == "s" else end
        if _edge(plain[at - 1 : at], term[0]) and (
            _edge(plain[end : end + 1], term[-1]) or _edge(plain[plural : plural + 1], "s")
        ):
            return True
        at = plain.find(term, at + 1)
    return False


def _edge(beside: str, char: str) -> bool:
    """Return whether a word may end between ``char`` and its neighbour: letters end where digits begin, and
    scripts without cases, most of which have no spaces either, anywhere.
    """
    if not beside.isalnum() or beside.isdigit() != char.isdigit():
        return True
    return char.isalpha() and not char.islower()


def snippet(text: str, weights: Mapping[str, float], phrases: Sequence[str] = ()) -> str | None:
    """The row of ``text`` that holds most phrases, else the words that weigh most, with the better of its
    neighbours when there is room: at most ``MAX_LENGTH`` characters. The first row when none holds any;
    None when the text is empty."""
    rows = [" ".join(row.split()) for row in text.splitlines() if row.strip()]
    if not rows:
        return None
    terms = tuple(weights)
    found = [holds(row, terms) for row in rows]

    def fit(index: int) -> tuple[int, float, int]:
        phrase_count = sum(has_phrase(rows[index], phrase) for phrase in phrases)
        return phrase_count, sum(weights[term] for term in found[index]), -index

    best = max(range(len(rows)), key=fit)
    if len(rows[best]) > MAX_LENGTH:
        return _cut(rows[best], found[best], phrases)
    new = [i for i in (best + 1, best - 1) if 0 <= i < len(rows)]
    new = [i for i in new if len(rows[best]) + len(_JOINED) + len(rows[i]) <= MAX_LENGTH]
    if not new:
        return rows[best]
    other = max(new, key=lambda i: (sum(weights[term] for term in found[i] - found[best]), i))
    first, second = sorted((best, other))
    return f"{rows[first]}{_JOINED}{rows[second]}"


def _cut(row: str, terms: frozenset[str], phrases: Sequence[str]) -> str:
    """The part of a long row around its first phrase or word."""
    at = 0
    plain = normalise(row)
    if len(plain) == len(row):  # else positions differ; the beginning is as good as any place
        starts = [found.start() for p in phrases if (q := phrase_pattern(p)) and (found := q.search(plain))]
        at = min(starts or [plain.find(term) for term in terms], default=0)
    start = max(0, min(at - MAX_LENGTH // 4, len(row) - MAX_LENGTH + 1))
    if start > 0:
        return f"…{row[start : start + MAX_LENGTH - 2]}{'…' if start + MAX_LENGTH - 2 < len(row) else ''}"
    return f"{row[: MAX_LENGTH - 1]}…"
