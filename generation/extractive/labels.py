"""A value beside its label: forms, tables, settings screens, charts' bars with their numbers.

The label is what the question names; its value stands behind it in the same cell, to the right in the same
row, or in the cell below.
"""

import math
import re
from collections.abc import Iterator, Sequence

from askpix.generation.extractive.page import Cell, Found, Page
from askpix.generation.extractive.patterns import Finder, Span
from askpix.generation.word_match import holds, squeeze, tokens

_TAIL = " \t:：.,;=-_·•…|"
_GLUE = frozenset("a an the of in on for to and or by is at s".split())
_MAX_LABEL = 12
"""Words. Longer cells are sentences."""


def find_labelled(
    page: Page, label: Sequence[str], *, finder: Finder | None = None, exact: float = 0.6
) -> Found | None:
    """The value of the cell, or start of a cell, that fits the words of ``label`` best.

    ``finder`` keeps values of one type only and takes the typed part of them. ``exact`` is the smallest
    harmonic mean of how much of the label the question named and the other way round.
    """
    if not label:
        return None
    best: tuple[float, Found] | None = None
    for cell in page.cells:
        for fit, value, quote in _values(page, cell, label, exact):
            typed = _typed(value, finder)
            if typed and (best is None or fit > best[0]):
                best = (fit, Found(typed, quote, fit))
    return best[1] if best else None


def _typed(value: str, finder: Finder | None) -> str | None:
    if finder is None:
        return value if squeeze(value) else None
    found = finder(value)
    return found[0].text if found else None


def _values(page: Page, cell: Cell, label: Sequence[str], exact: float) -> Iterator[tuple[float, str, str]]:
    """(fit, value, quote) of every way to read this cell as the label."""
    if not any(holds(cell.words, cell.squeezed, word) for word in label):
        return
    head, mark, rest = _at_mark(cell.text)
    if mark and rest.strip(_TAIL):
        fit = match(label, head)
        if fit >= exact:
            yield fit, rest.strip(" :："), cell.text
    whole = match(label, cell.text.strip(_TAIL))
    if whole < exact:
        above = page.above(cell)
        if above is not None and not above.text.rstrip().endswith((":", "：")):
            whole = 0.95 * match(label, f"{above.text} {cell.text}".strip(_TAIL))
    if whole >= exact:
        marked = cell.text.rstrip(" _.").endswith((":", "：", "#"))
        right = page.right(cell)
        below = page.below(cell)
        if right is not None and not _is_label(right):
            far = right.line.box.x0 - cell.line.box.x1 > 12 * (cell.line.box.y1 - cell.line.box.y0)
            yield (
                whole - 0.02 - (0.05 if far and not marked else 0),
                right.text.strip(" :："),
                f"{cell.text} {right.text}",
            )
        if below is not None and not _is_label(below):
            yield (
                whole - (0.0 if _heads_a_table(page, cell) else 0.1),
                below.text,
                f"{cell.text} {below.text}",
            )
    yield from _prefix(cell, label, exact)


def _prefix(cell: Cell, label: Sequence[str], exact: float) -> Iterator[tuple[float, str, str]]:
    """The label as the first words of the cell, with no mark behind it: "Circumference 25.0 mm"."""
    words = cell.text.split()
    for count in range(1, min(len(words), _MAX_LABEL + 1)):
        head = " ".join(words[:count])
        rest = " ".join(words[count:])
        fit = match(label, head.strip(_TAIL))
        if fit >= max(exact, 0.8) and rest.strip(_TAIL) and not rest.rstrip().endswith((":", "：")):
            longer = cell.text.isupper() and not any(char.isdigit() for char in rest)
            yield fit - (0.3 if longer else 0.06), rest.strip(" :：-_"), cell.text


def _at_mark(text: str) -> tuple[str, str, str]:
    """Label, mark and rest at the first colon that is not inside a time or an address on the web."""
    found = re.search(r"[:：](?!//)(?!(?<=\d:)\d)", text)
    return (text[: found.start()], found[0], text[found.end() :]) if found else (text, "", "")


def _is_label(cell: Cell) -> bool:
    return cell.text.rstrip(" _.").endswith((":", "："))


def _heads_a_table(page: Page, cell: Cell) -> bool:
    """Return whether the cell stands in a row of column heads: three or more without a digit over a row
    with digits, or capitals beside capitals.
    """
    row = page.rows[cell.row]
    below = page.rows[cell.row + 1] if cell.row + 1 < len(page.rows) else ()
    if len(row) < 2 or any(any(char.isdigit() for char in other.text) or _is_label(other) for other in row):
        return False
    digits = [any(char.isdigit() for char in other.text) for other in below]
    if sum(digits) >= 2 and (len(row) >= 3 or all(digits)):
        return True
    right = page.right(cell)
    return len(below) >= 2 and right is not None and cell.text.isupper() and right.text.isupper()


def match(label: Sequence[str], text: str) -> float:
    """Harmonic mean of the share of ``label`` in ``text`` and the share of ``text`` in ``label``."""
    every = tokens(text)
    words = [word for word in every if word not in _GLUE] or every
    if not words or len(words) > _MAX_LABEL:
        return 0.0
    squeezed = squeeze(text)
    if squeezed == "".join(map(squeeze, label)):
        return 1.0
    asked = sum(holds(words, squeezed, word) for word in label) / len(label)
    named = "".join(map(squeeze, label))
    said = sum(holds(label, named, word) for word in words) / len(words)
    return 2 * asked * said / (asked + said) if asked + said else 0.0


def find_near(
    page: Page,
    focus: Sequence[str],
    finder: Finder,
    *,
    head: Sequence[str] = (),
    least_head: float = 0.6,
    together: Sequence[str] = (),
    named: Sequence[str] = (),
) -> Found | None:
    """The typed value whose surroundings name most of ``focus``; rare words of the page weigh more.

    ``fit`` is the weighted share of ``focus`` that stands near: 1 in the same cell or the cell to its left,
    less above, below and to the right. Words that stand elsewhere on the page (its title, a column's head)
    weigh a third: they say which page it is. One word of ``head``, if there are any, must stand as
    near as ``least_head``, one of ``named`` anywhere near, and half of ``together`` (words that were
    quoted).
    """
    weights = {word: _rarity(page, word) for word in focus}
    total = 0.0
    for word in focus:
        away = holds(page.words, page.squeezed, word) and word not in head
        total += weights[word] * (0.35 if away else 1.0)
    best: tuple[float, Found] | None = None
    for cell in page.cells:
        for span in finder(cell.text):
            near = list(_surroundings(page, cell, span))
            held = {
                word: max(
                    (share for share, words, squeezed, _ in near if holds(words, squeezed, word)), default=0.0
                )
                for word in (*focus, *head, *together)
            }
            if (
                max((held[word] for word in head), default=1.0) < least_head
                or max((held[word] for word in focus), default=0.0) < 0.75
            ):
                continue
            if named and not any(held.get(word, 0.0) for word in named):
                continue
            if sum(held[word] for word in together) < 0.5 * len(together):
                continue
            fit = sum(weights[word] * held[word] for word in weights) / total if total else 0.0
            fit = min(fit, 1.5)
            if fit > 0 and (best is None or fit > best[0] + 1e-9):
                best = (fit, Found(span.text, _quote(near, held, focus, cell), fit))
    return best[1] if best else None


def _rarity(page: Page, word: str) -> float:
    count = sum(holds(cell.words, cell.squeezed, word) for cell in page.cells)
    return 1.0 / (1.0 + math.log(count)) if count else 1.0


def _surroundings(page: Page, cell: Cell, span: Span) -> Iterator[tuple[float, Sequence[str], str, Cell]]:
    rest = cell.text[: span.start] + " " + cell.text[span.end :]
    yield 1.0, tokens(rest), squeeze(rest), cell
    left = page.left(cell)
    right = page.right(cell)
    above = page.above(cell)
    below = page.below(cell)
    if left is not None:
        yield 0.95, left.words, left.squeezed, left
        first = page.rows[cell.row][0]
        if first is not left:
            yield 0.8, first.words, first.squeezed, first
    if above is not None:
        yield 0.75, above.words, above.squeezed, above
    if right is not None:
        yield 0.6, right.words, right.squeezed, right
    if cell.row and (before := page.rows[cell.row - 1][0]) is not above:
        yield 0.5, before.words, before.squeezed, before
    if below is not None:
        yield 0.6, below.words, below.squeezed, below


def _quote(
    near: Sequence[tuple[float, Sequence[str], str, Cell]],
    held: dict[str, float],
    focus: Sequence[str],
    cell: Cell,
) -> str:
    """The cell of the value, with the neighbour that names it when the cell itself does not."""
    if any(share == 1.0 for share in held.values()):
        return cell.text
    for _, words, squeezed, other in near[1:]:
        if any(holds(words, squeezed, word) for word in focus):
            if other.row == cell.row and abs(other.column - cell.column) == 1:
                pair = (other, cell) if other.column < cell.column else (cell, other)
                return f"{pair[0].text} {pair[1].text}"
            if other.row != cell.row:
                pair = (other, cell) if other.row < cell.row else (cell, other)
                return f"{pair[0].text} {pair[1].text}"
    return cell.text
