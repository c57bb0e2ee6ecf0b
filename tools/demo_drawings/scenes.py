"""Two landscapes: a boat at sunset and a mountain in snow."""

import math
import random
from itertools import pairwise

from PIL import Image, ImageDraw, ImageFilter

from demo_drawings.sheet import gradient, grain


def sunset() -> Image.Image:
    """A sailing boat on the sea, the sun low behind it. Drawn at twice its size."""
    width, height, horizon = 1800, 1240, 700
    sky = gradient(
        (width, horizon),
        [(0, (38, 52, 98)), (0.45, (176, 92, 112)), (0.8, (246, 152, 88)), (1, (255, 204, 130))],
    )
    sea = gradient(
        (width, height - horizon), [(0, (214, 132, 96)), (0.25, (112, 82, 112)), (1, (22, 34, 68))]
    )
    scene = Image.new("RGB", (width, height))
    scene.paste(sky, (0, 0))
    glow = Image.new("L", (width, height), 0)
    ImageDraw.Draw(glow).ellipse((760, 380, 1240, 860), fill=150)
    scene.paste((255, 220, 150), (0, 0), glow.filter(ImageFilter.GaussianBlur(110)))
    draw = ImageDraw.Draw(scene)
    draw.ellipse((915, 545, 1085, 715), fill=(255, 240, 196))
    chance = random.Random(61)
    clouds = Image.new("L", (width, height), 0)
    pen = ImageDraw.Draw(clouds)
    for _ in range(34):
        x, y, w = chance.randrange(-200, width), chance.randrange(120, 560), chance.randrange(200, 620)
        pen.ellipse((x, y, x + w, y + chance.randrange(8, 28)), fill=chance.randrange(60, 150))
    scene.paste((120, 66, 104), (0, 0), clouds.filter(ImageFilter.GaussianBlur(9)))
    hills = (
        [(0, horizon)]
        + [(x, horizon - 26 - 34 * math.sin(x / 190) * math.sin(x / 77 + 1)) for x in range(0, 620, 10)]
        + [(640, horizon)]
    )
    draw = ImageDraw.Draw(scene)
    draw.polygon(hills, fill=(74, 52, 88))
    scene.paste(sea, (0, horizon))
    draw = ImageDraw.Draw(scene)
    for _ in range(1500):
        depth = chance.random() ** 1.6
        y = horizon + 4 + depth * (height - horizon)
        near = abs(chance.gauss(0, 70 + 190 * depth))
        glint = 1000 + math.copysign(near, chance.random() - 0.5)
        length = 10 + 80 * depth * chance.random()
        warm = max(0.0, 1 - near / (260 + 260 * depth))
        base = scene.getpixel((min(width - 1, max(0, int(glint))), min(height - 1, int(y))))
        assert isinstance(base, tuple)
        color = tuple(round(b + (g - b) * warm * 0.75) for b, g in zip(base, (255, 214, 140), strict=True))
        draw.line((glint - length, y, glint + length, y), fill=color, width=2 + round(4 * depth))
    for _ in range(700):
        depth = chance.random()
        ripple = (chance.randrange(width), horizon + 6 + depth * (height - horizon))
        ends = (*ripple, ripple[0] + 20 + 90 * depth, ripple[1])
        draw.line(ends, fill=(30 + round(40 * (1 - depth)), 36, 74), width=1 + round(3 * depth))
    hull, dark = (46, 30, 40), (30, 22, 32)
    draw.polygon(((440, 806), (800, 800), (752, 872), (500, 874)), fill=hull)
    draw.line((440, 806, 800, 800), fill=(150, 92, 76), width=7)
    draw.line((622, 806, 622, 360), fill=dark, width=9)
    draw.polygon(((636, 380), (642, 770), (828, 756), (742, 590)), fill=(244, 214, 188))
    draw.polygon(((608, 402), (604, 772), (452, 780), (520, 600)), fill=(226, 184, 164))
    draw.line(((636, 380), (742, 590), (828, 756)), fill=(190, 140, 122), width=4, joint="curve")
    for n in range(26):
        y = 882 + n * 9
        span = 150 - n * 5
        shift = chance.randrange(-18, 18)
        draw.line((626 - span + shift, y, 626 + span + shift, y), fill=(52, 36, 56), width=3)
    small = scene.resize((width // 2, height // 2), Image.Resampling.LANCZOS)
    return grain(small, 7, 62)


def _ridge(
    width: int, points: list[tuple[int, int]], roughness: float, seed: int
) -> list[tuple[float, float]]:
    """A mountain line through ``points``: midpoints displaced again and again."""
    chance = random.Random(seed)
    line: list[tuple[float, float]] = [(float(x), float(y)) for x, y in points]
    while len(line) < width // 6:
        finer = [line[0]]
        for (xa, ya), (xb, yb) in pairwise(line):
            finer += [
                ((xa + xb) / 2, (ya + yb) / 2 + chance.uniform(-1, 1) * roughness * (xb - xa)),
                (xb, yb),
            ]
        line = finer
    return line


def mountain() -> Image.Image:
    """A snowy peak above dark firs. Drawn at twice its size."""
    width, height = 1800, 1200
    scene = gradient((width, height), [(0, (70, 124, 190)), (0.6, (186, 214, 236)), (1, (226, 236, 243))])
    draw = ImageDraw.Draw(scene)
    far = _ridge(width, [(0, 560), (300, 430), (620, 570), (1000, 480), (1420, 400), (1800, 540)], 0.16, 71)
    draw.polygon([*far, (width, height), (0, height)], fill=(150, 176, 206))
    main = _ridge(
        width, [(0, 800), (260, 640), (520, 500), (860, 170), (1180, 470), (1420, 560), (1800, 760)], 0.22, 72
    )
    draw.polygon([*main, (width, height), (0, height)], fill=(238, 243, 249))
    chance = random.Random(73)
    peak = min(main, key=lambda p: p[1])
    shade = Image.new("L", (width, height), 0)
    pen = ImageDraw.Draw(shade)
    right = [p for p in main if p[0] >= peak[0]]
    spine = _ridge(900, [(round(peak[0]), round(peak[1])), (800, 420), (930, 640), (840, 1000)], 0.3, 74)
    pen.polygon([*spine, (width, 1100), *reversed(right)], fill=255)
    scene.paste((158, 182, 214), (0, 0), shade.filter(ImageFilter.GaussianBlur(2)))
    rocks = Image.new("L", (width, height), 0)
    pen = ImageDraw.Draw(rocks)
    for x, y in main:
        # Bare rock shows in streaks down the fall line, most of it near the ridge.
        side = -1 if x < peak[0] else 1
        for _ in range(3):
            down = chance.uniform(0, 1) ** 2 * 380
            px, py, long = x + chance.uniform(-50, 50), y + 8 + down, chance.uniform(10, 64)
            bend = side * long * chance.uniform(0.15, 0.6)
            thick = chance.uniform(2, 9)
            pen.polygon(
                (
                    (px, py),
                    (px + thick, py + long * 0.4),
                    (px + bend, py + long),
                    (px - thick, py + long * 0.5),
                ),
                fill=chance.randrange(90, 200),
            )
    inside = Image.new("L", (width, height), 0)
    ImageDraw.Draw(inside).polygon([*main, (width, height), (0, height)], fill=255)
    hidden = Image.new("L", (width, height), 0)
    scene.paste((84, 92, 110), (0, 0), Image.composite(rocks, hidden, inside))
    draw = ImageDraw.Draw(scene)
    slope = _ridge(width, [(0, 880), (500, 960), (1100, 900), (1800, 990)], 0.05, 75)
    draw.polygon([*slope, (width, height), (0, height)], fill=(226, 234, 244))
    for layer, (count, tone) in enumerate(((90, (70, 98, 104)), (60, (36, 62, 62)))):
        for _ in range(count):
            x = chance.uniform(-20, width + 20)
            ground = 980 + layer * 120 + chance.uniform(-40, 90)
            tall = chance.uniform(90, 190) * (1 + layer * 0.35)
            for step in range(6):
                top, low = ground - tall + step * tall * 0.14, ground - tall + (step + 1.9) * tall * 0.16
                half = tall * (0.05 + 0.036 * step)
                draw.polygon(
                    ((x, top), (x + half, low), (x - half, low)),
                    fill=tuple(c + chance.randrange(-7, 8) for c in tone),
                )
                draw.line(
                    (x - half * 0.8, low - 3, x - half * 0.1, low - half * 0.7), fill=(214, 226, 236), width=3
                )
            draw.rectangle((x - 4, ground - 4, x + 4, ground + 12), fill=(50, 40, 36))
    small = scene.resize((width // 2, height // 2), Image.Resampling.LANCZOS)
    return grain(small, 6, 76)


def draw_scenes() -> dict[str, tuple[Image.Image, Image.Exif | None]]:
    """File name -> picture; a drawing has no time and place."""
    return {
        "photos/drawn-sailing-boat.jpg": (sunset(), None),
        "photos/drawn-snowy-mountain.jpg": (mountain(), None),
    }
