"""Page matrices in the store: exact second pass, recall of the first, filters, kills."""

import multiprocessing
import os
import signal
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from askpix.core.errors import IndexMismatchError, StoreUnavailableError
from askpix.retrieval.late_interaction.base import maxsim
from askpix.retrieval.qdrant.connection import QdrantServer
from askpix.retrieval.qdrant.edge_pages import QdrantEdgePages
from askpix.retrieval.qdrant.server_pages import QdrantServerPages
from askpix.retrieval.stores.pages import Matrix
from tests.support.stores import QDRANT_URL, SerialClient, connect_qdrant, on_server

DIM = 128


def page_id(number: int) -> str:
    return str(uuid.UUID(int=number))


def matrices(count: int, *, rows: int = 60, topics: int = 400, seed: int = 0) -> list[Matrix]:
    """Pages of patches around a dozen topics each, of ``topics`` in all: clustered, as real pages are."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((topics, DIM))
    pages = []
    for _ in range(count):
        mine = centres[rng.choice(topics, 12, replace=False)]
        page = mine[rng.integers(0, 12, rows)] + 0.5 * rng.standard_normal((rows, DIM))
        pages.append((page / np.linalg.norm(page, axis=1, keepdims=True)).astype(np.float16))
    return pages


def question(page: Matrix, *, tokens: int = 8, noise: float = 0.08, seed: int = 1) -> Matrix:
    """Tokens near some of a page's patches."""
    rng = np.random.default_rng(seed)
    rows = page[rng.choice(len(page), tokens)].astype(np.float32) + noise * rng.standard_normal((tokens, DIM))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)


def open_pages(folder: Path, *, model: str = "late") -> QdrantEdgePages:
    return QdrantEdgePages.open(folder, model_id=model, dim=DIM)


def open_local(folder: Path, *, model: str = "late", tenant: str = "one") -> QdrantServerPages:
    server = QdrantServer(SerialClient(folder), "local")
    return QdrantServerPages.open(server, physical="askpix-pages", tenant=tenant, model_id=model, dim=DIM)


def open_server(folder: Path, *, model: str = "late") -> QdrantServerPages:
    """A tenant for each folder, in a physical collection of the tests."""
    server, physical = connect_qdrant(), on_server(f"pages-{model}")
    return QdrantServerPages.open(server, physical=physical, tenant=str(folder), model_id=model, dim=DIM)


OPENERS: dict[str, Callable[[Path], Any]] = {"qdrant_edge": open_pages, "qdrant_local": open_local}
if QDRANT_URL:
    OPENERS["qdrant_server"] = open_server


@pytest.fixture(params=sorted(OPENERS))
def opened(request: pytest.FixtureRequest) -> Callable[[Path], Any]:
    return OPENERS[request.param]


def test_every_page_scored_is_exact_maxsim(opened: Callable[[Path], Any], tmp_path: Path) -> None:
    pages = matrices(40)
    with opened(tmp_path) as store:
        store.set_pages([page_id(n) for n in range(40)], pages)
        asked = question(pages[7])
        hits = store.search_pages(asked, limit=40)
        exact = maxsim(asked, pages)
        order = sorted(range(40), key=lambda n: (-exact[n], page_id(n)))
        assert [hit.id for hit in hits] == [page_id(n) for n in order]
        np.testing.assert_allclose([hit.score for hit in hits], exact[order], atol=2e-3)
        assert hits[0].id == page_id(7)


def test_a_shortlist_finds_what_exact_maxsim_finds(tmp_path: Path) -> None:
    """600 clustered pages, 100 shortlisted by 32 pooled vectors of 120: at least 0.95 of the exact ten."""
    pages = matrices(600, rows=120)
    with open_pages(tmp_path) as store:
        for start in range(0, 600, 100):
            store.set_pages([page_id(n) for n in range(start, start + 100)], pages[start : start + 100])
        shares, firsts = [], 0
        for number in range(0, 600, 30):
            asked = question(pages[number], seed=number)
            exact = maxsim(asked, pages)
            best = {page_id(int(n)) for n in np.argsort(-exact)[:10]}
            found = [hit.id for hit in store.search_pages(asked, limit=10)]
            shares.append(len(best & set(found)) / 10)
            firsts += found[0] == page_id(int(np.argmax(exact)))
    assert firsts == 20
    assert np.mean(shares) >= 0.95, shares


def test_matrices_come_back_as_they_went_in(opened: Callable[[Path], Any], tmp_path: Path) -> None:
    pages = matrices(40)
    ids = [page_id(n) for n in range(40)]
    with opened(tmp_path) as store:
        store.set_pages(ids, pages)
        found = store.matrices([*ids, page_id(77), "no id"])
        assert sorted(found) == sorted(ids)
        for each, page in zip(ids, pages, strict=True):
            np.testing.assert_allclose(found[each], page, atol=1e-3)
        assert store.matrices([]) == {}


def test_a_tenant_of_a_server_is_emptied_alone(tmp_path: Path) -> None:
    with open_local(tmp_path, tenant="one") as one:
        two = QdrantServerPages(one._engine.server, one._engine.physical, "two", DIM)
        one.set_pages([page_id(1), page_id(2)], matrices(2))
        two.set_pages([page_id(3)], matrices(1))
        one.delete_all()
        assert (one.count(), two.count()) == (0, 1)


def test_only_the_named_pages_are_ranked_and_unknown_ids_ignored(
    opened: Callable[[Path], Any], tmp_path: Path
) -> None:
    pages = matrices(30)
    with opened(tmp_path) as store:
        store.set_pages([page_id(n) for n in range(30)], pages)
        asked = question(pages[3])
        few = store.search_pages(asked, limit=10, among=[page_id(5), page_id(9), page_id(99), "no uuid"])
        assert {hit.id for hit in few} == {page_id(5), page_id(9)}
        wide = store.search_pages(asked, limit=5, among={page_id(n) for n in range(4, 30)}, shortlist=6)
        assert len(wide) == 5 and page_id(3) not in {hit.id for hit in wide}
        assert store.search_pages(asked, limit=5, among=[]) == []
        assert store.search_pages(asked, limit=0) == []
        assert store.search_pages(np.zeros((0, DIM), np.float16), limit=5) == []


def test_writing_twice_is_writing_once_and_pages_can_go(
    opened: Callable[[Path], Any], tmp_path: Path
) -> None:
    pages = matrices(4)
    with opened(tmp_path) as store:
        store.set_pages([page_id(0), page_id(1)], pages[:2])
        store.set_pages([page_id(0), page_id(1)], pages[2:])
        assert store.count() == 2
        assert store.search_pages(question(pages[2]), limit=1)[0].id == page_id(0)
        store.delete([page_id(0), page_id(77), "x"])
        store.set_pages([], [])
        assert list(store.ids()) == [page_id(1)]
    with opened(tmp_path) as store:
        assert store.count() == 1


@pytest.mark.parametrize(
    "bad",
    [np.zeros((0, DIM)), np.zeros((3, DIM - 1)), np.zeros(DIM), np.full((2, DIM), np.nan)],
    ids=["empty", "other width", "one row", "nan"],
)
def test_a_matrix_that_is_none_is_refused_before_anything_is_written(
    opened: Callable[[Path], Any], tmp_path: Path, bad: Matrix
) -> None:
    with opened(tmp_path) as store:
        with pytest.raises(ValueError):
            store.set_pages([page_id(0), page_id(1)], [matrices(1)[0], bad.astype(np.float16)])
        assert store.count() == 0


def test_another_model_and_a_second_process_are_refused(tmp_path: Path) -> None:
    with open_pages(tmp_path), pytest.raises(StoreUnavailableError, match="in use"):
        open_pages(tmp_path)
    with pytest.raises(IndexMismatchError, match=r"'late'.*'other'"):
        open_pages(tmp_path, model="other")


def test_tenants_of_one_server_do_not_meet(tmp_path: Path) -> None:
    pages = matrices(3)
    with open_local(tmp_path) as one:
        one.set_pages([page_id(0)], pages[:1])
    with open_local(tmp_path, tenant="two") as two:
        two.set_pages([page_id(1)], pages[1:2])
        asked = question(pages[0])
        assert [hit.id for hit in two.search_pages(asked, limit=9)] == [page_id(1)]
        assert [hit.id for hit in two.search_pages(asked, limit=9, among=[page_id(0)])] == []
        two.delete([page_id(0)])
    with open_local(tmp_path) as one:
        assert (one.count(), list(one.ids())) == (1, [page_id(0)])
    with pytest.raises(IndexMismatchError, match=r"'late'.*'other'"):
        open_local(tmp_path, model="other")


def _write_until_killed(folder: Path, said: str) -> None:
    store = open_pages(folder)
    with Path(said).open("a") as log:
        for number, page in enumerate(matrices(2_000, rows=40)):
            store.set_pages([page_id(number)], [page])
            log.write(f"{number}\n")
            log.flush()


def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    said = tmp_path / "said"
    said.touch()
    context = multiprocessing.get_context("spawn")
    child = context.Process(target=_write_until_killed, args=(tmp_path / "pages", str(said)))
    child.start()
    while len(said.read_text().splitlines()) < 25 and child.is_alive():
        child.join(0.02)
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    acknowledged = len(said.read_text().splitlines())
    assert acknowledged >= 25
    with open_pages(tmp_path / "pages") as store:
        assert {page_id(n) for n in range(acknowledged)} <= set(store.ids())
