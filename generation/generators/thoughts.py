"""Filter for a model's thoughts: takes them out of a reply as it is written.

Servers that know a model's marks send its thoughts apart; others pass them on in the text. Some prompts open
the thought themselves, so that the reply only closes it.
"""

import re

_PAIRS = {
    "<think>": "</think>",
    "<thinking>": "</thinking>",
    "<thought>": "</thought>",
    "<seed:think>": "</seed:think>",
    "[THINK]": "[/THINK]",
    "◁think▷": "◁/think▷",
    "<|channel>thought": "<channel|>",
}
"""Qwen, DeepSeek, GLM, InternVL and MiniCPM; Claude's old ones; Gemini's; Seed; Mistral; Kimi; Gemma 4."""
_WRAPPERS = ("<answer>", "</answer>", "<|begin_of_box|>", "<|end_of_box|>")
"""Marks that GLM-V puts around its answer after a thought."""
_CLOSINGS = tuple(_PAIRS.values())
_ALL = (*_PAIRS, *_CLOSINGS, *_WRAPPERS)
_CLOSING, _TAG = (re.compile("|".join(map(re.escape, tags))) for tags in (_CLOSINGS, _ALL))
_STARTS = {tag[:end] for tag in _ALL for end in range(1, len(tag))}
_LONGEST = max(map(len, _STARTS))


class ThoughtFilter:
    """Passes on the answer and keeps back thoughts: those that open a reply or a line of it."""

    def __init__(self, *, inside: bool = False) -> None:
        """``inside``: the reply is expected to begin within a thought."""
        self._held = ""
        self._from = 0
        self._closing = _CLOSING if inside else None
        self._expected = inside
        self._line = ""
        """Empty where nothing but space was passed on of the last line."""
        self._passed = False
        self.thought = False
        """A thought was seen."""
        self.unopened = False
        """The reply closed a thought that it had not opened."""
        self.spilled = False
        """True if text that was passed on turned out to be a thought."""

    def feed(self, text: str) -> str:
        """Return what of the answer is certain by now."""
        self._held += text
        passed: list[str] = []
        while True:
            if self._closing is not None:
                end = self._closing.search(self._held, self._from)
                if end is None:
                    if not self._expected:
                        self._held = self._held[-_LONGEST:]
                    self._from = max(0, len(self._held) - _LONGEST)
                    break
                self.unopened |= self._expected
                self._end_thought(end.end())
                continue
            tag = self._next_tag()
            if tag is None:
                passed.append(self._pass_on(self._settled()))
                break
            if tag[0] in _CLOSINGS:
                self.unopened = True
                self.spilled = self._passed
                passed.clear()
                self._end_thought(tag.end())
                continue
            passed.append(self._pass_on(tag.start()))
            self._held = self._held[len(tag[0]) :]
            if tag[0] in _PAIRS:
                self._closing = re.compile(re.escape(_PAIRS[tag[0]]))
                self.thought = True
        return "".join(passed)

    def close(self, *, whole: bool) -> str:
        """Return the rest of the answer; a thought that was not ended is none of it.

        A reply that came to its own end (``whole``) without the thought that was expected is an answer.
        """
        answer = self._expected and whole and not self._held.lstrip().startswith(tuple(_PAIRS))
        return self._pass_on(len(self._held)) if self._closing is None or answer else ""

    def _end_thought(self, end: int) -> None:
        self._held = self._held[end:]
        self._closing = None
        self._expected = False
        self.thought = True
        self._from = 0
        self._line = ""
        self._passed = False

    def _next_tag(self) -> re.Match[str] | None:
        for tag in _TAG.finditer(self._held):
            if tag[0] in _PAIRS:
                line = (self._line + self._held[: tag.start()]).rpartition("\n")[2]
                if not line.strip():
                    return tag
            elif self.thought if tag[0] in _WRAPPERS else not self.thought:
                return tag
        return None

    def _settled(self) -> int:
        """Return how many of the held characters cannot become a tag."""
        for length in range(min(_LONGEST, len(self._held)), 0, -1):
            if self._held[-length:] in _STARTS:
                return len(self._held) - length
        return len(self._held)

    def _pass_on(self, length: int) -> str:
        text = self._held[:length]
        self._held = self._held[length:]
        if not self._passed and self.thought:
            text = text.lstrip()  # the lines between a thought and the answer
        self._passed |= bool(text.strip())
        self._line = (self._line + text).rpartition("\n")[2].strip()[:1]
        return text


def without_thoughts(reply: str, *, whole: bool = True) -> str:
    """Return the answer in a reply; ``whole`` as in ``ThoughtFilter.close``."""
    thoughts = ThoughtFilter()
    return thoughts.feed(reply) + thoughts.close(whole=whole)
