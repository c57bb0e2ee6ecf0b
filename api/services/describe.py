"""Captions, extractions and audits of single files, with a model where there is one: for every door."""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from askpix.api.schemas.results import to_json
from askpix.api.services.single_file import Looked, look_under
from askpix.api.workspace.workspace import Workspace
from askpix.core.errors import ModelUnavailableError
from askpix.core.types import ImageRecord
from askpix.generation.extractive.tables import Table, table_by_rules
from askpix.generation.generators.base import Generator
from askpix.generation.tasks.audit import Finding, check_accessibility, check_with, check_words
from askpix.generation.tasks.caption import Style, caption_by_rules, caption_with, captions_with
from askpix.generation.tasks.extract import Extraction, extract_by_rules, extract_with
from askpix.generation.tasks.table import table_with
from askpix.ingest.pipeline.report import Failure
from askpix.ingest.sources.walk import check_paths

_CLASSES = 3
_BATCH = 8
"""Beyond it decoding is no faster an image, and the memory fills."""


def caption(workspace: Workspace, looked: Looked, *, style: Style, generator: str | None = None) -> str:
    """The image in words."""

    model, _ = workspace.choose_generator(generator)
    if model.follows_instructions:
        return caption_with(model, looked.evidence, style=style)
    classes = workspace.embedder("mini").classes(looked.picture.image, count=_CLASSES)
    return caption_by_rules(looked.evidence, classes, style=style)


def captions(
    workspace: Workspace, batch: Sequence[Looked], *, style: Style, generator: str | None = None
) -> list[str]:
    """Several images in words, in one batch where the model takes one."""
    model, _ = workspace.choose_generator(generator)
    if model.follows_instructions:
        return captions_with(model, [looked.evidence for looked in batch], style=style)
    return [caption(workspace, looked, style=style, generator=generator) for looked in batch]


def captions_under(
    workspace: Workspace,
    paths: Sequence[Path],
    failed: list[Failure],
    *,
    style: Style = "short",
    generator: str | None = None,
) -> Iterator[tuple[ImageRecord, str]]:
    """Yield every image under ``paths`` with its caption; what cannot be opened is added to ``failed``."""
    check_paths(paths)  # before a model is loaded
    model, _ = workspace.choose_generator(generator)
    looked = look_under(workspace, paths, failed)
    while batch := list(islice(looked, _BATCH if model.batches else 1)):
        texts = captions(workspace, batch, style=style, generator=generator)
        yield from zip((each.record for each in batch), texts, strict=True)


def seeing_generator(workspace: Workspace, generator_id: str) -> Generator:
    """The generator with this id; ``ModelUnavailableError`` where that is none that sees."""
    found, why = workspace.choose_generator(generator_id)
    if not found.follows_instructions:
        raise ModelUnavailableError(f"captions need a model that sees; {generator_id!r}: {why}")
    return found


def extract(workspace: Workspace, looked: Looked, schema: Any, *, generator: str | None = None) -> Extraction:
    """The image as an object of the schema."""

    model, _ = workspace.choose_generator(generator)
    if not model.follows_instructions:
        return extract_by_rules(schema, looked.lines)
    return extract_with(model, schema, looked.evidence)


def extraction_object(found: Extraction) -> dict[str, Any]:
    """The object that was extracted, with ``evidence`` by field: the quote and its box."""
    return {**found.value, "evidence": {name: to_json(proof) for name, proof in found.evidence.items()}}


def read_table(workspace: Workspace, looked: Looked, *, generator: str | None = None) -> Table | None:
    """The table or chart in the image; None when none was made out."""
    model, _ = workspace.choose_generator(generator)
    if not model.follows_instructions:
        return table_by_rules(looked.lines)
    return table_with(model, looked.evidence)


def audit(
    workspace: Workspace,
    looked: Looked,
    checks: Sequence[str],
    *,
    accessibility: bool = True,
    generator: str | None = None,
) -> list[Finding]:
    """The image held against the checks, then its text against the rules of accessibility."""

    model, _ = workspace.choose_generator(generator)
    blind = not model.follows_instructions
    findings = [
        check_words(check, looked.lines) if blind else check_with(model, check, looked.evidence)
        for check in checks
    ]
    if accessibility:
        findings += check_accessibility(looked.picture.image, looked.lines)
    return findings
