"""Askpix: ask your images.

>>> from askpix import Askpix, AsyncClient, Client

``Askpix`` works on a home of this machine; ``Client`` and ``AsyncClient`` on a server (``askpix serve``).
Each room of the code is a sub-package here: ``askpix.retrieval``, ``askpix.api`` ...
"""

import logging
import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from askpix.api.client.client import AsyncClient, Client
    from askpix.api.services.askpix import Askpix

__all__ = ["Askpix", "AsyncClient", "Client"]

# ONNX Runtime reports to its maker unless told before it is loaded, here and in child processes. Nothing is
# to leave the machine unasked: whoever wants the reports sets it to 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

logging.getLogger(__name__).addHandler(logging.NullHandler())  # who imports it decides what is shown

_HOMES = {
    "Askpix": "askpix.api.services.askpix",
    "AsyncClient": "askpix.api.client.client",
    "Client": "askpix.api.client.client",
}


def __getattr__(name: str) -> Any:
    # Imported when asked for: every command imports this package, and most need neither.
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
