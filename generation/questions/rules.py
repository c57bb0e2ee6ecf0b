"""Rules that read the type of answer from the words of a question. The first rule that matches decides.

Order: questions on the image as a thing, then what no reading can answer (colours, reckoning), then typed
values, from the particular to the general. Rules see the question normalised, without its quoted parts.
"""

import re
from typing import Literal, TypeAlias

Wanted: TypeAlias = Literal[
    "picture", "taken", "place", "camera", "size", "file", "moment",
    "reading", "title", "presence", "judgement",
    "total", "amount", "date", "time", "year", "percent", "count", "number", "phone", "email", "url", "ident",
    "measure", "company", "address", "person", "text",
]  # fmt: skip

PICTURE = r"(?:photo(?:graph)?|picture|image|shot|snapshot|pic|screenshot|frame|scan|selfie)s?"
DOCUMENT = (
    r"(?:receipt|invoice|document|page|slide|chart|graph|form|letter|file|bill|ticket|sign|screen|map)s?"
)
_TAKEN = r"(?:taken|take|took|shot|captured|photographed|photograph|shoot)"
_WHEN = r"^(?:when|(?:what|which) (?:date|day|time|year|month))\b"
_IT = r"(?:was|were) (?:this|it|that|these|they) (?:taken|shot|captured|photographed)\b"
_SHOP = (
    r"(?:compan\w+|shop|stores?|restaurant|merchant|vendor|seller|retailer|supermarket|caf[eé]|hotel|"
    r"business|firm)"
)
_COLOUR = r"(?:red|green|blue|orange|gr[ae]y|black|yellow|purple|pink|brown|navy|teal)"
_LISTED = r"(?:list|sign|note|board|whiteboard|label|menu|poster|slide|letter|agenda|todo)"
_MONEY = (
    r"(?:price|cost|amount|subtotal|sub-total|tax|gst|vat|fee|fare|change|cash|tip|balance|discount|rounding|"
    r"budget|charge|deposit|payment|salary|rent)s?"
)
_NOT_MONEY = (
    r"(?:number|count|qty|quantity|tax|gst|vat|discount|pressure|area|solids|time|weight|pages|cig\w*|v\b)"
)

_FILM = r"(?:videos?|clips?|films?|movies?|recordings?|footage)"
_PATTERNS: tuple[tuple[Wanted, tuple[str, ...]], ...] = (
    (
        "moment",
        (
            rf"^(?:when|(?:at )?(?:what|which) (?:time|point|moment|second|minute)|where)\b(?!.*\b{_TAKEN}\b)"
            rf".*\b(?:in|of|on|during) (?:the|this|my|that|a) (?:\w+ ){{0,2}}?{_FILM}\b",
            rf"^how (?:far|long|many (?:seconds|minutes)) in(?:to)? (?:the|this|my|that) (?:\w+ )"
            rf"{{0,2}}?{_FILM}\b",
        ),
    ),
    (
        "taken",
        (
            rf"{_WHEN}.*\b{PICTURE}\b.*\b{_TAKEN}\b",
            rf"{_WHEN}.*\b{_TAKEN}\b.*\b{PICTURE}\b",
            rf"^when {_IT}",
            r"^when did (?:i|we) (?:photograph|shoot)\b",
            rf"\b(?:date|day) (?:of|on) (?:the|this|that) {PICTURE}\b",
        ),
    ),
    (
        "place",
        (
            rf"^where\b.*\b{PICTURE}\b.*\b{_TAKEN}\b",
            rf"^where\b.*\b{_TAKEN}\b.*\b{PICTURE}\b",
            rf"^where {_IT}",
            rf"\b(?:gps|coordinates|latitude|longitude)\b.*\b{PICTURE}\b",
            r"^where did (?:i|we) photograph\b",
        ),
    ),
    (
        "camera",
        (
            r"\b(?:what|which)\b.*\bcamera\b",
            rf"\bcamera\b.*\b{PICTURE}\b.*\b{_TAKEN}\b",
            rf"\b(?:what|which) (?:phone|device|lens)\b.*\b{_TAKEN}\b",
        ),
    ),
    (
        "size",
        (
            rf"\b(?:resolution|dimensions?|how (?:large|big|wide|tall|high))\b.*\b{PICTURE}\b",
            rf"\b{PICTURE}\b.*\b(?:resolution|in pixels)\b",
            r"\b(?:how many|size in) (?:mega)?pixels\b",
        ),
    ),
    (
        "file",
        (
            r"\bfile ?name\b|\bname of the file\b",
            rf"\b(?:file|{PICTURE}) (?:called|named)\b",
            rf"^where is (?:the|this|that) (?:file|{PICTURE})\b",
        ),
    ),
    (
        "picture",
        (
            r"^(?:please )?(?:show(?: me| us)?|find me)\b(?!.*\b(?:total|date|price)\b)",
            rf"^(?:please )?(?:find|get|give|open|display)\b.*\b(?:{PICTURE}|(?!chart|graph){DOCUMENT})\b",
            rf"^(?:which|what)(?: of (?:the|my|these))? (?:{PICTURE}|{DOCUMENT})\b(?! (?:number|type|title))",
            rf"^(?:is|are) there\b.*\b{PICTURE}\b",
            rf"^(?:do|have) (?:i|we|you) (?:have|got)?\b.*\b{PICTURE}\b",
            rf"^where(?:'s| is) (?:my|the) (?:\w+ ){{0,4}}?{DOCUMENT}$",
        ),
    ),
    (
        "judgement",
        (
            r"\b(?:differences?|averages?|mean|median|sum|ratio|multipl\w+|divided?|add(?:ition)?|subtract)\b",
            r"\b(?:status|selected|checked|enabled|disabled|switched|turned|toggled|highlighted|active)\b",
            r"\bhow (?:many|much) (?:more|less|fewer|further|larger|times)\b|\bhow many times\b",
            r"\bcolou?r(?:ed)?\b.*\b(?:bar|line|graph|represent\w*|highest|lowest)\b|\bwhat colou?rs?\b",
            rf"\b{_COLOUR}\b.{{0,12}}\b(?:bar|line|graph|segment|section|part|column|pie|slice|dot)s?\b",
        ),
    ),
    (
        "reading",
        (
            r"^what (?:does|do|did) .*\b(?:say|read|state)$",
            r"^what(?:'s| is| was)? (?:written|printed)\b|^what (?:text|words)\b",
            r"^(?:please )?(?:read|transcribe)\b",
            rf"^what(?:'s| is| are) (?:on|in) (?:the|my|this|that) (?!{PICTURE})(?:\w+ ){{0,3}}?{_LISTED}$",
        ),
    ),
    ("title", (r"\b(?:title|headline|heading|header)\b", r"^what is .*\babout$")),
    (
        "presence",
        (
            r"^(?:is|are|does|do|did|has|have|was|were)\b.*\b(?:mention\w*|contain\w*|says?|said|includes?|"
            r"included|written|printed|appears?|list\w*|there)\b",
            rf"^(?:is|are|was|were) .* (?:in|on) (?:the|this|any|a) (?:{DOCUMENT}|{PICTURE}|list)$",
        ),
    ),
    ("judgement", (r"^(?:is|are|does|do|did|has|have|was|were|can)\b",)),
    ("email", (r"\be-?mail\b(?! (?:notif|status|tab))|\bgmail\b",)),
    ("url", (r"\b(?:website|web ?site|web address|url|web page|homepage|domain)\b",)),
    (
        "phone",
        (r"\b(?:phone|telephone|mobile|fax|tel|hotline|call)\b(?!.*\b(?:status|model|camera)\b)",),
    ),
    ("address", (r"\baddress(?:es)?\b(?! tab)|^where is .+ (?:located|based|situated)\b",)),
    (
        "percent",
        (r"\b(?:percent(?:age)?|per cent|what %|share of|% of)\b|^what'?s? (?:is )?the %",),
    ),
    ("count", (r"\bhow many\b|^(?:what(?:'s| is) )?(?:the )?number of\b",)),
    ("ident", (r"\b(?:number|no|nr|num|id|code|reference|ref)\b|#",)),
    ("year", (r"\b(?:which|what) years?\b|\byear of\b",)),
    (
        "date",
        (
            r"\b(?:what|which) (?:is |was |are )?(?:the )?(?:day|dates?)\b",
            r"\bdate\b|^(?:on )?(?:what|which) day\b",
        ),
    ),
    ("time", (r"\b(?:what|which|at what) time\b|\btime\b(?= of| is| was|\??$)",)),
    ("date", (r"^(?:and |so )?when\b|\bdeadline\b",)),
    ("number", (r"\bvalue\b",)),
    (
        "total",
        (
            r"\b(?:grand|nett?|overall|final) total\b",
            rf"\btotal\b(?! {_NOT_MONEY})",
            r"\bhow much (?:was|did|is) (?:\w+ ){0,4}?(?:paid|pay|spend|spent|charged?|"
            r"the (?:bill|receipt|meal|total|purchase))\b",
            r"\b(?:i|we) (?:pay|spend)\b",
        ),
    ),
    ("amount", (rf"\bhow much\b(?!.*\b(?:time|audio|percentage)\b)|\b{_MONEY}\b",)),
    (
        "company",
        (
            rf"^(?:which|what|who)\b.*\b{_SHOP}\b",
            r"^who (?:issued|sold|billed|charged|sent)\b",
            rf"\bname of the {_SHOP}\b",
            r"^where (?:did|was) .*\b(?:bought|buy|purchased?|eat|shop)\b",
        ),
    ),
    (
        "measure",
        (
            r"\b(?:weight|height|duration|distance|temperature|age|speed|length|width|depth|radius|rating|score|"
            r"interval|pressure|capacity|diameter|circumference|altitude|humidity|version)\b",
            r"^how (?:far|long|old|tall|heavy|deep|wide|fast|hot|cold)\b",
        ),
    ),
    ("person", (r"^who(?:'s|se)?\b|\bauthors?\b",)),
)

_RULES = tuple((wanted, re.compile("|".join(patterns))) for wanted, patterns in _PATTERNS)


def wanted_by(plain: str) -> Wanted:
    """The type of answer that a normalised question asks for; ``text`` when no rule matches."""
    for wanted, rule in _RULES:
        if rule.search(plain):
            return wanted
    return "text"
