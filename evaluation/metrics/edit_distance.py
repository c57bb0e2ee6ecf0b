"""Fewest insertions, deletions and replacements that turn one sequence into another (Levenshtein 1966)."""

from collections.abc import Hashable, Sequence


def edit_distance(a: Sequence[Hashable], b: Sequence[Hashable]) -> int:
    """The distance between letters of two texts, or between items of two lists."""
    return last_row(a, b)[-1]


def last_row(a: Sequence[Hashable], b: Sequence[Hashable], *, anywhere: bool = False) -> list[int]:
    """Distance of ``a`` to each prefix of ``b``, or to the best end of one when it may start ``anywhere``.

    Bit-parallel (Myers 1999, as simplified by Hyyrö 2003) on Python's long integers: a page against a page
    in milliseconds.
    """
    row = [len(a)]
    if not a:
        return row + [0 if anywhere else i for i in range(1, len(b) + 1)]
    where: dict[Hashable, int] = {}
    for i, item in enumerate(a):
        where[item] = where.get(item, 0) | 1 << i
    full, top = (1 << len(a)) - 1, 1 << (len(a) - 1)
    more, less = full, 0  # bit i: the column grows, or shrinks, by one from row i to row i + 1
    for item in b:
        equal = where.get(item, 0)
        x = equal | less
        diagonal = (((x & more) + more) ^ more) | x
        right_more = less | (full & ~(diagonal | more))
        right_less = more & diagonal
        row.append(row[-1] + (1 if right_more & top else 0) - (1 if right_less & top else 0))
        right_more = (right_more << 1) | (0 if anywhere else 1)
        right_less <<= 1
        more = (right_less | ~(diagonal | right_more)) & full
        less = right_more & diagonal & full
    return row
