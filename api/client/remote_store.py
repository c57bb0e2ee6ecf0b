"""Stores that another process holds: each method is a request to the server of its home, which keeps them
open."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Concatenate

from askpix.api.client.store_codec import decode, encode
from askpix.retrieval.stores.base import Scored, VectorStore
from askpix.retrieval.stores.pages import SHORTLIST, Matrix, PageStore
from askpix.retrieval.stores.view import Answer, ForwardingStore, P

if TYPE_CHECKING:
    from askpix.api.client.client import Client


def remote_store(client: Client, key: tuple[str, str]) -> VectorStore | PageStore:
    """The store under a key of the server: vectors under the number of a generation, else pages."""
    remote = _Remote(client, f"/v1/local/stores/{key[0]}/{key[1]}")
    return RemoteStore(remote) if key[1].isdigit() else RemotePages(remote)


class _Remote:
    """Methods and properties of one store of the server."""

    def __init__(self, client: Client, path: str) -> None:
        self._client = client
        self._path = path

    def call(self, member: str, *args: Any, **options: Any) -> Any:
        body = {"args": encode(list(args)), "options": {k: encode(v) for k, v in options.items()}}
        return decode(self._client.call("POST", f"{self._path}/{member}", body)["result"])

    def method(self, method: Callable[Concatenate[Any, P], Answer]) -> Callable[P, Answer]:
        def called(*args: P.args, **options: P.kwargs) -> Answer:
            answer: Answer = self.call(method.__name__, *args, **options)
            return answer

        return called


class RemoteStore(ForwardingStore):
    """The vectors of a collection."""

    def __init__(self, remote: _Remote) -> None:
        self._remote = remote

    @property
    def behind(self) -> bool:
        return bool(self._remote.call("behind"))

    def _forward(self, method: Callable[Concatenate[Any, P], Answer]) -> Callable[P, Answer]:
        return self._remote.method(method)


class RemotePages(PageStore):
    """The page matrices of a collection."""

    def __init__(self, remote: _Remote) -> None:
        self._method = remote.method

    def set_pages(self, ids: Sequence[str], matrices: Sequence[Matrix], /) -> None:
        self._method(PageStore.set_pages)(ids, matrices)

    def search_pages(
        self,
        query: Matrix,
        /,
        *,
        limit: int,
        among: Collection[str] | None = None,
        shortlist: int = SHORTLIST,
    ) -> list[Scored]:
        return self._method(PageStore.search_pages)(query, limit=limit, among=among, shortlist=shortlist)

    def matrices(self, ids: Sequence[str], /) -> dict[str, Matrix]:
        return self._method(PageStore.matrices)(ids)

    def delete(self, ids: Sequence[str], /) -> None:
        self._method(PageStore.delete)(ids)

    def ids(self) -> Iterator[str]:
        return iter(self._method(PageStore.ids)())

    def count(self) -> int:
        return self._method(PageStore.count)()
