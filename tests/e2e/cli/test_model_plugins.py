"""An installed package that adds an embedder and a generator, used through the real command."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import ROOT
from tests.support.fakes import picture

ENTRY_POINTS = """\
[askpix.embedders]
toy = toy_models:EMBEDDER
vague = toy_models:VAGUE
gone = toy_models:Gone
odd = toy_models:GENERATOR
mini = toy_models:EMBEDDER

[askpix.generators]
toy = toy_models:GENERATOR
gone = toy_gone:GENERATOR
"""
TOY = '''
"""Mean colours, and answers that name the first picture."""

import re

import numpy as np
from PIL import ImageColor

from askpix.generation.generators.base import Generator, GeneratorKind, Piece
from askpix.retrieval.embedders.base import Embedder, EmbedderKind


def unit(rows):
    rows = np.asarray(rows, np.float32).reshape(len(rows), 4)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)


class MeanColour(Embedder):
    dim, image_side = 4, 32

    def __init__(self, model_id):
        self.model_id = model_id

    def embed_images(self, images, /):
        return unit([[*(np.asarray(image).mean((0, 1)) / 255 - 0.5), 0.1] for image in images])

    def embed_texts(self, texts, /):
        named = [[word for word in re.findall("[a-z]+", t) if word in ImageColor.colormap] for t in texts]
        means = [[ImageColor.getrgb(word) for word in words] or [(128, 128, 128)] for words in named]
        return unit([[*(np.mean(each, axis=0) / 255 - 0.5), 0.1] for each in means])


class Echo(Generator):
    def __init__(self, model_id):
        self.model_id = model_id

    def generate(self, messages, /):
        first = messages[-1].evidence[0]
        words = first.lines[0].text if first.lines else "nothing"
        yield Piece(f'It says {words} [{first.number}: "{words}"]')


EMBEDDER = EmbedderKind(reference="NAME", load=lambda name, options: MeanColour(f"toy:{name}"))
VAGUE = EmbedderKind(reference="NAME", load=lambda name, options: MeanColour("something"))
GENERATOR = GeneratorKind(reference="NAME", open=lambda name, options: Echo(f"toy:{name}"))
'''

Askpix = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def askpix(tmp_path: Path) -> Askpix:
    """The command in an environment in which the package is installed."""
    site = tmp_path / "site"
    info = site / "toy-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    (site / "toy_models.py").write_text(TOY)

    def run(*words: str | Path, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-c", "from askpix.api.cli.main import run; run()", *map(str, words)],
            cwd=tmp_path,
            check=False,
            capture_output=True,
            text=True,
            env={
                **{name: value for name, value in os.environ.items() if not name.startswith("ASKPIX_")},
                "PYTHONPATH": os.pathsep.join([str(site), str(ROOT)]),
                "ASKPIX_HOME": str(tmp_path / "home"),
                "ASKPIX_LOCAL_SERVERS": "",
                "ASKPIX_GENERATOR": "extractive",
            },
        )
        assert done.returncode == code, (words, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
        return done

    return run


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for colour in ("red", "green", "blue"):
        Image.new("RGB", (64, 48), colour).save(folder / f"{colour}.png")
    return folder


def test_a_toy_embedder_indexes_and_searches(askpix: Askpix, photos: Path) -> None:
    done = json.loads(askpix("index", photos, "--embedder", "toy:x", "--ocr", "off", "--json").stdout)
    assert (done["embedder"], done["added"], done["failed"]) == ("toy:x", 3, [])
    for colour in ("red", "blue"):
        found = json.loads(askpix("search", f"a {colour} wall", "--all", "--json").stdout)
        assert Path(found["hits"][0]["uri"]).stem == colour
    # The same one again by its id, and another of its kind is another model.
    assert json.loads(askpix("index", photos, "--embedder", "toy:x", "--json").stdout)["unchanged"] == 3
    refused = askpix("index", photos, "--embedder", "toy:y", code=1)
    assert "was made with 'toy:x', not 'toy:y'" in refused.stderr


def test_a_toy_generator_answers(askpix: Askpix, photos: Path) -> None:
    picture("white", "TICKET 4711", size=(640, 480)).save(photos / "ticket.png")
    askpix("index", photos)
    question = "What is the number of the ticket?"
    answer = json.loads(askpix("ask", question, "--generator", "toy:x", "--json").stdout)
    assert answer["generator"] == "toy:x" and answer["generator_why"] == "it was asked for"
    assert answer["answered"] and "4711" in answer["answer"], answer
    assert Path(answer["citations"][0]["uri"]).name == "ticket.png"
    plan = json.loads(askpix("ask", question, "--generator", "toy:x", "--dry-run", "--json").stdout)
    assert (plan["generator"], plan["sent"], plan["cost_usd"]) == ("toy:x", [], 0.0)


@pytest.mark.slow
def test_what_is_wrong_with_a_plugin_is_one_line(askpix: Askpix, photos: Path) -> None:
    for arguments, said in (
        (["index", photos, "--embedder", "gone:x"], "the plug-in 'gone' of 'toy' (askpix.embedders)"),
        (["index", photos, "--embedder", "odd:x"], "is 'GeneratorKind', expected 'EmbedderKind'"),
        (["index", photos, "--embedder", "vague:x"], "its id must begin with 'vague'"),
        (["index", photos, "--embedder", "toy"], "onnx:DIR_OR_REPO, open_clip:MODEL@PRETRAINED_OR_FILE"),
        (["index", photos, "--embedder", "toy:"], "gone, odd, toy:NAME, vague:NAME"),
    ):
        error = askpix(*arguments, code=1).stderr.strip()
        assert error.startswith("error: ") and said in error and "\n" not in error, error
    askpix("index", photos, "--ocr", "off")
    error = askpix("ask", "What is red?", "--generator", "gone:x", code=1).stderr
    assert "the plug-in 'gone' of 'toy' (askpix.generators) cannot be loaded" in error
    assert "openai-compatible:MODEL@URL" in askpix("ask", "red?", "--generator", "nobody:x", code=1).stderr


def test_the_list_of_models_has_them(askpix: Askpix) -> None:
    rows = {(row["role"], row["id"]): row for row in json.loads(askpix("models", "--json").stdout)}
    assert rows["embedder", "toy:NAME"]["usable"] and rows["generator", "toy:NAME"]["usable"]
    gone = rows["embedder", "gone"]
    assert not gone["usable"] and "cannot be loaded" in gone["reason"]
    mini = rows["embedder", "mini"]
    assert mini["usable"] and mini["dim"] == 384 and mini["megabytes"] > 10, "a built-in name wins"
    assert rows["generator", "extractive"]["usable"] and {"reader", "text embedder"} <= {
        role for role, _ in rows
    }
