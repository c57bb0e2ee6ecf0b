"""Archives: what is in them is indexed as it lies there, with what lies beside it; nothing is unpacked."""

import json
import struct
import zipfile
from datetime import datetime
from pathlib import Path

import pytest
from PIL import Image

from askpix.core.errors import BadImageError
from askpix.core.imaging.decode import ImageLimits
from askpix.ingest.pipeline.plan import make_plan
from askpix.ingest.sources.remote import Remote, read_source
from askpix.ingest.sources.walk import Skipped, Source, walk
from askpix.ingest.sources.zip_files import find_inside, look_inside, zip_uri
from tests.support.archives import archive
from tests.support.cli import Askpix, runner
from tests.support.service import jpeg, served, until_ready

LIMITS = ImageLimits()


def names(found: list[Source | Skipped]) -> list[str]:
    return [each.uri.rpartition("!/")[2] for each in found if isinstance(each, Source)]


def test_images_are_found_and_read_in_it(tmp_path: Path) -> None:
    path = archive(
        tmp_path / "Export.ZIP",
        {
            "Photos/b.jpg": jpeg("blue"),
            "Photos/a.JPG": jpeg("red"),
            "top.png": jpeg("green"),
            "Photos/notes.txt": b"words",
            "__MACOSX/Photos/._a.JPG": b"x",
            "Photos/.hidden.jpg": b"x",
            "../../outside.jpg": jpeg("white"),
            "/etc/passwd.jpg": jpeg("white"),
            "folder.jpg/": b"",
        },
    )
    found = list(find_inside(path))
    assert names(found) == ["top.png", "/etc/passwd.jpg", "Photos/a.JPG", "Photos/b.jpg"]
    for each in found:
        assert isinstance(each, Source)
        assert read_source(each.uri, LIMITS) in {jpeg(c) for c in ("red", "green", "blue", "white")}
    assert list(tmp_path.iterdir()) == [path], "nothing is written"
    assert names(list(find_inside(path, ["Photos/"]))) == ["top.png", "/etc/passwd.jpg"]


def test_an_archive_that_is_named_is_looked_into_and_one_in_a_folder_is_told(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.zip", {"a.jpg": jpeg("red")})
    (tmp_path / "b.jpg").write_bytes(jpeg("blue"))
    found = list(Remote().find_all([path, tmp_path]))
    assert sorted(each.uri for each in found if isinstance(each, Source)) == [
        str(tmp_path / "b.jpg"),
        f"{zip_uri(path)}a.jpg",
    ]
    [told] = [each for each in walk([tmp_path]) if isinstance(each, Skipped)]
    assert told.path == str(path) and "name it" in told.reason


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[: len(data) // 2],
        lambda data: b"",
        lambda data: data.replace(b"PK\1\2", b"PK\1\\9"),
        lambda data: data[:40] + b"\xff" * 60 + data[100:],
    ],
)
def test_damage_is_told_and_nothing_is_pruned(tmp_path: Path, damage: object) -> None:
    assert callable(damage)
    path = archive(tmp_path / "a.zip", {"a.jpg": jpeg("red"), "b.jpg": jpeg("blue")})
    path.write_bytes(damage(path.read_bytes()))
    found = list(find_inside(path))
    for each in found:
        if isinstance(each, Skipped):
            assert each.reason.startswith("cannot read") and "\n" not in each.reason
            continue
        try:
            read_source(each.uri, LIMITS)
        except BadImageError as error:
            assert "\n" not in str(error)


def test_bombs_are_not_inflated(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made, made.open("a.jpg", "w") as file:
        for _ in range(64):
            file.write(bytes(2**20))
    # It says that it is small.
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\1\2")
    struct.pack_into("<I", data, at + 24, 100)
    path.write_bytes(bytes(data))
    [source] = find_inside(path)
    assert isinstance(source, Source)
    with pytest.raises(BadImageError, match=r"over the limit|cannot read"):
        read_source(source.uri, ImageLimits(max_bytes=1000))


def test_encrypted_entries_are_told(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.zip", {"a.jpg": jpeg("red")})
    data = bytearray(path.read_bytes())
    for mark, where in ((b"PK\1\2", 8), (b"PK\3\4", 6)):
        data[data.index(mark) + where] |= 1
    path.write_bytes(bytes(data))
    [told] = find_inside(path)
    assert isinstance(told, Skipped) and "encrypted" in told.reason


def test_what_lies_beside_a_image_in_it_counts(tmp_path: Path) -> None:
    told = {
        "title": "a.jpg",
        "photoTakenTime": {"timestamp": "1562000000"},
        "description": "Lighthouse",
    }
    path = archive(
        tmp_path / "takeout.zip",
        {"Takeout/Photos/a.jpg": jpeg("red"), "Takeout/Photos/a.jpg.json": json.dumps(told).encode()},
    )
    [source] = find_inside(path)
    assert isinstance(source, Source) and source.beside
    about = look_inside(source.uri, source.size, source.mtime_ns, source.beside)
    assert about and about.description == "Lighthouse" and about.taken_at
    assert about.taken_at.date() == datetime(2019, 7, 1).date()
    assert look_inside(source.uri, source.size + 1, source.mtime_ns, source.beside) is None


def test_what_is_gone_from_it_is_pruned_and_the_same_in_a_new_archive_is_not_read(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.zip", {"a.jpg": jpeg("red"), "b.jpg": jpeg("blue")})
    before = {each.uri: each for each in find_inside(path) if isinstance(each, Source)}
    from askpix.ingest.catalog.models import SourceState

    known = {uri: SourceState(each.size, each.mtime_ns, "sha", None) for uri, each in before.items()}
    archive(path, {"a.jpg": jpeg("red"), "c.jpg": jpeg("green")})
    plan = make_plan([path], Remote().find_all([path]), known=dict(known), contents={"sha"}, limits=LIMITS)
    assert [task.source.uri.rpartition("/")[2] for task in plan.todo] == ["c.jpg"] and plan.unchanged == 1
    assert [uri.rpartition("/")[2] for uri in plan.gone] == ["b.jpg"]
    path.write_bytes(path.read_bytes()[:30])
    plan = make_plan([path], Remote().find_all([path]), known=dict(known), contents={"sha"}, limits=LIMITS)
    assert plan.gone == {} and plan.skipped, "one that cannot be read proves nothing"
    plan = make_plan([tmp_path], walk([tmp_path]), known=dict(known), contents={"sha"}, limits=LIMITS)
    assert plan.gone == {}, "a walk of the folder does not look into it"


def test_from_the_command_to_the_page(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.zip", {"x/red.jpg": jpeg("red"), "x/blue.jpg": jpeg("blue")})
    home = tmp_path / "home"
    askpix: Askpix = runner(home, tmp_path)
    report = json.loads(askpix("index", path, "--json").stdout)
    assert report["added"] == 2 and not report["failed"]
    assert json.loads(askpix("index", path, "--json").stdout)["unchanged"] == 2
    [hit] = json.loads(askpix("search", "red", "--top-k", "1", "--json").stdout)["hits"]
    assert hit["uri"] == f"{zip_uri(path)}x/red.jpg"
    with served(home) as (address, _):
        client = until_ready(address)
        import io
        import urllib.request

        small = Image.open(io.BytesIO(client.thumbnail(hit["id"]))).convert("RGB")
        red, green, _ = small.resize((1, 1)).getpixel((0, 0))  # type: ignore[misc]
        assert red > 200 > green
        with urllib.request.urlopen(f"{address}/v1/images/{hit['id']}/file") as answer:
            assert (answer.headers["content-type"], answer.read()) == ("image/jpeg", jpeg("red"))
            assert "red.jpg" in answer.headers["content-disposition"]
        said = client.extract(hit["id"], {"type": "object", "properties": {"total": {"type": "number"}}})
        assert "evidence" in said
    path.unlink()
    said = askpix("index", path, code=1)
    assert "no such file" in said.stderr
