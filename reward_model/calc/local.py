"""Equations that a text states by itself: from A to B, that is C; A, against B a year ago, up C; A, up D or C.

They need no fact sheet and no known metric, only that the figures have one subject.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from reward_model.calc import words
from reward_model.calc.binding import Binding
from reward_model.calc.expected import Expected
from reward_model.calc.figures import Figure
from reward_model.calc.formula import Operand
from reward_model.calc.joined import scale_of

AGAINST = re.compile(
    r"(?:(?:较|比|对比|相较于?|相比|高于|低于|为)?(?:上年同期|去年同期|上年末|去年末|上年|去年|年初|期初|上期|前一?年|前值)|"
    r"(?:较|比|对比|相较于?|高于|低于|[（(])(?:19|20)\d\d年[^，,。；;]{0,6}?)"
    r"(?:的|为|是|约|同期|末|底|\s)*$"
)
OTHER_SPAN = re.compile(r"[两三四五]年|累计|(?:19|20)\d\d年|(?:上年|去年)(?![同末])")
YEARS = re.compile(r"(?P<near>近|过去|最近)?\s*(?P<n>\d{1,2}|[二两三四五六七八九十])\s*年(?:间|来|的)?\s*(?:年均)?(?:复合|CAGR|cagr|年均)")
_YEAR = re.compile(r"(?:19|20)\d\d")
_DIGITS = dict(zip("二两三四五六七八九十", (2, 2, 3, 4, 5, 6, 7, 8, 9, 10), strict=True))
OPENING = re.compile(r"[（(]\s*(?:即|也就是)?[^，,。；;（()）]{0,8}$")
SAME = frozenset({"money", "percent", "count", "number", "days", "turns", "multiple"})


def equations(text: str, bindings: Sequence[Binding], years: Sequence[tuple[int, int, int]]) -> dict[int, list[Expected]]:
    """What figures should be by the figures before them: index of the figure to values, each in its unit.

    Args:
        text: the report.
        bindings: of its figures, in order.
        years: (start of the mention, first year, last year) of ranges such as 2016-2019年.
    """
    found: dict[int, list[Expected]] = {}
    for index, binding in enumerate(bindings):
        if binding.figure.cell:
            continue
        total = _total(text, bindings, index) or _again(text, bindings, index)
        if total is not None:
            found[index] = [total]
            continue
        if binding.figure.kind not in ("percent", "points"):
            continue
        values = list(_values(text, bindings, index, years))
        if values:
            found[index] = values
    return found


TOTAL = re.compile(
    r"[，,；;（(、]?\s*(?:(?P<n>[两二三四五六七八])(?:项|者|费|类|部分))?(?:费用)?(?P<how>合计|共计|总计|加总|之和|相加|相乘|乘积|之积)(?:数|额|值)?(?:约|为|达|共|则|是)*\s*"
)
COUNTS = dict(zip("两二三四五六七八", (2, 2, 3, 4, 5, 6, 7, 8), strict=True))
AGAIN = re.compile(r"[，,（(]?(?:也?即|折合|合|约合|相当于)(?:约|为)?")
MOST_PARTS = 8


def _total(text: str, bindings: Sequence[Binding], index: int) -> Expected | None:
    """「A x、B y、C z，三项合计」: the sum of the list before it, or the product."""
    if index < 2:
        return None
    last = bindings[index]
    match = TOTAL.fullmatch(text[bindings[index - 1].figure.end : last.figure.start])
    if match is None:
        return None
    times = match["how"] in ("相乘", "乘积", "之积")
    parts: list[Binding] = []
    for earlier in reversed(bindings[max(0, index - MOST_PARTS) : index]):
        figure = earlier.figure
        after = text[figure.end : parts[-1].figure.start] if parts else ""
        fits = times or (figure.kind == last.figure.kind and figure.unit == last.figure.unit)
        if not fits or figure.is_range or re.search("[。；;：:\n=≈]", after) or len(after) > 24:
            break
        signed = figure.signed or bool(parts and parts[-1].figure.signed)
        if parts and not times and earlier.role != parts[-1].role and not signed:
            break
        if earlier.came_from:
            return None  # 由A降至B: the sum is of the changes
        parts.append(earlier)
    count = COUNTS.get(match["n"] or "")
    if count is None and len(parts) > 1 and not times:
        # Without a number: the longest list that fits, else nothing can be said.
        fitting = [n for n in range(2, len(parts) + 1) if _meets(last.figure, parts[:n])]
        named = [part for part in parts if part.tail != text[part.figure.start - 1 : part.figure.start]]
        count = max(fitting) if fitting else len(parts) if len(named) == len(parts) else None
    if times and count is None:
        count = len(parts)
    if count is None or not 2 <= count <= len(parts):
        return None
    if times:
        return _product(last.figure, parts[:count])
    if any(part.metric is not None and part.metric.cost and part.figure.signed for part in parts[:count]):
        # In a list of what moved profit, a cost that fell may count as plus.
        return _sum(parts[:count]) if _meets(last.figure, parts[:count]) else None
    return _sum(parts[:count])


def _signed(part: Binding) -> tuple[float, float, float]:
    figure = part.figure
    values = float(figure.low), float(figure.high), float(figure.value)
    turned = (part.sign < 0 and part.role in ("delta", "growth") and figure.value > 0) or figure.loss
    return (-values[1], -values[0], -values[2]) if turned else values


def _meets(figure: Figure, parts: Sequence[Binding]) -> bool:
    found = _sum(parts)
    return found.low <= float(figure.high) and found.high >= float(figure.low)


def _sum(parts: Sequence[Binding]) -> Expected:
    values = [_signed(part) for part in parts]
    if all(high <= 0 for _, high, _ in values):  # 分别减少a和b，合计c
        values = [(-high, -low, -point) for low, high, point in values]
    written = " + ".join(part.figure.text for part in reversed(parts))
    low, high, point = (sum(value[place] for value in values) for place in range(3))
    return Expected(low, high, written, _operands(parts), point=point)


def _product(result: Figure, parts: Sequence[Binding]) -> Expected:
    low = high = point = 1.0
    for part in parts:
        factor = 0.01 if part.figure.kind == "percent" else 1.0
        ends = [float(part.figure.low) * factor, float(part.figure.high) * factor]
        corners = [a * b for a in (low, high) for b in ends]
        low, high = min(corners), max(corners)
        point *= float(part.figure.value) * factor
    scale = 100.0 if result.kind == "percent" else 1.0
    written = " × ".join(part.figure.text for part in reversed(parts))
    return Expected(low * scale, high * scale, written, _operands(parts), point=point * scale)


def _operands(parts: Sequence[Binding]) -> tuple[Operand, ...]:
    return tuple(
        Operand(part.figure.text, str(part.period) if part.explicit else "", float(part.figure.value), "text")
        for part in reversed(parts)
    )


def _again(text: str, bindings: Sequence[Binding], index: int) -> Expected | None:
    """「0.38亿元，即3800万元」: the same amount in another unit."""
    if index == 0:
        return None
    one, two = bindings[index - 1].figure, bindings[index].figure
    same = one.kind == two.kind and one.unit == two.unit and one.kind in ("money", "count")
    if scale_of(one) == scale_of(two):
        return None
    if not same or one.is_range or not AGAIN.fullmatch(text[one.end : two.start]):
        return None
    return Expected(
        float(one.low), float(one.high), one.text, _operands([bindings[index - 1]]), point=float(one.value)
    )


def _values(
    text: str, bindings: Sequence[Binding], index: int, years: Sequence[tuple[int, int, int]]
) -> Iterator[Expected]:
    third = bindings[index]
    pair = _pair(text, bindings, index)
    if pair is None:
        return
    old, new, span = pair
    left = text[bindings[index - 1].figure.end : third.figure.start]
    if not _continues(left, third) or third.metric is not bindings[index - 1].metric:
        return
    if OTHER_SPAN.search(left) and not words.COMPOUND.search(left):
        return
    old_low, old_high, new_low, new_high = (*old, *new)
    operands = span[0]
    before, after = (sum(bounds) / 2 for bounds in (old, new))
    if third.figure.kind == "points":
        yield Expected(
            new_low - old_high, new_high - old_low, "后 - 前", operands, signed=True, point=after - before
        )
        return
    if span[1] == "percent":
        return
    if words.COMPOUND.search(left) or words.COMPOUND.match(text[third.figure.end : third.figure.end + 8]):
        yield from _compound(text, bindings, index, left, old, new, operands, years)
        return
    if old_low > 0 or old_high < 0:
        corners = [(n - o) / abs(o) * 100 for n in (new_low, new_high) for o in (old_low, old_high)]
        point = (after - before) / abs(before) * 100
        yield Expected(min(corners), max(corners), "后 / 前 - 1", operands, signed=True, point=point)


def _continues(left: str, third: Binding) -> bool:
    """Whether the words before a change name nothing but the change."""
    cleaned = re.sub(r"\d+\s*年|期间|[（(]即?|\*+|从.{0,4}幅度看", "", left)
    cleaned = words.COMPOUND.sub("", cleaned)
    rest = words.residue(_strip_periods(cleaned))
    changed = words.CHANGE.search(left) or words.RATE_NOUN.search(left) or words.COMPOUND.search(left)
    return len(rest) <= 1 and changed is not None


def _strip_periods(text: str) -> str:
    return words.PLAIN_YEARS.sub("", text)


Pair = tuple[tuple[float, float], tuple[float, float], tuple[tuple[Operand, ...], str]]


def _pair(text: str, bindings: Sequence[Binding], index: int) -> Pair | None:
    """(old, new) of the change at ``index``, from the two figures before it."""
    if index < 2:
        return None
    first, second = bindings[index - 2], bindings[index - 1]
    third = bindings[index]
    if third.sentence != first.sentence or first.figure.is_range or second.figure.is_range:
        return None
    a, b = first.figure, second.figure
    gap = text[a.end : b.start]
    if len(gap) > 40 or re.search("[。；;]", gap):
        return None
    before = text[max(0, a.start - 30) : a.start]
    if a.kind == "number" and b.kind in ("money", "count"):
        scaled = _scaled(a, b)
    else:
        scaled = (float(a.low), float(a.high))
    if a.kind != b.kind and a.kind != "number":
        return None
    if a.unit != b.unit and a.kind != "number":
        return None
    old = new = None
    low_b, high_b = float(b.low), float(b.high)
    moved = words.CHANGE.search(gap) is not None
    if words.FROM.search(before) and words.reached(gap) and _plain(gap):
        old, new = scaled, (low_b, high_b)
    elif AGAINST.search(gap) and not moved and _plain(AGAINST.sub("", gap)):
        old, new = (low_b, high_b), scaled
    elif moved and not words.reached(gap) and _plain(gap) and b.kind in ("money", "count"):
        sign = words.direction(gap)
        compared = _compared(text, bindings, index)
        if compared is not None:  # A，较上年的B增加D，增长g: g is of A and B
            return compared
        new = scaled
        bounds = [scaled[0] - sign * x for x in (low_b, high_b)] + [scaled[1] - sign * x for x in (low_b, high_b)]
        old = (min(bounds), max(bounds))
    if old is None or new is None or a.kind not in SAME:
        return None
    names = tuple(
        Operand(item.figure.text, str(item.period) if item.explicit else "", float(item.figure.value), "text")
        for item in (first, second)
    )
    return old, new, (names, a.kind)


def _compared(text: str, bindings: Sequence[Binding], index: int) -> Pair | None:
    """(B, A) where the figures before a change are A, a year before's B, and their difference."""
    if index < 3:
        return None
    one, two = bindings[index - 3], bindings[index - 2]
    a, b = one.figure, two.figure
    gap = text[a.end : b.start]
    if a.kind != b.kind or a.unit != b.unit or one.sentence != two.sentence or a.is_range or b.is_range:
        return None
    if not AGAINST.search(gap) or not _plain(AGAINST.sub("", gap)):
        return None
    return (
        (float(b.low), float(b.high)),
        (float(a.low), float(a.high)),
        (_operands([two, one]), a.kind),
    )


def _scaled(a: Figure, b: Figure) -> tuple[float, float]:
    number = re.sub(r"[^\d.]", "", b.text)
    scale = float(b.value) / float(number) if number and float(number) else 1.0
    return float(a.low) * scale, float(a.high) * scale


def _plain(gap: str) -> bool:
    """Whether nothing but glue and periods lies between two figures of one subject."""
    return len(words.residue(_strip_periods(re.sub(r"[\d]+月(?:末|底)?|前值|实际|假设|周均|周[一二三四五六日]", "", gap)))) <= 1


def _compound(
    text: str,
    bindings: Sequence[Binding],
    index: int,
    left: str,
    old: tuple[float, float],
    new: tuple[float, float],
    operands: tuple[Operand, ...],
    years: Sequence[tuple[int, int, int]],
) -> Iterator[Expected]:
    first, second = bindings[index - 2], bindings[index - 1]
    if old[0] <= 0 or new[0] <= 0:
        return
    counts: list[tuple[int, str]] = []
    origin = words.FROM.search(first.tail)
    gap = text[first.figure.end : second.figure.start]
    own = origin is not None and _YEAR.search(origin["between"]) and _YEAR.search(gap)
    if own and first.period and second.period:
        counts.append((second.period.year - first.period.year, ""))
    else:
        start = first.figure.start
        spans = [(a, z) for at, a, z in years if start - 60 <= at <= bindings[index].figure.start]
        counts += [(z - a, "") for a, z in spans[-1:]]
    said = YEARS.search(left)
    if said:
        n = _DIGITS.get(said["n"]) or int(said["n"])
        counts.append((n, "按文中年数"))
        if said["near"]:
            counts.append((n - 1, "按文中年数减一"))
    if first.figure.unit == second.figure.unit and scale_of(first.figure) * 10**4 <= scale_of(second.figure):
        # 由0.26元增长至4.93亿元: a unit forgotten, which is no error of the rate.
        factor = float(scale_of(second.figure) / scale_of(first.figure))
        again = (old[0] * factor, old[1] * factor)
        yield from _rates(counts, again, new, operands, "前一数的单位疑有笔误")
    yield from _rates(counts, old, new, operands, "")


def _rates(
    counts: Sequence[tuple[int, str]],
    old: tuple[float, float],
    new: tuple[float, float],
    operands: tuple[Operand, ...],
    remark: str,
) -> Iterator[Expected]:
    for n, reason in counts:
        note = "；".join(part for part in (reason, remark) if part)
        if not 0 < n <= 60:
            continue
        corners = [((b / a) ** (1 / n) - 1) * 100 for a in old for b in new]
        point = ((sum(new) / sum(old)) ** (1 / n) - 1) * 100
        formula = f"(后 / 前) ^ (1/{n}) - 1"
        yield Expected(min(corners), max(corners), formula, operands, note, signed=True, point=point)
