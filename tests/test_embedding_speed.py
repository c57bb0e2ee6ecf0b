"""Embedders beside bare loops: the measure itself, and the real command on a tiny model."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from api.cli.main import app
from evaluation.embedding_speed import measure_embedding
from tests.two_tower_models import save_open_clip, save_transformers


def test_a_loop_half_as_fast_is_seen() -> None:
    sizes: list[int] = []

    def ours(items: Sequence[Any]) -> None:
        sizes.append(len(items))
        time.sleep(0.004)

    rows = measure_embedding(
        "texts", ours, lambda items: time.sleep(0.008), ["a"], batches=(1, 4), rounds=3, least_s=0.02
    )
    assert [row.batch for row in rows] == [1, 4] and set(sizes) == {1, 4}
    assert all(1.3 < row.ratio < 3 for row in rows)
    assert all(row.per_s > row.bare_per_s for row in rows)


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments))


@pytest.mark.slow
def test_bench_embed_on_both_libraries(tmp_path: Path) -> None:
    save_transformers(tmp_path / "siglip", "siglip")
    save_open_clip(tmp_path / "clip")
    ids = [f"transformers:{tmp_path / 'siglip'}", f"open_clip:{tmp_path / 'clip'}"]
    done = run(
        "bench",
        "embed",
        "--embedder",
        ids[0],
        "--embedder",
        ids[1],
        "--rounds",
        "1",
        "--seconds",
        "0.05",
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
    assert "--kills" in run("bench", "index", "--help").output
    assert "embed" in run("bench", "--help").output
    assert "embed" in run("bench", "-h").output


def test_bench_embed_wants_to_know_what() -> None:
    assert "--random" in str(run("bench", "embed").exception)
    assert "no random model" in str(run("bench", "embed", "--random", "vit-z").exception)
    assert "no bare loop" in str(run("bench", "embed", "--embedder", "mini").exception)
