"""Files that end their decoder: tried twice, then left until they change."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from askpix.core import sandbox
from askpix.core.errors import DecoderKilledError, StoreUnavailableError
from askpix.core.imaging.decode import DEFAULT_LIMITS
from askpix.core.sandbox import StoppedError
from askpix.ingest.catalog.models import MAX_KILLS, SourceState
from askpix.ingest.formats.base import Page
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
    assert aside.startswith("it crashed; set aside") and decoded.count(BAD) == MAX_KILLS
    bad.touch()
    (world.photos / "copy.svg").write_bytes(BAD)
    for _ in range(3):
        assert errors(world.run()) == [aside, aside]
    assert decoded.count(BAD) == MAX_KILLS, "neither it nor a copy of it"
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


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """What begins as ``BAD`` does is being decoded for long, until the run stops."""
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
    """Stops a run as soon as a try has been noted; ``noted`` is what the catalog had then."""

    def __init__(self, world: World, error: BaseException) -> None:
        super().__init__()
        self.world, self.error = world, error
        self.noted: dict[str, SourceState] = {}

    def append(self, _: Progress) -> None:
        states = self.world.catalog.known_sources(self.world.collection)
        self.noted = {uri: state for uri, state in states.items() if state.kills}
        if self.noted:
            raise self.error


@pytest.mark.usefixtures("slow")
def test_a_try_counts_before_it_ends(world: World) -> None:
    """As after a kill of everything: what the catalog has then is what counts."""
    paint(world.photos / "a.png", "red")
    (world.photos / "b.svg").write_bytes(BAD)
    for kills in (1, 2):
        cut_off = world.progress = CutOff(world, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            world.run()
        assert [state.kills for state in cut_off.noted.values()] == [kills]
        world.catalog.record(world.collection, states=cut_off.noted, added={})
    world.progress = []
    report = world.run()
    (error,) = errors(report)
    assert "stopped before it was done; set aside" in error and report.images == 1


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("error", [KeyboardInterrupt(), StoreUnavailableError("the disk is full")])
def test_a_try_that_we_stopped_ourselves_does_not_count(world: World, error: BaseException) -> None:
    """Ctrl-C, another collection's turn, a store that is away: a slow file is no worse for it."""
    bad = world.photos / "b.svg"
    for before in (None, "it crashed"):
        for _ in range(2):
            bad.write_bytes(BAD)
            known = world.catalog.known_sources(world.collection)
            assert [state.error for state in known.values()] == ([before] if before else [])
            world.progress = CutOff(world, error)
            with pytest.raises(type(error)):
                world.run()
            assert world.catalog.known_sources(world.collection) == known
        earlier = SourceState(1, 1, "0" * 64, "it crashed", "earlier", kills=1)
        world.catalog.record(world.collection, states={str(bad): earlier}, added={})
