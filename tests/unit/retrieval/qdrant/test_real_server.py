"""Where ``ASKPIX_QDRANT_URL`` is set the contract runs on that server, and leaves nothing there."""

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.support.qdrant import Fault, Request, fake_qdrant

pytestmark = pytest.mark.slow  # runs of pytest within a run
CONTRACT = "tests/unit/retrieval/stores/test_contract.py::"
TESTS = [
    f"{CONTRACT}test_an_empty_store_answers_everything[qdrant_server]",
    f"{CONTRACT}test_what_was_written_is_there_after_reopening[qdrant_server]",
    "tests/unit/retrieval/qdrant/test_pages.py::test_writing_twice_is_writing_once_and_pages_can_go[qdrant_server]",
]


def no_counts(request: Request) -> tuple[int, str] | None:
    return (400, "no counts today") if request.path.endswith("/count") else None


@pytest.mark.parametrize("fault", [None, no_counts], ids=["passing", "failing"])
def test_tests_of_a_real_server_run_and_leave_nothing(fault: Fault | None) -> None:
    with fake_qdrant() as qdrant:
        if fault:
            qdrant.fault = fault
        environment = {**os.environ, "ASKPIX_QDRANT_URL": qdrant.url, "ASKPIX_QDRANT_API_KEY": "s3cret"}
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            *TESTS,
        ]
        done = subprocess.run(
            command, check=False, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120
        )
        assert ("3 failed" if fault else "3 passed") in done.stdout, done.stdout + done.stderr
        assert len(qdrant.asked("PUT", "/collections/[^/]*")) == 2
        assert qdrant.asked("PUT", "/collections/.*/points")
        assert qdrant.collections() == []
        assert {request.key for request in qdrant.requests} == {"s3cret"}
