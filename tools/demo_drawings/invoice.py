"""An invoice of a studio that does not exist. Its sums add up."""

from PIL import Image

from demo_drawings.sheet import Sheet


def invoice() -> Image.Image:
    """An A4 invoice as a program prints it."""
    sheet = Sheet(900, 1240)
    sheet.draw.rectangle((0, 0, 900, 14), fill="#2f6f5e")
    sheet.draw.polygon(((70, 130), (100, 70), (130, 130)), fill="#2f6f5e")
    sheet.draw.polygon(((104, 130), (126, 92), (148, 130)), fill="#8fc1a9")
    sheet.text(168, 124, "Fernhill Design Studio", 34, bold=True, fill="#2f6f5e")
    sheet.text(830, 118, "INVOICE", 44, align="r")
    left = ("Fernhill Design Studio", "Gartenweg 3, 20144 Hamburg", "hello@fernhill.example")
    right = (
        ("Invoice number", "INV-2025-0142"),
        ("Invoice date", "3 April 2025"),
        ("Due date", "3 May 2025"),
    )
    for n, words in enumerate(left):
        sheet.text(70, 200 + n * 30, words, 20)
    for n, (label, value) in enumerate(right):
        sheet.text(500, 200 + n * 30, label, 20, fill="#57606a")
        sheet.text(830, 200 + n * 30, value, 20, align="r")
    sheet.text(70, 350, "Bill to", 20, fill="#57606a")
    for n, words in enumerate(("Tidewater Museum", "Accounts department", "Pier 4, Port Ellery")):
        sheet.text(70, 384 + n * 30, words, 23, bold=n == 0)
    sheet.draw.rectangle((60, 500, 840, 546), fill="#e6f1ec")
    columns = ((76, "l"), (560, "r"), (690, "r"), (826, "r"))
    rows = (
        ("Description", "Qty", "Price", "Amount"),
        ("Exhibition signage, design", "1", "1,450.00", "1,450.00"),
        ("Wayfinding map", "2", "420.00", "840.00"),
        ("Site visit (hours)", "3", "70.00", "210.00"),
        ("Print proofs", "1", "400.00", "400.00"),
    )
    for n, row in enumerate(rows):
        y = 531 + n * 54
        for (x, align), words in zip(columns, row, strict=True):
            sheet.text(x, y, words, 22, align=align, bold=n == 0)
        if n:
            sheet.rule(y + 20, 60, 840, fill="#d0d7de")
    for n, (label, value) in enumerate((("Net amount", "2,900.00"), ("VAT 19%", "551.00"))):
        sheet.text(690, 830 + n * 38, label, 22, align="r")
        sheet.text(826, 830 + n * 38, value, 22, align="r")
    sheet.draw.rectangle((440, 886, 840, 944), fill="#2f6f5e")
    sheet.text(460, 925, "Total due", 28, fill="white")
    sheet.text(826, 925, "EUR 3,451.00", 28, align="r", fill="white")
    sheet.text(70, 1060, "Payment within 30 days by bank transfer, please quote the invoice number.", 19)
    sheet.text(70, 1090, "Bank: Hafenbank   IBAN: DE00 0000 0000 0000 0000 00", 19)
    sheet.rule(1150, 60, 840, fill="#d0d7de")
    sheet.text(
        450, 1186, "Fernhill Design Studio  -  Thank you for your business", 17, align="m", fill="#57606a"
    )
    return sheet.image
