"""ViDoRe: questions and the document pages that answer them (Faysse et al. 2024; Macé et al. 2025).

Both published forms: one table of questions with their page (``*_test_subsampled``), and BEIR's three,
``corpus``, ``queries`` and ``qrels``. The measure is nDCG@5 as ``pytrec_eval`` computes it, which the
leaderboard shows.
"""

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from askpix.core.errors import AskpixError
from askpix.evaluation.data.parquet import image_bytes, parquet_files, read_parquet
from askpix.evaluation.metrics.ranking import Estimate, bootstrap

COLUMNS = ("questions", "nDCG@5 %", "nDCG@10 %", "R@1 %", "R@5 %")
TOP = 10
_TYPES = {b"\x89PNG": "png", b"\xff\xd8\xff": "jpg", b"RIFF": "webp", b"GIF8": "gif", b"II*\x00": "tif"}


@dataclass(frozen=True, slots=True)
class Pages:
    """``relevant[i]`` says how relevant which pages are to ``queries[i]``; the rest are not."""

    pictures: tuple[Path, ...]
    queries: tuple[str, ...]
    relevant: tuple[Mapping[Path, float], ...]


@dataclass(frozen=True, slots=True)
class PagesReport:
    """Results over all queries."""

    benchmark: str
    embedder: str
    pages: int
    queries: int
    ndcg_5: Estimate
    ndcg_10: Estimate
    recall_1: Estimate
    recall_5: Estimate

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def rows(self) -> list[tuple[str, ...]]:
        """The row under ``COLUMNS``."""
        shown = (self.ndcg_5, self.ndcg_10, self.recall_1, self.recall_5)
        cells = (f"{100 * e.value:.1f} ({100 * e.low:.1f}-{100 * e.high:.1f})" for e in shown)
        return [(str(self.queries), *cells)]


def load_vidore(folder: Path, into: Path) -> Pages:
    """The pages are written to ``into``, once each, named after their bytes. Raises ``AskpixError``."""
    files = parquet_files(folder)
    if not files:
        raise AskpixError(
            f"{str(folder)!r} holds no .parquet file; ViDoRe's lie in data/, or corpus/ and others"
        )
    parts = {
        name: [f for f in files if name in f.relative_to(folder).parts]
        for name in ("corpus", "queries", "qrels")
    }
    keeper = _Keeper(into)
    if all(parts.values()):
        return _beir(parts, keeper)
    if any(parts.values()):
        lacks = next(name for name, found in parts.items() if not found)
        raise AskpixError(f"{str(folder)!r} has no folder {lacks!r} with .parquet files")
    relevant: dict[str, dict[Path, float]] = {}
    pages: dict[str, Path] = {}
    for file in files:
        for number, row in enumerate(read_parquet(file, ("query", "image", "image_filename"))):
            name = str(row["image_filename"])
            if name not in pages:
                pages[name] = keeper.keep(image_bytes(row["image"], f"{file.name}, row {number}"))
            if row["query"]:  # a page that nobody asks for makes it harder to find the others
                relevant.setdefault(str(row["query"]), {})[pages[name]] = 1.0
    return _checked(
        Pages(tuple(dict.fromkeys(pages.values())), tuple(relevant), tuple(relevant.values())), folder
    )


def judge_pages(
    benchmark: str,
    pages: Pages,
    retrieve: Callable[[str], Sequence[Path]],
    *,
    embedder: str,
    on_progress: Callable[[int, int], None] | None = None,
) -> PagesReport:
    """``retrieve`` gives the first ``TOP`` pages, best first."""
    five = []
    ten = []
    one = []
    some = []
    for done, (query, relevant) in enumerate(zip(pages.queries, pages.relevant, strict=True), start=1):
        found = list(retrieve(query))[:TOP]
        five.append(ndcg(found, relevant, 5))
        ten.append(ndcg(found, relevant, 10))
        # Of the relevant pages, as BEIR counts.
        one.append(sum(page in relevant for page in found[:1]) / len(relevant))
        some.append(sum(page in relevant for page in found[:5]) / len(relevant))
        if on_progress:
            on_progress(done, len(pages.queries))
    estimates = [bootstrap(np.array(values)) for values in (five, ten, one, some)]
    return PagesReport(benchmark, embedder, len(pages.pictures), len(pages.queries), *estimates)


def ndcg(found: Sequence[Path], relevant: Mapping[Path, float], k: int) -> float:
    """Gain over log2(1 + rank), of the best order there could be (trec_eval's ``ndcg_cut``)."""
    gained = sum(
        relevant.get(page, 0.0) / math.log2(1 + rank) for rank, page in enumerate(found[:k], start=1)
    )
    order = sorted(relevant.values(), reverse=True)[:k]
    return gained / sum(gain / math.log2(1 + rank) for rank, gain in enumerate(order, start=1))


def _beir(parts: Mapping[str, Sequence[Path]], keeper: "_Keeper") -> Pages:
    pages = {
        str(row["corpus-id"]): keeper.keep(image_bytes(row["image"], f"{file.name}, {row['corpus-id']}"))
        for file in parts["corpus"]
        for row in read_parquet(file, ("corpus-id", "image"))
    }
    relevant: dict[str, dict[Path, float]] = {}
    for file in parts["qrels"]:
        for row in read_parquet(file, ("query-id", "corpus-id", "score")):
            if str(row["corpus-id"]) not in pages:
                raise AskpixError(
                    f"{file.name} names page {row['corpus-id']!r}, which the corpus does not hold"
                )
            if row["score"] > 0:
                relevant.setdefault(str(row["query-id"]), {})[pages[str(row["corpus-id"])]] = float(
                    row["score"]
                )
    queries = {
        str(row["query-id"]): str(row["query"])
        for file in parts["queries"]
        for row in read_parquet(file, ("query-id", "query"))
    }
    asked = [name for name in queries if name in relevant]
    found = tuple(dict.fromkeys(pages.values()))
    whole = Pages(found, tuple(queries[name] for name in asked), tuple(relevant[name] for name in asked))
    return _checked(whole, parts["queries"][0].parent)


def _checked(pages: Pages, folder: Path) -> Pages:
    if not pages.queries:
        raise AskpixError(f"{str(folder)!r} holds no question with a page")
    return pages


class _Keeper:
    """Writes images to a folder; the same bytes once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, data: bytes) -> Path:
        kind = next((suffix for begin, suffix in _TYPES.items() if data.startswith(begin)), "img")
        path = self._folder / f"{hashlib.sha256(data).hexdigest()[:24]}.{kind}"
        try:
            if not path.exists():
                self._folder.mkdir(parents=True, exist_ok=True)
                part = path.with_suffix(".part")
                part.write_bytes(data)
                part.replace(path)
        except OSError as error:
            raise AskpixError(f"cannot write to {str(self._folder)!r}: {error.strerror}") from error
        return path.absolute()
