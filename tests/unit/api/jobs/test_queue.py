"""Who works when: turns between collections, one job of each at a time, and the end of one nobody wants."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from askpix.api.jobs.queue import WORKERS, Job, JobLedger, JobRunner, JobStoppedError, Work, _Running
from askpix.api.security.tables import database_of
from askpix.core.errors import StoreUnavailableError
from askpix.ingest.pipeline.report import Progress

OnProgress = Callable[[Progress], None]
pytestmark = pytest.mark.timeout(30)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[JobLedger]:
    engine = database_of(tmp_path)
    yield JobLedger(engine)
    engine.dispose()


def add(ledger: JobLedger, collection: str, **spec: Any) -> str:
    return ledger.add(kind="files", collection=collection, collection_id=collection, spec=spec).id


@contextmanager
def running(ledger: JobLedger, work: Work, **options: Any) -> Iterator[JobRunner]:
    runner = JobRunner(ledger, work, **options)
    runner.start()
    try:
        yield runner
    finally:
        assert runner.stop(10)


def ended(ledger: JobLedger, job_id: str) -> Job:
    tick = threading.Event()
    while (job := ledger.get(job_id)).state in ("queued", "running"):
        tick.wait(0.02)
    return job


def at_file(number: int) -> Progress:
    return Progress("looking", number, None, 0.0, 0)


def until_stopped(on_progress: OnProgress, number: int = 0) -> Mapping[str, Any]:
    """A file that never ends, as a fetch from a slow server."""
    tick = threading.Event()
    while True:
        on_progress(at_file(number))
        tick.wait(0.02)


def test_a_long_document_is_no_standstill(ledger: JobLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that does not get on is killed by whoever watches it, and begins the document again."""
    clock = [0.0]
    monkeypatch.setattr("askpix.api.jobs.queue.time.monotonic", lambda: clock[0])
    idle: list[float] = []

    def work(job: Job, on_progress: OnProgress) -> Mapping[str, Any]:
        for page in (0, 1, 2, 2, 2):
            clock[0] += 600
            on_progress(replace(at_file(0), pages=page))
            idle.append(runner.idle_s())
        return {}

    runner = JobRunner(ledger, work, workers=1)
    job = ledger.get(add(ledger, "a"))
    runner._do(runner._running.setdefault("a", _Running(job, 0.0)))
    assert ledger.get(job.id).state == "done" and idle == [0, 0, 0, 600, 1200]


def test_collections_take_turns(ledger: JobLedger) -> None:
    names = ["a", "a", "a", "b", "c", "b"]
    jobs = [add(ledger, name) for name in names]
    order: list[str] = []

    def work(job: Job, on_progress: OnProgress) -> Mapping[str, Any]:
        order.append(job.collection)
        return {}

    with running(ledger, work, workers=1):
        assert {ended(ledger, job).state for job in jobs} == {"done"}
    assert order == ["a", "b", "c", "a", "b", "a"]


def test_who_comes_later_is_before_the_next_job_of_who_was_served(ledger: JobLedger) -> None:
    order: list[str] = []

    def work(job: Job, on_progress: OnProgress) -> Mapping[str, Any]:
        order.append(job.collection)
        if len(order) == 1:
            add(ledger, "late")
        return {}

    jobs = [add(ledger, "a"), add(ledger, "a")]
    with running(ledger, work, workers=1):
        assert {ended(ledger, job).state for job in jobs} == {"done"}
    assert order == ["a", "late", "a"]


def test_a_collection_has_one_job_at_a_time_and_others_go_on_beside_it(ledger: JobLedger) -> None:
    go_on, lock = threading.Event(), threading.Lock()
    at_work: list[str] = []
    limit: dict[str, int] = {}

    def work(job: Job, on_progress: OnProgress) -> Mapping[str, Any]:
        with lock:
            at_work.append(job.collection)
            limit[job.collection] = max(limit.get(job.collection, 0), at_work.count(job.collection))
        if job.collection == "a":
            go_on.wait(20)
        with lock:
            at_work.remove(job.collection)
        return {}

    slow = [add(ledger, "a") for _ in range(3)]
    quick = [add(ledger, "b") for _ in range(3)]
    with running(ledger, work) as runner:
        assert {ended(ledger, job).state for job in quick} == {"done"}, "a is at work all the time"
        runner.wait_free("b", timeout_s=10)
        assert [ledger.get(job).state for job in slow] == ["running", "queued", "queued"]
        go_on.set()
        assert {ended(ledger, job).state for job in slow} == {"done"}
    assert limit == {"a": 1, "b": 1}


def test_long_jobs_of_many_collections_hold_up_another_for_a_file(ledger: JobLedger) -> None:
    """Ten times as many as there are workers, each with more files than anybody has time for."""
    lock = threading.Lock()
    files: dict[str, int] = {}
    seen: dict[str, int] = {}

    def work(job: Job, on_progress: OnProgress) -> Mapping[str, Any]:
        if job.collection == "victim":
            return {}
        reached = job.spec.get("reached", 0)
        try:
            while True:
                on_progress(at_file(reached))
                reached += 1
                with lock:
                    files[job.id] = files.get(job.id, 0) + 1
        except JobStoppedError as stop:
            stop.done = {"reached": reached}
            seen[job.id] = reached
            raise

    hostile = [add(ledger, f"hostile-{number}") for number in range(30)]
    victim = add(ledger, "victim")
    with running(ledger, work, turn_s=0.0):
        assert ended(ledger, victim).state == "done"
        for job in hostile:
            ledger.cancel(job)
        assert {ended(ledger, job).state for job in hostile} == {"cancelled"}
    # Each went on where it was, and had one file a turn as long as others waited.
    assert all(files.get(job, 0) == seen.get(job, 0) for job in hostile)
    # All of them were before the victim; the last ones may have been cancelled in their first file.
    assert len(files) > len(hostile) - WORKERS


def test_without_others_a_job_is_not_interrupted(ledger: JobLedger) -> None:
    runs = 0

    def work(job: Job, on_progress: OnProgress) -> Mapping[str, Any]:
        nonlocal runs
        runs += 1
        for number in range(50):
            on_progress(at_file(number))
        return {}

    jobs = [add(ledger, "a"), add(ledger, "a")]
    with running(ledger, work, workers=1, turn_s=0.0):
        assert {ended(ledger, job).state for job in jobs} == {"done"}
    assert runs == 2


def test_cancel_ends_a_file_that_never_ends_and_the_pause_before_another_try(ledger: JobLedger) -> None:
    at_work = {"hangs": threading.Event(), "waits": threading.Event()}

    def work(job: Job, on_progress: OnProgress) -> Mapping[str, Any]:
        at_work[job.collection].set()
        if job.collection == "waits":
            raise StoreUnavailableError("it is held")
        return until_stopped(on_progress)

    with running(ledger, work) as runner:
        for name, event in at_work.items():
            job = add(ledger, name)
            runner.wake()
            assert event.wait(10)
            ledger.cancel(job)
            assert ended(ledger, job).state == "cancelled"


def test_a_stop_puts_every_job_back_with_what_it_remembers(ledger: JobLedger) -> None:
    begun = threading.Barrier(3)

    def work(job: Job, on_progress: OnProgress) -> Mapping[str, Any]:
        begun.wait(10)
        try:
            return until_stopped(on_progress, 7)
        except JobStoppedError as stop:
            stop.done = {"reached": 7}
            raise

    jobs = [add(ledger, "a", keep="x"), add(ledger, "b")]
    with running(ledger, work) as runner:
        begun.wait(10)
        assert runner.stop(10)
    assert [ledger.get(job).state for job in jobs] == ["queued", "queued"]
    assert [ledger.get(job).spec for job in jobs] == [{"keep": "x", "reached": 7}, {"reached": 7}]


def test_polls_are_no_sign_of_life(ledger: JobLedger) -> None:
    """A worker that tells again and again that it is where it was is stuck."""
    tick = threading.Event()

    def work(job: Job, on_progress: OnProgress) -> Mapping[str, Any]:
        return until_stopped(on_progress)

    with running(ledger, work) as runner:
        add(ledger, "a")
        runner.wake()
        while runner.idle_s() < 0.3:
            tick.wait(0.02)
