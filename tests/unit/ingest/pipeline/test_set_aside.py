"""Files that end their decoder: tried twice, then left until they change."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from askpix.core import sandbox
from askpix.core.errors import DecoderKilledError
from askpix.core.imaging.decode import DEFAULT_LIMITS
from askpix.core.sandbox import StoppedError
from askpix.ingest.catalog.models import MOST_KILLS
from askpix.ingest.formats.pages import Page
from askpix.ingest.pipeline import worker
from askpix.ingest.pipeline.report import IngestReport, Progress
from tests.support.indexing import World, paint

BAD = b"<svg>bad"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.catalog.close()


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What decoders were started on; they end of what begins as ``BAD`` does."""
    started: list[bytes] = []
    real = worker.open_pages

    def open_pages(data: bytes, **options: object) -> Iterator[Page]:
        started.append(data)
        if data.startswith(BAD):
            raise DecoderKilledError("it crashed")
        yield from real(data, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(worker, "open_pages", open_pages)
    return started


def errors(report: IngestReport) -> list[str]:
    return [failure.error for failure in report.failed]


def test_a_file_that_ended_two_decoders_is_left_until_it_changes(world: World, decoded: list[bytes]) -> None:
    paint(world.photos / "a.png", "red")
    bad = world.photos / "b.svg"
    bad.write_bytes(BAD)
    assert errors(world.run()) == ["it crashed"]
    (aside,) = errors(world.run())
    assert aside.startswith("it crashed; set aside") and decoded.count(BAD) == MOST_KILLS
    bad.touch()
    (world.photos / "copy.svg").write_bytes(BAD)
    for _ in range(3):
        assert errors(world.run()) == [aside, aside]
    assert decoded.count(BAD) == MOST_KILLS, "neither it nor a copy of it"
    bad.write_bytes(BAD + b"changed")
    assert "it crashed" in errors(world.run()) and decoded.count(BAD + b"changed") == 1
    assert world.find("red") == "a.png"


def test_it_is_tried_again_with_other_limits(world: World, decoded: list[bytes]) -> None:
    (world.photos / "b.svg").write_bytes(BAD)
    for _ in range(3):
        world.run()
    assert decoded.count(BAD) == 2
    world.limits = replace(DEFAULT_LIMITS, decode_seconds=600.0)
    world.run()
    assert decoded.count(BAD) == 3


def test_a_file_that_is_fine_the_second_time_is_no_suspect(
    world: World, decoded: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = paint(world.photos / "a.png", "red")
    monkeypatch.setattr("tests.unit.ingest.pipeline.test_set_aside.BAD", path.read_bytes())
    assert errors(world.run()) == ["it crashed"]
    monkeypatch.setattr("tests.unit.ingest.pipeline.test_set_aside.BAD", b"nothing")
    assert not world.run().failed
    assert [state.kills for state in world.catalog.known_sources(world.collection).values()] == [None]


def test_a_try_counts_before_it_ends_and_a_stop_ends_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a kill of everything: what the catalog has then is what counts."""
    paint(world.photos / "a.png", "red")
    (world.photos / "b.svg").write_bytes(BAD)
    real = worker.open_pages

    def open_pages(data: bytes, **options: object) -> Iterator[Page]:
        if data.startswith(BAD):
            sandbox._asked[threading.get_ident()] = float("-inf")
            sandbox._here.stop.wait()
            del sandbox._asked[threading.get_ident()]
            raise StoppedError
        yield from real(data, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(worker, "open_pages", open_pages)

    class CutOff(list[Progress]):
        def __init__(self, kills: int) -> None:
            self.kills = kills

        def append(self, _: Progress) -> None:
            states = world.catalog.known_sources(world.collection).values()
            if any(state.kills == self.kills for state in states):
                raise KeyboardInterrupt

    for kills in (1, 2):
        world.progress = CutOff(kills)
        with pytest.raises(KeyboardInterrupt):
            world.run()
    world.progress = []
    report = world.run()
    (error,) = errors(report)
    assert "stopped before it was done; set aside" in error and report.images == 1
