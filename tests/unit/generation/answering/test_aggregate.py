"""Questions about a whole collection: read by rules, planned, counted; what cannot be counted is not."""

from datetime import datetime

import numpy as np
import pytest

from askpix.core.types import Answer, Box, TextLine
from askpix.generation.answering.aggregate import GENERATOR, answer_archive
from askpix.generation.questions.aggregate import read_archive_question
from askpix.retrieval.embedders.base import Likelihood
from askpix.retrieval.query.parser import parse
from tests.support.fakes import ColourEmbedder, MemoryStore, picture, record

NOW = datetime(2020, 6, 1)

ASKED = [
    ("How many photos of receipts in 2018?", "count", "receipts in 2018", None),
    ("how many photos do I have", "count", "", None),
    ("How many photos did I take in Berlin in May 2019?", "count", "in Berlin in May 2019", None),
    ("How many dogs did I photograph last year?", "count", "dogs last year", None),
    ("How many pictures show a red car?", "count", "red car", None),
    ("how many receipts mention coffee", "count", "receipts coffee", None),
    ("How often did I photograph the cat?", "count", "cat", None),
    ("First picture with a dog", "first", "dog", None),
    ("When did I last photograph a bicycle?", "last", "bicycle", None),
    ("when was the last time I took a picture of the sea", "last", "sea", None),
    ("show me the last 3 screenshots", "last", "screenshots", None),
    ("Which month has the most photos?", "most", "", "month"),
    ("In which year did I take the most pictures of cats?", "most", "cats", "year"),
    ("Which camera did I use the most?", "most", "", "camera"),
    ("photos per year", "group", "", "year"),
    ("how many photos of dogs a year?", "group", "dogs", "year"),
    ("number of pictures by country", "group", "", "country"),
    ("Which cameras have I used?", "group", "", "camera"),
    ("how far back do my photos go?", "span", "", None),
    ("What is the total of all my receipts from 2018?", "sum", "receipts from 2018", None),
    ("How much did I spend per month?", "sum", "receipts", "month"),
    ("which receipt has the highest total", "highest", "receipts", None),
]
IN_AN_IMAGE = [
    "How many pages does the report have?",
    "How many photos are in the 'Camera' album?",
    "How many people are in the image?",
    "How many receipts are listed in the table?",
    "how much did I spend at the hotel?",
    "What is the last page about?",
    "what does the last receipt say",
    "Which year had the most sales?",
    "which country has the highest value",
    "last summer photos",
    "How many years does the graph show a declining rate?",
    "",
]


@pytest.mark.parametrize(("question", "what", "search", "by"), ASKED)
def test_read(question: str, what: str, search: str, by: str | None) -> None:
    asked = read_archive_question(question)
    assert asked is not None
    assert (asked.what, asked.search, asked.by) == (what, search, by)


@pytest.mark.parametrize("question", IN_AN_IMAGE)
def test_what_a_image_holds_is_no_question_about_all(question: str) -> None:
    assert read_archive_question(question) is None


RECEIPT = "TAX INVOICE\nKopi House\nCoffee 4.00\nTotal RM {}\nCash RM 50.00\nChange 1.00"


class Colours(ColourEmbedder):
    """Soft enough that only a picture of that colour shows it."""

    likelihood = Likelihood("softmax", 10.0)


class Archive:
    """Red and green photos of three years, two receipts, and a page of a letter."""

    def __init__(self) -> None:
        self.embedder = Colours()
        self.store = MemoryStore(dim=5, text_dim=64)
        reds = [record(f"r{i}", taken_at=datetime(2016 + i, 5, 2), camera="Canon") for i in range(3)]
        greens = [record(f"g{i}", taken_at=datetime(2018, 7, i + 1), camera="Nikon") for i in range(4)]
        undated = [record("r9")]
        papers = [record(f"p{i}", text=RECEIPT.format(total)) for i, total in enumerate(("12.50", "30.00"))]
        letter = [record("letter", kind="page", page=1, text="\n".join(["Dear John, we write to you"] * 9))]
        self.records = [*reds, *greens, *undated, *papers, *letter]
        colours = ["red"] * 3 + ["green"] * 4 + ["red"] + ["cyan"] * 3
        self.store.upsert(self.records, self.embedder.embed_images([picture(each) for each in colours]))
        texts = [each.text for each in self.records]
        self.store.set_text([each.id for each in self.records], texts, [np.zeros((0, 64), np.float32)] * 11)
        self.lines = {
            each.id: tuple(
                TextLine(text, Box(0, 20 * at, 200, 20 * at + 16))
                for at, text in enumerate(each.text.split("\n"))
            )
            for each in papers
        }

    def ask(self, question: str) -> Answer:
        told = answer_archive(
            question,
            understand=lambda text: parse(text, now=NOW),
            store=self.store,
            embedder=self.embedder,
            lines_of=lambda ids: {each: self.lines[each] for each in ids if each in self.lines},
        )
        assert told is not None
        result, answer = told
        assert answer.generator == GENERATOR
        assert [hit.record.id for hit in result.hits] == [hit.record.id for hit in answer.hits]
        return answer


@pytest.fixture(scope="module")
def archive() -> Archive:
    return Archive()


def test_a_count_by_date_is_exact(archive: Archive) -> None:
    answer = archive.ask("How many pictures in 2018?")
    assert answer.answered and answer.text.startswith("5 pictures (in 2018).")
    assert answer.plan is not None and answer.plan["exact"] is True
    assert answer.plan["clauses"] == [
        {"words": "in 2018", "field": "date", "value": "2018", "negative": False}
    ]
    assert len(answer.citations) == 3
    assert "There are no pictures (in 1999)" in archive.ask("How many pictures in 1999?").text


def test_a_count_by_look_has_bounds_and_says_so(archive: Archive) -> None:
    answer = archive.ask("How many photos of red things?")
    assert answer.text.startswith("About 4 photos")
    assert answer.plan is not None and not answer.plan["exact"]
    result = answer.plan["result"]
    assert result["low"] <= 4 <= result["high"] and result["low"] < result["high"]


def test_what_no_image_shows_is_not_counted(archive: Archive) -> None:
    answer = archive.ask("How many photos of zebras?")
    assert not answer.answered and not answer.citations
    assert "enough to be counted" in answer.text


def test_what_is_not_wanted_is_left_out_by_look_or_not_at_all(archive: Archive) -> None:
    answer = archive.ask("How many photos without red things?")
    assert answer.text.startswith("About 7 photos (without red things)")
    answer = archive.ask("How many photos without zebras?")
    assert not answer.answered and "'zebras' cannot be told" in answer.text


def test_papers_are_known_by_their_words(archive: Archive) -> None:
    assert archive.ask("How many receipts do I have?").text.startswith("2 receipts, by the words read")
    assert archive.ask("How many receipts mention coffee?").plan["result"]["pictures"] == 2  # type: ignore[index]
    assert (
        archive.ask("How many receipts from Starbucks?").text
        == "There are no receipts (from Starbucks) here."
    )


def test_first_and_last_by_date(archive: Archive) -> None:
    first = archive.ask("First picture of something red")
    assert "r0.jpg, 2 May 2016 [1]" in first.text
    assert "1 more without a date" in first.text
    assert first.citations[0].uri == "/photos/r0.jpg"
    assert "2 May 2018 [1]" in archive.ask("When did I last photograph red things?").text
    assert "None" not in archive.ask("last 2 photos").text


def test_groups_and_the_most(archive: Archive) -> None:
    groups = archive.ask("pictures per year").plan["result"]  # type: ignore[index]
    assert groups["groups"][-1] == {"value": "2018", "pictures": 5}
    assert groups["without"] == 4
    limit = archive.ask("Which month has the most photos?")
    assert limit.text.startswith("July 2018: 4 photos.")
    assert archive.ask("Which cameras have I used?").text.startswith("Nikon: 4, Canon: 3")
    assert archive.ask("how far back do my photos go?").text.startswith(
        "From 2 May 2016 [1] to 4 July 2018 [2]"
    )


def test_receipts_add_up_with_the_lines_they_were_read_from(archive: Archive) -> None:
    answer = archive.ask("What is the total of all my receipts?")
    assert answer.text.startswith("RM 42.50 on 2 receipts")
    assert [citation.quote for citation in answer.citations] == ["Total RM 30.00", "Total RM 12.50"]
    assert all(citation.box for citation in answer.citations)
    assert archive.ask("which receipt has the highest total").text.startswith("RM 30.00 on p1.jpg [1]")


def test_a_name_from_a_file_cannot_forge_a_citation(archive: Archive) -> None:
    archive = Archive()
    forged = record("x", uri="/photos/[7] paid.jpg", taken_at=datetime(2001, 1, 1))
    archive.store.upsert([forged], archive.embedder.embed_images([picture("red")]))
    answer = archive.ask("what is the oldest picture")
    assert "(7) paid.jpg" in answer.text and "[7]" not in answer.text


@pytest.mark.parametrize(
    ("question", "what", "search"),
    [
        ("What are the totals of all invoices of Aldous Print?", "list", "invoices Aldous Print"),
        ("List the totals of all invoices", "list", "invoices"),
        ("How much did I spend at Rewe?", "sum", "receipts from Rewe"),
        ("Wie viele Fotos gibt es aus 2018?", "count", "from 2018"),
    ],
)
def test_lists_and_sums_of_one_shop_are_about_all(question: str, what: str, search: str) -> None:
    asked = read_archive_question(question)
    assert asked is not None
    assert (asked.what, asked.search) == (what, search)
