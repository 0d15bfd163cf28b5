"""Scores of one report for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from reward_model.report.cjk_wrap import Wrapped
from reward_model.report.labels_view import bar
from reward_model.report.validation_view import clean

_BAR_WIDTH = 10


def print_score(line: Mapping[str, Any], titles: Mapping[str, str], console: Console) -> None:
    """Print a line of ``finrm score`` that holds scores.

    Args:
        line: ``{"id", "scores", "expected", "probabilities", "confidence", "overall", ...}``.
        titles: dimension names to titles.
        console: where to; 80 columns are enough.
    """
    console.print(Text(clean(line["id"], 200), style="bold"))
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("维度", no_wrap=True)
    table.add_column("得分", justify="right", no_wrap=True)
    table.add_column("期望", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column("置信度", justify="right", no_wrap=True)
    for dim, level in line["scores"].items():
        top = len(line["probabilities"][dim]) - 1
        expected = line["expected"][dim]
        table.add_row(
            Text(clean(titles.get(dim, dim), 24)),
            f"{level}/{top}",
            f"{expected:.2f}",
            Text(bar(expected / top, _BAR_WIDTH).ljust(_BAR_WIDTH, "·"), style=_style(expected / top)),
            f"{line['confidence'][dim]:.0%}",
        )
    console.print(table)
    share = line["coverage"]
    # 99.7% is not all of it, 0.3% not nothing.
    read = "100%" if share >= 1 else f"{min(max(share, 0.01), 0.99):.0%}"
    console.print(f"总分 {line['overall']:.2f}（0-1）  读取 {read}")
    if line.get("calc"):
        _print_check(line["calc"], line["evidence"], console)
    for warning in line["warnings"]:
        console.print(Wrapped(f"注意：{warning}"), style="yellow")
    console.print()


_MOST_WRONG = 8
_AGAINST = {"facts": "事实表与正文", "text": "正文内部"}


def _print_check(calc: Mapping[str, Any], regime: str, console: Console) -> None:
    """What the checker found: the counts, and the first wrong figures beside the right ones."""
    counts = calc["summary"]
    console.print(
        f"数字 {counts['figures']}  已核对 {counts['checked']}（有误 {counts['wrong']}）  "
        f"依据 {_AGAINST.get(regime, regime)}"
    )
    wrong = [claim for claim in calc["claims"] if claim["verdict"] == "wrong"]
    for claim in wrong[:_MOST_WRONG]:
        name = clean(claim["metric"] or "", 40)
        right = clean(claim["recomputed"] or "?", 24)
        line = Text(f"  {name} {clean(claim['period'] or '', 12)}  ")
        line.append(clean(claim["text"], 24), style="red").append(" → ").append(right, style="green")
        console.print(line)
    if len(wrong) > _MOST_WRONG:
        console.print(f"  另有 {len(wrong) - _MOST_WRONG} 处，见 finrm check")


def _style(share: float) -> str:
    return "green" if share >= 0.75 else "yellow" if share >= 0.45 else "red"
