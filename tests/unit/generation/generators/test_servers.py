"""Servers of models over real wire traffic: what they hold, how they are asked, Ollama by its own API."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from askpix.core.errors import (
    EmptyReplyError,
    GenerationError,
    LimitError,
    ModelUnavailableError,
    NoSightError,
)
from askpix.core.types import Message
from askpix.generation.generators.base import THOUGHT_TOKENS, GeneratorOptions, open_generator
from askpix.generation.generators.hosted import HostedGenerator, Waits
from askpix.generation.generators.servers import local_models
from askpix.generation.prompting.prompt import build_messages
from tests.support.wire import Ollama, Server, Wire, asked_messages, evidence, photo


@pytest.fixture
def wire() -> Iterator[Wire]:
    with Server(Wire()) as server:
        yield server.wire


@pytest.fixture
def ollama(wire: Wire) -> Ollama:
    wire.ollama = Ollama()
    return wire.ollama


def opened(wire: Wire, name: str = "tiny-vl", **more: int) -> HostedGenerator:
    options = GeneratorOptions(image_of=photo, server_key="secret", **more)  # type: ignore[arg-type]
    generator = open_generator(f"openai-compatible:{name}@{wire.url}/v1", options)
    assert isinstance(generator, HostedGenerator)
    generator._waits = Waits(first_s=5, total_s=10, retries=0)
    return generator


def many() -> list[Message]:
    found = [replace(each, number=n) for n, each in enumerate(evidence() * 4, start=1)]
    return build_messages("What is the grand total?", found)


def answer_of(generator: HostedGenerator, messages: list[Message] | None = None) -> str:
    return "".join(piece.text for piece in generator.generate(messages or asked_messages()))


@pytest.mark.parametrize(
    ("says", "window"),
    [
        ({"/v1/models": {"data": [{"id": "tiny-vl", "max_model_len": 3000}]}}, 3000),
        ({"/props": {"default_generation_settings": {"n_ctx": 2500}}}, 2500),
        ({"/props": ["odd"], "/api/version": {"version": 1}, "/api/ps": {"models": 7}}, None),
        ({"/v1/models": {"data": [7, {"id": "tiny-vl", "max_model_len": "x"}]}}, None),
        ({}, None),
    ],
)
def test_a_plan_stays_within_the_window_that_a_server_reports(
    wire: Wire, says: dict[str, object], window: int | None
) -> None:
    """``max_model_len``: vLLM's ModelCard; ``/props``: llama.cpp's tools/server/README.md."""
    wire.says = says
    generator = opened(wire)
    assert generator.window == window
    for thinks in (False, True):
        generator.thinks = thinks
        plan = generator.plan(many())
        list(generator.generate(many()))
        asked = wire.asked[-1].body["max_tokens"]
        assert window is None or plan.tokens + asked <= window
        assert asked == min(1024 + thinks * THOUGHT_TOKENS, (window or 99_999) // 2)


def test_lm_studio_is_asked_again_until_its_model_is_loaded(wire: Wire) -> None:
    """``/api/v0/models``: LM Studio's REST API v0."""
    row: dict[str, object] = {
        "id": "tiny-vl",
        "type": "vlm",
        "state": "not-loaded",
        "max_context_length": 32_768,
    }
    blind = {**row, "id": "tiny", "type": "llm"}
    wire.models = ["tiny", "tiny-vl"]
    wire.says = {"/api/v0/models": {"object": "list", "data": [blind, row]}}
    generator = opened(wire)
    assert generator.window == 4096
    row |= {"state": "loaded", "loaded_context_length": 16_384}
    assert generator.window == 16_384
    assert list(local_models([f"{wire.url}/v1"])) == [f"tiny-vl@{wire.url}/v1"]


def test_models_that_are_listed_as_blind_are_not_tried(wire: Wire) -> None:
    """As llama.cpp lists what goes into a model."""
    wire.says = {
        "/v1/models": {
            "data": [
                {"id": name, "owned_by": "llamacpp", "architecture": {"input_modalities": takes}}
                for name, takes in (("a", ["text"]), ("b", ["text", "image"]), ("c", "odd"))
            ]
        }
    }
    assert [each.partition("@")[0] for each in local_models([f"{wire.url}/v1"])] == ["b", "c"]


def test_a_server_that_was_not_up_is_asked_again(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    wire.says = {"/v1/models": {"data": [{"id": "tiny-vl", "max_model_len": 3000}]}}
    with Server(Wire()) as elsewhere:
        pass
    generator = opened(elsewhere.wire)
    assert generator.window is None
    with pytest.raises(GenerationError, match="cannot reach"):
        answer_of(generator)
    assert generator._server is not None
    monkeypatch.setattr(generator._server, "url", f"{wire.url}/v1")
    assert generator.window == 3000


def test_a_server_that_was_started_anew_with_less_is_asked_again(wire: Wire) -> None:
    def listing(held: int) -> dict[str, object]:
        return {"/v1/models": {"data": [{"id": "tiny-vl", "max_model_len": held}]}}

    wire.says = listing(16_000)
    generator = opened(wire)
    assert generator.window == 16_000
    wire.says, wire.statuses = listing(3_000), [400]
    wire.error = {"code": 400, "message": "This model's maximum context length is 3000 tokens."}
    assert answer_of(generator, many()) == "ok"
    assert generator.window == 3_000 and len(wire.asked) == 2


@pytest.mark.parametrize(
    ("owner", "told"), [("vllm", True), ("sglang", True), ("llamacpp", True), ("x", False)]
)
def test_models_that_can_think_or_not_are_told_not_to(wire: Wire, owner: str, told: bool) -> None:
    """``chat_template_kwargs``: vLLM's reasoning outputs page, SGLang's, llama.cpp's server README.
    ``enable_thinking`` is the switch in the chat templates of Qwen 3.5, GLM-4.5V, Gemma 4, MiniCPM-V."""
    wire.owner = owner
    list(opened(wire).generate(asked_messages()))
    expected = {"enable_thinking": False} if told else None
    assert wire.asked[0].body.get("chat_template_kwargs") == expected


def test_ollama_is_given_the_context_that_a_question_needs(wire: Wire, ollama: Ollama) -> None:
    wire.say = lambda asked: ["It is ", '67.85 [1: "GRAND TOTAL 67.85"].']
    generator = opened(wire)
    plan = generator.plan(many())
    assert plan.tokens > ollama.default, "its default would lose the best hits"
    pieces = list(generator.generate(many()))
    assert "".join(piece.text for piece in pieces) == 'It is 67.85 [1: "GRAND TOTAL 67.85"].'
    [asked] = wire.asked
    body = asked.body
    assert asked.path == "/api/chat" and asked.headers["authorization"] == "Bearer secret"
    assert body["options"] == {"num_ctx": 20_480, "num_predict": 1024}
    assert body["truncate"] is False and body["shift"] is False and "think" not in body
    assert plan.tokens + 1024 <= 20_480 and ollama.loads == [20_480]
    # Each image stands right after its description, in a message of its own.
    _, *said, last = body["messages"]
    assert {message["role"] for message in said} == {"user"} and len(said) == 16
    for words, image in zip(said[::2], said[1::2], strict=True):
        assert words["content"].endswith("(the image follows)") and "images" not in words
        assert len(image["images"]) == 1 and image["content"] == ""
    assert last == {"role": "user", "content": "What is the grand total?"}
    assert len(asked.pictures) == 8 and asked.pictures[0].getpixel((5, 5))[0] > 200  # type: ignore[index]
    usage = pieces[-1].usage
    assert usage and usage.input_tokens > 2400 and usage.output_tokens == 12 and not usage.estimated
    assert usage.cost_usd == 0.0


@pytest.mark.parametrize(
    ("state", "context"),
    [
        ({"loaded": 32_768}, 32_768),
        ({"loaded": 4_096}, 20_480),
        ({"trained": 8_192}, 8_192),
        ({"parameters": "stop x\nnum_ctx                        3500"}, 3_500),
        ({"capabilities": None}, 20_480),
    ],
)
def test_the_context_is_what_runs_what_is_set_and_what_the_model_can(
    wire: Wire, ollama: Ollama, state: dict[str, int], context: int
) -> None:
    """As docs/api.md and api/types.go of Ollama have ``/api/ps``, ``/api/show`` and their fields."""
    wire.ollama = replace(ollama, **state)
    generator = opened(wire)
    assert generator.window == context
    answer_of(generator, many())
    answer_of(generator, many())
    assert wire.ollama.loaded == context
    assert wire.ollama.loads == [] if state.get("loaded") == context else [context]
    plan = generator.plan(many())
    assert plan.tokens + wire.asked[-1].body["options"]["num_predict"] <= context


def test_a_context_that_the_memory_does_not_hold_is_halved(wire: Wire, ollama: Ollama) -> None:
    ollama.memory = 11_000
    generator = opened(wire)
    assert answer_of(generator, many()) == "ok"
    assert ollama.loads == [10_240] and generator.window == 10_240
    ollama.memory = 2_000
    with pytest.raises(LimitError, match="too large for the memory of the server that runs"):
        answer_of(opened(wire, max_tokens=3_000), many())


@pytest.mark.parametrize(
    "said",
    [
        "the input length exceeds the context length",
        "the prompt is longer than the context length currently available to the model; shorten the prompt",
        '{"error":{"code":400,"message":"request (2622 tokens) exceeds the available context size (512 '
        'tokens)","type":"exceed_context_size_error"}}',
    ],
)
def test_ollama_refuses_what_does_not_fit_and_is_asked_once_more(
    wire: Wire, ollama: Ollama, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    """As Ollama 0.12.6, 0.33 and 0.40 word it."""
    refusals, take = [said], ollama.take
    monkeypatch.setattr(
        ollama, "take", lambda body: (400, {"error": refusals.pop()}) if refusals else take(body)
    )
    assert answer_of(opened(wire), many()) == "ok"
    before, after = (sum(image.width * image.height for image in asked.pictures) for asked in wire.asked)
    assert after < before
    refusals += [said, said]
    with pytest.raises(LimitError, match="too large for 'openai-compatible:tiny-vl@"):
        answer_of(opened(wire), many())


def test_an_old_ollama_that_cuts_the_question_gives_no_answer(
    wire: Wire, ollama: Ollama, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ollama, "take", lambda body: (200, body["options"]["num_ctx"]))
    with pytest.raises(GenerationError, match="left out a part of the question to fit 20480 tokens; update"):
        answer_of(opened(wire))


@pytest.mark.parametrize(
    ("kind", "can", "think"),
    [("qwen35vl", True, False), ("gptoss", True, "low"), ("qwen3vl", False, None)],
)
def test_thinking_models_of_ollama_think_little(
    wire: Wire, ollama: Ollama, kind: str, can: bool, think: bool | str | None
) -> None:
    ollama.kind, ollama.capabilities = kind, ["completion", "vision", *(["thinking"] if can else [])]
    wire.thoughts = ["Let me ", "see: 5?"] if can else []
    wire.say = lambda asked: ["<think>5</think>", "It is 67.85"]
    generator = opened(wire)
    assert answer_of(generator) == "It is 67.85"
    assert wire.asked[0].body.get("think") == think and generator.thinks
    answer_of(generator, many())
    assert wire.asked[-1].body["options"]["num_predict"] == 1024 + THOUGHT_TOKENS
    assert generator.plan(many()).tokens + 1024 + THOUGHT_TOKENS <= ollama.loads[0]


def test_replies_of_ollama_that_end_badly(wire: Wire, ollama: Ollama) -> None:
    wire.ends = "length"
    *_, last = opened(wire).generate(asked_messages())
    assert last.cut
    wire.say = lambda asked: []
    with pytest.raises(EmptyReplyError, match="used up the 1024 tokens"):
        answer_of(opened(wire))
    wire.say, wire.ends, wire.cut_after = lambda asked: ["The total", " is", " 6", "7.85"], None, 1
    with pytest.raises(GenerationError):
        answer_of(opened(wire))


@pytest.mark.parametrize(
    ("status", "said", "error", "words"),
    [
        (404, "model 'tiny-vl' not found", ModelUnavailableError, "there is no model"),
        (400, "this model does not support images", NoSightError, "takes no images"),
        (500, '{"error":{"message":"Multimodal data provided, but model does not support multimodal requests'
         '."}}', NoSightError, "takes no images"),
        (503, "server busy, please try again. maximum pending requests exceeded", GenerationError, "503"),
    ],
)  # fmt: skip
def test_what_ollama_refuses_is_one_clear_line(
    wire: Wire, ollama: Ollama, status: int, said: str, error: type[Exception], words: str
) -> None:
    ollama.take = lambda body: (status, {"error": said})  # type: ignore[method-assign]
    with pytest.raises(error, match=words) as caught:
        answer_of(opened(wire))
    assert "\n" not in str(caught.value)


def test_no_text_places_an_image(wire: Wire, ollama: Ollama) -> None:
    line = replace(evidence()[0].lines[0], text="[img-0] TOTAL [IMG-1] 5 [img]")
    found = [replace(evidence()[0], lines=(line,))]
    answer_of(opened(wire), build_messages("What is [img-0]?", found))
    words = " ".join(message["content"] for message in wire.asked[0].body["messages"])
    assert "[img" not in words.lower() and "[ img-0] TOTAL" in words


def test_who_stops_reading_stops_ollama(wire: Wire, ollama: Ollama) -> None:
    wire.say, wire.pause_s = lambda asked: ["word "] * 500, 0.02
    stream = opened(wire).generate(asked_messages())
    assert next(stream).text == "word "
    stream.close()  # type: ignore[attr-defined]
    assert wire.gone.wait(5)


def test_a_model_that_ollama_has_elsewhere_keeps_its_own_context(wire: Wire, ollama: Ollama) -> None:
    ollama.name = "glm-5v:cloud"
    generator = opened(wire, "glm-5v:cloud")
    answer_of(generator)
    assert "num_ctx" not in wire.asked[0].body["options"] and generator.window == ollama.trained
    plan = generator.plan(asked_messages())
    assert generator.price(plan) is None
