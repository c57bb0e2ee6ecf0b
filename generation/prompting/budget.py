"""Budget of a prompt: how each piece of evidence is shown, so that a question stays within its limits.

Words go with every image: both together answer better than either alone. Cutting pixels ruins reading
long before it hurts anything else (LLaVA-OneVision with 40 % of its visual tokens keeps MMBench and loses a
tenth of DocVQA), so a page that is to be read keeps its size longest:

    to be read     whole, up to READ_SIDE -> a crop around the lines that fit -> a thumbnail -> its words
    to be seen     whole, up to SEE_SIDE -> a thumbnail -> its words

Everything begins at the left; while the sum is over the limit the hit that ranks last gives way first.
"""

import math
import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from askpix.core.errors import LimitError
from askpix.core.text.layout import union
from askpix.core.types import Box, Evidence, Sent, TextLine
from askpix.generation.prompting.image_tokens import image_tokens
from askpix.generation.word_match import content_words, squeeze, tokens

READ_SIDE = 2048
SEE_SIDE = 1024
THUMBNAIL = 512
_MARGIN = 0.6
"""Around the lines of a crop, in heights of a line: words beside them belong to them."""
_LONGEST_SHAPE = 100
"""Models see nothing in strips, and several refuse those over 200 : 1."""
_FEW = 12
"""Lines of an image that is left with its words alone when there is no room for more."""


@dataclass(frozen=True, slots=True)
class ModelLimits:
    """Token costs of a model's images and the limits of a request; see ``model_limits.toml``."""

    family: str
    formula: str
    numbers: dict[str, Any]
    images: int
    bytes: int
    context: int
    source: str
    detail: str | None = None
    assumed: bool = False

    def tokens(self, width: int, height: int) -> int:
        """Return the tokens that an image of this size costs."""
        return image_tokens(width, height, self.formula, **self.numbers).tokens

    def useful(self, width: int, height: int, side: int) -> tuple[int, int]:
        """The size to send: no longer than ``side``, and no more pixels than the model looks at."""
        scale = min(1.0, side / max(width, height))
        width = max(1, round(width * scale))
        height = max(1, round(height * scale))
        seen = image_tokens(width, height, self.formula, **self.numbers)
        scale = min(1.0, max(seen.width / width, seen.height / height))
        return max(1, round(width * scale)), max(1, round(height * scale))


@dataclass(frozen=True, slots=True)
class Plan:
    """Plan of a request. ``evidence`` are the lines that go with each piece, as ``sent`` counts them."""

    sent: tuple[Sent, ...]
    evidence: tuple[Evidence, ...]
    text_tokens: int
    image_tokens: int

    @property
    def tokens(self) -> int:
        """Estimated input tokens."""
        return self.text_tokens + self.image_tokens


@dataclass(slots=True)
class _Ladder:
    """The ways to show one piece, best first; ``step`` is the one chosen."""

    evidence: Evidence
    steps: list[Sent]
    step: int = 0
    cut: bool = field(default=False)

    @property
    def sent(self) -> Sent:
        return self.steps[self.step]


@cache
def _models() -> tuple[tuple[re.Pattern[str], ModelLimits], ...]:
    held = tomllib.loads(
        files("askpix.generation.prompting").joinpath("model_limits.toml").read_text("utf-8")
    )
    found = []
    for row in held["model"]:
        match = row.pop("match")
        formula = dict(row.pop("formula"))
        name = formula.pop("name")
        if "pinpoints" in formula:
            formula["pinpoints"] = [tuple(size) for size in formula["pinpoints"]]
        found.append((re.compile(match, re.IGNORECASE), ModelLimits(formula=name, numbers=formula, **row)))
    return tuple(found)


def limits_of(model: str) -> ModelLimits:
    """The limits of the model with this name, as providers and servers write it; the last entry fits all."""
    name = model.strip().lower()
    return next(limits for pattern, limits in _models() if pattern.fullmatch(name))


def make_plan(
    question: str,
    evidence: Sequence[Evidence],
    limits: ModelLimits,
    *,
    max_tokens: int,
    sees: bool = True,
    overhead: int = 400,
) -> Plan:
    """Plan how each piece of evidence is shown within ``max_tokens`` of input.

    ``sees`` False: a model that takes no images gets words alone. ``overhead`` are the tokens of all that
    is said besides. Raises ``LimitError`` when not even the words fit.
    """
    words = content_words(question)
    ladders = [
        _Ladder(each, list(_steps(each, words, limits)) if sees else [_text(each)]) for each in evidence
    ]
    room = min(max_tokens, limits.context) - overhead - count_text(question)
    while _pictures(ladders) > limits.images or _total(ladders) > room:
        too_many = _pictures(ladders) > limits.images
        if not _give_way(ladders, words, too_many=too_many):
            raise LimitError(
                f"the words of {len(evidence)} images alone take about {_total(ladders)} tokens and there "
                f"is room for {max(room, 0)}; ask about fewer images (--top-k) or allow more tokens"
            )
    chosen = tuple(ladder.evidence for ladder in ladders)
    sent = tuple(replace(ladder.sent, lines=len(ladder.evidence.lines)) for ladder in ladders)
    image = sum(each.tokens for each in sent)
    return Plan(sent, chosen, _total(ladders) - image + overhead + count_text(question), image)


def count_text(text: str) -> int:
    """Tokens of a text, about and rather too many: one for three and a half letters, one for each character
    of scripts without spaces."""
    wide = sum(ord(char) > 0x2E7F for char in text)
    return wide + math.ceil((len(text) - wide) / 3.5)


def _steps(evidence: Evidence, words: Sequence[str], limits: ModelLimits) -> Iterator[Sent]:
    record = evidence.hit.record
    if max(record.width, record.height) > _LONGEST_SHAPE * min(record.width, record.height):
        yield _text(evidence)
        return
    if evidence.region is not None:
        yield _picture(evidence, limits, READ_SIDE, evidence.region)
        yield _text(evidence)
        return
    to_read = record.kind == "page" or any(_fits(line, words) for line in evidence.lines)
    yield _picture(evidence, limits, READ_SIDE if to_read else SEE_SIDE)
    if box := region_to_read(evidence, words):
        yield _picture(evidence, limits, READ_SIDE, box)
    yield _picture(evidence, limits, THUMBNAIL)
    yield _text(evidence)


def _picture(evidence: Evidence, limits: ModelLimits, side: int, box: Box | None = None) -> Sent:
    record = evidence.hit.record
    size = (record.width, record.height)
    if box is not None:
        size = (max(1, round(box.x1 - box.x0)), max(1, round(box.y1 - box.y0)))
    width, height = limits.useful(*size, side)
    how: Literal["picture", "crop"] = "picture" if box is None else "crop"
    tokens_of = limits.tokens(width, height)
    return Sent(evidence.number, how, width, height, tokens_of, of_lines=len(evidence.lines), box=box)


def _text(evidence: Evidence) -> Sent:
    return Sent(evidence.number, "text", of_lines=len(evidence.lines))


def _fits(line: TextLine, words: Sequence[str]) -> bool:
    """Return whether a line has a word of the question in it."""
    held = set(tokens(line.text))
    joined = squeeze(line.text)
    return any(word in held or (len(word) > 4 and word in joined) for word in words)


def region_to_read(evidence: Evidence, words: Sequence[str]) -> Box | None:
    """Around the lines with one of these words; None without any, and where that is half of the image."""
    record = evidence.hit.record
    fitting = [line for line in evidence.lines if _fits(line, words)]
    if not fitting:
        return None
    box = around(fitting, record.width, record.height)
    return box if (box.x1 - box.x0) * (box.y1 - box.y0) < 0.5 * record.width * record.height else None


def around(lines: Sequence[TextLine], width: int, height: int) -> Box:
    """The box of the lines over the full width: what belongs to a word stands beside it."""
    box = union(line.box for line in lines)
    margin = _MARGIN * max(line.box.y1 - line.box.y0 for line in lines) + 0.02 * height
    return Box(0, max(0, math.floor(box.y0 - margin)), width, min(height, math.ceil(box.y1 + margin)))


def _pictures(ladders: Sequence[_Ladder]) -> int:
    return sum(ladder.sent.how != "text" for ladder in ladders)


def _total(ladders: Sequence[_Ladder]) -> int:
    return sum(
        ladder.sent.tokens + 20 + count_text("\n".join(line.text for line in ladder.evidence.lines))
        for ladder in ladders
    )


def _give_way(ladders: Sequence[_Ladder], words: Sequence[str], *, too_many: bool) -> bool:
    """Shrink the last piece that has a smaller form that helps; lines only when no image is left."""
    for ladder in reversed(ladders):
        for step in range(ladder.step + 1, len(ladder.steps)):
            helps = ladder.steps[step].how == "text" if too_many else True
            if helps and ladder.steps[step].tokens <= ladder.sent.tokens:
                ladder.step = step
                return True
    for ladder in reversed(ladders):
        if not ladder.cut and len(ladder.evidence.lines) > _FEW:
            ladder.cut = True
            ladder.evidence = replace(ladder.evidence, lines=_best_lines(ladder.evidence.lines, words))
            return True
    return False


def _best_lines(lines: Sequence[TextLine], words: Sequence[str]) -> tuple[TextLine, ...]:
    """A few lines in their order: those with words of the question and their neighbours, else the first."""
    fitting = [i for i, line in enumerate(lines) if _fits(line, words)]
    near = sorted(range(len(lines)), key=lambda i: (min((abs(i - j) for j in fitting), default=i), i))
    return tuple(lines[i] for i in sorted(near[:_FEW]))
