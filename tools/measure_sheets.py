"""Measures whether pictures that lie on album pages are found, and what looking for them costs the others.

    python tools/measure_sheets.py MANIFEST.jsonl

The manifest is one of captioned photos, as `askpix eval retrieval` takes it. Half of the photos that have
captions are drawn onto pages of six, in frames of paper, each at a place and size of its own; the others and
those without captions stay files. All are indexed as `askpix index` does it. Then the captions of both halves
are searched, with the whole pictures alone and with the pictures on the pages too.
"""

import json
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from askpix.api.evals.speed import temporary_home  # noqa: E402
from askpix.api.services.index import run_index  # noqa: E402
from askpix.api.settings import load_settings  # noqa: E402
from askpix.api.workspace.workspace import Workspace  # noqa: E402
from askpix.core.imaging.decode import open_image  # noqa: E402
from askpix.core.types import Box, Query  # noqa: E402
from askpix.retrieval.search.retriever import Retriever  # noqa: E402

PAGE, ACROSS, DOWN, MIN_GAP = (2480, 3508), 2, 3, 40
PAPERS = ((250, 250, 248), (20, 20, 22), (240, 228, 200))
CAPTIONS, DEPTH = 3, 10


def main(manifest: Path) -> None:
    """Rows of Markdown: what was searched, and how often it was among the first 1, 5 and 10."""
    rows = [json.loads(line) for line in manifest.read_text("utf-8").splitlines()]
    captioned = [row for row in rows if row.get("captions")]
    random.Random(5).shuffle(captioned)
    pasted, files = captioned[: len(captioned) // 2], captioned[len(captioned) // 2 :]
    others = [row for row in rows if not row.get("captions")]
    with tempfile.TemporaryDirectory() as folder, temporary_home(load_settings()) as home:
        pages, places = [], {}
        for number, group in enumerate(pasted[at : at + 6] for at in range(0, len(pasted), 6)):
            path = Path(folder) / f"page-{number:03}.jpg"
            image, boxes = page([manifest.parent / row["image"] for row in group], random.Random(number))
            image.save(path, quality=90)
            pages += [(row, str(path)) for row in group]
            places |= {row["image"]: box for row, box in zip(group, boxes, strict=True)}
        workspace = Workspace(home)
        collection = workspace.open_or_create("sheets")
        paths = [Path(folder), *(manifest.parent / row["image"] for row in (*files, *others))]
        report = run_index(workspace, collection, paths, ocr="off", prune=False)
        found = workspace.catalog.sheets.wanted(collection)
        drawn = {path for _, path in pages}
        print(
            f"{len(drawn)} pages with {len(pasted)} photos, {len(files) + len(others)} photos "
            f"as files; {report.sheets.pictures} pictures found on {len(found)} sheets in "
            f"{report.sheets.seconds:.1f} s of {report.seconds + report.sheets.seconds:.1f} s"
        )
        single = [(row, str(manifest.parent / row["image"])) for row in files]
        print("| captions of | searched | R@1 | R@5 | R@10 | the right place |\n|---|---|---|---|---|---|")
        for name, wanted in (("photos on pages", pages), ("photos as files", single)):
            with workspace.open_store(collection) as store:
                show(name, "whole pictures", workspace.retriever_on(collection, store), wanted, places)
            with workspace.open_retriever(collection) as retriever:
                show(name, "pictures on them too", retriever, wanted, places)


def show(
    name: str,
    how: str,
    retriever: Retriever,
    wanted: Sequence[tuple[dict, str]],
    places: dict[str, Box],
) -> None:
    """Print one row of the table."""
    ranks, right = [], []
    for row, path in wanted:
        for caption in row["captions"][:CAPTIONS]:
            hits = retriever.retrieve(Query(text=caption), top_k=DEPTH, show_all=True, collapse=False).hits
            at = next((at for at, hit in enumerate(hits) if hit.record.uri == path), DEPTH)
            ranks.append(at)
            if at < DEPTH and hits[at].region and row["image"] in places:
                right.append(overlap(hits[at].region, places[row["image"]]) > 0.7)
    shares = [100 * sum(rank < k for rank in ranks) / len(ranks) for k in (1, 5, 10)]
    place = f"{100 * sum(right) / len(right):.0f} %" if right else ""
    print(f"| {name} ({len(ranks)}) | {how} | " + " | ".join(f"{s:.1f}" for s in shares) + f" | {place} |")


def page(paths: Sequence[Path], chance: random.Random) -> tuple[Image.Image, list[Box]]:
    """A page of six photos on one paper, and where they lie."""
    sheet = Image.new("RGB", PAGE, chance.choice(PAPERS))
    boxes: list[Box] = []
    for path, (left, top, wide, high) in zip(paths, cells(), strict=False):
        image = open_image(path).image
        room = (wide - MIN_GAP, high - MIN_GAP)
        scale = min(room[0] / image.width, room[1] / image.height) * chance.uniform(0.75, 1)
        size = (round(image.width * scale), round(image.height * scale))
        x = left + MIN_GAP // 2 + chance.randint(0, max(0, room[0] - size[0]))
        y = top + MIN_GAP // 2 + chance.randint(0, max(0, room[1] - size[1]))
        sheet.paste(image.resize(size, Image.Resampling.LANCZOS), (x, y))
        boxes.append(Box(x, y, x + size[0], y + size[1]))
    return sheet, boxes


def cells() -> Iterator[tuple[int, int, int, int]]:
    """Left, top, width and height of each photo's part of the page."""
    wide, high = PAGE[0] // ACROSS, PAGE[1] // DOWN
    for number in range(ACROSS * DOWN):
        yield number % ACROSS * wide, number // ACROSS * high, wide, high


def overlap(one: Box, other: Box) -> float:
    """Intersection over union."""
    wide = max(0.0, min(one.x1, other.x1) - max(one.x0, other.x0))
    high = max(0.0, min(one.y1, other.y1) - max(one.y0, other.y0))
    areas = sum((box.x1 - box.x0) * (box.y1 - box.y0) for box in (one, other))
    return wide * high / (areas - wide * high)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
