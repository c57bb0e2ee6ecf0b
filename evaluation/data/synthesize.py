"""Queries for a test set from what is known of a person's own images. Rules only: no model writes any.

Present ones are made where the facts say that one image alone answers: words that stand in no other, a
title that no other has, a day on which no other was taken. Absent ones ask for what the facts know nothing
of. Facts do not know all: a person reviews each, which takes a key and a second.
"""

import random
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

Kind = Literal["caption", "words", "day", "place", "absent thing", "absent month", "absent place"]
_THINGS = (
    "a blue bicycle leaning against a fence",
    "two penguins on the ice",
    "a red tractor in a field",
    "a chess board in the middle of a game",
    "a violin in its case",
    "a hot air balloon over hills",
    "a boy with a kite on the beach",
    "a woman in a wedding dress on stairs",
    "a man shaving in front of a mirror",
    "a camel in the desert",
    "a sailing boat with red sails",
    "a lighthouse in a storm",
    "a bowl of ramen with an egg",
    "a birthday cake with candles",
    "a dog wearing a raincoat",
    "an elephant crossing a river",
    "fireworks over a bridge",
    "a snowman with a carrot nose",
    "a subway train full of people",
    "a surfer inside a wave",
    "a shelf of old encyclopedias",
    "a chess trophy on a table",
    "a yellow taxi in the rain",
    "a street musician with an accordion",
    "an X-ray of a hand",
    "a train ticket to Vienna",
    "a boarding pass",
    "a chart of unemployment by country",
    "an invoice for roof repairs",
    "a floor plan of a flat",
)
"""Everyday things in words of their own: those that calibration measures silence with would flatter it."""
_CITIES = (
    "Reykjavik", "Nairobi", "Lima", "Osaka", "Tallinn", "Wellington", "Havana", "Kathmandu", "Marrakesh",
    "Winnipeg", "Porto", "Tbilisi", "Hanoi", "Salzburg", "Montevideo",
)  # fmt: skip
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
    "November", "December",
)  # fmt: skip
_FEW = 3
_MANY = 7
"""Words of a line that is asked by."""
_CAPTION_CHARACTERS = 160


@dataclass(frozen=True, slots=True)
class Known:
    """An image and what is known of it: ``captions`` people or programs wrote, ``lines`` were read in it."""

    image: Path
    id: str = ""
    """Id that distinguishes pages of one file."""
    captions: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()
    taken_at: datetime | None = None
    city: str | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A query, and the one image that should answer it; None: nothing should."""

    query: str
    kind: Kind
    image: Path | None
    id: str = ""


def make_queries(known: Sequence[Known], *, limit: int, absent: int, seed: int = 0) -> list[Candidate]:
    """Make at most ``limit`` queries with an answer, spread over their kinds and over the images, and
    ``absent`` without one. The same images and seed give the same.
    """
    dice = random.Random(seed)  # noqa: S311 - a sample, and no secret
    by_kind: dict[Kind, list[Candidate]] = {}
    for found in (*_captions(known), *_words(known), *_days(known), *_places(known)):
        by_kind.setdefault(found.kind, []).append(found)
    for candidates in by_kind.values():
        dice.shuffle(candidates)
    chosen: list[Candidate] = []
    asked: Counter[Path] = Counter()
    while len(chosen) < limit and any(by_kind.values()):
        for candidates in by_kind.values():
            if candidates and len(chosen) < limit:
                # Images that nothing asks for yet come first.
                best = min(candidates, key=lambda each: asked[each.image] if each.image else 0)
                candidates.remove(best)
                chosen.append(best)
                if best.image:
                    asked[best.image] += 1
    missing = _absent(known, dice)
    return [*chosen, *(candidate for candidate, _ in zip(missing, range(absent), strict=False))]


def _captions(known: Sequence[Known]) -> Iterator[Candidate]:
    said = Counter(_key(caption) for each in known for caption in set(each.captions))
    for each in known:
        for caption in each.captions:
            text = " ".join(caption.split())
            if said[_key(caption)] == 1 and len(text.split()) >= 2 and len(text) <= _CAPTION_CHARACTERS:
                yield Candidate(text, "caption", each.image, each.id)


def _words(known: Sequence[Known]) -> Iterator[Candidate]:
    """Yield, for each image, the line whose words are rarest, if no other image has all of them."""
    bags = [set(_tokens(" ".join(each.lines))) for each in known]
    spread = Counter(token for bag in bags for token in bag)
    for number, each in enumerate(known):
        lines = []
        for line in each.lines:
            words = line.split()[:_MANY]
            tokens = _tokens(" ".join(words))
            letters = sum(character.isalpha() for word in words for character in word)
            if len(words) >= _FEW and 2 * letters >= sum(map(len, words)) and tokens:
                lines.append((sum(1 / spread[token] for token in set(tokens)), " ".join(words), set(tokens)))
        for _, text, asked in sorted(lines, key=lambda line: (-line[0], line[1])):
            if not any(asked <= bag for other, bag in enumerate(bags) if other != number):
                yield Candidate(text, "words", each.image, each.id)
                break


def _days(known: Sequence[Known]) -> Iterator[Candidate]:
    days = Counter(each.taken_at.date() for each in known if each.taken_at)
    for each in known:
        if each.taken_at and days[each.taken_at.date()] == 1:
            day = each.taken_at
            text = f"photo from {day.day} {_MONTHS[day.month - 1]} {day.year}"
            yield Candidate(text, "day", each.image, each.id)


def _places(known: Sequence[Known]) -> Iterator[Candidate]:
    there = [
        (each.city, each.taken_at.year, each.taken_at.month) if each.taken_at else None for each in known
    ]
    times = Counter(there)
    for each, key in zip(known, there, strict=True):
        if key and each.city and times[key] == 1:
            yield Candidate(f"{each.city} in {_MONTHS[key[2] - 1]} {key[1]}", "place", each.image, each.id)


def _absent(known: Sequence[Known], dice: random.Random) -> Iterator[Candidate]:
    """Yield absent queries, one kind after the other, until each is used up."""
    written = _key(" ".join(text for each in known for text in (*each.captions, *each.lines)))
    things = [thing for thing in _THINGS if _key(thing) not in written]
    cities = {_key(each.city) for each in known if each.city}
    places = [city for city in _CITIES if _key(city) not in cities and _key(city) not in written]
    taken = {(each.taken_at.year, each.taken_at.month) for each in known if each.taken_at}
    years = {year for year, _ in taken}
    span = range(min(years), max(years) + 1) if years else range(0)
    months = [(year, month) for year in span for month in range(1, 13) if (year, month) not in taken]
    dice.shuffle(things)
    dice.shuffle(places)
    dice.shuffle(months)
    kinds: list[Iterator[Candidate]] = [
        iter([Candidate(thing, "absent thing", None) for thing in things]),
        iter([Candidate(f"photos from {city}", "absent place", None) for city in places]),
        iter([Candidate(f"photos from {_MONTHS[m - 1]} {y}", "absent month", None) for y, m in months]),
    ]
    while kinds:
        for kind in list(kinds):
            found = next(kind, None)
            if found is None:
                kinds.remove(kind)
            else:
                yield found


def _tokens(text: str) -> list[str]:
    return re.findall(r"\w+", _key(text))


def _key(text: str) -> str:
    folded = unicodedata.normalize("NFKD", text).casefold()
    return " ".join("".join(each for each in folded if not unicodedata.combining(each)).split())
