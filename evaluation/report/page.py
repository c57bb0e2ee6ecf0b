"""Figures as one HTML page that needs nothing else: drawings inside, no script, nothing fetched."""

import html
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from askpix.core.errors import ModelUnavailableError
from askpix.evaluation.report.figures import Figure, Named, kind_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Askpix, measured</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; }}
body {{ color: #222; background: #fff; }}
svg {{ max-width: 100%; height: auto; }}
figure {{ margin: 2rem 0; }}
figcaption {{ font-weight: 600; }}
table {{ border-collapse: collapse; margin: 1rem 0; font-size: .85rem; }}
td, th {{ padding: .15rem .8rem .15rem 0; text-align: left; font-variant-numeric: tabular-nums; }}
</style>
</head>
<body>
<h1>Askpix, measured</h1>
{results}
{figures}
</body>
</html>
"""
_WIDTH = 9.0
_HEIGHT = 4.2


def report_page(results: Sequence[Named], figures: Sequence[Figure]) -> str:
    """The page. Raises ``ModelUnavailableError`` without matplotlib."""
    named = "\n".join(_about(name, result) for name, result in results)
    drawn = "\n".join(_figure(figure) for figure in figures)
    return _PAGE.format(results=named, figures=drawn)


def _about(name: str, result: Mapping[str, Any]) -> str:
    machine = result.get("machine")
    cells = machine.items() if isinstance(machine, dict) else ()
    said = ", ".join(f"{html.escape(str(key))} {html.escape(str(value))}" for key, value in cells)
    return f"<p><b>{html.escape(name)}</b>: {kind_of(result)}{f'; {said}' if said else ''}</p>"


def _figure(figure: Figure) -> str:
    title = html.escape(figure.title)
    return f"<figure><figcaption>{title}</figcaption>{_drawn(figure)}{_table(figure)}</figure>"


def _table(figure: Figure) -> str:
    """The same numbers for those who cannot see the drawing, and for copying."""
    rows = [
        f"<tr><td>{html.escape(series.name)}</td><td>{html.escape(str(x))}</td><td>{y:.4g}</td></tr>"
        for series in figure.series
        for x, y in zip(series.xs, series.ys, strict=True)
    ]
    head = f"<tr><th></th><th>{html.escape(figure.x)}</th><th>{html.escape(figure.y)}</th></tr>"
    return f"<details><summary>numbers</summary><table>{head}{''.join(rows)}</table></details>"


def _drawn(figure: Figure) -> str:
    try:
        from matplotlib import rc_context  # noqa: PLC0415 - an extra
        from matplotlib.figure import Figure as Canvas  # noqa: PLC0415
    except ImportError as error:
        raise ModelUnavailableError(
            "drawing a report needs matplotlib: `pip install askpix[report]`"
        ) from error
    # The same result gives the same bytes: ids from a fixed salt, no date.
    with rc_context({"svg.hashsalt": "askpix", "svg.fonttype": "none", "font.family": "sans-serif"}):
        canvas = Canvas(figsize=(_WIDTH, _HEIGHT), layout="constrained")
        axes: Axes = canvas.subplots()
        if figure.kind == "bars":
            _bars(axes, figure)
        else:
            _points(axes, figure)
        axes.set_ylabel(_plain(figure.y))
        axes.set_xlabel(_plain(figure.x))
        axes.set_ylim(bottom=0)
        axes.grid(axis="y", alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        if len(figure.series) > 1:
            axes.legend(frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
        file = io.StringIO()
        canvas.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    drawn = file.getvalue()
    return drawn[drawn.index("<svg") :].replace(
        "<svg", f'<svg role="img" aria-label="{html.escape(figure.title)}"', 1
    )


def _bars(axes: "Axes", figure: Figure) -> None:
    words = list(dict.fromkeys(str(x) for series in figure.series for x in series.xs))
    width = 0.8 / max(1, len(figure.series))
    for number, series in enumerate(figure.series):
        places = [words.index(str(x)) + (number - (len(figure.series) - 1) / 2) * width for x in series.xs]
        errors = _errors(series.ys, series.low, series.high)
        axes.bar(places, series.ys, width, label=_plain(series.name), yerr=errors, capsize=2)
    turned = sum(map(len, words)) > 60
    axes.set_xticks(
        range(len(words)),
        [_plain(word) for word in words],
        rotation=30 if turned else 0,
        ha="right" if turned else "center",
    )


def _points(axes: "Axes", figure: Figure) -> None:
    for series in figure.series:
        xs = [float(x) for x in series.xs]
        errors = _errors(series.ys, series.low, series.high)
        style = "o" if figure.kind == "points" else "o-"
        axes.errorbar(
            xs, series.ys, yerr=errors, fmt=style, capsize=2, markersize=4, label=_plain(series.name)
        )
    if figure.log_x:
        axes.set_xscale("log")


def _errors(
    ys: Sequence[float], low: Sequence[float], high: Sequence[float]
) -> tuple[list[float], list[float]] | None:
    if not low:
        return None
    below = [max(0.0, y - least) for y, least in zip(ys, low, strict=True)]
    return below, [max(0.0, most - y) for y, most in zip(ys, high, strict=True)]


def _plain(words: str) -> str:
    """Escape text that must not be parsed as mathematics: names of files and groups may hold anything."""
    return words.replace("$", r"\$")
