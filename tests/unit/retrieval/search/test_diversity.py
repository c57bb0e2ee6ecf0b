"""Bursts and doubles made from drawn pictures, and pictures that only look alike."""

import io
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageEnhance

from askpix.core.types import Where
from askpix.retrieval.query.parser import parse
from askpix.retrieval.search.diversity import (
    ALIKE,
    RETOUCHED,
    Seen,
    alike_from,
    collapsed,
    is_near_duplicate,
    same_words,
    spread_out,
)
from askpix.retrieval.search.perceptual_hash import BITS, PLAIN, bits_apart, perceptual_hash
from askpix.retrieval.search.retriever import Retriever
from tests.support.fakes import ColourEmbedder, MemoryStore, WordEmbedder, picture, record, unit

ALIKE_COSINE = 0.8
NOON = datetime(2024, 7, 1, 12)


def scene(seed: int, size: tuple[int, int] = (360, 270)) -> Image.Image:
    """Something photo-like: a gradient, blobs of all sizes."""
    generator = np.random.default_rng(seed)
    image = Image.linear_gradient("L").resize(size).convert("RGB")
    draw = ImageDraw.Draw(image)
    for _ in range(60):
        x, y = generator.integers(0, size[0]), generator.integers(0, size[1])
        r = int(generator.integers(5, 70))
        draw.ellipse((x - r, y - r, x + r, y + r), fill=tuple(generator.integers(0, 255, 3).tolist()))
    return image


def saved(image: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


def cropped(image: Image.Image, part: float) -> Image.Image:
    w, h = image.size
    return image.crop((int(w * part), int(h * part), int(w * (1 - part)), int(h * (1 - part))))


EDITS = {
    "saved anew": lambda image: saved(image, 40),
    "half the size": lambda image: image.resize((image.width // 2, image.height // 2)),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.15),
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.75),
    "more contrast": lambda image: ImageEnhance.Contrast(image).enhance(1.15),
}


def seen(number: int, image: Image.Image | None = None, vector: object = (1, 0), **fields: object) -> Seen:
    phash = perceptual_hash(image) if image else None
    return Seen(record(number, phash=phash, **fields), unit(vector)[0])


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("seed", range(4))
def test_an_edited_image_is_the_same_whatever_its_vector(edit: str, seed: int) -> None:
    image = scene(seed)
    one, other = seen(1, image), seen(2, EDITS[edit](image), (0, 1))
    assert is_near_duplicate(one, other, alike=ALIKE_COSINE)


def test_a_small_crop_is_the_same_when_the_vectors_say_so_too() -> None:
    image = scene(1)
    one = seen(1, image)
    assert is_near_duplicate(one, seen(2, cropped(image, 0.02), (1, 0.1)), alike=ALIKE_COSINE)
    assert not is_near_duplicate(one, seen(2, cropped(image, 0.02), (0, 1)), alike=ALIKE_COSINE)


def test_other_images_are_others() -> None:
    hashes = [perceptual_hash(scene(seed)) for seed in range(30)]
    apart = [bits_apart(a, b) for i, a in enumerate(hashes) for b in hashes[:i]]
    assert min(apart) > 72, "further apart than any edit goes"


def test_a_burst_is_one_however_the_subject_moved() -> None:
    first = seen(1, scene(1), taken_at=NOON, camera="X100")
    later = [seen(n, scene(1 + n), (1, 0.2), taken_at=NOON + timedelta(seconds=n)) for n in (2, 9, 11)]
    same_camera = [replace(s, record=replace(s.record, camera="X100")) for s in later]
    assert [is_near_duplicate(first, s, alike=ALIKE_COSINE) for s in same_camera] == [True, True, False]
    assert not is_near_duplicate(first, later[0], alike=ALIKE_COSINE), "another camera"
    unlike = replace(same_camera[0], vector=unit((0, 1))[0])
    assert not is_near_duplicate(first, unlike, alike=ALIKE_COSINE), "the photographer turned around"


def test_receipts_of_one_shop_are_not_one() -> None:
    paper = scene(3)
    text = "KEDAI MAJU SDN BHD\nNO 4 JALAN BESAR\nDATE {}\nTOTAL RM {}\nTHANK YOU"
    one = seen(1, paper, text=text.format("12/05/2018", "67.85"))
    other = seen(2, saved(paper, 80), text=text.format("13/05/2018", "12.30"))
    again = seen(3, saved(paper, 60), text=text.format("12/05/2018", "67.85"))
    unread = seen(4, saved(paper, 60))
    assert not is_near_duplicate(one, other, alike=ALIKE_COSINE)
    assert is_near_duplicate(one, again, alike=ALIKE_COSINE)
    assert not is_near_duplicate(one, unread, alike=ALIKE_COSINE), "what is not read yet may say anything"


def test_charts_that_nobody_has_read_are_not_one_because_they_look_alike() -> None:
    def chart(heights: tuple[int, ...]) -> Image.Image:
        image = Image.new("RGB", (400, 300), "white")
        draw = ImageDraw.Draw(image)
        for i, height in enumerate(heights):
            draw.rectangle((40 + 60 * i, 280 - height, 75 + 60 * i, 280), fill="steelblue")
        return image

    one, other = chart((200, 150, 120, 90, 60)), chart((200, 155, 115, 90, 70))
    assert bits_apart(perceptual_hash(one), perceptual_hash(other)) <= RETOUCHED
    assert not is_near_duplicate(seen(1, one), seen(2, other), alike=ALIKE_COSINE)
    assert is_near_duplicate(seen(1, one), seen(2, saved(one, 70)), alike=ALIKE_COSINE)


def test_pages_of_one_document_are_not_one() -> None:
    paper = scene(3)
    pages = [seen(n, paper, kind="page", page=n) for n in (1, 2)]
    assert not is_near_duplicate(*pages, alike=ALIKE_COSINE)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("", "", True),
        ("EXIT", "", True),
        ("Spain 2010 to 2020 in percent of all", "Spain 2010 to 2020 in percent of all", True),
        ("Spain 2010 to 2020 in percent of all", "Italy 2010 to 2020 in percent of all", False),
        ("Spain 2010 to 2020 in percent of all men", "Spain 2010 to 2021 in percent of all men", False),
    ],
)
def test_what_is_written_decides(one: str, other: str, same: bool) -> None:
    assert same_words(one, other) is same_words(other, one) is same


def test_hashes_of_any_image() -> None:
    for size in ((1, 1), (1, 5000), (4000, 3), (63, 65), (64, 64)):
        found = perceptual_hash(Image.new("RGB", size, "red"))
        assert found.endswith(PLAIN), "one colour"
        assert len(found.removesuffix(PLAIN)) * 4 == BITS and bits_apart(found, found) == 0
    assert not perceptual_hash(scene(1)).endswith(PLAIN)
    assert bits_apart("00", "ff" * 32) == BITS == bits_apart("no", "hash")


def test_alike_is_relative_to_the_collection() -> None:
    assert alike_from(0.1, 0.2) == pytest.approx(0.1 + 0.2 * ALIKE)
    assert alike_from(0.9, 0.2) < 1, "reachable also where all pictures look alike"


@given(st.lists(st.integers(0, 5), max_size=40), st.integers(0, 40))
def test_what_follows_changes_nothing_before(kinds: list[int], cut: int) -> None:
    many = [
        Seen(record(n, taken_at=NOON, camera="c"), unit(np.eye(6)[kind])[0]) for n, kind in enumerate(kinds)
    ]
    whole, part = collapsed(many, alike=0.9), collapsed(many[:cut], alike=0.9)
    assert [head for head, _ in part] == [head for head, _ in whole][: len(part)]
    assert sorted(i for head, others in whole for i in (head, *others)) == list(range(len(many)))
    assert len(whole) == len(set(kinds))


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=12), st.floats(0, 1))
def test_spreading_out_loses_nothing(scores: list[float], weight: float) -> None:
    ordered = sorted(scores, reverse=True)
    vectors = unit(np.random.default_rng(len(scores)).normal(size=(len(scores), 4)))
    order = spread_out(ordered, vectors, weight=weight)
    assert sorted(order) == list(range(len(scores))) and order[0] == 0
    assert spread_out(ordered, vectors, weight=1.0) == list(range(len(scores)))


def test_spreading_out_prefers_what_is_unlike() -> None:
    vectors = unit([(1, 0), (1, 0.01), (0, 1)])
    assert spread_out([1.0, 0.99, 0.6], vectors, weight=0.5) == [0, 2, 1]
    assert spread_out([], vectors[:0], weight=0.5) == []


@pytest.fixture
def retriever() -> Retriever:
    """12 bursts of 5 red pictures each, among blue and green ones."""
    embedder, words = ColourEmbedder(), WordEmbedder()
    store = MemoryStore(dim=embedder.dim, text_dim=words.dim)
    for number in range(60):
        at = NOON + timedelta(minutes=number // 5, seconds=number % 5)
        vectors = embedder.embed_images([picture("red")])
        store.upsert([record(number, taken_at=at, camera="c", uri=f"/red/{number}.jpg")], vectors)
    for number in range(60, 100):
        vectors = embedder.embed_images([picture("blue" if number % 2 else "lime")])
        store.upsert([record(number, uri=f"/other/{number}.jpg")], vectors)
    return Retriever(embedder, words, store)


def test_a_burst_does_not_flood_the_page(retriever: Retriever) -> None:
    hits = retriever.retrieve(parse("red"), top_k=12).hits
    assert len(hits) == 12 and all(hit.record.uri.startswith("/red") for hit in hits)
    assert all(0 < hit.duplicates == len(hit.similar) <= 4 for hit in hits), "so many were seen on the way"
    whole = retriever.retrieve(parse("red"), top_k=100, show_all=True).hits
    assert [hit.record.id for hit in whole[:12]] == [hit.record.id for hit in hits]
    assert {hit.duplicates for hit in whole[:12]} == {4}
    shown = [hit.record.id for hit in whole] + [point for hit in whole for point in hit.similar]
    assert len(set(shown)) == len(shown) == 100, "each picture is a hit or counted by one"
    flood = retriever.retrieve(parse("red"), top_k=12, collapse=False).hits
    assert all(hit.duplicates == 0 for hit in flood)


@pytest.mark.parametrize("options", [{}, {"collapse": False}, {"diverse": 0.5}, {"diverse": 0.0}])
@pytest.mark.parametrize("query", [parse("red"), parse("", Where(path="*.jpg"))])
def test_pages_go_on_where_the_last_one_ended(retriever: Retriever, query, options) -> None:  # type: ignore[no-untyped-def]
    whole = [hit.record.id for hit in retriever.retrieve(query, top_k=200, show_all=True, **options).hits]
    pages = [
        hit.record.id
        for offset in range(0, 105, 7)
        for hit in retriever.retrieve(query, top_k=7, offset=offset, show_all=True, **options).hits
    ]
    assert pages == whole and len(set(whole)) == len(whole)
    assert len(whole) == (100 if options.get("collapse") is False else 52)


def test_a_diverse_page_shows_other_things(retriever: Retriever) -> None:
    spread = retriever.retrieve(parse("red"), top_k=3, diverse=0.3).hits
    vectors = retriever.store.image_vectors([hit.record.id for hit in spread])
    assert (vectors @ vectors.T).min() < 0.5
