"""Captions, titles and keywords that people wrote, in image files and beside them.

In the file: what ``ingest.metadata.merge`` reads. Beside ``a.jpg``: ``a.txt``, ``a.jpg.txt``,
``a.json``, ``a.jpg.json`` (as Google Takeout and image datasets write them). Or one file for all: JSON lines
or CSV. All of it is untrusted; what cannot be read is no caption.
"""

import csv
import io
import json
import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from askpix.core.errors import AskpixError, NotFoundError
from askpix.ingest.metadata.merge import read_file
from askpix.ingest.metadata.model import is_written_by_program

_log = logging.getLogger(__name__)
_MAX_SIDECAR = 64 * 2**10
_MAX_LIST = 256 * 2**20
_MAX_CAPTIONS = 20
"""Most captions of one image."""
_MAX_LENGTH = 2_000
_PATH_FIELDS = ("path", "image", "file", "filename", "file_name", "uri")
_CAPTION_FIELDS = ("captions", "caption", "title", "description", "text", "tags", "keywords")


def file_captions(path: Path) -> list[str]:
    """Return the captions in the image at ``path`` and beside it; empty when it cannot be read."""
    found: list[str] = []
    try:
        if path.is_file():  # and no pipe, which would not end
            with path.open("rb") as file:
                found += [text for about in read_file(file) for text in about.captions]
    except OSError as error:
        _log.debug("nothing is read in %r: %s", str(path), error)
        # It may have been indexed before it was damaged: what lies beside it counts all the same.
    for sidecar in (path.with_suffix(".txt"), path.with_name(path.name + ".txt")):
        if text := _small_text(sidecar):
            found += text.splitlines()
    for sidecar in (path.with_suffix(".json"), path.with_name(path.name + ".json")):
        if text := _small_text(sidecar):
            try:
                found += _from_object(json.loads(text))
            except (ValueError, RecursionError):
                continue
    return _clean(found, path)


def listed_captions(listing: Path) -> dict[str, list[str]]:
    """Captions by path from one file: JSON lines or CSV with a header.

    The path is in a column ``path`` (or ``image``, ``file``, ``filename``), relative to the listing's folder
    or absolute; the words in ``caption``, ``captions``, ``title``, ``description``, ``text`` or ``tags``.
    Raises ``NotFoundError`` and ``AskpixError`` for a file that is not such a list.
    """
    try:
        with listing.open("rb") as file:
            data = file.read(_MAX_LIST + 1)
    except FileNotFoundError as error:
        raise NotFoundError(f"no file {str(listing)!r} with captions") from error
    except OSError as error:
        raise AskpixError(f"cannot read {str(listing)!r}: {error.strerror or error}") from error
    if len(data) > _MAX_LIST:
        raise AskpixError(f"{str(listing)!r} is over {_MAX_LIST // 2**20} MB; split it")
    text = data.decode("utf-8-sig", "replace")
    rows: Iterable[Mapping[str, Any]]
    if listing.suffix.lower() in (".csv", ".tsv"):
        rows = csv.DictReader(io.StringIO(text), delimiter="\t" if listing.suffix.lower() == ".tsv" else ",")
    else:
        rows = _json_lines(text, listing)
    found: dict[str, list[str]] = {}
    try:
        for row in rows:
            name = next((row[key] for key in _PATH_FIELDS if isinstance(row.get(key), str)), None)
            if name and (captions := _clean(_from_object(row), Path(name))):
                found.setdefault(str(listing.absolute().parent / name), []).extend(captions)
    except csv.Error as error:
        raise AskpixError(f"{str(listing)!r} is no CSV: {error}") from error
    if not found:
        raise AskpixError(
            f"{str(listing)!r} has no captions; it takes a path and a caption a row, as JSON lines or CSV"
        )
    return found


def without_stamps(captions: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Captions less those that stand on many images: an album's name tells none of them from the others."""
    counts = Counter(caption.casefold() for found in captions.values() for caption in set(found))
    limit = max(3, len(captions) // 50)
    kept = {
        key: [caption for caption in found if counts[caption.casefold()] <= limit]
        for key, found in captions.items()
    }
    return {key: found for key, found in kept.items() if found}


def _json_lines(text: str, listing: Path) -> Iterable[Mapping[str, Any]]:
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise AskpixError(f"line {number} of {str(listing)!r} is not JSON: {error}") from error
        if isinstance(row, dict):
            yield row


def _from_object(row: Any) -> list[str]:
    """Strings under the names that captions have; lists of them count, keywords as one line."""
    if not isinstance(row, Mapping):
        return [row] if isinstance(row, str) else []
    found: list[str] = []
    for key in _CAPTION_FIELDS:
        value = row.get(key)
        if isinstance(value, str):
            found.append(value)
        elif isinstance(value, list):
            words = [item for item in value if isinstance(item, str)]
            found += [", ".join(words)] if key in ("tags", "keywords") else words
    return found


def _small_text(path: Path) -> str:
    try:
        if not path.is_file():
            return ""
        with path.open("rb") as file:
            return file.read(_MAX_SIDECAR).decode("utf-8-sig", "replace")
    except (OSError, ValueError):
        return ""


def _clean(found: Iterable[str], path: Path) -> list[str]:
    """Return each caption once, on one line, without text by programs and without the file's own name."""
    names = {path.name.casefold(), path.stem.casefold()}
    lines = (" ".join(text[:_MAX_LENGTH].split()) for text in found)
    kept = (line for line in lines if line.casefold() not in names and not is_written_by_program(line))
    return list(dict.fromkeys(kept))[:_MAX_CAPTIONS]
