"""A text with what was found in it: figures, metrics' names, periods; and look-ups among them."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from reward_model.calc.book import Period
from reward_model.calc.figures import Figure
from reward_model.calc.joined import arrows, operands
from reward_model.calc.periods import PeriodMention
from reward_model.calc.rules import Mention, Rules

OPENING_BRACKETS = "（(〔["
CLOSING_BRACKETS = "）)〕]"


class AnnotatedText:
    """One text and what was found in it, each in order.

    Args:
        text: the text.
        rules: the metrics it was searched for.
        figures, mentions, periods: what was found.
        current: the year that the text reports on.

    Attributes:
        arrows: how many arrows lead on from a figure, by its index (:func:`reward_model.calc.joined.arrows`).
        operands: the indexes of figures that stand in a written calculation.
    """

    def __init__(
        self,
        text: str,
        rules: Rules,
        figures: Sequence[Figure],
        mentions: Sequence[Mention],
        periods: Sequence[PeriodMention],
        current: int,
    ) -> None:
        self.text, self.rules, self.current = text, rules, current
        self.figures, self.mentions, self.periods = figures, mentions, periods
        self.arrows = arrows(text, figures)
        self.operands = operands(text, figures)
        self._mention_starts = [mention.start for mention in mentions]
        self._period_starts = [period.start for period in periods]
        self._figure_starts = [figure.start for figure in figures]

    @property
    def now(self) -> Period:
        """The year that the text reports on."""
        return Period(self.current)

    def figures_from(self, at: int) -> int:
        """The index of the first figure that begins at or behind ``at``."""
        return bisect_left(self._figure_starts, at)

    def mentions_from(self, at: int) -> int:
        """The index of the first metric's name that begins at or behind ``at``."""
        return bisect_left(self._mention_starts, at)

    def mentions_in(self, start: int, end: int) -> Sequence[Mention]:
        """The metrics' names that begin in ``start``:``end``."""
        starts = self._mention_starts
        return self.mentions[bisect_left(starts, start) : bisect_left(starts, end)]

    def periods_in(self, start: int, end: int) -> Sequence[PeriodMention]:
        """The periods that begin in ``start``:``end``."""
        starts = self._period_starts
        return self.periods[bisect_left(starts, start) : bisect_right(starts, end - 1)]

    def period_of(self, mention: PeriodMention) -> Period | None:
        """As an absolute period; a quarter or month of an unnamed year counts in the current one."""
        year = mention.year
        if year is None:
            if mention.offset is None:
                return Period(self.current, mention.part) if mention.part not in ("", "start") else None
            year = self.current + mention.offset
        elif mention.part == "start":
            year -= 1
        return Period(year, "" if mention.part == "start" else mention.part)

    def in_name(self, at: int) -> bool:
        """Whether a character is inside the name of a metric (剔除合同负债后的资产负债率)."""
        place = bisect_right(self._mention_starts, at) - 1
        return place >= 0 and at < self.mentions[place].end

    def closing(self, opening: int, at: int) -> int:
        """Behind the bracket that closes the one at ``opening``; behind ``at`` if none does."""
        depth = 0
        for place in range(opening, at):
            character = self.text[place]
            depth += (character in OPENING_BRACKETS) - (character in CLOSING_BRACKETS)
            if depth == 0:
                return place + 1
        return at + 1

    def joint(self, one: Mention, two: Mention) -> str:
        """What stands between two names."""
        return self.text[one.end : two.start].strip()
