"""Makes the homes of tests/fixtures/homes/DATE with the code of today, one for each store inside the process.

    python -m tests.support.make_home tests/fixtures/homes/DATE

It writes STORE.tar.xz, STORE.json (what ``home_results`` says of it) and keys.json. The pictures lie in
/photos and the home in /askpix-home meanwhile, so that no path of the machine gets into a home: both must be
free, and be allowed to be made. Homes that are there stay for ever: a later version gets a folder of its own.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from PIL import ExifTags, Image

from askpix.api.client.client import Client
from tests.conftest import ROOT
from tests.support.home_results import PICTURES, home_results, unpack
from tests.support.service import served, until_ready

PHOTOS, HOME = Path("/photos"), Path("/askpix-home")
STORES = ("edge", "faiss")
ALBUM = (
    "photos/whiteboard-plan.jpg",
    "photos/no-parking-sign.jpg",
    "receipts/blue-kettle-coffee.jpg",
    "receipts/hotel-alpenblick.jpg",
    "receipts/kedai-runcit-maju.jpg",
    "receipts/sakura-sushi.jpg",
    "charts/museum-visitors.png",
    "screens/backup-settings.png",
    "documents/library-report.pdf",
)
TAKEN = {
    "photos/cat.jpg": ("2018:07:14 16:20:00", (52.52, 13.4)),
    "photos/coffee-cup.jpg": ("2018:05:03 09:15:00", (48.857, 2.296)),
    "photos/drawn-snowy-mountain.jpg": ("2019:01:20 11:00:00", (47.27, 11.39)),
}
"""Pictures that are given a date and a place."""
ON_SHEET = ("rocket-launch.jpg", "astronaut.jpg", "cell-microscope.jpg", "brick-wall.jpg")
PAPERS = ("receipts/cedar-hardware.jpg", "documents/invoice-fernhill.png")
UPLOADED = "screens/train-ticket.png"
XMP = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:subject><rdf:Bag><rdf:li>Mimi</rdf:li></rdf:Bag>
</dc:subject><dc:description><rdf:Alt><rdf:li xml:lang="x-default">Mimi in the garden</rdf:li></rdf:Alt>
</dc:description></rdf:Description></rdf:RDF></x:xmpmeta>"""


def main(folder: Path) -> None:
    """Both homes, what they answer, and their keys."""
    folder.mkdir(parents=True, exist_ok=True)
    keys = {}
    for store in STORES:
        PHOTOS.mkdir()
        HOME.mkdir()
        try:
            _draw()
            keys[store] = _fill(store)
            shutil.rmtree(PHOTOS)
            _pack(folder / f"{store}.tar.xz")
        finally:
            shutil.rmtree(PHOTOS, ignore_errors=True)
            shutil.rmtree(HOME)
        with tempfile.TemporaryDirectory() as scratch:
            results = home_results(unpack(folder / f"{store}.tar.xz", Path(scratch)))
        (folder / f"{store}.json").write_text(
            json.dumps(results, indent=1, ensure_ascii=False) + "\n", "utf-8"
        )
    (folder / "keys.json").write_text(json.dumps(keys, indent=1) + "\n", "utf-8")


def _write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", "utf-8")


def _draw() -> None:
    for name in (*ALBUM, *TAKEN, *PAPERS):
        target = PHOTOS / ("papers" if name in PAPERS else "album") / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if name not in TAKEN:
            shutil.copy(PICTURES / name, target)
            continue
        taken, (lat, lon) = TAKEN[name]
        exif = Image.Exif()
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = taken
        place = {1: "N", 2: (int(lat), lat % 1 * 60, 0.0), 3: "E", 4: (int(lon), lon % 1 * 60, 0.0)}
        exif.get_ifd(ExifTags.IFD.GPSInfo).update(place)
        with Image.open(PICTURES / name) as picture:
            picture.save(target, quality=88, exif=exif)
    (PHOTOS / "album" / "photos" / "cat.jpg.xmp").write_text(XMP, "utf-8")
    sheet = Image.new("RGB", (900, 1200), "white")
    for number, name in enumerate(ON_SHEET):
        with Image.open(PICTURES / "photos" / name) as picture:
            picture.thumbnail((360, 360))
            sheet.paste(picture, (60 + 420 * (number % 2), 120 + 520 * (number // 2)))
    sheet.save(PHOTOS / "album" / "page-of-an-album.png")


def _fill(store: str) -> str:
    """Fill ``HOME`` by the real commands; the text of its key."""
    album, papers = str(PHOTOS / "album"), str(PHOTOS / "papers")
    words = ("--embedder", "mini", "--ocr", "on")
    _run(store, "index", album, *words, "--tags", "cat,coffee,mountain,receipt", "--tag-threshold", "0.2")
    _run(store, "index", papers, *words, "--collection", "papers")
    key: str = json.loads(_run(store, "keys", "create", "Ann", "--scope", "write", "--json"))["key"]
    _run(store, "search", "my grey cat")
    _run(store, "collections", "good", "default", "my grey cat", f"{album}/photos/cat.jpg")
    with served(HOME, ASKPIX_STORE=store) as (url, process):
        until_ready(url)
        client = Client(url, key=key)
        report = client.index("papers", [PICTURES / UPLOADED])
        assert report.added == 1, report
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    HOME.with_name(f"{HOME.name}.log").unlink()
    return key


def _run(store: str, *words: str) -> str:
    others = {name: value for name, value in os.environ.items() if not name.startswith("ASKPIX_")}
    settings = {"ASKPIX_HOME": str(HOME), "ASKPIX_STORE": store, "ASKPIX_OPENVINO": "0"}
    command = [sys.executable, "-m", "askpix.api.cli.main", *words]
    environment = others | settings | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        command, cwd=PHOTOS, env=environment, stdout=subprocess.PIPE, text=True, check=True
    ).stdout


def _pack(archive: Path) -> None:
    """Raises where a home names the machine that it was made on."""
    machine = (f"{ROOT}/", f"{tempfile.gettempdir()}/", f"{Path.home()}/")
    for path in sorted(HOME.rglob("*")):
        named = [each for each in machine if path.is_file() and each.encode() in path.read_bytes()]
        assert not named, (path, named)
    with tarfile.open(archive, "w:xz") as packed:
        packed.add(HOME, arcname="home", filter=_nobodys)


def _nobodys(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


if __name__ == "__main__":
    main(Path(sys.argv[1]))
