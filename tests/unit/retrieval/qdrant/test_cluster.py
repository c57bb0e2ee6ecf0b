"""Several nodes, several versions: which address is asked, and how that version is asked."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qdrant_client import models

from askpix.api.settings import Settings
from askpix.api.workspace.page_index import open_pages
from askpix.api.workspace.region_index import open_sheets
from askpix.api.workspace.workspace import Workspace
from askpix.core.errors import StoreUnavailableError
from askpix.core.types import Where
from askpix.retrieval.qdrant import connection
from askpix.retrieval.qdrant.connection import QdrantServer
from askpix.retrieval.qdrant.server_store import QdrantServerStore
from tests.support.fakes import record
from tests.support.qdrant import FakeQdrant, Request, fake_qdrant

ROWS = np.eye(4, dtype=np.float32)
RED, TWO = Where(path="red/*"), record(2, uri="/two.jpg")


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_FIRST_WAIT_S", 0.001)


@pytest.fixture
def cluster() -> Iterator[FakeQdrant]:
    with fake_qdrant(nodes=2) as made:
        yield made


def open_store(url: str, **options: Any) -> QdrantServerStore:
    return QdrantServerStore.open(
        QdrantServer.connect(url, **options),
        physical="p",
        tenant="ann",
        model_id="colour",
        dim=4,
        text_model_id="word-bag",
        text_dim=4,
    )


# --- addresses --------------------------------------------------------------------------------------------


def test_a_node_that_dies_costs_no_search_and_no_write(cluster: FakeQdrant) -> None:
    with open_store(cluster.url, api_key="s3cret") as store:
        store.upsert([record(1)], ROWS[:1])
        assert {each.node for each in cluster.requests} == {0}
        cluster.kill(0)
        assert store.count() == 1
        store.upsert([record(2)], ROWS[1:2])
        assert len(store.search("image", ROWS[0], where=Where(), limit=5)) == 2
    assert {each.node for each in cluster.requests} == {0, 1}
    assert {each.key for each in cluster.requests} == {"s3cret"}


def test_one_that_is_down_at_the_start_is_passed(cluster: FakeQdrant) -> None:
    cluster.kill(0)
    with open_store(f" {cluster.urls[0]} , {cluster.urls[1]},") as store:
        assert store.count() == 0


def test_the_node_that_answered_last_is_asked_first(cluster: FakeQdrant) -> None:
    with open_store(cluster.url) as store:
        cluster.fault = lambda request: (503, "starting") if request.node == 0 else None
        store.count()
        del cluster.requests[:]
        for _ in range(3):
            store.count()
        assert [each.node for each in cluster.requests] == [1, 1, 1]


def test_what_every_node_would_refuse_is_asked_once(cluster: FakeQdrant) -> None:
    with open_store(cluster.url) as store:
        cluster.fault = lambda _: (400, "bad vector")
        del cluster.requests[:]
        with pytest.raises(StoreUnavailableError, match=r"refused \(400\): bad vector$"):
            store.count()
        assert len(cluster.requests) == 1


def test_one_that_lets_a_request_wait_is_asked_once_for_it(cluster: FakeQdrant) -> None:
    leave = threading.Event()

    def stuck(request: Request) -> tuple[int, str] | None:
        if request.node == 0:
            cluster._turn.release()
            leave.wait(30)
            cluster._turn.acquire()
        return (503, "no leader") if request.node else None

    with open_store(cluster.url, timeout_s=1) as store:
        cluster.fault = stuck
        del cluster.requests[:]
        try:
            with pytest.raises(StoreUnavailableError) as caught:
                store.count()
        finally:
            leave.set()
    assert [each.node for each in cluster.requests] == [0, 1, 1, 1, 1]
    assert "did not answer in time" in str(caught.value) and "no leader" in str(caught.value)


def test_where_none_answers_every_address_is_named_without_passwords(cluster: FakeQdrant) -> None:
    for node in (0, 1):
        cluster.kill(node)
    first, second = cluster.urls
    with pytest.raises(StoreUnavailableError, match="cannot reach") as caught:
        open_store(",".join((first.replace("http://", "http://ann:pass@"), second)))
    assert first in str(caught.value) and second in str(caught.value)
    assert "pass" not in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(StoreUnavailableError, match="'localhost' is no address"):
        QdrantServer.connect(f"{first},localhost")


def test_threads_go_on_when_a_node_dies(cluster: FakeQdrant) -> None:
    with open_store(cluster.url) as store, ThreadPoolExecutor(8) as pool:
        store.upsert([record(n) for n in range(4)], ROWS)
        ready = threading.Barrier(9)

        def count(_: int) -> list[int]:
            found = [store.count()]
            ready.wait(30)
            return found + [store.count() for _ in range(5)]

        found = [pool.submit(count, n) for n in range(8)]
        ready.wait(30)
        cluster.kill(0)
        assert [each.result(60) for each in found] == [[4] * 6] * 8


def test_only_where_there_are_others_a_connection_is_given_up_soon() -> None:
    waited: dict[str, Any] = {}

    def watch(name: str, server: QdrantServer) -> None:
        def see(request: Any, send: Any) -> Any:
            try:
                return send(request)
            finally:
                waited[name] = request.extensions["timeout"]

        server._nodes[0].client.http.client.add_middleware(see)
        with pytest.raises(StoreUnavailableError):
            server.ask(lambda client: client.info(), tries=1)
        server.close()

    one, two = "http://127.0.0.1:9", "http://127.0.0.1:19"
    watch("alone", QdrantServer.connect(one))
    watch("both", QdrantServer.connect(f"{one},{two}"))
    assert waited["alone"]["connect"] == 30
    assert (waited["both"]["connect"], waited["both"]["read"]) == (5, 30)


# --- copies -----------------------------------------------------------------------------------------------


def test_pages_and_regions_have_as_many_copies_as_images(cluster: FakeQdrant, tmp_path: Path) -> None:
    settings = Settings(
        home=tmp_path,
        _env_file=None,
        store="qdrant",
        qdrant_url=cluster.url,
        qdrant_shards=3,
        qdrant_replicas=2,
        qdrant_write_replicas=1,
    )
    there = Workspace(settings)
    there.catalog.create_collection(
        "c", embedder="colour", dim=8, text_embedder="bag", text_dim=4, store="qdrant"
    )
    there.catalog.set_page_embedder(there.collection("c"), "transformers:late", 4)
    made = there.collection("c")
    with there.open_store(made), open_pages(there, made), open_sheets(there, made):
        created = cluster.asked("PUT", "/collections/[^/]*")
    there.catalog.close()
    sent = [
        (e.body["shard_number"], e.body["replication_factor"], e.body["write_consistency_factor"])
        for e in created
    ]
    assert sent == [(3, 2, 1)] * 3


# --- versions ---------------------------------------------------------------------------------------------


def filled(qdrant: FakeQdrant) -> QdrantServerStore:
    store = open_store(qdrant.url)
    one = record(1, uri="/red/one.jpg", camera="Canon EOS R5", text="Invoice number 4711")
    store.upsert([one, TWO], ROWS[:2])
    return store


@pytest.mark.parametrize(("version", "condition"), [("1.19.0", "text"), ("1.20.0", "substring")])
def test_parts_of_words_are_found_on_either_version(version: str, condition: str) -> None:
    with fake_qdrant(version=version) as qdrant, filled(qdrant) as store:
        for where in (
            RED,
            Where(camera="non eos"),
            Where(phrases=("invoice number",)),
            Where(path="red/*", camera="CANON", phrases=("4711",)),
        ):
            assert store.scroll(where, limit=5) == [record(1).id], where
            assert store.count(where) == 1
        sent = str([each.body for each in qdrant.asked("POST", ".*/scroll")])
        assert f"'match': {{'{condition}': " in sent


@pytest.mark.parametrize(
    ("version", "lacking"),
    [
        ("1.13.4", "word statistics of one tenant"),
        ("1.18.9", "word statistics of one tenant"),
        ("1.19.1", "a filter for parts of words"),
        ("1.19.7", "a filter for parts of words"),
    ],
)
def test_a_version_that_lacks_something_is_refused_with_the_reason(version: str, lacking: str) -> None:
    with (
        fake_qdrant(version=version) as qdrant,
        pytest.raises(StoreUnavailableError, match=lacking) as caught,
    ):
        open_store(qdrant.url)
    assert f"version {version}; 1.20 or newer (or 1.19.0) is needed" in str(caught.value)


def test_an_update_under_an_open_store_is_noticed() -> None:
    """1.19.1 takes a full-text condition too, and finds whole words only."""
    with fake_qdrant(version="1.19.0") as qdrant, filled(qdrant) as store:
        qdrant.version = "1.19.1"
        with pytest.raises(StoreUnavailableError, match=r"1\.19\.1"):
            store.count(RED)
        qdrant.version = "1.20.0"
        assert store.count(RED) == 1


def test_a_condition_stays_what_it_was_where_nobody_asked_the_version() -> None:
    server = QdrantServer.connect("http://127.0.0.1:9")
    assert server.substring("x") == models.MatchSubstring(substring="x")
    server.close()
