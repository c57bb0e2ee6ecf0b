"""llama.cpp in a child process, as a server that only this process may ask.

Its code is native and the weights come from anybody: what crashes or takes all memory is the child. It
listens on the loopback address and answers to a key that goes to it through a pipe; it ends with its parent.
"""

import base64
import io
import json
import logging
import os
import secrets
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
import weakref
from collections import deque
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import IO, Any

from PIL import Image

from askpix.core.errors import GenerationError, ModelUnavailableError
from askpix.core.machine import usable_cores
from askpix.core.sandbox import deadline, die_with_parent, kill_group, start_process
from askpix.core.subprocesses import python_command

_START_S = 60.0
_LOAD_S = 900.0
_COUNT_S = 60.0
_DYING_S = 0.3
"""Wait for a child that is about to end: its connections close before it does."""
_ENDING_S = 5.0
_KEPT_LINES = 40
_LONGEST_LINE = 500
_MAX_SAID = 2**16
_CAUSES = ("error loading model: ", "error: ", "failed to ", "unable to ")
"""Beginnings of llama.cpp's lines that give a reason, the most telling first."""
_GPU_KINDS = ("GPU", "IGPU")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Machine:
    """Machine as llama.cpp sees it: bytes of memory, and of that of the GPUs that it computes on."""

    memory: int
    gpu_memory: int


@dataclass(frozen=True, slots=True)
class Loading:
    """Model to load: paths, the window in tokens, whether a GPU may be used."""

    model: str
    projector: str
    window: int
    gpu: bool = True
    template: str = ""
    """The chat template, where the model's file has none."""
    threads: int = 0
    """That compute, as other libraries are told; 0: those that suit the machine."""


class LlamaServer:
    """One child. ``machine`` is known once it runs, ``load`` gives it its model; ``end`` frees all."""

    def __init__(self, name: str) -> None:
        """``name`` is what errors call the model. Raises ``ModelUnavailableError`` where it cannot run."""
        self._name = name
        self._key = secrets.token_urlsafe(32)
        self._said: deque[str] = deque(maxlen=_KEPT_LINES)
        self._process = start_process(
            python_command(f"{__name__}:serve", str(os.getpid())),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._end = weakref.finalize(self, _end, self._process)
        self._reader = threading.Thread(
            target=_read_lines, args=(self._process.stderr, self._said), name="llama-log", daemon=True
        )
        self._reader.start()
        told = self._answer(_START_S, "started")
        self.machine = Machine(int(told["memory"]), int(told["gpu_memory"]))
        self.url = ""

    @property
    def key(self) -> str:
        """The key that it answers to."""
        return self._key

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    def lives(self, timeout_s: float = _DYING_S) -> bool:
        """Return whether the child runs and goes on to, for so long."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout_s)
        return self._process.poll() is None

    def load(self, what: Loading) -> None:
        """Load a model and listen at ``url``. Raises ``ModelUnavailableError`` with llama.cpp's reason."""
        order = {**asdict(what), "key": self._key}
        assert self._process.stdin is not None
        with suppress(OSError):  # one that has ended is told by its answer
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            self._process.stdin.flush()
        self.url = str(self._answer(_LOAD_S, "loaded")["url"])

    def count(self, width: int, height: int) -> int:
        """Return the tokens that an image of this size takes, its marks included, by its own count."""
        text = {"type": "text", "text": "x"}
        return self._count([text, {"type": "image_url", "image_url": {"url": _blank(width, height)}}]) - (
            self._count([text])
        )

    def end(self) -> None:
        """End the child at once."""
        self._end()

    def _count(self, content: list[dict[str, Any]]) -> int:
        body = json.dumps({"messages": [{"role": "user", "content": content}]}).encode()
        headers = {"content-type": "application/json", "authorization": f"Bearer {self._key}"}
        # Its address is the one that the child gave, on this machine.
        request = urllib.request.Request(self.url + "/v1/chat/completions/input_tokens", body, headers)  # noqa: S310
        try:
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with opener.open(request, timeout=_COUNT_S) as reply:
                return int(json.loads(reply.read(_MAX_SAID))["input_tokens"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            said = (
                error.read(_LONGEST_LINE).decode("utf-8", "replace")
                if isinstance(error, urllib.error.HTTPError)
                else str(error)
            )
            raise GenerationError(f"{self._name!r} did not count the tokens of an image: {said}") from error

    def _answer(self, seconds: float, doing: str) -> dict[str, Any]:
        """Return what the child says next, or raise why it says nothing of use."""
        assert self._process.stdout is not None
        with deadline(self._process, seconds) as watch:
            line = self._process.stdout.readline(_MAX_SAID)
        try:
            told: Any = json.loads(line)
            if isinstance(told, dict) and "error" not in told:
                return told
        except ValueError:
            told = None
        self.lives(timeout_s=_ENDING_S)  # its last lines, which say why
        self.end()
        self._reader.join()
        if watch.late:
            why = f"took longer than {seconds:g} s"
        elif isinstance(told, dict):
            why = self._cause() or str(told["error"])
        else:
            why = self._cause() or f"its process ended ({self._process.returncode})"
        raise ModelUnavailableError(f"llama.cpp cannot be {doing} for {self._name!r}: {why[:_LONGEST_LINE]}")

    def _cause(self) -> str | None:
        """Return the line of its log that says best why."""
        lines = [line for line in self._said if line]
        for mark in _CAUSES:
            for line in lines:
                if mark in line:
                    return line.partition(mark)[2] if mark.endswith(": ") else line[line.index(mark) :]
        return None


def _blank(width: int, height: int) -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height)).save(buffer, "PNG", compress_level=1)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _read_lines(pipe: IO[bytes], lines: deque[str]) -> None:
    with pipe:
        for line in iter(lambda: pipe.readline(_LONGEST_LINE), b""):
            text = line.decode("utf-8", "replace").strip()
            lines.append(text)
            _log.debug("llama.cpp: %s", text)


def _end(process: "subprocess.Popen[bytes]") -> None:
    kill_group(process)
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()
    process.wait()


# What follows runs in the child.


def serve() -> None:
    """Serve in the child: say what the machine has, load what is ordered, answer until the parent is gone."""
    die_with_parent(int(sys.argv[1]))
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever the library prints is no answer
    try:
        import xllamacpp  # noqa: PLC0415 - a hundred megabytes of native code, for the child alone

        devices = xllamacpp.get_device_info()
    except Exception as error:  # noqa: BLE001 - whatever a native module raises when it is imported
        _say(answers, error=" ".join(str(error).split()))
        return
    gpus = [each for each in devices if each["type"].name.rpartition("_")[2] in _GPU_KINDS]
    memory, of_gpus = (sum(each["memory_total"] for each in some) for some in (devices, gpus))
    _say(answers, memory=memory - of_gpus, gpu_memory=of_gpus)
    order = json.loads(sys.stdin.buffer.readline())
    try:
        server = xllamacpp.Server(_params(xllamacpp, order))
    except Exception as error:  # noqa: BLE001 - as above
        _say(answers, error=" ".join(str(error).split()))
        return
    _say(answers, url=server.listening_address)
    sys.stdin.buffer.read()
    signal.raise_signal(signal.SIGTERM)  # its threads may be at work, and nothing is to be kept


def _say(answers: IO[str], **told: object) -> None:
    answers.write(json.dumps(told) + "\n")


def _params(xllamacpp: Any, order: dict[str, Any]) -> Any:
    params = xllamacpp.CommonParams()
    params.model.path = order["model"]
    params.mmproj.path = order["projector"]
    params.n_ctx = order["window"]
    params.n_parallel = 1
    params.chat_template = order["template"]
    if not order["gpu"]:
        params.n_gpu_layers = 0
        params.mmproj_use_gpu = False
    threads = order["threads"] or usable_cores()  # in a container its share; else llama.cpp knows better
    if 0 < threads < (os.cpu_count() or 1):
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.api_keys = [order["key"]]
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.offline = True
    params.ui = False
    params.endpoint_slots = False
    params.cache_ram_mib = 0
    params.cache_idle_slots = False  # 8 GB of old prompts otherwise
    params.warmup = False
    params.verbosity = 1
    params.sampling.temp = 0.0
    params.sampling.seed = 0  # the same answer each time
    params.enable_reasoning = 0  # where it can be left out: minutes a question on a CPU
    return params
