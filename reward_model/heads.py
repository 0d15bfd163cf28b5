"""Training heads on the features of a frozen backbone, and calibrating them without a text judging itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from reward_model.model import FinancialRewardConfig, FinancialRewardModel

MIN_SCALE = 1e-4
"""A feature that hardly varies is not blown up into noise."""


class _NoBackbone(nn.Module):
    """Stands where the backbone would, for heads that are trained on features alone."""

    def forward(self, input_ids: Tensor) -> Tensor:
        raise RuntimeError("these heads read features, not texts")


def head_inputs(inputs: Tensor, width: int) -> dict[str, Tensor]:
    """What ``classify`` takes out of rows [N, F] or [N, F + E + 1]: features, evidence, whether it counts."""
    if inputs.shape[-1] == width:
        return {"features": inputs}
    return {
        "features": inputs[..., :width],
        "evidence": inputs[..., width:-1],
        "evidence_mask": inputs[..., -1],
    }


@dataclass
class FeatureDataset:
    """Items ``{"features": [F], "labels": [D]}`` for the trainer, with evidence where ``inputs`` have it.

    Attributes:
        inputs: [N, F] or [N, F + E + 1], as :func:`head_inputs` takes them.
        labels: [N, D].
        width: F; None if all of ``inputs`` are features.
        soft_targets: [N, D, K], carried along where they are given.
    """

    inputs: Tensor
    labels: Tensor
    width: int | None = None
    soft_targets: Tensor | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        width = self.inputs.shape[-1] if self.width is None else self.width
        item = {**head_inputs(self.inputs[index], width), "labels": self.labels[index]}
        if self.soft_targets is not None:
            item["soft_targets"] = self.soft_targets[index]
        return item


def collate_features(items: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Items to a batch: features [B, F], labels [B, D], and what else they carry."""
    return {name: torch.stack([item[name] for item in items]) for name in items[0]}


def new_heads(config: FinancialRewardConfig, inputs: Tensor, seed: int) -> FinancialRewardModel:
    """Fresh heads whose features are standardised by ``inputs`` [N, F ...], with no backbone behind them."""
    from transformers import set_seed

    set_seed(seed)
    heads = FinancialRewardModel(FinancialRewardConfig.from_dict(config.to_dict()), backbone=_NoBackbone())
    features = inputs[:, : heads.feature_width]
    heads.feature_mean.copy_(features.mean(0))
    heads.feature_scale.copy_(features.std(0, correction=0).clamp(min=MIN_SCALE))
    return heads


def classify_inputs(heads: FinancialRewardModel, inputs: Tensor) -> np.ndarray:
    """Logits [N, D, K] of rows as :func:`head_inputs` takes them."""
    with torch.inference_mode():
        parts = head_inputs(inputs.to(heads.feature_mean.device), heads.feature_width)
        logits: np.ndarray = heads.eval().classify(parts.pop("features"), **parts).cpu().numpy()
    return logits


def group_folds(groups: Sequence[str], n_folds: int, seed: int) -> list[np.ndarray]:
    """Row indices of ``n_folds`` parts in which no group is torn apart; fewer if there are fewer groups."""
    names = sorted(set(groups))
    np.random.default_rng(seed).shuffle(names)
    fold_of = {name: index % n_folds for index, name in enumerate(names)}
    folds = [
        np.array([i for i, g in enumerate(groups) if fold_of[g] == k], dtype=int) for k in range(n_folds)
    ]
    return [fold for fold in folds if len(fold)]


def cross_fitted_logits(
    fit: Callable[[Tensor, Tensor, Tensor | None], FinancialRewardModel],
    features: Tensor,
    labels: Tensor,
    groups: Sequence[str],
    *,
    soft: Tensor | None = None,
    n_folds: int = 5,
    seed: int = 0,
) -> np.ndarray:
    """Logits [N, D, K] of every text by heads that were trained without its group.

    Args:
        fit: trains heads on (features, labels, soft labels or None) and returns them.
        features, labels, groups: [N, F], [N, D], N names.
        soft: soft labels [N, D, K].
    """
    parts: dict[int, Any] = {}
    for fold in group_folds(groups, n_folds, seed):
        rest = np.setdiff1d(np.arange(len(groups)), fold)
        heads = fit(features[rest], labels[rest], None if soft is None else soft[rest])
        logits = classify_inputs(heads, features[fold])
        parts.update(zip(fold.tolist(), logits, strict=True))
    return np.stack([parts[index] for index in range(len(groups))])
