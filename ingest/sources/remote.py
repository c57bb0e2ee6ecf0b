"""Sources of any kind: files, entries of archives, objects in buckets (``s3://``, ``gs://``, ``az://``) and
images on the web, one or many.

They are held to the limits of files. What the server says of each (etag, size, date) stands for the file's
stat, so what is unchanged there is not fetched. URLs on the web are fetched by the rules of
``ingest.sources.http_fetch``.
"""

import hashlib
import logging
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from itertools import chain, islice
from pathlib import Path
from urllib.parse import unquote, urlsplit

from askpix.core.errors import AskpixError, BadImageError, LimitError
from askpix.core.imaging.decode import DEFAULT_LIMITS, ImageLimits
from askpix.ingest.formats.content import Content, sha256_of
from askpix.ingest.formats.pages import by_extension, read_content
from askpix.ingest.sources import buckets, zip_files
from askpix.ingest.sources.fetch_budget import FetchError, FetchLimits, Resolve
from askpix.ingest.sources.http_fetch import fetch, fetch_headers, is_public, resolve
from askpix.ingest.sources.ignore import Ignores
from askpix.ingest.sources.together import Together
from askpix.ingest.sources.walk import Skipped, Source, check_paths, is_ignored, walk, without_missing

_log = logging.getLogger(__name__)
_REMOTE = re.compile(r"(s3|gs|az|https?):/{1,2}(?=[^/])", re.IGNORECASE)
_MAX_LIST = 64 * 2**20
_HEAD = 512 * 1024
_SAID = re.compile(r"^cannot read '[^']*': ")
_AT_ONCE = 16
"""URLs of a list asked for at a time."""


def remote_uri(path: Path | str) -> str | None:
    """The URI that a path of the command line means (``Path`` takes one of its slashes); None for a file."""
    text = str(path)
    match = _REMOTE.match(text)
    if not match or (isinstance(path, Path) and path.exists()):
        return None
    return f"{match[1].lower()}://{text[match.end() :]}"


@dataclass(frozen=True, slots=True)
class Remote:
    """Reads them. ``resolve``, ``allowed`` and ``ports`` are for tests, as in
    ``ingest.sources.http_fetch.fetch``."""

    resolve: Resolve = resolve
    allowed: Callable[[str], bool] = is_public
    ports: tuple[int, ...] = FetchLimits().ports

    def find_all(
        self, paths: Sequence[Path], ignore: Sequence[str] = (), *, limits: ImageLimits = DEFAULT_LIMITS
    ) -> Iterator[Source | Skipped]:
        """Every source that the paths of the command line stand for: files, folders, archives and URIs.

        Raises ``NotFoundError`` before the first result.
        """
        check_paths(paths)
        far = [uri for path in paths if (uri := remote_uri(path))]
        packed = [path for path in paths if not remote_uri(path) and zip_files.is_zip(path)]
        near = [path for path in paths if not remote_uri(path) and path not in packed]
        folders = [os.path.abspath(path) for path in near if path.is_dir()]  # noqa: PTH100
        together = Together(list(dict.fromkeys(folders)), packed)
        elsewhere = chain(
            *(zip_files.find_inside(path, ignore, together.beside_archive) for path in packed),
            *(self.find(uri, ignore) for uri in far),
        )
        found = walk(near, ignore=ignore, limits=limits, elsewhere=together.beside_folder)
        return chain(found, without_missing(elsewhere, limits))

    def find(self, uri: str, ignore: Sequence[str] = ()) -> Iterator[Source | Skipped]:
        """Every image and document that a URI stands for: below a prefix, on a list, or itself.

        What cannot be listed is one ``Skipped`` that begins with "cannot read", so that nothing is pruned.
        """
        try:
            if uri.startswith(("http://", "https://")):
                yield from self._on_the_web(uri)
            else:
                yield from _in_bucket(uri, Ignores.of(ignore, uri) if ignore else Ignores())
        except (buckets.BucketError, FetchError, LimitError) as error:
            yield Skipped(uri, f"cannot read: {_SAID.sub('', str(error))}")

    def _on_the_web(self, uri: str) -> Iterator[Source | Skipped]:
        if _extension(uri) in by_extension():
            yield self._asked(uri)
            return
        limits = FetchLimits(max_bytes=_MAX_LIST, ports=self.ports)
        body = b"".join(fetch(uri, limits=limits, resolve=self.resolve, allowed=self.allowed))
        listed = [line.strip() for line in body.decode("utf-8-sig", "replace").splitlines()]
        urls = iter(dict.fromkeys(line for line in listed if line and not line.startswith("#")))
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="asking") as pool:
            while some := list(islice(urls, 8 * _AT_ONCE)):
                yield from pool.map(self._asked, some)

    def _asked(self, url: str) -> Source | Skipped:
        if remote_uri(url) != url or not url.lower().startswith(("http://", "https://")):
            # A list may be anybody's: it does not get to read buckets and files.
            return Skipped(url[:200], "not an http or https address")
        try:
            limits = FetchLimits(ports=self.ports)
            headers = fetch_headers(url, limits=limits, resolve=self.resolve, allowed=self.allowed)
        except FetchError as error:
            return Skipped(url, f"cannot read: {error}")
        size = headers.get("content-length", "")
        modified = _moment_ns(headers.get("last-modified"))
        # Where a server says nothing it can be told by, the bytes are looked at each time.
        stamp = _stamp(headers.get("etag"), modified) or time.time_ns()
        return Source(url, min(int(size), 1 << 62) if size.isdecimal() and len(size) < 20 else 0, stamp)

    def read(self, uri: str, limits: ImageLimits) -> Content:
        """Read the content of a source of any kind. Raises ``BadImageError``."""
        if zip_files.is_inside(uri):
            return zip_files.read_inside(uri, limits)
        if _REMOTE.match(uri) is None:
            return read_content(Path(uri), limits=limits)
        try:
            if uri.startswith(("http://", "https://")):
                limit = FetchLimits(max_bytes=limits.max_bytes, ports=self.ports)
                data = b"".join(fetch(uri, limits=limit, resolve=self.resolve, allowed=self.allowed))
            else:
                data = buckets.read_object(uri, limits.max_bytes)
        except LimitError as error:
            raise BadImageError(str(error)) from error
        except AskpixError as error:
            missing = isinstance(error, buckets.BucketError) and error.missing
            cause = FileNotFoundError(str(error)) if missing else OSError(str(error))
            raise BadImageError(str(error)) from cause
        return data

    def head(self, uri: str, size: int) -> bytes:
        """Read the first bytes of an object in a bucket: its metadata. Raises ``BadImageError``."""
        try:
            return buckets.read_head(uri, size, _HEAD)
        except AskpixError as error:
            raise BadImageError(str(error)) from error


def _in_bucket(uri: str, ignores: Ignores) -> Iterator[Source | Skipped]:
    prefix = uri.rstrip("/")
    if _extension(prefix) in by_extension():
        found = buckets.head_object(prefix)
        yield Source(found.uri, found.size, _stamp(found.etag, found.modified_ns))
        return
    for found in buckets.list_objects(prefix + "/" if prefix.count("/") > 2 else prefix):
        inner = found.uri[len(prefix) + 1 :]
        if _extension(found.uri) not in by_extension() or any(map(is_ignored, inner.split("/"))):
            continue
        parts = inner.split("/")
        folders = ("/".join(parts[:n]) for n in range(1, len(parts)))
        if any(ignores.leaves_out(f"{prefix}/{folder}", is_folder=True) for folder in folders):
            continue
        if ignores.leaves_out(found.uri, is_folder=False):
            continue
        yield Source(found.uri, found.size, _stamp(found.etag, found.modified_ns))


def read_source(uri: str, limits: ImageLimits) -> Content:
    """``Remote.read`` with the rules for outside."""
    return Remote().read(uri, limits)


def indexed_bytes(uris: Iterable[str], sha256: str, limits: ImageLimits) -> Content | None:
    """The very bytes that were indexed, from whichever of these sources still has them."""
    for uri in uris:
        try:
            data = read_source(uri, limits)
            if sha256_of(data) == sha256:
                return data
        except BadImageError as error:
            _log.info("%r cannot be read: %s", uri, error)
            continue
    return None


def root_of(path: Path | str) -> str:
    """Return the prefix of the addresses of all sources below a path of the command line."""
    if remote := remote_uri(path):
        return remote
    # As the walk does: links are kept.
    return zip_files.zip_uri(Path(path)) if zip_files.is_zip(Path(path)) else os.path.abspath(path)  # noqa: PTH100


def is_elsewhere(uri: str) -> bool:
    """Return whether a source is not a file of its own."""
    return zip_files.is_inside(uri) or remote_uri(uri) is not None


def name_of(uri: str) -> str:
    """The name of the file that a URI ends with."""
    if _REMOTE.match(uri) and uri.startswith("http"):
        uri = unquote(urlsplit(uri).path)
    return uri.rstrip("/").rpartition("/")[2]


def _extension(uri: str) -> str:
    name = name_of(uri)
    return name.rpartition(".")[2].casefold() if "." in name else ""


def _stamp(etag: str | None, modified_ns: int) -> int:
    """Combine ETag and time of change into one number that stands for a file's mtime; 0: neither is known."""
    if not etag:
        return modified_ns
    digest = hashlib.blake2b(f"{etag}\n{modified_ns}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 2


def _moment_ns(text: str | None) -> int:
    try:
        moment = round(parsedate_to_datetime(text or "").timestamp() * 1e9)
    except (TypeError, ValueError, OverflowError):
        return 0
    # The catalog's integers have 64 bits; of the year 9999 there are more nanoseconds.
    return moment if abs(moment) < 1 << 62 else 0
