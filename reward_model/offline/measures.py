"""What a report says of a fact sheet: levels, changes and ratios, computed once and written one way.

Ratios follow the checker's own definitions (:mod:`reward_model.calc.rules`), so that a report and the check
of it can't differ: the usual variant of each, average balances and 365 days where the rules say so. All
periods of one measure use one variant, so that no ratio on an average balance is compared with one on a
closing balance.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from functools import cached_property

from reward_model.calc.book import Book, Period, read_period, unit_scale
from reward_model.calc.check import default_rules
from reward_model.calc.formula import Operand, Value
from reward_model.calc.metrics import Metric
from reward_model.schema import FactSheet

CENT = Decimal("0.01")
_LARGEST = 1e18  # a report's figures, in its unit; what is above is a slip of the sheet

ALIASES: dict[str, tuple[str, str | None, str]] = {
    "现金覆盖": ("货币资金/有息负债", None, "货币资金对有息负债的覆盖倍数"),
    "杜邦乘数": ("权益乘数", "平均", "权益乘数"),
    "应收期末天数": ("应收账款周转天数", "期末余额，365天", "按期末余额计的应收账款周转天数"),
    "存货期末天数": ("存货周转天数", "期末余额，365天", "按期末余额计的存货周转天数"),
    "现金债务保障": ("经营现金流/有息负债", None, "经营现金流与有息负债之比"),
    "应收收入比": ("应收账款/营业收入", None, "应收账款占营业收入的比重"),
    "应收与存货": ("应收与存货合计", None, "应收账款与存货合计"),
    "签约收入比": ("合同销售金额/营业收入", None, "合同销售金额与营业收入之比"),
    "预收收入比": ("合同负债/营业收入", None, "合同负债与营业收入之比"),
    "剔预收负债率": ("剔除合同负债后的资产负债率", None, "剔除合同负债后的资产负债率"),
    "总资产": ("资产总计", None, "总资产"),
    "经营现金流": ("经营活动现金流量净额", None, "经营活动现金流量净额"),
    "购建支出": ("购建长期资产支付的现金", None, "购建长期资产支付的现金"),
    "其他收益": ("其他收益及减值净额", None, "其他收益及减值净额"),
}
"""Names that phrases use: (the rules' metric, its variant if not the usual one, what it is called)."""

_UNITS = {"percent": "%", "multiple": "倍", "turns": "次", "days": "天"}

_BARE = frozenset({"流动比率", "速动比率", "净现比", "权益乘数"})
"""Multiples that are written without 倍."""


class UnknownError(LookupError):
    """The sheet doesn't give what a phrase asks for, so the phrase isn't said."""


def to_cents(value: Decimal) -> Decimal:
    """Rounded to two decimals, half up, as reports do; never -0.00."""
    return value.quantize(CENT, ROUND_HALF_UP) + 0


def plain(value: Decimal) -> str:
    """ "-1.62"."""
    return f"{to_cents(value):f}"


@dataclass(frozen=True)
class Verbs:
    """Words for movements, drawn anew for each text so that they vary."""

    rng: random.Random

    def rise(self, kind: str, cost: bool) -> str:
        """Of a cost or a burden nothing is 提高."""
        if kind == "money":
            return self.rng.choice(("增至", "增加至", "升至"))
        return self.rng.choice(("升至", "上升至") if cost else ("升至", "提高至", "上升至"))

    def fall(self, kind: str) -> str:
        return self.rng.choice(
            ("降至", "减至", "减少至") if kind == "money" else ("降至", "回落至", "下降至")
        )


@dataclass(frozen=True)
class Measure:
    """One measure of the sheet, in the report's unit.

    Attributes:
        name: what it is called in a sentence.
        kind: "money", "percent", "multiple", "turns", "days" or "count".
        unit: written behind the number.
        levels: this period's level, the one before, the one before that; None where not known.
        verbs: for "由…升至…".
    """

    name: str
    kind: str
    unit: str
    levels: tuple[Decimal | None, Decimal | None, Decimal | None]
    verbs: Verbs = field(repr=False, compare=False)
    cost: bool = False
    """More of it is worse."""

    # -- numbers, for conditions ---------------------------------------------------------------------------

    def level(self, back: int) -> Decimal:
        found = self.levels[back]
        if found is None:
            raise UnknownError(self.name)
        return found

    @property
    def v(self) -> float:
        """This period's level."""
        return float(self.level(0))

    @property
    def p(self) -> float:
        """The level of the period before."""
        return float(self.level(1))

    @property
    def o(self) -> float:
        """The level two periods before."""
        return float(self.level(2))

    @property
    def change(self) -> Decimal:
        """This period's level less the one before."""
        return self.level(0) - self.level(1)

    @property
    def d(self) -> float:
        """The change, as it would be written: 0 where it rounds to nothing."""
        return float(to_cents(self.change))

    @property
    def d0(self) -> float:
        """The change of the period before."""
        return float(to_cents(self.level(1) - self.level(2)))

    @property
    def g(self) -> float:
        """The change in percent of a positive base."""
        return float(self.growth(0))

    @property
    def g0(self) -> float:
        """The growth of the period before, in percent."""
        return float(self.growth(1))

    def growth(self, back: int) -> Decimal:
        base = self.level(back + 1)
        if base <= 0:
            raise UnknownError(f"growth of {self.name} from {base}")
        return to_cents((self.level(back) - base) / base * 100)

    # -- words, for sentences ------------------------------------------------------------------------------

    def written(self, value: Decimal) -> str:
        """A level with its unit."""
        return plain(value) + self.unit

    def apart(self, value: Decimal) -> str:
        """A difference with its unit: points between percentages."""
        return plain(value) + ("个百分点" if self.kind == "percent" else self.unit)

    def __getitem__(self, key: str) -> str:
        try:
            word = _WORDS[key]
        except KeyError:
            raise UnknownError(f"{self.name}.{key}") from None
        return word(self)

    def moved(self) -> str:
        """ "由33.02%升至36.22%", minding signs."""
        now, before = self.level(0), self.level(1)
        first, last = self.written(before), self.written(now)
        if to_cents(now) == to_cents(before):
            return f"与上年持平，为{last}"
        if (now < 0) != (before < 0):
            return f"由{first}转为{last}"
        if now < 0 and self.kind == "money":
            return f"由{first}{'扩大' if now < before else '收窄'}至{last}"
        verb = self.verbs.rise(self.kind, self.cost) if now > before else self.verbs.fall(self.kind)
        return f"由{first}{verb}{last}"

    def yearly(self) -> str:
        """ "同比增长26.93%"; what it was where no growth can be given."""
        try:
            growth = self.growth(0)
        except UnknownError:
            return f"上年为{self.written(self.level(1))}"
        if growth == 0:
            return "与上年基本持平"
        return f"同比{'增长' if growth > 0 else '下降'}{plain(abs(growth))}%"


_WORDS: Mapping[str, Callable[[Measure], str]] = {
    "名": lambda m: m.name,
    "今": lambda m: m.written(m.level(0)),
    "今绝对": lambda m: m.written(abs(m.level(0))),
    "前": lambda m: m.written(m.level(1)),
    "初": lambda m: m.written(m.level(2)),
    "数": lambda m: plain(m.level(0)),
    "前数": lambda m: plain(m.level(1)),
    "差": lambda m: m.apart(abs(m.change)),
    "号差": lambda m: ("+" if m.change > 0 else "") + m.apart(m.change),
    "前差": lambda m: m.apart(abs(m.level(1) - m.level(2))),
    "幅": lambda m: f"{plain(abs(m.growth(0)))}%",
    "号幅": lambda m: f"{'+' if m.growth(0) > 0 else ''}{plain(m.growth(0))}%",
    "前幅": lambda m: f"{plain(abs(m.growth(1)))}%",
    "增减": lambda m: "增加" if m.change > 0 else "减少",
    "升降": lambda m: "上升" if m.change > 0 else "下降",
    "增降": lambda m: "增长" if m.change > 0 else "下降",
    "由至": lambda m: m.moved(),
    "同比": lambda m: m.yearly(),
}
"""What a phrase can say of a measure, as ``{毛利率.由至}``."""


class Figures:
    """The measures of one fact sheet, by name; asked for what it can't give it raises :class:`UnknownError`.

    Args:
        facts: the statements.
        rng: of the words for movements.
    """

    def __init__(self, facts: FactSheet, rng: random.Random) -> None:
        self.facts = facts
        self.rng = rng
        self.rules = default_rules()
        self._verbs = Verbs(rng)
        self._known: dict[str, Measure | None] = {}
        columns = [read_period(name) for name in facts.periods]
        self.dated = all(columns) and len(set(columns)) == len(columns)
        # Columns that name no year follow one another as given: 上期, 本期.
        periods = [p for p in columns if p] if self.dated else [Period(1000 + i) for i in range(len(columns))]
        order = sorted(range(len(periods)), key=lambda i: (periods[i].part, periods[i].year))
        self._labels = {periods[i]: facts.periods[i] for i in order}
        self.now = periods[order[-1]]
        self.partial = bool(self.now.part)
        scale, currency = unit_scale(facts.unit)
        self._shown_scale, self.unit = _shown_unit(facts, scale, currency)
        self._book = Book(self.rules)
        self._given: dict[tuple[str, Period], Value] = {}
        self.items: list[str] = []
        for name, row in facts.items.items():
            metric = self.rules.canonical(name)
            key = metric.name if metric else name
            if key in self.items:
                continue
            self.items.append(key)
            factor = scale if metric is None or metric.kind == "money" else 1.0
            for period, value in zip(periods, row, strict=True):
                if value is not None and math.isfinite(value):
                    level = float(value) * factor
                    operand = Operand(key, str(period), level, "facts")
                    self._given[key, period] = Value(level, level, (operand,), key)
                    self._book.add(key, period, self._given[key, period])

    def label(self, back: int = 0) -> str:
        """The period's name in a sentence: "2024年"; as given where it is no plain year."""
        written = self._labels.get(self.now.back(back))
        if written is None:
            raise UnknownError(f"period {back} back")
        return f"{written}年" if written.isdecimal() else written

    def __getitem__(self, name: str) -> Measure:
        if name not in self._known:
            self._known[name] = self._measure(name)
        found = self._known[name]
        if found is None:
            raise UnknownError(name)
        return found

    def add(self, name: str, value: Decimal, kind: str = "money", before: Decimal | None = None) -> None:
        """Enter a measure that no rule gives, in the report's unit."""
        unit = self.unit if kind == "money" else _UNITS.get(kind, "")
        self._known[name] = Measure(name, kind, unit, (value, before, None), self._verbs)

    def alias(self, name: str, of: str) -> None:
        """Let ``name`` mean the measure ``of``."""
        self._known[name] = self[of]

    def _measure(self, name: str) -> Measure | None:
        metric_name, variant, called = ALIASES.get(name, (name, None, name))
        metric = self.rules.canonical(metric_name)
        if metric is None:
            return self._unruled(name)
        levels = self._levels(metric, variant)
        if levels[0] is None:
            return None
        if metric.kind == "money":
            levels = tuple(level and level / self._shown_scale for level in levels)
        kind = metric.kind if metric.kind in _UNITS or metric.kind == "money" else "count"
        unit = self.unit if kind == "money" else "" if metric.name in _BARE else _UNITS.get(kind, "")
        return Measure(called, kind, unit, (levels[0], levels[1], levels[2]), self._verbs, metric.cost)

    def _unruled(self, name: str) -> Measure | None:
        """An item that the rules don't know: its levels as given, in the sheet's unit."""
        if name not in self.items:
            return None
        levels = [self._entered(name, back) for back in range(3)]
        if levels[0] is None:
            return None
        scale = Decimal(str(unit_scale(self.facts.unit)[0]))
        sheet = [level and level / scale for level in levels]
        return Measure(name, "count", "", (sheet[0], sheet[1], sheet[2]), self._verbs)

    def _entered(self, name: str, back: int) -> Decimal | None:
        return _decimal(self._given.get((name, self.now.back(back))))

    def _levels(self, metric: Metric, variant: str | None) -> tuple[Decimal | None, ...]:
        found = dict(self._book.levels(metric, self.now))
        if not found or (variant is not None and variant not in found):
            return (None, None, None)
        if variant is None:
            variant = next(iter(found))
        if self.partial and metric.kind in ("days", "turns"):
            return (None, None, None)
        return tuple(
            _decimal(dict(self._book.levels(metric, self.now.back(back))).get(variant)) for back in range(3)
        )

    @cached_property
    def is_bank(self) -> bool:
        """Whether these are a bank's statements."""
        return {"贷款总额", "存款总额"} <= set(self.items)

    @cached_property
    def is_property(self) -> bool:
        """Whether these are a property developer's statements."""
        return not self.is_bank and bool({"合同销售金额", "合同负债"} & set(self.items))


def _decimal(value: Value | None) -> Decimal | None:
    if value is None:
        return None
    middle = (value.low + value.high) / 2
    if not math.isfinite(middle) or abs(middle) > _LARGEST:
        return None
    # Twelve digits are more than any sheet has, and drop what binary fractions add behind them.
    return Decimal(f"{middle:.12g}")


def _shown_unit(facts: FactSheet, scale: float, currency: str) -> tuple[Decimal, str]:
    """(size, unit) that amounts are written in: the sheet's, but no long rows of 元."""
    if scale >= 10**4:
        return Decimal(str(scale)), facts.unit.removeprefix("人民币").strip()
    largest = max((abs(v) for row in facts.items.values() for v in row if v is not None), default=0) * scale
    if largest >= 10**10:
        return Decimal(10**8), f"亿{currency}"
    if largest >= 10**6:
        return Decimal(10**4), f"万{currency}"
    return Decimal(str(scale)), facts.unit
