"""Requests that would take work without bound: refused in one line, or as much work as they are long."""

import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest
from starlette.testclient import TestClient

from askpix.api.routes.classify import ClassifyIn
from askpix.api.server.app import create_app
from askpix.api.service.service import Service
from askpix.api.settings import Settings
from askpix.core.errors import BadQueryError
from askpix.core.types import Box, Clause, Message, TextLine
from askpix.generation.grounding.citations import locate
from askpix.generation.questions.follow_up import stand_alone
from askpix.retrieval.query import parser
from askpix.retrieval.query.base import Claim, Context
from askpix.retrieval.query.parser import MAX_CLAUSES, parse


def calls(work: Callable[[], Any]) -> int:
    """Functions called, those of C too."""
    count = 0

    def counting(_frame: Any, event: str, _arg: Any) -> None:
        nonlocal count
        count += event.endswith("call")

    sys.setprofile(counting)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize(
    "unit",
    ["#a", "tagged x, ", "tagged x ", "2018 ", "photos of ", "Berlin ", "-", '"', "a.", "a b ", "5-7 "],
)
def test_reading_a_query_is_linear(unit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the functions called, and by the characters that every reader looks at."""
    characters = 0

    def read_nothing(text: str, _context: Context) -> Iterator[Claim]:
        nonlocal characters
        characters += len(text)
        yield from ()

    monkeypatch.setattr(parser, "_SIGNS", (*parser._SIGNS, read_nothing))

    def work(length: int) -> tuple[int, int]:
        nonlocal characters
        characters = 0
        called = calls(lambda: parse((unit * length)[:length], now=datetime(2024, 5, 5)))
        return called, characters

    work(100)
    (called, read), (called_twice, read_twice) = work(800), work(1_600)
    assert called_twice < 2.5 * called + 1_000
    assert read_twice < 2.5 * read


@pytest.mark.parametrize("unit", ['"a{}" ', "-a{} ", "2:a{} ", "tag:a{} "])
def test_a_query_of_many_parts_is_refused(unit: str) -> None:
    assert parse(" ".join(unit.format(at) for at in range(20)))
    with pytest.raises(BadQueryError, match=f"over the limit of {MAX_CLAUSES}"):
        parse("".join(unit.format(at) for at in range(120)))


def test_long_questions_of_the_past_are_not_read_again_and_again() -> None:
    read: list[int] = []

    def clauses_of(text: str) -> list[Clause]:
        read.append(len(text))
        return [Clause("in 2018", "date", "2018")] if "in 2018" in text else []

    turns = [Message("user", "photos of " * 900)]
    for _ in range(49):
        turns += [Message("assistant", "a [1]"), Message("user", "and in 2018?")]
    stand_alone(turns, clauses_of=clauses_of)
    assert max(read, default=0) <= 1_000 and len(read) <= 4 * 49


def test_places_of_quotes_compare_the_lines_once() -> None:
    lines = [TextLine(f"line {at}", Box(0, 30 * at, 90, 30 * at + 24)) for at in range(120)]
    first = calls(lambda: locate("zebra one", lines))
    assert calls(lambda: locate("zebra two", lines)) < first / 5


def test_labels_times_templates_are_bounded() -> None:
    labels = [f"l{at}" for at in range(100)]
    ClassifyIn(images=["x"], labels=labels, template=["a {}"] * 20)
    for template in (["a {}"] * 100, ["{}" * 100] * 20):
        with pytest.raises(ValueError, match="send fewer"):
            ClassifyIn(images=["x"], labels=[label * 40 for label in labels], template=template)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    service = Service(Settings(home=tmp_path_factory.mktemp("bounds"), ocr="off", requests_per_minute=0))
    service.start()
    service.workspace.create_collection("album")
    with TestClient(create_app(service), base_url="http://localhost") as client:
        yield client
    service.stop()


LONG = "photos of " * 900
REFUSED: list[tuple[str, dict[str, Any]]] = [
    (
        "/v1/classify",
        {"images": ["x"], "labels": [f"l{at}" for at in range(100)], "template": ["a {}"] * 100},
    ),
    ("/v1/collections/album/search", {"text": LONG}),
    ("/v1/collections/album/ask", {"question": LONG}),
    ("/v1/collections/album/search", {"text": "x", "top_k": 10**9}),
    ("/v1/collections/album/search", {"text": "x", "offset": 10**9}),
    ("/v1/collections/album/ask", {"question": "x", "history": [{"role": "user", "content": "x"}] * 101}),
    ("/v1/chat/completions", {"model": "askpix/album", "messages": [{"role": "user", "content": LONG}]}),
    (
        "/v1/chat/completions",
        {
            "model": "askpix/album",
            "messages": [{"role": "user", "content": [{"type": "text", "text": "x"}] * 101}],
        },
    ),
    ("/v1/embeddings", {"model": "mini", "input": "x" * 10_001}),
    ("/v1/embeddings", {"model": "mini", "input": ["data:image/png;base64,"] * 65}),
    ("/v1/embeddings", {"model": "mini", "input": ["x"] * 257}),
    ("/v1/audit", {"image": "x", "checks": ["x"] * 51}),
    ("/v1/caption", {"images": ["x"] * 17}),
]


@pytest.mark.parametrize(("path", "body"), REFUSED)
def test_too_much_is_refused_in_one_line(client: TestClient, path: str, body: dict[str, Any]) -> None:
    answer = client.post(path, json=body)
    assert answer.status_code == 422, answer.text
    assert answer.json()["detail"] and "\n" not in answer.json()["detail"]
