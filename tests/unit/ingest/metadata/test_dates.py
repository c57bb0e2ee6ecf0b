"""Which date of an image or film counts, and what its values need to be used."""

import io
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image

from askpix.ingest.metadata.merge import combine, look_into, read_film, read_inside
from askpix.ingest.metadata.model import About, stamp_in_name
from askpix.ingest.metadata.quicktime import read_film_header
from askpix.ingest.metadata.xmp import read_xmp
from tests.support.film_headers import film_header

_RDF = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:exif="http://ns.adobe.com/exif/1.0/"
 xmlns:tiff="http://ns.adobe.com/tiff/1.0/" xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" {}/>
</rdf:RDF></x:xmpmeta>"""
TAKEN = {"DateTimeOriginal": "2010:03:04 05:06:07"}
SAVED = {"DateTime": "2021:03:04 10:00:00"}
CAMERA = {"Make": "Canon", "Model": "PowerShot A520"}


def xmp(**said: str) -> bytes:
    return _RDF.format(
        " ".join(f'{name.replace("_", ":")}="{value}"' for name, value in said.items())
    ).encode()


def of(name: str, exif: dict[str, Any] | None = None, inside: bytes = b"", beside: bytes = b"") -> About:
    """What a JPEG of this name with these tags and packets is told to be."""
    tags = Image.Exif()
    for tag, value in (exif or {}).items():
        number = ExifTags.Base[tag].value
        (tags if tag in ("Make", "Model", "DateTime") else tags.get_ifd(ExifTags.IFD.Exif))[number] = value
    data = io.BytesIO()
    Image.new("RGB", (8, 8)).save(data, "JPEG", exif=tags, **({"xmp": inside} if inside else {}))
    stamp = '[["a.xmp", 1, 1]]' if beside else None
    with Image.open(data) as image:
        return combine(name, read_inside(image), stamp, lambda name, limit: beside)


@pytest.mark.parametrize(
    ("about", "taken", "source"),
    [
        (of("a.jpg", TAKEN | SAVED), "2010-03-04 05:06:07", ("exif", None)),
        (of("a.jpg", SAVED), "2021-03-04 10:00:00", ("exif", "modified")),
        (of("a.jpg", SAVED, xmp(photoshop_DateCreated="1975-07-20")), "1975-07-20", ("xmp", None)),
        (of("a.jpg", SAVED, xmp(xmp_CreateDate="2019-01-01T00:00:05")), "2019-01-01 00:00:05",
         ("xmp", "digitised")),
        (of("a.jpg", TAKEN, beside=xmp(xmp_CreateDate="2024-07-02T10:00:00")), "2010-03-04 05:06:07",
         ("exif", None)),
        (of("a.jpg", TAKEN, beside=xmp(exif_DateTimeOriginal="1999-12-24T18:00:00")), "1999-12-24 18:00",
         ("xmp", None)),
        (of("a.jpg", None, beside=xmp(tiff_DateTime="2024-07-02T10:00:00")), "2024-07-02 10:00",
         ("xmp", "modified")),
        # A name does not count for more than when it was taken, and for more than a later save.
        (of("IMG_20190503_140000.jpg", TAKEN), "2010-03-04 05:06:07", ("exif", None)),
        (of("IMG_20190503_140000.jpg", SAVED), "2019-05-03 14:00", ("name", None)),
        (of("IMG_20230503_140000.jpg", SAVED), "2021-03-04 10:00", ("exif", "modified")),
        # Dates that cannot be.
        (of("IMG_20190503_140000.jpg", {"DateTimeOriginal": "1970:01:01 00:00:00"}), "2019-05-03 14:00",
         ("name", None)),
        (of("IMG_20190503_140000.jpg", {"DateTimeOriginal": "2091:01:01 00:00:00"}), "2019-05-03 14:00",
         ("name", None)),
        (of("a.jpg", CAMERA | {"DateTimeOriginal": "1980:01:01 00:07:12"},
            xmp(photoshop_DateCreated="2006-02-03")),
         "2006-02-03", ("xmp", None)),
        (of("IMG_20190503_140000.jpg", CAMERA | {"DateTimeOriginal": "2000:01:01 00:00:00"}),
         "2019-05-03 14:00", ("name", None)),
        # ... and early ones that can: prints and slides.
        (of("a.jpg", {"DateTimeOriginal": "1975:07:20 12:00:00"}), "1975-07-20 12:00", ("exif", None)),
        (of("a.jpg", {"Make": "EPSON", "DateTimeOriginal": "1975:07:20 12:00:00"}),
         "1975-07-20 12:00", ("exif", None)),
        (of("a.jpg", CAMERA | {"DateTimeOriginal": "1975:07:20 12:00:00",
                               "DateTimeDigitized": "2019:07:20 12:00:00"}),
         "1975-07-20 12:00", ("exif", None)),
    ],
)  # fmt: skip
def test_dates_go_by_what_they_are_of(about: About, taken: str, source: tuple[str, str | None]) -> None:
    assert (about.taken_at, (about.taken_from, about.taken_as)) == (datetime.fromisoformat(taken), source)
    assert About.from_json(about.to_json()) == about


def test_a_sidecar_of_a_raw_file_is_not_that_of_its_jpeg() -> None:
    packet = xmp(exif_DateTimeOriginal="1999-12-24T18:00:00", photoshop_SidecarForExtension="CR2")
    for name, counts in (("a.cr2", True), ("a.jpg", False)):
        found = combine(name, [], '[["a.xmp", 1, 1]]', lambda *_: packet)
        assert (found.taken_at is not None) is counts
    packet = packet.replace(b"CR2", b"JPEG")
    assert combine("a.JPG", [], '[["a.xmp", 1, 1]]', lambda *_: packet).taken_at


def test_a_zone_holds_for_its_own_stamp() -> None:
    offsets = {"OffsetTimeOriginal": "+09:00", "OffsetTime": "+02:00"}
    assert of("a.jpg", TAKEN | SAVED | offsets).offset_minutes == 540
    assert of("a.jpg", TAKEN | SAVED | {"OffsetTime": "+02:00"}).offset_minutes is None
    same = {"DateTime": TAKEN["DateTimeOriginal"], "OffsetTime": "+02:00"}
    assert of("a.jpg", TAKEN | same).offset_minutes == 120


@pytest.mark.parametrize(
    ("name", "moment", "clock"),
    [
        ("Screenshot 2024-03-01 at 10.22.33 PM.png", "2024-03-01 22:22:33", "local"),
        ("Screenshot 2024-03-02 at 12.05.00 AM.png", "2024-03-02 00:05", "local"),
        ("Screenshot 2024-03-02 at 12.05.00\u202fPM.png", "2024-03-02 12:05", "local"),
        ("Screen Shot 2020-09-04 at 9.12.10 PM (2).png", "2020-09-04 21:12:10", "local"),
        ("Screenshot 2024-03-01 222233.png", "2024-03-01 22:22:33", "local"),
        ("Screenshot_20190201-212530_App.png", "2019-02-01 21:25:30", "local"),
        ("WhatsApp Image 2023-04-05 at 1.05.10 PM (1).jpeg", "2023-04-05 13:05:10", "local"),
        ("Captura de pantalla 2020-05-03 a la(s) 8.05.33 p. m..png", "2020-05-03 20:05:33", "local"),
        ("Capture d’écran 2020-05-03 à 8.05.33.png", "2020-05-03 08:05:33", "local"),
        ("スクリーンショット 2020-05-03 午後8.05.33.png", "2020-05-03 20:05:33", "local"),
        ("PXL_20210101_235959123.MP.jpg", "2021-01-01 23:59:59", "utc"),
        ("2019-05-03T14-00-01Z.jpg", "2019-05-03 14:00:01", "utc"),
        ("IMG-20190503-WA0001(1).jpg", "2019-05-03 00:00", None),
        ("VID-20190503-WA0012.mp4", "2019-05-03 00:00", None),
        ("2019-05-03 12345.jpg", None, None),
        ("2019-05-03 kids 10 11 12.jpg", None, None),
        ("IMG-20191303-WA0001.jpg", None, None),
    ],
)  # fmt: skip
def test_clocks_in_names(name: str, moment: str | None, clock: str | None) -> None:
    stamp = stamp_in_name(name)
    assert (stamp.moment if stamp else None) == (datetime.fromisoformat(moment) if moment else None)
    assert (stamp.clock if stamp else None) == clock


@settings(max_examples=50, deadline=None)
@given(st.text(alphabet="0123456789 -_.:TZapm at", max_size=250))
def test_any_name_is_read_quickly(text: str) -> None:
    stamp_in_name("2019-05-03" + text)


@pytest.mark.parametrize(
    ("said", "place"),
    [
        ({"GPSLatitude": "43.65", "GPSLatitudeRef": "N", "GPSLongitude": "79.38", "GPSLongitudeRef": "W"},
         (43.65, -79.38)),
        ({"GPSLatitude": "33.8568", "GPSLatitudeRef": "South", "GPSLongitude": "151.2",
          "GPSLongitudeRef": "E"},
         (-33.8568, 151.2)),
        ({"GPSLatitude": "43,39.0", "GPSLatitudeRef": "N", "GPSLongitude": "79,22.8", "GPSLongitudeRef": "W"},
         (43.65, -79.38)),
        ({"GPSLatitude": "43.65", "GPSLongitude": "-79.38"}, (43.65, -79.38)),
        ({"GPSLatitude": "+43.65", "GPSLongitude": "+79.38"}, (43.65, 79.38)),
        ({"GPSLatitude": "43,39.0N", "GPSLongitude": "79,22.8W"}, (43.65, -79.38)),
        # Either side of the earth may be meant.
        ({"GPSLatitude": "43.65", "GPSLongitude": "79.38"}, None),
        ({"GPSLatitude": "43.65", "GPSLatitudeRef": "N", "GPSLongitude": "79.38"}, None),
        ({"GPSLatitude": "-43.65", "GPSLatitudeRef": "N", "GPSLongitude": "79.38",
          "GPSLongitudeRef": "W"}, None),
        ({"GPSLatitude": "43,39.0E", "GPSLongitude": "79,22.8W"}, None),
    ],
)  # fmt: skip
def test_degrees_need_their_hemisphere(said: dict[str, str], place: tuple[float, float] | None) -> None:
    about = read_xmp(xmp(**{f"exif_{name}": value for name, value in said.items()}))
    assert (about.lat, about.lon) == (pytest.approx(place) if place else (None, None))


def test_degrees_of_exif_need_it_too() -> None:
    exif = Image.Exif()
    gps = exif.get_ifd(ExifTags.IFD.GPSInfo)
    gps |= {2: (43.0, 39.0, 0.0), 3: "W", 4: (79.0, 22.0, 48.0)}
    exif.get_ifd(ExifTags.IFD.GPSInfo).update(gps)
    data = io.BytesIO()
    Image.new("RGB", (8, 8)).save(data, "JPEG", exif=exif)
    with Image.open(data) as image:
        assert combine("a.jpg", read_inside(image), None, lambda name, limit: None).lat is None


# --- films ------------------------------------------------------------------------------------------------


def told(name: str, data: bytes, google: bytes = b"") -> About:
    film = read_film(io.BytesIO(data), len(data))
    stamp = '[["a.json", 1, 1]]' if google else None
    return combine(name, [], stamp, lambda name, limit: google, film)


UTC = datetime(2021, 6, 23, 15, 5)


@pytest.mark.parametrize(
    ("name", "film", "taken", "offset"),
    [
        ("VID_20210624_010500.mp4", {"created": UTC}, "2021-06-24 01:05", 600),
        # The moment in it is that of the end of half an hour.
        ("VID_20210624_003500.mp4", {"created": UTC, "seconds": 1800}, "2021-06-24 00:35", 600),
        # Local time where UTC belongs, as many cameras write it: no zone is known.
        ("20210623_150500.mp4", {"created": UTC}, "2021-06-23 15:05", None),
        ("VID_20110624_010500.mp4", {"created": UTC}, "2021-06-23 15:05", None),
        ("PXL_20210623_150500123.mp4", {"created": UTC, "place": "-33.8568+151.2153/"}, "2021-06-24 01:05",
         None),
        ("VID_20210624_010500.mp4", {"created": 0}, "2021-06-24 01:05", None),
        ("VID_20210624_010500.mp4", {"created": 2_082_844_800}, "2021-06-24 01:05", None),
        ("a.mov", {"says": {"com.apple.quicktime.creationdate": "2021-06-24T01:05:00+1000"}},
         "2021-06-24 01:05", 600),
        ("VID-20210624-WA0003.mp4", {"created": UTC, "place": "-33.8568+151.2153/"},
         "2021-06-24 01:05", None),
    ],
)  # fmt: skip
def test_the_time_of_a_film(name: str, film: dict[str, Any], taken: str, offset: int | None) -> None:
    about = told(name, film_header(**film))
    assert (about.taken_at, about.offset_minutes) == (datetime.fromisoformat(taken), offset)


def test_takeout_places_a_film_that_knows_utc_alone() -> None:
    place = b'{"latitude": 35.68, "longitude": 139.69}'
    google = b'{"photoTakenTime": {"timestamp": "1624460700"}, "geoData": ' + place + b"}"
    assert told("a.mp4", film_header(created=UTC), google).taken_at == datetime(2021, 6, 24, 0, 5)
    zoned = told("VID_20210624_010500.mp4", film_header(created=UTC), google)
    assert (zoned.taken_at, zoned.offset_minutes) == (datetime(2021, 6, 24, 1, 5), 600)
    # The same for an image whose file knows no time.
    assert (
        combine("IMG_20210624_010500.jpg", [], '[["a.json", 1, 1]]', lambda *_: google).offset_minutes == 600
    )


@pytest.mark.parametrize(
    ("seconds", "says", "motion"),
    [
        (2.8, {}, True),
        (20.0, {}, False),
        (4.5, {"com.apple.quicktime.content.identifier": "7E3"}, True),
        (4.5, {}, False),
        (60.0, {"com.apple.quicktime.content.identifier": "7E3"}, False),
        (0.0, {}, False),
    ],
)
def test_a_motion_part_is_as_short_as_one(seconds: float, says: dict[str, str], motion: bool) -> None:
    data = film_header(seconds=seconds, says=says)
    header = read_film_header(io.BytesIO(data), len(data))
    assert header and header.is_motion_part is motion


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(5000, 5400), st.integers(0, 255)), max_size=20), st.integers(0, 5400))
def test_damaged_headers_of_films_are_read_or_none(changes: list[tuple[int, int]], kept: int) -> None:
    data = bytearray(film_header(created=UTC, place="+1+2/", says={"com.apple.quicktime.make": "Apple"}))
    for at, value in changes:
        data[at % len(data)] = value
    read_film(io.BytesIO(bytes(data)), len(data))
    read_film(io.BytesIO(bytes(data[:kept])), kept)


def test_other_files_are_no_films(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(b"%PDF-1.4\n" + b"x" * 100)
    assert look_into(path, None) == About()
    heic = b"\0\0\0\x18ftypheic" + b"\0" * 12 + film_header()[20:]
    assert read_film_header(io.BytesIO(heic), len(heic)) is None
