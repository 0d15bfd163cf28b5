"""What a figure of running text claims: of which metric, when, and whether as a level, a change or a share.

A figure is bound by the words between it and the figure before. It is bound *firmly* only if nothing but glue
(:data:`reward_model.calc.words.GLUE`) stands between it and the name of its metric: only such a figure can be
called wrong. Whatever else is left may be confirmed, never refuted.
"""

from __future__ import annotations

from dataclasses import dataclass

from reward_model.calc.book import Period
from reward_model.calc.figures import Figure
from reward_model.calc.rules import Metric


@dataclass(frozen=True)
class Binding:
    """What a figure claims.

    Attributes:
        figure: the figure.
        role: "level", "growth" (percent against a base), "delta" (difference to a base), "cagr", "share"
            (percent of ``other``), "ratio" (times ``other``), "gap" (difference to ``other``), "times"
            (multiple of its own base), "more" (by how many times it grew), "growth_in_points" (a growth
            written as 个百分点), "years" (sum of ``years_back`` periods), "sum" (of ``group``), "sum_delta",
            or "" if nothing is known.
        metric: of what.
        period: when.
        base: what a change is against; None for the year before.
        other: the second metric of a share, ratio or gap.
        group: the metrics of a sum.
        sign: +1 or -1 as the words say, 0 if they don't.
        firm: nothing else stood between the metric's name and the figure.
        explicit: the period was named in the same clause.
        subject: whose figure it is by the text itself: the metric's name, or the words in its place.
        supposed: the sentence tells of what may be, or of a yardstick.
        nearby: all metrics of the sentence and the one carried into it.
        sequential: against the quarter or month before.
        tail: the words between the metric's name and the figure.
        sentence: the number of the sentence in its text.
        long: the sentence looks back further than a year.
        dated: the sentence names a period.
        came_from: it is where something moved from.
        basis: "期末" or "平均" where the words say which balance a ratio is on.
        years_back: the periods that a sum is over.
        worded: its words are as firm as can be, whatever its unit.
    """

    figure: Figure
    role: str = ""
    metric: Metric | None = None
    period: Period | None = None
    base: Period | None = None
    other: Metric | None = None
    group: tuple[Metric, ...] = ()
    sign: int = 0
    firm: bool = False
    explicit: bool = False
    subject: str = ""
    supposed: bool = False
    nearby: tuple[Metric, ...] = ()
    sequential: bool = False
    tail: str = ""
    sentence: int = 0
    long: bool = False
    dated: bool = False
    came_from: bool = False
    basis: str = ""
    years_back: int = 0
    worded: bool = False


def changed(binding: Binding, **fields: object) -> Binding:
    """``dataclasses.replace`` at a fifth of its cost: a text makes thousands of readings."""
    other = object.__new__(Binding)
    other.__dict__.update(binding.__dict__)
    other.__dict__.update(fields)
    return other


_KINDS = {
    "money": ("money", "number"),
    "percent": ("percent", "points", "number"),
    "days": ("days", "number"),
    "multiple": ("multiple", "number", "turns", "percent"),
    "turns": ("multiple", "number", "turns"),
    "count": ("count", "number", "money"),
}
"""The kinds that figures of a kind of metric are written in."""


def compatible(binding: Binding) -> Binding:
    """A figure of a kind that its metric can't have claims nothing that can be refuted."""
    metric, figure = binding.metric, binding.figure
    if metric is None or binding.other is not None or binding.role not in ("level", "delta"):
        return binding
    if figure.kind not in _KINDS[metric.kind]:
        return changed(binding, role="", firm=False, worded=binding.firm and binding.role == "level")
    if figure.kind == "percent" and metric.kind == "multiple":
        return changed(binding, firm=False, worded=binding.firm)
    return binding
