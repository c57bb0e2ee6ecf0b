"""Stage one and two on a Ray cluster: files in shards, each a Ray Data job that goes on where it was killed.

    plan -> shards of a manifest -> [ decode (tasks) -> embed (actors) -> write (actors) ] -> words likewise

Ray's checkpoints cover the inside of a shard: rows that were written are not looked at again. They keep all
ids of a job in memory, so a shard has at most a million. Ray's own back-pressure bounds what is under way.
"""

import json
import logging
import pickle
import shutil
import time
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import groupby, islice
from pathlib import Path
from typing import Any

from askpix.core.errors import ModelUnavailableError, StoreUnavailableError
from askpix.core.imaging.decode import ImageLimits
from askpix.ingest.catalog.catalog import Catalog
from askpix.ingest.catalog.models import Collection
from askpix.ingest.pipeline.plan import Plan, Task, make_plan, tried_with
from askpix.ingest.pipeline.report import Failure, IngestReport, ReadReport
from askpix.ingest.pipeline.worker import Contents
from askpix.ingest.pipeline.writer import Writer, mend
from askpix.ingest.ray.stages import Embed, OpenTools, Read, Write, WriteText, decode
from askpix.ingest.sources.remote import Remote
from askpix.retrieval.stores.base import OpenStore

SHARD = 1_000_000
"""Files in one job."""
_BLOCK_BYTES = 8 * 2**20
"""Rows are checkpointed when their block is written: smaller ones cost a kill less."""
_DECODE = 16
_EMBED = 64
_WRITE = 128
"""Files in a batch of each stage."""
_GROUPS = 64


class RayEngine:
    """A run of a collection on the cluster that ``connect`` reached.

    ``folder`` keeps manifest and checkpoints: all nodes must be able to read and write it.
    """

    def __init__(
        self,
        *,
        collection: Collection,
        catalog: Catalog,
        open_tools: OpenTools,
        folder: Path,
        shared: bool,
        block: int = 1024,
    ) -> None:
        """``shared``: several processes may write the store at once; else one on this machine does. ``block``
        files are handed from stage to stage at once at most: what a kill costs, times the stages."""
        self._collection = collection
        self._catalog = catalog
        self._open_tools = open_tools
        self._folder = folder
        self._shared = shared
        self._block = block

    def index(
        self,
        paths: Sequence[Path],
        *,
        open_store: OpenStore,
        image_side: int,
        limits: ImageLimits,
        ignore: Sequence[str] = (),
        prune: bool = False,
        shard: int = SHARD,
    ) -> IngestReport:
        """Index like ``ingest.pipeline.embed_images.index``. A run that was killed is finished first, by its
        manifest.
        """
        began = time.perf_counter()
        collection = self._collection
        catalog = self._catalog
        rows: list[dict[str, Any]] = []
        if self._manifest() is not None:
            rows += self._run_shards(image_side)
            self._drop()
        with open_store() as store:
            if catalog.begin_run(collection) or store.count() != catalog.count_images(collection):
                mend(collection, catalog, store)
        plan = make_plan(
            paths,
            Remote().find_all(paths, ignore, limits=limits),
            known=catalog.known_sources(collection),
            contents=catalog.contents(collection),
            limits=limits,
            ignore=ignore,
        )
        catalog.notes.beside(collection, plan.beside)
        if plan.todo:
            self._write_manifest(plan.todo, shard)
            rows += self._run_shards(image_side)
        report = self._finish(plan, rows, open_store=open_store, limits=limits, prune=prune, began=began)
        self._drop()
        return report

    def read_texts(self, *, engine_id: str) -> ReadReport:
        """The words in all images that were not read yet; the catalog says which after a kill."""
        from ray.data import ActorPoolStrategy, from_items

        began = time.perf_counter()
        groups = (
            list(same) for _, same in groupby(self._catalog.texts.pending(self._collection.id), _content)
        )
        read = with_text = failed = 0
        while part := list(islice(groups, SHARD)):
            rows: Any = from_items([{"state": pickle.dumps(group)} for group in part])
            rows = rows.repartition(max(1, len(part) // _GROUPS))
            found = rows.map_batches(
                Read,
                batch_size=4,
                fn_constructor_args=(self._open_tools,),
                num_cpus=1,
                compute=ActorPoolStrategy(min_size=1, max_size=_cpus()),
            ).map_batches(
                WriteText,
                batch_size=16,
                fn_constructor_args=(self._open_tools, self._collection, engine_id),
                **self._one_writer(),
            )
            for row in found.iter_rows():
                read = read + row["read"]
                with_text = with_text + row["with_text"]
                failed = failed + row["failed"]
        return ReadReport(int(read + failed), int(with_text), (), round(time.perf_counter() - began, 3))

    # --- shards --------------------------------------------------------------------------------------

    def _write_manifest(self, todo: Sequence[Task], shard: int) -> None:
        import pyarrow as pa
        from pyarrow import parquet

        self._folder.mkdir(parents=True, exist_ok=True)
        names = []
        for number, start in enumerate(range(0, len(todo), shard)):
            part = todo[start : start + shard]
            columns = {"uri": [t.source.uri for t in part], "state": [pickle.dumps(t) for t in part]}
            names.append(f"shard-{number:05}.parquet")
            # Small row groups are small blocks: work for all nodes, and little lost by a kill.
            parquet.write_table(pa.table(columns), self._folder / names[-1], row_group_size=self._block)
        self._save({"collection": self._collection.id, "shards": dict.fromkeys(names, "open")})

    def _run_shards(self, image_side: int) -> Iterator[dict[str, Any]]:
        manifest = self._manifest()
        assert manifest is not None
        for name, state in manifest["shards"].items():
            if state != "done":
                self._run_shard(name, image_side)
                manifest["shards"][name] = "done"
                self._save(manifest)
            yield from self._results(name)

    def _run_shard(self, name: str, image_side: int) -> None:
        import ray
        from ray.data import ActorPoolStrategy, DataContext
        from ray.data.checkpoint import CheckpointConfig

        context = DataContext.get_current()
        context.checkpoint_config = CheckpointConfig(
            id_column="uri", checkpoint_path=str(self._folder / f"{name}.checkpoint")
        )
        context.target_max_block_size = _BLOCK_BYTES
        context.enable_progress_bars = False
        gpus = int(ray.cluster_resources().get("GPU", 0))
        device: dict[str, Any] = (
            {"num_gpus": 1, "compute": ActorPoolStrategy(min_size=1, max_size=gpus)}
            if gpus
            else {"num_cpus": 1, "compute": ActorPoolStrategy(min_size=1, max_size=_cpus())}
        )
        common = (self._open_tools, self._collection)
        try:
            rows = ray.data.read_parquet(str(self._folder / name), columns=["uri", "state"])
            rows = rows.map_batches(
                partial(
                    decode, open_tools=self._open_tools, collection=self._collection, image_side=image_side
                ),
                batch_size=min(_DECODE, self._block),
                num_cpus=1,
            )
            rows = rows.map_batches(
                Embed, batch_size=min(_EMBED, self._block), fn_constructor_args=common, **device
            )
            rows = rows.map_batches(
                Write, batch_size=min(_WRITE, self._block), fn_constructor_args=common, **self._one_writer()
            )
            rows.write_parquet(str(self._folder / f"{name}.results"))
        except ray.exceptions.RayError as error:
            why = " ".join(
                str(error.cause if isinstance(error, ray.exceptions.RayTaskError) else error).split()
            )
            raise StoreUnavailableError(
                f"the job on Ray stopped ({why[-300:]}); run the command again, it goes on from here"
            ) from error
        finally:
            context.checkpoint_config = None

    def _one_writer(self) -> dict[str, Any]:
        """A store in a folder is written by one process on this machine; a server by several anywhere."""
        import ray
        from ray.data import ActorPoolStrategy

        if self._shared:
            return {"num_cpus": 0.25, "compute": ActorPoolStrategy(min_size=1, max_size=8)}
        here = {"ray.io/node-id": ray.get_runtime_context().get_node_id()}
        return {"num_cpus": 0.25, "compute": ActorPoolStrategy(size=1), "label_selector": here}

    def _results(self, name: str) -> Iterator[dict[str, Any]]:
        from pyarrow import parquet

        for path in sorted((self._folder / f"{name}.results").glob("*.parquet")):
            yield from parquet.read_table(path).to_pylist()

    # --- the end -------------------------------------------------------------------------------------

    def _finish(
        self,
        plan: Plan,
        rows: Sequence[dict[str, Any]],
        *,
        open_store: OpenStore,
        limits: ImageLimits,
        prune: bool,
        began: float,
    ) -> IngestReport:
        collection = self._collection
        catalog = self._catalog
        with open_store() as store:
            writer = Writer(
                collection=collection,
                catalog=catalog,
                store=store,
                contents=Contents(set(), {}),
                plan=plan,
                conditions=tried_with(limits),
            )
            # Bytes that were left, or that several files hold: who holds them now is settled at the end.
            left = {row["was"] for row in rows if row["was"] and row["was"] != row["sha256"]}
            writer.touch({*left, *(row["sha256"] for row in rows if row["sha256"] and not row["images"])})
            held = catalog.sources_of(collection, sorted({row["sha256"] for row in rows if row["images"]}))
            writer.touch({sha256 for sha256, uris in held.items() if len(uris) > 1})
            writer.finish(prune=prune)
            catalog.end_run(collection)
            store.optimize()
        seconds = time.perf_counter() - began
        # A run that went on knows of a file from the manifest, and again from the plan.
        failed = {failure.path: failure for failure in plan.failures}
        failed |= {row["uri"]: Failure(row["uri"], row["error"]) for row in rows if row["error"]}
        added = sum(bool(row["images"]) and not row["indexed"] for row in rows)
        updated = sum(bool(row["images"]) and row["indexed"] for row in rows)
        embedded = sum(row["embedded"] for row in rows)
        return IngestReport(
            collection=collection.name,
            embedder=collection.embedder,
            added=added,
            updated=updated,
            unchanged=plan.unchanged,
            removed=writer.removed,
            duplicates=sum(bool(row["sha256"]) and not row["images"] and not row["error"] for row in rows),
            failed=tuple(sorted(failed.values(), key=lambda failure: failure.path)),
            skipped=tuple(plan.skipped),
            images=catalog.count_images(collection),
            seconds=round(seconds, 3),
            images_per_second=round(embedded / seconds, 2),
        )

    def _manifest(self) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = json.loads((self._folder / "manifest.json").read_text("utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise StoreUnavailableError(
                f"the manifest in {str(self._folder)!r} cannot be read; delete that folder and run again"
            ) from error
        return found if found.get("collection") == self._collection.id else None

    def _save(self, manifest: dict[str, Any]) -> None:
        draft = self._folder / "manifest.new"
        draft.write_text(json.dumps(manifest), "utf-8")
        draft.replace(self._folder / "manifest.json")

    def _drop(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


def connect(address: str, *, local_cpus: int) -> None:
    """Join the cluster at ``address``; ``local`` starts one on this machine with so many tasks at once.

    Raises ``ModelUnavailableError`` without Ray, ``StoreUnavailableError`` when there is no such cluster.
    """
    try:
        import ray
        import ray.data  # sets its logging up
    except ModuleNotFoundError as error:
        raise ModelUnavailableError("Ray is not installed; add it with: pip install 'askpix[ray]'") from error
    if ray.is_initialized():
        return
    for handler in logging.getLogger("ray.data").handlers:
        if not isinstance(handler, logging.FileHandler):
            handler.setLevel(logging.ERROR)  # plans and bars are for its developers
    try:
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
        if address != "local":
            ray.init(address=address, **quiet)
        else:
            ray.init(address="local", num_cpus=local_cpus, include_dashboard=False, **quiet)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise StoreUnavailableError(
            f"cannot reach the Ray cluster: {' '.join(str(error).split())}"
        ) from error


def leave() -> None:
    """Let go of the cluster; one that ``connect`` started ends."""
    import ray

    ray.shutdown()


def nodes() -> int:
    """Return how many machines the cluster has now."""
    import ray

    return sum(bool(node["Alive"]) for node in ray.nodes())


def _cpus() -> int:
    import ray

    # Actors keep their cores: reading and writing need some too, or nothing goes on.
    return max(1, int(ray.cluster_resources().get("CPU", 1)) * 3 // 4)


def _content(item: Any) -> str:
    return str(item.sha256)
