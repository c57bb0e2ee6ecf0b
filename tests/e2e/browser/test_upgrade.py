"""The page's offer of a better model: taken, declined, and of a model that does not work; search goes on."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from askpix.api.client.client import Client
from askpix.api.demo import PICTURES
from tests.support.browser import browser, ready, serious, tab, until
from tests.support.fake_hub import Hub, Repository, serving
from tests.support.published_mini import published_mini
from tests.support.service import served, until_ready

SMALL, USUAL = "immich-app/ViT-B-32-SigLIP2-256__webli", "onnx-community/siglip2-base-patch16-224-ONNX"
PINNED = "ba1f3b0843f24bc5417d38e19c37b287d719b2f4"
OPEN = "!document.querySelector('#upgrade').hidden"
CLOSED = "document.querySelector('#upgrade').hidden"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as opened:
        yield opened


@contextmanager
def offering(folder: Path, *, broken: bool = False) -> Iterator[tuple[str, Client]]:
    """A server with three photos and the small model, and a hub that has the better ones."""
    photos = folder / "photos"
    photos.mkdir()
    for name in ("cat", "coffee-cup", "rocket-launch"):
        shutil.copy(PICTURES / "photos" / f"{name}.jpg", photos)
    models = {
        SMALL: Repository(published_mini(broken=broken)),
        USUAL: Repository(published_mini(transformers=True, broken=broken), commit=PINNED),
    }
    with serving(Hub(models)) as hub:
        network = {"HF_ENDPOINT": hub.url, "HF_HOME": str(folder / "hf"), "HF_HUB_OFFLINE": "0"}
        settings = {"ASKPIX_DEVICE": "cpu", "ASKPIX_OCR": "off", "ASKPIX_GENERATOR": "extractive"}
        with served(folder / "home", **network, **settings) as (url, _):
            client = until_ready(url)
            client.create_collection("default")
            client.index("default", [photos])
            yield url, client


def first(client: Client, text: str) -> str:
    return Path(client.search("default", text).hits[0].uri).stem.removeprefix("upload:")


def test_the_offer_is_declined_or_taken_while_search_goes_on(chromium: Any, tmp_path: Path) -> None:
    with offering(tmp_path) as (url, client):
        with tab(chromium, url, width=390) as made:
            ready(made)
            until(made.page, OPEN)
            text = made.page.inner_text("#upgrade")
            assert "GB to download" in text and "Apache-2.0" in text and "finds more than mini" in text
            assert made.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            assert serious(made.page) == []
        with tab(chromium, url) as made:
            page = ready(made).page
            until(page, OPEN)
            page.click("#upgrade .primary")
            while "is in use now" not in (said := page.inner_text("#upgrade")):
                assert "not changed" not in said, said
                assert first(client, "a cat") == "cat"
            assert client.collection("default").embedder.startswith("onnx:")
            page.fill("#query", "a rocket")
            until(page, "document.querySelector('.tile')?.title.includes('rocket')")
            page.click("#upgrade button")
            until(page, CLOSED)
            page.reload()
            page.wait_for_selector(".tile img.here")
            assert page.evaluate(CLOSED)
        # Another collection of the small model needs no download, and a no is remembered.
        client.create_collection("more", embedder="mini")
        with tab(chromium, url) as made:
            made.page.goto(f"{url}/?c=more")
            until(made.page, OPEN)
            assert "on this machine already" in made.page.inner_text("#upgrade")
            made.page.click("#upgrade button:not(.primary)")
            until(made.page, CLOSED)
            made.page.wait_for_load_state("networkidle")
            with made.page.expect_response("**/upgrade") as answer:
                made.page.reload()
            assert answer.value.json() == {"offer": None, "job": None}


def test_a_model_that_does_not_work_changes_nothing(chromium: Any, tmp_path: Path) -> None:
    with offering(tmp_path, broken=True) as (url, client), tab(chromium, url) as made:
        page = ready(made).page
        until(page, OPEN)
        page.click("#upgrade .primary")
        until(page, "document.querySelector('#upgrade').innerText.includes('was not changed')")
        said = page.inner_text("#upgrade")
        assert "does not work" in said and "expected at least 8 of 12" in said
        assert client.collection("default").embedder == "mini" and first(client, "a cat") == "cat"
        with page.expect_response("**/upgrade") as answer:
            page.reload()
        assert answer.value.json()["offer"] is None, "what failed its proof is not offered again"
