"""Runs the service until it is told to stop: the socket, the note in the home, signals, and a clean end."""

import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

import uvicorn

from askpix.api.console.log import show_service_log
from askpix.api.server.app import LOOPBACK_HOSTS, create_app
from askpix.api.server.connections import Connections
from askpix.api.service.service import Service
from askpix.api.settings import Settings
from askpix.core.errors import AskpixError
from askpix.core.machine import is_loopback

if sys.platform != "win32":
    import resource

_log = logging.getLogger(__name__)
_GRACE_S = 10
_MIN_CONNECTIONS = 512


def serve(settings: Settings, *, host: str, port: int, greet: Callable[[], None] | None = None) -> None:
    """Serve until SIGTERM or Ctrl-C. Raises ``AskpixError`` when the home is served already, the address is
    taken, or it is a public one and there is no key. ``greet`` runs first, once the log is set up.
    """
    show_service_log(settings.log)
    if greet is not None:
        greet()
    public = not is_loopback(host)
    service = Service(settings, public=public)
    if public and not service.keys.any():
        raise AskpixError(
            f"{host!r} can be reached from other machines: make a key first (`askpix keys create NAME`), "
            "or listen on 127.0.0.1"
        )
    # Beside those at work, as many that wait for their clients.
    connections = max(_MIN_CONNECTIONS, 2 * settings.max_waiting)
    _allow_files(connections + _MIN_CONNECTIONS)
    service.start()
    try:
        with _listen(host, port) as listener:
            url = _url(host, listener.getsockname()[1])
            hosts = None if public else (*LOOPBACK_HOSTS, host)
            app = create_app(service, hosts=hosts)
            server = _Server(
                uvicorn.Config(
                    app,
                    http=Connections(connections).protocol,  # type: ignore[arg-type]
                    ws="none",
                    log_config=None,
                    access_log=False,
                    server_header=False,
                    timeout_graceful_shutdown=_GRACE_S,
                    timeout_keep_alive=15,
                    h11_max_incomplete_event_size=64 * 1024,
                ),
                service,
                url,
            )
            server.run(sockets=[listener])
    finally:
        ended = service.stop()
    if not ended:  # everything is closed and written
        logging.shutdown()
        sys.stderr.flush()
        os._exit(130 if server.interrupted else 0)
    if server.interrupted:
        raise KeyboardInterrupt


class _Server(uvicorn.Server):
    """Tells the home where it is once it answers."""

    def __init__(self, config: uvicorn.Config, service: Service, url: str) -> None:
        super().__init__(config)
        self._service = service
        self._url = url
        self.interrupted = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then announce."""
        await super().startup(sockets)
        self._service.announce(self._url)
        self._service.start_warm_up()
        _log.info("serving %s at %s (/docs; Ctrl-C stops)", self._service.settings.home, self._url)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop taking requests; the running job stops while the last answers go out."""
        self._service.begin_stop()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture signals as uvicorn does, which raises them again at the end and so leaves no time to
        release the home.
        """
        before = {number: signal.signal(number, self._told) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _told(self, number: int, frame: FrameType | None) -> None:
        self.interrupted = self.interrupted or number == signal.SIGINT
        self.handle_exit(number, frame)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns Nagle's algorithm off only where it sees that this is TCP: else each answer on a kept
    # connection waits 40 ms for the client's acknowledgement.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if sys.platform != "win32":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host.strip("[]"), port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise AskpixError(
            f"cannot listen on {host}:{port}: {error.strerror or error}; choose another --port"
        ) from error
    listener.set_inheritable(False)
    return listener


def _allow_files(number: int) -> None:
    """Let this process open as many files and connections, where the system allows it."""
    if sys.platform != "win32":
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft != resource.RLIM_INFINITY and soft < number:
            with suppress(ValueError, OSError):
                resource.setrlimit(resource.RLIMIT_NOFILE, (number, hard))


def _url(host: str, port: int) -> str:
    # What listens on every address is reached on this machine's own.
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"
