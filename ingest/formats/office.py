"""Office documents through LibreOffice: each is made into a PDF, and its pages are those of that PDF.

Only where ``ImageLimits.office`` names the program: a converter is a large piece of software that reads
untrusted files. It runs without the network where the system allows that, in a folder and with a profile of
its own that runs no macros and follows no links out of a document, and is killed when it takes too long.
"""

import hashlib
import io
import logging
import math
import os
import shutil
import subprocess
import tempfile
import threading
import zipfile
from collections import OrderedDict
from functools import lru_cache
from pathlib import Path

from askpix.core.errors import BadImageError, DecoderKilledError
from askpix.core.imaging.decode import ImageLimits
from askpix.core.sandbox import deadline, kill_group, start_process
from askpix.core.subprocesses import python_command
from askpix.ingest.formats.base import Format
from askpix.ingest.formats.pdf import SandboxedPdf

NO_OFFICE = "an office document: install LibreOffice and set ASKPIX_OFFICE=soffice to index it"
_TIMES = 2
"""``ImageLimits.decode_seconds``, by the clock, for one document; LibreOffice takes one to three to start."""
_KEPT_BYTES = 128 * 2**20
_MAX_SAID = 4096
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_OLE_STREAMS = {"WordDocument": "doc", "PowerPoint Document": "ppt", "Workbook": "xls", "Book": "xls"}
_PARTS = {"word/document.xml": "docx", "ppt/presentation.xml": "pptx", "xl/workbook.xml": "xlsx"}
_OPEN_DOCUMENT = "application/vnd.oasis.opendocument."
_OPEN_KINDS = {"text": "odt", "presentation": "odp", "spreadsheet": "ods"}
_PROFILE = """<?xml version="1.0" encoding="UTF-8"?>
<oor:items xmlns:oor="http://openoffice.org/2001/registry" xmlns:xs="http://www.w3.org/2001/XMLSchema"
 xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
<item oor:path="/org.openoffice.Office.Common/Security/Scripting"><prop oor:name="MacroSecurityLevel"
 oor:op="fuse"><value>3</value></prop></item>
<item oor:path="/org.openoffice.Office.Common/Security/Scripting"><prop oor:name="DisableMacrosExecution"
 oor:op="fuse"><value>true</value></prop></item>
<item oor:path="/org.openoffice.Office.Common/Security/Scripting"><prop oor:name="BlockUntrustedRefererLinks"
 oor:op="fuse"><value>true</value></prop></item>
<item oor:path="/org.openoffice.Office.Writer/Content/Update"><prop oor:name="Link"
 oor:op="fuse"><value>0</value></prop></item>
<item oor:path="/org.openoffice.Office.Calc/Content/Update"><prop oor:name="Link"
 oor:op="fuse"><value>1</value></prop></item>
</oor:items>
"""
"""Macros never, links out of a document never ("Block any links from documents not among the trusted
locations"), nothing updated while loading: names as in LibreOffice's officecfg schemas."""

_log = logging.getLogger(__name__)


def office_kind(data: bytes) -> str | None:
    """The extension that a file of these bytes should have, as LibreOffice knows it; None for others."""
    if data.startswith(_OLE):
        return next((kind for name, kind in _OLE_STREAMS.items() if name.encode("utf-16-le") in data), None)
    if data.startswith(b"{\\rtf"):
        return "rtf"
    if not data.startswith(b"PK\x03\x04"):
        return None
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = set(archive.namelist())
            if "mimetype" in names and archive.getinfo("mimetype").file_size < 200:
                said = archive.read("mimetype").decode("ascii", "replace")
                return _OPEN_KINDS.get(said.removeprefix(_OPEN_DOCUMENT))
    except (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError, ValueError, LookupError):
        return None
    return next((kind for part, kind in _PARTS.items() if part in names), None)


class Conversions:
    """The last documents as PDFs: their pages are asked for one after the other. One is made at a time.

    Like the processes of ``core.sandbox`` it belongs to the whole process: LibreOffice takes all of a core.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, str], bytes] = OrderedDict()

    def pdf_of(self, data: bytes, limits: ImageLimits) -> bytes:
        """Return the PDF that an office document becomes. Raises ``BadImageError`` when that fails."""
        kind = office_kind(data)
        assert kind and limits.office
        key = limits.office, hashlib.sha256(data).hexdigest()
        with self._lock:
            pdf = self._kept.pop(key, None)
            if pdf is None:
                pdf = convert(
                    data, kind, limits.office, limit=limits.max_bytes, seconds=_TIMES * limits.decode_seconds
                )
            self._kept[key] = pdf
            while len(self._kept) > 1 and sum(map(len, self._kept.values())) > _KEPT_BYTES:
                self._kept.popitem(last=False)
        return pdf


CONVERSIONS = Conversions()


def convert(data: bytes, kind: str, program: str, *, limit: int, seconds: float = 120.0) -> bytes:
    """A document as PDF by ``program`` (LibreOffice's ``soffice``). Raises ``BadImageError``."""
    found = shutil.which(program)
    if found is None:
        raise BadImageError(
            f"no program {program!r} to convert it with: install LibreOffice, or set ASKPIX_OFFICE"
        )
    with tempfile.TemporaryDirectory(prefix="askpix-office-") as folder:
        here = Path(folder)
        profile = here / "profile" / "user"
        given = here / f"document.{kind}"
        made = here / "document.pdf"
        profile.mkdir(parents=True)
        (profile / "registrymodifications.xcu").write_text(_PROFILE, "utf-8")
        given.write_bytes(data)
        command = [
            *_without_network(),
            found,
            f"-env:UserInstallation={profile.parent.as_uri()}",
            *("--headless", "--norestore", "--nolockcheck", "--nodefault", "--nologo"),
            *("--convert-to", "pdf", "--outdir", folder, str(given)),
        ]
        said = _run(command, here, seconds)
        try:
            with made.open("rb") as file:
                pdf = file.read(limit + 1)
        except OSError:
            why = said[-1][:200] if said else "it says nothing"
            # Not from the missing PDF: where a file is missing, a source counts as gone.
            raise BadImageError(f"it cannot be converted: {why}") from None
    if len(pdf) > limit:
        raise BadImageError(f"the PDF that it becomes is over the limit of {limit} bytes: split it")
    return pdf


def _run(command: list[str], here: Path, seconds: float) -> list[str]:
    """Run the command and return its output. It and everything it started in its session have ended on
    return.
    """
    kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT", "LANG", "LC_ALL") if name in os.environ}
    lifeline, held = os.pipe()
    words = tempfile.TemporaryFile()  # noqa: SIM115 - closed below
    try:
        # The program may start others, so a process of ours ends all of them when this one is gone.
        process = start_process(
            python_command("askpix.core.sandbox:guard", str(math.ceil(seconds)), *command),
            env={**kept, "HOME": str(here), "TMPDIR": str(here), "SAL_USE_VCLPLUGIN": "svp"},
            cwd=here,
            stdin=lifeline,
            stdout=subprocess.DEVNULL,
            stderr=words,
        )
        try:
            # Not until its pipe is closed: what it leaves behind may hold that for ever.
            with deadline(process, seconds) as watch:
                process.wait()
        finally:
            kill_group(process)
            process.wait()
        words.seek(max(0, words.seek(0, os.SEEK_END) - _MAX_SAID))
        said = words.read(_MAX_SAID)
    finally:
        words.close()
        os.close(lifeline)
        os.close(held)
    if watch.late:
        raise DecoderKilledError(f"it takes more than {seconds:g} seconds to convert: save it as PDF")
    lines = [line for line in said.decode("utf-8", "replace").splitlines() if line.strip()]
    _log.debug("%s says: %s", command[-1][:200], lines)
    return lines


@lru_cache(maxsize=1)
def _without_network() -> tuple[str, ...]:
    """Return the prefix that runs a command without network; empty where the system does not let users do
    so.
    """
    unshare = shutil.which("unshare")
    command = (unshare or "", "--user", "--map-current-user", "--net", "--")
    try:
        works = unshare and subprocess.run([*command, "true"], capture_output=True, timeout=10, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        _log.info("unshare cannot be used: %s", error)
        return ()
    return command if works and works.returncode == 0 else ()


OFFICE = Format(
    name="office document",
    extensions=frozenset("doc docx docm odt rtf ppt pps pptx pptm ppsx odp xls xlsx xlsm ods".split()),
    sniff=lambda data: office_kind(data) is not None,
    sniff_unnamed=lambda _: False,
    open=lambda data, limits: SandboxedPdf(CONVERSIONS.pdf_of(data, limits), limits),
    required_setting="office",
    advice=NO_OFFICE,
)
