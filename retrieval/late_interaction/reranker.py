"""Late interaction as a second look: MaxSim of the question's tokens and the image's patches."""

from collections.abc import Sequence

from askpix.retrieval.late_interaction.base import LateEmbedder, maxsim
from askpix.retrieval.rerankers.base import Candidate
from askpix.retrieval.stores.pages import PageStore


class LateReranker:
    """A ``Reranker`` by a late-interaction model: exact, over all vectors.

    With ``pages``, images are compared by the matrices kept there, and those without one (photos) are not
    judged. Without, every image is embedded now, which takes as long as indexing it: seconds an image on a
    CPU.
    """

    def __init__(self, embedder: LateEmbedder, pages: PageStore | None = None) -> None:
        self._embedder = embedder
        self._pages = pages
        self.model_id = f"late interaction by {embedder.model_id}"

    def scores(self, query: str, candidates: Sequence[Candidate], /) -> list[float | None]:
        """Mean best cosines; None where there is no matrix, or the image cannot be opened."""
        (asked,) = self._embedder.embed_texts([query])
        ids = [candidate.record.id for candidate in candidates]
        if self._pages is not None:
            hits = self._pages.search_pages(asked, limit=len(ids), among=ids)
            stored = {hit.id: hit.score for hit in hits}
            return [stored.get(point) for point in ids]
        found: dict[str, float] = {}
        for start in range(0, len(candidates), self._embedder.batch):
            part = candidates[start : start + self._embedder.batch]
            opened = [(each.record.id, image) for each in part if (image := each.open_image()) is not None]
            matrices = self._embedder.embed_images([image for _, image in opened])
            marks = maxsim(asked, matrices).tolist()
            found |= {point: mark for (point, _), mark in zip(opened, marks, strict=True)}
        return [found.get(point) for point in ids]
