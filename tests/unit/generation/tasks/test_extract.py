"""A picture into an object of a schema: by rules, and by models that make mistakes."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from askpix.core.errors import GenerationError
from askpix.core.types import Box, Evidence, Hit, ImageRecord, Message, TextLine, Usage
from askpix.generation.generators.base import Generator, Piece
from askpix.generation.tasks.extract import extract_by_rules, extract_with
from askpix.generation.tasks.extract_rules import iso_date, words_of
from askpix.generation.tasks.json_schema import SchemaValidator

TEXT = """\
HARBOUR CAFE LTD
12 Mill Lane, Bristol BS1 4ND
Date: 15/03/2018 12:40
Invoice No: INV-2291
2 x Tea 4.40
Paid: Yes
TOTAL 18.90
CASH 20.00"""


def lines(text: str = TEXT) -> tuple[TextLine, ...]:
    return tuple(
        TextLine(row, Box(20, 30 * at, 20 + 9 * len(row), 30 * at + 24))
        for at, row in enumerate(text.splitlines())
    )


def schema(required: Sequence[str] = (), **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required)}


RECEIPT = schema(
    ["total"],
    company={"type": "string"},
    date={"type": "string", "format": "date"},
    total={"type": "number"},
    address={"type": "string"},
    invoiceNo={"type": "string"},
    paid={"type": "boolean"},
)


def test_rules_fill_in_what_the_image_says_with_proof() -> None:
    found = extract_by_rules(RECEIPT, lines())
    assert found.value["company"] == "HARBOUR CAFE LTD"
    assert found.value["date"] == "2018-03-15"
    assert found.value["total"] == 18.9
    assert found.value["invoiceNo"] == "INV-2291"
    assert found.value["paid"] is True
    assert "Mill Lane" in found.value["address"]
    total = found.evidence["total"]
    assert "18.90" in total.quote and total.box == lines()[6].box
    assert set(found.evidence) == set(found.value)


def test_what_is_not_there_is_left_out_and_what_is_required_is_an_error() -> None:
    found = extract_by_rules(schema(iban={"type": "string"}, total={"type": "number"}), lines())
    assert "iban" not in found.value
    with pytest.raises(GenerationError, match="'iban' is a required property"):
        extract_by_rules(schema(["iban"], iban={"type": "string"}), lines())


def test_nested_objects_choices_and_whole_numbers() -> None:
    nested = schema(
        seller=schema(company={"type": "string"}),
        method={"enum": ["card", "cash"], "title": "Paid by"},
        cash={"type": "integer"},
    )
    found = extract_by_rules(nested, lines("HARBOUR CAFE LTD\nPaid by: Cash\nCash 20.00"))
    assert found.value["seller"] == {"company": "HARBOUR CAFE LTD"}
    assert found.evidence["seller.company"].quote == "HARBOUR CAFE LTD"
    assert found.value["method"] == "cash"
    assert found.value.get("cash", 20) == 20


@pytest.mark.parametrize(
    ("written", "iso"),
    [
        ("15/03/2018", "2018-03-15"),
        ("03/15/2018", "2018-03-15"),
        ("2018-03-15", "2018-03-15"),
        ("15 Mar 18", "2018-03-15"),
        ("March 15, 2018", "2018-03-15"),
        ("5 Mai 1999", "1999-05-05"),
        ("15/03/75", "1975-03-15"),
        ("31/02/2018", None),
        ("soon", None),
    ],
)
def test_dates_in_any_writing(written: str, iso: str | None) -> None:
    assert iso_date(written) == iso


def test_names_of_properties_as_words() -> None:
    assert [words_of(name) for name in ("invoiceDate", "invoice_date", "VATNumber", "total")] == [
        "invoice date",
        "invoice date",
        "vat number",
        "total",
    ]


class Writer(Generator):
    """A model that writes what it is given, one reply after the other."""

    model_id = "writer"

    def __init__(self, *replies: Any) -> None:
        self.replies = [reply if isinstance(reply, str) else json.dumps(reply) for reply in replies]
        self.asked: list[str] = []

    def generate(self, messages: Sequence[Message], /) -> Iterator[Piece]:
        self.asked.append(messages[-1].text)
        yield Piece(self.replies.pop(0))
        yield Piece("", Usage(100, 50, 10, 0.001))


def evidence(text: str = TEXT) -> Evidence:
    return Evidence(1, Hit(1, ImageRecord("a", "/r.png", "page", 600, 400), 1.0), lines(text))


def test_a_model_fills_in_and_its_quotes_are_checked() -> None:
    reply = {
        "value": {"total": 18.9, "company": "Harbour Cafe Ltd"},
        "quotes": {"total": "TOTAL 18.90", "company": "The best cafe in town"},
    }
    found = extract_with(Writer(f"Here you are:\n```json\n{json.dumps(reply)}\n```"), RECEIPT, evidence())
    assert found.value == reply["value"]
    assert set(found.evidence) == {"total"}, "words that are not in the picture prove nothing"
    assert found.evidence["total"].box == lines()[6].box
    assert found.usage.input_tokens == 100 and found.generator == "writer"


def test_a_model_is_told_what_was_wrong_and_asked_again() -> None:
    writer = Writer("I am not sure.", {"value": {"total": "lots"}}, {"value": {"total": 18.9}})
    found = extract_with(writer, RECEIPT, evidence())
    assert found.value == {"total": 18.9}
    assert "no JSON object" in writer.asked[1]
    assert "'lots' is not of type 'number'" in writer.asked[2]
    assert found.usage.input_tokens == 300 and found.usage.cost_usd == pytest.approx(0.003)


class Held(Writer):
    """One that can be held to a schema; ``refuses`` any that it is given."""

    def __init__(self, *replies: Any, refuses: bool = False) -> None:
        super().__init__(*replies)
        self.schemas: list[Mapping[str, Any]] = []
        self._refuses = refuses

    def held_to(self, schema: Mapping[str, Any], /) -> Generator:
        self.schemas.append(schema)
        held = Held()
        held.replies, held.asked = self.replies, self.asked
        if self._refuses:
            held.replies = []

            def refuse(messages: Sequence[Message], /) -> Iterator[Piece]:
                raise GenerationError("unknown keyword")
                yield

            held.generate = refuse  # type: ignore[method-assign]
        return held


@pytest.mark.parametrize("refuses", [False, True])
def test_a_model_that_can_be_is_held_to_the_schema_and_else_asked_freely(refuses: bool) -> None:
    shared = schema(["total"], total={"$ref": "#/$defs/money"}) | {"$defs": {"money": {"type": "number"}}}
    writer = Held({"value": {"total": 18.9}, "quotes": {}}, refuses=refuses)
    assert extract_with(writer, shared, evidence()).value == {"total": 18.9}
    [form] = writer.schemas
    reply = {"value": {"total": 1}, "quotes": {"total": "TOTAL 1"}}
    assert SchemaValidator(form).problem(reply) == "", "references are followed from the whole reply"
    assert SchemaValidator(form).problem({"value": {"total": "lots"}, "quotes": {}})


def test_a_schema_whose_references_would_move_holds_nobody() -> None:
    tree = schema(["total"], total={"type": "number"}, next={"$ref": "#"})
    writer = Held({"value": {"total": 18.9}})
    assert extract_with(writer, tree, evidence()).value == {"total": 18.9} and writer.schemas == []


def test_a_model_that_never_gets_it_right_is_an_error() -> None:
    with pytest.raises(GenerationError, match=r"'writer' wrote nothing that fits the schema: .*required"):
        extract_with(Writer({"value": {}}, {"value": []}, {"value": {}}), RECEIPT, evidence())
    with pytest.raises(GenerationError, match="NaN"):
        extract_with(Writer(*['{"value": {"total": NaN}}'] * 3), RECEIPT, evidence())


@pytest.mark.parametrize("note", ["1e999", "[" * 400 + "]" * 400])
def test_what_cannot_be_sent_on_is_asked_for_again(note: str) -> None:
    good = {"value": {"total": 18.9}, "quotes": {}}
    writer = Writer(f'{{"value": {{"total": 18.9, "note": {note}}}, "quotes": {{}}}}', good)
    assert extract_with(writer, schema(total={"type": "number"}), evidence()).value == good["value"]


def test_list_items_have_proofs_of_their_own() -> None:
    items = schema(items={"type": "array", "items": {"type": "string"}})
    reply = {"value": {"items": ["Tea", "Cake"]}, "quotes": {"items.0": "2 x Tea", "items.1": "1 x Cake"}}
    found = extract_with(Writer(reply), items, evidence())
    assert set(found.evidence) == {"items.0"}
