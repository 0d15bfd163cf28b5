"""Which way figures went: claims such as ``revenue up``, held against a sheet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

Figures = Mapping[str, Sequence[int] | Sequence[Fraction]]
"""An item's values, one a year, all in one unit."""
Events = Sequence[Mapping[str, int]]
"""What the items don't show, one mapping a year."""


@dataclass(frozen=True)
class _Measure:
    """``(plus - minus) / below``; without ``below`` an amount, whose changes are relative.

    ``least`` is the change that counts as one: a share of the amount before, or of a ratio's own unit.
    """

    plus: tuple[str, ...]
    minus: tuple[str, ...] = ()
    below: tuple[str, ...] = ()
    least: Fraction = Fraction(1, 100)


def _amount(*names: str) -> _Measure:
    return _Measure(names)


def _ratio(plus: Sequence[str], minus: Sequence[str], *below: str, least: str = "0.002") -> _Measure:
    return _Measure(tuple(plus), tuple(minus), below, Fraction(least))


_EXPENSES = ("销售费用", "管理费用", "研发费用", "财务费用")
MEASURES: Mapping[str, _Measure] = {
    "revenue": _amount("营业收入"),
    "cost": _amount("营业成本"),
    "selling": _amount("销售费用"),
    "administrative": _amount("管理费用"),
    "research": _amount("研发费用"),
    "finance": _amount("财务费用"),
    "other_income": _amount("其他收益及减值净额"),
    "profit": _amount("净利润"),
    "assets": _amount("资产总计"),
    "equity": _amount("所有者权益"),
    "cash": _amount("货币资金"),
    "receivables": _amount("应收账款"),
    "inventories": _amount("存货"),
    "debt": _amount("有息负债"),
    "operating_cash": _amount("经营活动现金流量净额"),
    "capex": _amount("购建长期资产支付的现金"),
    "presales": _amount("合同销售金额"),
    "contract_liabilities": _amount("合同负债"),
    "gross_margin": _ratio(["营业收入"], ["营业成本"], "营业收入"),
    "net_margin": _ratio(["净利润"], [], "营业收入"),
    "selling_rate": _ratio(["销售费用"], [], "营业收入", least="0.001"),
    "administrative_rate": _ratio(["管理费用"], [], "营业收入", least="0.001"),
    "research_rate": _ratio(["研发费用"], [], "营业收入", least="0.001"),
    "expense_rate": _ratio(_EXPENSES, [], "营业收入"),
    "leverage": _ratio(["负债合计"], [], "资产总计", least="0.005"),
    "receivable_days": _ratio(["应收账款"], [], "营业收入", least="0.005"),
    "inventory_days": _ratio(["存货"], [], "营业成本", least="0.005"),
    "current_debt_share": _ratio(["流动负债"], [], "负债合计", least="0.01"),
    "cash_over_debt": _ratio(["货币资金"], [], "有息负债", least="0.02"),
    "free_cash": _Measure(("经营活动现金流量净额",), ("购建长期资产支付的现金",)),
    "cash_less_profit": _Measure(("经营活动现金流量净额",), ("净利润",)),
    "loans": _amount("贷款总额"),
    "deposits": _amount("存款总额"),
    "bank_assets": _amount("资产总额"),
    "interest_income": _amount("利息净收入"),
    "fees": _amount("手续费及佣金净收入"),
    "other_bank_income": _amount("其他非息收入"),
    "overhead": _amount("业务及管理费"),
    "impairment": _amount("信用减值损失"),
    "bad_loans": _amount("不良贷款余额"),
    "weighted": _amount("风险加权资产"),
    "core": _amount("核心一级资本净额"),
    "margin": _ratio(["利息净收入"], [], "生息资产平均余额", least="0.0002"),
    "bad_rate": _ratio(["不良贷款余额"], [], "贷款总额", least="0.0003"),
    "coverage": _ratio(["贷款减值准备余额"], [], "不良贷款余额", least="0.03"),
    "density": _ratio(["风险加权资产"], [], "资产总额", least="0.003"),
    "core_ratio": _ratio(["核心一级资本净额"], [], "风险加权资产", least="0.001"),
    "capital_ratio": _ratio(["资本净额"], [], "风险加权资产", least="0.001"),
    "loan_share": _ratio(["贷款总额"], [], "资产总额", least="0.003"),
    "loans_to_deposits": _ratio(["贷款总额"], [], "存款总额", least="0.003"),
}
EVENTS = ("dividends", "raised", "investments", "placed", "written_off", "newly_bad", "issued")
BEFORE = "before "
"""In front of a claim: of the year before."""
WAYS = ("up", "down", "steady", "surge", "slump", "positive", "negative")
"""A surge is a rise by over a quarter (of a ratio as of an amount), a slump a fall by over a fifth."""


def check_claim(text: str) -> str:
    """``text`` if it is a claim: ``revenue up``, ``raised positive``, ``before revenue down`` (earlier).

    Raises:
        ValueError: with what is known.
    """
    name, _, way = text.removeprefix(BEFORE).partition(" ")
    if name in EVENTS and way in ("positive", "negative"):
        return text
    if name not in MEASURES or way not in WAYS:
        raise ValueError(
            f'"{text[:60]}" is no claim; write one of {", ".join((*MEASURES, *EVENTS))}, and one of '
            f"{', '.join(WAYS)}"
        )
    return text


def value(name: str, figures: Figures, year: int) -> Fraction | None:
    """A measure in the year of this index; None where an item is missing or its divisor not above 0."""
    measure = MEASURES[name]
    if any(item not in figures for item in (*measure.plus, *measure.minus, *measure.below)):
        return None
    above = sum(figures[item][year] for item in measure.plus) - sum(
        figures[item][year] for item in measure.minus
    )
    if not measure.below:
        return Fraction(above)
    below = sum(figures[item][year] for item in measure.below)
    return Fraction(above, below) if below > 0 else None


def holds(claim: str, figures: Figures, events: Events, year: int) -> bool:
    """Whether ``claim`` is true of the year of this index; what can't be known is not."""
    if claim.startswith(BEFORE):
        return year > 0 and holds(claim.removeprefix(BEFORE), figures, events, year - 1)
    name, _, way = claim.partition(" ")
    if name in EVENTS:
        amount = events[year].get(name, 0)
        return amount > 0 if way == "positive" else amount < 0
    now = value(name, figures, year)
    if now is None:
        return False
    if way in ("positive", "negative"):
        return now > 0 if way == "positive" else now < 0
    was = value(name, figures, year - 1) if year else None
    if was is None:
        return False
    return _went(way, now, was, MEASURES[name])


def _went(way: str, now: Fraction, was: Fraction, measure: _Measure) -> bool:
    change = now - was
    # Of an amount relative to its size; a ratio's is in its own unit.
    least = measure.least if measure.below else measure.least * abs(was)
    if way == "up":
        return change > least
    if way == "down":
        return change < -least
    if way == "steady":
        return abs(change) <= 3 * least
    if way == "surge":
        return change > abs(was) / 4 and change > least
    return change < -abs(was) / 5 and change < -least
