"""Whether confidence can be believed: calibration error, its noise floor, and temperatures per head."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reward_model.samples import IGNORED
from reward_model.stats.arrays import checked_levels

TEMPERATURE_BOUNDS = (0.05, 20.0)
MIN_LABELS = 20
"""With fewer labels a head keeps temperature 1: a handful of texts would set it by luck."""

_DRAWS_AT_ONCE = 4_000_000


def _checked(
    confidence: ArrayLike, correct: ArrayLike, bins: int
) -> tuple[NDArray[np.float64], NDArray[Any]]:
    confident = np.asarray(confidence, dtype=np.float64)
    right = np.asarray(correct)
    if confident.ndim != 1 or confident.shape != right.shape:
        raise ValueError(f"confidence and correct must be [n]; got {confident.shape} and {right.shape}")
    if not np.all((confident >= 0) & (confident <= 1 + 1e-6)):
        raise ValueError("confidence must lie in [0, 1]")
    if bins < 1:
        raise ValueError(f"bins must be at least 1, not {bins}")
    return confident, right


def _bin_of(confidence: NDArray[np.float64], bins: int) -> NDArray[np.int64]:
    # Edges rather than a split of the sorted rows: equal confidences share a bin, so that the order of the
    # rows changes nothing and a constant model has one bin instead of fifteen arbitrary ones.
    edges = np.quantile(confidence, np.linspace(0, 1, bins + 1)[1:-1])
    found: NDArray[np.int64] = np.unique(np.searchsorted(edges, confidence), return_inverse=True)[1]
    return found


def reliability(confidence: ArrayLike, correct: ArrayLike, bins: int = 15) -> list[dict[str, float | int]]:
    """Points of a reliability diagram, least confident first, from equal-mass bins.

    Args:
        confidence: [n], the probability of the predicted level.
        correct: [n], whether the prediction was right (bool or 0/1).
        bins: how many bins to aim for; equal confidences share one, so there may be fewer, and their sizes
            may differ.

    Returns:
        ``{"confidence", "accuracy", "n"}`` a non-empty bin: two means and the number of texts; [] for n = 0.

    Raises:
        ValueError: if shapes differ, a confidence lies outside [0, 1], or ``bins`` < 1.
    """
    confident, right = _checked(confidence, correct, bins)
    if not len(confident):
        return []
    index = _bin_of(confident, bins)
    sizes = np.bincount(index)
    means = np.bincount(index, weights=confident) / sizes
    shares = np.bincount(index, weights=right) / sizes
    return [
        {"confidence": float(mean), "accuracy": float(share), "n": int(size)}
        for mean, share, size in zip(means, shares, sizes, strict=True)
    ]


def expected_calibration_error(confidence: ArrayLike, correct: ArrayLike, bins: int = 15) -> float:
    """Expected calibration error over equal-mass bins: sum over bins of n_b/n * |accuracy_b - confidence_b|.

    Equal-mass bins follow Nguyen & O'Connor (EMNLP 2015) and Nixon et al. ("Measuring Calibration in Deep
    Learning", 2019): with bins of equal width most would be empty for a confident model. The estimate is
    biased upwards on few texts; read it beside :func:`ece_noise_floor`.

    Args and errors: as for :func:`reliability`. NaN for n = 0.
    """
    found = reliability(confidence, correct, bins)
    total = sum(point["n"] for point in found)
    if not total:
        return float("nan")
    return float(sum(p["n"] * abs(p["accuracy"] - p["confidence"]) for p in found) / total)


def ece_noise_floor(
    confidence: ArrayLike, bins: int = 15, *, simulations: int = 1000, seed: int = 0
) -> float:
    """The mean ECE of a perfectly calibrated model that makes these predictions.

    Outcomes are drawn as correct ~ Bernoulli(confidence), the null distribution of the consistency test of
    Bröcker & Smith ("Increasing the Reliability of Reliability Diagrams", 2007) and Vaicenavicius et al.
    (AISTATS 2019). A measured ECE near this value is no evidence of miscalibration.

    Args:
        confidence: [n], in any order (the order changes nothing).
        bins: as for the ECE it is compared with.
        simulations: how many data sets are drawn.
        seed: makes the result repeatable.

    Returns:
        The floor; NaN for n = 0.

    Raises:
        ValueError: as for :func:`reliability`.
    """
    confident, _ = _checked(confidence, np.zeros(np.shape(confidence)), bins)
    if not len(confident):
        return float("nan")
    confident = np.sort(confident)
    starts = np.flatnonzero(np.diff(_bin_of(confident, bins), prepend=-1))
    random = np.random.default_rng(seed)
    total = 0.0
    chunk = max(1, _DRAWS_AT_ONCE // len(confident))
    for done in range(0, simulations, chunk):
        drawn = random.random((min(chunk, simulations - done), len(confident))) < confident
        total += float(np.abs(np.add.reduceat(drawn - confident, starts, axis=1)).sum())
    return total / (simulations * len(confident))


def _checked_logits(logits: ArrayLike) -> NDArray[np.float64]:
    values = np.asarray(logits, dtype=np.float64)
    if values.ndim != 3:
        raise ValueError(f"logits must be [N, D, K], not {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError("logits hold NaN or infinity")
    return values


def fit_temperatures(logits: ArrayLike, labels: ArrayLike) -> NDArray[np.float64]:
    """One temperature a head that minimises the negative log-likelihood of softmax(logits / T).

    Temperature scaling: Guo et al., "On Calibration of Modern Neural Networks" (ICML 2017). The likelihood is
    convex in 1/T, so the bounded search in log T finds the global minimum. It changes no predicted level.

    Args:
        logits: [N, D, K] on held-out texts (those the model was trained on make it overconfident).
        labels: [N, D], -100 where there is none.

    Returns:
        [D], within ``TEMPERATURE_BOUNDS``; 1 for a head with fewer than ``MIN_LABELS`` labels. A head that is
        right on every text ends near the lower bound, one worse than a guess near the upper.

    Raises:
        ValueError: if shapes don't fit, logits aren't finite, or a label is no level.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    values = _checked_logits(logits)
    levels = checked_levels(labels, values.shape[2])
    if levels.shape != values.shape[:2]:
        raise ValueError(f"labels must be {values.shape[:2]}, not {levels.shape}")
    temperatures = np.ones(values.shape[1])
    for head in range(values.shape[1]):
        known = levels[:, head] != IGNORED
        if known.sum() < MIN_LABELS:
            continue
        scores, truth = values[known, head], levels[known, head, None]

        def loss(
            log_t: float, scores: NDArray[np.float64] = scores, truth: NDArray[np.int64] = truth
        ) -> float:
            chosen = np.take_along_axis(log_softmax(scores / np.exp(log_t), axis=1), truth, axis=1)
            return -float(np.mean(chosen))

        found = minimize_scalar(loss, bounds=np.log(TEMPERATURE_BOUNDS), method="bounded")
        temperatures[head] = np.clip(np.exp(found.x), *TEMPERATURE_BOUNDS)
    return temperatures


def apply_temperatures(logits: ArrayLike, temperatures: ArrayLike) -> NDArray[np.float64]:
    """Calibrated probabilities [N, D, K] in float64: softmax(logits / T) a head.

    Args:
        logits: [N, D, K].
        temperatures: [D], positive.

    Raises:
        ValueError: if shapes don't fit, logits aren't finite, or a temperature isn't a positive number.
    """
    values = _checked_logits(logits)
    scales = np.asarray(temperatures, dtype=np.float64)
    if scales.shape != (values.shape[1],):
        raise ValueError(f"temperatures must be ({values.shape[1]},), not {scales.shape}")
    if not np.all(np.isfinite(scales) & (scales > 0)):
        raise ValueError("temperatures must be positive numbers")
    # Written out, not scipy's: scoring with an exported model needs numpy alone.
    scaled = values / scales[None, :, None]
    raised = np.exp(scaled - scaled.max(axis=2, keepdims=True))
    probabilities: NDArray[np.float64] = raised / raised.sum(axis=2, keepdims=True)
    return probabilities
