"""The thread that writes the ledger: what is queued together becomes one transaction.

A committed transaction outlives the process, however it ends (WAL, ``synchronous=NORMAL``). So that a
power cut too costs no more than the last second's answers, the log is flushed to the disk every second. An
fsync for each transaction (``FULL``) stood in the way of every answer: ADR 6.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

from reward_model.llm.ledger_file import connect, fault

Write = Callable[..., None]
"""Called with a connection and the arguments that were queued, in the writer's thread."""

_MOST = 500
"""Writes in one transaction."""
SYNC_SECONDS = 1.0


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
        """Queue a write; the future is done when it is committed, or has the error why it isn't."""
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
        closing, unsynced_since = False, 0.0
        while not closing:
            left = max(0.0, unsynced_since + SYNC_SECONDS - time.monotonic()) if unsynced_since else None
            items = self._take(left)
            closing = bool(items) and items[-1].write is None
            if items and self.error is None:
                self._commit(connection, items)
                unsynced_since = unsynced_since or time.monotonic()
            self._tell(items)
            if unsynced_since and time.monotonic() - unsynced_since >= SYNC_SECONDS:
                self._sync()
                unsynced_since = 0.0
        connection.close()

    def _take(self, timeout: float | None) -> list[_Item]:
        """What is queued; waits for the first, at most ``timeout`` seconds."""
        items: list[_Item] = []
        try:
            items.append(self._queue.get(timeout=timeout))
            while len(items) < _MOST and items[-1].write is not None:
                items.append(self._queue.get_nowait())
        except Empty:
            pass
        return items

    def _sync(self) -> None:
        try:
            # Not the database itself: closing a second handle of it would drop SQLite's locks.
            handle = os.open(f"{self._path}-wal", os.O_RDWR)
        except OSError:
            return  # just checkpointed, which flushes
        try:
            os.fsync(handle)
        except OSError as error:
            self.error = fault(self._path, sqlite3.OperationalError(f"disk I/O error: {error.strerror}"))
        finally:
            os.close(handle)

    def _commit(self, connection: sqlite3.Connection, items: list[_Item]) -> None:
        try:
            connection.execute("BEGIN IMMEDIATE")
            for item in items:
                if item.write is not None:
                    item.write(connection, *item.arguments)
            connection.execute("COMMIT")
        except Exception as error:  # a bug too: whoever waits must hear of it
            files = isinstance(error, sqlite3.Error) and not isinstance(error, sqlite3.ProgrammingError)
            self.error = fault(self._path, error) if files else error
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
