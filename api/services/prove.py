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
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from PIL import Image, ImageDraw

from askpix.api.demo import samples
from askpix.api.models.proofs import Proof, Proofs, Role, weights_key
from askpix.api.workspace.workspace import Workspace
from askpix.core.imaging.decode import ImageLimits, open_image
from askpix.core.types import Vectors
from askpix.retrieval.embedders.base import Embedder, TextEmbedder
from askpix.retrieval.model_hub.registry import languages_of, serves, text_languages_of

_log = logging.getLogger(__name__)
_BAR = 2 / 3
_COLOURS = (
    (("red", (220, 20, 20)), ("blue", (20, 20, 220))),
    (("orange", (250, 140, 10)), ("sky blue", (10, 140, 250))),
)
"""Pairs that become each other when the channels are read in the wrong order."""
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
    loaded_id, trial = _TRIALS[role](workspace, model_id)
    try:
        outcome = trial()
    except (RuntimeError, ValueError, IndexError, KeyError, TypeError) as error:  # of the model's library
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
    return Proofs(workspace.settings.home).kept(role, model_id) or prove(workspace, model_id, role)


def _embedder(workspace: Workspace, model_id: str) -> _Trial:
    embedder = workspace.embedder(model_id)
    return embedder.model_id, partial(_find_images, embedder, workspace.limits)


def _find_images(embedder: Embedder, limits: ImageLimits) -> _Outcome:
    photos, _ = samples()
    bar = f"at least {_needed(len(photos))} of {len(photos)}"
    side = embedder.image_side
    images = [open_image(photo.path, limits=limits, min_side=side).image for photo in photos]
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
        hits, most = sum(map(found_in, others)), len(others) * len(photos)
        passed = hits >= _needed(most)
        told = f"{told}, {hits} of {most} in {', '.join(others)}"
        bar = f"{bar}, and {_needed(most)} of {most} in its other languages"
    if passed and _exchanged(embedder):
        passed, told = False, f"{told}, but takes red for blue and blue for red: its channels are exchanged"
    return _Outcome(passed, told, bar)


def _exchanged(embedder: Embedder) -> bool:
    """Whether every coloured shape fits the name of the opposite colour better than its own."""
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
        hits, most = sum(found(code, captions) for code in others), len(others) * len(photos)
        passed = hits >= _needed(most)
        told = f"{told}, {hits} of {most} asked in {', '.join(others)}"
        bar = f"{bar}, and {_needed(most)} of {most} in its other languages"
    return _Outcome(passed, told, bar)


def _needed(of: int) -> int:
    return round(_BAR * of)


def _first(scores: Vectors) -> int:
    """How many rows have their highest score on the diagonal; a tie is none."""
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
}
