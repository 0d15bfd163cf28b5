"""Confidence intervals that respect groups: a pair's two texts are drawn together or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypedDict, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]
Figures = Mapping[str, float | None]
_Result = TypeVar("_Result", float, Figures)

_ALONE = ""


class Interval(TypedDict):
    """Ends of an interval; None where no interval can be given."""

    low: float | None
    high: float | None


class Difference(Interval):
    """The first system's figure minus the second's over all rows, and the ends of its interval."""

    difference: float | None


def _resamples(groups: Sequence[object], n_resamples: int, seed: int) -> Iterator[Rows]:
    # Codes by first appearance, as groups may be of any hashable kind, also one that can't be sorted.
    codes: dict[object, int] = {}
    code = np.array([codes.setdefault(group, len(codes)) for group in groups], dtype=np.int64)
    by_group = np.argsort(code, kind="stable")
    sizes = np.bincount(code, minlength=len(codes))
    starts = np.cumsum(sizes) - sizes
    random = np.random.default_rng(seed)
    if len(codes) < 2:
        return
    for _ in range(n_resamples):
        drawn = random.integers(len(codes), size=len(codes))
        counts = sizes[drawn]
        before = np.cumsum(counts) - counts
        yield by_group[np.repeat(starts[drawn] - before, counts) + np.arange(counts.sum())]


def _named(result: float | Figures) -> dict[str, float]:
    found = result if isinstance(result, Mapping) else {_ALONE: result}
    return {name: float("nan") if value is None else float(value) for name, value in found.items()}


def _interval(drawn: list[float], confidence: float) -> Interval:
    values = np.asarray(drawn, dtype=np.float64)
    values = values[np.isfinite(values)]
    if not len(values):
        return {"low": None, "high": None}
    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return {"low": float(low), "high": float(high)}


def _check(groups: Sequence[object], n_resamples: int, confidence: float) -> None:
    if n_resamples < 1 or not 0 < confidence < 1:
        raise ValueError("n_resamples must be at least 1 and confidence between 0 and 1")
    if not len(groups):
        raise ValueError("there are no rows to resample")


@overload
def grouped_bootstrap(
    statistic: Callable[[Rows], float],
    groups: Sequence[object],
    n_resamples: int = ...,
    seed: int = ...,
    confidence: float = ...,
) -> Interval: ...


@overload
def grouped_bootstrap(
    statistic: Callable[[Rows], Figures],
    groups: Sequence[object],
    n_resamples: int = ...,
    seed: int = ...,
    confidence: float = ...,
) -> dict[str, Interval]: ...


def grouped_bootstrap(
    statistic: Callable[[Rows], float] | Callable[[Rows], Figures],
    groups: Sequence[object],
    n_resamples: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
) -> Interval | dict[str, Interval]:
    """Percentile interval of a statistic, resampling whole groups with replacement.

    The cluster bootstrap with percentile limits: Davison & Hinkley, *Bootstrap Methods and their Application*
    (1997), sections 3.8 and 5.3. Texts of one pair resemble each other; drawing them singly would make
    intervals too narrow.

    Args:
        statistic: takes row indices (int64, with repeats, about as many as there are rows) and returns one
            figure, or several by name. NaN and None mean "undefined for this resample" and are dropped.
            :func:`reward_model.stats.metrics.figures` makes a quick one.
        groups: a hashable value a row; rows with the same value are drawn together.
        n_resamples: how many resamples.
        seed: makes the result repeatable; with the same groups it also gives the same resamples.
        confidence: coverage aimed at.

    Returns:
        ``{"low", "high"}``, a name each if the statistic names its figures. Both are None where every
        resample was undefined, and with fewer than two groups, which say nothing of the spread.

    Raises:
        ValueError: if there are no rows, or ``n_resamples`` or ``confidence`` is out of range.
    """
    _check(groups, n_resamples, confidence)
    point = statistic(np.arange(len(groups)))
    drawn: dict[str, list[float]] = {name: [] for name in _named(point)}
    for rows in _resamples(groups, n_resamples, seed):
        for name, value in _named(statistic(rows)).items():
            drawn.setdefault(name, []).append(value)
    intervals = {name: _interval(values, confidence) for name, values in drawn.items()}
    return intervals if isinstance(point, Mapping) else intervals[_ALONE]


@overload
def paired_difference(
    first: Callable[[Rows], float],
    second: Callable[[Rows], float],
    groups: Sequence[object],
    n_resamples: int = ...,
    seed: int = ...,
    confidence: float = ...,
) -> Difference: ...


@overload
def paired_difference(
    first: Callable[[Rows], Figures],
    second: Callable[[Rows], Figures],
    groups: Sequence[object],
    n_resamples: int = ...,
    seed: int = ...,
    confidence: float = ...,
) -> dict[str, Difference]: ...


def paired_difference(
    first: Callable[[Rows], _Result],
    second: Callable[[Rows], _Result],
    groups: Sequence[object],
    n_resamples: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
) -> Difference | dict[str, Difference]:
    """How much the first system's figures exceed the second's, on the same texts and the same resamples.

    Both see each resample, so what makes a text hard for both cancels out: the interval of the difference is
    narrower than two separate intervals suggest. An interval that holds 0 is no evidence of a difference.

    Args:
        first, second: statistics as for :func:`grouped_bootstrap`, over the same rows.
        groups, n_resamples, seed, confidence: as there.

    Returns:
        ``{"difference", "low", "high"}``, a name each for figures that both systems name. ``difference`` is
        taken over all rows, None where undefined; the ends are as for :func:`grouped_bootstrap`.

    Raises:
        ValueError: as for :func:`grouped_bootstrap`.
    """

    def difference(rows: Rows) -> dict[str, float]:
        one, other = _named(first(rows)), _named(second(rows))
        return {name: one[name] - other[name] for name in one if name in other}

    everything = np.arange(len(groups))
    intervals = grouped_bootstrap(difference, groups, n_resamples, seed, confidence)
    found: dict[str, Difference] = {
        name: {"difference": value if np.isfinite(value) else None, **intervals[name]}
        for name, value in difference(everything).items()
    }
    return found[_ALONE] if set(found) == {_ALONE} else found
