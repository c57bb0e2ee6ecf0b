"""Fewest insertions, deletions and replacements that turn one sequence into another (Levenshtein 1966)."""

from collections.abc import Hashable, Sequence


def edit_distance(a: Sequence[Hashable], b: Sequence[Hashable]) -> int:
    """Return the distance between the letters of two texts, or the items of two lists.

    Bit-parallel (Myers 1999, as simplified by Hyyrö 2003) on Python's long integers: a page against a page
    in milliseconds.
    """
    if not a:
        return len(b)
    where: dict[Hashable, int] = {}
    for i, item in enumerate(a):
        where[item] = where.get(item, 0) | 1 << i
    full = (1 << len(a)) - 1
    top = 1 << (len(a) - 1)
    distance = len(a)
    more = full
    less = 0  # bit i: the column grows, or shrinks, by one from row i to row i + 1
    for item in b:
        equal = where.get(item, 0)
        x = equal | less
        diagonal = (((x & more) + more) ^ more) | x
        right_more = less | (full & ~(diagonal | more))
        right_less = more & diagonal
        distance += (1 if right_more & top else 0) - (1 if right_less & top else 0)
        right_more = (right_more << 1) | 1
        right_less <<= 1
        more = (right_less | ~(diagonal | right_more)) & full
        less = right_more & diagonal & full
    return distance
