"""What both ways of training need: from settings to a model's configuration, from texts to tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from reward_model.backbone import BaseReference, special_ids
from reward_model.config import TrainConfig
from reward_model.errors import InputError
from reward_model.evidence import EVIDENCE_SIZE, EVIDENCE_VERSION
from reward_model.model import FinancialRewardConfig
from reward_model.rubric import Rubric
from reward_model.samples import GradedText, soft_levels


def thirds(n_layers: int) -> list[int]:
    """The layers at a third, two thirds and the end of a backbone of ``n_layers`` layers."""
    return sorted({max(1, round(n_layers * share / 3)) for share in (1, 2, 3)})


def model_config(
    settings: TrainConfig, rubric: Rubric, base_config: Any, reference: BaseReference, tokenizer: Any
) -> FinancialRewardConfig:
    """The model's configuration for a base model and settings.

    ``settings`` must fit ``rubric``: ``train`` checks that.
    """
    layers = settings.pool_layers
    prefix, suffix = special_ids(tokenizer)
    return FinancialRewardConfig(
        base_config={**base_config.to_dict(), "model_type": base_config.model_type},
        base_model=reference.to_dict(),
        pooling=settings.pooling,
        pool_layers=thirds(base_config.num_hidden_layers) if isinstance(layers, str) else list(layers),
        pool_stats=list(settings.pool_stats),
        num_dimensions=settings.num_dimensions,
        num_classes=settings.num_classes,
        dimension_names=list(rubric.names),
        use_multi_head=settings.use_multi_head,
        dropout=settings.dropout,
        window_overlap=settings.window_overlap,
        max_length=settings.max_length,
        include_prompt=settings.include_prompt,
        skip_padding=settings.skip_padding,
        prefix_ids=prefix,
        suffix_ids=suffix,
        evidence_size=EVIDENCE_SIZE if settings.evidence else 0,
        evidence_version=EVIDENCE_VERSION if settings.evidence else None,
        class_weights=None if settings.class_weights is None else np.array(settings.class_weights).tolist(),
    )


_DROPOUTS = {
    "attention_dropout": ("attention_probs_dropout_prob", "attention_dropout"),
    "hidden_dropout": ("hidden_dropout_prob", "hidden_dropout", "resid_pdrop", "embd_pdrop", "dropout"),
}
"""What architectures call the dropout on attention weights and on hidden states."""


def set_dropout(base_config: Any, **values: float | None) -> None:
    """Set a backbone's ``attention_dropout`` and ``hidden_dropout``, by any name; None: as it is."""
    for kind, value in values.items():
        for name in _DROPOUTS[kind]:
            if value is not None and isinstance(getattr(base_config, name, None), float):
                setattr(base_config, name, value)


def label_tensor(texts: Sequence[GradedText]) -> torch.Tensor:
    """Labels [N, D] of ``texts``."""
    return torch.tensor([text.labels for text in texts], dtype=torch.long)


def soft_label_tensor(texts: Sequence[GradedText], settings: TrainConfig) -> torch.Tensor | None:
    """Soft labels [N, D, K] of ``texts``; None if the settings ask for none."""
    if not settings.soft_labels:
        return None
    return torch.tensor([soft_levels(text, settings.num_classes) for text in texts], dtype=torch.float32)


def tell_cut(coverage: Sequence[float], max_length: int, tell: Callable[[str], None]) -> None:
    """Say how many texts were cut at ``max_length``."""
    cut = sum(share < 1 for share in coverage)
    if cut:
        tell(f"注意：{cut} 篇文本超过 max_length={max_length} 个词元，只读开头部分")


def require_known_ids(ids: Sequence[Sequence[int]], backbone: Any, reference: BaseReference) -> None:
    """Raise :class:`InputError` if a token id is none of the backbone's."""
    rows = backbone.get_input_embeddings().num_embeddings
    if (highest := max(map(max, ids))) >= rows:
        raise InputError(
            f"{reference.name}: its tokenizer gives token {highest}, but the model has {rows}; "
            "the tokenizer is another model's"
        )
