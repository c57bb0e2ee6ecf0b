"""Detection of screenshots from what is known of the file: they get the tag ``screenshot``.

Precise rather than complete: by the name that operating systems give them, or a PNG without a camera whose
size is exactly that of a phone's or tablet's screen. Sizes of monitors do not count: slides have them too.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from askpix.core.types import ImageRecord

TAG = "screenshot"
_NAME = re.compile(
    r"(?:^|[^a-z])(?:screen[ _-]?(?:shots?|grabs?|captures?)(?![a-z])|bildschirmfoto|capture d.{0,2}cran"
    r"|captura de (?:pantalla|ecr)|schermata|zrzut ekranu|skärmavbild|schermafbeelding"
    r"|снимок экрана|スクリーンショット|屏幕截图|截屏)"
)
_SCREENS = frozenset(
    tuple(int(side) for side in size.split("x"))
    for size in """
    640x960 640x1136 750x1334 828x1792 1080x2220 1080x2280 1080x2310 1080x2312 1080x2316 1080x2340
    1080x2376 1080x2388 1080x2400 1080x2408 1080x2412 1080x2424 1080x2460 1080x2520 1125x2436
    1170x2532 1179x2556 1206x2622 1242x2208 1242x2688 1260x2736 1284x2778 1290x2796 1320x2868
    1344x2992 1440x2880 1440x2960 1440x3040 1440x3088 1440x3120 1440x3200 720x1440 720x1480 720x1520
    720x1560 720x1600 720x1612 1536x2048 1488x2266 1620x2160 1640x2360 1668x2224 1668x2388 2048x2732
    1752x2800 1848x2960""".split()
)


def is_screenshot(uri: str, *, width: int, height: int, camera: str | None) -> bool:
    """Return whether it is a screenshot, by the name of the file, or by its format and size."""
    name = PurePosixPath(uri.replace("\\", "/")).name.casefold()
    if camera:
        return False
    if _NAME.search(name):
        return True
    return name.endswith(".png") and (min(width, height), max(width, height)) in _SCREENS


def with_tag(record: ImageRecord, tags: Sequence[str] | None = None) -> ImageRecord:
    """The record with ``tags`` (its own when None) and, where it is a screenshot, the tag that says so."""
    tags = record.tags if tags is None else tuple(tags)
    if record.kind == "photo" and TAG not in tags:
        names = (record.uri, *record.copies)
        if any(
            is_screenshot(uri, width=record.width, height=record.height, camera=record.camera)
            for uri in names
        ):
            tags = (*tags, TAG)
    return record if tags == record.tags else replace(record, tags=tuple(tags))
