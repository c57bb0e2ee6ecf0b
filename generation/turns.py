"""Messages and a plan as turns of texts and pictures, in the order in which a model is shown them.

Each piece of evidence goes with the last turn: its words first, its picture right after them, the question at
the end. What a picture is there (JPEG bytes for an API, pixels for a model in this process) is the caller's.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Generic, Literal, TypeVar

from core.errors import BadImageError, NotFoundError
from core.types import ImageRecord, Message, Sent
from generation.budget import Plan
from generation.prompt import describe

Picture = TypeVar("Picture")


@dataclass(frozen=True, slots=True)
class Turn(Generic[Picture]):
    """What one side says: texts and pictures as they follow each other."""

    role: Literal["system", "user", "assistant"]
    parts: tuple[str | Picture, ...]


def build_turns(
    messages: Sequence[Message], plan: Plan, show: Callable[[Sent, ImageRecord], Picture]
) -> tuple[list[Turn[Picture]], Plan]:
    """The turns, and the plan as it was really carried out.

    ``show`` makes the picture of a planned piece. One whose file is gone or damaged (``NotFoundError``,
    ``BadImageError``) is left with its words, and the plan that comes back says so.
    """
    turns: list[Turn[Picture]] = [Turn(message.role, (message.text,)) for message in messages[:-1]]
    parts: list[str | Picture] = []
    really: list[Sent] = []
    for each, planned in zip(plan.evidence, plan.sent, strict=True):
        pictures: list[Picture] = []
        sent = planned
        if sent.how != "text":
            try:
                pictures = [show(sent, each.hit.record)]
            except (NotFoundError, BadImageError):
                sent = Sent(sent.number, "text", lines=sent.lines, of_lines=sent.of_lines)
        really.append(sent)
        parts += [describe(each) + _shown(sent), *pictures]
    last = messages[-1]
    turns.append(Turn(last.role, (*parts, last.text)))
    return turns, replace(plan, sent=tuple(really), image_tokens=sum(sent.tokens for sent in really))


def _shown(sent: Sent) -> str:
    if sent.how == "text":
        return "\n(the picture itself is not shown)"
    part = "a part of the picture, in full width, around the lines that fit" if sent.box else "the picture"
    return f"\n({part} follows)"
