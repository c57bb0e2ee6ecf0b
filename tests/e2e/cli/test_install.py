"""Askpix as people install it, from a wheel and in place, in a folder that has an ``api/`` of its own."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.support.cli import PICTURES
from tests.support.films import film
from tests.support.sparse import copy_tree

GOLDEN = ROOT / "tests" / "golden" / "wheel.txt"
ROOMS = ("api", "core", "ingest", "retrieval", "generation", "evaluation")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel unpacked, as pip does it; nothing of the checkout is in reach."""
    target = tmp_path_factory.mktemp("site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
    return target


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Somebody's project, with packages that are named as our rooms are."""
    folder = tmp_path / "project"
    for name in ROOMS:
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text(f"raise ImportError('{name} of the project was loaded')\n")
    return folder


def python(code: str, *arguments: object, cwd: Path, home: Path, path: Path | None) -> str:
    """Run code in a new interpreter in a folder, as ``python -c`` does: the folder is searched first."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ASKPIX_")}
    environment |= {"ASKPIX_HOME": str(home), "ASKPIX_OPENVINO": "0"}
    environment["PYTHONPATH"] = str(path) if path else ""
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


COMMAND = "from askpix.api.cli.main import run; run()"


def test_the_wheel_holds_what_it_should(wheel: Path) -> None:
    """Changed on purpose: ``unzip -Z1 WHEEL | sort > tests/golden/wheel.txt`` without the dist-info."""
    with zipfile.ZipFile(wheel) as archive:
        names = sorted(name for name in archive.namelist() if ".dist-info/" not in name)
        assert not any(member.external_attr >> 28 == 0o12 for member in archive.infolist()), "no links"
    assert names == GOLDEN.read_text("utf-8").splitlines()


@pytest.mark.parametrize("way", [pytest.param("wheel", marks=pytest.mark.slow), "in place"])
def test_it_works_in_a_folder_with_an_api_of_its_own(
    way: str, installed: Path, project: Path, tmp_path: Path
) -> None:
    path = installed if way == "wheel" else None
    where = python("import askpix; print(askpix.__file__)", cwd=project, home=tmp_path / "home", path=path)
    assert where.startswith(str(installed)) == (way == "wheel")
    photos = copy_tree(PICTURES / "photos", tmp_path / "photos")
    report = python(COMMAND, "index", photos, "--json", cwd=project, home=tmp_path / "home", path=path)
    assert json.loads(report)["failed"] == [] and json.loads(report)["added"] > 5
    found = python(COMMAND, "search", "a cat", "--json", cwd=project, home=tmp_path / "home", path=path)
    assert json.loads(found)["hits"][0]["uri"].endswith("cat.jpg")


SVG = """<svg xmlns="http://www.w3.org/2000/svg" width="90" height="60">
<rect width="90" height="60" fill="red"/></svg>"""
REBUILD = """
import sys, threading
from pathlib import Path
import numpy as np
from askpix.core.types import ImageRecord
from askpix.retrieval.qdrant.edge_rebuild import rebuild
from askpix.retrieval.qdrant.edge_store import QdrantEdgeStore

folder = Path(sys.argv[1])
with QdrantEdgeStore.open(folder, model_id="m", dim=8, text_model_id="t", text_dim=8) as store:
    pass
shard = next(path.parent for path in folder.rglob("edge_config.json"))
print(rebuild(shard, dim=8, text_dim=8, graph=False, stop=threading.Event()))
"""


@pytest.mark.slow
def test_every_kind_of_child_starts_from_the_wheel_anywhere(installed: Path, tmp_path: Path) -> None:
    """PDF, video, rare formats and words are read in children; a shard is rebuilt in one."""
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "report.pdf").write_bytes((PICTURES / "documents" / "library-report.pdf").read_bytes())
    (folder / "drawing.svg").write_text(SVG)
    film(folder / "clip.mp4", [("cat", 2)])
    run = {"cwd": Path("/"), "home": tmp_path / "home", "path": installed}
    report = json.loads(python(COMMAND, "index", folder, "--ocr", "on", "--json", **run))
    assert report["failed"] == [] and report["images"] >= 4, report
    words = json.loads(python(COMMAND, "search", '"library"', "--json", **run))
    assert words["hits"][0]["uri"].endswith("report.pdf")
    assert python(REBUILD, tmp_path / "vectors", **run).split()[-1] == "True"
