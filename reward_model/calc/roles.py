"""Whether a figure is a level, a growth or a difference, by the words between its metric's name and it."""

from __future__ import annotations

import re
from typing import NamedTuple

from reward_model.calc import words
from reward_model.calc.annotated import AnnotatedText
from reward_model.calc.binding import Binding, changed
from reward_model.calc.pairs import pair_of
from reward_model.calc.surroundings import Surroundings

BECOMES = ("变为", "转为")
"""Behind a figure: it is where something moved from."""
AGAIN = re.compile("，?(?:再|又|并|随后|进而)")
"""Behind a figure: it moves on from there (由A升至B，再降至C)."""
LAST_PART = re.compile("[，,]")
"""The words of a move stand behind the last of these."""


class _Move(NamedTuple):
    """What the words before a figure say of a move.

    Attributes:
        came_from: where something moved from: the words between 由 and the figure, or "" if only what follows
            says so; None if it isn't that.
        sign: +1 for a rise, -1 for a fall, 0 if they say neither.
        at_level: it is where something got to.
        rate: a noun such as 增速 names the figure.
    """

    came_from: str | None
    sign: int
    at_level: bool
    rate: bool

    @property
    def changes(self) -> bool:
        """Whether they say which way something went."""
        return self.sign != 0


def with_role(note: AnnotatedText, binding: Binding, here: Surroundings) -> Binding:
    """``binding`` with what the figure is claimed to be of its metric, in its period."""
    figure, metric = binding.figure, binding.metric
    move = _move(binding, here)
    binding = changed(binding, sign=move.sign)
    if move.came_from is not None and not note.periods_in(figure.start - len(move.came_from), figure.start):
        # 由A升至B: A is the year before's, or that of two years before.
        back = 2 if words.SPAN.search(note.text, here.start, figure.start) else 1
        binding = changed(binding, period=(here.carried.period or note.now).back(back), base=None)
    pair = pair_of(note, binding, here)
    if pair is not None:
        return pair
    if words.COMPOUND.search(here.tail):
        return changed(binding, role="cagr")
    if figure.kind == "points":
        return _points(binding, move)
    if figure.kind == "percent" and (metric is None or metric.kind != "percent"):
        return _percent(binding, here, move)
    if figure.kind == "percent" and words.AMOUNT_NOUN.search(here.tail):
        return changed(binding, role="", firm=False)
    if figure.kind == "percent" and move.rate:
        return changed(binding, role="growth", firm=False)
    return _level_or_delta(binding, here, move)


def _move(binding: Binding, here: Surroundings) -> _Move:
    figure, tail, behind = binding.figure, here.tail, here.behind
    origin = words.FROM.search(tail)
    came_from = origin["between"] if origin else None
    if origin is None and (words.MOVES_ON.fullmatch(behind) or behind.startswith(BECOMES)):
        came_from = None if words.reached(tail) else ""
    near = LAST_PART.split(tail)[-1]
    sign = 0 if figure.loss else words.direction(near, behind)
    if figure.text[:1] in "+＋" and figure.kind != "number" and came_from is None:
        sign = 1
    rate = words.RATE_NOUN.search(tail) or words.RATE_NOUN.match(behind.lstrip("的 "))
    return _Move(came_from, sign, words.reached(near), rate is not None)


def _points(binding: Binding, move: _Move) -> Binding:
    """个百分点: a difference of rates; of an amount, a growth in the wrong unit."""
    kind = binding.metric.kind if binding.metric else ""
    signed = binding.figure.signed
    if kind in ("money", "count") and (signed or (move.changes and not move.rate)):
        return changed(binding, role="growth_in_points", firm=False, worded=binding.firm)
    return changed(binding, role="delta", firm=binding.firm and kind in ("percent", ""))


def _percent(binding: Binding, here: Surroundings, move: _Move) -> Binding:
    """A percentage of what is no percentage itself: a share, or how it grew."""
    tail, previous = here.tail, here.previous
    kind = binding.metric.kind if binding.metric else ""
    if words.SHARE.search(tail):
        return changed(binding, role="share", firm=False)
    if words.AMOUNT_NOUN.search(tail):
        return changed(binding, role="", firm=False)
    if kind == "multiple" and not move.changes and not move.rate:
        return changed(binding, role="level")
    reached = move.at_level and previous is not None and words.FROM.search(previous.tail) is not None
    if reached or move.came_from is not None:  # 增速由A回落至B: the growth itself rose or fell
        binding = changed(binding, sign=0)
    if move.at_level and not move.rate and not reached:
        return changed(binding, role="growth", firm=False)
    follows = previous is not None and previous.role == "growth" and not here.inside
    compared = here.carried.role == "growth" and words.GAP.search(tail) is not None
    known = move.changes or move.rate or binding.figure.signed or follows or compared
    if not known and not words.YEAR_ON_YEAR.search(tail):
        return changed(binding, role="growth", firm=False)
    return changed(binding, role="growth", firm=binding.firm and kind in ("money", "count", ""))


def _level_or_delta(binding: Binding, here: Surroundings, move: _Move) -> Binding:
    """A figure of the metric's own kind, or a multiple."""
    figure, previous = binding.figure, here.previous
    kind = binding.metric.kind if binding.metric else ""
    if move.came_from is not None:
        return changed(binding, role="level", sign=0, came_from=True)
    if move.at_level and previous is not None and previous.came_from and not here.inside:
        again = AGAIN.match(here.behind) is not None
        binding = changed(binding, explicit=not again, dated=again)
    multiple = figure.kind in ("multiple", "doublings") and kind not in ("multiple", "turns")
    if (move.changes and not move.at_level) or words.AMOUNT_NOUN.search(here.tail):
        if figure.kind == "percent":  # 毛利率提升2%: points are meant, or a rate of a rate
            return changed(binding, role="delta", firm=False, worded=binding.firm)
        return changed(binding, role="more", sign=1) if multiple else changed(binding, role="delta")
    if multiple:
        return changed(binding, role="times", firm=False)
    if kind == "money" and figure.kind not in ("money", "number"):
        return changed(binding, role="", firm=False)
    if kind and figure.kind == "money" and kind != "money":
        return changed(binding, role="", firm=False)
    if figure.kind == "number" and kind in ("money", "percent", "days", "count"):
        return changed(binding, role="level", firm=False)
    if not here.inside and not move.at_level and not binding.explicit:
        return changed(binding, role="level", sign=0, firm=False)
    return changed(binding, role="level", sign=0)
