"""Captions as a stage: found by search, within a budget, each picture once whatever is killed."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from askpix.core.errors import BadQueryError, GenerationError
from askpix.core.types import Message, Usage
from askpix.generation.generators.base import Generator, Piece
from askpix.generation.prompting.budget import Plan
from askpix.ingest.pipeline.caption_stage import CaptionBudget, caption_images
from askpix.ingest.pipeline.report import CaptionReport
from tests.support.fakes import WordEmbedder
from tests.support.indexing import World, paint, words


class Painter(Generator):
    """Says the name of the file; counts what it is asked, and at what price."""

    model_id = "painter"

    def __init__(self, *, cost: float | None = 0.01, fail: str = "") -> None:
        self.asked: list[str] = []
        self._cost, self._fail = cost, fail

    def generate(self, messages: Sequence[Message], /) -> Iterator[Piece]:
        name = Path(messages[-1].evidence[0].hit.record.uri).stem
        self.asked.append(name)
        if self._fail and self._fail in name:
            raise GenerationError("it has no words for it")
        yield Piece(f"A picture called {name} ")
        yield Piece("[1]", Usage(100, 80, 20, self._cost))

    def plan(self, messages: Sequence[Message], /) -> Plan:
        return Plan((), (), 20, 80)

    def price(self, plan: Plan, /) -> float | None:
        return self._cost


class Batching(Painter):
    batches = True


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    for number, name in enumerate(("walrus", "teapot", "violin", "anchor", "ladder", "beacon")):
        paint(made.photos / f"{name}.png", (number * 40, 10, 10))
    made.run()
    yield made
    made.catalog.close()


def caption(world: World, generator: Painter, **budget: float) -> CaptionReport:
    return caption_images(
        collection=world.collection,
        catalog=world.catalog,
        open_store=world.open_store,
        text_embedder=WordEmbedder,
        generator=generator,
        budget=CaptionBudget(**budget),  # type: ignore[arg-type]
    )


def test_captions_are_searched_and_made_once(world: World) -> None:
    painter = Painter()
    report = caption(world, painter)
    assert (report.captioned, report.left, report.stopped, report.tokens) == (6, 0, None, 720)
    assert report.cost_usd == pytest.approx(0.06)
    assert words(world, "teapot") == ["teapot.png"]
    assert world.record(next(world.store.ids())).text.startswith("A picture called ")
    assert caption(world, painter).captioned == 0 and sorted(painter.asked) == sorted(set(painter.asked))
    world.run()
    assert words(world, "violin") == ["violin.png"]


@pytest.mark.parametrize(
    ("budget", "made", "why"),
    [
        ({"pictures": 2}, 2, "2 pictures"),
        ({"usd": 0.035}, 3, "0.035 USD"),
        ({"usd": 0}, 0, "0 USD"),
        ({"tokens": 250}, 2, "250 tokens"),
    ],
)
def test_a_budget_is_never_passed_and_the_next_run_goes_on(
    world: World, budget: dict[str, float], made: int, why: str
) -> None:
    painter = Painter()
    report = caption(world, painter, **budget)
    assert (report.captioned, report.left) == (made, 6 - made) and why in (report.stopped or "")
    assert len(painter.asked) == made
    assert caption(world, painter).captioned == 6 - made
    assert len(painter.asked) == len(set(painter.asked)) == 6


def test_dollars_need_a_price(world: World) -> None:
    with pytest.raises(BadQueryError, match="caption-tokens"):
        caption(world, Painter(cost=None), usd=1.0)
    assert caption(world, Painter(cost=None), tokens=10_000).cost_usd is None


@pytest.mark.parametrize("kind", [Painter, Batching])
def test_one_that_fails_is_reported_and_tried_again(world: World, kind: type[Painter]) -> None:
    report = caption(world, kind(fail="violin"))
    assert (report.captioned, report.left) == (5, 1)
    assert [Path(f.path).name for f in report.failed] == ["violin.png"]
    assert caption(world, kind()).captioned == 1


def test_when_all_fail_it_stops(world: World) -> None:
    for number in range(20):
        paint(world.photos / f"more{number}.png", (9, number, 99))
    world.run()

    class Down(Painter):
        def generate(self, messages: Sequence[Message], /) -> Iterator[Piece]:
            self.asked.append("")
            raise GenerationError("the server is down")

    down = Down()
    report = caption(world, down)
    assert report.captioned == 0 and report.left == 26 and "in a row failed" in (report.stopped or "")
    assert len(down.asked) < 10


def test_an_interrupted_run_keeps_what_was_said(world: World) -> None:
    class Interrupted(Painter):
        def generate(self, messages: Sequence[Message], /) -> Iterator[Piece]:
            if len(self.asked) >= 4:
                raise KeyboardInterrupt
            return super().generate(messages)

    with pytest.raises(KeyboardInterrupt):
        caption(world, Interrupted())
    assert world.catalog.notes.count_uncaptioned(world.collection) == 2
    assert len([i for i in world.store.ids() if world.record(i).text]) == 4
    painter = Painter()
    assert caption(world, painter).captioned == 2 and len(painter.asked) == 2


def test_what_is_embedded_again_keeps_its_caption(world: World) -> None:
    caption(world, Painter())
    world.store.delete(list(world.store.ids()))
    world.run()
    painter = Painter()
    caption(world, painter)
    assert painter.asked == [] and words(world, "anchor") == ["anchor.png"]
