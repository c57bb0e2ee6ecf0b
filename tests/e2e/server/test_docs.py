import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from askpix.api.server.app import create_app
from askpix.api.service.service import Service
from askpix.api.settings import Settings


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    service = Service(Settings(home=tmp_path))
    service.start()
    try:
        yield TestClient(create_app(service), base_url="http://localhost")
    finally:
        service.stop()


def test_the_api_is_shown_from_our_own_files_alone(client: TestClient) -> None:
    page = client.get("/docs")
    assert page.status_code == 200 and "default-src 'none'" in page.headers["Content-Security-Policy"]
    asked = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(asked) == 4 and all(path.startswith("/") for path in asked), "nothing from another origin"
    for path in asked:
        assert client.get(path).status_code == 200, path
    assert "/openapi.json" in client.get("/docs/start.js").text
    assert client.get("/docs/swagger-ui-bundle.js").headers["Content-Type"].startswith("text/javascript")


@pytest.mark.parametrize("name", ["NOTICE", "x.js", "..%2f..%2fapp.py", "%00"])
def test_no_path_reaches_the_disk(client: TestClient, name: str) -> None:
    assert client.get(f"/docs/{name}").status_code == 404
