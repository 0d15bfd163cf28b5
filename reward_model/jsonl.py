"""JSON Lines in and out: streaming, bounded in memory, each fault named with file, line and field."""

from __future__ import annotations

import codecs
import json
import math
import os
import re
import sys
import tempfile
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from reward_model.errors import InputError, Problem, require_file

MAX_LINE_BYTES = 16 * 1024 * 1024
"""A longer line is reported and passed over, never held in memory whole."""

MAX_DEPTH = 100
"""Objects and arrays inside one another; deeper ones can be read but no longer written back."""

MAX_DIGITS = 300
"""Digits of a whole number; any that are longer would overflow in the first calculation."""

_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_ONE_ENCODING = "save the whole file in one encoding, UTF-8"
_CORRECT = "correct or remove the line"


@dataclass(frozen=True)
class Row:
    """One readable line: its 1-based number, its text as decoded, and the JSON object it holds."""

    line: int
    text: str
    value: dict[str, Any]


def one_line(text: str, limit: int = 400) -> str:
    """``text`` made fit for a message: clipped, and nothing in it that breaks a line or moves a cursor."""
    if len(text) > limit:
        text = text[: limit - 1] + "…"
    if text.isprintable():
        return text
    unsafe = {"Cc", "Cf", "Cs", "Zl", "Zp"}
    return "".join(
        char.encode("unicode_escape").decode("ascii") if unicodedata.category(char) in unsafe else char
        for char in text
    )


def shown(value: Any, limit: int = 40) -> str:
    """A user's value as a message quotes it: short, whatever its size."""
    if isinstance(value, str):
        return f'"{one_line(value, limit)}"'
    if value is None or isinstance(value, bool | int | float):
        return one_line(json.dumps(value), limit)
    kind = _json_type(value)
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"


def _object_without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"the key {shown(key)} appears twice in one object")
            seen.add(key)
    return result


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _integer(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ValueError(f"a whole number of {len(text)} digits ({shown(text, 20)})")
    return int(text)


def _real(text: str) -> float:
    value = float(text)
    # Python reads 1e999 as infinity, which could not be written back as JSON.
    if math.isinf(value):
        raise ValueError(f"a number too large to hold ({shown(text, 20)})")
    return value


def _json_fault(error: json.JSONDecodeError) -> str:
    place = f"at column {error.colno}"
    if error.pos >= len(error.doc.rstrip()) or error.msg.startswith("Unterminated string"):
        return f"not valid JSON (the line ends in the middle of a record, {place})"
    if error.msg.startswith("Extra data"):
        return f"not valid JSON (more text after the end of the object, {place})"
    if error.msg.startswith("Invalid control character"):
        return f"not valid JSON (a raw control character in a string, {place})"
    return f"not valid JSON ({error.msg.split(':')[0]} {place})"


def _too_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for node in level
            for child in (node.values() if isinstance(node, dict) else node)
            if isinstance(child, dict | list)
        ]
        if not level:
            return False
    return True


def parse_object(text: str) -> dict[str, Any]:
    """Parse one strict JSON object: what it returns can be written as UTF-8 and read back equal.

    Refused are duplicate keys at any level, NaN and infinities, half surrogate pairs, numbers over
    ``MAX_DIGITS`` digits and nesting over ``MAX_DEPTH``.

    Raises:
        ValueError: with a message for people.
    """
    try:
        value = json.loads(
            text,
            object_pairs_hook=_object_without_duplicates,
            parse_constant=_no_constant,
            parse_int=_integer,
            parse_float=_real,
        )
    except json.JSONDecodeError as error:
        raise ValueError(_json_fault(error)) from None
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError(f"a JSON {_json_type(value)}, not an object")
    if text.count("[") + text.count("{") > MAX_DEPTH and _too_deep(value):
        raise ValueError(f"nested too deeply (over {MAX_DEPTH} levels)")
    # An escape such as \ud800 parses, but no file or model could take the text afterwards.
    if "\\u" in text and _has_lone_surrogate(value):
        raise ValueError("contains half of a surrogate pair (\\ud800-\\udfff)")
    return value


def _has_lone_surrogate(value: dict[str, Any]) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False


def _json_type(value: Any) -> str:
    names = {
        dict: "object",
        list: "array",
        tuple: "array",
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
    while chunk := stream.readline(limit + 2):  # room for CRLF
        number += 1
        line = chunk.rstrip(b"\r\n")
        if len(line) <= limit and (chunk.endswith(b"\n") or len(chunk) <= limit):
            yield number, line, len(line)
            continue
        length = len(line)
        while chunk and not chunk.endswith(b"\n"):
            chunk = stream.readline(1 << 20)
            length += len(chunk.rstrip(b"\r\n"))
        yield number, None, length


# UTF-8 of three and four bytes a character, which is how it writes Chinese.
_WIDE = re.compile(rb"[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_ASCII = bytes(range(128))


def _is_wide_utf8(raw: bytes) -> bool:
    """Whether the non-ASCII part is UTF-8, damage aside: most such bytes would pass for GB18030 too."""
    sample = raw.translate(None, _ASCII)[: 1 << 16]
    return 2 * sum(map(len, _WIDE.findall(sample))) > len(sample)


class JsonlReader:
    """Iterates over the rows of a JSON Lines file; faults are collected in ``problems``, not raised.

    Byte-order marks, CRLF line ends and empty lines are accepted. The file is UTF-8, or GB18030 if its first
    sound line with a non-ASCII character says so (then ``notes`` says it); a file that mixes the two is at
    fault in the lines that break its own encoding. Memory is bounded by ``max_line_bytes``.

    Args:
        path: a file, or "-" for standard input.
        max_line_bytes: a longer line becomes a problem.

    Raises:
        InputError: if the file does not exist, can't be read or is UTF-16.
    """

    def __init__(self, path: str | Path, max_line_bytes: int = MAX_LINE_BYTES) -> None:
        self.name = "<stdin>" if str(path) == "-" else str(path)
        self._path = path
        self._limit = max_line_bytes
        if self.name != "<stdin>":
            with self._readable():
                require_file(path)
        self.encoding = ""
        self.problems: list[Problem] = []
        self.notes: list[str] = []

    def problem(self, line: int, field: str, message: str, remedy: str) -> None:
        """Record a fault found in ``line`` (callers add those that a schema finds).

        Keys and values quoted in it can't break the message's line or blow it up.
        """
        self.problems.append(
            Problem(
                one_line(self.name, 1000), line, one_line(field, 200), one_line(message), one_line(remedy)
            )
        )

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            name = one_line(self.name)
            raise InputError(f"{name}: cannot be read ({error.strerror}); check the path") from None

    def __iter__(self) -> Iterator[Row]:
        if self.name == "<stdin>":
            yield from self._rows(sys.stdin.buffer)
            return
        with self._readable(), Path(self._path).open("rb") as stream:
            yield from self._rows(stream)

    def _rows(self, stream: BinaryIO) -> Iterator[Row]:
        for number, raw, length in _raw_lines(stream, self._limit):
            if raw is None:
                self.problem(
                    number,
                    "",
                    f"line of {length:,} bytes, over the limit of {self._limit:,}",
                    "split it, or check that records are separated by line feeds",
                )
                continue
            raw = self._strip_bom(number, raw)
            if not raw.strip():
                continue
            row = self._row(number, raw)
            if row is not None:
                yield row

    def _strip_bom(self, number: int, raw: bytes) -> bytes:
        if number == 1 and raw.startswith(_UTF16):
            raise InputError(f"{one_line(self.name)}: is UTF-16; save it as UTF-8")
        # Files put together with "cat" carry one in the middle too.
        while raw.startswith(codecs.BOM_UTF8):
            raw = raw[len(codecs.BOM_UTF8) :]
            if number == 1:
                self.encoding = "utf-8"
        return raw

    def _row(self, number: int, raw: bytes) -> Row | None:
        if b"\0" in raw:  # before decoding: it would pass for GB18030
            self.problem(number, "", "holds NUL bytes, so it is damaged, or UTF-16", "save the file as UTF-8")
            return None
        decoded = self._decode(number, raw)
        if decoded is None:
            return None
        text, encoding = decoded
        try:
            row = Row(number, text, parse_object(text))
        except ValueError as error:
            self.problem(number, "", str(error), _CORRECT)
            return None
        # Only a sound line settles what the file is in: a broken one reads as GB18030 by chance.
        if not self.encoding and not raw.isascii():
            self.encoding = encoding
            if encoding != "utf-8":
                self.notes.append(f"{one_line(self.name)}:{number}: not UTF-8, read as GB18030")
        return row

    def _decode(self, number: int, raw: bytes) -> tuple[str, str] | None:
        """The text of a line and its encoding, or None with the problem recorded."""
        if raw.isascii():
            return raw.decode("ascii"), "utf-8"
        tried = (self.encoding,) if self.encoding else ("utf-8", "gb18030")
        if tried[-1] == "gb18030" and _is_wide_utf8(raw):
            if self.encoding:
                self.problem(number, "", "is UTF-8 in a file that is GB18030 before", _ONE_ENCODING)
                return None
            tried = ("utf-8",)
        reasons = []
        for encoding in tried:
            try:
                return raw.decode(encoding), encoding
            except UnicodeDecodeError as error:
                reasons.append(error.reason)
        if reasons[0] in {"unexpected end of data", "incomplete multibyte sequence"}:
            self.problem(number, "", "is cut off in the middle of a character", _CORRECT)
        else:
            self.problem(number, "", f"not valid {' or '.join(map(str.upper, tried))}", _ONE_ENCODING)
        return None


def dump_line(value: dict[str, Any]) -> str:
    """One JSON object as a line of UTF-8 text, Chinese unescaped, without the line feed."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _stream_descriptor(path: str) -> int | None:
    """The open descriptor that a name such as /dev/stdout stands for, or None."""
    if path in {"-", "/dev/stdout"}:
        return 1
    if path == "/dev/stderr":
        return 2
    match = re.fullmatch(r"/(?:dev|proc/self)/fd/(\d+)", path)
    return int(match[1]) if match else None


@contextmanager
def atomic_writer(path: str | Path) -> Iterator[TextIO]:
    """Open a text file for writing that appears under ``path`` only when all of it is on disk.

    On an exception the file that was there before stays as it was. The file keeps its mode, a link is written
    through. Devices, pipes and "-" (standard output) are written as they come.

    Raises:
        InputError: if the file can't be made there.
    """
    target = Path(path)
    shown_name = one_line(str(target))
    temporary = None
    try:
        if target.is_dir():
            raise InputError(f"{shown_name}: is a directory; name a file")
        descriptor = _stream_descriptor(str(path))
        if descriptor is not None:
            # Not opened by name: what a shell redirected there earlier would be cut off or replaced.
            sys.stdout.flush()
            stream: TextIO = os.fdopen(os.dup(descriptor), "w", encoding="utf-8", newline="\n")
        else:
            # A link is written through, so that the name keeps pointing where its owner put it.
            target = target.resolve()
            if target.exists() and not target.is_file():
                stream = target.open("w", encoding="utf-8", newline="\n")
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                handle, temporary = tempfile.mkstemp(
                    dir=target.parent, prefix=f".{target.name[:40]}.", suffix=".tmp"
                )
                stream = os.fdopen(handle, "w", encoding="utf-8", newline="\n")
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links
        reason = getattr(error, "strerror", None) or "links in a loop"
        raise InputError(f"{shown_name}: cannot be written ({reason}); choose another place") from None
    if temporary is None:
        with stream:
            yield stream
        return
    try:
        with stream:
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
