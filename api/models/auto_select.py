"""``auto``: which embedder a new collection gets, and why. Nothing is ever downloaded for it.

What is here and works, in this order:

1. ``ASKPIX_EMBEDDER`` names another than ``auto``: that one.
2. A model that its kind knows (``EMBEDDERS``), whose weights lie in the Hugging Face cache and whose pip
   extra is installed: with a GPU the largest SigLIP 2 first, on a CPU SigLIP 2 B/16; then SigLIP, CLIP.
   For other languages than English (``ASKPIX_LANGUAGES``, else the locale) those that serve all of them come
   first: SigLIP 2, then nllb-clip, whose licence is non-commercial, so it is taken for nobody else.
3. ``mini``, which ships with Askpix.

A model that is here but cannot be opened, or failed its proof, is passed over, and the reason is told.
"""

import importlib.util
import locale
import socket
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from askpix.api.models.proofs import Proofs
from askpix.api.settings import Settings
from askpix.core.errors import ModelUnavailableError
from askpix.retrieval.embedders.base import EMBEDDERS, Embedder, EmbedderKind
from askpix.retrieval.model_hub.download import weights_here
from askpix.retrieval.model_hub.registry import Device


@dataclass(frozen=True, slots=True)
class Choice:
    """What ``auto`` took, and why: one line for a person."""

    embedder_id: str
    reason: str


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


def choose(
    settings: Settings, *, open_embedder: Callable[[str], Embedder], device: Device | None = None
) -> Choice:
    """The best embedder that works here and now; ``open_embedder`` loads one or raises."""
    languages = wanted_languages(settings)
    here = [
        fact
        for _, kind in EMBEDDERS.kinds()
        if isinstance(kind, EmbedderKind)
        for fact in kind.facts()
        if fact.repo and weights_here(fact.repo) and not kind.missing()
    ]
    where = device or (_device() if here else "cpu")
    ranked = [fact for fact in here if fact.rank(where) is not None]
    english = languages == ("en",)
    if english:
        ranked = [fact for fact in ranked if "NC" not in fact.licence]
    ranked.sort(key=lambda fact: (not fact.serves(languages), fact.rank(where) or 0))
    passed: list[str] = []
    proofs = Proofs(settings.home)
    for fact in ranked:
        proof = proofs.kept("embedder", fact.id)
        if proof is not None and not proof.passed:
            passed.append(f"{fact.id} is here but does not work ({proof})")
            continue
        try:
            open_embedder(fact.id)
        except ModelUnavailableError as error:
            passed.append(f"{fact.id} is here but does not open ({str(error)[:120]})")
            continue
        speaks = "" if english or not fact.serves(languages) else f" that serves {', '.join(languages)}"
        found = f"the best model on this machine{speaks} for a {'GPU' if where == 'gpu' else 'CPU'}"
        return Choice(fact.id, "; ".join([f"{found} ({fact.notes})", *passed]))
    none = "" if passed else "no weights of another model are on this machine; `askpix models` lists them"
    speaks = "" if english else f"; it is for English, and {', '.join(languages)} was asked for"
    return Choice("mini", "; ".join(filter(None, ["it ships with Askpix", none, *passed])) + speaks)


def hub_reachable(timeout_s: float = 1.5) -> str | None:
    """None when the hub answers; else why it does not."""
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


def _device() -> Device:
    """``gpu`` when torch or ONNX Runtime has one."""
    if importlib.util.find_spec("torch") is not None:
        import torch

        if torch.cuda.is_available() or torch.backends.mps.is_available():
            return "gpu"
    import onnxruntime

    return "gpu" if "CUDAExecutionProvider" in onnxruntime.get_available_providers() else "cpu"
