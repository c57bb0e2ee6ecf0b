"""Search with an oracle in place of a trained embedder: what do the other parts lose of its ranking?

``python -m benchmarks oracle MANIFEST...``. Of each image, half of its queries make its vector (their mean by
the text embedder, with noise), and the others are asked, as a trained model would have it: it has seen what
the image shows, and not the words somebody will look for it with. Noise is in the image vectors only, and as
strong as leaves the bare ranking the recall that was named. An image without queries to spare looks like
others of its set: the mean of their queries.

The whole search of the same queries is compared with that bare ranking, and again without each of its parts.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import typer
from PIL import Image

from askpix.core.errors import AskpixError, NotFoundError
from askpix.core.types import ImageRecord, Query, Vectors, Where
from askpix.evaluation.data.manifest import Case, Dataset
from askpix.evaluation.metrics.ranking import Estimate, bootstrap
from askpix.retrieval.embedders.base import Embedder, TextEmbedder, unit
from askpix.retrieval.search.retriever import Retriever
from askpix.retrieval.stores.base import Scored, SubQuery, VectorStore
from askpix.retrieval.stores.view import StoreView

_TOP = 10
_STEPS = 14
"""Halvings of the noise's range: the recall of the bare ranking is met to a query or two."""
_MAX_NOISE = 16.0
"""Length of the noise, where the vector it is added to has length one."""
_BATCH = 256

COLUMNS = (
    "queries of",
    "n",
    "bare R@10 %",
    "whole R@10 %",
    "lost, points",
    "hidden %",
    "no texts",
    "no filters",
    "no grouping",
)

Read = Callable[[str], Query]
SWITCHES = ("texts", "filters", "grouping")
"""Parts of the search that can be switched off."""


class OracleEmbedder(Embedder):
    """A text embedder as the text side of an embedder; the image side is ``OracleStore``."""

    image_side = 1

    def __init__(self, texts: TextEmbedder) -> None:
        self._texts = texts
        self.model_id = f"oracle:{texts.model_id}"
        self.dim = texts.dim

    def embed_texts(self, texts: Sequence[str], /) -> Vectors:
        return self._texts.embed_queries(texts)

    def embed_queries(self, texts: Sequence[str], /) -> Vectors:
        return self._texts.embed_queries(texts)  # remembered once, for both sub-queries of the search

    def embed_images(self, images: Sequence[Image.Image], /) -> Vectors:
        raise NotImplementedError("the oracle knows images by their captions only")


class OracleStore(StoreView):
    """A store with other image vectors than its own: ``vectors[i]`` is that of the image ``ids[i]``."""

    def __init__(self, store: VectorStore, ids: Sequence[str], vectors: Vectors) -> None:
        super().__init__(store)
        self._ids = np.array(ids)
        self._rows = {point: row for row, point in enumerate(ids)}
        self._vectors = vectors

    def search(
        self, sub_query: SubQuery, query: Vectors | str, /, *, where: Where, limit: int, offset: int = 0
    ) -> list[Scored]:
        if sub_query != "image" or isinstance(query, str):
            return super().search(sub_query, query, where=where, limit=limit, offset=offset)
        ids = self._ids
        scores = self._vectors @ query
        if where != Where():
            chosen = [self._rows[point] for point in self.scroll(where, limit=self.count())]
            ids = ids[chosen]
            scores = scores[chosen]
        order = np.lexsort((ids, -scores))[offset : offset + limit]
        return [Scored(str(ids[i]), float(scores[i])) for i in order]

    def image_vectors(self, ids: Sequence[str], /) -> Vectors:
        try:
            return self._vectors[[self._rows[point] for point in ids]]
        except KeyError as error:
            raise NotFoundError(f"no image {error.args[0]!r}") from error

    def sample_vectors(self, n: int, /) -> Vectors:
        return self._vectors[:: max(1, -(-len(self._vectors) // n))]


@dataclass(frozen=True, slots=True)
class Split:
    """Queries that are asked, and those that make the vectors of the images."""

    asked: tuple[Case, ...]
    seen: Mapping[Path, tuple[str, ...]]


def split_queries(cases: Sequence[Case]) -> Split:
    """Give half of each image's queries, rounded up, to its vector; images with one have none asked apart.

    The one query of an image is asked, and its vector is that of its set.
    """
    of_image: dict[Path, list[Case]] = {}
    for case in cases:
        of_image.setdefault(case.image, []).append(case)
    asked: list[Case] = []
    seen: dict[Path, tuple[str, ...]] = {}
    for image, own in of_image.items():
        half = 0 if len(own) == 1 else (len(own) + 1) // 2
        seen[image] = tuple(case.query for case in own[:half])
        asked += own[half:]
    return Split(tuple(asked), seen)


def clean_vectors(
    split: Split, cases: Sequence[Case], images: Sequence[Path], texts: TextEmbedder
) -> Vectors:
    """Return ``(len(images), dim)``: what the oracle sees of each image before the noise."""
    queries = list(dict.fromkeys(case.query for case in cases))
    vector_of = dict(zip(queries, embed_all(texts, queries), strict=True))
    of_set: dict[str, list[Case]] = {}
    for case in cases:
        of_set.setdefault(_set_of(case), []).append(case)
    sets = {case.image: _set_of(case) for case in cases}
    rows = []
    for image in images:
        words = split.seen.get(image, ())
        if not words:
            like = of_set.get(sets.get(image, ""), cases)
            words = tuple(case.query for case in like if case.image != image) or (like[0].query,)
        rows.append(np.mean([vector_of[word] for word in words], axis=0))
    return unit(np.stack(rows))


def _set_of(case: Case) -> str:
    return f"{case.set} {case.kind}"


def embed_all(texts: TextEmbedder, queries: Sequence[str]) -> Vectors:
    """Return ``(len(queries), dim)``, made in batches."""
    parts = [texts.embed_queries(queries[at : at + _BATCH]) for at in range(0, len(queries), _BATCH)]
    return np.concatenate(parts)


def add_noise(clean: Vectors, length: float, *, seed: int = 0) -> Vectors:
    """Return the vectors with Gaussian noise of this expected length added, at length one again."""
    noise = np.random.default_rng(seed).standard_normal(clean.shape).astype(np.float32)
    return unit(clean + noise * np.float32(length / np.sqrt(clean.shape[1])))


def noise_for_recall(
    clean: Vectors, queries: Vectors, targets: Sequence[int], recall: float, *, seed: int = 0
) -> float:
    """Return the length of noise that leaves this recall at 10; ``queries[i]`` asks for ``targets[i]``.

    Raises ``AskpixError`` where the clean vectors do not reach it.
    """
    best = float(recalled(clean, queries, targets).mean())
    if best < recall:
        raise AskpixError(
            f"without noise R@10 is {best:.3f}, so {recall} cannot be had: name a lower --recall, "
            "or a manifest with more captions an image"
        )
    low = 0.0
    high = _MAX_NOISE
    for _ in range(_STEPS):
        middle = (low + high) / 2
        enough = recalled(add_noise(clean, middle, seed=seed), queries, targets).mean() >= recall
        low, high = (middle, high) if enough else (low, middle)
    return low


def recalled(vectors: Vectors, queries: Vectors, targets: Sequence[int]) -> "np.ndarray[Any, Any]":
    """Return for each query whether its image is among the first ten."""
    cosines = queries @ vectors.T
    own = cosines[np.arange(len(targets)), targets]
    found: np.ndarray[Any, Any] = (cosines > own[:, None]).sum(axis=1) < _TOP
    return found


@dataclass(frozen=True, slots=True)
class OracleScores:
    """One group of queries with one oracle; shares of all its queries, with 95 % intervals."""

    group: str
    queries: int
    bare: Estimate
    """R@10 of image vectors alone."""
    whole: Estimate
    """R@10 of the whole search, "nothing matches" aside."""
    lost: Estimate
    """``bare - whole``, paired by query; negative where the whole finds more."""
    hidden: Estimate
    """The part of the right answers among the first ten of the bare ranking that "nothing matches" hides."""
    switched_off: Mapping[str, float]
    """R@10 of the whole without one of its parts."""


@dataclass(frozen=True, slots=True)
class OracleReport:
    """An oracle of one strength on one gallery."""

    recall: float
    noise: float
    gallery: int
    scores: tuple[OracleScores, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def rows(self) -> list[tuple[str, ...]]:
        """Rows of a table, see ``COLUMNS``."""
        return [
            (
                each.group,
                str(each.queries),
                f"{100 * each.bare.value:.1f}",
                *(_shown(value) for value in (each.whole, each.lost, each.hidden)),
                *(f"{100 * value:.1f}" for value in each.switched_off.values()),
            )
            for each in self.scores
        ]


def group_cases(cases: Sequence[Case]) -> dict[str, list[int]]:
    """Return positions by kind of query; several kinds also make a group ``all``."""
    groups: dict[str, list[int]] = {}
    for position, case in enumerate(cases):
        groups.setdefault(case.kind, []).append(position)
    return groups if len(groups) == 1 else {"all": list(range(len(cases))), **groups}


def compare_with_bare(
    cases: Sequence[Case],
    retriever: Retriever,
    read: Read,
    read_literally: Read,
    *,
    switches: Sequence[str] = SWITCHES,
) -> tuple[OracleScores, ...]:
    """Ask every case of the image vectors alone, of the whole search, and of it without each of ``switches``.

    Without filters ``read_literally`` reads the query.
    """
    found: dict[str, list[bool]] = {name: [] for name in ("bare", "whole", *switches)}
    refused: list[bool] = []
    for case in cases:
        query = read(case.query)
        literal = read_literally(case.query)
        wanted = str(case.image)

        def finds(query: Query, wanted: str = wanted, **options: Any) -> bool:
            hits = retriever.retrieve(query, top_k=_TOP, show_all=True, **options).hits
            return any(_is_at(hit.record, wanted) for hit in hits)

        first = retriever.run_sub_query("image", case.query, where=Where(), top_k=_TOP)
        found["bare"].append(any(_is_at(record, wanted) for record in first))
        whole = retriever.retrieve(query, top_k=_TOP, show_all=True)
        refused.append(not whole.matched)
        found["whole"].append(any(_is_at(hit.record, wanted) for hit in whole.hits))
        for name in switches:
            if name == "texts":
                found[name].append(finds(query, mode="image"))
            elif name == "filters":
                found[name].append(finds(literal) if literal != query else found["whole"][-1])
            else:
                found[name].append(finds(query, collapse=False))
    there = {name: np.array(values, dtype=float) for name, values in found.items()}
    hidden = np.array(refused, dtype=float)
    scores = []
    for group, chosen in group_cases(cases).items():
        own = {name: values[chosen] for name, values in there.items()}
        scores.append(
            OracleScores(
                group=group,
                queries=len(chosen),
                bare=bootstrap(own["bare"]),
                whole=bootstrap(own["whole"]),
                lost=bootstrap(own["bare"] - own["whole"]),
                hidden=bootstrap(hidden[chosen][own["bare"] > 0]),
                switched_off={name: float(own[name].mean()) for name in switches},
            )
        )
    return tuple(scores)


def _is_at(record: ImageRecord, path: str) -> bool:
    return path in {record.uri, *record.copies}


def _shown(estimate: Estimate) -> str:
    return f"{100 * estimate.value:.1f} ({100 * estimate.low:.1f} to {100 * estimate.high:.1f})"


class Oracle:
    """Vectors by an oracle of any strength for the images in a store, and the queries to ask it.

    Raises ``AskpixError`` where no image has two queries.
    """

    def __init__(self, store: VectorStore, dataset: Dataset, texts: TextEmbedder) -> None:
        self._store = store
        self._embedder = OracleEmbedder(texts)
        self._texts = texts
        self._ids = sorted(store.ids())
        rows = {
            uri: row
            for row, record in enumerate(store.get(self._ids))
            for uri in (record.uri, *record.copies)
        }
        cases = [case for case in dataset.cases if str(case.image) in rows]
        split = split_queries(cases)
        self.asked = split.asked
        images = [Path()] * len(self._ids)
        for case in cases:
            images[rows[str(case.image)]] = case.image
        seen = [case for case in split.asked if split.seen[case.image]]
        seen = [case for case in seen if case.kind == "caption"] or seen
        if not seen:
            raise AskpixError("no image has two queries: one is seen and the other asked; name more captions")
        self._clean = clean_vectors(split, cases, images, texts)
        self._targets = [rows[str(case.image)] for case in seen]
        self._queries = embed_all(texts, [case.query for case in seen])

    def of_recall(self, recall: float, *, seed: int = 0) -> tuple[Retriever, float]:
        """Return a retriever on vectors of this R@10, of captions where there are any, and the noise."""
        noise = noise_for_recall(self._clean, self._queries, self._targets, recall, seed=seed)
        vectors = add_noise(self._clean, noise, seed=seed)
        return Retriever(self._embedder, self._texts, OracleStore(self._store, self._ids, vectors)), noise


def oracle_command(
    manifests: Annotated[
        list[Path],
        typer.Argument(
            metavar="MANIFEST.jsonl...",
            help="Images with several captions each; others enlarge the gallery.",
        ),
    ],
    recall: Annotated[
        list[float] | None,
        typer.Option(min=0.01, max=1.0, help="R@10 of the bare oracle; default: 0.6, 0.8 and 0.9."),
    ] = None,
    ocr: Annotated[Literal["on", "off"], typer.Option(help="Read the words in the images.")] = "on",
    limit: Annotated[int | None, typer.Option(min=1, help="Ask only N queries of each kind.")] = None,
    seed: Annotated[int, typer.Option(help="Of the noise.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on standard output.")] = False,
) -> None:
    """Ask queries of a bare oracle of known recall and of the whole search around it: what is lost?"""
    from askpix.api.console.render import hint, print_json, table
    from askpix.api.evals.retrieval import _gallery
    from askpix.api.services.search import open_searcher
    from askpix.api.settings import load_settings
    from askpix.api.workspace.workspace import Workspace
    from askpix.evaluation.data.manifest import merge, read_manifest

    dataset = merge([read_manifest(manifest) for manifest in manifests])
    workspace = Workspace(load_settings())
    target = _gallery(workspace, dataset, distractors=False, ocr=ocr)
    texts = workspace.text_embedder_of(target)
    reports = []
    with open_searcher(workspace, target) as searcher:
        oracle = Oracle(searcher.store, dataset, texts)
        cases = _spread(oracle.asked, limit)
        read = searcher.read_caption(literal=False)
        literally = searcher.read_caption(literal=True)
        for wanted in recall or (0.6, 0.8, 0.9):
            retriever, noise = oracle.of_recall(wanted, seed=seed)
            scores = compare_with_bare(cases, retriever, read, literally)
            reports.append(OracleReport(wanted, noise, searcher.store.count(), scores))
            if not as_json:
                hint(f"oracle of R@10 {wanted} (noise {noise:.2f}), {reports[-1].gallery} images")
                table(COLUMNS, reports[-1].rows())
    if as_json:
        print_json([report.to_json() for report in reports])


def _spread(cases: Sequence[Case], limit: int | None) -> list[Case]:
    """Return ``limit`` cases of each kind and set, spread over it."""
    alike: dict[str, list[Case]] = {}
    for case in cases:
        alike.setdefault(_set_of(case), []).append(case)
    return [
        case
        for same in alike.values()
        for case in same[:: 1 if limit is None else max(1, len(same) // limit)][:limit]
    ]
