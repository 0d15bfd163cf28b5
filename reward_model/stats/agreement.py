"""How far judgements agree: several judges, or several votes of one, on the same texts."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any

import krippendorff
import numpy as np
from numpy.typing import ArrayLike

from reward_model.samples import IGNORED
from reward_model.stats.metrics import accuracy, confusion_matrix, kappa, within_one


def agreement(ratings: ArrayLike, num_classes: int) -> dict[str, float | int | None]:
    """Figures of agreement on one dimension.

    Args:
        ratings: int [R, N], a row a rater; -100 where a rater has no level for a text.
        num_classes: K; levels are 0 to K - 1.

    Returns:
        ``{"texts", "qwk", "alpha", "exact", "within_1"}``: texts that at least two rated; the quadratically
        weighted kappa, the share of equal levels and of levels at most one apart, each a mean over all pairs
        of raters that share a text; Krippendorff's alpha for interval data. None where nothing is left to
        compute from, or, for alpha, where all ratings are the same: chance can't be told from agreement then.

    Krippendorff, *Content Analysis* (2018), chapter 12; kappa as in ``stats.metrics``.
    """
    table = np.asarray(ratings, dtype=np.int64).reshape(len(np.atleast_2d(ratings)), -1)
    shared = (table != IGNORED).sum(axis=0) >= 2
    found: dict[str, list[float]] = {"qwk": [], "exact": [], "within_1": []}
    for one, two in combinations(table, 2):
        counts = confusion_matrix(one, two, num_classes)
        if counts.sum():
            found["qwk"].append(kappa(counts))
            found["exact"].append(accuracy(counts))
            found["within_1"].append(within_one(counts))
    figures: dict[str, float | int | None] = {"texts": int(shared.sum())}
    for name, values in found.items():
        figures[name] = float(np.mean(values)) if values else None
    figures["alpha"] = krippendorff_alpha(table)
    return figures


def krippendorff_alpha(ratings: ArrayLike) -> float | None:
    """Krippendorff's alpha for interval data of int [R, N] with -100 for none; None where it is undefined."""
    table = np.asarray(ratings, dtype=np.float64)
    table[table == IGNORED] = math.nan
    table = table[:, (~np.isnan(table)).sum(axis=0) >= 2]
    if table.size == 0 or len(np.unique(table[~np.isnan(table)])) < 2:
        return None
    return float(krippendorff.alpha(reliability_data=table, level_of_measurement="interval"))


def pearson(x: ArrayLike, y: ArrayLike) -> float | None:
    """Pearson's correlation; None where a side is constant or fewer than three are given."""
    a, b = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if len(a) < 3 or not a.std() or not b.std():
        return None
    value: Any = np.corrcoef(a, b)[0, 1]
    return float(value)
