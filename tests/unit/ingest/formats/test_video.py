"""Films: which moments are taken, the same frame again, damage, limits, and a child that crashes."""

import io
import os
import signal
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from datetime import datetime
from fractions import Fraction
from multiprocessing import get_context
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from askpix.core.errors import BadImageError
from askpix.core.imaging.decode import ImageLimits
from askpix.ingest.formats import video
from askpix.ingest.formats.base import Page
from askpix.ingest.formats.content import OnDisk
from askpix.ingest.formats.pages import open_page, open_pages, read_content
from askpix.ingest.formats.video import SandboxedVideo
from askpix.ingest.metadata.exif import read_metadata
from askpix.ingest.metadata.video import film_exif
from tests.support.films import film, song

LIMITS = ImageLimits()
THREE = [("cat", 4.0), ("rocket-launch", 3.0), ("coffee-cup", 5.0)]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return film(tmp_path_factory.mktemp("film") / "three.mp4", THREE, sound=True)


def frames(path: Path, *, min_side: int | None = None, limits: ImageLimits = LIMITS) -> list[Page]:
    return list(open_pages(read_content(path, limits=limits), limits=limits, min_side=min_side))


def near(image: Image.Image, name: str) -> float:
    """Mean difference of a frame and a sample photo."""
    from tests.support.films import _picture

    small = np.asarray(image.convert("RGB").resize((32, 24)), np.float32)
    return float(np.abs(small - np.asarray(_picture(name, (32, 24)), np.float32)).mean())


def test_one_frame_a_scene_at_its_time(clip: Path) -> None:
    found = frames(clip)
    assert [page.kind for page in found] == ["frame"] * 3
    times = [page.time_s or 0.0 for page in found]
    # Encoders put a key frame where a scene begins.
    assert times == pytest.approx([0.0, 4.0, 7.0], abs=0.2)
    for page, (name, _) in zip(found, THREE, strict=True):
        assert page.picture and page.page is None
        assert page.picture.image.size == (page.picture.width, page.picture.height) == (160, 120)
        differences = {each: near(page.picture.image, str(each)) for each, _ in THREE}
        assert min(differences, key=lambda each: differences[each]) == name, differences


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mov", "libx264"),
        ("a.mkv", "libx265"),
        ("a.webm", "libvpx-vp9"),
        ("a.avi", "mpeg4"),
        ("a.ts", "libx264"),
        ("a.mpg", "mpeg2video"),
        ("a.mp4", "libsvtav1"),
        ("a.wmv", "wmv2"),
        ("a.flv", "flv1"),
    ],
)
def test_containers_and_codecs(tmp_path: Path, name: str, codec: str) -> None:
    rate = 25 if codec == "mpeg2video" else 10
    # In a process of its own: as root, SVT-AV1 makes the thread that encodes a real-time one of the highest
    # priority, and so all that it starts later. A browser that a test started then stopped the machine.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as apart:
        scenes = [("cat", 3), ("rocket-launch", 3)]
        path = apart.submit(film, tmp_path / name, scenes, codec=codec, rate=rate, gop=rate).result()
    found = frames(path)
    assert len(found) == 2, [page.time_s for page in found]
    assert found[1].picture and near(found[1].picture.image, "rocket-launch") < 30
    assert found[1].time_s == pytest.approx(3.0, abs=0.5)


def test_a_frame_is_the_same_when_it_is_opened_again(clip: Path) -> None:
    content = read_content(clip, limits=LIMITS)
    for page in frames(clip):
        again = open_page(content, page.place, limits=LIMITS)
        assert page.picture
        assert np.array_equal(np.asarray(again.image), np.asarray(page.picture.image))
    # Out of order, and of a film held in memory.
    places = [page.place for page in frames(clip)]
    with SandboxedVideo(clip.read_bytes(), LIMITS) as opened:
        for place in reversed(places):
            one = opened.picture(place or 1, None).image
            assert np.array_equal(np.asarray(one), np.asarray(open_page(content, place, limits=LIMITS).image))


def test_a_smaller_frame_where_less_is_asked_for(clip: Path) -> None:
    [first, *_] = frames(clip, min_side=60)
    assert first.picture
    assert first.picture.image.size == (80, 60) and (first.picture.width, first.picture.height) == (160, 120)


def test_screen_recordings_have_few_key_frames_and_are_looked_at_between(tmp_path: Path) -> None:
    path = film(tmp_path / "screen.mp4", [("cat", 21), ("rocket-launch", 22)], rate=5, gop=10_000)
    with av.open(str(path)) as opened:
        keys = sum(packet.is_keyframe for packet in opened.demux(video=0) if packet.pts is not None)
    times = [page.time_s or 0.0 for page in frames(path)]
    assert keys <= 2 and len(times) == 2 and 21 <= times[1] <= 26, times


def test_black_is_no_scene_and_a_still_is_taken_once_in_a_while(tmp_path: Path) -> None:
    path = film(
        tmp_path / "a.mp4", [("black", 3), ("cat", 3), ("black", 2), ("white", 2), ("cat", 250)], rate=2
    )
    times = [page.time_s or 0.0 for page in frames(path)]
    assert times[0] == pytest.approx(3, abs=1.1) and len(times) == 3, times
    assert times[1] - times[0] >= 120
    dark = film(tmp_path / "b.mp4", [("black", 3)])
    assert len(frames(dark)) == 1, "nothing but black is one frame all the same"


@pytest.mark.parametrize(("rotation", "size"), [(90, (120, 160)), (180, (160, 120)), (270, (120, 160))])
def test_phones_turn_films_by_a_note_in_them(tmp_path: Path, rotation: int, size: tuple[int, int]) -> None:
    left_red = Image.new("RGB", (160, 120), "blue")
    left_red.paste((255, 0, 0), (0, 0, 80, 120))
    path = film(tmp_path / "turned.mp4", [(left_red, 1)], rotation=rotation)
    [page] = frames(path)
    assert page.picture and page.picture.image.size == size == (page.picture.width, page.picture.height)
    with av.open(str(path)) as opened:
        frame = next(opened.decode(video=0))
        upright = frame.to_image().rotate(frame.rotation, expand=True)
    assert np.abs(np.asarray(upright, int) - np.asarray(page.picture.image, int)).mean() < 3


def test_wide_pixels_are_made_square(tmp_path: Path) -> None:
    path = film(tmp_path / "dv.mp4", [("cat", 1)], aspect=Fraction(4, 3))
    [page] = frames(path)
    assert page.picture and page.picture.image.size == (213, 120)


def test_a_film_that_ends_too_early_keeps_what_there_is_and_says_so(tmp_path: Path) -> None:
    whole = film(tmp_path / "a.mkv", [("cat", 4), ("rocket-launch", 4), ("coffee-cup", 12)])
    cut = tmp_path / "cut.mkv"
    data = whole.read_bytes()
    cut.write_bytes(data[: int(0.55 * len(data))])
    found = frames(cut)
    assert [page.picture is not None for page in found].count(True) >= 1
    # A file of which the index comes last has none when it is cut.
    mp4 = film(tmp_path / "a.mp4", THREE).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(mp4[: len(mp4) // 2])
    with pytest.raises(BadImageError, match="damaged video"):
        frames(tmp_path / "cut.mp4")


def test_sound_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadImageError, match="no moving pictures"):
        frames(song(tmp_path / "song.mp4"))


def test_limits_hold(clip: Path, tmp_path: Path) -> None:
    with pytest.raises(BadImageError, match="pixels"):
        frames(clip, limits=ImageLimits(max_pixels=100))
    found = frames(clip, limits=ImageLimits(max_pages=2))
    assert [page.picture is None for page in found] == [False, False, True]
    assert "first 2 scenes" in str(found[-1].error)


def test_a_film_opens_nothing_else(tmp_path: Path) -> None:
    """A QuickTime file may refer to others, and FFmpeg has formats that are lists of addresses."""
    secret = film(tmp_path / "secret.mp4", [("cat", 1)])
    for name, text in (
        ("list.mp4", f"ffconcat version 1.0\nfile {secret.name}\n"),
        ("list.mov", f"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{secret}\n#EXT-X-ENDLIST\n"),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(BadImageError):
            frames(tmp_path / name)
    # Even one of the containers that we know, named for a list of others.
    content = OnDisk(tmp_path / "list.mp4", b"\x1aE\xdf\xa3")
    with pytest.raises(BadImageError):
        list(open_pages(content, limits=LIMITS))


def test_a_crash_costs_its_own_film_alone(clip: Path) -> None:
    content = read_content(clip, limits=LIMITS)
    with SandboxedVideo(content, LIMITS) as opened:
        child = opened._child
        assert child is not None
        moments = opened.moments(None)
        next(moments)
        os.kill(child._process.pid, signal.SIGSEGV)
        with pytest.raises(BadImageError, match="crash"):
            list(moments)
        with pytest.raises(BadImageError, match="crash"):
            opened.picture(1, None)
    assert len(frames(clip)) == 3


def test_an_idle_child_that_was_killed_is_replaced(clip: Path) -> None:
    frames(clip)
    for idle in video.CHILDREN.idle:
        idle._process.kill()
        idle._process.wait()
    assert len(frames(clip)) == 3


@pytest.mark.slow
def test_a_film_that_takes_for_ever_is_ended(tmp_path: Path) -> None:
    path = film(tmp_path / "slow.mp4", [("cat", 40)], size=(640, 480), gop=10_000, rate=25)
    with pytest.raises(BadImageError, match="takes more than"):
        began = time.monotonic()
        opened = SandboxedVideo(read_content(path, limits=LIMITS), replace(LIMITS, decode_seconds=0.005))
        try:
            while time.monotonic() - began < 60:
                opened.picture(39_000, None)
        finally:
            opened.close()


@pytest.mark.slow
def test_three_hours_are_looked_through_quickly_and_in_little_memory(tmp_path: Path) -> None:
    """10,800 s with a key frame each 10 s: only those are decoded."""
    path = film(tmp_path / "long.mp4", [("cat", 5_400), ("rocket-launch", 5_400)], rate=1, gop=10)
    found = frames(path)
    assert 2 <= len(found) <= 100
    assert any(abs((page.time_s or 0) - 5_400) < 11 for page in found)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=30), st.floats(0.05, 1)
)
def test_damaged_films_give_frames_or_one_clear_line(
    clip: Path, changes: list[tuple[float, int]], kept: float
) -> None:
    data = bytearray(clip.read_bytes())
    for at, value in changes:
        data[16 + int(at * (len(data) - 16))] = value
    try:
        for page in open_pages(bytes(data[: int(kept * len(data))]), limits=LIMITS, min_side=32):
            assert (page.picture is None) == (page.error is not None)
            assert "\n" not in (page.error or "")
    except BadImageError as error:
        assert "\n" not in str(error)


def test_what_a_film_says_of_itself(tmp_path: Path) -> None:
    path = film(
        tmp_path / "said.mov",
        [("cat", 4), ("rocket-launch", 3)],
        says={
            "com.apple.quicktime.creationdate": "2023-07-14T18:30:05+0200",
            "com.apple.quicktime.location.ISO6709": "+48.8584+002.2945+035.0/",
            "com.apple.quicktime.make": "Apple",
            "com.apple.quicktime.model": "iPhone 14",
        },
    )
    one, two = (read_metadata(page.picture.exif) for page in frames(path) if page.picture)
    assert one.taken_at == datetime(2023, 7, 14, 18, 30, 5) and two.taken_at == datetime(
        2023, 7, 14, 18, 30, 9
    )
    assert (one.lat, one.lon) == pytest.approx((48.8584, 2.2945)) and one.camera == "Apple iPhone 14"


@pytest.mark.parametrize(
    ("said", "taken", "place"),
    [
        ({"creation_time": "2024-03-01T10:00:00.000000Z"}, datetime(2024, 3, 1, 10, 0, 2), None),
        ({"creation_time": "1904-01-01T00:00:00.000000Z"}, None, None),
        ({"creation_time": "soon"}, None, None),
        ({"date": "2019"}, None, None),
        ({"location": "-33.8568+151.2153/"}, None, (-33.8568, 151.2153)),
        ({"location": "+91.0+200.0/"}, None, None),
        ({"com.apple.quicktime.creationdate": "2024-01-01T00:00:00+99:99"}, None, None),
        ({"make": "\0" * 500, "location": "nowhere"}, None, None),
    ],
)
def test_dates_and_places_of_films(
    said: dict[str, str], taken: datetime | None, place: tuple[float, float] | None
) -> None:
    about = read_metadata(film_exif(said, 2.0))
    assert about.taken_at == taken
    assert (about.lat, about.lon) == (pytest.approx(place) if place else (None, None))


def test_without_the_extra_it_says_what_to_install(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(BadImageError, match=r"askpix\[video\]"):
        frames(clip)


def test_a_song_with_a_cover_is_no_film(tmp_path: Path) -> None:
    path = tmp_path / "song.mp4"
    cover = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(cover, "JPEG")
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac", rate=8000)
        picture = container.add_stream("mjpeg", rate=1)
        picture.width = picture.height = 64
        picture.pix_fmt = "yuvj420p"
        picture.disposition = av.stream.Disposition.attached_pic
        packet = av.Packet(cover.getvalue())
        packet.stream, packet.pts, packet.dts, packet.time_base = picture, 0, 0, Fraction(1, 1)
        for at in range(4):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 8000, at * 1024
            for each in sound.encode(frame):
                container.mux(each)
        container.mux(packet)
    with pytest.raises(BadImageError, match="no moving pictures"):
        frames(path)
