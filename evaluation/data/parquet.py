"""Rows of Parquet files, as the hub publishes data sets. The one place that knows ``pyarrow``, an extra."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from askpix.core.errors import AskpixError, ModelUnavailableError

_ROWS = 32
"""Read at once: a row may hold several images."""


def parquet_files(folder: Path) -> list[Path]:
    """The files of a folder and those below it in order, or the file itself."""
    return [folder] if folder.is_file() else sorted(folder.glob("**/*.parquet"))


def read_parquet(file: Path, needed: Sequence[str], more: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
    """Rows with the columns ``needed``, and those of ``more`` that are there, without reading any other.

    Raises ``AskpixError`` for what is no such file and ``ModelUnavailableError`` without pyarrow.
    """
    try:
        import pyarrow as arrow  # noqa: PLC0415
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError as error:
        raise ModelUnavailableError(
            f"{file.name!r} is a Parquet file; `pip install 'askpix[parquet]'` reads it"
        ) from error
    try:
        with parquet.ParquetFile(file) as table:
            there = set(table.schema_arrow.names)
            missing = [name for name in needed if name not in there]
            if missing:
                raise AskpixError(f"{str(file)!r} has no column {missing[0]!r}; is it the published file?")
            columns = [*needed, *(name for name in more if name in there)]
            for batch in table.iter_batches(batch_size=_ROWS, columns=columns):
                yield from batch.to_pylist()
    except (OSError, arrow.ArrowException) as error:
        raise AskpixError(f"cannot read {str(file)!r}: {' '.join(str(error).split())[:200]}") from error


def image_bytes(value: Any, where: str) -> bytes:
    """The encoded image of a cell: ``{"bytes", "path"}`` as the hub's ``datasets`` writes it, or bytes."""
    held = value.get("bytes") if isinstance(value, dict) else value
    if not isinstance(held, bytes) or not held:
        raise AskpixError(f"{where} holds no image; download the files with their images")
    return held
