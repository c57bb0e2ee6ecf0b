"""Stores that stay open between calls: for whom, and until when."""

from contextlib import closing
from io import StringIO
from pathlib import Path

from askpix.api.settings import load_settings
from askpix.api.workspace.lingering import LingeringWorkspace


def test_stores_stay_open_again_after_two_runs_that_overlapped(tmp_path: Path) -> None:
    workspace = LingeringWorkspace(load_settings(home=tmp_path))
    opened: list[StringIO] = []

    def open_it() -> StringIO:
        opened.append(StringIO())
        return opened[-1]

    with closing(workspace):
        first, second = workspace.taking_turns(), workspace.taking_turns()
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        with workspace.shared(("id", "store"), open_it):
            pass
        assert opened[-1].closed, "one still runs"
        second.__exit__(None, None, None)
        for _ in range(2):
            with workspace.shared(("id", "store"), open_it):
                pass
            assert not opened[-1].closed
        assert len(opened) == 2
    assert opened[-1].closed
