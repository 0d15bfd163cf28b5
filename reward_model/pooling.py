"""From the hidden states of a document's windows to one vector a document.

Statistics are taken a window, then combined a document, so that no hidden state has to be kept and a
document's vector is the same whether it came in one window or in many of the same tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class WindowStats:
    """What pooling needs of W windows. ``mean``, ``spread`` (sum of squared deviations), ``peak``, ``first``
    and ``last`` are [W, H] in fp32, ``count`` (owned tokens) and ``document`` [W]."""

    count: Tensor
    document: Tensor
    mean: Tensor
    spread: Tensor | None
    peak: Tensor | None
    edge: Tensor | None


def window_stats(
    hidden: Tensor, mask: Tensor, owned: Tensor, document: Tensor, pooling: str, stats: Sequence[str]
) -> WindowStats:
    """Statistics of each window over the tokens it owns.

    Args:
        hidden: [W, L, H].
        mask: [W, L], 1 for tokens (padding on the right).
        owned: [W, L], 1 for the tokens that count here.
        document: [W].
        pooling: "mean", "cls" (first token) or "last" (last token).
        stats: which of "mean", "std", "max" mean pooling wants.
    """
    hidden = hidden.float()
    count = owned.sum(1).float()
    weight = owned.unsqueeze(-1).to(hidden.dtype)
    mean = (hidden * weight).sum(1) / count.clamp(min=1).unsqueeze(-1)
    spread = peak = edge = None
    if pooling == "mean":
        if "std" in stats:
            spread = ((hidden - mean.unsqueeze(1)).square() * weight).sum(1)
        if "max" in stats:
            peak = hidden.masked_fill(owned.unsqueeze(-1) == 0, -torch.inf).amax(1)
    else:
        index = torch.zeros_like(document) if pooling == "cls" else (mask.sum(1) - 1).clamp(min=0)
        edge = hidden[torch.arange(len(hidden), device=hidden.device), index]
    return WindowStats(count, document, mean, spread, peak, edge)


def join_stats(parts: Sequence[WindowStats]) -> WindowStats:
    """One after another."""

    def joined(name: str) -> Tensor | None:
        tensors = [getattr(part, name) for part in parts]
        return None if tensors[0] is None else torch.cat(tensors)

    return WindowStats(*(joined(name) for name in ("count", "document", "mean", "spread", "peak", "edge")))  # type: ignore[arg-type]


def pool_documents(stats: WindowStats, n_documents: int, pooling: str, kinds: Sequence[str]) -> Tensor:
    """One vector a document: [B, H * number of statistics], in fp32.

    Mean pooling weighs every token alike. With cls and last each window gives one vector; a document that
    came in several windows gets their mean, weighted by the tokens that each owns. A document without tokens
    is a vector of zeros.

    The spread of several windows is combined as in Chan, Golub & LeVeque (1979), "Updating Formulae and a
    Pairwise Algorithm for Computing Sample Variances".
    """
    width = stats.mean.shape[-1]
    total = stats.count.new_zeros(n_documents).index_add(0, stats.document, stats.count)
    share = stats.count / total.clamp(min=1)[stats.document]

    def weighted(values: Tensor) -> Tensor:
        zeros = values.new_zeros(n_documents, width)
        return zeros.index_add(0, stats.document, values * share.unsqueeze(-1))

    if stats.edge is not None:
        return weighted(stats.edge)
    mean = weighted(stats.mean)
    found = {"mean": mean}
    if stats.spread is not None:
        apart = (stats.mean - mean[stats.document]).square() * stats.count.unsqueeze(-1)
        spread = mean.new_zeros(n_documents, width).index_add(0, stats.document, stats.spread + apart)
        # The small constant keeps the gradient finite where all tokens agree.
        found["std"] = (spread / total.clamp(min=1).unsqueeze(-1) + 1e-12).sqrt()
    if stats.peak is not None:
        index = stats.document.unsqueeze(-1).expand(-1, width)
        lowest = mean.new_full((n_documents, width), -torch.inf)
        peak = lowest.scatter_reduce(0, index, stats.peak, "amax")
        found["max"] = torch.where(total.unsqueeze(-1) > 0, peak, torch.zeros_like(peak))
    return torch.cat([found[kind] for kind in kinds], dim=-1)
