import pytest
from hypothesis import given
from hypothesis import strategies as st

from askpix.core.text.layout import is_sideways, reading_order, rows, tilt_of, turn_of, union
from askpix.core.types import Box, TextLine


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


def test_what_stands_over_each_other_is_two_rows() -> None:
    # Beside a tall picture caption, lines of a paragraph are closer than half its height.
    lines = [
        line("BIG", 0, 0, 100, 60),
        line("finds", 120, 14, 300, 38),
        line("things", 120, 34, 300, 58),
    ]
    assert ["finds", "things"] not in [[part.text for part in row] for row in rows(lines)]
    assert [part.text for part in reading_order(lines)].index("finds") < 2


def test_columns_of_other_pitch_do_not_mix_rows() -> None:
    left = [line(f"l{i}", 0, i * 30, 100, i * 30 + 20) for i in range(4)]
    right = [line(f"r{i}", 200, i * 30 + 3, 300, i * 30 + 23) for i in range(4)]
    found = [[part.text for part in row] for row in rows(right + left)]
    assert found == [[f"l{i}", f"r{i}"] for i in range(4)]


@pytest.mark.parametrize("turn", [0, 1, 2, 3])
def test_a_turned_page_keeps_its_order(turn: int) -> None:
    upright = [
        part
        for i in range(4)
        for part in (
            line(f"label {i}", 10, i * 40, 200, i * 40 + 20),
            line(f"{i}.50", 300, i * 40, 360, i * 40 + 20),
        )
    ]
    turned = upright
    for _ in range(turn):  # a quarter turn clockwise in a plane: (x, y) -> (-y, x)
        turned = [line(o.text, -o.box.y1, o.box.x0, -o.box.y0, o.box.x1) for o in turned]
    assert turn_of(turned) == turn
    assert is_sideways(turned) is (turn in (1, 3))
    assert [tuple(part.text for part in row) for row in rows(turned)] == [
        (f"label {i}", f"{i}.50") for i in range(4)
    ]


def askew(part: TextLine, slope: float) -> TextLine:
    """As a camera held askew sees it: rows sink to the right, and boxes are drawn around tilted lines."""
    box = part.box
    lower, upper = sorted((slope * box.x0, slope * box.x1))
    return line(part.text, box.x0, box.y0 + lower, box.x1, box.y1 + upper)


@pytest.mark.parametrize("slope", [0.0, 0.03, -0.08, 0.15, -0.2])
def test_a_page_askew_keeps_its_rows(slope: float) -> None:
    level = [
        part
        for i in range(4)
        for part in (
            line(f"label {i}", 10, i * 40, 200, i * 40 + 20),
            line(f"{i}.50", 700, i * 40, 760, i * 40 + 20),
        )
    ]
    tilted = [askew(part, slope) for part in level]
    assert tilt_of(tilted, 0) == pytest.approx(slope, abs=0.005)
    assert [tuple(part.text for part in row) for row in rows(tilted)] == [
        (f"label {i}", f"{i}.50") for i in range(4)
    ]


def test_a_chat_is_not_askew() -> None:
    bubbles = [
        line(f"bubble {i}", x, i * 50, x + 300, i * 50 + 25)
        for i, x in enumerate([10, 400, 10, 400, 10, 400])
    ]
    assert tilt_of(bubbles, 0) == 0.0
    assert len(rows(bubbles)) == 6


def test_any_order_of_an_upright_page_is_upright() -> None:
    lines = [line(f"line {i}", 0, i * 30, 200, i * 30 + 20) for i in (3, 0, 2, 1, 4)]
    assert turn_of(lines) == 0
    assert turn_of([]) == 0
    assert turn_of(lines[:1]) == 0


boxes = st.tuples(st.floats(0, 1000), st.floats(0, 1000), st.floats(1, 300), st.floats(1, 50))


@given(st.lists(boxes, max_size=40))
def test_no_line_is_lost_or_doubled(shapes: list[tuple[float, float, float, float]]) -> None:
    lines = [line(str(i), x, y, x + w, y + h) for i, (x, y, w, h) in enumerate(shapes)]
    assert sorted(part.text for part in reading_order(lines)) == sorted(part.text for part in lines)


def test_union() -> None:
    assert union([Box(1, 5, 3, 9), Box(0, 6, 2, 7)]) == Box(0, 5, 3, 9)
