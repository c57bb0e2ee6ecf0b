"""Answers from what is known of an image rather than from what is written in it."""

from collections.abc import Callable

from askpix.core.types import ImageRecord
from askpix.generation.prompting.prompt import file_name
from askpix.generation.questions.rules import Wanted


def _taken(record: ImageRecord) -> str | None:
    taken = record.taken_at
    if taken is None:
        return None
    return f"{file_name(record)} was taken on {taken.day} {taken:%B %Y} at {taken:%H:%M}"


def _place(record: ImageRecord) -> str | None:
    if record.lat is None or record.lon is None:
        return None
    north = "N" if record.lat >= 0 else "S"
    east = "E" if record.lon >= 0 else "W"
    return f"{file_name(record)} was taken at {abs(record.lat):.5f}° {north}, {abs(record.lon):.5f}° {east}"


def _camera(record: ImageRecord) -> str | None:
    return f"{file_name(record)} was taken with {record.camera}" if record.camera else None


def _size(record: ImageRecord) -> str | None:
    pixels = record.width * record.height / 1e6
    return f"{file_name(record)} is {record.width} x {record.height} pixels ({pixels:.1f} megapixels)"


def _moment(record: ImageRecord) -> str | None:
    if record.time_s is None:
        return None
    minutes, seconds = divmod(int(record.time_s), 60)
    return f"At {minutes}:{seconds:02d} ({record.time_s:.1f} s) of {file_name(record)}"


def _file(record: ImageRecord) -> str | None:
    page = f", page {record.page}" if record.page is not None else ""
    return f"{record.uri}{page}"


KNOWN: dict[Wanted, tuple[Callable[[ImageRecord], str | None], str]] = {
    "taken": (_taken, "when it was taken"),
    "place": (_place, "where it was taken"),
    "camera": (_camera, "which camera took it"),
    "size": (_size, "how large it is"),
    "moment": (_moment, "at which time of a video it is"),
    "file": (_file, "what its file is called"),
}
"""Sentences by kind of question: the function that answers it (None when it is not known), and its
subject.
"""
