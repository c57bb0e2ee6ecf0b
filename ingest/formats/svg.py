"""SVG drawings by resvg, which has no scripts and no network; what they refer to outside is left out.

Only ``ingest.formats.sandboxed`` calls this, in a process apart: a drawing may take any time and memory.
"""

import re
from xml.etree import ElementTree as ET

import resvg_py

from askpix.core.errors import BadImageError
from askpix.core.imaging.decode import ImageLimits, Picture, open_image

LONGEST = 1600
"""Pixels of the longer side. Fixed, so that a box means the same pixels at every call; as a PDF page has."""
_LENGTH = re.compile(r"\s*(\d{1,9}(?:\.\d{1,9})?)\s*(?:px|pt|pc|mm|cm|in|em|ex)?\s*")


def open_svg(data: bytes, *, limits: ImageLimits, min_side: int | None) -> Picture:
    """See ``askpix.ingest.formats.sandboxed.open_rare``. On white; ``min_side`` does not matter."""
    del min_side
    try:
        root = ET.fromstring(data)  # noqa: S314 - expat bounds entities and opens none; and it is a process apart
    except ET.ParseError as error:
        raise BadImageError(f"damaged SVG: {error}") from error
    if _name(root.tag) != "svg":
        raise BadImageError("not an SVG drawing")
    for element in root.iter():
        for key in [key for key in element.keys() if _name(key) == "href"]:  # noqa: SIM118 - not a dict
            # A path or an address would be opened, by whoever indexes what others sent.
            if not element.attrib[key].strip().startswith(("#", "data:image/")):
                del element.attrib[key]
    wide = _is_wide(root)
    try:
        drawn = resvg_py.svg_to_bytes(
            svg_string=ET.tostring(root, encoding="unicode"),
            width=LONGEST if wide else None,
            height=None if wide else LONGEST,
            dpi=96,
            background="#ffffff",
        )
    except (ValueError, RuntimeError, TypeError) as error:
        raise BadImageError(f"damaged SVG: {error}") from error
    picture = open_image(drawn, limits=limits)
    return Picture(picture.image, picture.width, picture.height, "SVG", 1, picture.exif)


def _is_wide(root: ET.Element) -> bool:
    sides = [_LENGTH.fullmatch(root.get(name, "")) for name in ("width", "height")]
    if sides[0] and sides[1]:
        return float(sides[0][1]) >= float(sides[1][1])
    box = re.split(r"[\s,]+", root.get("viewBox", "").strip())
    try:
        return len(box) != 4 or float(box[2]) >= float(box[3])
    except ValueError:
        return True


def _name(tag: object) -> str:
    return str(tag).rpartition("}")[2].lower()
