"""What every array of levels must be."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reward_model.samples import IGNORED


def checked_levels(levels: ArrayLike, num_classes: int) -> NDArray[np.int64]:
    """``levels`` of any shape as int64.

    Raises:
        ValueError: if one is neither 0 to ``num_classes`` - 1 nor -100 (none).
    """
    given = np.asarray(levels)
    found = given.astype(np.int64)
    if np.any(found != given) or np.any((found != IGNORED) & ((found < 0) | (found >= num_classes))):
        raise ValueError(f"levels must be whole, 0 to {num_classes - 1}, or {IGNORED} for none")
    return found
