"""Public benchmarks for models that answer: items with prompts, one line a reply on disk, official scores.

A run can be cut off anywhere: each reply is a line of the results file, and the next run asks only what is
not there. Scores are computed from the kept replies at the end, so a report never needs the model again.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from askpix.core.errors import AskpixError
from askpix.evaluation.metrics.ranking import Estimate, bootstrap


@dataclass(frozen=True, slots=True)
class Item:
    """A prompt. ``pictures`` are files or encoded bytes, in the order the prompt refers to them."""

    id: str
    prompt: str
    pictures: tuple[Path | bytes, ...]
    golds: tuple[str, ...]
    groups: tuple[str, ...] = ()
    """Rows of the report that it counts in, besides the whole."""
    choices: Mapping[str, str] = field(default_factory=dict)
    """Options of a multiple choice: letter to text; empty for an open question."""
    whole: str = ""
    """Items of one ``whole`` count once, and only when all of them are right; empty: it counts by itself."""
    film: Path | None = None
    """A video of which frames are shown instead of ``pictures``."""


@dataclass(frozen=True, slots=True)
class Benchmark:
    """``load`` reads the published files of a folder; ``score`` gives 0..1 for a reply, officially."""

    name: str
    measure: str
    load: Callable[[Path], list[Item]]
    score: Callable[[Item, str], float]


@dataclass(frozen=True, slots=True)
class Response:
    """Response of a model, with its time and cost. ``cost_usd`` None: the price is not known."""

    text: str
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = 0.0


@dataclass(frozen=True, slots=True)
class Row:
    """A group of items; ``items`` counts each whole once."""

    group: str
    items: int
    score: Estimate


@dataclass(frozen=True, slots=True)
class BenchReport:
    """The whole first, then the groups in the order in which they come."""

    benchmark: str
    measure: str
    generator: str
    asked: int
    input_tokens: int
    output_tokens: int
    cost_usd: float | None
    rows: tuple[Row, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def run(
    benchmark: Benchmark,
    items: Sequence[Item],
    respond: Callable[[Item], Response],
    results: Path,
    *,
    generator: str,
    on_progress: Callable[[int, int], None] | None = None,
) -> BenchReport:
    """Ask what ``results`` does not hold yet, then score all of ``items``.

    Raises ``AskpixError`` when ``results`` is of another benchmark or model, or cannot be written, and what
    ``respond`` raises: what was asked until then is kept.
    """
    if len({item.id for item in items}) != len(items):
        raise AskpixError(f"{benchmark.name}: two questions have one id; are the files put together twice?")
    about = {"benchmark": benchmark.name, "generator": generator}
    kept = _kept(results, about)
    try:
        results.parent.mkdir(parents=True, exist_ok=True)
        with results.open("a", encoding="utf-8") as file:
            if not file.tell():
                file.write(json.dumps(about) + "\n")
            for done, item in enumerate(items, start=1):
                asked = _key(item)
                if asked not in kept:
                    kept[asked] = respond(item)
                    line = {"key": asked, "id": item.id, **asdict(kept[asked])}
                    file.write(json.dumps(line, ensure_ascii=False) + "\n")
                    file.flush()
                if on_progress:
                    on_progress(done, len(items))
    except OSError as error:
        raise AskpixError(f"cannot keep replies in {str(results)!r}: {error.strerror}") from error
    return report(benchmark, items, [kept[_key(item)] for item in items], generator=generator)


def report(
    benchmark: Benchmark, items: Sequence[Item], responses: Sequence[Response], *, generator: str
) -> BenchReport:
    """Scores of replies that are there."""
    wholes: dict[str, float] = {}
    groups: dict[str, dict[str, None]] = {"all": {}}
    for item, response in zip(items, responses, strict=True):
        whole = item.whole or f"{item.id} by itself"
        score = benchmark.score(item, response.text)
        wholes[whole] = min(wholes.get(whole, 1.0), score)
        for group in ("all", *item.groups):
            groups.setdefault(group, {})[whole] = None
    costs = [response.cost_usd for response in responses]
    return BenchReport(
        benchmark=benchmark.name,
        measure=benchmark.measure,
        generator=generator,
        asked=len(items),
        input_tokens=sum(response.input_tokens for response in responses),
        output_tokens=sum(response.output_tokens for response in responses),
        cost_usd=None if None in costs else sum(cost or 0.0 for cost in costs),
        rows=tuple(
            Row(name, len(held), bootstrap(np.array([wholes[whole] for whole in held])))
            for name, held in groups.items()
        ),
    )


def _key(item: Item) -> str:
    """Changes with the prompt and the images' number: a changed question is asked again."""
    said = json.dumps([item.id, item.prompt, len(item.pictures)])
    return hashlib.sha256(said.encode()).hexdigest()[:16]


def _kept(results: Path, about: Mapping[str, str]) -> dict[str, Response]:
    """Replies of an earlier run. A last line that was cut off is taken away, so that the next starts anew."""
    if not results.exists():
        return {}
    try:
        data = results.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        if whole != data:
            results.write_bytes(whole)
    except OSError as error:
        raise AskpixError(f"cannot read {str(results)!r}: {error.strerror}") from error
    lines = list(_lines(whole, results))
    if lines and lines[0] != about:
        raise AskpixError(
            f"{str(results)!r} holds replies of another run ({lines[0]}); name another --results"
        )
    fields = ("text", "input_tokens", "output_tokens", "cost_usd")
    try:
        return {line["key"]: Response(**{name: line[name] for name in fields}) for line in lines[1:]}
    except (KeyError, TypeError) as error:
        raise AskpixError(
            f"{str(results)!r} holds a line that is no reply; name another --results"
        ) from error


def _lines(data: bytes, results: Path) -> Iterator[Any]:
    for number, line in enumerate(data.split(b"\n")[:-1], start=1):
        try:
            yield json.loads(line)
        except ValueError as error:
            raise AskpixError(f"{str(results)!r}, line {number}: not JSON; name another --results") from error
