"""A bar chart, a line chart, a slide and a map, with their values written on them, and the invoice."""

from itertools import pairwise

from PIL import Image

from demo_drawings.invoice import invoice
from demo_drawings.sheet import Sheet, supersampled

GREY = "#57606a"
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
VISITORS = (1840, 2110, 2975, 3420, 4160, 5230, 6875, 6540, 4390, 3105, 2260, 1985)
WATER = (4.1, 3.6, 4.8, 7.2, 10.9, 14.3, 17.0, 18.2, 15.8, 12.1, 8.4, 5.7)
AIR = (1.2, 0.8, 4.0, 8.1, 12.6, 16.2, 18.9, 18.4, 14.7, 10.0, 5.5, 2.3)


def bar_chart() -> Image.Image:
    """Visitors of a museum month by month."""
    sheet = Sheet(1800, 1120)
    sheet.text(110, 100, "Visitors to the Tidewater Museum, 2024", 58, bold=True)
    sheet.text(110, 160, "Persons per month; total 44,890", 38, fill=GREY)
    bottom, top, highest = 980, 240, 7000
    for value in range(0, highest + 1, 1000):
        y = bottom - (bottom - top) * value / highest
        sheet.rule(y, 190, 1740, fill="#d8dee4" if value else "#24292f")
        sheet.text(170, y + 12, f"{value:,}", 32, align="r", fill=GREY)
    for n, (month, value) in enumerate(zip(MONTHS, VISITORS, strict=True)):
        x, y = 215 + n * 128, bottom - (bottom - top) * value / highest
        best = value == max(VISITORS)
        sheet.draw.rectangle((x, y, x + 88, bottom - 2), fill="#d9652b" if best else "#3a7ca5")
        sheet.text(x + 44, y - 14, f"{value:,}", 34, align="m", bold=best)
        sheet.text(x + 44, bottom + 48, month, 36, align="m")
    sheet.text(110, 1085, "Source: ticket desk, Tidewater Museum", 28, fill=GREY)
    return supersampled(sheet)


def line_chart() -> Image.Image:
    """Water and air temperature of a harbour over a year."""
    sheet = Sheet(1800, 1120, "#fbfbf8")
    sheet.text(110, 100, "Harbour temperature in Port Ellery, 2024", 58, bold=True)
    sheet.text(110, 160, "Monthly mean in °C", 38, fill=GREY)
    bottom, top, lowest, highest = 960, 230, -5, 20

    def level(value: float) -> float:
        return bottom - (bottom - top) * (value - lowest) / (highest - lowest)

    for mark in range(lowest, highest + 1, 5):
        sheet.rule(level(mark), 180, 1560, dash=12 if mark else 0, fill="#c5ccd3")
        sheet.text(160, level(mark) + 12, f"{mark}", 34, align="r", fill=GREY)
    for name, values, others, color in (("Water", WATER, AIR, "#1d6fa5"), ("Air", AIR, WATER, "#c2452d")):
        dots = [(220 + n * 116, level(value)) for n, value in enumerate(values)]
        sheet.draw.line(dots, fill=color, width=8, joint="curve")
        for (across, down), value, other in zip(dots, values, others, strict=True):
            sheet.draw.ellipse((across - 11, down - 11, across + 11, down + 11), fill=color)
            # The warmer line has its figures above, the colder one below: they never meet.
            sheet.text(
                across, down - 24 if value > other else down + 48, f"{value}", 30, align="m", fill=color
            )
        sheet.text(dots[-1][0] + 44, dots[-1][1] + 12, name, 40, bold=True, fill=color)
    for n, month in enumerate(MONTHS):
        sheet.text(220 + n * 116, bottom + 52, month, 36, align="m")
    sheet.text(110, 1085, "Source: harbour master's log, pier 4", 28, fill=GREY)
    return supersampled(sheet)


def slide() -> Image.Image:
    """A slide of a talk, 16:9."""
    sheet = Sheet(1920, 1080, "#10243e")
    sheet.draw.rectangle((0, 0, 28, 1080), fill="#f2b134")
    sheet.text(120, 190, "Quiet Harbour: what we learned in year one", 76, bold=True, fill="white")
    sheet.rule(240, 120, 1800, fill="#f2b134")
    points = (
        ("38%", "less engine noise after the shore power pilot"),
        ("112", "boats switched to electric drives"),
        ("9 of 10", "residents want the project to continue"),
    )
    for n, (figure, words) in enumerate(points):
        y = 420 + n * 180
        sheet.text(120, y, figure, 96, bold=True, fill="#f2b134")
        sheet.text(560, y - 8, words, 52, fill="#e8eef5")
    sheet.text(
        120, 1000, "Port Ellery City Council  |  Budget next year: EUR 1.4 million", 40, fill="#9db4cf"
    )
    sheet.text(1800, 1000, "Slide 7", 40, align="r", fill="#9db4cf")
    return supersampled(sheet)


def trail_map() -> Image.Image:
    """A town map for walkers."""
    sheet = Sheet(1800, 1300, "#f4efe2")
    draw = sheet.draw
    draw.polygon(
        ((0, 900), (300, 930), (620, 860), (980, 960), (1340, 900), (1800, 980), (1800, 1300), (0, 1300)),
        fill="#a9d3e8",
    )
    draw.line(
        ((760, 0), (800, 200), (730, 420), (790, 660), (760, 900)), fill="#a9d3e8", width=70, joint="curve"
    )
    draw.rounded_rectangle((1120, 130, 1600, 480), 60, fill="#c5dfae")
    for x, y in ((1180, 200), (1260, 380), (1400, 190), (1520, 260), (1480, 420), (1200, 300)):
        draw.ellipse((x - 26, y - 26, x + 26, y + 26), fill="#8fbf72")
    blocks = (
        (90, 250, 330, 400),
        (390, 250, 640, 400),
        (90, 480, 330, 640),
        (390, 480, 640, 640),
        (900, 560, 1090, 760),
        (1180, 560, 1400, 760),
        (1480, 560, 1720, 760),
    )
    for block in blocks:
        draw.rectangle(block, fill="#e3dac6")
    roads = (
        ((0, 440), (1800, 540)),
        ((360, 150), (360, 880)),
        ((0, 820), (1800, 840)),
        ((1140, 520), (1140, 860)),
        ((1440, 500), (1440, 880)),
    )
    for width, color in ((46, "#cfc6b2"), (36, "#ffffff")):
        for road in roads:
            draw.line(road, fill=color, width=width)
    trail = [(150, 820), (360, 822), (700, 828), (900, 832), (1440, 836), (1440, 522), (1330, 330)]
    for (xa, ya), (xb, yb) in pairwise(trail):
        steps = max(2, round(((xb - xa) ** 2 + (yb - ya) ** 2) ** 0.5 / 26))
        for n in range(steps):
            x, y = xa + (xb - xa) * n / steps, ya + (yb - ya) * n / steps
            draw.ellipse((x - 8, y - 8, x + 8, y + 8), fill="#c8402f")
    for x, y in (trail[0], trail[-1]):
        draw.ellipse((x - 24, y - 24, x + 24, y + 24), fill="#c8402f", outline="white", width=6)
    sheet.text(60, 110, "Harbour Trail - town map of Port Ellery", 62, bold=True)
    for x, y, words, size in (
        (1360, 320 - 60, "Linden Park", 46),
        (1010, 670, "Library", 36),
        (1290, 720, "Museum", 36),
        (1600, 670, "Station", 36),
        (210, 330, "Old Town", 40),
        (515, 570, "Market", 40),
    ):
        sheet.text(x, y, words, size, align="m", fill="#4a4436")
    sheet.text(930, 1110, "North Bay", 74, align="m", fill="#3f7fa3")
    sheet.text(60, 1250, "Trail 4.2 km, about 1 hour   |   Start: Fish Pier", 42)
    sheet.text(150, 775, "Start", 38, bold=True, align="m", fill="#c8402f")
    draw.line((1560, 1200, 1740, 1200), fill="#24292f", width=8)
    sheet.text(1650, 1180, "500 m", 36, align="m")
    return supersampled(sheet)


def draw_charts() -> dict[str, tuple[Image.Image, Image.Exif | None]]:
    """File name -> picture; screens and programs write no EXIF."""
    return {
        "charts/museum-visitors.png": (bar_chart(), None),
        "charts/harbour-temperature.png": (line_chart(), None),
        "documents/invoice-fernhill.png": (invoice(), None),
        "documents/slide-quiet-harbour.png": (slide(), None),
        "documents/trail-map.png": (trail_map(), None),
    }
