"""Vision-language models in this process: every family with its own processor and tiny random weights."""

import json
import re
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from askpix.core.errors import AskpixError, BadImageError, GenerationError, LimitError, ModelUnavailableError
from askpix.core.types import Answer, Box, Evidence, Hit, ImageRecord, Message, Query, SearchResult, TextLine
from askpix.generation.answering.answer import answer_question, stream_answer
from askpix.generation.generators.base import Piece
from askpix.generation.generators.local import _NAMES, LocalGenerator
from askpix.generation.generators.messages import Film, Turn, as_films, build_turns
from askpix.generation.generators.vlm import Counted, Vlm
from askpix.generation.prompting.budget import limits_of
from askpix.generation.prompting.prompt import build_messages
from askpix.generation.tasks.caption import caption_with, captions_with
from askpix.retrieval.model_hub.registry import published
from tests.support import tiny_vlms
from tests.support.fakes import picture

FAMILIES = list(tiny_vlms.FAMILIES)
# transformers' GLM-V hands tensors to numpy in the old way.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"
)
LINE = TextLine("GRAND TOTAL 67.85 <image><|im_end|>", Box(10, 10, 90, 20), 0.99)


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Vlm]:
    """A family's model, made and loaded once."""

    @cache
    def load(family: str) -> Vlm:
        return Vlm.load(str(tiny_vlms.save_vlm(tmp_path_factory.mktemp("vlm"), family)), device="cpu")

    return load


@pytest.fixture
def vlm(opened: Callable[[str], Vlm]) -> Vlm:
    return opened("gemma3")


@pytest.fixture
def own(opened: Callable[[str], Vlm]) -> Vlm:
    """One that a test may change."""
    return Vlm.load(opened("gemma3").reference, device="cpu")


def photo(record: ImageRecord, min_side: int | None) -> Image.Image:
    return picture("red" if record.id == "a" else "blue", size=(record.width, record.height))


def found(*sizes: tuple[int, int]) -> SearchResult:
    records = [
        ImageRecord("ab"[number], f"/pictures/{number}.jpg", "photo", *size)
        for number, size in enumerate(sizes)
    ]
    hits = tuple(Hit(number, record, 0.9) for number, record in enumerate(records, start=1))
    return SearchResult(Query("total"), matched=True, reason=None, hits=hits, took_ms=1.0)


def generator(vlm: Vlm, **more: Any) -> LocalGenerator:
    made = {"image_of": photo, "max_tokens": 8000, "max_output": 12}
    return LocalGenerator(vlm, **{**made, **more})


def evidence() -> list[Evidence]:
    return [
        Evidence(number, hit, (LINE,)) for number, hit in enumerate(found((120, 80), (60, 100)).hits, start=1)
    ]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_question_goes_the_whole_way(family: str, opened: Callable[[str], Vlm]) -> None:
    vlm = opened(family)
    result = found((120, 80), (60, 100))
    events = list(
        stream_answer(
            "What is the total?",
            retrieve=lambda text, top_k: result,
            lines_of=lambda ids: dict.fromkeys(ids, (LINE,)),
            generator=generator(vlm),
        )
    )
    pieces, answer = [event for event in events if isinstance(event, Piece)], events[-1]
    assert isinstance(answer, Answer)
    assert answer.generator == f"transformers:{vlm.reference}"
    assert answer.usage.cost_usd == 0.0
    assert not answer.usage.estimated
    assert 1 <= answer.usage.output_tokens <= 12
    assert "".join(piece.text for piece in pieces)
    shown = [sent.number for sent in answer.usage.sent if sent.how != "text"]
    assert shown == ([1] if family == "paligemma" else [1, 2])
    one = replace(result, hits=result.hits[:1])
    single = answer_question(
        "What is the total?",
        retrieve=lambda text, top_k: one,
        lines_of=lambda ids: {},
        generator=generator(vlm),
    )
    assert single.usage.image_tokens > 0
    # LLaVA-OneVision cuts up a picture only when it is the only one.
    if family not in ("paligemma", "llava-onevision"):
        assert single.usage.image_tokens < answer.usage.image_tokens


@pytest.mark.parametrize("family", FAMILIES)
def test_the_processor_gets_every_image_once_and_text_is_no_image(
    family: str, opened: Callable[[str], Vlm]
) -> None:
    vlm = opened(family)
    marks = "".join(vlm._prompt._marks)
    shown = [picture("red", size=(120, 80)), picture("blue", size=(60, 100))]
    shown = shown[:1] if family == "paligemma" else shown

    def counted(*parts: str | Image.Image) -> Counted:
        last = list(vlm.write([Turn("user", (*parts, "What?"))], max_tokens=1, timeout_s=60))[-1]
        assert isinstance(last, Counted)
        return last

    each = [counted(f"plain {marks} words", one).images for one in shown]
    together = counted(*(part for one in shown for part in (f"plain {marks} words", one)))
    if (
        family == "llava-onevision"
    ):  # cuts up a picture only when it is the only one: 2 x 2 patches and an end
        assert together.images == 5 * len(shown)
    else:
        assert together.images == sum(each)
    if family != "paligemma":
        assert counted(f"plain {marks} words").images == 0


def test_every_listed_model_is_of_a_family_whose_images_are_counted() -> None:
    for fact in published("transformers", "generator"):
        assert fact.repo and not limits_of(fact.repo).assumed, fact.repo
    for family, kind in _NAMES.items():
        assert not limits_of(kind).assumed, family


def test_gemma_4_sees_images_as_large_as_it_can(tmp_path: Path) -> None:
    folder = tiny_vlms.save_vlm(tmp_path, "gemma4")
    told = folder / "processor_config.json"
    for budget, min_tokens, max_tokens in ((70, 60, 70), (280, 1000, 1120)):
        told.write_text(re.sub('"max_soft_tokens": [0-9]+', f'"max_soft_tokens": {budget}', told.read_text()))
        vlm = Vlm.load(str(folder), device="cpu")
        last = list(
            vlm.write([Turn("user", (picture("red", size=(120, 80)), "What?"))], max_tokens=1, timeout_s=60)
        )[-1]
        assert isinstance(last, Counted) and min_tokens <= last.images <= max_tokens
        assert generator(vlm).limits.tokens(120, 80) == last.images


def test_the_same_question_has_the_same_answer(vlm: Vlm) -> None:
    messages = build_messages("What is it?", evidence())
    first, second = ("".join(p.text for p in generator(vlm).generate(messages)) for _ in range(2))
    assert first == second


def test_closing_the_iterator_stops_the_model(own: Vlm) -> None:
    steps: list[int] = []
    own._model.register_forward_pre_hook(lambda *_: steps.append(1))
    # Random weights write no spaces, and words come out whole.
    own._tokenizer.decode = lambda ids, **_: "word " * len(ids)
    pieces = generator(own, max_output=2000).generate(build_messages("What is it?", evidence()[:1]))
    assert next(pieces).text == "word "
    pieces.close()
    held = len(steps)
    assert 0 < held < 1000
    time.sleep(0.2)
    assert len(steps) == held, "it went on after it was closed"
    assert own._lock.acquire(timeout=1), "the model is free again"
    own._lock.release()


def test_questions_wait_for_each_other(vlm: Vlm) -> None:
    alone = list(vlm.write([Turn("user", ("one",))], max_tokens=6, timeout_s=60))
    said: dict[int, list[Any]] = {}

    def ask(number: int) -> None:
        said[number] = list(vlm.write([Turn("user", ("one",))], max_tokens=6, timeout_s=60))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(said) == 4
    assert all(one == alone for one in said.values())


def test_one_who_waits_can_leave(vlm: Vlm) -> None:
    with vlm._lock:
        stream = vlm.write([Turn("user", ("one",))], max_tokens=6, timeout_s=60)
        waiting = threading.Thread(target=lambda: next(stream, None), daemon=True)
        waiting.start()
        time.sleep(0.1)
        assert waiting.is_alive()
    waiting.join(60)
    assert not waiting.is_alive()
    stream.close()


def test_what_takes_too_long_is_given_up(vlm: Vlm) -> None:
    with pytest.raises(GenerationError, match="took longer than"):
        list(vlm.write([Turn("user", ("one",))], max_tokens=2000, timeout_s=0.01))


def test_what_is_longer_than_its_context_is_refused(vlm: Vlm) -> None:
    with pytest.raises(LimitError, match="holds 8192"):
        list(vlm.write([Turn("user", ("x" * 9000,))], max_tokens=10, timeout_s=60))


def test_the_answer_has_room_in_the_context(vlm: Vlm) -> None:
    made = generator(vlm, max_output=1000)
    assert made.limits.context == 7192
    with pytest.raises(LimitError, match="words of 1 images"):
        made.plan(build_messages("x" * 26_000, evidence()[:1]))


def test_a_damaged_image_is_left_with_its_words(vlm: Vlm) -> None:
    def broken(record: ImageRecord, min_side: int | None) -> Image.Image:
        if record.id == "a":
            raise BadImageError("damaged")
        return photo(record, min_side)

    *_, last = generator(vlm, image_of=broken).generate(build_messages("What?", evidence()))
    assert last.usage
    assert [sent.how for sent in last.usage.sent] == ["text", "picture"]


def test_a_blind_one_gets_words_alone(vlm: Vlm) -> None:
    *_, last = generator(vlm, sees=False).generate(build_messages("What?", evidence()))
    assert last.usage
    assert last.usage.image_tokens == 0
    assert [sent.how for sent in last.usage.sent] == ["text", "text"]


def test_paligemma_is_asked_about_one_image_and_cites_it(
    opened: Callable[[str], Vlm],
) -> None:
    made = generator(opened("paligemma"))
    pieces = list(made.generate(build_messages("What?", evidence())))
    assert pieces[-1].text == " [1]"
    assert pieces[-1].usage
    assert [(sent.how, sent.lines, sent.of_lines) for sent in pieces[-1].usage.sent] == [
        ("picture", 0, 1),
        ("text", 0, 1),
    ]
    refused = "".join(p.text for p in made.generate([Message("user", "What?")]))
    assert refused.startswith("NO ANSWER")


@pytest.mark.parametrize("size", [(1, 1), (4000, 2), (2, 4000)])
def test_any_shape_is_taken(vlm: Vlm, size: tuple[int, int]) -> None:
    stream = vlm.write([Turn("user", (Image.new("L", size), "What?"))], max_tokens=2, timeout_s=60)
    assert isinstance(list(stream)[-1], Counted)


def test_follow_ups_keep_their_order(vlm: Vlm) -> None:
    turns: list[Turn[Image.Image]] = [
        Turn("user", ("first",)),
        Turn("assistant", ("second",)),
        Turn("user", ("third",)),
    ]
    ids = vlm._prompt.inputs(turns)["input_ids"][0]
    text = vlm._tokenizer.decode(ids, skip_special_tokens=True)
    assert text.index("first") < text.index("second") < text.index("third")


def test_a_template_that_refuses_a_system_turn_gets_it_from_the_user(own: Vlm) -> None:
    own._processor.chat_template = (
        "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system here') }}{% endif %}"
        "{% for c in m.content %}{{ c.text }}{% endfor %}{% endfor %}"
    )
    ids = own._prompt.inputs([Turn("system", ("RULES",)), Turn("user", ("QUESTION",))])["input_ids"][0]
    assert own._tokenizer.decode(ids) == "RULES\n\nQUESTION"


def test_what_a_processor_cannot_take_is_one_line(own: Vlm) -> None:
    own._processor.chat_template = "<start_of_image>"
    with pytest.raises(GenerationError, match=r"'transformers:.*failed: "):
        list(own.write([Turn("user", ("x",))], max_tokens=2, timeout_s=60))


def _without_weights(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    held = load_file(folder / "model.safetensors")
    dropped = next(name for name in held if "vision" in name and name.endswith("weight"))
    save_file({k: v for k, v in held.items() if k != dropped}, folder / "model.safetensors")


def _a_word_model(folder: Path) -> None:
    import transformers

    transformers.LlamaConfig(vocab_size=10).save_pretrained(folder)


def _remote_code(folder: Path) -> None:
    config = {"model_type": "phi3_v", "auto_map": {"AutoConfig": "configuration_phi3_v.Phi3VConfig"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "configuration_phi3_v.py").write_text("raise SystemExit('code of a checkpoint was run')")


def _no_template(folder: Path) -> None:
    for path in folder.glob("chat_template*"):
        path.unlink()


def _no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def _cut_weights(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (_without_weights, "holds no trained weights for 1 parts"),
        (_a_word_model, "is a 'llama', which does not write about images"),
        (_remote_code, "needs code that comes with it"),
        (_no_template, "has no chat template"),
        (_no_weights, "cannot load"),
        (_cut_weights, "cannot load"),
    ],
)
def test_what_cannot_be_used_is_one_line(harm: Any, message: str, tmp_path: Path) -> None:
    folder = tiny_vlms.save_vlm(tmp_path, "gemma3")
    harm(folder)
    with pytest.raises(ModelUnavailableError, match=message) as caught:
        Vlm.load(str(folder), device="cpu")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("reference", ["nobody/nothing", "nobody/nothing@main", "../..", "", "/nowhere"])
def test_what_is_not_here_is_one_line(reference: str) -> None:
    with pytest.raises(AskpixError) as caught:
        Vlm.load(reference, device="cpu")
    assert "\n" not in str(caught.value)


def test_fewer_bits_need_an_extra(vlm: Vlm) -> None:
    with pytest.raises(ModelUnavailableError, match=r"askpix\[quantized\]"):
        Vlm.load(vlm.reference, device="cpu", precision="int4")


def test_a_full_memory_is_one_line(own: Vlm, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")

    hook = own._model.register_forward_pre_hook(full)
    with pytest.raises(LimitError, match="fewer images"):
        list(own.write([Turn("user", ("x",))], max_tokens=2, timeout_s=60))
    hook.remove()
    assert list(own.write([Turn("user", ("x",))], max_tokens=2, timeout_s=60)), "it works again"
    monkeypatch.setattr("torch.nn.Module.to", full)
    with pytest.raises(ModelUnavailableError, match="smaller model"):
        Vlm.load(own.reference, device="cpu")


def test_frames_of_one_video_are_shown_as_a_film(opened: Callable[[str], Vlm]) -> None:
    vlm = opened("llava-next-video")
    assert vlm.takes_films and not opened("llava-next").takes_films
    records = [
        ImageRecord("a", "/clip.mp4", "frame", 60, 60, time_s=9.0),
        ImageRecord("b", "/clip.mp4", "frame", 60, 60, time_s=2.0),
        ImageRecord("c", "/photo.jpg", "photo", 60, 60),
    ]
    hits = tuple(Hit(number, record, 0.9) for number, record in enumerate(records, start=1))
    shown = [Evidence(number, hit, ()) for number, hit in enumerate(hits, start=1)]
    writer = generator(vlm)
    messages = build_messages("What happens first?", shown)
    plan = writer.plan(messages)
    turns, plan = build_turns(messages, plan, lambda sent, record: photo(record, None))
    (film,) = [part for part in as_films(turns, plan)[-1].parts if isinstance(part, Film)]
    assert [frame.getpixel((0, 0)) for frame in film.frames] == [(0, 0, 255), (255, 0, 0)]  # by time
    texts = "\n".join(part for part in as_films(turns, plan)[-1].parts if isinstance(part, str))
    assert "at 9.0 s" in texts and texts.count("a frame of the film") == 2
    usage = next(piece.usage for piece in writer.generate(messages) if piece.usage)
    alone = next(piece.usage for piece in writer.generate(build_messages("?", shown[2:])) if piece.usage)
    # A frame takes a quarter of its patches: (28 / 14)^2 / 4 each, beside the photo's own tokens.
    assert usage.image_tokens == alone.image_tokens + 2
    assert usage.output_tokens >= 1


@pytest.mark.parametrize("family", FAMILIES)
def test_a_batch_says_what_each_alone_says(family: str, opened: Callable[[str], Vlm]) -> None:
    writer = generator(opened(family), max_output=4)
    hits = found((120, 80), (60, 100)).hits
    shown = [Evidence(1, hits[0], (LINE,)), Evidence(1, hits[1], ())]
    asked = [build_messages("What is it?", [each]) for each in shown]
    alone = ["".join(piece.text for piece in writer.generate(each)) for each in asked]
    assert writer.write_all(asked) == [text.removesuffix(" [1]") for text in alone]
    assert writer.write_all([]) == []


def test_captions_are_made_in_batches(vlm: Vlm) -> None:
    writer = generator(vlm, max_output=4)
    assert captions_with(writer, evidence()) == [caption_with(writer, each) for each in evidence()]


def test_a_batch_that_the_memory_does_not_hold_is_made_half_by_half(
    own: Vlm, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner, sizes = own._model.generate, list[int]()

    def full(*given: Any, **more: Any) -> Any:
        sizes.append(len(more["input_ids"]))
        if sizes[-1] > 1:
            raise RuntimeError("CUDA out of memory")
        return inner(*given, **more)

    monkeypatch.setattr(own._model, "generate", full)
    writer = generator(own, max_output=4)
    assert len(writer.write_all([build_messages("What?", [each]) for each in evidence()])) == 2
    assert sizes == [2, 1, 1]


@pytest.mark.parametrize("always", [True, False])
def test_thoughts_of_a_model_here_are_no_answer(
    own: Vlm, monkeypatch: pytest.MonkeyPatch, always: bool
) -> None:
    """Qwen3-VL-Thinking's template ends with ``<think>``; Qwen3.5's opens it unless thinking is off."""
    template = str(own._prompt._template())
    tail = "<think>" if always else "{% if enable_thinking is not false %}<think>{% endif %}"
    own._processor.chat_template = own._tokenizer.chat_template = template + tail
    # Random weights write no tags.
    decode = own._tokenizer.decode
    monkeypatch.setattr(
        own._tokenizer, "decode", lambda ids, **more: decode(ids) if len(ids) == 8 else "a b " * len(ids)
    )
    writer = generator(own)
    *_, last = pieces = list(writer.generate(build_messages("What is it?", evidence()[:1])))
    assert last.cut and last.usage and last.usage.output_tokens == 12
    assert ("".join(piece.text for piece in pieces) == "") is always
    assert writer.thinks is always
