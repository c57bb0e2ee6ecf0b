"""Address and token of a home's server, written into the home for this user's other commands. A file that a
killed server left behind is ignored: a running server holds the lock.
"""

import json
import logging
import os
from dataclasses import dataclass
from pathlib import Path

import filelock

_log = logging.getLogger(__name__)
LOCK = "serve.lock"
_NOTE = "serve.json"


@dataclass(frozen=True, slots=True)
class Note:
    """The server's base URL, and the token that lets in whoever can read this home."""

    url: str
    token: str


def write_note(home: Path, note: Note) -> None:
    """Readable by this user alone, whole or not at all."""
    path = home / _NOTE
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump({"url": note.url, "token": note.token, "pid": os.getpid()}, file)
    draft.replace(path)


def remove_note(home: Path) -> None:
    """The server stops."""
    (home / _NOTE).unlink(missing_ok=True)


def read_note(home: Path) -> Note | None:
    """Return what a server wrote, running or not; None when there is nothing to read."""
    try:
        found = json.loads((home / _NOTE).read_text("utf-8"))
        return Note(str(found["url"]), str(found["token"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        _log.info("what a server left in %r cannot be read: %s", str(home), error or type(error).__name__)
        return None


def running_server(home: Path) -> Note | None:
    """The server that holds this home now; None when there is none, or it was killed."""
    note = read_note(home)
    if note is None:
        return None
    probe = filelock.FileLock(home / LOCK)
    try:
        probe.acquire(timeout=0)
    except filelock.Timeout:
        return note
    except OSError as error:
        _log.info("whether a server has %r is not known: %s", str(home), error)
        return None
    probe.release()
    return None
