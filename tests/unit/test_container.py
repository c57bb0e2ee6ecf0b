"""The container's files: parsed, linted, and their very commands run here without Docker."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import yaml

from askpix.api.settings import Settings
from askpix.retrieval.qdrant.connection import QdrantServer
from tests.conftest import ROOT
from tests.support.qdrant import fake_qdrant

DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))


def test_the_linter_has_nothing_to_say() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run(
        [hadolint, ROOT / "Dockerfile"], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_what_is_copied_is_there_and_let_in() -> None:
    sources = [
        name for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.M) for name in line.split()[:-1]
    ]
    assert {"askpix", "core", "api", "pyproject.toml"} <= set(sources)
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for name in sources:
        assert (ROOT / name).exists() and name in let_in, name
    assert {link.name for link in (ROOT / "askpix").iterdir() if link.is_symlink()} <= set(sources)


def test_extras_exist() -> None:
    pyproject = (ROOT / "pyproject.toml").read_text("utf-8")
    extras = re.search(r"^ARG EXTRAS=(.+)$", DOCKERFILE, re.M)
    assert extras
    for extra in extras[1].split(","):
        assert re.search(rf"^{extra} = ", pyproject, re.M), extra


def test_it_does_not_run_as_root_and_nothing_floats() -> None:
    assert re.search(r"^USER 10001$", DOCKERFILE, re.M)
    images = re.findall(r"^FROM (\S+)", DOCKERFILE, re.M)
    images += [service["image"] for service in COMPOSE["services"].values()]
    for image in images:
        name, _, tag = image.rpartition(":")
        assert name and re.search(r"\d+\.\d+", tag), f"{image} is not pinned"


def test_the_qdrant_server_is_one_that_askpix_takes() -> None:
    version = re.findall(r":v([\d.]+)", COMPOSE["services"]["qdrant"]["image"])[0]
    with fake_qdrant(version=version) as qdrant, closing(QdrantServer.connect(qdrant.url)) as server:
        server.check_version()


def test_every_service_is_watched_and_keeps_its_data() -> None:
    services = COMPOSE["services"]
    for name, service in services.items():
        # Ours has its health check in the Dockerfile.
        assert "healthcheck" in service or name == "askpix"
        named = [
            mount.partition(":")[0] for mount in service["volumes"] if not mount.startswith(("$", ".", "/"))
        ]
        assert named and set(named) <= set(COMPOSE["volumes"])
    assert services["askpix"]["ports"] == ["127.0.0.1:8000:8000"], "open to this machine alone until wished"
    assert services["vllm"]["profiles"] == ["gpu"]


def test_every_setting_is_one() -> None:
    known = {f"ASKPIX_{name.upper()}" for name in Settings.model_fields}
    given = {name for name in COMPOSE["services"]["askpix"]["environment"] if name.startswith("ASKPIX_")}
    given |= set(re.findall(r"\b(ASKPIX_\w+)=", DOCKERFILE))
    assert given and given <= known


def test_its_commands_run_without_docker(tmp_path: Path) -> None:
    """A key first, then the server on all addresses, then its health check: as the container does."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = json.loads(re.findall(r"^CMD (\[.+\])$", DOCKERFILE, re.M)[-1])
    check = json.loads(re.findall(r"^\s+CMD (\[.+\])$", DOCKERFILE, re.M)[0])
    first = re.search(
        r"docker compose run --rm askpix (askpix keys .+)$", (ROOT / "docker-compose.yml").read_text(), re.M
    )
    assert first
    bin_folder = Path(sys.executable).parent
    environment = {**os.environ, "ASKPIX_HOME": str(tmp_path), "PATH": f"{bin_folder}:{os.environ['PATH']}"}

    refused = subprocess.run(
        [word.replace("8000", port) for word in command],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert refused.returncode == 1 and "key" in refused.stderr, "nobody is let in without a key"
    made = subprocess.run(
        first[1].split(), env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert made.returncode == 0, made.stderr

    server = subprocess.Popen(
        [word.replace("8000", port) for word in command],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        healthy = [sys.executable, *[word.replace(":8000", f":{port}") for word in check[1:]]]
        deadline = time.monotonic() + 60
        while subprocess.run(healthy, stderr=subprocess.DEVNULL, check=False).returncode:
            assert server.poll() is None and time.monotonic() < deadline, "it did not become healthy"
            time.sleep(0.3)
        server.terminate()
        assert server.wait(30) in (0, -signal.SIGTERM)  # uvicorn ends by the signal once it has cleaned up
    finally:
        server.kill()
        server.wait()
