"""Schemas of clients: nothing outside is looked up, and each is refused or checked in bounded steps."""

import json
from typing import Any

import pytest

from askpix.core.errors import BadQueryError
from askpix.core.types import Box, TextLine
from askpix.generation.tasks import json_schema
from askpix.generation.tasks.extract import extract_by_rules
from askpix.generation.tasks.json_schema import SchemaValidator, check_schema
from tests.support.schemas import odd_schemas, of, reaching_schemas, valid_schemas

ODD = odd_schemas()
TOTAL = (TextLine("TOTAL 18.90", Box(20, 20, 200, 44)), TextLine("a", Box(20, 60, 200, 84)))


@pytest.mark.parametrize("name", ODD)
def test_odd_schemas_are_refused_in_one_line(name: str) -> None:
    with pytest.raises(BadQueryError) as refused:
        extract_by_rules(check_schema(ODD[name]), TOTAL)
    assert str(refused.value) and "\n" not in str(refused.value) and len(str(refused.value)) < 400


@pytest.mark.parametrize("name", (schemas := valid_schemas()))
def test_common_schemas_are_accepted(name: str) -> None:
    extract_by_rules(check_schema(schemas[name]), TOTAL)


def test_nothing_outside_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("urllib.request.urlopen", lambda url, *rest, **more: opened.append(str(url)))
    for schema in reaching_schemas("http://127.0.0.1:9/secret.json", "file:///etc/hostname#/x").values():
        with pytest.raises(BadQueryError):
            extract_by_rules(check_schema(schema), TOTAL)
        # Not even by a validator that is given what was not checked.
        try:
            SchemaValidator(schema).problem({"a": "x", "total": 1})
        except Exception as error:  # noqa: BLE001 - whatever it is, nothing was opened
            assert "secret" not in type(error).__name__
    assert not opened


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ([1], "not a JSON object"),
        ({"type": "array"}, "must describe an object"),
        (of({"type": "nonsense"}), "not a JSON schema"),
        ({"type": "object", "properties": {"evidence": {}}}, "cannot be called 'evidence'"),
        (of({"$ref": "https://evil.example/x"}), "never other documents"),
        (of({"$dynamicRef": "#a"}), "has '.dynamicRef'"),
        ({"$schema": 5, **of({})}, "no dialect 5; leave '.schema' out"),
        (of({"pattern": "a"}), "has 'pattern', which is not accepted here"),
    ],
)
def test_the_reason_is_told(bad: Any, words: str) -> None:
    with pytest.raises(BadQueryError, match=words):
        check_schema(bad)


def test_patterns_of_the_users_own_schema_are_accepted() -> None:
    schema = check_schema(of({"type": "string", "pattern": "^a+$"}), patterns=True)
    assert SchemaValidator(schema).problem({"a": "b"}).startswith("a: 'b' does not match")


def test_a_property_may_be_called_like_a_keyword() -> None:
    names = ("pattern", "$ref", "$id", "$schema", "$dynamicRef", "id")
    check_schema({"type": "object", "properties": {name: {"type": "string"} for name in names}})


def test_references_are_followed_within_the_schema() -> None:
    schema = check_schema(
        {
            "$id": "http://127.0.0.1:9/s.json",
            "$defs": {"sum": {"type": "number"}},
            **of({"$ref": "#/$defs/sum"}),
        }
    )
    validator = SchemaValidator(schema)
    assert not validator.problem({"a": 1})
    assert validator.problem({"a": "x"}) == "a: 'x' is not of type 'number'"
    assert validator.problem("x", schema["properties"]["a"]) == "'x' is not of type 'number'"


def test_steps_grow_with_the_schema_and_end_at_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    def steps(count: int) -> int:
        validator = SchemaValidator(of({"allOf": [{"type": "string"}] * count}))
        assert not validator.problem({"a": "x"})
        return validator.steps

    assert steps(200) < 2.1 * steps(100)
    tree = of({"allOf": [{"$ref": "#"}] * 10})  # ten times for each level of the value
    value: dict[str, Any] = {}
    for _ in range(8):
        value = {"a": value}
    validator = SchemaValidator(check_schema(tree))
    with pytest.raises(BadQueryError, match="steps"):
        validator.problem(value)
    assert json_schema.MAX_STEPS < validator.steps < json_schema.MAX_STEPS + 100


@pytest.mark.parametrize("keyword", ["const", "enum", "required", "not"])
@pytest.mark.parametrize("big", ["x" * 40_000, [["x"] * 8_000]])
def test_what_a_message_would_repeat_is_counted(keyword: str, big: Any) -> None:
    value = {"const": big, "enum": [big], "required": ["a", json.dumps(big)], "not": {"const": big}}[keyword]
    if keyword == "not":
        value = {"not": value, "type": "object"}
    schema = of(
        {"type": "number"}, anyOf=[{"$ref": "#/$defs/big"}] * 500, **{"$defs": {"big": {keyword: value}}}
    )
    validator = SchemaValidator(schema)
    with pytest.raises(BadQueryError, match="steps"):
        validator.problem({"a": 1})
    assert validator.steps < json_schema.MAX_STEPS + 20_000


def test_the_steps_of_all_fields_are_counted_together() -> None:
    fields = {f"total {at}": {"title": "total", "enum": ["x"] * 9_000} for at in range(2)}
    fields |= {f"total {at}": {"title": "total", "$ref": "#/properties/total 0"} for at in range(2, 40)}
    with pytest.raises(BadQueryError, match="steps"):
        extract_by_rules(check_schema({"type": "object", "properties": fields}), TOTAL)


DIALECTS = ["2020-12", "2019-09", "draft-07", "draft-06", "draft-04"]


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.timeout(20)
def test_lists_of_several_types_are_not_compared_item_by_item(dialect: str) -> None:
    mixed = [at if at % 2 else f"a{at}" for at in range(10_000)]
    address = f"http://json-schema.org/{dialect}/schema"
    if dialect[0] == "2":
        address = f"https://json-schema.org/draft/{dialect}/schema"
    compared = 0

    def comparing(one: Any, other: Any) -> bool:
        nonlocal compared
        compared += 1
        return bool(one == other)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jsonschema._utils.equal", comparing)
        for field in (
            {"type": mixed},
            {"required": mixed},
            {"dependencies": {"x": mixed}},
            {"dependencies": {"enum": mixed}},
            {"items": {"required": mixed}},
        ):
            try:
                check_schema({"$schema": address, **of(field)})
            except BadQueryError as error:
                assert "not a JSON schema" in str(error)
    assert compared < 1_000


def test_the_items_of_a_list_are_unique_as_json_is() -> None:
    validator = SchemaValidator(of({"type": "array", "uniqueItems": True}))
    assert not validator.problem({"a": [1, True, "1", None, [1], {"b": 1}, {"b": 2}]})
    assert "non-unique" in validator.problem({"a": [{"b": 1, "c": 2}, {"c": 2, "b": 1}]})


def test_a_number_that_is_too_large_to_divide_is_a_problem() -> None:
    validator = SchemaValidator(of({"multipleOf": 0.5}))
    assert "too large" in validator.problem({"a": 10**400})


def test_the_rules_refuse_more_fields_than_they_can_look_up() -> None:
    lines = tuple(TextLine(f"line {at}", Box(20, 30 * at, 200, 30 * at + 24)) for at in range(400))
    schema = {"type": "object", "properties": {f"f{at}": {"title": "some words " * 15} for at in range(100)}}
    assert len(json.dumps(schema)) < json_schema.MAX_CHARACTERS
    with pytest.raises(BadQueryError, match=r"400 lines.*ask for fewer fields"):
        extract_by_rules(check_schema(schema), lines)
