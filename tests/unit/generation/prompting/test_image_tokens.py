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


@pytest.mark.parametrize("name", ["GLM-4.1V-9B-Thinking", "glm-4.5v", "GLM-4.6V-Flash"])
def test_glm(name: str) -> None:
    from transformers.models.glm4v.image_processing_glm4v import smart_resize

    limits = limits_of(name)
    assert limits.family == "GLM-V"
    for width, height in SIZES:
        if max(width, height) / min(width, height) > 100 or min(width, height) < 28:
            continue  # strips are not sent
        rows, columns = smart_resize(2, height, width, factor=28, min_pixels=12544, max_pixels=9633792)
        assert limits.tokens(width, height) == rows * columns // 28**2, (width, height)


def test_gemma_4() -> None:
    from transformers.models.gemma4.image_processing_pil_gemma4 import get_aspect_ratio_preserving_size

    limits = limits_of("gemma-4-E4B-it")
    for most in (70, 140, 280, 560, 1120):
        for width, height in SIZES:
            rows, columns = get_aspect_ratio_preserving_size(height, width, 16, most * 9, 3)
            counted = image_tokens(width, height, limits.formula, **{**limits.numbers, "most": most}).tokens
            assert counted == rows * columns // 48**2, (width, height, most)
    assert limits.tokens(672, 960) == 280, "the default of its published configuration"


@pytest.mark.parametrize(("name", "patch", "merge"), [("pixtral-12b", 16, 1), ("mistral-small-2506", 14, 2)])
def test_mistral(name: str, patch: int, merge: int) -> None:
    from transformers import PixtralImageProcessorPil, PixtralProcessor

    limits = limits_of(name)
    processor = object.__new__(PixtralProcessor)
    processor.image_processor = PixtralImageProcessorPil(size={"longest_edge": limits.numbers["side"]})
    processor.patch_size, processor.spatial_merge_size = patch, merge
    processor._merge_kwargs = lambda **_: {"images_kwargs": {}}
    sizes = [size for size in SIZES if max(size) / min(size) <= 100]
    counted = processor._get_num_multimodal_tokens([(height, width) for width, height in sizes])
    for (width, height), tokens in zip(sizes, counted["num_image_tokens"], strict=True):
        assert limits.tokens(width, height) == tokens, (width, height)


def test_llama_4() -> None:
    from transformers.image_utils import SizeDict
    from transformers.models.llama4.image_processing_llama4 import find_supported_resolutions, get_best_fit
    from transformers.models.llama4.processing_llama4 import Llama4Processor

    limits = limits_of("Llama-4-Scout-17B-16E-Instruct")
    shapes = find_supported_resolutions(limits.numbers["most"], SizeDict(height=336, width=336))
    processor = object.__new__(Llama4Processor)
    import torch

    for width, height in SIZES:
        rows, columns = (int(side) // 336 for side in get_best_fit((height, width), torch.tensor(shapes)))
        shown = processor._prompt_split_image((rows, columns), 144)
        assert limits.tokens(width, height) == shown.count("<|"), (width, height)


def test_lfm2_vl() -> None:
    from transformers import Lfm2VlImageProcessor
    from transformers.models.lfm2_vl.processing_lfm2_vl import Lfm2VlProcessor

    limits = limits_of("LFM2.5-VL-1.6B")
    processor = object.__new__(Lfm2VlProcessor)
    processor.image_processor = images = Lfm2VlImageProcessor()
    processor.image_token = processor.image_start_token = "<image>"
    processor.image_end_token = processor.image_thumbnail_token = "<image>"
    for width, height in SIZES:
        columns = rows = 1
        own = {name: getattr(images, name) for name in ("encoder_patch_size", "downsample_factor")}
        of_image = {**own, "max_image_tokens": images.max_image_tokens}
        if images._is_image_too_large(height, width, max_pixels_tolerance=2.0, **of_image):
            columns, rows, *_ = images._get_grid_layout(
                height, width, images.min_tiles, images.max_tiles, 512
            )
        seen = images.smart_resize(height, width, min_image_tokens=64, **of_image)
        whole = processor._compute_tokens_for_image([seen[1], seen[0]], **own)
        shown = processor._build_image_tokens(rows, columns, 256, whole, True, True)
        assert limits.tokens(width, height) == shown.count("<"), (width, height)


def test_minicpm_v_4_6() -> None:
    import numpy as np
    from transformers import MiniCPMV4_6ImageProcessorPil
    from transformers.models.minicpmv4_6.processing_minicpmv4_6 import MiniCPMV4_6Processor

    limits = limits_of("MiniCPM-V-4.6")
    images = MiniCPMV4_6ImageProcessorPil()
    processor = object.__new__(MiniCPMV4_6Processor)
    processor.slice_mode = True
    processor.image_start_token = processor.image_end_token = processor.image_token = "<image>"
    processor.slice_start_token = processor.slice_end_token = "<image>"
    for width, height in [
        (448, 448),
        (449, 448),
        (640, 480),
        (1000, 667),
        (1241, 1755),
        (2100, 400),
        (90, 700),
    ]:
        made = images(np.zeros((height, width, 3), np.uint8), return_tensors="np")
        shown = processor.replace_image_token(made, 0, image_token_divisor=16)
        counted = shown.count("<image>") + shown.count("\n")
        assert limits.tokens(width, height) == counted, (width, height)


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
