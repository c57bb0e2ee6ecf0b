"""Times the page in a headless Chromium: first pictures, a jump, a scroll, a search from key to picture.

    askpix serve      # then, in another terminal:
    python tools/time_page.py http://127.0.0.1:8000 COLLECTION "a dog on the beach"

Medians of fresh browser contexts: nothing is cached in the browser; thumbnails on the server are, once made.
"""

import json
import statistics
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.support.browser import browser, until  # noqa: E402

RUNS = 7
PAINTED = """(() => {
    const near = (box) => box.bottom > 0 && box.top < innerHeight;
    const seen = [...document.querySelectorAll('.tile')].filter((tile) => near(tile.getBoundingClientRect()));
    return seen.length > 0 && seen.every((tile) => tile.querySelector('img.here, img.gone'));
})()"""


def main() -> None:
    """Print one line a measure, as JSON."""
    url, collection, text = sys.argv[1].rstrip("/"), sys.argv[2], sys.argv[3]
    rows = []
    with browser() as opened:
        for _ in range(RUNS + 1):
            context = opened.new_context(viewport={"width": 1280, "height": 800})
            rows.append(once(context.new_page(), f"{url}/?c={collection}", text))
            context.close()
    names = rows[0].keys()
    print(
        json.dumps(
            {name: round(statistics.median(row[name] for row in rows[1:]), 1) for name in names}, indent=2
        )
    )


def once(page, url: str, text: str) -> dict[str, float]:
    """Milliseconds of one visit; the first visit warms the server up and does not count."""
    page.goto(url, wait_until="commit")
    began = time.perf_counter()
    until(page, "document.querySelector('#query') && document.querySelector('.tile') !== null")
    usable = time.perf_counter() - began
    until(page, "document.querySelector('.tile img.here') !== null")
    first = time.perf_counter() - began
    until(page, PAINTED)
    full = time.perf_counter() - began
    paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0]?.startTime || 0")
    sent = page.evaluate("performance.getEntriesByType('resource').filter((e) => /web|session/.test(e.name))"
                         ".reduce((sum, e) => sum + e.transferSize, 0) / 1024")  # fmt: skip
    high = page.evaluate("document.querySelector('#results').offsetHeight")
    began = time.perf_counter()
    page.evaluate(f"scrollTo(0, {high} / 2)")
    until(page, PAINTED)
    jump = time.perf_counter() - began
    frames = page.evaluate("""async () => {
        const gaps = []; let last = performance.now();
        for (let i = 0; i < 60; i++) {
            scrollBy(0, 90);
            await new Promise(requestAnimationFrame);
            const now = performance.now(); gaps.push(now - last); last = now;
        }
        return gaps.sort((a, b) => a - b)[57];
    }""")
    page.evaluate("scrollTo(0, 0)")
    began = time.perf_counter()
    page.fill("#query", text)
    until(page, "/ms$/.test(document.querySelector('#status').textContent)")
    answered = time.perf_counter() - began
    until(page, "document.querySelector('.tile img.here') !== null")
    found = time.perf_counter() - began
    return {
        "first contentful paint": paint,
        "usable": usable * 1000,
        "first picture": first * 1000,
        "screen full of pictures": full * 1000,
        "page's own files, KB": sent,
        "height of the wall, px": high,
        "jump to the middle, full again": jump * 1000,
        "frame while scrolling, p95": frames,
        "search: hits laid out": answered * 1000,
        "search: first picture": found * 1000,
    }


if __name__ == "__main__":
    main()
