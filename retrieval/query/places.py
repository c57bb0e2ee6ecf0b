"""Reader of places in a query: "near Berlin", "my trip to Lisbon", "in France", "5 km from 48.2,16.37".

A name alone is a place only when the collection holds images taken there: most names of cities are also
names of people, dishes and things. In a collection without positions no word is a place.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from askpix.core.types import Near
from askpix.retrieval.query.base import Claim, Context, Known
from askpix.retrieval.text.gazetteer import City, area_km, gazetteer

_UNIT = r"(?P<u>km|kms|kilomet(?:er|re)s?|miles?|mi|m|met(?:er|re)s?)\b"
_FAR = rf"(?P<far>\d{{1,5}}(?:\.\d+)?)\s?{_UNIT}"
_POINT = r"(?P<lat>[-+]?\d{1,2}(?:\.\d+)?)°?\s?,\s?(?P<lon>[-+]?\d{1,3}(?:\.\d+)?)°?"
_BEFORE = r"(?<![\w-])(?:(?:taken|shot|captured|photographed|filmed)\s+)?"
_POINTS = (
    re.compile(
        rf"{_BEFORE}(?:within|less than|under)\s+{_FAR}\s+(?:of|from|around|to)\s+{_POINT}(?![\d.])",
        re.IGNORECASE,
    ),
    re.compile(
        (
            rf"(?:{_BEFORE}(?:near|around|at|close to)\s+)?(?<![\d.,-]){_POINT},?\s+(?:within|radius|±"
            rf"|\+/-)\s?{_FAR}"
        ),
        re.IGNORECASE,
    ),
    re.compile(rf"{_BEFORE}(?:near|around|close to)\s+{_POINT}(?P<far>)(?P<u>)(?![\d.])", re.IGNORECASE),
)
_CIRCLE = re.compile(
    (
        rf"{_BEFORE}(?:(?:within|less than)\s+{_FAR}\s+(?:of|from|around)"
        rf"|{_FAR.replace('<far>', '<far2>').replace('<u>', '<u2>')}\s+(?:from|around))\s+"
    ),
    re.IGNORECASE,
)
_NEAR = re.compile(rf"{_BEFORE}(?:near|nearby|close to|around|not far from)\s+(?:to\s+)?", re.IGNORECASE)
_IN = re.compile(rf"{_BEFORE}(?P<p>in|inside|across|throughout)\s+", re.IGNORECASE)
_TRIP = re.compile(
    r"\b(?:trips?|travels?|travell?ing|flight|flights|journey|visits?|visiting|vacations?|holidays?"
    r"|holiday|tour|honeymoon|weekend|week|days?"
    r"|year|months?|stay|conference|move|moved|back|home|photos?|pictures?|pics|images|shots|snapshots"
    r"|videos?|selfies?"
    r"|postcards?|receipts?|invoices?|tickets?|souvenirs?)\s+(?P<all>(?P<p>to|in|from|at|around|of)\s+)",
    re.IGNORECASE,
)
_NAME = re.compile(
    r"(?:the )?[^\W\d_][^\W\d_.'’-]*(?:['’.-]\s?[^\W\d_]+)*\.?(?: [^\W\d_]+(?:['’.-][^\W\d_]+)*){0,4}"
)
_WITHIN = re.compile(r",\s?(?P<n>[^\W\d_]+\.?(?: [^\W\d_]+){0,2})")
_WITH_COMMA = re.compile(
    r"(?<![\w#'’./-])(?P<dc>Washington,? D\.?C\b\.?)(?!\w)"
    r"|(?<![\w#'’./-])(?P<c>[A-ZÀ-Þ][\w'’.-]*(?: [A-ZÀ-Þ][\w'’.-]*){0,3}),\s?"
    r"(?P<n>[A-Z][\w]*(?: [A-Z][\w]*){0,2})(?![\w'’-])"
)
_LOWER_FROM = 100_000
_CAPITAL_FROM = 15_000
"""People from which a name is believed, written small and with a capital."""
_REGION_OVER = 5
"""A region of so many times the people of a city is meant by the name of both."""
_DIRECTIONS = frozenset(
    """central centre center north south east west northern southern eastern western coast coastal lakes
    rivers delta plateau bay islands capital federal nord sud est ouest centro norte sur oriental littoral
    hills plains savannah highlands""".split()
)
_THINGS = frozenset(
    """bath nice reading mobile orange split male china turkey buffalo lima date march sale best man most
    of same see wells hall corn hull deal bar ham bad born color colour male mobile mandarin van young
    victoria long beach cork black white blue red green brown gold silver water wood stone house home
    garden park sea lake river mountain hill winter summer spring fall autumn rain snow storm sun moon
    star bed church school love action motion order line town city village country nature space bath
    sand salt sugar honey rose lily daisy jersey guinea chad jordan georgia cuba panama brazil bologna
    cologne hamburg frankfurt wellington florence sydney austin dallas houston jackson lincoln
    washington hamilton kingston milton madison charlotte victoria alexandria aurora eugene santiago
    mini kent police battle hope independence surprise normal paradise eden crystal general front back
    center centre middle university college central union liberty justice president commerce enterprise
    industry surat vista atlantis boa oral ufa ube gap same sari una como pau bari bra ola are of bang
    sur asia bo""".split()
)
"""Words that mean something else so often that a place needs its capital and the end of a clause."""
_STATES_FIRST = frozenset(
    """california texas florida colorado arizona utah oregon nevada alaska hawaii montana ohio michigan
    minnesota maine vermont idaho iowa kansas missouri oklahoma louisiana tennessee kentucky alabama
    virginia maryland pennsylvania illinois indiana wisconsin nebraska wyoming massachusetts connecticut
    delaware arkansas mississippi""".split()
)
"""States that are meant, and not their namesakes: nobody looks for California, Maryland."""
_STOP = frozenset(
    """in on at last this next from with and or but for by to of the a an my our during since before after
    until till between near while when where that which who is are was were without not over under again
    taken shot year years month week day days today yesterday""".split()
)


def read_points(text: str, context: Context) -> Iterator[Claim]:
    """Coordinates with or without a radius."""
    del context
    for pattern in _POINTS:
        for match in pattern.finditer(text):
            lat = float(match["lat"])
            lon = float(match["lon"])
            km = _km(match["far"], match["u"], 10.0)
            exact = "." in match["lat"] and "." in match["lon"]
            if abs(lat) <= 90 and abs(lon) <= 180 and 0 < km <= 20_000 and (exact or match["far"]):
                yield _circle(match.start(), match.end(), lat, lon, km)


def read_places(text: str, context: Context) -> Iterator[Claim]:
    """Names of cities and countries behind a preposition, and alone where images were taken there."""
    if context.known is not None and not (context.known.cities or context.known.countries):
        return
    title_case = not re.search(r"\b[a-z]{3,}", text)
    for pattern, way in ((_CIRCLE, "circle"), (_NEAR, "near"), (_IN, "in"), (_TRIP, "trip")):
        for match in pattern.finditer(text):
            start = match.start("all") if way == "trip" else match.start()
            claim = _named(text, start, match.end(), match, way, known=context.known, title_case=title_case)
            if claim:
                yield claim
    yield from _qualified_alone(text, context.known)
    if context.known is not None:
        yield from _held(text, context)


def named_place(text: str, at: int, way: str, context: Context) -> Claim | None:
    """The place that is named at a place of the text, as after "in" or "near"."""
    return _named(text, at, at, None, way, known=context.known, title_case=False)


def _named(
    text: str,
    start: int,
    at: int,
    match: re.Match[str] | None,
    way: str,
    *,
    known: Known | None,
    title_case: bool,
) -> Claim | None:
    name = _NAME.match(text, at)
    if not name or re.search(r"\bmade\s+$", text[:start], re.IGNORECASE):
        return None  # "made in China" stands on things
    words = name[0].split(" ")
    for count in range(len(words), 0, -1):
        called = " ".join(words[:count])
        end = at + len(called)
        if words[count - 1].casefold() in _STOP or _part_of_a_name(text, end):
            continue
        bare = called.rstrip(".")
        code = _country(bare, text[end:]) or _region(bare, text[end:], known, title_case=title_case)
        if way in ("in", "trip") and code:
            return Claim(start, end, "country", gazetteer().country_name(code), {"country": code})
        within = _WITHIN.match(text, end)
        if within and way in ("in", "trip") and (code := _region_of(bare, within["n"])):
            return Claim(start, within.end(), "country", gazetteer().country_name(code), {"country": code})
        if within:
            for part in (within["n"], within["n"].split(" ")[0]):
                if city := city_meant(bare, part.rstrip("."), known):
                    return _city(
                        start, end + within.start("n") - within.start() + len(part), city, match, way
                    )
        if count > 1 and bare.count(" ") and (city := _qualified(words[:count], known)):
            return _city(start, end, city, match, way)
        city = city_meant(bare, None, known)
        if city and _believed(bare, city, text[end:], title_case=title_case, near=way in ("near", "circle")):
            return _city(start, end, city, match, way)
    return None


def city_meant(name: str, within: str | None, known: Known | None) -> City | None:
    """The city that a name means: the largest of those that the collection holds, else of the world."""
    found = [city for city in gazetteer().cities(name) if within is None or gazetteer().lies_in(city, within)]
    held = [city for city in found if city.label in known.cities] if known else []
    return next(iter(held or found), None)


def _region_of(name: str, nation: str) -> str | None:
    country = gazetteer().country(nation)
    code = next((code for code in gazetteer().regions(name) if country and code[:2] == country), None)
    city = gazetteer().city(name, nation) if code and country != "US" else None
    return None if city and city.region == code else code  # "Tokyo, Japan" is the city


def _qualified_alone(text: str, known: Known | None) -> Iterator[Claim]:
    """ "Austin, TX", "Springfield, Illinois", "Paris, France": names its place without a preposition."""
    for match in _WITH_COMMA.finditer(text):
        if match["dc"]:
            capital = gazetteer().city("Washington", "DC")
            assert capital
            yield _city(match.start(), match.end(), capital, match, "in")
            continue
        within = match["n"].rstrip(".")
        while within and not _is_region(within):
            within = within.rpartition(" ")[0]
        words = match["c"].split(" ")
        for first in range(len(words)) if within else ():
            city = city_meant(" ".join(words[first:]), within, known)
            end = match.start("n") + len(within)
            if city and not _part_of_a_name(text, end):
                start = match.start("c") + len(" ".join([*words[:first], ""]))
                yield _city(start, end, city, match, "in")
                break


def _is_region(name: str) -> bool:
    if len(name) == 2:
        return name.isupper() and gazetteer().country_name(f"US-{name}") != f"US-{name}"
    return name[:1].isupper() and bool(gazetteer().regions(name) or gazetteer().country(name))


def _qualified(words: list[str], known: Known | None) -> City | None:
    """ "Portland Oregon", "Paris TX": the last word names the country or the state."""
    last = words[-1]
    if len(last) == 2 and not last.isupper():
        return None
    return city_meant(" ".join(words[:-1]), last, known)


def _believed(name: str, city: City, rest: str, *, title_case: bool, near: bool) -> bool:
    capital = not name[:1].islower() and not title_case
    if name.casefold().removeprefix("the ") in _THINGS:
        return capital and city.population >= _LOWER_FROM and _ends(rest)
    if name.casefold().startswith("the "):
        return False
    if len(name) < (3 if name.isascii() else 2):
        return False
    least = _CAPITAL_FROM if capital else _LOWER_FROM
    return city.population >= least and (capital or near or _ends(rest))


def _country(name: str, rest: str) -> str | None:
    code = gazetteer().country(name)
    if code is None and name.endswith("s") and (owner := gazetteer().country(name[:-1])):
        # "Deutschlands" is of Germany; "Germanys" is nothing.
        code = owner if name[:-1] != gazetteer().country_name(owner) else None
    if code is None or name.casefold() == "georgia":
        return None  # a state of the USA as well
    plain = name.casefold().removeprefix("the ").replace(".", "")
    if len(plain) <= 3 and not name.removeprefix("the ").isupper():
        return None  # "in us"
    if plain in _THINGS and not (name[:1].isupper() and _ends(rest)):
        return code if plain in ("china", "turkey", "cuba", "brazil", "panama") and not rest.strip() else None
    return code if name[:1].isupper() or _ends(rest) else None


def _region(name: str, rest: str, known: Known | None, *, title_case: bool) -> str | None:
    """A region, where the words mean one: "in lakes" is no place."""
    if name[:1].islower() and not _ends(rest):
        return None
    code = region_meant(name, known)
    if code is None or code.startswith("US-") or (known and code in regions_held(known.cities)):
        return code
    plain = name.casefold().removeprefix("the ")
    return None if name[:1].islower() or title_case or plain in _THINGS | _DIRECTIONS else code


def region_meant(name: str, known: Known | None) -> str | None:
    """The code of a first-level region ("CA-ON") where a name means one, and not a city of that name.

    What the collection holds comes first. Else the city, where it lies in that region (Salzburg, Tokyo) or is
    not much smaller; of the states of the USA some are meant whatever else is called so.
    """
    found = gazetteer().regions(name)
    held = [code for code in found if known and code in regions_held(known.cities)]
    if not found or (name.casefold() == "georgia" and not held):
        return None
    code = (held or found)[0]
    if re.search(r"(?i)\bstate$|^state of\b", name):
        return code
    city = city_meant(name, None, known)
    if city is None:
        return code
    city_held = known is not None and city.label in known.cities
    if bool(held) != city_held and city.region != code:
        return code if held else None
    if code.startswith("US-"):
        return code if name.casefold() in _STATES_FIRST else None
    return code if city.region != code and gazetteer().people(code) > _REGION_OVER * city.population else None


@lru_cache(maxsize=32)
def regions_held(cities: frozenset[str]) -> frozenset[str]:
    """The regions of cities that are given by their labels."""
    found = (
        city for label in cities for city in gazetteer().cities(label.split(", ")[0]) if city.label == label
    )
    return frozenset(city.region for city in found if city.region)


def _ends(rest: str) -> bool:
    """Return whether the name ends here: nothing follows, or a word that begins something new."""
    following = re.match(r"\s*([\w'’]+)", rest)
    if not following or "\n" in rest[: following.start(1)] or re.match(r"\s*[,;.!?)]", rest):
        return True
    return following[1].casefold() in _STOP or following[1].isdigit()


def _part_of_a_name(text: str, end: int) -> bool:
    """Return whether the words go on: "Paris Hilton", "Berlin's"."""
    rest = text[end:]
    return bool(re.match(r" [A-Z]|['’-]\w|\w|\.\w", rest)) and not re.match(r" (?:I|In|On|Last)\b", rest)


def _held(text: str, context: Context) -> Iterator[Claim]:
    """Names of places where the collection's images were taken, at the end of the text or of a clause."""
    known = context.known
    assert known is not None
    for match in re.finditer(r"(?<![\w#'’./-])[^\W\d_][\w'’-]*", text):
        for count in (3, 2, 1):
            words = re.match(
                rf"[^\W\d_][\w'’-]*(?: [^\W\d_][\w'’-]*){{{count - 1}}}(?![\w'’./-])", text[match.start() :]
            )
            if (
                not words
                or not _ends(text[match.start() + words.end() :])
                or words[0].casefold() in _THINGS | _STOP
            ):
                continue
            start = match.start()
            end = match.start() + words.end()
            code = gazetteer().country(words[0])
            if code in known.countries and len(words[0]) > 3:
                assert code is not None
                yield Claim(start, end, "country", gazetteer().country_name(code), {"country": code})
                break
            region = region_meant(words[0], known)
            if region and region in regions_held(known.cities):
                yield Claim(start, end, "country", gazetteer().country_name(region), {"country": region})
                break
            city = city_meant(words[0], None, known)
            if city and city.label in known.cities:
                yield _city(start, end, city, match, "in")
                break


def _city(start: int, end: int, city: City, match: re.Match[str] | None, way: str) -> Claim:
    if match and way == "circle":
        km = _km(match["far"] or match["far2"], match["u"] or match["u2"], 10.0)
    else:
        reach = float(area_km(city.population))
        km = min(60.0, max(20.0, 4 * reach)) if way == "near" else min(40.0, max(10.0, 2 * reach))
    claim = _circle(start, end, city.lat, city.lon, round(km, 1))
    return Claim(start, end, "near", f"{city.label} ({claim.value})", claim.where)


def _circle(start: int, end: int, lat: float, lon: float, km: float) -> Claim:
    change: dict[str, Any] = {"near": Near(lat, lon, km)}
    return Claim(start, end, "near", f"{lat:g},{lon:g} within {km:g} km", change)


def _km(number: str | None, unit: str | None, usual: float) -> float:
    if not number:
        return usual
    unit = (unit or "km").casefold()
    per = 1.609344 if unit.startswith("mi") else 0.001 if unit == "m" or unit.startswith("met") else 1.0
    return float(number) * per
