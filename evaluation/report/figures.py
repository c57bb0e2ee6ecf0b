"""The JSON of ``askpix eval`` and ``askpix bench`` as figures. Plain data: nothing is drawn here.

Each kind of result is known by its keys. Several results of one kind share a figure where that says more:
the same store at several sizes is a curve of latency against size.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Result = Mapping[str, Any]
Named = tuple[str, Result]
"""A result, and what its file is called."""


@dataclass(frozen=True, slots=True)
class Series:
    """Points of one name; ``xs`` are words where bars stand. ``low``, ``high``: 95 % intervals, if known."""

    name: str
    xs: tuple[float | str, ...]
    ys: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure. ``log_x`` where sizes grow by factors."""

    title: str
    kind: Literal["lines", "bars", "points"]
    x: str
    y: str
    series: tuple[Series, ...]
    log_x: bool = False


def figures(results: Sequence[Named]) -> list[Figure]:
    """Return all figures that these results give, in the order of their kinds. Unknown results give none."""
    return [figure for _, known, draw in _KINDS for figure in draw([r for r in results if known(r[1])])]


def kind_of(result: Result) -> str | None:
    """Return the kind of a result, in words; None when it is none of ours."""
    return next((name for name, known, _ in _KINDS if known(result)), None)


def _recall(results: Sequence[Named]) -> Iterator[Figure]:
    series = [
        _estimates(
            f"{name}: {row['group']}" if len(result["scores"]) > 1 else name,
            (1, 5, 10),
            [row[f"recall_{k}"] for k in (1, 5, 10)],
        )
        for name, result in results
        for row in result["scores"]
    ]
    if series:
        yield Figure("Is the right image among the first k?", "lines", "k", "recall, %", tuple(series))


def _sub_queries(results: Sequence[Named]) -> Iterator[Figure]:
    for name, result in results:
        for gallery in dict.fromkeys(row["gallery"] for row in result["scores"]):
            rows = [row for row in result["scores"] if row["gallery"] == gallery]
            series = tuple(
                _estimates(
                    sub_query,
                    tuple(row["group"] for row in rows if row["sub_query"] == sub_query),
                    [row["recall_1"] for row in rows if row["sub_query"] == sub_query],
                )
                for sub_query in dict.fromkeys(row["sub_query"] for row in rows)
            )
            yield Figure(
                f"{name}: each sub-query alone and all together, {gallery}",
                "bars",
                "queries of",
                "R@1, %",
                series,
            )


def _absent(results: Sequence[Named]) -> Iterator[Figure]:
    for name, result in results:
        rows = result["scores"]
        groups = tuple(row["group"] for row in rows)
        yield Figure(
            f"{name}: is it known when nothing matches?",
            "bars",
            "queries of",
            "of the queries, %",
            (
                Series("refused though there", groups, tuple(100 * row["false_refusals"] for row in rows)),
                Series("shown though absent", groups, tuple(100 * row["false_acceptances"] for row in rows)),
            ),
        )
        yield _risk_curves(f"{name}: risk against coverage", rows)


def _answers(results: Sequence[Named]) -> Iterator[Figure]:
    for name, result in results:
        rows = result["scores"]
        groups = tuple(row["group"] for row in rows)
        ends = {
            "right": "right",
            "misread": "wrong, the image was there",
            "refused": "silent, the image was there",
            "not_found": "the image was not found",
        }
        yield Figure(
            f"{name}: how questions end that an image answers",
            "bars",
            "",
            "questions",
            tuple(
                Series(words, groups, tuple(float(row[end]) for row in rows)) for end, words in ends.items()
            ),
        )
        if result.get("risks"):
            yield _risk_curves(f"{name}: wrong among the answers that are kept", [{**result, "group": "all"}])


def _benchmarks(results: Sequence[Named]) -> Iterator[Figure]:
    for benchmark in dict.fromkeys(result["benchmark"] for _, result in results):
        same = [result for _, result in results if result["benchmark"] == benchmark]
        measure = f"{same[0]['measure']}, %"
        series = tuple(
            _estimates(
                result["generator"],
                tuple(row["group"] for row in result["rows"]),
                [row["score"] for row in result["rows"]],
            )
            for result in same
        )
        yield Figure(benchmark, "bars", "", measure, series)
        priced = [result for result in same if result["cost_usd"] is not None and result["asked"]]
        if len(priced) > 1:
            points = tuple(
                Series(
                    result["generator"],
                    (1000 * result["cost_usd"] / result["asked"],),
                    (100 * result["rows"][0]["score"]["value"],),
                )
                for result in priced
            )
            yield Figure(
                f"{benchmark}: cost against accuracy", "points", "USD per 1,000 questions", measure, points
            )


def _stores(results: Sequence[Named]) -> Iterator[Figure]:
    reports = sorted((result["report"] for _, result in results), key=lambda report: int(report["points"]))
    stores = tuple(dict.fromkeys(report["store"] for report in reports))
    for title, y, key, factor in (
        ("Latency of a search as the collection grows", "p50, ms", "p50", 1),
        ("Recall@10 against exact search", "recall, %", "recall", 100),
    ):
        series = tuple(
            Series(
                f"{store}, {case}",
                tuple(int(report["points"]) for report in reports if report["store"] == store),
                tuple(
                    factor * float(report["cases"][case][key])
                    for report in reports
                    if report["store"] == store
                ),
            )
            for store in stores
            for case in reports[0]["cases"]
        )
        if series:
            yield Figure(title, "lines", "pictures", y, series, log_x=True)


def _peers(results: Sequence[Named]) -> Iterator[Figure]:
    for name, result in results:
        rows = result["rows"]
        labels = tuple(f"{row['peer']} {row['phase']}" for row in rows)
        ratios = tuple(float(row["ratio"]) for row in rows)
        yield Figure(
            f"{name}: Askpix beside its peers, models taken out",
            "bars",
            "",
            "times as fast as the peer (1 = equal)",
            (Series("Askpix", labels, ratios),),
        )


def _speed(results: Sequence[Named]) -> Iterator[Figure]:
    parts = {
        "indexing, of the bound": ("ingest", "ratio"),
        "indexing, of the bare parts": ("ingest", "ratio_to_bare"),
        "a search, times its bare parts": ("queries", "ratio_p50"),
    }
    if results:
        yield Figure(
            "Speed beside the bare libraries",
            "bars",
            "",
            "ratio",
            tuple(
                Series(name, tuple(parts), tuple(float(result[a][b]) for a, b in parts.values()))
                for name, result in results
            ),
        )


def _decoding(results: Sequence[Named]) -> Iterator[Figure]:
    if results:
        yield Figure(
            "Decoding beside the bare decoders",
            "bars",
            "",
            "times as fast (1 = equal)",
            tuple(
                Series(
                    name,
                    tuple(row["format"] for row in result["decode"]),
                    tuple(float(row["ratio"]) for row in result["decode"]),
                )
                for name, result in results
            ),
        )


def _embedders(results: Sequence[Named]) -> Iterator[Figure]:
    for _, result in results:
        for embedder, rows in result["embedders"].items():
            known = [row for row in rows if row["ratio"] is not None]
            yield Figure(
                f"{embedder} beside a loop over its library",
                "lines",
                "batch",
                "ratio",
                tuple(
                    Series(
                        what,
                        tuple(row["batch"] for row in known if row["what"] == what),
                        tuple(float(row["ratio"]) for row in known if row["what"] == what),
                    )
                    for what in dict.fromkeys(row["what"] for row in known)
                ),
                log_x=True,
            )


def _sweep(results: Sequence[Named]) -> Iterator[Figure]:
    """Finding, reading and answering by size of the images, each embedder and generator by itself."""
    for name, result in results:
        for part, about in (("recall_1", "R@1"), ("read", "answer read"), ("score", "score")):
            curves: dict[str, list[tuple[str, Mapping[str, float]]]] = {}
            for row in result["rows"]:
                choice = row["choice"]
                models = [choice["embedder"], choice["generator"] if part == "score" else None]
                size = "as it is" if choice["side"] is None else str(choice["side"])
                points = curves.setdefault(" + ".join(each for each in models if each), [])
                if row[part] is not None and size not in dict(points):
                    points.append((size, row[part]))
            series = tuple(
                _estimates(models, [size for size, _ in points], [estimate for _, estimate in points])
                for models, points in curves.items()
                if points
            )
            if series:
                title = f"{name}: {about} by size of the images"
                yield Figure(title, "bars", "longer side, pixels", f"{about}, %", series)


def _risk_curves(title: str, rows: Sequence[Mapping[str, Any]]) -> Figure:
    series = tuple(
        Series(
            str(row["group"]),
            tuple(100 * risk["coverage"] for risk in row["risks"]),
            tuple(100 * risk["risk"] for risk in row["risks"]),
        )
        for row in rows
    )
    return Figure(title, "lines", "coverage, %", "wrong among what is kept, %", series)


def _estimates(name: str, xs: Sequence[float | str], estimates: Sequence[Mapping[str, float]]) -> Series:
    values = [tuple(100 * each[part] for each in estimates) for part in ("value", "low", "high")]
    return Series(name, tuple(xs), *values)


def _scores_have(*keys: str) -> Callable[[Result], bool]:
    def known(result: Result) -> bool:
        scores = result.get("scores")
        return isinstance(scores, list | tuple) and bool(scores) and all(key in scores[0] for key in keys)

    return known


def _has(*keys: str) -> Callable[[Result], bool]:
    return lambda result: all(key in result for key in keys)


_KINDS: tuple[tuple[str, Callable[[Result], bool], Callable[[Sequence[Named]], Iterator[Figure]]], ...] = (
    ("retrieval", _scores_have("recall_1", "recall_5", "recall_10"), _recall),
    ("sub-queries of search", _scores_have("sub_query", "recall_1"), _sub_queries),
    ("absent images", _scores_have("false_refusals", "risks"), _absent),
    ("answers", _scores_have("misread", "not_found"), _answers),
    ("public benchmark", _has("benchmark", "generator", "rows"), _benchmarks),
    (
        "stores",
        lambda result: isinstance(result.get("report"), dict) and "cases" in result["report"],
        _stores,
    ),
    ("sweep", lambda result: bool(result.get("rows")) and "choice" in result["rows"][0], _sweep),
    ("peers", lambda result: bool(result.get("rows")) and "peer" in result["rows"][0], _peers),
    ("speed", _has("ingest", "queries"), _speed),
    ("decoding", _has("decode"), _decoding),
    ("embedders", _has("embedders"), _embedders),
)
