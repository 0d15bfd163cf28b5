"""What scored pairs look like as data: gaps, labels, isolation of the degradations, agreement of the judges.

Pairs are added one after another; their numbers are summed and their texts let go.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from statistics import median

import numpy as np

from reward_model.data.pair_problems import PairChecker, PairFigures, PairProblem, pair_figures
from reward_model.data.validation_report import (
    RATE_STEPS,
    Agreement,
    DegradationDrop,
    DimensionGap,
    LabelCounts,
    Lengths,
    Overall,
    SeverityGap,
    TargetCounts,
    ValidationReport,
    gap_grade,
    gap_steps,
    rate_grade,
)
from reward_model.rubric import Rubric
from reward_model.schema import SIDES, Located, PairRecord
from reward_model.stats.metrics import accuracy, kappa
from reward_model.votes import votes


class Validator:
    """Sums up pairs given one after another.

    Memory grows with the numbers of a pair (a gap, two hashes, its problems), not with its texts.

    Args:
        rubric: the dimensions and levels; records must fit it (``schema.read_pairs`` sees to that).
    """

    def __init__(self, rubric: Rubric) -> None:
        self._rubric = rubric
        self._checker = PairChecker(rubric)
        self._gaps: Counter[Fraction] = Counter()
        self._drops: dict[str, Counter[int]] = {name: Counter() for name in rubric.names}
        self._levels: dict[tuple[str, str], Counter[int | None]] = defaultdict(Counter)
        self._paired_levels: dict[tuple[str, str], int] = defaultdict(int)
        self._isolation: dict[str, _DegradationSums] = {}
        self._by_severity: dict[str, Counter[Fraction]] = defaultdict(Counter)
        self._votes: dict[str, Counter[tuple[int, int]]] = {name: Counter() for name in rubric.names}
        self._ratios: list[float] = []
        self._problems: list[PairProblem] = []

    def add(self, located: Located) -> tuple[PairFigures, list[PairProblem]]:
        """Count one pair and return its numbers and problems.

        Raises:
            TypeError: if the record is no pair.
        """
        record = located.record
        if not isinstance(record, PairRecord):
            raise TypeError(f"line {located.line} holds no pair")
        figures = pair_figures(located.line, record, self._rubric)
        problems = self._checker.check(figures, record)
        self._problems += problems
        self._ratios.append(figures.length_ratio)
        self._add_levels(figures)
        self._add_votes(record)
        if figures.degradation is not None:
            sums = self._isolation.setdefault(figures.degradation, _DegradationSums(figures.target))
            sums.add(figures)
        if figures.gap is not None:
            self._gaps[figures.gap] += 1
            if figures.severity is not None:
                self._by_severity[figures.severity][figures.gap] += 1
        return figures, problems

    def _add_levels(self, figures: PairFigures) -> None:
        for side in SIDES:
            for name, level in figures.levels(side).items():
                self._levels[name, side][level] += 1
                if name in figures.drops:
                    self._paired_levels[name, side] += level or 0
        for name, drop in figures.drops.items():
            self._drops[name][drop] += 1

    def _add_votes(self, record: PairRecord) -> None:
        for side in SIDES:
            for name in self._rubric.names:
                found = votes(record, side, name, self._rubric.num_classes)
                for first in range(len(found)):
                    self._votes[name].update((found[first], later) for later in found[first + 1 :])

    def report(self) -> ValidationReport:
        """The figures of all pairs added so far."""
        rubric = self._rubric
        isolation = {
            name: sums.row(rubric.names)
            for name, sums in sorted(self._isolation.items(), key=lambda item: -item[1].n)
        }
        ladder = self._ladder()
        means = [mean for _, mean in ladder]
        return ValidationReport(
            rubric=rubric.name,
            num_classes=rubric.num_classes,
            pairs=len(self._ratios),
            gap_thresholds={grade: float(step) for grade, step in gap_steps(rubric.num_classes).items()},
            rate_thresholds={grade: float(step) for grade, step in RATE_STEPS.items()},
            overall=_overall(self._gaps, rubric.num_classes),
            per_dim={dim.name: self._dimension(dim.name, dim.title) for dim in rubric.dimensions},
            labels={dim.name: self._label_counts(dim.name, dim.title) for dim in rubric.dimensions},
            isolation=isolation,
            target=_total(row.pairs for row in isolation.values()),
            severities=[
                SeverityGap(name, self._by_severity[name].total(), _number(mean)) for name, mean in ladder
            ],
            severity_monotonic=None
            if len(means) < 2
            else all(milder < graver for milder, graver in pairwise(means)),
            agreement={
                name: _agreement(counts, rubric.num_classes) for name, counts in self._votes.items() if counts
            },
            lengths=Lengths(median(self._ratios), min(self._ratios), max(self._ratios))
            if self._ratios
            else None,
            problem_counts=dict(Counter(item.kind for item in self._problems).most_common()),
            severe_pairs=len({item.line for item in self._problems if item.severity == "severe"}),
            problem_pairs=len({item.line for item in self._problems}),
            problems=list(self._problems),
        )

    def _ladder(self) -> list[tuple[str, Fraction]]:
        """Mean gap by severity, mildest first; severities that the rubric doesn't order are left out."""
        return [
            (name, mean)
            for name in self._rubric.severities
            if (mean := _mean_of(self._by_severity.get(name, Counter()))) is not None
        ]

    def _dimension(self, name: str, title: str) -> DimensionGap:
        drops = self._drops[name]
        n = drops.total()
        mean = _ratio(sum(drop * count for drop, count in drops.items()), n)
        return DimensionGap(
            title=title,
            n=n,
            mean_chosen=_number(_ratio(self._paired_levels[name, "chosen"], n)),
            mean_rejected=_number(_ratio(self._paired_levels[name, "rejected"], n)),
            mean_gap=_number(mean),
            grade=gap_grade(mean, self._rubric.num_classes),
            positive_share=_number(_ratio(sum(c for drop, c in drops.items() if drop > 0), n)),
            zero_share=_number(_ratio(drops[0], n)),
            negative_share=_number(_ratio(sum(c for drop, c in drops.items() if drop < 0), n)),
        )

    def _label_counts(self, name: str, title: str) -> LabelCounts:
        levels = range(self._rubric.num_classes)
        chosen, rejected = self._levels[name, "chosen"], self._levels[name, "rejected"]
        return LabelCounts(
            title=title,
            all={level: chosen[level] + rejected[level] for level in levels},
            chosen={level: chosen[level] for level in levels},
            rejected={level: rejected[level] for level in levels},
            missing=chosen[None] + rejected[None],
        )


@dataclass
class _DegradationSums:
    target: str | None
    n: int = 0
    drops: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    most: int = 0
    tied: int = 0
    compared: int = 0

    def add(self, figures: PairFigures) -> None:
        self.n += 1
        self.drops.update(figures.drops)
        self.counts.update(figures.drops.keys())
        if self.target not in figures.drops:
            return
        own = figures.drops[self.target]
        others = [drop for name, drop in figures.drops.items() if name != self.target]
        self.compared += 1
        # A target that didn't drop at all isolates nothing, even if the others rose.
        self.most += own > 0 and all(own > other for other in others)
        self.tied += own > 0 and own == max(others, default=own - 1)

    def row(self, names: Sequence[str]) -> DegradationDrop:
        means = {name: _ratio(self.drops[name], self.counts[name]) for name in names}
        own = means[self.target] if self.target is not None else None
        others = [mean for name, mean in means.items() if name != self.target and mean is not None]
        return DegradationDrop(
            n=self.n,
            target=self.target,
            mean_drop={name: _number(mean) for name, mean in means.items()},
            target_most_on_average=None if own is None else own > 0 and all(own > other for other in others),
            pairs=_target_counts(self.compared, self.most, self.tied),
        )


def _target_counts(n: int, most: int, tied: int) -> TargetCounts:
    return TargetCounts(n, most, tied, _number(_ratio(most, n)), _number(_ratio(most + tied, n)))


def _total(rows: Iterable[TargetCounts]) -> TargetCounts:
    found = list(rows)
    return _target_counts(sum(r.n for r in found), sum(r.most for r in found), sum(r.tied for r in found))


def _overall(gaps: Counter[Fraction], num_classes: int) -> Overall:
    n = gaps.total()
    mean = _mean_of(gaps)
    positive = sum(count for gap, count in gaps.items() if gap > 0)
    rate = _ratio(positive, n)
    return Overall(
        pairs_with_gap=n,
        mean_gap=_number(mean),
        mean_gap_grade=gap_grade(mean, num_classes),
        median_gap=float(median(gaps.elements())) if n else None,
        min_gap=_number(min(gaps, default=None)),
        max_gap=_number(max(gaps, default=None)),
        positive=positive,
        zero=gaps[Fraction(0)],
        negative=n - positive - gaps[Fraction(0)],
        positive_rate=_number(rate),
        positive_rate_grade=rate_grade(rate),
    )


def _agreement(counts: Counter[tuple[int, int]], num_classes: int) -> Agreement:
    confusion = np.zeros((num_classes, num_classes), dtype=np.int64)
    for (one, other), count in counts.items():
        confusion[one, other] = count
    # All votes on one level leave nothing to agree about by more than chance: 0/0, not "no agreement".
    undefined = len(counts) == 1 and accuracy(confusion) == 1
    return Agreement(
        n=counts.total(),
        kappa=None if undefined else kappa(confusion),
        exact_share=accuracy(confusion),
    )


def _ratio(total: Fraction | int, n: int) -> Fraction | None:
    return Fraction(total) / n if n else None


def _mean_of(gaps: Counter[Fraction]) -> Fraction | None:
    return _ratio(sum(gap * count for gap, count in gaps.items()), gaps.total())


def _number(value: Fraction | None) -> float | None:
    return None if value is None else float(value)
