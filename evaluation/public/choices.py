"""Multiple choice and open answers as MMBench and MMMU score them."""

import random
import re
from collections.abc import Mapping

from askpix.evaluation.public.runner import Item

REFUSALS = (
    "Sorry, I can't help with images of people yet.",
    "I can't process this file.",
    "I'm sorry, but without the image provided",
    "Cannot determine the answer",
)
"""Replies that VLMEvalKit takes for none of the options."""
_SIGNS = str.maketrans(dict.fromkeys(".()[],:;!*#{}", " "))
_INDICATORS = ("could be ", "so ", "is ", "thus ", "therefore ", "final ", "answer ", "result ")
_TRIVIAL = frozenset(":,.!?;'")


def infer_choice(reply: str, choices: Mapping[str, str]) -> str | None:
    """The letter that a reply chooses, "Z" for none of them, None when it cannot be told.

    The rule-based half of MMBench's matching (VLMEvalKit, ``can_infer``, not verbose): the only letter that
    stands as a word, else the only option whose text the reply holds. Under its policy ``exact_matching`` (no
    second model as a judge), what cannot be told is wrong.
    """
    if any(refusal in reply for refusal in REFUSALS):
        return "Z"
    words = reply.translate(_SIGNS).split()
    letters = [letter for letter in choices if letter in words]
    if len(letters) == 1:
        return letters[0]
    if not letters and "Z" in words:
        return "Z"
    lower = reply.lower()
    if len(lower) > 2 * sum(len(text) for text in choices.values()):
        return None
    named = [letter for letter, text in choices.items() if text.lower() in lower]
    return named[0] if len(named) == 1 else None


def score_choice(item: Item, reply: str) -> float:
    """1.0 when the letter that the reply chooses is the right one."""
    return float(infer_choice(reply, item.choices) in item.golds)


def parse_choice(reply: str, choices: Mapping[str, str], *, seed: str) -> str:
    """The letter that a reply chooses by MMMU's rules (``parse_multi_choice_response`` of its repository).

    "(B)" before " B " before, in replies of more than five words, an option's text; the last one where there
    are several. When there is none the official code takes one at random; here ``seed`` decides which, so
    that a report is the same each time.
    """
    for sign in (",", ".", "!", "?", ";", ":", "'"):
        reply = reply.strip(sign)
    reply = f" {reply} "
    lower = reply.lower()
    places = {letter: reply.rfind(f"({letter})") for letter in choices}
    if max(places.values()) < 0:
        places = {letter: reply.rfind(f" {letter} ") for letter in choices}
    if max(places.values()) < 0 and len(reply.split()) > 5:
        places = {letter: lower.rfind(text.lower()) for letter, text in choices.items()}
    if max(places.values()) < 0:
        return random.Random(seed).choice(list(choices))  # noqa: S311 - a guess, and no secret
    # Of two that end at one place the first, as numpy's argmax does.
    return max(places, key=lambda letter: places[letter])


def parse_open(reply: str) -> set[str | float]:
    """Parse an open reply by MMMU's rules (``parse_open_response``): the shortest ends of its sentences after
    "is", "so", "=" ..., and the numbers in them.
    """
    # The official code lowers the reply first, so its split at ". " before a capital never happens.
    lines = reply.strip().strip(".").lower().split("\n")
    keys: list[str] = []
    for number, line in enumerate(lines, start=1):
        indicators = (*_INDICATORS, "=") if number == len(lines) else _INDICATORS
        ends = [line.split(sign)[-1].strip() for sign in indicators if sign in line]
        shortest = ""
        for end in ends:
            # An empty end is replaced by the next one, whatever its length.
            if not shortest or len(end) < len(shortest):
                shortest = end
        if shortest and shortest not in _TRIVIAL:
            keys.append(shortest)
    keys = keys or [reply.strip().strip(".").lower()]
    said = [*keys, *(number for key in keys for number in numbers_in(key))]
    return {form for text in said for form in _forms(text)}


def score_mmmu(item: Item, reply: str) -> float:
    """MMMU's accuracy (``eval_multi_choice``, ``eval_open``): the right letter; for open questions a number
    equal at two decimals, or a gold text within what was said."""
    if item.choices:
        return float(parse_choice(reply, item.choices, seed=item.id) in item.golds)
    golds = [form for gold in item.golds for form in _forms(gold)]
    said = parse_open(reply)
    return float(
        any(
            (isinstance(gold, str) and gold in form) if isinstance(form, str) else form in golds
            for form in said
            for gold in golds
        )
    )


def numbers_in(text: str) -> list[str]:
    """Numbers as MMMU finds them: with commas, in scientific notation, plain."""
    return [
        *re.findall(r"-?\b\d{1,3}(?:,\d{3})+\b", text),
        *re.findall(r"-?\d+(?:\.\d+)?[eE][+-]?\d+", text),
        *re.findall(r"-?(?:\d+\.\d+|\.\d+|\d+\b)(?![eE][+-]?\d+)(?![,\d])", text),
    ]


def _forms(text: str) -> list[str | float]:
    text = text.strip()
    try:
        return [round(float(text.replace(",", "")), 2)]
    except ValueError:
        lower = text.lower()
        # One letter would stand in any word.
        return [f" {lower}", f"{lower} "] if len(lower) == 1 else [lower]
