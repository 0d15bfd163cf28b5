"""Draws that are the same on every platform and in every version of Python."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Draws:
    """A seeded source of whole numbers and choices.

    Of Python's generator only ``random()`` is used, whose sequence is promised to stay; what is drawn is
    whole numbers, so that no platform's rounding enters.

    Args:
        key: what the draws are for; the same key gives the same draws.
    """

    def __init__(self, key: str) -> None:
        self._generator = random.Random(key)

    def whole(self, low: int, high: int) -> int:
        """A whole number from ``low`` to ``high``, both included."""
        return low + int(self._generator.random() * (high - low + 1))

    def of(self, options: Sequence[T]) -> T:
        """One of ``options``, all alike likely."""
        return options[self.whole(0, len(options) - 1)]

    def chance(self, percent: int) -> bool:
        """True in ``percent`` of a hundred cases."""
        return self.whole(1, 100) <= percent

    def shuffled(self, options: Sequence[T]) -> list[T]:
        """``options`` in another order."""
        left = list(options)
        return [left.pop(self.whole(0, len(left) - 1)) for _ in range(len(left))]


def share(amount: int, basis_points: int) -> int:
    """``basis_points`` ten-thousandths of ``amount``, rounded half up."""
    return (amount * basis_points + 5_000) // 10_000


def rate(part: int, whole: int) -> int:
    """``part`` in ten-thousandths of ``whole``, rounded half up; 0 of nothing."""
    return (2 * part * 10_000 + whole) // (2 * whole) if whole > 0 else 0


def scaled(amount: int, change: int) -> int:
    """``amount`` changed by ``change`` ten-thousandths."""
    return share(amount, 10_000 + change)


def wander(draws: Draws, width: int) -> int:
    """From -``width`` to ``width``; the middle is likelier than the ends."""
    return draws.whole(-width, width) // 2 + draws.whole(-width, width) // 2
