"""What a text states itself: the year it reports on, and levels that its other figures are held against."""

from __future__ import annotations

from collections.abc import Sequence

from reward_model.calc import judge
from reward_model.calc.binding import Binding
from reward_model.calc.book import Book, Period
from reward_model.calc.figures import Figure
from reward_model.calc.formula import Operand, Value
from reward_model.calc.periods import PeriodMention
from reward_model.calc.rules import Metric, Rules

OPENING = 120
"""Characters at the beginning of a text without facts in which its year must be named."""
TITLE = 40
"""Characters at the beginning of a text in which a year is that of the report."""


def current_year(periods: Sequence[PeriodMention], facts: Book | None) -> int:
    """The year that a text reports on; 0 if it names none and there are no facts.

    Args:
        periods: all that the text names.
        facts: the fact sheet, if there is one: its last year, unless the text begins with an earlier one and
            never names the last.
    """
    if facts is not None and facts.periods:
        last = facts.periods[-1].year
        known = {period.year for period in facts.periods}
        first = next((p for p in periods if p.year is not None and p.start < TITLE), None)
        if (
            first is not None
            and first.year in known
            and not any((p.end_year or p.year) == last for p in periods)
        ):
            return first.year or last
        return last
    # Years that text or table begin with; without one, "this year" has no number.
    return max((p.year for p in periods if p.year is not None and p.start < OPENING), default=0)


def stated_book(rules: Rules, bindings: Sequence[Binding]) -> Book:
    """Every level that a text states of a metric for certain, the first time that it does."""
    book = Book(rules)
    periods: set[Period] = set()
    for binding in bindings:
        figure, metric, period = binding.figure, binding.metric, binding.period
        if binding.role != "level" or not binding.firm or binding.supposed:
            continue
        if not binding.explicit and binding.dated and not binding.came_from:
            continue  # of which year is a guess
        if metric is None or period is None or figure.hedge or figure.coarse or figure.is_range:
            continue
        if not _same_kind(figure, metric):
            continue
        low, high = judge.bounds(figure, 0, False)
        value = -float(figure.value) if figure.loss and figure.value > 0 else float(figure.value)
        operand = Operand(metric.name, str(period), value, "text")
        book.add(metric.name, period, Value(low, high, (operand,), f"{metric.name}[{period}]"))
        periods.add(period)
    book.periods = sorted(periods)
    return book


def _same_kind(figure: Figure, metric: Metric) -> bool:
    if metric.kind == figure.kind:
        return True
    return metric.kind in ("multiple", "turns") and figure.kind in ("number", "multiple", "turns")
