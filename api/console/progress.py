"""Progress on standard error, of indexing and of whatever else takes long."""

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from askpix.ingest.pipeline.report import Progress


_STAGES = {
    "looking": "embedding images",
    "sheets": "images on pages",
    "describing": "dates, places and captions",
    "tagging": "tags",
    "reading": "reading text",
    "pages": "embedding pages",
    "captions": "writing captions",
}
"""Stages as people know them; those of jobs over HTTP keep their names."""


class ProgressLine:
    """Progress on standard error: a live bar in a terminal, a line every ten seconds elsewhere."""

    def __init__(self) -> None:
        self._live: Any = None
        self._task: Any = None
        self._stage = ""
        self._said = time.monotonic()

    def __enter__(self) -> "ProgressLine":
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            self._live = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def __call__(self, progress: "Progress") -> None:
        rate = f"{progress.rate:.1f}/s" + (f", {progress.failed} failed" if progress.failed else "")
        if self._live:
            if progress.stage != self._stage:
                self._stage = progress.stage
                self._task = self._live.add_task(_named(progress), total=None, rate="")
            self._live.update(self._task, completed=progress.done, total=progress.total, rate=rate)
        elif time.monotonic() - self._said > 10:
            self._said = time.monotonic()
            total = f" of {progress.total:,}" if progress.total is not None else ""
            typer.echo(f"{_named(progress)}: {progress.done:,}{total}, {rate}", err=True)


def _named(progress: "Progress") -> str:
    return _STAGES.get(progress.stage, progress.stage)
