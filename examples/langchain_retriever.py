"""Askpix as a LangChain retriever: images for a chain, with the words in them and where they come from.

    pip install askpix langchain-core
    askpix serve                        # in another terminal

    from askpix_langchain import AskpixRetriever
    AskpixRetriever(url="http://127.0.0.1:8000", collection="default").invoke("hotel receipts from May")

Copy this file; it needs nothing of Askpix but its client.
"""

from typing import Any

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever

from askpix.api.client.client import Client
from askpix.api.schemas.results import Hit


class AskpixRetriever(BaseRetriever):
    """Documents are images: ``page_content`` is what is written in one, ``metadata`` where it lies and why.

    Nothing is returned where Askpix says that nothing matches: a chain should not answer from what is merely
    nearest. ``where`` is the filter of ``POST /v1/collections/NAME/search``.
    """

    url: str = "http://127.0.0.1:8000"
    collection: str = "default"
    key: str | None = None
    top_k: int = 4
    where: dict[str, Any] | None = None

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[Document]:
        with Client(self.url, self.key) as client:
            found = client.search(self.collection, query, top_k=self.top_k, where=self.where)
            return [self._document(client, hit) for hit in found.hits] if found.matched else []

    def _document(self, client: Client, hit: Hit) -> Document:
        about = client.image(hit.id)
        kept = ("uri", "kind", "page", "time_s", "taken_at", "score", "width", "height")
        metadata = {name: value for name in kept if (value := getattr(hit, name)) is not None}
        metadata["thumbnail"] = f"{self.url}/v1/images/{hit.id}/thumbnail?size=1024"
        return Document(id=hit.id, page_content=about.text or about.caption or "", metadata=metadata)
