"""Which pairs are good enough to train on, and the count of what was dropped and why."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from reward_model.data.pair_problems import PairFigures, PairProblem
from reward_model.errors import InputError

REASONS = ("null_score", "mean_gap", "target_drop", "severe_problem")
"""Why a pair can be dropped; one pair may be counted under several."""

# Each of these is one of the other rules' business, so that relaxing that rule takes effect.
_HAS_OWN_RULE = {"null_score", "non_positive_gap", "target_not_dropped"}


@dataclass(frozen=True)
class FilterRules:
    """What a pair must satisfy to be kept.

    Attributes:
        min_gap: the mean gap, in levels, must be at least this, and above 0 unless this is negative.
        min_target_drop: levels that the target dimension must have dropped by. Pairs whose degradation has no
            target, or whose target has a null level (with ``allow_null``), are exempt.
        allow_null: keep pairs with some null levels; the gap is then the mean over the other dimensions.
        keep_severe: keep pairs with severe problems that no other rule names (identical texts, duplicates, a
            failed answer).

    Raises:
        InputError: if ``min_gap`` is not a finite number.
    """

    min_gap: float = 0.0
    min_target_drop: int = 1
    allow_null: bool = False
    keep_severe: bool = False

    def __post_init__(self) -> None:
        if not math.isfinite(self.min_gap):
            raise InputError(f"--min-gap: {self.min_gap} is no number of levels; give one such as 0.5")

    def reasons(self, figures: PairFigures, problems: Sequence[PairProblem]) -> list[str]:
        """Why the pair is dropped, in the order of ``REASONS``; empty if it is kept."""
        gap = figures.gap
        target = None if figures.target is None else figures.drops.get(figures.target)
        broken = {
            "null_score": not self.allow_null
            and None in (*figures.chosen.values(), *figures.rejected.values()),
            # A float such as 0.1 isn't a fraction of thirds; comparing with Fractions is exact either way.
            "mean_gap": gap is None or gap < self.min_gap or (gap <= 0 and self.min_gap >= 0),
            "target_drop": target is not None and target < self.min_target_drop,
            "severe_problem": not self.keep_severe
            and any(item.severity == "severe" and item.kind not in _HAS_OWN_RULE for item in problems),
        }
        return [reason for reason in REASONS if broken[reason]]


DEFAULT_RULES = FilterRules()


@dataclass
class FilterTally:
    """Counts what the rules kept and dropped.

    Attributes:
        exempt_lines: lines that were kept without a check of the target dimension, for want of a target.
    """

    rules: FilterRules
    kept: int = 0
    dropped: int = 0
    by_reason: Counter[str] = field(default_factory=Counter)
    exempt_lines: list[int] = field(default_factory=list)

    def keep(self, figures: PairFigures, problems: Sequence[PairProblem]) -> bool:
        """Decide on one pair and count it."""
        reasons = self.rules.reasons(figures, problems)
        if reasons:
            self.dropped += 1
            self.by_reason.update(reasons)
            return False
        self.kept += 1
        if figures.target not in figures.drops:
            self.exempt_lines.append(figures.line)
        return True

    def as_dict(self) -> dict[str, Any]:
        """Plain data for the report."""
        return {
            "kept": self.kept,
            "dropped": self.dropped,
            "dropped_by_reason": {reason: self.by_reason[reason] for reason in REASONS},
            "exempt_lines": list(self.exempt_lines),
            "rules": dict(vars(self.rules)),
        }
