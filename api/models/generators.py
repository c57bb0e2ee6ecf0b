"""Choice of a generator: which one, why that one, and whether it really sees.

``auto`` is the first model on this machine that proves to see (of a server, else one whose weights are here),
else ``extractive``: nothing leaves the machine, nothing is fetched.
"""

import json
import logging
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

from askpix.api.models.proofs import Proof, Proofs
from askpix.core.errors import AskpixError, NoSightError
from askpix.generation.generators.base import (
    GENERATORS,
    Generator,
    GeneratorKind,
    GeneratorOptions,
    VisionGenerator,
    open_generator,
)
from askpix.generation.generators.image_payload import ImageOf

_VERDICT_DAYS = 30
_RIDDLES = 3
"""A small model misreads one image and not the next; who is blind guesses none of them."""
_RIDDLE_TOKENS = 8_000
"""Most input tokens of the riddle, whatever a question may cost."""

_log = logging.getLogger(__name__)


def choose(wanted: str, options: GeneratorOptions, *, verdicts: "Verdicts | None") -> tuple[Generator, str]:
    """Return the generator with this id, or what ``auto`` takes, and why.

    Without ``verdicts`` the sight of models is not tried. Raises ``ModelUnavailableError`` (unknown id, extra
    not installed, server not reachable) and ``AuthError`` (no key).
    """
    if wanted != "auto":
        return _proven(open_generator(wanted, options), verdicts)
    for generator_id in found_here(options):
        if verdicts is not None and (failed := verdicts.failed(generator_id)):
            _log.info("a model on this machine is passed over: %s: %s", generator_id, failed)
            continue
        try:
            generator, why = _proven(
                open_generator(generator_id, replace(options, local_files_only=True)), verdicts
            )
        except AskpixError as error:
            _log.info("a model on this machine is passed over: %s", error)
            continue
        if isinstance(generator, VisionGenerator) and generator.sees:
            return generator, f"{why}; it runs on this machine"
    return open_generator(
        "extractive", options
    ), "no vision model was found on this machine: askpix models install vlm"


def found_here(options: GeneratorOptions) -> Iterator[str]:
    """Yield ids of models on this machine, best first; nothing is loaded."""
    for name, kind in GENERATORS.kinds():
        if isinstance(kind, GeneratorKind) and not kind.missing():
            yield from (f"{name}:{reference}" for reference in kind.found(options))


def _proven(generator: Generator, verdicts: "Verdicts | None") -> tuple[Generator, str]:
    """A back end that drops images (vision_check) is sent words alone."""
    if not isinstance(generator, VisionGenerator):
        return generator, "it was asked for"
    if verdicts is None:
        return generator, "whether it sees was not tried"
    generator.sees = verdicts.sees(generator)
    if generator.sees:
        return generator, "it sees images"
    return generator, "it does not see images (proven), so it gets their words alone"


class Verdicts:
    """Verdicts on whether models see, kept in the home for a month: models behind a name change.

    Only replies that came to their own end are kept; with them goes how the model marks its thoughts.
    """

    def __init__(self, home: Path) -> None:
        self._path = home / "sight.json"
        self._proofs = Proofs(home)

    def failed(self, generator_id: str) -> Proof | None:
        """Return the proof that a model failed; None where it passed or was not tried."""
        proof = self._proofs.kept("generator", generator_id)
        return None if proof is None or proof.passed else proof

    def sees(self, generator: VisionGenerator) -> bool:
        """Return what is known of it, else whether it reads a riddle now. Raises what it raises."""
        kept = self._all()
        row = kept.get(generator.model_id)
        row = row if isinstance(row, dict) else {}
        made = row.get("at")
        if isinstance(made, int | float) and 0 <= time.time() - made < _VERDICT_DAYS * 86_400:
            generator.thinks |= bool(row.get("thinks"))
            generator.starts_in_thought |= bool(row.get("starts_in_thought"))
            return bool(row.get("sees"))
        verdict, whole = _try_sight(generator)
        if whole:
            told = {
                "sees": verdict,
                "thinks": generator.thinks,
                "starts_in_thought": generator.starts_in_thought,
            }
            self._put({**kept, generator.model_id: {**told, "at": int(time.time())}})
        return verdict

    def forget(self, model_id: str | None = None) -> int:
        """Drop the verdict on a model, or all, and return how many: it is tried anew when next opened."""
        kept = self._all()
        left = {name: row for name, row in kept.items() if model_id not in (None, name)}
        if len(left) < len(kept):
            self._put(left)
        return len(kept) - len(left)

    def _put(self, held: dict[str, Any]) -> None:
        draft = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            draft.write_text(json.dumps(held, indent=1), "utf-8")
            draft.replace(self._path)
        except OSError as error:
            _log.info("whether a model sees is not kept: %s", error)
            draft.unlink(missing_ok=True)

    def _all(self) -> dict[str, Any]:
        try:
            held = json.loads(self._path.read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return held if isinstance(held, dict) else {}


def _try_sight(generator: VisionGenerator) -> tuple[bool, bool]:
    """Return whether the model reads one of a few riddles, and whether its replies ended normally."""
    from askpix.generation.generators.vision_check import draw_canary, pick_number, read_canary

    whole = True
    for _ in range(_RIDDLES):
        number = pick_number()
        trial = generator.showing(_only(draw_canary(number)), max_tokens=_RIDDLE_TOKENS)
        try:
            reading = read_canary(trial, number=number)
        except NoSightError as error:
            _log.info("an image was refused: %s", error)
            return False, True
        finally:
            generator.thinks |= trial.thinks
            generator.starts_in_thought |= trial.starts_in_thought
        if reading.right:
            return True, reading.whole
        whole &= reading.whole
    return False, whole


def _only(picture: Image.Image) -> ImageOf:
    return lambda record, side: picture
