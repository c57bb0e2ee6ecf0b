"""Names of cities and countries into places, and places into the city and country nearest to them.

Data: GeoNames (geonames.org, CC BY 4.0), 69,000 cities of 5,000 people and more; first-level regions by
their ISO 3166-2 code; borders of countries (country-coder, ISC, drawn on OpenStreetMap): of 9,925 of the
cities 17 lie in another country by them. ``tools/pack_places.py`` packs one file and says what is from where.
"""

import hashlib
import re
import unicodedata
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_DATA = Path(__file__).parent / "geonames" / "places.npz"
_EARTH_KM = 6371.0088
_TOO_FAR_KM = 150.0
"""A city further away than this is not where an image was taken."""


@dataclass(frozen=True, slots=True)
class City:
    """Degrees (WGS 84), people, ISO 3166 code, and that of the first-level region ("CA-ON") or ""."""

    name: str
    country: str
    region: str
    lat: float
    lon: float
    population: int

    @property
    def label(self) -> str:
        """Name that tells it from its namesakes: "Portland, OR, US"."""
        return ", ".join(part for part in (self.name, self.state, self.country) if part)

    @property
    def state(self) -> str:
        """The state of the USA ("OR") or ""."""
        return self.region[3:] if self.country == "US" else ""


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


class Borders:
    """Countries as rings of points, longitude and latitude; even and odd says what is inside."""

    def __init__(
        self, points: NDArray[np.float32], rings: NDArray[np.uint32], owners: NDArray[np.uint8]
    ) -> None:
        self._owners = owners
        self._rings = [points[first:last].astype(np.float64) for first, last in pairwise(rings.tolist())]
        self._boxes = np.array([[*ring.min(0), *ring.max(0)] for ring in self._rings])

    def owner(self, lat: float, lon: float) -> int | None:
        """The number of the country that a point lies in."""
        low_lon, low_lat, high_lon, high_lat = self._boxes.T
        boxed = (low_lon <= lon) & (lon <= high_lon) & (low_lat <= lat) & (lat <= high_lat)
        crossings: dict[int, int] = {}
        for number in np.flatnonzero(boxed).tolist():
            x, y = self._rings[number].T
            above = y > lat
            across = above[1:] != above[:-1]
            dx = np.diff(x)[across]
            dy = np.diff(y)[across]
            at = x[:-1][across] + (lat - y[:-1][across]) / dy * dx
            owner = int(self._owners[number])
            crossings[owner] = crossings.get(owner, 0) + int((at > lon).sum())
        return next((owner for owner, count in crossings.items() if count % 2), None)


class Gazetteer:
    """The packed file in memory: some 5 MB, and 3 more once ``locate`` was asked."""

    def __init__(self, path: Path = _DATA) -> None:
        with np.load(path) as packed:
            self._lat = packed["lat"]
            self._lon = packed["lon"]
            self._population = packed["population"]
            self._country = packed["country"]
            self._region = packed["region"]
            self._names: bytes = packed["names"].tobytes()
            self._hashes = packed["hashes"]
            self._rows = packed["rows"]
            self._borders = Borders(packed["border_points"], packed["border_rings"], packed["border_owners"])
            countries = [line.split("\t") for line in packed["countries"].tobytes().decode().split("\n")]
            regions = [line.split("\t") for line in packed["regions"].tobytes().decode().split("\n")]
        self._codes = [code for code, *_ in countries]
        self._region_codes = ["", *(code for code, *_ in regions)]
        self._called: dict[str, str] = {code: name for code, name, *_ in (*countries, *regions)}
        self._countries = {name_key(name): code for code, *names in reversed(countries) for name in names}
        self._regions: dict[str, list[str]] = {}
        for code, *names in regions:
            for key in dict.fromkeys(name_key(name) for name in names):
                self._regions.setdefault(key, []).append(code)

    def country(self, name: str) -> str | None:
        """The ISO code of a country by one of its names."""
        return self._countries.get(name_key(name).removeprefix("the "))

    def country_name(self, code: str) -> str:
        """Return the name of a country or a region; the code itself when it is unknown."""
        return self._called.get(code, code)

    def regions(self, name: str) -> list[str]:
        """The codes of the first-level regions of that name ("CA-ON"), the one with most people first."""
        key = name_key(name).removeprefix("the ").removesuffix(" state").removeprefix("state of ")
        return sorted(self._regions.get(key, ()), key=lambda code: -self.people(code))

    def people(self, region: str) -> int:
        """Return how many people live in the cities of a region."""
        return self._people.get(region, 0)

    @cached_property
    def _people(self) -> dict[str, int]:
        sums = np.bincount(self._region, self._population, minlength=len(self._region_codes))
        return dict(zip(self._region_codes, sums.astype(int).tolist(), strict=True))

    def state(self, name: str) -> str | None:
        """ "US-CA" for a state of the USA by its name."""
        return next((code for code in self.regions(name) if code.startswith("US-")), None)

    def cities(self, name: str) -> list[City]:
        """Return all cities of that name, the largest first; second names (Lisboa) count for less."""
        wanted = place_hash(name_key(name))
        first = int(self._hashes.searchsorted(np.uint64(wanted)))
        last = first
        while last < len(self._hashes) and int(self._hashes[last]) == wanted:
            last += 1
        return [self._city(int(row)) for row in self._rows[first:last]]

    def city(self, name: str, within: str | None = None) -> City | None:
        """The largest city of that name; ``within`` names its country or its region."""
        found = self.cities(name)
        return next((city for city in found if within is None or self.lies_in(city, within)), None)

    def lies_in(self, city: City, within: str) -> bool:
        """Return whether a city lies in the country or region of that name or code ("Ontario",
        "ON", "US").
        """
        code = name_key(within).upper()
        named = city.country in (self.country(within), code) or city.region in self.regions(within)
        return named or city.region == f"{city.country}-{code}"

    def locate(self, lat: float, lon: float) -> tuple[City | None, str | None]:
        """The city that a point on the globe belongs to, and the code of its country; None at sea.

        Of the cities of that country the largest whose area it lies in (see ``area_km``), else the nearest:
        quarters are cities of their own in the data, and a photo taken there was taken in Sydney. A city
        ``_TOO_FAR_KM`` away is none.
        """
        country = self._borders.owner(lat, lon)
        if country is None:
            return None, None
        cosines = np.where(self._country == country, self._points @ _on_sphere(lat, lon), -1.0)
        inside = cosines > self._edges
        row = int(np.argmax(inside)) if inside.any() else int(np.argmax(cosines))
        near = cosines[row] > np.cos(_TOO_FAR_KM / _EARTH_KM)
        return self._city(row) if near else None, self._codes[country]

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
            region=self._region_codes[self._region[row]],
            lat=round(float(self._lat[row]), 4),
            lon=round(float(self._lon[row]), 4),
            population=int(self._population[row]),
        )


def area_km(population: object) -> NDArray[np.float64]:
    """Return the radius of a city with this population: 3 km for 100,000, 9 for a million, 28 for ten."""
    return np.sqrt(np.asarray(population, np.float64)) * 0.009


def _on_sphere(lat: object, lon: object) -> NDArray[np.float64]:
    a = np.radians(np.asarray(lat, np.float64))
    b = np.radians(np.asarray(lon, np.float64))
    return np.stack([np.cos(a) * np.cos(b), np.cos(a) * np.sin(b), np.sin(a)])


@lru_cache(maxsize=1)
def gazetteer() -> Gazetteer:
    """The packed gazetteer, read when first asked for."""
    return Gazetteer()
