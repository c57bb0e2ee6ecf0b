"""``auto`` and ``best``: which model suits a machine, and why. ``auto`` downloads nothing.

``auto`` is for the embedder of a new collection, from what is here and works, in this order:

1. ``ASKPIX_EMBEDDER`` names another than ``auto``: that one.
2. A model of the list (``registry.toml``) whose weights lie in the Hugging Face cache, whose pip extra is
   installed and that fits the memory, by its rank for a GPU, a CPU or a weak CPU. For other languages than
   English (``ASKPIX_LANGUAGES``, else the locale) those that serve all of them come first.
3. ``mini``, which ships with Askpix.

A model that is here but cannot be opened, or that failed its proof, is passed over, and the reason is told.
``best`` is the first by the same ranks of all that could be installed. A licence that is not for businesses
is taken only where somebody put the weights here, and for English never.
"""

import importlib.util
import locale
import socket
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from askpix.api.models.installed import Installations
from askpix.api.models.proofs import Proofs
from askpix.api.settings import Settings
from askpix.core.errors import ModelUnavailableError
from askpix.core.machine import usable_cores, usable_memory_mb
from askpix.retrieval.embedders.base import EMBEDDERS, Embedder, EmbedderKind
from askpix.retrieval.model_hub.download import weights_here
from askpix.retrieval.model_hub.registry import Device, ModelFact

_WEAK_CORES = 2
_SHARE = {"gpu": 0.85, "cpu": 0.6, "weak": 0.6}
"""Share of the memory that a model may take: a screen, the rest of Askpix and other programs need theirs."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Model that ``auto`` chose, and why: one line for a person."""

    embedder_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Machine:
    """Machine that models run on. ``memory_mb`` is what one may take; None where the platform does not
    tell.
    """

    device: Device
    memory_mb: float | None

    def __str__(self) -> str:
        return {"gpu": "a GPU", "cpu": "a CPU", "weak": "a weak CPU"}[self.device]

    def ranked(self, facts: Iterable[ModelFact], languages: Sequence[str]) -> list[ModelFact]:
        """Return those that fit and that have a rank here, best first."""
        fitting = [fact for fact in facts if fact.rank(self.device) is not None and fact.fits(self.memory_mb)]
        return sorted(fitting, key=lambda fact: (not fact.serves(languages), fact.rank(self.device) or 0))


def this_machine(device: str = "auto") -> Machine:
    """Return the machine as models that run on ``device`` (ASKPIX_DEVICE) find it."""
    memory = usable_memory_mb()
    gpu = None if device == "cpu" else _gpu_memory_mb(memory)
    if gpu is not None:
        return Machine("gpu", gpu * _SHARE["gpu"] or None)
    where: Device = "weak" if usable_cores() <= _WEAK_CORES else "cpu"
    return Machine(where, None if memory is None else memory * _SHARE[where])


def wanted_languages(settings: Settings) -> tuple[str, ...]:
    """ISO 639-1 codes that searches will be in: ``ASKPIX_LANGUAGES``, else the locale's and English."""
    if settings.languages != "auto":
        named = settings.languages.replace(",", " ").lower().split()
        return tuple(dict.fromkeys(code.partition("-")[0].partition("_")[0] for code in named)) or ("en",)
    try:
        code = (locale.getlocale()[0] or locale.setlocale(locale.LC_CTYPE, None) or "").partition("_")[0]
    except (ValueError, locale.Error):
        code = ""
    own = code.lower() if len(code) == 2 and code.isalpha() else "en"
    return tuple(dict.fromkeys((own, "en")))


def known_embedders() -> list[ModelFact]:
    """Return the published embedders whose kind can load them with what is installed."""
    return [
        fact
        for _, kind in EMBEDDERS.kinds()
        if isinstance(kind, EmbedderKind) and not kind.missing()
        for fact in kind.facts()
        if fact.repo
    ]


def choose(
    settings: Settings, *, open_embedder: Callable[[str], Embedder], machine: Machine | None = None
) -> Choice:
    """Return the best embedder that works here and now; ``open_embedder`` loads one or raises."""
    languages = wanted_languages(settings)
    here = [fact for fact in known_embedders() if weights_here(fact.repo, fact.files)]
    where = machine or (this_machine(settings.device) if here else Machine("cpu", None))
    english = languages == ("en",)
    ranked = [fact for fact in where.ranked(here, languages) if not (english and fact.non_commercial)]
    installations = Installations(settings.home)
    proofs = Proofs(settings.home)
    passed: list[str] = []
    for fact in ranked:
        pinned = installations.pinned(fact.id)
        proof = proofs.kept("embedder", pinned)
        if proof is not None and not proof.passed:
            passed.append(f"{fact.id} is here but does not work ({proof})")
            continue
        try:
            open_embedder(pinned)
        except ModelUnavailableError as error:
            passed.append(f"{fact.id} is here but does not open ({str(error)[:120]})")
            continue
        speaks = "" if english or not fact.serves(languages) else f" that serves {', '.join(languages)}"
        found = f"the best model on this machine{speaks} for {where}"
        return Choice(pinned, "; ".join([f"{found} ({fact.notes})", *passed]))
    none = "" if passed else "no weights of another model are here; `askpix models` says which one suits"
    speaks = "" if english else f"; it is for English, and {', '.join(languages)} was asked for"
    return Choice("mini", "; ".join(filter(None, ["it ships with Askpix", none, *passed])) + speaks)


def best_embedder(settings: Settings, machine: Machine) -> ModelFact | None:
    """Return the embedder to install on this machine; None where nothing known suits it."""
    free = [fact for fact in known_embedders() if not fact.non_commercial]
    return next(iter(machine.ranked(free, wanted_languages(settings))), None)


def hub_reachable(timeout_s: float = 1.5) -> str | None:
    """Return None when the hub answers; else why it does not."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    address = urlsplit(constants.ENDPOINT)
    host = address.hostname or "huggingface.co"
    port = address.port or (80 if address.scheme == "http" else 443)
    try:
        socket.create_connection((host, port), timeout=timeout_s).close()
    except OSError:
        return f"no connection to {host}"
    return None


def _gpu_memory_mb(memory_mb: float | None) -> float | None:
    """Return the memory of the GPU that torch or ONNX Runtime would use: 0 = not told, None = no GPU."""
    if importlib.util.find_spec("torch") is not None:
        import torch

        if torch.cuda.is_available():
            return torch.cuda.get_device_properties(0).total_memory / 1e6
        if torch.backends.mps.is_available():  # shares the machine's, of which it is given three quarters
            return 0.75 * (memory_mb or 0)
    import onnxruntime

    return 0.0 if "CUDAExecutionProvider" in onnxruntime.get_available_providers() else None
