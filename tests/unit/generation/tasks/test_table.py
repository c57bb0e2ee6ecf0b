"""Tables by where words stand, by a model, and what they answer."""

import json
from collections.abc import Iterator, Sequence

import pytest

from askpix.core.errors import GenerationError
from askpix.core.types import Box, Evidence, Hit, Message, TextLine
from askpix.generation.extractive.generator import ExtractiveGenerator
from askpix.generation.extractive.table_lookup import find_in_table
from askpix.generation.extractive.tables import table_by_rules
from askpix.generation.generators.base import Generator, Piece
from askpix.generation.prompting.prompt import build_messages
from askpix.generation.questions.understand import understand
from askpix.generation.tasks.table import table_with
from tests.support.fakes import WordEmbedder, record


def word(text: str, x: float, y: float) -> TextLine:
    """A word centred at ``x``."""
    return TextLine(text, Box(x - 5 * len(text), y, x + 5 * len(text), y + 16))


SIDEWAYS = [
    line
    for at, (name, value) in enumerate(
        (("Lebanon", "57%"), ("Peru", "1 250"), ("Jordan", "37"), ("Chile", "-4"))
    )
    for line in (TextLine(name, Box(10, 40 * at, 100, 40 * at + 16)), word(value, 200 + 60 * at, 40 * at))
]
UPWARDS = [
    word("Sales by year", 200, 0),
    *(word(str(v), 20, 40 + 30 * i) for i, v in enumerate((40, 30, 20, 10))),
    *(word(value, 100 + 90 * i, 60 + 20 * i) for i, value in enumerate(("38.2", "31.5", "22", "17"))),
    *(word(str(2015 + i), 100 + 90 * i, 200) for i in range(4)),
]
SAID = (("Women", "41", "59"), ("Men", "38", "62"), ("All", "40", "60"))
GRID = [word("Yes", 200, 0), word("No", 300, 0)]
for _at, (_name, _yes, _no) in enumerate(SAID, start=1):
    GRID.append(TextLine(_name, Box(10, 40 * _at, 70, 40 * _at + 16)))
    GRID += [word(_yes, 200, 40 * _at), word(_no, 300, 40 * _at)]


def test_bars_to_the_side() -> None:
    table = table_by_rules(SIDEWAYS)
    assert table is not None and table.sure
    assert table.rows == (("Lebanon", "57%"), ("Peru", "1 250"), ("Jordan", "37"), ("Chile", "-4"))
    assert table.boxes[0][0] == Box(10, 0, 100, 16)


def test_bars_upwards_without_the_axis() -> None:
    table = table_by_rules(UPWARDS)
    assert table is not None and table.sure
    assert table.rows == (("2015", "38.2"), ("2016", "31.5"), ("2017", "22"), ("2018", "17"))


def test_a_grid_with_heads() -> None:
    table = table_by_rules(GRID)
    assert table is not None and table.sure and table.columns == ("", "Yes", "No")
    assert table.rows[1] == ("Men", "38", "62")


def test_several_numbers_over_a_label_are_not_sure() -> None:
    table = table_by_rules([*UPWARDS, word("99", 100, 30)])
    assert table is not None and not table.sure and table.rows[0] == ("2015", "99", "38.2")


@pytest.mark.parametrize("lines", [[], [word("Hello", 10, 10)], UPWARDS[:5], [word("12", 10, 10)] * 9])
def test_no_table_is_none(lines: list[TextLine]) -> None:
    assert table_by_rules(lines) is None


@pytest.mark.parametrize(
    ("question", "lines", "answer"),
    [
        ("What percentage of people agree in Lebanon?", SIDEWAYS, "57%"),
        ("Which country has the highest value?", SIDEWAYS, "Peru"),
        ("What is the lowest value?", SIDEWAYS, "-4"),
        ("What were sales in 2016?", UPWARDS, "31.5"),
        ("How many Men said No?", GRID, "62"),
        ("How many Men said something?", GRID, None),
        ("What is the difference between Lebanon and Jordan?", SIDEWAYS, None),
        ("What is the second highest value?", SIDEWAYS, None),
        ("What is the value of the green bar?", SIDEWAYS, None),
        ("What is the value in Norway?", SIDEWAYS, None),
    ],
)
def test_what_a_table_answers(question: str, lines: list[TextLine], answer: str | None) -> None:
    found = find_in_table(understand(question), lines)
    assert (found.value if found else None) == answer


def shown(lines: Sequence[TextLine]) -> Evidence:
    return Evidence(1, Hit(1, record("chart"), 1.0), tuple(lines))


def test_the_extractive_generator_reads_tables() -> None:
    generator = ExtractiveGenerator(WordEmbedder().embed_texts)
    messages = build_messages("What percentage of Lebanon agrees?", [shown(SIDEWAYS)])
    assert "".join(piece.text for piece in generator.generate(messages)) == '57% [1: "Lebanon 57%"]'


class Writes(Generator):
    """A model that writes what it is told to."""

    model_id = "writes"

    def __init__(self, told: object) -> None:
        self.text = told if isinstance(told, str) else f"Here:\n```json\n{json.dumps(told)}\n```"

    def generate(self, messages: Sequence[Message], /) -> Iterator[Piece]:
        yield Piece(self.text)


def test_a_model_reads_a_table_and_its_numbers_are_checked() -> None:
    rows = [["Lebanon", "57%"], ["Jordan", "37"]]
    table = table_with(Writes({"columns": ["", "%"], "rows": rows}), shown(SIDEWAYS))
    assert table is not None and table.sure and table.boxes[0][1] is not None
    other = table_with(
        Writes({"columns": ["", "%"], "rows": [["Lebanon", "75%"], ["Jordan", "~36"]]}), shown(SIDEWAYS)
    )
    assert other is not None and not other.sure
    assert other.why == "1 numbers are not among the words read in the image; 1 numbers were read off an axis"
    assert table_with(Writes({"columns": [], "rows": []}), shown([])) is None


@pytest.mark.parametrize(
    "told",
    [
        "no",
        "{",
        {"rows": 3},
        {"columns": ["a"], "rows": [["a", "b"]]},
        {"columns": ["a"], "rows": [["x"]] * 3000},
    ],
)
def test_what_is_no_table_is_one_line(told: object) -> None:
    with pytest.raises(GenerationError, match="table"):
        table_with(Writes(told), shown([]))
