"""Untrusted text made safe for a terminal."""

import unicodedata


def printable(text: str) -> str:
    """``text`` on one line, without characters that move the cursor, recolour or reorder a terminal's line.

    Paths and words read from images are untrusted: an escape sequence in a file name must stay a name.
    """
    unsafe = ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")
    flat = text.replace("\n", " ").replace("\t", " ")
    return "".join("\N{REPLACEMENT CHARACTER}" if unicodedata.category(c) in unsafe else c for c in flat)
