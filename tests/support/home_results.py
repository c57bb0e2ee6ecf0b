"""What a home answers to a fixed set of searches and questions, so that two versions can be compared.

The pictures themselves need not be there any more. Everything goes through the real command line:

    python -m tests.support.home_results HOME > results.json
    python -m tests.support.home_results --compare before.json after.json --tolerance 1e-6
"""

import argparse
import json
import math
import os
import sys
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from askpix.api.cli.main import app

PICTURES = Path(__file__).resolve().parent.parent.parent / "api" / "demo" / "pictures"
"""The sample pictures: what is searched by, and what fixtures are made from."""

SEARCHES: tuple[tuple[str, ...], ...] = (
    ("a cat",),
    ("a cup of coffee on a table", "--top-k", "3"),
    ("a rocket being launched", "--top-k", "3"),
    ("a brick wall", "--top-k", "3"),
    ("snow on the mountains", "--after", "2019-01", "--before", "2020"),
    ('"GRAND TOTAL"',),
    ('"GRAND TOTAL" -sushi',),
    ("receipts -hotel",),
    ("photos in 2018",),
    ("receipts from June 2025",),
    ("", "--after", "2025-03", "--before", "2025-05"),
    ("near Berlin",),
    ("pictures taken in France",),
    ("", "--near", "48.858,2.294,5"),
    ("a receipt", "--path", "receipts/*"),
    ("how many members the library has", "--kind", "page"),
    ("", "--tag", "cat"),
    ("", "--tag", "Mimi"),
    ("receipts over 50",),
    ("taken with my Demo Phone",),
    ("visitors of the museum", "--mode", "image"),
    ("visitors of the museum", "--mode", "text"),
    ("visitors of the museum", "--mode", "hybrid"),
    ("", "--image", "photos/rocket-launch.jpg", "--top-k", "3"),
    ("", "--image", "receipts/sakura-sushi.jpg", "--top-k", "3"),
    ("", "--like", "/photos/album/photos/cat.jpg", "--top-k", "3"),
    ("how to reset a forgotten password",),
    ("how to reset a forgotten password", "--all"),
    ("a train ticket", "--collection", "papers"),
    ('"Lena Brunner"', "--collection", "papers", "--literal"),
)
"""Arguments of ``search``."""

QUESTIONS: tuple[tuple[str, ...], ...] = (
    ("What is the total on the Hotel Alpenblick receipt?",),
    ("How much was the salmon nigiri?",),
    ("What is the date on the Blue Kettle Coffee receipt?",),
    ("How many receipts are there?",),
    ("How many photos in 2018?",),
    ("What is the total of all my receipts from 2025?",),
    ("which receipt has the highest total",),
    ("receipts per year",),
    ("How many persons visited the museum in total?",),
    ("Which month had the most visitors?",),
    ("What did the flight to Lisbon cost?",),
    ("What is the price?", "--collection", "papers"),
    ("Who is the passenger?", "--collection", "papers"),
    ("How many pictures are there?", "--collection", "papers"),
)
"""Arguments of ``ask``."""

_HIT = ("id", "uri", "kind", "page", "score", "why", "region", "taken_at", "snippet", "duplicates")
_ANSWER = ("answer", "answered", "citations", "generator", "understood_as")
_PASSING = ("created_at", "used_at", "disk_bytes")
"""What changes from day to day, or with each search."""


_BLOCK = 2**20


def unpack(archive: Path, into: Path) -> Path:
    """The home in an archive, below ``into``.

    Files of stores are mostly zeros, over a gigabyte a home: these are left out, as files with holes.
    """
    with tarfile.open(archive) as packed:
        for member in packed:
            if not member.isfile():
                packed.extract(member, into, filter="data")
                continue
            target = into / member.name
            target.parent.mkdir(parents=True, exist_ok=True)
            content = packed.extractfile(member)
            assert content is not None
            with target.open("wb") as file:
                while block := content.read(_BLOCK):
                    if block != bytes(len(block)):
                        file.write(block)
                    else:
                        file.seek(len(block), os.SEEK_CUR)
                file.truncate(member.size)
            target.chmod(member.mode)
    return into / "home"


def command(home: Path, *words: str, store: str | None = None) -> Any:
    """The JSON that a command prints; it runs in this process, on ``home`` and with default settings, but for
    the ``store`` of new collections."""
    others: dict[str, str | None] = {name: None for name in os.environ if name.startswith("ASKPIX_")}
    environment = {**others, "ASKPIX_HOME": str(home), "ASKPIX_OPENVINO": "0", "ASKPIX_STORE": store}
    done = CliRunner().invoke(app, [*words, "--json"], env=environment)
    if done.exit_code:
        raise RuntimeError(f"{words}: exit code {done.exit_code}: {done.output}") from done.exception
    return json.loads(done.stdout)


def home_results(home: Path) -> dict[str, Any]:
    """What the home answers to ``SEARCHES`` and ``QUESTIONS``, and its collections and keys."""
    listed = command(home, "collections", "list")
    shown = [command(home, "collections", "show", each["name"], "--facets") for each in listed]
    return {
        "collections": [_lasting(each) for each in listed],
        "shown": [_lasting(each) for each in shown],
        "keys": [_lasting(each) for each in command(home, "keys", "list")],
        "searches": [_search(home, words) for words in SEARCHES],
        "questions": [_question(home, words) for words in QUESTIONS],
    }


def differences(before: Any, after: Any, *, tolerance: float, at: str = "") -> list[str]:
    """Where two results differ, a line each; numbers with a fraction may differ by ``tolerance``.

    What a later version adds is no difference."""
    if isinstance(before, dict) and isinstance(after, dict):
        pairs = [(name, before.get(name), after.get(name)) for name in before]
        return [line for name, *two in pairs for line in _each(two, tolerance, f"{at}.{name}")]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        twos = enumerate(zip(before, after, strict=True))
        return [line for number, two in twos for line in _each(two, tolerance, f"{at}[{number}]")]
    if isinstance(before, float) and isinstance(after, float):
        same = math.isclose(before, after, rel_tol=0, abs_tol=tolerance)
    else:
        same = type(before) is type(after) and before == after
    return [] if same else [f"{at or '.'}: {before!r} -> {after!r}"]


def _each(two: Sequence[Any], tolerance: float, at: str) -> list[str]:
    return differences(two[0], two[1], tolerance=tolerance, at=at)


def _lasting(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in _PASSING}


def _search(home: Path, words: tuple[str, ...]) -> dict[str, Any]:
    given = [str(PICTURES / each) if (PICTURES / each).is_file() else each for each in words]
    found = command(home, "search", *given)
    hits = [{name: hit[name] for name in _HIT} for hit in found["hits"]]
    kept = {name: found[name] for name in ("matched", "reason", "confidence", "query")}
    return {"words": list(words), **kept, "hits": hits}


def _question(home: Path, words: tuple[str, ...]) -> dict[str, Any]:
    # Which model would be taken else depends on the machine.
    found = command(home, "ask", *words, "--generator", "extractive")
    kept = {name: found[name] for name in _ANSWER}
    return {"words": list(words), **kept, "hits": [hit["id"] for hit in found["hits"]]}


def main() -> int:
    """Print the results of a home, or compare two files of results: 1 when they differ."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("home", type=Path, nargs="?")
    parser.add_argument("--compare", type=Path, nargs=2, metavar=("BEFORE", "AFTER"))
    parser.add_argument("--tolerance", type=float, default=1e-6)
    given = parser.parse_args()
    if given.compare:
        before, after = (json.loads(path.read_text("utf-8")) for path in given.compare)
        lines = differences(before, after, tolerance=given.tolerance)
        print("\n".join(lines) if lines else "no difference")
        return int(bool(lines))
    if given.home is None:
        parser.error("name a home, or --compare two files")
    print(json.dumps(home_results(given.home), indent=1, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
