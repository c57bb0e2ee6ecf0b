"""The service held against its own description: no 5xx, no answer that is not documented, any input."""

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from askpix.api.server.app import create_app
from askpix.api.service.service import Service
from askpix.api.services.index import run_index
from askpix.api.settings import Settings
from tests.support.service import jpeg

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    home = tmp_path_factory.mktemp("openapi")
    (home / "red.jpg").write_bytes(jpeg("red"))
    service = Service(Settings(home=home, ocr="off"))
    service.start()
    made = service.workspace.create_collection("default")
    run_index(service.workspace, made, [home / "red.jpg"], ocr="off", prune=False, on_progress=lambda _: None)
    service.ready = True
    yield create_app(service, hosts=None)
    service.stop()


@pytest.mark.timeout(120)
def test_every_answer_is_as_described(app: Any) -> None:
    described = schemathesis.openapi.from_asgi("/openapi.json", app)
    operations = [each.ok() for each in described.get_all_operations()]
    assert len(operations) > 20
    service = app.state.service
    picture = service.catalog.lookup.page(service.workspace.collection("default"), limit=1, offset=0)[0]
    turn, seen = itertools.count(), set[tuple[str, int]]()
    for operation in operations:
        if operation.path.endswith("/events"):
            continue  # a job that does not end is a stream that does not: tests of the real server read it

        @settings(max_examples=24, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy())
        def hold(case: Any) -> None:
            if case.path_parameters and case.operation.method != "delete":
                # Half of the time something that is there: names made up by chance never are.
                known = {"name": "default", "image_id": picture, "model_id": "askpix/default"}
                for name in set(known) & set(case.path_parameters) if next(turn) % 2 else ():
                    case.path_parameters[name] = known[name]
            answer = case.call(headers={"Host": "localhost"})
            seen.add((case.operation.label, answer.status_code))
            case.validate_response(answer, checks=CHECKS)
            assert b"Traceback" not in answer.content

        hold()
    fine = {label for label, status in seen if status < 400}
    assert len(fine) >= 15, seen


def test_the_description_has_the_contract(app: Any) -> None:
    paths = app.openapi()["paths"]
    for path in (
        "/v1/collections",
        "/v1/collections/{name}",
        "/v1/collections/{name}/images",
        "/v1/collections/{name}/search",
        "/v1/collections/{name}/ask",
        "/v1/jobs/{job_id}",
        "/v1/jobs/{job_id}/events",
        "/v1/jobs/{job_id}/cancel",
        "/v1/jobs/{job_id}/retry",
        "/v1/images/{image_id}",
        "/v1/images/{image_id}/file",
        "/v1/images/{image_id}/motion",
        "/v1/images/{image_id}/thumbnail",
        "/v1/models",
        "/v1/embeddings",
        "/v1/chat/completions",
        "/healthz",
        "/readyz",
        "/metrics",
    ):
        assert path in paths
    search = paths["/v1/collections/{name}/search"]["post"]
    assert set(search["responses"]) >= {"200", "401", "403", "404", "422", "429", "503"}
    assert "application/problem+json" in search["responses"]["404"]["content"]
