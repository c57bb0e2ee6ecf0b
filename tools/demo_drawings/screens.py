"""Screenshots of programs that do not exist, and words in the world: a sign, a whiteboard, a note."""

import random
from datetime import datetime

from PIL import Image, ImageDraw, ImageFilter

from demo_drawings.sheet import Color, Sheet, font, grain, laid_on, lit, phone_exif, supersampled, table

GREY = "#6b7280"


def ticket() -> Image.Image:
    """A train ticket on a phone."""
    sheet = Sheet(1080, 2000, "#eef1f6")
    draw = sheet.draw
    sheet.text(60, 66, "9:41", 38, bold=True)
    draw.rounded_rectangle((950, 36, 1020, 68), 8, outline="#1f2328", width=3)
    draw.rectangle((956, 42, 1000, 62), fill="#1f2328")
    sheet.text(540, 180, "My ticket", 56, bold=True, align="m")
    draw.rounded_rectangle((50, 240, 1030, 1880), 40, fill="white")
    draw.rounded_rectangle((50, 240, 1030, 420), 40, fill="#1452a3")
    draw.rectangle((50, 360, 1030, 420), fill="#1452a3")
    sheet.text(100, 355, "RailLink  IC 718", 58, bold=True, fill="white")
    sheet.text(980, 352, "2nd class", 42, align="r", fill="#cfe0f7")
    for x, align, label, time, place in (
        (100, "l", "Departure", "10:32", "Bern"),
        (980, "r", "Arrival", "11:28", "Zurich HB"),
    ):
        sheet.text(x, 520, label, 38, align=align, fill=GREY)
        sheet.text(x, 620, time, 92, bold=True, align=align)
        sheet.text(x, 690, place, 48, align=align)
    draw.line((450, 590, 630, 590), fill="#1452a3", width=6)
    draw.polygon(((630, 574), (660, 590), (630, 606)), fill="#1452a3")
    details = (
        ("Date", "Fri 16 May 2025"),
        ("Platform", "7"),
        ("Coach / Seat", "12 / 45 window"),
        ("Passenger", "Lena Brunner"),
        ("Price", "CHF 25.50"),
    )
    for n, (label, value) in enumerate(details):
        y = 820 + n * 92
        sheet.rule(y - 58, 100, 980, fill="#e1e5eb")
        sheet.text(100, y, label, 42, fill=GREY)
        sheet.text(980, y, value, 44, align="r")
    chance = random.Random(21)
    for row in range(25):
        for column in range(25):
            corner = (row < 7 and (column < 7 or column > 17)) or (row > 17 and column < 7)
            ring = corner and (
                (min(row, 24 - row) in (0, 6) or min(column, 24 - column) in (0, 6))
                or (min(row, 24 - row) in (2, 3, 4) and min(column, 24 - column) in (2, 3, 4))
            )
            if ring or (not corner and chance.random() < 0.48):
                x, y = 340 + column * 16, 1300 + row * 16
                draw.rectangle((x, y, x + 15, y + 15), fill="#111111")
    sheet.text(540, 1790, "Ticket no. 7 204 118 563", 40, align="m", fill=GREY)
    return supersampled(sheet)


def settings() -> Image.Image:
    """The settings of a photo program on a desktop."""
    sheet = Sheet(1760, 1240, "#f7f8fa")
    draw = sheet.draw
    draw.rectangle((0, 0, 1760, 84), fill="#dfe3ea")
    for n, color in enumerate(("#ee6a5f", "#f5bf4f", "#62c554")):
        draw.ellipse((34 + n * 52, 28, 62 + n * 52, 56), fill=color)
    sheet.text(880, 58, "Shoebox - Settings", 38, bold=True, align="m")
    draw.rectangle((0, 84, 430, 1240), fill="#eceff4")
    for n, name in enumerate(("General", "Backup", "Sharing", "Storage", "About")):
        y = 180 + n * 92
        if name == "Backup":
            draw.rounded_rectangle((24, y - 52, 406, y + 24), 16, fill="#2563eb")
        sheet.text(64, y, name, 42, fill="white" if name == "Backup" else "#1f2328")
    sheet.text(500, 190, "Backup", 62, bold=True)
    rows = (
        ("Back up photos automatically", True),
        ("Only on Wi-Fi", True),
        ("Include videos", False),
        ("Delete originals after backup", False),
    )
    for n, (words, on) in enumerate(rows):
        y = 320 + n * 112
        sheet.text(500, y, words, 42)
        draw.rounded_rectangle((1540, y - 44, 1660, y + 14), 29, fill="#2563eb" if on else "#c3c9d2")
        x = 1606 if on else 1546
        draw.ellipse((x, y - 39, x + 48, y + 9), fill="white")
        sheet.rule(y + 46, 500, 1660, fill="#dde1e7")
    sheet.text(500, 800, "Storage used", 42)
    draw.rounded_rectangle((500, 836, 1660, 876), 20, fill="#dde1e7")
    draw.rounded_rectangle((500, 836, 1290, 876), 20, fill="#f59e0b")
    sheet.text(500, 930, "68.4 GB of 100 GB", 40, fill=GREY)
    sheet.text(500, 1020, "Last backup: 11 January 2025, 23:14", 40, fill=GREY)
    draw.rounded_rectangle((1330, 1090, 1660, 1180), 18, fill="#2563eb")
    sheet.text(1495, 1150, "Back up now", 42, align="m", fill="white")
    return supersampled(sheet)


def brick_wall(size: tuple[int, int], seed: int) -> Image.Image:
    """Running bond in brick red."""
    chance = random.Random(seed)
    wall = Image.new("RGB", size, "#b9b0a4")
    draw = ImageDraw.Draw(wall)
    for row, y in enumerate(range(-10, size[1], 56)):
        for x in range(-130 if row % 2 else -60, size[0], 142):
            red = chance.randrange(140, 176)
            color = (red, red * 58 // 100 + chance.randrange(-8, 8), red * 46 // 100)
            draw.rectangle((x, y, x + 132, y + 47), fill=color)
            for _ in range(14):
                px, py = x + chance.randrange(126), y + chance.randrange(42)
                draw.ellipse((px, py, px + 5, py + 4), fill=tuple(c - chance.randrange(4, 24) for c in color))
    return grain(wall.filter(ImageFilter.GaussianBlur(1.1)), 22, seed)


def no_parking() -> Image.Image:
    """A street sign on a brick wall."""
    sign = Sheet(960, 1160, "#f7f6f2")
    draw = sign.draw
    draw.rounded_rectangle((14, 14, 946, 1146), 50, outline="#b3202a", width=20)
    draw.ellipse((290, 90, 670, 470), outline="#b3202a", width=44)
    sign.text(480, 372, "P", 270, bold=True, align="m", fill="#15171a")
    draw.line((362, 162, 598, 398), fill="#b3202a", width=44)
    sign.text(480, 650, "NO PARKING", 140, bold=True, align="m", fill="#15171a")
    sign.text(480, 800, "Mon - Sat  7 am - 7 pm", 78, align="m", fill="#15171a")
    sign.text(480, 930, "Loading zone", 78, align="m", fill="#15171a")
    sign.text(480, 1060, "Vehicles will be towed", 62, align="m", fill="#b3202a")
    for x in (480,):
        for y in (52, 1104):
            draw.ellipse((x - 16, y - 16, x + 16, y + 16), fill="#9a9a97", outline="#6d6d6b", width=4)
    flat = supersampled(sign)
    corners = flat.convert("RGBA")
    mask = Image.new("L", (960, 1160), 0)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, 959, 1159), 60, fill=255)
    corners.putalpha(mask.resize(flat.size, Image.Resampling.LANCZOS))
    wall = brick_wall((860, 760), 31)
    shadow = Image.new("L", wall.size, 0)
    shadow.paste(corners.getchannel("A").point([v * 2 // 3 for v in range(256)]), (204, 104))
    wall.paste((25, 18, 16), (0, 0), shadow.filter(ImageFilter.GaussianBlur(9)))
    turned = corners.rotate(-1.2, Image.Resampling.BICUBIC, expand=True)
    wall.paste(turned, (188, 84), turned)
    return grain(lit(wall, -50, 0.6), 7, 32)


def handwrite(
    picture: Image.Image, x: float, y: float, words: str, size: int, *, fill: Color, seed: int
) -> None:
    """Words letter by letter, each a little turned, slanted and off its line, as by hand."""
    chance = random.Random(seed)
    for letter in words:
        face = font(size * chance.uniform(0.96, 1.06))
        advance = face.getlength(letter)
        if letter != " ":
            box = size * 2
            tile = Image.new("L", (box, box), 0)
            ImageDraw.Draw(tile).text(
                (box / 2, box / 2), letter, font=face, anchor="ms", fill=255, stroke_width=size / 44
            )
            slanted = tile.transform(
                tile.size, Image.Transform.AFFINE, (1, 0.2, -0.2 * box / 2, 0, 1, 0), Image.Resampling.BICUBIC
            )
            slanted = slanted.rotate(chance.uniform(-4.5, 4.5), Image.Resampling.BICUBIC)
            at = (round(x + advance / 2 - box / 2), round(y - box / 2 + chance.uniform(-0.035, 0.035) * size))
            picture.paste(Image.new("RGB", tile.size, fill), at, slanted)
        x += advance * 1.04


def whiteboard() -> Image.Image:
    """A plan on a whiteboard, with markers."""
    board = Image.new("RGB", (1100, 760), "#f3f5f4")
    draw = ImageDraw.Draw(board)
    draw.rectangle((0, 0, 1100, 760), outline="#9aa0a6", width=26)
    handwrite(board, 90, 140, "Launch plan", 68, fill="#1b4fa0", seed=1)
    draw.line((88, 164, 470, 158), fill="#1b4fa0", width=5)
    tasks = (
        "Mon: finish beta build",
        "Tue: user tests with 12 people",
        "Wed: fix top 5 bugs",
        "Thu: write release notes",
        "Fri: GO LIVE at 10:00",
    )
    for n, words in enumerate(tasks):
        y = 250 + n * 88
        draw.rectangle((96, y - 34, 130, y), outline="#222222", width=4)
        if n < 2:
            draw.line(((98, y - 20), (112, y - 4), (144, y - 50)), fill="#1d8a3d", width=7)
        handwrite(board, 166, y, words, 46, fill="#c0272d" if n == 4 else "#26292d", seed=40 + n)
    handwrite(board, 800, 250, "Owner: Sam", 36, fill="#1d8a3d", seed=9)
    draw.ellipse((772, 200, 1020, 275), outline="#1d8a3d", width=5)
    return grain(lit(board.filter(ImageFilter.GaussianBlur(0.5)), 120, 0.78), 5, 41)


def shopping_note() -> Image.Image:
    """A shopping list on a yellow sticky note."""
    note = Image.new("RGB", (620, 640), "#f8e58a")
    handwrite(note, 60, 110, "Shopping list", 58, fill="#2a3a6b", seed=3)
    for n, words in enumerate(
        ("2 lemons", "1 kg flour", "eggs (10)", "olive oil", "basil + mint", "cat food!")
    ):
        handwrite(note, 80, 205 + n * 74, "- " + words, 48, fill="#2a3a6b", seed=50 + n)
    return grain(lit(laid_on(note, table((860, 820), 51, (120, 92, 70)), angle=3.5), 30, 0.72), 10, 52)


def draw_screens() -> dict[str, tuple[Image.Image, Image.Exif | None]]:
    """File name -> picture and its EXIF."""
    return {
        "screens/train-ticket.png": (ticket(), None),
        "screens/backup-settings.png": (settings(), None),
        "photos/no-parking-sign.jpg": (
            no_parking(),
            phone_exif(datetime(2025, 4, 22, 13, 5, 50), (38.7139, -9.1334)),
        ),
        "photos/whiteboard-plan.jpg": (whiteboard(), phone_exif(datetime(2025, 1, 13, 9, 30, 2))),
        "photos/shopping-list.jpg": (shopping_note(), phone_exif(datetime(2025, 2, 8, 10, 12, 44))),
    }
