"""``askpix bench generate``: how fast a vision-language model in this process answers."""

from typing import Annotated

import typer


def generate_command(
    model: Annotated[
        str | None,
        typer.Option(metavar="DIR_OR_REPO", help="A model as `transformers:` names it."),
    ] = None,
    random: Annotated[
        str | None,
        typer.Option(metavar="llava-1.5-7b|qwen2-vl-7b|tiny", help="Instead: a shape with random weights."),
    ] = None,
    pictures: Annotated[str, typer.Option(help="How many pictures a question has, each in turn.")] = "1,4,8",
    side: Annotated[int, typer.Option(min=16, help="Pixels of each side of a picture.")] = 672,
    tokens: Annotated[int, typer.Option(min=2, help="Of each answer.")] = 64,
    rounds: Annotated[int, typer.Option(min=1, help="Medians of so many.")] = 3,
    batch: Annotated[int, typer.Option(min=0, help="Captions at once, beside one by one; 0: not.")] = 8,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on standard output.")] = False,
) -> None:
    """Time to the first token, tokens/s and the share of the memory bandwidth, by number of pictures."""
    from dataclasses import asdict

    from askpix.api.console.render import hint, print_json, say
    from askpix.api.settings import load_settings
    from askpix.core.errors import BadQueryError
    from askpix.evaluation.performance.speed import machine
    from askpix.generation.generators.vlm import Vlm
    from benchmarks.speed.generate import GenerateSpeed, measure_generation
    from benchmarks.speed.random_vlm import random_vlm

    if (model is None) == (random is None):
        raise BadQueryError("name what to measure: --model DIR_OR_REPO, or --random llava-1.5-7b")
    try:
        counts = [int(each) for each in pictures.split(",")]
    except ValueError as error:
        raise BadQueryError(f"--pictures {pictures!r} is no list of numbers like 1,4,8") from error
    if min(counts) < 1:
        raise BadQueryError("--pictures must be 1 or more each")
    settings = load_settings()
    how = {"device": settings.device, "precision": settings.generator_precision}
    vlm = random_vlm(random, **how) if random else Vlm.load(str(model), **how)  # type: ignore[arg-type]

    def told(row: GenerateSpeed) -> None:
        say(
            f"{row.pictures} pictures ({row.image_tokens} of {row.prompt_tokens} tokens): first token "
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
