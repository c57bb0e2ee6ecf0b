"""Does every sheet have one vector for each image on it (``ingest.vision.regions``), and nothing else has
any?

What is wrong is mended by the stage itself: it removes what is no sheet and makes what is missing.
"""

from dataclasses import dataclass

import numpy as np

from askpix.ingest.catalog.catalog import Catalog
from askpix.ingest.catalog.models import Collection
from askpix.retrieval.stores.pages import Matrix, PageStore

_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class SheetsProof:
    """Ids by what is wrong with them; nothing is when all are empty.

    ``missing`` sheets have no vectors, ``strays`` have some and are no sheets, ``spoiled`` ones have more or
    fewer than images, or some that are not of length one. ``sheets`` is how many are right.
    """

    sheets: int = 0
    missing: tuple[str, ...] = ()
    strays: tuple[str, ...] = ()
    spoiled: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Every image on every sheet has its vector."""
        return not (self.missing or self.strays or self.spoiled)

    def __str__(self) -> str:
        found = (
            (self.missing, "sheets without the vectors of their images"),
            (self.strays, "sheets' vectors without a sheet"),
            (self.spoiled, "sheets with damaged vectors"),
        )
        wrong = ", ".join(f"{len(ids)} {what}" for ids, what in found if ids)
        return wrong or f"{self.sheets} sheets, each with the vectors of its images"


def prove_sheets(collection: Collection, *, catalog: Catalog, store: PageStore) -> SheetsProof:
    """Look at every sheet and every vector of one. Nobody may be indexing meanwhile."""
    wanted = catalog.sheets.wanted(collection)
    held = list(store.ids())
    spoiled: list[str] = []
    kept = [image_id for image_id in held if image_id in wanted]
    for start in range(0, len(kept), _AT_ONCE):
        part = store.matrices(kept[start : start + _AT_ONCE])
        spoiled += [key for key, matrix in part.items() if not _sound(matrix, len(wanted[key].boxes))]
    return SheetsProof(
        sheets=len(kept) - len(spoiled),
        missing=tuple(sorted(wanted.keys() - set(held))),
        strays=tuple(sorted(set(held) - wanted.keys())),
        spoiled=tuple(sorted(spoiled)),
    )


def _sound(matrix: Matrix, pictures: int) -> bool:
    lengths = np.linalg.norm(matrix.astype(np.float32), axis=1)
    # They are kept in half precision, which is exact to a thousandth; NaN is caught too.
    return len(matrix) == pictures and bool((abs(lengths - 1) < 0.02).all())
