"""``askpix bench embed``, and how ``askpix bench`` goes on meaning what it did."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

if TYPE_CHECKING:
    from askpix.evaluation.performance.embedding import BatchSpeed


class DefaultCommand(TyperGroup):
    """A group whose first command is meant when none is named."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Puts the first command's name before arguments that name none."""
        if not args or args[0] not in (*self.commands, "--help", "-h"):
            args = [next(iter(self.commands)), *args]
        return super().parse_args(ctx, args)


def embed_command(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[PATH]...", help="Pictures to measure with; default: the sample photos."),
    ] = None,
    embedder: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="An embedder to measure; may be given again.")
    ] = None,
    random: Annotated[
        list[str] | None,
        typer.Option(
            metavar="vit-b-32|siglip-b-16",
            help="One with random weights: needs no download, and speed does not see weights.",
        ),
    ] = None,
    engines: Annotated[
        bool,
        typer.Option(
            "--engines", help="Instead: torch, ONNX Runtime and OpenVINO on this CPU, by precision."
        ),
    ] = False,
    rounds: Annotated[int, typer.Option(min=1, help="Bare and real runs take turns this often.")] = 5,
    seconds: Annotated[float, typer.Option(min=0.01, help="Each turn takes about this long at least.")] = 1.0,
    limit: Annotated[
        float, typer.Option(min=1, metavar="SECONDS", help="About so long for each embedder, or model.")
    ] = 300.0,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on standard output.")] = False,
) -> None:
    """Embedders beside a hand-written loop over their library: pictures/s, texts/s at batch 1, 16, 64."""
    import tempfile
    from dataclasses import asdict

    from askpix.api.console.render import print_json, say
    from askpix.api.demo import PICTURES
    from askpix.api.evals.embed import RANDOM, measure_embedder, save_random
    from askpix.api.evals.speed import collect
    from askpix.api.settings import load_settings
    from askpix.core.errors import BadQueryError
    from askpix.core.imaging.decode import open_image
    from askpix.evaluation.performance.speed import machine
    from askpix.ingest.sources.walk import check_paths

    settings = load_settings()
    if engines:
        _engines(random or list(RANDOM), rounds=rounds, limit_s=limit, as_json=as_json)
        return
    if not embedder and not random:
        raise BadQueryError("name what to measure: --embedder ID, or --random vit-b-32")
    sources = paths or [PICTURES / "photos"]
    check_paths(sources)
    report: dict[str, Any] = {"machine": machine("torch", "pillow"), "embedders": {}}
    with tempfile.TemporaryDirectory(prefix="askpix-bench-") as work:
        (Path(work) / "pictures").mkdir()
        files = collect(sources, 16, Path(work) / "pictures", megapixels=None)
        images = [open_image(path).image for path in files]
        wanted = {name: name for name in embedder or []}
        wanted |= {f"random {kind}": save_random(Path(work) / kind, kind) for kind in random or []}
        for name, embedder_id in wanted.items():
            if not as_json:
                say(name)
            rows = measure_embedder(
                embedder_id,
                settings,
                images,
                rounds=rounds,
                seconds=seconds,
                limit_s=limit,
                on_row=None if as_json else _say_row,
            )
            report["embedders"][name] = [asdict(row) for row in rows]
    if as_json:
        print_json(report)


def _say_row(row: "BatchSpeed") -> None:
    from askpix.api.console.render import say

    if row.ratio is None:
        say(f"  {row.what:8} batch {row.batch:2}: not measured, --limit is too short for it")
        return
    say(
        f"  {row.what:8} batch {row.batch:2}: {row.ratio:.2f} of the bare loop ({row.cpu_ratio:.2f} by CPU "
        f"time; {row.per_s:.1f}/s, bare {row.bare_per_s:.1f}/s; {row.turns} turns)"
    )


def _engines(kinds: list[str], *, rounds: int, limit_s: float, as_json: bool) -> None:
    import tempfile

    from askpix.api.console.render import print_json, say
    from askpix.evaluation.performance.speed import machine
    from benchmarks.speed.engines import measure_engines

    rows = []
    for kind in kinds:
        with tempfile.TemporaryDirectory(prefix="askpix-bench-") as work:
            rows += measure_engines(kind, Path(work), rounds=rounds, limit_s=limit_s)
    if as_json:
        print_json({"machine": machine("torch", "onnxruntime"), "engines": rows})
        return
    for row in rows:
        say(
            f"{row['model']:12} {row['engine']:13} {row['precision']:5} {row['per_s']:6.1f} pictures/s, "
            f"{row['ratio']:.2f} of torch fp32 ({row['cpu_ratio']:.2f} by CPU time), "
            f"cosine {row['cosine']:.4f}"
        )
