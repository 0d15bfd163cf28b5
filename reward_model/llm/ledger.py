"""The ledger: one durable SQLite row for each attempt, written before anybody interprets the answer."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType


def default_ledger(out: str | Path) -> Path:
    """Where the ledger of a run that writes ``out`` lies: beside it, ``pairs.jsonl`` -> ``pairs.ledger.sqlite``."""
    return Path(out).with_suffix(".ledger.sqlite")


class Ledger:
    """An open ledger file. One process writes at a time; any number may read (``read_only=True``).

    Args:
        path: the file; made if it isn't there, unless ``read_only``.
        read_only: look only.

    Raises:
        InputError: the file is damaged, something else, of a newer version, or another run writes to it.
    """

    def __init__(self, path: str | Path, *, read_only: bool = False) -> None:
        raise NotImplementedError

    def close(self) -> None:
        """Write what is queued and close the file."""
        raise NotImplementedError

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
