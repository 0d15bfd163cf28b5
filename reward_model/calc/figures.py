"""Every figure of a text: value, unit, the interval that its last digit stands for, sign, hedge."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from heapq import merge
from itertools import islice
from operator import attrgetter

from reward_model.calc.figures_in_digits import in_digits
from reward_model.calc.figures_in_words import in_words
from reward_model.calc.hedges import hedge_of, is_loss, loss_moved
from reward_model.calc.layout import Row, narrow, table_rows
from reward_model.calc.periods import PeriodMention, find_periods
from reward_model.calc.units import Amount


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure as written.

    Attributes:
        start, end: character offsets, ``text[start:end] == self.text``; sign, brackets and unit are inside,
            hedges not.
        text: as written.
        kind: "money", "percent", "points", "days", "turns", "multiple", "doublings", "count" or "number".
        unit: canonical base unit: "元" (also "元/股"), "美元" ..., "%", "pp", "天", "次", "倍", "番",
            a measure word; "" for a bare number.
        value: in the base unit: 12.3亿元 is 1230000000, 3成 is 30 (percent), 15bp is 0.15 (points).
        step: what the last digit written stands for, in the base unit.
        low, high: ``value`` -/+ half a ``step``; of a range the lowest low and the highest high, and
            ``value`` is its middle.
        signed: a sign was written, brackets that mean negative included.
        loss: 亏损 stands directly before it; ``value`` is what is written.
        hedge: "about" (约, 左右), "over" (超过, 以上, 不低于), "under" (不到, 近, 以内, 不超过) or "".
        is_range: two ends are written: 10%-15%.
        coarse: in words that nobody means exactly: 三成, 一半, 四分之一, 两倍.
        cell: in a row of a Markdown table.
    """

    start: int
    end: int
    text: str
    kind: str
    unit: str
    value: Decimal
    step: Decimal
    low: Decimal
    high: Decimal
    signed: bool = False
    loss: bool = False
    hedge: str = ""
    is_range: bool = False
    coarse: bool = False
    cell: bool = False


_LINK = re.compile(r"(?:https?://|www\.)[!-'*-~]++|(?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]++@[A-Za-z0-9.-]++")
_JOINT = re.compile(r" ?(?:[-–—−~]|——) ?|至|到")
# Before a figure that is where something came from (由A至B), or by how much it moved (增加A至B).
_MOVED = re.compile(
    r"[由从自][^，,。；;、\n]{0,12}$|(?:[加少长升降高低大窄落滑涨跌增减调省缩砍压扣回了出超]|反弹)$"
)
_OPERATORS = frozenset("=+×*÷/")
_OPERATOR = re.compile(r" ?\)? ?(?:[=≈×÷+]|[*/] ?[0-9(])")


def end_of_figures(text: str, most: int) -> int | None:
    """Where the number after the first ``most`` of a text begins; None if it has no more.

    Years count too, which are no figures. Nothing is kept, so that memory stays the same.
    """
    if len(text) <= most:
        return None  # each takes a character at least
    plain = narrow(text)
    numbers = merge(in_digits(plain, table_rows(text)), in_words(plain), key=attrgetter("start"))
    after = next(islice(numbers, most, None), None)
    return after.start if after is not None else None


def find_figures(text: str, periods: Sequence[PeriodMention] | None = None) -> list[Figure]:
    """Every figure of a text, in order, not overlapping.

    Years, dates, spans of time, list numbers, stock codes, clause numbers, product names and small numbers of
    things in words (两家) are none.

    Args:
        text: any text.
        periods: what :func:`find_periods` found in it, where the caller has it already.
    """
    plain = narrow(text)
    if periods is None:
        periods = find_periods(text)
    rows = table_rows(text)
    amounts = sorted([*in_digits(plain, rows), *in_words(plain)])
    taken = [(period.start, period.end) for period in periods]
    if "://" in plain or "www." in plain or "@" in plain:
        taken = sorted(taken + [match.span() for match in _LINK.finditer(plain)])
    return list(_figures(text, plain, list(_free(amounts, taken)), rows))


def _free(amounts: list[Amount], taken: list[tuple[int, int]]) -> Iterator[Amount]:
    """The amounts that overlap neither a taken span nor the amount before."""
    done = at = 0
    for amount in amounts:
        while at < len(taken) and taken[at][1] <= amount.start:
            at += 1
        free = at == len(taken) or taken[at][0] >= amount.end
        if free and amount.start >= done:
            yield amount
            done = amount.end


def _figures(text: str, plain: str, amounts: list[Amount], rows: list[Row]) -> Iterator[Figure]:
    at = row = 0
    last_loss, last_end = False, 0
    while at < len(amounts):
        amount = amounts[at]
        low, high = amount.value - amount.step / 2, amount.value + amount.step / 2
        upper = _upper_end(plain, amount, amounts[at + 1]) if at + 1 < len(amounts) else None
        if upper is not None:
            factor = upper.scale / amount.scale if amount.kind == "number" else 1
            low, high = low * factor, upper.value + upper.step / 2
            middle = (amount.value * factor + upper.value) / 2
            amount = upper._replace(start=amount.start, value=middle, signed=amount.signed or upper.signed)
            at += 1
        at += 1
        while row < len(rows) and rows[row].end <= amount.start:
            row += 1
        start, end = amount.start, amount.end
        loss = amount.kind == "money" and (
            is_loss(plain, start) or (last_loss and loss_moved(plain, last_end, start))
        )
        last_loss, last_end = loss, end
        yield Figure(
            start, end, text[start:end], amount.kind, amount.unit, amount.value, amount.step, low, high,
            amount.signed, loss, hedge_of(plain, start, end) or ("over" if amount.more else ""),
            upper is not None, amount.coarse, row < len(rows) and rows[row].start <= start,
        )  # fmt: skip


def _upper_end(plain: str, first: Amount, second: Amount) -> Amount | None:
    """``second`` if the two are the ends of a range (10%-15%, 3至5亿元); None if they are two figures.

    由A至B and 增加A至B are no ranges, nor is a difference in an equation.
    """
    if second.start - first.end > 4:
        return None
    if second.kind == "number" and "~" not in plain[first.end : second.start]:
        return None
    joint = _JOINT.fullmatch(plain, first.end, second.start)
    bare = first.kind == "number"
    if joint is None or not (bare or (first.kind == second.kind and first.unit == second.unit)):
        return None
    lower = first.value * second.scale / first.scale if bare else first.value
    if lower >= second.value:
        return None
    before = plain[first.start - 1 : first.start]
    if before in _OPERATORS or _OPERATOR.match(plain, second.end):
        return None
    if joint[0] not in ("至", "到"):
        return second
    # 3亿至5亿元 is a range; 7.64亿元至7.95亿元, to the second decimal, is what something was and became.
    exact = second.step * 10 < second.scale
    moved = first.signed != second.signed or _MOVED.search(plain, max(0, first.start - 14), first.start)
    return None if exact or moved else second
