"""What ``python -m benchmarks generate`` measures, on a tiny shape with random weights."""

import pytest

from askpix.core.errors import ModelUnavailableError
from benchmarks.speed.generate import GenerateSpeed, copy_bandwidth, measure_generation
from benchmarks.speed.random_vlm import random_vlm


def test_a_tiny_shape_is_measured() -> None:
    torch = pytest.importorskip("torch")
    vlm = random_vlm("tiny", device="cpu")
    vlm.context = 262
    rows: list[GenerateSpeed] = []
    report = measure_generation(
        vlm, pictures=[1, 2, 9], side=32, tokens=6, rounds=1, batch=2, on_row=rows.append
    )
    assert [row.pictures for row in report.rows] == [1, 2] and report.rows == tuple(rows)
    one, two = report.rows
    assert (one.image_tokens, two.image_tokens) == (4, 8)  # 28 / 14 patches a side
    assert one.first_token_s > 0 and one.tokens_per_s > 0 and 0 < one.share < 1
    # Two layers of 32: keys and values of every token, and every weight but the eyes' and the table's.
    text = vlm.model.config.get_text_config()
    weights = sum(
        p.numel() for n, p in vlm.model.named_parameters() if "vision" not in n and "embed_tokens" not in n
    )
    assert one.bytes_per_token == 4 * weights + 2 * 2 * 32 * 4 * (one.prompt_tokens + 3)
    assert text.num_hidden_layers == 2
    assert report.batch is not None and report.batch.same
    assert len(report.left_out) == 1 and "9 images" in report.left_out[0]
    assert copy_bandwidth(torch, "cpu", rounds=1) > 1e6


def test_an_unknown_shape_is_one_line() -> None:
    with pytest.raises(ModelUnavailableError, match="tiny"):
        random_vlm("llava-13b")
