from pathlib import Path

from benchmarks.speed.unchanged_tree import measure_tree


def test_every_file_of_an_unchanged_tree_is_seen_and_none_is_opened(tmp_path: Path) -> None:
    found = measure_tree(tmp_path, files=2_100, one_folder=False, rounds=1)
    assert len(list((tmp_path / "pictures").iterdir())) == 3
    assert found.files == 2_100 and found.files_per_s > 0 and 0 < found.ratio < 1
