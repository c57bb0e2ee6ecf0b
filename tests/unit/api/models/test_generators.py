"""Which generator is taken: the real choice, against servers on this machine that see, or do not."""

import json
import os
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import constants
from typer.testing import CliRunner

from askpix.api.cli.main import app
from askpix.api.models.generators import Verdicts, choose
from askpix.api.services.models import known_generators
from askpix.api.settings import Settings
from askpix.api.workspace.workspace import Workspace
from askpix.core.errors import AskpixError, AuthError, ModelUnavailableError
from askpix.core.types import Message
from askpix.generation.generators.base import Generator, GeneratorOptions, VisionGenerator
from askpix.generation.generators.servers import local_models
from askpix.generation.prompting.budget import limits_of
from askpix.ingest.ocr.reader import RapidOcrReader
from askpix.retrieval.model_hub.registry import published
from tests.support.fakes import picture
from tests.support.tiny_vlms import save_vlm
from tests.support.wire import Asked, Server, Wire


@pytest.fixture(scope="module")
def reader() -> RapidOcrReader:
    return RapidOcrReader.load(workers=1)


@pytest.fixture
def wire() -> Iterator[Wire]:
    with Server(Wire()) as server:
        yield server.wire


@pytest.fixture
def sighted(wire: Wire, reader: RapidOcrReader) -> Wire:
    """A server whose model really looks: it reads what is written in the pictures it is sent."""

    def say(asked: Asked) -> list[str]:
        lines = [line.text for image in asked.pictures for line in reader.read(image.convert("RGB"))]
        return [f"{' '.join(lines)} [1]"] if lines else ["NO ANSWER nothing is written there."]

    wire.say = say
    return wire


def options(wire: Wire, **more: object) -> GeneratorOptions:
    made: dict[str, object] = {
        "image_of": lambda record, side: picture("red"),
        "max_tokens": 8000,
        "environment": os.environ,
        "servers": [f"{wire.url}/v1"],
    }
    return GeneratorOptions(**{**made, **more})  # type: ignore[arg-type]


def auto(home: Path, wire: Wire, *, tried: bool = True, **more: object) -> tuple[VisionGenerator, str] | None:
    """What ``auto`` takes on this machine; None where nothing sees."""
    generator, why = choose("auto", options(wire, **more), verdicts=Verdicts(home) if tried else None)
    return (generator, why) if isinstance(generator, VisionGenerator) else None


def taken(generator_id: str, home: Path, wire: Wire, **more: object) -> tuple[Generator, str]:
    return choose(generator_id, options(wire, **more), verdicts=Verdicts(home))


def test_auto_takes_a_local_server_that_proves_to_see(sighted: Wire, tmp_path: Path) -> None:
    sighted.models = ["nomic-embed-text", "llama3", "qwen2.5-vl"]
    found = auto(tmp_path, sighted)
    assert found
    generator, why = found
    assert generator.model_id == f"openai-compatible:qwen2.5-vl@{sighted.url}/v1"
    assert generator.sees and generator.limits.family == "Qwen2-VL, Qwen2.5-VL"
    assert "sees" in why and "this machine" in why
    # The riddle is asked once: the verdict is kept.
    asked = len(sighted.asked)
    assert asked == 1 and len(sighted.asked[0].pictures) == 1
    assert auto(tmp_path, sighted) and len(sighted.asked) == asked


def test_a_blind_server_is_found_out(wire: Wire, tmp_path: Path) -> None:
    wire.say = lambda asked: ["The number is 1234."]
    assert auto(tmp_path, wire) is None
    generator, why = taken(f"openai-compatible:tiny-vl@{wire.url}/v1", tmp_path, wire)
    assert isinstance(generator, VisionGenerator) and not generator.sees and "does not see" in why
    assert len(wire.asked) == 3, "three riddles, and the verdict is kept"


def test_one_slip_is_no_blindness(sighted: Wire, tmp_path: Path) -> None:
    """A small model that misreads two pictures and one digit of the third sees."""
    reads = sighted.say
    slips = iter(["I cannot tell.", "A cat."])

    def say(asked: Asked) -> list[str]:
        told = next(slips, None) or "".join(reads(asked))
        return [re.sub(r"\d(?=\D|$)", "0", told, count=1)]

    sighted.say = say
    generator, _ = taken(f"openai-compatible:tiny-vl@{sighted.url}/v1", tmp_path, sighted)
    assert isinstance(generator, VisionGenerator) and generator.sees and len(sighted.asked) == 3


@pytest.mark.parametrize(
    ("said", "ends", "kept"),
    [
        (["I see"], "length", False),
        (["<think>so", " many thoughts"], "length", False),
        ([], None, False),
        (["A cat."], None, True),
    ],
)
def test_only_replies_that_end_are_kept(
    wire: Wire, tmp_path: Path, said: list[str], ends: str | None, kept: bool
) -> None:
    wire.say, wire.ends = lambda asked: said, ends
    for tries in (3, 3 if kept else 6):
        generator, why = taken(f"openai-compatible:tiny-vl@{wire.url}/v1", tmp_path, wire)
        assert isinstance(generator, VisionGenerator) and not generator.sees and "does not see" in why
        assert len(wire.asked) == tries


def test_how_a_model_marks_its_thoughts_is_kept_with_its_verdict(sighted: Wire, tmp_path: Path) -> None:
    """vLLM without a reasoning parser passes on what Qwen3-VL-Thinking writes: the end of a thought alone."""
    reads = sighted.say
    sighted.say = lambda asked: ["a number?</think>\n\n", *reads(asked)]
    name = f"openai-compatible:tiny-vl@{sighted.url}/v1"
    taken(name, tmp_path, sighted)
    asked = len(sighted.asked)
    generator, _ = taken(name, tmp_path, sighted)
    assert isinstance(generator, VisionGenerator) and generator.thinks and generator.starts_in_thought
    assert len(sighted.asked) == asked == 1
    sighted.say = lambda asked: ["hm, ", "so", "</think>", "NO ANSWER"]
    said = "".join(piece.text for piece in generator.generate([Message("user", "What?")]))
    assert said == "NO ANSWER"


def test_doctor_tries_the_models_anew(sighted: Wire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASKPIX_HOME", str(tmp_path))
    monkeypatch.setenv("ASKPIX_LOCAL_SERVERS", "")
    name = f"openai-compatible:tiny-vl@{sighted.url}/v1"
    monkeypatch.setenv("ASKPIX_GENERATOR", name)
    Verdicts(tmp_path)._put({name: {"sees": False, "at": int(time.time())}})
    assert not isinstance(sees := taken(name, tmp_path, sighted)[0], VisionGenerator) or not sees.sees
    reads = sighted.say
    shows = iter(["A tabby cat.", "A cup of coffee."])
    sighted.say = lambda asked: reads(asked) if "number" in str(asked.texts) else [next(shows)]

    def sight() -> dict[str, object]:
        told = json.loads(CliRunner().invoke(app, ["doctor", "--models", "--json"]).stdout)
        return {check["name"]: check for check in told["checks"]}[f"proof of generator {name}"]

    assert sight()["ok"] and len(sighted.asked) == 3
    sighted.say = lambda asked: ["The number is 1234."]
    assert not sight()["ok"] and "does not see" in str(sight()["detail"])


def test_a_verdict_that_cannot_be_read_is_asked_for_anew(sighted: Wire, tmp_path: Path) -> None:
    (tmp_path / "sight.json").write_text("{broken")
    assert auto(tmp_path, sighted)
    assert json.loads((tmp_path / "sight.json").read_text())


def test_auto_looks_at_this_machine_alone(wire: Wire, tmp_path: Path) -> None:
    assert not list(local_models(["http://example.com:11434/v1", "http://10.0.0.7/v1"]))
    assert not list(local_models(["http://127.0.0.1:9/v1", "nonsense", ""]))
    assert list(local_models([f"{wire.url}/v1"])) == [f"tiny-vl@{wire.url}/v1"]
    assert auto(tmp_path, wire, servers=()) is None


@pytest.mark.parametrize("name", ["ministral-3", "gpt-oss:120b-cloud", "remote"])
def test_ollama_is_asked_what_its_models_can(sighted: Wire, tmp_path: Path, name: str) -> None:
    """``capabilities`` as in Ollama's docs/api.md: the names of what sees need not tell. Models of its cloud
    are not on this machine, so ``auto`` does not take them."""
    sighted.models = ["a-vl-with-words-alone", "b", "c", "d", name]
    sighted.says = {"/api/version": {"version": "0.12.6"}}

    def show(asked: str) -> dict[str, object]:
        can = ["completion", "vision"] if asked == name else ["completion"]
        return {"capabilities": can, **({"remote_host": "https://ollama.com"} if name == "remote" else {})}

    sighted.show = show
    found = auto(tmp_path, sighted)
    if name == "ministral-3":
        assert found and found[0].model_id == f"openai-compatible:{name}@{sighted.url}/v1"
        assert len(sighted.asked) == 1
    else:
        assert found is None and not sighted.asked
    generator, _ = choose(f"openai-compatible:{name}@{sighted.url}/v1", options(sighted), verdicts=None)
    plan = generator.plan([Message("user", "What?")])
    assert plan and (generator.price(plan) is None) is name.endswith("cloud")


@pytest.mark.parametrize(
    ("generator_id", "error", "words"),
    [
        ("openai:gpt-4o", AuthError, "set OPENAI_API_KEY"),
        ("google:gemini-2.5-flash", AuthError, "GOOGLE_API_KEY or GEMINI_API_KEY"),
        ("anthropic:claude-opus-4-6", AuthError, "ANTHROPIC_API_KEY"),
        ("openai:", ModelUnavailableError, "no generator 'openai:'"),
        ("magic:wand", ModelUnavailableError, "no generator 'magic:wand'"),
        ("openai-compatible:llava", ModelUnavailableError, "names no server"),
        ("openai-compatible:llava@file:///etc/passwd", ModelUnavailableError, "names no server"),
        ("openai-compatible:llava@http://127.0.0.1:9/v1", AskpixError, "cannot reach"),
    ],
)
def test_what_cannot_be_had_says_why(
    generator_id: str,
    error: type[AskpixError],
    words: str,
    tmp_path: Path,
    wire: Wire,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("OPENAI_API_KEY", "GOOGLE_API_KEY", "GEMINI_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(error, match=words) as caught:
        taken(generator_id, tmp_path, wire)
    assert "\n" not in str(caught.value)


def test_a_hosted_model_is_used_when_it_is_named(
    sighted: Wire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    monkeypatch.setenv("OPENAI_BASE_URL", f"{sighted.url}/v1")
    generator, why = taken("openai:gpt-4o", tmp_path, sighted)
    assert isinstance(generator, VisionGenerator) and generator.sees and why == "it sees images"
    assert sighted.asked[0].headers["authorization"] == "Bearer secret"


def test_without_any_model_there_is_always_extractive(tmp_path: Path) -> None:
    workspace = Workspace(Settings(home=tmp_path, local_servers=""))
    generator, why = workspace.choose_generator("auto")
    assert generator.model_id == "extractive" and "no vision model" in why
    assert workspace.choose_generator("extractive")[1] == "it was asked for"


def test_the_whole_command_with_a_local_model(
    sighted: Wire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Index a picture with words, ask, and the model reads them from the picture that it is sent."""
    monkeypatch.setenv("ASKPIX_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ASKPIX_LOCAL_SERVERS", f"{sighted.url}/v1")
    photos = tmp_path / "photos"
    photos.mkdir()
    picture("white", "TICKET 4711\nPLATFORM 9", size=(640, 480)).save(photos / "ticket.png")
    runner = CliRunner()
    assert runner.invoke(app, ["index", str(photos), "--json"]).exit_code == 0

    question = "What is the number of the ticket?"
    dry = runner.invoke(app, ["ask", question, "--dry-run", "--json"])
    plan = json.loads(dry.stdout)
    assert plan["sent"][0]["how"] == "picture" and plan["sent"][0]["lines"] == 2
    assert plan["cost_usd"] == 0.0 and plan["input_tokens"] > plan["image_tokens"] > 0
    riddles = len(sighted.asked)

    done = runner.invoke(app, ["ask", question, "--json"])
    answer = json.loads(done.stdout)
    assert answer["answered"] and "4711" in answer["answer"], answer
    assert answer["generator"].startswith("openai-compatible:tiny-vl@")
    assert "sees" in answer["generator_why"]
    assert answer["usage"]["sent"][0]["how"] == "picture"
    assert len(sighted.asked) == riddles + 1, "what was planned was not sent before"
    sent = np.asarray(sighted.asked[-1].pictures[0].convert("L"))
    assert sent.shape == (480, 640)


@pytest.mark.parametrize(("written", "stays"), [("4711", True), ("4712", False)])
def test_a_second_look_at_the_place(
    sighted: Wire,
    reader: RapidOcrReader,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    written: str,
    stays: bool,
) -> None:
    """A number was misread at indexing; the model reads it, right or wrong, and looks at its place again."""
    monkeypatch.setenv("ASKPIX_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ASKPIX_LOCAL_SERVERS", f"{sighted.url}/v1")
    photos = tmp_path / "photos"
    photos.mkdir()
    picture("white", "TICKET 4711\nPLATFORM 9", size=(640, 480)).save(photos / "ticket.png")
    reads = sighted.say

    def say(asked: Asked) -> list[str]:
        stated = re.search(r'Statement: "(.*)"', "\n".join(asked.texts))
        if stated is None:
            return [f"The ticket is {written} [1]"] if "ticket" in asked.texts[-1] else list(reads(asked))
        lines = " ".join(line.text for image in asked.pictures for line in reader.read(image.convert("RGB")))
        return ["YES" if re.findall(r"\d{4}", stated[1])[0] in lines else "NO"]

    sighted.say = say
    runner = CliRunner()
    assert runner.invoke(app, ["index", str(photos), "--json"]).exit_code == 0
    with closing(sqlite3.connect(tmp_path / "home" / "catalog.sqlite")) as catalog:
        catalog.execute("UPDATE texts SET lines = replace(lines, '4711', '47ll')")
        catalog.commit()
    command = ["ask", "What is the number of the ticket?", "--json"]
    doubted = json.loads(runner.invoke(app, [*command, "--no-second-look"]).stdout)
    assert doubted["answered"] and [doubt["dropped"] for doubt in doubted["doubts"]] == [False], doubted
    monkeypatch.setenv("ASKPIX_SECOND_LOOK", "true")
    before = len(sighted.asked)
    answer = json.loads(runner.invoke(app, command).stdout)
    assert len(sighted.asked) == before + 2 and sighted.asked[-1].pictures
    assert answer["answered"] is stays and (written in answer["answer"]) is stays, answer
    assert [doubt["dropped"] for doubt in answer["doubts"]] == ([] if stays else [True])
    assert [sent["how"] for sent in answer["usage"]["sent"]] == ["picture", "crop"]
    assert sighted.asked[-1].pictures[0].height < 480


# --- models in this process ------------------------------------------------------------------------------


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub cache that holds a tiny model under the name of one that ``auto`` knows."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    root = tmp_path / "hub" / "models--HuggingFaceTB--SmolVLM-500M-Instruct"
    save_vlm(root / "snapshots" / ("a" * 40), "smolvlm")
    (root / "refs").mkdir()
    (root / "refs" / "main").write_text("a" * 40)
    return root


def test_auto_takes_a_model_whose_weights_are_here(cached: Path, wire: Wire, tmp_path: Path) -> None:
    found = auto(tmp_path, wire, servers=(), tried=False, device="cpu")
    assert found
    generator, why = found
    name = "transformers:HuggingFaceTB/SmolVLM-500M-Instruct"
    assert generator.model_id == f"{name}@{'a' * 40}"
    assert "this machine" in why
    listed = {model.id: model for model in known_generators(options(wire, servers=()))}
    assert listed[name].usable
    other = listed["transformers:Qwen/Qwen3-VL-8B-Instruct"]
    assert not other.usable and other.reason and "not on this machine" in other.reason
    assert listed["openai:MODEL"].reason == "no key: set OPENAI_API_KEY"


def test_auto_does_not_take_one_that_cannot_read(cached: Path, wire: Wire, tmp_path: Path) -> None:
    assert auto(tmp_path, wire, servers=(), device="cpu") is None
    assert not (tmp_path / "sight.json").exists(), "random weights do not end their replies"


def test_auto_passes_over_weights_that_are_not_whole(cached: Path, wire: Wire, tmp_path: Path) -> None:
    weights = next(cached.rglob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:100])
    assert auto(tmp_path, wire, servers=(), tried=False, device="cpu") is None


def test_a_server_that_sees_comes_first(cached: Path, sighted: Wire, tmp_path: Path) -> None:
    found = auto(tmp_path, sighted, device="cpu")
    assert found and found[0].model_id.startswith("openai-compatible:")


def test_a_directory_is_asked_for_its_words_when_it_is_blind(
    cached: Path, wire: Wire, tmp_path: Path
) -> None:
    folder = next(cached.glob("snapshots/*"))
    generator, why = taken(f"transformers:{folder}", tmp_path, wire, device="cpu")
    assert isinstance(generator, VisionGenerator) and not generator.sees and "does not see" in why


def test_every_known_model_has_a_formula_of_its_own() -> None:
    for vlm in published("transformers", "generator"):
        assert not limits_of(vlm.repo.rpartition("/")[2]).assumed, vlm.repo
