"""A workspace whose models are fakes."""

from askpix.api.workspace.workspace import Workspace
from askpix.retrieval.embedders.base import Embedder
from tests.support.fakes import ColourEmbedder


class Fakes(Workspace):
    """The workspace with embedders of mean colours: ``narrow`` and ``wide``."""

    def embedder(self, embedder_id: str) -> Embedder:
        return ColourEmbedder(dim={"narrow": 5, "wide": 9}[embedder_id], model_id=embedder_id)
