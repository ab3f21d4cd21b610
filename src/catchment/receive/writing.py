"""From many requests into few writes: what waits for a topic is written at once, and then all of it is answered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from catchment.errors import CatchmentError, DataError, refused
from catchment.records import Message

Write = Callable[[str, Sequence[Message]], object]

# One write at most, so that the first of many is not kept waiting for the last.
_MOST_MESSAGES = 1_000
_MOST_BYTES = 8 << 20

_Waiting = tuple[Message, "asyncio.Future[bool]"]


class Writing:
    """Writes messages one batch after the other, in a thread of its own, in the order in which they were offered.

    While one batch is written the next one gathers, so that a disk which is slow makes larger batches, not a longer
    queue. `failed` hears why a write failed, which is no reason to stop: the next one is tried.
    """

    def __init__(self, write: Write, failed: Callable[[CatchmentError], None]) -> None:
        self._write = write
        self._failed = failed
        self._waiting: dict[str, list[_Waiting]] = {}
        self._some = asyncio.Event()
        self._closing = False
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="catchment-receive")
        self.failed_at: float | None = None  # monotonic; None where the last write succeeded

    def offer(self, topic: str, message: Message) -> asyncio.Future[bool]:
        """Have a message written; whether it is durable, once that is known."""
        written = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(topic, []).append((message, written))
        self._some.set()
        return written

    async def run(self) -> None:
        """Write until `close`, and then what still waits. A bug in a write ends it; what waits is then unwritten."""
        try:
            while not self._closing or self._waiting:
                await self._some.wait()
                self._some.clear()
                while self._waiting:
                    for topic in list(self._waiting):
                        await self._next(topic)
        finally:
            self._thread.shutdown()
            for waiting in self._waiting.values():
                _settle(waiting, durable=False)
            self._waiting = {}

    def close(self) -> None:
        """Write what waits and end."""
        self._closing = True
        self._some.set()

    async def _next(self, topic: str) -> None:
        await self._written(topic, self._take(topic))

    async def _written(self, topic: str, batch: Sequence[_Waiting]) -> None:
        """One write; where one of several cannot be written, as one that is larger than the topic takes, each alone."""
        durable, apart = False, False
        try:
            messages = [message for message, _ in batch]
            await asyncio.get_running_loop().run_in_executor(self._thread, self._write, topic, messages)
            durable = True
        except DataError as error:
            apart = len(batch) > 1
            if not apart:
                self._failed(error)
        except CatchmentError as error:
            self._failed(error)
        except OSError as error:
            self._failed(refused(error))
        finally:
            if not apart:
                self.failed_at = None if durable else time.monotonic()
                _settle(batch, durable=durable)
        if apart:
            try:
                for one in batch:
                    await self._written(topic, [one])
            finally:
                _settle(batch, durable=False)

    def _take(self, topic: str) -> list[_Waiting]:
        waiting = self._waiting.pop(topic)
        count = size = 0
        for message, _ in waiting:
            size += len(message.value or b"")
            if count == _MOST_MESSAGES or (count and size > _MOST_BYTES):
                break
            count += 1
        if count < len(waiting):
            self._waiting[topic] = waiting[count:]
        return waiting[:count]


def _settle(batch: Sequence[_Waiting], *, durable: bool) -> None:
    for _, written in batch:
        if not written.done():  # nobody waits any more for a request that was given up
            written.set_result(durable)
