"""Lists: 「A、B分别为x、y」 and 「三年分别为x、y、z」 in order, 「A与B合计z」 as a sum."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from reward_model.calc import words
from reward_model.calc.annotated import AnnotatedText
from reward_model.calc.binding import Binding, changed
from reward_model.calc.book import Period
from reward_model.calc.joined import LIST
from reward_model.calc.pairs import AND
from reward_model.calc.periods import PeriodMention
from reward_model.calc.rules import Metric
from reward_model.calc.surroundings import Surroundings

MOST_YEARS = 12
"""Of a span such as 2016-2024年 whose figures are listed."""

N_YEARS = re.compile("([两三])年(?:[^。；;]{0,18}(?:分别|依次)(?:为|是)?|(?:各)?(?:为|是))")
"""三年分别为: the figures of the last years follow."""
OVER_YEARS = re.compile("[两三]年")
"""Before a sum: it is over years."""
TIGHT = re.compile(r"\s*[、和与及＋+]\s*|以及")
"""Between the names of a sum: nothing else."""
EXPENSE = re.compile("(?:销售|管理|研发|财务)费用(率)?")
"""An expense, or its rate."""
ELIDED = re.compile("(?:(?:销售|管理|研发|财务)(?:、|和|与|及|以及))+$")
"""Before 研发费用: expenses without their second half (管理、研发费用)."""
SHORTS = re.compile("销售|管理|研发|财务")

_COUNTS = {"两": 2, "三": 3}


def with_list(note: AnnotatedText, binding: Binding, here: Surroundings) -> Binding:
    """``binding`` with the metric and period that a list gives its figure, or as a sum."""
    carried = here.carried
    several = N_YEARS.search(here.left)
    apart = several is not None or words.RESPECTIVELY.search(here.left) is not None
    periods = note.periods_in(here.start, here.figure.start)
    announced = apart or _are_listed(note, periods)
    if announced:
        count = _COUNTS[several[1]] if several else 0
        carried.queue = _queue(note, binding, here, periods, apart, count)
        carried.queue_kind, carried.apart = binding.figure.kind, apart
    elif here.inside or binding.figure.kind != carried.queue_kind:
        carried.queue = []
    if carried.queue:
        return _next(binding, here, announced)
    return _over_years(binding, here) or _sum(note, binding, here) or binding


def _are_listed(note: AnnotatedText, periods: Sequence[PeriodMention]) -> bool:
    """Whether periods are named one after the other, with nothing but 、 and the like between them."""
    return len(periods) > 1 and all(
        AND.fullmatch(note.text[one.end : two.start].strip()) for one, two in pairwise(periods)
    )


def _queue(
    note: AnnotatedText,
    binding: Binding,
    here: Surroundings,
    periods: Sequence[PeriodMention],
    apart: bool,
    count: int,
) -> list[tuple[Metric | None, Period | None]]:
    """What the figures of a list are of, in order; empty if it can't be told.

    Args:
        note: the text.
        binding: of the first figure.
        here: where that stands.
        periods: named before it.
        apart: 分别 announces the list.
        count: the years that 两年 or 三年 announces; 0 without.
    """
    metrics = in_full(note, here) if apart else []
    if apart and not here.inside and len(periods) < 2 and not count:
        metrics = _named_before(note, here)
    when = [note.period_of(period) for period in periods]
    span = next((period for period in periods if period.end_year), None)
    if span is not None and span.year is not None and span.end_year is not None:
        when = [Period(year) for year in range(span.year, min(span.end_year, span.year + MOST_YEARS) + 1)]
    if count and len(metrics) <= 1:
        when = [note.now.back(back) for back in range(count - 1, -1, -1)]
    if len(when) > 1 and len(metrics) <= 1:
        return [(binding.metric, period) for period in when]
    return [(metric, binding.period) for metric in metrics] if len(metrics) > 1 else []


def _next(binding: Binding, here: Surroundings, first: bool) -> Binding:
    """The next figure of a list; what the ``first`` one claims, they all do."""
    metric, period = here.carried.queue.pop(0)
    previous = here.previous
    if not here.inside and previous is not None and not first:
        binding = changed(binding, role=previous.role, sign=previous.sign, base=previous.base)
    alone = bool(here.inside) or not words.residue(here.left)
    return changed(
        binding,
        metric=metric,
        period=period,
        subject=metric.name if metric else binding.subject,
        explicit=True,
        firm=alone and (here.carried.apart or binding.firm),
    )


def _over_years(binding: Binding, here: Surroundings) -> Binding | None:
    """「三年累计净利润」: a sum over the last years."""
    over = OVER_YEARS.search(here.left)
    if not over or not here.inside or binding.figure.kind != "money" or not words.SUM.search(here.left):
        return None
    before = here.left[: here.inside[-1].start - here.start][-8:]
    plain = not words.residue(OVER_YEARS.sub("", before))
    return changed(
        binding,
        role="years",
        years_back=_COUNTS[over[0][0]],
        sign=0,
        firm=plain and len(here.inside) == 1,
    )


def _sum(note: AnnotatedText, binding: Binding, here: Surroundings) -> Binding | None:
    """「A与B合计」, 「管理、研发费用合计」."""
    inside = here.inside
    group = tuple({metric.name: metric for metric in in_full(note, here)}.values())
    if len(group) < 2 or binding.role not in ("level", "delta"):
        return None
    last = note.joint(inside[-2], inside[-1]) if len(inside) > 1 else "和"
    summed = words.SUM.search(note.text[inside[-1].end : here.figure.start]) is not None
    if not summed and not AND.fullmatch(last):
        return None
    tight = all(TIGHT.fullmatch(note.text[one.end : two.start]) for one, two in pairwise(inside))
    role = "sum_delta" if binding.role == "delta" else "sum"
    return changed(binding, role=role, group=group, firm=binding.firm and tight and summed)


def _named_before(note: AnnotatedText, here: Surroundings) -> list[Metric]:
    """The metrics of the figures before: 「ROA为a，ROE为b，分别较上年下降c和d」."""
    at, figures = here.index, note.figures
    count = 1
    while at + count < len(figures) and LIST.fullmatch(
        note.text[figures[at + count - 1].end : figures[at + count].start]
    ):
        count += 1
    levels = list(dict.fromkeys(metric for metric, role in here.carried.seen if role == "level"))
    return levels[-count:] if 1 < count <= len(levels) else []


def in_full(note: AnnotatedText, here: Surroundings) -> list[Metric]:
    """The metrics of the list before a figure, shared ends filled in: 管理、研发费用; 应收与存货周转天数."""
    inside = here.inside
    first = len(inside)
    while first > 1 and AND.fullmatch(note.joint(inside[first - 2], inside[first - 1])):
        first -= 1
    metrics: list[Metric] = []
    for mention in inside[max(0, first - 1) :]:
        kind = EXPENSE.fullmatch(mention.metric.name)
        before = note.text[max(here.start, mention.start - 12) : mention.start]
        if kind and (shorts := ELIDED.search(before)):
            rate = kind[1] or ""
            metrics += [note.rules.metrics[f"{short}费用{rate}"] for short in SHORTS.findall(shorts[0])]
        metrics.append(mention.metric)
    if here.figure.kind == "days" and metrics and metrics[-1].kind == "days":
        found = [m if m.kind == "days" else note.rules.canonical(f"{m.name}周转天数") for m in metrics]
        metrics = [metric for metric in found if metric is not None]
    return metrics
