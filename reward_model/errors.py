"""What can go wrong, as one clear line each, with the exit code the command line promises.

0 done; 1 the work ran and the answer is no; 2 unusable input or arguments;
3 an endpoint, a hub or a device failed for good.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


class FinrmError(Exception):
    """Base of every error that is shown to people as one line. ``exit_code`` is the process's."""

    exit_code = 1


class InputError(FinrmError):
    """Unusable input or arguments (exit code 2). The message says where and what to do."""

    exit_code = 2


class ResourceError(FinrmError):
    """An endpoint, a hub or a device failed for good (exit code 3)."""

    exit_code = 3


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with an input file.

    ``line`` is 1-based, ``field`` a dotted path such as ``scores.chosen.depth`` ("" for the whole line);
    ``message`` says what is wrong, ``remedy`` what to do about it.
    """

    file: str
    line: int
    field: str
    message: str
    remedy: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        field = f": {self.field}" if self.field else ""
        return f"{where}{field}: {self.message}; {self.remedy}"


def require_file(path: str | Path, what: str = "file") -> Path:
    """Return ``path`` if it is a readable regular file, else raise :class:`InputError` saying what to do."""
    found = Path(path)
    if not found.exists():
        raise InputError(f"{found}: no such {what}; check the path")
    if found.is_dir():
        raise InputError(f"{found}: is a directory, not a {what}; name a file in it")
    return found
