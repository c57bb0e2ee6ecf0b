"""Tags at indexing: the vocabulary a person gives, and the stage that uses it."""

from askpix.api.services.labels import read_labels
from askpix.api.workspace.workspace import Workspace
from askpix.core.errors import BadQueryError
from askpix.ingest.catalog.catalog import Collection
from askpix.ingest.catalog.tags import Vocabulary
from askpix.ingest.pipeline.embed_images import OnProgress
from askpix.ingest.pipeline.tag_stage import tag_pictures
from askpix.retrieval.classification.zero_shot import clean_labels


def read_vocabulary(tags: str | None, threshold: float | None, *, no_tags: bool = False) -> Vocabulary | None:
    """What the options ask for; None: what the collection has. Raises ``BadQueryError``."""
    if no_tags:
        if tags is not None or threshold is not None:
            raise BadQueryError("--no-tags takes neither --tags nor --tag-threshold")
        return Vocabulary(())
    if tags is None:
        if threshold is not None:
            raise BadQueryError("--tag-threshold needs --tags")
        return None
    return Vocabulary(clean_labels(read_labels(tags)), threshold)


def tag(
    workspace: Workspace,
    collection: Collection,
    vocabulary: Vocabulary | None = None,
    *,
    on_progress: OnProgress | None = None,
) -> int:
    """Tag what has not been tagged with ``vocabulary`` (default: the collection's own): how many were."""
    ledger = workspace.catalog.tags
    wanted = vocabulary or ledger.vocabulary(collection)
    if wanted is None:
        return 0
    ledger.use(collection, wanted)
    if not ledger.count_untagged(collection):
        return 0
    tagger = workspace.tagger(collection, wanted)
    with workspace.open_store(collection) as store:
        return tag_pictures(
            collection=collection, ledger=ledger, store=store, tagger=tagger, on_progress=on_progress
        )
