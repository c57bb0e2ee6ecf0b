"""SVG drawings. resvg draws them in a child process (``ingest.formats.svg_decoder``)."""

from askpix.ingest.formats.base import Format

_HEAD = 4096


def is_svg(data: bytes) -> bool:
    """Return whether it is a drawing, by its first bytes."""
    head = data[:_HEAD].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    return head.startswith(b"<svg") or (
        head.startswith((b"<?xml", b"<!--", b"<!doctype svg")) and b"<svg" in head
    )


SVG = Format(
    name="SVG",
    extensions=frozenset(("svg",)),
    sniff=is_svg,
    decoder="askpix.ingest.formats.svg_decoder:SvgDecoder",
)
