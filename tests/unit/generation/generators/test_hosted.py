"""Models behind an API, over real wire traffic: real clients, a server that speaks their protocols."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from PIL import Image

from askpix.core.errors import (
    AskpixError,
    AuthError,
    EmptyReplyError,
    GenerationError,
    LimitError,
    ModelUnavailableError,
    NotFoundError,
)
from askpix.core.types import Answer, ImageRecord, Message, Query, SearchResult
from askpix.generation.answering.answer import CUT, answer_question
from askpix.generation.generators.base import THOUGHT_TOKENS, GeneratorOptions, open_generator
from askpix.generation.generators.hosted import HostedGenerator, Waits
from askpix.generation.generators.providers import Provider, open_model, open_server, price_of
from askpix.generation.generators.servers import free
from askpix.generation.generators.thoughts import ThoughtFilter
from askpix.generation.generators.vision_check import Reading, draw_canary, pick_number, read_canary
from askpix.generation.prompting.budget import limits_of
from askpix.generation.tasks.extract import extract_with
from tests.support.wire import Server, Wire, asked_messages, evidence, photo

PROVIDERS: list[tuple[Provider, str]] = [
    ("openai", "gpt-4o"),
    ("openai", "gpt-5-pro"),
    ("anthropic", "claude-opus-4-6"),
    ("google", "gemini-2.5-flash"),
]


@pytest.fixture
def wire() -> Iterator[Wire]:
    with Server(Wire()) as server:
        yield server.wire


def made(
    wire: Wire, provider: Provider | None = "openai", name: str = "gpt-4o", **more: object
) -> HostedGenerator:
    base = wire.url if provider in ("anthropic", "google") else f"{wire.url}/v1"
    model = open_model(provider, name, key="secret", base_url=base) if provider else open_server(name, base)
    options: dict[str, object] = {
        "model_id": f"{provider}:{name}",
        "limits": limits_of(name),
        "image_of": photo,
        "price_of": price_of(provider, name) if provider else free,
        "max_tokens": 8000,
        "waits": Waits(first_s=5, total_s=10, retries=2),
    }
    return HostedGenerator(model, **{**options, **more})  # type: ignore[arg-type]


@pytest.mark.parametrize(("provider", "name"), PROVIDERS)
def test_every_provider_gets_words_and_images_and_streams(wire: Wire, provider: Provider, name: str) -> None:
    wire.say = lambda asked: ["It is ", '67.85 [1: "GRAND ', 'TOTAL 67.85"].']
    pieces = list(made(wire, provider, name).generate(asked_messages()))
    assert "".join(piece.text for piece in pieces) == 'It is 67.85 [1: "GRAND TOTAL 67.85"].'
    assert len([piece for piece in pieces if piece.text]) == 3
    [asked] = wire.asked
    assert "Answer only from the evidence" in asked.system
    assert asked.texts[0].startswith("[1] receipt.png") and "| GRAND TOTAL 67.85" in asked.texts[0]
    assert asked.texts[-1] == "What is the grand total?"
    # Both pictures, each after its words, in their own colours and not larger than they are.
    red, blue = asked.pictures
    assert red.size[0] <= 800 and blue.size[0] <= 400
    assert red.getpixel((5, 5))[0] > 200 and blue.getpixel((5, 5))[2] > 200  # type: ignore[index]
    assert not red.getexif()
    usage = pieces[-1].usage
    assert usage and (usage.input_tokens, usage.output_tokens, usage.estimated) == (900, 12, False)
    assert usage.cost_usd and 0 < usage.cost_usd < 0.1
    assert [sent.how for sent in usage.sent] == ["picture", "picture"]
    assert usage.image_tokens == sum(sent.tokens for sent in usage.sent) > 0
    assert [(sent.width, sent.height) for sent in usage.sent] == [red.size, blue.size]


def test_the_key_goes_to_its_provider_and_no_key_to_strangers(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "the-secret-of-openai")
    monkeypatch.setenv("OPENAI_ORG_ID", "my-company")
    list(made(wire, None, "tiny-vl").generate(asked_messages()))
    sent = str(wire.asked[0].headers)
    assert "the-secret-of-openai" not in sent and "my-company" not in sent
    for name in ("gpt-4o", "gpt-5-pro"):
        list(made(wire, "openai", name).generate(asked_messages()))
        assert wire.asked[-1].headers["authorization"] == "Bearer secret"
    named = [header for asked in wire.asked for header in asked.headers if header.startswith("openai-")]
    assert not named, "no organisation or project, not even an empty one"


@pytest.mark.parametrize(
    ("status", "error", "words"),
    [
        (401, AuthError, "does not accept the key"),
        (403, AuthError, "may not use"),
        (404, ModelUnavailableError, "no model"),
        (413, LimitError, "too large"),
        (400, GenerationError, "status 400: .*said 400 to you"),
    ],
)
@pytest.mark.parametrize(("provider", "name"), PROVIDERS)
def test_what_a_provider_refuses_is_one_clear_line(
    wire: Wire, provider: Provider, name: str, status: int, error: type[AskpixError], words: str
) -> None:
    wire.statuses = [status]
    with pytest.raises(error, match=words) as caught:
        list(made(wire, provider, name).generate(asked_messages()))
    assert "\n" not in str(caught.value) and "secret" not in str(caught.value)


@pytest.mark.parametrize(("provider", "name"), PROVIDERS[:3])
def test_passing_trouble_is_asked_again(wire: Wire, provider: Provider, name: str) -> None:
    wire.statuses = [429, 503]
    assert list(made(wire, provider, name).generate(asked_messages()))
    assert len(wire.asked) == 3
    wire.statuses = [429] * 9
    with pytest.raises(LimitError, match="rate limit"):
        list(made(wire, provider, name).generate(asked_messages()))


def test_a_cut_stream_is_an_error_and_not_half_an_answer(wire: Wire) -> None:
    wire.say = lambda asked: ["The total", " is", " 6", "7.85 [1]"]
    wire.cut_after = 2
    with pytest.raises(GenerationError, match="openai:gpt-4o"):
        list(made(wire).generate(asked_messages()))


def test_a_slow_first_word_is_given_up(wire: Wire) -> None:
    wire.first_after_s = 1.5
    with pytest.raises(GenerationError, match=r"took longer than 0\.3 s"):
        list(made(wire, waits=Waits(first_s=0.3, total_s=9, retries=0)).generate(asked_messages()))


def test_an_endless_answer_is_given_up(wire: Wire) -> None:
    wire.say = lambda asked: ["word "] * 500
    wire.pause_s = 0.02
    with pytest.raises(GenerationError, match="1 s to end"):
        list(made(wire, waits=Waits(first_s=5, total_s=1, retries=0)).generate(asked_messages()))
    assert wire.gone.wait(5)


def test_who_stops_reading_stops_the_model(wire: Wire) -> None:
    wire.say = lambda asked: ["word "] * 500
    wire.pause_s = 0.02
    stream = made(wire).generate(asked_messages())
    assert next(stream).text == "word "
    stream.close()  # type: ignore[attr-defined]
    assert wire.gone.wait(5)


def test_nobody_there(wire: Wire) -> None:
    generator = made(wire, None, "tiny-vl")
    wire.url = "http://127.0.0.1:9"
    generator = made(wire, None, "tiny-vl", waits=Waits(5, 10, retries=0))
    with pytest.raises(GenerationError, match="cannot reach 'None:tiny-vl'"):
        list(generator.generate(asked_messages()))


def test_a_server_that_does_not_count_is_counted_for(wire: Wire) -> None:
    wire.count_tokens = False
    wire.say = lambda asked: ["NO ANSWER there is none."]
    usage = list(made(wire, None, "tiny-vl").generate(asked_messages()))[-1].usage
    assert usage and usage.estimated and usage.input_tokens > usage.image_tokens > 0
    assert usage.output_tokens == 6 and usage.cost_usd == 0.0


def test_a_blind_back_end_gets_words_alone_and_is_told(wire: Wire) -> None:
    list(made(wire, sees=False).generate(asked_messages()))
    [asked] = wire.asked
    assert not asked.pictures
    assert "(the image itself is not shown)" in asked.texts[0]


def test_a_image_whose_file_is_gone_is_left_with_its_words(wire: Wire) -> None:
    def gone(record: ImageRecord, min_side: int | None) -> Image.Image:
        if record.id == "r":
            raise NotFoundError("gone")
        return photo(record, min_side)

    usage = list(made(wire, image_of=gone).generate(asked_messages()))[-1].usage
    assert usage and [sent.how for sent in usage.sent] == ["text", "picture"]
    assert len(wire.asked[0].pictures) == 1


def test_follow_ups_keep_their_order(wire: Wire) -> None:
    system, last = asked_messages()
    list(made(wire).generate([system, Message("user", "hello"), Message("assistant", "yes?"), last]))
    roles = [message["role"] for message in wire.asked[0].body["messages"]]
    assert roles == ["system", "user", "assistant", "user"]


def _same(image: Image.Image, number: int) -> bool:
    small = image.convert("L").resize((64, 64))
    return _distance(small, number) < 2


def _distance(small: Image.Image, number: int) -> float:
    from PIL import ImageChops, ImageStat

    drawn = draw_canary(number).convert("L").resize((64, 64))
    return ImageStat.Stat(ImageChops.difference(small, drawn)).mean[0]


def test_the_canary_tells_who_sees(wire: Wire) -> None:
    number = pick_number(7)
    generator = made(wire, image_of=lambda record, side: draw_canary(number))
    wire.say = lambda asked: [f"{number}"] if asked.pictures and _same(asked.pictures[0], number) else ["?"]
    assert read_canary(generator, number=number) == Reading(right=True, whole=True)
    wire.say = lambda asked: ["I see a picture with the number 1", "234 in it."]
    assert not read_canary(generator, number=number).right
    wire.say = lambda asked: [f"{number}0"]
    assert not read_canary(generator, number=number).right
    wire.ends = "length"
    assert not read_canary(generator, number=number).whole
    assert len({pick_number(seed) for seed in range(50)}) > 30


@pytest.mark.parametrize(
    ("said", "right"),
    [
        ("4711", True),
        ("4,711 [1]", True),
        ("4 7 1 1", True),
        ("It says 4712.", True),
        ("711", True),
        ("471", True),
        ("4722", False),
        ("7114", False),
        ("11", False),
        ("1234", False),
        ("between 4712 and 4713", False),
        ("", False),
    ],
)
def test_three_digits_of_four_are_sight(wire: Wire, said: str, right: bool) -> None:
    wire.say = lambda asked: [said] if said else []
    generator = made(wire, image_of=lambda record, side: draw_canary(4711))
    assert read_canary(generator, number=4711) == Reading(right, whole=bool(said))


def test_a_whole_question_with_a_checked_answer(wire: Wire) -> None:
    wire.say = lambda asked: ['The total is 67.85 [1: "GRAND TOTAL 67.85"]; it was sunny [2: "SUN"].']
    answer = answered(made(wire))
    assert answer.answered and answer.generator == "openai:gpt-4o"
    assert answer.citations[0].quote == "GRAND TOTAL 67.85" and answer.citations[0].box
    assert [sent.number for sent in answer.usage.sent] == [1, 2]


class _RecordingProxy(BaseHTTPRequestHandler):
    """A proxy that answers nothing and remembers what it was to pass on."""

    def do_POST(self) -> None:
        self.server.seen.append(self.path)  # type: ignore[attr-defined]
        self.send_error(502)

    do_GET = do_CONNECT = do_POST

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def proxied(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What a proxy that the environment names was asked to pass on."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _RecordingProxy) as proxy:
        proxy.seen = seen = []  # type: ignore[attr-defined]
        threading.Thread(target=proxy.serve_forever, args=(0.02,), daemon=True).start()
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.server_address[1]}")
            monkeypatch.delenv(name.lower(), raising=False)
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        yield seen
        proxy.shutdown()


@pytest.mark.parametrize(("provider", "name"), [*PROVIDERS, (None, "tiny-vl")])
def test_a_server_on_this_machine_is_never_reached_through_a_proxy(
    wire: Wire, proxied: list[str], provider: Provider | None, name: str
) -> None:
    assert list(made(wire, provider, name).generate(asked_messages()))
    assert len(wire.asked) == 1 and wire.asked[0].pictures
    # The fixture sees whatever this process sends, and libraries have telemetry of their own.
    assert not [path for path in proxied if "127.0.0.1" in path]


def test_another_machine_is_reached_through_the_proxy(proxied: list[str]) -> None:
    elsewhere = made(Wire(url="http://models.example"), None, "tiny-vl", waits=Waits(5, 10, retries=0))
    with pytest.raises(GenerationError):
        list(elsewhere.generate(asked_messages()))
    assert "http://models.example/v1/chat/completions" in proxied


def test_the_price_of_a_server_elsewhere_is_not_known(wire: Wire) -> None:
    options = GeneratorOptions(image_of=photo)
    for url, cost in ((f"{wire.url}/v1", 0.0), ("https://models.example/v1", None)):
        generator = open_generator(f"openai-compatible:tiny-vl@{url}", options)
        plan = generator.plan(asked_messages())
        assert plan and generator.price(plan) == cost, url


@pytest.mark.parametrize(
    "pieces",
    [
        ["<think>", "the total", " is 5", "</think>", "\n\n", "It is 67.85"],
        ["<thi", "nk>the total is 5</th", "ink>\n\nIt is", " 67.85"],
        ["<think>the total is 5</think>\n\nIt is 67.85"],
        ["\n<think>\n\n</think>\nIt ", "is 67.85"],
        ["[THINK]hm, 5[/THINK]It is 67.85"],
        ["<|channel>thought\n5?<channel|>It is 67.85"],
        ["<think>5</think><answer><|begin_of_box|>", "It is 67.85<|end_of_box|></ans", "wer>"],
    ],
)
def test_thoughts_in_the_text_are_no_part_of_the_answer(wire: Wire, pieces: list[str]) -> None:
    """The marks are those of the chat templates of Qwen3, Magistral, Gemma 4 and GLM-4.1V on the hub."""
    wire.say = lambda asked: pieces
    generator = made(wire, None, "tiny-vl")
    *written, last = generator.generate(asked_messages())
    assert "".join(piece.text for piece in written).strip() == "It is 67.85"
    assert last.usage and not last.cut and generator.thinks
    assert written[0].text.strip(), "no lines of space before the answer"


@pytest.mark.parametrize(("provider", "name"), [*PROVIDERS, (None, "tiny-vl")])
def test_thoughts_sent_apart_are_no_part_of_the_answer(
    wire: Wire, provider: Provider | None, name: str
) -> None:
    wire.thoughts, wire.say = ["Let me see: ", "is it 5?"], lambda asked: ["It is ", "67.85"]
    generator = made(wire, provider, name)
    assert "".join(piece.text for piece in generator.generate(asked_messages())) == "It is 67.85"
    assert generator.thinks
    wire.thought_field = "reasoning"
    assert "".join(piece.text for piece in generator.generate(asked_messages())) == "It is 67.85"


def test_words_like_thoughts_within_an_answer_stay(wire: Wire) -> None:
    said = 'It says [1: "<think> first"] and 1 < 2 <th'
    wire.say = lambda asked: [said[:12], said[12:20], said[20:]]
    assert "".join(piece.text for piece in made(wire).generate(asked_messages())) == said


def test_a_reply_that_only_closes_its_thought_is_learned(wire: Wire) -> None:
    wire.say = lambda asked: ["the total ", "is 5</th", "ink>\n\nIt is 67.85"]
    generator = made(wire, None, "tiny-vl")
    with pytest.raises(GenerationError, match="thoughts into the answer; ask again"):
        list(generator.generate(asked_messages()))
    assert "".join(piece.text for piece in generator.generate(asked_messages())) == "It is 67.85"
    # The server was told to take the thoughts out: the whole reply is the answer.
    wire.say = lambda asked: ["It is ", "67.85"]
    assert "".join(piece.text for piece in generator.generate(asked_messages())) == "It is 67.85"


@pytest.mark.parametrize("said", [["<think>", "the total is 5, or"], ["<think>the total is 5, or"]])
@pytest.mark.parametrize("ends", ["length", None])
def test_a_stream_cut_within_thoughts_is_no_answer(wire: Wire, said: list[str], ends: str | None) -> None:
    wire.say, wire.ends = lambda asked: said, ends
    with pytest.raises(EmptyReplyError, match="used up the 1024 tokens" if ends else "ended its reply"):
        list(made(wire, None, "tiny-vl").generate(asked_messages()))
    assert len(wire.asked) == 1, "it is not asked again at the user's cost"


@pytest.mark.parametrize(("provider", "name"), PROVIDERS)
def test_an_empty_reply_is_said_to_be_empty_and_not_asked_again(
    wire: Wire, provider: Provider, name: str
) -> None:
    wire.thoughts, wire.say, wire.ends = ["Let me see."], lambda asked: [], "length"
    with pytest.raises(EmptyReplyError, match=f"'{provider}:{name}' used up the 1024 tokens"):
        list(made(wire, provider, name).generate(asked_messages()))
    assert len(wire.asked) == 1


@pytest.mark.parametrize(("provider", "name"), PROVIDERS)
def test_an_answer_cut_by_its_limit_is_said_to_be_cut(wire: Wire, provider: Provider, name: str) -> None:
    wire.say, wire.ends = lambda asked: ['It is 67.85 [1: "GRAND TOTAL 67.85"].', " It was"], "length"
    answer = answered(made(wire, provider, name))
    assert answer.answered and answer.notes == (CUT,)
    wire.ends = None
    assert answered(made(wire, provider, name)).notes == ()


def test_a_cut_record_is_not_asked_for_again(wire: Wire) -> None:
    wire.say, wire.ends = lambda asked: ['{"value": {"total": "67'], "length"
    with pytest.raises(GenerationError, match="cut off at the limit"):
        extract_with(made(wire), {"type": "object", "properties": {"total": {}}}, evidence()[0])
    assert len(wire.asked) == 1


@pytest.mark.parametrize(
    ("provider", "name", "field", "room"),
    [
        ("openai", "gpt-4o", "max_completion_tokens", 1024),
        ("openai", "gpt-5", "max_completion_tokens", 1024 + THOUGHT_TOKENS),
        ("openai", "gpt-6", "max_completion_tokens", 1024 + THOUGHT_TOKENS),
        ("openai", "gpt-5.5", "max_completion_tokens", 1024 + THOUGHT_TOKENS),
        ("openai", "gpt-6-sol", "max_completion_tokens", 1024 + THOUGHT_TOKENS),
        ("openai", "gpt-5.5-pro", "max_output_tokens", 1024 + THOUGHT_TOKENS),
        ("anthropic", "claude-opus-5", "max_tokens", 1024 + THOUGHT_TOKENS),
        ("google", "gemini-3.8-flash", "maxOutputTokens", 1024 + THOUGHT_TOKENS),
        ("anthropic", "claude-opus-4-6", "max_tokens", 1024),
        ("google", "gemini-2.5-flash", "maxOutputTokens", 1024 + THOUGHT_TOKENS),
        ("google", "gemini-2.0-flash", "maxOutputTokens", 1024),
        ("openai-compatible", "gpt-4o", "max_tokens", 1024),
    ],
)
def test_thinking_models_get_room_and_are_asked_to_think_little(
    wire: Wire, provider: str, name: str, field: str, room: int
) -> None:
    base = wire.url if provider in ("anthropic", "google") else f"{wire.url}/v1"
    keys = {f"{provider.upper()}_API_KEY": "k", f"{provider.upper()}_BASE_URL": base}
    reference = f"{name}@{base}" if provider == "openai-compatible" else name
    generator = open_generator(f"{provider}:{reference}", GeneratorOptions(image_of=photo, environment=keys))
    list(generator.generate(asked_messages()))
    body = wire.asked[0].body
    assert body.get("generationConfig", body)[field] == room
    plan = generator.plan(asked_messages())
    assert plan and (name == "gpt-6" or generator.price(plan) is not None)
    if name in ("gpt-5", "gpt-5.5", "gpt-6-sol"):
        assert body["reasoning_effort"] == "low"
    if name == "gpt-5.5-pro":  # the least it takes; and OpenAI is not to keep what was asked
        assert body["reasoning"]["effort"] == "medium" and body["store"] is False
    if name == "claude-opus-5":
        assert body["output_config"] == {"effort": "low"} and body["thinking"]["type"] == "adaptive"
    if name == "gemini-2.5-flash":
        assert 0 < body["generationConfig"]["thinkingConfig"]["thinking_budget"] < THOUGHT_TOKENS
    if name == "gemini-3.8-flash":
        assert body["generationConfig"]["thinkingConfig"]["thinking_level"] == "LOW"


def test_models_without_chat_completions_are_asked_by_the_responses_api(wire: Wire) -> None:
    """Those that the published client lists for the one and not for the other."""
    from typing import get_args

    from openai.types.shared import ChatModel, ResponsesModel

    chat = set(get_args(ChatModel))
    listed = {name for part in get_args(ResponsesModel) for name in get_args(part)} - chat
    assert "gpt-5-pro" in listed and len(listed) > 10
    codex_and_pro = {name for name in chat if "codex" in name or "-pro" in name}  # by their own pages
    for name in ["gpt-5.6-sol", "gpt-6-luna", "gpt-4o", "o3", "gpt-9", *listed, *codex_and_pro]:
        list(made(wire, "openai", name).generate(asked_messages()))
        path = "/v1/responses" if name in listed | codex_and_pro else "/v1/chat/completions"
        assert wire.asked[-1].path == path, name


def test_a_long_reply_is_filtered_in_steps_that_grow_with_it() -> None:
    """Of a thought that the prompt opened nothing can be passed on, nor is it read over and over."""
    thoughts = ThoughtFilter(inside=True)
    assert not any(thoughts.feed("wait < ") for _ in range(20_000))
    assert thoughts.feed("</think>\n\nso: 5") + thoughts.close(whole=True) == "so: 5"


def answered(generator: HostedGenerator) -> Answer:
    hits = tuple(each.hit for each in evidence())
    lines = {each.hit.record.id: each.lines for each in evidence()}
    return answer_question(
        "What is the grand total?",
        retrieve=lambda text, k: SearchResult(Query(text), True, None, hits, 1.0),
        lines_of=lambda ids: lines,
        generator=generator,
    )


@pytest.mark.parametrize(
    "error",
    [
        {"code": 400, "type": "exceed_context_size_error", "message": "too much", "n_ctx": 2048},
        {"code": 400, "message": "This model's maximum context length is 2048 tokens. You requested 2400."},
        {"code": "context_length_exceeded", "message": "too much"},
        {"code": 400, "message": "the input length exceeds the context length"},
        {"code": 400, "message": "prompt is too long: 208310 tokens > 200000 maximum"},
    ],
)
def test_an_overflow_is_tried_once_more_smaller(wire: Wire, error: dict[str, object]) -> None:
    """As llama.cpp (pull request 15780), vLLM, OpenAI, Ollama and Anthropic word it."""
    wire.statuses, wire.error = [400], error
    wire.say = lambda asked: ["It is 67.85"]
    *_, last = pieces = list(made(wire).generate(asked_messages()))
    assert "".join(piece.text for piece in pieces) == "It is 67.85"
    first, second = (sum(w * h for w, h in (p.size for p in asked.pictures)) for asked in wire.asked)
    assert second < first and last.usage and len(last.usage.sent) == 2
    wire.statuses = [400, 400, 400]
    with pytest.raises(LimitError, match="too large for 'openai:gpt-4o'; ask about fewer"):
        list(made(wire).generate(asked_messages()))
    assert len(wire.asked) == 4
