"""A vision-language model in GGUF through llama.cpp, without torch: SmolVLM, Qwen-VL, Gemma, LLaVA.

llama.cpp runs in a child process (``gguf_server``) and is asked as a server is (``hosted``). What an image
costs is counted by llama.cpp itself, for whatever projector it knows.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from math import sqrt
from typing import TYPE_CHECKING

from askpix.core.errors import AskpixError, GenerationError, ModelUnavailableError
from askpix.core.machine import usable_memory_mb
from askpix.generation.generators.base import GeneratorKind, GeneratorOptions
from askpix.generation.generators.gguf_files import Header, locate, read_header
from askpix.generation.generators.gguf_server import LlamaServer, Loading
from askpix.generation.generators.providers import open_server
from askpix.generation.generators.servers import free
from askpix.generation.prompting.budget import ModelLimits
from askpix.retrieval.model_hub.registry import published

if TYPE_CHECKING:
    from pydantic_ai.models import Model

    from askpix.generation.generators.hosted import HostedGenerator

SCHEME = "gguf"
_OUTPUT = 1024
_SHARE = 0.8
_BESIDE = 400 * 10**6
"""Share of the machine's memory that a model may take, and bytes of it for what is neither weights nor
window.
"""
_MIN_WINDOW = 2_048
_ASSUMED_WINDOW = 4_096
_CPU_PIXELS = 1 << 20
"""Most pixels of one image where no GPU computes: four times as many are minutes of work for one image."""
_IMAGES = 32
_IMAGE_BYTES = 20_000_000
_LAST = 100
_SIZES = 4_096
"""Sizes of images whose tokens are remembered."""
_WAIT_S = 900.0
"""Timeout for an answer and for its first word: a CPU reads a long question for minutes."""

_VICUNA = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ m.content }} {% elif m.role == 'user' %}"
    "USER: {{ m.content }} {% else %}ASSISTANT: {{ m.content }}</s>{% endif %}{% endfor %}ASSISTANT:"
)
"""Template that LLaVA-1.5 was trained with (Liu et al. 2023): its published files have none."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class CountedLimits(ModelLimits):
    """Limits of a model that counts an image's tokens itself."""

    count: Callable[[int, int], int]
    most_pixels: int | None = None

    def tokens(self, width: int, height: int) -> int:
        """Return what an image of this size costs."""
        return self.count(width, height)

    def useful(self, width: int, height: int, side: int) -> tuple[int, int]:
        """Return the size to send: no longer than ``side``, no more pixels than the machine is good for."""
        scale = min(1.0, side / max(width, height))
        if self.most_pixels is not None:
            scale = min(scale, sqrt(self.most_pixels / (width * height)))
        return max(1, round(width * scale)), max(1, round(height * scale))


class Engine:
    """A model in a child process, started anew where it has ended. Thread-safe."""

    def __init__(self, server: LlamaServer, what: Loading, name: str) -> None:
        """Load it. Raises ``ModelUnavailableError``."""
        self._server = server
        self._what = what
        self._name = name
        self._lock = threading.Lock()
        self.tokens = lru_cache(_SIZES)(self._tokens)
        server.load(what)

    def ready(self) -> LlamaServer:
        """Return the server, loaded. Raises ``ModelUnavailableError``."""
        with self._lock:
            if not self._server.lives(timeout_s=0):
                _log.warning("llama.cpp ended while it ran %r: it is started again", self._name)
                self._server.end()
                self._server = LlamaServer(self._name)
                self._server.load(self._what)
            return self._server

    def window(self) -> int:
        """Return the tokens that it was loaded for, in and out."""
        return self._what.window

    def forget(self) -> None:
        """Do nothing: what it was loaded for does not change."""

    def shrink(self) -> bool:
        """Return False: it was loaded for what fits the memory."""
        return False

    def _tokens(self, width: int, height: int) -> int:
        return self.ready().count(width, height)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Model]:
        """Give the model, with a client of its own, for one request; ``GenerationError`` where it crashes."""
        server = await asyncio.to_thread(self.ready)
        try:
            async with open_server(self._name, f"{server.url}/v1", key=server.key)() as model:
                yield model
        except Exception as error:
            if await asyncio.to_thread(server.lives):
                raise
            raise GenerationError(
                f"llama.cpp crashed while {self._name!r} answered; ask again (it is started anew), or take "
                "another quantisation"
            ) from error


def window_for(header: Header, *, size: int, memory: int, wanted: int) -> int:
    """Return the tokens that a model of ``size`` bytes can hold here, in and out: at most ``wanted``, what it
    was trained for and what fits the memory. Raises ``ModelUnavailableError`` where that is too few."""
    room = memory - size - _BESIDE
    fitting = room // header.bytes_a_token if header.bytes_a_token else wanted
    window = min(wanted, header.context or _ASSUMED_WINDOW, fitting)
    if window < min(_MIN_WINDOW, header.context or _ASSUMED_WINDOW):
        raise ModelUnavailableError(
            f"it needs {(size + _BESIDE + _MIN_WINDOW * header.bytes_a_token) / 1e9:.1f} GB of memory and "
            f"{memory / 1e9:.1f} GB of this machine's are for it; take a smaller model or quantisation"
        )
    return window


def _open(reference: str, options: GeneratorOptions) -> HostedGenerator:
    from askpix.generation.generators.hosted import HostedGenerator, Waits

    generator_id = f"{SCHEME}:{reference}"
    server = LlamaServer(generator_id)
    try:
        told = usable_memory_mb()
        memory = int(_SHARE * max(told * 1e6 if told else server.machine.memory, server.machine.gpu_memory))
        files = locate(reference, memory=memory, local_files_only=options.local_files_only)
        read_header(files.projector)  # llama.cpp takes one that is cut off
        header = read_header(files.model)
        window = window_for(header, size=files.bytes, memory=memory, wanted=options.max_tokens + 2 * _OUTPUT)
        gpu = server.machine.gpu_memory > 0 and options.device != "cpu"
        template = "" if "tokenizer.chat_template" in header.values else _VICUNA
        threads = options.environment.get("OMP_NUM_THREADS", "")
        what = Loading(
            str(files.model),
            str(files.projector),
            window,
            gpu=gpu,
            template=template,
            threads=int(threads) if threads.isdecimal() else 0,
        )
        engine = Engine(server, what, generator_id)
    except AskpixError:
        server.end()
        raise
    _log.info(
        "%s: %s with %s, a window of %d tokens", generator_id, files.model.name, files.projector.name, window
    )
    limits = CountedLimits(
        family=str(header.values.get("general.architecture")),
        formula="",
        numbers={},
        images=_IMAGES,
        bytes=_IMAGE_BYTES,
        context=window,
        source="counted by llama.cpp",
        count=engine.tokens,
        most_pixels=None if gpu else _CPU_PIXELS,
    )
    return HostedGenerator(
        engine.opened,
        model_id=f"{SCHEME}:{files.name}",
        limits=limits,
        image_of=options.image_of,
        price_of=free,
        max_tokens=options.max_tokens,
        max_output=_OUTPUT,
        server=engine,
        waits=Waits(first_s=_WAIT_S, total_s=_WAIT_S, retries=0),
        marks=header.marks,
        takes_schemas=True,
    )


def _found(options: GeneratorOptions) -> Iterator[str]:
    """Yield those of the known models whose files are here, best first."""
    for fact in sorted(published(SCHEME, "generator"), key=lambda fact: fact.rank("cpu") or _LAST):
        reference = fact.id.partition(":")[2]
        with suppress(ModelUnavailableError):
            locate(reference, memory=None, local_files_only=True)
            yield reference


KIND = GeneratorKind(
    reference="REPO_OR_DIR[:QUANT]",
    modules=("xllamacpp", "pydantic_ai"),
    install="pip install 'askpix[gguf]'",
    open=_open,
    found=_found,
    facts=partial(published, SCHEME, "generator"),
)
