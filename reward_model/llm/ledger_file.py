"""The ledger's file: its tables, who may open it, and what is said when it can't be."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from reward_model.errors import FinrmError, InputError, ResourceError
from reward_model.jsonl import one_line

APPLICATION = 0x46524C4D  # "FRLM"
VERSION = 1
_MAGIC = b"SQLite format 3\0"

_TABLES = """
CREATE TABLE IF NOT EXISTS endpoints (
  id INTEGER PRIMARY KEY, identity TEXT NOT NULL, model TEXT NOT NULL,
  mode TEXT, limits TEXT, learnt_at REAL, UNIQUE (identity, model));
CREATE TABLE IF NOT EXISTS requests (key BLOB PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS attempts (
  id INTEGER PRIMARY KEY, key BLOB NOT NULL, item BLOB NOT NULL, endpoint INTEGER NOT NULL,
  purpose TEXT NOT NULL,
  version TEXT NOT NULL, sample INTEGER NOT NULL, attempt INTEGER NOT NULL, mode TEXT, started REAL NOT NULL,
  seconds REAL, status INTEGER, kind TEXT NOT NULL, verdict TEXT, fingerprint TEXT, prompt_tokens INTEGER,
  completion_tokens INTEGER, estimated INTEGER, cost REAL, reserved REAL, body BLOB);
CREATE INDEX IF NOT EXISTS attempts_key ON attempts (key);
"""


def fault(path: Path, error: Exception) -> FinrmError:
    """The error for people: exit code 2 for a file that can't be used, 3 for a disk that can't be written."""
    name, text = one_line(str(path)), str(error)
    if isinstance(error, OSError):
        return InputError(f"{name}: cannot be opened ({error.strerror}); choose another place")
    if "disk is full" in text or "disk I/O" in text:
        return ResourceError(
            f"{name}: cannot be written ({text}); free space, then run the same command again"
        )
    if "readonly" in text or "unable to open" in text:
        return InputError(f"{name}: cannot be opened ({text}); check the path and its permissions")
    if "locked" in text or "busy" in text:
        return InputError(f"{name}: another program holds it ({text}); wait for that to end")
    return InputError(
        f"{name}: is damaged ({one_line(text, 200)}); restore a copy, or move it away to begin anew"
    )


def check_file(path: Path, *, must_exist: bool) -> None:
    """Raise InputError for what can't be a ledger by its first bytes."""
    name = one_line(str(path))
    try:
        if not path.exists():
            if must_exist:
                raise InputError(f"{name}: no such ledger; check the path")
            path.parent.mkdir(parents=True, exist_ok=True)
            return
        if path.is_dir():
            raise InputError(f"{name}: is a directory, not a ledger; name a file in it")
        with path.open("rb") as stream:
            head = stream.read(len(_MAGIC))
    except OSError as error:
        raise fault(path, error) from None
    if head and head != _MAGIC:
        raise InputError(f"{name}: is no ledger (not an SQLite file); name another file")


def lock_file(path: Path) -> Any:
    """The lock of the one process that writes, held until it is released or the process ends.

    Raises:
        InputError: another process has it, or ``[llm]`` isn't installed.
    """
    try:
        from filelock import FileLock, Timeout
    except ModuleNotFoundError:
        raise InputError(
            "a ledger needs filelock; install it with: pip install 'reward-model[llm]'"
        ) from None
    # Beside the file, not on it: closing a second handle of a database drops SQLite's own locks.
    lock = FileLock(f"{path}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise InputError(
            f"{one_line(str(path))}: another run is writing to this ledger; "
            "wait for it to end, or name another one"
        ) from None
    except OSError as error:
        raise fault(path, error) from None
    return lock


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """A connection; rows are committed by hand."""
    if read_only:
        uri = path.resolve().as_uri() + "?mode=ro"
        connection = sqlite3.connect(uri, uri=True, timeout=30, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("SELECT 1 FROM sqlite_master").fetchone()
        except sqlite3.OperationalError:
            # In a folder that can't be written a WAL file's index can't be made; nobody writes there either.
            connection.close()
            connection = sqlite3.connect(
                uri + "&immutable=1", uri=True, isolation_level=None, check_same_thread=False
            )
        return connection
    connection = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL")
    # Outlives the process; the writer sees to power cuts.
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute("PRAGMA wal_autocheckpoint=4000")
    return connection


def check_tables(connection: sqlite3.Connection, path: Path, *, may_be_new: bool = False) -> bool:
    """Whether the file is a ledger; False: there is nothing in it yet.

    Raises:
        InputError: it is somebody else's, of a newer version, or nothing is in it and it may not be new.
    """
    name = one_line(str(path))
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
    if not application and not tables and may_be_new:
        return False
    if application != APPLICATION:
        raise InputError(f"{name}: is an SQLite file, but no ledger; name another file")
    if version > VERSION:
        raise InputError(
            f"{name}: is of version {version}, this program reads {VERSION}; install a newer reward-model"
        )
    if not {"endpoints", "requests", "attempts"} <= tables:
        raise InputError(f"{name}: is damaged (tables are missing); restore a copy, or move it away")
    return True


def make_tables(connection: sqlite3.Connection) -> None:
    """Make the tables of a new file, all or none."""
    connection.executescript(
        f"BEGIN; {_TABLES} PRAGMA application_id={APPLICATION}; PRAGMA user_version={VERSION}; COMMIT;"
    )
