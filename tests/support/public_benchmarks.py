"""Items of public benchmarks."""

import io

from PIL import Image, ImageDraw, ImageFont

from askpix.evaluation.public.runner import Item


def item(*golds: str, groups: tuple[str, ...] = (), choices: dict[str, str] | None = None) -> Item:
    return Item("1", "?", (), golds, groups, choices or {})


def png(colour: str = "red", text: str = "") -> bytes:
    image = Image.new("RGB", (320, 80), colour)
    if text:
        ImageDraw.Draw(image).text((12, 20), text, fill="black", font=ImageFont.load_default(size=32))
    held = io.BytesIO()
    image.save(held, "PNG")
    return held.getvalue()
