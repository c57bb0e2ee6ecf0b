"""The trail: shares of keys, and strangers by address and minute."""

from pathlib import Path

import pytest

import askpix.api.security.audit_log
from askpix.api.security.audit_log import Trail
from askpix.api.security.tables import database_of


def refuse(trail: Trail, address: str) -> None:
    trail.refuse(address=address, did="POST /x", status=401, request="r")


def test_a_key_pushes_out_its_own_entries_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(askpix.api.security.audit_log, "KEPT", 3)
    monkeypatch.setattr(askpix.api.security.audit_log, "_TIDY_EVERY", 10)
    trail = Trail(database_of(tmp_path))
    for number in range(30):
        who = "quiet" if number < 2 else "busy"
        trail.add(who=who, did="POST /x", path=f"/{number}", status=200, request="r")
    assert [entry.path for entry in trail.latest()] == ["/29", "/28", "/27", "/1", "/0"]


def test_strangers_are_counted_by_network_and_the_many_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(askpix.api.security.audit_log, "_MAX_ADDRESSES", 3)
    trail = Trail(database_of(tmp_path))
    for number in range(9):
        refuse(trail, f"2001:db8::{number}")
        refuse(trail, f"10.0.0.{number}")
    trail.refusals()
    counts: dict[str, int] = {}
    for row in Trail(database_of(tmp_path)).refusals():  # the minute may have changed in between
        counts[row.address] = counts.get(row.address, 0) + row.count
    assert counts.pop("2001:db8::/64") == 9
    assert sum(counts.values()) == 9 and "others" in counts
    assert trail.latest() == []


def test_refusals_have_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(askpix.api.security.audit_log, "KEPT_REFUSALS", 5)
    trail = Trail(database_of(tmp_path))
    for minute in range(12):
        with monkeypatch.context() as later:
            later.setattr(askpix.api.security.audit_log, "datetime", _clock(minute))
            refuse(trail, "10.0.0.1")
    assert [row.at.minute for row in trail.refusals()] == [11, 10, 9, 8, 7]


def _clock(minute: int) -> type:
    from datetime import datetime, tzinfo

    class Clock(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> "Clock":
            return cls(2026, 1, 1, 0, minute, 7, tzinfo=tz)

    return Clock
