"""Till receipts of shops that do not exist. Every sum adds up."""

from dataclasses import dataclass
from datetime import datetime

from PIL import Image, ImageFilter

from demo_drawings.sheet import INK, Sheet, grain, laid_on, lit, phone_exif, table

WIDTH = 560
LEFT, RIGHT = 38, WIDTH - 38


@dataclass(frozen=True)
class Receipt:
    """Content of a till receipt. ``items`` are (quantity, name, unit price); ``sums`` are printed as they
    stand.
    """

    shop: str
    about: tuple[str, ...]
    head: tuple[tuple[str, str], ...]
    items: tuple[tuple[int, str, float], ...]
    sums: tuple[tuple[str, str], ...]
    total: tuple[str, str]
    paid: tuple[tuple[str, str], ...]
    foot: tuple[str, ...]
    paper: str = "#fdfcf8"
    dash: int = 8
    banner: str | None = None
    logo: str | None = None


COFFEE = Receipt(
    shop="BLUE KETTLE COFFEE",
    about=("12 Lantern Street, London E8 3XY", "VAT No. GB 123 4567 89"),
    head=(("Receipt", "004817"), ("Date", "14 March 2025   08:42"), ("Served by", "Maya")),
    items=(
        (2, "Flat White", 3.80),
        (1, "Oat Latte", 4.10),
        (1, "Cinnamon Bun", 3.95),
        (1, "Almond Croissant", 4.25),
    ),
    sums=(("Subtotal", "19.90"), ("incl. VAT 20%", "3.32")),
    total=("GRAND TOTAL", "GBP 19.90"),
    paid=(("Paid by card", "**** 2206"),),
    foot=("Thank you, see you tomorrow!",),
    logo="cup",
)
BOOKS = Receipt(
    shop="Harbour Books",
    about=("Kade 7, 3011 Rotterdam", "harbourbooks.example"),
    head=(("Bon", "22-1093"), ("Date", "28.11.2024"), ("Time", "16:05")),
    items=(
        (1, "Atlas of Small Islands", 24.90),
        (1, "The Lighthouse Keeper", 16.50),
        (2, "Notebook A6 ruled", 4.90),
    ),
    sums=(("Subtotal", "51.20"), ("Member discount 10%", "-5.12"), ("incl. VAT 9%", "3.80")),
    total=("TOTAL EUR", "46.08"),
    paid=(("Cash", "50.00"), ("Change", "3.92")),
    foot=("Exchange within 14 days", "with this receipt."),
    paper="#fbf7ea",
    dash=0,
    banner="#24405c",
)
SUSHI = Receipt(
    shop="SAKURA SUSHI BAR",
    about=("418 Pine Avenue, Seattle WA", "Tel. 206-555-0148"),
    head=(("Table", "9"), ("Guests", "2"), ("Date", "06/21/2025  7:58 PM")),
    items=(
        (2, "Salmon Nigiri", 6.50),
        (1, "Spicy Tuna Roll", 8.50),
        (2, "Miso Soup", 3.25),
        (1, "Green Tea", 3.00),
    ),
    sums=(("Subtotal", "$31.00"), ("Sales tax 10.25%", "$3.18"), ("Tip", "$5.00")),
    total=("GRAND TOTAL", "$39.18"),
    paid=(("Credit card", "**** 7731"),),
    foot=("Arigato! Come again.",),
    dash=4,
    logo="sun",
)
HOTEL = Receipt(
    shop="Hotel Alpenblick",
    about=("Seestrasse 21, 3800 Interlaken", "Switzerland"),
    head=(
        ("Guest", "Ms. R. Keller"),
        ("Room", "214"),
        ("Arrival", "02.02.2025"),
        ("Departure", "04.02.2025"),
        ("Invoice no.", "H-88140"),
    ),
    items=((2, "Night, double room", 189.00), (2, "Breakfast buffet", 22.00), (2, "City tax", 3.50)),
    sums=(("incl. VAT 3.8%", "15.45"),),
    total=("TOTAL CHF", "429.00"),
    paid=(("Paid by card", "**** 5190"),),
    foot=("We wish you a pleasant journey.",),
    paper="#ffffff",
    dash=0,
    banner="#7a2331",
)
HARDWARE = Receipt(
    shop="CEDAR & SONS HARDWARE",
    about=("2301 Mill Road, Madison WI 53703",),
    head=(("Register", "03"), ("Trans.", "77120"), ("Date", "05/09/2025  11:17")),
    items=(
        (1, "Claw Hammer 16 oz", 18.49),
        (1, "Wood Screws (100)", 6.29),
        (1, "Sandpaper Set", 9.75),
        (2, "Paint Brush 2 in", 4.20),
    ),
    sums=(("SUBTOTAL", "42.93"), ("TAX 5.5%", "2.36")),
    total=("GRAND TOTAL", "$45.29"),
    paid=(("CASH", "50.00"), ("CHANGE", "4.71")),
    foot=("RETURNS WITHIN 30 DAYS", "WITH RECEIPT"),
    paper="#f6f5f1",
)
GROCER = Receipt(
    shop="KEDAI RUNCIT MAJU",
    about=("15 Jalan Mawar, 46000 Petaling Jaya", "Tel: 03-5550 0192"),
    head=(("Bill No", "A02291"), ("Date", "03/08/2024 18:26"), ("Cashier", "Aina")),
    items=(
        (1, "Beras Wangi 5kg", 18.90),
        (3, "Fresh Milk 200ml", 1.95),
        (2, "Teh Tarik 3in1", 6.40),
        (1, "White Bread Loaf", 3.20),
    ),
    sums=(("Sub Total", "40.75"), ("Service Tax 6%", "2.45"), ("Rounding", "0.00")),
    total=("GRAND TOTAL", "RM 43.20"),
    paid=(("CASH", "RM 50.00"), ("CHANGE", "RM 6.80")),
    foot=("TERIMA KASIH", "Goods sold are not refundable"),
    dash=6,
)


def _logo(sheet: Sheet, name: str, y: int) -> None:
    middle, draw = WIDTH // 2, sheet.draw
    if name == "sun":
        draw.ellipse((middle - 34, y, middle + 34, y + 68), fill="#333333")
        for row in (40, 50, 60):
            draw.line(
                (middle - 40, y + row, middle + 40, y + row), fill=sheet.image.getpixel((2, 2)), width=3
            )
        return
    draw.rounded_rectangle((middle - 34, y + 20, middle + 26, y + 66), 16, fill=INK)
    draw.arc((middle + 14, y + 26, middle + 44, y + 56), -100, 100, fill=INK, width=6)
    for x in (-20, -4, 12):
        draw.arc((middle + x - 6, y - 2, middle + x + 6, y + 14), 90, 300, fill=INK, width=3)


def print_receipt(receipt: Receipt) -> Image.Image:
    """The paper as the till's printer left it."""
    sheet = Sheet(WIDTH, 1400, receipt.paper)
    y = 40
    if receipt.logo:
        _logo(sheet, receipt.logo, y)
        y += 92
    if receipt.banner:
        sheet.draw.rectangle((0, 0, WIDTH, 96), fill=receipt.banner)
        sheet.text(WIDTH / 2, 64, receipt.shop, 40, align="m", fill="white")
        y = 136
    else:
        y += 30
        sheet.text(WIDTH / 2, y, receipt.shop, 36, bold=True, align="m")
        y += 38
    for line in receipt.about:
        sheet.text(WIDTH / 2, y, line, 20, align="m")
        y += 28
    y += 16
    for label, value in receipt.head:
        sheet.text(LEFT, y, label, 21)
        sheet.text(RIGHT, y, value, 21, align="r")
        y += 30
    sheet.rule(y - 6, LEFT, RIGHT, dash=receipt.dash)
    y += 34
    for count, name, price in receipt.items:
        sheet.text(LEFT, y, f"{count} x {name}", 23)
        sheet.text(RIGHT, y, f"{count * price:.2f}", 23, align="r")
        y += 37
    sheet.rule(y - 10, LEFT, RIGHT, dash=receipt.dash)
    y += 26
    for label, value in receipt.sums:
        sheet.text(LEFT, y, label, 22)
        sheet.text(RIGHT, y, value, 22, align="r")
        y += 33
    y += 20
    sheet.text(LEFT, y, receipt.total[0], 32, bold=True)
    sheet.text(RIGHT, y, receipt.total[1], 32, bold=True, align="r")
    y += 22
    sheet.rule(y, LEFT, RIGHT, dash=receipt.dash)
    y += 40
    for label, value in receipt.paid:
        sheet.text(LEFT, y, label, 21)
        sheet.text(RIGHT, y, value, 21, align="r")
        y += 30
    y += 26
    for line in receipt.foot:
        sheet.text(WIDTH / 2, y, line, 20, align="m")
        y += 28
    return sheet.crop(y + 12)


def scanned(page: Image.Image, *, angle: float, seed: int) -> Image.Image:
    """The same paper after a flatbed scanner: a little askew, on white, faintly grey."""
    board = Image.new("RGB", (page.width + 70, page.height + 70), "#e9e9e6")
    return grain(laid_on(page, board, angle=angle).filter(ImageFilter.GaussianBlur(0.5)), 6, seed)


def photographed(page: Image.Image, *, angle: float, seed: int, wood: tuple[int, int, int]) -> Image.Image:
    """The same paper on a table, taken with a phone in the light of a window."""
    picture = laid_on(page, table((page.width + 190, page.height + 130), seed, wood), angle=angle)
    return grain(lit(picture, 60, 0.66).filter(ImageFilter.GaussianBlur(0.6)), 10, seed)


def draw_receipts() -> dict[str, tuple[Image.Image, Image.Exif | None]]:
    """File name -> picture and its EXIF."""
    oak, slate = (150, 112, 78), (96, 98, 104)
    return {
        "receipts/blue-kettle-coffee.jpg": (
            photographed(print_receipt(COFFEE), angle=-3.2, seed=11, wood=oak),
            phone_exif(datetime(2025, 3, 14, 8, 47, 12), (51.5458, -0.0553)),
        ),
        "receipts/harbour-books.jpg": (scanned(print_receipt(BOOKS), angle=0.5, seed=12), None),
        "receipts/sakura-sushi.jpg": (
            photographed(print_receipt(SUSHI), angle=2.1, seed=13, wood=slate),
            phone_exif(datetime(2025, 6, 21, 20, 3, 40), (47.6097, -122.3331)),
        ),
        "receipts/hotel-alpenblick.jpg": (scanned(print_receipt(HOTEL), angle=-0.4, seed=14), None),
        "receipts/cedar-hardware.jpg": (scanned(print_receipt(HARDWARE), angle=1.1, seed=15), None),
        "receipts/kedai-runcit-maju.jpg": (
            photographed(print_receipt(GROCER), angle=1.4, seed=16, wood=(176, 150, 120)),
            phone_exif(datetime(2024, 8, 3, 18, 31, 5), (3.1073, 101.6067)),
        ),
    }
