"""A web server that breaks every rule of HTTP: for what fetches from servers of strangers."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.support.service import jpeg

_DRIP_S = 0.02
_CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

ENDLESS: dict[str, tuple[bytes, bytes]] = {
    "silence": (b"", b""),
    "status-line": (b"HTTP/1.1 200 ", b"O"),
    "header-value": (b"HTTP/1.1 200 OK\r\nA: ", b"x"),
    "header-lines": (b"HTTP/1.1 200 OK\r\n", b"A: x\r\n"),
    "continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "redirect-headers": (b"HTTP/1.1 302 Found\r\nLocation: /good\r\n", b"A: x\r\n"),
    "chunk-extension": (_CHUNKED + b"1;", b"a"),
    "chunks": (_CHUNKED, b"1\r\nx\r\n"),
    "trailers": (_CHUNKED + b"0\r\n", b"A: x\r\n"),
    "body": (b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n", b"x"),
}
"""What is sent at once, and what again and again, slowly, for ever."""

FLOODS: dict[str, tuple[bytes, bytes]] = {
    "continue-flood": (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 500),
    "header-flood": (b"HTTP/1.1 200 OK\r\n", b"A: x\r\n" * 5000),
    "chunk-extension-flood": (_CHUNKED + b"1;", b"a" * 50_000),
    "trailer-flood": (_CHUNKED + b"0\r\n", b"A: x\r\n" * 5000),
    "body-flood": (b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 50_000),
}
"""The same, as fast as it is taken."""

MALFORMED: dict[str, bytes] = {
    "nothing": b"",
    "not-http": b"SSH-2.0-OpenSSH_9.6\r\n",
    "bad-status": b"HTTP/1.1 OK 200\r\n\r\n",
    "bad-length": b"HTTP/1.1 200 OK\r\nContent-Length: \xb2\r\n\r\n",
    "huge-length": b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
    "negative-length": b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    "two-lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "short-body": b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab",
    "bad-chunk": _CHUNKED + b"zz\r\n",
    "huge-chunk": _CHUNKED + b"f" * 20 + b"\r\n",
    "bad-location": b"HTTP/1.1 302 Found\r\nLocation: http://[::1\r\n\r\n",
    "odd-location": b"HTTP/1.1 302 Found\r\nLocation: http://\xff\xfe/\r\n\r\n",
    "bad-port": b"HTTP/1.1 302 Found\r\nLocation: http://site.test:99999/\r\n\r\n",
    "nul": b"HTTP/1.1 200 OK\r\nA: \x00\r\n\r\n",
    "long-header": b"HTTP/1.1 200 OK\r\nA: " + b"x" * 2**20 + b"\r\n\r\n",
    "compressed": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nabc",
    "upgrade": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
}


class HostileServer:
    """Answers ``/NAME`` as the tables above say, ``/good`` with a picture, at ``http://site.test:PORT``."""

    def __init__(self, listener: socket.socket) -> None:
        self.port: int = listener.getsockname()[1]
        self.url = f"http://site.test:{self.port}"
        self.asked: list[str] = []
        self.over = threading.Event()
        self._listener = listener

    def serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, suppress(OSError, IndexError):
            name = connection.recv(65536).split()[1].decode().lstrip("/").partition("/")[0]
            self.asked.append(name)
            if name in ENDLESS or name in FLOODS:
                first, again = (ENDLESS | FLOODS)[name]
                connection.sendall(first)
                while not self.over.wait(_DRIP_S if name in ENDLESS else 0):
                    connection.sendall(again)
            elif name in MALFORMED:
                connection.sendall(MALFORMED[name])
            else:
                body = jpeg("red")
                head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n"
                connection.sendall(head.encode() + body)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                pass


@contextmanager
def hostile_server() -> Iterator[HostileServer]:
    """One on a free port of this machine."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = HostileServer(listener)
        threading.Thread(target=server.serve, daemon=True).start()
        yield server
        server.over.set()
        # Closing alone would not wake who accepts.
        listener.shutdown(socket.SHUT_RDWR)
