"""The real command in a process of its own, without paying for its imports each time.

A server process imports what every command needs and then forks once for each command: the child has its own
environment, working folder, standard streams and exit code, as if it had been started by a shell. Whoever
tests start-up itself, signals or kills starts a real process instead.
"""

import array
import importlib
import json
import os
import socket
import struct
import subprocess
import sys
import threading
from functools import cache
from pathlib import Path
from typing import IO, Any

_LENGTH = struct.Struct("<I")
_COMMON = (
    "askpix.api.cli.main",
    "askpix.api.console.render",
    "askpix.api.workspace.workspace",
    "askpix.api.services.index",
    "askpix.api.services.ask",
    "askpix.retrieval.onnx.mini",
    "askpix.retrieval.qdrant.edge_store",
    "rapidocr",
)
_TORCH = (
    "torch",
    "transformers",
    "transformers.models.auto.modeling_auto",
    "transformers.models.auto.processing_auto",
    "transformers.models.auto.image_processing_auto",
    "transformers.models.auto.tokenization_auto",
)
_READ_AT_IMPORT = (
    "HF_HOME",
    "HF_HUB_CACHE",
    "HF_ENDPOINT",
    "HF_HUB_OFFLINE",
    "OMP_NUM_THREADS",
    "PYTHONPATH",
)
"""Libraries read these when they are imported: a command with others needs another server."""


class ForkServer:
    """Start with ``server_for``; any thread may call ``run``, one command at a time."""

    def __init__(self, environment: dict[str, str], preload: tuple[str, ...]) -> None:
        self._socket, theirs = socket.socketpair()
        self._lock = threading.Lock()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.fork_server", str(theirs.fileno()), *preload],
                env=environment,
                pass_fds=[theirs.fileno()],
                cwd=Path(__file__).parent.parent.parent,
            )

    def run(
        self, arguments: list[str], *, cwd: Path, environment: dict[str, str], streams: tuple[IO[Any], ...]
    ) -> int:
        """Run the command to its end on three open files; return its exit code, negative for a signal."""
        request = json.dumps({"arguments": arguments, "cwd": str(cwd), "environment": environment}).encode()
        descriptors = array.array("i", [stream.fileno() for stream in streams])
        with self._lock:
            self._socket.sendmsg(
                [_LENGTH.pack(len(request))], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors.tobytes())]
            )
            self._socket.sendall(request)
            status = int.from_bytes(_exactly(self._socket, 4), "little")
        return os.waitstatus_to_exitcode(status)


def server_for(environment: dict[str, str], *, torch: bool) -> ForkServer:
    """Return the server for commands with this environment, started at first need."""
    relevant = tuple((name, environment.get(name)) for name in _READ_AT_IMPORT)
    return _server(relevant, (*_COMMON, *(_TORCH if torch else ())))


@cache
def _server(relevant: tuple[tuple[str, str | None], ...], preload: tuple[str, ...]) -> ForkServer:
    environment = {name: value for name, value in os.environ.items() if name not in _READ_AT_IMPORT}
    return ForkServer(environment | {name: value for name, value in relevant if value is not None}, preload)


def _exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        if not part:
            raise EOFError
        data += part
    return data


def main() -> None:
    """In the server: fork for each request until the tests are gone."""
    connection = socket.socket(fileno=int(sys.argv[1]))
    for name in sys.argv[2:]:
        importlib.import_module(name)
    while True:
        head, ancillary, _, _ = connection.recvmsg(_LENGTH.size, socket.CMSG_SPACE(3 * 4))
        if not head:
            return
        descriptors = array.array("i")
        for _, _, data in ancillary:
            descriptors.frombytes(data)
        request = json.loads(_exactly(connection, _LENGTH.unpack(head)[0]))
        child = os.fork()
        if child == 0:
            connection.close()
            _become(request, list(descriptors))
        for descriptor in descriptors:
            os.close(descriptor)
        _, status = os.waitpid(child, 0)
        connection.sendall(status.to_bytes(4, "little"))


def _become(request: dict[str, Any], descriptors: list[int]) -> None:
    """In the child: be the command."""
    from askpix.api.cli.main import run

    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = ["askpix", *request["arguments"]]
    code: Any = 0
    try:
        run()
    except SystemExit as exit_:
        code = exit_.code
    except BaseException:  # noqa: BLE001 - what Python itself does with what nobody caught
        sys.excepthook(*sys.exc_info())
        code = 1
    # What a normal end does: threads, then atexit, then the streams.
    threading._shutdown()  # type: ignore[attr-defined]
    import atexit

    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 0 if code is None else 1)


if __name__ == "__main__":
    main()
