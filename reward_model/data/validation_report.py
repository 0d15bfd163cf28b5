"""The report on scored pairs as plain dataclasses, and the grades in it.

Thresholds are the guide's (验证数据质量), stated for five levels; for another number of levels those of
gaps are scaled by (levels - 1) / 4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from typing import Any, Literal

from reward_model.data.pair_problems import PairProblem

Grade = Literal["excellent", "good", "fair", "poor"]
GRADES: tuple[Grade, ...] = ("poor", "fair", "good", "excellent")
"""Worst first."""

_GAP_STEPS: dict[Grade, Fraction] = {
    "excellent": Fraction(3, 2),
    "good": Fraction(1),
    "fair": Fraction(1, 2),
}
RATE_STEPS: dict[Grade, Fraction] = {
    "excellent": Fraction(95, 100),
    "good": Fraction(90, 100),
    "fair": Fraction(85, 100),
}


def gap_steps(num_classes: int) -> dict[Grade, Fraction]:
    """Lowest mean gap, in levels, of each grade but the worst; best first."""
    return {grade: step * (num_classes - 1) / 4 for grade, step in _GAP_STEPS.items()}


def grade_of(value: Fraction | None, steps: Mapping[Grade, Fraction]) -> Grade | None:
    """The best grade whose step ``value`` reaches; None without a value.

    Exact, as values are fractions: a mean of 4/3 and 5/3 is 1.5, not 1.4999999999999998.
    """
    if value is None:
        return None
    return next((grade for grade, step in steps.items() if value >= step), "poor")


def gap_grade(mean_gap: Fraction | None, num_classes: int) -> Grade | None:
    """Grade of a mean gap in levels."""
    return grade_of(mean_gap, gap_steps(num_classes))


def rate_grade(rate: Fraction | None) -> Grade | None:
    """Grade of the positive-difference rate, a share of 1."""
    return grade_of(rate, RATE_STEPS)


@dataclass(frozen=True)
class Overall:
    """All pairs that have a gap. Gaps in levels, the rate a share of 1; None where no pair has a gap."""

    pairs_with_gap: int
    mean_gap: float | None
    mean_gap_grade: Grade | None
    median_gap: float | None
    min_gap: float | None
    max_gap: float | None
    positive: int
    zero: int
    negative: int
    positive_rate: float | None
    positive_rate_grade: Grade | None


@dataclass(frozen=True)
class DimensionGap:
    """One dimension over the ``n`` pairs that have both of its levels; shares are of 1 and sum to 1."""

    title: str
    n: int
    mean_chosen: float | None
    mean_rejected: float | None
    mean_gap: float | None
    grade: Grade | None
    positive_share: float | None
    zero_share: float | None
    negative_share: float | None


@dataclass(frozen=True)
class LabelCounts:
    """How often each level was given, on both sides and on each; ``missing`` counts null levels."""

    title: str
    all: dict[int, int]
    chosen: dict[int, int]
    rejected: dict[int, int]
    missing: int


@dataclass(frozen=True)
class TargetCounts:
    """Of ``n`` pairs: in how many the target dropped more than all others, or tied with the most."""

    n: int = 0
    most: int = 0
    tied: int = 0
    most_share: float | None = None
    most_or_tied_share: float | None = None


@dataclass(frozen=True)
class DegradationDrop:
    """One row of the isolation matrix.

    Attributes:
        n: pairs with this degradation.
        target: the dimension it is meant to lower; None if the rubric doesn't name it.
        mean_drop: levels lost per dimension, chosen minus rejected.
        target_most_on_average: whether the target's mean drop is above every other; None without a target.
        pairs: the same, pair by pair.
    """

    n: int
    target: str | None
    mean_drop: dict[str, float | None]
    target_most_on_average: bool | None
    pairs: TargetCounts


@dataclass(frozen=True)
class SeverityGap:
    """Pairs of one severity and their mean gap in levels."""

    severity: str
    n: int
    mean_gap: float | None


@dataclass(frozen=True)
class Agreement:
    """Two judgements a text: ``n`` comparisons, quadratic weighted kappa (None if undefined), exact share."""

    n: int
    kappa: float | None
    exact_share: float


@dataclass(frozen=True)
class Lengths:
    """Characters of the rejected text over those of the chosen one."""

    median_ratio: float
    min_ratio: float
    max_ratio: float


@dataclass(frozen=True)
class ValidationReport:
    """Everything that is known about a file of scored pairs. ``as_dict`` is its JSON form; no value is NaN.

    Attributes:
        labels: label counts per dimension.
        isolation: rows by degradation type, most frequent first.
        target: pair by pair over all degradations with a target.
        severity_monotonic: whether graver degradations have larger mean gaps; None below two severities.
        agreement: per dimension; empty when no text has two judgements.
    """

    rubric: str
    num_classes: int
    pairs: int
    gap_thresholds: dict[Grade, float]
    rate_thresholds: dict[Grade, float]
    overall: Overall
    per_dim: dict[str, DimensionGap]
    labels: dict[str, LabelCounts]
    isolation: dict[str, DegradationDrop]
    target: TargetCounts
    severities: list[SeverityGap]
    severity_monotonic: bool | None
    agreement: dict[str, Agreement]
    lengths: Lengths | None
    problem_counts: dict[str, int]
    severe_pairs: int
    problem_pairs: int
    problems: list[PairProblem] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON and for ``report.validation_view``."""
        return asdict(self)
