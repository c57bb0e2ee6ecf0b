"""Words in every carrier of every format, made here byte by byte; and what enemies put in their place."""

import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from xml.sax.saxutils import escape

import brotli
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, PngImagePlugin

from askpix.ingest.metadata.containers import read_container
from askpix.ingest.metadata.merge import look_into, read_bytes_inside
from askpix.ingest.metadata.model import About, merged
from askpix.ingest.metadata.xmp import MAX_XMP, read_xmp
from askpix.ingest.sources.zip_files import look_inside, zip_uri

PACKET = b"""<?xpacket begin='' id='W5M0MpCehiHzreSzNTczkc9d'?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF
 xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description xmp:Rating="3"
 xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/">
<dc:description><rdf:Alt><rdf:li xml:lang="x-default">Boats in the fog</rdf:li></rdf:Alt></dc:description>
<dc:subject><rdf:Bag><rdf:li>Lighthouse</rdf:li></rdf:Bag></dc:subject>
</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end='w'?>"""
XMP_ID = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")


def known(data: bytes) -> About:
    return merged(read_bytes_inside(data))


def saved(form: str, **options: object) -> bytes:
    made = io.BytesIO()
    Image.new("RGB", (48, 32), "red").save(made, form, **options)
    return made.getvalue()


def box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I", 8 + len(body)) + kind + body


def film(*boxes: bytes, moov: bytes = b"") -> bytes:
    start = box(b"ftyp", b"mp42\0\0\0\0mp42") + box(b"mdat", b"\0" * 4096)
    return start + box(b"moov", box(b"mvhd", b"\0" * 100), moov) + b"".join(boxes)


def item(kind: bytes, text: str, form: int = 1) -> bytes:
    return box(kind, box(b"data", struct.pack(">II", form, 0), text.encode()))


def items(*entries: bytes, keys: tuple[str, ...] = ()) -> bytes:
    handler = box(b"hdlr", b"\0" * 8, b"mdir", b"appl", b"\0" * 9)
    named = b"".join(struct.pack(">I", 8 + len(key)) + b"mdta" + key.encode() for key in keys)
    listed = box(b"keys", struct.pack(">II", 0, len(keys)), named) if keys else b""
    return box(b"meta", b"\0" * 4, handler, listed, box(b"ilst", *entries))


def gif(packet: bytes) -> bytes:
    data = saved("GIF")
    trailer = b"\x01" + bytes(range(255, -1, -1)) + b"\0"
    return data[:-1] + b"\x21\xff\x0bXMP DataXMP" + packet + trailer + b"\0;"


def png_profile(name: str, data: bytes) -> bytes:
    chunks = PngImagePlugin.PngInfo()
    chunks.add_text(f"Raw profile type {name}", f"\n{name}\n{len(data):8}\n{data.hex()}\n", zip=True)
    return saved("PNG", pnginfo=chunks)


def pdf(*, info: bytes = b"", packet: bytes = b"", packed: bool = False, more: bytes = b"") -> bytes:
    """A PDF of no page; ``packed``: its objects are in an object stream, its XMP is compressed."""
    body = zlib.compress(packet) if packed else packet
    form = b"/Filter /FlateDecode " if packed else b""
    stream = b"9 0 obj\n<< /Type /Metadata %s/Length %d >>\nstream\n%s\nendstream\nendobj\n"
    data = b"%PDF-1.5\n" + stream % (form, len(body), body)
    catalog = b"<< /Type /Catalog /Pages 2 0 R /Metadata 9 0 R >>"
    if packed:
        head = b"1 0 5 %d " % (len(catalog) + 1)
        inside = zlib.compress(head + catalog + b" " + info)
        data += b"7 0 obj\n<< /Type /ObjStm /N 2 /First %d /Filter /FlateDecode /Length %d >>\nstream\n" % (
            len(head),
            len(inside),
        )
        data += inside + b"\nendstream\nendobj\n"
    else:
        data += b"1 0 obj\n" + catalog + b"\nendobj\n5 0 obj\n" + info + b"\nendobj\n"
    return data + more + b"trailer\n<< /Root 1 0 R /Info 5 0 R /Size 10 >>\n%%EOF"


JXL = b"\0\0\0\x0cJXL \r\n\x87\n" + box(b"ftyp", b"jxl \0\0\0\0jxl ")
XMP_CARRIERS: dict[str, Callable[[], bytes]] = {
    "jpeg": lambda: saved("JPEG", xmp=PACKET),
    "webp": lambda: saved("WEBP", xmp=PACKET),
    "avif": lambda: saved("AVIF", xmp=PACKET),
    "heic": lambda: saved("HEIF", xmp=PACKET),
    "tiff": lambda: saved("TIFF", tiffinfo={700: PACKET}),
    "png profile": lambda: png_profile("xmp", PACKET),
    "gif": lambda: gif(PACKET),
    "jpeg 2000": lambda: saved("JPEG2000") + box(b"uuid", XMP_ID, PACKET),
    "jpeg xl": lambda: JXL + box(b"xml ", PACKET),
    "jpeg xl, packed": lambda: JXL + box(b"brob", b"xml ", brotli.compress(PACKET)),
    "mp4": lambda: film(box(b"uuid", XMP_ID, PACKET)),
    "mov": lambda: film(moov=box(b"udta", box(b"XMP_", PACKET))),
    "pdf": lambda: pdf(packet=PACKET),
    "pdf, packed": lambda: pdf(packet=PACKET, packed=True),
}


@pytest.mark.parametrize("carrier", XMP_CARRIERS)
def test_xmp_in_every_format(carrier: str) -> None:
    found = known(XMP_CARRIERS[carrier]())
    assert (found.description, found.keywords, found.rating) == ("Boats in the fog", ("Lighthouse",), 3)


def test_exif_says_what_cameras_and_windows_write(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.ImageDescription] = "Repairing the tractor"
    for tag, text in (
        ("XPTitle", "A farm"),
        ("XPKeywords", "harvest;Places|France"),
        ("XPSubject", "Summer"),
    ):
        exif[ExifTags.Base[tag]] = text.encode("utf-16-le") + b"\0\0"
    exif[0x4749] = 75  # RatingPercent: four stars
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] = b"UNICODE\0" + "Früh".encode("utf-16-be")
    for form, name in (("JPEG", "a.jpg"), ("PNG", "a.png"), ("WEBP", "a.webp"), ("TIFF", "a.tif")):
        (tmp_path / name).write_bytes(saved(form, exif=exif))
        found = look_into(tmp_path / name, None)
        assert (found.title, found.description, found.rating) == ("A farm", "Repairing the tractor", 4), form
        assert found.keywords == ("harvest", "France", "Places") and "Summer" in found.words, form
        assert form == "TIFF" or "Früh" in found.words, form  # Pillow writes no UserComment into a TIFF


@pytest.mark.parametrize(
    ("comment", "text"),
    [
        (b"ASCII\0\0\0Grandma's house", "Grandma's house"),
        (b"\0\0\0\0\0\0\0\0Grandma's house", "Grandma's house"),
        (b"UNICODE\0" + "Großmutters Haus".encode("utf-16-le"), "Großmutters Haus"),
        (b"JIS\0\0\0\0\0" + "海の家".encode("iso2022_jp"), "海の家"),
        (b"ASCII\0\0\0Screenshot", None),
        (b"\0\0\0\0\0\0\0\0" + bytes(range(128, 250)), None),
        (b"UNICODE\0" + b"\0" * 40, None),
    ],
)
def test_user_comments_in_all_their_codes(comment: bytes, text: str | None) -> None:
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] = comment
    assert known(saved("JPEG", exif=exif)).description == text


def test_text_chunks_and_comments_are_read() -> None:
    chunks = PngImagePlugin.PngInfo()
    for name, text in (
        ("Title", "A farm"),
        ("Description", "Cows"),
        ("Author", "Ann"),
        ("Keywords", "hay, cow"),
    ):
        chunks.add_itxt(name, text)
    found = known(saved("PNG", pnginfo=chunks))
    assert (found.title, found.description, found.creator) == ("A farm", "Cows", "Ann")
    assert found.keywords == ("hay", "cow")
    assert known(saved("GIF", comment=b"Our dog")).description == "Our dog"
    assert known(saved("JPEG", comment=b"Created with GIMP")).description is None


def test_iptc_in_a_png_profile() -> None:
    fields = ((25, b"Meadow"), (105, b"Hay"), (120, "Heuernte im Süden".encode()))
    block = b"".join(b"\x1c\x02" + bytes([n]) + struct.pack(">H", len(text)) + text for n, text in fields)
    found = known(png_profile("iptc", b"8BIM\x04\x04\0\0" + struct.pack(">I", len(block)) + block))
    assert (found.title, found.description, found.keywords) == ("Hay", "Heuernte im Süden", ("Meadow",))


def test_films_have_titles_descriptions_keywords_and_stars() -> None:
    itunes = box(
        b"udta", items(item(b"\xa9nam", "Sunset cruise"), item(b"desc", "Our wedding"), item(b"keyw", "a, b"))
    )
    found = known(film(moov=itunes))
    assert (found.title, found.description, found.keywords) == ("Sunset cruise", "Our wedding", ("a", "b"))
    keys = ("com.apple.quicktime.title", "com.apple.quicktime.keywords", "com.apple.quicktime.rating.user")
    apple = items(
        item(b"\0\0\0\1", "Beach"),
        item(b"\0\0\0\2", "sea,sand"),
        box(b"\0\0\0\3", box(b"data", struct.pack(">II", 23, 0), struct.pack(">f", 4.0))),
        keys=keys,
    )
    found = known(film(moov=apple))
    assert (found.title, found.keywords, found.rating) == ("Beach", ("sea", "sand"), 4)
    quicktime = known(film(moov=box(b"udta", box(b"\xa9cmt", struct.pack(">HH", 5, 0), b"Hello"))))
    assert quicktime.description == "Hello"
    word = "Küste".encode()
    phone = box(b"kywd", b"\0" * 6 + b"\1" + bytes([len(word)]) + word) + box(b"titl", b"\0" * 6 + b"Tide\0")
    found = known(film(moov=box(b"udta", phone)))
    assert (found.title, found.keywords) == ("Tide", ("Küste",))


def test_what_windows_writes_into_a_film() -> None:
    def field(name: str, kind: int, *values: bytes) -> bytes:
        held = b"".join(struct.pack(">IH", 6 + len(value), kind) + value for value in values)
        size = 12 + len(name) + len(held)
        return struct.pack(">II", size, len(name)) + name.encode() + struct.pack(">I", len(values)) + held

    tags = field("WM/Category", 8, *(f"{tag}\0".encode("utf-16-le") for tag in ("Ferien", "Oslo")))
    found = known(
        film(moov=box(b"udta", box(b"Xtra", tags, field("WM/SharedUserRating", 19, struct.pack("<Q", 99)))))
    )
    assert (found.keywords, found.rating) == (("Ferien", "Oslo"), 5)


@pytest.mark.parametrize("packed", [False, True])
def test_documents_have_titles_and_keywords_and_no_date(packed: bool) -> None:
    info = (
        b"<< /Title (Minutes \\(draft\\) of the \\\nboard\\056) /Subject <FEFF004B00FC00730074>"
        b" /CreationDate (D:2020) /Keywords (Harbour; Pier) /Author (Ann) >>"
    )
    found = known(pdf(info=info, packed=packed))
    assert (found.title, found.description) == ("Minutes (draft) of the board.", "Küst")
    assert (found.keywords, found.creator, found.taken_at) == (("Harbour", "Pier"), "Ann", None)
    changed = known(pdf(info=info, more=b"5 0 obj\n<< /Title (Final) >>\nendobj\n"))
    assert packed or changed.title == "Final"


@pytest.mark.parametrize("name", ["a.mp4", "a.pdf"])
def test_words_at_the_end_of_a_large_file_in_an_archive(tmp_path: Path, name: str) -> None:
    filler = bytes(2**20)
    movie = film(box(b"free", filler), box(b"uuid", XMP_ID, PACKET))
    whole = {"a.mp4": movie, "a.pdf": pdf(more=filler, packet=PACKET)}
    with zipfile.ZipFile(tmp_path / "all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, whole[name])
        info = archive.getinfo(name)
    found = look_inside(zip_uri(tmp_path / "all.zip") + name, info.file_size, info.CRC + 1, None)
    assert found is not None and found.keywords == ("Lighthouse",)


def test_an_encrypted_document_says_nothing_false() -> None:
    data = pdf(info=b"<< /Title (\x8f\x12gibberish) >>").replace(b"/Size 10", b"/Size 10 /Encrypt 8 0 R")
    assert known(data).title is None


def test_people_pets_and_categories_of_other_programs() -> None:
    categories = (
        '<Categories><Category Assigned="0">Trips<Category Assigned="1">Oslo</Category></Category>'
        '<Category Assigned="0">Rome</Category></Categories>'
    )
    people = "<ext:PersonName><rdf:Alt><rdf:li>Fritz Maler</rdf:li></rdf:Alt></ext:PersonName>"
    parts = (
        "<rdf:RDF xmlns:acdsee='http://ns.acdsee.com/iptc/1.0/'",
        " xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'",
        " xmlns:ext='http://iptc.org/std/Iptc4xmpExt/2008-02-29/'",
        " xmlns:digiKam='http://www.digikam.org/ns/1.0/' xmlns:ar='http://ns.acdsee.com/regions/'",
        " xmlns:windows='http://ns.microsoft.com/photo/1.0/'><rdf:Description windows:Rating='99'>",
        f"<ext:PersonInImageWDetails>{_bag(people)}</ext:PersonInImageWDetails>",
        f"<acdsee:keywords>{_bag('Kitchen')}</acdsee:keywords>",
        f"<acdsee:categories>{escape(categories)}</acdsee:categories>",
        f"<digiKam:TagsList>{_bag('Places/Lille', '_Digikam_Internal_Tags_/Picked')}</digiKam:TagsList>",
        "<ar:Regions rdf:parseType='Resource'><ar:RegionList><rdf:Bag><rdf:li ar:Name='Ute' ar:Type='Face'/>",
        "</rdf:Bag></ar:RegionList></ar:Regions></rdf:Description></rdf:RDF>",
    )
    found = read_xmp("".join(parts).encode())
    assert set(found.people) == {"Fritz Maler", "Ute"} and found.rating == 5
    assert set(found.keywords) == {"Kitchen", "Trips", "Oslo", "Lille", "Places"}


def _bag(*entries: str) -> str:
    listed = "".join(f"<rdf:li rdf:parseType='Resource'>{each}</rdf:li>" for each in entries)
    return f"<rdf:Bag>{listed}</rdf:Bag>"


def test_hostile_containers_are_bounded() -> None:
    bomb = brotli.compress(b"<" * (64 * 2**20))
    assert known(JXL + box(b"brob", b"xml ", bomb)) == About()
    assert known(pdf(packet=b" " * (64 * 2**20) + PACKET, packed=True)) == About()
    assert known(film(moov=box(b"udta", struct.pack(">I", 0) + b"meta" * 4))) == About()
    deep = b""
    for _ in range(300):
        deep = box(b"meta", deep)
    assert known(film(moov=deep)) == About()
    assert known(film(box(b"free") * 100_000)) == About()
    assert known(film(box(b"uuid", XMP_ID, b" " * (MAX_XMP + 1) + PACKET))) == About()


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(sorted(XMP_CARRIERS)), st.integers(0, 10**6), st.binary(min_size=1, max_size=40))
def test_damage_anywhere_is_no_error(carrier: str, at: int, damage: bytes) -> None:
    if carrier not in _WHOLE:
        _WHOLE[carrier] = XMP_CARRIERS[carrier]()
    whole = _WHOLE[carrier]
    at %= len(whole)
    read_bytes_inside(whole[:at] + damage + whole[at + len(damage) :])
    read_bytes_inside(whole[:at])
    read_container(io.BytesIO(damage))


_WHOLE: dict[str, bytes] = {}
