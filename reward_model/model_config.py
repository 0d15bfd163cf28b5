"""What decides the reward model's shape, and the check that it makes sense."""

from __future__ import annotations

from typing import Any

import numpy as np
from transformers import PretrainedConfig

from reward_model.errors import InputError
from reward_model.jsonl import shown

# Of a backbone's configuration: where it lay, how it was run, the labels of a head that is left out. What it
# computes doesn't depend on them, and in somebody else's directory some could make the library fetch code.
_LEFT_OUT = {
    "_name_or_path",
    "attn_implementation",
    "_attn_implementation",
    "experts_implementation",
    "_experts_implementation",
    "quantization_config",
    "auto_map",
    "id2label",
    "label2id",
}


class FinancialRewardConfig(PretrainedConfig):
    """Everything that decides the model's shape; ``base_config`` is the backbone's own configuration."""

    model_type = "financial_reward"

    base_config: dict | None = None
    base_model: dict | None = None
    pooling: str = "mean"
    pool_layers: list | None = None
    pool_stats: list | None = None
    num_dimensions: int = 3
    num_classes: int = 5
    dimension_names: list | None = None
    use_multi_head: bool = True
    dropout: float = 0.1
    window_overlap: int = 64
    max_length: int = 2048
    include_prompt: bool = False
    skip_padding: bool = False
    prefix_ids: list | None = None
    suffix_ids: list | None = None
    evidence_size: int = 0
    evidence_version: str | None = None
    class_weights: list | None = None
    frozen_backbone: bool = False

    def __post_init__(self, **kwargs: Any) -> None:
        if self.base_config is not None:
            kept = {key: value for key, value in self.base_config.items() if key not in _LEFT_OUT}
            self.base_config = kept
        weights: Any = self.class_weights
        if hasattr(weights, "tolist"):  # a tensor, as in the guide
            self.class_weights = weights.tolist()
        self.pool_layers = list(self.pool_layers or [-1])
        self.pool_stats = list(self.pool_stats or ["mean"])
        self.prefix_ids = list(self.prefix_ids or [])
        self.suffix_ids = list(self.suffix_ids or [])
        # Trainer.predict gathers every output; these are no tensors with a batch dimension.
        self.keys_to_ignore_at_inference = ["predicted_labels", "accuracy", "per_dim_accuracy"]
        super().__post_init__(**kwargs)


def _is_count(value: Any, least: int = 0) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _are_weights(value: Any, n_dimensions: int, n_classes: int) -> bool:
    try:
        table = np.array(value, dtype=float)
    except (TypeError, ValueError):
        return False
    fits = table.shape in {(n_classes,), (n_dimensions, n_classes)}
    return fits and bool(np.isfinite(table).all() and (table >= 0).all())


def check_config(config: FinancialRewardConfig) -> None:
    """Raise :class:`InputError` naming a field of no use, if there is one.

    What isn't known, such as a pooling of another name, must never pass for something else.
    """
    layers, names, weights = config.pool_layers or [], config.dimension_names, config.class_weights
    shape = config.num_dimensions, config.num_classes
    sound = {
        "num_dimensions": _is_count(config.num_dimensions, 1),
        "num_classes": _is_count(config.num_classes, 2),
        "pooling": config.pooling in ("mean", "last", "cls"),
        "pool_layers": all(isinstance(layer, int) and not isinstance(layer, bool) for layer in layers),
        "pool_stats": all(stat in ("mean", "std", "max") for stat in config.pool_stats or []),
        "dropout": isinstance(config.dropout, int | float) and 0 <= config.dropout < 1,
        "window_overlap": _is_count(config.window_overlap),
        "max_length": _is_count(config.max_length, 1),
        "prefix_ids": all(_is_count(token) for token in config.prefix_ids or []),
        "suffix_ids": all(_is_count(token) for token in config.suffix_ids or []),
        "evidence_size": _is_count(config.evidence_size),
        "use_multi_head": isinstance(config.use_multi_head, bool),
        "include_prompt": isinstance(config.include_prompt, bool),
        "skip_padding": isinstance(config.skip_padding, bool),
        "frozen_backbone": isinstance(config.frozen_backbone, bool),
    }
    # These depend on the shape, which has to be sound first.
    faults = [name for name, is_sound in sound.items() if not is_sound]
    if not faults and weights is not None and not _are_weights(weights, *shape):
        faults = ["class_weights"]
    if not faults and names is not None and not (_are_names(names) and len(names) == shape[0]):
        faults = ["dimension_names"]
    if faults:
        value = getattr(config, faults[0])
        raise InputError(f"the model's {faults[0]}: {shown(value)} is of no use here; correct it")


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)
