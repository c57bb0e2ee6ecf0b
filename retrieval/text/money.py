"""The one reader of money: "1.234,56 €", "-EUR 50", "(1,234.56)", "1'234.50 CHF", "12⁹⁰", "USD 1,234.56 CR".

Search filters, answers, extraction and sums all read amounts here. An amount has a currency beside it or two
decimals. Written for text that was read by OCR: spaces may be missing or too many (``67 .85``).
"""

import re
from typing import NamedTuple

_SPACE = "[ \u00a0\u202f\u2009]"
_CODES = (
    "EUR|USD|GBP|CHF|MYR|SGD|AUD|CAD|JPY|INR|SEK|NOK|DKK|PLN|CZK|HUF|THB|PHP|IDR|CNY|HKD|NZD|ZAR|BRL|MXN|TRY"
)
_BEFORE = rf"(?:(?<![A-Za-z])(?:US\$|S\$|A\$|C\$|{_CODES}|RM|SFr|Fr|Rs|Rp|kr)(?![A-Za-z])|[$€£¥₹₩₽₺฿])"
_BEHIND = (
    rf"(?:(?:{_CODES}|RM|Fr|kr|zł|euros?|dollars?|pounds?|francs?|yen|rupees?|ringgit)(?![A-Za-z])"
    r"|[$€£¥₹₩₽₺฿])(?!\s?[-−]?\d)"
)
_GROUPED = (
    rf"\d{{1,3}}(?:{_SPACE}?[.,'’]{_SPACE}?\d{{3}}){{1,4}}(?!\d)|\d{{1,3}}(?:{_SPACE}\d{{3}}){{1,4}}(?!\d)"
)
_INDIAN = r"\d{1,2}(?:,\d\d){1,4},\d{3}(?!\d)"
_RAISED = "[⁰¹²³⁴⁵⁶⁷⁸⁹]"
_CENTS = rf"(?:{_SPACE}?[.,]{_SPACE}?\d\d(?!\d)|{_RAISED}{{2}}|[.,](?:[-–]{{1,2}}|—)(?!\d))"
_DECIMAL = rf"(?:{_GROUPED}|{_INDIAN}|\d+){_CENTS}"
_PRICED = rf"(?:{_DECIMAL}|{_GROUPED}|{_INDIAN}|\d+[.,]\d(?!\d)|\.\d\d(?!\d)|\d+)"
_END = r"(?![./:%]\d|\d|\s?%)"
_MINUS = r"(?:(?<![\w)\]])(?<!\d )[-−–])"
_MONEY = re.compile(
    rf"(?P<open>\(\s?)?(?:(?P<s1>{_MINUS})\s?)?"
    rf"(?:(?P<c1>{_BEFORE})\s?[.:]?\s?(?P<s2>[-−–])?\s?(?P<n1>{_PRICED}){_END}"
    rf"|(?<![\d.,:/])(?<![\d\w]-)(?P<n2>{_DECIMAL}){_END}"
    rf"|(?<![\d.,:/\w])(?<![\d\w]-)(?P<n3>{_PRICED})(?={_SPACE}?{_BEHIND}))"
    rf"(?:{_SPACE}?(?P<c2>{_BEHIND}))?(?:(?P<s3>[-−])(?![\d\w]))?(?:\s?(?P<side>CR|DR)\b)?(?P<close>\s?\))?",
    re.IGNORECASE,
)
_NAMES = {
    "€": "EUR", "EURO": "EUR", "EUROS": "EUR", "£": "GBP", "POUND": "GBP", "POUNDS": "GBP", "¥": "JPY",
    "YEN": "JPY", "₹": "INR", "RS": "INR", "RUPEE": "INR", "RUPEES": "INR", "MYR": "RM", "RINGGIT": "RM",
    "FR": "CHF", "SFR": "CHF", "FRANC": "CHF", "FRANCS": "CHF", "US$": "USD", "S$": "SGD", "A$": "AUD",
    "C$": "CAD", "DOLLAR": "$", "DOLLARS": "$", "RP": "IDR", "ZŁ": "PLN", "₩": "KRW", "₽": "RUB", "₺": "TRY",
    "฿": "THB", "KR": "kr",
}  # fmt: skip
_CURRENCY = re.compile(rf"{_BEFORE}|(?<![A-Za-z]){_BEHIND}", re.IGNORECASE)
_PLAIN = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")


class Money(NamedTuple):
    """An amount and where it stands in its line; ``currency`` is a code or a sign, "" where there is none.

    What is owed to the reader is negative: a sign before, behind or as U+2212, brackets, CR.
    """

    amount: float
    currency: str
    start: int
    end: int
    text: str


def find_money(line: str) -> list[Money]:
    """The amounts of a line, left to right."""
    found = []
    for match in _MONEY.finditer(line):
        digits = match["n1"] or match["n2"] or match["n3"]
        amount = read_number(digits)
        bracketed = bool(match["open"] and match["close"])
        behind = match["s3"]
        if match["s1"] or match["s2"] or behind or bracketed or (match["side"] or "").upper() == "CR":
            amount = -amount
        text = match[0] if bracketed else match[0].removeprefix(match["open"] or "").rstrip(" )")
        text = text.strip()
        start = match.start() + match[0].find(text)
        sign = match["c1"] or match["c2"]
        found.append(Money(amount, currency_named(sign) if sign else "", start, start + len(text), text))
    return found


def currency_named(sign: str) -> str:
    """The code of a currency by its sign, code or name; "$" and "kr" are of several and stay."""
    return _NAMES.get(sign.strip(".").upper(), sign.strip(".").upper())


def currencies(text: str) -> list[str]:
    """Every currency that is named in a text, in order."""
    return [currency_named(match[0]) for match in _CURRENCY.finditer(text)]


def read_number(digits: str) -> float:
    """ "1,234.50", "1.234,50", "67,85", "1 234", "12⁹⁰", "12,-" and "1,23,456.00" as a number.

    A mark before exactly three digits parts thousands; before one or two, the last of them, decimals.
    """
    raised = re.search(rf"{_RAISED}+$", digits)
    if raised:
        digits = f"{digits[: raised.start()]}.{raised[0].translate(_PLAIN)}"
    plain = re.sub(r"[\s'’]", "", digits).rstrip("-–—").rstrip(".,")
    if match := re.fullmatch(r"(.*)[.,](\d{1,2})", plain):
        return float(f"{re.sub('[.,]', '', match[1]) or '0'}.{match[2]}")
    return float(re.sub("[.,]", "", plain) or "0")
