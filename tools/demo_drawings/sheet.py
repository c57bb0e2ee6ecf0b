"""A sheet to draw on, and what turns a flat sheet into something a phone might have taken."""

import random
from datetime import datetime
from fractions import Fraction

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

Color = str | tuple[int, int, int]

INK = "#1f2328"


def font(size: float) -> ImageFont.FreeTypeFont:
    """Aileron Regular (CC0), the TrueType font inside Pillow: the same letters on every machine."""
    found = ImageFont.load_default(size)
    assert isinstance(found, ImageFont.FreeTypeFont)
    return found


class Sheet:
    """A picture in pixels with text that can be bold (a stroked regular: the font has one weight)."""

    def __init__(self, width: int, height: int, paper: Color = "white") -> None:
        self.image = Image.new("RGB", (width, height), paper)
        self.draw = ImageDraw.Draw(self.image)

    def text(
        self,
        x: float,
        y: float,
        words: str,
        size: float = 22,
        *,
        bold: bool = False,
        align: str = "l",
        fill: Color = INK,
    ) -> None:
        """Words on the baseline ``y``, their left, middle or right (``align``: l, m, r) at ``x``."""
        stroke = size / 34 if bold else 0
        self.draw.text(
            (x, y),
            words,
            font=font(size),
            anchor=align + "s",
            fill=fill,
            stroke_width=stroke,
            stroke_fill=fill,
        )

    def rule(self, y: float, left: float, right: float, *, dash: int = 0, fill: Color = INK) -> None:
        """A horizontal line, dashed when ``dash`` pixels are given."""
        if not dash:
            self.draw.line((left, y, right, y), fill=fill, width=2)
            return
        x = left
        while x < right:
            self.draw.line((x, y, min(x + dash, right), y), fill=fill, width=2)
            x += dash * 1.8

    def crop(self, height: float) -> Image.Image:
        """The sheet, cut below ``height``."""
        return self.image.crop((0, 0, self.image.width, round(height)))


def supersampled(sheet: Sheet, factor: int = 2) -> Image.Image:
    """Smooth edges for shapes: draw ``factor`` times too large, then shrink."""
    width, height = sheet.image.size
    return sheet.image.resize((width // factor, height // factor), Image.Resampling.LANCZOS)


def grain(picture: Image.Image, amount: float, seed: int) -> Image.Image:
    """Sensor noise: grey, uniform, at most ``amount`` levels up or down, the same for the same seed."""
    raw = random.Random(seed).randbytes(picture.width * picture.height)
    flat = Image.frombytes("L", picture.size, raw)
    lighter = flat.point([round(max(0.0, (v - 127.5) / 127.5) * amount) for v in range(256)])
    darker = flat.point([round(max(0.0, (127.5 - v) / 127.5) * amount) for v in range(256)])
    brighter = ImageChops.add(picture, Image.merge("RGB", [lighter] * 3))
    return ImageChops.subtract(brighter, Image.merge("RGB", [darker] * 3))


def gradient(size: tuple[int, int], stops: list[tuple[float, tuple[int, int, int]]]) -> Image.Image:
    """Colours from top to bottom; ``stops`` are (0..1, colour), rising."""
    column = Image.new("RGB", (1, size[1]))
    for y in range(size[1]):
        at = y / max(1, size[1] - 1)
        low = max((s for s in stops if s[0] <= at), key=lambda s: s[0])
        high = min((s for s in stops if s[0] >= at), key=lambda s: s[0])
        span = high[0] - low[0]
        mix = (at - low[0]) / span if span else 0.0
        column.putpixel((0, y), tuple(round(a + (b - a) * mix) for a, b in zip(low[1], high[1], strict=True)))
    return column.resize(size)


def lit(picture: Image.Image, angle: float, darkest: float) -> Image.Image:
    """Light that falls off to one side: full at one edge, ``darkest`` (0..1) at the other."""
    side = max(picture.size) * 2
    light = Image.linear_gradient("L").resize((side, side)).rotate(angle, Image.Resampling.BICUBIC)
    x, y = (side - picture.width) // 2, (side - picture.height) // 2
    light = light.crop((x, y, x + picture.width, y + picture.height))
    levels = light.tobytes()
    low, high = min(levels), max(levels)
    scale = [
        round(255 * (darkest + (1 - darkest) * min(1, max(0, (v - low) / (high - low))))) for v in range(256)
    ]
    return ImageChops.multiply(picture, Image.merge("RGB", [light.point(scale)] * 3))


def table(size: tuple[int, int], seed: int, base: tuple[int, int, int] = (133, 96, 66)) -> Image.Image:
    """A wooden table: planks with long grain."""
    chance = random.Random(seed)
    wood = Image.new("RGB", size, base)
    draw = ImageDraw.Draw(wood)
    for y in range(size[1]):
        shade = 1 + chance.uniform(-0.09, 0.09) + 0.05 * (1 if (y // 170) % 2 else -1)
        draw.line((0, y, size[0], y), fill=tuple(min(255, round(c * shade)) for c in base))
    for _ in range(260):
        x, y, length = chance.randrange(size[0]), chance.randrange(size[1]), chance.randrange(60, 300)
        draw.line((x, y, x + length, y), fill=tuple(round(c * chance.uniform(0.8, 0.95)) for c in base))
    for y in range(0, size[1], 170):
        draw.line((0, y, size[0], y), fill=tuple(round(c * 0.5) for c in base), width=3)
    return wood.filter(ImageFilter.GaussianBlur(1.2))


def laid_on(
    page: Image.Image, ground: Image.Image, *, angle: float, at: tuple[int, int] | None = None
) -> Image.Image:
    """``page`` turned by ``angle`` degrees on ``ground``, with a soft shadow; in the middle by default."""
    mask = Image.new("L", page.size, 255).rotate(angle, Image.Resampling.BICUBIC, expand=True)
    turned = page.rotate(angle, Image.Resampling.BICUBIC, expand=True)
    x, y = at or ((ground.width - turned.width) // 2, (ground.height - turned.height) // 2)
    shadow = Image.new("L", ground.size, 0)
    shadow.paste(mask.point([v * 2 // 3 for v in range(256)]), (x + 9, y + 11))
    out = ground.copy()
    out.paste((20, 16, 14), (0, 0), shadow.filter(ImageFilter.GaussianBlur(10)))
    out.paste(turned, (x, y), mask)
    return out


def phone_exif(taken: datetime, place: tuple[float, float] | None = None) -> Image.Exif:
    """Return the EXIF block of a phone: time, maker, model, and the place (degrees) when given."""
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "Askpix", "Demo Phone"
    exif[0x0131] = "tools/draw_demo.py"
    stamp = f"{taken:%Y:%m:%d %H:%M:%S}"
    exif[0x0132] = stamp
    exif.get_ifd(0x8769)[0x9003] = stamp
    if place:
        gps = exif.get_ifd(0x8825)
        for tag, value, names in ((1, place[0], "NS"), (3, place[1], "EW")):
            seconds = round(abs(value) * 360_000)
            gps[tag] = names[value < 0]
            gps[tag + 1] = (
                Fraction(seconds // 360_000),
                Fraction(seconds // 6_000 % 60),
                Fraction(seconds % 6_000, 100),
            )
    return exif
