"""Words in an image that speak to a model rather than to a reader: instructions planted to be obeyed.

A model is told that words in images are data (``prompt.SYSTEM``); not every model keeps to it. So lines
that read like instructions are told apart here by rules: ``extractive`` does not quote them, and a claim that
rests on nothing else does not stand (``claims``). The rules look for who is addressed and what is demanded,
in the languages people try it in; they are no proof against wording that nobody thought of.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import replace

from askpix.core.types import Evidence, TextLine

_AFTER = 2
"""Lines after a planted one that go with it: what is to be said often stands under the order to say it."""
_MARKS = re.compile(
    r"<\|?/?(?:im_start|im_end|endoftext|system|assistant|user|eot_id|begin_of_text|start_header_id)\|?>|"
    r"\[/?INST\]|<</?SYS>>|</?(?:system|instructions?|evidence|tool_call|function)\b[^>]{0,40}>|"
    r"!\[[^\]]{0,200}\]\s?\(|\]\s?\(\s?(?:https?:|data:|javascript:)|<(?:img|script|iframe|a)\b|"
    r"^\W*(?:begin|end) (?:of )?(?:evidence|context|system|prompt)\b|```",
    re.IGNORECASE,
)
_SPEAKER = re.compile(
    r"^\W*(?:system(?: ?(?:prompt|message|note|override))?|assistant|developer|user|human|ai|gpt|"
    r"chatgpt|claude|gemini|"
    r"new (?:instructions?|task)|admin(?:istrator)?|important (?:instructions?|note) (?:to|for))"
    r"\s?[:：>\]].{8}",
    re.IGNORECASE,
)
_TOLD = (
    # what was said before is to be forgotten
    r"\b(?:ignore|disregard|forget|override|bypass|overrule)\b.{0,40}\b(?:instruction|prompt|rule|"
    r"previous|above|prior|earlier|"
    r"question|evidence|context|guideline|direction|everything)",
    r"\b(?:ignorier|vergiss|missachte|verwirf)\w*.{0,40}(?:anweisung|regel|vorherig|bisherig|frage|oben)",
    r"\b(?:ignore[rz]?|oublie[rz]?|ne tiens pas compte)\b.{0,40}(?:instruction|consigne|"
    r"pr[ée]c[ée]dent|question|r[èe]gle)",
    r"\b(?:ignora|olvida|no hagas caso|descarta|haz caso omiso)\w*.{0,40}(?:instruccion|anterior|"
    r"pregunta|regla)",
    r"\b(?:ignora|dimentica|trascura)\w*.{0,40}(?:istruzion|precedent|domanda|regol)",
    r"\b(?:ignore|esque[çc]a|desconsidere)\w*.{0,40}(?:instru[çc]|anterior|pergunta|regra)",
    r"\b(?:negeer|vergeet)\b.{0,40}(?:instructie|vorige|eerdere|vraag)",
    r"(?:игнорируй|забудь|не обращай внимания).{0,40}(?:инструкц|указан|предыдущ|вопрос|правил)",
    r"(?:zignoruj|zapomnij|pomiń).{0,40}(?:instrukcj|poleceni|poprzedni|pytani)",
    r"(?:önceki|yukarıdaki).{0,30}(?:talimat|komut).{0,30}(?:yok say|unut|görmezden)",
    r"忽略.{0,12}(?:指令|指示|说明|提示|问题|内容)|无视.{0,12}(?:指令|指示|说明)|请(?:只|仅)?回答|"
    r"(?:指示|命令|質問).{0,8}(?:無視|忘れ)|무시하|이전.{0,8}지시|تجاهل.{0,20}(?:التعليمات|السابقة)|"
    r"पिछले.{0,20}निर्देश|अनदेखा",
    # a role or a secret
    r"\byou are (?:now|no longer|a|an)\b.{0,60}\b(?:assistant|ai|model|bot|dan|mode|hacker|agent|"
    r"admin)|\bact as\b.{0,30}\b(?:an?|the|if)\b|"
    r"\bpretend (?:to be|that|you)\b|\bas an? (?:ai|assistant|language model)\b|\bdeveloper mode\b|\bjailbr",
    r"\b(?:reveal|print|show|repeat|output|leak|tell me|send)\b.{0,30}\b(?:system prompt|your "
    r"(?:instructions|prompt|rules)|api key|password|secret)",
    r"\b(?:do not|don't|never)\b.{0,20}\b(?:tell|mention|inform|reveal|alert|warn|cite|quote|"
    r"disclose)\b.{0,30}\b(?:user|this|these|that|person|human|text)",
    # what is to be said or done
    r"\b(?:answer|reply|respond|say|write|output|state|report|tell (?:the user|them)|print|conclude|"
    r"claim)\b.{0,12}"
    r"\b(?:only|exactly|just|with|that|instead|always|verbatim)\b.{0,60}(?:[:\"“']|\bthat\b|\bwith\b|\d)",
    r"\b(?:your|the) (?:answer|reply|response|output) (?:must|should|shall|has to|is to|needs to) "
    r"(?:be|contain|say|include|end|begin|start)\b",
    r"\b(?:when|if) (?:you(?: are|'re)? )?(?:asked|answering|summari[sz]ing|reading|"
    r"processing)\b.{0,60}\b(?:say|answer|reply|respond|write|include|state)\b",
    r"\b(?:reply|respond|answer|say|write|output|print)\b.{0,20}"
    r"\b(?:the (?:word|phrase|sentence)|with the following)\b",
    r"\b(?:antworte|antworten sie|schreibe?|sag)\b.{0,20}\b(?:nur|immer|genau|dass|stattdessen|mit)\b",
    r"\b(?:r[ée]ponds?|r[ée]pondez|dis|[ée]cris)\b.{0,20}\b(?:seulement|uniquement|toujours|que|par|avec)\b",
    r"\b(?:responde|contesta|di|escribe)\b.{0,20}\b(?:solo|s[óo]lo|siempre|que|[úu]nicamente|con)\b",
    r"\brispondi\b.{0,20}\b(?:solo|sempre|che|con)\b|\bresponda\b.{0,20}\b(?:apenas|somente|que|sempre)\b",
    r"\bantwoord\b.{0,20}\b(?:alleen|altijd|met|dat)\b|(?:ответь|отвечай|напиши).{0,20}(?:только|всегда|что)",
    r"\b(?:append|include|insert|embed|add|render|load|fetch|"
    r"call)\b.{0,30}\b(?:link|url|image|markdown|https?|www)\b",
    r"\b(?:dear|hello|hey|attention|note to|message (?:to|for))\b.{0,12}\b(?:ai|assistant|model|llm|"
    r"chatbot|gpt|language model)\b",
)  # fmt: skip
_PLANTED = re.compile("|".join(_TOLD), re.IGNORECASE)
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff\U000e0000-\U000e007f]")
_MOST = 600


def planted(text: str) -> bool:
    """Return whether a line of text reads like an instruction to a model."""
    plain = " ".join(_INVISIBLE.sub("", unicodedata.normalize("NFKC", text[:_MOST])).split())
    return bool(_MARKS.search(plain) or _SPEAKER.search(plain) or _PLANTED.search(plain))


def planted_lines(lines: Sequence[TextLine]) -> tuple[frozenset[int], frozenset[int]]:
    """Positions of lines that read like instructions, also where one runs over the end of a line; and of the
    next lines under these in the same column, no further off than two heights, which may go with them.
    """
    orders: set[int] = set()
    after: set[int] = set()
    for at, line in enumerate(lines):
        below = _under(lines, at, 1)
        if planted(line.text):
            orders.add(at)
            after.update(_under(lines, at, _AFTER))
        elif below and not planted(lines[below[0]].text) and planted(f"{line.text} {lines[below[0]].text}"):
            orders |= {at, below[0]}
            after.update(_under(lines, below[0], _AFTER))
    return frozenset(orders), frozenset(after - orders)


def _under(lines: Sequence[TextLine], at: int, limit: int) -> list[int]:
    """The lines that go on right under one."""
    found: list[int] = []
    for other in range(at + 1, len(lines)):
        above = lines[found[-1] if found else at].box
        here = lines[other].box
        height = max(above.y1 - above.y0, 1.0)
        apart = here.y0 - above.y1
        shared = min(above.x1, here.x1) - max(above.x0, here.x0)
        if len(found) == limit or apart > 2 * height or shared <= 0:
            break
        found.append(other)
    return found


def without_planted(evidence: Evidence) -> Evidence:
    """The evidence without lines that read like instructions; what follows them may be the page's own."""
    orders, _ = planted_lines(evidence.lines)
    honest = tuple(line for i, line in enumerate(evidence.lines) if i not in orders)
    return replace(evidence, lines=honest) if orders else evidence
