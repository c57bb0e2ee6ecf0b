"""Results of the text sub-queries, and how strongly the text of an image answers the query."""

from dataclasses import dataclass, field

from askpix.core.types import Where
from askpix.retrieval.embedders.base import TextEmbedder
from askpix.retrieval.search.fusion import TEXT_NOISE, evidence_of_text, rare_share, rarity
from askpix.retrieval.search.sub_queries import MEANING, WORDS, SubQueries
from askpix.retrieval.stores.base import Scored, VectorStore
from askpix.retrieval.text.snippet import holds
from askpix.retrieval.text.tokenize import content_words, tokens

DEPTH = 100
"""Images that each text sub-query brings into a search: whose words rank lower is found by what it shows."""
_MEDIUM = frozenset({"photo", "photograph", "picture", "image"})
"""Words that say what is looked for, and not what stands in it: "a photo of a baby"."""


@dataclass(frozen=True, slots=True)
class FoundTexts:
    """Text results by id: cosine of the best passage, BM25, and which words stand in the text."""

    cosines: dict[str, float] = field(default_factory=dict)
    bm25: dict[str, float] = field(default_factory=dict)
    held: dict[str, frozenset[str]] = field(default_factory=dict)
    terms: tuple[str, ...] = ()
    weights: dict[str, float] = field(default_factory=dict)

    def ids(self) -> list[str]:
        """Every image that a text sub-query found."""
        return sorted({*self.cosines, *self.bm25})

    def evidence(self, point: str, pictures: int) -> float:
        """Return how strongly the text of an image answers, for ``fuse``."""
        if point not in self.cosines and point not in self.bm25:
            return evidence_of_text(None, 0.0, 0.0, pictures=pictures)
        share = rare_share(self.held.get(point, ()), self.weights)
        cosine = self.cosines.get(point)
        bm25 = self.bm25.get(point, 0.0)
        return evidence_of_text(cosine, bm25, share, pictures=pictures)

    def fit(self) -> float:
        """Return how well the best text fits, for the verdict (see ``calibration``)."""
        return max(
            (
                rare_share(self.held.get(point, ()), self.weights)
                + max(0.0, self.cosines.get(point, 0.0)) / 2
                for point in self.ids()
            ),
            default=0.0,
        )


def find_texts(
    store: VectorStore, embedder: TextEmbedder, text: str, where: Where, parts: SubQueries
) -> FoundTexts:
    """Ask both text sub-queries of the store, by meaning and by words."""
    meaning = embedder.embed_queries([text])[0]
    none: list[Scored] = []
    by_meaning = parts.ask(MEANING, lambda: store.search("text", meaning, where=where, limit=DEPTH), none)
    by_words = parts.ask(WORDS, lambda: store.search("words", text, where=where, limit=DEPTH), none)
    every = tuple(content_words(text) or dict.fromkeys(tokens(text)))
    terms = tuple(term for term in every if term not in _MEDIUM) or every
    records = store.get([hit.id for hit in by_words])
    held = {record.id: holds(record.text, terms) for record in records}
    return FoundTexts(
        cosines={hit.id: hit.score for hit in by_meaning if hit.score > TEXT_NOISE},
        bm25={hit.id: hit.score for hit in by_words},
        held=held,
        terms=terms,
        weights=rarity(terms, list(held.values())),
    )
