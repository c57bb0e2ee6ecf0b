"""Settings that are wrong are one clear line."""

import pytest

from askpix.api.settings import load_settings
from askpix.core.errors import AskpixError


def test_an_empty_home_is_not_the_working_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASKPIX_HOME", "")
    with pytest.raises(AskpixError, match=r"ASKPIX_HOME='': .*it is empty; name a folder"):
        load_settings()
