"""The ledger: one durable SQLite row for each attempt, written before anybody interprets the answer."""

from __future__ import annotations

import asyncio
import sqlite3
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from reward_model.errors import FinrmError, InputError
from reward_model.jsonl import dump_line, one_line, parse_object
from reward_model.llm.ledger_file import (
    check_file,
    check_tables,
    connect,
    fault,
    lock_file,
    make_tables,
)
from reward_model.llm.ledger_writer import LedgerWriter
from reward_model.llm.outcome import FINAL, UNKNOWN_COST, Outcome, read_answer

_FINAL = ",".join(f"'{kind}'" for kind in sorted(FINAL))
_UNKNOWN = ",".join(f"'{kind}'" for kind in sorted({*UNKNOWN_COST, "sent"}))
LIMITS_LAST = 7 * 24 * 3600.0
"""Seconds after which a limit that was learnt is forgotten: accounts are upgraded."""


def default_ledger(out: str | Path) -> Path:
    """Where the ledger of a run that writes ``out`` lies: beside it, ``pairs.jsonl``:
    ``pairs.ledger.sqlite``."""
    return Path(out).with_suffix(".ledger.sqlite")


class Found(NamedTuple):
    """An answer that was paid for: its row, what it says, and why it was no use (None: nobody said so)."""

    id: int
    outcome: Outcome
    verdict: str | None


class Ledger:
    """An open ledger file. One process writes at a time; any number may read (``read_only=True``).

    A row is inserted when a request is sent and completed when its answer is there; :meth:`finish` gives a
    future that is done once that is committed: it outlives the process, and a second later a power cut too.
    Rows that arrive together share one transaction. What a killed process had in flight is found as "lost"
    by the next one.

    Args:
        path: the file; made if it isn't there, unless ``read_only``.
        read_only: look only.

    Raises:
        InputError: the file is damaged, something else, of a newer version, or another run writes to it.
    """

    def __init__(self, path: str | Path, *, read_only: bool = False) -> None:
        self.path = Path(path)
        self.read_only = read_only
        self._lock: Any = None
        self._writer: LedgerWriter | None = None
        check_file(self.path, must_exist=read_only)
        if not read_only:
            self._lock = lock_file(self.path)
        try:
            if not read_only:
                self._open_to_write()
            self._reader = connect(self.path, read_only=read_only)
            check_tables(self._reader, self.path)
            self.last_id = self._value("SELECT MAX(id) FROM attempts") or 0
        except (sqlite3.Error, OSError) as error:
            self._unlock()
            raise fault(self.path, error) from None
        except FinrmError:
            self._unlock()
            raise
        self._next_id = self.last_id + 1
        if not read_only:
            self._writer = LedgerWriter(self.path)

    def _open_to_write(self) -> None:
        known = False
        if self.path.exists() and self.path.stat().st_size:
            # Looked at before anything is changed: it may be somebody else's.
            with closing(connect(self.path, read_only=True)) as look:
                known = check_tables(look, self.path, may_be_new=True)
        with closing(connect(self.path)) as first:
            if not known:
                make_tables(first)
            first.execute("UPDATE attempts SET kind = 'lost' WHERE kind = 'sent'")

    # -- reading ---------------------------------------------------------------------------------------------

    def rows(self, query: str, parameters: Iterable[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of a query.

        Raises:
            InputError: the file is damaged.
        """
        try:
            return self._reader.execute(query, tuple(parameters)).fetchall()
        except sqlite3.Error as error:
            raise fault(self.path, error) from None

    def each(self, query: str, parameters: Iterable[Any] = ()) -> Iterator[tuple[Any, ...]]:
        """As :meth:`rows`, one at a time: for queries whose answer is as large as the file."""
        try:
            yield from self._reader.execute(query, tuple(parameters))
        except sqlite3.Error as error:
            raise fault(self.path, error) from None

    def _value(self, query: str, parameters: Iterable[Any] = ()) -> Any:
        found = self.rows(query, parameters)
        return found[0][0] if found else None

    def find(self, key: bytes, failures_from: int = 0) -> Found | None:
        """The final answer to the request with this key; None if there is none yet.

        Args:
            key: of :func:`~reward_model.llm.wire.request_key`.
            failures_from: what was no use in rows up to this one is passed over.
        """
        found = self.rows(
            f"SELECT id, kind, verdict, status, body FROM attempts WHERE key = ? AND kind IN ({_FINAL}) "
            "ORDER BY id DESC LIMIT 1",
            (key,),
        )
        if not found:
            return None
        row, kind, verdict, status, body = found[0]
        if row <= failures_from and (kind != "ok" or verdict):
            return None
        # What the row says counts: a later version of the reader must not buy it again.
        outcome = read_answer(status, unpacked(body))
        if outcome.kind != kind:
            outcome = Outcome(kind, outcome.reason or kind, status, outcome.code, outcome.text)
        return Found(row, outcome, verdict)

    def tries(self, key: bytes) -> int:
        """How many attempts this request has had, in all runs."""
        return int(self._value("SELECT COALESCE(MAX(attempt), 0) FROM attempts WHERE key = ?", (key,)))

    def spent(self) -> float:
        """Money: what answers cost, and the worst case of those that may have been billed but didn't
        arrive."""
        known = f"CASE WHEN kind IN ({_UNKNOWN}) THEN COALESCE(cost, reserved) ELSE cost END"
        return float(self._value(f"SELECT SUM({known}) FROM attempts") or 0.0)

    def endpoint(self, identity: str, model: str) -> tuple[int, str | None, dict[str, float]]:
        """An endpoint's number, the answer format it takes (None: not known), the limits learnt."""
        query = "SELECT id, mode, limits, learnt_at FROM endpoints WHERE identity = ? AND model = ?"
        found = self.rows(query, (identity, model))
        if not found and self._writer is not None:
            self._writer.run(_add_endpoint, identity, model)
            found = self.rows(query, (identity, model))
        if not found:
            return 0, None, {}
        number, mode, limits, learnt_at = found[0]
        fresh = limits is not None and time.time() - (learnt_at or 0) < LIMITS_LAST
        return number, mode, _numbers(limits) if fresh else {}

    def knows_answers(self, endpoint: int) -> bool:
        """Whether this endpoint ever answered."""
        query = "SELECT 1 FROM attempts WHERE endpoint = ? AND kind = 'ok' LIMIT 1"
        return bool(self.rows(query, (endpoint,)))

    def token_ratio(self, endpoint: int) -> float | None:
        """Prompt tokens as the endpoint counted them over our estimate, in the last 200 answers; None: too
        few."""
        query = (
            "SELECT COUNT(*), SUM(prompt_tokens), SUM(estimated) FROM "
            "(SELECT prompt_tokens, estimated FROM attempts "
            "WHERE endpoint = ? AND prompt_tokens > 0 AND estimated > 0 ORDER BY id DESC LIMIT 200)"
        )
        count, counted, estimated = self.rows(query, (endpoint,))[0]
        return float(counted / estimated) if count >= 5 else None

    # -- writing ---------------------------------------------------------------------------------------------

    @property
    def writer(self) -> LedgerWriter:
        """The thread that writes.

        Raises:
            InputError: the ledger was opened to read.
        """
        if self._writer is None:
            raise InputError(f"{one_line(str(self.path))}: opened to read; open it to write")
        return self._writer

    def begin(self, row: Mapping[str, Any], body: bytes) -> int:
        """Note that a request is being sent; the number of its row.

        Args:
            row: ``key, item`` (the key of the first request, where this one repairs it), ``endpoint,
                purpose, version, sample, attempt, mode, started, estimated, reserved``.
            body: what is sent.
        """
        number, self._next_id = self._next_id, self._next_id + 1
        self.writer.put(_begin, number, row, body)
        return number

    def finish(
        self, number: int, outcome: Outcome, body: bytes | None, seconds: float, cost: float | None
    ) -> asyncio.Future[None]:
        """Complete a row with what came back; the future is done when that is committed."""
        return self.writer.put_awaited(_finish, number, outcome, body, seconds, cost)

    def judge(self, number: int, verdict: str | None) -> None:
        """Note why an answer was no use to its reader ("schema", "rejected")."""
        self.writer.put(_judge, number, verdict)

    def reclassify(self, numbers: Iterable[int], kind: str) -> None:
        """Give rows another class: errors that turned out to be everybody's, not their item's."""
        self.writer.put(_reclassify, tuple(numbers), kind)

    def remember(
        self, endpoint: int, *, mode: str | None = None, limits: Mapping[str, float] | None = None
    ) -> None:
        """Keep what was learnt of an endpoint for the next run."""
        told = dump_line(dict(limits)) if limits else None
        self.writer.put(_remember, endpoint, mode, told)

    def close(self) -> None:
        """Write what is queued and close the file.

        Raises:
            ResourceError: it can't be written (a full disk).
        """
        try:
            if self._writer is not None:
                self._writer.close()
        finally:
            self._writer = None
            self._reader.close()
            self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def unpacked(body: bytes | None) -> bytes:
    """A stored body as it was received."""
    return zlib.decompress(body) if body else b""


def _numbers(text: str) -> dict[str, float]:
    try:
        found = parse_object(text)
    except ValueError:
        return {}
    numbers = {name: value for name, value in found.items() if isinstance(value, int | float)}
    return {name: float(value) for name, value in numbers.items() if value > 0}


# -- what the writer's thread runs ---------------------------------------------------------------------------


def _add_endpoint(connection: sqlite3.Connection, identity: str, model: str) -> None:
    connection.execute("INSERT OR IGNORE INTO endpoints (identity, model) VALUES (?, ?)", (identity, model))


def _begin(connection: sqlite3.Connection, number: int, row: Mapping[str, Any], body: bytes) -> None:
    packed = zlib.compress(body, 1)
    connection.execute("INSERT OR IGNORE INTO requests (key, body) VALUES (?, ?)", (row["key"], packed))
    connection.execute(
        "INSERT INTO attempts (id, key, item, endpoint, purpose, version, sample, attempt, mode, started, "
        "estimated, reserved, kind) VALUES (:id, :key, :item, :endpoint, :purpose, :version, :sample, "
        ":attempt, :mode, :started, :estimated, :reserved, 'sent')",
        {**row, "id": number},
    )


def _finish(
    connection: sqlite3.Connection,
    number: int,
    outcome: Outcome,
    body: bytes | None,
    seconds: float,
    cost: float | None,
) -> None:
    connection.execute(
        "UPDATE attempts SET seconds = ?, status = ?, kind = ?, fingerprint = ?, prompt_tokens = ?, "
        "completion_tokens = ?, cost = ?, body = ? WHERE id = ?",
        (
            seconds,
            outcome.status,
            outcome.kind,
            outcome.fingerprint,
            outcome.prompt_tokens,
            outcome.completion_tokens,
            cost,
            zlib.compress(body, 1) if body is not None else None,
            number,
        ),
    )


def _judge(connection: sqlite3.Connection, number: int, verdict: str | None) -> None:
    connection.execute("UPDATE attempts SET verdict = ? WHERE id = ?", (verdict, number))


def _reclassify(connection: sqlite3.Connection, numbers: tuple[int, ...], kind: str) -> None:
    connection.executemany(
        "UPDATE attempts SET kind = ? WHERE id = ?", [(kind, number) for number in numbers]
    )


def _remember(connection: sqlite3.Connection, endpoint: int, mode: str | None, limits: str | None) -> None:
    if mode is not None:
        connection.execute("UPDATE endpoints SET mode = ? WHERE id = ?", (mode, endpoint))
    if limits is not None:
        connection.execute(
            "UPDATE endpoints SET limits = ?, learnt_at = ? WHERE id = ?", (limits, time.time(), endpoint)
        )
