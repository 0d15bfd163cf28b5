"""Work done many at a time, results written in order: a file that a kill leaves as a beginning of itself."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, TypeVar

from reward_model.errors import InputError
from reward_model.jsonl import one_line

Item = TypeVar("Item")
Result = TypeVar("Result")


async def in_order(
    items: Iterable[Item], work: Callable[[Item], Awaitable[Result]], workers: int
) -> AsyncIterator[Result]:
    """The results of ``work`` in the order of ``items``, ``workers`` at a time.

    Work runs ahead of the oldest unfinished item by four times the workers at most, so that memory doesn't
    grow with the run. An exception ends it: what is under way is cancelled.
    """
    waiting: list[asyncio.Task[Result]] = []
    room = asyncio.Semaphore(workers)

    async def one(item: Item) -> Result:
        async with room:
            return await work(item)

    queue = iter(items)
    try:
        while True:
            while len(waiting) < 4 * workers:
                item = next(queue, None)
                if item is None:
                    break
                waiting.append(asyncio.ensure_future(one(item)))
            if not waiting:
                return
            done = waiting.pop(0)
            yield await done
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


class LineFile:
    """A file of lines that is only ever extended while it stays the same.

    What stands there already is kept as far as the new lines repeat it, so that a run that goes on from a
    ledger never has less on disk than the run before; from the first difference on the file is new. A line
    is whole on disk before the next is begun.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._stream: BinaryIO
        if str(path) == "-" or (self._path.exists() and not self._path.is_file()):
            raise InputError(f"{one_line(str(path))}: must be a file, which a run can go on with; name one")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
            self._stream = os.fdopen(descriptor, "r+b")
        except OSError as error:
            raise InputError(
                f"{one_line(str(path))}: cannot be written ({error.strerror}); choose another place"
            ) from None
        self._same = True

    def write(self, line: str) -> None:
        """Add one line."""
        data = line.encode("utf-8") + b"\n"
        if self._same:
            place = self._stream.tell()
            if self._stream.read(len(data)) == data:
                return
            self._same = False
            self._stream.seek(place)
            self._stream.truncate()
        self._stream.write(data)
        self._stream.flush()

    def finish(self) -> None:
        """Cut off what stood there beyond the last line written."""
        self._stream.truncate(self._stream.tell())
        self._stream.flush()
        os.fsync(self._stream.fileno())

    def __enter__(self) -> LineFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it; only a run that came to its end cuts off what was there before."""
        with self._stream:
            if kind is None:
                self.finish()
