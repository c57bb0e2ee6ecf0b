"""Models installed into this home by name, and the owner's answer to the offer of a download.

Weights lie in the Hugging Face cache, which other programs and homes share; the home keeps which commit of
which model was installed for it, so that it opens the same files for ever.
"""

import json
import logging
import re
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from askpix.core.files import written_whole
from askpix.core.log import tolerated

_log = logging.getLogger(__name__)
_MAX_BYTES = 2**20
_PINNABLE = re.compile(r"(?P<repo>(onnx|transformers|gguf):[\w.-]+/[\w.-]+)(?P<rest>[+:].*)?")


@dataclass(frozen=True, slots=True)
class Installed:
    """A model that was installed into this home."""

    id: str
    """Name in the list of models."""
    role: str
    revision: str
    """The commit of its repository."""
    bytes: int
    installed_at: int
    """Seconds since 1970."""

    @property
    def pinned_id(self) -> str:
        """The id that opens this very commit; of kinds that name no repository the plain id."""
        match = _PINNABLE.fullmatch(self.id)
        return f"{match['repo']}@{self.revision}{match['rest'] or ''}" if match else self.id


class Installations:
    """The file ``models.json`` of a home; one that cannot be read or written is as good as empty."""

    def __init__(self, home: Path) -> None:
        self._path = home / "models.json"

    def all(self) -> dict[str, Installed]:
        """Return the installed models by their ids."""
        names = {field.name for field in fields(Installed)}
        found: dict[str, Installed] = {}
        rows = self._read().get("installed")
        for row in rows if isinstance(rows, list) else ():
            if (
                isinstance(row, dict)
                and row.keys() >= names
                and re.fullmatch("[0-9a-f]+", str(row["revision"]))
            ):
                found[str(row["id"])] = Installed(**{name: row[name] for name in names})
        return found

    def keep(self, model: Installed) -> None:
        """Keep a model in place of an earlier install of it."""
        self._put({**self.all(), model.id: model})

    def forget(self, model_id: str) -> None:
        """Drop a model."""
        self._put({name: model for name, model in self.all().items() if name != model_id})

    def pinned(self, model_id: str) -> str:
        """Return the id that opens the installed commit of a model, else ``model_id``."""
        found = self.all().get(model_id)
        return found.pinned_id if found else model_id

    @property
    def answered(self) -> bool:
        """True if the offer of a download was answered with no, or told to nobody, in this home."""
        return bool(self._read().get("answered"))

    def answer(self) -> None:
        """Remember that the offer was made and is not wanted."""
        self._write({**self._read(), "answered": True})

    @property
    def declined(self) -> str | None:
        """The name of the model whose offer in the page was declined last."""
        name = self._read().get("declined")
        return name if isinstance(name, str) else None

    def decline(self, name: str) -> None:
        """Remember that this model is not wanted; another one is offered again."""
        self._write({**self._read(), "declined": name})

    def _put(self, models: dict[str, Installed]) -> None:
        self._write({**self._read(), "installed": [asdict(model) for model in models.values()]})

    def _read(self) -> dict[str, Any]:
        try:
            with self._path.open("rb") as file:
                held = json.loads(file.read(_MAX_BYTES))
        except (OSError, ValueError, RecursionError):
            return {}
        return held if isinstance(held, dict) else {}

    def _write(self, held: dict[str, Any]) -> None:
        with tolerated(_log, "the models of this home are not kept", OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with written_whole(self._path) as draft:
                draft.write_text(json.dumps(held, indent=1), "utf-8")
