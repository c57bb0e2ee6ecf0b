"""JSON schemas of clients: closed, small, and checked within a bounded number of steps.

A schema is untrusted input. Nothing in it is looked up outside itself: a reference names a subschema of the
same document by JSON pointer, and the validator's registry retrieves nothing. What would run without bound is
refused by ``check_schema`` (size, depth, subschemas once references are followed) or stopped while it runs
(``SchemaValidator``).
"""

import json
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

import jsonschema
from jsonschema.exceptions import ValidationError, best_match
from jsonschema_specifications import REGISTRY  # type: ignore[import-untyped]
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import specification_with

from askpix.core.errors import BadQueryError

MAX_CHARACTERS = 100_000
MAX_DEPTH = 32
"""Levels of JSON, and of subschemas once references are followed; ``{"type": "string"}`` is one."""
MAX_SUBSCHEMAS = 2_000
"""Subschemas once references are followed: what nested ``allOf`` of references multiplies."""
MAX_STEPS = 100_000
"""Most steps of one ``SchemaValidator``: a keyword applied, and all that is in its value and in the instance.
"""
_CHARACTERS_A_STEP = 50
"""Characters of text that count as a step: every message about a text repeats it."""
_MAX_NESTED = 100
"""Keywords within keywords. Far below Python's limit, at which the type checker's Rust code panics."""

_DIALECTS = {
    "https://json-schema.org/draft/2020-12/schema": jsonschema.Draft202012Validator,
    "https://json-schema.org/draft/2019-09/schema": jsonschema.Draft201909Validator,
    "http://json-schema.org/draft-07/schema": jsonschema.Draft7Validator,
    "http://json-schema.org/draft-06/schema": jsonschema.Draft6Validator,
    # The check of draft-04 itself compares each item of an enum with each other one.
    "http://json-schema.org/draft-04/schema": jsonschema.Draft6Validator,
}
_LATEST = next(iter(_DIALECTS))
_ONE_OR_LIST = frozenset(
    """additionalItems additionalProperties allOf anyOf contains else if items not oneOf prefixItems
    propertyNames then""".split()
)
_NAMED = frozenset("$defs definitions dependencies dependentSchemas patternProperties properties".split())
_DYNAMIC = frozenset({"$dynamicRef", "$recursiveRef"})
_UNCOUNTED = frozenset({"unevaluatedItems", "unevaluatedProperties"})
"""Keywords whose own walk over the schema would bypass the count of steps."""
_PATTERNS = frozenset({"pattern", "patternProperties"})
_FORMATS = jsonschema.FormatChecker(set(jsonschema.FormatChecker.checkers) - {"regex"})


def check_schema(schema: Any, *, patterns: bool = False) -> Mapping[str, Any]:
    """The schema, if it is one that describes an object and is safe to use. Raises ``BadQueryError``.

    ``patterns`` accepts regular expressions, which may take exponential time: for a user's own schemas only.
    """
    if not isinstance(schema, dict):
        raise BadQueryError("the schema is not a JSON object; it needs 'type': 'object' and 'properties'")
    for objects, depth in enumerate(depths(schema)):
        if depth > MAX_DEPTH:
            raise BadQueryError(f"the schema is nested more than {MAX_DEPTH} levels deep; make it flatter")
        if objects > 2 * MAX_SUBSCHEMAS:
            raise BadQueryError(
                f"the schema has over {2 * MAX_SUBSCHEMAS} objects and lists; make it smaller"
            )
    try:
        characters = len(json.dumps(schema))
    except TypeError as wrong:
        raise BadQueryError(f"the schema is not JSON: {wrong}") from wrong
    if characters > MAX_CHARACTERS:
        raise BadQueryError(f"the schema is over {MAX_CHARACTERS} characters; make it smaller")
    dialect, closed = _opened(schema)
    if error := next(_of_metaschema(dialect).iter_errors(closed), None):
        raise BadQueryError(f"not a JSON schema: {one_line(error.message)}")
    _Subschemas(closed, dialect, patterns=patterns).check()
    if schema.get("type") != "object" or not isinstance(schema.get("properties"), dict):
        raise BadQueryError("the schema must describe an object: 'type': 'object' with 'properties'")
    if "evidence" in schema["properties"]:
        raise BadQueryError("a property cannot be called 'evidence': the proofs stand there; rename it")
    SchemaValidator(schema).problem({})  # a schema that only leads back to itself is refused before any work
    return schema


class SchemaValidator:
    """Hold values against a schema that ``check_schema`` accepted, all of them within ``MAX_STEPS``."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        dialect, closed = _opened(schema)
        checks = {**dialect.VALIDATORS, "uniqueItems": _unique_items}
        counted = {name: self._counted(name, check) for name, check in checks.items()}
        kind = jsonschema.validators.extend(dialect, counted)  # type: ignore[no-untyped-call]
        # An empty registry retrieves nothing.
        self._validator = kind(closed, format_checker=_FORMATS, registry=Registry())
        self.steps = self._nested = 0
        """Steps of all validations so far."""

    def problem(self, value: Any, part: Mapping[str, Any] | None = None) -> str:
        """Return what is wrong with a value by the schema, or by ``part`` of it; an empty string if nothing
        is.

        Raises ``BadQueryError`` when the schema takes too many steps to tell.
        """
        validator = self._validator if part is None else self._validator.evolve(schema=part)
        try:
            error = best_match(validator.iter_errors(value))
        except OverflowError:
            return "a number in it is too large"
        if error is None:
            return ""
        where = ".".join(str(step) for step in error.absolute_path)
        return one_line(f"{where + ': ' if where else ''}{error.message}")

    def _counted(self, name: str, check: Callable[..., Any]) -> Callable[..., Iterator[ValidationError]]:
        applies = name in _ONE_OR_LIST | _NAMED and name != "not"  # each subschema is counted on its own

        def counting(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
            self.steps += 1 + _steps(instance) + _steps(value, deep=not applies)
            if self.steps > MAX_STEPS:
                raise BadQueryError(f"the schema takes over {MAX_STEPS} steps to check; make it smaller")
            self._nested += 1
            if self._nested > _MAX_NESTED:
                raise BadQueryError("the schema leads back to itself without end; take a '$ref' out")
            try:
                yield from check(validator, value, instance, schema) or ()
            finally:
                self._nested -= 1

        return counting


def _steps(value: Any, *, deep: bool = True) -> int:
    """Count the items, at any depth if ``deep``, and the characters of the texts."""
    steps = 0
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, str):
            steps += len(each) // _CHARACTERS_A_STEP
        elif isinstance(each, list | dict):
            steps += len(each)
            if deep:
                waiting += each
                waiting += each.values() if isinstance(each, dict) else ()
    return steps


def _unique_items(validator: Any, unique: Any, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    """jsonschema's own compares each item with each other one when they are of several types."""
    if not unique or not validator.is_type(instance, "array"):
        return
    if len({json.dumps(each, sort_keys=True) for each in instance}) < len(instance):
        yield ValidationError(f"{instance!r} has non-unique elements")


@cache
def _of_metaschema(dialect: Any) -> Any:
    """A validator of schemas. Without ``$schema``: jsonschema changes to its own class where that stands."""
    kind = jsonschema.validators.extend(dialect, {"uniqueItems": _unique_items})  # type: ignore[no-untyped-call]
    plain = {address: _plain(resource.contents) for address, resource in REGISTRY.items()}
    registry = Registry().with_resources(plain.items()).crawl()  # or anchors lead to jsonschema's own
    return kind(_plain(dialect.META_SCHEMA).contents, format_checker=_FORMATS, registry=registry)


def _plain(schema: Mapping[str, Any]) -> Any:
    return specification_with(schema["$schema"]).create_resource(_without(schema, "$schema"))


def _without(schema: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in schema.items() if name not in names}


class _Subschemas:
    """The subschemas of a schema that is valid by its dialect."""

    def __init__(self, schema: dict[str, Any], dialect: Any, *, patterns: bool) -> None:
        self._schema = schema
        self._refused = _DYNAMIC | _UNCOUNTED | (frozenset() if patterns else _PATTERNS)
        self._refused_inside = {"$schema", "$id"}
        # What the dialect does not know it has not checked either.
        self._known = {*dialect.VALIDATORS, "definitions"}
        self._known |= {"then", "else"} if "if" in self._known else set()
        self._known |= {"$defs"} if "dependentSchemas" in self._known else set()
        root = specification_with(dialect.META_SCHEMA["$schema"]).create_resource(schema)
        self._resolver = Registry().resolver_with_root(root)
        self._targets: dict[int, Any] = {}
        """Targets of references, by the id of the subschema with the reference."""
        self._sizes: dict[int, int] = {}

    def check(self) -> None:
        """Raises ``BadQueryError`` for keywords that are not accepted, references out, and too much of it."""
        found = {id(each): each for each in self._all(self._schema)}
        for each in found.values():
            if isinstance(each, dict):
                self._check_keywords(each)
                if "$ref" in each:
                    target = self._targets[id(each)] = self._target(each["$ref"])
                    if id(target) not in found:
                        raise BadQueryError(
                            f"no subschema {one_line(each['$ref'])!r} in the schema; a '$ref' names one of"
                            " its own, as '#/$defs/NAME', and never other documents"
                        )
        if self._size(self._schema, 1) > MAX_SUBSCHEMAS:
            raise BadQueryError(
                f"the schema has over {MAX_SUBSCHEMAS} subschemas, those behind each '$ref' counted again;"
                " make it smaller"
            )

    def _inside(self, schema: Any) -> Iterator[Any]:
        """The subschemas directly inside, each an object or a boolean."""
        for name, value in schema.items() if isinstance(schema, dict) else ():
            if name not in self._known or name not in _ONE_OR_LIST | _NAMED:
                continue
            inner = value.values() if name in _NAMED else value if isinstance(value, list) else [value]
            yield from (each for each in inner if isinstance(each, dict | bool))

    def _all(self, schema: Any) -> Iterator[Any]:
        yield schema
        for each in self._inside(schema):
            yield from self._all(each)

    def _check_keywords(self, schema: dict[str, Any]) -> None:
        refused = self._refused if schema is self._schema else self._refused | self._refused_inside
        if found := schema.keys() & refused:
            raise BadQueryError(f"the schema has {min(found)!r}, which is not accepted here; leave it out")
        if not isinstance(schema.get("$ref", ""), str):
            raise BadQueryError(
                f"not a JSON schema: '$ref' is {one_line(repr(schema['$ref']))}, not a string"
            )

    def _target(self, ref: str) -> Any:
        """Return the target of a JSON pointer; None for a missing one, and for a reference of
        another kind.
        """
        if ref != "#" and not ref.startswith("#/"):
            return None
        try:
            return self._resolver.lookup(ref).contents
        except (
            Unresolvable,
            ValueError,
            TypeError,
        ):  # the latter: no number where an index must be, no address
            return None

    def _size(self, schema: Any, depth: int) -> int:
        """Subschemas from here on. One that is being counted, of a schema that contains itself, is one."""
        if depth > MAX_DEPTH:
            raise BadQueryError(f"the schema refers more than {MAX_DEPTH} levels deep; make it flatter")
        if id(schema) not in self._sizes:
            self._sizes[id(schema)] = 1
            size = 1 + sum(self._size(each, depth + 1) for each in self._inside(schema))
            if id(schema) in self._targets:
                size += self._size(self._targets[id(schema)], depth + 1)
            self._sizes[id(schema)] = size
        return self._sizes[id(schema)]


def one_line(text: str) -> str:
    """Return text for a message: no line breaks, 200 characters at most."""
    return " ".join(text.split())[:200]


def _opened(schema: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The dialect of a schema, and the schema without its own address: nothing can refer to that."""
    named = schema.get("$schema", _LATEST)
    dialect = _DIALECTS.get(named.rstrip("#")) if isinstance(named, str) else None
    if dialect is None:
        raise BadQueryError(f"no dialect {one_line(repr(named))}; leave '$schema' out, or write {_LATEST!r}")
    return dialect, _without(schema, "$schema", "$id")


def depths(value: Any) -> Iterator[int]:
    """Yield the depth of every object and array, without recursion."""
    waiting = [(value, 1)]
    while waiting:
        each, depth = waiting.pop()
        if isinstance(each, dict | list):
            yield depth
            inner = each.values() if isinstance(each, dict) else each
            waiting.extend((item, depth + 1) for item in inner)
