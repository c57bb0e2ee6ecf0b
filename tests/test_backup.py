import json
import tarfile
from io import BytesIO
from pathlib import Path

import filelock
import pytest

from api.backup import back_up, restore
from api.cli.index import run_index
from api.keys import KeyRing
from api.note import LOCK
from api.service_tables import database_of
from api.settings import Settings
from api.wiring import Workspace
from core.errors import AskpixError
from ingest.pipeline import collection_run
from retrieval.query import parse
from tests.service import jpeg
from tests.sparse import copy_tree

pytestmark = pytest.mark.slow


@pytest.fixture
def home(whole: Path, tmp_path: Path) -> Path:
    """A copy of the home that tests may use up."""
    (tmp_path / "pictures").mkdir()
    return copy_tree(whole, tmp_path / "home")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two pictures, a key, a thumbnail, an upload."""
    folder = tmp_path_factory.mktemp("backup")
    home, pictures = folder / "home", folder / "pictures"
    pictures.mkdir()
    for colour in ("red", "blue"):
        (pictures / f"{colour}.jpg").write_bytes(jpeg(colour))
    workspace = Workspace(Settings(home=home))
    made = workspace.create_collection("default")
    run_index(workspace, made, [pictures], ocr="off", prune=False, on_progress=lambda _: None)
    engine = database_of(home)
    KeyRing(engine).create("me", scope="read")
    engine.dispose()
    workspace.catalog.close()
    for name in ("thumbnails/aa/x.webp", "uploads/c/f/kept.jpg"):
        (home / name).parent.mkdir(parents=True)
        (home / name).write_bytes(b"bytes")
    return home


def found(home: Path) -> list[tuple[str, float]]:
    workspace = Workspace(Settings(home=home))
    with workspace.open_retriever(workspace.collection("default")) as retriever:
        hits = retriever.retrieve(parse("red"), show_all=True).hits
    workspace.catalog.close()
    return [(hit.record.id, round(hit.score, 3)) for hit in hits]


def test_what_is_restored_answers_as_before(home: Path, tmp_path: Path) -> None:
    before = found(home)
    assert len(before) == 2
    made = back_up(home, tmp_path / "b.tar")
    back = restore(tmp_path / "b.tar", tmp_path / "new" / "home")
    assert back == made
    assert found(tmp_path / "new" / "home") == before
    engine = database_of(tmp_path / "new" / "home")
    assert [key.name for key in KeyRing(engine).list()] == ["me"]
    engine.dispose()
    assert (tmp_path / "new/home/uploads/c/f/kept.jpg").read_bytes() == b"bytes"
    assert not (tmp_path / "new/home/thumbnails").exists(), "made again by themselves"
    assert found(home) == before, "and the home is in use again"


def test_nobody_writes_meanwhile(home: Path, tmp_path: Path) -> None:
    (folder,) = (home / "collections").iterdir()
    with collection_run(folder), pytest.raises(AskpixError, match="being indexed"):
        back_up(home, tmp_path / "b.tar")
    with filelock.FileLock(home / LOCK), pytest.raises(AskpixError, match="askpix serve"):
        back_up(home, tmp_path / "b.tar")
    workspace = Workspace(Settings(home=home))
    with (
        workspace.open_store(workspace.collection("default")),
        pytest.raises(AskpixError, match="in use by this very process"),
    ):
        back_up(home, tmp_path / "b.tar")
    assert not list(tmp_path.glob("b.tar*")), "nothing half-written is left"


def test_what_is_in_the_way_stays(home: Path, tmp_path: Path) -> None:
    (tmp_path / "b.tar").write_text("mine")
    with pytest.raises(AskpixError, match="there already"):
        back_up(home, tmp_path / "b.tar")
    assert (tmp_path / "b.tar").read_text() == "mine"
    back_up(home, tmp_path / "c.tar")
    with pytest.raises(AskpixError, match="is not empty"):
        restore(tmp_path / "c.tar", home)
    with pytest.raises(AskpixError, match="no home"):
        back_up(tmp_path / "pictures", tmp_path / "d.tar")


def changed(data: bytes) -> bytes:
    """One byte of a file in the middle is another one."""
    with tarfile.open(fileobj=BytesIO(data)) as archive:
        member = next(m for m in archive if m.name.endswith("kept.jpg"))
        at = member.offset_data
    return data[:at] + b"B" + data[at + 1 :]


def without_list(data: bytes) -> bytes:
    buffer = BytesIO()
    with tarfile.open(fileobj=BytesIO(data)) as old, tarfile.open(fileobj=buffer, mode="w:") as new:
        for member in old:
            if member.name != "askpix-backup.json":
                new.addfile(member, old.extractfile(member))
    return buffer.getvalue()


def hostile(name: str, kind: bytes = tarfile.REGTYPE) -> bytes:
    buffer = BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:") as archive:
        info = tarfile.TarInfo(name)
        info.type, info.linkname, info.size = kind, "/etc/passwd", 0
        archive.addfile(info, BytesIO())
    return buffer.getvalue()


def newer(data: bytes) -> bytes:
    return data.replace(b'{"format": 1,', b'{"format": 9,')


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (changed, "'uploads/c/f/kept.jpg' is not what was written"),
        (without_list, "cut off"),
        (newer, "newer version"),
        (lambda data: data[: len(data) // 2], "cut off"),
        (lambda _: b"", "no backup"),
        (lambda _: b"hello" * 1000, "no backup"),
        (lambda _: hostile("../outside"), "no place"),
        (lambda _: hostile("/outside"), "no place"),
        (lambda _: hostile("link", tarfile.SYMTYPE), "no place"),
        (lambda _: hostile("device", tarfile.CHRTYPE), "no place"),
    ],
)
def test_what_is_not_whole_is_not_restored(home: Path, tmp_path: Path, damage: object, says: str) -> None:
    back_up(home, tmp_path / "b.tar")
    (tmp_path / "b.tar").write_bytes(damage((tmp_path / "b.tar").read_bytes()))  # type: ignore[operator]
    with pytest.raises(AskpixError, match=says):
        restore(tmp_path / "b.tar", tmp_path / "new")
    assert not (tmp_path / "new").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"b.tar", "home", "pictures"}, "nothing is left"


def test_the_list_tells_what_is_in_it(home: Path, tmp_path: Path) -> None:
    made = back_up(home, tmp_path / "b.tar")
    with tarfile.open(tmp_path / "b.tar") as archive:
        said = archive.extractfile("askpix-backup.json")
        assert said
        about = json.load(said)
    assert about["home"] == str(home) and len(about["files"]) == made.files > 5
    assert not any(name.endswith(("lock", "-wal", "owner.json")) for name in about["files"])
