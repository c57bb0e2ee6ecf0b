"""Proof of sight: does a model really see the images it is sent?

Many servers accept images and drop them, with a fluent answer made from the text alone. An image of a
number that nobody can guess tells: who reads it sees.
"""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from askpix.core.errors import EmptyReplyError
from askpix.core.types import Evidence, Hit, ImageRecord, Message
from askpix.generation.generators.base import Generator

_SIDE = 448
_CITATION = re.compile(r"\[\d+\]")
_QUESTION = "A number is written in the image. Answer with its digits alone."


def draw_canary(number: int) -> Image.Image:
    """A white image with the number in large black digits."""
    image = Image.new("RGB", (_SIDE, _SIDE), "white")
    ImageDraw.Draw(image).text(
        (_SIDE / 2, _SIDE / 2), str(number), font=ImageFont.load_default(120), fill="black", anchor="mm"
    )
    return image


def canary_record() -> ImageRecord:
    """The record that the image goes by: nothing in it tells the number."""
    return ImageRecord("canary", "canary.png", "photo", _SIDE, _SIDE)


@dataclass(frozen=True, slots=True)
class Reading:
    """Result of a riddle: whether the number was read, and whether the reply ended normally."""

    right: bool
    whole: bool


def read_canary(generator: Generator, *, number: int) -> Reading:
    """Ask the generator to read ``number`` in the image that its ``image_of`` gives for the canary's
    record. Raises what the generator raises, ``NoSightError`` where its back end refuses images.
    """
    evidence = Evidence(1, Hit(1, canary_record(), 1.0))
    messages: Sequence[Message] = [
        Message("system", "You look at images and say what is in them."),
        Message("user", _QUESTION, (evidence,)),
    ]
    try:
        pieces = list(generator.generate(messages))
    except EmptyReplyError:
        return Reading(right=False, whole=False)
    said = _CITATION.sub(" ", "".join(piece.text for piece in pieces)).replace(",", "")
    groups = re.findall(r"\d+", said)
    right = str(number) in groups or _close("".join(groups), str(number))
    return Reading(right, whole=not any(piece.cut for piece in pieces))


def _close(read: str, number: str) -> bool:
    """Return whether three of the four digits are right, in their places or with the other left out."""
    if len(read) == len(number) - 1:
        return any(read == number[:place] + number[place + 1 :] for place in range(len(number)))
    return len(read) == len(number) and sum(map(str.__eq__, read, number)) >= len(number) - 1


def pick_number(seed: int | None = None) -> int:
    """Four digits, none twice: OCR-like slips and lucky guesses (1234) are not taken for sight."""
    dice = random.Random(seed)  # noqa: S311 - a riddle, not a secret
    first, *rest = dice.sample("123456789", 4)
    return int("".join((first, *rest)))
