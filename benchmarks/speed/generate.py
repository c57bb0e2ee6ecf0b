"""Benchmark ``python -m benchmarks generate``: a vision-language model of this process as it answers.

Time to the first token is that of an answer of one token; tokens a second come from what a longer one takes
more. A step of decoding reads every weight of the language model and what attention keeps of all tokens
before it, so memory bandwidth bounds it: ``share`` is bytes a token times tokens a second over the bandwidth
that a plain copy reaches here. Weights do not change speed, so published shapes with random weights do.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Annotated, Any

import numpy as np
import typer
from PIL import Image

from askpix.core.errors import LimitError
from askpix.generation.generators.messages import Turn
from askpix.generation.generators.vlm import Counted, Vlm

_COPY_BYTES = {"cuda": 2**30, "mps": 2**28, "cpu": 2**26}
_QUESTION = "What is written in the images, and what is the total? " * 4


@dataclass(frozen=True, slots=True)
class GenerateSpeed:
    """Result for one model with so many images; medians of the rounds."""

    pictures: int
    prompt_tokens: int
    image_tokens: int
    first_token_s: float
    tokens_per_s: float
    bytes_per_token: int
    share: float
    """Share of the memory bandwidth."""


@dataclass(frozen=True, slots=True)
class BatchSpeedup:
    """Captions one by one beside the same in a batch."""

    pictures: int
    alone_s: float
    together_s: float
    same: bool
    """True if the words are the same."""


@dataclass(frozen=True, slots=True)
class GenerateReport:
    """A model's rows, and what it runs on."""

    model: str
    device: str
    dtype: str
    parameters: int
    bandwidth: float
    """Bytes a second, read and written, of a plain copy."""
    rows: tuple[GenerateSpeed, ...]
    batch: BatchSpeedup | None
    left_out: tuple[str, ...] = ()


def measure_generation(
    vlm: Vlm,
    *,
    pictures: Sequence[int],
    side: int,
    tokens: int,
    rounds: int,
    batch: int,
    on_row: Callable[[GenerateSpeed], None] | None = None,
) -> GenerateReport:
    """Ask about ``pictures`` images of ``side`` pixels each, answers of ``tokens`` tokens."""
    torch = import_module("torch")
    model = vlm.model
    device = str(model.device)
    bandwidth = copy_bandwidth(torch, device)
    rows: list[GenerateSpeed] = []
    left_out: list[str] = []
    for count in pictures:
        turns: list[Turn[Image.Image]] = [Turn("user", (*_pictures(count, side), _QUESTION))]
        try:
            row = _row(vlm, turns, count=count, tokens=tokens, rounds=rounds, bandwidth=bandwidth)
        except LimitError as error:
            left_out.append(f"{count} images: {error}")
            continue
        rows.append(row)
        if on_row:
            on_row(row)
    speedup = _batched(vlm, count=batch, side=side, tokens=tokens) if batch > 1 else None
    return GenerateReport(
        model=vlm.reference,
        device=device,
        dtype=str(model.dtype).removeprefix("torch."),
        parameters=sum(each.numel() for each in model.parameters()),
        bandwidth=bandwidth,
        rows=tuple(rows),
        batch=speedup,
        left_out=tuple(left_out),
    )


def copy_bandwidth(torch: Any, device: str, rounds: int = 5) -> float:
    """Bytes a second that a plain copy reads and writes; the best of a few."""
    size = _COPY_BYTES[device.partition(":")[0]]
    source = torch.ones(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    best = 0.0
    for _ in range(rounds + 1):
        _wait(torch, device)
        began = time.perf_counter()
        target.copy_(source)
        _wait(torch, device)
        best = max(best, 2 * size / (time.perf_counter() - began))
    return best


def _row(
    vlm: Vlm, turns: Sequence[Turn[Image.Image]], *, count: int, tokens: int, rounds: int, bandwidth: float
) -> GenerateSpeed:
    _timed(vlm, turns, 2)
    first = []
    whole = []
    counted = Counted(0, 0, 0)
    for _ in range(rounds):
        first.append(_timed(vlm, turns, 1)[0])
        seconds, counted = _timed(vlm, turns, tokens)
        whole.append(seconds)
    first_s = float(np.median(first))
    per_s = (counted.made - 1) / max(float(np.median(whole)) - first_s, 1e-9)
    bytes_each = _weights(vlm.model) + _kept(vlm.model, counted.given + counted.made // 2)
    return GenerateSpeed(
        count, counted.given, counted.images, first_s, per_s, bytes_each, per_s * bytes_each / bandwidth
    )


def _timed(vlm: Vlm, turns: Sequence[Turn[Image.Image]], tokens: int) -> tuple[float, Counted]:
    began = time.perf_counter()
    *_, last = vlm.write(turns, max_tokens=tokens, min_tokens=tokens, timeout_s=600)
    assert isinstance(last, Counted)
    return time.perf_counter() - began, last


def _batched(vlm: Vlm, *, count: int, side: int, tokens: int) -> BatchSpeedup:
    asked: list[list[Turn[Image.Image]]] = [
        [Turn("user", (image, "Describe the image."))] for image in _pictures(count, side)
    ]
    vlm.write_all(asked[:1], max_tokens=2, timeout_s=600)
    began = time.perf_counter()
    alone = [vlm.write_all([each], max_tokens=tokens, timeout_s=600)[0] for each in asked]
    between = time.perf_counter()
    together = vlm.write_all(asked, max_tokens=tokens, timeout_s=600)
    return BatchSpeedup(count, between - began, time.perf_counter() - between, alone == together)


def _pictures(count: int, side: int) -> list[Image.Image]:
    random = np.random.default_rng(0)
    return [Image.fromarray(random.integers(0, 256, (side, side, 3), dtype=np.uint8)) for _ in range(count)]


def _weights(model: Any) -> int:
    """Bytes of what a step of decoding reads: all but the eyes, and but the table of words, of which a step
    reads a row (where it is no output layer too)."""
    inner = getattr(model, "model", model)
    eyes = getattr(inner, "vision_tower", None) or getattr(inner, "visual", None)
    table = model.get_input_embeddings().weight
    tied = model.get_output_embeddings().weight is table
    skipped = {id(each) for each in (eyes.parameters() if eyes is not None else ())}
    skipped |= set() if tied else {id(table)}
    return sum(each.numel() * each.element_size() for each in model.parameters() if id(each) not in skipped)


def _kept(model: Any, tokens: int) -> int:
    """Bytes of the keys and values of so many tokens."""
    text = model.config.get_text_config()
    heads = text.num_attention_heads
    head_dim = getattr(text, "head_dim", None) or text.hidden_size // heads
    layers = text.num_hidden_layers
    groups = text.num_key_value_heads or heads
    return int(2 * layers * groups * head_dim * model.dtype.itemsize * tokens)


def _wait(torch: Any, device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    elif device.startswith("mps"):
        torch.mps.synchronize()


def generate_command(
    model: Annotated[
        str | None,
        typer.Option(metavar="DIR_OR_REPO", help="A model as `transformers:` names it."),
    ] = None,
    random: Annotated[
        str | None,
        typer.Option(metavar="llava-1.5-7b|qwen2-vl-7b|tiny", help="Instead: a shape with random weights."),
    ] = None,
    pictures: Annotated[str, typer.Option(help="How many images a question has, each in turn.")] = "1,4,8",
    side: Annotated[int, typer.Option(min=16, help="Pixels of each side of an image.")] = 672,
    tokens: Annotated[int, typer.Option(min=2, help="Of each answer.")] = 64,
    rounds: Annotated[int, typer.Option(min=1, help="Medians of so many.")] = 3,
    batch: Annotated[int, typer.Option(min=0, help="Captions at once, beside one by one; 0: not.")] = 8,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on standard output.")] = False,
) -> None:
    """Time to the first token, tokens/s and the share of the memory bandwidth, by number of images."""
    from dataclasses import asdict

    from askpix.api.console.render import hint, print_json, say
    from askpix.api.settings import load_settings
    from askpix.core.errors import BadQueryError
    from askpix.evaluation.performance.speed import machine
    from askpix.generation.generators.vlm import Vlm
    from benchmarks.speed.random_vlm import random_vlm

    if (model is None) == (random is None):
        raise BadQueryError("name what to measure: --model DIR_OR_REPO, or --random llava-1.5-7b")
    try:
        counts = [int(each) for each in pictures.split(",")]
    except ValueError as error:
        raise BadQueryError(f"--images {pictures!r} is no list of numbers like 1,4,8") from error
    if min(counts) < 1:
        raise BadQueryError("--images must be 1 or more each")
    settings = load_settings()
    how = {"device": settings.device, "precision": settings.generator_precision}
    vlm = random_vlm(random, **how) if random else Vlm.load(str(model), **how)  # type: ignore[arg-type]

    def told(row: GenerateSpeed) -> None:
        say(
            f"{row.pictures} images ({row.image_tokens} of {row.prompt_tokens} tokens): first token "
            f"{row.first_token_s:.3f} s, then {row.tokens_per_s:.1f} tokens/s, "
            f"{100 * row.share:.0f} % of the memory bandwidth"
        )

    report = measure_generation(
        vlm,
        pictures=counts,
        side=side,
        tokens=tokens,
        rounds=rounds,
        batch=batch,
        on_row=None if as_json else told,
    )
    if as_json:
        print_json({"machine": machine("torch", "transformers"), **asdict(report)})
        return
    for line in report.left_out:
        hint(f"left out: {line}")
    if report.batch:
        both = report.batch
        same = "the same words" if both.same else "other words: arithmetic in batches rounds otherwise"
        say(
            f"{both.pictures} captions: {both.alone_s:.2f} s one by one, {both.together_s:.2f} s in a batch "
            f"({both.alone_s / both.together_s:.1f} x), {same}"
        )
    say(
        f"{report.model}: {report.parameters / 1e9:.2f} billion parameters in {report.dtype} on "
        f"{report.device}, a copy runs at {report.bandwidth / 1e9:.0f} GB/s"
    )
