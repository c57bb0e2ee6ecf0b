"""URLs of servers that answer for ever, too much or nonsense: one URL fails, and nobody else waits for it."""

import threading
from collections.abc import Iterator

import pytest

from askpix.api.client.client import Client
from askpix.api.jobs.queue import WORKERS
from askpix.api.schemas.results import Job
from tests.support.hostile_server import ENDLESS, FLOODS, MALFORMED, HostileServer, hostile_server
from tests.support.service import served, until_ready

FETCH_S = 0.5
pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def site() -> Iterator[HostileServer]:
    with hostile_server() as server:
        yield server


@pytest.fixture(scope="module")
def client(site: HostileServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    home = tmp_path_factory.mktemp("urls") / "home"
    settings = {"FETCH_PORT": str(site.port), "FETCH_S": str(FETCH_S), "ASKPIX_OCR": "off"}
    with served(home, program="tests.support.serve_loopback", **settings) as (url, process):
        yield until_ready(url)
        assert process.poll() is None


def send(client: Client, collection: str, urls: list[str]) -> str:
    return client.fetch(collection, urls).job


def until(client: Client, job: str, *states: str) -> Job:
    tick = threading.Event()
    while (now := client.job(job)).state not in states:
        tick.wait(0.05)
    return now


def test_one_url_fails_alone_whatever_its_server_does(client: Client, site: HostileServer) -> None:
    client.create_collection("album")
    names = [*ENDLESS, *FLOODS, *MALFORMED]
    job = until(
        client, send(client, "album", [f"{site.url}/{n}" for n in (*names, "good")]), "done", "failed"
    )
    assert job.state == "done" and job.result and job.result["added"] == 1, job
    failed = {failure["path"]: failure["error"] for failure in job.result["failed"]}
    assert list(failed) == [f"{site.url}/{name}" for name in names]
    assert all(error.startswith("'http://") and "\n" not in error for error in failed.values()), failed
    for name in ENDLESS:
        assert "takes longer than 0.5 s" in failed[f"{site.url}/{name}"]


def test_slow_urls_of_many_collections_hold_up_no_other(client: Client, site: HostileServer) -> None:
    """More of them than there are workers, each with hours of URLs; then all are cancelled."""
    hostile = []
    for number in range(WORKERS + 2):
        client.create_collection(f"slow-{number}")
        urls = [f"{site.url}/{name}/{n}" for n in range(60) for name in ("header-value", "continue")]
        hostile.append(send(client, f"slow-{number}", urls))
    client.create_collection("victim")
    job = until(client, send(client, "victim", [f"{site.url}/good"]), "done", "failed")
    assert job.state == "done" and job.result and job.result["added"] == 1, job
    states = {client.job(each).state for each in hostile}
    assert states <= {"queued", "running"}, "they have not ended"
    for each in hostile:
        client.cancel(each)
    for each in hostile:
        until(client, each, "cancelled")
    site.asked.clear()
    again = until(client, send(client, "slow-0", [f"{site.url}/good"]), "done", "failed")
    assert again.result and again.result["added"] == 1 and site.asked == ["good"], (
        "nothing of a cancelled job goes on"
    )


def test_a_job_that_let_others_go_first_fetches_nothing_twice(client: Client, site: HostileServer) -> None:
    jobs = []
    site.asked.clear()
    for number in range(WORKERS + 1):
        client.create_collection(f"turns-{number}")
        urls = [f"{site.url}/{name}/{number}" for name in ("silence", "body", "chunks", "trailers", "good")]
        jobs.append(send(client, f"turns-{number}", urls))
    for job in (until(client, each, "done", "failed") for each in jobs):
        assert job.state == "done" and job.result and len(job.result["failed"]) == 4, job
        assert job.result["added"] == 1
    assert sorted(site.asked) == sorted(["silence", "body", "chunks", "trailers", "good"] * len(jobs))


def test_deleting_a_collection_does_not_wait_for_its_urls(client: Client, site: HostileServer) -> None:
    client.create_collection("gone")
    job = send(client, "gone", [f"{site.url}/continue/{n}" for n in range(200)])
    until(client, job, "running")
    assert client.delete_collection("gone") == 0
    assert until(client, job, "cancelled", "done", "failed").state == "cancelled"
