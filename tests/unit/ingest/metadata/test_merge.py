"""What is written about pictures: Takeout, XMP, IPTC, EXIF zones, names; and which of them counts."""

import json
import os
import tracemalloc
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image

from askpix.core.types import Where
from askpix.ingest.catalog.tags import Vocabulary
from askpix.ingest.metadata.merge import look_into
from askpix.ingest.metadata.model import About, from_name, merged
from askpix.ingest.metadata.sidecars import Beside, candidates, unpack
from askpix.ingest.metadata.takeout import read_album, read_takeout
from askpix.ingest.metadata.xmp import read_xmp
from askpix.ingest.pipeline.metadata_stage import describe
from askpix.ingest.pipeline.tag_stage import tag_images
from tests.support.fakes import WordEmbedder
from tests.support.indexing import World, paint, words

XMP = """<?xpacket begin='' id='W5M0MpCehiHzreSzNTczkc9d'?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmp="http://ns.adobe.com/xap/1.0/"
 xmlns:exif="http://ns.adobe.com/exif/1.0/" xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/"
 xmlns:lr="http://ns.adobe.com/lightroom/1.0/"
 xmlns:mwg-rs="http://www.metadataworkinggroup.com/schemas/regions/"
 xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
 xmp:Rating="4" exif:DateTimeOriginal="2018-05-03T14:30:15+02:00"
 exif:GPSLatitude="48,51.5N" exif:GPSLongitude="2,17,24W" photoshop:City="Paris">
 <photoshop:Country>France</photoshop:Country>
 <dc:title><rdf:Alt><rdf:li xml:lang="de">Turm</rdf:li><rdf:li xml:lang="x-default">The tower</rdf:li>
 </rdf:Alt></dc:title>
 <dc:description><rdf:Alt><rdf:li xml:lang="x-default">Seen from the river</rdf:li></rdf:Alt></dc:description>
 <dc:subject><rdf:Bag><rdf:li>steel</rdf:li><rdf:li>Ann</rdf:li></rdf:Bag></dc:subject>
 <dc:creator><rdf:Seq><rdf:li>Ben Mason</rdf:li></rdf:Seq></dc:creator>
 <lr:hierarchicalSubject><rdf:Bag><rdf:li>Places|Europe|Seine</rdf:li><rdf:li>People|Cy</rdf:li></rdf:Bag>
 </lr:hierarchicalSubject>
 <Iptc4xmpExt:PersonInImage><rdf:Bag><rdf:li>Dora</rdf:li></rdf:Bag></Iptc4xmpExt:PersonInImage>
 <mwg-rs:Regions rdf:parseType="Resource"><mwg-rs:RegionList><rdf:Bag>
  <rdf:li><rdf:Description mwg-rs:Name="Ann" mwg-rs:Type="Face"/></rdf:li>
  <rdf:li rdf:parseType="Resource"><mwg-rs:Name>Rex</mwg-rs:Name><mwg-rs:Type>Pet</mwg-rs:Type></rdf:li>
 </rdf:Bag></mwg-rs:RegionList></mwg-rs:Regions>
</rdf:Description></rdf:RDF></x:xmpmeta>"""


def takeout(utc: str = "1525350615", **more: Any) -> bytes:
    return json.dumps({"title": "a.jpg", "photoTakenTime": {"timestamp": utc}, **more}).encode()


def place(lat: float, lon: float) -> dict[str, float]:
    return {"latitude": lat, "longitude": lon, "altitude": 0.0}


def photo(path: Path, *, taken: str | None = None, offset: str | None = None, **save: Any) -> Path:
    exif = Image.Exif()
    details = exif.get_ifd(ExifTags.IFD.Exif)
    if taken:
        details[ExifTags.Base.DateTimeOriginal] = taken
    if offset:
        details[36881] = offset
    if gps := save.pop("gps", None):
        exif.get_ifd(ExifTags.IFD.GPSInfo).update(gps)
    colour = save.pop("colour", "red")
    Image.new("RGB", (48, 36), colour).save(path, "JPEG", exif=exif, **save)
    return path


def about(path: Path) -> About:
    with os.scandir(path.parent) as entries:
        beside = Beside.of(list(entries))
    return look_into(path, beside.stamp(path.name) if beside else None)


def test_everything_that_xmp_says() -> None:
    found = read_xmp(XMP.encode())
    assert found == About(
        taken_at=datetime(2018, 5, 3, 14, 30, 15),
        taken_from="xmp",
        offset_minutes=120,
        lat=pytest.approx(48.858333, abs=1e-5),
        lon=pytest.approx(-2.29, abs=1e-5),
        title="The tower",
        description="Seen from the river",
        creator="Ben Mason",
        rating=4,
        place="Paris, France",
        notes=("Turm",),
        keywords=("steel", "Rex", "Seine", "Places", "Europe", "People"),
        people=("Ann", "Dora", "Cy"),
    )
    assert "Rex" in found.words and "steel" in found.words


BOMB = '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa">' + "".join(
    f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-be"])
def test_entities_are_not_let_in_in_any_encoding(encoding: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("the secret")
    for text in (
        BOMB + "]><a>&i;</a>",
        f'<!DOCTYPE a [<!ENTITY x SYSTEM "{secret.as_uri()}">]>' + XMP.split("?>", 1)[1],
    ):
        head = f'<?xml version="1.0" encoding="{encoding[:6]}"?>'
        tracemalloc.start()
        assert read_xmp((head + text).encode(encoding)) == About()
        assert tracemalloc.get_traced_memory()[1] < 2 * 2**20
        tracemalloc.stop()


def test_what_picasa_lists_of_a_folder(tmp_path: Path) -> None:
    path = photo(tmp_path / "DSC_1.JPG")
    other = photo(tmp_path / "DSC_10.jpg")
    (tmp_path / ".picasa.ini").write_text(
        "[Picasa]\nname=Summer 2009\n[Contacts2]\n8e62398ebda8c1a5=Fritz Maler;;\n[dsc_1.jpg]\nstar=yes\n"
        "faces=rect64(5a1a8bd29f3de3aa),8e62398ebda8c1a5;rect64(1),ffffffffffffffff\n"
        "caption=Ann = happy\nkeywords=beach, sea\n[broken\n=\n"
    )
    found = about(path)
    assert (found.description, found.people, found.albums) == (
        "Ann = happy",
        ("Fritz Maler",),
        ("Summer 2009",),
    )
    assert found.keywords == ("beach", "sea", "favourite")
    assert about(other) == About(albums=("Summer 2009",))


def test_deep_and_wide_and_long_xmp_is_bounded() -> None:
    assert read_xmp(b"<a>" * 300_000) == About()
    assert read_xmp(b"<a>" * 100_000 + b"</a>" * 100_000) == About()
    assert read_xmp(b"<a>" + b"<b/>" * 250_000 + b"</a>") == About()
    assert read_xmp(XMP.encode() + b" " * 5 * 2**20) == About()
    many = "".join(f"<rdf:li>word{i}</rdf:li>" for i in range(5_000))
    assert len(read_xmp(XMP.replace("<rdf:li>steel</rdf:li>", many).encode()).keywords) <= 64


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=400), st.text(max_size=200))
def test_anything_may_stand_in_sidecars(data: bytes, text: str) -> None:
    read_xmp(data)
    read_takeout(data)
    read_album(text.encode("utf-8", "replace"))
    at = len(data) * 3
    read_xmp(XMP.encode()[:at] + data + XMP.encode()[at:])


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(
            ["title", "description", "people", "geoData", "geoDataExif", "favorited", "albumData"]
        ),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.text(max_size=9),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["name", "latitude", "longitude", "title"]), inner, max_size=3
                )
            ),
            max_leaves=5,
        ),
    ),
    st.text(max_size=12) | st.floats() | st.none() | st.integers(),
)
def test_takeout_of_any_shape_is_read_or_ignored(shape: dict[str, Any], stamp: Any) -> None:
    data = json.dumps(shape | {"photoTakenTime": {"timestamp": stamp}}).encode("utf-8", "replace")
    found = read_takeout(data)
    assert found is not None
    told, _, _ = found.about(About(taken_at=datetime(2018, 5, 3)))
    assert About.from_json(json.loads(json.dumps(told.to_json()))) == told


LONG = "original_1d4caa6f-16c6-4c3d-901b-9387de10e528"
SHOT = "Screenshot_20190919-053857743_com.whatsapp"


@pytest.mark.parametrize(
    ("picture", "sidecar"),
    [
        ("IMG_1.jpg", "IMG_1.jpg.json"),
        ("IMG_1.jpg", "IMG_1.JPG.supplemental-metadata.json"),
        ("IMG_1.jpg", "img_1.xmp"),
        ("IMG_1.jpg", "IMG_1.jpg.xmp"),
        ("IMG_1(1).jpg", "IMG_1.jpg(1).json"),
        ("IMG_1(12).jpg", "IMG_1.jpg.supplemental-metadata(12).json"),
        ("IMG_1-edited.jpg", "IMG_1.jpg.json"),
        ("IMG_1-bearbeitet(1).jpg", "IMG_1.jpg(1).json"),
        ("IMG_1.MP4", "IMG_1.HEIC.supplemental-metadata.json"),
        # 46 characters and .json, whatever is cut
        ("PXL_20230814_101112131.PORTRAIT.jpg", "PXL_20230814_101112131.PORTRAIT.jpg.supplement.json"),
        (
            "original_1d4caa6f-16c6-4c3d-901b-9387de10e528_.jpg",
            "original_1d4caa6f-16c6-4c3d-901b-9387de10e528_.json",
        ),
        (
            "Screenshot_20190919-053857743_com.whatsapp.jpg",
            "Screenshot_20190919-053857743_com.whatsapp.jpg.json",
        ),
    ],
)
def test_names_that_belong_together(picture: str, sidecar: str) -> None:
    assert sidecar.casefold() in set(candidates(picture))


@pytest.mark.parametrize(
    ("picture", "sidecar"),
    [
        ("IMG_1.jpg", "IMG_1.jpg(1).json"),
        ("IMG_1.jpg", "IMG_10.jpg.json"),
        ("IMG_10.jpg", "IMG_1.jpg.json"),
        ("IMG_1(1).jpg", "IMG_1.jpg.json"),
        ("IMG_1(1).jpg", "IMG_1.jpg(2).json"),
        ("IMG_1.jpg", "IMG_1.png.json"),
        ("IMG_1.jpg", "IMG_1-edited.jpg.json"),
    ],
)
def test_names_that_do_not(picture: str, sidecar: str) -> None:
    assert sidecar.casefold() not in set(candidates(picture))


def test_takeout_gives_the_zone_that_exif_left_out(tmp_path: Path) -> None:
    path = photo(tmp_path / "a.jpg", taken="2018:05:03 14:30:15")
    (tmp_path / "a.jpg.json").write_bytes(takeout())  # 12:30:15 UTC
    found = about(path)
    assert (found.taken_at, found.taken_from) == (datetime(2018, 5, 3, 14, 30, 15), "exif")
    assert found.offset_minutes == 120


def test_a_date_that_was_corrected_in_google_photos_counts(tmp_path: Path) -> None:
    path = photo(tmp_path / "a.jpg", taken="2004:01:01 00:00:00")
    (tmp_path / "a.jpg.json").write_bytes(takeout(geoData=place(35.68, 139.69)))
    found = about(path)
    assert (found.taken_at, found.taken_from) == (datetime(2018, 5, 3, 21, 30, 15), "takeout")
    # ... and one that a program of the owner's wrote counts for more.
    (tmp_path / "a.xmp").write_text(XMP)
    assert about(path).taken_at == datetime(2018, 5, 3, 14, 30, 15)


def test_places_of_takeout(tmp_path: Path) -> None:
    path = photo(tmp_path / "a.jpg")
    gps = {1: "N", 2: (48.0, 0.0, 0.0), 3: "E", 4: (2.0, 0.0, 0.0)}
    side = tmp_path / "a.jpg.json"
    side.write_bytes(takeout(geoData=place(0, 0), geoDataExif=place(0, 0)))
    assert about(path).lat is None
    side.write_bytes(takeout(geoData=place(38.71, -9.13)))
    assert (about(path).lat, about(path).lon) == (38.71, -9.13)
    photo(path, gps=gps)
    side.write_bytes(takeout(geoData=place(48.0001, 2), geoDataExif=place(48, 2)))
    assert (about(path).lat, about(path).lon) == (48, 2)
    side.write_bytes(takeout(geoData=place(38.71, -9.13), geoDataExif=place(48, 2)))
    assert (about(path).lat, about(path).lon) == (38.71, -9.13)


def test_people_albums_and_favourites_of_takeout(tmp_path: Path) -> None:
    path = photo(tmp_path / "a.jpg")
    side = takeout(people=[{"name": "Ann Lee"}, {"name": ""}, 5], favorited=True, description="At\nthe  sea")
    (tmp_path / "a.jpg.supplemental-metadata.json").write_bytes(side)
    (tmp_path / "Metadaten.json").write_text(json.dumps({"title": "Summer", "date": {"timestamp": "1"}}))
    found = about(path)
    assert found.tags == ("favourite", "Ann Lee", "album:Summer")
    assert found.description == "At the sea" and "Summer" in found.words


def test_zones_and_the_time_of_satellites(tmp_path: Path) -> None:
    zoned = photo(tmp_path / "a.jpg", taken="2018:05:03 14:30:15", offset="-03:30")
    assert about(zoned).offset_minutes == -210
    clock = {29: "2018:05:03", 7: (8.0, 45.0, 20.0)}
    both = photo(tmp_path / "b.jpg", taken="2018:05:03 14:30:15", gps=clock)
    assert about(both).offset_minutes == 345  # Nepal
    place_ = {1: "N", 2: (35.0, 40.0, 0.0), 3: "E", 4: (139.0, 41.0, 0.0)}
    only = about(photo(tmp_path / "c.jpg", gps=clock | place_))
    assert (only.taken_at, only.taken_from) == (datetime(2018, 5, 3, 17, 45, 20), "gps")
    for wrong in ("+25:00", "0200", "", "Z9"):
        assert (
            about(photo(tmp_path / "d.jpg", taken="2018:05:03 14:30:15", offset=wrong)).offset_minutes is None
        )


def test_embedded_xmp_and_iptc(tmp_path: Path) -> None:
    path = photo(tmp_path / "a.jpg", xmp=XMP.encode())
    assert about(path).people == ("Ann", "Dora", "Cy")

    def entry(number: int, text: bytes) -> bytes:
        return bytes((0x1C, 2, number)) + len(text).to_bytes(2, "big") + text

    block = b"".join(
        (
            entry(25, b"harbour"), entry(25, "Köln".encode()), entry(120, b"Ships at dawn"),
            entry(80, b"Eve"), entry(55, b"20110607"), entry(60, b"081500+0200"), entry(90, b"Porto"),
        )
    )  # fmt: skip
    resource = b"8BIM" + (0x0404).to_bytes(2, "big") + b"\0\0" + len(block).to_bytes(4, "big") + block
    segment = b"Photoshop 3.0\0" + resource + b"\0" * (len(block) % 2)
    data = photo(tmp_path / "b.jpg").read_bytes()
    marked = data[:2] + b"\xff\xed" + (len(segment) + 2).to_bytes(2, "big") + segment + data[2:]
    (tmp_path / "b.jpg").write_bytes(marked)
    found = about(tmp_path / "b.jpg")
    assert found.keywords == ("harbour", "Köln") and found.description == "Ships at dawn"
    assert (found.taken_at, found.taken_from) == (datetime(2011, 6, 7, 8, 15), "iptc")
    assert (found.creator, found.place) == ("Eve", "Porto")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("IMG_20190503_140001.jpg", datetime(2019, 5, 3, 14, 0, 1)),
        ("PXL_20210101_235959123.MP.jpg", datetime(2021, 1, 1, 23, 59, 59)),
        ("Screenshot 2024-03-01 at 10.22.33.png", datetime(2024, 3, 1, 10, 22, 33)),
        ("Bildschirmfoto 2024-03-01 um 10.22.33.png", datetime(2024, 3, 1, 10, 22, 33)),
        ("2018-05-03 14.30.15.jpg", datetime(2018, 5, 3, 14, 30, 15)),
        ("20190503.jpg", None),
        ("invoice 2019-05-03.png", None),
        ("IMG_20191303_140001.jpg", None),
        ("IMG_20190230_140001.jpg", None),
        ("120190503140001.jpg", None),
    ],
)
def test_moments_in_names(name: str, expected: datetime | None) -> None:
    assert from_name(name).taken_at == expected


def test_merging_keeps_together_what_belongs_together() -> None:
    first = About(lat=1.0, keywords=("a",))  # half a place is none
    second = About(lat=2.0, lon=3.0, taken_at=datetime(2020, 1, 1), taken_from="exif", keywords=("a", "b"))
    third = About(taken_at=datetime(2021, 1, 1), taken_from="name", offset_minutes=60)
    found = merged([first, second, third])
    assert (found.lat, found.lon, found.keywords) == (2.0, 3.0, ("a", "b"))
    assert (found.taken_at, found.taken_from, found.offset_minutes) == (datetime(2020, 1, 1), "exif", None)


# --- the stage --------------------------------------------------------------------------------------------


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.catalog.close()


def tell(world: World) -> int:
    world.run()
    changed = describe(
        collection=world.collection,
        catalog=world.catalog,
        open_store=world.open_store,
        text_embedder=WordEmbedder,
    )
    world.check()
    ids = list(world.store.ids())
    by_id = {r.id: r for sha in [sorted(world.catalog.contents(world.collection))]
             for r in world.catalog.records(world.collection, sha)}  # fmt: skip
    for stored in world.store.get(ids):
        known = by_id[stored.id]
        for name in ("taken_at", "camera", "lat", "lon"):
            assert getattr(stored, name) == getattr(known, name), name
        assert set(stored.tags) == set(known.tags)
    return changed


def names(world: World, where: Where) -> list[str]:
    return sorted(Path(world.record(i).uri).name for i in world.store.scroll(where, limit=99))


def test_what_lies_beside_is_found_and_nothing_is_embedded_again(world: World) -> None:
    photo(world.photos / "a.jpg", colour="blue")
    photo(world.photos / "b.jpg", colour="red", taken="2019:01:01 10:00:00")
    assert tell(world) == 0
    embedded = world.embedder.embedded
    side = world.photos / "a.jpg.json"
    side.write_bytes(takeout(people=[{"name": "Ann"}], description="lighthouse", geoData=place(38.71, -9.13)))
    assert tell(world) == 1
    assert names(world, Where(tags=("Ann",))) == ["a.jpg"] and words(world, "lighthouse") == ["a.jpg"]
    assert names(world, Where(after=datetime(2018, 5, 3), before=datetime(2018, 5, 4))) == ["a.jpg"]
    assert names(world, Where(country="PT")) == ["a.jpg"]
    side.write_bytes(takeout(people=[{"name": "Ben"}], description="harbour"))
    assert tell(world) == 1
    assert names(world, Where(tags=("Ann",))) == [] and names(world, Where(tags=("Ben",))) == ["a.jpg"]
    assert words(world, "lighthouse") == [] and words(world, "harbour") == ["a.jpg"]
    assert names(world, Where(country="PT")) == []
    side.unlink()
    assert tell(world) == 1
    assert names(world, Where(tags=("Ben",))) == [] and words(world, "harbour") == []
    assert world.record(next(world.store.ids())).taken_at in (None, datetime(2019, 1, 1, 10))
    assert tell(world) == 0 and world.embedder.embedded == embedded
    assert world.find("blue") == "a.jpg"


def test_a_copy_without_a_sidecar_takes_nothing_away(world: World) -> None:
    paint(world.photos / "album" / "a.png", "blue")
    paint(world.photos / "b.png", "blue")
    (world.photos / "album" / "a.png.json").write_bytes(takeout(description="lighthouse"))
    tell(world)
    assert words(world, "lighthouse") == ["a.png"]
    (world.photos / "album" / "a.png").unlink()
    (world.photos / "album" / "a.png.json").unlink()
    world.run(prune=True)
    tell(world)
    assert words(world, "lighthouse") == []


def test_tags_of_a_vocabulary_and_of_the_file_stand_beside_each_other(world: World) -> None:
    paint(world.photos / "a.png", "blue")
    (world.photos / "a.xmp").write_text(XMP)
    tell(world)

    def tagger(vectors: Any) -> Sequence[Sequence[str]]:
        return [("sky",)] * len(vectors)

    world.catalog.tags.use(world.collection, Vocabulary(("sky",)))
    tag_images(collection=world.collection, ledger=world.catalog.tags, store=world.store, tagger=tagger)
    assert names(world, Where(tags=("sky", "Ann", "steel"))) == ["a.png"]
    (world.photos / "a.xmp").unlink()
    assert tell(world) == 1
    assert names(world, Where(tags=("sky",))) == ["a.png"] and names(world, Where(tags=("steel",))) == []


def test_a_image_that_was_edited_keeps_what_lies_beside_it(world: World) -> None:
    paint(world.photos / "a.png", "blue")
    (world.photos / "a.xmp").write_text(XMP)
    tell(world)
    paint(world.photos / "a.png", "red")
    os.utime(world.photos / "a.png", ns=(1, 1))
    tell(world)
    assert names(world, Where(tags=("Ann",))) == ["a.png"] and words(world, "river") == ["a.png"]


def test_a_kill_between_the_store_and_the_catalog_loses_no_words(world: World) -> None:
    paint(world.photos / "a.png", "blue")
    (world.photos / "a.xmp").write_text(XMP)
    tell(world)
    (world.photos / "a.xmp").write_text(XMP.replace("steel", "iron"))
    world.run()

    class Killed(Exception):
        pass

    def die(*_: object) -> None:
        raise Killed

    ledger = world.catalog.notes
    original, ledger.describe = ledger.describe, die  # type: ignore[method-assign]
    with pytest.raises(Killed):
        tell(world)
    ledger.describe = original  # type: ignore[method-assign]
    tell(world)
    assert names(world, Where(tags=("iron",))) == ["a.png"] and words(world, "river") == ["a.png"]
    assert names(world, Where(tags=("steel",))) == []


def test_sidecars_are_stamped_without_being_opened(tmp_path: Path) -> None:
    (tmp_path / "a.jpg.json").write_bytes(b"x" * 10)
    os.mkfifo(tmp_path / "a.xmp")
    with os.scandir(tmp_path) as entries:
        beside = Beside.of(list(entries))
    assert beside is not None
    assert [(each.name, each.size) for each in unpack(beside.stamp("a.jpg"))] == [("a.jpg.json", 10)]
    assert beside.stamp("b.jpg") is None
