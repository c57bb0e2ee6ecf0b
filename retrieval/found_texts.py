"""What the text legs found for a query, and how strongly the words of a picture answer it."""

from dataclasses import dataclass, field

from retrieval.fusion import evidence_of_text, rare_share


@dataclass(frozen=True, slots=True)
class FoundTexts:
    """By id: cosine of the best passage, BM25, and which words stand in the text."""

    cosines: dict[str, float] = field(default_factory=dict)
    bm25: dict[str, float] = field(default_factory=dict)
    held: dict[str, frozenset[str]] = field(default_factory=dict)
    terms: tuple[str, ...] = ()
    weights: dict[str, float] = field(default_factory=dict)

    def ids(self) -> list[str]:
        """Every picture that a text leg found."""
        return sorted({*self.cosines, *self.bm25})

    def evidence(self, point: str, pictures: int) -> float:
        """How strongly the text of a picture answers, for ``fuse``."""
        if point not in self.cosines and point not in self.bm25:
            return evidence_of_text(None, 0.0, 0.0, pictures=pictures)
        share = rare_share(self.held.get(point, ()), self.weights)
        cosine, bm25 = self.cosines.get(point), self.bm25.get(point, 0.0)
        return evidence_of_text(cosine, bm25, share, pictures=pictures)

    def fit(self) -> float:
        """How well the best text fits, for the verdict (see ``calibration``)."""
        return max(
            (
                rare_share(self.held.get(point, ()), self.weights)
                + max(0.0, self.cosines.get(point, 0.0)) / 2
                for point in self.ids()
            ),
            default=0.0,
        )
