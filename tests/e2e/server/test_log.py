"""The log of a real server: every line is JSON, whatever the files, paths and names in it are called."""

import json
from pathlib import Path

import httpx2

from tests.support.service import jpeg, served, until_ready

HOSTILE = 'cat\n{"level": "CRITICAL", "message": "forged"}\x1b[2J\u2028.jpg'
SECRET = "sk-test-0123456789abcdef"


def test_every_line_is_json_and_holds_no_secret(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with served(home, OPENAI_API_KEY=SECRET, ASKPIX_QDRANT_API_KEY=SECRET, ASKPIX_LOG="json") as (url, _):
        until_ready(url)
        httpx2.post(f"{url}/v1/collections", json={"name": "album"}).raise_for_status()
        files = [("files", (HOSTILE, jpeg("red"))), ("files", (f"broken {HOSTILE}", b"\xff\xd8 no JPEG"))]
        sent = httpx2.post(f"{url}/v1/collections/album/images", files=files).raise_for_status().json()
        httpx2.get(f"{url}/v1/jobs/{sent['job']}/events", timeout=60).raise_for_status()  # until it ends
        answer = httpx2.get(f"{url}/v1/nowhere%0A%7B%7D%1B", headers={"x-request-id": "mine-1"})
        assert answer.status_code == 404
        asked = {"text": f"whisper {SECRET}"}
        headers = {"x-request-id": "search-1"}
        httpx2.post(f"{url}/v1/collections/album/search", json=asked, headers=headers).raise_for_status()
    raw = (tmp_path / "home.log").read_bytes()
    records = [json.loads(line) for line in raw.decode("ascii").splitlines()]
    assert all({"time", "level", "logger", "message"} <= record.keys() for record in records)
    assert "forged" not in [record["message"] for record in records]
    assert SECRET.encode() not in raw and b"whisper" not in raw

    access = [record for record in records if record["logger"] == "askpix.access"]
    mine = next(record for record in access if record["request_id"] == "mine-1")
    assert mine | {"request": "mine-1", "method": "GET", "path": "/v1/nowhere\n{}\x1b", "status": 404} == mine
    assert {"who", "ms"} < mine.keys()
    search = next(record for record in records if record["logger"].startswith("askpix.retrieval.search"))
    assert search["request_id"] == "search-1"  # also in the thread that does the work
    logged = {record["logger"] for record in records}
    assert {
        "askpix.access",
        "askpix.jobs",
        "askpix.api.server.run",
        "askpix.ingest.pipeline.writer",
    } <= logged
    assert any("failed" in record["message"] and "broken cat" in record["message"] for record in records)
