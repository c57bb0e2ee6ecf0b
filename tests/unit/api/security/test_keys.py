from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from askpix.api.security import keys
from askpix.api.security.keys import KeyRing
from askpix.api.security.tables import database_of
from askpix.core.errors import NotFoundError


@pytest.fixture
def ring(tmp_path: Path) -> Iterator[KeyRing]:
    engine = database_of(tmp_path)
    yield KeyRing(engine)
    engine.dispose()


def test_a_rotated_key_opens_until_its_time_and_the_new_one_opens_the_same(ring: KeyRing) -> None:
    old, old_text = ring.create("phone", scope="write", collections=["Album"])
    new, new_text = ring.rotate(old.id, overlap=timedelta(hours=1))
    assert new.id != old.id and (new.name, new.scope, new.collections) == ("phone", "write", ("album",))
    assert ring.check(old_text) and ring.check(new_text), "both open meanwhile"
    again, _ = ring.rotate(new.id)
    assert ring.check(new_text) is None, "without an overlap at once"
    assert {key.id for key in ring.list()} == {old.id, new.id, again.id}


def test_an_overlap_ends(ring: KeyRing, monkeypatch: pytest.MonkeyPatch) -> None:
    old, text = ring.create("phone", scope="read")
    ring.rotate(old.id, overlap=timedelta(hours=1))
    assert ring.check(text)
    later = keys._now() + timedelta(hours=1, seconds=1)
    monkeypatch.setattr(keys, "_now", lambda: later)
    assert ring.check(text) is None


def test_a_second_rotation_does_not_lengthen_the_first(ring: KeyRing) -> None:
    old, _ = ring.create("phone", scope="read")
    ring.rotate(old.id, overlap=timedelta(hours=1))
    before = next(key for key in ring.list() if key.id == old.id).revoked_at
    ring.rotate(old.id, overlap=timedelta(days=9))
    assert next(key for key in ring.list() if key.id == old.id).revoked_at == before


def test_what_opens_nothing_is_not_rotated_and_one_in_its_overlap_can_be_revoked(ring: KeyRing) -> None:
    old, text = ring.create("phone", scope="read")
    ring.rotate(old.id, overlap=timedelta(hours=1))
    assert ring.revoke(old.id).revoked_at and ring.check(text) is None
    for key_id in (old.id, "nobody"):
        with pytest.raises(NotFoundError, match="no key"):
            ring.rotate(key_id)


def test_a_revoked_key_opens_nothing_and_was_made_all_the_same(ring: KeyRing) -> None:
    assert not ring.any() and not ring.ever_made()
    old, _ = ring.create("phone", scope="read")
    new, _ = ring.rotate(old.id, overlap=timedelta(hours=1))
    ring.revoke(new.id)
    assert ring.any(), "the old one still opens"
    ring.revoke(old.id)
    assert not ring.any() and ring.ever_made()
