"""An asynchronous stream read by plain threads: the loop that it runs on has a thread of its own.

The clients of model providers are asynchronous; everything here is not. A reader may be another thread at
each step (web servers hand generators round), and whoever stops reading early ends the request.
"""

import asyncio
import queue
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")
_AHEAD = 256
"""Items a slow reader may be behind before the stream waits for it."""


class _Done:
    """The stream's end, or why it ended."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


class StreamBridge(Generic[T]):
    """Runs asynchronous streams for synchronous readers. One loop and thread, started when first needed."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()

    def iterate(self, make: Callable[[], AsyncIterator[T]]) -> Iterator[T]:
        """The items of the stream that ``make`` makes, on the loop, as they come.

        Closing the iterator cancels the stream and waits until it has let go of its connection. What the
        stream raises is raised here.
        """
        items: queue.Queue[T | _Done] = queue.Queue()
        room = threading.Semaphore(_AHEAD)

        async def pump() -> None:
            try:
                async for item in make():
                    while not room.acquire(blocking=False):
                        await asyncio.sleep(0.01)
                    items.put(item)
            except asyncio.CancelledError:
                items.put(_Done())
                raise
            except BaseException as error:  # noqa: BLE001 - raised again on the reader's side
                items.put(_Done(error))
            else:
                items.put(_Done())

        future = asyncio.run_coroutine_threadsafe(pump(), self._running())
        ended = False
        try:
            while True:
                item = items.get()
                if isinstance(item, _Done):
                    ended = True
                    if item.error is not None:
                        raise item.error
                    return
                room.release()
                yield item
        finally:
            if not ended:
                future.cancel()
                while not isinstance(items.get(), _Done):
                    pass

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="models", daemon=True).start()
            return self._loop
