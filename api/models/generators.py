"""From a generator id to a generator: which one, why that one, and whether it really sees.

extractive                      what ships
openai:M  anthropic:M  google:M a hosted model; its key comes from the provider's usual variable
openai-compatible:M@URL         any server that speaks OpenAI's protocol
transformers:DIR_OR_REPO        a vision-language model in this process
auto                            a server on this machine that sees, else a known model whose weights are here
                                and that sees, else extractive: nothing leaves it, nothing is fetched
"""

import json
import logging
import os
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar
from urllib.parse import urlsplit

from askpix.api.models.local_vlms import vlms_here
from askpix.core.errors import AskpixError, AuthError, ModelUnavailableError
from askpix.core.imaging.decode import ImageLimits
from askpix.core.types import ImageRecord

if TYPE_CHECKING:
    from PIL import Image

    from askpix.generation.generators.hosted import HostedGenerator
    from askpix.generation.generators.image_payload import PictureOf
    from askpix.generation.generators.local import LocalGenerator
    from askpix.generation.generators.providers import Provider
    from askpix.generation.generators.vlm import Precision

_log = logging.getLogger(__name__)
Seeing: TypeAlias = "HostedGenerator | LocalGenerator"
"""A generator whose sight can be proven, and which can do without."""
Made = TypeVar("Made", bound=Seeing)

_HOSTED: tuple["Provider", ...] = ("openai", "anthropic", "google")
_PROBE_S = 0.5
_MAX_LIST = 1 << 20
_TRIED = 3
"""Models of one server whose sight is tried for ``auto``."""
_VERDICT_DAYS = 30
_LOCAL = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class GeneratorOptions:
    """What a generator needs to know besides its id."""

    home: Path
    limits: ImageLimits
    picture_of: "PictureOf"
    max_tokens: int
    servers: Sequence[str] = ()
    """Base URLs at which ``auto`` looks for a server on this machine."""
    server_key: str | None = None
    prove_sight: bool = True
    device: str = "auto"
    """Where models of this process run, and in which precision."""
    precision: "Precision" = "auto"


@dataclass(frozen=True, slots=True)
class LocalModel:
    """A model that a server on this machine offers."""

    name: str
    url: str

    @property
    def id(self) -> str:
        return f"openai-compatible:{self.name}@{self.url}"


def open_generator(generator_id: str, options: GeneratorOptions) -> tuple[Seeing, str]:
    """The generator with this id, and what there is to say about it.

    Raises ``ModelUnavailableError`` (unknown id, extra not installed, server not reachable), ``AuthError``
    (no key).
    """
    scheme, _, rest = generator_id.partition(":")
    if scheme == "transformers" and rest:
        return _in_process(rest, options)
    if scheme not in (*_HOSTED, "openai-compatible") or not rest:
        raise ModelUnavailableError(
            f"no generator {generator_id!r} in this version; `askpix models` lists what there is"
        )
    if find_spec("pydantic_ai") is None:
        raise ModelUnavailableError(f"{generator_id!r} needs an extra: pip install 'askpix[hosted]'")
    if scheme == "openai-compatible":
        name, at, url = rest.rpartition("@")
        if not at or urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            raise ModelUnavailableError(
                f"{generator_id!r} names no server; write openai-compatible:MODEL@http://HOST:PORT/v1"
            )
        return _server(name, url, options)
    provider: Provider = next(each for each in _HOSTED if each == scheme)
    return _hosted(provider, rest, options)


def find_local(options: GeneratorOptions) -> tuple[Seeing, str] | None:
    """The first model on this machine that proves to see: of a server, else one whose weights are here.

    None when there is none. Nothing is downloaded.
    """
    servers = local_models(options.servers) if find_spec("pydantic_ai") is not None else []
    ways: list[Iterator[Callable[[], tuple[Seeing, str]]]] = [
        (partial(_server, each.name, each.url, options) for each in servers),
        (partial(_in_process, each.repo, options, fetch=False) for each in vlms_here(device=options.device)),
    ]
    for open_one in chain.from_iterable(ways):
        try:
            generator, why = open_one()
        except AskpixError as error:
            _log.info("a model on this machine is passed over: %s", error)
            continue  # it is listed, and does not work: the next one
        if generator.sees:
            return generator, f"{why}; it runs on this machine"
    return None


def local_models(servers: Iterable[str]) -> list[LocalModel]:
    """What the servers on this machine offer, a few models each. Servers that do not answer are left out."""
    found: list[LocalModel] = []
    for url in servers:
        if urlsplit(url).hostname not in _LOCAL:
            continue  # auto never sends a picture off the machine
        names = _listed(url)
        found += [LocalModel(name, url) for name in sorted(names, key=_looks_blind)[:_TRIED]]
    return found


def _looks_blind(name: str) -> bool:
    hints = ("vl", "vision", "llava", "gemma3", "gemma-3", "internvl", "pixtral", "minicpm-v", "moondream")
    return not any(hint in name.lower() for hint in hints)


def _listed(url: str) -> list[str]:
    try:
        # No proxy: the server is on this machine. The scheme is http(s), and the host was checked.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(url.rstrip("/") + "/models", timeout=_PROBE_S) as reply:
            listed: Any = json.loads(reply.read(_MAX_LIST))
    except (OSError, ValueError) as error:
        _log.debug("no models at %r: %s", url, error)
        return []
    rows = listed.get("data") if isinstance(listed, dict) else None
    names = [
        row["id"]
        for row in rows or []
        if isinstance(row, dict) and isinstance(row.get("id"), str) and row.get("owned_by") != "askpix"
    ]
    return [name for name in names if "embed" not in name.lower()]


def _server(name: str, url: str, options: GeneratorOptions) -> "tuple[HostedGenerator, str]":
    from askpix.generation.generators.hosted import HostedGenerator
    from askpix.generation.generators.providers import free, open_server

    generator_id = f"openai-compatible:{name}@{url}"
    model = open_server(name, url, key=options.server_key)
    return _proven(
        lambda sees, picture_of, max_tokens: HostedGenerator(
            model,
            model_id=generator_id,
            limits=_limits(name),
            picture_of=picture_of,
            price_of=free,
            max_tokens=max_tokens,
            sees=sees,
        ),
        generator_id,
        options,
    )


def _hosted(provider: "Provider", name: str, options: GeneratorOptions) -> "tuple[HostedGenerator, str]":
    from askpix.generation.generators.hosted import HostedGenerator
    from askpix.generation.generators.providers import KEY_NAMES, open_model, price_of

    names = KEY_NAMES[provider]
    key = next((os.environ[variable] for variable in names if os.environ.get(variable)), None)
    if key is None:
        raise AuthError(f"{provider}:{name} needs a key: set {' or '.join(names)}")
    base_url = os.environ.get(f"{provider.upper()}_BASE_URL") or None
    model = open_model(provider, name, key=key, base_url=base_url)
    return _proven(
        lambda sees, picture_of, max_tokens: HostedGenerator(
            model,
            model_id=f"{provider}:{name}",
            limits=_limits(name),
            picture_of=picture_of,
            price_of=price_of(provider, name),
            max_tokens=max_tokens,
            sees=sees,
        ),
        f"{provider}:{name}",
        options,
    )


def _in_process(
    reference: str, options: GeneratorOptions, *, fetch: bool = True
) -> "tuple[LocalGenerator, str]":
    from askpix.generation.generators.local import LocalGenerator
    from askpix.generation.generators.vlm import Vlm
    from askpix.retrieval.model_hub.source import named

    source = named(reference, local_files_only=not fetch)
    vlm = Vlm.load(str(source.path), device=options.device, precision=options.precision, name=source.name)
    return _proven(
        lambda sees, picture_of, max_tokens: LocalGenerator(
            vlm, picture_of=picture_of, max_tokens=max_tokens, sees=sees
        ),
        f"transformers:{source.name}",
        options,
    )


def _limits(name: str) -> Any:
    from askpix.generation.prompting.budget import limits_of

    return limits_of(name)


def _proven(
    make: "Callable[[bool, PictureOf, int], Made]", generator_id: str, options: GeneratorOptions
) -> "tuple[Made, str]":
    """Made with what the canary says: a back end that drops pictures is sent words alone."""
    seeing = True
    if options.prove_sight:
        verdicts = _Verdicts(options.home / "sight.json")
        known = verdicts.get(generator_id)
        if known is None:
            known = _try(make)
            verdicts.put(generator_id, known)
        seeing = known
    why = "it sees pictures" if seeing else "it does not see pictures (proven), so it gets their words alone"
    if not options.prove_sight:
        why = "whether it sees was not tried"
    return make(seeing, options.picture_of, options.max_tokens), why


def _try(make: "Callable[[bool, PictureOf, int], Seeing]") -> bool:
    from askpix.generation.generators.vision_check import draw_canary, pick_number, sees

    number = pick_number()

    def canary(record: ImageRecord, min_side: int) -> "Image.Image":
        return draw_canary(number)

    return sees(make(True, canary, 8_000), number=number)


class _Verdicts:
    """Who sees and who does not, kept in the home for a month: models behind a name change."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def get(self, generator_id: str) -> bool | None:
        row = self._all().get(generator_id)
        if not isinstance(row, dict) or not isinstance(row.get("at"), int | float):
            return None
        fresh = 0 <= time.time() - row["at"] < _VERDICT_DAYS * 86_400
        return bool(row.get("sees")) if fresh else None

    def put(self, generator_id: str, sees: bool) -> None:
        held = {**self._all(), generator_id: {"sees": sees, "at": int(time.time())}}
        draft = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            draft.write_text(json.dumps(held, indent=1), "utf-8")
            draft.replace(self._path)
        except OSError as error:
            _log.info("whether a model sees is not kept: %s", error)
            draft.unlink(missing_ok=True)  # it is tried again next time

    def _all(self) -> dict[str, Any]:
        try:
            held = json.loads(self._path.read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return held if isinstance(held, dict) else {}
