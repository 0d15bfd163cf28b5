"""The judge card for a terminal: agreement, what each control did, failures, spend."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from reward_model.report.cjk_wrap import Wrapped
from reward_model.report.validation_view import clean

_KINDS = {
    "identical": "同一文本再评",
    "shuffled": "打乱段落",
    "padded": "掺入空话",
    "injected": "要求给满分",
    "figures": "植入错误数字",
}


def print_judge_card(card: Mapping[str, Any], console: Console) -> None:
    """Print a card as ``data.judge_card`` makes it; 80 columns are enough."""
    texts = card["texts"]
    judges = "、".join(clean(name, 60) for name in card["judges"])
    console.print(Text("裁判卡 (judge card)", style="bold"))
    console.print(
        Wrapped(
            f"裁判 {judges}，每篇每裁判 {card['votes']} 次；{texts['judged']}/{texts['all']} 篇评全"
            + (f"，{texts['partly_judged']} 篇部分评出" if texts["partly_judged"] else "")
            + (f"，{texts['not_judged']} 篇未评出" if texts["not_judged"] else "")
        )
    )
    titles: Mapping[str, str] = card["dimensions"]
    console.print(_agreement(card, titles))
    if card["agreement"]["raters"] < 2:
        console.print(
            Wrapped("只有一次评判，一致度无从计算；用 --votes 2 或两个以上 --judge-model"), style="dim"
        )
    if card["controls"]:
        console.print(_controls(card["controls"], titles))
    for kind, figures in card["controls"].items():
        if "recall" in figures:
            caught = figures["caught"]
            console.print(
                Wrapped(
                    f"{_KINDS.get(kind, kind)}：植入 {figures['figures_planted']} 个，指出 "
                    f"{figures['figures_named']} 个（{figures['recall']:.0%}）"
                    + (f"；{caught:.0%} 的文本降到应有的分数" if caught is not None else "")
                )
            )
    if card["failures"]:
        named = "，".join(f"{clean(kind, 60)} {count}" for kind, count in card["failures"].items())
        console.print(Wrapped(f"失败的评判：{named}"), style="yellow")
    if card["spend"]:
        spend = card["spend"]
        console.print(
            Wrapped(
                f"评判共 {spend['calls']} 次调用，输入 {spend['prompt_tokens']:,} / "
                f"输出 {spend['completion_tokens']:,} token"
                + (f"，花费 {spend['cost']:.4g}" if spend["cost"] else "")
            )
        )
    for line in card["attention"]:
        console.print(Wrapped(f"注意：{clean(line, 300)}"), style="yellow")


def _agreement(card: Mapping[str, Any], titles: Mapping[str, str]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("维度")
    for name in ("QWK", "alpha", "完全一致", "相差≤1", "与篇幅相关"):
        table.add_column(name, justify="right")
    for name, title in titles.items():
        figures = card["agreement"]["per_dim"].get(name, {})
        table.add_row(
            clean(title, 24),
            _number(figures.get("qwk")),
            _number(figures.get("alpha")),
            _share(figures.get("exact")),
            _share(figures.get("within_1")),
            _number(card["length_correlation"].get(name)),
        )
    return table


def _controls(controls: Mapping[str, Any], titles: Mapping[str, str]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("对照（平均变化）")
    table.add_column("篇", justify="right")
    for title in titles.values():
        table.add_column(clean(title, 24), justify="right")
    for kind, figures in controls.items():
        changes = (figures["per_dim"].get(name, {}).get("mean_change") for name in titles)
        cells = [f"{change:+.2f}" if change is not None else "—" for change in changes]
        table.add_row(_KINDS.get(kind, clean(kind, 24)), str(figures["judged"]), *cells)
    return table


def _number(value: float | None) -> str:
    return "—" if value is None else f"{value:.3f}"


def _share(value: float | None) -> str:
    return "—" if value is None else f"{value:.0%}"
