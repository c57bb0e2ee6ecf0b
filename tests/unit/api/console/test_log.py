"""Log lines of the command and the service: whole, in one piece, without secrets."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

import askpix.api.console.log as shown
from askpix.api.cli.main import app
from askpix.api.console.log import request_id, show_log, show_service_log
from askpix.core.log import hide
from tests.support.home_results import PICTURES

HOSTILE = 'a\n{"level":"ERROR"}\r\x1b[2J\u2028\u202e"\x00.jpg'


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("askpix")
    yield
    for logger in (root, ours):
        logger.removeHandler(shown._HANDLER)
    ours.setLevel(logging.NOTSET)
    logging.captureWarnings(False)


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().err.split("\n")[:-1]


def test_json_lines_parse_one_by_one_whatever_is_in_them(capsys: pytest.CaptureFixture[str]) -> None:
    show_service_log("json")
    log = logging.getLogger("askpix.somewhere")
    token = request_id.set("r-1")
    log.info("cannot read %s", HOSTILE, extra={"path": HOSTILE, "ms": 1.5})
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        log.exception("failed")
    request_id.reset(token)
    logging.getLogger("uvicorn.error").error("of uvicorn")
    logging.getLogger("uvicorn.error").info("not shown")
    first, second, third = map(json.loads, lines(capsys))
    assert {"time", "level", "logger", "message", "request_id"} < first.keys()
    assert (first["level"], first["request_id"], first["path"], first["ms"]) == ("INFO", "r-1", HOSTILE, 1.5)
    assert first["message"] == f"cannot read {HOSTILE}"
    assert "Traceback" in second["exception"] and second["request_id"] == "r-1"
    assert (third["logger"], third["message"]) == ("uvicorn.error", "of uvicorn")
    assert "request_id" not in third


def test_a_name_that_is_not_utf8_is_json_too() -> None:
    record = logging.LogRecord("askpix.x", logging.INFO, "", 0, "cannot read %s", ("a\udcff.jpg",), None)
    line = shown._JsonFormatter().format(record)
    assert json.loads(line)["message"] == "cannot read a\udcff.jpg"
    assert line.isascii()


def test_text_keeps_to_its_line_and_leaves_the_terminal_alone(capsys: pytest.CaptureFixture[str]) -> None:
    show_service_log("text")
    logging.getLogger("askpix.x").info("cannot read %s", HOSTILE, extra={"path": HOSTILE})
    try:
        raise ValueError("one\n2026-12-01 ERROR askpix.forged two")
    except ValueError:
        logging.getLogger("askpix.x").exception("failed")
    first, *more = lines(capsys)
    assert "INFO askpix.x cannot read a" in first and "path=a" in first
    assert not {"\x1b", "\r", "\u2028", "\u202e", "\x00"} & set("".join([first, *more]))
    assert len([line for line in more if not line.startswith("  ")]) == 1


def test_no_secret_is_in_it(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-0123456789")
    hide("of-the-settings")
    show_service_log("json")
    log = logging.getLogger("askpix.x")
    log.warning("%s %s", "sk-0123456789", "of-the-settings")
    log.warning("'postgresql://me:hunter22@host/db' and https://me@host/a.jpg?X-Amz-Signature=abc&x=y")
    try:
        raise ValueError("Bearer sk-0123456789")
    except ValueError:
        log.exception("failed")
    said = "".join(lines(capsys))
    assert not [each for each in ("sk-0", "of-the", "hunter22", "me@", "abc", "x=y") if each in said]
    assert "://host/db" in said and "https://host/a.jpg?***" in said


def test_verbose_says_what_was_decided_and_twice_says_more(tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8 no JPEG")
    home = {"ASKPIX_HOME": str(tmp_path / "home")}

    def run(*words: str) -> tuple[str, str]:
        done = CliRunner().invoke(app, list(words), env=home)
        return done.stdout, done.stderr

    files = (str(PICTURES / "receipts" / "sakura-sushi.jpg"), str(broken))
    _, info = run("-v", "index", *files, "--ocr", "off", "--json")
    assert "opening the edge store of collection 'default'" in info
    assert f"failed {str(broken)!r}" in info
    assert " DEBUG " not in info
    quiet = run("search", "raw fish on rice", "--json")
    some = run("-v", "search", "raw fish on rice", "--json")
    more = run("-vv", "search", "raw fish on rice", "--json")
    assert "raw fish" not in quiet[1] + some[1] and "raw fish" in more[1]
    assert " INFO " not in quiet[1] and " INFO " in some[1] and " DEBUG " in more[1]
    assert len({json.dumps(json.loads(out)["hits"]) for out, _ in (quiet, some, more)}) == 1


def test_the_command_shows_warnings_alone_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    show_log(0)
    log = logging.getLogger("askpix.x")
    log.info("no")
    log.warning("yes")
    assert [line.split(" ", 1)[1] for line in lines(capsys)] == ["WARNING askpix.x yes"]
