"""Thumbnails in terminals that can show images: kitty's graphics protocol and iTerm2's inline images.

Sources: https://sw.kovidgoyal.net/kitty/graphics-protocol/ and https://iterm2.com/documentation-images.html.
"""

import base64
import io
from collections.abc import Mapping
from typing import Literal, TypeAlias

from PIL import Image

Protocol: TypeAlias = Literal["kitty", "iterm"]

_CHUNK = 4096
"""Most characters of base64 in one of kitty's escape sequences."""
ROWS = 8
"""Rows of text that a thumbnail takes."""
SIDE = 320
"""Pixels of the longer side."""


def protocol_of(environment: Mapping[str, str]) -> Protocol | None:
    """Return how the terminal of this environment shows images; None when it is not known to."""
    program = environment.get("TERM_PROGRAM", "").lower()
    if environment.get("KITTY_WINDOW_ID") or environment.get("TERM") in ("xterm-kitty", "xterm-ghostty"):
        return "kitty"
    if program in ("wezterm", "iterm.app") or environment.get("LC_TERMINAL") == "iTerm2":
        return "iterm"
    return None


def thumbnail(image: Image.Image, protocol: Protocol) -> str:
    """Return the characters that show ``image``, shrunk to ``SIDE``, at the cursor."""
    small = image.convert("RGB")
    small.thumbnail((SIDE, SIDE))
    file = io.BytesIO()
    small.save(file, "PNG")
    encoded = base64.b64encode(file.getvalue()).decode("ascii")
    if protocol == "iterm":
        size = len(file.getvalue())
        return f"\x1b]1337;File=inline=1;size={size};height={ROWS};preserveAspectRatio=1:{encoded}\a\n"
    parts = [encoded[start : start + _CHUNK] for start in range(0, len(encoded), _CHUNK)]
    out = []
    for number, part in enumerate(parts):
        more = int(number < len(parts) - 1)
        keys = f"a=T,f=100,r={ROWS},q=2,m={more}" if number == 0 else f"m={more}"
        out.append(f"\x1b_G{keys};{part}\x1b\\")
    return "".join(out) + "\n"
