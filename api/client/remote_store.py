"""A store that another process holds, reached through the server of its home."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from askpix.api.client.client import Client


class RemoteStore:
    """A store that another process holds: each method is a request to the server of its home.

    It has the methods of whatever store the server has under this key (``VectorStore`` or ``PageStore``).
    """

    def __init__(self, client: Client, key: tuple[str, str]) -> None:
        self._client, self._path = client, f"/v1/local/stores/{key[0]}/{key[1]}"

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(name)

        def method(*args: Any, **options: Any) -> Any:
            from askpix.api.client.store_codec import decode, encode  # noqa: PLC0415 - numpy, for those who use stores

            body = {"args": encode(list(args)), "options": {k: encode(v) for k, v in options.items()}}
            found = decode(self._client.call("POST", f"{self._path}/{name}", body)["result"])
            return iter(found) if name == "ids" else found

        return method

    def close(self) -> None:
        """The server keeps it open."""
