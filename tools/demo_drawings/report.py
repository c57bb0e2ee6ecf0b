"""A two-page PDF with real text and vector shapes, written byte by byte (PDF 1.4, ISO 32000-1)."""

PAGE = (595, 842)  # A4 in points


class Page:
    """Drawing operators of one page; coordinates in points from the TOP left corner."""

    def __init__(self) -> None:
        self.operators: list[str] = []

    def text(
        self, x: float, y: float, words: str, size: float = 11, *, bold: bool = False, gray: float = 0.1
    ) -> None:
        """Words in Helvetica with their baseline at ``y``."""
        safe = words.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
        face = "F2" if bold else "F1"
        self.operators.append(f"BT {gray} g /{face} {size} Tf {x} {PAGE[1] - y} Td ({safe}) Tj ET")

    def box(self, x: float, y: float, width: float, height: float, color: tuple[float, float, float]) -> None:
        """A filled rectangle, ``y`` its upper edge."""
        red, green, blue = color
        self.operators.append(f"{red} {green} {blue} rg {x} {PAGE[1] - y - height} {width} {height} re f")


def write_pdf(pages: list[Page], title: str) -> bytes:
    """The file. No dates and no random ids in it: the same drawing is the same bytes."""
    first = 6
    kids = " ".join(f"{first + 2 * n} 0 R" for n in range(len(pages)))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica-Bold /Encoding /WinAnsiEncoding >>",
        f"<< /Title ({title}) /Producer (tools/draw_demo.py) >>",
    ]
    for n, page in enumerate(pages):
        stream = "\n".join(page.operators)
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {PAGE[0]} {PAGE[1]}] "
            f"/Contents {first + 2 * n + 1} 0 R "
            "/Resources << /Font << /F1 3 0 R /F2 4 0 R >> >> >>"
        )
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
    out, offsets = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(out))
        out += f"{number} 0 obj\n{body}\nendobj\n".encode("ascii")
    table = "".join(f"{offset:010d} 00000 n \n" for offset in offsets)
    size = len(objects) + 1
    tail = (
        f"xref\n0 {size}\n0000000000 65535 f \n{table}trailer\n"
        f"<< /Size {size} /Root 1 0 R /Info 5 0 R >>\nstartxref\n{len(out)}\n%%EOF\n"
    )
    return out + tail.encode("ascii")


LOANS = (
    ("Novels", 18_420),
    ("Children's books", 15_930),
    ("Films and music", 6_275),
    ("Travel and maps", 3_840),
    ("E-books", 11_160),
)


def library_report() -> bytes:
    """The yearly report of a public library: figures on the first page, loans on the second."""
    one, two = Page(), Page()
    one.box(0, 0, 595, 120, (0.13, 0.27, 0.36))
    one.text(50, 62, "Port Ellery Public Library", 24, bold=True, gray=1)
    one.text(50, 92, "Annual Report 2024", 17, gray=0.92)
    one.text(50, 170, "A year in brief", 16, bold=True)
    paragraph = (
        "The library was open on 291 days. After the reading room was renovated in April,",
        "the number of visits rose by 14 percent to 96,310. The new evening hours on",
        "Thursdays are the most popular of the week. For the first time more e-books than",
        "films were borrowed. A storm closed the branch at Fish Pier for nine days.",
    )
    for n, words in enumerate(paragraph):
        one.text(50, 198 + n * 18, words)
    one.text(50, 310, "Key figures", 16, bold=True)
    for n, (figure, words) in enumerate(
        (("96,310", "visits"), ("55,625", "loans"), ("1,204", "new members"), ("27", "members of staff"))
    ):
        x = 50 + (n % 2) * 255
        y = 334 + (n // 2) * 96
        one.box(x, y, 240, 80, (0.91, 0.94, 0.95))
        one.text(x + 18, y + 40, figure, 26, bold=True)
        one.text(x + 18, y + 62, words, 12, gray=0.35)
    one.text(50, 570, "Budget", 16, bold=True)
    for n, (label, value) in enumerate(
        (
            ("Staff", "EUR 812,000"),
            ("Books and media", "EUR 146,500"),
            ("Building", "EUR 203,300"),
            ("Total expenses", "EUR 1,161,800"),
        )
    ):
        one.text(50, 600 + n * 22, label, 12, bold=n == 3)
        one.text(230, 600 + n * 22, value, 12, bold=n == 3)
    one.text(50, 806, "Port Ellery Public Library - Annual Report 2024 - page 1 of 2", 9, gray=0.45)
    two.text(50, 80, "Loans by section", 16, bold=True)
    for n, (name, count) in enumerate(LOANS):
        y = 112 + n * 42
        two.text(50, y + 16, name, 12)
        two.box(170, y, round(count / 18_420 * 300, 1), 24, (0.27, 0.53, 0.62))
        two.text(180 + count / 18_420 * 300, y + 16, f"{count:,}", 12, bold=True)
    two.text(50, 370, "Opening hours", 16, bold=True)
    for n, (day, hours) in enumerate(
        (
            ("Monday", "closed"),
            ("Tuesday to Friday", "10:00 - 18:00"),
            ("Thursday evening", "until 21:00"),
            ("Saturday", "10:00 - 14:00"),
        )
    ):
        two.text(50, 400 + n * 22, day, 12)
        two.text(230, 400 + n * 22, hours, 12)
    two.text(50, 520, "Plans for 2025", 16, bold=True)
    for n, words in enumerate(
        (
            "- lend bicycles and tools from March",
            "- a second evening with late hours",
            "- repair the roof of the branch at Fish Pier",
        )
    ):
        two.text(50, 548 + n * 20, words, 12)
    two.text(50, 660, "Director: Dr. Ines Carvalho", 12)
    two.text(50, 680, "Contact: library@portellery.example", 12)
    two.text(50, 806, "Port Ellery Public Library - Annual Report 2024 - page 2 of 2", 9, gray=0.45)
    return write_pdf([one, two], "Port Ellery Public Library: Annual Report 2024")
