"""Base classes of generators, and the registry of their kinds: they read evidence and stream an answer.

The text they stream cites evidence as ``[2]`` and may quote: ``[2: "GRAND TOTAL 67.85"]``. When the evidence
does not hold an answer the text starts with ``NO ANSWER`` (see ``generation.prompting.prompt``). That is the
whole protocol between models of any kind and ``askpix.generation.answering.answer``.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

from askpix.core.types import Message, Usage
from askpix.generation.generators.image_payload import ImageOf
from askpix.generation.prompting.budget import ModelLimits, Plan, make_plan
from askpix.retrieval.model_hub.registry import Kind, KindRegistry

MAX_OUTPUT = 1_024
THOUGHT_TOKENS = 8_192
"""Output tokens reserved for what a model thinks before its answer."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A bit of the answer as it is written. Usage comes with the last piece."""

    text: str
    usage: Usage | None = field(default=None)
    cut: bool = False
    """True if the answer ends at the limit of its length, not where the model would end it; with the last
    piece.
    """


class Generator(ABC):
    """Writes answers. An adapter sets ``model_id`` and implements ``generate``; the rest are capabilities."""

    model_id: str
    follows_instructions: bool = True
    """False for one that only quotes: captions, schemas, marks and rewritten questions are not for it."""
    batches: bool = False
    """True if several requests are answered faster together than one by one."""

    @abstractmethod
    def generate(self, messages: Sequence[Message], /) -> Iterator[Piece]:
        """Yield the answer as it is written; close the iterator to stop it."""

    def write_all(self, requests: Sequence[Sequence[Message]], /) -> list[str]:
        """Return the answers to several requests."""
        return ["".join(piece.text for piece in self.generate(messages)) for messages in requests]

    def held_to(self, schema: Mapping[str, Any], /) -> "Generator":
        """Return the same model, able to write JSON of this schema alone; itself where it cannot be held."""
        return self

    def plan(self, messages: Sequence[Message], /) -> Plan | None:
        """Return what a request would hold; None where nothing is sent or paid."""
        return None

    def price(self, plan: Plan, /) -> float | None:
        """Return the most a request costs in US dollars; None when the price is not known."""
        return 0.0


class VisionGenerator(Generator):
    """A model that is shown images, shrunk to fit its limits and a budget of input tokens."""

    def __init__(
        self,
        *,
        model_id: str,
        limits: ModelLimits,
        image_of: ImageOf,
        max_tokens: int,
        max_output: int = MAX_OUTPUT,
        sees: bool = True,
    ) -> None:
        """``max_tokens`` of input a question may cost; ``sees`` False sends words alone."""
        self.model_id = model_id
        self.limits = limits
        self.image_of = image_of
        self.max_tokens = max_tokens
        self.max_output = max_output
        self.sees = sees
        self.thinks = False
        """True if it thinks before it answers, which needs room; learned from its replies."""
        self.starts_in_thought = False
        """True if its replies close a thought that its prompt opened; learned from its replies."""

    @property
    def window(self) -> int | None:
        """Tokens that a server really holds, in and out; None where it does not say."""
        return None

    @property
    def most_output(self) -> int:
        """Tokens of output that a request may take, thoughts included."""
        limit = self.max_output + (THOUGHT_TOKENS if self.thinks else 0)
        window = self.window
        return limit if window is None else min(limit, window // 2)

    def plan(self, messages: Sequence[Message], /, *, within: int | None = None) -> Plan:
        """Return what a request with these messages would hold, at most ``within`` tokens where given. Raises
        ``LimitError`` when it cannot fit."""
        limits = self.limits
        if (window := self.window) is not None:
            limits = replace(limits, context=window - self.most_output)
        last = messages[-1]
        said = sum(len(message.text) for message in messages[:-1])
        return make_plan(
            last.text,
            last.evidence,
            limits,
            max_tokens=min(self.max_tokens, within or self.max_tokens),
            sees=self.sees,
            overhead=50 + said // 3,
        )

    def showing(self, image_of: ImageOf, *, max_tokens: int) -> Self:
        """Return the same model with other images to show, as it is tried with."""
        other = copy(self)
        other.image_of = image_of
        other.max_tokens = max_tokens
        other.sees = True
        return other


@dataclass(frozen=True, slots=True)
class GeneratorOptions:
    """Options of a generator besides its reference; a kind takes from them what it can."""

    image_of: ImageOf
    """Opens the image of a record, to be shown."""
    max_tokens: int = 16_000
    """Most input tokens of a question."""
    device: str = "auto"
    precision: str = "auto"
    servers: Sequence[str] = ()
    """Base URLs at which a server on this machine may answer."""
    server_key: str | None = None
    local_files_only: bool = False
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Environment with the providers' keys: the variables that their own tools read."""


@dataclass(frozen=True, kw_only=True)
class GeneratorKind(Kind):
    """A kind of generator: a package registers one under the entry-point group ``askpix.generators``.

    ``open`` takes what follows ``KIND:`` in an id and raises ``ModelUnavailableError`` where the model cannot
    be had. A ``VisionGenerator`` that it returns is tried with a riddle before it is trusted to see.
    """

    role: ClassVar[str] = "generator"
    open: Callable[[str, GeneratorOptions], Generator]
    found: Callable[[GeneratorOptions], Iterable[str]] = lambda _: ()
    """Returns references of models on this machine, best first: what ``auto`` tries. It downloads nothing."""
    unset: Callable[[GeneratorOptions], str | None] = lambda _: None
    """Returns what has to be set first (a key); None when nothing has."""


GENERATORS = KindRegistry(
    "askpix.generators",
    GeneratorKind,
    {
        "extractive": "askpix.generation.extractive.generator:KIND",
        "openai": "askpix.generation.generators.providers:OPENAI",
        "anthropic": "askpix.generation.generators.providers:ANTHROPIC",
        "google": "askpix.generation.generators.providers:GOOGLE",
        "openai-compatible": "askpix.generation.generators.servers:SERVER",
        "gguf": "askpix.generation.generators.gguf:KIND",
        "transformers": "askpix.generation.generators.local:KIND",
    },
)


def open_generator(generator_id: str, options: GeneratorOptions) -> Generator:
    """Return the generator with this id; ``ModelUnavailableError`` or ``AuthError`` when it cannot be had."""
    kind, reference = GENERATORS.resolve(generator_id)
    kind.check(generator_id)
    return kind.open(reference, options)
