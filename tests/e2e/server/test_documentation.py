"""The examples of README and docs, run against a real server, and those in the OpenAPI description.

Blocks of ``bash`` and ``python`` are run, page by page and in order; ``sh`` and ``text`` are only shown (they
need a download, Docker, a GPU ...). ``~/Pictures`` has some of the sample images, more of them for the
guides, which take a minute and are left to ``make test-slow``.
"""

import array
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from askpix.api.demo import PICTURES
from tests.conftest import ROOT
from tests.support.fork_server import server_for
from tests.support.service import served, until_ready

DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
_BLOCK = re.compile(r"^```(bash|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FEW = (
    "photos/cat.jpg",
    "photos/coffee-cup.jpg",
    "receipts/hotel-alpenblick.jpg",
    "receipts/blue-kettle-coffee.jpg",
)
MORE = (
    "documents/invoice-fernhill.png",
    "charts/museum-visitors.png",
    "screens/backup-settings.png",
    "screens/train-ticket.png",
)
ADDRESS = "http://127.0.0.1:8000"


@dataclass(frozen=True)
class Reader:
    """Somebody who follows the documentation: a home folder with images, and a server that runs."""

    folder: Path
    url: str
    environment: dict[str, str]


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    folder = tmp_path_factory.mktemp("reader")
    _copy(FEW, folder / "Pictures")
    home = folder / "home"
    with ExitStack() as stack:
        url, _ = stack.enter_context(served(home, ASKPIX_GENERATOR="extractive"))
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("ASKPIX_")},
            "HOME": str(folder),
            "ASKPIX_HOME": str(home),
            "ASKPIX_GENERATOR": "extractive",
            "ASKPIX_OPENVINO": "0",
        }
        environment |= stack.enter_context(_command(folder))
        until_ready(url).close()
        (folder / ".curlrc").write_text("fail-with-body\n")
        _bash(Reader(folder, url, environment), "askpix index ~/Pictures")
        yield Reader(folder, url, environment)


def _copy(names: tuple[str, ...], folder: Path) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PICTURES / name, folder / name)


@contextmanager
def _command(folder: Path) -> Iterator[dict[str, str]]:
    """The environment in which ``askpix`` is the real command, run by a server that has its imports done."""
    program = folder / "bin" / "askpix"
    program.parent.mkdir()
    program.write_text(
        f"#!{sys.executable} -ISE\n"
        "import array, json, os, socket, sys\n"
        "request = {'arguments': sys.argv[1:], 'cwd': os.getcwd(), 'environment': dict(os.environ)}\n"
        "connection = socket.socket(socket.AF_UNIX)\n"
        "connection.connect(os.environ['FORK_SERVER'])\n"
        "streams = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [0, 1, 2]))]\n"
        "connection.sendmsg([json.dumps(request).encode() + b'\\n'], streams)\n"
        "sys.exit(connection.recv(1)[0])\n"
    )
    program.chmod(0o755)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "socket"))
        listener.listen()
        threading.Thread(target=_run_commands, args=(listener,), daemon=True).start()
        yield {"FORK_SERVER": str(folder / "socket"), "PATH": f"{program.parent}:{os.environ['PATH']}"}


def _run_commands(listener: socket.socket) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:  # closed
            return
        with connection:
            data, ancillary, _, _ = connection.recvmsg(2**20, socket.CMSG_SPACE(3 * 4))
            while not data.endswith(b"\n"):
                data += connection.recv(2**20)
            request: dict[str, Any] = json.loads(data)
            descriptors = array.array("i", ancillary[0][2])
            with ExitStack() as stack:
                streams = tuple(stack.enter_context(os.fdopen(each, "r+b", 0)) for each in descriptors)
                code = server_for(request["environment"], torch=False).run(
                    request["arguments"],
                    cwd=Path(request["cwd"]),
                    environment=request["environment"],
                    streams=streams,
                )
            connection.sendall(bytes([code % 256]))


def _bash(reader: Reader, script: str) -> str:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script.replace(ADDRESS, reader.url)],
        cwd=reader.folder,
        env=reader.environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def _python(reader: Reader, code: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(reader.folder)
    monkeypatch.setenv("ASKPIX_HOME", reader.environment["ASKPIX_HOME"])
    with redirect_stdout(StringIO()) as printed:
        exec(compile(code.replace(ADDRESS, reader.url), "<documentation>", "exec"), {})
    return printed.getvalue()


WITH_EXAMPLES = [
    pytest.param(
        page,
        id=str(page.relative_to(ROOT)),
        marks=() if page.name == "README.md" else (pytest.mark.slow, pytest.mark.timeout(600)),
    )
    for page in PAGES
    if _BLOCK.search(page.read_text("utf-8"))
]


@pytest.mark.parametrize("page", WITH_EXAMPLES)
def test_the_examples_of_a_page_run(page: Path, reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    if page.name == "server.md":  # the first key closes the door: in a home of its own
        home = reader.folder / "home-with-keys"
        reader = Reader(reader.folder, reader.url, {**reader.environment, "ASKPIX_HOME": str(home)})
    if page.name != "README.md":
        _copy(MORE, reader.folder / "Pictures")
    blocks = _BLOCK.findall(page.read_text("utf-8"))
    script: list[str] = []
    for language, text in blocks:
        if language == "bash":
            script.append(text)
        else:
            _bash(reader, "\n".join(script))
            script.clear()
            printed = _python(reader, text, monkeypatch)
            assert "print(" not in text or printed.strip()
    _bash(reader, "\n".join(script))


def test_the_examples_in_the_description_of_the_service_work(reader: Reader) -> None:
    """Each is sent as it stands; ``ID`` is an image's, and nothing is fetched from elsewhere."""
    with until_ready(reader.url) as client:
        image = next(iter(client.images("default"))).id
    description = json.load(urlopen(f"{reader.url}/openapi.json"))
    sent = 0
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            name = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
            examples = description["components"]["schemas"].get(name, {}).get("examples", [])
            for example in examples:
                body = json.dumps(example).replace('"ID"', json.dumps(image)).encode()
                address = reader.url + path.format(name="default", image_id=image)
                request = Request(address, body, {"Content-Type": "application/json"}, method=method.upper())
                try:
                    with urlopen(request) as answer:
                        assert answer.status < 300
                except HTTPError as error:
                    pytest.fail(f"{path}: {error.code} {error.read().decode()}")
                sent += 1
    assert sent >= 10


def test_every_image_of_the_service_is_described_by_one_that_can_be_copied(reader: Reader) -> None:
    text = urlopen(f"{reader.url}/openapi.json").read().decode()
    assert not re.search(r'"data:image/\w+;base64,\.\.\."', text)
