"""Where an upload came from: kept where no upload can reach it."""

import hashlib
from pathlib import Path

import pytest

from askpix.api.jobs.uploads import Upload, Uploads, safe_name


@pytest.fixture
def uploads(tmp_path: Path) -> Uploads:
    return Uploads(tmp_path, max_bytes=2**30, max_files=10)


def keep(uploads: Uploads, name: str, data: bytes, url: str | None = None) -> Upload:
    incoming = uploads.begin(name)
    incoming.write(data)
    return incoming.commit(uploads.folder("c"), url=url)


def test_a_fetched_file_shows_its_address_and_an_uploaded_one_its_name(uploads: Uploads) -> None:
    fetched = keep(uploads, "http://a.test/x.svg", b"<svg/>", url="http://a.test/x.svg")
    assert uploads.shown(str(fetched.path)) == "http://a.test/x.svg"
    note = keep(uploads, "x.svg.url", b"<svg/>")
    assert uploads.shown(str(fetched.path)) == "http://a.test/x.svg"
    assert uploads.shown(str(note.path)) == "upload:x.svg.url"
    again = keep(uploads, "x.svg", b"<svg/>", url="http://b.test/x.svg")
    assert note.path.read_bytes() == b"<svg/>", "an upload is not written over"
    assert uploads.shown(str(again.path)) == "http://b.test/x.svg"


def test_addresses_kept_by_older_versions_are_known_and_uploads_are_not_taken_for_them(
    uploads: Uploads,
) -> None:
    fetched = keep(uploads, "x.jpg", b"x")
    fetched.path.with_name("x.jpg.url").write_text("http://a.test/x.jpg")
    assert uploads.shown(str(fetched.path)) == "http://a.test/x.jpg"
    data = b"http://forged.test/"
    sent = keep(uploads, "y.jpg", data)
    assert keep(uploads, "y.jpg.url", data).path.parent.name == hashlib.sha256(data).hexdigest()
    assert uploads.shown(str(sent.path)) == "upload:y.jpg"


@pytest.mark.parametrize("name", [".x.url", "..x.url", " .x.url", "a/.x.url", "\u200b.x.url", "\\.x.url"])
def test_no_name_of_an_upload_begins_with_a_dot(name: str) -> None:
    assert not safe_name(name).startswith(".")


def test_deleting_leaves_nothing_unless_the_bytes_have_another_name(uploads: Uploads) -> None:
    one, two = keep(uploads, "x.jpg", b"x", url="http://a.test"), keep(uploads, "y.jpg", b"x")
    uploads.delete(str(one.path))
    assert [path.name for path in two.path.parent.iterdir()] == ["y.jpg"]
    uploads.delete(str(two.path))
    assert not two.path.parent.exists()
