"""Dates as people write them in options and requests."""

import re
from datetime import date, datetime, timedelta


def parse_date(text: str) -> datetime:
    """Return the first moment of ``2018``, ``2018-05``, ``2018-05-03T14:00``, ``today`` or ``yesterday``.

    Raises ``ValueError`` for anything else.
    """
    words = text.strip().lower()
    if words in ("today", "yesterday"):
        day = date.today() - timedelta(days=words == "yesterday")
        return datetime(day.year, day.month, day.day)
    match = re.fullmatch(r"(\d{4})(?:-(\d{1,2}))?", words)
    try:
        if match:
            return datetime(int(match[1]), int(match[2] or 1), 1)
        return datetime.fromisoformat(words.upper()).replace(tzinfo=None)
    except ValueError as error:
        raise ValueError(f"{text!r} is not a date; write 2018, 2018-05 or 2018-05-03") from error
