"""Reading in processes apart: what is read, and what the end of a process costs."""

import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import rapidocr
from PIL import Image

from askpix.core.errors import BadImageError, ModelUnavailableError
from askpix.core.sandbox import Child
from askpix.ingest.ocr.engine import OcrEngine, engine_id
from askpix.ingest.ocr.reader import RapidOcrReader
from askpix.ingest.ocr.worker import ApartTextReader
from tests.support.fakes import picture

WORDS = picture("white", "GRAND TOTAL\n67.85", size=(320, 120))


@pytest.fixture(scope="module")
def reader() -> Iterator[ApartTextReader]:
    made = ApartTextReader.load(workers=2)
    yield made
    made.close()


def pids(reader: ApartTextReader) -> list[int]:
    return [child._process.pid for child in reader._idle]


def test_it_reads_what_the_engine_reads_here(reader: ApartTextReader) -> None:
    here = RapidOcrReader.load(workers=1)
    assert reader.engine_id == here.engine_id
    assert reader.read(WORDS) == here.read(WORDS)
    assert "GRAND TOTAL" in " ".join(line.text for line in reader.read(WORDS.convert("L")))
    assert reader.read(Image.new("RGB", (300, 200), "white")) == []
    assert reader.read(Image.new("RGB", (3, 3))) == []


def test_a_process_that_was_killed_costs_nothing(reader: ApartTextReader) -> None:
    expected = reader.read(WORDS)
    (first,) = pids(reader)
    os.kill(first, signal.SIGKILL)
    assert reader.read(WORDS) == expected
    assert pids(reader) != [first] and len(pids(reader)) == 1


def test_one_that_is_killed_while_it_reads_costs_no_other_image(reader: ApartTextReader) -> None:
    large = picture("white", "\n".join(f"line {i} of many" for i in range(14)), size=(1100, 1300))
    (first,) = pids(reader)

    def kill() -> None:
        time.sleep(0.2)
        os.kill(first, signal.SIGKILL)

    threading.Thread(target=kill).start()
    assert any("of many" in line.text for line in reader.read(large))
    assert first not in pids(reader)


def test_a_image_that_ends_every_process_is_an_error_and_the_next_is_read(reader: ApartTextReader) -> None:
    reader.read(WORDS)
    child = reader._idle.pop()

    class Killing:
        """Its processes end at this one picture."""

        def ask(self, *_: object, **__: object) -> object:
            raise EOFError

        def end(self) -> int:
            return -11

    reader._idle.extend([child, Killing(), Killing()])  # type: ignore[list-item]
    with pytest.raises(BadImageError, match="crash"):
        reader.read(WORDS)
    assert reader.read(WORDS)


@pytest.mark.parametrize("error", [BadImageError("its model is gone"), EOFError()])
def test_no_image_is_to_blame_for_an_engine_that_does_not_load(
    reader: ApartTextReader, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """As when the memory is full just then: what would be marked as unreadable is tried again."""

    def ask(*_: object, **__: object) -> None:
        raise error

    reader.close()
    with monkeypatch.context() as away:
        away.setattr(Child, "ask", ask)
        with pytest.raises(ModelUnavailableError):
            reader.read(WORDS)
    assert reader.read(WORDS)


def test_children_end_with_the_reader() -> None:
    made = ApartTextReader.load(workers=1)
    (pid,) = pids(made)
    made.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_models_of_another_script(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailableError, match="ASKPIX_OCR_MODELS"):
        ApartTextReader.load(models=tmp_path)
    models = Path(rapidocr.__file__).parent / "models"
    shutil.copy(models / "PP-OCRv6_rec_small.onnx", tmp_path / "other_rec_model.onnx")
    assert engine_id(tmp_path).endswith("/other_rec_model")
    engine = OcrEngine.load(tmp_path)
    assert any("TOTAL" in found.line.text for found in engine.find_lines(WORDS))
    (tmp_path / "other_rec_model.onnx").write_bytes(b"no model")
    with pytest.raises(ModelUnavailableError, match="cannot be loaded"):
        ApartTextReader.load(models=tmp_path)
