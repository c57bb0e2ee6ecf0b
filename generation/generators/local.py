"""A vision-language model in this process as a generator: LLaVA, Qwen-VL, Gemma, GLM-V, their kin."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from importlib import import_module
from typing import cast

from PIL import Image

from askpix.core.pretrained import pick_device
from askpix.core.types import ImageRecord, Message, Sent, Usage
from askpix.generation.generators.base import GeneratorKind, GeneratorOptions, Piece, VisionGenerator
from askpix.generation.generators.image_payload import ImageOf, cut
from askpix.generation.generators.messages import as_films, build_turns
from askpix.generation.generators.thoughts import ThoughtFilter, without_thoughts
from askpix.generation.generators.vlm import Counted, Precision, Vlm
from askpix.generation.prompting.budget import ModelLimits, Plan, limits_of, make_plan
from askpix.retrieval.model_hub.download import weights_here
from askpix.retrieval.model_hub.registry import published
from askpix.retrieval.model_hub.source import named

SCHEME = "transformers"

_NAMES = {
    "internvl": "internvl",
    "idefics3": "idefics3",
    "smolvlm": "smolvlm",
    "llava": "llava-1.5",
    "llava_next": "llava-v1.6",
    "llava_next_video": "llava-next-video",
    "llava_onevision": "llava-onevision",
    "qwen2_vl": "qwen2-vl",
    "qwen2_5_vl": "qwen2.5-vl",
    "qwen3_vl": "qwen3-vl",
    "qwen3_vl_moe": "qwen3-vl",
    "paligemma": "paligemma",
    "gemma3": "gemma-3",
    "phi4_multimodal": "phi-4-multimodal",
    "qwen3_5": "qwen3.5",
    "qwen3_5_moe": "qwen3.5",
    "gemma4": "gemma-4",
    "gemma4_unified": "gemma-4",
    "glm4v": "glm-4v",
    "glm4v_moe": "glm-4v",
    "glm46v": "glm-4v",
    "lfm2_vl": "lfm2-vl",
    "minicpmv4_6": "minicpm-v-4.6",
    "minicpmv4_7": "minicpm-v-4.7",
    "mistral3": "mistral-small",
    "llama4": "llama-4",
}
"""A directory may be called anything: what its configuration says it is counts then."""


class LocalGenerator(VisionGenerator):
    """A generator in this process. Thread-safe; ``close`` an iterator early to stop the model."""

    batches = True

    def __init__(
        self,
        vlm: Vlm,
        *,
        image_of: ImageOf,
        max_tokens: int,
        max_output: int = 1024,
        sees: bool = True,
        timeout_s: float = 600.0,
    ) -> None:
        """See ``VisionGenerator``. An answer that is not done ``timeout_s`` seconds after its turn came is
        given up."""
        super().__init__(
            model_id=f"transformers:{vlm.reference}",
            limits=limits_for(vlm, max_output),
            image_of=image_of,
            max_tokens=max_tokens,
            max_output=max_output,
            sees=sees,
        )
        self._vlm = vlm
        self._within_s = timeout_s

    def plan(self, messages: Sequence[Message], /, *, within: int | None = None) -> Plan:
        """Plan a request with these messages. Raises ``LimitError`` when it cannot fit."""
        if self._vlm.answers_alone:
            return self._plan_alone(messages[-1])
        return super().plan(messages, within=within)

    def _plan_alone(self, last: Message) -> Plan:
        """The best hit's image and nothing else: no words of it, nothing of the other hits."""
        first = tuple(replace(each, lines=()) for each in last.evidence[:1])
        plan = make_plan(
            last.text, first, self.limits, max_tokens=self.max_tokens, sees=self.sees, overhead=10
        )
        lines = [len(each.lines) for each in last.evidence]
        sent = (*plan.sent, *(Sent(each.number, "text") for each in last.evidence[1:]))
        left = tuple(replace(each, lines=()) for each in last.evidence[1:])
        counted = tuple(replace(each, of_lines=count) for each, count in zip(sent, lines, strict=True))
        return replace(plan, sent=counted, evidence=(*plan.evidence, *left))

    def generate(self, messages: Sequence[Message], /) -> Iterator[Piece]:
        """The answer as it is written; usage comes last.

        Raises ``GenerationError`` (it failed, or took too long) and ``LimitError`` (its context, or the
        memory here).
        """

        turns, plan = build_turns(messages, self.plan(messages), self._show)
        if self._vlm.takes_films:
            turns = as_films(turns, plan)
        alone = self._vlm.answers_alone
        seen = next((sent.number for sent in plan.sent if sent.how != "text"), None)
        if alone and seen is None:
            yield Piece("NO ANSWER This model answers about an image, and none could be shown to it.")
            yield Piece("", Usage(sent=plan.sent))
            return
        thoughts = ThoughtFilter()
        for part in self._vlm.write(turns, max_tokens=self.most_output, timeout_s=self._within_s):
            if isinstance(part, Counted):
                self.thinks |= thoughts.thought
                if rest := thoughts.close(whole=not part.cut):
                    yield Piece(rest)
                # It saw one image and cannot cite: what it says is about that one.
                yield Piece(f" [{seen}]" if alone else "", _usage(part, plan), cut=part.cut)
            elif text := thoughts.feed(part):
                yield Piece(text)

    def write_all(self, requests: Sequence[Sequence[Message]], /) -> list[str]:
        """The answers to several requests, made in one batch; raises as ``generate``."""
        turns = [build_turns(messages, self.plan(messages), self._show)[0] for messages in requests]
        replies = (
            self._vlm.write_all(turns, max_tokens=self.most_output, timeout_s=self._within_s) if turns else []
        )
        return [without_thoughts(reply) for reply in replies]

    def _show(self, sent: Sent, record: ImageRecord) -> Image.Image:
        return cut(sent, record, self.image_of)


def _usage(counted: Counted, plan: Plan) -> Usage:
    return Usage(
        input_tokens=counted.given,
        image_tokens=counted.images,
        output_tokens=counted.made,
        cost_usd=0.0,
        sent=plan.sent,
    )


def limits_for(vlm: Vlm, max_output: int) -> ModelLimits:
    """Return the limits of this model beside an answer of ``max_output`` tokens."""
    name = vlm.reference.partition("@")[0].rstrip("/").rpartition("/")[2]
    limits = limits_of(name)
    if limits.assumed:
        limits = limits_of(_NAMES.get(vlm.model_type, name))
    if vlm.soft_tokens is not None and limits.formula == "soft_tokens":
        limits = replace(limits, numbers={**limits.numbers, "most": vlm.soft_tokens})
    context = limits.context
    if vlm.context is not None:
        context = vlm.context if limits.assumed else min(context, vlm.context)
    return replace(limits, context=max(context - max_output, context // 2))


def _found(options: GeneratorOptions) -> Iterator[str]:
    """Yield those whose weights are here and that are worth their time on the device, best first."""
    known = () if KIND.missing() else published(SCHEME, "generator")
    here = [fact for fact in known if weights_here(fact.repo)]
    if not here:
        return
    where = options.device
    gpu = (pick_device(import_module("torch")) if where == "auto" else where) != "cpu"
    places = [(fact.rank("gpu" if gpu else "cpu"), fact.repo) for fact in here]
    yield from (repo for place, repo in sorted(places, key=lambda row: row[0] or 0) if place is not None)


def _open(reference: str, options: GeneratorOptions) -> LocalGenerator:
    source = named(reference, local_files_only=options.local_files_only)
    precision = cast(Precision, options.precision)
    vlm = Vlm.load(str(source.path), device=options.device, precision=precision, name=source.name)
    return LocalGenerator(vlm, image_of=options.image_of, max_tokens=options.max_tokens)


KIND = GeneratorKind(
    reference="DIR_OR_REPO",
    modules=("torch", "transformers"),
    install="pip install 'askpix[torch]'",
    open=_open,
    found=_found,
    facts=partial(published, SCHEME, "generator"),
)
