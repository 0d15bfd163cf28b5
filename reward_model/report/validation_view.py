"""The report on scored pairs (数据验证报告) as terminal tables, from its plain dict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from reward_model.report.cjk_wrap import Wrapped
from reward_model.report.labels_view import labels_table

GRADE_NAMES = {"excellent": "优秀", "good": "良好", "fair": "一般", "poor": "不合格"}
_GRADE_STYLES = {"excellent": "green", "good": "cyan", "fair": "yellow", "poor": "red"}
_SEVERITIES = {"severe": ("严重", "red"), "warning": ("警告", "yellow")}
_NONE = "—"

PROBLEM_TITLES = {
    "null_score": "缺少分数",
    "non_positive_gap": "分差不为正",
    "target_not_dropped": "目标维度未下降",
    "other_dropped_more": "非目标维度降幅更大",
    "dimension_reversed": "维度分数倒挂",
    "gold_low": "黄金响应得分偏低",
    "judges_disagree": "裁判分歧",
    "identical_texts": "两侧文本相同",
    "near_identical": "两侧文本几乎相同",
    "rejected_too_short": "缺陷响应疑似生成失败",
    "length_imbalance": "两侧长度悬殊",
    "short_text": "文本过短",
    "missing_metadata": "元数据缺失",
    "unknown_degradation": "未知降级类型",
    "unknown_severity": "未知严重程度",
    "duplicate_pair": "重复的对比对",
    "duplicate_text": "文本重复",
    "conflicting_labels": "同文不同分",
}
REASON_TITLES = {
    "null_score": "有缺失的分数",
    "mean_gap": "平均分差不足",
    "target_drop": "目标维度降幅不足",
    "severe_problem": "有其他严重问题",
}


def print_validation(report: Mapping[str, Any], console: Console, *, max_per_kind: int = 5) -> None:
    """Print every section that has something to say.

    Args:
        report: the report's JSON form; "filter" and "advice" may be absent.
        console: where to; 80 columns are enough.
        max_per_kind: findings of one kind that are listed, severe ones first; the rest is counted.
    """
    console.print("数据验证报告", style="bold", justify="center")
    console.print(_header(report))
    sections = (
        ("整体分数差异", _overall(report)),
        ("各维度分差", _dimensions(report)),
        ("降级与目标维度", _isolation(report)),
        ("严重程度与分差", _severities(report)),
        ("裁判一致性", _agreement(report)),
        ("标签分布", [labels_table(report["labels"])]),
        ("问题对比对", _problems(report, max_per_kind)),
        ("过滤结果", _filter(report)),
        ("改进建议", _advice(report)),
    )
    for heading, lines in sections:
        body = list(lines)
        if body:
            console.print()
            console.rule(Text(heading, style="bold"), align="left")
            for item in body:
                console.print(item)


def clean(value: Any, limit: int = 40) -> str:
    """``value`` from somebody's file, safe to print: no control characters, at most ``limit`` characters."""
    text = "".join(char if char.isprintable() else "·" for char in str(value)[: limit + 1])
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _grade(grade: str | None) -> Text:
    return Text(GRADE_NAMES.get(grade or "", _NONE), style=_GRADE_STYLES.get(grade or "", ""))


def _points(value: float | None) -> str:
    return _NONE if value is None else f"{value:.2f}"


def _percent(value: float | None) -> str:
    return _NONE if value is None else f"{value:.1%}"


def _table(*headings: str, left: int = 1) -> Table:
    """A plain table whose first ``left`` columns are text and whose others are figures."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for index, heading in enumerate(headings):
        table.add_column(heading, justify="left" if index < left else "right", overflow="fold")
    return table


def _header(report: Mapping[str, Any]) -> Wrapped:
    parts = [f"对比对 {report['pairs']}", f"评分标准 {report['rubric']}（0-{report['num_classes'] - 1} 分）"]
    if report.get("bad_lines"):
        parts.append(f"坏行 {report['bad_lines']}（未计入）")
    name = f"文件 {clean(report['file'], 200)}\n" if report.get("file") else ""
    return Wrapped(name + "   ".join(parts))


def _steps(thresholds: Mapping[str, float], form: str) -> str:
    return " / ".join(f"{GRADE_NAMES[grade]}≥{form.format(step)}" for grade, step in thresholds.items())


def _overall(report: Mapping[str, Any]) -> Iterable[Table | Wrapped]:
    overall = report["overall"]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("指标", "数值", "等级", "标准"):
        table.add_column(heading)
    table.add_row(
        "平均分差",
        f"{_points(overall['mean_gap'])} 分",
        _grade(overall["mean_gap_grade"]),
        _steps(report["gap_thresholds"], "{:.3g}"),
    )
    table.add_row(
        "正差异率",
        f"{_percent(overall['positive_rate'])}（{overall['positive']}/{overall['pairs_with_gap']}）",
        _grade(overall["positive_rate_grade"]),
        _steps(report["rate_thresholds"], "{:.0%}"),
    )
    yield table
    if overall["pairs_with_gap"]:
        yield Wrapped(
            f"分差为正 {overall['positive']}，为零 {overall['zero']}，为负 {overall['negative']}；"
            f"中位数 {_points(overall['median_gap'])}，"
            f"范围 {_points(overall['min_gap'])} 至 {_points(overall['max_gap'])}"
        )
    if report.get("lengths"):
        lengths = report["lengths"]
        yield Wrapped(
            f"长度比（缺陷/黄金）：中位数 {lengths['median_ratio']:.2f}，"
            f"范围 {lengths['min_ratio']:.2f} 至 {lengths['max_ratio']:.2f}"
        )


def _dimensions(report: Mapping[str, Any]) -> Iterable[Table]:
    table = _table("维度", "黄金均分", "缺陷均分", "平均分差", "等级", "正", "零", "负")
    for name, row in report["per_dim"].items():
        shares = (_percent(row[key]) for key in ("positive_share", "zero_share", "negative_share"))
        table.add_row(
            clean(row["title"] or name),
            _points(row["mean_chosen"]),
            _points(row["mean_rejected"]),
            _points(row["mean_gap"]),
            _grade(row["grade"]),
            *shares,
        )
    yield table


def _isolation(report: Mapping[str, Any]) -> Iterable[Table | Wrapped]:
    rows = report["isolation"]
    if not rows:
        return
    titles = {name: row["title"] or name for name, row in report["per_dim"].items()}
    table = _table("降级类型", "对数", *(clean(title, 20) for title in titles.values()), "目标降最多")
    for kind, row in rows.items():
        drops = []
        for name in titles:
            mark = "*" if name == row["target"] else " "
            style = "bold" if name == row["target"] else ""
            drops.append(Text(_points(row["mean_drop"][name]) + mark, style=style))
        most = row["target_most_on_average"]
        verdict = Text(_NONE) if most is None else Text("是", "green") if most else Text("否", "red")
        share = row["pairs"]["most_or_tied_share"]
        if share is not None:
            verdict.append(f" {share:.0%}")
        table.add_row(clean(kind, 20), str(row["n"]), *drops, verdict)
    yield table
    yield Wrapped(
        "数值为各维度平均降幅，* 为目标维度；“是/否”看平均，百分比为目标降幅最大或并列最大的对数比例。"
    )
    target = report["target"]
    if target["n"]:
        yield Wrapped(
            f"合计 {target['n']} 对：目标维度降幅最大 {target['most']} 对"
            f"（{_percent(target['most_share'])}），并列最大 {target['tied']} 对，"
            f"其余 {target['n'] - target['most'] - target['tied']} 对"
        )


def _severities(report: Mapping[str, Any]) -> Iterable[Table | Wrapped]:
    rows = report["severities"]
    if not rows:
        return
    ladder = " → ".join(
        f"{clean(row['severity'])} {_points(row['mean_gap'])}（{row['n']} 对）" for row in rows
    )
    verdict = {True: "，逐级递增", False: "，没有逐级递增", None: ""}[report["severity_monotonic"]]
    yield Wrapped(ladder + verdict)


def _agreement(report: Mapping[str, Any]) -> Iterable[Table]:
    if not report["agreement"]:
        return
    table = _table("维度", "比较次数", "二次加权 κ", "完全一致")
    for name, row in report["agreement"].items():
        title = report["per_dim"][name]["title"] or name
        table.add_row(clean(title), str(row["n"]), _points(row["kappa"]), _percent(row["exact_share"]))
    yield table


def _problems(report: Mapping[str, Any], max_per_kind: int) -> Iterable[Table | Wrapped]:
    problems = report["problems"]
    if not problems:
        yield Wrapped("未发现问题。")
        return
    yield Wrapped(f"{report['problem_pairs']} 对有问题，其中 {report['severe_pairs']} 对有严重问题。")
    counts = (f"{PROBLEM_TITLES.get(kind, kind)} {n}" for kind, n in report["problem_counts"].items())
    yield Wrapped("按类型：" + "，".join(counts))
    listed, seen = [], Counter[str]()
    for item in problems:
        seen[item["kind"]] += 1
        # A thousand findings of one kind must not hide the one of another.
        if seen[item["kind"]] <= max_per_kind:
            listed.append(item)
    table = _table("行", "编号", "程度", "说明", left=4)
    # Sorting is stable: within a severity the order stays that of the file.
    for item in sorted(listed, key=lambda item: item["severity"] != "severe"):
        title, style = _SEVERITIES[item["severity"]]
        table.add_row(
            str(item["line"]),
            clean(item["id"], 16),
            Text(title, style=style),
            Wrapped(clean(item["explanation"], 160)),
        )
    yield table
    if len(problems) > len(listed):
        yield Wrapped(
            f"每类只列 {max_per_kind} 条，另有 {len(problems) - len(listed)} 条，完整列表见 --json。"
        )


def _filter(report: Mapping[str, Any]) -> Iterable[Table | Wrapped]:
    found = report.get("filter")
    if not found:
        return
    total = found["kept"] + found["dropped"]
    share = f"（{found['kept'] / total:.1%}）" if total else ""
    rules = found["rules"]
    gap = f"不低于 {rules['min_gap']:g}" if rules["min_gap"] else "大于 0"
    parts = [
        "允许缺分" if rules["allow_null"] else "分数齐全",
        f"平均分差{gap}",
        f"目标维度至少降 {rules['min_target_drop']} 分",
        "允许严重问题" if rules["keep_severe"] else "无严重问题",
    ]
    yield Wrapped(f"规则：{'；'.join(parts)}")
    written = f"，已写入 {clean(found['file'], 200)}" if found.get("file") else ""
    keeping = ("保留", "丢弃") if found.get("file") else ("可保留", "应丢弃")
    yield Wrapped(f"{keeping[0]} {found['kept']} 对{share}，{keeping[1]} {found['dropped']} 对{written}")
    reasons = [
        f"{REASON_TITLES.get(reason, reason)} {n}" for reason, n in found["dropped_by_reason"].items() if n
    ]
    if reasons:
        yield Wrapped(f"丢弃原因（一对可有多项）：{'，'.join(reasons)}")
    lines = found["exempt_lines"]
    if lines:
        shown = "、".join(map(str, lines[:20])) + (" 等" if len(lines) > 20 else "")
        yield Wrapped(f"{len(lines)} 对没有可核对的目标维度，免于该项检查：第 {shown} 行")


def _advice(report: Mapping[str, Any]) -> Iterable[Table | Wrapped]:
    advice = report.get("advice")
    if advice is None:
        return
    if not advice:
        yield Wrapped("没有需要改进之处。")
        return
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(justify="right")
    table.add_column(overflow="fold")
    for number, item in enumerate(advice, start=1):
        table.add_row(f"{number}.", Wrapped(clean(item["text"], 600)))
    yield table
