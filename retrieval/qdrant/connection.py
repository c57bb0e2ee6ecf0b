"""A Qdrant server or cluster: how it is reached, what is asked again, and its errors in one line."""

import json
import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Literal, TypeAlias, TypeVar
from urllib.parse import urlsplit

import httpx
from qdrant_client import QdrantClient, models
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from askpix.core.errors import IndexMismatchError, StoreUnavailableError
from askpix.retrieval.qdrant.server_models import server_indexes

Quantization: TypeAlias = Literal["turbo", "scalar", "binary", "product", "none"]
Answer = TypeVar("Answer")

_PASSING = {408, 429, 500, 502, 503, 504}
"""Answers that another try may change."""
_TRIES = 4
_FIRST_WAIT_S = 0.2
_COLD, _PINNED = models.Memory.COLD, models.Memory.PINNED
OLDEST = (1, 20)
"""The first server with all that is used: substrings in filters (1.20), IDF of one tenant (1.19)."""
_MODELS = ("model", "dim", "text_model", "text_dim")


@dataclass(frozen=True, slots=True)
class ClusterShape:
    """How a physical collection is laid out when it is made; a later change is the operator's.

    ``shards``: pieces spread over the nodes; ``replicas``: copies of each; ``write_replicas``: copies that
    must have a write before it counts; ``quantization``: the codes that searches scan, in memory; the vectors
    themselves stay on the disk.
    """

    shards: int = 1
    replicas: int = 1
    write_replicas: int = 1
    quantization: Quantization = "turbo"


class QdrantServer:
    """A client that tries again what may pass, within ``timeout_s`` a try, and speaks in one line."""

    def __init__(self, client: QdrantClient, url: str) -> None:
        self._client, self._where = client, f"Qdrant at {_shown(url)!r}"

    @classmethod
    def connect(cls, url: str, *, api_key: str | None = None, timeout_s: float = 30.0) -> "QdrantServer":
        """A client for ``url``; nothing is sent yet. A wrong address is a ``StoreUnavailableError``."""
        parts = urlsplit(url)
        try:
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
                raise ValueError
        except ValueError as error:
            raise StoreUnavailableError(
                f"{_shown(url)!r} is no address of a Qdrant server; it looks like http://HOST:6333"
            ) from error
        # The client warns of a key over plain http, which is fine on this machine itself.
        at_home = parts.scheme == "http" and _is_loopback(parts.hostname)
        headers = {"api-key": api_key} if api_key and at_home else None
        client = QdrantClient(
            url=url,
            port=None if parts.port else (443 if parts.scheme == "https" else 6333),
            api_key=None if at_home else api_key,
            headers=headers,
            timeout=max(1, round(timeout_s)),
            check_compatibility=False,  # by ``version`` instead: a message of ours, not a warning
        )
        return cls(client, url)

    def ask(self, question: Callable[[QdrantClient], Answer]) -> Answer:
        """What ``question`` gives, asked up to four times while the failure may pass.

        Raises ``StoreUnavailableError``. Every write that goes through here may be repeated without harm.
        """
        wait = _FIRST_WAIT_S
        for left in range(_TRIES - 1, -1, -1):
            try:
                return question(self._client)
            except ResourceExhaustedResponse as error:
                if not left:
                    raise StoreUnavailableError(f"{self._where} is overloaded; try again later") from error
                wait = max(wait, min(10.0, float(error.retry_after_s)))
            except UnexpectedResponse as error:
                if not left or error.status_code not in _PASSING:
                    raise self._refused(error) from error
            except ResponseHandlingException as error:
                if not left or not _may_pass(error.source):
                    raise self._unreached(error.source) from error
            except (json.JSONDecodeError, UnicodeDecodeError) as error:
                raise self._unreached(error) from error
            time.sleep(wait * random.uniform(0.7, 1.3))  # noqa: S311 - not for secrets
            wait *= 3
        raise AssertionError

    def _refused(self, error: UnexpectedResponse) -> StoreUnavailableError:
        if error.status_code in (401, 403):
            return StoreUnavailableError(
                f"{self._where} refused the key ({error.status_code}); set ASKPIX_QDRANT_API_KEY to one that"
                " may read and write"
            )
        try:
            said = str(error.structured()["status"]["error"])
        except (ValueError, KeyError, TypeError):
            said = error.content[:200].decode("utf-8", "replace")
        said = " ".join(said.split())[:300]
        return StoreUnavailableError(f"{self._where} refused ({error.status_code}): {said}")

    def _unreached(self, source: Exception) -> StoreUnavailableError:
        if isinstance(source, httpx.TimeoutException):
            return StoreUnavailableError(
                f"{self._where} did not answer in time; is it overloaded?"
                " ASKPIX_QDRANT_TIMEOUT_S sets the limit"
            )
        if isinstance(source, httpx.TransportError):
            reason = " ".join(str(source).split())[:200] or type(source).__name__
            return StoreUnavailableError(f"cannot reach {self._where}: {reason}; is it running?")
        return StoreUnavailableError(f"{self._where} gave an answer that is not Qdrant's; check the address")

    def check_version(self) -> None:
        """``StoreUnavailableError`` when it does not answer, refuses the key, or is too old."""
        version = self.ask(lambda client: client.info()).version
        numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
        if numbers < OLDEST:
            raise StoreUnavailableError(
                f"{self._where} is version {version}; {OLDEST[0]}.{OLDEST[1]} or newer is needed: update it"
            )
        # Its version is told to anyone; a wrong key shows here.
        self.ask(lambda client: client.get_collections())

    def make_collection(self, name: str, models_made_with: dict[str, Any], shape: ClusterShape) -> None:
        """The physical collection ``name``, made with its indexes when missing. Safe when two processes do it
        at once, or one was killed half-way. Made with other models: ``IndexMismatchError``."""
        if not self.ask(lambda client: client.collection_exists(name)):
            try:
                self.ask(lambda client: client.create_collection(name, **_config(models_made_with, shape)))
            except StoreUnavailableError:
                if not self.ask(lambda client: client.collection_exists(name)):
                    raise
        info = self.ask(lambda client: client.get_collection(name))
        made = info.config.metadata or {}
        if any(made.get(key) != models_made_with[key] for key in _MODELS):
            raise IndexMismatchError(
                f"{name!r} in {self._where} was made with other models ({made.get('model')!r},"
                f" {made.get('text_model')!r}), not by this Askpix; use another server or remove it there"
            )
        for field, index in server_indexes().items():
            if field not in info.payload_schema:
                self._make_index(name, field, index)

    def _make_index(self, name: str, field: str, index: Any) -> None:
        self.ask(lambda client: client.create_payload_index(name, field, index, wait=True))

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()


def _config(made_with: dict[str, Any], shape: ClusterShape) -> dict[str, Any]:
    """Codes in memory, vectors and payload on the disk; a graph for each tenant instead of one over all."""
    cosine = models.Distance.COSINE
    best_row = models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM)
    return {
        "vectors_config": {
            "image": models.VectorParams(size=made_with["dim"], distance=cosine, memory=_COLD),
            "text": models.VectorParams(
                size=made_with["text_dim"], distance=cosine, memory=_COLD, multivector_config=best_row
            ),
        },
        "sparse_vectors_config": {
            "words": models.SparseVectorParams(
                modifier=models.Modifier.IDF, index=models.SparseIndexParams(memory=_COLD)
            )
        },
        "hnsw_config": models.HnswConfigDiff(m=0, payload_m=16, ef_construct=128),
        "quantization_config": _codes(shape.quantization),
        "payload": models.PayloadStorageParams(memory=_COLD),
        "shard_number": shape.shards,
        "replication_factor": shape.replicas,
        "write_consistency_factor": shape.write_replicas,
        "metadata": {key: made_with[key] for key in _MODELS} | {"made_by": "askpix"},
    }


def _codes(kind: Quantization) -> Any:
    """Bytes a number: turbo 0.5, scalar 1, binary 0.125, product 0.0625 (compression of 64)."""
    if kind == "turbo":
        bits = models.TurboQuantBitSize.BITS4
        return models.TurboQuantization(turbo=models.TurboQuantQuantizationConfig(bits=bits, memory=_PINNED))
    if kind == "scalar":
        return models.ScalarQuantization(
            scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8, quantile=0.99, memory=_PINNED)
        )
    if kind == "binary":
        return models.BinaryQuantization(binary=models.BinaryQuantizationConfig(memory=_PINNED))
    if kind == "product":
        return models.ProductQuantization(
            product=models.ProductQuantizationConfig(compression=models.CompressionRatio.X64, memory=_PINNED)
        )
    return None


def _may_pass(source: Exception) -> bool:
    # A refused connection is a server that restarts as often as one that is not there; a name that cannot be
    # resolved, or nonsense for an answer, stays so.
    return isinstance(source, httpx.TransportError) and not isinstance(source, httpx.UnsupportedProtocol)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _shown(url: str) -> str:
    """Without a password that someone may have written into it."""
    head, at, tail = url.rpartition("@")
    return head.partition("://")[0] + "://" + tail if at else url
