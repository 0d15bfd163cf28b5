"""The result of an evaluation as terminal tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from reward_model.report.cjk_wrap import Wrapped
from reward_model.report.validation_view import clean

_NONE = "—"
_REGIMES = {"facts": "有报表", "text": "仅正文", "off": "不核对"}
_SLICE_TITLES = {"industry": "行业", "degradation": "降级类型", "severity": "严重程度", "writer": "写作者"}


def _number(value: Any, digits: int = 3) -> str:
    if not isinstance(value, (int, float)):
        return _NONE
    return f"{round(value, digits) + 0.0:.{digits}f}"  # adding zero takes the sign off -0.0


def _with_interval(row: Mapping[str, Any], figure: str, digits: int = 3) -> str:
    bounds = (row.get("intervals") or {}).get(figure) or {}
    text = _number(row.get(figure), digits)
    if bounds.get("low") is None:
        return text
    return f"{text} [{_number(bounds['low'], 2)}, {_number(bounds['high'], 2)}]"


def _table(*headings: str, gap: int = 2) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0))
    for index, heading in enumerate(headings):
        table.add_column(Text(heading), justify="left" if index == 0 else "right", no_wrap=True)
    return table


def print_evaluation(result: Mapping[str, Any], console: Console) -> None:
    """Print an ``evaluate --json`` result: model and baselines, figures a dimension, slices, warnings.

    ``dims`` (titles) may hold texts or ``{"zh", "en"}``; null figures print as "—".
    """
    for warning in result.get("warnings") or []:
        console.print(Wrapped(f"注意：{clean(warning, 400)}"), style="yellow")
    titles = {dim: _title(result, dim) for dim in result["per_dim"]}
    console.rule(f"二次加权 κ（QWK）与 95% 区间，{result['n']} 篇", align="left", characters="─")
    systems = {"模型": result} | {
        _localised(row.get("title"), name): row for name, row in (result.get("baselines") or {}).items()
    }
    # Two digits and a narrow gap, or a row of negative figures would be cut off at 80 columns.
    table = _table("", *titles.values(), gap=1)
    for name, row in systems.items():
        cells = [_with_interval(row["per_dim"][dim], "qwk", 2) for dim in titles]
        table.add_row(Text(name), *cells, style="bold" if row is result else "")
    console.print(table)
    table = _table("", "整体准确率", "全对", "成对排序")
    for name, row in systems.items():
        table.add_row(
            Text(name),
            _with_interval(row, "overall_accuracy"),
            _with_interval(row, "exact_match"),
            _number((row.get("pairs") or {}).get("ranking_accuracy")),
            style="bold" if row is result else "",
        )
    console.print(table)
    if result.get("baselines_fitted_on"):
        console.print(Wrapped(f"基线所用数据：{result['baselines_fitted_on']}"), style="dim")

    if len(result.get("regimes") or {}) > 1:
        console.rule("数字核对的口径：QWK 与 95% 区间", align="left", characters="─")
        table = _table("", *titles.values(), gap=1)
        for regime, row in result["regimes"].items():
            cells = [_with_interval(row["per_dim"][dim], "qwk", 2) for dim in titles]
            table.add_row(Text(_REGIMES.get(regime, regime)), *cells)
        console.print(table)

    console.rule("模型各维度", align="left", characters="─")
    table = _table("", "准确率", "宏 F1", "MAE", "±1 内", "ECE", "（噪声下限）")
    for dim, row in result["per_dim"].items():
        keys = ("accuracy", "macro_f1", "mae", "within_1", "ece", "ece_noise_floor")
        table.add_row(Text(titles[dim]), *(_number(row.get(key)) for key in keys))
    console.print(table)

    for by, found in (result.get("slices") or {}).items():
        console.rule(f"按{_SLICE_TITLES.get(by, by)}", align="left", characters="─")
        table = _table("", "篇数", "整体准确率", *(f"{title} QWK" for title in titles.values()))
        for value, row in found.items():
            figures = [_number(row["per_dim"][dim].get("qwk"), 2) for dim in titles]
            # A name from somebody's file: neither markup nor a cursor movement, and not the whole line.
            table.add_row(
                Text(clean(value, 16)), str(row["n"]), _number(row.get("overall_accuracy")), *figures
            )
        console.print(table)
    if result.get("slices"):
        console.print(Wrapped("篇数少的组波动大；组内档位几乎都相同时 QWK 会偏低，看准确率。"), style="dim")


def _title(result: Mapping[str, Any], dim: str) -> str:
    return _localised((result.get("dims") or {}).get(dim), dim)


def _localised(title: Any, fallback: str) -> str:
    found = title.get("zh") if isinstance(title, Mapping) else title
    return clean(found or fallback, 24)
