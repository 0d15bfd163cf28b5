"""How made frameworks compare with the corpus's: main ratios of the sheets, variety of the backgrounds.

``python benchmarks/frameworks.py [--n 300]`` prints Markdown; no network, no model, some seconds.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from reward_model.data.framework_plan import FIELDS, embedded_framework, plan_frameworks
from reward_model.rubric import load_rubric
from reward_model.samples import corpus_path
from reward_model.statements.catalogue import load_catalogue

Items = Mapping[str, Sequence[float]]
Ratio = Callable[[Items, int], float | None]
SAMPLE = 200
"""Backgrounds that variety is measured over; sentences repeat more the more there are."""


def growth(item: str) -> Ratio:
    return lambda items, year: items[item][year] / items[item][year - 1] * 100 - 100 if year else None


def share(above: str, below: str, times: float = 100) -> Ratio:
    return lambda items, year: items[above][year] / items[below][year] * times


def gross_margin(items: Items, year: int) -> float:
    return 100 - items["营业成本"][year] / items["营业收入"][year] * 100


def margin_change(items: Items, year: int) -> float | None:
    return gross_margin(items, year) - gross_margin(items, year - 1) if year else None


def equity_beside_profit(items: Items, year: int) -> float | None:
    """What dividends, capital paid in and the like did to equity, in per cent of the opening one."""
    if not year:
        return None
    equity = items["所有者权益"]
    return (equity[year] - equity[year - 1] - items["净利润"][year]) / equity[year - 1] * 100


COMPANY: Mapping[str, Ratio] = {
    "收入增速 %": growth("营业收入"),
    "毛利率 %": gross_margin,
    "毛利率变动 pp": margin_change,
    "净利率 %": share("净利润", "营业收入"),
    "资产负债率 %": share("负债合计", "资产总计"),
    "有息负债/负债 %": share("有息负债", "负债合计"),
    "流动比率": share("流动资产", "流动负债", 1),
    "应收周转天数": share("应收账款", "营业收入", 365),
    "ROE（期末）%": share("净利润", "所有者权益"),
    "应收账款增速 %": growth("应收账款"),
    "存货/流动资产 %": share("存货", "流动资产"),
    "权益变动扣除净利润 %": equity_beside_profit,
}
BANK: Mapping[str, Ratio] = {
    "营业收入增速 %": growth("营业收入"),
    "贷款增速 %": growth("贷款总额"),
    "净息差 %": share("利息净收入", "生息资产平均余额"),
    "成本收入比 %": share("业务及管理费", "营业收入"),
    "不良率 %": share("不良贷款余额", "贷款总额"),
    "拨备覆盖率 %": share("贷款减值准备余额", "不良贷款余额"),
    "核心一级资本充足率 %": share("核心一级资本净额", "风险加权资产"),
    "资本充足率 %": share("资本净额", "风险加权资产"),
    "ROE（期末）%": share("净利润", "归母净资产"),
}


def ratios(field: str) -> Mapping[str, Ratio]:
    return BANK if field == "金融业" else COMPANY


def corpus() -> dict[str, list[tuple[Items, str]]]:
    """Field to (items, background) of each framework."""
    found: dict[str, list[tuple[Items, str]]] = {}
    for line in corpus_path().read_text(encoding="utf-8").splitlines():
        pair = json.loads(line)
        meta = pair["metadata"]
        background = re.search(r"【背景】\n(.*?)\n【", pair["prompt"], re.DOTALL)
        text = background[1] if background else ""
        found.setdefault(meta["field"], []).append((meta["fact_sheet"]["items"], text))
    return found


def made(field: str, n: int) -> list[tuple[Items, str]]:
    plans = plan_frameworks([field], n, 0, load_rubric(), load_catalogue())
    frameworks = map(embedded_framework, plans)
    return [(framework.fact_sheet.items, framework.background) for framework in frameworks]


def quantiles(values: Sequence[float]) -> tuple[float, float, float]:
    """10 %, median, 90 %."""
    ordered = sorted(values)
    low, middle, high = (ordered[round(at * (len(ordered) - 1))] for at in (0.1, 0.5, 0.9))
    return low, middle, high


def values_of(sheets: Sequence[tuple[Items, str]], ratio: Ratio) -> list[float]:
    found = (ratio(items, year) for items, _ in sheets for year in range(3))
    return [value for value in found if value is not None]


def variety(texts: Sequence[str]) -> dict[str, float]:
    """Shares of sentences that occur twice, of distinct backgrounds, and of distinct pairs of characters."""
    sentences = [s for text in texts for s in re.split(r"[。\n]", text) if s.strip()]
    counts = Counter(sentences)
    pairs = [text[at : at + 2] for text in texts for at in range(len(text) - 1)]
    return {
        "n": len(texts),
        "distinct": len(set(texts)) / len(texts),
        "repeated_sentences": sum(count for count in counts.values() if count > 1) / len(sentences),
        "distinct_2": len(set(pairs)) / len(pairs),
        "characters": sum(map(len, texts)) / len(texts),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=300, help="frameworks of each field")
    n = parser.parse_args().n
    known = corpus()
    ours = {field: made(field, max(n, SAMPLE)) for field in FIELDS}
    print(
        f"Median (10 % to 90 %) of the corpus's {len(known['制造业'])} sheets and of {n} made ones a field.\n"
    )
    print("| | | corpus | made |\n|---|---|---|---|")
    for field in FIELDS:
        for name, ratio in ratios(field).items():
            cells = []
            for sheets in (known[field], ours[field][:n]):
                low, middle, high = quantiles(values_of(sheets, ratio))
                cells.append(f"{middle:.1f} ({low:.1f} to {high:.1f})")
            print(f"| {field} | {name} | {' | '.join(cells)} |")
    print("\n| | backgrounds | distinct | sentences that occur twice | distinct-2 | characters |")
    print("|---|---|---|---|---|---|")
    for field in FIELDS:
        groups = {
            "corpus": known[field],
            "made": ours[field][: len(known[field])],
            "made, more": ours[field][:SAMPLE],
        }
        for name, sheets in groups.items():
            row = variety([text for _, text in sheets])
            print(
                f"| {field}, {name} | {row['n']:.0f} | {row['distinct']:.1%} "
                f"| {row['repeated_sentences']:.1%} | {row['distinct_2']:.3f} | {row['characters']:.0f} |"
            )


if __name__ == "__main__":
    main()
