"""Texts under the regimes of evidence, as items for the trainer: one drawn an epoch, or all of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from reward_model.evidence import REGIMES

Rows = Mapping[str, NDArray[np.float32]]
"""[N, E + 1] a regime, as :func:`reward_model.evidence.evidence_rows` gives them."""


def drawn_regime(seed: int, epoch: int, index: int) -> str:
    """The regime under which item ``index`` is learned from in ``epoch``; all are equally likely.

    A function of its arguments alone: a resumed run, and one that reads items in another order, draws the
    same.
    """
    return REGIMES[int(np.random.default_rng([seed, epoch, index]).integers(len(REGIMES)))]


def _with_evidence(item: dict[str, Any], row: NDArray[np.float32]) -> dict[str, Any]:
    values = torch.from_numpy(row)
    return {**item, "evidence": values[:-1], "evidence_mask": values[-1]}


class DrawnRegimes:
    """Each of ``items`` with its evidence [E] and evidence_mask [] under a regime that is drawn each epoch.

    Args:
        items: a data set of N items.
        rows: their evidence.
        seed: of the draw.
    """

    def __init__(self, items: Any, rows: Rows, seed: int) -> None:
        self.items, self.rows, self.seed = items, rows, seed
        self.epoch = 0

    def begin_epoch(self, epoch: int) -> None:
        """Draw for ``epoch`` from here on."""
        # Not called set_epoch: data loaders call that with a count of their own, from 0 after a resumption.
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> dict[str, Any]:
        regime = drawn_regime(self.seed, self.epoch, index)
        return _with_evidence(self.items[index], self.rows[regime][index])


class EveryRegime:
    """Every item under every regime, one regime after the other in the order of ``rows``: N x R items."""

    def __init__(self, items: Any, rows: Rows) -> None:
        self.items, self.rows = items, rows
        self._regimes = list(rows)

    def __len__(self) -> int:
        return len(self.items) * len(self._regimes)

    def __getitem__(self, index: int) -> dict[str, Any]:
        place, item = divmod(index, len(self.items))
        return _with_evidence(self.items[item], self.rows[self._regimes[place]][item])
