"""Content of ``askpix demo``: sample images, searches and questions, with what each should find.

NOTICE says where each image comes from; tools/draw_demo.py draws those that are ours. ``captions.toml``
holds captions of some of them, which a model must find to prove that it works.
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PICTURES = Path(__file__).resolve().parent / "pictures"


@dataclass(frozen=True, slots=True)
class Search:
    """``finds`` names the images of which the best hit must be one."""

    text: str
    shows: str
    finds: tuple[str, ...]
    image: str | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """``cites`` is the image to be cited, ``holds`` a part of the answer; None = must be refused."""

    text: str
    shows: str
    cites: str | None
    holds: str | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """A sample photo: ``captions`` by ISO 639-1 code, ``paraphrase`` of the English one in other words."""

    path: Path
    captions: Mapping[str, str]
    paraphrase: str


@dataclass(frozen=True, slots=True)
class SamplePage:
    """A sample page: a question that it alone answers, and words that are read on it."""

    path: Path
    question: str
    text: str


SEARCHES = (
    Search("a cup of coffee on a table", "by what images show", ("coffee-cup.jpg",)),
    Search(
        '"GRAND TOTAL" -sushi',
        "by exact words in them, and words to leave out",
        ("blue-kettle-coffee.jpg", "cedar-hardware.jpg", "kedai-runcit-maju.jpg"),
    ),
    Search(
        "",
        "by an image: what looks like this receipt?",
        ("sakura-sushi.jpg",),
        image="receipts/sakura-sushi.jpg",
    ),
    Search("how to reset a forgotten password", "when nothing matches, it says so", ()),
)

QUESTIONS = (
    Question(
        "What is the total on the Hotel Alpenblick receipt?",
        "an amount, with the place it stands in",
        "hotel-alpenblick.jpg",
        "429.00",
    ),
    Question("How much was the salmon nigiri?", "one item of a receipt", "sakura-sushi.jpg", "13.00"),
    Question("What did the flight to Lisbon cost?", "when no image holds the answer, it says so", None),
)


@cache
def samples() -> tuple[Sequence[Sample], Sequence[SamplePage]]:
    """Return the captioned photos and pages, in the order of the file."""
    rows = tomllib.loads((PICTURES.parent / "captions.toml").read_text("utf-8"))
    photos = [
        Sample(PICTURES / row.pop("file"), paraphrase=row.pop("en_other_words"), captions=row)
        for row in rows["image"]
    ]
    pages = [SamplePage(PICTURES / row["file"], row["question"], row["text"]) for row in rows["page"]]
    return photos, pages
