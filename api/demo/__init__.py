"""What ``askpix demo`` shows: sample pictures, searches and questions, with what each should find.

NOTICE says where each picture comes from; tools/draw_demo.py draws those that are ours.
"""

from dataclasses import dataclass
from pathlib import Path

PICTURES = Path(__file__).resolve().parent / "pictures"


@dataclass(frozen=True, slots=True)
class Search:
    """``finds`` names the pictures of which the best hit must be one."""

    text: str
    shows: str
    finds: tuple[str, ...]
    image: str | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """``cites`` is the picture to be cited, ``holds`` a part of the answer; None = must be refused."""

    text: str
    shows: str
    cites: str | None
    holds: str | None = None


SEARCHES = (
    Search("a cup of coffee on a table", "by what pictures show", ("coffee-cup.jpg",)),
    Search(
        '"GRAND TOTAL" -sushi',
        "by exact words in them, and words to leave out",
        ("blue-kettle-coffee.jpg", "cedar-hardware.jpg", "kedai-runcit-maju.jpg"),
    ),
    Search(
        "",
        "by a picture: what looks like this receipt?",
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
    Question("What did the flight to Lisbon cost?", "when no picture holds the answer, it says so", None),
)
