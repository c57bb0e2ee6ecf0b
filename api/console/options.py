"""Values people type: dates, circles on the globe, the filter of search."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from askpix.api.schemas.dates import parse_date
from askpix.core.types import Kind, Near, Where

if TYPE_CHECKING:
    from askpix.retrieval.stores.base import VectorStore


def parse_near(text: str | None) -> Near | None:
    """``LAT,LON,KM`` in degrees and kilometres."""
    if text is None:
        return None
    try:
        lat, lon, km = (float(part) for part in text.split(","))
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is not LAT,LON,KM, for example 48.858,2.294,5") from error
    if not (-90 <= lat <= 90 and -180 <= lon <= 180 and 0 < km < 20_100):
        raise typer.BadParameter(
            f"{text!r} is no place on earth: latitude -90..90, longitude -180..180, kilometres above 0"
        )
    return Near(lat, lon, km)


def find_picture(store: "VectorStore", named: str) -> str | None:
    """The id that ``--like`` means: an id, or the path of an indexed picture (``a.pdf#page=3``).

    None for a file that is not indexed: it is compared as it lies there. Raises ``NotFoundError``.
    """
    from askpix.core.errors import NotFoundError

    if store.get([named]):
        return named
    path, _, page = named.partition("#page=")
    literal = re.sub(r"[\[*?]", lambda match: f"[{match[0]}]", str(Path(path).expanduser().absolute()))
    found = store.get(store.scroll(Where(path=literal), limit=10_000))
    if found:
        pages = sorted(found, key=lambda record: record.page or 0)
        chosen = [record for record in pages if not page or str(record.page) == page]
        if chosen:
            return chosen[0].id
    if not page and Path(path).expanduser().is_file():
        return None
    raise NotFoundError(f"{named!r} is neither the id of a picture in this collection nor a file")


def make_where(
    *,
    after: str | None,
    before: str | None,
    near: str | None,
    path: str | None,
    kind: Kind | None,
    tags: list[str],
) -> Where:
    """The filter from the options of the contract."""
    start, end = parse_date(after), parse_date(before)
    if start and end and start >= end:
        raise typer.BadParameter(
            f"--after {after} is not earlier than --before {before}: nothing can lie between"
        )
    return Where(after=start, before=end, near=parse_near(near), path=path, kind=kind, tags=tuple(tags))
