"""What is known of a company: values of metrics in periods, from a fact sheet or from the text itself."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any, NamedTuple, Protocol

from reward_model.calc.formula import Operand, Value, parse_expression
from reward_model.calc.periods import find_periods
from reward_model.calc.rules import Metric, Rules

MAX_DEPTH = 6
"""Formulas over metrics that have formulas themselves, at most."""

SCALES = {"千": 10**3, "万": 10**4, "百万": 10**6, "千万": 10**7, "亿": 10**8, "十亿": 10**9, "万亿": 10**12}
CURRENCIES = {"美元": "美元", "港元": "港元", "港币": "港元", "欧元": "欧元", "日元": "日元", "英镑": "英镑"}


class Facts(Protocol):
    """A fact sheet: :class:`reward_model.schema.FactSheet`, or anything of its shape."""

    @property
    def unit(self) -> str: ...
    @property
    def periods(self) -> list[str]: ...
    @property
    def items(self) -> dict[str, list[float | int | None]]: ...


class Period(NamedTuple):
    """A year, or a part of one (``part`` as in :class:`reward_model.calc.periods.PeriodMention`)."""

    year: int
    part: str = ""

    def back(self, years: int = 1) -> Period:
        """The same part of an earlier year."""
        return Period(self.year - years, self.part)

    def __str__(self) -> str:
        return f"{self.year}{self.part}"


def unit_scale(unit: str) -> tuple[float, str]:
    """ "亿元" to (1e8, "元"), "万美元" to (1e4, "美元")."""
    currency = next((name for word, name in CURRENCIES.items() if unit.endswith(word)), "元")
    size = unit.removesuffix(currency).removesuffix("元").removesuffix("港币").replace("人民币", "").strip()
    return float(SCALES.get(size, 1)), currency


def _decimals(value: float) -> int:
    written = repr(value)
    if "e" in written:
        exponent = Decimal(written).normalize().as_tuple().exponent
        return max(0, -exponent) if isinstance(exponent, int) else 0
    behind = written.partition(".")[2]
    return 0 if behind == "0" else len(behind)


class Book:
    """Values by (metric, period). Formulas are evaluated when a metric isn't there itself.

    Args:
        rules: metrics and their formulas.
    """

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.periods: list[Period] = []
        self.computed: dict[tuple[Any, ...], Any] = {}
        """What :mod:`reward_model.calc.expected` has computed from this book."""
        self._items: dict[tuple[str, Period], Value] = {}
        self._levels: dict[tuple[str, Period], list[tuple[str, Value]]] = {}
        self._hidden = ""
        self._views: dict[str, Book] = {}

    def add(self, metric: str, period: Period, value: Value) -> None:
        """Enter a value; the first one of a metric in a period stays."""
        self._items.setdefault((metric, period), value)
        self._levels.clear()
        self.computed.clear()

    def metrics(self) -> list[str]:
        """The names of all metrics that were entered."""
        return list(dict.fromkeys(name for name, _ in self._items))

    def without(self, metric: str) -> Book:
        """This book as if ``metric`` had never been entered: what formulas alone make of it."""
        view = self._views.get(metric)
        if view is None:
            view = self._views[metric] = Book(self.rules)
            view._items, view._hidden = self._items, metric
        return view

    def levels(self, metric: Metric, period: Period, depth: int = 0) -> list[tuple[str, Value]]:
        """(name of the variant, value) of each accepted way to compute ``metric``; the entered one alone if
        there is one."""
        entered = self._items.get((metric.name, period))
        if entered is not None and metric.name != self._hidden:
            return [("", entered)]
        if not metric.variants or depth > MAX_DEPTH:
            return []
        key = (metric.name, period)
        found = self._levels.get(key)
        if found is None:
            found = []
            lookup = self._lookup(period, depth)
            for variant in metric.variants:
                value = parse_expression(variant.expression).evaluate(lookup)
                if value is not None:
                    found.append((variant.name, value))
            if depth == 0:
                self._levels[key] = found
        return found

    def _lookup(self, period: Period, depth: int) -> Callable[[str, int], Value | None]:
        def lookup(name: str, offset: int) -> Value | None:
            metric = self.rules.metrics.get(name)
            if metric is None:
                return None
            found = self.levels(metric, period.back(-offset), depth + 1)
            return found[0][1] if found else None

        return lookup


def read_period(name: str) -> Period | None:
    """A fact sheet's column as a period: "2024", "2024年", "2024H1", "2024Q3"."""
    text = name.strip()
    if text.isdecimal() and len(text) == 4:
        return Period(int(text))
    for mention in find_periods(text):
        if mention.year is not None:
            return Period(mention.year, mention.part if mention.part != "start" else "")
    return None


def fact_book(facts: Facts, rules: Rules, *, exact: bool = False) -> Book:
    """The book of a fact sheet; every value stands for the interval that its last digit stands for.

    Args:
        facts: the sheet.
        rules: metrics.
        exact: take the values as they are written instead.
    """
    book = Book(rules)
    scale, _ = unit_scale(facts.unit)
    columns = [read_period(name) for name in facts.periods]
    book.periods = sorted((period for period in columns if period), key=lambda p: (p.year, p.part))
    numbers = [v for row in facts.items.values() for v in row if v is not None]
    decimals = min(6, max((_decimals(float(value)) for value in numbers), default=0))
    half = 0.0 if exact else 0.5 * 10.0**-decimals
    for name, row in facts.items.items():
        metric = rules.canonical(name)
        key = metric.name if metric else name
        factor = scale if metric is None or metric.kind == "money" else 1.0
        for period, value in zip(columns, row, strict=False):
            if period is None or value is None:
                continue
            operand = Operand(key, str(period), float(value) * factor, "facts")
            low, high = (float(value) - half) * factor, (float(value) + half) * factor
            book.add(key, period, Value(low, high, (operand,), f"{key}[{period}]"))
    return book
