"""Values people type: dates, circles on the globe, the filter of search."""

import typer

from askpix.api.schemas.dates import parse_date
from askpix.core.types import Kind, Near, Where


def parse_near(text: str) -> Near:
    """``LAT,LON,KM`` in degrees and kilometres."""
    try:
        lat, lon, km = (float(part) for part in text.split(","))
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is not LAT,LON,KM, for example 48.858,2.294,5") from error
    if not (-90 <= lat <= 90 and -180 <= lon <= 180 and 0 < km < 20_100):
        raise typer.BadParameter(
            f"{text!r} is no place on earth: latitude -90..90, longitude -180..180, kilometres above 0"
        )
    return Near(lat, lon, km)


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
    try:
        start, end = (parse_date(each) if each else None for each in (after, before))
    except (ValueError, OverflowError) as error:
        raise typer.BadParameter(str(error)) from error
    if start and end and start >= end:
        raise typer.BadParameter(
            f"--after {after} is not earlier than --before {before}: nothing can lie between"
        )
    return Where(
        after=start,
        before=end,
        near=parse_near(near) if near else None,
        path=path,
        kind=kind,
        tags=tuple(tags),
    )
