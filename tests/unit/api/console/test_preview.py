"""Thumbnails in terminals: the protocol of each, and bytes that decode to the image."""

import base64
import io
import re

import pytest
from PIL import Image

from askpix.api.console.preview import SIDE, protocol_of, thumbnail


@pytest.mark.parametrize(
    ("environment", "protocol"),
    [
        ({"KITTY_WINDOW_ID": "3"}, "kitty"),
        ({"TERM": "xterm-ghostty"}, "kitty"),
        ({"TERM_PROGRAM": "WezTerm"}, "iterm"),
        ({"TERM_PROGRAM": "iTerm.app"}, "iterm"),
        ({"TERM": "screen", "LC_TERMINAL": "iTerm2"}, "iterm"),
        ({"TERM": "xterm-256color"}, None),
        ({}, None),
    ],
)
def test_protocol_of_a_terminal(environment: dict[str, str], protocol: str | None) -> None:
    assert protocol_of(environment) == protocol


def test_kitty_gets_the_image_in_chunks() -> None:
    noise = Image.effect_noise((900, 600), 80)
    text = thumbnail(noise, "kitty")
    parts = re.findall(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\", text)
    assert len(parts) > 1 and all(len(data) <= 4096 for _, data in parts)
    assert [keys.endswith("m=1") for keys, _ in parts] == [True] * (len(parts) - 1) + [False]
    with Image.open(io.BytesIO(base64.b64decode("".join(data for _, data in parts)))) as shown:
        assert shown.format == "PNG" and max(shown.size) == SIDE


def test_iterm_gets_it_whole() -> None:
    text = thumbnail(Image.new("RGB", (40, 20), "red"), "iterm")
    found = re.search(r"\x1b\]1337;File=inline=1;size=(\d+);[^:]*:([^\a]*)\a", text)
    assert found is not None
    data = base64.b64decode(found[2])
    assert len(data) == int(found[1])
    with Image.open(io.BytesIO(data)) as shown:
        assert shown.size == (40, 20) and shown.getpixel((0, 0)) == (255, 0, 0)
