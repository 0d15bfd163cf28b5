"""Phrases with choices in them: ``{slot}`` stands for a word of a list, ``{one|another}`` for one of these.

A choice may hold slots and choices.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from reward_model.statements.draws import Draws

_HOLE = re.compile(r"\{([^{}]*)\}")


def check_phrase(text: str) -> str:
    """``text`` if its braces are sound.

    Raises:
        ValueError: if a brace is left over, or encloses nothing.
    """
    rest = text
    while (match := _HOLE.search(rest)) is not None and match[1].strip():
        rest = rest[: match.start()] + "x" + rest[match.end() :]
    if "{" in rest or "}" in rest:
        raise ValueError(f"{text[:60]!r} has a brace that is left over or empty")
    return text


def check_word(text: str) -> str:
    """``text`` if it can stand in a slot.

    Raises:
        ValueError: if it has choices of its own.
    """
    if any(char in text for char in "{}|"):
        raise ValueError(f"{text[:60]!r} stands in a slot and may not hold {{, }} or |")
    return text


def slots_of(text: str) -> set[str]:
    """The slots that ``text`` has."""
    return {match[1] for match in _HOLE.finditer(text) if "|" not in match[1]}


class Words:
    """Fills phrases; a slot's words are all used before one comes again.

    Args:
        slots: words a slot.
        draws: where choices come from.
        steady: slots that keep their first word.
    """

    def __init__(self, slots: Mapping[str, Sequence[str]], draws: Draws, steady: Sequence[str] = ()) -> None:
        self._slots = slots
        self._steady = frozenset(steady)
        self._draws = draws
        self._left: dict[str, list[str]] = {}

    def knows(self, text: str) -> bool:
        """Whether every slot of ``text`` has words."""
        return slots_of(text) <= self._slots.keys()

    def fill(self, text: str) -> str:
        """``text`` with its choices made.

        Raises:
            KeyError: if a slot has no words.
        """
        while (match := _HOLE.search(text)) is not None:  # from the inside out
            text = text[: match.start()] + self._word(match[1]) + text[match.end() :]
        return text

    def _word(self, hole: str) -> str:
        if "|" in hole:
            return self._draws.of(hole.split("|"))
        left = self._left.setdefault(hole, [])
        if not left:
            left += self._draws.shuffled(self._slots[hole])
        return left[-1] if hole in self._steady else left.pop()
