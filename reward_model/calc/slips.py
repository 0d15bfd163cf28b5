"""Units written wrong where the number is right: 毛利率提高4.42% for 4.42个百分点, 流动比率1.26% for 1.26."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from reward_model.calc.binding import Binding, changed
from reward_model.calc.figures import Figure


@dataclass(frozen=True, slots=True)
class Slip:
    """A wrong unit: what to say of it, its code as a mistake, and the right unit."""

    reason: str
    mistake: str
    unit: str


POINTS_FOR_PERCENT = Slip("增长率以百分比计，百分点只用于比率之差", "pp_for_percent", "%")
PERCENT_FOR_POINTS = Slip("比率的变动以百分点计，不是百分比", "percent_for_pp", "个百分点")
PERCENT_FOR_TIMES = Slip("该指标以倍计，不带百分号", "percent_for_times", "倍")
TIMES_FOR_PERCENT = Slip("该指标以百分比计，不是倍数", "times_for_percent", "%")
SLIPS = {
    slip.reason: slip
    for slip in (POINTS_FOR_PERCENT, PERCENT_FOR_POINTS, PERCENT_FOR_TIMES, TIMES_FOR_PERCENT)
}
"""Slips by their reasons."""


def meant(binding: Binding) -> Iterator[tuple[Slip | None, Binding]]:
    """What a figure with an odd unit may mean, the right reading of its unit first (with None for a slip)."""
    metric, figure = binding.metric, binding.figure
    if metric is None:
        return
    if binding.role == "growth_in_points":
        yield POINTS_FOR_PERCENT, changed(binding, role="growth")
    elif binding.role == "delta" and figure.kind == "percent" and metric.kind == "percent":
        yield None, changed(binding, role="growth")  # a rate of a rate
        yield PERCENT_FOR_POINTS, changed(binding, figure=_as(figure, "points"))
    elif binding.role == "level" and figure.kind == "percent" and metric.kind == "multiple":
        yield None, binding
        yield PERCENT_FOR_TIMES, changed(binding, figure=_as(figure, "multiple"))
    elif binding.role == "" and figure.kind == "multiple" and metric.kind == "percent":
        yield TIMES_FOR_PERCENT, changed(binding, role="level", figure=_as(figure, "percent"))


def _as(figure: Figure, kind: str) -> Figure:
    return replace(figure, kind=kind)
