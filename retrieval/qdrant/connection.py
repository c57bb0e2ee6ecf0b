"""A Qdrant server or cluster: how it is reached, what is asked again and of whom, its errors in one line."""

import json
import logging
import random
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, TypeVar
from urllib.parse import urlsplit

import httpx
from qdrant_client import QdrantClient, models
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from askpix.core.errors import IndexMismatchError, StoreUnavailableError
from askpix.core.machine import is_loopback
from askpix.retrieval.qdrant.server_models import server_indexes

_log = logging.getLogger(__name__)
Quantization: TypeAlias = Literal["turbo", "scalar", "binary", "product", "none"]
Answer = TypeVar("Answer")

_PASSING = {408, 429, 500, 502, 503, 504}
"""Answers that another try may change."""
_TRIES = 4
_FIRST_WAIT_S = 0.2
_CONNECT_S = 5.0
"""Connect timeout in seconds where other addresses can be tried: a node that is switched off delays a request
no longer.
"""
_COLD = models.Memory.COLD
_PINNED = models.Memory.PINNED
OLDEST = (1, 19)
"""The first server with the word statistics (IDF) of one tenant."""
_SUBSTRINGS = (1, 20)
"""The first server with a condition for substrings. In 1.19.0 the full-text one does it on a field without a
full-text index; from 1.19.1 on that one compares whole words, so no filter on paths would be right."""
_MODELS = ("model", "dim", "text_model", "text_dim")


@dataclass(frozen=True, slots=True)
class ClusterShape:
    """Layout of a physical collection when it is created; later changes are the operator's.

    ``shards``: pieces spread over the nodes; ``replicas``: copies of each; ``write_replicas``: copies that
    must have a write before it counts; ``quantization``: the codes that searches scan, in memory; the vectors
    themselves stay on the disk.
    """

    shards: int = 1
    replicas: int = 1
    write_replicas: int = 1
    quantization: Quantization = "turbo"

    def placement(self) -> dict[str, Any]:
        """Return where shards and copies go, as a request that creates a collection says it."""
        return {
            "shard_number": self.shards,
            "replication_factor": self.replicas,
            "write_consistency_factor": self.write_replicas,
        }


class QdrantServer:
    """A server, or several nodes of a cluster of which any can be asked, each try within ``timeout_s``.

    What fails in passing goes to the next node and is tried again; errors are one line. Thread-safe.
    """

    def __init__(
        self, client: QdrantClient, url: str, others: Sequence[tuple[QdrantClient, str]] = ()
    ) -> None:
        self._nodes = [_Node(each, _shown(address)) for each, address in ((client, url), *others)]
        self._answered = self._nodes[0]
        self._where = "Qdrant at " + ", ".join(repr(node.url) for node in self._nodes)
        self._version: tuple[int, ...] = _SUBSTRINGS

    @classmethod
    def connect(cls, url: str, *, api_key: str | None = None, timeout_s: float = 30.0) -> "QdrantServer":
        """Clients for ``url``, one address or several separated by commas; nothing is sent yet.

        All of them get ``api_key``. A wrong address is a ``StoreUnavailableError``.
        """
        urls = list(dict.fromkeys(part.strip() for part in url.split(",") if part.strip())) or [url]
        for each in urls:
            _check_address(each)
        first, *others = [(_client(each, api_key, timeout_s, len(urls) > 1), each) for each in urls]
        return cls(*first, others)

    def nodes(self) -> list["QdrantServer"]:
        """Return each address on its own: for what a node does for itself alone, as snapshots."""
        return [QdrantServer(node.client, node.url) for node in self._nodes]

    @property
    def url(self) -> str:
        """The address or addresses, without passwords."""
        return ",".join(node.url for node in self._nodes)

    def ask(self, question: Callable[[QdrantClient], Answer], *, tries: int = _TRIES) -> Answer:
        """Return what ``question`` gives, asked of each node in turn, ``tries`` times while that may help.

        The node that answered last is asked first; one that lets a request time out is not asked again for
        it while there are others. Raises ``StoreUnavailableError``, which names every address that was
        asked. Every write that goes through here may be repeated without harm.
        """
        wait = _FIRST_WAIT_S
        failures = dict[str, str]()
        nodes = sorted(self._nodes, key=lambda node: node is not self._answered)
        cause: Exception | None = None
        for left in range(tries - 1, -1, -1):
            for node in tuple(nodes):
                try:
                    answer = question(node.client)
                except _FAILURES as error:
                    failures[node.url], cause = _reason(f"Qdrant at {node.url!r}", error), error
                    if isinstance(error, UnexpectedResponse) and error.status_code not in _PASSING:
                        raise StoreUnavailableError(failures[node.url]) from error  # any node would say so
                    if not _may_pass(error) or (_timed_out(error) and len(nodes) > 1):
                        nodes.remove(node)
                    if isinstance(error, ResourceExhaustedResponse):
                        wait = max(wait, min(10.0, float(error.retry_after_s)))
                        break  # the other nodes have enough to do too
                else:
                    self._answered = node
                    return answer
            if not left or not nodes:
                break
            _log.info("%s; asking again in about %.1f s", "; ".join(failures.values()), wait)
            time.sleep(wait * random.uniform(0.7, 1.3))  # noqa: S311 - not for secrets
            wait *= 3
        raise StoreUnavailableError("; ".join(failures.values())) from cause

    def check_version(self) -> None:
        """``StoreUnavailableError`` when it does not answer, refuses the key, or is too old."""
        self._read_version()
        # Its version is told to anyone; a wrong key shows here.
        self.ask(lambda client: client.get_collections())

    def _read_version(self) -> None:
        version = self.ask(lambda client: client.info()).version
        numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:3])
        lacking = None
        if numbers < OLDEST:
            lacking = "word statistics of one tenant"
        elif (*OLDEST, 0) < numbers < _SUBSTRINGS:
            lacking = "a filter for parts of words, which 1.19.0 had"
        if lacking:
            raise StoreUnavailableError(
                f"{self._where} is version {version}; {_SUBSTRINGS[0]}.{_SUBSTRINGS[1]} or newer (or 1.19.0)"
                f" is needed: this one lacks {lacking}; update it"
            )
        self._version = numbers

    def substring(self, piece: str) -> Any:
        """Build the condition that a keyword field holds ``piece`` anywhere, as this version has it."""
        if self._version < _SUBSTRINGS:
            self._read_version()  # updated since, it would compare whole words and find too little
        if self._version < _SUBSTRINGS:
            return models.MatchText(text=piece)
        return models.MatchSubstring(substring=piece)

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
        for node in self._nodes:
            node.client.close()


@dataclass(frozen=True, slots=True, eq=False)
class _Node:
    client: QdrantClient
    url: str
    """URL without its secrets."""


def _check_address(url: str) -> None:
    parts = urlsplit(url)
    try:
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
            raise ValueError
    except ValueError as error:
        raise StoreUnavailableError(
            f"{_shown(url)!r} is no address of a Qdrant server; it looks like http://HOST:6333, and several"
            " are separated by commas"
        ) from error


def _client(url: str, api_key: str | None, timeout_s: float, has_others: bool) -> QdrantClient:
    parts = urlsplit(url)
    # The client warns of a key over plain http, which is fine on this machine itself.
    at_home = parts.scheme == "http" and is_loopback(parts.hostname or "")
    client = QdrantClient(
        url=url,
        port=None if parts.port else (443 if parts.scheme == "https" else 6333),
        api_key=None if at_home else api_key,
        headers={"api-key": api_key} if api_key and at_home else None,
        timeout=max(1, round(timeout_s)),
        check_compatibility=False,  # by ``check_version`` instead: a message of ours, not a warning
    )
    if has_others:
        client.http.client.add_middleware(_connect_soon)
    return client


def _connect_soon(request: httpx.Request, send: Callable[[httpx.Request], httpx.Response]) -> httpx.Response:
    timeout = request.extensions["timeout"]
    request.extensions["timeout"] = timeout | {"connect": min(_CONNECT_S, timeout["connect"])}
    return send(request)


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
        **shape.placement(),
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


_FAILURES = (
    ResourceExhaustedResponse,
    UnexpectedResponse,
    ResponseHandlingException,
    json.JSONDecodeError,
    UnicodeDecodeError,
)


def _may_pass(error: Exception) -> bool:
    # A refused connection is a server that restarts as often as one that is not there; a name that cannot be
    # resolved, or nonsense for an answer, stays so.
    if isinstance(error, ResponseHandlingException):
        source = error.source
        return isinstance(source, httpx.TransportError) and not isinstance(source, httpx.UnsupportedProtocol)
    return isinstance(error, ResourceExhaustedResponse | UnexpectedResponse)


def _timed_out(error: Exception) -> bool:
    return isinstance(error, ResponseHandlingException) and isinstance(error.source, httpx.TimeoutException)


def _reason(where: str, error: Exception) -> str:
    """Return the reason as one line for a person."""
    source = error.source if isinstance(error, ResponseHandlingException) else error
    if isinstance(source, ResourceExhaustedResponse):
        return f"{where} is overloaded; try again later"
    if isinstance(source, UnexpectedResponse):
        return _refusal(where, source)
    if isinstance(source, httpx.TimeoutException):
        return f"{where} did not answer in time; is it overloaded? ASKPIX_QDRANT_TIMEOUT_S sets the limit"
    if isinstance(source, httpx.TransportError):
        reason = " ".join(str(source).split())[:200] or type(source).__name__
        return f"cannot reach {where}: {reason}; is it running?"
    return f"{where} gave an answer that is not Qdrant's; check the address"


def _refusal(where: str, error: UnexpectedResponse) -> str:
    if error.status_code in (401, 403):
        return (
            f"{where} refused the key ({error.status_code}); set ASKPIX_QDRANT_API_KEY to one that may read"
            " and write"
        )
    try:
        said = str(error.structured()["status"]["error"])
    except (ValueError, KeyError, TypeError):
        said = error.content[:200].decode("utf-8", "replace")
    said = " ".join(said.split())[:300]
    return f"{where} refused ({error.status_code}): {said}"


def _shown(url: str) -> str:
    """Without a password that someone may have written into it."""
    head, at, tail = url.rpartition("@")
    return head.partition("://")[0] + "://" + tail if at else url
