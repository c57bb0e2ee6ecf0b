"""OpenTelemetry, where it is wanted: FastAPI makes the spans and metrics, the usual variables say where to.

``OTEL_EXPORTER_OTLP_ENDPOINT`` (or that of one signal) turns it on. Spans have routes and statuses, not what
was asked: no query, no question and no key leaves by this way.
"""

from collections.abc import Mapping, MutableMapping
from importlib.util import find_spec
from typing import Any

from fastapi.telemetry import TelemetryConfig

from askpix.core.errors import AskpixError

_ENDPOINTS = (
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
)
_UNTOLD = frozenset({"/healthz", "/readyz", "/metrics"})
"""Asked every few seconds by whoever watches."""


def telemetry_of(environment: Mapping[str, str]) -> TelemetryConfig:
    """Return the argument of ``FastAPI(telemetry=...)``. Raises ``AskpixError`` when it is wanted and not
    installed.
    """
    wanted = any(environment.get(name) for name in _ENDPOINTS)
    if wanted and not (_there("opentelemetry.sdk") and _there("opentelemetry.exporter.otlp.proto.http")):
        raise AskpixError("OTEL_EXPORTER_OTLP_ENDPOINT is set; it needs pip install 'askpix[telemetry]'")
    return {"auto_configure": wanted, "logs": False, "exclude": _is_untold}


def _is_untold(scope: MutableMapping[str, Any]) -> bool:
    return scope.get("path") in _UNTOLD


def _there(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False
