"""Labels as people give them: a list, or a file with one a line (or ``.json`` with a list)."""

import json
from pathlib import Path

from askpix.core.errors import BadQueryError
from askpix.ingest.catalog.tags import Vocabulary
from askpix.retrieval.classification.zero_shot import clean_labels

_MAX_BYTES = 4 * 2**20


def read_labels(text: str) -> list[str]:
    """``a,b,c``; or the name of a file, with a label a line (``#`` begins a comment) or a JSON list.

    Raises ``BadQueryError`` for a file that cannot be read as such.
    """
    path = Path(text)
    try:
        is_file = "," not in text and path.is_file()
    except (OSError, ValueError):  # too long, or NUL: no name of a file
        is_file = False
    if not is_file:
        if text.lower().endswith((".txt", ".json")) and "," not in text:
            raise BadQueryError(f"there is no file {text!r} with labels")
        return text.split(",")
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
        if len(data) > _MAX_BYTES:
            raise BadQueryError(f"{text!r} is over {_MAX_BYTES // 2**20} MB: that is no list of labels")
        content = data.decode("utf-8-sig")
        if path.suffix.lower() != ".json":
            return [line for line in content.splitlines() if not line.lstrip().startswith("#")]
        listed = json.loads(content)
    except OSError as error:
        raise BadQueryError(f"cannot read {text!r}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise BadQueryError(f"{text!r} holds no labels: {error}") from error
    if not isinstance(listed, list) or not all(isinstance(item, str) for item in listed):
        raise BadQueryError(f"{text!r} is no JSON list of strings")
    return listed


def read_vocabulary(tags: str | None, threshold: float | None, *, no_tags: bool = False) -> Vocabulary | None:
    """Return the vocabulary that the options ask for; None: the collection's own. Raises
    ``BadQueryError``.
    """
    if no_tags:
        if tags is not None or threshold is not None:
            raise BadQueryError("--no-tags takes neither --tags nor --tag-threshold")
        return Vocabulary(())
    if tags is None:
        if threshold is not None:
            raise BadQueryError("--tag-threshold needs --tags")
        return None
    return Vocabulary(clean_labels(read_labels(tags)), threshold)
