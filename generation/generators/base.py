"""What a generator is: something that reads messages with evidence and streams an answer.

The text it streams cites evidence as ``[2]`` and may quote: ``[2: "GRAND TOTAL 67.85"]``. When the evidence
does not hold an answer its text starts with ``NO ANSWER`` (see ``generation.prompting.prompt``). That is the
whole protocol between models of any kind and ``askpix.generation.answering.answer``.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from askpix.core.types import Message, Usage
from askpix.generation.prompting.budget import Plan


@dataclass(frozen=True, slots=True)
class Piece:
    """A bit of the answer as it is written. Usage comes with the last piece."""

    text: str
    usage: Usage | None = field(default=None)


@runtime_checkable
class Planner(Protocol):
    """A generator that can say beforehand what a request would hold, and what it costs at most."""

    def plan(self, messages: Sequence[Message], /) -> Plan: ...

    def price(self, plan: Plan, /) -> float | None:
        """US dollars; None when the price is not known."""
        ...


@runtime_checkable
class Batcher(Protocol):
    """A generator that answers several requests faster together than one by one."""

    def write_all(self, requests: Sequence[Sequence[Message]], /) -> list[str]: ...


class Generator(Protocol):
    """Streaming only: join the pieces for the whole."""

    @property
    def model_id(self) -> str: ...

    def generate(self, messages: Sequence[Message], /) -> Iterator[Piece]: ...
