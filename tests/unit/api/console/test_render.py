"""Search results for people: whole paths, dates where they were asked for, nothing that a terminal runs."""

from datetime import datetime
from pathlib import Path

import pytest
from rich.console import Console

from askpix.api.console import render
from askpix.core.text.wording import plural
from askpix.core.types import Hit, ImageRecord, Query, SearchResult, Where, Why


def result(uri: str, *, where: Where | None = None, page: int | None = None) -> SearchResult:
    record = ImageRecord(
        id="1", uri=uri, kind="photo", width=4, height=3, page=page,
        taken_at=datetime(2018, 5, 3, 12),
    )  # fmt: skip
    hit = Hit(1, record, 0.5, Why(image=0.3), snippet="Quay\n12")
    query = Query(raw="quay", text="quay", where=where or Where())
    return SearchResult(query, True, None, (hit,), 1.0)


def test_rows_of_a_pipe_have_the_whole_path_and_no_score(capsys: pytest.CaptureFixture[str]) -> None:
    render.show_result(result(str(Path.cwd() / "a" / "b.jpg")))
    assert capsys.readouterr().out == f"1\t{Path.cwd() / 'a' / 'b.jpg'}\t2018-05-03\tQuay 12\n"


def on_terminal(found: SearchResult, monkeypatch: pytest.MonkeyPatch) -> str:
    terminal = Console(force_terminal=True, width=200, record=True, legacy_windows=False, color_system=None)
    monkeypatch.setattr(render, "Console", lambda: terminal)
    monkeypatch.setattr(render.sys.stdout, "isatty", lambda: True, raising=False)
    render.show_result(found)
    return terminal.export_text(styles=True)


def test_terminals_get_a_link_and_the_date_where_dates_were_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    text = on_terminal(result("/p/a b.pdf", page=3), monkeypatch)
    assert "file:///p/a%20b.pdf#page=3" in text and "/p/a b.pdf#page=3" in text and "2018" not in text
    dated = on_terminal(result("/p/a.jpg", where=Where(after=datetime(2018, 1, 1))), monkeypatch)
    assert "2018-05-03" in dated


@pytest.mark.parametrize("folder", ["/p", "https://example.org/p"])
def test_names_cannot_move_the_cursor(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = on_terminal(result(f"{folder}/\x1b[2Jevil[bold].jpg"), monkeypatch)
    assert "\x1b[2J" not in text and "evil[bold].jpg" in text


@pytest.mark.parametrize(("count", "text"), [(0, "0 images"), (1, "1 image"), (1200, "1,200 images")])
def test_counts(count: int, text: str) -> None:
    assert plural(count, "image") == text
