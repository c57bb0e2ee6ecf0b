"""Embedders beside bare loops: the measure itself, and the real command on a tiny model."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from askpix.api.cli.main import app
from askpix.evaluation.performance.embedding import measure_embedding
from tests.support.clock import FakeClock, fake_clock
from tests.support.onnx_exports import export_towers
from tests.support.two_tower_models import save_open_clip, save_transformers


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    return fake_clock(monkeypatch, "askpix.evaluation.performance.embedding")


def test_a_loop_half_as_fast_is_seen(clock: FakeClock) -> None:
    sizes: list[int] = []

    def ours(items: Sequence[Any]) -> None:
        sizes.append(len(items))
        clock.sleep(0.004)

    rows = measure_embedding(
        "texts", ours, lambda items: clock.sleep(0.008), ["a"], batches=(1, 4), rounds=3, least_s=0.02
    )
    assert [row.batch for row in rows] == [1, 4] and set(sizes) == {1, 2, 4}
    assert all(row.ratio is not None and row.ratio == pytest.approx(2) for row in rows)
    assert all((row.per_s or 0) > (row.bare_per_s or 0) for row in rows)


def test_it_ends_when_time_is_out(clock: FakeClock) -> None:
    def slow(items: Sequence[Any]) -> None:
        clock.sleep(0.01 * len(items))

    told: list[int] = []
    rows = measure_embedding(
        "pictures", slow, slow, ["a"], rounds=100, most_s=1.0, on_row=lambda row: told.append(row.batch)
    )
    assert clock.now < 1.5
    assert told == [1, 16, 64]
    assert 1 <= rows[0].turns < 100 and rows[0].ratio is not None
    assert rows[2].turns == 0 and rows[2].ratio is None and rows[2].cpu_ratio is None


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments))


def test_bench_embed_on_every_library(tmp_path: Path) -> None:
    save_transformers(tmp_path / "siglip", "siglip")
    save_open_clip(tmp_path / "clip")
    model, *_ = save_transformers(tmp_path / "export", "siglip")
    export_towers(
        model,
        tmp_path / "export",
        vision="onnx/vision_model.onnx",
        text="onnx/text_model.onnx",
        masked=False,
        side=32,
    )
    ids = [
        f"transformers:{tmp_path / 'siglip'}",
        f"open_clip:{tmp_path / 'clip'}",
        f"onnx:{tmp_path / 'export'}",
    ]
    done = run(
        "bench",
        "embed",
        *(part for name in ids for part in ("--embedder", name)),
        "--rounds",
        "1",
        "--seconds",
        "0.02",
        "--limit",
        "600",
        "--json",
    )
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)["embedders"]
    assert set(report) == set(ids)
    for rows in report.values():
        assert [(row["what"], row["batch"]) for row in rows] == [
            (what, batch) for what in ("pictures", "texts") for batch in (1, 16, 64)
        ]
        assert all(row["ratio"] > 0 and row["cpu_ratio"] > 0 for row in rows)


def test_bench_without_a_name_is_what_it_was() -> None:
    done = run("bench", "--pictures", "3")
    assert done.exit_code == 2 and "16" in done.output
    assert "--rounds" in run("bench", "index", "--help").output
    assert "--rounds" not in run("bench", "search", "--help").output
    assert "embed" in run("bench", "--help").output
    assert "embed" in run("bench", "-h").output


def test_bench_embed_wants_to_know_what() -> None:
    assert "--random" in str(run("bench", "embed").exception)
    assert "no random model" in str(run("bench", "embed", "--random", "vit-z").exception)
    assert "no bare loop" in str(run("bench", "embed", "--embedder", "mini").exception)
