"""The thread that writes the ledger: what is queued together becomes one transaction with one fsync."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

from reward_model.llm.ledger_file import connect, fault

Write = Callable[..., None]
"""Called with a connection and the arguments that were queued, in the writer's thread."""

_MOST = 500
"""Writes in one transaction."""


class _Item(NamedTuple):
    write: Write | None
    arguments: tuple[Any, ...]
    done: asyncio.Future[None] | threading.Event | None


class LedgerWriter:
    """Runs writes in order, in one thread. Once one has failed, none is tried again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._queue: SimpleQueue[_Item] = SimpleQueue()
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._work, name="ledger", daemon=True)
        self._thread.start()

    def put(self, write: Write, *arguments: Any) -> None:
        """Queue a write."""
        self._queue.put(_Item(write, arguments, None))

    def put_awaited(self, write: Write, *arguments: Any) -> asyncio.Future[None]:
        """Queue a write; the future is done when it is on disk, or has the error why it isn't."""
        future = asyncio.get_running_loop().create_future()
        self._queue.put(_Item(write, arguments, future))
        return future

    def run(self, write: Write, *arguments: Any) -> None:
        """Write, and wait for it.

        Raises:
            FinrmError: it can't be written.
        """
        event = threading.Event()
        self._queue.put(_Item(write, arguments, event))
        event.wait()
        if self.error is not None:
            raise self.error

    def close(self) -> None:
        """Write what is queued and end the thread.

        Raises:
            FinrmError: something couldn't be written.
        """
        self._queue.put(_Item(None, (), None))
        self._thread.join()
        if self.error is not None:
            raise self.error

    def _work(self) -> None:
        try:
            connection = connect(self._path)
        except sqlite3.Error as error:
            self.error, connection = fault(self._path, error), sqlite3.connect(":memory:")
        closing = False
        while not closing:
            items = [self._queue.get()]
            try:
                while len(items) < _MOST:
                    items.append(self._queue.get_nowait())
            except Empty:
                pass
            closing = items[-1].write is None
            if self.error is None:
                self._commit(connection, items)
            self._tell(items)
        connection.close()

    def _commit(self, connection: sqlite3.Connection, items: list[_Item]) -> None:
        try:
            connection.execute("BEGIN IMMEDIATE")
            for item in items:
                if item.write is not None:
                    item.write(connection, *item.arguments)
            connection.execute("COMMIT")
        except Exception as error:  # a bug too: whoever waits must hear of it
            self.error = fault(self._path, error) if isinstance(error, sqlite3.Error) else error
            if connection.in_transaction:
                connection.execute("ROLLBACK")

    def _tell(self, items: list[_Item]) -> None:
        waiting: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = {}
        for item in items:
            if isinstance(item.done, threading.Event):
                item.done.set()
            elif item.done is not None:
                waiting.setdefault(item.done.get_loop(), []).append(item.done)
        for loop, futures in waiting.items():
            if not loop.is_closed():
                loop.call_soon_threadsafe(_resolve, futures, self.error)


def _resolve(futures: list[asyncio.Future[None]], error: Exception | None) -> None:
    for future in futures:
        if future.done():
            continue
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)
