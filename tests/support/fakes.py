"""Fakes that behave: small, deterministic, and right, so what holds of them holds of the real things."""

import fnmatch
import math
import re
import threading
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from datetime import datetime
from functools import lru_cache
from typing import Any
from zlib import crc32

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

from askpix.core.errors import NotFoundError
from askpix.core.types import ImageRecord, Vectors, Where
from askpix.retrieval.embedders.base import Embedder, TextEmbedder
from askpix.retrieval.stores.base import Scored, SubQuery, VectorStore
from askpix.retrieval.stores.conditions import name_as_seen
from askpix.retrieval.stores.derived_fields import Derived, derive
from askpix.retrieval.stores.facets import MOST, Facets, count_records
from askpix.retrieval.text.tokenize import content_words, has_phrase, squeeze, tokens

EARTH_KM = 6371.0088  # mean radius (IUGG), as in the haversine of the real stores


def picture(colour: str, text: str | None = None, size: tuple[int, int] = (96, 72)) -> Image.Image:
    """A plain RGB picture of a named colour, with lines of readable text when given."""
    image = Image.new("RGB", size, colour)
    if text:
        dark = sum(ImageColor.getrgb(colour)[:3]) < 384
        lines = text.split("\n")
        font = ImageFont.load_default(max(10, min(32, size[1] // (len(lines) + 1))))
        ImageDraw.Draw(image).multiline_text((8, 8), text, fill="white" if dark else "black", font=font)
    return image


def grain(colour: str, size: tuple[int, int], seed: int = 0) -> Image.Image:
    """A picture of one colour and its shades, large and small, as no drawing is."""
    chance = np.random.default_rng(seed)
    patches = Image.fromarray(chance.integers(0, 71, (size[1] // 12 + 2, size[0] // 12 + 2), dtype=np.uint8))
    shades = np.asarray(patches.resize(size, Image.Resampling.BICUBIC)).astype(int)[:, :, None] - 35
    flat = np.asarray(Image.new("RGB", size, colour)).astype(int)
    return Image.fromarray(np.clip(flat + shades, 0, 255).astype(np.uint8))


def record(number: int | str, **fields: Any) -> ImageRecord:
    """A photo with an id that follows from ``number``; every field can be set."""
    some: dict[str, Any] = {"uri": f"/photos/{number}.jpg", "kind": "photo", "width": 640, "height": 480}
    return ImageRecord(id=str(uuid.uuid5(uuid.NAMESPACE_OID, str(number))), **(some | fields))


def unit(rows: Any) -> Vectors:
    """Rows of length one, float32."""
    matrix = np.atleast_2d(np.asarray(rows, np.float32))
    lengths = np.linalg.norm(matrix, axis=1, keepdims=True)
    return np.ascontiguousarray(matrix / np.where(lengths == 0, 1, lengths))


class ColourEmbedder(Embedder):
    """Pictures and words by mean colour: "red" finds the red picture. Words without a colour fit nothing.

    Axes: red, green, blue around the middle, one that every picture shares, one of colourless words.
    """

    image_side = 32

    def __init__(self, *, dim: int = 5, workers: int = 1, model_id: str = "colour") -> None:
        assert dim >= 5
        self.dim, self.workers, self.model_id = dim, workers, model_id

    def embed_images(self, images: Sequence[Image.Image], /) -> Vectors:
        rows = np.zeros((len(images), self.dim), np.float32)
        for row, image in zip(rows, images, strict=True):
            assert image.mode == "RGB", image.mode
            row[:4] = self._axes(np.asarray(image.reduce(max(1, min(image.size) // 32))).mean(axis=(0, 1)))
        return unit(rows) if len(rows) else rows

    def embed_texts(self, texts: Sequence[str], /) -> Vectors:
        rows = np.zeros((len(texts), self.dim), np.float32)
        for row, text in zip(rows, texts, strict=True):
            words = [word for word in re.findall(r"[a-z]+", text.lower()) if word in ImageColor.colormap]
            if words:
                row[:4] = self._axes(np.mean([ImageColor.getrgb(word)[:3] for word in words], axis=0))
            else:
                row[4] = 1.0
        return unit(rows) if len(rows) else rows

    @staticmethod
    def _axes(rgb: Any) -> list[float]:
        return [*(np.asarray(rgb, np.float32) / 255 - 0.5).tolist(), 0.25]


class WordEmbedder(TextEmbedder):
    """Hashed bag of words: texts that share words are near. An empty text stands alone on the last axis."""

    def __init__(self, *, dim: int = 64, model_id: str = "word-bag") -> None:
        assert dim >= 2
        self.dim, self.model_id = dim, model_id

    def embed_texts(self, texts: Sequence[str], /) -> Vectors:
        rows = np.zeros((len(texts), self.dim), np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in tokens(text):
                row[crc32(word.encode()) % (self.dim - 1)] += 1
            if not row.any():
                row[-1] = 1.0
        return unit(rows) if len(rows) else rows


class MemoryStore(VectorStore):
    """A ``VectorStore`` said plainly: everything in dicts, every search a full sort.

    Readers look at copies, and one thread writes at a time.
    """

    def __init__(self, *, dim: int, text_dim: int) -> None:
        self._dim, self._text_dim = dim, text_dim
        self._records: dict[str, ImageRecord] = {}
        self._images: dict[str, Vectors] = {}
        self._passages: dict[str, Vectors] = {}
        self._writing = threading.RLock()

    def upsert(self, records: Sequence[ImageRecord], image_vectors: Vectors, /) -> None:
        with self._writing:
            for each, vector in zip(records, image_vectors, strict=True):
                assert vector.shape == (self._dim,)
                self._records[each.id], self._images[each.id] = each, np.array(vector, np.float32)
                self._passages.pop(each.id, None)

    def set_text(self, ids: Sequence[str], texts: Sequence[str], vectors: Sequence[Vectors], /) -> None:
        with self._writing:
            for point, text, rows in zip(ids, texts, vectors, strict=True):
                if point not in self._records:
                    continue
                self._records[point] = replace(self._records[point], text=text)
                self._passages.pop(point, None)
                if len(rows):
                    assert rows.shape[1] == self._text_dim
                    self._passages[point] = np.array(rows, np.float32)

    def set_copies(self, record: ImageRecord, /) -> None:
        with self._writing:
            if (old := self._records.get(record.id)) is not None:
                self._records[record.id] = replace(old, uri=record.uri, copies=record.copies)

    def set_tags(self, tags: Mapping[str, Sequence[str]], /) -> None:
        with self._writing:
            for point, found in tags.items():
                if (old := self._records.get(point)) is not None:
                    self._records[point] = replace(old, tags=tuple(found))

    def search(
        self, sub_query: SubQuery, query: Vectors | str, /, *, where: Where, limit: int, offset: int = 0
    ) -> list[Scored]:
        scores, records = self._scores(sub_query, query), dict(self._records)
        held = [(key, value) for key, value in scores.items() if key in records]
        hits = [Scored(key, value) for key, value in held if fits(records[key], where)]
        hits.sort(key=lambda hit: (-hit.score, hit.id))
        return hits[offset : offset + limit]

    def _scores(self, sub_query: SubQuery, query: Vectors | str) -> dict[str, float]:
        if sub_query == "words":
            assert isinstance(query, str)
            return self._bm25(query)
        assert not isinstance(query, str)
        if sub_query == "image":
            return {key: float(np.dot(vector, query)) for key, vector in dict(self._images).items()}
        return {key: float((rows @ query).max()) for key, rows in dict(self._passages).items()}

    def _bm25(
        self, query: str, k: float = 1.2, b: float = 0.75, usual_length: float = 60.0
    ) -> dict[str, float]:
        documents = {key: _counts(each.text) for key, each in dict(self._records).items()}
        documents = {key: counts for key, counts in documents.items() if counts}
        found: dict[str, float] = {}
        for term in content_words(query) or dict.fromkeys(tokens(query)):
            holding = [key for key, counts in documents.items() if term in counts]
            idf = math.log(1 + (len(documents) - len(holding) + 0.5) / (len(holding) + 0.5))
            for key in holding:
                count, length = documents[key][term], documents[key].total()
                weight = count * (k + 1) / (count + k * (1 - b + b * length / usual_length))
                found[key] = found.get(key, 0.0) + idf * weight
        return {key: round(score, 4) for key, score in found.items()}

    def scroll(self, where: Where, /, *, limit: int, offset: int = 0) -> list[str]:
        found = sorted(
            (each for each in list(self._records.values()) if fits(each, where)), key=lambda each: each.id
        )
        dated = [each for each in found if each.taken_at]
        dated.sort(key=lambda each: each.taken_at or 0, reverse=True)
        ordered = [*dated, *(each for each in found if not each.taken_at)]
        return [each.id for each in ordered[offset : offset + limit]]

    def get(self, ids: Sequence[str], /) -> list[ImageRecord]:
        return [self._records[point] for point in ids if point in self._records]

    def image_vectors(self, ids: Sequence[str], /) -> Vectors:
        for point in ids:
            if point not in self._images:
                raise NotFoundError(f"no image with id {point!r}")
        return np.array([self._images[point] for point in ids], np.float32).reshape(len(ids), self._dim)

    def passages(self, ids: Sequence[str], /) -> list[Vectors]:
        return [self._passages.get(point, np.zeros((0, self._text_dim), np.float32)) for point in ids]

    def sample_vectors(self, n: int, /) -> Vectors:
        return self.image_vectors(sorted(self._records)[:n])

    def delete(self, ids: Sequence[str], /) -> None:
        for point in ids:
            for held in (self._records, self._images, self._passages):
                held.pop(point, None)

    def ids(self) -> Iterator[str]:
        return iter(list(self._records))

    def count(self, where: Where | None = None, /) -> int:
        return sum(fits(each, where or Where()) for each in list(self._records.values()))

    def facets(self, where: Where, /, *, limit: int = MOST) -> Facets:
        return count_records(
            (each for each in list(self._records.values()) if fits(each, where)), limit=limit
        )


_derived = lru_cache(maxsize=20_000)(derive)
_counts = lru_cache(maxsize=20_000)(lambda text: Counter(tokens(text)))


def fits(record: ImageRecord, where: Where) -> bool:
    """``Where`` as its documentation says it, on one record."""
    known = _derived(record)
    if (where.after or where.before) and not in_span(record, known, where):
        return False
    if where.spans and not any(
        in_span(record, known, replace(where, after=start, before=end)) for start, end in where.spans
    ):
        return False
    if where.months and not set(where.months) & set(known.months):
        return False
    if where.weekdays and not set(where.weekdays) & set(known.weekdays):
        return False
    if where.hours and known.hour not in where.hours:
        return False
    low = -math.inf if where.amount_min is None else where.amount_min
    high = math.inf if where.amount_max is None else where.amount_max
    if (low, high) != (-math.inf, math.inf) and not any(low <= amount <= high for amount in known.amounts):
        return False
    if (where.rating_min, where.rating_max) != (None, None):
        stars = next((int(tag[7:]) for tag in record.tags if re.fullmatch(r"rating:-?\d", tag)), 0)
        least = 1 if where.rating_min is None else where.rating_min
        if not least <= stars <= (5 if where.rating_max is None else where.rating_max):
            return False
    nation, _, state = (where.country or "").partition("-")
    if nation and known.country != nation:
        return False
    if state and not (known.city or "").endswith(f", {state}, {nation}"):
        return False
    if where.near and (
        record.lat is None
        or record.lon is None
        or kilometres(record.lat, record.lon, where.near.lat, where.near.lon) > where.near.km
    ):
        return False
    if where.path and not any(path_fits(path, where.path) for path in (record.uri, *record.copies)):
        return False
    if where.kind and record.kind != where.kind:
        return False
    if where.camera and where.camera.casefold() not in (record.camera or "").casefold():
        return False
    if not {name_as_seen(tag) for tag in where.tags} <= {name_as_seen(tag) for tag in record.tags}:
        return False
    if not all(has_phrase(record.text, phrase) for phrase in where.phrases):
        return False
    if any(fits(record, each) for denied in where.must_not for each in each_alone(denied)):
        return False
    return not any(squeeze(phrase) and has_phrase(record.text, phrase) for phrase in where.without)


def each_alone(where: Where) -> list[Where]:
    """One filter for each condition of a filter."""
    pairs = [("after", "before"), ("amount_min", "amount_max"), ("rating_min", "rating_max")]
    names = [(field.name,) for field in fields(where) if field.name not in sum(pairs, ())]
    alone = [Where(**{name: getattr(where, name) for name in group}) for group in (*pairs, *names)]
    tags = [Where(tags=(tag,)) for tag in where.tags]
    return [each for each in (*alone, *tags) if each != Where()]


def in_span(record: ImageRecord, known: Derived, where: Where) -> bool:
    """Whether the picture, or else what is written in it, lies between ``after`` and ``before``."""
    start, end = where.after or datetime.min, where.before or datetime.max
    if record.taken_at:
        return start <= record.taken_at and (where.before is None or record.taken_at < end)
    if any(start <= datetime(day.year, day.month, day.day) < end for day in known.written):
        return True
    return any(
        start <= datetime(year, 1, 1) and datetime(year + 1, 1, 1) <= end for year in known.written_years
    )


def path_fits(path: str, glob: str) -> bool:
    """Whether the glob matches the path or what follows one of its slashes."""
    path, glob = (name_as_seen(each).replace("\\", "/") for each in (path, glob))
    glob = glob.removeprefix("./")
    tails = [path, *(path[at + 1 :] for at, char in enumerate(path) if char == "/")]
    return any(fnmatch.fnmatchcase(tail, glob) for tail in tails)


def kilometres(lat: float, lon: float, other_lat: float, other_lon: float) -> float:
    """Great-circle distance (haversine)."""
    a, b = math.radians(lat), math.radians(other_lat)
    half = math.sin((b - a) / 2) ** 2
    half += math.cos(a) * math.cos(b) * math.sin(math.radians(other_lon - lon) / 2) ** 2
    return 2 * EARTH_KM * math.asin(min(1.0, math.sqrt(half)))
