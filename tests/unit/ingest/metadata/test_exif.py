from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image

from askpix.core.imaging.decode import open_image
from askpix.ingest.metadata.exif import Metadata, read_metadata
from tests.support.hostile import noise, save


def exif_of(
    original: str | None = None, modified: str | None = None, gps: dict[int, Any] | None = None, **base: str
) -> Image.Exif:
    exif = Image.Exif()
    if modified:
        exif[ExifTags.Base.DateTime] = modified
    for name, value in base.items():
        exif[ExifTags.Base[name]] = value
    if original:
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = original
    if gps:
        exif.get_ifd(ExifTags.IFD.GPSInfo).update(gps)
    return exif


def through_a_file(exif: Image.Exif) -> Metadata:
    return read_metadata(open_image(save(Image.new("RGB", (8, 8)), "JPEG", exif=exif)).exif)


PARIS = {
    ExifTags.GPS.GPSLatitudeRef: "N",
    ExifTags.GPS.GPSLatitude: (48.0, 51.0, Fraction(2988, 100)),
    ExifTags.GPS.GPSLongitudeRef: "E",
    ExifTags.GPS.GPSLongitude: (2.0, 17.0, Fraction(384, 10)),
}


def test_when_where_and_with_what() -> None:
    exif = exif_of("2018:05:03 14:30:15", "2020:01:01 00:00:00", PARIS, Make="Canon", Model="Canon EOS 5D")
    found = through_a_file(exif)
    assert found.taken_at == datetime(2018, 5, 3, 14, 30, 15)
    assert found.camera == "Canon EOS 5D"
    assert found.lat == pytest.approx(48.8583, abs=1e-4) and found.lon == pytest.approx(2.294, abs=1e-3)


def test_the_southern_and_western_hemispheres() -> None:
    gps = PARIS | {ExifTags.GPS.GPSLatitudeRef: "S", ExifTags.GPS.GPSLongitudeRef: "W"}
    found = through_a_file(exif_of(gps=gps))
    assert found.lat and found.lat < -48 and found.lon and found.lon < -2


def test_fallbacks() -> None:
    assert through_a_file(exif_of(modified="2020:01:02 03:04:05")).taken_at == datetime(2020, 1, 2, 3, 4, 5)
    assert through_a_file(exif_of(Make="NIKON CORPORATION", Model="D90")).camera == "NIKON CORPORATION D90"
    assert through_a_file(Image.Exif()) == Metadata()


@pytest.mark.parametrize(
    "stamp",
    ["0000:00:00 00:00:00", "2018:13:40 25:61:61", "1700:01:01 00:00:00", "9999:01:01 00:00:00", "soon", ""],
)
def test_absurd_dates_are_none(stamp: str) -> None:
    assert through_a_file(exif_of(stamp)).taken_at is None


@pytest.mark.parametrize(
    "gps",
    [
        {ExifTags.GPS.GPSLatitude: (0.0, 0.0, 0.0), ExifTags.GPS.GPSLongitude: (0.0, 0.0, 0.0)},
        {**PARIS, ExifTags.GPS.GPSLatitude: (123.0, 0.0, 0.0)},
        {ExifTags.GPS.GPSLatitude: (48.0, 51.0, 0.0)},
    ],
)
def test_absurd_positions_are_none(gps: dict[int, Any]) -> None:
    found = through_a_file(exif_of(gps=gps))
    assert (found.lat, found.lon) == (None, None)


values = st.one_of(
    st.none(), st.text(), st.binary(), st.integers(), st.floats(), st.tuples(st.floats(), st.text())
)


@given(
    st.dictionaries(st.integers(0, 32), values), st.dictionaries(st.integers(36_000, 37_000), values), values
)
def test_hostile_values_never_raise(gps: dict[int, Any], details: dict[int, Any], model: Any) -> None:
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.GPSInfo).update(gps)
    exif.get_ifd(ExifTags.IFD.Exif).update(details)
    exif[ExifTags.Base.Model] = model
    found = read_metadata(exif)
    assert found.lat is None or -90 <= found.lat <= 90


def test_a_camera_name_cannot_carry_control_characters() -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Model] = "X\x1b[31m\n100"
    camera = read_metadata(exif).camera
    assert camera and camera.isprintable()


def test_dates_as_other_programs_write_them() -> None:
    assert through_a_file(exif_of("2018-05-03T14:30:15")).taken_at == datetime(2018, 5, 3, 14, 30, 15)
    assert through_a_file(exif_of("2018:05:03 14:30")).taken_at == datetime(2018, 5, 3, 14, 30)
    assert through_a_file(exif_of("2018:05:03")).taken_at == datetime(2018, 5, 3)
    assert through_a_file(exif_of("0000:00:00 00:00:00", "2019:01:02 03:04:05")).taken_at == datetime(
        2019, 1, 2, 3, 4, 5
    )


def test_the_day_after_tomorrow_is_a_wrong_clock_and_tomorrow_another_zone() -> None:
    def taken(days: float) -> datetime | None:
        return through_a_file(exif_of(f"{datetime.now() + timedelta(days=days):%Y:%m:%d %H:%M:%S}")).taken_at

    assert taken(1.5) is not None and taken(2.5) is None


def test_a_degree_is_not_south_of_south() -> None:
    gps = PARIS | {ExifTags.GPS.GPSLatitudeRef: "S", ExifTags.GPS.GPSLatitude: (-48.0, 0.0, 0.0)}
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.GPSInfo).update(gps)
    assert read_metadata(exif).lat == -48


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "AVIF", "HEIF", "TIFF"])
def test_every_format_that_carries_exif(file_format: str) -> None:
    exif = exif_of("2018:05:03 14:30:15", gps=PARIS, Model="X100")
    found = read_metadata(open_image(save(noise(), file_format, exif=exif.tobytes())).exif)
    assert found.taken_at == datetime(2018, 5, 3, 14, 30, 15) and found.camera == "X100"
    assert found.lat == pytest.approx(48.8583, abs=1e-4)


RAW = exif_of(
    "2018:05:03 14:30:15", "2020:01:01 00:00:00", PARIS, Make="Canon", Model="Canon EOS 5D"
).tobytes()


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(RAW) - 1), st.integers(0, 255)), min_size=1, max_size=8))
def test_mutated_exif_costs_neither_the_image_nor_the_run(changes: list[tuple[int, int]]) -> None:
    changed = bytearray(RAW)
    for place, value in changes:
        changed[place] = value
    picture = open_image(save(Image.new("RGB", (8, 8)), "PNG", exif=bytes(changed)))
    assert sorted(picture.image.size) == [8, 8]
    found = read_metadata(picture.exif)
    assert found.taken_at is None or found.taken_at.year >= 1826
    assert found.camera is None or found.camera.isprintable()


def test_an_endless_name_is_cut() -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Model] = "M" * 10_000_000
    assert read_metadata(exif).camera == "M" * 200
