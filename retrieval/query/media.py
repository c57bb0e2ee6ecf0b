"""Reader of files and cameras in a query: kinds, file names, folders, cameras, tags."""

import re
from collections.abc import Iterator

from askpix.retrieval.query.base import Claim, Context
from askpix.retrieval.stores.conditions import name_as_seen

_LEAD = (
    r"\A\W*(?:(?:show|find|get|give|list|search)(?: me| us)?(?: for)? )?(?:(?:all|only|just|some"
    r"|any|more|recent|old|every|my|our|the|of) )*"
)
_TAIL = (
    r"(?=\s*(?:\Z|\n|[,;.!?]|(?:of|from|with|without|taken|shot|made|captured|about|that|which"
    r"|where|by|in|at|near|since|before|after|between|during|over|under|last|this|dated|showing"
    r"|containing|tagged|not|like)\b))"
)
_KINDS = (
    ("photo", re.compile(rf"{_LEAD}(?P<w>photos|photographs)\b{_TAIL}", re.IGNORECASE)),
    (
        "page",
        re.compile(
            rf"{_LEAD}(?P<w>pages|pdfs?|pdf (?:pages?|documents?|files?|scans?)|scanned pages?)\b{_TAIL}",
            re.IGNORECASE,
        ),
    ),
    (
        "frame",
        re.compile(
            rf"{_LEAD}(?P<w>video frames?|frames|videos?|video clips?|clips|films?|footage)\b{_TAIL}",
            re.IGNORECASE,
        ),
    ),
    (
        "screenshot",
        re.compile(rf"{_LEAD}(?P<w>screen ?shots?|screen ?grabs?|screen captures?)\b{_TAIL}", re.IGNORECASE),
    ),
)
_ANYWHERE = (
    ("photo", re.compile(r"(?<![\w-])(?:only|just) (?:photos|photographs)\b", re.IGNORECASE)),
    ("page", re.compile(r"(?<![\w-])(?:in|on) (?:a |the |my )?(?:pdfs?|scanned pages?)\b", re.IGNORECASE)),
    (
        "frame",
        re.compile(
            r"(?<![\w-])(?:in|from) (?:a |the |my )?(?:videos?|video clips?|footage)\b", re.IGNORECASE
        ),
    ),
    (
        "screenshot",
        re.compile(r"(?<![\w-])(?:only|just|in|on|as) (?:a |the |my )?screen ?shots?\b", re.IGNORECASE),
    ),
)
_EXTENSIONS = (
    "jpe?g|png|gif|webp|heic|heif|avif|tiff?|bmp|pdf|raw|cr2|cr3|nef|arw|dng|mp4|mov|avi|mkv|webm|svg|jfif"
)
_FILE = re.compile(
    rf"(?<![\w./*\"“])(?<!\w-)(?:(?:in |from )?(?:the )?(?:file|document|picture|photo|image)"
    r"(?: (?:named|called))? )?"
    rf"(?P<n>(?!-)[\w*?()~+@-]+(?:\.[\w*?()~+@-]+)*\.(?:{_EXTENSIONS}))(?![\w*.-]|/)",
    re.IGNORECASE,
)
_GLOB = re.compile(
    (
        rf"(?<!\S)(?P<n>(?:[^\s*?,;\"]*/)?[^\s/,;\"]*\*[^\s,;\"]*(?:/[^\s,;\"]*|\.(?:{_EXTENSIONS}|\*))"
        rf"|[^\s/,;\"]+/\*)(?!\S)"
    ),
    re.IGNORECASE,
)
_FILES_OF = re.compile(
    rf"(?<![\w-])(?:only |all )?\.?(?P<e>{_EXTENSIONS}) (?:files|images|pictures)\b", re.IGNORECASE
)
_STEM = re.compile(
    r"(?<![\w./\"“])(?<!\w-)(?:(?:file|photo|picture|image|named|called) )?"
    r"(?P<n>(?:_?(?:IMG|DSC|DSCN|DSCF|PXL|MVI|VID|DJI|PICT|CIMG|HPIM|SAM|PANO|WP|GOPR|IMAG|KIMG"
    r"|Screenshot|Screen_Shot|Scan)[_-]?\d{2,}"
    r"|P\d{7}|GX\d{6}|(?:IMG|VID)-\d{8}-WA\d{4})[\w-]*)(?![\w.-])",
    re.IGNORECASE,
)
_FOLDER = re.compile(
    r"(?<![\w-])(?:in|from|inside|under|im|aus)\s+(?:the |my |our |dem |meinem )?"
    r"(?:folder|directory|album|ordner|verzeichnis)(?:\s+(?:called|named|namens))?\s+"
    r"(?:[\"“'](?P<q>[^\"”'\n]+)[\"”']|(?P<n>[^\s\"“'\n,;]+))",
    re.IGNORECASE,
)
_MY_FOLDER = re.compile(
    r"(?<![\w-])(?:in|from|inside)\s+my\s+(?P<n>[\w-]+)\s+(?:folder|directory|album)\b", re.IGNORECASE
)
_TAG = re.compile(r"(?<![\w#&/])#(?P<t>[^\W\d_][\w-]*)")
_TAGGED = re.compile(
    r"(?:\A|(?<=photos )|(?<=pictures )|(?<=images )|(?<=pics )|(?<=shots )|(?<=files )|(?<=receipts )"
    r"|(?<=documents )"
    r"|(?<=everything )|(?<=all )|(?<=fotos )|(?<=bilder ))"
    r"(?:tagged(?: as| with)?|with the tag|getaggt(?: mit| als)?|verschlagwortet mit"
    r"|mit (?:dem )?(?:schlagwort|stichwort|tag))\s+(?:[\"“](?P<q>[^\"”\n]+)[\"”]|(?P<t>[\w-]+))",
    re.IGNORECASE,
)
_BRANDS = frozenset(
    """canon nikon sony fujifilm fuji olympus panasonic lumix leica pentax gopro dji samsung galaxy pixel
    iphone ipad apple huawei xiaomi redmi oneplus hasselblad ricoh kodak motorola nokia lg htc casio
    minolta konica sigma polaroid google oppo vivo realme honor insta360 powershot coolpix cybershot
    eos""".split()
)
_MODEL = (
    r"[A-Za-z][\w-]*(?: (?:[A-Za-z]{1,3}-?\d[\w-]*|\d[\w-]*|EOS|Mark|Pro|Max|Plus|Mini|Ultra"
    r"|Pixel|Galaxy|iPhone|PowerShot|Coolpix|Lumix|Note|Edge|Rebel|II|III|IV|VI|V|X|XS|XR|SE|Hero"
    r"|Alpha|Mini)\b){0,5}"
)
_TAKEN_WITH = re.compile(
    r"(?<![\w-])(?P<v>(?:taken|shot|photographed|captured|made|filmed|recorded) (?:with|on|by|using"
    r"|from)|(?:with|on|from|by|using) (?=my |our ))"
    rf"\s?(?:(?:a|an|my|our|the|his|her) )?(?:old |new )?(?P<m>{_MODEL})(?P<c> (?:camera|phone|cam|dslr"
    rf"|lens))?(?![\w-])",
    re.IGNORECASE,
)


_HAS_EXTENSION = re.compile(rf"(?:{_EXTENSIONS})\b", re.IGNORECASE)
_DIGITS = re.compile(r"\d\d")


def read_files(text: str, context: Context) -> Iterator[Claim]:
    """File names, globs and folders as a glob on the path."""
    del context
    for match in _FOLDER.finditer(text):
        name = (match["q"] or match["n"]).strip().strip("/\\")
        if name and not re.fullmatch(r"(?:of|with|on|in|and|or|the|that|is)", name, re.IGNORECASE):
            yield Claim(match.start(), match.end(), "path", f"{name}/*", {"path": f"{literal(name)}/*"})
    for match in _MY_FOLDER.finditer(text):
        yield Claim(match.start(), match.end(), "path", f"{match['n']}/*", {"path": f"{match['n']}/*"})
    for match in _GLOB.finditer(text) if "*" in text else ():
        yield Claim(match.start(), match.end(), "path", match["n"], {"path": match["n"]})
    named = _HAS_EXTENSION.search(text) is not None
    for match in _FILE.finditer(text) if named else ():
        glob = match["n"] if set(match["n"]) & set("*?") else f"*{literal(match['n'])}"
        yield Claim(match.start(), match.end(), "path", glob, {"path": glob})
    for match in _STEM.finditer(text) if _DIGITS.search(text) else ():
        glob = f"*{match['n']}*"
        yield Claim(match.start(), match.end(), "path", glob, {"path": glob})
    for match in _FILES_OF.finditer(text) if named else ():
        glob = f"*.{match['e'].casefold()}"
        yield Claim(match.start(), match.end(), "path", glob, {"path": glob})


def read_tags(text: str, context: Context) -> Iterator[Claim]:
    """``#holiday``, "tagged holiday"."""
    lower = text.lower()
    for pattern, marks in ((_TAG, ("#",)), (_TAGGED, ("tag", "wort"))):
        for match in pattern.finditer(text) if any(mark in lower for mark in marks) else ():
            tag = tag_of((match.groupdict().get("q") or match["t"]).strip(), context)
            yield Claim(match.start(), match.end(), "tag", tag, {"tags": (tag,)})


def tag_of(word: str, context: Context) -> str:
    """A tag as the collection spells it."""
    return context.known.tags.get(name_as_seen(word), word) if context.known else word


def read_kinds(text: str, context: Context) -> Iterator[Claim]:
    """ "Photos of ...", "screenshots": what all hits shall be, where the collection holds others too."""
    for patterns in (_ANYWHERE, _KINDS):
        for kind, pattern in patterns:
            for match in pattern.finditer(text):
                if claim := kind_claim(match, kind, context):
                    yield claim


def kind_claim(match: re.Match[str], kind: str, context: Context) -> Claim | None:
    """The filter on a kind; None where the collection holds nothing of it, or nothing else."""
    start, end = (match.start("w"), match.end("w")) if "w" in match.re.groupindex else match.span()
    if kind == "screenshot":
        if context.known and "screenshot" not in context.known.tags:
            return None
        return Claim(start, end, "kind", kind, {"tags": ("screenshot",)})
    if context.known and context.known.kinds and kind not in context.known.kinds:
        return None
    return Claim(start, end, "kind", kind, {"kind": kind})


def read_cameras(text: str, context: Context) -> Iterator[Claim]:
    """ "Taken with my Canon", "on my iPhone 12", and cameras that the collection knows by name and number."""
    for match in _TAKEN_WITH.finditer(text):
        words = match["m"].split(" ")
        brand = words[0].casefold() in _BRANDS
        if not brand and not _known_camera(match["m"], context):
            continue
        model = _known_camera(match["m"], context) or match["m"].casefold()
        yield Claim(match.start(), match.end(), "camera", model, {"camera": model})
    if context.known:
        for match in re.finditer(r"(?<![\w-])[A-Za-z][\w-]*(?: [\w-]+){0,3}(?![\w-])", text):
            words = match[0].split(" ")
            for first in range(len(words)):
                for last in range(len(words), first, -1):
                    name = " ".join(words[first:last])
                    if (
                        any(char.isdigit() for char in name)
                        and words[first].casefold() in _BRANDS
                        and _held(name, context)
                    ):
                        start = match.start() + len(" ".join(words[:first])) + (first > 0)
                        yield Claim(
                            start, start + len(name), "camera", name.casefold(), {"camera": name.casefold()}
                        )
                        return


def brand_or_known_camera(name: str, context: Context) -> bool:
    """Return whether a name is a camera's: one that the collection holds, or a brand where nothing is
    known.
    """
    if context.known:
        return _held(name, context)
    return name.split(" ", maxsplit=1)[0].casefold() in _BRANDS and name[:1].isupper()


def _known_camera(name: str, context: Context) -> str | None:
    """The longest beginning of the name that some camera of the collection holds."""
    words = name.casefold().split(" ")
    for last in range(len(words), 0, -1):
        part = " ".join(words[:last])
        if len(part) > 1 and _held(part, context):
            return part
    return None


def _held(name: str, context: Context) -> bool:
    return bool(
        context.known
        and any(re.search(rf"\b{re.escape(name.casefold())}\b", each) for each in context.known.cameras)
    )


def literal(name: str) -> str:
    """A name as a glob that fits it alone."""
    return re.sub(r"[\[*?]", lambda match: f"[{match[0]}]", name)
