"""Zero-shot labels for images, by any embedder: which of the given labels an image shows."""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from PIL import Image

from askpix.api.schemas.results import Label
from askpix.api.services.single_file import look_under
from askpix.api.workspace.workspace import Workspace
from askpix.core.types import ImageRecord
from askpix.ingest.pipeline.report import Failure
from askpix.ingest.sources.walk import check_paths
from askpix.retrieval.classification.prompt_templates import DEFAULT
from askpix.retrieval.classification.zero_shot import ZeroShot, check_templates, clean_labels

_BATCH = 16
"""Images decoded and embedded together."""


class Classifier:
    """Labels embedded once, and compared with any number of images. Nothing is trained or kept."""

    def __init__(
        self,
        workspace: Workspace,
        labels: Sequence[str],
        *,
        templates: Sequence[str] = (),
        embedder: str | None = None,
    ) -> None:
        """``templates`` are sentences with ``{}`` for the label. Raises ``BadQueryError``."""
        wanted = clean_labels(labels)
        sentences = check_templates(templates or DEFAULT)
        self._model = workspace.embedder(embedder or workspace.settings.embedder)
        self._zero_shot = ZeroShot(self._model, wanted, templates=sentences)
        self.embedder_id = self._model.model_id
        self.image_side = self._model.image_side
        """Pixels: no image need be decoded larger."""

    def classify(self, images: Sequence[Image.Image]) -> list[tuple[Label, ...]]:
        """Return the labels of each image, most probable first."""
        if not images:
            return []
        ranked = self._zero_shot.ranked(self._model.embed_images(images))
        return [tuple(Label(label, round(p, 6)) for label, p in found) for found in ranked]


def classify_under(
    workspace: Workspace,
    paths: Sequence[Path],
    failed: list[Failure],
    labels: Sequence[str],
    *,
    templates: Sequence[str] = (),
    embedder: str | None = None,
) -> Iterator[tuple[ImageRecord, tuple[Label, ...]]]:
    """Yield every image under ``paths`` with its labels; what cannot be opened is added to ``failed``."""
    check_paths(paths)  # before a model is loaded
    classifier = Classifier(workspace, labels, templates=templates, embedder=embedder)
    looked = look_under(workspace, paths, failed, read=False, min_side=classifier.image_side)
    while batch := list(islice(looked, _BATCH)):
        found = classifier.classify([each.picture.image for each in batch])
        yield from zip((each.record for each in batch), found, strict=True)
