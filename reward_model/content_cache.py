"""What was computed once, on disk, found again by the content that it was computed from."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing

from reward_model.embedded import cache_dir


class ContentCache:
    """Byte strings by keys that are hashes of content. Safe for several processes at once.

    A cache that can't be opened or is damaged is done without: it never fails a run.

    Args:
        folder: a name for what is kept, under the user's cache folder.
        key: what the values depend on beside their own keys; another key is another file.
    """

    def __init__(self, folder: str, key: str) -> None:
        self._path = cache_dir() / folder / f"{key[:32]}.sqlite"

    def _connect(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self._path, timeout=30)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE IF NOT EXISTS found (id BLOB PRIMARY KEY, value BLOB NOT NULL)")
        return connection

    def get(self, ids: Iterable[bytes]) -> dict[bytes, bytes]:
        """Those of ``ids`` that are there."""
        found: dict[bytes, bytes] = {}
        try:
            with closing(self._connect()) as connection:
                for key in ids:
                    row = connection.execute("SELECT value FROM found WHERE id = ?", (key,)).fetchone()
                    if row:
                        found[key] = row[0]
        except (sqlite3.Error, OSError):
            return {}
        return found

    def put(self, values: Mapping[bytes, bytes]) -> None:
        """Add ``values``."""
        if not values:
            return
        try:
            with closing(self._connect()) as connection, connection:
                connection.executemany("INSERT OR REPLACE INTO found VALUES (?, ?)", list(values.items()))
        except (sqlite3.Error, OSError):
            return
