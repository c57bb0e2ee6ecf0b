"""A real browser for the tests of the page: which one, and a page in it that notes whatever goes wrong.

Searched for in this order: the program that ASKPIX_CHROMIUM names, Chrome or Chromium on PATH, and the one
that tools/fetch_browser.py brings from a package index (`make test` runs it).
"""

import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from askpix.api.demo import PICTURES
from tests.conftest import ROOT
from tests.support.service import served, until_ready

SAMPLES = (
    "photos/astronaut.jpg photos/cat.jpg photos/coffee-cup.jpg photos/drawn-sailing-boat.jpg "
    "photos/grass.jpg photos/rocket-launch.jpg receipts/hotel-alpenblick.jpg receipts/sakura-sushi.jpg "
    "documents/library-report.pdf"
).split()
VERSION = "153.0.0"
"""Of the npm package @sparticuz/chromium."""
FETCHED = ROOT / ".venv" / f"chromium-{VERSION}"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
MISSING = "no Chromium here: run `python tools/fetch_browser.py`, install one, or name it in ASKPIX_CHROMIUM"


@dataclass
class Tab:
    """A page, and all that it complained of or asked elsewhere."""

    page: Any
    url: str
    wrong: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)


def find_browser() -> Path | None:
    """The program, or None."""
    if named := CHOSEN:
        return Path(named)
    for name in NAMES:
        if found := shutil.which(name):
            return Path(found)
    mac = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")
    return next((path for path in (FETCHED / "chromium", mac) if path.is_file()), None)


CHOSEN = os.environ.get("ASKPIX_CHROMIUM", "")
"""Read once: tests see none of the developer's settings."""


@contextmanager
def browser() -> Iterator[Any]:
    """Chromium, headless. Skips where there is none."""
    import pytest
    from playwright.sync_api import sync_playwright

    program = find_browser()
    if program is None:
        pytest.skip(MISSING)
    environment: dict[str, str] = dict(os.environ)
    if program.parent == FETCHED:
        environment["LD_LIBRARY_PATH"] = str(FETCHED / "lib")
        if not Path("/etc/fonts").is_dir():
            environment["FONTCONFIG_PATH"] = str(FETCHED)
    arguments = ["--font-render-hinting=none", "--force-color-profile=srgb"]
    if sys.platform == "linux":  # its sandbox needs rights that containers rarely give
        arguments += ["--no-sandbox", "--disable-dev-shm-usage"]
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=arguments, env=environment)
        try:
            yield opened
        finally:
            opened.close()


@contextmanager
def tab(opened: Any, url: str, *, width: int = 1280, height: int = 800, **options: Any) -> Iterator[Tab]:
    """A fresh page on a server. Asserts at the end that nothing went wrong in it and nothing left it."""
    context = opened.new_context(viewport={"width": width, "height": height}, **options)
    context.set_default_timeout(45_000)
    made = Tab(context.new_page(), url)
    watched = made.page

    def complain(said: Any) -> None:
        if said.type in ("error", "warning"):
            made.wrong.append(f"{said.text} {said.location.get('url', '')}".strip())

    watched.on("console", complain)
    watched.on("pageerror", lambda error: made.wrong.append(str(error)))
    allowed = (f"{url}/", "data:", "blob:")
    context.on("request", lambda asked: asked.url.startswith(allowed) or made.outside.append(asked.url))
    try:
        yield made
        assert made.wrong == [], made.wrong
        assert made.outside == [], made.outside
    finally:
        context.close()


def until(page: Any, script: str, *, seconds: float = 45.0) -> None:
    """Waits for an expression to hold. Playwright's own waiting needs `eval`, which the policy forbids."""
    deadline = time.monotonic() + seconds
    while not page.evaluate(script):
        assert time.monotonic() < deadline, f"never: {script}"
        page.wait_for_timeout(30)


@contextmanager
def sampled(home: Path) -> Iterator[str]:
    """The address of a server with some of the sample pictures, looked at and read."""
    with served(home, ASKPIX_GENERATOR="extractive", ASKPIX_REQUESTS_PER_MINUTE="0") as (address, _):
        client = until_ready(address)
        client.create_collection("default")
        client.index("default", [PICTURES / name for name in SAMPLES])
        yield address


def ready(made: Tab, path: str = "/") -> Tab:
    """The tab, once it shows a picture."""
    made.page.goto(made.url + path)
    made.page.wait_for_selector(".tile img.here")
    return made


def serious(page: Any) -> list[str]:
    """What axe-core's rules hold against a page, serious or worse."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    bad = [each for each in found if each["impact"] in ("serious", "critical")]
    return [f"{each['id']}: {each['nodes'][0]['html'][:160]}" for each in bad]
