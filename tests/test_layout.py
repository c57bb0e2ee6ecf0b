from hypothesis import given
from hypothesis import strategies as st

from core.layout import reading_order, rows, union
from core.types import Box, TextLine


def line(text: str, x0: float, y0: float, x1: float, y1: float) -> TextLine:
    return TextLine(text, Box(x0, y0, x1, y1))


def test_what_stands_side_by_side_is_one_row() -> None:
    lines = [
        line("67.85", 300, 102, 340, 122),
        line("SUSHI BAR", 10, 10, 120, 30),
        line("GRAND TOTAL", 10, 100, 120, 120),
        line("thank you", 10, 140, 100, 158),
    ]
    found = [[part.text for part in row] for row in rows(lines)]
    assert found == [["SUSHI BAR"], ["GRAND TOTAL", "67.85"], ["thank you"]]
    assert [part.text for part in reading_order(lines)] == ["SUSHI BAR", "GRAND TOTAL", "67.85", "thank you"]


def test_a_slight_slope_does_not_break_a_row() -> None:
    lines = [line(str(i), i * 100, 100 + i * 4, i * 100 + 80, 120 + i * 4) for i in range(4)]
    assert len(rows(lines)) == 1


def test_close_rows_stay_apart() -> None:
    lines = [line(str(i), 0, i * 22, 100, i * 22 + 20) for i in range(5)]
    assert [[part.text for part in row] for row in rows(lines)] == [["0"], ["1"], ["2"], ["3"], ["4"]]


boxes = st.tuples(st.floats(0, 1000), st.floats(0, 1000), st.floats(1, 300), st.floats(1, 50))


@given(st.lists(boxes, max_size=40))
def test_no_line_is_lost_or_doubled(shapes: list[tuple[float, float, float, float]]) -> None:
    lines = [line(str(i), x, y, x + w, y + h) for i, (x, y, w, h) in enumerate(shapes)]
    assert sorted(part.text for part in reading_order(lines)) == sorted(part.text for part in lines)


def test_union() -> None:
    assert union([Box(1, 5, 3, 9), Box(0, 6, 2, 7)]) == Box(0, 5, 3, 9)
