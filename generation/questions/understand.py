"""Parser of questions: the type of the answer, the words that name it, the words to search by.

Nothing is learned and nothing is random: the same question is always understood in the same way, and a
question that fits no rule is a plain ``text`` question.
"""

import re
from dataclasses import dataclass

from askpix.generation.questions.rules import PICTURE, Wanted, wanted_by
from askpix.generation.word_match import content_words, normalise, tokens

# Words that say what kind of thing the image is or what kind of answer is wanted, not which one.
_FILLER = frozenset(
    content_words(
        """photo photograph picture image shot snapshot pic screenshot frame scan selfie receipt invoice
        document page slide chart graph form letter file bill ticket sign screen app application value
        amount following current currently different available right now printed display used using
        name mean data according report table figure bar line percent percentage percents share many
        much called entered selected shown visible listed total number people represent written said
        stated mentioned given title headline heading header about"""
    )
)
# Words of the type itself: they name no place on the page on their own.
_TYPE_WORDS: dict[Wanted, frozenset[str]] = {
    "date": frozenset({"date", "day", "when", "issued", "issue"}),
    "time": frozenset({"time"}),
    "year": frozenset({"year"}),
    "total": frozenset(
        {"total", "grand", "net", "nett", "pay", "paid", "spend", "spent", "cost", "final", "overall"}
    ),
    "amount": frozenset({"cost", "price", "pay", "paid", "charged"}),
    "presence": frozenset("mention mentioned contain include included appear word there".split()),
    "percent": frozenset({"percentage", "percent", "share"}),
    "phone": frozenset({"phone", "telephone", "tel", "number", "call", "contact"}),
    "email": frozenset({"email", "mail", "address", "gmail"}),
    "url": frozenset({"website", "site", "web", "url", "address", "homepage"}),
    "address": frozenset(
        "address located based shop store company restaurant merchant vendor hotel seller".split()
    ),
    "company": frozenset(
        "company shop store restaurant merchant vendor seller retailer issued sold issue sell hotel cafe "
        "café business firm bought buy purchased purchase eat charged billed sent supermarket".split()
    ),
    "count": frozenset({"number", "count"}),
}
_COUNTING = frozenset("many number count total how".split())
_QUOTED = re.compile(r'(?<!\S)(-?)["“”„«]([^"“”„«»]{1,200})["“”»]')
_MINUS = re.compile(r"(?<!\S)-[^\W\d_][^\s\"]*")
_QUESTION_START = re.compile(
    r"^(?:please |can you |could you )*(?:tell me |show me |find me |find |give me )?(?:(?:in|on|at|for) )?"
    r"(?:what(?:'s| is| are| was| were)?|which|who(?:'s| is| was)?|when(?:'s| is| was| did| does)?|"
    r"where(?:'s| is| was| did| does)?|how (?:much|many|large|big|long|old)|how|(?:is|are) there|"
    r"(?:do|did) (?:i|we|you) have|why)\b\s*",
    re.IGNORECASE,
)
_HEAD_END = re.compile(
    r"\b(?:of|for|on|in|at|from|by|to|with|under|is|are|was|were|do|does|did|has|have|had|"
    r"will|would|can|that|who|which)\b|[\"“”]",
    re.IGNORECASE,
)
_ABOUT_IMAGES: frozenset[Wanted] = frozenset(
    {"picture", "taken", "place", "camera", "size", "file", "moment"}
)
# "Which image shows a dog?", "Where was the photo of the dog taken?" look for "a dog", "the dog".
_WRAPPING = re.compile(
    r"^(?:please |can you |could you )*(?:show|find|get|give|open|display)(?: me| us)?\b|"
    r"^(?:is|are) there\b|^(?:do|did|have) (?:i|we|you)(?: have| got)?\b|"
    r"^(?:when|where|how (?:large|big|wide|high))(?:'s| is| was| were| did (?:i|we))?\b|"
    r"^(?:what|which)(?:'s| is| was)?(?: the)?\b"
    r"(?: (?:camera|phone|device|lens|date|day|time|year|resolution|size))?"
    r"(?: (?:of|on|in|took|was|did))?\b|"
    rf"\b(?:a |an |the |any |my |this |that |some )?{PICTURE}\b"
    r"(?: (?:of|with|show(?:s|ing)?|containing|from|about))?|"
    r"\b(?:taken|shot|captured|photographed)\b(?: (?:with|on|at|by|in))?",
    re.IGNORECASE,
)


_MOMENT = re.compile(
    r"^(?:(?:at )?(?:what|which) (?:time|point|moment|second|minute)|when|where|how (?:far|long|"
    r"many \w+) into?)\b|"
    r"\b(?:do|does|did|can|is|are|was|were|we|you|i|see|first|last|appears?|seen|shown|visible|"
    r"happens?|come[s]? up|show[s]? up)\b",
    re.IGNORECASE,
)
"""Words that ask for a time in a video; the rest says what is to be seen then."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question as understood."""

    text: str
    """The question without minus words, one space between words."""
    wanted: Wanted
    focus: tuple[str, ...]
    """Tokens that name what is asked for and about whom, without filler and words of the type."""
    named: tuple[str, ...]
    """Words of ``focus`` that must match exactly: quoted, capitalised or with a digit."""
    head: tuple[str, ...] = ()
    """Words of ``focus`` that name the thing itself, before "of", "for" or "on": one must stand near."""
    quoted: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    """All content words, type words included."""
    lead: tuple[str, ...] = ()
    """Words before "of", "for" or "on": the label itself, "invoice number"."""


def understand(question: str) -> Asked:
    """Sort a question by its words. Never fails: what fits no rule is ``text``."""
    quoted = tuple(match[2].strip() for match in _QUOTED.finditer(question) if not match[1])
    kept = _MINUS.sub(" ", _QUOTED.sub(lambda match: " " if match[1] else match[0], question))
    text = " ".join(kept.split())
    plain = normalise(_QUOTED.sub(" ", kept)).strip(" ?!.")
    wanted = wanted_by(plain)
    words = content_words(text)
    drop = _TYPE_WORDS.get(wanted, frozenset()) | _FILLER
    inside = {token for phrase in quoted for token in tokens(phrase)}
    focus = [word for word in words if word in inside or word not in drop]
    named = _named(text) | inside
    first = content_words(_HEAD_END.split(_QUESTION_START.sub("", text), maxsplit=1)[0])
    # What is counted must stand by its number, be it as plain as "page" or "item".
    head = [word for word in first if word in focus or (wanted == "count" and word not in _COUNTING)]
    focus = list(dict.fromkeys([*head, *focus]))
    return Asked(
        text,
        wanted,
        focus=tuple(focus),
        named=tuple(word for word in focus if word in named),
        head=tuple(head),
        quoted=quoted,
        words=tuple(words),
        lead=tuple(word for word in first if word in words),
    )


def _named(text: str) -> set[str]:
    """Tokens written with a capital anywhere but at the start, or holding a digit."""
    found: set[str] = set()
    for index, word in enumerate(text.split()):
        bare = word.strip("\"'“”‘’«»().,;:?!")
        if bare and ((index > 0 and bare[0].isupper()) or any(char.isdigit() for char in bare)):
            found.update(tokens(bare))
    return found


def search_text(question: str) -> str:
    """The question as a search. Quotes and minus words stay as they are.

    A question about words in an image is searched as it stands: measured on 212 questions to charts, 133
    to screens and 120 to receipts among 969 images, taking question words out found the right image
    less often (R@1 0.27 for 0.30, 0.49 for 0.52, 0.83 for 0.91). Only what wraps the thing that an image
    shows is taken off: "Which image shows a dog?" -> "a dog".
    """
    plain = " ".join(question.split())
    wanted = understand(question).wanted
    if wanted not in _ABOUT_IMAGES:
        return plain
    if wanted == "moment":
        return " ".join(_MOMENT.sub(" ", plain).rstrip("?!. ").split()) or plain
    kept: list[str] = []

    def keep(match: re.Match[str]) -> str:
        kept.append(match[0].strip().rstrip("?!.,;"))
        return " "

    rest = _MINUS.sub(keep, _QUOTED.sub(keep, plain)).rstrip("?!. ")
    rest = " ".join(_WRAPPING.sub(" ", rest).split()).strip(" ,;:?")
    if kept and not content_words(rest):
        rest = ""
    return " ".join([*([rest] if rest else []), *kept]) or plain
