"""JSON Lines in and out: streaming, bounded in memory, each fault named with file, line and field."""

from __future__ import annotations

import codecs
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from reward_model.errors import InputError, Problem, require_file

MAX_LINE_BYTES = 16 * 1024 * 1024
"""A longer line is reported and passed over, never held in memory whole."""

_BOMS = {codecs.BOM_UTF8: "utf-8"}
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True)
class Row:
    """One readable line: its 1-based number, its text as decoded, and the JSON object it holds."""

    line: int
    text: str
    value: dict[str, Any]


class _DuplicateKeyError(ValueError):
    pass


def _object_without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _DuplicateKeyError(key)
            seen.add(key)
    return result


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def parse_object(text: str) -> dict[str, Any]:
    """Parse one strict JSON object: no duplicate keys, no NaN, nothing that can't be written as UTF-8.

    Raises:
        ValueError: with a message for people.
    """
    try:
        value = json.loads(text, object_pairs_hook=_object_without_duplicates, parse_constant=_no_constant)
    except _DuplicateKeyError as error:
        raise ValueError(f"the key {str(error)!r} appears twice in one object") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"not valid JSON ({error.msg} at column {error.colno})") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError(f"a JSON {_json_type(value)}, not an object")
    # An escape such as \ud800 parses, but no file or model could take the text afterwards.
    if "\\u" in text and _has_lone_surrogate(text):
        raise ValueError("contains half of a surrogate pair (\\ud800-\\udfff)")
    return value


def _has_lone_surrogate(text: str) -> bool:
    try:
        json.dumps(json.loads(text), ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False


def _json_type(value: Any) -> str:
    names = {
        list: "array",
        str: "string",
        bool: "boolean",
        int: "number",
        float: "number",
        type(None): "null",
    }
    return names.get(type(value), type(value).__name__)


def _raw_lines(stream: BinaryIO, limit: int) -> Iterator[tuple[int, bytes | None, int]]:
    """Yield (line number, bytes without the line ending or None if over ``limit``, length)."""
    number = 0
    while chunk := stream.readline(limit + 1):
        number += 1
        length = len(chunk)
        if length <= limit or chunk.endswith(b"\n"):
            yield number, chunk.rstrip(b"\r\n"), length
            continue
        while chunk and not chunk.endswith(b"\n"):
            chunk = stream.readline(1 << 20)
            length += len(chunk)
        yield number, None, length


class JsonlReader:
    """Iterates over the rows of a JSON Lines file; faults are collected in ``problems``, not raised.

    A byte-order mark, CRLF line ends and empty lines are accepted. The file is UTF-8, or GB18030 if its first
    line with a non-ASCII character says so (then ``notes`` says it); a file that mixes the two is at fault in
    the lines that break its own encoding. Memory is bounded by ``max_line_bytes``.

    Args:
        path: a file, or "-" for standard input.
        max_line_bytes: a longer line becomes a problem.

    Raises:
        InputError: if the file does not exist or is UTF-16.
    """

    def __init__(self, path: str | Path, max_line_bytes: int = MAX_LINE_BYTES) -> None:
        self.name = "<stdin>" if str(path) == "-" else str(path)
        self._path = path
        self._limit = max_line_bytes
        if self.name != "<stdin>":
            require_file(path)
        self.encoding = ""
        self.problems: list[Problem] = []
        self.notes: list[str] = []

    def problem(self, line: int, field: str, message: str, remedy: str) -> None:
        """Record a fault found in ``line`` (callers add those that a schema finds)."""
        self.problems.append(Problem(self.name, line, field, message, remedy))

    def __iter__(self) -> Iterator[Row]:
        if self.name == "<stdin>":
            yield from self._rows(sys.stdin.buffer)
            return
        with Path(self._path).open("rb") as stream:
            yield from self._rows(stream)

    def _rows(self, stream: BinaryIO) -> Iterator[Row]:
        for number, raw, length in _raw_lines(stream, self._limit):
            if raw is None:
                self.problem(
                    number,
                    "",
                    f"line of {length / 1e6:.0f} MB, over the limit of {self._limit / 1e6:.0f} MB",
                    "split it, or check that records are separated by line feeds",
                )
                continue
            if number == 1:
                raw = self._strip_bom(raw)
            if not raw.strip():
                continue
            text = self._decode(number, raw)
            if text is None:
                continue
            try:
                yield Row(number, text, parse_object(text))
            except ValueError as error:
                self.problem(number, "", str(error), "correct or remove the line")

    def _strip_bom(self, raw: bytes) -> bytes:
        if raw.startswith(_UTF16):
            raise InputError(f"{self.name}: is UTF-16; save it as UTF-8")
        for bom, encoding in _BOMS.items():
            if raw.startswith(bom):
                self.encoding = encoding
                return raw[len(bom) :]
        return raw

    def _decode(self, number: int, raw: bytes) -> str | None:
        if raw.isascii():
            return raw.decode("ascii")
        for encoding in (self.encoding,) if self.encoding else ("utf-8", "gb18030"):
            try:
                text = raw.decode(encoding)
            except UnicodeDecodeError:
                continue
            if not self.encoding:
                self.encoding = encoding
                if encoding != "utf-8":
                    self.notes.append(f"{self.name}:{number}: not UTF-8, read as GB18030")
            return text
        expected = (self.encoding or "UTF-8 or GB18030").upper()
        self.problem(number, "", f"not valid {expected}", "save the whole file in one encoding, UTF-8")
        return None


def dump_line(value: dict[str, Any]) -> str:
    """One JSON object as a line of UTF-8 text, Chinese unescaped, without the line feed."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


@contextmanager
def atomic_writer(path: str | Path) -> Iterator[TextIO]:
    """Open a text file for writing that appears under ``path`` only when all of it is on disk.

    On an exception the file that was there before stays as it was.

    Raises:
        InputError: if the folder can't be written.
    """
    target = Path(path)
    if target.is_dir():
        raise InputError(f"{target}: is a directory; name a file")
    # A link is written through, so that the name keeps pointing where its owner put it.
    target = target.resolve()
    if target.exists() and not target.is_file():  # a device or a pipe, such as /dev/stdout
        with target.open("w", encoding="utf-8") as stream:
            yield stream
        return
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".tmp")
    except OSError as error:
        raise InputError(f"{target}: cannot be written ({error.strerror}); choose another place") from None
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        mode = target.stat().st_mode & 0o777 if target.exists() else 0o666 & ~_umask()
        Path(temporary).chmod(mode)
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def write_text(path: str | Path, text: str) -> None:
    """Write ``text`` atomically."""
    with atomic_writer(path) as stream:
        stream.write(text)


def write_json(path: str | Path, value: Any) -> None:
    """Write ``value`` as indented JSON, atomically. NaN is refused: callers use null."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False) + "\n")
