"""Captions in and beside files, written by other programs and by enemies."""

import json
import os
from pathlib import Path

import pytest
from PIL import ExifTags, Image

from askpix.core.errors import AskpixError, NotFoundError
from askpix.ingest.metadata.captions import file_captions, listed_captions, without_stamps
from tests.support.fakes import picture

XMP = """<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF
 xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/">
<dc:title><rdf:Alt><rdf:li xml:lang="x-default">Grandma's garden</rdf:li></rdf:Alt></dc:title>
<dc:description><rdf:Alt><rdf:li xml:lang="de">Rosen am Zaun</rdf:li></rdf:Alt></dc:description>
<dc:subject><rdf:Bag><rdf:li>roses</rdf:li><rdf:li>summer</rdf:li></rdf:Bag></dc:subject>
</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>"""
BOMB = """<!DOCTYPE x [<!ENTITY a "aaaaaaaaaaaaaaaaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>
<x xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>&b;</dc:title></x>"""


def exif(**tags: object) -> Image.Exif:
    made = Image.Exif()
    for name, value in tags.items():
        made[ExifTags.Base[name]] = value
    return made


def iptc(*fields: tuple[int, str]) -> bytes:
    """Photoshop's resource 0x0404 with records of IPTC-IIM, as an APP13 segment holds it."""
    block = b"".join(
        b"\x1c\x02" + bytes([number]) + len(text.encode()).to_bytes(2, "big") + text.encode()
        for number, text in fields
    )
    resource = b"8BIM\x04\x04\x00\x00" + len(block).to_bytes(4, "big") + block + b"\x00" * (len(block) % 2)
    data = b"Photoshop 3.0\x00" + resource
    return b"\xff\xed" + (len(data) + 2).to_bytes(2, "big") + data


def test_exif_titles_descriptions_and_keywords(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    described = exif(
        ImageDescription="Zoë at the lake",
        XPTitle="Ein Ausflug".encode("utf-16-le") + b"\0\0",
        XPKeywords="lake;summer".encode("utf-16-le"),
    )
    picture("blue").save(path, exif=described)
    found = file_captions(path)
    assert found[::2] == ["Ein Ausflug", "lake, summer"] and found[1].startswith("Zo")


def test_xmp_and_iptc(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    picture("red").save(path, xmp=XMP.encode())
    assert file_captions(path) == ["Grandma's garden", "Rosen am Zaun", "roses, summer"]
    data = path.read_bytes()
    path.write_bytes(
        data[:2] + iptc((105, "Headline"), (120, "A fence"), (25, "red"), (25, "wood")) + data[2:]
    )
    assert file_captions(path) == [
        "Grandma's garden",
        "Rosen am Zaun",
        "roses, summer",
        "Headline",
        "A fence",
        "red, wood",
    ]


def test_png_and_webp_carry_xmp_too(tmp_path: Path) -> None:
    path = tmp_path / "a.webp"
    picture("red").save(path, xmp=XMP.encode())
    assert "Grandma's garden" in file_captions(path)


def test_what_programs_write_is_no_caption(tmp_path: Path) -> None:
    for number, junk in enumerate(
        (
            "OLYMPUS DIGITAL CAMERA",
            "SONY DSC",
            "DCIM",
            "default",
            "Created with GIMP",
            "12:30",
            "---",
            "IMG_0042",
        )
    ):
        path = tmp_path / f"{number}.jpg"
        picture("red").save(path, exif=exif(ImageDescription=junk))
        assert file_captions(path) == [], junk
    path = tmp_path / "IMG_1.jpg"
    picture("red").save(path, exif=exif(ImageDescription="IMG_1.jpg"))
    assert file_captions(path) == []
    picture("red").save(path, exif=exif(ImageDescription="Photo of the old harbour"))
    assert file_captions(path) == ["Photo of the old harbour"]


@pytest.mark.parametrize(
    "packet", [BOMB, "<not closed", "\0", "<x>" * 2000, '<?xml version="1.0" encoding="utf-7"?><x/>']
)
def test_hostile_xmp_is_no_caption(tmp_path: Path, packet: str) -> None:
    path = tmp_path / "a.jpg"
    picture("red").save(path, xmp=packet.encode())
    assert file_captions(path) == []


def test_sidecars(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    picture("red").save(path)
    (tmp_path / "a.txt").write_text("a red wall\n\na wall painted red\n")
    (tmp_path / "a.jpg.json").write_text(
        json.dumps({"title": "a.jpg", "description": "Lisbon, first day", "tags": ["wall", 3]})
    )
    (tmp_path / "a.json").write_text("[" * 100_000)
    assert file_captions(path) == ["a red wall", "a wall painted red", "Lisbon, first day", "wall"]
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\x00caption" + b"x" * 10**6)
    assert all(len(caption) <= 2000 for caption in file_captions(path))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are of Unix")
def test_a_pipe_where_the_image_was_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.jpg")
    os.mkfifo(tmp_path / "a.txt")
    assert file_captions(tmp_path / "a.jpg") == []


def test_files_that_are_gone_or_no_images(tmp_path: Path) -> None:
    assert file_captions(tmp_path / "gone.jpg") == []
    (tmp_path / "b.jpg").write_bytes(b"\xff\xd8\xff\xe1\xff\xff" + b"\0" * 50)
    assert file_captions(tmp_path / "b.jpg") == []


def test_lists_of_captions(tmp_path: Path) -> None:
    lines = [
        {"image": "x/a.jpg", "captions": ["one dog", "a dog"]},
        {"path": str(tmp_path / "b.jpg"), "caption": "a cat"},
        {"nothing": 1},
        [1],
    ]
    listing = tmp_path / "list.jsonl"
    listing.write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    assert listed_captions(listing) == {
        str(tmp_path / "x/a.jpg"): ["one dog", "a dog"],
        str(tmp_path / "b.jpg"): ["a cat"],
    }
    table = tmp_path / "list.csv"
    table.write_text('filename,title,other\na.jpg,"a dog, asleep",1\na.jpg,a second,2\nb.jpg,,3\n')
    assert listed_captions(table) == {str(tmp_path / "a.jpg"): ["a dog, asleep", "a second"]}


def test_lists_that_are_none_say_so(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        listed_captions(tmp_path / "none.jsonl")
    bad = tmp_path / "bad.jsonl"
    for content, words in (
        ("{", "line 1"),
        ('{"a": 1}', "no captions"),
        ("", "no captions"),
        ("[" * 99_999, "line 1"),
    ):
        bad.write_text(content)
        with pytest.raises(AskpixError, match=words):
            listed_captions(bad)
    with pytest.raises(AskpixError, match="cannot read"):
        listed_captions(tmp_path)
    table = tmp_path / "bad.csv"
    table.write_text("path,caption\na.jpg," + '"' + "x" * 200_000)
    with pytest.raises(AskpixError, match="no CSV"):
        listed_captions(table)


def test_what_stands_on_many_images_tells_none_apart() -> None:
    told = {str(number): ["Holiday 2019", f"sight {number}"] for number in range(5)}
    assert without_stamps(told) == {key: [f"sight {key}"] for key in told}
    assert without_stamps({"a": ["x"], "b": ["x"]}) == {"a": ["x"], "b": ["x"]}
