"""Askpix as a LlamaIndex retriever: image nodes with the words in them, for a query engine or an agent.

    pip install askpix llama-index-core
    askpix serve                        # in another terminal

    from askpix_llama_index import AskpixRetriever
    AskpixRetriever("http://127.0.0.1:8000", "default").retrieve("hotel receipts from May")

Copy this file; it needs nothing of Askpix but its client.
"""

from typing import Any

from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import ImageNode, NodeWithScore, QueryBundle

from askpix.api.client.client import Client
from askpix.api.schemas.results import Hit


class AskpixRetriever(BaseRetriever):
    """Nodes are images: ``text`` is what is written in one, ``image_url`` the image itself, made small.

    Nothing is returned where Askpix says that nothing matches. ``where`` is the filter of
    ``POST /v1/collections/NAME/search``.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        collection: str = "default",
        *,
        key: str | None = None,
        top_k: int = 4,
        where: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self._url = url
        self._collection = collection
        self._top_k = top_k
        self._where = where
        self._client = Client(url, key)

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        found = self._client.search(
            self._collection, query_bundle.query_str, top_k=self._top_k, where=self._where
        )
        if not found.matched:
            return []
        return [NodeWithScore(node=self._node(hit), score=hit.score) for hit in found.hits]

    def _node(self, hit: Hit) -> ImageNode:
        about = self._client.image(hit.id)
        kept = ("uri", "kind", "page", "time_s", "taken_at")
        return ImageNode(
            id_=hit.id,
            text=about.text or about.caption or "",
            image_url=f"{self._url}/v1/images/{hit.id}/thumbnail?size=1024",
            metadata={name: value for name in kept if (value := getattr(hit, name)) is not None},
        )
