"""Numbers written in digits, with sign and unit: -16.9亿, (0.45)亿元, 3.20pct, 28，311.57万元, 1.50x."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal

from reward_model.calc.labels import LASTING, LASTING_HEADS, label_end
from reward_model.calc.layout import Row
from reward_model.calc.units import CURRENCIES, Amount, Unit, read_unit

# Groups are counted, so that no run of separators is read again and again.
_NUMBER = re.compile(r"[0-9](?:[0-9]{0,2}(?:,[0-9]{3}){1,6}+(?![0-9])|[0-9]*+)(?:\.[0-9]++)?+")
_WIDE_GROUPS = re.compile(r"(?:，[0-9]{3}){1,4}+(?![0-9])(?P<decimals>\.[0-9]{1,4}+)?")
_DOTTED = re.compile(r"(?:\.[0-9]++)++")
MAX_DIGITS = 24
"""Longest number that is read."""

_MINUS = frozenset("-−–‐‑﹣")
_SIGNS = _MINUS | {"+"}
_SYMBOLS = {"¥": "元", "$": "美元", "€": "欧元", "£": "英镑"}
_DOLLARS = {"HK": "港元", "US": "美元", "A": "澳元", "C": "加元", "S": "新加坡元", "NT": "新台币"}
_RATIOS = re.compile(
    "PE|PB|PS|PEG|EPS|BPS|DPS|ROE|ROA|ROIC|ROAE|CAR|NIM|EV|EBITDA|LTV|PCF|TTM|GPM|NPM|YOY|QOQ|MOM"
)
"""Letters that a bare number can follow at once."""
_HUNDREDTHS = {"百分之": Decimal(1), "千分之": Decimal("0.1"), "万分之": Decimal("0.01")}
_IN_DAYS = re.compile("周转|天数|账期|DSO|DIO|DPO")
_VALUE_PLACE = frozenset("为是至到由从达：:")
_ONE = Decimal(1)
_BARE = Unit(0, "number", "", _ONE)
_DAY = Unit(0, "days", "天", _ONE)
_STEPS = [Decimal(1).scaleb(-digits) for digits in range(MAX_DIGITS + 1)]


def in_digits(plain: str, rows: list[Row]) -> Iterator[Amount]:
    """The amounts of a width-normalised text that are written in digits, in order, not overlapping."""
    done, row_number = -1, 0
    for match in _NUMBER.finditer(plain):
        start, end = match.span()
        if start < done:
            continue
        while row_number < len(rows) and rows[row_number].end <= start:
            row_number += 1
        row = rows[row_number] if row_number < len(rows) and rows[row_number].start <= start else None
        amount, done = _read(plain, start, end, row, done)
        if amount is not None:
            yield amount


def _read(plain: str, start: int, end: int, row: Row | None, done: int) -> tuple[Amount | None, int]:
    """The amount of the number at ``start``:``end``, and where to read on.

    ``done`` is where the last one ended.
    """
    digits = plain[start:end]
    behind = plain[end : end + 1]
    if behind == "，" and len(digits) <= 3 and digits[0] != "0" and (wide := _wide_groups(plain, start, end)):
        end = wide
        digits = plain[start:end].replace("，", "")
        behind = plain[end : end + 1]
    before = plain[start - 1] if start else "\n"
    if behind == "." and plain[end + 1 : end + 2].isdecimal():
        return None, _dotted_end(plain, end)
    if len(digits) > MAX_DIGITS or (before == "." and plain[start - 2 : start - 1] != "."):
        return None, end
    unit = _unit(plain, start, end, behind)
    if unit is None:
        return None, end
    if unit.kind in ("number", "count"):
        label = label_end(plain, start, end, row, unit.kind == "count")
        if label is not None and not (before == "(" and behind == ")" and _outer_unit(plain, end + 1)):
            return None, label
    elif before == "第":
        return None, unit.end
    marked = _marks_before(plain, start, unit, done)
    if marked is None:
        return None, unit.end
    first, unit, sign = marked
    if sign == 0 and plain[first - 1 : first] == "(":
        bracketed = _in_brackets(plain, first, end, unit, row)
        if bracketed is not None:
            first, unit, sign = first - 1, bracketed, -1
    whole, _, decimals = digits.replace(",", "").partition(".")
    number = Decimal(f"{whole}.{decimals}" if decimals else whole)
    value, step, last = number * unit.scale, _STEPS[len(decimals)] * unit.scale, unit.end
    if unit.bare and unit.scale >= 10**8 and plain[last : last + 1].isdecimal():
        rest = _rest_of(plain, last)
        if rest is not None:
            more, small = rest
            value, step, last, unit = value + more, small.scale, small.end, small
    value = -value if sign < 0 else value
    amount = Amount(first, last, unit.kind, unit.name, value, step, unit.scale, sign != 0, False, unit.more)
    return amount, last


def _unit(plain: str, start: int, end: int, behind: str) -> Unit | None:
    """The unit behind a number, a bare one if none is; None for a date or a span of time."""
    if behind in LASTING_HEADS and LASTING.match(plain, end):
        if behind == "日" and _IN_DAYS.search(plain, max(0, start - 14), start):
            return _DAY._replace(end=end + 1)
        return None
    return read_unit(plain, end) or _BARE._replace(end=end)


def _rest_of(plain: str, at: int) -> tuple[Decimal, Unit] | None:
    """The 5000万元 of 3亿5000万元."""
    match = _NUMBER.match(plain, at)
    unit = read_unit(plain, match.end()) if match and len(match[0]) <= 4 else None
    if match is None or unit is None or unit.kind != "money" or unit.scale != 10**4:
        return None
    return Decimal(match[0]) * unit.scale, unit


def _marks_before(plain: str, first: int, unit: Unit, done: int) -> tuple[int, Unit, int] | None:
    """Where an amount begins, its unit and its sign (0 if none is written), by what stands before it.

    None if it belongs to a word with digits in it: A500, T+0, COVID-19.
    """
    before = plain[first - 1] if first else "\n"
    weak = unit.kind in ("number", "count")
    if before in _SYMBOLS and unit.kind in ("number", "money"):
        first, name = _symbol(plain, first, _SYMBOLS[before])
        unit = unit._replace(kind="money", name=name if weak or unit.bare else unit.name)
    elif before.isascii() and (before.isalpha() or before == "_"):
        word = _word_before(plain, first)
        if word in CURRENCIES and (unit.kind == "number" or unit.bare):
            unit = unit._replace(kind="money", name=CURRENCIES[word])
        elif (weak and not _RATIOS.fullmatch(word.upper())) or len(word) < 2:
            return None
    elif (
        before == " " and (unit.kind == "number" or unit.bare) and plain[first - 4 : first - 1] in CURRENCIES
    ):
        unit = unit._replace(kind="money", name=CURRENCIES[plain[first - 4 : first - 1]])
    elif before == "之" and unit.kind == "number" and plain[first - 3 : first] in _HUNDREDTHS:
        unit = unit._replace(kind="percent", name="%", scale=_HUNDREDTHS[plain[first - 3 : first]])
        first -= 3
    before = plain[first - 1] if first else "\n"
    if before == "负":
        return first - 1, unit, -1
    if before == " " and plain[first - 2 : first - 1] == "负":
        return first - 2, unit, -1
    if before not in _SIGNS or first - 1 == done:
        return first, unit, 0
    left = plain[first - 2] if first > 1 else "\n"
    if left.isdecimal() or (left in "%)" and (plain[first - 3].isdecimal() or plain[first - 3] == "%")):
        return first, unit, 0  # an operator
    if (
        weak
        and left.isascii()
        and left.isalpha()
        and not _RATIOS.fullmatch(_word_before(plain, first - 1).upper())
    ):
        return None
    return first - 1, unit, -1 if before in _MINUS else 1


def _wide_groups(plain: str, start: int, end: int) -> int | None:
    """The end of 28，311.57万元 read as one number; None if ， separates two.

    Money or decimals must follow the groups, and no list be announced.
    """
    match = _WIDE_GROUPS.match(plain, end)
    if match is None or plain[start - 1 : start] in (".", "，", ","):
        return None
    unit = read_unit(plain, match.end())
    suffix = unit is not None and unit.kind in ("money", "count")
    if "别" in plain[max(0, start - 8) : start] or not (suffix or (match["decimals"] and unit is None)):
        return None
    if unit is not None and unit.scale >= 10**8 and match[0].count("，") > 1:
        return None
    return match.end()


def _dotted_end(plain: str, end: int) -> int:
    """Where 3.1.2 or 2024.12.31 ends."""
    match = _DOTTED.match(plain, end)
    return match.end() if match else end


def _symbol(plain: str, start: int, currency: str) -> tuple[int, str]:
    """Where HK$ or ¥ begins, and the currency."""
    if plain[start - 1] == "$":
        for letters, name in _DOLLARS.items():
            if plain.endswith(letters, max(0, start - 3), start - 1):
                return start - 1 - len(letters), name
    return start - 1, currency


def _word_before(plain: str, start: int) -> str:
    at = start
    while at > 0 and start - at < 12 and plain[at - 1].isascii() and plain[at - 1].isalpha():
        at -= 1
    return plain[at:start]


def _outer_unit(plain: str, at: int) -> Unit | None:
    """The unit directly behind the brackets of (0.45)亿元."""
    unit = read_unit(plain, at)
    certain = unit is not None and not unit.bare and unit.kind in ("money", "percent", "points")
    return unit if certain and not plain[at].isspace() else None


def _in_brackets(plain: str, start: int, end: int, unit: Unit, row: Row | None) -> Unit | None:
    """The unit of an amount whose brackets mean negative, ``end`` behind all; None if they are plain.

    They mean negative with the unit behind them ((0.45)亿元), around a whole table cell, and where a value is
    due (净利润为（0.45亿元）); after a metric's name (净利润（0.45亿元）) they don't.
    """
    opening, closing = start - 1, unit.end + 1
    if plain[unit.end : closing] != ")":
        return None
    if unit.kind == "number" and (outer := _outer_unit(plain, closing)):
        return outer
    unit = unit._replace(end=closing)
    if row is not None:
        left = plain[max(row.start, opening - 40) : opening].rstrip(" \t*")
        right = plain[closing : min(row.end, closing + 40)].lstrip(" \t*")
        return unit if left[-1:] == "|" and right[:1] in ("|", "") else None
    due = plain[opening - 1 : opening] in _VALUE_PLACE and opening > 0
    return unit if due and (unit.kind == "money" or "." in plain[start:end]) else None
