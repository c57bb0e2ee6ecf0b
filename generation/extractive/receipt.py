"""Fields that receipts and invoices do not label plainly: total, date, company, address.

Rules, with their reasons beside them; written on one half of a sample of receipts, measured on the other.
"""

import re
from collections.abc import Iterator

from askpix.generation.extractive.page import Cell, Found, Page
from askpix.generation.extractive.patterns import Span, address_words, amounts, dates, phones, times, value_of
from askpix.generation.word_match import normalise, squeeze

# Matched against squeezed rows, because OCR swallows spaces ("TOTALINCLUSIVEGST").
_FINAL = re.compile(
    r"grandtotal|roundedtotal|totalrounded|totaldue|totalpay|amountdue|duetotal|totalpayable|amountpayable|payableamount|"
    r"net+total|net+amount|totalnet|balancedue|totaltopay|totaltobepaid|totalamountdue|invoicetotal|totalamountpayable|"
    r"totalamt(?:payable|rounded|incl)|totalafter|totalpaid|finaltotal|roundtotal|totalround|totalamountrounded|"
    r"gesamtbetrag|zuzahlen|montantdu|totalttc"
)
_INCLUSIVE = re.compile(
    r"total\w*inc|inclu?s?i?v?e?\w*total|total\w*gst\w*inclu|total\w*(?:with|w)(?:gst|tax)|amtinc"
)
_TOTAL = re.compile(r"t[o0]t(?:a[l1i]|l(?=rm|$|\d))|jumlah|summe|gesamt|montant|importe|合計|总计|總計")
_NOT_TOTAL = re.compile(
    r"sub\W?t[o0]tal|subt|totalqty|totalquantity|totalitem|totalno|totalpcs|total(?:gst|tax|vat|sst)(?!inc)|"
    r"totaldisc|totalsaving|yousave|totalpoint|excl|before|w/?o|without|changedue|"
    r"summary|totalcount|itemtotal|taxtotal|gsttotal|totalrounding"
)
_PAID = re.compile(r"cash|tender|paid|visa|master|debit|credit|amex|card|payment|received|tunai")
_CHANGE = re.compile(r"^(?:cash)?change|baki|balance(?!due)|kembalian|changedue|ruckgeld")
_ROUNDING = re.compile(r"round")
_TAX = re.compile(r"gst|tax|vat|sst|rounding|roundadj|discount|service")
_OTHER_DATE = re.compile(
    r"expir|validuntil|validtill|bestbefore|duedate|deliver|since|born|birth|printed|effective|exchange|within"
)
_SUFFIX = re.compile(
    r"\bs\W?d\W?n\W{0,3}b\W?h\W?d\b|\bsdnbhd|\b(?:ltd|limited|inc|llc|corp|corporation|gmbh|plc|pte|ag|bhd|berhad|enterprise|"
    r"enterprises|trading|company)\b\.?|\(m\)|株式会社|有限公司"
)
_TRADING = re.compile(r"receipt|invoice|total|cash|gst|tax|qty|rechnung|quittung|facture")
_TRADE = re.compile(
    r"restaurant|restoran|\bmart\b|market|stationery|hardware|\bcaf[eé]|coffee|bakery|bistro|kitchen|pharmacy|"
    r"farmasi|\bstores?\b|\bshop\b|hotel|kopitiam|kedai|industr|electric|book|gallery|boutique|motor|tyre|supermarket|"
    r"station|\bhouse\b|\bbar\b|grill|diner|sushi|clinic|salon|services?\b"
)
_NOT_COMPANY = re.compile(
    r"invoice|receipt|welcome|thank|cashier|customer|\bcopy\b|\bdate\b|\btel\b|\bfax\b|gst|\breg\b|\bno[.:]|\bjalan\b|"
    r"^jln|\blot\b|\btaman\b|reprint|original|posted|tax\b|www\.|@|\bbill\b|street|\broad\b|\bpage\b|table|order"
)
_REGISTRATION = re.compile(r"company (?:reg|no)|registration")


def find_total(page: Page) -> Found | None:
    """The amount finally to be paid.

    "Grand total", "rounded total" and their kin win over plain totals, those over totals before tax;
    subtotals, quantities, cash and change are never taken. Cash less change, and an amount seen again
    beside the way of payment, confirm.
    """
    paid = [value for row in page.rows if (value := _row_value(row, _PAID)) is not None]
    back = [value for row in page.rows if (value := _row_value(row, _CHANGE)) is not None]
    differences = {round(cash - change, 2) for cash in paid for change in back}
    best: tuple[float, Found] | None = None
    candidates = list(_totals(page))
    largest = max((abs(value_of(span.text) or 0.0) for _, _, span in candidates), default=0.0)
    for label, cell, span in candidates:
        value = value_of(span.text)
        if value is None:
            continue
        name = squeeze(label)
        score = 0.72
        if _FINAL.search(name):
            score = 0.9
        elif _INCLUSIVE.search(name):
            score = 0.82
        if _TAX.search(name) and not _INCLUSIVE.search(name) and not _FINAL.search(name):
            score -= 0.1
        if abs(value) < 0.15 * largest and not _FINAL.search(name):
            score -= 0.3  # "total included GST @ 6 %: 1.09" is the tax
        if round(value, 2) in differences:
            score += 0.15
        elif value in paid:
            score += 0.08
        if best is None or score > best[0]:
            quote = cell.text if label == cell.text else f"{label} {cell.text}"
            if label in (other.text for row in page.rows[cell.row + 1 : cell.row + 2] for other in row):
                quote = f"{cell.text} {label}"  # the amount slipped into the row above its label
            best = (score, Found(span.text, quote, min(score, 1.0)))
    return _rounded(page, best[1]) if best else None


def _rounded(page: Page, total: Found) -> Found:
    """The total after its rounding to coins ("Rounding Adj -0.02"), when a later row prints one."""
    before = value_of(total.value) or 0.0
    wanted: set[float] = set()
    for row in page.rows:
        if _ROUNDING.search(row[0].squeezed) and (
            step := re.search(r"(-?)[^\d.]*0?(\.\d\d)(?!\d)", row[-1].text)
        ):
            wanted.add(round(before + float(step[1] + step[2]), 2))
        found = amounts(row[-1].text)
        names_total = _ROUNDING.search(row[0].squeezed) or _TOTAL.search(row[0].squeezed)
        if found and names_total and value_of(found[-1].text) in wanted - {before}:
            return Found(found[-1].text, " ".join(cell.text for cell in row), 0.95)
    return total


def _totals(page: Page) -> Iterator[tuple[str, Cell, Span]]:
    """(label text, cell of the amount, amount) of every row that names a total."""
    for at, row in enumerate(page.rows):
        name = squeeze(" ".join(cell.text for cell in row))
        if not _TOTAL.search(name) and not _FINAL.search(name):
            continue
        start = next(
            (cell for cell in row if _TOTAL.search(cell.squeezed) or _FINAL.search(cell.squeezed)), row[0]
        )
        if _NOT_TOTAL.search(name):
            continue
        here = [(cell, span) for cell in row[start.column :] for span in amounts(cell.text)]
        if len(here) > 1 and len({span.text for _, span in here}) > 1 and _is_table(here):
            continue  # a line of a tax table: net amount and tax side by side
        if here:
            cell, span = here[-1]
            label = " ".join(other.text for other in row[start.column : cell.column])
            yield (label or cell.text), cell, span
            continue
        if any(char.isdigit() for other in row[start.column + 1 :] for char in other.text):
            continue  # an amount that could not be read
        for near in (at + 1, at - 1):  # a tilted receipt: the amount slipped into the row beside
            if 0 <= near < len(page.rows):
                beside = page.rows[near]
                alone = [(cell, span) for cell in beside for span in amounts(cell.text)]
                if len(alone) == 1 and not re.search(r"[a-z]{4}", squeeze(" ".join(c.text for c in beside))):
                    yield start.text, *alone[0]
                    break


def _is_table(found: list[tuple[Cell, Span]]) -> bool:
    """Return whether the last of several amounts is much smaller than the first: net amount, then its tax."""
    first = value_of(found[0][1].text)
    last = value_of(found[-1][1].text)
    return first is not None and last is not None and last < 0.3 * first


def _row_value(row: tuple[Cell, ...], label: re.Pattern[str]) -> float | None:
    text = " ".join(cell.text for cell in row)
    if not label.search(squeeze(text)):
        return None
    found = amounts(text)
    return value_of(found[-1].text) if found else None


def find_date(page: Page) -> Found | None:
    """The date of issue: beside a "date" label, else beside a time of day, else the first on the page."""
    best: tuple[float, Found] | None = None
    for cell in page.cells:
        for span in dates(cell.text):
            left = page.left(cell)
            label = cell.text[: span.start] + (f" {left.text}" if left else "")
            score = 0.7 if any(char.isdigit() for char in span.text[:4]) else 0.65
            if "date" in squeeze(label) or "tarikh" in squeeze(label) or "datum" in squeeze(label):
                score = 0.95
            elif times(cell.text) or any(times(other.text) for other in page.rows[cell.row]):
                score = 0.85
            if _OTHER_DATE.search(squeeze(page.row_text(cell.row))):
                score -= 0.3
            if best is None or score > best[0]:
                named = left is not None and "date" in left.squeezed
                quote = f"{left.text} {cell.text}" if left and named else cell.text
                best = (score, Found(span.text, quote, score))
    return best[1] if best else None


def find_company(page: Page) -> Found | None:
    """Find the issuer: near the top, a row with a firm's suffix or trade, else the first that reads as
    one.
    """
    top = [row for row in page.rows if len(squeeze(" ".join(cell.text for cell in row))) > 3][:10]
    for pattern, fit in ((_SUFFIX, 0.9), (_TRADE, 0.75)):
        for index, row in enumerate(top):
            text = normalise(" ".join(cell.text for cell in row))
            if pattern.search(text) and (
                (pattern is _SUFFIX and not _REGISTRATION.search(text)) or not _NOT_COMPANY.search(text)
            ):
                return _company(top, index, fit)
    if not any(_TRADING.search(cell.squeezed) for cell in page.cells):
        return None  # the first line of a letter or a slide is no firm's name
    for index, row in enumerate(top[:3]):
        text = " ".join(cell.text for cell in row)
        letters = sum(char.isalpha() for char in text)
        if (
            letters >= 0.7 * len(squeeze(text))
            and letters >= 4
            and not (_NOT_COMPANY.search(normalise(text)) or dates(text) or phones(text))
        ):
            return _company(top, index, 0.6)
    return None


def _company(top: list[tuple[Cell, ...]], index: int, fit: float) -> Found:
    """The row as a name: alone, or with the row above that a lone suffix ("SDN BHD") belongs to."""
    quote = " ".join(cell.text for cell in top[index])
    rest = re.sub(r"[\W_]", "", _SUFFIX.sub("", normalise(quote)))
    if len(rest) <= 3 and index:
        quote = " ".join(cell.text for cell in top[index - 1]) + " " + quote
    elif index + 1 < len(top):
        after = " ".join(cell.text for cell in top[index + 1])
        if len(re.sub(r"[\W_]", "", _SUFFIX.sub("", normalise(after)))) <= 1 and _SUFFIX.search(
            normalise(after)
        ):
            quote = f"{quote} {after}"
    value = re.sub(
        r"\s*\(?(?:co\.?\s?)?(?:reg\.?)?\s?(?:no\.?)?\s?:?\s?\(?\d{4,}\s?-?\s?[A-Z]{0,2}\)?\s*$",
        "",
        quote,
        flags=re.I,
    )
    return Found(value.strip(" -,:(") or quote, quote, fit)


def find_address(page: Page, start: int = 0) -> Found | None:
    """Consecutive rows that read as an address, among the 16 (4 under a label) from row ``start`` on."""
    rows = page.rows[start : start + (4 if start else 16)]
    scores = [address_words(page.row_text(row[0].row)) for row in rows]
    if not any(scores):
        return None
    first = last = next(at for at, score in enumerate(scores) if score)
    while last + 1 < len(rows) and last - first < 4 and any(scores[last + 1 : last + 3]):
        if re.search(r"\btel\b|\bfax\b|gst|invoice|@|date", normalise(page.row_text(rows[last + 1][0].row))):
            break
        last += 1
    text = " ".join(page.row_text(row[0].row) for row in rows[first : last + 1])
    return Found(text, text, 0.6 + 0.1 * min(3, sum(scores[first : last + 1])))
