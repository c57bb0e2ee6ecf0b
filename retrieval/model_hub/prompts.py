"""Published prompts before a query and before a passage (``config_sentence_transformers.json``)."""

import json
from pathlib import Path

from askpix.core.errors import ModelUnavailableError

_QUERY = ("query", "Retrieval-query", "SearchQuery")
_PASSAGE = ("passage", "document", "Retrieval-document", "Document")
"""EmbeddingGemma 2 has the later names too."""
_MOST = 2**20


def read_prompts(folder: Path) -> tuple[str, str] | None:
    """``(query, passage)`` as published with the model; None where nothing is. Raises
    ``ModelUnavailableError`` for a file that cannot be read."""
    path = folder / "config_sentence_transformers.json"
    try:
        if not path.is_file():
            return None
        with path.open("rb") as file:
            found = json.loads(file.read(_MOST))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelUnavailableError(f"cannot read {str(path)!r}: {error}") from error
    prompts = found.get("prompts") if isinstance(found, dict) else None
    if not isinstance(prompts, dict) or not any(prompts.values()):
        return None
    query, passage = (
        next((str(prompts[name]) for name in names if prompts.get(name)), "") for names in (_QUERY, _PASSAGE)
    )
    return query, passage
