"""Compound annual rates of two figures of a text: 从2019年的A增长至2023年的B，年均复合增长g."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence

from reward_model.calc import words
from reward_model.calc.binding import Binding
from reward_model.calc.expected import Expected
from reward_model.calc.formula import Interval, Operand
from reward_model.calc.joined import scale_of
from reward_model.calc.periods import PeriodMention

MOST_YEARS = 60
NEAR = 60
"""Characters before the first figure in which a range of years must begin."""
FORGOTTEN = 10**4
"""By how much the units of two figures differ if one was forgotten."""

YEARS = re.compile(
    r"(?P<near>近|过去|最近)?\s*(?P<n>\d{1,2}|[二两三四五六七八九十])\s*年(?:间|来|的)?\s*"
    r"(?:年均)?(?:复合|CAGR|cagr|年均)"
)
"""近三年复合: over how many years."""
YEAR = re.compile(r"(?:19|20)\d\d")
_DIGITS = dict(zip("二两三四五六七八九十", (2, 2, 3, 4, 5, 6, 7, 8, 9, 10), strict=True))

_Count = tuple[int, str]
"""A number of years, and where it comes from."""


class YearSpans:
    """The ranges of years that a text names, such as 2016-2019年."""

    def __init__(self, periods: Sequence[PeriodMention]) -> None:
        ranges = [(p.start, p.year, p.end_year) for p in periods if p.year is not None and p.end_year]
        self._starts = [start for start, _, _ in ranges]
        self._years = [last - first for _, first, last in ranges]

    def last_in(self, start: int, end: int) -> int | None:
        """The years of the last range that begins in ``start`` to ``end``; None if none does."""
        at = bisect_right(self._starts, end) - 1
        return self._years[at] if at >= bisect_left(self._starts, start) else None


def annual_rates(
    text: str,
    bindings: Sequence[Binding],
    index: int,
    spans: YearSpans,
    old: Interval,
    new: Interval,
    operands: tuple[Operand, ...],
) -> Iterator[Expected]:
    """The rates that the figure ``index`` may be, one for each number of years that the text may mean.

    Args:
        text: the report.
        bindings: of its figures.
        index: of the rate; the two figures before it are the levels.
        spans: the ranges of years that the text names.
        old, new: the levels.
        operands: the levels, as shown.
    """
    if old[0] <= 0 or new[0] <= 0:
        return
    counts = _counts(text, bindings, index, spans)
    first, second = bindings[index - 2].figure, bindings[index - 1].figure
    if first.unit == second.unit and scale_of(first) * FORGOTTEN <= scale_of(second):
        # 由0.26元增长至4.93亿元: a unit forgotten, which is no error of the rate.
        factor = float(scale_of(second) / scale_of(first))
        again = (old[0] * factor, old[1] * factor)
        yield from _rates(counts, again, new, operands, "前一数的单位疑有笔误")
    yield from _rates(counts, old, new, operands, "")


def _counts(text: str, bindings: Sequence[Binding], index: int, spans: YearSpans) -> list[_Count]:
    """The years between the two levels, by their own years or a range, and as the text says."""
    first, second, third = bindings[index - 2 : index + 1]
    counts: list[_Count] = []
    origin = words.FROM.search(first.tail)
    named = origin is not None and YEAR.search(origin["between"])
    if named and YEAR.search(text[first.figure.end : second.figure.start]) and first.period and second.period:
        counts.append((second.period.year - first.period.year, ""))
    else:
        span = spans.last_in(first.figure.start - NEAR, third.figure.start)
        counts += [(span, "")] if span is not None else []
    said = YEARS.search(text[second.figure.end : third.figure.start])
    if said:
        number = _DIGITS.get(said["n"]) or int(said["n"])
        counts.append((number, "按文中年数"))
        if said["near"]:
            counts.append((number - 1, "按文中年数减一"))
    return counts


def _rates(
    counts: Sequence[_Count], old: Interval, new: Interval, operands: tuple[Operand, ...], remark: str
) -> Iterator[Expected]:
    for years, reason in counts:
        if not 0 < years <= MOST_YEARS:
            continue
        corners = [((b / a) ** (1 / years) - 1) * 100 for a in old for b in new]
        yield Expected(
            min(corners),
            max(corners),
            f"(后 / 前) ^ (1/{years}) - 1",
            operands,
            "；".join(part for part in (reason, remark) if part),
            signed=True,
            point=((sum(new) / sum(old)) ** (1 / years) - 1) * 100,
        )
