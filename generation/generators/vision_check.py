"""Proof of sight: does a model really see the pictures it is sent?

Many servers accept pictures and drop them, with a fluent answer made from the text alone. A picture of a
number that nobody can guess tells: who reads it sees.
"""

import logging
import random
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from askpix.core.errors import NoSightError
from askpix.core.types import Evidence, Hit, ImageRecord, Message
from askpix.generation.generators.base import Generator

_log = logging.getLogger(__name__)
_SIDE = 448
_QUESTION = "A number is written in the picture. Answer with its digits alone."


def draw_canary(number: int) -> Image.Image:
    """A white picture with the number in large black digits."""
    image = Image.new("RGB", (_SIDE, _SIDE), "white")
    ImageDraw.Draw(image).text(
        (_SIDE / 2, _SIDE / 2), str(number), font=ImageFont.load_default(120), fill="black", anchor="mm"
    )
    return image


def canary_record() -> ImageRecord:
    """The record that the picture goes by: nothing in it tells the number."""
    return ImageRecord("canary", "canary.png", "photo", _SIDE, _SIDE)


def sees(generator: Generator, *, number: int) -> bool:
    """Whether the generator reads ``number`` in the picture that its ``picture_of`` gives for the canary's
    record; a back end that refuses pictures does not. Raises what the generator raises."""
    evidence = Evidence(1, Hit(1, canary_record(), 1.0))
    messages: Sequence[Message] = [
        Message("system", "You look at pictures and say what is in them."),
        Message("user", _QUESTION, (evidence,)),
    ]
    try:
        said = "".join(piece.text for piece in generator.generate(messages))
    except NoSightError as error:
        _log.info("a picture was refused: %s", error)
        return False
    digits = "".join(char if char.isdecimal() else " " for char in said.replace(",", "")).split()
    return str(number) in digits or "".join(digits) == str(number)


def pick_number(seed: int | None = None) -> int:
    """Four digits, none twice: OCR-like slips and lucky guesses (1234) are not taken for sight."""
    dice = random.Random(seed)  # noqa: S311 - a riddle, not a secret
    first, *rest = dice.sample("123456789", 4)
    return int("".join((first, *rest)))
