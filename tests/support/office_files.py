"""Office documents, as small as they come, and a program that behaves as LibreOffice does."""

import io
import sys
import zipfile
from pathlib import Path

from askpix.api.demo import PICTURES

PDF = PICTURES / "documents" / "library-report.pdf"
"""What the program makes of everything."""
_OOXML = "http://schemas.openxmlformats.org"
_MAIN = f"{_OOXML}/wordprocessingml/2006/main"
_ODF = "urn:oasis:names:tc:opendocument:xmlns"

PROGRAM = """#!{python}
import pathlib, subprocess, sys, time
here = pathlib.Path(__file__).parent
with (here / "calls").open("a") as calls:
    print(*sys.argv[1:], file=calls)
out, given = pathlib.Path(sys.argv[sys.argv.index("--outdir") + 1]), pathlib.Path(sys.argv[-1])
data = given.read_bytes()
if b"hang" in data or b"leave" in data:
    sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
    child = subprocess.Popen(sleep, start_new_session=b"leave" in data)
    (here / "child").write_text(str(child.pid))
if b"hang" in data:
    time.sleep(600)
if b"fail" in data:
    sys.exit("warning: no printer\\nError: source file could not be loaded")
(out / (given.stem + ".pdf")).write_bytes(pathlib.Path({pdf!r}).read_bytes())
"""


def program(folder: Path) -> Path:
    """A ``soffice`` of ours. It hangs on documents that say so, and fails on others; ``calls`` beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "soffice"
    path.write_text(PROGRAM.format(python=sys.executable, pdf=str(PDF)))
    path.chmod(0o755)
    return path


def docx(*paragraphs: str) -> bytes:
    """A Word document; "\\f" is a new page."""
    made = io.BytesIO()
    kind = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
    body = "".join(
        '<w:p><w:r><w:br w:type="page"/></w:r></w:p>'
        if each == "\f"
        else f"<w:p><w:r><w:t>{each}</w:t></w:r></w:p>"
        for each in paragraphs
    )
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            "[Content_Types].xml",
            f'<?xml version="1.0"?><Types xmlns="{_OOXML}/package/2006/content-types">'
            '<Default Extension="rels"'
            ' ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Override'
            f' PartName="/word/document.xml" ContentType="{kind}"/></Types>',
        )
        archive.writestr(
            "_rels/.rels",
            f'<?xml version="1.0"?><Relationships xmlns="{_OOXML}/package/2006/relationships"><Relationship'
            f' Id="r1" Type="{_OOXML}/officeDocument/2006/relationships/officeDocument"'
            ' Target="word/document.xml"/></Relationships>',
        )
        archive.writestr(
            "word/document.xml",
            f'<?xml version="1.0"?><w:document xmlns:w="{_MAIN}"><w:body>{body}</w:body></w:document>',
        )
    return made.getvalue()


def odt(words: str, *, picture: str, section: str) -> bytes:
    """An OpenDocument text that links to a picture and to another document."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.text")
        entries = "".join(
            f'<manifest:file-entry manifest:full-path="{path}" manifest:media-type="{kind}"/>'
            for path, kind in (("/", "application/vnd.oasis.opendocument.text"), ("content.xml", "text/xml"))
        )
        archive.writestr(
            "META-INF/manifest.xml",
            f'<?xml version="1.0"?><manifest:manifest xmlns:manifest="{_ODF}:manifest:1.0">{entries}'
            "</manifest:manifest>",
        )
        spaces = " ".join(
            f'xmlns:{name}="{_ODF}:{full}:1.0"'
            for name, full in (
                ("office", "office"), ("text", "text"), ("draw", "drawing"), ("svg", "svg-compatible")
            )
        )  # fmt: skip
        link = 'xlink:type="simple" xlink:actuate="onLoad"'
        archive.writestr(
            "content.xml",
            f'<?xml version="1.0"?><office:document-content {spaces} xmlns:xlink="http://www.w3.org/1999/xlink">'
            f"<office:body><office:text><text:p>{words}</text:p><text:p><draw:frame svg:width='5cm'"
            f" svg:height='5cm' text:anchor-type='paragraph'><draw:image xlink:href='{picture}' {link}/>"
            f"</draw:frame></text:p><text:section text:name='S'><text:section-source xlink:href='{section}'"
            f" {link}/><text:p>nothing</text:p></text:section></office:text></office:body>"
            "</office:document-content>",
        )
    return made.getvalue()
