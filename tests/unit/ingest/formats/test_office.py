"""Office documents: known by their bytes, converted apart, indexed as the PDF they become; nothing leaves."""

import io
import os
import shutil
import signal
import tempfile
import threading
import time
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from askpix.core.errors import BadImageError
from askpix.core.imaging.decode import ImageLimits
from askpix.ingest.formats import office
from askpix.ingest.formats.office import NO_OFFICE, Conversions, convert, office_kind
from askpix.ingest.formats.pages import open_page, open_pages
from askpix.ingest.formats.pdf import SandboxedPdf
from askpix.ingest.pipeline.plan import tried_with
from askpix.ingest.sources.walk import Skipped, Source, walk
from tests.support.cli import runner
from tests.support.office_files import PDF, docx, odt, program

RTF = rb"{\rtf1\ansi The password of the boathouse is marigold.\par}"
WORD = docx("Harbour plan", "The crane lifts 40 tonnes", "\f", "Berth seven is closed")
ODT = odt("hello", picture="a.png", section="b.odt")
LIBRE = pytest.mark.skipif(shutil.which("soffice") is None, reason="no LibreOffice on this machine")


def ole(stream: str) -> bytes:
    return b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504) + stream.encode("utf-16-le")


def zipped(*names: str) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return made.getvalue()


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (WORD, "docx"),
        (ODT, "odt"),
        (RTF, "rtf"),
        (zipped("[Content_Types].xml", "xl/workbook.xml"), "xlsx"),
        (zipped("ppt/presentation.xml"), "pptx"),
        (ole("WordDocument"), "doc"),
        (ole("PowerPoint Document"), "ppt"),
        (ole("Workbook"), "xls"),
        (ole("CatalogOfThumbs"), None),
        (zipped("a.jpg"), None),
        (zipped("mimetype"), None),
        (b"PK\x03\x04 and no archive", None),
        (PDF.read_bytes(), None),
        (b"", None),
    ],
)
def test_documents_are_known_by_their_bytes(data: bytes, kind: str | None) -> None:
    assert office_kind(data) == kind


def test_pages_are_those_of_the_pdf_and_a_document_is_converted_once(tmp_path: Path) -> None:
    soffice = program(tmp_path)
    limits = ImageLimits(office=str(soffice))
    pages = list(open_pages(WORD, limits=limits, min_side=200))
    assert [(page.page, page.kind) for page in pages] == [(1, "page"), (2, "page")]
    wanted = open_page(PDF.read_bytes(), 2, limits=limits).image
    assert open_page(WORD, 2, limits=limits).image.tobytes() == wanted.tobytes()
    calls = (tmp_path / "calls").read_text().splitlines()
    assert len(calls) == 1 and calls[0].endswith("document.docx")
    assert tried_with(limits) != tried_with(ImageLimits()), "tried again once there is a converter"


def test_nothing_is_converted_unless_somebody_said_with_what(tmp_path: Path) -> None:
    (tmp_path / "plan.docx").write_bytes(WORD)
    with pytest.raises(BadImageError, match=r"ASKPIX_OFFICE=soffice"):
        next(open_pages(WORD, limits=ImageLimits()))
    assert list(walk([tmp_path])) == [Skipped(str(tmp_path / "plan.docx"), NO_OFFICE)]
    [found] = walk([tmp_path], limits=ImageLimits(office="soffice"))
    assert isinstance(found, Source)
    with pytest.raises(BadImageError, match=r"no program '/nowhere/soffice'"):
        open_page(WORD, 1, limits=ImageLimits(office="/nowhere/soffice"))


def test_what_fails_or_hangs_is_said_in_a_line_and_leaves_nothing_behind(tmp_path: Path) -> None:
    soffice = str(program(tmp_path))
    with pytest.raises(
        BadImageError, match=r"^it cannot be converted: Error: source file could not be loaded$"
    ):
        convert(rb"{\rtf1 fail}", "rtf", soffice, limit=2**20)
    with pytest.raises(BadImageError, match="more than 3 seconds"):
        convert(rb"{\rtf1 hang}", "rtf", soffice, limit=2**20, seconds=3)
    child = int((tmp_path / "child").read_text())
    deadline = time.monotonic() + 10
    while Path(f"/proc/{child}").exists() and "Z" not in Path(f"/proc/{child}/stat").read_text().split()[2]:
        assert time.monotonic() < deadline, "what it started goes with it"
        time.sleep(0.05)
    with pytest.raises(BadImageError, match="over the limit of 100 bytes"):
        convert(RTF, "rtf", soffice, limit=100)
    (tmp_path / "soffice").write_text("no program")
    with pytest.raises(BadImageError, match=r"cannot be started|cannot be converted"):
        convert(RTF, "rtf", soffice, limit=100)


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("ends", "why"), [("fail", "source file could not be"), ("hang", "more than 3 s")])
def test_nobody_waits_for_what_a_program_leaves_behind(tmp_path: Path, ends: str, why: str) -> None:
    """In a session of its own, with the program's pipes open."""
    soffice = str(program(tmp_path))
    try:
        with pytest.raises(BadImageError, match=why):
            convert(rb"{\rtf1 leave %s}" % ends.encode(), "rtf", soffice, limit=2**20, seconds=3)
    finally:
        os.kill(int((tmp_path / "child").read_text()), signal.SIGKILL)


def test_the_last_documents_are_kept_within_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    soffice, size = program(tmp_path), PDF.stat().st_size
    monkeypatch.setattr(office, "_KEPT_BYTES", 2 * size)
    kept, limits = Conversions(), ImageLimits(office=str(soffice))
    documents = [RTF + b"%d" % number for number in range(3)]
    threads = [threading.Thread(target=kept.pdf_of, args=(documents[0], limits)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    calls = tmp_path / "calls"
    assert len(calls.read_text().splitlines()) == 1, "the others wait for the first"
    for document in (documents[1], documents[0], documents[2], documents[0], documents[1]):
        assert kept.pdf_of(document, limits) == PDF.read_bytes()
    assert len(calls.read_text().splitlines()) == 4, "the one that was not asked for longest has gone"


def test_a_folder_with_documents_through_the_command(tmp_path: Path) -> None:
    files = tmp_path / "files"
    files.mkdir()
    (files / "plan.docx").write_bytes(WORD)
    (files / "broken.docx").write_bytes(b"PK\x03\x04 and no archive")
    (files / "bad.rtf").write_bytes(rb"{\rtf1 fail}")
    askpix = runner(tmp_path / "home", tmp_path)
    without = askpix("index", files)
    assert "skipped" in without.stderr and "ASKPIX_OFFICE=soffice" in without.stderr
    soffice = str(program(tmp_path / "bin"))
    done = askpix("index", files, code=3, ASKPIX_OFFICE=soffice)
    assert "2 images in the collection" in done.stdout
    assert "could not be loaded" in done.stderr and "broken.docx" in done.stderr
    found = askpix("search", "library opening hours", "--json", ASKPIX_OFFICE=soffice).stdout
    assert "plan.docx" in found
    again = askpix("index", files, code=3, ASKPIX_OFFICE=soffice)
    assert "1 unchanged" in again.stdout
    gone = askpix("index", files, code=1, ASKPIX_OFFICE="/nowhere/soffice")
    assert gone.stderr.strip().endswith("is no program here: install LibreOffice, or unset it")


@pytest.fixture
def outside() -> Iterator[tuple[str, list[str]]]:
    """A server that a document links to, and what was asked of it."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        do_HEAD = do_OPTIONS = do_GET

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


@LIBRE
def test_libreoffice_converts_and_follows_no_link(
    tmp_path: Path, outside: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither to the network nor to this machine's files, by its profile alone; no network comes on top."""
    address, asked = outside
    secret = tmp_path / "secret.odt"
    secret.write_bytes(odt("the secret is periwinkle", picture="a.png", section="b.odt"))
    for section in (f"{address}/other.odt", secret.as_uri()):
        data = odt("plain words", picture=f"{address}/tracker.png", section=section)
        for without_network in (office._without_network, lambda: ()):
            monkeypatch.setattr(office, "_without_network", without_network)
            pdf = convert(data, "odt", "soffice", limit=2**24)
            with SandboxedPdf(pdf, ImageLimits()) as document:
                read = " ".join(line.text for line in document.lines(1) or ())
            assert "plain words" in read and "periwinkle" not in read
    assert asked == []

    with SandboxedPdf(convert(WORD, "docx", "soffice", limit=2**24), ImageLimits()) as document:
        assert document.pages == 2
        assert [line.text for line in document.lines(2) or ()] == ["Berth seven is closed"]
    with pytest.raises(BadImageError, match="cannot be converted"):
        convert(WORD[:400], "docx", "soffice", limit=2**24)
    assert not list(Path(tempfile.gettempdir()).glob("askpix-office-*"))
