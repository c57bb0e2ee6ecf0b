"""SVG drawings by resvg, which has no scripts and no network; what they refer to outside is left out.

Only child processes load this (``ingest.formats.sandboxed``): a drawing may take any time and memory.
"""

import re
from xml.etree import ElementTree as ET

import resvg_py

from askpix.core.errors import BadImageError
from askpix.core.imaging.decode import DecodedImage, open_image
from askpix.ingest.formats.base import Document

LONGEST = 1600
"""Pixels of the longer side. Fixed, so that a box means the same pixels at every call; as a PDF page has."""
_LENGTH = re.compile(r"\s*(\d{1,9}(?:\.\d{1,9})?)\s*(?:px|pt|pc|mm|cm|in|em|ex)?\s*")


class SvgDecoder(Document):
    """A drawing, on white."""

    def picture(self, place: int | None, min_side: int | None) -> DecodedImage:
        """See ``Document``; ``min_side`` does not matter."""
        del place, min_side
        root = ET.fromstring(self.data)  # noqa: S314 - expat bounds entities and opens none; and it is a child process
        if _name(root.tag) != "svg":
            raise BadImageError("not an SVG drawing")
        for element in root.iter():
            for key in [key for key in element.keys() if _name(key) == "href"]:  # noqa: SIM118 - not a dict
                # A path or an address would be opened, by whoever indexes what others sent.
                if not element.attrib[key].strip().startswith(("#", "data:image/")):
                    del element.attrib[key]
        wide = _is_wide(root)
        drawn = resvg_py.svg_to_bytes(
            svg_string=ET.tostring(root, encoding="unicode"),
            width=LONGEST if wide else None,
            height=None if wide else LONGEST,
            dpi=96,
            background="#ffffff",
        )
        return open_image(drawn, limits=self.limits)


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
