"""Captions, keywords and faces of Picasa: ``.picasa.ini`` in the folder. Never trusted.

A section for each image by its name: caption, keywords, a star, and faces by the number of a contact, whose
names stand in ``[Contacts2]`` (``number=Name;...``); ``[Picasa]`` names the album.
"""

import re
from collections.abc import Iterator

from askpix.ingest.metadata.model import About, clean_keywords, clean_names, clean_text

MAX_INI = 8 * 2**20
"""Bytes; an image takes some hundred."""
_NAMES = (".picasa.ini", "picasa.ini")
_FACE = re.compile(r"rect64\([0-9a-f]{1,16}\),([0-9a-f]{1,16})", re.IGNORECASE)
_MAX_SECTION = 2**18


def is_picasa(name: str) -> bool:
    """Return whether a file of this name is Picasa's list of its folder."""
    return name.casefold() in _NAMES


def read_picasa(data: bytes, name: str) -> About:
    """Return what the list says of the image ``name``."""
    text = data.decode("utf-8-sig", "replace")
    said = dict(_section(text, name))
    contacts = dict(_section(text, "Contacts2")) | dict(_section(text, "Contacts"))
    people = [
        contacts.get(match[1].casefold(), "").partition(";")[0]
        for match in _FACE.finditer(said.get("faces", ""))
    ]
    keywords = said.get("keywords", "").split(",")
    album = dict(_section(text, "Picasa")).get("name")
    starred = ["favourite"] if said.get("star") == "yes" else []
    return About(
        description=clean_text(said.get("caption")),
        keywords=clean_keywords([*keywords, *starred]),
        people=clean_names(people),
        albums=clean_names([album] if album else ()),
    )


def _section(text: str, name: str) -> Iterator[tuple[str, str]]:
    """The lines ``key=value`` of a section; only that is looked at, as a folder may list thousands."""
    match = re.search(rf"^\[{re.escape(name)}\]\s*$", text, re.MULTILINE | re.IGNORECASE)
    if match is None:
        return
    part = text[match.end() : match.end() + _MAX_SECTION]
    for line in part[: end if (end := part.find("\n[")) >= 0 else len(part)].splitlines():
        key, found, value = line.partition("=")
        if found:
            yield key.strip().casefold(), value.strip()
