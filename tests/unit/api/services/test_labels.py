"""Labels from a list or a file."""

from pathlib import Path

import pytest

from askpix.api.services.labels import read_labels, read_vocabulary
from askpix.core.errors import BadQueryError


def test_a_list_or_a_file(tmp_path: Path) -> None:
    assert read_labels("cat,red sofa") == ["cat", "red sofa"] and read_labels("cat") == ["cat"]
    words = tmp_path / "words.txt"
    words.write_bytes("\ufeffcat\n# none\nÉté, plage\n\n".encode())
    assert read_labels(str(words)) == ["cat", "Été, plage", ""]
    listed = tmp_path / "words.json"
    listed.write_text('["cat", "dog"]')
    assert read_labels(str(listed)) == ["cat", "dog"]


@pytest.mark.parametrize("content", [b'{"a": 1}', b"[1, 2]", b"[" * 100_000, b"not json", b"\xff\xfe\x00"])
def test_other_json_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "words.json"
    path.write_bytes(content)
    with pytest.raises(BadQueryError) as caught:
        read_labels(str(path))
    assert "\n" not in str(caught.value)


def test_names_that_are_no_files() -> None:
    with pytest.raises(BadQueryError, match="no file"):
        read_labels("missing.txt")
    assert read_labels("x" * 5000) == ["x" * 5000] and read_labels("a\0b") == ["a\0b"]


def test_a_vocabulary_from_the_options() -> None:
    assert read_vocabulary(None, None) is None
    vocabulary = read_vocabulary("cat,cat, dog", 0.4)
    assert vocabulary is not None and (vocabulary.labels, vocabulary.threshold) == (("cat", "dog"), 0.4)
    gone = read_vocabulary(None, None, no_tags=True)
    assert gone is not None and gone.labels == ()
    for wrong in ({"tags": None, "threshold": 0.2}, {"tags": "a", "threshold": None, "no_tags": True}):
        with pytest.raises(BadQueryError):
            read_vocabulary(**wrong)  # type: ignore[arg-type]
