"""OpenVINO where it is installed: graphs in bf16, and the reader of words. The same results as without."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import askpix.retrieval.onnx.image_embedder as subject
from askpix.core.errors import ModelUnavailableError
from askpix.ingest.ocr.engine import OcrEngine
from askpix.retrieval.onnx.image_embedder import OnnxEmbedder
from askpix.retrieval.onnx.openvino import OpenVinoSession, open_bf16
from askpix.retrieval.onnx.session import open_session
from askpix.retrieval.weights import weight_file
from tests.support.cli import runner
from tests.support.fakes import picture
from tests.support.onnx_exports import export_towers
from tests.support.parity import TEXTS, pictures
from tests.support.two_tower_models import save_transformers

LITE = weight_file("efficientnet-lite2.onnx")


@pytest.fixture(scope="module", params=("clip", "siglip"))
def export(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    model, processor, _ = save_transformers(folder, request.param)
    export_towers(
        model.eval(),
        folder,
        vision="onnx/vision_model.onnx",
        text="onnx/text_model.onnx",
        masked=request.param == "clip",
        side=processor.size.get("height") or processor.crop_size["height"],
    )
    return folder


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Graphs opened with OpenVINO, on a processor that has bf16 whatever this one has."""
    names: list[str] = []

    def spy(path: Path, *, workers: int, threads: int) -> OpenVinoSession:
        names.append(path.name)
        return open_bf16(path, workers=workers, threads=threads)

    monkeypatch.setattr(subject, "computes_bf16", lambda: True)
    monkeypatch.setattr(subject, "open_bf16", spy)
    return names


def near(some: Any, others: Any) -> float:
    rows = np.sum(some * others, axis=1) / np.linalg.norm(some, axis=1) / np.linalg.norm(others, axis=1)
    return float(rows.min())


def test_a_session_tells_and_gives_what_onnx_runtimes_does() -> None:
    theirs: Any = open_session(LITE, threads=1)
    ours = open_bf16(LITE, workers=2, threads=1)

    def told(ports: Sequence[Any]) -> list[tuple[str, str, list[int | None]]]:
        return [
            (port.name, port.type, [size if isinstance(size, int) else None for size in port.shape])
            for port in ports
        ]

    assert told(ours.get_inputs()) == told(theirs.get_inputs())
    assert [port.name for port in ours.get_outputs()] == [port.name for port in theirs.get_outputs()]
    batches = np.random.default_rng(0).integers(0, 256, (8, 1, 260, 260, 3), np.uint8)
    exact = [theirs.run(None, {"pixels": batch})[0] for batch in batches]
    with ThreadPoolExecutor(2) as threads:  # each keeps its own result
        found = list(threads.map(lambda batch: ours.run(None, {"pixels": batch})[0], batches))
    assert min(near(a, b) for a, b in zip(found, exact, strict=True)) > 0.99  # of logits, on noise
    names = [port.name for port in ours.get_outputs()]
    assert np.array_equal(ours.run(names, {"pixels": batches[0]})[0], found[0])


def test_full_precision_files_are_computed_in_bf16(export: Path, opened: list[str]) -> None:
    exact = OnnxEmbedder.load(str(export), device="cpu")
    assert opened == []
    fast = OnnxEmbedder.load(str(export), device="cpu", openvino=True)
    assert opened == ["vision_model.onnx", "text_model.onnx"]
    # How a machine computes is not what a model is: collections open on machines with and without it.
    assert fast.model_id == exact.model_id and fast.likelihood == exact.likelihood
    assert near(fast.embed_images(pictures()), exact.embed_images(pictures())) > 0.999
    assert near(fast.embed_texts(TEXTS), exact.embed_texts(TEXTS)) > 0.999
    assert OnnxEmbedder.load(str(export), device="cpu", precision="bf16", openvino=True).dim == exact.dim
    assert len(opened) == 4
    again = OnnxEmbedder.load(str(export), device="cpu", precision="fp32", openvino=True)
    assert len(opened) == 4
    assert np.array_equal(again.embed_texts(TEXTS), exact.embed_texts(TEXTS))


def test_what_it_cannot_load_runs_as_without(
    export: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(path: Path, *, workers: int, threads: int) -> OpenVinoSession:
        raise ModelUnavailableError(f"an operator of {path.name} is not known {workers} {threads}")

    monkeypatch.setattr(subject, "computes_bf16", lambda: True)
    monkeypatch.setattr(subject, "open_bf16", broken)
    found = OnnxEmbedder.load(str(export), device="cpu", openvino=True)
    assert found.embed_texts(TEXTS).shape == (len(TEXTS), found.dim)
    (tmp_path / "no.onnx").write_bytes(b"not a graph")
    with pytest.raises(ModelUnavailableError, match=r"OpenVINO cannot load 'no\.onnx'"):
        open_bf16(tmp_path / "no.onnx", workers=1, threads=1)


def test_words_are_read_as_without() -> None:
    page = picture("white", "GRAND TOTAL 67.85", (640, 200))
    read = [
        sorted(found.line.text for found in OcrEngine.load(openvino=openvino).find_lines(page))
        for openvino in (False, True)
    ]
    assert read[0] == read[1] and any("67.85" in line for line in read[1])


def test_the_command_uses_it(export: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    picture("red", "INVOICE 4711").save(tmp_path / "photos" / "red.png")
    askpix = runner(tmp_path / "home", tmp_path)
    askpix("index", "photos", "--embedder", f"onnx:{export}", ASKPIX_OPENVINO="1")
    for used in ("0", "1"):  # made with it, searched without
        assert "red.png" in askpix("search", "4711", "--all", ASKPIX_OPENVINO=used).stdout
