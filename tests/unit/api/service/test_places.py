from contextlib import ExitStack

import pytest

from askpix.api.security.problems import OverloadedError
from askpix.api.service.places import Places


def test_one_may_have_half_and_all_together_every_one() -> None:
    places = Places(5)
    with ExitStack() as held:
        for _ in range(2):
            held.enter_context(places.take("a"))
        with pytest.raises(OverloadedError, match="of this key") as caught, places.take("a"):
            pass
        assert caught.value.status == 429 and not places.full
        for who in ("b", "b", "c"):
            held.enter_context(places.take(who))
        assert places.full
        with pytest.raises(OverloadedError, match="busy") as caught, places.take("d"):
            pass
        assert caught.value.status == 503
    assert not places.full
    with places.take("a"), places.take("a"):
        pass


def test_the_only_place_may_be_anybodys() -> None:
    with Places(1).take("a"):
        pass
