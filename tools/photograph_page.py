"""Photographs the page for the README: each view, wide and on a phone, with the sample pictures.

askpix demo && askpix serve      # then, in another terminal:
python tools/photograph_page.py http://127.0.0.1:8000 docs
"""

import io
import sys
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.support.browser import browser  # noqa: E402

WIDE, PHONE = (1280, 800), (390, 844)
QUESTION = "What is the total on the hotel receipt?"


def main() -> None:
    """Every view."""
    url, folder = sys.argv[1].rstrip("/"), Path(sys.argv[2])
    with browser() as opened:
        for name, size, scheme in (("wide", WIDE, "light"), ("phone", PHONE, "dark")):
            context = opened.new_context(
                viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, device_scale_factor=2
            )
            page = context.new_page()
            for view in ("start", "search", "answer", "citation", "viewer", "library"):
                show(page, url, view)
                page.wait_for_timeout(1200)
                image = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
                image.thumbnail((1100, 1100) if name == "wide" else (780, 780))
                image.save(folder / f"page-{view}-{name}.webp", quality=72, method=6)
            context.close()


def show(page, url: str, view: str) -> None:
    """Bring a view onto the screen."""
    typed = {"search": "&q=receipts+from+2024+over+20", "viewer": "&q=library+annual+report"}
    page.goto(f"{url}/?c=demo" + typed.get(view, ""))
    page.wait_for_selector(".tile img.here")
    if view == "viewer":
        page.click(".tile")
        page.wait_for_selector(".strip .small")
        page.wait_for_selector(".side .smalls .small")
    if view == "library":
        page.click("#library")
        page.wait_for_selector("#shelf .facts")
    if view in ("answer", "citation"):
        page.fill("#query", QUESTION)
        page.click("#ask")
        page.wait_for_selector(".cite")
    if view == "citation":
        page.click(".cite")
        page.wait_for_selector(".cited mark")


if __name__ == "__main__":
    main()
