"""Invented fact sheets whose identities hold to the last digit, and the measures that follow from them."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Protocol, TypeVar

from reward_model.schema import FactSheet

T = TypeVar("T")
YEARS = (2022, 2023, 2024)
LAST = 2
"""Index of the period that a report is about."""

SCALES = {"亿元": 10**8, "万元": 10**4, "元": 1}
COMPANIES = ("海澜酒店", "北辰重工", "云杉农商行", "锦程置业", "瑞泽新能源")


class Choose(Protocol):
    """Where every choice comes from: hypothesis in tests, a seeded generator elsewhere."""

    def of(self, options: Sequence[T]) -> T: ...

    def whole(self, low: int, high: int) -> int: ...


@dataclass
class SeededChoice:
    """Choices of a seeded generator."""

    generator: random.Random

    def of(self, options: Sequence[T]) -> T:
        return self.generator.choice(options)

    def whole(self, low: int, high: int) -> int:
        return self.generator.randint(low, high)


@dataclass(frozen=True)
class Sheet:
    """Three years of one company's figures.

    Attributes:
        kind: "general", "bank" or "property".
        unit: what the sheet counts in: 亿元, 万元 or 元, with two decimals.
        hundredths: each item's values in hundredths of ``unit``, one a year of ``YEARS``.
    """

    kind: str
    company: str
    unit: str
    hundredths: Mapping[str, tuple[int | Fraction, ...]]

    def __repr__(self) -> str:
        rows = (f"{name} {' '.join(f'{v / 100:.2f}' for v in row)}" for name, row in self.hundredths.items())
        return f"{self.kind} sheet in {self.unit}, {YEARS}: " + "; ".join(rows)

    def facts(self) -> FactSheet:
        """As the checker gets it."""
        items = {name: [value / 100 for value in values] for name, values in self.hundredths.items()}
        return FactSheet.model_validate(
            {"unit": self.unit, "periods": [str(year) for year in YEARS], "items": items}
        )

    def yuan(self, name: str, year: int) -> Fraction:
        """An item in 元; ``year`` is an index into ``YEARS``."""
        return Fraction(self.hundredths[name][year]) * SCALES[self.unit] / 100

    def nudged(self, seed: int) -> Sheet:
        """Every value moved by half its last digit, up or down: what the sheet's figures may stand for."""
        generator = random.Random(seed)
        half = Fraction(1, 2)
        moved = {
            name: tuple(value + generator.choice((half, -half)) for value in values)
            for name, values in self.hundredths.items()
        }
        return replace(self, hundredths=moved)


def _share(choose: Choose, whole: int, low: int, high: int) -> int:
    """Between ``low`` and ``high`` thousandths of ``whole``."""
    return whole * choose.whole(low, high) // 1000


def _company_year(choose: Choose, revenue: int, is_property: bool) -> dict[str, int]:
    def of_revenue(low: int, high: int) -> int:
        return _share(choose, revenue, low, high)

    year = {"营业收入": revenue, "营业成本": of_revenue(350, 950)}
    year |= {"销售费用": of_revenue(10, 110), "管理费用": of_revenue(10, 90)}
    year |= {"研发费用": of_revenue(5, 80), "财务费用": of_revenue(3, 40)}
    year["其他收益及减值净额"] = of_revenue(-30, 30)
    costs = ("营业成本", "销售费用", "管理费用", "研发费用", "财务费用")
    profit = revenue - sum(year[name] for name in costs) + year["其他收益及减值净额"]
    year |= {"利润总额": profit, "净利润": _share(choose, profit, 750, 900) if profit > 0 else profit}
    assets = of_revenue(800, 2500)
    debts = _share(choose, assets, 250, 800)
    year |= {"资产总计": assets, "负债合计": debts, "所有者权益": assets - debts}
    year |= {"流动资产": _share(choose, assets, 300, 750), "流动负债": _share(choose, debts, 450, 850)}
    for name, high in (("货币资金", 350), ("应收账款", 300), ("存货", 300)):
        year[name] = _share(choose, year["流动资产"], 80, high)
    year |= {"有息负债": _share(choose, debts, 100, 500)}
    year |= {"经营活动现金流量净额": of_revenue(-40, 250), "购建长期资产支付的现金": of_revenue(10, 150)}
    if is_property:
        year |= {
            "合同销售金额": of_revenue(500, 1500),
            "合同负债": _share(choose, year["流动负债"], 100, 600),
        }
    return year


def _bank_year(choose: Choose, assets: int) -> dict[str, int]:
    def of_assets(low: int, high: int) -> int:
        return _share(choose, assets, low, high)

    year = {"资产总额": assets, "贷款总额": of_assets(450, 620), "存款总额": of_assets(600, 800)}
    year["生息资产平均余额"] = of_assets(850, 980)
    interest = _share(choose, year["生息资产平均余额"], 13, 30)
    year |= {"利息净收入": interest, "手续费及佣金净收入": _share(choose, interest, 50, 300)}
    year["其他非息收入"] = _share(choose, interest, 30, 250)
    revenue = interest + year["手续费及佣金净收入"] + year["其他非息收入"]
    year |= {"营业收入": revenue, "业务及管理费": _share(choose, revenue, 220, 420)}
    year["信用减值损失"] = _share(choose, revenue, 100, 400)
    profit = revenue - year["业务及管理费"] - year["信用减值损失"]
    year |= {"利润总额": profit, "净利润": _share(choose, profit, 780, 900)}
    year["不良贷款余额"] = _share(choose, year["贷款总额"], 7, 25)
    year["贷款减值准备余额"] = _share(choose, year["不良贷款余额"], 1500, 4000)
    year["风险加权资产"] = of_assets(550, 800)
    year["核心一级资本净额"] = _share(choose, year["风险加权资产"], 80, 130)
    year["资本净额"] = year["核心一级资本净额"] + _share(choose, year["风险加权资产"], 20, 45)
    year["归母净资产"] = _share(choose, year["核心一级资本净额"], 950, 1150)
    return year


def draw_sheet(choose: Choose) -> Sheet:
    """A consistent sheet of any industry, unit and size."""
    kind = choose.of(("general", "bank", "property"))
    unit = choose.of(("亿元", "万元", "元"))
    size = {"亿元": 1, "万元": 10**4, "元": 10**8}[unit]
    # Hundredths of 亿元 for now: a company's revenue, a bank's assets. Small ones round to little or nothing.
    low, high = choose.of(((10_000, 100_000), (10_000, 100_000), (500, 10_000)))
    base = choose.whole(low, high) * (20 if kind == "bank" else 1)
    years = []
    for _ in YEARS:
        base *= size
        years.append(
            _bank_year(choose, base) if kind == "bank" else _company_year(choose, base, kind != "general")
        )
        base = base * choose.whole(700, 1500) // 1000 // size
    items: dict[str, tuple[int | Fraction, ...]] = {n: tuple(year[n] for year in years) for n in years[0]}
    return Sheet(kind, choose.of(COMPANIES), unit, items)


# -- measures ----------------------------------------------------------------------------------------------

Value = Fraction | None


@dataclass(frozen=True)
class Measure:
    """Something that a report gives a figure of.

    Attributes:
        name: what it is called; ``others`` are further names, which mean the same.
        unit: "元", "%", "倍", "次" or "天".
        value: of the sheet and the index of a year; None where it can't be had.
        accepted: further values that are right too, by another accepted formula.
        stock: a balance at a date, not a flow.
    """

    name: str
    unit: str
    value: Callable[[Sheet, int], Value]
    others: tuple[str, ...] = ()
    accepted: Callable[[Sheet, int], tuple[Value, ...]] = lambda sheet, year: ()
    stock: bool = False

    def right(self, sheet: Sheet, year: int) -> tuple[Fraction, ...]:
        """All values that are right."""
        found = (self.value(sheet, year), *self.accepted(sheet, year))
        return tuple(value for value in found if value is not None)


def item(name: str, *others: str, stock: bool = False) -> Measure:
    """A line of the sheet."""
    return Measure(name, "元", lambda sheet, year: sheet.yuan(name, year), others, stock=stock)


def total(
    name: str, plus: Sequence[str], minus: Sequence[str] = (), *others: str, stock: bool = False
) -> Measure:
    """A sum and difference of lines."""

    def value(sheet: Sheet, year: int) -> Value:
        return sum((sheet.yuan(n, year) for n in plus), Fraction(0)) - sum(sheet.yuan(n, year) for n in minus)

    return Measure(name, "元", value, others, stock=stock)


def _average(measure: Measure, sheet: Sheet, year: int) -> Value:
    if year == 0:
        return None
    now, before = measure.value(sheet, year), measure.value(sheet, year - 1)
    return None if now is None or before is None else (now + before) / 2


def _over(above: Value, below: Value, times: int = 1) -> Value:
    return None if above is None or below is None or below <= 0 else above / below * times


def ratio(name: str, above: Measure, below: Measure, unit: str, *others: str, stock: bool = False) -> Measure:
    """``above / below`` of one year, in per cent where the unit is."""

    def value(sheet: Sheet, year: int) -> Value:
        return _over(above.value(sheet, year), below.value(sheet, year), 100 if unit == "%" else 1)

    return Measure(name, unit, value, others, stock=stock)


@dataclass(frozen=True)
class Basis:
    """How a report relates a flow to a balance: over the average or the closing one, days of a year."""

    ending: bool
    days: int


def on_balance(basis: Basis, name: str, flow: Measure, balance: Measure, unit: str, *others: str) -> Measure:
    """A flow over a balance on ``basis``; the other usual bases are accepted as well."""

    def of(sheet: Sheet, year: int, held: Value, days: int) -> Value:
        if unit == "天":
            return _over(held, flow.value(sheet, year), days)
        return _over(flow.value(sheet, year), held, 100 if unit == "%" else 1)

    def value(sheet: Sheet, year: int) -> Value:
        held = balance.value(sheet, year) if basis.ending else _average(balance, sheet, year)
        return of(sheet, year, held, basis.days)

    def accepted(sheet: Sheet, year: int) -> tuple[Value, ...]:
        opening = balance.value(sheet, year - 1) if year else None
        balances = (_average(balance, sheet, year), balance.value(sheet, year), opening)
        return tuple(of(sheet, year, held, days) for held in balances for days in (360, 365))

    return Measure(name, unit, value, others, accepted)


REVENUE = item("营业收入", "营收")
COST = item("营业成本")
PROFIT = item("净利润")
PRE_TAX = item("利润总额")
ASSETS = item("资产总计", "总资产", stock=True)
DEBTS = item("负债合计", "总负债", stock=True)
EQUITY = item("所有者权益", "净资产", stock=True)
CURRENT_ASSETS, CURRENT_DEBTS = item("流动资产", stock=True), item("流动负债", stock=True)
CASH, RECEIVABLES = item("货币资金", stock=True), item("应收账款", stock=True)
STOCKS, BORROWED = item("存货", stock=True), item("有息负债", stock=True)
CFO = item("经营活动现金流量净额", "经营现金流净额")
CAPEX = item("购建长期资产支付的现金")
FINANCE = item("财务费用")
SELLING, ADMIN, RESEARCH = item("销售费用"), item("管理费用"), item("研发费用")
COSTS = ("销售费用", "管理费用", "研发费用", "财务费用")
GROSS = total("毛利", ["营业收入"], ["营业成本"])
PERIOD_COSTS = total("期间费用", COSTS)
FREE_CASH = total("自由现金流", ["经营活动现金流量净额"], ["购建长期资产支付的现金"])
NET_DEBT = total("净有息负债", ["有息负债"], ["货币资金"], stock=True)
EBIT = total("息税前利润", ["利润总额", "财务费用"])
QUICK = total("速动资产", ["流动资产"], ["存货"], stock=True)

COMPANY_MONEY = (REVENUE, COST, SELLING, ADMIN, RESEARCH, FINANCE, PRE_TAX, PROFIT, ASSETS, DEBTS, EQUITY,
                 CURRENT_ASSETS, CURRENT_DEBTS, CASH, RECEIVABLES, STOCKS, BORROWED, CFO, CAPEX, GROSS,
                 PERIOD_COSTS, FREE_CASH, NET_DEBT)  # fmt: skip
COMPANY_RATIOS = (
    ratio("毛利率", GROSS, REVENUE, "%", "GPM"),
    ratio("净利率", PROFIT, REVENUE, "%", "销售净利率"),
    ratio("期间费用率", PERIOD_COSTS, REVENUE, "%"),
    ratio("销售费用率", SELLING, REVENUE, "%"),
    ratio("管理费用率", ADMIN, REVENUE, "%"),
    ratio("研发费用率", RESEARCH, REVENUE, "%"),
    ratio("资产负债率", DEBTS, ASSETS, "%", stock=True),
    ratio("净负债率", NET_DEBT, EQUITY, "%", stock=True),
)
COMPANY_MULTIPLES = (
    ratio("流动比率", CURRENT_ASSETS, CURRENT_DEBTS, "倍", stock=True),
    ratio("速动比率", QUICK, CURRENT_DEBTS, "倍", stock=True),
    ratio("净现比", CFO, PROFIT, "倍"),
    ratio("货币资金/有息负债", CASH, BORROWED, "倍", "货币资金对有息负债的覆盖倍数", stock=True),
    ratio("利息保障倍数", EBIT, FINANCE, "倍"),
)
PRESOLD = item("合同负债", stock=True)
PROPERTY_MONEY = (*COMPANY_MONEY, item("合同销售金额"), PRESOLD)
PROPERTY_RATIOS = (
    *COMPANY_RATIOS,
    ratio("剔除合同负债后的资产负债率", total("", ["负债合计"], ["合同负债"]),
          total("", ["资产总计"], ["合同负债"]), "%", stock=True),
)  # fmt: skip

BANK_ASSETS, LOANS = item("资产总额", "总资产", stock=True), item("贷款总额", stock=True)
DEPOSITS, EARNING = item("存款总额", stock=True), item("生息资产平均余额")
INTEREST, OVERHEAD = item("利息净收入", "NII"), item("业务及管理费")
IMPAIRMENT = item("信用减值损失")
BAD, RESERVES = item("不良贷款余额", stock=True), item("贷款减值准备余额", stock=True)
WEIGHTED, CORE = item("风险加权资产", stock=True), item("核心一级资本净额", stock=True)
CAPITAL, NET_WORTH = item("资本净额", stock=True), item("归母净资产", stock=True)
OTHER_INCOME = total("非息收入", ["手续费及佣金净收入", "其他非息收入"])
BEFORE_PROVISIONS = total("拨备前利润", ["营业收入"], ["业务及管理费"], "PPOP")
FEES, OTHER_GAINS = item("手续费及佣金净收入"), item("其他非息收入")
BANK_MONEY = (REVENUE, INTEREST, FEES, OTHER_GAINS, OVERHEAD, IMPAIRMENT, PRE_TAX, PROFIT, BANK_ASSETS, LOANS,
              DEPOSITS, EARNING, BAD, RESERVES, WEIGHTED, CORE, CAPITAL, NET_WORTH, OTHER_INCOME,
              BEFORE_PROVISIONS)  # fmt: skip
BANK_RATIOS = (
    ratio("不良贷款率", BAD, LOANS, "%", "不良率", stock=True),
    ratio("拨备覆盖率", RESERVES, BAD, "%", stock=True),
    ratio("拨贷比", RESERVES, LOANS, "%", stock=True),
    ratio("存贷比", LOANS, DEPOSITS, "%", stock=True),
    ratio("净息差", INTEREST, EARNING, "%", "NIM"),
    ratio("成本收入比", OVERHEAD, REVENUE, "%"),
    ratio("非息收入占比", OTHER_INCOME, REVENUE, "%"),
    ratio("核心一级资本充足率", CORE, WEIGHTED, "%", stock=True),
    ratio("资本充足率", CAPITAL, WEIGHTED, "%", stock=True),
    ratio("净利率", PROFIT, REVENUE, "%"),
)

MONEY = {"general": COMPANY_MONEY, "property": PROPERTY_MONEY, "bank": BANK_MONEY}
RATIOS = {"general": COMPANY_RATIOS, "property": PROPERTY_RATIOS, "bank": BANK_RATIOS}
MULTIPLES = {"general": COMPANY_MULTIPLES, "property": COMPANY_MULTIPLES, "bank": ()}
BASES = (Basis(False, 365), Basis(False, 360), Basis(True, 365))


def balance_ratios(kind: str, basis: Basis) -> tuple[Measure, ...]:
    """The measures that relate a flow to a balance, all on one basis."""
    if kind == "bank":
        return (
            on_balance(basis, "信用成本", IMPAIRMENT, LOANS, "%"),
            on_balance(basis, "ROE", PROFIT, NET_WORTH, "%"),
        )
    return (
        on_balance(basis, "ROE", PROFIT, EQUITY, "%", "净资产收益率"),
        on_balance(basis, "应收账款周转天数", REVENUE, RECEIVABLES, "天"),
        on_balance(basis, "存货周转天数", COST, STOCKS, "天"),
        on_balance(basis, "总资产周转率", REVENUE, ASSETS, "次", "总资产周转次数"),
    )


SUMS = {
    "general": (PERIOD_COSTS, (SELLING, ADMIN, RESEARCH, FINANCE)),
    "property": (PERIOD_COSTS, (SELLING, ADMIN, RESEARCH, FINANCE)),
    "bank": (OTHER_INCOME, (FEES, OTHER_GAINS)),
}
SHARES = {
    "general": ((RECEIVABLES, REVENUE), (STOCKS, CURRENT_ASSETS), (BORROWED, DEBTS), (CAPEX, CFO)),
    "property": ((STOCKS, ASSETS), (PRESOLD, DEBTS), (RECEIVABLES, REVENUE)),
    "bank": ((LOANS, BANK_ASSETS), (INTEREST, REVENUE), (IMPAIRMENT, BEFORE_PROVISIONS)),
}
COVERS = {
    "general": ((CFO, CAPEX), (CASH, CURRENT_DEBTS), (CFO, BORROWED)),
    "property": ((CFO, CAPEX), (CFO, BORROWED)),
    "bank": (),
}
