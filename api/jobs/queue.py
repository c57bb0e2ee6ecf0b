"""Durable jobs: a row in the service's database, and the thread that works the rows off.

A job is acknowledged when its row is committed and its files lie in the home. What it does, indexing, is
idempotent and keeps its own ledger: every picture is durable in store and catalog once it is counted. So a
job cut off by ``kill -9`` is begun again at the next start and finds most of its work done. That is all a
workflow engine would bring here, without a second ledger of steps beside the one that ingestion has.
"""

import logging
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine, func, insert, select, update

from askpix.api.security.tables import jobs
from askpix.core.db.engine import transaction
from askpix.core.errors import AskpixError, LimitError, NotFoundError, StoreUnavailableError
from askpix.ingest.pipeline.report import Progress

OPEN = ("queued", "running")
_MOST_QUEUED = 10_000
_PROGRESS_EVERY_S = 0.5
_RETRY_AFTER_S = (1.0, 5.0, 15.0)
"""When the store is held or full for a moment."""

_log = logging.getLogger("askpix.jobs")


@dataclass(frozen=True, slots=True)
class Job:
    """A row."""

    id: str
    kind: str
    collection: str
    collection_id: str
    state: str
    spec: Mapping[str, Any]
    progress: Mapping[str, Any] | None
    result: Mapping[str, Any] | None
    error: str | None
    cancelling: bool
    created_at: datetime
    updated_at: datetime


_COLUMNS = [jobs.c[name] for name in Job.__slots__]


class JobLedger:
    """The rows. Thread-safe."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, *, kind: str, collection: str, collection_id: str, spec: Mapping[str, Any]) -> Job:
        """A new job at the end of the queue; durable on return. Raises ``LimitError`` when it is full."""
        now = _now()
        row = {
            "id": str(uuid.uuid4()),
            "kind": kind,
            "collection": collection,
            "collection_id": collection_id,
            "state": "queued",
            "spec": dict(spec),
            "created_at": now,
            "updated_at": now,
        }
        with transaction(self._engine) as connection:
            waiting = select(func.count()).where(jobs.c.state.in_(OPEN))
            if connection.execute(waiting).scalar_one() >= _MOST_QUEUED:
                raise LimitError("too many jobs are waiting; try again later")
            connection.execute(insert(jobs), [row])
        return self.get(str(row["id"]))

    def get(self, job_id: str) -> Job:
        """Raises ``NotFoundError``."""
        with transaction(self._engine, write=False) as connection:
            row = connection.execute(select(*_COLUMNS).where(jobs.c.id == job_id)).one_or_none()
        if row is None:
            raise NotFoundError(f"no job {job_id!r}")
        return Job(*row)

    def list(
        self, *, collection_ids: set[str], state: str | None = None, limit: int = 50, offset: int = 0
    ) -> "list[Job]":
        """Newest first, of these collections."""
        wanted = select(*_COLUMNS).where(jobs.c.collection_id.in_(sorted(collection_ids)))
        if state:
            wanted = wanted.where(jobs.c.state == state)
        wanted = wanted.order_by(jobs.c.number.desc()).limit(limit).offset(offset)
        with transaction(self._engine, write=False) as connection:
            return [Job(*row) for row in connection.execute(wanted).all()]

    def first_queued(self) -> Job | None:
        """The one whose turn it is."""
        wanted = select(*_COLUMNS).where(jobs.c.state == "queued").order_by(jobs.c.number).limit(1)
        with transaction(self._engine, write=False) as connection:
            row = connection.execute(wanted).one_or_none()
        return Job(*row) if row else None

    def change(self, job_id: str, *, only: tuple[str, ...] = OPEN, **values: Any) -> bool:
        """Set columns of a job that is in one of the states ``only``; whether it was."""
        change = update(jobs).where(jobs.c.id == job_id, jobs.c.state.in_(only))
        with transaction(self._engine) as connection:
            return bool(connection.execute(change.values(updated_at=_now(), **values)).rowcount)

    def cancel(self, job_id: str) -> Job:
        """A queued one is cancelled, a running one is told to stop; one that ended stays as it is."""
        if not self.change(job_id, only=("queued",), state="cancelled", cancelling=True):
            self.change(job_id, only=("running",), cancelling=True)
        return self.get(job_id)

    def cancel_all(self, collection_id: str) -> None:
        """Every job of a collection that goes."""
        with transaction(self._engine) as connection:
            mine = jobs.c.collection_id == collection_id
            change = update(jobs).values(updated_at=_now(), cancelling=True)
            connection.execute(change.where(mine, jobs.c.state == "queued").values(state="cancelled"))
            connection.execute(change.where(mine, jobs.c.state == "running"))

    def requeue_running(self) -> int:
        """Jobs that a killed server left behind; only whoever holds the home may call it."""
        change = update(jobs).where(jobs.c.state == "running")
        with transaction(self._engine) as connection:
            cut_off = connection.execute(change.where(jobs.c.cancelling).values(state="cancelled")).rowcount
            again = connection.execute(change.values(state="queued", updated_at=_now())).rowcount
        return cut_off + again

    def counts(self) -> dict[str, int]:
        """Jobs by state."""
        wanted = select(jobs.c.state, func.count()).group_by(jobs.c.state)
        with transaction(self._engine, write=False) as connection:
            return {row[0]: row[1] for row in connection.execute(wanted)}


class JobStoppedError(Exception):
    """Raised through a run by its progress callback: cancelled, or the server stops."""


Work = Callable[[Job, Callable[[Progress], None]], Mapping[str, Any]]


class JobRunner:
    """One thread: indexing uses every core by itself. ``work(job, on_progress)`` returns the result."""

    def __init__(self, ledger: JobLedger, work: Work) -> None:
        self._ledger, self._work = ledger, work
        self._wake, self._stopping = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self._current: Job | None = None
        self.beat = time.monotonic()
        """When it was last seen at work: a stuck worker makes the service unhealthy."""

    def start(self) -> None:
        """Take up what is queued, and what a killed server left running."""
        self._ledger.requeue_running()
        self._thread = threading.Thread(target=self._run, name="jobs", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """There is something new."""
        self._wake.set()

    def begin_stop(self) -> None:
        """Take up nothing new; the job at work goes back into the queue."""
        self._stopping.set()
        self._wake.set()

    def stop(self, timeout_s: float) -> bool:
        """Stop at a safe point; the job at work goes back into the queue. Whether it stopped in time."""
        self.begin_stop()
        if self._thread is None:
            return True
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    @property
    def alive(self) -> bool:
        """Whether its thread is there."""
        return self._thread is not None and self._thread.is_alive()

    def idle_s(self) -> float:
        """Seconds since the job at work last said something; 0 without one."""
        return time.monotonic() - self.beat if self._current else 0.0

    def wait_free(self, collection_id: str, *, timeout_s: float) -> None:
        """Until no job of this collection is at work, or the time is over."""
        deadline = time.monotonic() + timeout_s
        while (job := self._current) and job.collection_id == collection_id and time.monotonic() < deadline:
            time.sleep(0.05)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self.beat = time.monotonic()
            try:
                job = self._ledger.first_queued()
                if job is not None:
                    self._current = job
                    try:
                        self._do(job)
                    finally:
                        self._current = None
                    continue
            except StoreUnavailableError:
                _log.exception("the job ledger cannot be used now")
            self._wake.wait(2.0)
            self._wake.clear()

    def _do(self, job: Job) -> None:
        if not self._ledger.change(job.id, only=("queued",), state="running"):
            return
        told = 0.0

        def on_progress(progress: Progress) -> None:
            nonlocal told
            self.beat = now = time.monotonic()
            if self._stopping.is_set():
                raise JobStoppedError
            if now - told > _PROGRESS_EVERY_S:
                told = now
                if self._ledger.get(job.id).cancelling:
                    raise JobStoppedError
                self._ledger.change(job.id, progress=asdict(progress))

        try:
            result = self._attempt(job, on_progress)
            self._ledger.change(job.id, state="done", result=dict(result))
        except JobStoppedError:
            cancelled = self._ledger.get(job.id).cancelling
            self._ledger.change(job.id, state="cancelled" if cancelled else "queued")
        except AskpixError as error:
            self._ledger.change(job.id, state="failed", error=str(error))
        except Exception:  # noqa: BLE001
            # A bug in one job must not end the thread that all jobs need.
            _log.exception("job %s failed", job.id)
            self._ledger.change(job.id, state="failed", error="internal error; see the server's log")

    def _attempt(self, job: Job, on_progress: Callable[[Progress], None]) -> Mapping[str, Any]:
        for pause in _RETRY_AFTER_S:
            try:
                return self._work(job, on_progress)
            except StoreUnavailableError:
                if self._stopping.wait(pause) or self._ledger.get(job.id).cancelling:
                    raise JobStoppedError from None
        return self._work(job, on_progress)


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
