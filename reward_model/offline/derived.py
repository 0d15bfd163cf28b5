"""What an analyst works out beyond ratios: bridges of profit, volume and margin, what-ifs, drivers.

Parts of a decomposition add up as written: the last part is the rounded total less the rounded others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal

from reward_model.offline.measures import Figures, Measure, UnknownError, plain, to_cents

_COMPANY_COSTS = ("销售费用", "管理费用", "研发费用", "财务费用")
_CLOSED = Decimal("0.03")
"""How far the parts of a profit bridge may miss its total, for the rounding of the sheet."""


@dataclass(frozen=True)
class Bridge:
    """A change and the parts it is made of, each with the sign of its effect on the total.

    Attributes:
        total: the measure that changed.
        parts: (measure, effect), the largest effect first.
    """

    total: Measure
    parts: tuple[tuple[Measure, Decimal], ...]

    @property
    def d(self) -> float:
        """The change of the total."""
        return self.total.d

    @property
    def closes(self) -> bool:
        """Whether the parts add up to the total."""
        missing = sum((effect for _, effect in self.parts), Decimal(0)) - self.total.change
        return abs(missing) <= max(_CLOSED, abs(self.total.change) / 100)

    def _driver(self) -> tuple[Measure, Decimal]:
        same = [part for part in self.parts if (part[1] > 0) == (self.total.change > 0) and part[1]]
        if not same:
            raise UnknownError("driver")
        return same[0]

    @property
    def main(self) -> str:
        """The name of the part that moved the total most in its own direction."""
        return self._driver()[0].name

    @property
    def offset(self) -> bool:
        """Whether some part of weight moved the other way."""
        limit = abs(self.total.change) / 5
        return any((e > 0) != (self.total.change > 0) and abs(e) > limit for _, e in self.parts)

    @property
    def share(self) -> float:
        """The driver's effect in percent of the change."""
        if not self.total.d:
            raise UnknownError("share of no change")
        return float(self._driver()[1] / self.total.change * 100)

    def __getitem__(self, key: str) -> str:
        """主因句, 各项 (what each part did), 算式 (signed effects), 主因额 (the driver's effect)."""
        if key == "各项":
            return "、".join(f"{m.name}{_changed(m)}" for m, effect in self.parts if to_cents(m.change))
        if key == "贡献":
            return "、".join(
                f"{m.name}{'+' if effect > 0 else ''}{plain(effect)}{self.total.unit}"
                for m, effect in self.parts
                if to_cents(effect)
            )
        if key == "主因额":
            return plain(abs(self._driver()[1])) + self.total.unit
        if key == "主因占比":
            return f"{plain(Decimal(str(abs(self.share))))}%"
        raise UnknownError(f"bridge.{key}")


def _changed(measure: Measure) -> str:
    return f"{'增加' if measure.change > 0 else '减少'}{plain(abs(measure.change))}{measure.unit}"


def bridge(figures: Figures, total: str, signed: Sequence[tuple[str, int]]) -> Bridge | None:
    """The bridge of ``total`` with its parts and the signs of their effects. None if one is missing."""
    try:
        parts = [(figures[name], sign * figures[name].change) for name, sign in signed]
        found = Bridge(figures[total], tuple(sorted(parts, key=lambda part: -abs(part[1]))))
        return found if found.closes else None
    except UnknownError:
        return None


def _company(figures: Figures) -> None:
    gross, revenue, margin = figures["毛利"], figures["营业收入"], figures["毛利率"]
    volume = to_cents(revenue.change * margin.level(1) / 100)
    figures.add("规模影响", volume)
    figures.add("毛利率影响", to_cents(gross.change) - volume)
    figures.add("毛利率一点", to_cents(revenue.level(0) / 100))


def _expenses(figures: Figures) -> None:
    """The expenses that moved most, in the direction of their sum."""
    sign = 1 if figures["期间费用"].change >= 0 else -1
    found = []
    for name in _COMPANY_COSTS:
        with suppress(UnknownError):
            if to_cents(figures[name].change) * sign > 0:
                found.append((abs(figures[name].change), name))
    found.sort(reverse=True)
    for place, (_, name) in zip(("首项费用", "次项费用"), found, strict=False):
        figures.alias(place, name)


def _what_ifs(figures: Figures) -> None:
    """What an item would be had its rate stayed as it was, less what it is."""
    for name, rate, base in (
        ("研发少投", "研发费用率", "营业收入"),
        ("费用多用", "期间费用率", "营业收入"),
        ("减值少提", "信用成本", "平均贷款"),
    ):
        with suppress(UnknownError):
            if base == "平均贷款":
                loans = figures["贷款总额"]
                amount = (loans.level(0) + loans.level(1)) / 2
                actual = figures["信用减值损失"].level(0)
            else:
                amount = figures[base].level(0)
                actual = figures[{"研发少投": "研发费用", "费用多用": "期间费用"}[name]].level(0)
            figures.add(name, amount * figures[rate].level(1) / 100 - actual)


def _balances(figures: Figures) -> None:
    with suppress(UnknownError):
        outflow = figures["权益流出"]
        figures.add("权益注入", -outflow.level(0))
    with suppress(UnknownError):
        long_lived, spent = figures["非流动资产"], figures["购建支出"]
        figures.add("长期资产超购建", long_lived.change - spent.level(0))
    with suppress(UnknownError):
        held = figures["应收与存货"]
        figures.add("营运占用", held.change)
    with suppress(UnknownError):
        figures.add(
            "分配与自由现金流之比",
            figures["权益流出"].level(0) / figures["自由现金流"].level(0),
            "multiple",
        )
    with suppress(UnknownError):
        figures.add("占用一年自由现金流", figures["经营现金流"].level(0) - figures["净利润"].level(0))
    with suppress(UnknownError):
        figures.add("短期负债占比", _share(figures, "流动负债", "负债合计", 0), "percent",
                    before=_share(figures, "流动负债", "负债合计", 1))  # fmt: skip
    with suppress(UnknownError):
        figures.add("存货占比", _share(figures, "存货", "流动资产", 0), "percent",
                    before=_share(figures, "存货", "流动资产", 1))  # fmt: skip


def _share(figures: Figures, part: str, whole: str, back: int) -> Decimal:
    below = figures[whole].level(back)
    if below <= 0:
        raise UnknownError(whole)
    return figures[part].level(back) / below * 100


def _du_pont(figures: Figures) -> None:
    """The factor that moved the return on equity most, by the ratio of its levels."""
    roe = figures["ROE"]
    if roe.v <= 0 or roe.p <= 0:
        raise UnknownError("ROE of losses")
    moves = []
    for name in ("净利率", "总资产周转率", "杜邦乘数"):
        factor = figures[name]
        if factor.p <= 0 or factor.v <= 0:
            raise UnknownError(name)
        moves.append((factor.v / factor.p, name))
    up = roe.d > 0
    ordered = sorted(moves, reverse=up)
    if (ordered[0][0] > 1) == up:
        figures.alias("回报主因", ordered[0][1])


def _bank(figures: Figures) -> None:
    interest, earning, margin = figures["利息净收入"], figures["生息资产平均余额"], figures["净息差"]
    volume = to_cents(earning.change * margin.level(1) / 100)
    figures.add("规模贡献", volume)
    figures.add("息差影响", to_cents(interest.change) - volume)


def _bank_capital(figures: Figures) -> None:
    capital, weighted = figures["核心一级资本净额"], figures["风险加权资产"]
    figures.add("资本增速差", _growth(weighted) - _growth(capital), "percent")


def _bank_reserves(figures: Figures) -> None:
    impairment, before = figures["信用减值损失"], figures["拨备前利润"]
    if before.level(0) <= 0 or before.level(1) <= 0:
        raise UnknownError("share of losses")
    figures.add(
        "减值占比",
        impairment.level(0) / before.level(0) * 100,
        "percent",
        before=impairment.level(1) / before.level(1) * 100,
    )


def _growth(measure: Measure) -> Decimal:
    return measure.growth(0)


_STEPS: tuple[Callable[[Figures], None], ...] = (
    _company, _expenses, _what_ifs, _balances, _du_pont, _bank, _bank_capital, _bank_reserves,
)  # fmt: skip


def work_out(figures: Figures) -> dict[str, Bridge]:
    """Add what follows from the sheet to ``figures``; returns the bridges of profit that close."""
    for step in _STEPS:
        with suppress(UnknownError, ArithmeticError):
            step(figures)
    found = {
        "利润桥": bridge(figures, "利润总额", [("毛利", 1), ("期间费用", -1), ("其他收益", 1)])
        or bridge(figures, "利润总额", [("营业收入", 1), ("业务及管理费", -1), ("信用减值损失", -1)]),
        "收入桥": bridge(
            figures, "营业收入", [("利息净收入", 1), ("手续费及佣金净收入", 1), ("其他非息收入", 1)]
        ),
    }
    return {name: value for name, value in found.items() if value is not None}
