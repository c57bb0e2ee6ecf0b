"""Retrieval on the demo collection must not get worse than the golden, but for two queries."""

import json
import shutil
from pathlib import Path

from askpix.api.demo import PICTURES
from askpix.api.services.search import open_searcher
from askpix.api.settings import Settings
from askpix.api.workspace.workspace import Workspace
from askpix.retrieval.query.parser import parse
from tests.conftest import ROOT
from tests.support.cli import runner

GOLDEN = ROOT / "tests" / "golden"


def test_retrieval_on_the_demo_collection_is_as_good_as_it_was(tmp_path: Path) -> None:
    golden = json.loads((GOLDEN / "demo_quality.json").read_text("utf-8"))
    manifest = tmp_path / "demo" / "manifest.jsonl"
    shutil.copytree(PICTURES, tmp_path / "demo")
    shutil.copy(GOLDEN / "demo_manifest.jsonl", manifest)
    done = runner(tmp_path / "home", tmp_path)("eval", "retrieval", manifest, "--json")
    reached = json.loads(done.stdout)["scores"][0]
    assert reached["queries"] == golden["queries"]
    grace = 2 / golden["queries"]
    for name in ("recall_1", "recall_5", "mrr", "ndcg_10"):
        assert reached[name]["value"] >= golden[name] - grace, f"{name} got worse"
    assert reached["matched"] >= golden["matched"] - grace, "more of what is there is refused"

    workspace = Workspace(Settings(home=tmp_path / "home"))
    (collection,) = workspace.catalog.list_collections()
    with open_searcher(workspace, collection) as searcher:
        refused = [
            query for query in golden["absent"] if not searcher.retriever.retrieve(parse(query)).matched
        ]
    assert len(refused) >= golden["refused"] - 1, f"of what is not there only {refused} are refused"
