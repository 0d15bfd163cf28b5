"""Other readings of a figure: what it may be a figure of, if not of what its words say at first sight."""

from __future__ import annotations

from collections.abc import Iterator

from reward_model.calc import judge
from reward_model.calc.binding import Binding, changed
from reward_model.calc.book import Book
from reward_model.calc.expected import Expected, Reading, values_of
from reward_model.calc.figures import Figure
from reward_model.calc.rules import Metric

FAIRLY_PRECISE = 30
PRECISE = 100
"""Units of the last digit that a figure needs for an explanation other than its words' to count."""
VERY_PRECISE = 1000
MOST_PARTNERS = 6
"""Metrics of a sentence that are tried in pairs."""

_Tried = tuple[Reading, int, int]
"""A reading, its sign, and how precise a figure must be for it to count."""


def another_reading(binding: Binding, firm: bool, book: Book) -> tuple[Binding, Expected, judge.Fit] | None:
    """The first other reading that explains a figure to its last digit, the likelier ones first.

    Args:
        binding: what its words say.
        firm: whether they say so for certain: then only the same metric is tried, in periods and roles that
            the sentence leaves open.
        book: what is known.
    """
    figure = binding.figure
    units = judge.significant(figure)
    least, most = float(figure.low), float(figure.high)
    for reading, sign, needed in _readings(binding, firm, book):
        if units < needed:
            continue
        for value in values_of(reading, book):
            # Most candidates are far off: no need to compare them with care.
            if not (value.low <= most and value.high >= least) and not (
                -value.high <= most and -value.low >= least
            ):
                continue
            found = judge.fit(figure, value, sign)
            if found.verdict == "ok":
                fields = reading._asdict()
                del fields["kind"]
                return changed(binding, **fields, sign=sign), value, found
    return None


def _readings(binding: Binding, firm: bool, book: Book) -> Iterator[_Tried]:
    figure, metric, now = binding.figure, binding.metric, binding.period
    kind, basis = figure.kind, binding.basis
    open_periods = not firm or (binding.dated and not binding.explicit) or binding.came_from
    periods = [period for period in reversed(book.periods) if period != now] if open_periods else []
    if metric is not None and (binding.other is not None or binding.group):
        for period in periods:
            reading = Reading(
                binding.role, metric, period, binding.base, binding.other, binding.group, kind, basis
            )
            yield reading, binding.sign, FAIRLY_PRECISE
    if (
        firm
        and binding.long
        and binding.role in ("growth", "delta")
        and metric is not None
        and now is not None
    ):
        yield Reading(binding.role, metric, now, now.back(2), kind=kind), binding.sign, FAIRLY_PRECISE
    metrics = [metric] if metric is not None else []
    if not firm:
        metrics += [other for other in binding.nearby if other is not metric]
    for other in metrics:
        for role in _roles(figure, other):
            for period in [now, *periods] if now is not None else periods:
                change = role in ("growth", "delta")
                near = firm and (period == now or role == binding.role == "level")
                needed = FAIRLY_PRECISE if near else PRECISE
                sign = binding.sign if change and firm else 0
                yield Reading(role, other, period, kind=kind, basis=basis), sign, needed
                if change and not firm:
                    yield Reading(role, other, period, period.back(2), kind=kind), sign, PRECISE
    if not firm:
        yield from _pairs(binding)


def _pairs(binding: Binding) -> Iterator[_Tried]:
    """Two metrics of the sentence: a difference and a sum, a share, a ratio."""
    kind, period = binding.figure.kind, binding.period
    if kind not in ("money", "percent", "multiple", "number") or period is None:
        return
    role = {"money": "gap", "percent": "share"}.get(kind, "ratio")
    near = [metric for metric in binding.nearby if metric.kind == "money"][:MOST_PARTNERS]
    for one in near:
        for two in near:
            if one is two:
                continue
            yield Reading(role, one, period, other=two, kind=kind), 0, VERY_PRECISE
            if role == "gap":
                yield Reading("sum", one, period, group=(one, two), kind=kind), 0, VERY_PRECISE


def _roles(figure: Figure, metric: Metric) -> tuple[str, ...]:
    """What a figure of its kind may be of a metric."""
    kind = metric.kind
    if figure.kind == "percent":
        return ("level",) if kind in ("percent", "multiple") else ("growth",)
    if figure.kind == "points":
        return ("delta",) if kind == "percent" else ()
    if figure.kind in ("money", "days", "count"):
        return ("level", "delta") if kind == figure.kind else ()
    if figure.kind in ("multiple", "number", "turns"):
        return ("level", "delta") if kind in ("multiple", "turns") else ("times",)
    return ()
