"""The container's files: parsed, linted, and their very commands run here without Docker.

What images hold was read in their makers' Dockerfiles: qdrant/qdrant (debian-slim, `storage` is its user's),
docker-library/postgres (any user may write to its folder of data) and vllm-project/vllm (starts by python3).
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml

from askpix.api.settings import Settings
from askpix.generation.prompting.budget import limits_of
from askpix.retrieval.qdrant.connection import QdrantServer
from tests.conftest import ROOT
from tests.support.qdrant import fake_qdrant

DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
COMPOSE_TEXT = (ROOT / "docker-compose.yml").read_text("utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(COMPOSE_TEXT)
SERVICES: dict[str, Any] = COMPOSE["services"]
EXAMPLE = (ROOT / ".env.example").read_text("utf-8")
PROFILES = {name: service["profiles"][0] for name, service in SERVICES.items() if "profiles" in service}


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
    images += [service["image"] for service in SERVICES.values()]
    for image in images:
        name, _, tag = image.rpartition(":")
        assert name and re.search(r"\d+\.\d+", tag), f"{image} is not pinned"
    assert SERVICES["askpix"]["image"] == f"askpix:{version('askpix')}"


def test_the_qdrant_server_is_one_that_askpix_takes() -> None:
    pinned = re.findall(r":v([\d.]+)", SERVICES["qdrant"]["image"])[0]
    with fake_qdrant(version=pinned) as qdrant, closing(QdrantServer.connect(qdrant.url)) as server:
        server.check_version()


def test_by_default_it_is_one_container() -> None:
    assert set(SERVICES) - set(PROFILES) == {"askpix"}
    assert set(PROFILES.values()) == {"qdrant", "postgres", "gpu"}
    askpix = SERVICES["askpix"]
    assert askpix["ports"] == ["127.0.0.1:8000:8000"], "open to this machine alone until wished"
    assert askpix["env_file"] == [{"path": ".env", "required": False}]
    for name, needed in askpix["depends_on"].items():
        assert needed == {"condition": "service_healthy", "required": False} and name in PROFILES


def test_every_service_is_watched_and_keeps_its_data() -> None:
    kept: list[str] = []
    for name, service in SERVICES.items():
        # Ours has its health check in the Dockerfile.
        assert "healthcheck" in service or name == "askpix"
        volumes = [mount.partition(":")[0] for mount in service["volumes"] if isinstance(mount, str)]
        assert volumes, name
        kept += volumes
    assert sorted(kept) == sorted(COMPOSE["volumes"]), "one volume is one service's"


def test_any_user_can_write_to_its_volumes_and_none_is_made_by_root() -> None:
    """A volume takes over the rights of the image's folder; a folder of this machine's is never made."""
    askpix = SERVICES["askpix"]
    assert askpix["user"] == "${UID:-1000}:${GID:-1000}"
    opened = re.findall(r"install -d -m 1777 (.+)$", DOCKERFILE, re.M)[0].split()
    named = dict(mount.split(":") for mount in askpix["volumes"] if isinstance(mount, str))
    assert sorted(named.values()) == sorted(opened)
    assert sorted(askpix["environment"].values()) == sorted(opened), (
        "nor does a line of .env move it elsewhere"
    )
    bound = [mount for mount in askpix["volumes"] if not isinstance(mount, str)]
    assert [mount["bind"] for mount in bound] == [{"create_host_path": False}] and bound[0]["read_only"]
    assert not any(mount.startswith((".", "/", "~", "$")) for mount in named)


def test_every_variable_is_a_setting_or_explained() -> None:
    known = {f"ASKPIX_{name.upper()}" for name in Settings.model_fields}
    given = {name for name in SERVICES["askpix"]["environment"] if name.startswith("ASKPIX_")}
    given |= set(re.findall(r"\b(ASKPIX_\w+)=", DOCKERFILE))
    assert given and given <= known
    used = set(re.findall(r"\$\{(\w+)", COMPOSE_TEXT))
    assert used and used <= set(re.findall(r"^#(\w+)=", EXAMPLE, re.M))


@pytest.mark.parametrize("name", PROFILES)
def test_the_lines_of_a_profile_have_askpix_use_its_service(name: str, tmp_path: Path) -> None:
    blocks = [block for block in EXAMPLE.split("\n\n") if f"#COMPOSE_PROFILES={PROFILES[name]}\n" in block]
    lines = [line.removeprefix("#") for block in blocks for line in re.findall(r"^#\w+=.*$", block, re.M)]
    (tmp_path / "env").write_text("\n".join(lines))
    settings = Settings(_env_file=tmp_path / "env")
    values = [str(getattr(settings, key.lower())) for key in re.findall(r"ASKPIX_(\w+)=", "\n".join(lines))]
    assert any(re.search(rf"//(\w+@)?{name}[:/]", value) for value in values), "by its name there"
    if name == "vllm":
        told = dict(zip(*[iter(SERVICES[name]["command"])] * 2, strict=True))
        assert settings.generator == f"openai-compatible:{told['--model']}@http://vllm:8000/v1"
        assert int(told["--max-model-len"]) >= settings.max_input_tokens + 1024, "question and answer"
        assert json.loads(told["--limit-mm-per-prompt"])["image"] >= limits_of(told["--model"]).images
    if name == "postgres":  # the driver takes PGPASSWORD, so that no letter of it needs escaping
        assert "PGPASSWORD=" in lines and SERVICES[name]["environment"]["POSTGRES_USER"] == "askpix"
    if name == "qdrant":
        assert settings.store == "qdrant"


@pytest.mark.parametrize("name", ["qdrant", "vllm"])
@pytest.mark.parametrize(
    ("status", "words"), [(200, "all shards are ready"), (503, "some shards are not ready")]
)
def test_a_health_check_tells_ready_from_not_ready(name: str, status: int, words: str) -> None:
    """The two answers are those of Qdrant's `/readyz` (src/actix/api/service_api.rs)."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(words.encode())

        def log_message(self, *_: Any) -> None: ...

    kind, program, *arguments = SERVICES[name]["healthcheck"]["test"]
    assert (kind, program) == ("CMD", {"qdrant": "bash", "vllm": "python3"}[name])
    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        answering = threading.Thread(target=server.handle_request)
        answering.start()
        ours = [
            re.sub(r"127\.0\.0\.1([:/])\d+", rf"127.0.0.1\g<1>{server.server_port}", word)
            for word in arguments
        ]
        done = subprocess.run([program, *ours], capture_output=True, timeout=30, check=False)
        answering.join()
    assert (done.returncode == 0) == (status == 200)


def test_its_commands_run_without_docker(tmp_path: Path) -> None:
    """A key first, then the server on all addresses, then its health check: as the container does."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    program = json.loads(re.findall(r"^ENTRYPOINT (\[.+\])$", DOCKERFILE, re.M)[0])
    command = program + json.loads(re.findall(r"^CMD (\[.+\])$", DOCKERFILE, re.M)[-1])
    check = json.loads(re.findall(r"^\s+CMD (\[.+\])$", DOCKERFILE, re.M)[0])
    first = re.findall(r"docker compose run --rm askpix (keys .+)$", COMPOSE_TEXT, re.M)
    for page in ("README.md", "docs/guides/docker.md"):
        assert first[0] in (ROOT / page).read_text("utf-8")
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
        program + first[0].split(), env=environment, capture_output=True, text=True, timeout=60, check=False
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
