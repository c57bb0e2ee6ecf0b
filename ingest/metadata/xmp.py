"""XMP: what programs write about an image, in it or in a file beside it (ISO 16684-1). Never trusted.

Read: dc, photoshop, xmp, exif, Iptc4xmpCore and Iptc4xmpExt fields; people from face regions (MWG 2010, and
Microsoft's), PersonInImage and Lightroom's "People|Ann". No document type, hence no entity, is let in.
"""

import logging
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, NoReturn
from xml.etree import ElementTree

from askpix.ingest.metadata.exif import TakenAs, on_its_side, parse_date
from askpix.ingest.metadata.model import About, clean_keywords, clean_names, clean_text, on_earth, stars

_log = logging.getLogger(__name__)
MAX_XMP = 4 * 2**20
"""Bytes; darktable's and Lightroom's histories of edits take some hundred thousand."""
_MAX_NODES = 100_000
_DEEPEST = 32
_NAMESPACES = {
    "dc": "http://purl.org/dc/elements/1.1/",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "photoshop": "http://ns.adobe.com/photoshop/1.0/",
    "exif": "http://ns.adobe.com/exif/1.0/",
    "tiff": "http://ns.adobe.com/tiff/1.0/",
    "core": "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/",
    "ext": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
    "regions": "http://www.metadataworkinggroup.com/schemas/regions/",
    "microsoft": "http://ns.microsoft.com/photo/1.2/t/Region#",
    "lightroom": "http://ns.adobe.com/lightroom/1.0/",
    "acdsee": "http://ns.acdsee.com/iptc/1.0/",
    "acdsee_regions": "http://ns.acdsee.com/regions/",
    "mediapro": "http://ns.iview-multimedia.com/mediapro/1.0/",
    "windows": "http://ns.microsoft.com/photo/1.0/",
    "windows_early": "http://ns.microsoft.com/photo/1.0",
    "hierarchy": "http://www.metadataworkinggroup.com/schemas/keywords/",
    "pdf": "http://ns.adobe.com/pdf/1.3/",
    "digikam": "http://www.digikam.org/ns/1.0/",
}
_LANG = "{http://www.w3.org/XML/1998/namespace}lang"
_ZONED = re.compile(r"(.*T.*?)(Z|[+-]\d\d:?\d\d)$", re.ASCII)
_DEGREES = re.compile(r"(\d{1,3}),(\d{1,2}(?:\.\d+)?)(?:,(\d{1,2}(?:\.\d+)?))?\s*([NSEW])?", re.ASCII)
_DATES: tuple[tuple[str, str, TakenAs | None], ...] = (
    ("exif", "DateTimeOriginal", None),
    ("photoshop", "DateCreated", None),
    ("exif", "DateTimeDigitized", "digitised"),
    ("xmp", "CreateDate", "digitised"),
    ("tiff", "DateTime", "modified"),
    ("xmp", "ModifyDate", "modified"),
)
"""Fields of dates by meaning: taken, made as a file, saved."""
_MAX_DATES = 8
_TEXTS = (
    ("dc", "title"),
    ("dc", "description"),
    ("photoshop", "Headline"),
    ("acdsee", "caption"),
    ("acdsee", "notes"),
    ("tiff", "ImageDescription"),
    ("exif", "UserComment"),
    ("core", "AltTextAccessibility"),
    ("core", "ExtDescrAccessibility"),
)
"""Texts that can be found, in all their languages."""
_LOCATION = ("Sublocation", "City", "ProvinceState", "CountryName")
"""Parts of LocationShown and LocationCreated."""
_PEOPLE = ("people", "person", "personen", "personnes", "personas", "persone", "faces")


class _Builder(ElementTree.TreeBuilder):
    """Refuses a document type before any entity of it is read, whatever the encoding; and what is too deep
    or too wide, which would cost a time that grows with its square."""

    def __init__(self) -> None:
        super().__init__()
        self._depth = self._nodes = 0

    def start(self, tag: str, attrs: dict[str, str], /) -> ElementTree.Element:
        self._depth += 1
        self._nodes += 1
        if self._depth > _DEEPEST or self._nodes > _MAX_NODES:
            raise ValueError("too many elements")
        return super().start(tag, attrs)

    def end(self, tag: str, /) -> ElementTree.Element:
        self._depth -= 1
        return super().end(tag)

    def doctype(self, name: str, pubid: str | None, system: str | None) -> NoReturn:
        raise ValueError("a document type is not let in")


def read_xmp(packet: bytes, name: str | None = None) -> About:
    """Parse an XMP packet; the result is empty when it is damaged, too large or hostile, or says that it is a
    sidecar of another kind of file than ``name``.
    """
    if len(packet) > MAX_XMP:
        return About()
    try:
        parser = ElementTree.XMLParser(target=_Builder())  # noqa: S314 - no document type, see above
        parser.feed(packet.strip(b"\0 \r\n\t"))
        root = parser.close()
        found = _Packet(root)
        return found.about() if name is None or found.is_of(name) else About()
    except (ElementTree.ParseError, ValueError, LookupError, RecursionError) as error:
        _log.debug("XMP that cannot be read: %s", error)
        return About()


class _Packet:
    """Properties by name: XMP writes each as an attribute or as an element, alone or in a list."""

    def __init__(self, root: ElementTree.Element) -> None:
        self._found: dict[str, list[str]] = {}
        self._defaults: dict[str, str] = {}
        self._types: list[tuple[str, str]] = []
        for node in root.iter():
            if isinstance(node.tag, str):
                self._note(node)

    def _note(self, node: ElementTree.Element) -> None:
        for name, value in node.attrib.items():
            self._found.setdefault(name, []).append(value)
        items = [item for item in node.iter() if item is not node]
        values = [item.text for item in items if item.tag.endswith("}li") and item.text] if items else []
        if node.text and not items:
            values = [node.text]
        if values and not node.tag.endswith(("}li", "}Bag", "}Seq", "}Alt", "}RDF", "}Description")):
            self._found.setdefault(node.tag, []).extend(values)
            default = [item.text for item in items if item.get(_LANG) == "x-default" and item.text]
            if default:
                self._defaults[node.tag] = default[0]
        # A region's name and kind stand side by side, as attributes or as elements.
        for space in ("regions", "acdsee_regions"):
            if shown := self._of(node, space, "Name"):
                self._types.append(((self._of(node, space, "Type") or "Face").casefold(), shown))

    @staticmethod
    def _of(node: ElementTree.Element, space: str, name: str) -> str | None:
        key = f"{{{_NAMESPACES[space]}}}{name}"
        child = node.find(key)
        return node.get(key) or (child.text if child is not None else None)

    def _all(self, space: str, name: str) -> list[str]:
        return self._found.get(f"{{{_NAMESPACES[space]}}}{name}", [])

    def _text(self, space: str, name: str) -> str | None:
        key = f"{{{_NAMESPACES[space]}}}{name}"
        return clean_text(self._defaults.get(key) or next(iter(self._found.get(key, [])), None))

    def is_of(self, name: str) -> bool:
        """Adobe's are of the raw file where a JPEG of its name lies beside it."""
        wanted = self._text("photoshop", "SidecarForExtension")
        return not wanted or _kind(wanted) == _kind(name.rpartition(".")[2])

    def about(self) -> About:
        taken_at, offset, taken_as = self._moment()
        lat, lon = self._position()
        hierarchies = self._all("lightroom", "hierarchicalSubject") + self._all("mediapro", "CatalogSets")
        slashed = [*self._all("digikam", "TagsList"), *self._all("windows", "LastKeywordXMP")]
        slashed += self._all("windows_early", "LastKeywordXMP")
        paths = [word.split("|") for word in hierarchies] + [word.split("/") for word in slashed]
        people = [name for kind, name in self._types if kind.casefold() == "face"]
        people += self._all("microsoft", "PersonDisplayName") + list(self._persons())
        people += [path[-1] for path in paths if len(path) > 1 and path[0].casefold() in _PEOPLE]
        names = clean_names(people)
        words = clean_keywords([*self._keywords(), *("|".join(path) for path in paths)])
        texts = dict.fromkeys(filter(None, map(clean_text, self._texts())))
        title = self._text("dc", "title") or self._text("photoshop", "Headline")
        description = self._text("dc", "description") or self._text("acdsee", "caption")
        return About(
            taken_at=taken_at,
            taken_from="xmp" if taken_at else None,
            taken_as=taken_as,
            offset_minutes=offset,
            lat=lat,
            lon=lon,
            title=title,
            description=description,
            notes=tuple(text for text in texts if text not in (title, description)),
            creator=self._text("dc", "creator"),
            rating=self._rating(),
            place=_joined(
                self._text("core", "Location"),
                self._text("photoshop", "City"),
                self._text("photoshop", "State"),
                self._text("photoshop", "Country"),
            )
            or _joined(*(self._text("ext", name) for name in _LOCATION)),
            keywords=tuple(word for word in words if word not in names),
            people=names,
        )

    def _persons(self) -> Iterator[str]:
        yield from self._all("ext", "PersonInImage")
        yield from self._all("ext", "PersonName")  # in PersonInImageWDetails
        yield from self._all("mediapro", "People")

    def _keywords(self) -> Iterator[str]:
        yield from self._all("dc", "subject")
        yield from self._all("acdsee", "keywords")
        yield from self._all("photoshop", "SupplementalCategories")
        yield from self._all("hierarchy", "Keyword")
        yield from (name for kind, name in self._types if kind == "pet")
        for packed in self._all("acdsee", "categories"):
            yield from _assigned(packed)
        for listed in self._all("pdf", "Keywords"):
            yield from re.split("[,;]", listed)

    def _texts(self) -> Iterator[str]:
        for space, name in _TEXTS:
            yield from self._all(space, name)

    def _rating(self) -> int | None:
        percent = self._text("windows", "Rating") or self._text("windows_early", "Rating")
        rating = stars(self._text("xmp", "Rating"), percent)
        return stars(self._text("acdsee", "rating")) if rating is None else rating

    def _moment(self) -> tuple[datetime | None, int | None, TakenAs | None]:
        for space, name, taken_as in _DATES:
            for text in self._all(space, name)[:_MAX_DATES]:
                zoned = _ZONED.match(text)
                moment = parse_date(zoned[1] if zoned else text)
                if moment:
                    return moment, _offset(zoned[2]) if zoned else None, taken_as
        return None, None, None

    def _position(self) -> tuple[float | None, float | None]:
        """The hemisphere stands behind the degrees, or in a field of its own (Apple), or is the sign, which
        only one of the two may need."""
        texts = (self._text("exif", "GPSLatitude"), self._text("exif", "GPSLongitude"))
        references = (self._text("exif", "GPSLatitudeRef"), self._text("exif", "GPSLongitudeRef"))
        is_signed = any(text and text.startswith(("-", "+")) for text in texts)
        lat, lon = (
            _degrees(text, reference or "", sides, is_signed=is_signed)
            for text, reference, sides in zip(texts, references, ("NS", "EW"), strict=True)
        )
        return on_earth(lat, lon)


def _kind(extension: str) -> str:
    return (
        extension.casefold().lstrip(".").replace("jpeg", "jpg").replace("tiff", "tif").replace("heif", "heic")
    )


def _offset(zone: str) -> int | None:
    if zone == "Z":
        return None  # many programs write Z behind local time
    try:
        shift = datetime.strptime(zone, "%z").utcoffset() or timedelta()
    except ValueError:
        return None
    return int(shift.total_seconds() // 60)


def _degrees(text: str | None, reference: str, sides: str, *, is_signed: bool) -> float | None:
    """``48,51.5N`` or ``48,51,30N`` (XMP specification part 2, GPSCoordinate), or plain degrees."""
    if text is None:
        return None
    match = _DEGREES.fullmatch(text)
    if match:
        total = int(match[1]) + float(match[2]) / 60 + float(match[3] or 0) / 3600
        return on_its_side(total, match[4] or reference, sides)
    try:
        degrees = float(text)
    except ValueError:
        return None
    return degrees if is_signed and not reference else on_its_side(degrees, reference, sides)


def _assigned(packed: str) -> Iterator[str]:
    """The assigned categories, and their parents, in ACDSee's list, which is an XML text of its own."""
    try:
        parser = ElementTree.XMLParser(target=_Builder())  # noqa: S314 - no document type, see above
        parser.feed(packed[:MAX_XMP])
        root = parser.close()
    except (ElementTree.ParseError, ValueError, LookupError):
        return
    for node in root.iter("Category"):
        if node.text and any(each.get("Assigned") == "1" for each in node.iter("Category")):
            yield node.text


def _joined(*parts: Any) -> str | None:
    return ", ".join(part for part in parts if part) or None
