"""Files of a hub repository into the cache that huggingface_hub keeps, resumed where they stopped.

huggingface_hub resumes a broken connection within one run, but throws half a file away when the run ends
(version 2 names its partial files anew each time), and up to 10 MB at every break. Large files are therefore
fetched here, with its client, into a partial file of a fixed name beside the blob, checked, and put where it
looks for blobs; the rest is its own work. The cache's layout is documented and stable:
https://huggingface.co/docs/huggingface_hub/guides/manage-cache
"""

import contextlib
import errno
import fnmatch
import hashlib
import logging
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar
from urllib.parse import urlsplit

from askpix.core.errors import ModelUnavailableError

OnBytes = Callable[[int], object]

_log = logging.getLogger(__name__)
_LARGE = 8 * 2**20
"""Bytes from which a file is worth resuming across runs."""
_ATTEMPTS = 4
_PAUSE_S = 0.5
_BLOCK = 2**20
_WEIGHTS = (".safetensors", ".bin", ".pt", ".onnx")
_CONFIGS = ("config.json", "open_clip_config.json")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_DIGEST = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_ETAG = re.compile(r"[\w-]{1,128}")
_BUSY = (429, 500, 502, 503, 504)
"""Statuses of a hub or of its storage that pass by themselves."""
_TRIES = 3
_LONGEST_WAIT_S = 30.0
"""A hub that asks for a longer pause is left alone, and its pause told."""
_SPARE = 2**26
"""Bytes of a disk that a download leaves free."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of a repository at one commit."""

    name: str
    size: int
    digest: str
    """SHA-256 of a large file, the SHA-1 that git knows a small one by; empty where the hub is silent."""


@dataclass(frozen=True, slots=True)
class HubListing:
    """The files of a repository at one commit."""

    commit: str
    files: tuple[HubFile, ...]


def list_repository(repository: str) -> HubListing:
    """Ask the hub what ``OWNER/NAME[@REVISION]`` holds; raises ``ModelUnavailableError`` as ``download``."""
    hub = _library()
    name, _, revision = repository.partition("@")
    if hub.constants.HF_HUB_OFFLINE:
        raise ModelUnavailableError(f"the hub is not asked for {name!r}: HF_HUB_OFFLINE is set; unset it")
    odd: tuple[type[Exception], ...] = (*_failures(hub), KeyError, TypeError, AttributeError)
    try:
        info = _patiently(
            hub, lambda: hub.HfApi().model_info(name, revision=revision or None, files_metadata=True)
        )
        commit = str(info.sha)
        files = tuple(_hub_files(info))
        if not _DIGEST.fullmatch(commit):
            raise ValueError(f"{commit[:60]!r} is no commit")
    except odd as error:
        raise ModelUnavailableError(_advice(hub, repository, error, offline=False)) from error
    return HubListing(commit, files)


def _hub_files(info: Any) -> Iterator[HubFile]:
    """Yield the files of a description that stay inside their folder."""
    for each in info.siblings or ():
        parts = PurePosixPath(each.rfilename).parts
        if parts and parts[0] != "/" and ".." not in parts and "\\" not in each.rfilename:
            digest = str((each.lfs.sha256 if each.lfs else each.blob_id) or "")
            size = each.size if isinstance(each.size, int) and each.size > 0 else 0
            yield HubFile(each.rfilename, size, digest if _DIGEST.fullmatch(digest) else "")


def check_digests(folder: Path, files: Iterable[HubFile]) -> None:
    """Raise ``ModelUnavailableError`` for a file that is not what the hub says it is, and drop it."""
    for file in files:
        path = folder / file.name
        try:
            if _SHA256.fullmatch(file.digest):
                right = _digest(path) == file.digest
            else:  # git's own: a header with the size, then the content
                data = path.read_bytes() if path.stat().st_size == file.size else b""
                header = f"blob {file.size}\0".encode()
                found = hashlib.sha1(header + data, usedforsecurity=False).hexdigest()
                right = not file.digest or found == file.digest
        except OSError as error:
            raise ModelUnavailableError(f"cannot read {str(path)!r}: {error.strerror}") from error
        if not right:
            path.resolve().unlink(missing_ok=True)
            path.unlink(missing_ok=True)
            raise ModelUnavailableError(
                f"{file.name!r} is damaged: it is not the file that the hub lists; run it again, and where "
                "that does not help set HF_ENDPOINT to another mirror"
            )


def cached_files(repository: str, commit: str, files: Iterable[HubFile]) -> int:
    """Return how many bytes of these files are here already, of half ones too."""
    hub = _library()
    top = Path(hub.constants.HF_HUB_CACHE) / _folder_of(repository)
    here = 0
    for file in files:
        whole = top / "snapshots" / commit / file.name
        part = top / "blobs" / f"{file.digest}.part"
        with contextlib.suppress(OSError):
            here += min(file.size, (whole if whole.is_file() else part).stat().st_size)
    return here


def delete_cached(repository: str, commit: str | None = None) -> int:
    """Delete a repository from the cache, or one commit of it where others are here; return bytes freed."""
    hub = _library()
    for found in hub.scan_cache_dir().repos if Path(hub.constants.HF_HUB_CACHE).is_dir() else ():
        if found.repo_type == "model" and found.repo_id == repository:
            commits = {revision.commit_hash for revision in found.revisions}
            if commit in commits and len(commits) > 1:
                commits = {commit}
            plan = hub.scan_cache_dir().delete_revisions(*commits)
            plan.execute()
            return int(plan.expected_freed_size)
    return 0


def download(
    repository: str,
    patterns: Sequence[str],
    *,
    local_files_only: bool = False,
    on_bytes: OnBytes | None = None,
) -> Path:
    """The folder with the files of ``OWNER/NAME[@REVISION]`` that match; its name is the commit.

    ``on_bytes`` is told how many bytes of large files came with each block; what it raises ends the download.
    Shows a progress bar on standard error when that is a terminal. ``HF_HUB_OFFLINE=1`` and
    ``local_files_only`` take what was downloaded before. Raises ``ModelUnavailableError``, one line that says
    what to do.
    """
    hub = _library()
    name, _, revision = repository.partition("@")
    offline = local_files_only or bool(hub.constants.HF_HUB_OFFLINE)
    given: dict[str, Any] = {"revision": revision or None, "allow_patterns": list(patterns)}
    try:
        with _quietly(hub):
            if not offline and _listed(hub, name, revision):
                with contextlib.suppress(
                    hub.errors.LocalEntryNotFoundError, hub.errors.IncompleteSnapshotError
                ):
                    return Path(hub.snapshot_download(name, local_files_only=True, **given))
            answered = not offline and _fetch_large(hub, name, given, on_bytes)
            # What is cached may do where the hub does not answer; it was given its time then.
            take = partial(hub.snapshot_download, name, local_files_only=offline, **given)
            return Path(_patiently(hub, take, once=not answered))
    except _failures(hub) as error:
        raise ModelUnavailableError(_advice(hub, repository, error, offline=offline)) from error


def _listed(hub: Any, name: str, revision: str) -> bool:
    """Return whether it is known what this commit holds, so that files of this machine can be told to be
    all.
    """
    return (Path(hub.constants.HF_HUB_CACHE) / _folder_of(name) / "trees" / f"{revision}.json").is_file()


def list_files(repository: str, *, local_files_only: bool = False) -> HubListing:
    """Return what ``OWNER/NAME[@REVISION]`` holds; without the hub, what was downloaded of it before.

    Raises ``ModelUnavailableError`` as ``download``.
    """
    hub = _library()
    if local_files_only or hub.constants.HF_HUB_OFFLINE:
        reason = ModelUnavailableError(_advice(hub, repository, OSError(), offline=True))
    else:
        try:
            return list_repository(repository)
        except ModelUnavailableError as error:
            reason = error
    found = _downloaded(hub, repository)
    if found is None:
        raise reason
    return found


def _downloaded(hub: Any, repository: str) -> HubListing | None:
    """Return the cached files of the commit that a repository's name means, else of the newest one."""
    name, _, revision = repository.partition("@")
    top = Path(hub.constants.HF_HUB_CACHE) / _folder_of(name)
    meant = revision
    with contextlib.suppress(OSError):
        meant = (top / "refs" / (revision or "main")).read_text("ascii").strip()
    folder = top / "snapshots" / (meant or "main")
    with contextlib.suppress(OSError):  # an install fetches one commit, and no name
        others = sorted((top / "snapshots").iterdir(), key=lambda path: path.stat().st_mtime)
        folder = others[-1] if others and not revision and not folder.is_dir() else folder
    files = tuple(
        HubFile(path.relative_to(folder).as_posix(), path.stat().st_size, "")
        for path in sorted(folder.rglob("*"))
        if path.is_file()  # a link whose blob is gone is no file
    )
    return HubListing(folder.name, files) if files else None


def weights_here(repository: str, files: Sequence[str] = ()) -> bool:
    """Return whether weights of a hub repository lie in the Hugging Face cache, whole.

    ``files`` are the patterns of a model among those of the repository: every graph that they name must be
    there, or opening the model would fetch the rest.
    """
    from huggingface_hub import constants  # noqa: PLC0415 - no command that needs no hub waits for it

    folder = Path(constants.HF_HUB_CACHE) / _folder_of(repository) / "snapshots"
    graphs = [pattern for pattern in files if pattern.rstrip("*").endswith(".onnx")]
    try:
        for snapshot in folder.iterdir():
            # A link whose blob is gone is no file.
            held = [path for path in snapshot.rglob("*") if path.suffix in _WEIGHTS and path.is_file()]
            names = [path.relative_to(snapshot).as_posix() for path in held]
            whole = all(fnmatch.filter(names, pattern) for pattern in graphs)
            if names and whole and any((snapshot / name).is_file() for name in _CONFIGS):
                return True
            gguf = [path.name for path in snapshot.rglob("*.gguf") if path.is_file()]
            sees = len({"mmproj" in name.lower() for name in gguf}) > 1  # a model, and what it sees with
            if sees and all(fnmatch.filter(gguf, name) for name in files if name.endswith(".gguf")):
                return True
        return False
    except OSError:
        return False


def download_one_of(repository: str, names: Iterable[str], *, local_files_only: bool = False) -> Path | None:
    """The folder with the first of these files that the repository has; None where it has none of them."""
    for name in names:
        folder = download(repository, [name], local_files_only=local_files_only)
        if (folder / name).is_file():
            return folder
    return None


def _fetch_large(hub: Any, name: str, given: dict[str, Any], on_bytes: OnBytes | None) -> bool:
    """Fetch the blobs of the large files that are still wanted; False where the hub does not answer."""
    try:
        planned = _patiently(hub, lambda: hub.snapshot_download(name, dry_run=True, **given))
    except hub.errors.DryRunError:
        _log.info("the hub cannot be reached: %s has to be here", name)
        return False
    _check_room(hub, sum(file.file_size or 0 for file in planned if file.will_download), name)
    for file in planned:
        if file.will_download and (file.file_size or 0) >= _LARGE:
            _fetch(hub, name, file.commit_hash, file.filename, on_bytes)
    return True


def _fetch(hub: Any, name: str, commit: str, filename: str, on_bytes: OnBytes | None) -> None:
    """Download one file as a blob, from where an earlier run stopped. Whole and checked, or not there."""
    url = hub.hf_hub_url(name, filename, revision=commit)
    known = _patiently(hub, lambda: hub.get_hf_file_metadata(url))
    if not known.etag or not known.size:
        return  # a server that does not say what it sends: the library decides
    if not _ETAG.fullmatch(known.etag):  # it names a file
        raise ValueError(f"{filename} has the odd ETag {known.etag[:60]!r}")
    top = Path(hub.constants.HF_HUB_CACHE) / _folder_of(name)
    blob, part = (top / "blobs" / f"{known.etag}{end}" for end in ("", ".part"))
    lock = Path(hub.constants.HF_HUB_CACHE) / ".locks" / top.name / f"{known.etag}.lock"
    for folder in (blob.parent, lock.parent):
        folder.mkdir(parents=True, exist_ok=True)
    with hub.utils.WeakFileLock(lock):  # as the library's own downloads of this blob do
        if blob.exists():
            return
        _continue(hub, url, part, size=known.size, filename=filename, on_bytes=on_bytes)
        if _SHA256.fullmatch(known.etag) and _digest(part) != known.etag:
            part.unlink()
            raise OSError(errno.EIO, f"{filename} arrived damaged")
        part.replace(blob)


def _continue(hub: Any, url: str, part: Path, *, size: int, filename: str, on_bytes: OnBytes | None) -> None:
    """Appends to ``part`` what it lacks; goes on after a cut as long as attempts bring something."""
    fruitless = 0
    while not part.exists() or part.stat().st_size < size:
        had = part.stat().st_size if part.exists() else 0
        try:
            _patiently(hub, lambda: _append(hub, url, part, size=size, title=filename, on_bytes=on_bytes))
        except hub.errors.HfHubHTTPError:
            raise
        except hub.errors.HTTPError:
            fruitless = 0 if part.exists() and part.stat().st_size > had else fruitless + 1
            if fruitless == _ATTEMPTS:
                raise
            _log.info("the download of %s broke off at %d of %d bytes: going on", filename, had, size)
            time.sleep(_PAUSE_S * fruitless)
    if part.stat().st_size > size:
        part.unlink()
        raise OSError(errno.EIO, f"{filename} is longer than the hub said")


def _append(hub: Any, url: str, part: Path, *, size: int, title: str, on_bytes: OnBytes | None) -> None:
    """Request what ``part`` lacks; what came before the connection broke is kept."""
    # Asked anew each time: addresses of storage servers are signed for an hour or so.
    where, headers = _address(hub, url)
    with part.open("ab") as file:
        had = file.tell()
        ask = {**headers, "range": f"bytes={had}-"} if had else headers
        timeout = hub.constants.HF_HUB_DOWNLOAD_TIMEOUT
        with hub.utils.get_session().stream("GET", where, headers=ask, timeout=timeout) as response:
            hub.utils.hf_raise_for_status(response)
            if had and response.status_code != 206:  # a server without ranges sends all of it
                file.truncate(0)
                had = 0
            with _bar(hub, size, had, title) as bar:
                for block in response.iter_bytes():
                    file.write(block)
                    bar.update(len(block))
                    if on_bytes is not None:
                        on_bytes(len(block))


def _address(hub: Any, url: str) -> tuple[str, dict[str, str]]:
    """Return the address of the bytes and the headers to ask with; a token is for the hub alone, not for
    its storage.
    """
    location = hub.get_hf_file_metadata(url).location
    headers = {key.lower(): value for key, value in hub.utils.build_hf_headers().items()}
    headers["accept-encoding"] = "identity"  # a range of compressed bytes is no range of the file
    if urlsplit(location).netloc != urlsplit(url).netloc:
        headers.pop("authorization", None)
    return location, headers


def _patiently(hub: Any, action: Callable[[], T], *, once: bool = False) -> T:
    """Return what ``action`` returns; where hub or storage are busy, after a few pauses of bounded length."""
    for attempt in range(1, _TRIES + 1):
        try:
            with _prompt_errors(hub):
                return action()
        except _failures(hub) as error:
            wait = _pause_s(error, attempt)
            if once or wait is None or attempt == _TRIES:
                raise
            _log.info("the hub answers %s: trying again in %.1f s", _status(error), wait)
        time.sleep(wait)
    raise AssertionError("unreachable")


@contextlib.contextmanager
def _prompt_errors(hub: Any) -> Iterator[None]:
    """Have the library raise what a busy hub answers: it would itself wait as long as it is told to."""

    def refuse(response: Any) -> None:
        if response.status_code in _BUSY:
            response.read()
            hub.utils.hf_raise_for_status(response)

    hooks = hub.utils.get_session().event_hooks
    before = hooks.get("response", [])
    hub.utils.get_session().event_hooks = {**hooks, "response": [*before, refuse]}
    try:
        yield
    finally:
        hub.utils.get_session().event_hooks = {**hooks, "response": before}


def _pause_s(error: BaseException, attempt: int) -> float | None:
    """Seconds after which it is worth trying again; None where that is no use, or too long."""
    if _status(error) not in _BUSY:
        return None
    asked = _retry_after(error)
    wait = _PAUSE_S * 2**attempt if asked is None else asked
    return wait if wait <= _LONGEST_WAIT_S else None


def _response(error: BaseException) -> Any:
    """The hub's answer behind an error, which the library wraps in others."""
    seen: BaseException | None = error
    while seen is not None:
        if (response := getattr(seen, "response", None)) is not None:
            return response
        seen = seen.__cause__
    return None


def _status(error: BaseException) -> int | None:
    status = getattr(_response(error), "status_code", None)
    return status if isinstance(status, int) else None


def _retry_after(error: BaseException) -> float | None:
    """The pause that the hub asks for, in seconds: ``Retry-After``, or ``t=`` of its ``RateLimit`` header."""
    headers = getattr(_response(error), "headers", None) or {}
    reset = re.search(r";\s*t=(\d+)", headers.get("ratelimit") or "")
    given = headers.get("retry-after") or (reset[1] if reset else "")
    return float(given) if given.isascii() and given.isdigit() else None


def _check_room(hub: Any, needed: int, name: str) -> None:
    """Raise ``ModelUnavailableError`` where the disk of the cache lacks the room for so many bytes."""
    folder = Path(hub.constants.HF_HUB_CACHE).absolute()
    top = next(each for each in (folder, *folder.parents) if each.exists())
    parts = sum(part.stat().st_size for part in (folder / _folder_of(name) / "blobs").glob("*.part"))
    free = shutil.disk_usage(top).free
    if needed - parts > free - _SPARE:
        raise ModelUnavailableError(
            f"{name!r} needs {(needed - parts) / 1e6:,.0f} MB and the disk of {str(folder)!r} has "
            f"{free / 1e6:,.0f} MB free: free some, or set HF_HOME to a folder on a larger disk"
        )


def _folder_of(name: str) -> str:
    return f"models--{name.replace('/', '--')}"


def _bar(hub: Any, size: int, had: int, title: str) -> Any:
    """A progress bar on standard error, where that is a terminal and nobody switched the bars off."""
    disabled = True if hub.constants.HF_HUB_DISABLE_PROGRESS_BARS is True else None
    return import_module("tqdm").tqdm(
        total=size, initial=had, desc=title, unit="B", unit_scale=True, disable=disabled
    )


@contextlib.contextmanager
def _quietly(hub: Any) -> Iterator[None]:
    """The library's bars and warnings off: it counts what is not fetched, and warns of what is no fault."""
    logger = logging.getLogger("huggingface_hub")
    shown = not hub.utils.are_progress_bars_disabled()
    by_person = hub.constants.HF_HUB_DISABLE_PROGRESS_BARS is not None
    level = logger.level
    if shown and not by_person:
        hub.utils.disable_progress_bars()
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
        if shown and not by_person:
            hub.utils.enable_progress_bars()


def _advice(hub: Any, repository: str, error: BaseException, *, offline: bool) -> str:
    """Return one line: why the repository cannot be fetched, and what a person can do."""
    errors = hub.errors
    name, _, revision = repository.partition("@")
    endpoint = hub.constants.ENDPOINT
    otherwise = "or name a directory that holds it"
    if isinstance(error, errors.HFValidationError):
        return f"{repository!r} is no name of a hub repository (OWNER/NAME[@REVISION])"
    if offline:
        why = "HF_HUB_OFFLINE is set" if hub.constants.HF_HUB_OFFLINE else "the hub was not asked"
        return f"{repository!r} was not downloaded before, or not all of it ({why}); connect, {otherwise}"
    status = _status(error)
    if isinstance(error, errors.GatedRepoError):
        if status == 403:  # with a token, of somebody who is not let in
            return (
                f"your account may not read {name!r} yet: accept its owner's terms at {endpoint}/{name} "
                "(some owners then take days to agree), and see whose token it is with `hf auth whoami`"
            )
        return f"the owner of {name!r} wants terms accepted first: at {endpoint}/{name}, then `hf auth login`"
    if status == 429:
        pause = _retry_after(error)
        when = "in some minutes" if pause is None else f"in {pause:.0f} seconds"
        return (
            f"the model hub {endpoint} has had too many requests from here: run it again {when} (it goes on "
            "where it stopped), or log in with `hf auth login`, which allows more"
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return (
            f"the hub ({endpoint}) has no repository {name!r}, or it is private: check the name, log in with "
            f"`hf auth login`, {otherwise}"
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{name!r} has no revision {revision!r}; see {endpoint}/{name}/commits/main, or leave it out"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk is full: {repository!r} does not fit into {hub.constants.HF_HUB_CACHE!r}; free some"
    if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EROFS):
        return f"cannot write to {hub.constants.HF_HUB_CACHE!r}: set HF_HOME to a folder of your own"
    what = f"HTTP {status}" if status else type(error).__name__
    return (
        f"cannot get {repository!r} from the model hub {endpoint} ({what}) and it was not downloaded before; "
        f"connect and run it again (it goes on where it stopped), set HF_ENDPOINT to a mirror, {otherwise}"
    )


def _library() -> Any:
    """huggingface_hub with the modules of it that are used: it imports none by itself."""
    hub = import_module("huggingface_hub")
    for part in ("constants", "errors", "file_download", "utils"):
        import_module(f"huggingface_hub.{part}")
    return hub


def _failures(hub: Any) -> tuple[type[Exception], ...]:
    own = [getattr(hub.errors, name, None) for name in ("HTTPError", "XetDownloadError")]
    return (OSError, ValueError, *(kind for kind in own if kind is not None))


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
