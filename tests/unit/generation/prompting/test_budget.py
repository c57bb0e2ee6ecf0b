"""What pictures cost, and what a question's evidence is shown as."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askpix.core.errors import LimitError
from askpix.core.types import Box, Evidence, Hit, ImageRecord, TextLine
from askpix.generation.prompting.budget import READ_SIDE, SEE_SIDE, THUMBNAIL, Plan, limits_of, make_plan
from askpix.generation.prompting.image_tokens import FORMULAS, image_tokens

GPT4O = {"base": 85, "per_tile": 170}

# Sizes and sums from the providers' own pages: OpenAI's "Images and vision" (calculating costs), Anthropic's
# "Vision" (image costs), Google's "Understand and count tokens".
PUBLISHED = [
    ("gpt-4o", 1024, 1024, 765),
    ("gpt-4o", 2048, 4096, 1105),
    ("gpt-5", 1024, 1024, 630),
    ("gpt-5.4", 1024, 1024, math.ceil(1024 * 1.2)),
    ("gpt-5.4", 2048, 2048, 2500 * 1.2),
    ("gpt-4.1-mini", 1024, 1024, math.ceil(1024 * 1.62)),
    ("gpt-4.1-mini", 1800, 2400, math.ceil(1452 * 1.62)),
    ("o4-mini", 1024, 1024, math.ceil(1024 * 1.72)),
    ("claude-sonnet-4-5", 200, 200, 54),
    ("claude-sonnet-4-5", 1000, 1000, 1334),
    ("claude-opus-4-7", 1092, 1092, 39 * 39),
    ("gemini-2.5-flash", 384, 384, 258),
    ("gemini-2.5-flash", 1024, 1024, 4 * 258),
    ("gemini-3.1-pro", 4000, 3000, 1120),
    ("qwen2.5-vl-7b-instruct", 1024, 1024, 1369),
    ("Qwen/Qwen3-VL-8B-Instruct", 1024, 1024, 1024),
    ("OpenGVLab/InternVL2-8B", 1024, 1024, 256 * 10),
    ("llava-hf/llava-1.5-7b-hf", 4000, 3000, 576),
    ("gemma3:12b", 4000, 3000, 256),
    ("gemma4:e4b", 672, 960, 280),
    ("glm-4.6v", 6000, 4000, 6144),
    ("pixtral-12b", 1024, 1024, 64 * 65),
    ("llama4:scout", 336, 336, 147),
    ("LFM2-VL-1.6B", 256, 384, 96 + 2),
    ("paligemma2-3b-pt-448", 1024, 1024, 1024),
]


@pytest.mark.parametrize(("model", "width", "height", "tokens"), PUBLISHED)
def test_published_examples(model: str, width: int, height: int, tokens: int) -> None:
    assert limits_of(model).tokens(width, height) == tokens


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("gpt-4o-2024-11-20", "GPT-4o, GPT-4.1, GPT-4.5"),
        ("gpt-4o-mini", "GPT-4o mini"),
        ("gpt-4.1-nano", "GPT nano"),
        ("gpt-5-mini", "GPT mini"),
        ("gpt-5.5", "GPT-5.4 and later"),
        ("gpt-5", "GPT-5"),
        ("gpt-5-pro", "GPT-5"),
        ("gpt-5.2", "GPT-5.1 to 5.3, Codex"),
        ("gpt-5-codex", "GPT-5.1 to 5.3, Codex"),
        ("gpt-6-luna", "GPT-5.4 and later"),
        ("o3", "o1, o3"),
        ("claude-3-5-sonnet-20241022", "Claude up to 4.6"),
        ("claude-sonnet-4-20250514", "Claude up to 4.6"),
        ("claude-haiku-4-5", "Claude up to 4.6"),
        ("claude-sonnet-5-5", "Claude 4.7 and later"),
        ("gemini-1.5-flash", "Gemini 1.5 and 2"),
        ("qwen2.5vl:7b", "Qwen2-VL, Qwen2.5-VL"),
        ("qwen3.5:9b", "Qwen3-VL, Qwen3.5 and later"),
        ("gemma4:e4b", "Gemma 4"),
        ("google/gemma-4-26B-A4B-it", "Gemma 4"),
        ("gemma3n:e4b", "Gemma 3"),
        ("zai-org/GLM-4.6V-Flash", "GLM-V"),
        ("glm-5v-turbo", "GLM-V"),
        ("minicpm-v:8b", "MiniCPM-V up to 4.5"),
        ("openbmb/MiniCPM-V-4_5", "MiniCPM-V up to 4.5"),
        ("openbmb/minicpm-v4.6", "MiniCPM-V 4.6 and later"),
        ("mistral-small3.2:24b", "Mistral 3"),
        ("mistralai/Ministral-3-8B-Instruct-2512", "Mistral 3"),
        ("pixtral-12b-2409", "Pixtral"),
        ("llama4:scout", "Llama 4"),
        ("LiquidAI/LFM2.5-VL-1.6B", "LFM2-VL"),
        ("llava:13b", "LLaVA-1.5"),
        ("llava-hf/llava-v1.6-mistral-7b-hf", "LLaVA-1.6 (NeXT)"),
        ("something-new", "unknown"),
    ],
)
def test_names_as_providers_and_servers_write_them(model: str, family: str) -> None:
    limits = limits_of(model)
    assert limits.family == family
    assert limits.assumed == (family == "unknown")


@given(
    st.sampled_from(["gpt-4o", "gpt-5-mini", "gpt-5.5", "claude-opus-4-6", "claude-opus-5", "gemini-2.5-pro",
                     "qwen2-vl", "qwen3-vl", "internvl3", "llava-v1.6", "llava", "gemma3", "gemma4",
                     "glm-4.6v", "minicpm-v", "minicpm-v4.6", "pixtral", "mistral-small3.2", "llama4",
                     "lfm2-vl", "other"]),
    st.integers(1, 20_000),
    st.integers(1, 20_000),
)  # fmt: skip
def test_any_size_costs_something_and_sending_the_useful_size_loses_nothing(
    model: str, width: int, height: int
) -> None:
    limits = limits_of(model)
    tokens = limits.tokens(width, height)
    assert tokens >= 1
    if max(width, height) <= 100 * min(width, height):  # strips are never sent
        assert tokens <= 5_000 + width * height / 100
    sent = limits.useful(width, height, 1 << 30)
    assert 1 <= sent[0] <= width and 1 <= sent[1] <= height
    smaller = limits.useful(width, height, THUMBNAIL)
    assert max(smaller) <= THUMBNAIL


def test_a_image_needs_pixels_and_a_formula_a_name() -> None:
    with pytest.raises(ValueError, match="0 x 5"):
        image_tokens(0, 5, "tiles", **GPT4O)
    with pytest.raises(KeyError):
        image_tokens(5, 5, "guess")
    assert set(FORMULAS) >= {limits_of(name).formula for name in ("gpt-4o", "llava", "internvl3")}


def lines(count: int, *, total_at: int | None = None) -> tuple[TextLine, ...]:
    return tuple(
        TextLine(
            "GRAND TOTAL 67.85" if number == total_at else f"milk and bread number {number}",
            Box(100, 20 * number, 500, 20 * number + 16),
        )
        for number in range(count)
    )


def page(number: int, *, text: tuple[TextLine, ...] = (), kind: str = "page") -> Evidence:
    record = ImageRecord(f"id{number}", f"/scans/{number}.png", kind, 1600, 2400)  # type: ignore[arg-type]
    return Evidence(number, Hit(number, record, 1.0 / number), text)


def plan(*evidence: Evidence, model: str = "gpt-5.5", tokens: int = 100_000, **more: bool) -> Plan:
    return make_plan("What is the grand total?", evidence, limits_of(model), max_tokens=tokens, **more)


def test_with_room_a_page_is_whole_and_large_and_a_photo_smaller() -> None:
    found = plan(page(1, text=lines(40, total_at=7)), page(2, kind="photo"))
    read, seen = found.sent
    assert read.how == "picture" and READ_SIDE * 0.9 < max(read.width, read.height) <= READ_SIDE
    assert (seen.how, max(seen.width, seen.height)) == ("picture", SEE_SIDE)
    assert (read.lines, read.of_lines) == (40, 40)
    assert found.image_tokens == read.tokens + seen.tokens
    assert found.evidence[0].lines == lines(40, total_at=7)


def test_the_last_gives_way_first_and_reading_keeps_its_size_longest() -> None:
    pages = [page(n, text=lines(40, total_at=7)) for n in (1, 2, 3)]
    whole = plan(*pages)
    less = plan(*pages, tokens=whole.tokens - 1)
    assert [sent.how for sent in less.sent] == ["picture", "picture", "crop"]
    crop = less.sent[2]
    assert crop.box and crop.box.x0 == 0 and crop.box.x1 == 1600
    assert crop.box.y0 < 7 * 20 and crop.box.y1 > 7 * 20 + 16
    hows = []
    for tokens in range(whole.tokens, 1500, -200):
        found = plan(*pages, tokens=tokens)
        assert found.tokens <= tokens
        hows.append([sent.how for sent in found.sent])
    assert hows[-1] == ["text", "text", "text"] or hows[-1][2] == "text"
    assert ["picture", "picture", "text"] in hows


def test_no_more_images_than_the_model_takes() -> None:
    found = plan(*(page(n) for n in (1, 2, 3)), model="paligemma-448")
    assert [sent.how for sent in found.sent] == ["picture", "text", "text"]


def test_long_texts_are_cut_to_what_fits_the_question_and_said_so() -> None:
    long = page(1, text=lines(400, total_at=200))
    found = plan(long, tokens=900)
    [sent] = found.sent
    assert sent.how == "text" and sent.lines < sent.of_lines == 400
    kept = [line.text for line in found.evidence[0].lines]
    assert "GRAND TOTAL 67.85" in kept and "milk and bread number 199" in kept
    assert found.tokens <= 900


def test_what_cannot_fit_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(LimitError, match="--top-k"):
        plan(*(page(n, text=lines(400)) for n in range(1, 30)), tokens=1000)


def test_a_strip_is_left_with_its_words() -> None:
    record = ImageRecord("s", "/strip.png", "photo", 20_000, 40)
    found = plan(Evidence(1, Hit(1, record, 1.0), lines(2)))
    assert [sent.how for sent in found.sent] == ["text"]


def test_a_blind_model_gets_words_alone() -> None:
    found = plan(page(1, text=lines(3)), sees=False)
    assert [sent.how for sent in found.sent] == ["text"] and found.image_tokens == 0
