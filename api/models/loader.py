"""Load models: from an id to one that is loaded, once.

Everything heavy is imported where it is first needed, so that commands that need no model start fast.
"""

from __future__ import annotations

import logging
import os
import threading
from abc import ABC, abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING

from askpix.core.errors import ModelUnavailableError
from askpix.core.log import timed
from askpix.core.machine import usable_cores

if TYPE_CHECKING:
    from PIL import Image

    from askpix.api.models.auto_select import Choice
    from askpix.api.settings import Settings
    from askpix.core.imaging.decode import ImageLimits
    from askpix.core.types import ImageRecord
    from askpix.generation.generators.base import Generator, GeneratorOptions
    from askpix.ingest.catalog.catalog import Collection
    from askpix.ingest.ocr.reader import TextReader
    from askpix.retrieval.embedders.base import Embedder, EmbedderOptions, TextEmbedder
    from askpix.retrieval.late_interaction.base import LateEmbedder
    from askpix.retrieval.onnx.mini import MiniLM
    from askpix.retrieval.rerankers.base import Reranker

_log = logging.getLogger(__name__)


def embedder_options(settings: Settings) -> EmbedderOptions:
    """Return how the settings want embedders to run."""
    from askpix.retrieval.embedders.base import EmbedderOptions

    return EmbedderOptions(
        device=settings.device,
        precision=settings.precision,
        workers=settings.workers or None,
        compiled=settings.compile,
        openvino=settings.openvino,
    )


class Models(ABC):
    """Models by their ids, each loaded once, by one thread at a time, as ``settings`` has it."""

    settings: Settings

    def __init__(self) -> None:
        self.loading = threading.RLock()
        self._embedders: dict[str, Embedder] = {}
        self._generators: dict[str, tuple[Generator, str]] = {}
        self.late_embedders: dict[str, LateEmbedder] = {}
        self.rerankers: dict[str, Reranker] = {}
        self._text_embedders: dict[str, TextEmbedder] = {}

    @abstractmethod
    def image_of(self, record: ImageRecord, min_side: int | None) -> Image.Image:
        """The image of a record, for models that look at it."""

    @property
    def workers(self) -> int:
        """Threads for embedding and reading."""
        if self.settings.workers:
            return self.settings.workers
        return usable_cores()

    def id_of(self, name: str, role: str) -> str:
        """Return the id, at its installed commit, of the model that the list calls ``name``; else that."""
        if ":" in name:
            return name
        from askpix.api.models.installed import Installations
        from askpix.retrieval.model_hub.registry import find_fact

        fact = find_fact(name)
        known = fact is not None and fact.role == role and bool(fact.repo)
        return Installations(self.settings.home).pinned(fact.id) if fact is not None and known else name

    @property
    def text_embedder(self) -> MiniLM:
        """The text embedder that ships."""
        from askpix.retrieval.onnx.mini import shared_minilm

        with self.loading:
            return shared_minilm()

    def text_embedder_of(self, collection: Collection) -> TextEmbedder:
        """Return the text embedder that made the collection's text vectors."""
        return self.text_embedder_for(collection.text_embedder)

    def text_embedder_for(self, text_embedder_id: str) -> TextEmbedder:
        """The text embedder with this id, loaded once; ``auto`` is the one that ships."""
        from askpix.retrieval.onnx.mini import MiniLM

        if text_embedder_id in ("auto", MiniLM.model_id):
            return self.text_embedder
        text_embedder_id = self.id_of(text_embedder_id, "text embedder")
        kind, _, reference = text_embedder_id.partition(":")
        if kind != "onnx" or not reference:
            raise ModelUnavailableError(
                f"no text embedder {text_embedder_id!r}; name one as onnx:DIR_OR_REPO, or take 'auto'"
            )
        with self.loading:
            if text_embedder_id not in self._text_embedders:
                from askpix.retrieval.onnx.text_embedder import open_text_embedder

                made = open_text_embedder(reference)
                self._text_embedders[made.model_id] = self._text_embedders[text_embedder_id] = made
            return self._text_embedders[text_embedder_id]

    @cached_property
    def auto(self) -> Choice:
        """Model that ``auto`` chooses here and now, and why."""
        from askpix.api.models.auto_select import choose

        chosen = choose(self.settings, open_embedder=self.embedder)
        _log.info("the embedder is %r: %s", chosen.embedder_id, chosen.reason)
        return chosen

    def forget_choice(self) -> None:
        """Have ``auto`` chosen anew: a model came or went."""
        with self.loading:
            self.__dict__.pop("auto", None)
            self._generators.pop("auto", None)

    def embedder(self, embedder_id: str) -> Embedder:
        """The embedder with this id, loaded once; ``auto`` is the best one that works here and now."""
        with self.loading:
            name = self.auto.embedder_id if embedder_id == "auto" else self.id_of(embedder_id, "embedder")
            if name not in self._embedders:
                from askpix.retrieval.embedders.base import open_embedder

                with timed(_log, f"loaded the embedder {name!r}"):
                    made = open_embedder(name, embedder_options(self.settings))
                self._embedders[made.model_id] = self._embedders[name] = made
            return self._embedders[name]

    def generator(self, generator_id: str | None = None) -> Generator:
        """The generator with this id; ``auto`` never sends an image off the machine."""
        return self.choose_generator(generator_id)[0]

    def choose_generator(self, generator_id: str | None = None) -> tuple[Generator, str]:
        """The generator with this id, opened once, and why it was taken."""
        wanted = self.id_of(generator_id or self.settings.generator, "generator")
        if wanted not in self._generators:
            if wanted == "extractive":
                from askpix.generation.generators.base import open_generator

                chosen = open_generator(wanted, self.generator_options), "it was asked for"
            else:
                from askpix.api.models.generators import Verdicts, choose

                verdicts = Verdicts(self.settings.home) if self.settings.prove_sight else None
                chosen = choose(wanted, self.generator_options, verdicts=verdicts)
            _log.info("generator %r: %s", chosen[0].model_id, chosen[1])
            self._generators[wanted] = chosen
        return self._generators[wanted]

    @property
    def generator_options(self) -> GeneratorOptions:
        """Options of generators by the settings."""
        from askpix.generation.generators.base import GeneratorOptions

        return GeneratorOptions(
            image_of=self.image_of,
            max_tokens=self.settings.max_input_tokens,
            device=self.settings.device,
            precision=self.settings.generator_precision,
            servers=self.settings.local_servers.split(),
            server_key=self.settings.server_key,
            environment=os.environ,
        )

    @property
    def reader(self) -> TextReader:
        """Reader of the text in images."""
        with self.loading:
            return self._reader

    @cached_property
    def _reader(self) -> TextReader:
        from askpix.ingest.ocr.worker import ApartTextReader

        # Each engine takes about 0.4 GB: many cores must not mean out of memory. ASKPIX_WORKERS overrides it.
        chosen = self.settings
        workers = chosen.workers or min(self.workers, 8)
        with timed(_log, f"loaded OCR, {workers} at once"):
            return ApartTextReader.load(workers=workers, models=chosen.ocr_models, openvino=chosen.openvino)

    @property
    def limits(self) -> ImageLimits:
        return self.settings.image_limits()
