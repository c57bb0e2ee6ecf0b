"""The formulas of open models against the processors of transformers: counted, not trusted."""

import random

import pytest

from askpix.generation.prompting.budget import limits_of
from askpix.generation.prompting.image_tokens import image_tokens

SIZES = [(1, 1), (30, 4000), (336, 336), (448, 448), (640, 480), (1000, 667), (1241, 1755), (4000, 3000)]
_dice = random.Random(5)
SIZES += [(_dice.randint(20, 3000), _dice.randint(20, 3000)) for _ in range(60)]


@pytest.mark.parametrize(("name", "factor"), [("qwen2.5-vl", 28), ("qwen3-vl", 32)])
def test_qwen(name: str, factor: int) -> None:
    from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

    limits = limits_of(name)
    numbers = limits.numbers
    for width, height in SIZES:
        if max(width, height) / min(width, height) > 200:
            continue
        rows, columns = smart_resize(
            height, width, factor=factor, min_pixels=numbers["least"], max_pixels=numbers["most"]
        )
        assert limits.tokens(width, height) == rows * columns // factor**2, (width, height)


def test_internvl() -> None:
    from transformers.models.got_ocr2.image_processing_got_ocr2 import get_optimal_tiled_canvas

    limits = limits_of("internvl3-8b")
    for width, height in SIZES:
        columns, rows = get_optimal_tiled_canvas((height, width), (448, 448), 1, 12)
        count = columns * rows + (columns * rows > 1)
        assert limits.tokens(width, height) == 256 * count, (width, height)


def test_llava_next() -> None:
    from transformers import LlavaNextImageProcessorPil, LlavaNextProcessor

    limits = limits_of("llava-v1.6")
    processor = object.__new__(LlavaNextProcessor)
    processor.image_processor = LlavaNextImageProcessorPil(
        image_grid_pinpoints=[list(size) for size in limits.numbers["pinpoints"]]
    )
    processor.patch_size, processor.num_additional_image_tokens = 14, 1
    for width, height in SIZES:
        counted = processor._get_number_of_features(height, width, 336, 336) - 1
        assert limits.tokens(width, height) == counted, (width, height)


def test_llava_onevision() -> None:
    from transformers import LlavaOnevisionImageProcessorPil, LlavaOnevisionProcessor

    limits = limits_of("llava-onevision-qwen2-7b-ov-hf")
    processor = object.__new__(LlavaOnevisionProcessor)
    processor.image_processor = LlavaOnevisionImageProcessorPil()
    processor.num_image_tokens, processor.vision_aspect_ratio = 729, "anyres_max_9"
    pinpoints = [list(size) for size in limits.numbers["pinpoints"]]
    assert processor.image_processor.image_grid_pinpoints == pinpoints
    for width, height in SIZES:
        counted = processor._get_number_of_features(height, width, 384, 384)
        assert limits.tokens(width, height) == counted, (width, height)


@pytest.mark.parametrize("name", ["SmolVLM-Instruct", "SmolVLM-500M-Instruct", "Idefics3-8B-Llama3"])
def test_smolvlm(name: str) -> None:
    from transformers import Idefics3ImageProcessorPil

    limits = limits_of(name)
    numbers = limits.numbers
    images = Idefics3ImageProcessorPil(
        size={"longest_edge": numbers["side"]}, max_image_size={"longest_edge": numbers["tile"]}
    )
    each = numbers["per_tile"]
    for width, height in SIZES:
        _, rows, columns = images.get_number_of_image_patches(height, width)
        counted = each + 3 + rows * (columns * (each + 2) + 1)  # Idefics3Processor._get_num_multimodal_tokens
        assert limits.tokens(width, height) == counted, (width, height)


def test_phi_4() -> None:
    from PIL import Image
    from transformers import Phi4MultimodalImageProcessor

    limits = limits_of("Phi-4-multimodal-instruct")
    assert limits.numbers["most"] == 36
    for most, sizes in ((36, [(60, 40), (448, 448), (640, 480), (97, 801)]), (2, [(1000, 900), (400, 1300)])):
        processor = Phi4MultimodalImageProcessor(
            size={"height": 448, "width": 448}, patch_size=14, dynamic_hd=most
        )
        for width, height in sizes:
            made = processor(Image.new("RGB", (width, height)), return_tensors="pt")
            counted = image_tokens(width, height, limits.formula, **{**limits.numbers, "most": most}).tokens
            assert counted == int(made["num_img_tokens"][0]), (width, height, most)
