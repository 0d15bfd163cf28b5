"""What a bound figure should be: every accepted way to compute it from a book."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from reward_model.calc.binding import Binding
from reward_model.calc.book import Book, Period
from reward_model.calc.formula import Operand, Value
from reward_model.calc.rules import Metric

TINY = 1e-9


class Expected(NamedTuple):
    """A value that a figure may have, with its sign, in the figure's own unit.

    Attributes:
        low, high: the interval it lies in.
        formula: how it comes about.
        operands: from what.
        note: the accepted variant, where there are several.
        signed: whether its sign means a rise or a fall (growth and differences).
        point: the value from the operands as written, where it isn't the middle of the interval.
    """

    low: float
    high: float
    formula: str
    operands: tuple[Operand, ...]
    note: str = ""
    signed: bool = False
    point: float | None = None

    @property
    def middle(self) -> float:
        """The value to show."""
        return (self.low + self.high) / 2


class Reading(NamedTuple):
    """One thing that a figure may be a figure of; fields as in :class:`reward_model.calc.binding.Binding`."""

    role: str
    metric: Metric
    period: Period
    base: Period | None = None
    other: Metric | None = None
    group: tuple[Metric, ...] = ()
    kind: str = ""
    basis: str = ""
    years_back: int = 0


def expected(binding: Binding, book: Book) -> list[Expected]:
    """Every accepted value of what ``binding`` claims; empty where the book can't say."""
    if binding.metric is None or binding.period is None:
        return []
    return values_of(
        Reading(
            binding.role,
            binding.metric,
            binding.period,
            binding.base,
            binding.other,
            binding.group,
            binding.figure.kind,
            binding.basis,
            binding.years_back,
        ),
        book,
    )


def values_of(reading: Reading, book: Book) -> list[Expected]:
    """Every accepted value of a reading; kept in the book, since a text asks for the same again and again."""
    found: list[Expected] | None = book.computed.get(reading)
    if found is None:
        found = book.computed[reading] = _compute(reading, book)
    return found


def _compute(reading: Reading, book: Book) -> list[Expected]:
    role, metric, period = reading.role, reading.metric, reading.period
    if reading.base is not None and reading.base.year >= period.year:
        return []
    base = reading.base or period.back()
    if role == "level":
        return _on_basis(list(_levels(book, metric, period, reading.kind)), reading.basis)
    if role == "growth":
        return list(growth(book, metric, period, base))
    if role == "cagr":
        return list(_compound(book, metric, period, reading.base))
    if role == "delta":
        return list(_deltas(book, metric, period, base))
    if role == "times":
        return list(_times(book, metric, period, base))
    if role == "more":
        return [_more(value, reading.kind == "doublings") for value in _times(book, metric, period, base)]
    if role == "years":
        return list(_over_years(book, metric, period, reading.years_back))
    if reading.other is not None:
        return list(_pairs(book, metric, reading.other, period, role))
    return list(_sums(book, reading.group, period, base, role)) if reading.group else []


def shown(name: str, period: Period) -> str:
    """A metric in a period, as formulas write it."""
    return f"{name}[{period}]"


def _formula(metric: Metric, period: Period, value: Value) -> str:
    plain = shown(metric.name, period)
    return plain if value.formula.startswith(f"{metric.name}[") else f"{plain} = {value.formula}"


def _levels(book: Book, metric: Metric, period: Period, kind: str) -> Iterator[Expected]:
    factor = 100.0 if kind == "percent" and metric.kind in ("multiple", "turns") else 1.0
    if kind in ("multiple", "number") and metric.kind == "percent":
        factor = 0.01 if kind == "multiple" else 1.0
    for note, value in book.levels(metric, period):
        slack = metric.tolerance * factor
        yield Expected(
            value.low * factor - slack,
            value.high * factor + slack,
            _formula(metric, period, value),
            value.operands,
            note,
        )


def _both(book: Book, metric: Metric, period: Period, base: Period) -> Iterator[tuple[str, Value, Value]]:
    """The same variant of a metric in two periods."""
    before = dict(book.levels(metric, base))
    for note, value in book.levels(metric, period):
        if note in before:
            yield note, before[note], value


def _bounds(values: list[float]) -> tuple[float, float]:
    return min(values), max(values)


def growth(book: Book, metric: Metric, period: Period, base: Period) -> Iterator[Expected]:
    """cur / base - 1 in percent; with a negative base, the change over its size too."""
    for note, old, new in _both(book, metric, period, base):
        if old.low <= 0 <= old.high:
            continue
        corners = [(n - o) / abs(o) * 100 for n in (new.low, new.high) for o in (old.low, old.high)]
        low, high = _bounds(corners)
        name = metric.name
        formula = f"{shown(name, period)} / {shown(name, base)} - 1"
        if old.high < 0:
            formula = f"({shown(name, period)} - {shown(name, base)}) / |{shown(name, base)}|"
        yield Expected(low, high, formula, (*new.operands, *old.operands), note, signed=True)


def _compound(book: Book, metric: Metric, period: Period, base: Period | None) -> Iterator[Expected]:
    start = base or (book.periods[0] if book.periods else None)
    if start is not None and base is None and period == start:
        period = book.periods[-1]  # 2022-2024年 names the first year and means the last
    if start is None or start.year >= period.year:
        return
    years = period.year - start.year
    for note, old, new in _both(book, metric, period, start):
        if old.low <= 0 or new.low <= 0:
            continue
        corners = [
            ((n / o) ** (1 / years) - 1) * 100 for n in (new.low, new.high) for o in (old.low, old.high)
        ]
        low, high = _bounds(corners)
        formula = f"({shown(metric.name, period)} / {shown(metric.name, start)}) ^ (1/{years}) - 1"
        yield Expected(low, high, formula, (*new.operands, *old.operands), note, signed=True)


def _deltas(book: Book, metric: Metric, period: Period, base: Period) -> Iterator[Expected]:
    for note, old, new in _both(book, metric, period, base):
        slack = metric.tolerance
        formula = f"{shown(metric.name, period)} - {shown(metric.name, base)}"
        yield Expected(
            new.low - old.high - slack,
            new.high - old.low + slack,
            formula,
            (*new.operands, *old.operands),
            note,
            signed=True,
        )


def _times(book: Book, metric: Metric, period: Period, base: Period) -> Iterator[Expected]:
    for note, old, new in _both(book, metric, period, base):
        if old.low <= 0:
            continue
        low, high = _bounds([n / o for n in (new.low, new.high) for o in (old.low, old.high)])
        formula = f"{shown(metric.name, period)} / {shown(metric.name, base)}"
        yield Expected(low, high, formula, (*new.operands, *old.operands), note)


def _pairs(book: Book, metric: Metric, other: Metric, period: Period, role: str) -> Iterator[Expected]:
    for _, one in book.levels(metric, period)[:2]:
        for _, two in book.levels(other, period)[:2]:
            operands = (*one.operands, *two.operands)
            names = shown(metric.name, period), shown(other.name, period)
            if role == "gap":
                yield Expected(
                    one.low - two.high, one.high - two.low, f"{names[0]} - {names[1]}", operands, signed=True
                )
            elif not two.low <= 0 <= two.high:
                factor = 100.0 if role == "share" else 1.0
                quotients = [a / b * factor for a in (one.low, one.high) for b in (two.low, two.high)]
                yield Expected(*_bounds(quotients), f"{names[0]} / {names[1]}", operands)


def _sums(
    book: Book, group: tuple[Metric, ...], period: Period, base: Period, role: str
) -> Iterator[Expected]:
    parts: list[Expected] = []
    for metric in group:
        found = (
            _levels(book, metric, period, "money") if role == "sum" else _deltas(book, metric, period, base)
        )
        first = next(found, None)
        if first is None:
            return
        parts.append(first)
    yield Expected(
        sum(part.low for part in parts),
        sum(part.high for part in parts),
        " + ".join(f"({part.formula})" if " " in part.formula else part.formula for part in parts),
        tuple(operand for part in parts for operand in part.operands),
        signed=role != "sum",
    )


def _on_basis(values: list[Expected], basis: str) -> list[Expected]:
    """Those on the balance that the words name, if any is."""
    return [value for value in values if basis and basis in value.note] or values


def _more(value: Expected, doubled: bool) -> Expected:
    """增长X倍 is X times more than before; 翻一番 is twice as much."""
    if doubled:
        low, high = (math.log2(max(x, TINY)) for x in (value.low, value.high))
        return Expected(low, high, f"log2({value.formula})", value.operands, value.note, signed=True)
    return Expected(
        value.low - 1, value.high - 1, f"{value.formula} - 1", value.operands, value.note, signed=True
    )


def _over_years(book: Book, metric: Metric, period: Period, count: int) -> Iterator[Expected]:
    rows = [dict(book.levels(metric, period.back(back))) for back in range(count)]
    for note in rows[0]:
        values = [row[note] for row in rows if note in row]
        if len(values) == count:
            yield Expected(
                sum(value.low for value in values),
                sum(value.high for value in values),
                " + ".join(shown(metric.name, period.back(back)) for back in reversed(range(count))),
                tuple(operand for value in values for operand in value.operands),
                note,
            )
