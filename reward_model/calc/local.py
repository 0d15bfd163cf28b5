"""Equations that a text states itself: from A to B, that is C; A, against B a year ago, up C; A, up D or C.

They need no fact sheet and no known metric, only that the figures have one subject.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from reward_model.calc import words
from reward_model.calc.binding import Binding
from reward_model.calc.expected import Expected
from reward_model.calc.figures import Figure
from reward_model.calc.formula import Interval, Operand
from reward_model.calc.joined import scale_of
from reward_model.calc.periods import PeriodMention
from reward_model.calc.rates import YearSpans, annual_rates
from reward_model.calc.totals import operands_of, total

LONGEST_GAP = 40
"""Characters between the two figures that a change is of."""
LONGEST_ORIGIN = 30
"""Characters before the first of them in which 由 or 从 must stand."""
KINDS = frozenset({"money", "percent", "count", "number", "days", "turns", "multiple"})
"""Of figures that change."""

AGAINST = re.compile(
    r"(?:(?:较|比|对比|相较于?|相比|高于|低于|为)?"
    r"(?:上年同期|去年同期|上年末|去年末|上年|去年|年初|期初|上期|前一?年|前值)|"
    r"(?:较|比|对比|相较于?|高于|低于|[（(])(?:19|20)\d\d年[^，,。；;]{0,6}?)"
    r"(?:的|为|是|约|同期|末|底|\s)*$"
)
"""Between two figures: the second is that of the year before."""
OTHER_SPAN = re.compile(r"[两三四五]年|累计|(?:19|20)\d\d年|(?:上年|去年)(?![同末])")
"""Before a change: it is over another span than that of the two figures."""
AGAIN = re.compile(r"[，,（(]?(?:也?即|折合|合|约合|相当于)(?:约|为)?")
"""All that stands between an amount and the same in another unit."""
GAP_END = re.compile("[。；;]")
"""Between two figures of different subjects."""
ASIDE = re.compile(r"\d+\s*年|期间|[（(]即?|\*+|从.{0,4}幅度看")
"""Before a change: words that name no other subject."""
GAP_ASIDE = re.compile(r"[\d]+月(?:末|底)?|前值|实际|假设|周均|周[一二三四五六日]")
"""Between two figures: words that name no other subject."""
NO_DIGITS = re.compile(r"[^\d.]")


class _Pair(NamedTuple):
    """Two levels of one subject, as intervals, and the figures that state them."""

    old: Interval
    new: Interval
    operands: tuple[Operand, ...]
    kind: str


def equations(
    text: str, bindings: Sequence[Binding], periods: Sequence[PeriodMention]
) -> dict[int, list[Expected]]:
    """What figures should be by the figures before them: index of the figure to values, each in its unit.

    Args:
        text: the report.
        bindings: of its figures, in order.
        periods: that it names, in order.
    """
    found: dict[int, list[Expected]] = {}
    spans = YearSpans(periods)
    for index, binding in enumerate(bindings):
        if binding.figure.cell:
            continue
        alone = total(text, bindings, index) or _again(text, bindings, index)
        if alone is not None:
            found[index] = [alone]
        elif binding.figure.kind in ("percent", "points"):
            values = list(_changes(text, bindings, index, spans))
            if values:
                found[index] = values
    return found


def _again(text: str, bindings: Sequence[Binding], index: int) -> Expected | None:
    """「0.38亿元，即3800万元」: the same amount in another unit."""
    if index == 0:
        return None
    one, two = bindings[index - 1].figure, bindings[index].figure
    if one.kind != two.kind or one.unit != two.unit or one.kind not in ("money", "count") or one.is_range:
        return None
    if not AGAIN.fullmatch(text, one.end, two.start) or scale_of(one) == scale_of(two):
        return None
    operands = operands_of([bindings[index - 1]])
    return Expected(float(one.low), float(one.high), one.text, operands, point=float(one.value))


# -- changes -------------------------------------------------------------------------------------------------


def _changes(text: str, bindings: Sequence[Binding], index: int, spans: YearSpans) -> Iterator[Expected]:
    """What a change should be by the two levels before it."""
    second, third = bindings[index - 1], bindings[index]
    pair = _pair(text, bindings, index)
    if pair is None or third.metric is not second.metric:
        return
    left = text[second.figure.end : third.figure.start]
    compound = words.COMPOUND.search(left) is not None
    if not _continues(left) or (OTHER_SPAN.search(left) and not compound):
        return
    (old_low, old_high), (new_low, new_high) = pair.old, pair.new
    before, after = (old_low + old_high) / 2, (new_low + new_high) / 2
    if third.figure.kind == "points":
        low, high = new_low - old_high, new_high - old_low
        yield Expected(low, high, "后 - 前", pair.operands, signed=True, point=after - before)
    elif pair.kind == "percent":
        return
    elif compound or words.COMPOUND.match(text[third.figure.end : third.figure.end + 8]):
        yield from annual_rates(text, bindings, index, spans, pair.old, pair.new, pair.operands)
    elif old_low > 0 or old_high < 0:
        corners = [(n - o) / abs(o) * 100 for n in (new_low, new_high) for o in (old_low, old_high)]
        point = (after - before) / abs(before) * 100
        yield Expected(min(corners), max(corners), "后 / 前 - 1", pair.operands, signed=True, point=point)


def _continues(left: str) -> bool:
    """Whether the words before a change name nothing but the change."""
    changed = words.CHANGE.search(left) or words.RATE_NOUN.search(left) or words.COMPOUND.search(left)
    if changed is None:
        return False
    cleaned = words.COMPOUND.sub("", ASIDE.sub("", left))
    return len(words.residue(words.PLAIN_YEARS.sub("", cleaned))) <= 1


def _plain(gap: str) -> bool:
    """Whether nothing but glue and periods lies between two figures of one subject."""
    return len(words.residue(words.PLAIN_YEARS.sub("", GAP_ASIDE.sub("", gap)))) <= 1


def _pair(text: str, bindings: Sequence[Binding], index: int) -> _Pair | None:
    """The old and the new level of the change at ``index``, from the two figures before it."""
    if index < 2:
        return None
    first, second, third = bindings[index - 2 : index + 1]
    a, b = first.figure, second.figure
    if third.sentence != first.sentence or a.is_range or b.is_range or a.kind not in KINDS:
        return None
    if a.kind != "number" and (a.kind != b.kind or a.unit != b.unit):
        return None
    gap = text[a.end : b.start]
    if len(gap) > LONGEST_GAP or GAP_END.search(gap):
        return None
    one = _scaled(a, b) if a.kind == "number" and b.kind in ("money", "count") else _interval(a)
    two = _interval(b)
    moved = words.CHANGE.search(gap) is not None
    origin = words.FROM.search(text[max(0, a.start - LONGEST_ORIGIN) : a.start])
    operands = operands_of([second, first])
    if origin and words.reached(gap) and _plain(gap):
        return _Pair(one, two, operands, a.kind)
    if not moved and AGAINST.search(gap) and _plain(AGAINST.sub("", gap)):
        return _Pair(two, one, operands, a.kind)
    if moved and b.kind in ("money", "count") and not words.reached(gap) and _plain(gap):
        # A，较上年的B增加D，增长g: g is of A and B.
        compared = _compared(text, bindings, index)
        if compared is not None:
            return compared
        sign = words.direction(gap)
        ends = [level - sign * change for level in one for change in two]
        return _Pair((min(ends), max(ends)), one, operands, a.kind)
    return None


def _compared(text: str, bindings: Sequence[Binding], index: int) -> _Pair | None:
    """A year before's B and A, where the figures before a change are A, B, and their difference."""
    if index < 3:
        return None
    one, two = bindings[index - 3], bindings[index - 2]
    a, b = one.figure, two.figure
    if a.kind != b.kind or a.unit != b.unit or one.sentence != two.sentence or a.is_range or b.is_range:
        return None
    gap = text[a.end : b.start]
    if not AGAINST.search(gap) or not _plain(AGAINST.sub("", gap)):
        return None
    return _Pair(_interval(b), _interval(a), operands_of([two, one]), a.kind)


def _interval(figure: Figure) -> Interval:
    return float(figure.low), float(figure.high)


def _scaled(a: Figure, b: Figure) -> Interval:
    """A bare number in the unit of the figure behind it."""
    number = NO_DIGITS.sub("", b.text)
    scale = float(b.value) / float(number) if number and float(number) else 1.0
    return float(a.low) * scale, float(a.high) * scale
