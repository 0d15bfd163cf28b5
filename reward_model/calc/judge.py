"""A stated figure against a value: does it fit, is it rounding, how wrong is it."""

from __future__ import annotations

from typing import NamedTuple

from reward_model.calc.expected import Expected
from reward_model.calc.figures import Figure
from reward_model.calc.result import Severity, Verdict

ABOUT = 0.03
"""What 约 and the like leave open, as a share of the figure."""
OVER = 0.25
"""By how much more than 超过 said a value may be; the same for less than 不到."""
MINOR = 0.005
"""Relative error up to which a wrong figure is a minor one."""


class Fit(NamedTuple):
    """How a figure compares with an expected value.

    Attributes:
        verdict: "ok", "rounding" or "wrong".
        distance: between the stated and the expected interval, in units of the last digit; 0 if they meet.
        opposite: the size fits but the direction is the other.
    """

    verdict: Verdict
    distance: float
    opposite: bool = False


def bounds(figure: Figure, sign: int, signed: bool) -> tuple[float, float]:
    """The interval of what is stated, with the sign that words or marks give it."""
    low, high = float(figure.low), float(figure.high)
    negative = figure.loss or (signed and sign < 0)
    return (-high, -low) if negative and low >= 0 else (low, high)


def fit(figure: Figure, value: Expected, sign: int) -> Fit:
    """Compare; a rise or fall in words decides the sign where the value has one."""
    low, high = bounds(figure, sign, value.signed)
    found = _compare(figure, low, high, value.low, value.high)
    if found.verdict != "wrong" or not value.signed or figure.signed:
        return found
    mirrored = _compare(figure, -high, -low, value.low, value.high)
    if sign == 0:
        return mirrored if mirrored.distance < found.distance else found
    return found if mirrored.verdict == "wrong" else Fit("wrong", found.distance, opposite=True)


def _compare(figure: Figure, low: float, high: float, least: float, most: float) -> Fit:
    step = float(figure.step)
    size = max(abs(low), abs(high))
    slack = 1e-9 * max(size, abs(least), abs(most)) + 1e-12
    if figure.hedge == "over":
        # 超过 bounds the size of what is said, whichever way it goes.
        low, high = (low - OVER * size, high) if low < 0 else (low, high + OVER * size)
    elif figure.hedge == "under":
        low, high = (low, high + OVER * size) if low < 0 else (low - OVER * size, high)
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


def severity(figure: Figure, value: Expected, opposite: bool) -> Severity:
    """ "minor" for an error of at most half a percent or two units of the last digit, else "major"."""
    if opposite:
        return "major"
    stated, true = abs(float(figure.value)), abs(value.middle)
    off = abs(stated - true)
    small = off <= max(MINOR * max(stated, true), 2.0 * float(figure.step))
    return "minor" if small else "major"
