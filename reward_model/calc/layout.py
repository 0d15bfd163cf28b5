"""How a text is laid out: its width-normalised twin, and the rows of its Markdown tables."""

from __future__ import annotations

import re
from dataclasses import dataclass

_WIDE = re.compile("[０-９．％－＋Ａ-Ｚａ-ｚ＝／～＞＜＄￥　]")
_TO_NARROW = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F) if chr(code) not in "，；：！？"}
_TO_NARROW |= {0x3000: 0x20, 0xFFE5: 0xA5}
_RULE = re.compile(r"[|:\-–—\s]++")
LINES_ABOVE = 3
"""Lines before a table in which its unit may stand."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a Markdown table.

    Attributes:
        start, end: its line in the text, without the line feed.
        first_end: where its first cell ends.
        header: it stands above the rule row.
    """

    start: int
    end: int
    first_end: int
    header: bool


@dataclass(frozen=True, slots=True)
class Table:
    """A Markdown table.

    Attributes:
        above: the lines before it, three at most, down from the last table.
        rows: its rows without the rule row.
    """

    above: str
    rows: list[Row]


def narrow(text: str) -> str:
    """The text with full-width digits, letters, signs and brackets made ordinary, character for character.

    ，；：！？ stay: what they separate differs from what their ASCII twins do.
    """
    if _WIDE.search(text):
        return text.translate(_TO_NARROW)
    return text.replace("（", "(").replace("）", ")")


def tables(text: str) -> list[Table]:
    """All Markdown tables, in order.

    A table is a run of lines that begin with "|", one of them a rule row (``|---|---|``). Where a blank line
    stands before the rule row, as converters from other formats leave them, blank lines between rows are
    passed over, unless a new table begins there.
    """
    if "|" not in text:
        return []
    found: list[Table] = []
    above: list[str] = []
    block: list[tuple[int, int]] = []
    at = 0
    lines = text.split("\n")
    gap = spread = False
    for number, line in enumerate(lines):
        end = at + len(line)
        if line.lstrip()[:1] == "|":
            spread = spread or (gap and len(block) == 1 and _is_rule(line))
            begins = number + 1 < len(lines) and _is_rule(lines[number + 1])
            if gap and (begins or not spread):
                found += _table(text, block, above)
                above, block, spread = [], [], False
            block.append((at, end))
            gap = False
        elif block and not line.strip():
            gap = True
        else:
            if block:
                found += _table(text, block, above)
                above, block, gap, spread = [], [], False, False
            above = [*above[1 - LINES_ABOVE :], line]
        at = end + 1
    return found + _table(text, block, above)


def _is_rule(line: str) -> bool:
    return _RULE.fullmatch(line) is not None and "-" in line and "|" in line


def table_rows(text: str) -> list[Row]:
    """The rows of all Markdown tables, in order, without the rule rows."""
    return [row for table in tables(text) for row in table.rows]


def _table(text: str, block: list[tuple[int, int]], above: list[str]) -> list[Table]:
    """A run of lines that begin with "|" as a table; none without a rule row, or with nothing else."""
    rules = [
        _RULE.fullmatch(text, start, end) is not None and text.find("-", start, end) >= 0
        for start, end in block
    ]
    if True not in rules:
        return []
    first_rule = rules.index(True)
    rows = []
    for number, (start, end) in enumerate(block):
        if rules[number]:
            continue
        bar = text.index("|", start)
        first_end = text.find("|", bar + 1, end)
        rows.append(Row(start, end, first_end if first_end >= 0 else end, header=number < first_rule))
    return [] if not rows else [Table("\n".join(line.strip() for line in above), rows)]
