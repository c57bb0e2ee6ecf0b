"""Homes that earlier versions made: each is opened, brought up to date, and answers as it did on its day.

tests/support/make_home.py made them; results of a version are never recorded anew for an older home.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from askpix.api.client.client import Client
from askpix.core.errors import AuthError
from tests.conftest import ROOT
from tests.support.home_results import PICTURES, command, differences, home_results, unpack
from tests.support.service import served, until_ready

HOMES = sorted((ROOT / "tests" / "fixtures" / "homes").glob("*/*.tar.xz"))
TOLERANCE = 1.5e-4
"""Matrix kernels of another processor round differently, and two roundings to four digits differ by 1e-4."""

MEASURED = re.compile(r"evidence -?\d+\.\d+, needed -?\d+\.\d+")
"""How sure a version is of its verdicts is its own; the verdicts and the hits must stay."""


def _verdicts(result: Any) -> Any:
    if isinstance(result, dict):
        return {name: _verdicts(value) for name, value in result.items() if name != "confidence"}
    if isinstance(result, list):
        return [_verdicts(value) for value in result]
    return MEASURED.sub("evidence, needed", result) if isinstance(result, str) else result


def _store(archive: Path) -> str:
    return archive.name.partition(".")[0]


@pytest.mark.parametrize("archive", HOMES, ids=lambda path: f"{path.parent.name}-{_store(path)}")
def test_an_old_home_is_as_it_was(archive: Path, tmp_path: Path) -> None:
    store = _store(archive)
    if store == "faiss":
        pytest.importorskip("faiss")
    home = unpack(archive, tmp_path)
    recorded = json.loads((archive.parent / f"{store}.json").read_text("utf-8"))
    now = home_results(home)
    assert differences(_verdicts(recorded), _verdicts(now), tolerance=TOLERANCE) == []

    key = json.loads((archive.parent / "keys.json").read_text("utf-8"))[store]
    with served(home) as (url, _):
        until_ready(url)
        jobs = Client(url, key=key).jobs()
        assert [(job.collection, job.state) for job in jobs] == [("papers", "done")]
        with pytest.raises(AuthError):
            Client(url, key=key[::-1]).jobs()

    report = command(home, "index", str(PICTURES / "documents" / "trail-map.png"), "--ocr", "on")
    assert (report["collection"], report["added"], report["failed"]) == ("default", 1, [])
    found = command(home, "search", "a map of hiking trails")
    assert found["matched"] and Path(found["hits"][0]["uri"]).name == "trail-map.png"
