"""Flickr30k and COCO captions: text to image and image to text, by the bare vectors of an embedder.

Recall@k as published since Karpathy and Fei-Fei (2015): a caption has one right image, an image several
right captions, of which the best placed one counts. Takes callables: nothing here knows an embedder.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from askpix.core.errors import AskpixError
from askpix.core.types import Vectors
from askpix.evaluation.metrics.ranking import Estimate, bootstrap, recall_at
from askpix.evaluation.public.document_qa import image_in, read_list

CAPTIONS = 5
"""Captions of each image; the few images of COCO that have more are cut to the first five, as is usual."""
_BATCH = 64
_ROWS = 1024
COLUMNS = ("direction", "n", "R@1 %", "R@5 %", "R@10 %")


@dataclass(frozen=True, slots=True)
class Captioned:
    """``owners[i]`` is the place in ``pictures`` of the one that ``captions[i]`` was written for."""

    pictures: tuple[Path, ...]
    captions: tuple[str, ...]
    owners: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Direction:
    """R@1, R@5 and R@10, 0..1, of text to image or image to text."""

    direction: str
    queries: int
    recall_1: Estimate
    recall_5: Estimate
    recall_10: Estimate


@dataclass(frozen=True, slots=True)
class CaptionsReport:
    """Results in both directions."""

    benchmark: str
    embedder: str
    pictures: int
    captions: int
    directions: tuple[Direction, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def rows(self) -> list[tuple[str, ...]]:
        """Rows under ``COLUMNS``."""
        return [
            (
                each.direction,
                str(each.queries),
                *(
                    f"{100 * e.value:.1f} ({100 * e.low:.1f}-{100 * e.high:.1f})"
                    for e in (each.recall_1, each.recall_5, each.recall_10)
                ),
            )
            for each in self.directions
        ]


def load_flickr30k(folder: Path) -> Captioned:
    """``dataset_flickr30k.json`` (Karpathy's split) and ``flickr30k-images/``; the test split."""
    return _karpathy(_one(folder, "dataset_flickr30k.json"), folder)


def load_coco(folder: Path) -> Captioned:
    """``dataset_coco.json`` (Karpathy's 5k test split) where it is there, else ``captions_val*.json`` of COCO
    itself: ``{"images": [{"id", "file_name"}], "annotations": [{"image_id", "caption"}]}``."""
    if list(folder.glob("**/dataset_coco.json")):
        return _karpathy(_one(folder, "dataset_coco.json"), folder)
    file = _one(folder, "captions_val*.json")
    captions: dict[Any, list[str]] = {}
    for row in read_list(file, ("image_id", "caption"), key="annotations"):
        captions.setdefault(row["image_id"], []).append(str(row["caption"]))
    places = _Places(folder)
    found = [
        (places.of(row["file_name"]), captions[row["id"]])
        for row in read_list(file, ("id", "file_name"), key="images")
        if row["id"] in captions
    ]
    return _captioned(found, file)


def embed_image_files(
    pictures: Sequence[Path],
    embed: Callable[[Sequence[Path]], Vectors],
    kept: Path,
    *,
    about: str,
    on_progress: Callable[[int, int], None] | None = None,
) -> Vectors:
    """``(len(pictures), dim)`` in batches, each kept in the folder ``kept``: a cut-off run goes on there.

    ``about`` says which embedder and images they are. Raises ``AskpixError`` when ``kept`` is of others.
    """
    try:
        kept.mkdir(parents=True, exist_ok=True)
        note = kept / "about.txt"
        if note.exists() and note.read_text("utf-8") != about:
            raise AskpixError(f"{str(kept)!r} holds vectors of another run; name another --results")
        note.write_text(about, "utf-8")
        parts: list[Vectors] = []
        for start in range(0, len(pictures), _BATCH):
            batch = pictures[start : start + _BATCH]
            part = kept / f"{start:07d}.npy"
            if not part.exists():
                done = part.with_suffix(".part")
                with done.open("wb") as file:
                    np.save(file, embed(batch))
                done.replace(part)
            parts.append(np.load(part))
            if on_progress:
                on_progress(start + len(batch), len(pictures))
    except (OSError, ValueError) as error:
        raise AskpixError(f"cannot keep vectors in {str(kept)!r}: {error}") from error
    return np.concatenate(parts)


def judge_captions(
    benchmark: str, captioned: Captioned, pictures: Vectors, captions: Vectors, *, embedder: str
) -> CaptionsReport:
    """Evaluate both directions over unit vectors ``(n, dim)``. Ties count against the right one: a model that
    cannot tell anything apart finds nothing.
    """
    owners = np.array(captioned.owners)
    to_picture = np.empty(len(owners), int)
    best = np.full(len(pictures), -np.inf)
    for start in range(0, len(owners), _ROWS):
        scores = captions[start : start + _ROWS] @ pictures.T
        own = owners[start : start + _ROWS]
        right = scores[np.arange(len(own)), own]
        to_picture[start : start + _ROWS] = (scores >= right[:, None]).sum(1)
        np.maximum.at(best, own, right)
    above = np.zeros(len(pictures), int)
    for start in range(0, len(owners), _ROWS):
        scores = captions[start : start + _ROWS] @ pictures.T
        ahead = scores >= best[None, :]
        # An image's own captions never stand before its best one.
        ahead[np.arange(len(scores)), owners[start : start + _ROWS]] = False
        above += ahead.sum(0)
    return CaptionsReport(
        benchmark,
        embedder,
        len(pictures),
        len(owners),
        (_direction("text to image", to_picture), _direction("image to text", above + 1)),
    )


def _direction(name: str, places: Any) -> Direction:
    ranks = [int(place) for place in places]
    one, five, ten = (bootstrap(recall_at(ranks, k)) for k in (1, 5, 10))
    return Direction(name, len(ranks), one, five, ten)


def _karpathy(file: Path, folder: Path) -> Captioned:
    places = _Places(folder)
    found = []
    for row in read_list(file, ("filename", "split", "sentences"), key="images"):
        if row["split"] != "test":
            continue
        try:
            texts = [str(sentence["raw"]) for sentence in row["sentences"]]
        except (TypeError, KeyError) as error:
            raise AskpixError(f"{str(file)!r}: a sentence of {row['filename']!r} has no 'raw'") from error
        found.append((places.of(row["filename"], row.get("filepath")), texts))
    return _captioned(found, file)


def _captioned(found: Sequence[tuple[Path, Sequence[str]]], file: Path) -> Captioned:
    if not found:
        raise AskpixError(f"{str(file)!r} holds no captions to test with")
    pairs = [(text, place) for place, (_, texts) in enumerate(found) for text in texts[:CAPTIONS]]
    return Captioned(
        tuple(path for path, _ in found), tuple(text for text, _ in pairs), tuple(place for _, place in pairs)
    )


def _one(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(f"**/{pattern}"))
    if len(found) != 1:
        raise AskpixError(f"{str(folder)!r} holds {len(found)} files {pattern!r}; one is needed")
    return found[0]


class _Places:
    """Index of the images' places: in the folder named by the file, or in any folder right under the main
    one.
    """

    def __init__(self, folder: Path) -> None:
        self._folders = [folder, *sorted(path for path in folder.iterdir() if path.is_dir())]
        self._main = folder

    def of(self, name: Any, inner: Any = None) -> Path:
        inside = [self._main / inner] if isinstance(inner, str) else []
        for folder in (*inside, *self._folders):
            if (folder / str(name)).is_file():
                return image_in(folder, name)
        raise AskpixError(f"no image {str(name)!r} under {str(self._main)!r}")
