"""Totals that a text states of the figures before them: 「A x、B y、C z，三项合计」, 「A x，B y，相乘」."""

from __future__ import annotations

import re
from collections.abc import Sequence

from reward_model.calc.binding import Binding
from reward_model.calc.expected import Expected
from reward_model.calc.figures import Figure
from reward_model.calc.formula import Operand

MOST_PARTS = 8
"""Figures of a total, at most."""
LONGEST_GAP = 24
"""Characters between two of them, at most."""

TOTAL = re.compile(
    r"[，,；;（(、]?\s*(?:(?P<n>[两二三四五六七八])(?:项|者|费|类|部分))?(?:费用)?"
    r"(?P<how>合计|共计|总计|加总|之和|相加|相乘|乘积|之积)(?:数|额|值)?(?:约|为|达|共|则|是)*\s*"
)
"""All that stands between the last part and its total."""
TIMES = frozenset({"相乘", "乘积", "之积"})
"""Words of a product."""
ENDS = re.compile("[。；;：:\n=≈]")
"""Between two parts: the list begins behind it."""
_COUNTS = dict(zip("两二三四五六七八", (2, 2, 3, 4, 5, 6, 7, 8), strict=True))


def total(text: str, bindings: Sequence[Binding], index: int) -> Expected | None:
    """What the figure ``index`` should be as the sum or product of those before it; None if it is neither."""
    if index < 2:
        return None
    last = bindings[index].figure
    match = TOTAL.fullmatch(text, bindings[index - 1].figure.end, last.start)
    if match is None:
        return None
    times = match["how"] in TIMES
    parts = _parts(text, bindings[max(0, index - MOST_PARTS) : index], last, times)
    count = _COUNTS.get(match["n"] or "")
    if count is None:
        count = len(parts) if times else _count(text, parts, last)
    if count is None or not 2 <= count <= len(parts):
        return None
    parts = parts[:count]
    if times:
        return _product(last, parts)
    if any(part.metric is not None and part.metric.cost and part.figure.signed for part in parts):
        # In a list of what moved profit, a cost that fell may count as plus.
        return _sum(parts) if _meets(last, parts) else None
    return _sum(parts)


def _parts(text: str, before: Sequence[Binding], last: Figure, times: bool) -> list[Binding]:
    """The figures that a total may be of, the nearest first; none where it is of changes, not of levels."""
    parts: list[Binding] = []
    for earlier in reversed(before):
        figure = earlier.figure
        after = text[figure.end : parts[-1].figure.start] if parts else ""
        fits = times or (figure.kind == last.kind and figure.unit == last.unit)
        if not fits or figure.is_range or ENDS.search(after) or len(after) > LONGEST_GAP:
            break
        signed = figure.signed or bool(parts and parts[-1].figure.signed)
        if parts and not times and earlier.role != parts[-1].role and not signed:
            break
        if earlier.came_from:
            return []  # 由A降至B: the sum is of the changes
        parts.append(earlier)
    return parts


def _count(text: str, parts: Sequence[Binding], last: Figure) -> int | None:
    """How many parts a sum has whose words don't say: the longest list that fits, all if each has a name."""
    fitting = [count for count in range(2, len(parts) + 1) if _meets(last, parts[:count])]
    if fitting:
        return max(fitting)
    # A part of 「分别为x、y」 stands behind a mark alone, but the list says what it is of.
    named = all(part.firm or part.tail != text[part.figure.start - 1 : part.figure.start] for part in parts)
    return len(parts) if named else None


def _signed(part: Binding) -> tuple[float, float, float]:
    """Low, high and value of a part; a fall counts as minus."""
    figure = part.figure
    low, high, value = float(figure.low), float(figure.high), float(figure.value)
    fell = part.sign < 0 and part.role in ("delta", "growth") and figure.value > 0
    return (-high, -low, -value) if fell or figure.loss else (low, high, value)


def _meets(figure: Figure, parts: Sequence[Binding]) -> bool:
    found = _sum(parts)
    return found.low <= float(figure.high) and found.high >= float(figure.low)


def _sum(parts: Sequence[Binding]) -> Expected:
    values = [_signed(part) for part in parts]
    if all(high <= 0 for _, high, _ in values):  # 分别减少a和b，合计c
        values = [(-high, -low, -point) for low, high, point in values]
    shown = " + ".join(part.figure.text for part in reversed(parts))
    low, high, point = (sum(value[place] for value in values) for place in range(3))
    return Expected(low, high, shown, operands_of(parts), point=point)


def _product(result: Figure, parts: Sequence[Binding]) -> Expected:
    low = high = point = 1.0
    for part in parts:
        factor = 0.01 if part.figure.kind == "percent" else 1.0
        ends = [float(part.figure.low) * factor, float(part.figure.high) * factor]
        corners = [a * b for a in (low, high) for b in ends]
        low, high = min(corners), max(corners)
        point *= float(part.figure.value) * factor
    scale = 100.0 if result.kind == "percent" else 1.0
    shown = " × ".join(part.figure.text for part in reversed(parts))
    return Expected(low * scale, high * scale, shown, operands_of(parts), point=point * scale)


def operands_of(parts: Sequence[Binding]) -> tuple[Operand, ...]:
    """Figures of the text as operands, the last of ``parts`` first."""
    return tuple(
        Operand(part.figure.text, str(part.period) if part.explicit else "", float(part.figure.value), "text")
        for part in reversed(parts)
    )
