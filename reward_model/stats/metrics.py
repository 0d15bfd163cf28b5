"""Held-out figures of graded predictions: a confusion matrix a dimension, and what follows from it.

Arrays throughout: ``labels`` int [N, D] with -100 where there is none, ``probabilities`` float [N, D, K],
``pairs`` int [P, 2] of row indices (chosen, rejected). Figures of a single dimension are computed from its
[K, K] confusion matrix, which costs one ``bincount``: that is what makes bootstrapping them cheap.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reward_model.samples import IGNORED
from reward_model.stats.arrays import checked_levels
from reward_model.stats.calibration import ece_noise_floor, expected_calibration_error

Rows = NDArray[np.int64]
Floats = NDArray[np.float64]
Levels = NDArray[np.int64]

_TIE = 1e-9


def expected_scores(probabilities: ArrayLike) -> Floats:
    """Expected levels, sum over k of k * p_k: [..., K] -> [...], between 0 and K - 1."""
    values = np.asarray(probabilities, dtype=np.float64)
    scores: Floats = values @ np.arange(values.shape[-1], dtype=np.float64)
    return scores


def predicted_levels(probabilities: ArrayLike) -> Levels:
    """Most probable levels: [..., K] -> int [...]; of equally probable ones the lowest."""
    levels: Levels = np.asarray(probabilities).argmax(axis=-1)
    return levels


def confusion_matrix(labels: ArrayLike, predicted: ArrayLike, num_classes: int) -> Levels:
    """Counts [K, K]: rows are true levels, columns predicted ones.

    Args:
        labels, predicted: int [n]; where either is -100 the pair is left out.
        num_classes: K.

    Raises:
        ValueError: if shapes differ or a level lies outside 0 to K - 1.
    """
    true, guess = checked_levels(labels, num_classes), checked_levels(predicted, num_classes)
    if true.shape != guess.shape or true.ndim != 1:
        raise ValueError(f"both must be [n]; got {true.shape} and {guess.shape}")
    known = (true != IGNORED) & (guess != IGNORED)
    counts = np.bincount(true[known] * num_classes + guess[known], minlength=num_classes**2)
    return counts.reshape(num_classes, num_classes)


def accuracy(confusion: Levels) -> float:
    """Share of predictions that are exactly right; NaN for an empty [K, K] matrix."""
    total = int(confusion.sum())
    return float(np.trace(confusion)) / total if total else math.nan


def within_one(confusion: Levels) -> float:
    """Share of predictions at most one level off; NaN for an empty [K, K] matrix."""
    total = int(confusion.sum())
    near = sum(int(np.trace(confusion, offset=offset)) for offset in (-1, 0, 1))
    return near / total if total else math.nan


def macro_f1(confusion: Levels) -> float:
    """Mean F1 = 2 tp / (true + predicted) over the levels that occur among labels or predictions.

    The choice is scikit-learn's ``f1_score(average="macro")``: a level that is never true but predicted
    counts as 0, one that is never true nor predicted doesn't count, so that an evaluation set without a rare
    level isn't punished for it. NaN for an empty [K, K] matrix.
    """
    occurrences = confusion.sum(axis=0) + confusion.sum(axis=1)
    seen = occurrences > 0
    return float(np.mean(2 * np.diag(confusion)[seen] / occurrences[seen])) if seen.any() else math.nan


def kappa(confusion: Levels) -> float:
    """Quadratically weighted kappa, 1 - sum(w O) / sum(w E), w_ij = (i - j)^2 over the full range 0 to K - 1.

    Cohen, "Weighted kappa" (Psychological Bulletin, 1968); E holds the counts that independent raters with
    these margins would give. Where one side is constant O equals E and kappa is 0: a rater who always says
    the same agrees no more than chance would. That holds as well where both are constant at one level, which
    leaves the formula at 0/0. NaN for an empty [K, K] matrix.
    """
    total = float(confusion.sum())
    if not total:
        return math.nan
    levels = np.arange(len(confusion))
    weights = (levels[:, None] - levels[None, :]) ** 2
    expected = float((weights * np.outer(confusion.sum(axis=1), confusion.sum(axis=0))).sum())
    return 1 - total * float((weights * confusion).sum()) / expected if expected else 0.0


def quadratic_kappa(a: ArrayLike, b: ArrayLike, num_classes: int) -> float:
    """Agreement of two raters' levels, int [n] each: :func:`kappa` of their confusion matrix.

    Items that either left ungraded (-100) are left out; NaN if none is left.

    Raises:
        ValueError: as :func:`confusion_matrix`.
    """
    return kappa(confusion_matrix(a, b, num_classes))


def ranking_points(difference: ArrayLike) -> Floats:
    """1 where ``difference`` (better minus worse) is positive, 0 where negative, 0.5 where they tie.

    Differences under 1e-9 tie: sums in another order differ by as much.
    """
    gap = np.asarray(difference, dtype=np.float64)
    points: Floats = np.where(np.abs(gap) < _TIE, 0.5, (gap > 0).astype(np.float64))
    return points


def _checked(
    labels: ArrayLike, probabilities: ArrayLike, pairs: ArrayLike, names: Sequence[str]
) -> tuple[Levels, Floats, Rows]:
    values = np.asarray(probabilities, dtype=np.float64)
    rows = np.asarray(pairs, dtype=np.int64).reshape(-1, 2)
    if values.ndim != 3 or np.shape(labels) != values.shape[:2] or values.shape[1] != len(names):
        raise ValueError(
            f"labels must be [N, D], probabilities [N, D, K] and names D long; got {np.shape(labels)}, "
            f"{values.shape} and {len(names)}"
        )
    levels = checked_levels(labels, values.shape[2])
    # Logits passed by mistake would give plausible figures for everything but the expected scores.
    if not (np.all(values >= 0) and np.allclose(values.sum(axis=2), 1, rtol=0, atol=1e-2)):
        raise ValueError("probabilities must be finite, not negative and sum to 1 a dimension")
    if np.any((rows < 0) | (rows >= len(levels))):
        raise ValueError(f"pairs must hold row indices 0 to {len(levels) - 1}")
    return levels, values, rows


def _pair_points(labels: Levels, scores: Floats, pairs: Rows) -> tuple[Floats, Floats]:
    """Ranking points and how many comparisons they come from, [N, 1 + D] each, booked on chosen rows.

    Column 0 compares sums of expected scores, the others one dimension in the direction of its labels.
    """
    chosen, rejected = pairs[:, 0], pairs[:, 1]
    both = (labels[chosen] != IGNORED) & (labels[rejected] != IGNORED)
    direction = np.where(both, np.sign(labels[chosen] - labels[rejected]), 0)
    gap = scores[chosen] - scores[rejected]
    overall = np.ones(len(pairs))
    compared = np.column_stack([overall, direction != 0]).astype(np.float64)
    won = ranking_points(np.column_stack([gap.sum(axis=1), direction * gap])) * compared
    points = np.zeros((len(labels), compared.shape[1]))
    counts = np.zeros_like(points)
    np.add.at(points, chosen, won)
    np.add.at(counts, chosen, compared)
    return points, counts


def figures(
    labels: ArrayLike, probabilities: ArrayLike, pairs: ArrayLike, names: Sequence[str]
) -> Callable[[Rows], dict[str, float]]:
    """A function from row indices to every figure over these rows, quick enough for thousands of resamples.

    Args: as :func:`evaluate_predictions`.

    Returns:
        A function of int [n] (repeats allowed) that returns figures by their path in the JSON of
        ``evaluate``: ``overall_accuracy``, ``exact_match``, ``per_dim.<dim>.<figure>`` (accuracy, macro_f1,
        qwk, mae, within_1), ``pairs.ranking_accuracy``, ``pairs.per_dim.<dim>``; NaN where undefined. A pair
        counts with its chosen row, so resample pairs whole (``bootstrap.grouped_bootstrap``). The ECE isn't
        among them: its bias grows in resamples, and its noise floor answers the same question.

    Raises:
        ValueError: as :func:`evaluate_predictions`.
    """
    levels, values, rows_of_pairs = _checked(labels, probabilities, pairs, names)
    classes = values.shape[2]
    scores, predicted = expected_scores(values), predicted_levels(values)
    known = levels != IGNORED
    # One number a text and dimension; texts without a label fall into a bin of their own.
    cell = np.where(known, levels * classes + predicted, classes**2)
    error = np.where(known, np.abs(scores - levels), 0.0)
    complete = known.all(axis=1)
    all_right = complete & (predicted == levels).all(axis=1)
    points, compared = _pair_points(levels, scores, rows_of_pairs)

    def over(rows: Rows) -> dict[str, float]:
        found: dict[str, float] = {"overall_accuracy": math.nan}
        found["exact_match"] = _ratio(all_right[rows].sum(), complete[rows].sum())
        right = labelled = 0
        for d, name in enumerate(names):
            counts = np.bincount(cell[rows, d], minlength=classes**2 + 1)[:-1].reshape(classes, classes)
            total = int(counts.sum())
            found[f"per_dim.{name}.accuracy"] = accuracy(counts)
            found[f"per_dim.{name}.macro_f1"] = macro_f1(counts)
            found[f"per_dim.{name}.qwk"] = kappa(counts)
            found[f"per_dim.{name}.mae"] = _ratio(error[rows, d].sum(), total)
            found[f"per_dim.{name}.within_1"] = within_one(counts)
            right, labelled = right + int(np.trace(counts)), labelled + total
        found["overall_accuracy"] = _ratio(right, labelled)
        won, fought = points[rows].sum(axis=0), compared[rows].sum(axis=0)
        found["pairs.ranking_accuracy"] = _ratio(won[0], fought[0])
        for d, name in enumerate(names):
            found[f"pairs.per_dim.{name}"] = _ratio(won[d + 1], fought[d + 1])
        return found

    return over


def _ratio(part: float, whole: float) -> float:
    return float(part) / float(whole) if whole else math.nan


def _or_none(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def evaluate_predictions(
    labels: ArrayLike, probabilities: ArrayLike, pairs: ArrayLike, names: Sequence[str]
) -> dict[str, Any]:
    """Every figure of ``evaluate --json`` except slices and baselines, ready for ``json.dumps``.

    Args:
        labels: int [N, D], -100 where a text has no label in a dimension; it is left out of figures there.
        probabilities: float [N, D, K], each dimension summing to 1.
        pairs: int [P, 2], rows (chosen, rejected); [] for none.
        names: the dimensions, D of them.

    Returns:
        ``{"n", "overall_accuracy", "exact_match", "per_dim": {dim: {"accuracy", "macro_f1", "qwk", "mae",
        "within_1", "ece", "ece_noise_floor", "confusion"}}, "pairs": {"n", "ranking_accuracy", "per_dim":
        {dim: ...}}}``, plain floats, ints and lists; None, never NaN, where nothing is left to compute from
        (all figures of a dimension without labels).

        - ``n`` is N; ``overall_accuracy`` the share of all labels that are right; ``exact_match`` the share
          of fully labelled texts with every label right.
        - ``mae`` takes the expected score (in levels); accuracy, F1, kappa, ``within_1`` and the confusion
          matrix (rows = true) the most probable level, whose probability is the confidence of the ECE.
        - ``pairs.ranking_accuracy`` is the share of pairs whose chosen text has the higher sum of expected
          scores, ties counting half; it needs no labels. ``pairs.per_dim`` looks only at pairs whose two
          labels in that dimension are known and differ, and asks whether its expected scores differ in the
          same direction: a degradation that leaves a dimension alone, or lifts it, is no error there.

    Raises:
        ValueError: if shapes don't fit, a label is no level, a row index is no row, or probabilities aren't.
    """
    levels, values, rows_of_pairs = _checked(labels, probabilities, pairs, names)
    found = figures(levels, values, rows_of_pairs, names)(np.arange(len(levels)))
    per_dim: dict[str, dict[str, Any]] = {}
    for d, name in enumerate(names):
        known = levels[:, d] != IGNORED
        predicted = predicted_levels(values[known, d])
        confidence = np.minimum(values[known, d].max(axis=1), 1.0)
        right = predicted == levels[known, d]
        counts = confusion_matrix(levels[known, d], predicted, values.shape[2])
        per_dim[name] = {
            figure: _or_none(found[f"per_dim.{name}.{figure}"])
            for figure in ("accuracy", "macro_f1", "qwk", "mae", "within_1")
        } | {
            "ece": _or_none(expected_calibration_error(confidence, right)),
            "ece_noise_floor": _or_none(ece_noise_floor(confidence)),
            "confusion": counts.tolist() if known.any() else None,
        }
    return {
        "n": len(levels),
        "overall_accuracy": _or_none(found["overall_accuracy"]),
        "exact_match": _or_none(found["exact_match"]),
        "per_dim": per_dim,
        "pairs": {
            "n": len(rows_of_pairs),
            "ranking_accuracy": _or_none(found["pairs.ranking_accuracy"]),
            "per_dim": {name: _or_none(found[f"pairs.per_dim.{name}"]) for name in names},
        },
    }
