"""Label distributions as a terminal table with bars (标签分布)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

BAR_WIDTH = 8
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_SIDES = (("all", "全部", "cyan"), ("chosen", "Chosen", "green"), ("rejected", "Rejected", "red"))


def bar(share: float, width: int = BAR_WIDTH) -> str:
    """A horizontal bar of at most ``width`` characters for ``share`` of 1; anything above 0 shows."""
    eighths = round(max(0.0, min(1.0, share)) * width * 8)
    if share > 0:
        eighths = max(1, eighths)
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def _counts(value: Any) -> dict[int, int]:
    # JSON turns the levels that are keys into strings.
    return {int(level): int(count) for level, count in (value or {}).items()}


def labels_table(distribution: Mapping[str, Mapping[str, Any]]) -> Table:
    """One table for all dimensions: a row a level, a column of counts, shares and bars a side.

    Args:
        distribution: ``{dim: {"title", "all": {level: n}, "chosen": {...}, "rejected": {...}}}``; levels may
            be ints or their strings. A side that holds nothing in any dimension gets no column, as single
            reports have no sides; ``title`` defaults to the dimension's name.
    """
    found = {
        name: {key: _counts(entry.get(key)) for key, _, _ in _SIDES} for name, entry in distribution.items()
    }
    shown = [side for side in _SIDES if any(sum(sides[side[0]].values()) for sides in found.values())]
    digits = max(
        (
            len(str(count))
            for sides in found.values()
            for counts in sides.values()
            for count in counts.values()
        ),
        default=1,
    )
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("维度", no_wrap=True, max_width=18)
    table.add_column("档位", justify="right", no_wrap=True)
    for _, heading, style in shown:
        table.add_column(heading, style=style, no_wrap=True)
    for index, (name, sides) in enumerate(found.items()):
        if index:
            table.add_row()
        levels = sorted({level for counts in sides.values() for level in counts})
        title = Text(str(distribution[name].get("title") or name))
        for level in levels:
            cells = [_cell(sides[key], level, digits) for key, _, _ in shown]
            table.add_row(title if level == levels[0] else "", str(level), *cells)
    return table


def _cell(counts: dict[int, int], level: int, digits: int) -> str:
    total = sum(counts.values())
    count = counts.get(level, 0)
    share = count / total if total else 0.0
    return f"{count:>{digits}} {share:>4.0%} {bar(share)}"


def print_labels(distribution: Mapping[str, Mapping[str, Any]], console: Console | None = None) -> None:
    """Print :func:`labels_table` under its heading, to standard output unless ``console`` says otherwise."""
    console = console or Console(highlight=False)
    console.print("标签分布", style="bold")
    if not any(sum(_counts(entry.get("all")).values()) for entry in distribution.values()):
        console.print("没有标签。")
        return
    console.print(labels_table(distribution))
