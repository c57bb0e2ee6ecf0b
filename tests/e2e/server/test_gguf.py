"""A vision-language model in GGUF on the whole way: indexed, found, shown, answered, by command and HTTP."""

import json
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from askpix.api.demo import PICTURES
from askpix.api.server.app import create_app
from askpix.api.service.service import Service
from askpix.api.settings import Settings
from tests.support.cli import Askpix, runner
from tests.support.tiny_gguf import SAYS, write_gguf

QUESTION = "What is the total on the Hotel Alpenblick receipt?"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with two indexed images, and the model beside it."""
    folder = tmp_path_factory.mktemp("gguf")
    write_gguf(folder / "tiny")
    write_gguf(folder / "blind", projector=None)
    (folder / "album").mkdir()
    for name in ("photos/cat.jpg", "receipts/hotel-alpenblick.jpg"):
        (folder / "album" / Path(name).name).write_bytes((PICTURES / name).read_bytes())
    command(folder)("index", folder / "album")
    return folder


def command(home: Path) -> Askpix:
    return runner(home / "home", home)


def test_the_command_answers_with_a_model_of_a_folder(home: Path) -> None:
    asked = ("ask", QUESTION, "--json", "--generator")
    done = command(home)(*asked, "gguf:tiny", ASKPIX_PROVE_SIGHT="0", ASKPIX_MAX_INPUT_TOKENS="4000")
    answer = json.loads(done.stdout)
    assert answer["generator"] == f"gguf:{home / 'tiny'}:Q4_K_M"
    assert answer["answer"] == SAYS and [each["marker"] for each in answer["citations"]] == [1]
    usage = answer["usage"]
    assert {sent["how"] for sent in usage["sent"]} == {"picture"} and usage["image_tokens"] > 20
    assert usage["input_tokens"] > usage["image_tokens"] and usage["cost_usd"] == 0
    blind = command(home)(*asked, "gguf:blind", code=1)
    assert "has no image projector" in blind.stderr and blind.stderr.count("\n") == 1


def test_a_service_streams_its_answer(home: Path) -> None:
    settings = Settings(
        home=home / "home", generator=f"gguf:{home / 'tiny'}", prove_sight=False, max_input_tokens=4000
    )
    service = Service(settings)
    service.start()
    try:
        with TestClient(create_app(service), base_url="http://localhost:8000") as client:
            sent = client.post("/v1/collections/default/ask", json={"question": QUESTION, "stream": True})
    finally:
        service.stop()
    assert sent.status_code == 200
    events = [
        dict(line.split(": ", 1) for line in each.splitlines()) for each in sent.text.split("\n\n") if each
    ]
    kinds = [each["event"] for each in events]
    assert kinds[0] == "hits" and kinds[-1] == "answer" and kinds.count("delta") > 5
    assert "".join(json.loads(each["data"])["text"] for each in events if each["event"] == "delta") == SAYS
    assert json.loads(events[-1]["data"])["answer"] == SAYS
