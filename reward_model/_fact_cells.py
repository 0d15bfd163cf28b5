"""What one cell of a fact table means: an amount, nothing, or the name of a period."""

from __future__ import annotations

import math
import re
import unicodedata
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from reward_model.jsonl import shown

_MAX_NUMBER_LENGTH = 64
_DASHES = re.compile(r"[-−‐-―]+")
_NOTHING = {"", "n/a", "na", "nan", "null", "none", "nil", "无", "不适用", "未披露", "/", "..."}
_UNSIGNED = r"(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)?(?:\.[0-9]+)?(?:[eE][-+]?[0-9]{1,3})?"
_NUMBER = re.compile(rf"(?P<sign>[-+−‐-―负])?\s*(?P<value>{_UNSIGNED})|\(\s*(?P<bracketed>{_UNSIGNED})\s*\)")
_RATIO = re.compile(r".*[%‰倍次天]", re.DOTALL)
_YEAR = re.compile(r"(?:FY\s*)?((?:19|20)\d{2})\s*(?:年|年度|年末|财年|A)?", re.IGNORECASE)
_YEAR_END = re.compile(r"((?:19|20)\d{2})\s*[-/.年]\s*12\s*[-/.月]\s*31\s*日?")
_PART_OF_YEAR = re.compile(
    r"(?:FY\s*)?(?:19|20)\d{2}(?:"
    r"\s*[EF]"
    r"|\s*年?度?\s*[-/.]?\s*(?:Q[1-4]|[1-4]Q|H[12]|[12]H|9M|第?[一二三四1-4]季度?|[上下]?半年度?|中期|前三季度)末?"
    r"|\s*年\s*\d{1,2}\s*(?:[-至]\s*\d{1,2}\s*)?月(?:末|底|\d{1,2}日)?"
    r"|[-/]\d{1,2}(?:[-/]\d{1,2})?"
    r")",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Formula:
    """A spreadsheet formula whose value was never stored."""

    text: str


def plain(cell: Any) -> str:
    """A cell as text with full-width characters made ordinary: １，２３４ reads like 1,234."""
    return "" if cell is None else unicodedata.normalize("NFKC", str(cell)).strip()


def is_blank(cell: Any) -> bool:
    """Whether nothing stands in the cell."""
    return cell is None or (isinstance(cell, str) and not cell.strip())


def is_null(cell: Any) -> bool:
    """Whether the cell says that there is no value: blank, dashes, n/a, 不适用 ..."""
    if not isinstance(cell, str):
        return cell is None
    text = plain(cell).lower()
    return text in _NOTHING or _DASHES.fullmatch(text) is not None


def is_ratio(cell: Any) -> bool:
    """Whether the cell is text with the sign of a ratio or count, such as 12.5% or 1.3倍."""
    return isinstance(cell, str) and _RATIO.fullmatch(plain(cell)) is not None


def number(cell: Any) -> int | float | None:
    """The value of a cell, None where it says that there is none.

    Thousands separators, full-width digits, and -, − , 负 or brackets for negative are understood.

    Raises:
        ValueError: if it is anything else; the message says what, and what to do, without the place.
    """
    if is_null(cell):
        return None
    if isinstance(cell, Formula):
        raise ValueError(f"{shown(cell.text)} is a formula without a stored value; open and save it in Excel")
    value: int | float | None = None
    if isinstance(cell, int | float) and not isinstance(cell, bool):
        value = cell
    elif isinstance(cell, str) and len(cell) <= _MAX_NUMBER_LENGTH:
        value = _parse(plain(cell))
    if value is None or not math.isfinite(value):
        remedy = "amounts only, so remove the row" if is_ratio(cell) else "write a number, or leave it blank"
        raise ValueError(f"{shown(str(cell))} is not a number; {remedy}")
    return value


def _parse(text: str) -> int | float | None:
    found = _NUMBER.fullmatch(text)
    digits = (found["value"] or found["bracketed"] or "").replace(",", "") if found else ""
    if not found or not digits or digits[0] in "eE":
        return None
    value = int(digits) if digits.isdigit() else float(digits)
    negative = found["bracketed"] or found["sign"] not in (None, "+")
    return -value if negative else value


def period(cell: Any) -> str | None:
    """The name of a period, None if the cell is none.

    A year in any dress (2023年, FY2023, 2023A, 2023-12-31) is "2023"; others, such as 2024Q1, 2024年上半年 or
    2025E, stay as they stand.
    """
    if isinstance(cell, datetime | date):
        return str(cell.year) if (cell.month, cell.day) == (12, 31) else cell.strftime("%Y-%m-%d")
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    if isinstance(cell, bool) or not isinstance(cell, str | int):
        return None
    text = plain(cell)
    if found := _YEAR.fullmatch(text) or _YEAR_END.fullmatch(text):
        return found[1]
    return text if _PART_OF_YEAR.fullmatch(text) else None
