"""A report or a fact sheet from any file format: text and figures, or one clear line on what to do.

Files are untrusted: sizes are bounded before and while they are unpacked, no external reference is followed,
and PDFs are opened in a process of their own.
"""

from __future__ import annotations

import codecs
import re
import sys
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from pydantic import ValidationError

from reward_model._fact_table import csv_facts, facts_from_text, markdown_facts, xlsx_facts
from reward_model._office import OLE_MAGIC, docx_text
from reward_model._pdf import pdf_text
from reward_model.errors import InputError, require_file
from reward_model.jsonl import one_line, parse_object
from reward_model.rubric import plain_faults
from reward_model.schema import FactSheet

__all__ = [
    "MAX_CHARACTERS",
    "MAX_OFFICE_BYTES",
    "MAX_TEXT_BYTES",
    "facts_from_text",
    "read_facts",
    "read_report",
]

MAX_TEXT_BYTES = 20 * 1024 * 1024
"""Largest text file, and the most that is read from standard input."""
MAX_OFFICE_BYTES = 50 * 1024 * 1024
"""Largest .docx, .xlsx or .pdf file."""
MAX_CHARACTERS = 5_000_000
"""Longest text of a report, whatever the format; an annual report has about 500,000."""

_JSON_SHAPE = (
    'give {"unit": "亿元", "periods": ["2023", "2024"], "items": {"营业收入": [412.62, 523.73], ...}}'
)
_TEXT_SUFFIXES = {".md", ".markdown", ".txt"}
# What a file of another kind under a text name begins with.
_OTHER_KINDS = {
    b"%PDF-": "a PDF; name it .pdf",
    b"PK\x03\x04": "a zip or Office file; name it .docx, or save it as text",
    OLE_MAGIC: "an Office file of before 2007 or with a password; save it as .docx or .xlsx",
    b"{\\rtf": "RTF; save it as .docx",
}
_CONTROL = re.compile("[\x01-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_MAX_CONTROL_SHARE = 0.01


def read_report(path: str | Path) -> str:
    """The text of a report.

    ``.md``, ``.markdown`` and ``.txt`` are UTF-8, UTF-16 with a byte-order mark, or else GB18030; so is "-",
    standard input, and a file of any other name that looks like text. ``.docx`` keeps headings and tables as
    Markdown, ``.pdf`` needs a text layer. Line ends become line feeds; a text file is otherwise unchanged.

    Raises:
        InputError: one line with the path, what is wrong and what to do: missing, unreadable, empty, too
            large, binary, damaged or protected files.
    """
    name = _name(path)
    suffix = _suffix(path)
    if suffix == ".docx":
        text = docx_text(_read(path, name, MAX_OFFICE_BYTES), name, MAX_CHARACTERS)
    elif suffix == ".pdf":
        text = pdf_text(_read(path, name, MAX_OFFICE_BYTES), name, MAX_CHARACTERS)
    else:
        text = _text(_read(path, name, MAX_TEXT_BYTES), name)
    if not text.strip():
        raise InputError(f"{name}: holds no text; give the report's text")
    if len(text) > MAX_CHARACTERS:
        raise InputError(f"{name}: is over {MAX_CHARACTERS:,} characters; keep only the report's text")
    return text


def read_facts(path: str | Path) -> FactSheet:
    """The figures of a fact sheet.

    ``.json`` has the shape ``{"unit", "periods", "items"}``. ``.xlsx``, ``.csv`` (commas, semicolons or tabs)
    and a Markdown table in ``.md``, ``.markdown`` or ``.txt`` have a header row ``项目|2022|2023|2024`` and
    one item a row; a workbook's sheets are taken together. The unit is read from the header's first cell, a
    caption such as （单位：亿元） by the table, or one elsewhere in the file; it is "元" if none is said, and
    an error if different ones are said elsewhere only. Blank, "-", "—" and "n/a" are null; thousands
    separators, full-width digits, brackets and 负 for negative are understood. 2023年, FY2023 and 2023-12-31
    mean "2023".

    Raises:
        InputError: one line with the path, what is wrong and what to do; for a cell also its row and period.
    """
    name = _name(path)
    suffix = _suffix(path)
    if suffix == ".json":
        return _json_facts(_text(_read(path, name, MAX_TEXT_BYTES), name), name)
    if suffix in {".xlsx", ".xlsm"}:
        return xlsx_facts(_read(path, name, MAX_OFFICE_BYTES), name)
    if suffix in {".csv", ".tsv"}:
        return csv_facts(_text(_read(path, name, MAX_TEXT_BYTES), name), name)
    if suffix in _TEXT_SUFFIXES:
        return markdown_facts(_text(_read(path, name, MAX_TEXT_BYTES), name), name)
    require_file(path, "fact sheet")
    raise InputError(f"{name}: is no fact sheet that can be read; give .json, .xlsx, .csv or .md")


@lru_cache(maxsize=4)  # both sides of a pair share a prompt, and all files the one that is given for all
def facts_in_prompt(prompt: str) -> FactSheet | None:
    """The first fact table in what a report was written to, or None.

    Raises:
        InputError: if the table can't be used.
    """
    return facts_from_text(prompt)


def _json_facts(text: str, name: str) -> FactSheet:
    try:
        value = parse_object(text)
    except ValueError as error:
        raise InputError(f"{name}: {error}; {_JSON_SHAPE}") from None
    try:
        return FactSheet.model_validate(value)
    except ValidationError as error:
        field, message, remedy = next(plain_faults(error, value))
        place = f"{name}: {field}" if field else name
        raise InputError(f"{place}: {message}; {remedy}") from None


# --- bytes ------------------------------------------------------------------------------------------------


def _name(path: str | Path) -> str:
    return "<stdin>" if str(path) == "-" else one_line(str(path))


def _suffix(path: str | Path) -> str:
    return Path(path).suffix.lower()


def _read(path: str | Path, name: str, limit: int) -> bytes:
    """The bytes of a file or of standard input, never more than ``limit``."""
    try:
        if name == "<stdin>":
            return _read_stream(sys.stdin.buffer, name, limit)
        with require_file(path).open("rb") as stream:
            return _read_stream(stream, name, limit)
    except OSError as error:
        raise InputError(f"{name}: cannot be read ({error.strerror}); check its rights and place") from None


def _read_stream(stream: BinaryIO, name: str, limit: int) -> bytes:
    data = stream.read(limit + 1)
    if len(data) > limit:
        raise InputError(
            f"{name}: is over {limit // (1024 * 1024)} MB; keep only the report or the fact table"
        )
    if not data.strip():
        raise InputError(f"{name}: is empty; check that it was saved")
    return data


def _text(data: bytes, name: str) -> str:
    """Decode a text file; line ends become line feeds."""
    for magic, kind in _OTHER_KINDS.items():
        if data.startswith(magic):
            raise InputError(f"{name}: is {kind}")
    text = _decode(data, name)
    if "\0" in text or len(_CONTROL.findall(text)) > _MAX_CONTROL_SHARE * len(text):
        raise _binary(name)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _binary(name: str) -> InputError:
    return InputError(f"{name}: is a binary file, not text; give .md, .txt (UTF-8), .docx or .pdf")


def _decode(data: bytes, name: str) -> str:
    advice = "save it as UTF-8"
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        try:
            return data.decode("utf-16")
        except UnicodeDecodeError:
            raise InputError(f"{name}: is damaged UTF-16; {advice}") from None
    if b"\0" in data:
        raise _binary(name)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # UTF-8 that was cut or patched often passes for GB18030 and would be graded as gibberish.
        attempt = data.decode("utf-8", errors="replace")
        broken = attempt.count("\ufffd")
        sound = sum(character > "\u07ff" for character in attempt) - broken
        if sound > broken:
            raise InputError(f"{name}: is damaged UTF-8 at byte {error.start}; {advice} again") from None
    try:
        return data.decode("gb18030")
    except UnicodeDecodeError:
        raise InputError(
            f"{name}: is neither UTF-8 nor GB18030 text; {advice}, or give .docx or .pdf"
        ) from None
