"""Files of a hub repository into the cache that huggingface_hub keeps, resumed where they stopped.

huggingface_hub resumes a broken connection within one run, but throws half a file away when the run ends
(version 2 names its partial files anew each time), and up to 10 MB at every break. Large files are therefore
fetched here, with its client, into a partial file of a fixed name beside the blob, checked, and put where it
looks for blobs; the rest is its own work. The cache's layout is documented and stable:
https://huggingface.co/docs/huggingface_hub/guides/manage-cache
"""

import contextlib
import errno
import hashlib
import logging
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from askpix.core.errors import ModelUnavailableError

_log = logging.getLogger(__name__)
_LARGE = 8 * 2**20
"""Bytes from which a file is worth resuming across runs."""
_ATTEMPTS = 4
_PAUSE_S = 0.5
_BLOCK = 2**20
_WEIGHTS = (".safetensors", ".bin", ".pt", ".onnx")
_CONFIGS = ("config.json", "open_clip_config.json")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def download(repository: str, patterns: Sequence[str], *, local_files_only: bool = False) -> Path:
    """The folder with the files of ``OWNER/NAME[@REVISION]`` that match; its name is the commit.

    Shows a progress bar on standard error when that is a terminal. ``HF_HUB_OFFLINE=1`` and
    ``local_files_only`` take what was downloaded before. Raises ``ModelUnavailableError``, one line that says
    what to do.
    """
    hub = _library()
    name, _, revision = repository.partition("@")
    offline = local_files_only or bool(hub.constants.HF_HUB_OFFLINE)
    given: dict[str, Any] = {"revision": revision or None, "allow_patterns": list(patterns)}
    try:
        with _shown(hub):
            if not offline:
                _fetch_large(hub, name, given)
            return Path(hub.snapshot_download(name, local_files_only=offline, **given))
    except _failures(hub) as error:
        raise ModelUnavailableError(_advice(hub, repository, error, offline=offline)) from error


def weights_here(repository: str) -> bool:
    """Return whether weights of a hub repository lie in the Hugging Face cache, whole."""
    from huggingface_hub import constants  # noqa: PLC0415 - no command that needs no hub waits for it

    folder = Path(constants.HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}" / "snapshots"
    try:
        for snapshot in folder.iterdir():
            files = [path for path in snapshot.rglob("*") if path.suffix in _WEIGHTS]
            # A link whose blob is gone is no file.
            if any(map(Path.is_file, files)) and any((snapshot / name).is_file() for name in _CONFIGS):
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


def _fetch_large(hub: Any, name: str, given: dict[str, Any]) -> None:
    """Blobs of the large files that are still wanted."""
    try:
        planned = hub.snapshot_download(name, dry_run=True, **given)
    except hub.errors.DryRunError:
        _log.info("the hub cannot be reached: %s has to be here", name)
        return  # not reachable: what is cached may do, and the call that follows says so
    for file in planned:
        if file.will_download and (file.file_size or 0) >= _LARGE:
            _fetch(hub, name, file.commit_hash, file.filename)


def _fetch(hub: Any, name: str, commit: str, filename: str) -> None:
    """One file as a blob, from where an earlier run stopped. Whole and checked, or not there."""
    url = hub.hf_hub_url(name, filename, revision=commit)
    known = hub.get_hf_file_metadata(url)
    if not known.etag or not known.size:
        return  # a server that does not say what it sends: the library decides
    top = Path(hub.constants.HF_HUB_CACHE) / f"models--{name.replace('/', '--')}"
    blob, part = (top / "blobs" / f"{known.etag}{end}" for end in ("", ".part"))
    lock = Path(hub.constants.HF_HUB_CACHE) / ".locks" / top.name / f"{known.etag}.lock"
    for folder in (blob.parent, lock.parent):
        folder.mkdir(parents=True, exist_ok=True)
    with hub.utils.WeakFileLock(lock):  # as the library's own downloads of this blob do
        if blob.exists():
            return
        _continue(hub, url, part, known.size, filename)
        if _SHA256.fullmatch(known.etag) and _digest(part) != known.etag:
            part.unlink()
            raise OSError(errno.EIO, f"{filename} arrived damaged")
        part.replace(blob)


def _continue(hub: Any, url: str, part: Path, size: int, filename: str) -> None:
    """Appends to ``part`` what it lacks; goes on after a cut as long as attempts bring something."""
    fruitless = 0
    while not part.exists() or part.stat().st_size < size:
        had = part.stat().st_size if part.exists() else 0
        try:
            _append(hub, url, part, size=size, title=filename)
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


def _append(hub: Any, url: str, part: Path, *, size: int, title: str) -> None:
    """One request for what ``part`` lacks; what came before it broke off is kept."""
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
            bar = hub.utils.tqdm(total=size, initial=had, desc=title, unit="B", unit_scale=True)
            with bar:
                for block in response.iter_bytes():
                    file.write(block)
                    bar.update(len(block))


def _address(hub: Any, url: str) -> tuple[str, dict[str, str]]:
    """Where the bytes are and what to ask with; a token is for the hub alone, not for its storage."""
    location = hub.get_hf_file_metadata(url).location
    headers = {key.lower(): value for key, value in hub.utils.build_hf_headers().items()}
    headers["accept-encoding"] = "identity"  # a range of compressed bytes is no range of the file
    if urlsplit(location).netloc != urlsplit(url).netloc:
        headers.pop("authorization", None)
    return location, headers


@contextlib.contextmanager
def _shown(hub: Any) -> Iterator[None]:
    """Progress bars on, which transformers switches off for everybody when it is told to be quiet."""
    hidden = hub.utils.are_progress_bars_disabled()
    by_person = hub.constants.HF_HUB_DISABLE_PROGRESS_BARS is True
    if hidden and not by_person:
        hub.utils.enable_progress_bars()
    try:
        yield
    finally:
        if hidden and not by_person:
            hub.utils.disable_progress_bars()


def _advice(hub: Any, repository: str, error: BaseException, *, offline: bool) -> str:
    """One line: what is wrong with getting the repository, and what a person can do."""
    errors = hub.errors
    name, _, revision = repository.partition("@")
    endpoint = hub.constants.ENDPOINT
    otherwise = "or name a directory that holds it"
    if isinstance(error, errors.HFValidationError):
        return f"{repository!r} is no name of a hub repository (OWNER/NAME[@REVISION])"
    if offline:
        why = "HF_HUB_OFFLINE is set" if hub.constants.HF_HUB_OFFLINE else "the hub was not asked"
        return f"{repository!r} was not downloaded before, or not all of it ({why}); connect, {otherwise}"
    if isinstance(error, errors.GatedRepoError):
        return f"the owner of {name!r} wants terms accepted first: at {endpoint}/{name}, then `hf auth login`"
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
    status = getattr(getattr(error, "response", None), "status_code", None)
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
