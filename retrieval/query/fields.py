"""The explicit way to say it: ``tag:holiday``, ``near:Oslo``, ``after:2018-05``, ``amount:>50``."""

import re
from collections.abc import Callable, Iterator
from datetime import datetime, time, timedelta

from askpix.core.types import Near, Part
from askpix.retrieval.query.base import Claim, Context
from askpix.retrieval.query.date_spans import WEEKDAYS, Span, month_of, span_of
from askpix.retrieval.query.media import kind_claim, literal, tag_of
from askpix.retrieval.query.operators import UNWANTED
from askpix.retrieval.query.places import city_meant, region_meant
from askpix.retrieval.query.ratings import rating_field
from askpix.retrieval.query.times import hour_of, hours_shown
from askpix.retrieval.text.gazetteer import area_km, gazetteer
from askpix.retrieval.text.money import read_number

_FIELD = re.compile(r"(?<![\w.:/])(?<![\w-]-)(?P<f>[a-z]+):(?:[\"“](?P<q>[^\"”\n]+)[\"”]|(?P<v>[^\s\"“”]+))")
_KINDS = {
    "photo": "photo",
    "page": "page",
    "scan": "page",
    "document": "page",
    "pdf": "page",
    "frame": "frame",
    "video": "frame",
    "screenshot": "screenshot",
}
_SUM = re.compile(r"(?P<o>[<>]=?|=)?[$€£]?(?P<a>\d[\d.,']*)(?:(?:-|\.\.)[$€£]?(?P<b>\d[\d.,']*))?[$€£]?")
_POINT = re.compile(r"([-+]?\d{1,2}(?:\.\d+)?),\s?([-+]?\d{1,3}(?:\.\d+)?)(?:,\s?(\d+(?:\.\d+)?)(?:km)?)?")


def read_fields(text: str, context: Context) -> Iterator[Claim]:
    """``field:value``; a value that makes no sense for its field stays words, like "Date:" of a form."""
    for match in _FIELD.finditer(text):
        value = match["q"] or match["v"].rstrip(",;!?")
        reader = _FIELDS.get(match["f"])
        if reader is not None and value.strip(" *"):
            claim = reader(match, value.strip(), context)
            if claim:
                end = match.end() if match["q"] else match.start("v") + len(value)
                yield Claim(match.start(), end, claim.field, claim.value, claim.where, claim.parts)


def _kind(match: re.Match[str], value: str, context: Context) -> Claim | None:
    kind = _KINDS.get(value.casefold().removesuffix("s"))
    claim = kind_claim(match, kind, Context("")) if kind else None
    del context
    return claim


def _tag(match: re.Match[str], value: str, context: Context) -> Claim:
    tag = tag_of(value, context)
    return Claim(0, 0, "tag", tag, {"tags": (tag,)})


def _camera(match: re.Match[str], value: str, context: Context) -> Claim:
    return Claim(0, 0, "camera", value, {"camera": value})


def _near(match: re.Match[str], value: str, context: Context) -> Claim | None:
    if point := _POINT.fullmatch(value):
        lat = float(point[1])
        lon = float(point[2])
        km = float(point[3] or 10)
        if not (abs(lat) <= 90 and abs(lon) <= 180 and 0 < km <= 20_000):
            return None
        return Claim(0, 0, "near", f"{lat:g},{lon:g} within {km:g} km", {"near": Near(lat, lon, km)})
    name, _, within = value.partition(",")
    city = city_meant(name, within.strip() or None, context.known)
    if city is None:
        return None
    reach = float(area_km(city.population))
    inside = match["f"] in ("in", "city")
    km = round(min(40.0, max(10.0, 2 * reach)) if inside else min(60.0, max(20.0, 4 * reach)), 1)
    shown = f"{city.label} ({city.lat:g},{city.lon:g} within {km:g} km)"
    return Claim(0, 0, "near", shown, {"near": Near(city.lat, city.lon, km)})


def _in(match: re.Match[str], value: str, context: Context) -> Claim | None:
    if code := gazetteer().country(value):
        return Claim(0, 0, "country", gazetteer().country_name(code), {"country": code})
    if region := region_meant(value, context.known):
        return Claim(0, 0, "country", gazetteer().country_name(region), {"country": region})
    if len(value) == 2 and gazetteer().country_name(value.upper()) != value.upper():
        return Claim(0, 0, "country", gazetteer().country_name(value.upper()), {"country": value.upper()})
    return _near(match, value, context)


def _date(match: re.Match[str], value: str, context: Context) -> Claim | None:
    first, dots, last = value.partition("..")
    start, end = (_span(first, context), _span(last, context)) if dots else (_span(value, context),) * 2
    if start is None or end is None or start.start >= end.end:
        return None
    span = Span(start.start, end.end)
    return Claim(0, 0, "date", str(span), {"after": _midnight(span.start), "before": _midnight(span.end)})


def _after(match: re.Match[str], value: str, context: Context) -> Claim | None:
    span = _span(value, context)
    return Claim(0, 0, "date", f"{span.start}..", {"after": _midnight(span.start)}) if span else None


def _before(match: re.Match[str], value: str, context: Context) -> Claim | None:
    span = _span(value, context)
    return (
        Claim(0, 0, "date", f"..{span.start - timedelta(days=1)}", {"before": _midnight(span.start)})
        if span
        else None
    )


def _until(match: re.Match[str], value: str, context: Context) -> Claim | None:
    span = _span(value, context)
    return (
        Claim(0, 0, "date", f"..{span.end - timedelta(days=1)}", {"before": _midnight(span.end)})
        if span
        else None
    )


def _span(value: str, context: Context) -> Span | None:
    found = span_of(value.replace("_", " "), now=context.now, day_first=context.day_first)
    return found[1] if found else None


def _midnight(day: object) -> datetime:
    return datetime.combine(day, time())  # type: ignore[arg-type]


def _month(match: re.Match[str], value: str, context: Context) -> Claim | None:
    number = month_of(value) or (int(value) if re.fullmatch(r"0?[1-9]|1[0-2]", value) else None)
    if number is None:
        return _date(match, value, context)
    return Claim(0, 0, "month", f"{number:02}", {"months": (number,)})


def _weekday(match: re.Match[str], value: str, context: Context) -> Claim | None:
    name = value.casefold().removesuffix("s")
    days = {"weekend": (5, 6), "weekday": (0, 1, 2, 3, 4)}.get(name)
    if days is None and name in WEEKDAYS:
        days = (WEEKDAYS[name],)
    return Claim(0, 0, "weekday", name, {"weekdays": days}) if days else None


def _hour(match: re.Match[str], value: str, context: Context) -> Claim | None:
    both = re.fullmatch(r"([01]?\d|2[0-3])(?::\d\d)?(?:-([01]?\d|2[0-4])(?::\d\d)?)?", value)
    if both is None:
        clock = re.fullmatch(r"(?:1[0-2]|0?[1-9])\s?[ap]m", value, re.IGNORECASE)
        hours: tuple[int, ...] = (hour_of(value),) if clock else ()
    else:
        first = int(both[1])
        last = int(both[2]) if both[2] else first + 1
        hours = tuple(hour % 24 for hour in range(first, last if last > first else last + 24))
    return Claim(0, 0, "hour", hours_shown(hours), {"hours": hours}) if hours else None


def _amount(match: re.Match[str], value: str, context: Context) -> Claim | None:
    both = _SUM.fullmatch(value)
    if both is None:
        return None
    sign = both["o"] or "="
    low = read_number(both["a"])
    if both["b"]:
        high = read_number(both["b"])
        return Claim(0, 0, "amount", f"{low:g}..{high:g}", {"amount_min": low, "amount_max": high})
    cent = 0.0 if "=" in sign else 0.01
    change = {}
    if sign in (">", ">=", "="):
        change["amount_min"] = round(low + cent, 2)
    if sign in ("<", "<=", "="):
        change["amount_max"] = round(low - cent, 2)
    return Claim(0, 0, "amount", f"{sign.replace('=', '') if sign == '=' else sign}{low:g}", change)


def _over(match: re.Match[str], value: str, context: Context) -> Claim | None:
    return _amount(match, f">{value.lstrip('<>=')}", context)


def _under(match: re.Match[str], value: str, context: Context) -> Claim | None:
    return _amount(match, f"<{value.lstrip('<>=')}", context)


def _rating(match: re.Match[str], value: str, context: Context) -> Claim | None:
    return rating_field(value)


def _path(match: re.Match[str], value: str, context: Context) -> Claim:
    if match["q"]:  # "[2019] trip.jpg" in quotes is a name, not a pattern
        glob = literal(value) if re.search(r"\.\w{2,5}$", value) else f"*{literal(value)}*"
    else:
        glob = value if set(value) & set("*?/") else f"*{value}*"
    return Claim(0, 0, "path", glob, {"path": glob})


def _folder(match: re.Match[str], value: str, context: Context) -> Claim | None:
    name = value.strip("/\\")
    return Claim(0, 0, "path", f"{name}/*", {"path": f"{name}/*"}) if name else None


def _extension(match: re.Match[str], value: str, context: Context) -> Claim:
    glob = f"*.{value.lstrip('.')}"
    return Claim(0, 0, "path", glob, {"path": glob})


def _text(match: re.Match[str], value: str, context: Context) -> Claim:
    return Claim(0, 0, "phrase", value, {"phrases": (value,)})


def _without(match: re.Match[str], value: str, context: Context) -> Claim:
    return Claim(0, 0, "without", value, {"without": (value,)}, (Part(value, UNWANTED),))


def _not(match: re.Match[str], value: str, context: Context) -> Claim:
    return Claim(0, 0, "not", value, {}, (Part(value, UNWANTED),))


_FIELDS: dict[str, Callable[[re.Match[str], str, Context], Claim | None]] = {
    **dict.fromkeys(("kind", "type"), _kind),
    **dict.fromkeys(("tag", "tags"), _tag),
    "camera": _camera,
    **dict.fromkeys(("near", "place", "city"), _near),
    **dict.fromkeys(("in", "country"), _in),
    **dict.fromkeys(("date", "on", "when", "year"), _date),
    **dict.fromkeys(("after", "since"), _after),
    "before": _before,
    "until": _until,
    "month": _month,
    **dict.fromkeys(("weekday", "day"), _weekday),
    **dict.fromkeys(("hour", "hours"), _hour),
    **dict.fromkeys(("amount", "amounts"), _amount),
    **dict.fromkeys(("rating", "stars"), _rating),
    "over": _over,
    "under": _under,
    **dict.fromkeys(("path", "file"), _path),
    **dict.fromkeys(("folder", "album"), _folder),
    "ext": _extension,
    **dict.fromkeys(("text", "phrase", "says"), _text),
    "without": _without,
    "not": _not,
}
