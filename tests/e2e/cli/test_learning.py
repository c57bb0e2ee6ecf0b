"""The real command: classify, tags, adapt, models; on the sample pictures and the mini weights."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from askpix.retrieval.weights import weight_file
from tests.support.cli import PICTURES, Askpix, runner
from tests.support.fakes import picture
from tests.support.hostile import BAD
from tests.support.two_tower_models import hub_copy

LABELS = "cat,coffee cup,rocket,receipt,sailing boat"


@pytest.fixture
def askpix(tmp_path: Path) -> Askpix:
    return runner(tmp_path / "home", tmp_path)


def best(done: Any) -> dict[str, str]:
    return {Path(row["path"]).name: row["labels"][0]["label"] for row in json.loads(done.stdout)}


def test_classify_images_pages_and_folders(askpix: Askpix, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in (
        "photos/cat.jpg",
        "photos/coffee-cup.jpg",
        "photos/rocket-launch.jpg",
        "documents/library-report.pdf",
    ):
        shutil.copy(PICTURES / name, folder)
    done = askpix("classify", folder, "--labels", LABELS, "--json")
    found = best(done)
    assert (found["cat.jpg"], found["coffee-cup.jpg"], found["rocket-launch.jpg"]) == (
        "cat",
        "coffee cup",
        "rocket",
    )
    rows = json.loads(done.stdout)
    assert [row["page"] for row in rows if row["path"].endswith(".pdf")] == [1, 2]
    for row in rows:
        assert {"path", "labels"} <= set(row) and {"label", "probability"} == set(row["labels"][0])
        assert len(row["labels"]) == 5 and abs(sum(item["probability"] for item in row["labels"]) - 1) < 1e-4
    assert "\tcat\t" in askpix("classify", folder / "cat.jpg", "--labels", LABELS, "--top", "1").stdout


def test_classify_with_templates_and_a_file_of_labels(askpix: Askpix, tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("cat\ndog\ncar\n")
    cat = PICTURES / "photos" / "cat.jpg"
    for options in (["--templates", "imagenet"], ["--template", "a drawing of a {}", "--template", "{}"]):
        assert best(askpix("classify", cat, "--labels", words, *options, "--json")) == {"cat.jpg": "cat"}
    assert "{}" in askpix("classify", cat, "--labels", "a,b", "--template", "nothing", code=1).stderr
    askpix("classify", cat, "--labels", "a,b", "--template", "{}", "--templates", "imagenet", code=2)
    assert "no labels" in askpix("classify", cat, "--labels", " , ", code=1).stderr
    assert "no such file" in askpix("classify", "gone.jpg", "--labels", "a", code=1).stderr


def test_broken_files_are_listed_and_the_others_classified(askpix: Askpix, tmp_path: Path) -> None:
    shutil.copy(PICTURES / "photos" / "cat.jpg", tmp_path / "cat.jpg")
    (tmp_path / "broken.jpg").write_bytes(BAD["jpeg cut in half"]())
    done = askpix(
        "classify", tmp_path / "cat.jpg", tmp_path / "broken.jpg", "--labels", LABELS, "--json", code=3
    )
    assert best(done) == {"cat.jpg": "cat"} and "broken.jpg" in done.stderr


def test_tags_at_indexing_are_found_kept_changed_and_removed(askpix: Askpix, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    shutil.copy(PICTURES / "photos" / "cat.jpg", folder)
    shutil.copy(PICTURES / "photos" / "coffee-cup.jpg", folder)
    first = json.loads(askpix("index", folder, "--ocr", "off", "--tags", "cat,coffee cup", "--json").stdout)
    assert first["tagged"] == 2

    def tagged(tag: str) -> list[str]:
        done = askpix("search", "--tag", tag, "--json")
        return [Path(hit["uri"]).name for hit in json.loads(done.stdout)["hits"]]

    assert tagged("cat") == ["cat.jpg"] and tagged("coffee cup") == ["coffee-cup.jpg"]
    shutil.copy(PICTURES / "photos" / "drawn-snowy-mountain.jpg", folder)
    again = json.loads(askpix("index", folder, "--ocr", "off", "--json").stdout)
    assert again["tagged"] == 1 and again["added"] == 1, "the vocabulary is the collection's now"
    changed = askpix(
        "index", folder, "--ocr", "off", "--tags", "mountain", "--tag-threshold", "0.2", "--json"
    )
    assert json.loads(changed.stdout)["tagged"] == 3
    assert tagged("mountain") == ["drawn-snowy-mountain.jpg"] and tagged("cat") == []
    askpix("index", folder, "--ocr", "off", "--no-tags")
    assert tagged("mountain") == []
    assert "--tags" in askpix("index", folder, "--tag-threshold", "0.2", code=1).stderr


COLOURS = (
    "red green blue orange purple gray brown pink olive navy teal maroon gold cyan tan black white".split()
)


def test_adapt_says_what_it_found_keeps_only_what_wins_and_takes_it_back(
    askpix: Askpix, tmp_path: Path
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    listing = tmp_path / "captions.jsonl"
    rows = []
    for number in range(60):
        colour = COLOURS[number % len(COLOURS)]
        picture(colour, size=(64 + number, 64)).save(folder / f"{number}.png")
        rows.append(
            {"path": f"photos/{number}.png", "caption": f"zq{number} a {colour} wall number {number}"}
        )
    listing.write_text("\n".join(map(json.dumps, rows)))
    askpix("index", folder, "--ocr", "off")
    assert "it takes 40" in askpix("collections", "adapt", "default", code=1).stderr, (
        "the files hold no captions"
    )
    report = json.loads(askpix("collections", "adapt", "default", "--captions", listing, "--json").stdout)
    assert (report["pictures"], report["captions"], report["gallery"]) == (60, 60, 12)
    assert 0 <= report["before"]["at_1"] <= 1 and set(report["after"]) == {"at_1", "at_5", "at_10", "mrr"}
    kept = list((tmp_path / "home").rglob("adaptation*.npz"))
    assert bool(kept) is report["kept"] is (report["gain"] > 1.645 * report["error"])
    assert json.loads(askpix("search", "a red wall", "--all", "--json").stdout)["hits"]
    if report["kept"]:
        askpix("collections", "adapt", "default", "--undo")
        assert not list((tmp_path / "home").rglob("adaptation*.npz"))
    assert "taken back" in askpix("collections", "adapt", "default", "--undo", code=1).stderr
    assert "no collection" in askpix("collections", "adapt", "nowhere", code=1).stderr
    assert "no file" in askpix("collections", "adapt", "default", "--captions", "gone.csv", code=1).stderr


def test_models_auto_and_the_wrong_embedder(askpix: Askpix, tmp_path: Path) -> None:
    rows = json.loads(askpix("models", "--json").stdout)
    by_id = {row["id"]: row for row in rows}
    assert by_id["mini"]["usable"] and {row["role"] for row in rows} >= {
        "embedder",
        "text embedder",
        "reader",
        "generator",
    }
    siglip = by_id["transformers:google/siglip2-base-patch16-224"]
    assert (
        not siglip["usable"] and siglip["reason"] and siglip["dim"] == 768 and siglip["scores"][0]["source"]
    )
    made = askpix("collections", "create", "album")
    assert "mini" in made.stderr and "ships with Askpix" in made.stderr
    wrong = askpix(
        "index", PICTURES / "photos" / "cat.jpg", "--collection", "album", "--embedder", "onnx:x/y", code=1
    )
    assert "'mini'" in wrong.stderr and "'onnx:x/y'" in wrong.stderr
    assert "askpix collections reembed album --embedder onnx:x/y" in wrong.stderr


def test_a_query_in_another_language_is_answered_with_a_note(askpix: Askpix) -> None:
    askpix("index", PICTURES / "photos" / "cat.jpg", "--ocr", "off")
    result = json.loads(askpix("search", "eine Katze am Strand", "--json").stdout)
    assert len(result["query"]["notes"]) == 1 and "German" in result["query"]["notes"][0]
    assert json.loads(askpix("search", "a cat", "--json").stdout)["query"]["notes"] == []


def test_a_collection_keeps_its_own_text_embedder(askpix: Askpix, tmp_path: Path) -> None:
    folder = tmp_path / "sentences" / "onnx"
    folder.mkdir(parents=True)
    shutil.copy(weight_file("minilm.onnx"), folder / "model.onnx")
    shutil.copy(weight_file("minilm.tokenizer.json"), folder.parent / "tokenizer.json")
    receipt = PICTURES / "receipts" / "sakura-sushi.jpg"
    own = {"ASKPIX_TEXT_EMBEDDER": "onnx:sentences"}
    askpix("index", receipt, **own)
    shown = json.loads(askpix("collections", "show", "default", "--json").stdout)
    assert shown["text_embedder"] == f"onnx:{folder.parent}", "found again from any working folder"
    hits = json.loads(askpix("search", "sushi restaurant bill", "--mode", "text", "--json").stdout)["hits"]
    assert hits and hits[0]["why"]["text"]
    shutil.rmtree(folder)
    assert "no ONNX text model" in askpix("search", "sushi", code=1).stderr


def test_a_text_embedder_from_the_hubs_copy_is_pinned(askpix: Askpix, tmp_path: Path) -> None:
    copy = hub_copy(tmp_path / "hf", "someone/sentences")
    (copy / "onnx").mkdir()
    shutil.copy(weight_file("minilm.onnx"), copy / "onnx" / "model.onnx")
    shutil.copy(weight_file("minilm.tokenizer.json"), copy / "tokenizer.json")
    hub = {"HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1"}
    askpix("collections", "create", "pages", ASKPIX_TEXT_EMBEDDER="onnx:someone/sentences", **hub)
    shown = json.loads(askpix("collections", "show", "pages", "--json", **hub).stdout)
    assert shown["text_embedder"] == f"onnx:someone/sentences@{copy.name}"
    askpix("index", PICTURES / "receipts" / "sakura-sushi.jpg", "--collection", "pages", **hub)
    found = askpix("search", "sushi", "--collection", "pages", "--mode", "text", "--json", **hub)
    assert json.loads(found.stdout)["hits"]
    missing = askpix("collections", "create", "x", ASKPIX_TEXT_EMBEDDER="onnx:no/such", code=1, **hub)
    assert "no/such" in missing.stderr and "directory" in missing.stderr
