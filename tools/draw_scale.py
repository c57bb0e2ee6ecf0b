"""Draw docs/scale.svg from docs/scale.json: what each store costs as it grows, on logarithmic axes.

docs/scale.json is a list of reports as `python -m benchmarks store --json` gives them under "report".
"""

import json
import math
from pathlib import Path

DOCS = Path(__file__).resolve().parent.parent / "docs"
WIDTH, HEIGHT, LEFT, TOP = 320, 230, 52, 42
COLOURS = {"edge": "#0b6e99", "faiss": "#b5530a"}
DASHES = {"none": "", "text_like": "6 3", "ten_percent": "2 3"}


def main() -> None:
    """Three panels: latency, building, disk."""
    reports = json.loads((DOCS / "scale.json").read_text("utf-8"))
    stores = {
        name: sorted((r for r in reports if r["store"] == name), key=lambda r: r["points"])
        for name in COLOURS
    }
    latency = {
        (name, case): [(r["points"], r["cases"][case]["p50"]) for r in rows]
        for name, rows in stores.items()
        for case in DASHES
    }
    building = {
        (n, "none"): [(r["points"], r["fill_s"] + r["optimize_s"]) for r in rows]
        for n, rows in stores.items()
    }
    disk = {(n, "none"): [(r["points"], r["disk_mb"]) for r in rows] for n, rows in stores.items()}
    panels = [
        panel("a search by number of vectors, p50, ms", latency, (0.1, 100)),
        panel("writing and indexing, s", building, (1, 3000)),
        panel("disk, MB", disk, (10, 10_000)),
    ]
    width = len(panels) * (WIDTH + LEFT + 16)
    parts = [
        f'<g transform="translate({at * (WIDTH + LEFT + 16)} 0)">{drawn}</g>'
        for at, drawn in enumerate(panels)
    ]
    keys = [f'<text x="{LEFT}" y="{TOP + HEIGHT + 58}" fill="{COLOURS["edge"]}">&#9679; Qdrant Edge</text>']
    keys.append(
        f'<text x="{LEFT + 110}" y="{TOP + HEIGHT + 58}" fill="{COLOURS["faiss"]}">&#9679; FAISS</text>'
    )
    keys.append(
        f'<text x="{LEFT + 190}" y="{TOP + HEIGHT + 58}" fill="#555">solid: no filter, dashed: text-like '
        "queries, dotted: a filter that a tenth passes; recall@10 of every point: 0.98 or more</text>"
    )
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {TOP + HEIGHT + 72}" '
        f'font-family="system-ui, sans-serif" font-size="12" role="img">'
        "<title>What each store costs as it grows</title>"
        f'<rect width="100%" height="100%" fill="#fff"/>{"".join(parts)}{"".join(keys)}</svg>\n'
    )
    (DOCS / "scale.svg").write_text(svg, "utf-8")


def panel(
    title: str, lines: dict[tuple[str, str], list[tuple[float, float]]], span: tuple[float, float]
) -> str:
    """Return one plot over 10k to 1M points."""
    low, high = (math.log10(value) for value in span)

    def place(points: float, value: float) -> tuple[float, float]:
        x = LEFT + (math.log10(points) - 4) / 2 * WIDTH
        return x, TOP + HEIGHT - (math.log10(max(value, span[0])) - low) / (high - low) * HEIGHT

    drawn = [f'<text x="{LEFT}" y="{TOP - 16}" font-weight="600" fill="#222">{title}</text>']
    for power in range(math.ceil(low), math.floor(high) + 1):
        y = place(1e4, 10.0**power)[1]
        drawn.append(f'<path d="M{LEFT} {y:.1f}h{WIDTH}" stroke="#ddd"/>')
        drawn.append(
            f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end" fill="#555">{10.0**power:g}</text>'
        )
    for points, name in ((1e4, "10k"), (1e5, "100k"), (1e6, "1M")):
        x = place(points, span[0])[0]
        drawn.append(f'<path d="M{x:.1f} {TOP}v{HEIGHT}" stroke="#eee"/>')
        drawn.append(
            f'<text x="{x:.1f}" y="{TOP + HEIGHT + 18}" text-anchor="middle" fill="#555">{name}</text>'
        )
    for (store, case), values in lines.items():
        spots = [place(*value) for value in values]
        path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in spots)
        drawn.append(
            f'<path d="{path}" fill="none" stroke="{COLOURS[store]}" stroke-width="2" '
            f'stroke-dasharray="{DASHES[case]}"/>'
        )
        drawn += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{COLOURS[store]}"/>' for x, y in spots]
    return "".join(drawn)


if __name__ == "__main__":
    main()
