"""A stated figure against a value: does it fit, is it rounding, how wrong is it, and by which mistake."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from reward_model.calc.expected import Expected
from reward_model.calc.figures import Figure

ABOUT = 0.03
"""What 约 and the like leave open, as a share of the figure."""
OVER = 0.25
"""By how much more than 超过 said a value may be; the same for less than 不到."""
MINOR = 0.005
"""Relative error up to which a wrong figure is a minor one."""


@dataclass(frozen=True, slots=True)
class Fit:
    """How a figure compares with an expected value.

    Attributes:
        verdict: "ok", "rounding" or "wrong".
        distance: between the stated and the expected interval, in units of the last digit; 0 if they meet.
        opposite: the size fits but the direction is the other.
    """

    verdict: str
    distance: float
    opposite: bool = False


def bounds(figure: Figure, sign: int, signed: bool) -> tuple[float, float]:
    """The interval of what is stated, with the sign that words or marks give it."""
    low, high = float(figure.low), float(figure.high)
    if figure.loss and low >= 0:
        low, high = -high, -low
    elif signed and sign < 0 and low >= 0:
        low, high = -high, -low
    return low, high


def fit(figure: Figure, value: Expected, sign: int) -> Fit:
    """Compare; a rise or fall in words decides the sign where the value has one."""
    low, high = bounds(figure, sign, value.signed)
    found = _compare(figure, low, high, value.low, value.high)
    if found.verdict == "wrong" and value.signed and not figure.signed:
        if sign == 0:
            mirrored = _compare(figure, -high, -low, value.low, value.high)
            return mirrored if mirrored.distance < found.distance else found
        mirrored = _compare(figure, -high, -low, value.low, value.high)
        if mirrored.verdict != "wrong":
            return Fit("wrong", found.distance, opposite=True)
    return found


def _compare(figure: Figure, low: float, high: float, least: float, most: float) -> Fit:
    step = float(figure.step)
    size = max(abs(low), abs(high))
    slack = 1e-9 * max(size, abs(least), abs(most)) + 1e-12
    if figure.hedge == "over":
        # 超过 bounds the size of what is said, whichever way it goes.
        if low < 0:
            low -= OVER * size
        else:
            high += OVER * size
    elif figure.hedge == "under":
        if low < 0:
            high += OVER * size
        else:
            low -= OVER * size
    elif figure.hedge == "about" or figure.coarse:
        room = max(ABOUT * size, step)
        low, high = low - room, high + room
    gap = max(0.0, least - high, low - most)
    if gap <= slack:
        return Fit("ok", 0.0)
    middle = (least + most) / 2
    off = max(0.0, abs(middle - (low + high) / 2) - (high - low) / 2 + step / 2)
    if off <= step * 1.0001 + slack and size < 1e15:
        return Fit("rounding", off / step)
    return Fit("wrong", gap / step)


def significant(figure: Figure) -> float:
    """How many units of its last digit a figure is: 26.93% is 2,693."""
    return abs(float(figure.value)) / float(figure.step) if figure.step else 0.0


# -- showing -----------------------------------------------------------------------------------------------

_NUMBER = re.compile(r"[-−－+＋负]?[(（]?[-−－]?\s*[\d０-９][\d０-９,，]*(?:[.．][\d０-９]+)?[)）]?")
_WIDE = str.maketrans("０１２３４５６７８９．，", "0123456789.,")


def written(figure: Figure, value: float, *, keep_sign: bool) -> str:
    """``value`` as the figure writes its own: same unit, same number of digits.

    Args:
        figure: the figure.
        value: in the figure's base unit.
        keep_sign: write a sign; else the size alone, as after 下降.
    """
    match = _NUMBER.search(figure.text)
    unit = figure.text[match.end() :].strip(" 余多") if match else ""
    digits, scale = 2, 1.0
    if match and not figure.is_range and figure.value:
        number = re.sub(r"[^\d.]", "", match[0].translate(_WIDE))
        digits = len(number.partition(".")[2])
        size = float(number or 0)
        scale = abs(float(figure.value)) / size if size else 1.0
    elif not match:
        unit = {"percent": "%", "points": "个百分点"}.get(figure.kind, figure.unit)
    amount = value / (scale or 1.0)
    if not keep_sign:
        amount = abs(amount)
    sign = "+" if keep_sign and amount > 0 and figure.text[:1] in "+＋" else ""
    rounded = f"{amount:.{digits}f}"
    if float(rounded) == 0:
        rounded = rounded.lstrip("-")
    return f"{sign}{rounded}{unit}"


def severity(figure: Figure, value: Expected, opposite: bool) -> str:
    """"minor" for an error of at most half a percent or two units of the last digit, else "major"."""
    if opposite:
        return "major"
    stated, true = abs(float(figure.value)), abs(value.middle)
    off = abs(stated - true)
    small = off <= max(MINOR * max(stated, true), 2.0 * float(figure.step))
    return "minor" if small else "major"


MISTAKES = {
    "sign": "方向写反",
    "wan_yi": "单位差一万倍（万/亿）",
    "decimal": "小数点错位",
    "base_year": "与另一年度的数相符",
    "neighbouring_line": "与相邻项目的数相符",
    "pp_for_percent": "百分点与百分比混用",
    "digit_swap": "数字换位",
    "stale_level": "把水平当作变动，或把变动当作水平",
}


def simple_mistake(figure: Figure, value: Expected, opposite: bool) -> str | None:
    """A mistake that the two numbers alone explain."""
    if opposite:
        return "sign"
    stated, true = abs(float(figure.value)), abs(value.middle)
    if not stated or not true:
        return None
    ratio = stated / true
    for factor, name in ((1e4, "wan_yi"), (1e-4, "wan_yi"), (10, "decimal"), (0.1, "decimal"), (100, "decimal"), (0.01, "decimal")):
        if math.isclose(ratio, factor, rel_tol=2e-3) and significant(figure) >= 100:
            return name
    right = written(figure, value.middle, keep_sign=False)
    ours, theirs = (re.sub(r"[^\d]", "", text) for text in (figure.text.translate(_WIDE), right))
    if len(ours) == len(theirs) > 1 and ours != theirs:
        places = [index for index, (a, b) in enumerate(zip(ours, theirs, strict=True)) if a != b]
        if len(places) == 2 and places[1] == places[0] + 1:
            i, j = places
            if ours[i] == theirs[j] and ours[j] == theirs[i]:
                return "digit_swap"
    return None
