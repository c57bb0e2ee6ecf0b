"""Arguments of the Python API held against the types of its methods: one clear line, not a traceback."""

import functools
import inspect
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from pydantic import ConfigDict, ValidationError, validate_call

from askpix.core.errors import BadQueryError

P = ParamSpec("P")
T = TypeVar("T")
_LONGEST_VALUE = 100


def checked(method: Callable[P, T]) -> Callable[P, T]:
    """Return a method that raises ``BadQueryError`` for an argument that is not of its annotated type.

    A string is no sequence of strings here, and a ``Literal`` takes its own values alone. An argument too
    many or too few remains Python's ``TypeError``.
    """
    signature = inspect.signature(method)
    validated = validate_call(config=ConfigDict(arbitrary_types_allowed=True))(method)

    @functools.wraps(method)
    def call(*args: P.args, **options: P.kwargs) -> T:
        try:
            return validated(*args, **options)
        except ValidationError as error:
            if error.title != method.__qualname__:
                raise
            signature.bind(*args, **options)  # Python's own words for a name that is none
            raise BadQueryError(_one_line(error, signature)) from None

    return call


def _one_line(error: ValidationError, signature: inspect.Signature) -> str:
    first, *others = error.errors(include_url=False)
    argument = first["loc"][0]
    name = [*signature.parameters][argument] if isinstance(argument, int) else argument
    place = _place(first["loc"])
    of_a_union = [first, *(each for each in others if _place(each["loc"]) == place)]
    if first["type"] == "sequence_str":
        reason = "it should be a list, not one string"
    elif first["type"] == "missing":
        place = place[:-1]
        reason = "it has too few items"
    elif len(of_a_union) > 1:
        kinds = [each.get("ctx", {}).get("class") or each["type"] for each in of_a_union]
        named = dict.fromkeys(kind.removesuffix("_type") for kind in kinds)
        reason = f"it should be {' or '.join(named)}"
    else:
        reason = first["msg"][:1].lower() + first["msg"][1:]
    written = repr(first["input"])
    if len(written) > _LONGEST_VALUE:
        written = f"{written[:_LONGEST_VALUE]}..."
    return f"{name}{''.join(f'[{step}]' for step in place)}={written}: {reason}"


def _place(location: tuple[int | str, ...]) -> tuple[int, ...]:
    """Return the place in an argument, without the branches of unions that led there."""
    return tuple(step for step in location[1:] if isinstance(step, int))
