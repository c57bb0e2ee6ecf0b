"""A model proves that it works: on the sample images of the demo, whose captions are known.

Weights of another model, another tokenizer or another preprocessing load without an error and find nothing.
Each role has a task that a working model of any size does, and that such a model does not:

    embedder        finds 12 photos by their captions, also in the other languages it claims
    text embedder   finds the paraphrase of each caption, which shares no word with it
    page embedder   finds 9 pages by questions
    reranker        puts the page that answers a question first
    generator       reads a number in an image, and says what two photos show

Two thirds are enough. ``mini`` finds 12 of 12; with random weights, another tokenizer, pixels of 0 to 1 or
channels first it finds 7 or fewer. Exchanged channels cost it one, and trained models little more, so that
embedders are also shown shapes in colours that become each other when red and blue are exchanged.
"""

import logging
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from askpix.api.demo import PICTURES, samples
from askpix.api.models.generators import Verdicts
from askpix.api.models.proofs import Proof, Proofs, Role, weights_key
from askpix.api.workspace.page_index import late_embedder
from askpix.api.workspace.rerankers import reranker
from askpix.api.workspace.workspace import Workspace
from askpix.core.errors import AskpixError, GenerationError, NotFoundError
from askpix.core.imaging.decode import ImageLimits, open_image
from askpix.core.types import Evidence, Hit, ImageRecord, Vectors
from askpix.generation.generators.base import Generator, VisionGenerator
from askpix.generation.tasks.caption import caption_messages, caption_with
from askpix.retrieval.embedders.base import Embedder, TextEmbedder
from askpix.retrieval.late_interaction.base import LateEmbedder, maxsim
from askpix.retrieval.model_hub.registry import languages_of, serves, text_languages_of
from askpix.retrieval.onnx.mini import MiniLM
from askpix.retrieval.rerankers.base import Candidate, Reranker
from askpix.retrieval.stores.pages import Matrix

_log = logging.getLogger(__name__)
_BAR = 2 / 3
_COLOURS = (
    (("red", (220, 20, 20)), ("blue", (20, 20, 220))),
    (("orange", (250, 140, 10)), ("sky blue", (10, 140, 250))),
)
"""Pairs that become each other when the channels are read in the wrong order."""
_RERANKED = 5
_KINDS = {
    "cat": {"cat", "cats", "kitten", "feline", "tabby"},
    "coffee-cup": {"coffee", "cup", "mug", "espresso", "latte", "cappuccino", "teacup", "tea"},
}
_MAX_INPUT = 8_000
_MAX_OUTPUT = 200
"""Tokens of a description, whatever a question may cost."""
_SHAPES = {"circle": ImageDraw.ImageDraw.ellipse, "square": ImageDraw.ImageDraw.rectangle}


@dataclass(frozen=True, slots=True)
class _Outcome:
    passed: bool
    found: str
    bar: str


_Trial = tuple[str, Callable[[], _Outcome]]
"""The id of a loaded model, pinned where its kind does that, and what tries it."""


def prove(workspace: Workspace, model_id: str, role: Role) -> Proof:
    """Try a model on the sample images; what came of it is kept in the home and returned.

    Raises ``ModelUnavailableError`` when the model cannot be loaded here, and ``AuthError`` without its key:
    that says nothing of its weights, and nothing is kept.
    """
    began = time.perf_counter()
    model_id = workspace.id_of(model_id, role)
    loaded_id, trial = _TRIALS[role](workspace, model_id)
    try:
        outcome = trial()
    except (GenerationError, RuntimeError, ValueError, IndexError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        outcome = _Outcome(False, f"it loads but does not run: {reason}", "that it runs")
    proof = Proof(
        model_id=model_id,
        role=role,
        passed=outcome.passed,
        found=outcome.found,
        bar=outcome.bar,
        checked_at=int(time.time()),
        key=weights_key(role, loaded_id),
    )
    _log.info("%s %r in %.1f s: %s", role, model_id, time.perf_counter() - began, proof)
    Proofs(workspace.settings.home).keep(proof)
    return proof


def proven(workspace: Workspace, model_id: str, role: Role) -> Proof:
    """Return the kept proof of these weights, else one made now; raises as ``prove``."""
    kept = Proofs(workspace.settings.home).kept(role, workspace.id_of(model_id, role))
    return kept or prove(workspace, model_id, role)


def check_works(workspace: Workspace, model_id: str, role: Role, *, now: str, otherwise: str) -> None:
    """Raise ``AskpixError`` for one in place of ``now`` that fails its proof; ``otherwise``: a way out."""
    proof = proven(workspace, model_id, role)
    if not proof.passed:
        raise AskpixError(
            f"the {role} {model_id!r} does not work ({proof}), so {now!r} stays in use; install it anew, or "
            f"{otherwise}"
        )


def forget_proofs(workspace: Workspace, model_id: str) -> None:
    """Drop the kept proofs of a model in whatever role, or of ``all``. Raises ``NotFoundError``."""
    proofs = Proofs(workspace.settings.home)
    verdicts = Verdicts(workspace.settings.home)
    if model_id == "all":
        proofs.forget()
        verdicts.forget()
        return
    named = {model_id, *(workspace.id_of(model_id, role) for role in _TRIALS)}
    if not sum(verdicts.forget(each) + proofs.forget(each) for each in named):
        names = ", ".join(sorted({proof.model_id for proof in proofs.all()})) or "none"
        raise NotFoundError(f"no proof of {model_id!r} is kept; there are those of: {names}")


def forget_generators(workspace: Workspace) -> None:
    """Drop what is kept of every generator."""
    proofs = Proofs(workspace.settings.home)
    Verdicts(workspace.settings.home).forget()
    for proof in proofs.all():
        if proof.role == "generator":
            proofs.forget(proof.model_id)


def models_in_use(workspace: Workspace) -> list[tuple[Role, str]]:
    """Return the models of the settings and of every collection, each once. ``auto`` is what it takes now."""
    settings = workspace.settings
    embedder = settings.embedder
    text = settings.text_embedder
    generator = settings.generator
    found: list[tuple[Role, str]] = [
        ("embedder", workspace.auto.embedder_id if embedder == "auto" else embedder),
        ("text embedder", MiniLM.model_id if text == "auto" else text),
        ("page embedder", settings.page_embedder),
        ("reranker", settings.rerank),
    ]
    for collection in workspace.catalog.list_collections():
        found.append(("embedder", collection.embedder))
        found.append(("text embedder", collection.text_embedder))
        found.append(("page embedder", collection.page_embedder or "none"))
    found.append(("generator", workspace.generator().model_id if generator == "auto" else generator))
    found = [(role, workspace.id_of(name, role)) for role, name in found if name != "none"]
    by_weights = {(role, weights_key(role, name)): (role, name) for role, name in found}
    return [(role, name) for role, name in by_weights.values() if name != "pages"]


def _embedder(workspace: Workspace, model_id: str) -> _Trial:
    embedder = workspace.embedder(model_id)
    return embedder.model_id, partial(_find_images, embedder, workspace.limits)


def _find_images(embedder: Embedder, limits: ImageLimits) -> _Outcome:
    photos, _ = samples()
    bar = f"at least {_needed(len(photos))} of {len(photos)}"
    side = embedder.image_side
    images = [_opened(photo.path, limits, side) for photo in photos]
    vectors = _checked(_in_batches(embedder.embed_images, images, embedder.batch))

    def found_in(language: str) -> int:
        captions = [photo.captions[language] for photo in photos]
        return _first(_checked(embedder.embed_queries(captions)) @ vectors.T)

    english = found_in("en")
    told = f"found {english} of {len(photos)} sample images by their captions"
    passed = english >= _needed(len(photos))
    spoken, weak = languages_of(embedder.model_id) or ((), ())
    others = [
        code for code in photos[0].captions if code != "en" and serves(spoken, code) and code not in weak
    ]
    if passed and others:
        hits = sum(map(found_in, others))
        limit = len(others) * len(photos)
        passed = hits >= _needed(limit)
        told = f"{told}, {hits} of {limit} in {', '.join(others)}"
        bar = f"{bar}, and {_needed(limit)} of {limit} in its other languages"
    if passed and _exchanged(embedder):
        passed = False
        told = f"{told}, but takes red for blue and blue for red: its channels are exchanged"
    return _Outcome(passed, told, bar)


def _exchanged(embedder: Embedder) -> bool:
    """Return whether every coloured shape fits the name of the opposite colour better than its own."""
    for shape, draw in _SHAPES.items():
        for pair in _COLOURS:
            images = []
            for _, colour in pair:
                images.append(Image.new("RGB", (256, 256), "white"))
                draw(ImageDraw.Draw(images[-1]), (48, 48, 208, 208), fill=colour)
            names = embedder.embed_queries([f"a {name} {shape}" for name, _ in pair])
            fits = names @ embedder.embed_images(images).T
            if np.trace(fits) >= np.trace(fits[::-1]):
                return False
    return True


def _text_embedder(workspace: Workspace, model_id: str) -> _Trial:
    embedder = workspace.text_embedder_for(model_id)
    return embedder.model_id, partial(_find_paraphrases, embedder)


def _find_paraphrases(embedder: TextEmbedder) -> _Outcome:
    photos, _ = samples()
    bar = f"at least {_needed(len(photos))} of {len(photos)}"

    def found(language: str, passages: Sequence[str]) -> int:
        queries = embedder.embed_queries([photo.captions[language] for photo in photos])
        return _first(_checked(queries) @ _checked(embedder.embed_texts(passages)).T)

    english = found("en", [photo.paraphrase for photo in photos])
    told = f"found {english} of {len(photos)} sentences that say the same in other words"
    passed = english >= _needed(len(photos))
    spoken = text_languages_of(embedder.model_id) or ()
    others = [code for code in photos[0].captions if code != "en" and serves(spoken, code)]
    if passed and others:
        captions = [photo.captions["en"] for photo in photos]
        hits = sum(found(code, captions) for code in others)
        limit = len(others) * len(photos)
        passed = hits >= _needed(limit)
        told = f"{told}, {hits} of {limit} asked in {', '.join(others)}"
        bar = f"{bar}, and {_needed(limit)} of {limit} in its other languages"
    return _Outcome(passed, told, bar)


def _page_embedder(workspace: Workspace, model_id: str) -> _Trial:
    embedder = late_embedder(workspace, model_id)
    return embedder.model_id, partial(_find_pages, embedder, workspace.limits)


def _find_pages(embedder: LateEmbedder, limits: ImageLimits) -> _Outcome:
    _, pages = samples()
    matrices: list[Matrix] = []
    for at in range(0, len(pages), embedder.batch):
        images = [_opened(page.path, limits, embedder.image_side) for page in pages[at : at + embedder.batch]]
        matrices += embedder.embed_images(images)
    questions = embedder.embed_texts([page.question for page in pages])
    found = _first(_checked(np.stack([maxsim(question, matrices) for question in questions])))
    return _Outcome(
        found >= _needed(len(pages)),
        f"found {found} of {len(pages)} sample pages by questions",
        f"at least {_needed(len(pages))} of {len(pages)}",
    )


def _reranker(workspace: Workspace, model_id: str) -> _Trial:
    scheme, _, rest = model_id.partition(":")
    if scheme == "generator":
        return _generator(workspace, rest or workspace.settings.generator)
    model = reranker(workspace, model_id, page_sub_query=None)
    own_id = model.model_id.removeprefix("late interaction by ")
    return own_id, partial(_order_pages, model, workspace.limits)


def _order_pages(model: Reranker, limits: ImageLimits) -> _Outcome:
    """Few pages: a model that looks at images takes seconds for each on a CPU."""
    pages = samples()[1][:_RERANKED]
    candidates = [
        Candidate(
            ImageRecord(str(number), str(page.path), "page", 0, 0, text=page.text),
            partial(_opened, page.path, limits),
        )
        for number, page in enumerate(pages)
    ]
    marks = [model.scores(page.question, candidates) for page in pages]
    rows = np.array([[-np.inf if mark is None else mark for mark in row] for row in marks], np.float32)
    found = _first(rows)
    needed = _RERANKED - 1
    told = f"put the right page first for {found} of {_RERANKED} questions"
    return _Outcome(found >= needed, told, f"at least {needed} of {_RERANKED}")


def _generator(workspace: Workspace, model_id: str) -> _Trial:
    verdicts = Verdicts(workspace.settings.home)
    verdicts.forget(model_id)
    generator = workspace.generator(model_id)
    return generator.model_id, partial(_look_and_describe, generator, verdicts, workspace.limits)


def _look_and_describe(generator: Generator, verdicts: Verdicts, limits: ImageLimits) -> _Outcome:
    """A model that may cost money reads the number alone, as it does whenever it is first used."""
    if not isinstance(generator, VisionGenerator):
        return _Outcome(True, "it looks at no images and needs no proof", "nothing")
    bar = "that it reads the number in an image, and says what two photos show"
    generator.sees = verdicts.sees(generator)
    if not generator.sees:
        return _Outcome(
            False, "it does not see the images it is sent: it did not read the number in one", bar
        )
    shown = {name: _opened(PICTURES / "photos" / f"{name}.jpg", limits) for name in _KINDS}
    trial = generator.showing(lambda record, side: shown[record.id], max_tokens=_MAX_INPUT)
    trial.max_output = min(trial.max_output, _MAX_OUTPUT)
    said: dict[str, str] = {}
    for name, image in shown.items():
        evidence = Evidence(1, Hit(1, ImageRecord(name, "image.jpg", "photo", *image.size), 1.0))
        plan = trial.plan(caption_messages(evidence))
        if trial.price(plan) != 0.0:
            return _Outcome(
                True, "read the number in an image; it may cost money, so nothing else was asked", bar
            )
        said[name] = caption_with(trial, evidence)
    wrong = {name: text for name, text in said.items() if not _names(text, name)}
    if wrong:
        told = ", ".join(f"of {name}.jpg it said {text[:100]!r}" for name, text in wrong.items())
        return _Outcome(False, f"read the number in an image, but {told}", bar)
    return _Outcome(True, "read the number in an image, and said what two photos show", bar)


def _names(text: str, name: str) -> bool:
    """Return whether a description names what is on this photo, and nothing of the other one."""
    words = set(re.findall(r"[a-z]+", text.lower()))
    others = set().union(*(kinds for other, kinds in _KINDS.items() if other != name))
    return bool(words & _KINDS[name]) and not words & others


def _opened(path: Path, limits: ImageLimits, min_side: int | None = None) -> Image.Image:
    return open_image(path, limits=limits, min_side=min_side).image


def _needed(of: int) -> int:
    return round(_BAR * of)


def _first(scores: Vectors) -> int:
    """Count the rows with their highest score on the diagonal; a tie does not count."""
    own = np.diag(scores)[:, None]
    return int(((scores >= own).sum(axis=1) == 1).sum())


def _checked(vectors: Vectors) -> Vectors:
    if not np.isfinite(vectors).all():
        raise ValueError("its vectors hold numbers that are not finite; try another ASKPIX_PRECISION")
    return vectors


def _in_batches(
    embed: Callable[[Sequence[Image.Image]], Vectors], images: Sequence[Image.Image], size: int
) -> Vectors:
    return np.concatenate([embed(images[at : at + size]) for at in range(0, len(images), size)])


_TRIALS: dict[Role, Callable[[Workspace, str], _Trial]] = {
    "embedder": _embedder,
    "text embedder": _text_embedder,
    "page embedder": _page_embedder,
    "reranker": _reranker,
    "generator": _generator,
}
