"""Log output on standard error: text for people, or one JSON object a line for programs.

File names and what libraries say are untrusted: neither breaks a line. Passwords and query strings of URLs,
and secrets that ``core.log.hide`` knows, are masked wherever they come from.
"""

import json
import logging
import re
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from askpix.api.console.text import printable
from askpix.core.log import hide, masked

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""Id of the request being answered, here and in the threads and tasks that it starts."""
_STANDARD = {*logging.makeLogRecord({}).__dict__, "message", "asctime", "taskName"}
_URL = re.compile(r"://(?:[^\s/?#@]*@)?([^\s?#'\"]*)(\?[^\s'\"]*)?")
_LONGEST = 8000


class _Formatter(logging.Formatter):
    def fields(self, record: logging.LogRecord) -> dict[str, Any]:
        """The fields of a record in their order, all on one line."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        found: dict[str, Any] = {"time": at, "level": record.levelname, "logger": record.name}
        found["message"] = _masked(record.getMessage())
        found["request_id"] = request_id.get()
        found |= {name: value for name, value in vars(record).items() if name not in _STANDARD}
        if record.exc_info:
            found["exception"] = _masked(self.formatException(record.exc_info))
        return found


class _JsonFormatter(_Formatter):
    def format(self, record: logging.LogRecord) -> str:
        found = self.fields(record)
        return json.dumps({name: value for name, value in found.items() if value != ""}, default=str)


class _TextFormatter(_Formatter):
    def format(self, record: logging.LogRecord) -> str:
        found = self.fields(record)
        lines = found.pop("exception", "").splitlines()
        head = " ".join(str(found.pop(name)) for name in ("time", "level", "logger", "message"))
        more = [f"{name}={value}" for name, value in found.items() if value != ""]
        return "\n  ".join(printable(line) for line in (" ".join([head, *more]), *lines))


class _ToStandardError(logging.Handler):
    """Writes to what is standard error now: a live progress bar takes its place for a while."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.write(self.format(record) + "\n")
            sys.stderr.flush()
        except Exception:  # noqa: BLE001 - as every handler: no work ends for a line of its log
            self.handleError(record)


_HANDLER = _ToStandardError()
_OURS = logging.getLogger("askpix")


def show_log(verbose: int) -> None:
    """Show what Askpix logs: warnings, with 1 ``info`` too, with 2 ``debug``."""
    hide()
    _OURS.setLevel([logging.WARNING, logging.INFO, logging.DEBUG][min(verbose, 2)])
    _HANDLER.setFormatter(_TextFormatter())
    _OURS.addHandler(_HANDLER)


def show_service_log(kind: str) -> None:
    """Show what the service logs, and warnings of libraries: ``kind`` is "json", "text", or "auto" for text
    in a terminal and JSON elsewhere."""
    hide()
    _OURS.removeHandler(_HANDLER)
    _OURS.setLevel(min(_OURS.level or logging.INFO, logging.INFO))
    as_json = kind == "json" or (kind == "auto" and not sys.stderr.isatty())
    _HANDLER.setFormatter(_JsonFormatter() if as_json else _TextFormatter())
    logging.getLogger().addHandler(_HANDLER)
    logging.captureWarnings(True)


def _masked(text: str) -> str:
    text = masked(text)
    text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
    return _URL.sub(lambda found: f"://{found[1]}{'?***' if found[2] else ''}", text)
