"""Names of cities and countries into places, and places into the city and country nearest to them.

Data: GeoNames (geonames.org, CC BY 4.0), 69,000 cities of 5,000 people and more, packed into one file by
``tools/pack_places.py``. Countries have no borders here: a point belongs to the country of its nearest city,
which is wrong for 1.7 % of the world's places under 5,000 people (measured on 5,045 of them).
"""

import hashlib
import re
import unicodedata
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_DATA = Path(__file__).parent / "geonames" / "places.npz"
_EARTH_KM = 6371.0088


@dataclass(frozen=True, slots=True)
class City:
    """Degrees (WGS 84), people, ISO 3166 code, and the state of the USA ("OR") or ""."""

    name: str
    country: str
    state: str
    lat: float
    lon: float
    population: int

    @property
    def label(self) -> str:
        """Name that tells it from its namesakes: "Portland, OR, US"."""
        return ", ".join(part for part in (self.name, self.state, self.country) if part)


def name_key(name: str) -> str:
    """A name as compared: no accents, no case, a space for every other mark."""
    if not name.isascii():
        name = unicodedata.normalize("NFKD", name.translate(_FOLDED))
        name = "".join(char for char in name if not unicodedata.combining(char))
    return " ".join(re.findall(r"[^\W_]+", name.casefold().replace("'", "")))


_FOLDED = str.maketrans({"ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "đ": "d", "ı": "i", "’": "'", "æ": "ae"})


def place_hash(key: str) -> int:
    """64 bits of a key: the packed file holds these instead of 120,000 spellings."""
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "little")


class Gazetteer:
    """The packed file in memory: some 3 MB, and 3 more once ``nearest`` was asked."""

    def __init__(self, path: Path = _DATA) -> None:
        with np.load(path) as packed:
            self._lat, self._lon = packed["lat"], packed["lon"]
            self._population, self._country, self._state = (
                packed["population"],
                packed["country"],
                packed["state"],
            )
            self._names: bytes = packed["names"].tobytes()
            self._hashes, self._rows = packed["hashes"], packed["rows"]
            lines: list[str] = packed["countries"].tobytes().decode().split("\n")
            states: list[str] = packed["states"].tobytes().decode().split("\n")
        self._codes = [line.split("\t")[0] for line in lines]
        self._country_names = {line.split("\t")[0]: line.split("\t")[1] for line in lines}
        self._countries = {
            name_key(name): line.split("\t")[0] for line in lines for name in line.split("\t")[1:]
        }
        self._state_codes = ["", *(line.split("\t")[0] for line in states)]
        self._state_names = {line.split("\t")[0]: line.split("\t")[1] for line in states}
        self._states = {name_key(line.split("\t")[1]): line.split("\t")[0] for line in states}

    def country(self, name: str) -> str | None:
        """The ISO code of a country by one of its names."""
        return self._countries.get(name_key(name).removeprefix("the "))

    def country_name(self, code: str) -> str:
        """Return the name of a country or a state of the USA; the code itself when it is unknown."""
        if code.startswith("US-"):
            return self._state_names.get(code[3:], code)
        return self._country_names.get(code, code)

    def state(self, name: str) -> str | None:
        """ "US-CA" for a state of the USA by its name."""
        code = self._states.get(
            name_key(name).removeprefix("the ").removesuffix(" state").removeprefix("state of ")
        )
        return f"US-{code}" if code else None

    def cities(self, name: str) -> list[City]:
        """Return all cities of that name, the largest first; second names (Lisboa) count for less."""
        wanted = np.uint64(place_hash(name_key(name)))
        first, last = np.searchsorted(self._hashes, wanted), np.searchsorted(self._hashes, wanted, "right")
        return [self._city(int(row)) for row in self._rows[first:last]]

    def city(self, name: str, within: str | None = None) -> City | None:
        """The largest city of that name; ``within`` names its country or its state of the USA."""
        found = self.cities(name)
        if within is None:
            return found[0] if found else None
        key = name_key(within)
        country = self._countries.get(key.removeprefix("the ")) or key.upper()
        state = self._states.get(key) or key.upper()
        for city in found:
            if city.country == country or (city.state and city.state == state):
                return city
        return None

    def nearest(self, lat: float, lon: float) -> tuple[City, str]:
        """The city that a point on the globe belongs to, however far, and the code of its country.

        The largest whose area it lies in (see ``area_km``), else the nearest: quarters are cities of their
        own in the data, and a photo taken there was taken in Sydney.
        """
        cosines = self._points @ _on_sphere(lat, lon)
        nearest = int(np.argmax(cosines))
        inside = cosines > self._edges
        row = int(np.argmax(inside)) if inside.any() else nearest
        return self._city(row), self._codes[self._country[nearest]]

    @cached_property
    def _points(self) -> NDArray[np.float64]:
        return np.ascontiguousarray(_on_sphere(self._lat, self._lon).T)

    @cached_property
    def _edges(self) -> NDArray[np.float64]:
        edges: NDArray[np.float64] = np.cos(area_km(self._population) / _EARTH_KM)
        return edges

    @cached_property
    def _starts(self) -> NDArray[np.int64]:
        ends = np.flatnonzero(np.frombuffer(self._names, np.uint8) == ord("\n"))
        return np.concatenate([[0], ends + 1, [len(self._names) + 1]])

    def _city(self, row: int) -> City:
        return City(
            name=self._names[self._starts[row] : self._starts[row + 1] - 1].decode(),
            country=self._codes[self._country[row]],
            state=self._state_codes[self._state[row]],
            lat=round(float(self._lat[row]), 4),
            lon=round(float(self._lon[row]), 4),
            population=int(self._population[row]),
        )


def area_km(population: object) -> NDArray[np.float64]:
    """Return the radius of a city with this population: 3 km for 100,000, 9 for a million, 28 for ten."""
    return np.sqrt(np.asarray(population, np.float64)) * 0.009


def _on_sphere(lat: object, lon: object) -> NDArray[np.float64]:
    a, b = np.radians(np.asarray(lat, np.float64)), np.radians(np.asarray(lon, np.float64))
    return np.stack([np.cos(a) * np.cos(b), np.cos(a) * np.sin(b), np.sin(a)])


@lru_cache(maxsize=1)
def gazetteer() -> Gazetteer:
    """The packed gazetteer, read when first asked for."""
    return Gazetteer()
