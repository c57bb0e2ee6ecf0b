"""Token costs of an image, and the size at which the model sees it: each family's own formula.

Sources, as of 2026-11: OpenAI's "Images and vision" guide (tiles; patches of 32 px), Anthropic's vision page
(area / 750; patches of 28 px), Google's "Understand and count tokens" and media resolution pages, and the
processors of transformers 5 for open models, against which the tests count. Which model follows which, and
with which numbers, is data: ``model_limits.toml``.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias


class Seen(NamedTuple):
    """An image as the model sees it. Sending more pixels than these buys nothing."""

    tokens: int
    width: int
    height: int


Formula: TypeAlias = Callable[..., Seen]
_WORTH_SHRINKING = 1.1


def fixed(width: int, height: int, *, tokens: int, side: int | None = None) -> Seen:
    """The same whatever the size: LLaVA-1.5, PaliGemma, Gemma 3 (squashed to ``side``), Gemini 3 by its
    media resolution (``side`` None: the size is the model's business)."""
    if side is None:
        return Seen(tokens, width, height)
    return Seen(tokens, *_within(width, height, side, side))


def tiles(
    width: int,
    height: int,
    *,
    base: int,
    per_tile: int,
    tile: int = 512,
    within: int = 2048,
    short: int = 768,
) -> Seen:
    """OpenAI's GPT-4o and 4.1, GPT-5: into 2048 x 2048, shorter side to 768, squares of 512."""
    width, height = _within(width, height, within, within)
    if min(width, height) > short:
        scale = short / min(width, height)
        width = round(width * scale)
        height = round(height * scale)
    count = math.ceil(width / tile) * math.ceil(height / tile)
    return Seen(base + per_tile * count, width, height)


def patches(
    width: int,
    height: int,
    *,
    patch: int,
    most: int,
    side: int = 1 << 30,
    multiplier: float = 1.0,
) -> Seen:
    """Squares of ``patch`` pixels, at most ``most`` of them and ``side`` pixels a side: OpenAI's smaller
    models (32; each patch counted ``multiplier`` times) and Claude from 4.7 on (28)."""
    width, height = _within(width, height, side, side)
    if _count(width, height, patch) > most:
        scale = math.sqrt(patch * patch * most / (width * height))
        # So that one side is whole patches: the guide's second step.
        across = width * scale / patch
        down = height * scale / patch
        scale *= min(max(1, math.floor(across)) / across, max(1, math.floor(down)) / down, 1.0)
        width = max(1, round(width * scale))
        height = max(1, round(height * scale))
        while _count(width, height, patch) > most:  # a strip one pixel high
            width = max(1, int(width * 0.99))
            height = max(1, int(height * 0.99))
    return Seen(math.ceil(_count(width, height, patch) * multiplier), width, height)


def area(width: int, height: int, *, per: float, most: int, side: int) -> Seen:
    """Claude up to 4.6: pixels / 750, at most about 1,568 tokens and 1,568 pixels a side."""
    width, height = _within(width, height, side, side)
    if width * height / per > most:
        scale = math.sqrt(per * most / (width * height))
        width = max(1, int(width * scale))
        height = max(1, int(height * scale))
    return Seen(math.ceil(width * height / per), width, height)


def crops(width: int, height: int, *, per_tile: int, small: int, tile: int) -> Seen:
    """Gemini 2: one tile when both sides are at most ``small``, else squares of ``tile`` pixels."""
    if max(width, height) <= small:
        return Seen(per_tile, width, height)
    return Seen(per_tile * math.ceil(width / tile) * math.ceil(height / tile), width, height)


def merged_patches(width: int, height: int, *, factor: int, least: int, most: int) -> Seen:
    """Qwen2-VL, 2.5-VL and GLM-V (28), Qwen3-VL and 3.5 (32): sides rounded to ``factor``, ``least`` to
    ``most`` pixels.

    As ``smart_resize`` of transformers; images over 200 : 1 are refused there.
    """
    new_height = round(height / factor) * factor
    new_width = round(width / factor) * factor
    if new_height * new_width > most:
        shrink = math.sqrt(height * width / most)
        new_height = max(factor, math.floor(height / shrink / factor) * factor)
        new_width = max(factor, math.floor(width / shrink / factor) * factor)
    elif new_height * new_width < least:
        grow = math.sqrt(least / (height * width))
        new_height = math.ceil(height * grow / factor) * factor
        new_width = math.ceil(width * grow / factor) * factor
    return Seen(new_height * new_width // factor**2, new_width, new_height)


def grid(width: int, height: int, *, tile: int, per_tile: int, most: int) -> Seen:
    """InternVL 2 and later: the grid of up to ``most`` tiles nearest in shape, and a thumbnail when there is
    more than one. As ``get_optimal_tiled_canvas`` of transformers."""
    shape = width / height
    best = (1, 1)
    nearest = math.inf
    sizes = [(x, y) for x in range(1, most + 1) for y in range(1, most + 1) if x * y <= most]
    for columns, rows in sorted(sizes, key=lambda size: size[0] * size[1]):
        off = abs(shape - columns / rows)
        if off < nearest:
            nearest = off
            best = (columns, rows)
        elif off == nearest and width * height > 0.5 * tile * tile * columns * rows:
            best = (columns, rows)
    count = best[0] * best[1]
    return Seen(per_tile * (count + (count > 1)), best[0] * tile, best[1] * tile)


def squares(width: int, height: int, *, side: int, tile: int, per_tile: int) -> Seen:
    """Idefics3 and SmolVLM: the longer side brought to ``side``, squares of ``tile`` pixels with a mark at
    each and at each row's end, and the whole image once. As ``Idefics3Processor`` of transformers; the
    marks count, a line's end before the whole image does not (some tokenizers join it to another)."""
    shape = width / height
    if width >= height:
        across = side
        down = int(side / shape)
        down = max(1, down + down % 2)
    else:
        across = int(side * shape)
        down = side
        across = max(1, across + across % 2)
    columns = math.ceil(across / tile)
    rows = math.ceil(down / tile)
    cut = columns * rows > 1
    tokens = per_tile + 3 + (rows * (columns * (per_tile + 2) + 1) if cut else 0)
    return Seen(tokens, *_within(width, height, across, down))


def anyres(
    width: int,
    height: int,
    *,
    tile: int,
    patch: int,
    pinpoints: list[tuple[int, int]],
    most: int | None = None,
) -> Seen:
    """LLaVA-1.6 (NeXT): the best of the ``pinpoints`` (height, width), unpadded, a newline a row, and the
    whole image once; LLaVA-OneVision: shrunk to about ``most`` tiles' worth of tokens. As
    ``LlavaNextProcessor`` and ``LlavaOnevisionProcessor`` of transformers."""
    best_height, best_width = _pinpoint(width, height, pinpoints)
    side = tile // patch
    rows = side * (best_height // tile)
    columns = side * (best_width // tile)
    if width / height > columns / rows:
        rows -= (rows - int(round(height * (columns / width), 7))) // 2 * 2
    else:
        columns -= (columns - int(round(width * (rows / height), 7))) // 2 * 2
    over = math.sqrt(rows * columns / (most * side * side)) if most else 0.0
    if over > _WORTH_SHRINKING:
        rows = int(rows // over)
        columns = int(columns // over)
    return Seen(rows * columns + rows + side * side, *_within(width, height, best_width, best_height))


def masked_tiles(width: int, height: int, *, tile: int, patch: int, most: int) -> Seen:
    """Phi-4-multimodal: as many tiles as the image covers, ``most`` of the nearest shape at most; padding
    is masked, patches are merged two by two, a newline a row; and the whole image as one tile, with 16
    newlines and a separator. As ``Phi4MultimodalImageProcessor`` of transformers."""
    columns = math.ceil(width / tile)
    rows = math.ceil(height / tile)
    if columns * rows > most:
        shapes = [(i, j) for n in range(1, most + 1) for i in range(1, n + 1) for j in range(1, n + 1)]
        shapes = sorted({shape for shape in shapes if shape[0] * shape[1] <= most}, key=lambda s: s[0] * s[1])
        columns, rows = _nearest_shape(width, height, shapes, tile)
    wide = tile * columns
    high = tile * rows
    if wide / width < high / height:
        seen = (wide, int(height * (wide / width)))
    else:
        seen = (int(width * (high / height)), high)
    used = [math.ceil((full - (full - size) // patch * patch) / (2 * patch)) for full, size in
            zip((wide, high), seen, strict=True)]  # fmt: skip
    side = tile // patch // 2
    tokens = side * side + 1 + used[0] * used[1] + used[1] + side
    return Seen(tokens, *_within(width, height, *seen))


def soft_tokens(width: int, height: int, *, patch: int, pool: int, most: int) -> Seen:
    """Gemma 4: brought to nearly ``most`` tokens in its own shape, each of ``pool`` x ``pool`` patches. As
    ``Gemma4ImageProcessor`` of transformers."""
    side = patch * pool
    scale = math.sqrt(most * side * side / (width * height))
    rows = math.floor(scale * height / side)
    columns = math.floor(scale * width / side)
    if rows == 0:
        rows = 1
        columns = min(width // height, most)
    elif columns == 0:
        rows = min(height // width, most)
        columns = 1
    return Seen(rows * columns, columns * side, rows * side)


def rows_of_patches(width: int, height: int, *, side: int, patch: int) -> Seen:
    """Pixtral and Mistral 3: into ``side``, a token for each (merged) patch and one for the end of a row. As
    ``PixtralProcessor`` of transformers."""
    over = max(width / side, height / side)
    if over > 1:
        width = max(1, math.floor(width / over))
        height = max(1, math.floor(height / over))
    columns = math.ceil(width / patch)
    rows = math.ceil(height / patch)
    return Seen((columns + 1) * rows, columns * patch, rows * patch)


def canvas(width: int, height: int, *, tile: int, per_tile: int, most: int) -> Seen:
    """Llama 4: the smallest canvas of up to ``most`` tiles that holds the image, else the one that shrinks
    it least; a mark after each tile, and the whole image between three. As ``Llama4Processor``."""
    shapes = [(x, y) for x in range(1, most + 1) for y in range(1, most + 1) if x * y <= most]
    scales = {(x, y): min(x * tile / width, y * tile / height) for x, y in shapes}
    enlarging = [scale for scale in scales.values() if scale >= 1]
    best = min(enlarging) if enlarging else max(scales.values())
    columns, rows = min((shape for shape in shapes if scales[shape] == best), key=math.prod)
    count = columns * rows
    tokens = per_tile + 3 + (count * (per_tile + 1) if count > 1 else 0)
    return Seen(tokens, *_within(width, height, columns * tile, rows * tile))


def whole_or_tiles(
    width: int, height: int, *, factor: int, least: int, most: int, tile: int, tiles: tuple[int, int]
) -> Seen:
    """LFM2-VL: ``least`` to ``most`` tokens of ``factor`` pixels a side; an image of more than twice that is
    cut into ``tiles`` (from, to) as well, with a mark at each. As ``Lfm2VlProcessor`` of transformers."""
    columns = max(1, round(width / factor))
    rows = max(1, round(height / factor))
    large = max(factor / 2, round(width / factor) * factor) * max(factor / 2, round(height / factor) * factor)
    if columns * rows > most:
        shrink = math.sqrt(width * height / (most * factor * factor))
        columns, rows = (max(1, math.floor(side / shrink / factor)) for side in (width, height))
    elif columns * rows < least:
        grow = math.sqrt(least * factor * factor / (width * height))
        columns, rows = (math.ceil(side * grow / factor) for side in (width, height))
    tokens = columns * rows + 2
    if large <= 2 * most * factor * factor:
        return Seen(tokens, columns * factor, rows * factor)
    shapes = [(i, j) for i in range(1, tiles[1] + 1) for j in range(1, tiles[1] + 1)]
    shapes = sorted({shape for shape in shapes if tiles[0] <= math.prod(shape) <= tiles[1]}, key=math.prod)
    across, down = _nearest_shape(width, height, shapes, tile)
    tokens += across * down * ((tile // factor) ** 2 + 1) + 1
    return Seen(tokens, across * tile, down * tile)


def slices(width: int, height: int, *, side: int, unit: int, most: int, per_slice: int | None = None) -> Seen:
    """MiniCPM-V: the whole image, and up to ``most`` slices where it is larger than ``side`` squared, marks
    around each and a line's end a row. ``per_slice`` tokens each (up to 4.5), else one for each
    ``unit`` pixels squared (4.6, as its processor in transformers)."""
    grid = _slice_grid(width, height, width * height / (side * side), most)
    whole = _brought_to(width, height, side, unit, enlarge=grid is None)
    tokens = per_slice or whole[0] * whole[1]
    if grid is None:
        return Seen(tokens + 2, whole[0] * unit, whole[1] * unit)
    columns, rows = grid
    across, down = (max(round(full / parts), 1) for full, parts in ((width, columns), (height, rows)))
    each = _brought_to(across, down, side, unit, enlarge=True)
    tokens += 2 + columns * rows * ((per_slice or each[0] * each[1]) + 2) + rows - 1
    return Seen(tokens, each[0] * unit * columns, each[1] * unit * rows)


def _slice_grid(width: int, height: int, ratio: float, most: int) -> tuple[int, int] | None:
    """Columns and rows of slices whose shape is the nearest to a square."""
    count = min(math.ceil(ratio), most)
    if count <= 1:
        return None
    best = (1, 1)
    least = math.inf
    for number in (count - 1, count, count + 1):
        if not 1 < number <= most:
            continue
        for rows in (rows for rows in range(1, number + 1) if number % rows == 0):
            columns = number // rows
            apart = abs(math.log(width / height) - math.log(columns / rows))
            if apart < least or (apart == least and rows > best[1]):
                best = (columns, rows)
                least = apart
    return best


def _brought_to(width: float, height: float, side: int, unit: int, *, enlarge: bool) -> tuple[int, int]:
    """Units across and down of an image brought to about ``side`` squared."""
    if enlarge or width * height > side * side:
        shape = width / height
        height = int(side / math.sqrt(shape))
        width = int(height * shape)
    return max(round(width / unit), 1), max(round(height / unit), 1)


def _nearest_shape(width: int, height: int, shapes: list[tuple[int, int]], tile: int) -> tuple[int, int]:
    """The grid whose shape is the image's; of equal ones the last that it fills by half."""
    best = (1, 1)
    least = math.inf
    for shape in shapes:
        apart = abs(width / height - shape[0] / shape[1])
        fills = width * height > 0.5 * tile * tile * shape[0] * shape[1]
        if apart < least or (apart == least and fills):
            best = shape
            least = apart
    return best


FORMULAS: Mapping[str, Formula] = {
    "fixed": fixed,
    "tiles": tiles,
    "patches": patches,
    "area": area,
    "crops": crops,
    "merged_patches": merged_patches,
    "grid": grid,
    "squares": squares,
    "anyres": anyres,
    "masked_tiles": masked_tiles,
    "soft_tokens": soft_tokens,
    "rows_of_patches": rows_of_patches,
    "canvas": canvas,
    "whole_or_tiles": whole_or_tiles,
    "slices": slices,
}


def image_tokens(width: int, height: int, formula: str, **numbers: Any) -> Seen:
    """Return the cost of an image of this size (pixels, at least 1 x 1) by the formula of that name.

    Raises ``ValueError`` for an image without pixels and ``KeyError`` for an unknown formula.
    """
    if width < 1 or height < 1:
        raise ValueError(f"an image of {width} x {height} pixels")
    return FORMULAS[formula](width, height, **numbers)


def _within(width: int, height: int, most_width: int, most_height: int) -> tuple[int, int]:
    """Shrunk into a box, its shape kept; never enlarged."""
    scale = min(1.0, most_width / width, most_height / height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _count(width: int, height: int, patch: int) -> int:
    return math.ceil(width / patch) * math.ceil(height / patch)


def _pinpoint(width: int, height: int, pinpoints: list[tuple[int, int]]) -> tuple[int, int]:
    """Most of the image kept, least wasted: ``select_best_resolution``."""

    def worth(size: tuple[int, int]) -> tuple[int, int]:
        scale = min(size[1] / width, size[0] / height)
        kept = min(int(width * scale) * int(height * scale), width * height)
        return kept, kept - size[0] * size[1]

    return max(pinpoints, key=worth)  # the first of equals, as there
