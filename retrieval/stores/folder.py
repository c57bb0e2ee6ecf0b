"""The small files beside a shard: who holds the folder, and what it was made with.

folder/manifest.json     the models, the format's version, whether the shard has a graph
folder/lock, owner.json  held by one process; who that is, for the message to others
folder/wanted            somebody waits for it
"""

import json
import os
import shlex
import sys
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any
from weakref import WeakSet

import filelock

from askpix.core.errors import IndexMismatchError, StoreUnavailableError

FORMAT = 1
PAYLOAD = 3
"""Version of the derived fields (``retrieval.stores.derived_fields``). A store with older ones opens and gets
these at the next ``optimize``; until then filters on missing fields are not satisfied.
"""
DATED = 2
"""First version with dates, sums and countries; 3 has regions too, and tags as they are compared."""
TURN_S = 0.06
_TELL_EVERY_S = 0.5
_MODELS = ("model", "dim", "text_model", "text_dim")
_held: WeakSet[filelock.FileLock] = WeakSet()


def acquire(folder: Path, wait_s: float) -> filelock.FileLock:
    """The folder's lock, or a StoreUnavailableError that says who holds it. Kill -9 leaves no lock behind."""
    # thread_local=False: the thread that closes need not be the one that opened.
    lock = filelock.FileLock(folder / "lock", thread_local=False)
    owner = folder / "owner.json"
    try:
        _acquire(lock, wait_s)
    except filelock.Timeout as error:
        held = read_json(owner)
        who = "another process"
        if held.get("pid") == os.getpid():
            who = f"this very process ({os.getpid()})"
        elif held:
            who = f"process {held.get('pid')} ({held.get('command')})"
        since = f" since {held['since']}" if "since" in held else ""
        raise StoreUnavailableError(
            f"collection {folder.parent.name!r} is in use by {who}{since}; wait for it to finish, or stop it"
        ) from error
    command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])[:200]
    since = datetime.now().astimezone().isoformat(" ", "seconds")
    try:
        write_json(owner, {"pid": os.getpid(), "command": command, "since": since})
    except BaseException:
        lock.release()
        raise
    _held.add(lock)
    return lock


def others_wait() -> bool:
    """Return whether somebody waits for a folder that this process has open: who lets go of it and pauses for
    ``TURN_S`` gives it away."""
    return any(lock.is_locked and _wanted(lock).exists() for lock in [*_held])


def _acquire(lock: filelock.FileLock, wait_s: float) -> None:
    ends = time.monotonic() + wait_s
    left = 0.0
    try:
        while True:
            try:
                lock.acquire(timeout=min(left, _TELL_EVERY_S), poll_interval=TURN_S / 3)
                return
            except filelock.Timeout:
                left = ends - time.monotonic()
                if left <= 0:
                    raise
            with suppress(OSError):  # the folder may be gone meanwhile
                _wanted(lock).touch()  # again and again: whoever gets the lock takes it away
    finally:
        with suppress(OSError):
            _wanted(lock).unlink(missing_ok=True)


def _wanted(lock: filelock.FileLock) -> Path:
    return Path(lock.lock_file).with_name("wanted")


def manifest(folder: Path, models: dict[str, Any]) -> dict[str, Any]:
    """The manifest of the folder, written when new; refuses other models and newer versions."""
    path = folder / "manifest.json"
    if not path.exists():
        if (folder / "shard" / "edge_config.json").exists():
            raise StoreUnavailableError(f"{str(path)!r} is gone; delete that folder and index again")
        made = {"format": FORMAT, "payload": PAYLOAD, "graph": False} | {key: models[key] for key in _MODELS}
        write_json(path, made)
        return made
    found = read_json(path)
    if isinstance(found.get("format"), int) and found["format"] > FORMAT:
        raise IndexMismatchError(f"{str(folder)!r} was written by a newer version of Askpix: update Askpix")
    if not {"format", *_MODELS} <= found.keys():
        raise StoreUnavailableError(f"{str(path)!r} is damaged; delete that folder and index again")
    if any(found[key] != models[key] for key in _MODELS):
        raise IndexMismatchError(
            f"the vectors in {str(folder)!r} were made with {_named(found)}, not with {_named(models)}; open"
            " them with their own models, or index into another --collection"
        )
    return found


def _named(models: dict[str, Any]) -> str:
    return (
        f"{models['model']!r} ({models['dim']} numbers) and {models['text_model']!r} ({models['text_dim']})"
    )


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file; empty when there is none to be read."""
    with suppress(OSError, ValueError):
        found = json.loads(path.read_text("utf-8"))
        if isinstance(found, dict):
            return found
    return {}


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Whole or not at all."""
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps(content), "utf-8")
    draft.replace(path)
