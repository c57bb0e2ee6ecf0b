"""Durable jobs: a row in the service's database, and the threads that work the rows off.

A job is acknowledged when its row is committed and its files lie in the home. What it does, indexing, is
idempotent and keeps its own ledger: every image is durable in store and catalog once it is counted. So a
job cut off by ``kill -9`` is begun again at the next start and finds most of its work done. That is all a
workflow engine would bring here, without a second ledger of steps beside the one that ingestion has.
"""

import logging
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, and_, case, func, insert, select, update

from askpix.api.schemas.results import JobState
from askpix.api.security.problems import ProblemError
from askpix.api.security.tables import jobs
from askpix.core.db.engine import transaction
from askpix.core.errors import AskpixError, LimitError, NotFoundError, StoreUnavailableError
from askpix.ingest.pipeline.report import Progress

OPEN = ("queued", "running")
_MAX_QUEUED = 10_000
_PROGRESS_EVERY_S = 0.5
_RETRY_AFTER_S = (1.0, 5.0, 15.0)
"""Delays before another try when the store is held or full for a moment, in seconds."""
WORKERS = 3
"""Jobs at work at once. One uses every core; the others are for what waits: slow servers, one long document.
Each holds a few chunks of images in memory."""
TURN_S = 10.0
"""Seconds a job works before another collection's may go first, at the end of a file."""

_SETTLE_EVERY_S = 2.0
_FIRST_PAUSE = timedelta(seconds=30)
_LONGEST_PAUSE = timedelta(hours=1)
_MAX_RETRIES = 200
"""Most retries of a job that failed for a passing cause: some eight days. Its files are kept longer."""
_AGAIN = {"state": "queued", "error": None, "retry_at": None}

_log = logging.getLogger("askpix.jobs")


@dataclass(frozen=True, slots=True)
class Job:
    """A row."""

    id: str
    kind: str
    collection: str
    collection_id: str
    state: JobState
    spec: Mapping[str, Any]
    progress: Mapping[str, Any] | None
    result: Mapping[str, Any] | None
    error: str | None
    cancelling: bool
    retry_at: datetime | None
    retries: int
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
            _check_room(connection)
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

    def first_queued(self) -> dict[str, int]:
        """Return the number of the oldest queued job of each collection by its id, oldest first."""
        first = func.min(jobs.c.number)
        wanted = select(jobs.c.collection_id, first).where(jobs.c.state == "queued")
        with transaction(self._engine, write=False) as connection:
            found = connection.execute(wanted.group_by(jobs.c.collection_id).order_by(first)).all()
        return {row[0]: row[1] for row in found}

    def by_number(self, number: int) -> Job:
        """Return the job with this number, which must exist."""
        with transaction(self._engine, write=False) as connection:
            return Job(*connection.execute(select(*_COLUMNS).where(jobs.c.number == number)).one())

    def change(self, job_id: str, *, only: tuple[str, ...] = OPEN, **values: Any) -> bool:
        """Set columns of a job that is in one of the states ``only``; whether it was."""
        change = update(jobs).where(jobs.c.id == job_id, jobs.c.state.in_(only))
        with transaction(self._engine) as connection:
            return bool(connection.execute(change.values(updated_at=_now(), **values)).rowcount)

    def cancel(self, job_id: str) -> Job:
        """A queued one is cancelled, a running one is told to stop; one that ended stays as it is."""
        # In one statement: between two of them it may go from one state to the other.
        state = case((jobs.c.state == "queued", "cancelled"), else_=jobs.c.state)
        self.change(job_id, state=state, cancelling=True)
        return self.get(job_id)

    def cancel_all(self, collection_id: str) -> Sequence[str]:
        """Every job of a collection that goes; their ids."""
        with transaction(self._engine) as connection:
            mine = jobs.c.collection_id == collection_id
            open_ids = select(jobs.c.id).where(mine, jobs.c.state.in_(OPEN))
            ids = connection.execute(open_ids).scalars().all()
            change = update(jobs).values(updated_at=_now(), cancelling=True)
            connection.execute(change.where(mine, jobs.c.state == "queued").values(state="cancelled"))
            connection.execute(change.where(mine, jobs.c.state == "running"))
        return ids

    def retry(self, job_id: str) -> bool:
        """Queue one again that failed or was cancelled; whether it had."""
        ended = update(jobs).where(jobs.c.id == job_id, jobs.c.state.in_(("failed", "cancelled")))
        # URLs that failed before it was stopped are tried again too.
        spec = {name: value for name, value in self.get(job_id).spec.items() if name != "failed"}
        with transaction(self._engine) as connection:
            _check_room(connection)
            again = ended.values(**_AGAIN, spec=spec, cancelling=False, retries=0, updated_at=_now())
            return bool(connection.execute(again).rowcount)

    def retry_due(self) -> None:
        """Queue those again whose time has come after a failure that passes."""
        due = and_(jobs.c.state == "failed", jobs.c.retry_at <= _now())
        with transaction(self._engine, write=False) as connection:
            if connection.execute(select(jobs.c.id).where(due).limit(1)).first() is None:
                return
        with transaction(self._engine) as connection:
            again = update(jobs).where(due).values(**_AGAIN, retries=jobs.c.retries + 1, updated_at=_now())
            connection.execute(again)

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
    """Raised through a run by its progress callback: cancelled, another's turn, or the server stops.

    Who passes it on may leave in ``done`` what the job's ``spec`` is to remember for the next run.
    """

    def __init__(self) -> None:
        super().__init__()
        self.done: dict[str, Any] = {}


Work = Callable[[Job, Callable[[Progress], None]], Mapping[str, Any]]


@dataclass(slots=True)
class _Running:
    """A job at work, and when it last got on."""

    job: Job
    beat: float


class JobRunner:
    """A few threads, each with a job of another collection. ``work(job, on_progress)`` returns the result.

    Collections take turns: the one that was served goes to the end of the line, and where all threads are
    busy, a job that has had ``turn_s`` goes back into the queue as soon as it has finished a file. So a job
    waits for a turn of each collection before it, however long their jobs are.
    """

    def __init__(
        self, ledger: JobLedger, work: Work, *, workers: int = WORKERS, turn_s: float = TURN_S
    ) -> None:
        self._ledger = ledger
        self._work = work
        self._turn_s = turn_s
        self._stopping = threading.Event()
        self._change = threading.Condition()
        self._wakes = 0
        self._running: dict[str, _Running] = {}
        self._line: list[str] = []
        """Ids of collections with queued jobs and none at work, the next one first."""
        self._threads = [
            threading.Thread(target=self._run, name=f"jobs-{number}", daemon=True)
            for number in range(workers)
        ]

    def start(self) -> None:
        """Take up what is queued, and what a killed server left running."""
        self._ledger.requeue_running()
        for thread in self._threads:
            thread.start()

    def wake(self) -> None:
        """There is something new."""
        with self._change:
            self._wakes += 1
            self._change.notify_all()

    def begin_stop(self) -> None:
        """Take up nothing new; the jobs at work go back into the queue."""
        self._stopping.set()
        self.wake()

    def stop(self, timeout_s: float) -> bool:
        """Stop at a safe point; the jobs at work go back into the queue. Whether they stopped in time."""
        self.begin_stop()
        deadline = time.monotonic() + timeout_s
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    @property
    def alive(self) -> bool:
        """True if all worker threads are running."""
        return all(thread.is_alive() for thread in self._threads)

    def idle_s(self) -> float:
        """Seconds since the job that is stuck longest last got on; 0 without one."""
        now = time.monotonic()
        return max((now - each.beat for each in tuple(self._running.values())), default=0.0)

    def wait_free(self, collection_id: str, *, timeout_s: float) -> None:
        """Wait until no job of this collection is running, or the timeout is over."""
        with self._change:
            self._change.wait_for(lambda: collection_id not in self._running, timeout_s)

    def _run(self) -> None:
        while not self._stopping.is_set():
            seen = self._wakes
            try:
                self._ledger.retry_due()
                if running := self._take():
                    try:
                        self._do(running)
                    finally:
                        self._release(running.job.collection_id)
                    continue
            except StoreUnavailableError:
                _log.exception("the job ledger cannot be used now")
            with self._change:
                if self._wakes == seen:
                    self._change.wait(2.0)

    def _line_up(self) -> dict[str, int]:
        """Bring the line up to date: newcomers at its end. The number of each one's first job."""
        first = {c: n for c, n in self._ledger.first_queued().items() if c not in self._running}
        self._line = list(dict.fromkeys([*(c for c in self._line if c in first), *first]))
        return first

    def _take(self) -> _Running | None:
        with self._change:
            first = self._line_up()
            if not self._line:
                return None
            job = self._ledger.by_number(first[self._line.pop(0)])
            running = self._running[job.collection_id] = _Running(job, time.monotonic())
            return running

    def _release(self, collection_id: str) -> None:
        with self._change:
            try:
                self._line_up()  # whoever came meanwhile is before the next job of this collection
            finally:
                del self._running[collection_id]
                self._change.notify_all()

    def _others_wait(self) -> bool:
        with self._change:
            return len(self._running) >= len(self._threads) and bool(self._line_up())

    def _do(self, running: _Running) -> None:
        job = running.job
        if not self._ledger.change(job.id, only=("queued",), state="running"):
            return
        _log.info(
            "job %s begins", job.id, extra={"job": job.id, "kind": job.kind, "collection": job.collection}
        )
        began = told = 0.0
        reached: tuple[str, int, int] | None = None
        pages = 0

        def on_progress(progress: Progress) -> None:
            nonlocal began, told, reached, pages
            now = time.monotonic()
            if self._stopping.is_set():
                raise JobStoppedError
            if now - told > _PROGRESS_EVERY_S:
                told = now
                if self._ledger.get(job.id).cancelling:
                    raise JobStoppedError
                self._ledger.change(job.id, progress=asdict(progress))
            if progress.pages != pages:
                pages = progress.pages
                running.beat = now
            here = (progress.stage, progress.done, progress.failed)
            if here != reached:
                # A turn begins when the run is set up and ends with something finished, so that jobs get on
                # however long the one takes and however short the other is.
                if reached is None:
                    began = now
                elif now - began >= self._turn_s and self._others_wait():
                    raise JobStoppedError
                reached = here
                running.beat = now

        try:
            result = self._attempt(job, on_progress)
            self._settle(job, state="done", result=dict(result))
        except JobStoppedError as stop:
            # In one statement: between a look and a change somebody may cancel it.
            state = case((jobs.c.cancelling, "cancelled"), else_="queued")
            self._settle(job, state=state, spec={**job.spec, **stop.done})
        except AskpixError as error:
            self._settle(job, state="failed", error=str(error), retry_at=_retry_at(job, error))
        except OSError as error:
            _log.exception("job %s failed", job.id)
            why = f"the server's disk: {error.strerror or error}"
            self._settle(job, state="failed", error=why, retry_at=_retry_at(job, error))
        except Exception:  # noqa: BLE001
            # A bug in one job must not end the thread that all jobs need.
            _log.exception("job %s failed", job.id)
            self._settle(job, state="failed", error="internal error; see the server's log")

    def _settle(self, job: Job, **ending: Any) -> None:
        """Write how a job ended, if need be once the database can be written again."""
        while True:
            if running := self._running.get(job.collection_id):
                running.beat = time.monotonic()
            try:
                self._ledger.change(job.id, **ending)
                ended = "stopped" if "spec" in ending else ending["state"]
                _log.info("job %s %s", job.id, ended, extra={"job": job.id, "error": ending.get("error", "")})
                return
            except StoreUnavailableError:
                _log.exception("how job %s ended cannot be written now", job.id)
            if self._stopping.wait(_SETTLE_EVERY_S):
                return  # at the next start it is begun again

    def _attempt(self, job: Job, on_progress: Callable[[Progress], None]) -> Mapping[str, Any]:
        for pause in _RETRY_AFTER_S:
            try:
                return self._work(job, on_progress)
            except StoreUnavailableError:
                until = time.monotonic() + pause
                while (left := until - time.monotonic()) > 0:
                    if self._stopping.wait(min(1.0, left)) or self._ledger.get(job.id).cancelling:
                        raise JobStoppedError from None
        return self._work(job, on_progress)


def _check_room(connection: Connection) -> None:
    waiting = select(func.count()).where(jobs.c.state.in_(OPEN))
    if connection.execute(waiting).scalar_one() >= _MAX_QUEUED:
        raise LimitError("too many jobs are waiting; try again later")


def _retry_at(job: Job, error: Exception) -> datetime | None:
    """Return when to retry after a passing failure, such as a full disk or a database that is away; None:
    never.
    """
    passes = isinstance(error, StoreUnavailableError | OSError)
    passes = passes or (isinstance(error, ProblemError) and error.status in (503, 507))
    if not passes or job.retries >= _MAX_RETRIES:
        return None
    pause: timedelta = _FIRST_PAUSE * 2 ** min(job.retries, 16)
    return _now() + min(_LONGEST_PAUSE, pause)


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
