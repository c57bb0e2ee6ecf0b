"""Whether the files of an image are there still."""

import zipfile
from dataclasses import replace
from pathlib import Path

from askpix.api.schemas.results import search_result, to_json
from askpix.core.types import Hit, ImageRecord, Query, SearchResult
from askpix.ingest.sources.original import is_gone
from askpix.ingest.sources.zip_files import zip_uri

HERE = ImageRecord("1", "", "photo", 4, 3)


def test_a_record_is_gone_when_no_file_of_it_is_left(tmp_path: Path) -> None:
    there = tmp_path / "a.jpg"
    there.write_bytes(b"x")
    gone = str(tmp_path / "b.jpg")
    assert not is_gone(replace(HERE, uri=str(there)))
    assert is_gone(replace(HERE, uri=gone)) and is_gone(replace(HERE, uri=str(there / "c.jpg")))
    assert not is_gone(replace(HERE, uri=gone, copies=(str(there),)))
    assert not is_gone(replace(HERE, uri="s3://bucket/a.jpg"))
    assert not is_gone(replace(HERE, uri="a\0b"))


def test_an_image_in_an_archive_is_there_as_long_as_that_is(tmp_path: Path) -> None:
    path = tmp_path / "all.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.jpg", b"x")
    record = replace(HERE, uri=zip_uri(path) + "a.jpg")
    assert not is_gone(record)
    path.unlink()
    assert is_gone(record)


def test_hits_say_so_where_it_is_so() -> None:
    hits = (Hit(1, replace(HERE, uri="a.jpg"), 1.0, missing=True), Hit(2, replace(HERE, uri="b.jpg"), 0.5))
    found = to_json(search_result(SearchResult(Query(), True, None, hits, 1.0)))["hits"]
    assert [each.get("missing") for each in found] == [True, None] and "missing" not in found[1]
