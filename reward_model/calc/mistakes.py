"""By which mistake a wrong figure came about, as far as it or another value of the facts tells."""

from __future__ import annotations

import math

from reward_model.calc import judge
from reward_model.calc.binding import Binding, changed
from reward_model.calc.book import Book
from reward_model.calc.expected import Expected
from reward_model.calc.figures import Figure
from reward_model.calc.findings import explains
from reward_model.calc.readings import PRECISE
from reward_model.calc.rules import Rules
from reward_model.calc.written import digits_of, written

MISTAKES = {
    "sign": "方向写反",
    "wan_yi": "单位差一万倍（万/亿）",
    "decimal": "小数点错位",
    "base_year": "与另一年度的数相符",
    "neighbouring_line": "与相邻项目的数相符",
    "pp_for_percent": "百分比写成百分点",
    "percent_for_pp": "百分点写成百分比",
    "percent_for_times": "倍写成百分比",
    "times_for_percent": "百分比写成倍",
    "digit_swap": "数字换位",
    "stale_level": "把水平当作变动，或把变动当作水平",
}
"""Codes of mistakes, and what they are called."""

FACTORS = {1e4: "wan_yi", 1e-4: "wan_yi", 10: "decimal", 0.1: "decimal", 100: "decimal", 0.01: "decimal"}
"""By what a figure is too large or too small."""
NEAR = 2e-3
"""How near to such a factor it must be."""


def mistake_of(binding: Binding, value: Expected, opposite: bool, rules: Rules, book: Book) -> str | None:
    """The likely mistake of a wrong figure as a code; None if unknown.

    Args:
        binding: what the figure claims.
        value: what it should be.
        opposite: its size is right and its direction wrong.
        rules: metrics.
        book: the values that it may have been taken from.
    """
    return _by_numbers(binding.figure, value, opposite) or _by_book(binding, rules, book)


def _by_numbers(figure: Figure, value: Expected, opposite: bool) -> str | None:
    """A mistake that the two numbers alone explain."""
    if opposite:
        return "sign"
    stated, true = abs(float(figure.value)), abs(value.middle)
    if not stated or not true:
        return None
    if judge.significant(figure) >= PRECISE:
        for factor, name in FACTORS.items():
            if math.isclose(stated / true, factor, rel_tol=NEAR):
                return name
    right = written(figure, value.middle, keep_sign=False)
    return "digit_swap" if _swapped(digits_of(figure.text), digits_of(right)) else None


def _swapped(ours: str, theirs: str) -> bool:
    """Whether two neighbouring digits changed places."""
    if len(ours) != len(theirs):
        return False
    places = [index for index, (a, b) in enumerate(zip(ours, theirs, strict=True)) if a != b]
    if len(places) != 2 or places[1] != places[0] + 1:
        return False
    one, two = places
    return ours[one] == theirs[two] and ours[two] == theirs[one]


def _by_book(binding: Binding, rules: Rules, book: Book) -> str | None:
    """A mistake that another value of the book explains."""
    metric, period, role = binding.metric, binding.period, binding.role
    if metric is None or period is None or judge.significant(binding.figure) < PRECISE:
        return None
    plain = changed(binding, base=None)
    for other in book.periods:
        if other != period and explains(changed(plain, period=other), book):
            return "base_year"
    if role in ("growth", "delta") and explains(changed(plain, base=period.back(2)), book):
        return "base_year"
    swapped = {"level": "delta", "delta": "level"}.get(role)
    if swapped and explains(changed(plain, role=swapped), book):
        return "stale_level"
    if role == "delta" and metric.kind == "percent" and explains(changed(plain, role="growth"), book):
        return "pp_for_percent"
    if role not in ("level", "growth", "delta"):
        return None
    for name in book.metrics():
        near = rules.metrics.get(name)
        if near is None or near is metric or near.kind != metric.kind:
            continue
        if explains(changed(plain, metric=near), book):
            return "neighbouring_line"
    return None
