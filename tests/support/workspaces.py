"""A workspace whose models are fakes."""

from askpix.api.models.proofs import Proof, Proofs
from askpix.api.settings import Settings
from askpix.api.workspace.workspace import Workspace
from askpix.retrieval.embedders.base import Embedder
from tests.support.fakes import ColourEmbedder


class Fakes(Workspace):
    """The workspace with embedders of mean colours: ``narrow`` and ``wide``, taken for proven."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        for name in ("narrow", "wide"):
            Proofs(settings.home).keep(Proof(name, "embedder", True, "", "", 0, name))

    def embedder(self, embedder_id: str) -> Embedder:
        return ColourEmbedder(dim={"narrow": 5, "wide": 9}[embedder_id], model_id=embedder_id)
