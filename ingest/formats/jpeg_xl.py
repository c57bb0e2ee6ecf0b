"""JPEG XL. libjxl decodes it in a child process (``ingest.formats.jpeg_xl_decoder``)."""

from askpix.ingest.formats.base import Format

JPEG_XL = Format(
    name="JPEG XL",
    extensions=frozenset(("jxl",)),
    sniff=lambda data: data.startswith((b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")),
    decoder="askpix.ingest.formats.jpeg_xl_decoder:JpegXlDecoder",
)
