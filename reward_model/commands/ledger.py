"""``finrm ledger``: what asking models cost, what failed and why, what was learnt; every raw answer."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from reward_model.arguments import OneLineParser, refuse_overwriting
from reward_model.errors import InputError
from reward_model.jsonl import atomic_writer, dump_line, one_line, write_json
from reward_model.llm.ledger import Ledger, default_ledger
from reward_model.llm.ledger_summary import attempts, show, summarize, unanswered

DEFAULT_OUT = "reward_model/data/comparison_pairs.jsonl"
"""The guide's file; its ledger is looked at where none is named."""

_CLASSES = {
    "rate_limit": "限流",
    "quota": "额度",
    "server_error": "服务端错误",
    "unreachable": "连不上",
    "timeout": "超时",
    "connection": "连接中断",
    "bad_body": "应答残缺",
    "oversized": "应答过大",
    "truncated": "被截断",
    "empty": "空回答",
    "refusal": "拒答",
    "filtered": "内容过滤",
    "content_filter": "内容过滤",
    "client_error": "请求无效",
    "refused_all": "设置有误",
    "schema": "格式不符",
    "rejected": "未通过检查",
    "mode": "不支持的格式",
    "auth": "密钥被拒",
    "not_found": "模型不存在",
    "no_money": "欠费",
    "redirect": "重定向",
    "lost": "中断时未收到",
}


def _parser() -> OneLineParser:
    parser = OneLineParser(
        prog="finrm ledger",
        description="调用账本：花费、用量、失败分类、学到的限速 (what asking models cost, and what failed)",
        epilog="A ledger can be read while a run writes to it.",
    )
    parser.add_argument(
        "file",
        nargs="?",
        metavar="FILE",
        help=f"默认 (default): {default_ledger(DEFAULT_OUT)}, else the one here",
    )
    parser.add_argument("--json", metavar="F", help="write the figures as JSON")
    parser.add_argument("--failures", action="store_true", help="list the requests without an answer of use")
    parser.add_argument("--show", metavar="KEY", help="one request and all its attempts, raw (JSON)")
    parser.add_argument("--export", metavar="F.jsonl", help="write every attempt as a line, bodies included")
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = _parser().parse_args(arguments)
    path = Path(options.file) if options.file else _default()
    refuse_overwriting([path], [options.json, options.export])
    console = Console()
    with Ledger(path, read_only=True) as ledger:
        if options.show:
            console.print_json(data=show(ledger, options.show))
            return 0
        found = summarize(ledger)
        if options.json:
            write_json(
                options.json, {**found, **({"unanswered": unanswered(ledger)} if options.failures else {})}
            )
        if options.export:
            with atomic_writer(options.export) as stream:
                for line in attempts(ledger):
                    stream.write(dump_line(line) + "\n")
        # Where standard output is taken by machine output, nothing is mixed into it.
        if "-" not in (options.json, options.export):
            _print(found, console)
            if options.failures:
                _print_unanswered(unanswered(ledger), console)
    return 0


def _default() -> Path:
    usual = default_ledger(DEFAULT_OUT)
    here = sorted(Path().glob("*.ledger.sqlite"))
    if usual.exists():
        return usual
    if len(here) == 1:
        return here[0]
    what = f"several here: {', '.join(map(str, here[:5]))}" if here else f"no {usual}, and none here"
    raise InputError(f"finrm ledger: which ledger? ({what}); name the FILE")


def _print(found: Mapping[str, Any], console: Console) -> None:
    totals = found["totals"]
    console.print(Text(one_line(found["file"], 300), style="bold"))
    if not totals["calls"]:
        console.print("没有调用 (no calls yet)")
    else:
        console.print(f"时间 {_moment(found['first'])} 至 {_moment(found['last'])}")
        console.print(
            f"请求 {found['requests']:,}  有回答 {found['answered']:,}  调用 {totals['calls']:,} "
            "(requests, answered, calls)"
        )
        console.print(
            f"词元 输入 {totals['prompt_tokens']:,}  输出 {totals['completion_tokens']:,}"
            f"  其中无用 {totals['unused_tokens']:,} (tokens in, out, of no use)"
        )
        console.print(f"花费 {_money(totals['cost'])} (spent){_perhaps(totals)}")
        if totals["in_flight"]:
            console.print(f"进行中 {totals['in_flight']:,} (in flight, or lost when a run was killed)")
        console.print(_purposes(found["by_purpose"]))
    if found["failures"]:
        console.print(_failures(found["failures"]))
    if found["endpoints"]:
        console.print(_endpoints(found["endpoints"]))


def _perhaps(totals: Mapping[str, Any]) -> str:
    if not totals["perhaps_billed"]:
        return ""
    most = f"，至多 {_money(totals['perhaps_cost'])}" if totals["perhaps_cost"] is not None else ""
    return f"；另有 {totals['perhaps_billed']:,} 次可能已计费{most} (perhaps billed)"


def _table(title: str, *columns: tuple[str, bool]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for name, number in columns:
        table.add_column(name, justify="right" if number else "left", overflow="fold")
    return table


def _purposes(rows: Sequence[Mapping[str, Any]]) -> Table:
    names = ("用途", "模型", "调用", "有用", "输入", "输出", "花费")
    table = _table("\n按用途 (by purpose)", *((name, place > 1) for place, name in enumerate(names)))
    for row in rows:
        table.add_row(
            Text(one_line(row["purpose"], 40) or "—"),
            Text(one_line(row["model"], 40)),
            *(f"{row[name]:,}" for name in ("calls", "used", "prompt_tokens", "completion_tokens")),
            _money(row["cost"]),
        )
    return table


def _failures(rows: Sequence[Mapping[str, Any]]) -> Table:
    columns = (("类别", False), ("模型", False), ("次数", True), ("词元", True), ("最常见的一种", False))
    table = _table("\n失败分类 (failed attempts by class)", *columns)
    for row in rows:
        table.add_row(
            f"{_CLASSES.get(row['class'], '')} {row['class']}".strip(),
            Text(one_line(row["model"], 40)),
            f"{row['count']:,}",
            f"{row['tokens']:,}",
            Text(one_line(row["example"], 100)),
        )
    return table


def _endpoints(rows: Sequence[Mapping[str, Any]]) -> Table:
    table = _table(
        "\n端点 (endpoints)", ("模型", False), ("地址", False), ("JSON", False), ("学到的限速", False)
    )
    units = {
        "requests_per_second": "次/秒",
        "requests_per_minute": "次/分",
        "tokens_per_minute": "词元/分",
    }
    for row in rows:
        told = [f"{row['limits'][name]:,.6g} {unit}" for name, unit in units.items() if name in row["limits"]]
        table.add_row(
            Text(one_line(row["model"], 40)),
            Text(one_line(row["base_url"], 100)),
            row["mode"] or "—",
            "，".join(told) or "—",
        )
    return table


def _print_unanswered(rows: Sequence[Mapping[str, Any]], console: Console) -> None:
    if not rows:
        console.print("\n每个请求都有有用的回答 (every request has an answer of use)")
        return
    columns = (
        ("键", False),
        ("用途", False),
        ("模型", False),
        ("调用", True),
        ("类别", False),
        ("原因", False),
    )
    table = _table(f"\n没有有用回答的请求 {len(rows):,} (requests without an answer of use)", *columns)
    for row in rows:
        table.add_row(
            row["key"],
            Text(one_line(row["purpose"], 40) or "—"),
            Text(one_line(row["model"], 40)),
            str(row["attempts"]),
            f"{_CLASSES.get(row['class'], '')} {row['class']}".strip(),
            Text(one_line(row["reason"], 100)),
        )
    console.print(table)


def _moment(seconds: float | None) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds)) if seconds else "—"


def _money(value: float | None) -> str:
    return "—（未给价格）" if value is None else f"{value:,.4f}"
