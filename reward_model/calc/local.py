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

AGAINST = re.compile(
    r"(?:较|比|对比|相较于?|相比|高于|低于|上年同期|去年同期|上年|去年|年初|期初|上年末)[^，,。；;]{0,12}$"
)
YEARS = re.compile(r"(?P<near>近|过去|最近)?\s*(?P<n>\d{1,2}|[二两三四五六七八九十])\s*年(?:间|来|的)?\s*(?:年均)?(?:复合|CAGR|cagr|年均)")
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
        if binding.figure.cell or binding.figure.kind not in ("percent", "points"):
            continue
        values = list(_values(text, bindings, index, years))
        if values:
            found[index] = values
    return found


def _values(
    text: str, bindings: Sequence[Binding], index: int, years: Sequence[tuple[int, int, int]]
) -> Iterator[Expected]:
    third = bindings[index]
    pair = _pair(text, bindings, index)
    if pair is None:
        return
    old, new, span = pair
    left = text[bindings[index - 1].figure.end : third.figure.start]
    if not _continues(left, third):
        return
    old_low, old_high, new_low, new_high = (*old, *new)
    operands = span[0]
    if third.figure.kind == "points":
        yield Expected(new_low - old_high, new_high - old_low, "后 - 前", operands, signed=True)
        return
    if span[1] == "percent":
        return
    if words.COMPOUND.search(left) or words.COMPOUND.match(text[third.figure.end : third.figure.end + 8]):
        yield from _compound(text, bindings, index, left, old, new, operands, years)
        return
    if old_low > 0 or old_high < 0:
        corners = [(n - o) / abs(o) * 100 for n in (new_low, new_high) for o in (old_low, old_high)]
        yield Expected(min(corners), max(corners), "后 / 前 - 1", operands, signed=True)


def _continues(left: str, third: Binding) -> bool:
    """Whether the words before a change name nothing but the change."""
    cleaned = re.sub(r"\d+\s*年|期间|[（(]即?|\*+|从.{0,4}幅度看", "", left)
    cleaned = words.COMPOUND.sub("", cleaned)
    rest = words.residue(_strip_periods(cleaned))
    changed = words.CHANGE.search(left) or words.RATE_NOUN.search(left) or words.COMPOUND.search(left)
    return len(rest) <= 1 and changed is not None


def _strip_periods(text: str) -> str:
    return re.sub(r"(?:19|20)\d\d\s*[-—–~～至到]\s*(?:19|20)?\d\d\s*年?|(?:19|20)\d\d\s*年?", "", text)


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
    if words.FROM.search(before) and words.ENDS_AT.search(gap) and _plain(gap):
        old, new = scaled, (low_b, high_b)
    elif AGAINST.search(gap) and not moved and _plain(AGAINST.sub("", gap)):
        old, new = (low_b, high_b), scaled
    elif moved and not words.ENDS_AT.search(gap) and _plain(gap) and b.kind in ("money", "count"):
        sign = words.direction(gap)
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
    if first.explicit and second.explicit and first.period and second.period:
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
    for n, note in counts:
        if not 0 < n <= 60:
            continue
        corners = [((b / a) ** (1 / n) - 1) * 100 for a in old for b in new]
        yield Expected(min(corners), max(corners), f"(后 / 前) ^ (1/{n}) - 1", operands, note, signed=True)
