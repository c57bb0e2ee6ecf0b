"""Page embedders and rerankers through the real command, with tiny models saved as real ones are."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import PICTURES, Askpix, runner

pytest.importorskip("torch", reason="needs the extra torch")
pytest.importorskip("transformers", reason="needs the extra torch")

from tests.support import tiny_models


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    tiny_models.save_colqwen2(folder / "colqwen2")
    tiny_models.save_colpali(folder / "colpali")
    tiny_models.save_cross_encoder(folder / "cross")
    tiny_models.export_cross_encoder(folder / "cross")
    return folder


@pytest.fixture(scope="module")
def askpix(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Askpix:
    """A home with the two-page report and three photos, indexed with a page embedder named relatively."""
    home = tmp_path_factory.mktemp("home")
    album = home / "album"
    album.mkdir()
    for name in ("documents/library-report.pdf", "photos/cat.jpg", "receipts/sakura-sushi.jpg"):
        (album / Path(name).name).write_bytes((PICTURES / name).read_bytes())
    run = runner(home / "askpix", models, torch=True)
    done = run("index", album, "--page-embedder", "transformers:colqwen2", "--json")
    report = json.loads(done.stdout)
    # The PDF's pages, and the receipt for its many lines.
    assert report["pages"]["embedded"] == 3 and report["pages"]["failed"] == []
    again = json.loads(run("index", album, "--json").stdout)
    assert again["pages"]["embedded"] == 0
    return runner(home / "askpix", home, torch=True)  # elsewhere: the relative name must not matter


def hits(done: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(done.stdout)["hits"]
    return found


@pytest.mark.timeout(600)
def test_pages_are_searched_and_the_collection_says_by_what(askpix: Askpix, models: Path) -> None:
    shown = json.loads(askpix("collections", "show", "default", "--json").stdout)
    assert shown["page_embedder"].startswith(f"transformers:{models / 'colqwen2'}#")
    found = hits(askpix("search", "total", "--all", "--json"))
    assert sorted("page" in hit["why"] for hit in found) == [False, True, True, True]
    only = hits(askpix("search", "total", "--all", "--json", "--path", "*.pdf"))
    assert len(only) == 2 and all(hit["uri"].endswith(".pdf") for hit in only)


@pytest.mark.timeout(600)
def test_each_kind_of_second_look(askpix: Askpix, models: Path) -> None:
    plain = hits(askpix("search", "total", "--all", "--json"))
    for reranker, judged in (
        ("pages", 3),
        (f"onnx:{models / 'cross'}", 3),
        (f"transformers:{models / 'colpali'}", 4),
    ):
        found = hits(askpix("search", "total", "--all", "--json", "--rerank", reranker))
        assert {hit["id"] for hit in found} == {hit["id"] for hit in plain}
        by = [hit["why"]["rerank"] for hit in found if "ranked_by" in hit["why"]]
        assert len(by) == judged and by == sorted(by, reverse=True), reranker
    by_setting = hits(askpix("search", "total", "--all", "--json", ASKPIX_RERANK="pages"))
    assert any("ranked_by" in hit["why"] for hit in by_setting)
    none = hits(askpix("search", "total", "--all", "--json", "--rerank", "none", ASKPIX_RERANK="pages"))
    assert [hit["id"] for hit in none] == [hit["id"] for hit in plain]
    assert all("ranked_by" not in hit["why"] for hit in none)


@pytest.mark.timeout(600)
def test_what_cannot_be_is_one_clear_line(askpix: Askpix, models: Path, tmp_path: Path) -> None:
    # jinaai/jina-reranker-m0: a known family with a head of its own; asked "yes or no?", it says anything.
    config = {"model_type": "qwen2_vl", "architectures": ["JinaVLForRanking"]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    for words, said in (
        (("search", "x", "--rerank", f"transformers:{tmp_path}"), "needs code that comes with it (JinaVL"),
        (("search", "x", "--rerank", "bogus"), "no reranker 'bogus'"),
        (("search", "x", "--rerank", "generator:extractive"), "only quotes"),
        (("index", PICTURES / "photos" / "cat.jpg", "--page-embedder", "nothing"), "no page embedder"),
        (
            ("collections", "create", "new", "--page-embedder", f"transformers:{models / 'cross'}"),
            "a 'bert', no page embedder",
        ),
    ):
        assert said in askpix(*words, code=1).stderr
    assert "new" not in askpix("collections", "list").stdout


@pytest.mark.timeout(600)
def test_eval_shows_gain_and_cost(askpix: Askpix, models: Path, tmp_path: Path) -> None:
    for name in ("cat.jpg", "coffee-cup.jpg"):
        (tmp_path / name).write_bytes((PICTURES / "photos" / name).read_bytes())
    rows = [{"image": "cat.jpg", "captions": ["a cat"]}, {"image": "coffee-cup.jpg", "captions": ["a cup"]}]
    (tmp_path / "m.jsonl").write_text("\n".join(map(json.dumps, rows)))
    colpali = f"transformers:{models / 'colpali'}"
    done = askpix("eval", "retrieval", tmp_path / "m.jsonl", "--ocr", "off", "--rerank", colpali, "--json")
    report = json.loads(done.stdout)
    assert report["reranker"] == colpali and set(report["gains"]) == {"R@1", "R@5", "nDCG@10"}
    gain = (
        report["after"]["scores"][0]["recall_1"]["value"] - report["before"]["scores"][0]["recall_1"]["value"]
    )
    assert report["gains"]["R@1"]["value"] == pytest.approx(gain)
    assert report["ms_after"] > 0 and report["ms_before"] > 0
    people = askpix("eval", "retrieval", tmp_path / "m.jsonl", "--ocr", "off", "--rerank", colpali)
    assert "gain of" in people.stdout and "ms a query" in people.stdout


@pytest.mark.timeout(600)
def test_the_page_embedder_can_be_changed_and_taken_off(askpix: Askpix, models: Path, tmp_path: Path) -> None:
    run = runner(tmp_path / "home", models, torch=True)
    album = tmp_path / "report.pdf"
    album.write_bytes((PICTURES / "documents" / "library-report.pdf").read_bytes())

    def index(model: str, **options: int) -> "subprocess.CompletedProcess[str]":
        return run("index", album, "--ocr", "off", "--page-embedder", model, "--json", **options)

    assert json.loads(index("transformers:colqwen2").stdout)["pages"]["embedded"] == 2
    # These have random weights: one that does not work replaces none, until that one is let go of.
    refused = index("transformers:colpali", code=1).stderr
    assert "does not work" in refused and "stays in use" in refused
    index("none")
    for pages in (2, 0):
        assert json.loads(index("transformers:colpali").stdout)["pages"]["embedded"] == pages
    index("none")
    found = hits(run("search", "books", "--all", "--json"))
    assert found and all("page" not in hit["why"] for hit in found)
    assert "no page embedder" in run("search", "books", "--rerank", "pages", code=1).stderr
