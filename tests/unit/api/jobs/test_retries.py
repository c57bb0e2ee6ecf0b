"""The queue: what fails of a cause that passes is tried again, and no ending is forgotten."""

import errno
import threading
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

import askpix.api.jobs.queue
from askpix.api.jobs.queue import Job, JobLedger, JobRunner
from askpix.api.security.problems import ProblemError
from askpix.api.security.tables import database_of
from askpix.core.errors import AskpixError, StoreUnavailableError


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    monkeypatch.setattr(askpix.api.jobs.queue, "_RETRY_AFTER_S", ())
    monkeypatch.setattr(askpix.api.jobs.queue, "_FIRST_PAUSE", timedelta(0))
    monkeypatch.setattr(askpix.api.jobs.queue, "_SETTLE_EVERY_S", 0.01)
    made = database_of(tmp_path)
    yield made
    made.dispose()


def run_until(runner: JobRunner, over: threading.Event) -> None:
    runner.start()
    try:
        assert over.wait(30)
    finally:
        runner.stop(30)


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), True),
        (StoreUnavailableError("the disk is full"), True),
        (ProblemError(507, "the server's disk is full"), True),
        (AskpixError("no such model"), False),
        (ZeroDivisionError(), False),
    ],
)
def test_what_passes_is_tried_again(engine: Engine, error: Exception, passes: bool) -> None:
    ledger, calls, over = JobLedger(engine), [0], threading.Event()

    def work(job: Job, on_progress: Any) -> Mapping[str, Any]:
        if job.kind == "last":
            over.set()
            return {}
        calls[0] += 1
        if calls[0] < 3:
            raise error
        return {}

    job = ledger.add(kind="files", collection="c", collection_id="c", spec={})
    runner = JobRunner(ledger, work)
    if not passes:
        ledger.add(kind="last", collection="c", collection_id="c", spec={})
        run_until(runner, over)
        assert (ledger.get(job.id).state, ledger.get(job.id).retry_at, calls[0]) == ("failed", None, 1)
        return
    runner.start()
    while ledger.get(job.id).state != "done":
        runner.wake()
        assert runner.alive
    runner.stop(30)
    assert ledger.get(job.id).retries == 2 and ledger.get(job.id).error is None


def test_tries_have_an_end_and_pauses_grow(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(askpix.api.jobs.queue, "_FIRST_PAUSE", timedelta(seconds=30))
    ledger, full = JobLedger(engine), OSError(errno.ENOSPC, "full")
    job = ledger.add(kind="files", collection="c", collection_id="c", spec={})
    pauses = []
    for retries in (0, 1, 2, 50, 199, 200):
        ledger.change(job.id, retries=retries)
        at = askpix.api.jobs.queue._retry_at(ledger.get(job.id), full)
        pauses.append(at and round((at - askpix.api.jobs.queue._now()).total_seconds()))
    assert pauses == [30, 60, 120, 3600, 3600, None]


def test_an_ending_that_cannot_be_written_is_written_later(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, over, refused = JobLedger(engine), threading.Event(), [0]
    change = ledger.change

    def full(job_id: str, **values: Any) -> bool:
        if values.get("state") == "done" and refused[0] < 3:
            refused[0] += 1
            raise StoreUnavailableError("the disk is full")
        changed = change(job_id, **values)
        if values.get("state") == "done":
            over.set()
        return changed

    monkeypatch.setattr(ledger, "change", full)
    job = ledger.add(kind="files", collection="c", collection_id="c", spec={})
    run_until(JobRunner(ledger, lambda job, on_progress: {"added": 1}), over)
    assert ledger.get(job.id).state == "done" and refused[0] == 3


def test_only_failed_and_cancelled_jobs_are_queued_again(engine: Engine) -> None:
    ledger = JobLedger(engine)
    job = ledger.add(kind="files", collection="c", collection_id="c", spec={})
    assert not ledger.retry(job.id), "it is queued"
    ledger.cancel(job.id)
    assert ledger.retry(job.id)
    assert (ledger.get(job.id).state, ledger.get(job.id).cancelling) == ("queued", False)
    ledger.change(job.id, state="done")
    assert not ledger.retry(job.id)


def test_a_retry_forgets_what_failed_and_keeps_what_was_fetched(engine: Engine) -> None:
    ledger = JobLedger(engine)
    spec = {"urls": ["a", "b"], "files": [{"name": "a"}], "failed": [{"path": "b", "error": "too slow"}]}
    job = ledger.add(kind="urls", collection="c", collection_id="c", spec=spec)
    ledger.cancel(job.id)
    assert ledger.retry(job.id)
    again = ledger.get(job.id)
    assert again.state == "queued" and not again.cancelling
    assert again.spec == {"urls": ["a", "b"], "files": [{"name": "a"}]}
