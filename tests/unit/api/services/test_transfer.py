"""A collection from one store to another through a file, and files that nobody should trust."""

import json
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import askpix.api.services.transfer
from askpix.api.services.transfer import export_to, import_from
from askpix.api.settings import Settings
from askpix.api.workspace.page_index import open_pages
from askpix.api.workspace.workspace import Workspace
from askpix.core.errors import AskpixError, IndexMismatchError
from askpix.core.types import Box, TextLine, Where
from askpix.ingest.catalog.models import Collection, SourceState
from askpix.ingest.maintenance.archive_reader import ArchiveReader
from askpix.ingest.metadata.model import About
from tests.support.fakes import record, unit

DIM, TEXT_DIM, PICTURES = 16, 8, 1_040


def home(path: Path, **settings: Any) -> Workspace:
    return Workspace(Settings(home=path, _env_file=None, **settings))


def fill(there: Workspace, count: int = PICTURES) -> Collection:
    """A collection with everything that a picture can have, over more than one part."""
    made = there.catalog.create_collection(
        "Photos",
        embedder="colour",
        dim=DIM,
        text_embedder="bag",
        text_dim=TEXT_DIM,
        store=there.settings.store,
    )
    rng = np.random.default_rng(2)
    shas = [f"{n:064x}" for n in range(count)]
    uris = [f"/photos/été {n}.jpg" for n in range(count)]
    records = [
        replace(
            record(n, uri=uris[n], tags=("x", f"t{n % 3}") if n % 2 else ()),
            id=made.image_id(shas[n], 2 if n == 5 else None),
            page=2 if n == 5 else None,
            kind="page" if n == 5 else "photo",
            taken_at=datetime(2019, 7, 14, 1, 2, 3, 4) if n % 4 else None,
            camera="Canon" if n % 3 else None,
            lat=38.7 if n % 5 == 0 else None,
            lon=-9.1 if n % 5 == 0 else None,
            copies=("/copy.jpg",) if n == 0 else (),
        )
        for n in range(count)
    ]
    states = {uris[n]: SourceState(100 + n, 5, shas[n]) for n in range(count)}
    states["/bad.jpg"] = SourceState(1, 1, None, "too large", "limits")
    states["/copy.jpg"] = SourceState(1, 1, shas[0])
    with there.open_store(made) as store:
        store.upsert(records, unit(rng.normal(size=(count, DIM))))
        worded = records[: count // 2]
        store.set_text(
            [each.id for each in worded],
            [f"Grand total {n}" for n in range(len(worded))],
            [unit(rng.normal(size=(1 + n % 3, TEXT_DIM))) for n in range(len(worded))],
        )
    there.catalog.record(made, states=states, added={s: [r] for s, r in zip(shas, records, strict=True)})
    lines = {each.id: (TextLine("Grand total", Box(1, 2, 3, 4.5), 0.5),) for each in worded}
    there.catalog.texts.save(lines, {records[-1].id: "unreadable"}, engine="fake")
    there.catalog.texts.mark_stored(list(lines))
    return made


def searches(there: Workspace, name: str) -> list[list[tuple[str, float]]]:
    """What some questions find: the contents, not the ids."""
    collection = there.collection(name)
    rng = np.random.default_rng(5)
    asked: list[tuple[Any, Any]] = [
        ("image", unit(rng.normal(size=DIM))[0]),
        ("text", unit(rng.normal(size=TEXT_DIM))[0]),
        ("words", "17 18 19 205"),
    ]
    found = []
    with there.open_store(collection) as store:
        for sub_query, query in asked:
            for where in (Where(), Where(tags=("t1",)), Where(camera="canon", phrases=("grand total",))):
                hits = store.search(sub_query, query, where=where, limit=20)
                uris = {each.id: each.uri for each in store.get([hit.id for hit in hits])}
                pairs = [(uris[hit.id], round(hit.score, 4)) for hit in hits]
                found.append(
                    sorted(pairs, key=lambda pair: (-pair[1], pair[0].encode(errors="surrogatepass")))
                )
    return found


def test_it_is_the_same_collection_in_another_store_on_another_machine(tmp_path: Path) -> None:
    first = home(tmp_path / "a", store="faiss")
    old = fill(first)
    report = export_to(first, "photos", tmp_path / "p.askpix")
    assert (report.collection, report.pictures, report.sources, report.missing) == (
        "Photos",
        PICTURES,
        1042,
        0,
    )
    second = home(tmp_path / "b", store="edge")
    assert import_from(second, tmp_path / "p.askpix").pictures == PICTURES
    new = second.collection("Photos")
    assert new.id != old.id
    assert (new.store, new.embedder, new.dim) == ("edge", "colour", DIM)
    assert searches(second, "Photos") == searches(first, "Photos")
    assert second.catalog.counts(new) == first.catalog.counts(old)
    assert second.catalog.known_sources(new) == first.catalog.known_sources(old)
    ids = [new.image_id(f"{n:064x}", 2 if n == 5 else None) for n in range(PICTURES)]
    assert sorted(second.catalog.embedded_ids(new)) == sorted(ids)
    assert second.catalog.lines(ids[:1])[ids[0]][0] == TextLine("Grand total", Box(1, 2, 3, 4.5), 0.5)
    with first.open_store(old) as here, second.open_store(new) as there:
        theirs = [old.image_id(f"{n:064x}", 2 if n == 5 else None) for n in range(PICTURES)]
        mine = [replace(each, id="") for each in there.get(ids)]
        assert mine == [replace(each, id="") for each in here.get(theirs)]
        np.testing.assert_allclose(there.image_vectors(ids), here.image_vectors(theirs), atol=1e-6)
    third = home(tmp_path / "c", store="faiss")
    export_to(second, "photos", tmp_path / "again.askpix")
    import_from(third, tmp_path / "again.askpix", "other")
    assert searches(third, "other") == searches(first, "Photos")
    assert [each.name for each in third.catalog.list_collections()] == ["other"]


def test_what_was_written_about_images_comes_along(tmp_path: Path) -> None:
    first, second = home(tmp_path / "a"), home(tmp_path / "b")
    old = fill(first, 20)
    told = About(title="Lighthouse", people=("Ann Lee",), rating=4, taken_at=datetime(2019, 7, 14, 1, 2, 3))
    one, two = (old.image_id(f"{n:064x}", None) for n in (1, 2))
    facts = {"taken_at": told.taken_at, "camera": None, "lat": None, "lon": None}
    first.catalog.notes.describe(old, {one: told}, {one: facts}, [])
    first.catalog.notes.write({two: "A boat in the harbour."}, "caption", "openai:some-model")
    first.catalog.notes.mark_stored([one, two])
    export_to(first, "photos", tmp_path / "p.askpix")
    import_from(second, tmp_path / "p.askpix")
    new = second.collection("Photos")
    one, two = (new.image_id(f"{n:064x}", None) for n in (1, 2))
    notes = second.catalog.notes
    assert notes.abouts([one, two]) == {one: told}
    assert notes.texts([one, two]) == {one: ["Lighthouse\nAnn Lee"], two: ["A boat in the harbour."]}
    assert notes.unstored(new, limit=9) == [] and notes.count_uncaptioned(new) == 19
    [record] = second.catalog.lookup.image(one)[1:2]  # type: ignore[index]
    assert record.tags == ("Ann Lee", "rating:4")


def test_the_many_vectors_of_pages_come_along(tmp_path: Path) -> None:
    first = home(tmp_path / "a", store="faiss")
    old = with_pages(first, fill(first, 40))
    export_to(first, "photos", tmp_path / "p.askpix")
    second = home(tmp_path / "b", store="edge")
    import_from(second, tmp_path / "p.askpix")
    new = second.collection("photos")
    assert (new.page_embedder, new.page_dim) == ("transformers:late", 4)
    theirs = [old.image_id(f"{n:064x}", 2 if n == 5 else None) for n in range(40)]
    ids = [new.image_id(f"{n:064x}", 2 if n == 5 else None) for n in range(40)]
    with open_pages(first, old) as here, open_pages(second, new) as there:
        assert there.count() == here.count() == 7
        had, has = here.matrices(theirs), there.matrices(ids)
        for one, other in zip(theirs, ids, strict=True):
            assert (one in had) == (other in has)
            if one in had:
                np.testing.assert_array_equal(had[one], has[other])
    second.delete_collection("photos")
    assert not list((tmp_path / "b" / "collections").glob("*/pages"))


def with_pages(there: Workspace, made: Collection) -> Collection:
    """The collection with a page embedder, and every sixth picture a page of its own length."""
    there.catalog.set_page_embedder(made, "transformers:late", 4)
    made = replace(made, page_embedder="transformers:late", page_dim=4)
    rng = np.random.default_rng(4)
    numbers = range(0, 40, 6)
    with open_pages(there, made) as pages:
        pages.set_pages(
            [made.image_id(f"{n:064x}", None) for n in numbers],
            [unit(rng.normal(size=(1 + n, 4))).astype(np.float16) for n in numbers],
        )
    return made


def test_pages_that_are_not_what_they_say_are_refused(tmp_path: Path) -> None:
    there = home(tmp_path / "a", store="faiss")
    with_pages(there, fill(there, 40))
    export_to(there, "photos", tmp_path / "p.askpix")
    for change, message in (
        ({"page_dim": 5}, "is not 133 vectors of 5 numbers"),
        ({"page_dim": None}, "does not say of which model"),
    ):
        bad = rewritten(tmp_path / "p.askpix", tmp_path / "bad.askpix", change)
        with pytest.raises(AskpixError, match=message):
            import_from(home(tmp_path / "b", store="edge"), bad)
    with zipfile.ZipFile(tmp_path / "p.askpix") as archive:
        long = np.full((133, 4), 3, np.float16).tobytes()
        parts = {name: archive.read(name) for name in archive.namelist()} | {"parts/00000.pages.f16": long}
    with zipfile.ZipFile(tmp_path / "long.askpix", "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    with pytest.raises(AskpixError, match="wrong length"):
        import_from(home(tmp_path / "b", store="edge"), tmp_path / "long.askpix")


def rewritten(path: Path, target: Path, change: dict[str, Any]) -> Path:
    """The archive with a manifest that says something else."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    parts["manifest.json"] = json.dumps(json.loads(parts["manifest.json"]) | change).encode()
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return target


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    there = home(folder / "home", store="faiss")
    fill(there, 20)
    export_to(there, "photos", folder / "p.askpix")
    return folder / "p.askpix"


def test_a_name_that_is_taken_and_a_file_that_is_not_there(exported: Path, tmp_path: Path) -> None:
    there = home(tmp_path / "h", store="faiss")
    import_from(there, exported)
    with pytest.raises(AskpixError, match="a collection 'Photos' already; give another name"):
        import_from(there, exported)
    with pytest.raises(AskpixError, match="no file"):
        import_from(there, tmp_path / "none")
    with pytest.raises(AskpixError, match="cannot write"):
        export_to(there, "photos", tmp_path / "no" / "folder.askpix")
    with pytest.raises(AskpixError, match="is a folder"):
        export_to(there, "photos", tmp_path)
    with pytest.raises(AskpixError, match="cannot name a collection"):
        import_from(there, exported, "../../x")


def changed(exported: Path, to: Path, change: Callable[[str, bytes], bytes | None]) -> Path:
    """A copy of the archive with its pieces changed; None leaves one out."""
    with zipfile.ZipFile(exported) as old, zipfile.ZipFile(to, "w") as new:
        for info in old.infolist():
            content = change(info.filename, old.read(info))
            if content is not None:
                new.writestr(info.filename, content)
    return to


def manifest(**fields: Any) -> Callable[[str, bytes], bytes | None]:
    def change(name: str, content: bytes) -> bytes:
        return json.dumps({**json.loads(content), **fields}).encode() if name == "manifest.json" else content

    return change


def first_image(**fields: Any) -> Callable[[str, bytes], bytes | None]:
    def change(name: str, content: bytes) -> bytes:
        if name != "parts/00000.jsonl":
            return content
        head, *rest = content.splitlines(keepends=True)
        return json.dumps({**json.loads(head), **fields}).encode() + b"\n" + b"".join(rest)

    return change


def vectors(value: float) -> Callable[[str, bytes], bytes | None]:
    def change(name: str, content: bytes) -> bytes:
        if not name.endswith("image.f32"):
            return content
        rows = np.frombuffer(content, "<f4").copy()
        rows[5] = value
        return rows.tobytes()

    return change


def without(piece: str) -> Callable[[str, bytes], bytes | None]:
    return lambda name, content: None if name == piece else content


def twice(name: str, content: bytes) -> bytes:
    """Every picture has the content of the first."""
    if name != "parts/00000.jsonl":
        return content
    lines = [json.loads(line) for line in content.splitlines()]
    return b"".join(
        json.dumps({**e, "sha256": lines[0]["sha256"], "page": 0}).encode() + b"\n" for e in lines
    )


HOSTILE: dict[str, tuple[Callable[[str, bytes], bytes | None], str]] = {
    "another format": (manifest(format="x"), "not an export of Askpix"),
    "wrong dim": (manifest(dim=17), "is not 20 vectors of 17 numbers"),
    "huge dim": (manifest(dim=10**9), "wrong 'dim'"),
    "negative": (manifest(pictures=-1), "wrong 'pictures'"),
    "fewer than said": (manifest(pictures=21), "20 of 21 images"),
    "parts that are not there": (manifest(parts=2), "'parts/00001.jsonl' is missing"),
    "no manifest": (without("manifest.json"), "'manifest.json' is missing"),
    "a manifest that is no JSON": (lambda n, c: b"{" if n == "manifest.json" else c, "no JSON"),
    "a deep manifest": (lambda n, c: b"[" * 100_000 if n == "manifest.json" else c, "no JSON"),
    "a huge manifest": (lambda n, c: b" " * (2 << 20) if n == "manifest.json" else c, "larger than"),
    "no vectors": (without("parts/00000.image.f32"), "is missing"),
    "NaN": (vectors(float("nan")), "not of length one"),
    "infinity": (vectors(float("inf")), "not of length one"),
    "long": (vectors(3.0), "not of length one"),
    "cut vectors": (lambda n, c: c[:-4] if n.endswith("image.f32") else c, "is not 20 vectors"),
    "no hash": (first_image(sha256="../../etc/passwd"), "wrong 'sha256'"),
    "no kind": (first_image(kind="evil"), "wrong 'kind'"),
    "NUL in a path": (first_image(uri="/a\0b"), "wrong 'uri'"),
    "a long path": (first_image(uri="/" + "a" * 20_000), "wrong 'uri'"),
    "no date": (first_image(taken_at="yesterday"), "is no date"),
    "NaN in JSON": (first_image(lat=float("nan")), "is damaged"),
    "a billion passages": (first_image(passages=10**9), "wrong 'passages'"),
    "more passages than there are": (first_image(passages=900), "vectors of 8 numbers"),
    "a line with words for a box": (first_image(lines=[["a", "b", 1, 2, 3, 4]]), "wrong 'lines"),
    "a picture twice": (twice, "twice"),
    "no JSON lines": (lambda n, c: b"nonsense\n" if n == "parts/00000.jsonl" else c, "is damaged"),
    "too many in a part": (
        lambda n, c: c.splitlines(keepends=True)[0] * 1001 if n == "parts/00000.jsonl" else c,
        "larger than an export's",
    ),
    "a vocabulary that is none": (manifest(vocabulary={"labels": 3}), "no list of labels"),
}


@pytest.mark.parametrize("case", list(HOSTILE))
def test_a_hostile_file_is_one_line_and_leaves_nothing(case: str, exported: Path, tmp_path: Path) -> None:
    change, message = HOSTILE[case]
    bad = changed(exported, tmp_path / "bad.askpix", change)
    there = home(tmp_path / "h", store="faiss")
    with pytest.raises(AskpixError, match=message) as caught:
        import_from(there, bad)
    assert "\n" not in str(caught.value)
    assert there.catalog.list_collections() == []
    assert list((tmp_path / "h" / "collections").glob("*")) == []


def test_names_in_it_are_never_followed(exported: Path, tmp_path: Path) -> None:
    bad = changed(exported, tmp_path / "bad.askpix", lambda name, content: content)
    with zipfile.ZipFile(bad, "a") as archive:
        archive.writestr("../../escaped", "x")
        archive.writestr("/tmp/askpix-escaped", "x")
    import_from(home(tmp_path / "deep" / "h", store="faiss"), bad)
    assert not (tmp_path / "escaped").exists()
    assert not Path("/tmp/askpix-escaped").exists()


def test_what_is_cut_or_no_archive_or_newer(exported: Path, tmp_path: Path) -> None:
    there, whole = home(tmp_path / "h", store="faiss"), exported.read_bytes()
    for content in (b"", b"PK", whole[: len(whole) // 2], whole[:-1], b"\0" * 1000):
        (tmp_path / "bad").write_bytes(content)
        with pytest.raises(AskpixError, match="cannot read 'bad': it is cut or no archive"):
            import_from(there, tmp_path / "bad")
    for at in range(100, len(whole), len(whole) // 40):  # damage anywhere is noticed, or does not matter
        (tmp_path / "bad").write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        try:
            import_from(there, tmp_path / "bad", "x")
        except AskpixError as error:
            assert "\n" not in str(error)
        else:
            assert there.catalog.count_images(there.collection("x")) == 20
            there.delete_collection("x")
    at = whole.rindex(b"PK\x01\x02") + 6  # the version of ZIP that the last entry needs
    (tmp_path / "bad").write_bytes(whole[:at] + b"\xff" + whole[at + 1 :])
    with pytest.raises(AskpixError, match="cannot read 'bad': it is cut or no archive"):
        import_from(there, tmp_path / "bad")
    newer = changed(exported, tmp_path / "newer", manifest(version=2))
    with pytest.raises(IndexMismatchError, match="newer version: update"):
        import_from(there, newer)


def test_a_bomb_is_not_unpacked(exported: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bomb"
    with zipfile.ZipFile(exported) as old, zipfile.ZipFile(bad, "w", zipfile.ZIP_DEFLATED) as new:
        for info in old.infolist():
            if info.filename == "parts/00000.jsonl":
                with new.open(info.filename, "w", force_zip64=True) as file:
                    for _ in range(70):
                        file.write(b" " * (1 << 20))
            else:
                new.writestr(info.filename, old.read(info))
    reader = ArchiveReader(bad)
    with pytest.raises(AskpixError, match="larger than an export's"):
        list(reader.parts())
    reader.close()


KILLED = """
import os, signal, sys
from pathlib import Path
import askpix.ingest.maintenance.import_
from askpix.api.services.transfer import import_from
from tests.unit.api.services.test_transfer import home
def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)
if sys.argv[3] == "middle":
    askpix.ingest.maintenance.import_._enter = die
else:
    import askpix.api.services.transfer
    askpix.api.services.transfer.rename = die
import_from(home(Path(sys.argv[1]), store="faiss"), Path(sys.argv[2]))
"""


@pytest.mark.parametrize("moment", ["middle", "end"])
def test_a_kill_leaves_what_the_next_try_removes(moment: str, exported: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path / "h"), str(exported), moment]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    there = home(tmp_path / "h", store="faiss")
    assert [each.name for each in there.catalog.list_collections()] == ["Photos.importing"]
    assert import_from(there, exported).pictures == 20
    assert [each.name for each in there.catalog.list_collections()] == ["Photos"]
    with there.open_store(there.collection("Photos")) as store:
        assert store.count() == 20


def test_the_file_of_a_failed_export_is_not_there(tmp_path: Path) -> None:
    there = home(tmp_path / "h", store="faiss")
    fill(there, 3)
    with there.open_store(there.collection("photos")) as store:
        store.delete([next(iter(store.ids()))])
    assert export_to(there, "photos", tmp_path / "x").missing == 1
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["h", "x"]
    assert askpix.api.services.transfer._UNFINISHED == ".importing"
