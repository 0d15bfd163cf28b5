"""The loss: cross-entropy over every label of every dimension, hard or soft, and what each label counts."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from reward_model.samples import IGNORED


def label_weights(labels: Tensor, class_weights: Tensor) -> Tensor:
    """What each label of [B, D] counts under class weights [K] or [D, K], fp32; 0 where there is none."""
    table = _table(class_weights, labels)
    dimension = torch.arange(labels.shape[1], device=labels.device).expand_as(labels)
    return torch.where(labels != IGNORED, table[dimension, labels.clamp(min=0)], 0.0)


def label_weight(labels: Tensor, class_weights: Tensor | None, soft_targets: Tensor | None = None) -> Tensor:
    """What the labels [B, D] count together, by which :func:`reward_loss` divides.

    Their number, or the sum of their class weights; a soft label's is the mean of the weights under it.
    """
    if class_weights is None:
        return (labels != IGNORED).sum().float()
    if soft_targets is None:
        return label_weights(labels, class_weights).sum()
    return (_known(soft_targets, labels) * _table(class_weights, labels)).sum()


def reward_loss(
    logits: Tensor,
    labels: Tensor,
    class_weights: Tensor | None = None,
    soft_targets: Tensor | None = None,
) -> Tensor:
    """Cross-entropy over every label of every dimension, in fp32.

    Unweighted it equals ``F.cross_entropy(logits.view(-1, K), labels.view(-1))`` (the guide's formula).
    Weights are [K], or [D, K] for weights a dimension; the weighted mean divides by the sum of the weights
    of the labels, as ``F.cross_entropy(weight=...)`` does.

    With soft labels p and class weights w (1 without), over the labels n that are there::

        sum_n sum_k w_k p_nk (-log softmax(logits_n)_k) / sum_n sum_k w_k p_nk

    The numerator is ``F.cross_entropy``'s for probabilities with ``reduction="sum"``. Its "mean" would
    divide by the number of labels; dividing by what they weigh makes soft labels that put all on one level
    the same as hard ones.

    Args:
        logits: [B, D, K].
        labels: [B, D], levels, or -100 to be passed over. With none left the loss is 0 and differentiable.
        class_weights: [K] or [D, K].
        soft_targets: [B, D, K], each row summing to 1, learned instead of ``labels``, which then only say
            what is passed over.
    """
    flat_logits = logits.float().flatten(0, 1)
    flat_labels = labels.reshape(-1)
    if not (flat_labels != IGNORED).any():
        return flat_logits.sum() * 0.0
    if soft_targets is not None:
        wanted = _known(soft_targets, labels)
        if class_weights is not None:
            wanted = wanted * _table(class_weights, labels)
        total = F.cross_entropy(flat_logits, wanted.flatten(0, 1), reduction="sum")
        return total / _at_least_tiny(label_weight(labels, class_weights, soft_targets))
    if class_weights is None:
        return F.cross_entropy(flat_logits, flat_labels, ignore_index=IGNORED)
    losses = F.cross_entropy(flat_logits, flat_labels, ignore_index=IGNORED, reduction="none")
    weights = label_weights(labels, class_weights).reshape(-1)
    return (losses * weights).sum() / _at_least_tiny(weights.sum())


def _table(class_weights: Tensor, labels: Tensor) -> Tensor:
    """Class weights as [D, K], fp32, where the labels are."""
    table = class_weights.to(labels.device, torch.float32)
    return table.expand(labels.shape[1], -1) if table.ndim == 1 else table


def _known(soft_targets: Tensor, labels: Tensor) -> Tensor:
    """Soft labels [B, D, K] in fp32, zero where there is no label."""
    return soft_targets.float() * (labels != IGNORED).unsqueeze(-1)


def _at_least_tiny(value: Tensor) -> Tensor:
    return value.clamp(min=torch.finfo(torch.float32).tiny)
