"""JSON schemas that clients send: common ones, odd ones, and those that reach for what is outside."""

from typing import Any


def of(field: Any, **more: Any) -> dict[str, Any]:
    """An object with the one field ``a``."""
    return {"type": "object", "properties": {"a": field}, **more}


def deep(levels: int, inner: Any = True) -> Any:
    """``{"not": {"not": ... inner}}``."""
    for _ in range(levels):
        inner = {"not": inner}
    return inner


def nested_defs(width: int, levels: int) -> dict[str, Any]:
    """Definitions of ``width`` references to the next one each: ``width ** levels`` steps for a value."""
    defs: dict[str, Any] = {
        f"d{at}": {"allOf": [{"$ref": f"#/$defs/d{at + 1}"}] * width} for at in range(levels)
    }
    return of({"$ref": "#/$defs/d0"}, **{"$defs": {**defs, f"d{levels}": {"type": ["string", "number"]}}})


def reaching_schemas(*addresses: str) -> dict[str, dict[str, Any]]:
    """Schemas that would have the validator fetch one of the addresses, by how they try."""
    found: dict[str, dict[str, Any]] = {}
    for address in addresses:
        base, _, fragment = address.partition("#")
        name = base.rpartition("/")[2]
        folder = base.removesuffix(name)
        for keyword in ("$ref", "$dynamicRef", "$recursiveRef"):
            for dialect in ("2020-12", "2019-09"):
                schema = of(
                    {keyword: address}, **{"$schema": f"https://json-schema.org/draft/{dialect}/schema"}
                )
                found[f"{keyword} {dialect} {address}"] = schema
            found[f"{keyword} at the root {address}"] = of({}, **{keyword: address})
            found[f"{keyword} relative to the root {address}"] = of(
                {keyword: f"{name}#{fragment}"}, **{"$id": base + "/../"}
            )
            found[f"{keyword} relative to an id {address}"] = of({"$id": folder, "allOf": [{keyword: name}]})
            found[f"{keyword} behind a reference {address}"] = of({"$ref": "#/x"}, x={keyword: address})
            found[f"{keyword} in unevaluated {address}"] = of({}, unevaluatedProperties={keyword: address})
        found[f"draft-04 id {address}"] = of(
            {"id": folder, "allOf": [{"$ref": name}]},
            **{"$schema": "http://json-schema.org/draft-04/schema#"},
        )
        found[f"draft-07 mixed dependencies {address}"] = of(
            {},
            dependencies={"b": ["a"], "a": {"$ref": address}},
            **{"$schema": "http://json-schema.org/draft-07/schema"},
        )
        found[f"$schema {address}"] = of({}, **{"$schema": address})
        found[f"$schema inside {address}"] = of({"$schema": address, "type": "string"})
        found[f"$vocabulary {address}"] = of({"$ref": address}, **{"$vocabulary": {address: True}})
    return found


def odd_schemas() -> dict[str, Any]:
    """Schemas that are refused, by what is odd about them."""
    return {
        "true": True,
        "list": [],
        "number": 5,
        "text": "{}",
        "null": None,
        "empty": {},
        "type 5": of({"type": 5}),
        "unknown type": of({"type": "any"}),
        "properties 5": {"type": "object", "properties": 5},
        "property 5": of(5),
        "property list": of([]),
        "$ref to itself": of({}, **{"$ref": "#"}),
        "$ref to itself in allOf": of({}, allOf=[{"$ref": "#"}]),
        "field that is itself": of({"title": "total", "allOf": [{"$ref": "#/properties/a"}]}),
        "$ref to nothing": of({"$ref": "#/nope"}),
        "$ref to an index": of({"$ref": "#/required/x"}, required=["a"]),
        "$ref into a text": of({"$ref": "#/type/0"}),
        "$ref into a number": of({"$ref": "#/x/y"}, x=5),
        "$ref to what is no schema": of({"$ref": "#/required"}, required=["a"]),
        "$ref to an unchecked place": of({"$ref": "#/x"}, x={"type": 5, "minimum": "a"}),
        "$ref to an unchecked place of draft-07": of(
            {"$ref": "#/prefixItems/0"},
            prefixItems=[{"type": 5}],
            **{"$schema": "http://json-schema.org/draft-07/schema#"},
        ),
        "$ref 5": of({"$ref": 5}),
        "$ref 5 of draft-04": of({"$ref": 5}, **{"$schema": "http://json-schema.org/draft-04/schema#"}),
        "$ref list": of({"$ref": ["#"]}),
        "$ref to an anchor": of({"$ref": "#here"}, **{"$defs": {"x": {"$anchor": "here"}}}),
        "$ref that is no address": of({"$ref": "http://[::1"}),
        "$schema 5": of({}, **{"$schema": 5}),
        "$schema list": of({}, **{"$schema": []}),
        "$schema that is no address": of({}, **{"$schema": "http://["}),
        "$schema of nobody": of({}, **{"$schema": "urn:nobody"}),
        "$schema inside": of({"$schema": "http://json-schema.org/draft-07/schema#", "pattern": "(a+)+$"}),
        "$id 5": of({"$id": 5}),
        "200 levels": of(deep(200)),
        "100,000 levels": of(deep(100_000)),
        "a chain of references": of(
            {"$ref": "#/$defs/0"},
            **{"$defs": {str(at): {"$ref": f"#/$defs/{at + 1}"} for at in range(60)} | {"60": {}}},
        ),
        "ten to the sixth": nested_defs(10, 6),
        "two to the thirtieth": nested_defs(2, 30),
        "too many fields": {"type": "object", "properties": {f"f{at}": {} for at in range(5_000)}},
        "mixed enum of draft-04": of(
            {"enum": [1, "a"] * 20_000}, **{"$schema": "http://json-schema.org/draft-04/schema#"}
        ),
        "huge enum": of({"enum": [f"value {at}" for at in range(20_000)]}),
        "unevaluated": of({}, unevaluatedProperties=False),
        "pattern": of({"pattern": "^(a+)+$"}),
        "pattern in a dependency": of(
            {},
            dependencies={"b": ["a"], "a": {"pattern": "^(a+)+$"}},
            **{"$schema": "http://json-schema.org/draft-07/schema#"},
        ),
        "patternProperties": of({"patternProperties": {"^(a+)+$": {}}}),
        "pattern in propertyNames": of({"propertyNames": {"pattern": "^(a+)+$"}}),
        "pattern that is none": of({"pattern": "(" * 5_000}),
        "pattern list": of({"pattern": [1]}),
        "enum 5": of({"enum": 5}),
        "required 5": of({}, required=5),
        "minimum text": of({"minimum": "a"}),
        "format 5": of({"format": 5}),
    }


def valid_schemas() -> dict[str, Any]:
    """Schemas that are accepted."""
    drafts = ["https://json-schema.org/draft/2020-12/schema", "https://json-schema.org/draft/2019-09/schema"]
    drafts += [f"http://json-schema.org/draft-0{at}/schema" for at in (4, 6, 7)]
    return {
        **{uri: of({"type": "string"}, **{"$schema": uri}) for uri in drafts},
        "of its own address": of({}, **{"$id": "https://example.org/receipt.json"}),
        "$ref with a line break": of({"$ref": "#/$defs/a\nb"}, **{"$defs": {"a\nb": {}}}),
        "nothing asked": {"type": "object", "properties": {}},
        "anything": of(True),
        "29 levels": of(deep(29)),
        "recursive": of({"type": "array", "items": {"$ref": "#"}}),
        "of definitions": of(
            {"$ref": "#/$defs/a~1b%20c"},
            **{"$defs": {"a/b c": {"anyOf": [{"type": "number"}, {"type": "null"}]}}},
        ),
        "draft-07 definitions": of(
            {"$ref": "#/definitions/x"},
            definitions={"x": {"type": "string"}},
            **{"$schema": "http://json-schema.org/draft-07/schema#"},
        ),
        "format": of({"type": "string", "format": "regex"}),
        "300 fields": {
            "type": "object",
            "properties": {f"f{at}": {"anyOf": [{"type": "number"}, {"type": "null"}]} for at in range(300)},
            "additionalProperties": False,
        },
    }
