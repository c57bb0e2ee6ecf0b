"""Buckets of S3, Google and Azure and whatever speaks like them: the one place that knows ``obstore``.

Who may read them is the provider's business: its usual environment variables (``AWS_ACCESS_KEY_ID``,
``AWS_ENDPOINT_URL``, ``GOOGLE_APPLICATION_CREDENTIALS``, ``AZURE_STORAGE_ACCOUNT_NAME`` ...) and the role of
the machine. Nothing of ours keeps a key.
"""

from collections.abc import Iterator
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from askpix.core.errors import AskpixError, LimitError, ModelUnavailableError

if TYPE_CHECKING:
    from obstore.store import ObjectStore

SCHEMES = ("s3", "gs", "az")
_PAGE = 1_000
_PIECE = 1 << 20


class Found(NamedTuple):
    """An object: ``uri`` names it for good, ``etag`` and ``modified_ns`` change when its bytes do."""

    uri: str
    size: int
    etag: str | None
    modified_ns: int


class BucketError(AskpixError):
    """A bucket or an object in it cannot be read. ``missing``: it is certainly not there."""

    def __init__(self, message: str, *, missing: bool = False) -> None:
        super().__init__(message)
        self.missing = missing


def list_objects(uri: str) -> Iterator[Found]:
    """Yield everything below ``s3://BUCKET/PREFIX``, page by page, in order of the key. Raises
    ``BucketError``.
    """
    import obstore  # noqa: PLC0415 - an extra

    bucket, prefix = _split(uri)
    store = _open(bucket)
    try:
        for page in obstore.list(store, prefix or None, chunk_size=_PAGE):
            for meta in page:
                modified = meta["last_modified"].timestamp()
                name = f"{bucket}/{meta['path']}"
                yield Found(name, meta["size"], meta["e_tag"], round(modified * 1e9))
    except obstore.exceptions.BaseError as error:
        raise _told(uri, error) from error


def head_object(uri: str) -> Found:
    """Return the present state of one object. Raises ``BucketError``."""
    import obstore  # noqa: PLC0415

    bucket, key = _split(uri)
    try:
        meta = obstore.head(_open(bucket), key)
    except obstore.exceptions.BaseError as error:
        raise _told(uri, error) from error
    return Found(uri, meta["size"], meta["e_tag"], round(meta["last_modified"].timestamp() * 1e9))


def read_object(uri: str, limit: int) -> bytes:
    """The bytes of an object. Raises ``BucketError``, and ``LimitError`` for more than ``limit``."""
    import obstore  # noqa: PLC0415

    bucket, key = _split(uri)
    data = bytearray()
    try:
        result = obstore.get(_open(bucket), key)
        large = result.meta["size"] > limit
        for piece in () if large else result.stream(min_chunk_size=_PIECE):
            data += piece
            if large := len(data) > limit:
                break
    except obstore.exceptions.BaseError as error:
        raise _told(uri, error) from error
    if large:
        raise LimitError(f"{uri!r} is over the limit of {limit} bytes")
    return bytes(data)


def read_head(uri: str, size: int, limit: int) -> bytes:
    """The first ``limit`` bytes of an object of ``size`` bytes. Raises ``BucketError``."""
    import obstore  # noqa: PLC0415

    bucket, key = _split(uri)
    try:
        return bytes(obstore.get_range(_open(bucket), key, start=0, end=min(size, limit)))
    except obstore.exceptions.BaseError as error:
        raise _told(uri, error) from error


def _split(uri: str) -> tuple[str, str]:
    scheme, _, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    if scheme not in SCHEMES or not bucket:
        raise BucketError(f"{uri!r} names no bucket; write s3://BUCKET/FOLDER")
    return f"{scheme}://{bucket}", key


@lru_cache(maxsize=32)
def _open(bucket: str) -> "ObjectStore":
    try:
        from obstore.exceptions import BaseError  # noqa: PLC0415
        from obstore.store import from_url  # noqa: PLC0415
    except ImportError as error:
        raise ModelUnavailableError(f"reading {bucket!r} needs: pip install 'askpix[cloud]'") from error
    try:
        return from_url(
            bucket,
            client_options={
                "connect_timeout": timedelta(seconds=5),
                "read_timeout": timedelta(seconds=20),
                "timeout": timedelta(seconds=120),
                # Addresses are https unless the owner's own setting of the endpoint says otherwise.
                "allow_http": True,
            },
            retry_config={"max_retries": 3, "retry_timeout": timedelta(seconds=30)},
        )
    except (BaseError, ValueError) as error:
        raise _told(bucket, error) from error


def _told(uri: str, error: Exception) -> BucketError:
    name = type(error).__name__
    text = str(error)
    missing = name == "NotFoundError" or "404 Not Found" in text
    said = " ".join(text.split("\n", 1)[0].split())[:240].rstrip(" -")
    if missing:
        said = "no such bucket or object"
    elif name in ("UnauthenticatedError", "PermissionDeniedError") or "403 Forbidden" in text:
        said = "not allowed; set the provider's usual environment variables (AWS_ACCESS_KEY_ID ...)"
    return BucketError(f"cannot read {uri!r}: {said}", missing=missing)
