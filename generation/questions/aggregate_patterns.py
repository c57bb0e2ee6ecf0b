"""Patterns of questions about a whole collection, for ``askpix.generation.questions.aggregate``.

Each is matched against a question with single spaces and without its question mark.
"""

import re
from typing import Literal, TypeAlias

What: TypeAlias = Literal[
    "count", "group", "most", "fewest", "first", "last", "sum", "list", "highest", "lowest", "span"
]
By: TypeAlias = Literal[
    "year", "month", "calendar month", "day", "weekday", "country", "city", "camera", "kind", "tag"
]

PICTURE = (
    r"(?:photo(?:graph)?s?|pictures?|images?|pics?|snap(?:shot)?s?|selfies?|screen ?shots?|shots?|"
    r"scans?|videos?|frames?)"
)
PAPER = (
    r"(?:receipts?|invoices?|documents?|bills?|tickets?|pages?|slides?|charts?|graphs?|forms?|letters?|"
    r"files?|pdfs?|menus?)"
)
NOUN = rf"(?:{PICTURE}|{PAPER})"
LEAD = (
    r"^(?:(?:and|so|ok|okay|please|hey|hi|now|then),? )*(?:(?:can|could|would|will) you (?:please )?)?"
    r"(?:(?:tell|show|give|let) me(?: know)? |do you know |i (?:want|would like|'d like) to know )?"
)
OF_IMAGE = (
    r"(?:of|with|without|not|never|outside|except|excluding|other than|but|"
    r"show(?:s|ing)?|contain(?:s|ing)?|about|from|in|at|on|near|by|for|taken|"
    r"shot|made|dated|tagged|"
    r"since|before|after|between|during|until|over|under|that|which|where|last|this|per|each|"
    r"mention(?:s|ing)?|"
    r"says?|have|has|around|within|like)"
)
SEEN_THERE = re.compile(
    r"\b(?:in|on|of|from) (?:the|this|that|these|those) (?:['\"‘“]?\w+['\"’”]? ){0,2}?"
    r"(?:screen|page|chart|graph|slide|report|document|pictures?|image|photo|screenshot|list|table|"
    r"figure|app|"
    r"album|gallery|book|survey|form|menu|window|post|article|paper|presentation|deck|letter|"
    r"receipt|invoice|bill)\b|"
    r"\b(?:are|is|were|was) (?:selected|shown|displayed|listed|left|remaining|uploaded|liked|sold|"
    r"depicted|visible|"
    r"attached|mentioned|highlighted|checked|open|unread|represented)\b|\bdo(?:es)? (?!i\b|we\b|you\b)",
    re.IGNORECASE,
)
MINE = (
    r"(?:(?:do|did|have|had) (?:i|we|you) (?:already |ever )?(?:have|had|got|take|took|taken|shoot|shot|"
    r"make|made|keep|own|store|scan|scanned|get)?|(?:are|were) there|there (?:are|were)|(?:are|were) in "
    r"(?:here|there|(?:my|the) (?:archive|collection|library)))"
)
HOW_MANY = re.compile(
    rf"{LEAD}(?:how many|(?:what(?:'s| is| was) |give )?the (?:total )?(?:number|count) of|"
    rf"number of|count(?: of)?)"
    rf"(?: (?:of )?(?:all|my|our|the|these|different|distinct))* (?P<adj>(?:(?!of\b|in\b|on\b|"
    rf"with\b|from\b)[\w'-]+ ){{0,3}}?)(?P<noun>{NOUN})\b"
    rf"(?P<rest>.*)$",
    re.IGNORECASE,
)
DID_I = re.compile(
    rf"{LEAD}how many (?P<thing>(?!times|photos|pictures)[\w' -]{{2,40}}?) (?:did|have) (?:i|we) "
    r"(?:photograph(?:ed)?|take[n]? (?:photos|pictures|a photo|a picture) of|shoot|shot|"
    r"scan(?:ned)?)\b(?P<rest>.*)$",
    re.IGNORECASE,
)
HOW_OFTEN = re.compile(
    rf"{LEAD}how (?:often|many times) (?:did|have|had) (?:i|we) "
    r"(?:photograph(?:ed)?|take[n]? (?:a )?(?:photos?|pictures?)(?: of)?|shoot|shot|"
    r"captured?)\b ?(?P<rest>.*)$",
    re.IGNORECASE,
)
GROUPS: tuple[tuple[By, str], ...] = (
    ("year", r"years?"),
    ("weekday", r"(?:weekdays?|days? of the week)"),
    ("calendar month", r"months? of the year"),
    ("month", r"months?"),
    ("day", r"days?|dates?"),
    ("country", r"countr(?:y|ies)"),
    ("city", r"(?:cit(?:y|ies)|towns?|places?|locations?)"),
    ("camera", r"(?:cameras?|phones?|devices?)"),
    ("kind", r"(?:kinds?|types?)"),
    ("tag", r"(?:tags?|labels?)"),
)
ANY_GROUP = "|".join(f"(?:{words})" for _, words in GROUPS)
PER = re.compile(
    rf"\b(?:per|by|(?:in|for|of|on) each|each|every|grouped by|split by) (?P<by>{ANY_GROUP})\b",
    re.IGNORECASE,
)
A_YEAR = re.compile(r"\ba (?P<by>year|month|day)$", re.IGNORECASE)
PLAIN_PER = re.compile(
    rf"{LEAD}(?:(?:list|count|break down|break|group|chart|plot)(?: down)? )?(?:all |my |our |the "
    rf")*(?P<noun>{NOUN})\b(?P<rest>.*)$",
    re.IGNORECASE,
)
MOST = re.compile(
    rf"{LEAD}(?:(?:in|on|from|with|at) )?(?:what|which)(?:'s| is| was)?(?: the)? "
    rf"(?P<by>{ANY_GROUP})\b(?P<rest>.*)$",
    re.IGNORECASE,
)
MUCH = re.compile(rf"\b(?:the )?(?P<much>most|fewest|least)\b(?: (?P<noun>{NOUN}))?", re.IGNORECASE)
WHEN_MOST = re.compile(
    rf"{LEAD}(?P<q>when|where) (?:did|do|have) (?:i|we) (?:take|took|taken|shoot|shot|have|make) (?:the )?"
    rf"(?P<much>most|fewest|least)(?: of)?(?: my| the)? (?P<noun>{NOUN})\b(?P<rest>.*)$",
    re.IGNORECASE,
)
ORDER = r"(?P<order>first|earliest|oldest|last|latest|newest|most recent)"
FIRST = re.compile(
    rf"{LEAD}(?:(?:what|which|when|where)(?:'s| is| was| are| were)? |show(?: me)? |find(?: me)? |"
    rf"get(?: me)? |open )?"
    rf"(?:my|our|the|is|was)? ?(?:very )?{ORDER} (?:(?P<limit>\d{{1,2}}|two|three|four|five|ten) )?"
    rf"(?P<adj>(?!(?:year|month|week|summer|winter|night|weekend|spring|autumn|fall|"
    rf"christmas)\b)(?:[\w-]+ ){{0,2}}?)"
    rf"(?P<noun>{NOUN})\b(?P<rest>.*)$",
    re.IGNORECASE,
)
WHEN_FIRST = re.compile(
    rf"{LEAD}(?:when|where) (?:did|have|had) (?:i|we) {ORDER}(?: (?:ever|time))? "
    r"(?:photograph(?:ed)?|take[n]? (?:an? )?(?:photos?|pictures?)(?: of)?|shoot|shot|captured?|"
    r"seen?)\b ?(?P<rest>.*)$|"
    rf"{LEAD}(?:when|where) (?:was|is) the {ORDER.replace('<order>', '<order2>')} time (?:that )?(?:i|we) "
    r"(?:photographed|took (?:an? )?(?:photos?|pictures?)(?: of)?|shot|captured|saw)\b ?(?P<rest2>.*)$",
    re.IGNORECASE,
)
WHICH = re.compile(
    rf"{LEAD}(?:(?:what|which|list(?: all)?|how many)(?: the)?(?: different| distinct| all| my)*) "
    rf"(?P<by>{ANY_GROUP})\b"
    r"(?: (?:(?:do|did|have) (?:i|we) (?:have|got|been|use[d]?|taken?|photograph(?:ed)?|"
    r"visit(?:ed)?)?(?: (?:to|in|with|photos in|pictures in|photos|pictures|from))*"
    r"|(?:are|were) (?:there|in (?:here|my (?:archive|collection|library)))|were used|are my "
    r"(?:photos|pictures) from"
    r"|do my (?:photos|pictures) (?:cover|have|come from|show)))+(?P<rest>.*)$",
    re.IGNORECASE,
)
SPAN = re.compile(
    rf"{LEAD}(?:(?:when|what (?:dates?|period|time|years?)) (?:do|does|did) (?:my|the|our) "
    rf"(?:{NOUN}|archive|collection|library) "
    rf"(?:begin|start|end|stop|cover|span)|how (?:old|far back) (?:are|do|does|is) (?:my|the|our) "
    rf"(?:{NOUN}|archive|collection|library)(?: go| reach)?)\b(?P<rest>.*)$",
    re.IGNORECASE,
)
SPEND = re.compile(
    rf"{LEAD}(?:how much (?:money )?(?:did|have|had) (?:i|we) (?:spend|spent|pay|paid)|"
    r"(?:what (?:did|have) (?:i|we) (?:spend|spent|pay|paid)))\b(?P<rest>.*)$",
    re.IGNORECASE,
)
SUM = re.compile(
    rf"{LEAD}(?:(?:what(?:'s| is| was) )?(?:the )?(?:sum|total(?: sum| amount| spending)?|grand "
    rf"total)|add up|sum up|sum|total) "
    r"(?:(?:of|for|on|over|from|up) )?(?:all )?(?:of )?(?:my |our |the |these )?(?P<noun>receipts|"
    r"invoices|bills|tickets)\b(?P<rest>.*)$",
    re.IGNORECASE,
)
LIST = re.compile(
    rf"{LEAD}(?:what (?:are|were) |which are |list |show |give )?(?:me )?(?:all )?(?:the |my |our )?"
    r"(?:totals|amounts|total amounts|sums)(?: due| payable| paid)? (?:of|for|on|from) "
    r"(?:(?:all|each|every|the single) )?(?:of )?(?:my |our |the |these )?"
    r"(?P<noun>receipts?|invoices?|bills?|tickets?)\b(?P<rest>.*)$",
    re.IGNORECASE,
)
ALTOGETHER = re.compile(
    r"\b(?:in total|altogether|overall|all together|in all|on all (?:my |the )?(?:receipts|invoices|bills)|"
    r"(?:on|across|over) (?:my |the )?(?:receipts|invoices|bills))\b",
    re.IGNORECASE,
)
EXTREME = re.compile(
    rf"{LEAD}(?:(?:what|which)(?:'s| is| was)? |show(?: me)? |find(?: me)? )?(?:my |our |the "
    rf")?(?P<much>most expensive|highest|largest|biggest|cheapest|lowest|smallest) "
    r"(?P<noun>receipts?|invoices?|bills?|tickets?)\b(?P<rest>.*)$|"
    rf"{LEAD}which (?:of my |of the )?(?P<noun2>receipts?|invoices?|bills?|tickets?) (?:has|had|is|"
    rf"was|shows) the (?P<much2>highest|largest|biggest|lowest|smallest|most expensive|cheapest)(?: "
    rf"(?:total|amount|sum|one))?(?P<rest2>.*)$",
    re.IGNORECASE,
)
INSIDE = frozenset(
    {"page", "slide", "file", "form", "letter", "menu", "chart", "graph", "frame", "bill", "ticket"}
)
"""Things that stand in images too ("How many pages are there?"): somebody's own are meant when so said."""
OWN = re.compile(
    r"\b(?:my|our|do (?:i|we|you)|did (?:i|we)|have (?:i|we)|(?:i|we) (?:have|took|scanned)|in here|"
    r"(?:archive|collection|library))\b",
    re.IGNORECASE,
)
LOW = frozenset({"cheapest", "lowest", "smallest"})
LIMITS = {"two": 2, "three": 3, "four": 4, "five": 5, "ten": 10}
LATE = frozenset({"last", "latest", "newest", "most recent"})
FILL = re.compile(
    rf"\b(?:{MINE}|(?:were|was|are|is|have been|has been) (?=taken|shot|made|dated|tagged|from|of|"
    rf"in|with|about|there)|"
    r"(?:that |which )?(?:i|we) (?:have|had|got|took|take|shot|made|scanned)|altogether|in total|"
    r"overall|so far|all time|ever)\b",
    re.IGNORECASE,
)
