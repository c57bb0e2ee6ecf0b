"""PDF documents. PDFium draws them in a child process (``ingest.formats.pdf_decoder``).

Pages are images here, with sizes and boxes at one resolution however they are drawn, so that a box on a
page means the same place at every call.
"""

from askpix.core.imaging.decode import PDF_DPI, ImageLimits
from askpix.core.sandbox import TOO_LONG
from askpix.ingest.formats.base import Format
from askpix.ingest.formats.sandboxed import SandboxedDocument


class SandboxedPdf(SandboxedDocument):
    """A PDF that a child process has open."""

    def __init__(self, data: bytes, limits: ImageLimits) -> None:
        self.scale = limits.pdf_dpi / PDF_DPI
        super().__init__(PDF, data, limits)

    def _why(self, code: int) -> str:
        if code == TOO_LONG:
            return (
                f"a page takes more than {self.limits.decode_seconds:g} seconds to read "
                "(ASKPIX_MAX_DECODE_SECONDS): save the PDF anew, or print it"
            )
        return "the PDF makes its reader crash, or takes too much memory: save it anew, or print it to PDF"


PDF = Format(
    name="PDF",
    extensions=frozenset(("pdf",)),
    # Writers may put some bytes before its header, and words may speak of it.
    sniff=lambda data: b"%PDF-" in data[:1024],
    sniff_unnamed=lambda head: head.startswith(b"%PDF-"),
    decoder="askpix.ingest.formats.pdf_decoder:PdfDecoder",
    kind="page",
    open=SandboxedPdf,
    media_type=lambda _: "application/pdf",
)
