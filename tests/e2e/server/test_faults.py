"""What goes wrong around a service: a worker that hangs, a full disk, clients that leave, its own end."""

import http.client
import json
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from starlette.testclient import TestClient

import askpix.api.service.service
from askpix.api.client.client import Client
from askpix.api.demo import PICTURES
from askpix.api.jobs.queue import Job
from askpix.api.server.app import create_app
from askpix.api.service.service import Service
from askpix.api.settings import Settings
from askpix.core.errors import AskpixError, StoreUnavailableError
from tests.support.postgres import new_schema, postgres_process
from tests.support.service import jpeg, served, until_ready


def until(what: Any, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_end_waits_for_the_warm_up_and_says_when_it_did_not_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interpreter that ends while a thread loads a model is taken down by it: SIGABRT, measured."""
    service = Service(Settings(home=tmp_path, local_servers="", generator="extractive"))
    loading, go_on = threading.Event(), threading.Event()

    def load(embedder_id: str) -> None:
        loading.set()
        go_on.wait(60)

    monkeypatch.setattr(service.workspace, "embedder", load)
    service.start()
    service.start_warm_up()
    assert loading.wait(20)
    threading.Timer(0.3, go_on.set).start()
    assert service.stop(), "it waited until the model was loaded"
    assert not service.ready, "it is not ready when it has stopped"

    loading.clear()
    go_on.clear()
    another = Service(Settings(home=tmp_path, local_servers="", generator="extractive"))
    monkeypatch.setattr(another.workspace, "embedder", load)
    another.start()
    another.start_warm_up()
    assert loading.wait(20)
    assert not another.stop(timeout_s=0.3), "a model that takes minutes to load is not waited for"
    go_on.set()


def test_a_worker_that_hangs_makes_the_service_unhealthy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(askpix.api.service.service, "_STUCK_S", 0.3)
    service = Service(Settings(home=tmp_path, local_servers="", generator="extractive"))
    go_on = threading.Event()

    def hang(job: Job, on_progress: Any) -> Mapping[str, Any]:
        go_on.wait(60)
        return {}

    service.runner._work = hang
    service.start()
    try:
        collection = service.workspace.create_collection("album", "mini")
        with TestClient(create_app(service), base_url="http://localhost:8000") as client:
            assert client.get("/healthz").status_code == 200
            job = service.enqueue(collection, "files", {"files": []})
            until(lambda: client.get("/healthz").status_code == 503)
            said = client.get("/healthz")
            assert "said nothing for" in said.json()["detail"] and said.headers["retry-after"]
            # It is for who restarts it to decide: what needs no worker is answered.
            assert client.get("/v1/collections").status_code == 200
            go_on.set()
            until(lambda: client.get("/healthz").status_code == 200)
            until(lambda: service.jobs.get(job.id).state == "done")
            service.runner.stop(10)
            assert client.get("/healthz").json()["detail"] == "the job worker is gone"
    finally:
        go_on.set()
        service.stop()


def test_a_disk_that_is_full_costs_an_upload_and_nothing_else(tmp_path: Path) -> None:
    """Files over 2 MB cannot be written, as on a disk with that much left."""
    with served(tmp_path / "home") as (url, process):
        client = until_ready(url)
        client.create_collection("album")
        client.index("album", [PICTURES / "photos/cat.jpg"])
        import resource

        _, hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (2**21, hard))
        large = tmp_path / "large.jpg"
        large.write_bytes(jpeg("red") + bytes(3 * 2**20))
        with pytest.raises(AskpixError, match=r"(?i)disk|space|large|write"):
            client.upload("album", [large])
        assert client.search("album", "a cat", top_k=1).hits[0].uri == "upload:cat.jpg"
        assert list((tmp_path / "home" / "uploads" / "incoming").iterdir()) == [], (
            "what was half there is gone"
        )
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (hard, hard))
        assert client.index("album", [large]).added == 1
        assert len(list(client.images("album"))) == 2


def test_clients_that_leave_in_the_middle_free_their_work(tmp_path: Path) -> None:
    with served(tmp_path / "home") as (url, _):
        client = until_ready(url)
        client.create_collection("album")
        client.index("album", [PICTURES / "receipts/hotel-alpenblick.jpg"])
        body = json.dumps({"question": "What is the total of the hotel?", "stream": True}).encode()
        head = f"POST /v1/collections/album/ask HTTP/1.1\r\nHost: {urlsplit(url).netloc}\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        for number in range(40):
            with socket.create_connection((urlsplit(url).hostname or "", urlsplit(url).port or 0)) as line:
                line.sendall(head.encode() + body[: len(body) if number % 2 else 10])
                if number % 4 == 1:
                    line.recv(20)
        answer = client.ask("album", "What is the total of the hotel?")
        assert answer.answered

        def at_work() -> float:
            connection = http.client.HTTPConnection(urlsplit(url).netloc)
            connection.request("GET", "/metrics")
            text = connection.getresponse().read().decode()
            connection.close()
            return next(
                float(x.split()[1]) for x in text.splitlines() if x.startswith("askpix_requests_running ")
            )

        until(lambda: at_work() <= 1)  # that question itself


@pytest.mark.slow
def test_an_end_under_load_breaks_no_answer(tmp_path: Path) -> None:
    """SIGTERM while eight clients search: each answer is whole or never began."""
    with served(tmp_path / "home") as (url, process):
        client = until_ready(url)
        client.create_collection("album")
        client.index("album", [PICTURES / "photos/cat.jpg"])
        seen: Counter[str] = Counter()
        over = threading.Event()

        def search() -> None:
            while not over.is_set():
                connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)
                try:
                    connection.request(
                        "POST",
                        "/v1/collections/album/search",
                        json.dumps({"text": "a cat", "all": True}),
                        {"Content-Type": "application/json"},
                    )
                    answer = connection.getresponse()
                    whole = json.loads(answer.read())
                    seen[f"{answer.status}"] += 1
                    assert answer.status in (200, 503), whole
                except (ConnectionError, http.client.RemoteDisconnected):
                    seen["refused"] += 1
                    time.sleep(0.01)
                except (http.client.IncompleteRead, json.JSONDecodeError, AssertionError):
                    seen["broken"] += 1
                finally:
                    connection.close()

        threads = [threading.Thread(target=search) for _ in range(8)]
        for thread in threads:
            thread.start()
        until(lambda: seen["200"] > 50)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        over.set()
        for thread in threads:
            thread.join()
        assert seen["broken"] == 0 and seen["refused"] > 0, seen
    with served(tmp_path / "home") as (url, _):
        assert until_ready(url).search("album", "a cat", top_k=1).hits


def test_a_generator_that_hangs_holds_up_no_search(tmp_path: Path) -> None:
    """A server of a model that takes the question and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        with served(tmp_path / "home", ASKPIX_GENERATOR=f"openai-compatible:some@{address}") as (url, _):
            client = until_ready(url)
            client.create_collection("album")
            client.index("album", [PICTURES / "photos/cat.jpg"])
            asking = [
                threading.Thread(target=lambda: _quiet(Client(url, timeout_s=60), "What is it?"), daemon=True)
                for _ in range(6)
            ]
            for thread in asking:
                thread.start()
            time.sleep(1)
            assert client.search("album", "a cat", top_k=1).hits
            assert all(thread.is_alive() for thread in asking), "the search was held up by the questions"


def _quiet(client: Client, question: str) -> None:
    with suppress(AskpixError):
        client.ask("album", question)


def test_a_database_that_goes_and_comes_back_loses_nothing(tmp_path: Path) -> None:
    """The catalog's server stops under a running service: 503 and when to come again, then all as before."""
    with postgres_process() as server:
        home = tmp_path / "home"
        with served(home, ASKPIX_DATABASE_URL=new_schema(server.get_uri())) as (url, process):
            client = until_ready(url)
            client.create_collection("album")
            client.index("album", [PICTURES / "photos/cat.jpg"])
            answers: list[str] = []
            over = threading.Event()

            def search() -> None:
                while not over.wait(0.02):
                    try:
                        client.search("album", "a cat", top_k=1)
                        answers.append("found")
                    except StoreUnavailableError:
                        answers.append("unavailable")
                    except AskpixError as error:
                        answers.append(str(error))

            searcher = threading.Thread(target=search)
            searcher.start()
            until(lambda: len(answers) > 5)
            server.stop()
            until(lambda: answers[-1] != "found")
            with pytest.raises(StoreUnavailableError, match="catalog"):
                client.upload("album", [PICTURES / "photos/coffee-cup.jpg"])
            server.start()
            until(lambda: answers[-1] == "found")
            over.set()
            searcher.join()
            assert set(answers) == {"found", "unavailable"}
            assert process.poll() is None
            assert client.index("album", [PICTURES / "photos/coffee-cup.jpg"]).added == 1
            assert len(list(client.images("album"))) == 2
