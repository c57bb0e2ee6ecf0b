"""Late interaction as a second look: MaxSim of the question's tokens and the picture's patches."""

from collections.abc import Sequence

from retrieval.late_interaction import LateEmbedder, maxsim
from retrieval.page_store import PageStore
from retrieval.rerank import Candidate


class LateReranker:
    """A ``Reranker`` by a late-interaction model: exact, over all vectors.

    Pages that the collection keeps matrices of are compared by those; others are embedded now, which takes as
    long as indexing them (seconds a picture without a GPU).
    """

    def __init__(self, embedder: LateEmbedder, pages: PageStore | None = None) -> None:
        self._embedder, self._pages = embedder, pages
        self.model_id = f"late interaction by {embedder.model_id}"

    def scores(self, query: str, candidates: Sequence[Candidate], /) -> list[float | None]:
        """Mean best cosines; None where the picture cannot be opened."""
        (asked,) = self._embedder.embed_texts([query])
        found: dict[str, float] = {}
        ids = [candidate.record.id for candidate in candidates]
        if self._pages is not None and ids:
            hits = self._pages.search_pages(asked, limit=len(ids), among=ids)
            found = {hit.id: hit.score for hit in hits}
        missing = [candidate for candidate in candidates if candidate.record.id not in found]
        for start in range(0, len(missing), self._embedder.batch):
            part = missing[start : start + self._embedder.batch]
            opened = [(each.record.id, image) for each in part if (image := each.open_image()) is not None]
            matrices = self._embedder.embed_images([image for _, image in opened])
            marks = maxsim(asked, matrices).tolist()
            found |= {point: mark for (point, _), mark in zip(opened, marks, strict=True)}
        return [found.get(point) for point in ids]
