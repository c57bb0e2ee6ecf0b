"""Messages and a plan as turns of texts and images, in the order in which a model is shown them.

Each piece of evidence goes with the last turn: its words first, its image right after them, the question at
the end. What an image is there (JPEG bytes for an API, pixels for a model in this process) is the caller's.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Generic, Literal, TypeVar

from askpix.core.errors import BadImageError, NotFoundError
from askpix.core.types import ImageRecord, Message, Sent
from askpix.generation.prompting.budget import Plan
from askpix.generation.prompting.prompt import describe

DecodedImage = TypeVar("DecodedImage")


@dataclass(frozen=True, slots=True)
class Film(Generic[DecodedImage]):
    """Frames of one video in the order of their times, for a model that takes them as one."""

    frames: tuple[DecodedImage, ...]


@dataclass(frozen=True, slots=True)
class Turn(Generic[DecodedImage]):
    """A turn of one side: texts, images and films as they follow each other."""

    role: Literal["system", "user", "assistant"]
    parts: tuple[str | DecodedImage | Film[DecodedImage], ...]


def build_turns(
    messages: Sequence[Message], plan: Plan, show: Callable[[Sent, ImageRecord], DecodedImage]
) -> tuple[list[Turn[DecodedImage]], Plan]:
    """The turns, and the plan as it was really carried out.

    ``show`` makes the image of a planned piece. One whose file is gone or damaged (``NotFoundError``,
    ``BadImageError``) is left with its words, and the plan that comes back says so.
    """
    turns: list[Turn[DecodedImage]] = [Turn(message.role, (message.text,)) for message in messages[:-1]]
    parts: list[str | DecodedImage] = []
    really: list[Sent] = []
    for each, planned in zip(plan.evidence, plan.sent, strict=True):
        pictures: list[DecodedImage] = []
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


def break_marks(text: str, marks: Sequence[str]) -> str:
    """Return the text with every mark of a model broken by a space, also one that this would make.

    Words from images and people may hold such marks (``<image>``, ``<|im_end|>``): broken up, no text can
    begin a turn or pretend to be an image.
    """
    while True:
        broken = text
        for mark in marks:
            broken = broken.replace(mark, f"{mark[0]} {mark[1:]}")
        if broken == text:
            return text
        text = broken


def as_films(turns: Sequence[Turn[DecodedImage]], plan: Plan) -> list[Turn[DecodedImage]]:
    """The turns of ``build_turns`` with the frames of a video, two or more of one, gathered into a film.

    The film follows the description of the video's last frame; what is said of each frame stays where it was.
    """
    films: dict[str, list[tuple[float, DecodedImage]]] = {}
    last = turns[-1]
    at = 0
    places: list[tuple[int, str, float]] = []
    for each, sent in zip(plan.evidence, plan.sent, strict=True):
        record = each.hit.record
        if sent.how != "text" and record.kind == "frame" and record.time_s is not None:
            places.append((at + 1, record.uri, record.time_s))
        at += 1 if sent.how == "text" else 2
    for place, uri, time_s in places:
        frame = last.parts[place]
        if not isinstance(frame, str | Film):
            films.setdefault(uri, []).append((time_s, frame))
    parts: list[str | DecodedImage | Film[DecodedImage]] = list(last.parts)
    for uri, frames in films.items():
        mine = [place for place, of, _ in places if of == uri]
        if len(frames) < 2:
            continue
        for place in mine:
            parts[place] = ""
            parts[place - 1] = str(parts[place - 1]).replace(_FOLLOWS, "(a frame of the film that follows)")
        parts[mine[-1]] = Film(tuple(frame for _, frame in sorted(frames, key=lambda row: row[0])))
    kept = tuple(part for part in parts if part != "")
    return [*turns[:-1], replace(last, parts=kept)]


_FOLLOWS = "(the image follows)"


def _shown(sent: Sent) -> str:
    if sent.how == "text":
        return "\n(the image itself is not shown)"
    part = "a part of the image, in full width, around the lines that fit" if sent.box else "the image"
    return f"\n({part} follows)"
