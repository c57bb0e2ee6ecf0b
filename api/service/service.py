"""Shared state of a running server: the open workspace, its jobs and keys, and the file in the home that
tells other commands its address.
"""

import logging
import secrets
import threading
from typing import Any

import anyio
import anyio.to_thread
import filelock

from askpix.api.jobs.queue import Job, JobLedger, JobRunner
from askpix.api.jobs.uploads import Uploads
from askpix.api.jobs.work import JobWork
from askpix.api.security.audit_log import Trail
from askpix.api.security.keys import Key, KeyRing
from askpix.api.security.principal import Principal
from askpix.api.security.tables import database_of
from askpix.api.service.metrics import Meters
from askpix.api.service.places import Places
from askpix.api.service.reserve import Reserve
from askpix.api.services.search import open_searcher
from askpix.api.settings import Settings
from askpix.api.workspace.pooled import HeldWorkspace
from askpix.api.workspace.server_file import LOCK, Note, read_note, remove_note, write_note
from askpix.api.workspace.workspace import Workspace
from askpix.core.errors import AskpixError, NotFoundError
from askpix.core.log import tolerated
from askpix.core.types import ImageRecord
from askpix.ingest.catalog.catalog import Collection

_STUCK_S = 15 * 60
"""A worker that says nothing for so long is stuck: the largest document takes minutes a page at worst."""
_log = logging.getLogger("askpix.service")


class Service:
    """Shared state of a running server. Call ``start()`` before serving and ``stop()`` after."""

    def __init__(
        self, settings: Settings, *, public: bool = False, workspace: Workspace | None = None
    ) -> None:
        self.settings = settings
        self.workspace: Workspace = workspace or HeldWorkspace(settings)
        self.catalog = self.workspace.catalog
        self.engine = database_of(settings.home)
        self.jobs = JobLedger(self.engine)
        self.keys = KeyRing(self.engine)
        self.trail = Trail(self.engine)
        self.uploads = Uploads(
            settings.home, max_bytes=settings.max_upload_bytes, max_files=settings.max_upload_files
        )
        self.reserve = Reserve(settings.home)
        self.runner = JobRunner(self.jobs, JobWork(self.workspace, self.uploads))
        self.meters = Meters()
        self.token = secrets.token_urlsafe(32)
        self.ready = self.stopping = False
        self._warming: threading.Thread | None = None
        self.places = Places(settings.max_waiting)
        self._closed = public
        # Threads of their own: nobody who signs in waits for those that are at work for others.
        self._sign_in = anyio.CapacityLimiter(4)
        self._lock = filelock.FileLock(settings.home / LOCK, thread_local=False)

    # --- beginning and end ---------------------------------------------------------------------------------

    def start(self) -> None:
        """Take the home. Raises ``AskpixError`` when another server has it."""
        try:
            self._lock.acquire(timeout=3)
        except filelock.Timeout as error:
            note = read_note(self.settings.home)
            raise AskpixError(
                f"{str(self.settings.home)!r} is served already, at {note.url if note else 'some address'}; "
                "stop that server, or set another ASKPIX_HOME"
            ) from error
        self.uploads.clear_parts()
        self.reserve.keep()
        self.runner.start()

    def announce(self, url: str) -> None:
        """Tell the other commands of this home where the server is."""
        write_note(self.settings.home, Note(url, self.token))

    def start_warm_up(self) -> None:
        """Load the models and the stores in a thread, so that the first query is fast."""
        self._warming = threading.Thread(target=self._warm_up, name="warm-up", daemon=True)
        self._warming.start()

    def _warm_up(self) -> None:
        try:
            for collection in self.catalog.list_collections()[:16]:
                if self.stopping:
                    return
                with open_searcher(self.workspace, collection) as searcher:
                    _ = searcher.retriever
            self.workspace.embedder(self.settings.embedder)
        except AskpixError as error:
            _log.warning("warm-up: %s", error)
        self.ready = not self.stopping

    def begin_stop(self) -> None:
        """Take no new work; streams end, and the running job stops at its next safe point."""
        self.ready = False
        self.stopping = True
        self.runner.begin_stop()

    def stop(self, *, timeout_s: float = 30.0) -> bool:
        """Running jobs stop at a safe point and go on at the next start; every store is closed.

        Whether its threads have ended. One that is still inside a native library (a large model being
        loaded) when the interpreter ends takes the process down with it: leave by ``os._exit`` then.
        """
        self.begin_stop()
        remove_note(self.settings.home)
        if self._warming is not None:
            self._warming.join(timeout_s / 3)
        ended = self.runner.stop(timeout_s)
        if ended:
            if isinstance(self.workspace, HeldWorkspace):
                self.workspace.close()
        else:
            _log.warning("a job did not stop in time; it goes on at the next start")
        self.engine.dispose()
        self._lock.release()
        return ended and not (self._warming is not None and self._warming.is_alive())

    def healthy(self) -> str | None:
        """Return what is stuck; None when all is well."""
        if not self.runner.alive:
            return "the job worker is gone"
        if self.runner.idle_s() > _STUCK_S:
            return f"the job worker has said nothing for {self.runner.idle_s():.0f} s"
        return None

    # --- who comes in --------------------------------------------------------------------------------------

    async def check_key(self, text: str) -> Key | None:
        """The key that this is, if it is one."""
        return await anyio.to_thread.run_sync(self.keys.check, text, limiter=self._sign_in)

    async def is_open(self) -> bool:
        """Return whether anybody may come in: no key was ever made, and only this machine can reach the
        server.
        """
        if not self._closed:
            made = await anyio.to_thread.run_sync(self.keys.ever_made, limiter=self._sign_in)
            self._closed = self._closed or made
        return not self._closed

    # --- what a principal may reach ------------------------------------------------------------------------

    def image(self, principal: Principal, image_id: str) -> tuple[Collection, ImageRecord, str]:
        """An image that they may see, with its collection and SHA-256. Raises ``NotFoundError``."""
        found = self.catalog.lookup.image(image_id)
        if found is None or not principal.sees(found[0].name):
            raise NotFoundError(f"no image {image_id!r}")
        return found

    def job(self, principal: Principal, job_id: str) -> Job:
        """A job on one of their collections, also one that was deleted since. Raises ``NotFoundError``."""
        job = self.jobs.get(job_id)
        if not principal.sees(job.collection):
            raise NotFoundError(f"no job {job_id!r}")
        return job

    def enqueue(self, collection: Collection, kind: str, spec: dict[str, Any]) -> Job:
        """A new job; durable on return."""
        job = self.jobs.add(kind=kind, collection=collection.name, collection_id=collection.id, spec=spec)
        self.runner.wake()
        return job

    def delete_collection(self, collection: Collection) -> int:
        """Delete a collection with its jobs and uploads; return how many images it held."""
        self.reserve.release()
        cancelled = self.jobs.cancel_all(collection.id)
        self.runner.wait_free(collection.id, timeout_s=30)
        try:
            return self.workspace.delete_collection(collection.name)
        except AskpixError:
            for job_id in cancelled:  # nothing is deleted, so nothing that was sent is lost either
                with tolerated(_log, f"job {job_id} is not put back", AskpixError):
                    if not self.jobs.retry(job_id):
                        self.jobs.change(job_id, only=("running",), cancelling=False)
            self.runner.wake()
            raise
        finally:
            self.reserve.keep()

    def delete_image(self, collection: Collection, record: ImageRecord, sha256: str) -> None:
        """Out of store and catalog, or of neither. Uploaded files go too; files in folders stay."""
        self.reserve.release()
        others = [each for each in self.catalog.lookup.ids_of(collection, sha256) if each != record.id]
        uris = (record.uri, *record.copies)
        own = [] if others else [uri for uri in uris if self.uploads.holds(uri)]
        with self.workspace.open_store(collection) as store:
            kept = store.get([record.id])
            vectors = store.image_vectors([each.id for each in kept])
            passages = store.passages([record.id])
            try:
                with self.catalog.forgetting(collection, record.id, own):
                    store.delete([record.id])
            except BaseException:
                if kept and not store.get([record.id]):
                    store.upsert(kept, vectors)
                    store.set_text([record.id], [kept[0].text], passages)
                raise
        with tolerated(
            _log, "files of a deleted image are left", OSError
        ):  # the index is rid of it; doctor names files that are left
            self.uploads.delete_thumbnails(record.id)
            for uri in own:
                self.uploads.delete(uri)
        self.reserve.keep()
