"""The reward model: a backbone, pooling, and one K-way classification head for each of D dimensions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, PreTrainedModel
from transformers.utils import ModelOutput

from reward_model.backbone import (
    build_backbone,
    input_layout,
    load_backbone,
    load_base_config,
    load_tokenizer,
    resolve_base,
    special_ids,
)
from reward_model.errors import InputError
from reward_model.loss import reward_loss
from reward_model.model_config import FinancialRewardConfig, check_config
from reward_model.pooling import join_stats, pool_documents, window_stats
from reward_model.samples import IGNORED
from reward_model.windows import Windows, split_windows

WINDOW_TOKENS = 8192
"""Tokens (padding included) that the backbone reads at a time; bounds memory, not what is read."""
CPU_WINDOW_TOKENS = 2048
"""The same on a CPU, where more falls out of the cache: 8,192 take a quarter longer."""


@dataclass
class RewardModelOutput(ModelOutput):
    """What the model returns; fields read as attributes or by key.

    Attributes:
        loss: cross-entropy over all labels that are there (:func:`reward_model.loss.reward_loss`), fp32
            scalar; None without labels.
        logits: [B, D, K], fp32.
        predicted_labels: [B, D], the most probable level.
        accuracy: share of the labels that are predicted right; None without labels, NaN if all are ignored.
        per_dim_accuracy: [D], the same a dimension; NaN where a dimension has no label in the batch.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    predicted_labels: Tensor | None = None
    accuracy: float | None = None
    per_dim_accuracy: Tensor | None = None

    def __getitem__(self, key: Any) -> Any:
        # The guide reads outputs["loss"]; without labels that is None, not a KeyError.
        if isinstance(key, str) and key in self.__dataclass_fields__:
            return getattr(self, key)
        return super().__getitem__(key)


def _head(width: int, hidden: int, outputs: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, outputs))


def _feature_width(config: FinancialRewardConfig, base: Any) -> int:
    layers, stats = config.pool_layers or [], config.pool_stats or []
    n_layers = getattr(base, "num_hidden_layers", None)
    for layer in layers:
        if n_layers is not None and not -n_layers - 1 <= layer <= n_layers:
            raise InputError(
                f"pool_layers: {layer} is no layer of this base model ({n_layers} layers); correct it"
            )
    return int(base.hidden_size) * len(layers) * (len(stats) if config.pooling == "mean" else 1)


def _check_room(config: FinancialRewardConfig, max_positions: int | None) -> None:
    around = len(config.prefix_ids or []) + len(config.suffix_ids or [])
    if max_positions is not None and max_positions <= around:
        raise InputError(f"this base model has {max_positions} positions, too few for a text; name another")


class FinancialRewardModel(PreTrainedModel):
    """Grades a text on D dimensions with K levels each.

    Build it from the guide's keywords, which loads the base model's weights::

        model = FinancialRewardModel(base_model_name="embedded", num_classes=5)

    or from a :class:`FinancialRewardConfig`, which builds the backbone with random weights for a state dict
    to be loaded into; ``from_pretrained`` reads a model directory.

    Args:
        config: the full configuration; then no keyword may be given.
        base_model_name: "embedded", a local model directory or a hub name.
        backbone: a base model already loaded, for a ``config`` that describes it.
        num_dimensions, num_classes: D and K.
        use_multi_head: one head a dimension, or one shared head with D x K outputs.
        pooling: "mean", "last" or "cls" over the attention mask.
        dropout: inside the heads.
        class_weights: [K] or [D, K] weights of the levels in the loss.
        others: further fields of :class:`FinancialRewardConfig`.

    Raises:
        InputError, ResourceError: if the base model can't be found or loaded.
    """

    config_class = FinancialRewardConfig
    base_model_prefix = "backbone"
    # Trainer would otherwise believe that forward divides by the number of labels in the accumulated batch.
    accepts_loss_kwargs = False
    supports_gradient_checkpointing = True
    upper: tuple[nn.Module, int]
    """The part of the backbone above kept activations, and its first layer (``upper.use_upper_part``)."""
    _supports_sdpa = True
    _supports_flash_attn = True

    def __init__(
        self,
        config: FinancialRewardConfig | None = None,
        *,
        base_model_name: str | None = None,
        backbone: nn.Module | None = None,
        **others: Any,
    ) -> None:
        pretrained = backbone
        if config is None:
            reference = resolve_base(base_model_name or "hfl/chinese-roberta-wwm-ext")
            base_config = load_base_config(reference)
            pretrained = load_backbone(reference, base_config)
            if "prefix_ids" not in others:
                others["prefix_ids"], others["suffix_ids"] = special_ids(load_tokenizer(reference))
            base = {**base_config.to_dict(), "model_type": base_config.model_type}
            config = FinancialRewardConfig(base_config=base, base_model=reference.to_dict(), **others)
        elif base_model_name is not None or others:
            raise TypeError("give a config or keywords, not both")
        check_config(config)
        super().__init__(config)
        if config.base_config is None:
            raise InputError("the configuration names no backbone (base_config)")
        base = AutoConfig.for_model(**config.base_config)
        if pretrained is None:
            self.backbone = build_backbone(base)
        self.layout = input_layout(self.backbone if pretrained is None else pretrained)
        _check_room(config, self.layout.max_positions)
        self.feature_width = _feature_width(config, base)
        # Standardising constants for features of a frozen backbone; identity unless they are fitted.
        self.register_buffer("feature_mean", torch.zeros(self.feature_width))
        self.register_buffer("feature_scale", torch.ones(self.feature_width))
        n_dimensions, n_classes = config.num_dimensions, config.num_classes
        outputs = [n_classes] * n_dimensions if config.use_multi_head else [n_dimensions * n_classes]
        self.heads = nn.ModuleList(
            _head(self.feature_width, base.hidden_size // 2, size, config.dropout) for size in outputs
        )
        self.evidence = (
            nn.Linear(config.evidence_size, n_dimensions * n_classes, bias=False)
            if config.evidence_size
            else None
        )
        self.post_init()
        if pretrained is not None:
            # Behind post_init, which gives random values to whatever it finds.
            self.backbone = pretrained

    def _init_weights(self, module: nn.Module) -> None:
        # The backbone brings its own weights; the heads keep torch's initialisation, the evidence term starts
        # at zero so that a model without training on it scores as if it weren't there.
        if module is getattr(self, "evidence", None):
            nn.init.zeros_(module.weight)  # type: ignore[arg-type]

    # -- parts ---------------------------------------------------------------------------------------------

    def head_state(self) -> dict[str, Tensor]:
        """Everything but the backbone."""
        prefix = "backbone."
        return {name: value for name, value in self.state_dict().items() if not name.startswith(prefix)}

    def windows(self, input_ids: Tensor, attention_mask: Tensor) -> Windows:
        """The windows in which the backbone reads a batch [B, T] of any length, padded on either side."""
        config = self.config
        pad_id = config.base_config.get("pad_token_id")
        return split_windows(
            input_ids,
            attention_mask,
            limit=self.layout.max_positions,
            overlap=config.window_overlap,
            prefix=config.prefix_ids,
            suffix=config.suffix_ids,
            pad_id=pad_id if isinstance(pad_id, int) and pad_id >= 0 else 0,
        )

    def encode(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Pooled features [B, ``feature_width``] in fp32, before standardisation.

        Takes ordinary tokenizer output of any length, padded on either side. What is longer than the
        backbone's positions is read in overlapping windows; nothing is dropped.
        """
        windows = self.windows(input_ids, attention_mask)

        def read(rows: Tensor, width: int, mask: Tensor) -> list[Tensor]:
            return self.hidden_states(windows.input_ids[rows, :width], mask, self.config.pool_layers)

        return self._pool(windows.attention_mask, windows.owned, windows.document, len(input_ids), read)

    def encode_prepared(self, prepared: Mapping[str, Tensor], n_documents: int) -> Tensor:
        """The same from activations of a lower layer (:mod:`reward_model.upper`), with gradients above it."""
        part, first = self.upper
        layers = [layer if layer < 0 else layer - first for layer in self.config.pool_layers]

        def read(rows: Tensor, width: int, mask: Tensor) -> list[Tensor]:
            return self._run(part, {"inputs_embeds": prepared["hidden"][rows, :width].float()}, mask, layers)

        mask, owned = prepared["attention_mask"], prepared["owned"]
        return self._pool(mask, owned, prepared["document"], n_documents, read)

    def _pool(
        self,
        mask: Tensor,
        owned: Tensor,
        document: Tensor,
        n_documents: int,
        read: Callable[[Tensor, int, Tensor], list[Tensor]],
    ) -> Tensor:
        config = self.config
        lengths = mask.sum(1)
        # Windows of like length are read together, so that little of what is read is padding.
        order = torch.argsort(lengths, stable=True)
        parts: list[list[Any]] = [[] for _ in config.pool_layers]
        for rows in _token_batches(order, lengths, _window_tokens(mask.device)):
            width = int(lengths[rows].max())
            part_mask, part_owned, part_of = mask[rows, :width], owned[rows, :width], document[rows]
            for part, hidden in zip(parts, read(rows, width, part_mask), strict=True):
                part.append(
                    window_stats(hidden, part_mask, part_owned, part_of, config.pooling, config.pool_stats)
                )
        return torch.cat(
            [pool_documents(join_stats(p), n_documents, config.pooling, config.pool_stats) for p in parts],
            dim=-1,
        )

    def hidden_states(self, input_ids: Tensor, mask: Tensor, layers: Sequence[int]) -> list[Tensor]:
        """Hidden states [W, L, H] of the ``layers`` (0 is the embeddings) for windows padded on the right."""
        return self._run(self.backbone, {"input_ids": input_ids}, mask, layers)

    def _run(
        self, backbone: Any, inputs: dict[str, Tensor], mask: Tensor, layers: Sequence[int]
    ) -> list[Tensor]:
        options: dict[str, Any] = {}
        if self.layout.takes_positions:
            # Given, not derived from ids: RoBERTa would take a token equal to its padding token for padding.
            positions = torch.arange(mask.shape[1], device=mask.device) + self.layout.position_offset
            options["position_ids"] = positions.expand_as(mask)
        every = list(layers) != [-1]
        if self.layout.takes_cache:
            options["use_cache"] = False
        output = backbone(attention_mask=mask, output_hidden_states=every, **inputs, **options)
        if not every:
            return [output.last_hidden_state]
        return [output.hidden_states[layer] for layer in layers]

    def classify(
        self, features: Tensor, *, evidence: Tensor | None = None, evidence_mask: Tensor | None = None
    ) -> Tensor:
        """Logits [B, D, K] in fp32 from pooled features [B, ``feature_width``].

        Args:
            features: as :meth:`encode` returns them.
            evidence: [B, ``evidence_size``], added as a linear term where ``evidence_mask`` is 1.
            evidence_mask: [B]; all ones if not given.

        Raises:
            ValueError: if evidence is given to a model without an evidence term, or of another size.
        """
        config = self.config
        with torch.autocast(device_type=features.device.type, enabled=False):
            inputs = (features.float() - self.feature_mean) / self.feature_scale
            logits = torch.cat([head(inputs) for head in self.heads], dim=-1)
            logits = logits.view(-1, config.num_dimensions, config.num_classes)
            if evidence is not None:
                if self.evidence is None or evidence.shape[-1] != config.evidence_size:
                    raise ValueError(
                        f"this model takes {config.evidence_size} evidence values, not {evidence.shape[-1]}"
                    )
                term = self.evidence(evidence.float()).view_as(logits)
                if evidence_mask is not None:
                    term = term * evidence_mask.to(term).view(-1, 1, 1)
                logits = logits + term
        return logits

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        *,
        token_type_ids: Tensor | None = None,
        features: Tensor | None = None,
        prepared: Mapping[str, Tensor] | None = None,
        evidence: Tensor | None = None,
        evidence_mask: Tensor | None = None,
        soft_targets: Tensor | None = None,
        return_dict: bool | None = None,
    ) -> RewardModelOutput:
        """Score a batch.

        Args:
            input_ids: [B, T] of any length, padded on either side.
            attention_mask: [B, T], 1 for tokens; all ones if not given.
            labels: [B, D], levels or -100.
            token_type_ids: ignored (BERT's tokenizer brings them): a text is one segment.
            features: [B, ``feature_width``] from :meth:`encode`, instead of ``input_ids``.
            prepared: activations instead of ``input_ids`` (see :meth:`encode_prepared`), with ``labels``.
            evidence, evidence_mask: see :meth:`classify`.
            soft_targets: [B, D, K] beside ``labels``: what the loss is computed with; accuracies are those of
                ``labels``. (transformers' Trainer would ask for a second label if its name said "label".)
            return_dict: ignored; the output is always a :class:`RewardModelOutput`.
        """
        if features is None and prepared is not None:
            if labels is None:
                raise ValueError("prepared activations need labels beside them")
            features = self.encode_prepared(prepared, len(labels))
        if features is None:
            if input_ids is None:
                raise ValueError("give input_ids or features")
            if attention_mask is None:
                attention_mask = torch.ones_like(input_ids)
            features = self.encode(input_ids, attention_mask)
        logits = self.classify(features, evidence=evidence, evidence_mask=evidence_mask)
        predicted = logits.argmax(-1)
        if labels is None:
            return RewardModelOutput(logits=logits, predicted_labels=predicted)
        weights = self.config.class_weights
        loss = reward_loss(logits, labels, None if weights is None else torch.tensor(weights), soft_targets)
        known = labels != IGNORED
        right = predicted == labels  # no level is -100
        return RewardModelOutput(
            loss=loss,
            logits=logits,
            predicted_labels=predicted,
            accuracy=(right.sum() / known.sum()).item(),
            per_dim_accuracy=right.sum(0) / known.sum(0),
        )

    # -- persistence ---------------------------------------------------------------------------------------

    @classmethod
    def from_pretrained(cls, path: str | Path, **_: Any) -> FinancialRewardModel:  # type: ignore[override]
        """Load a model directory strictly (see :func:`reward_model.modeldir.load_model`).

        Raises:
            InputError: if anything is missing, extra or different; never a model with random weights.
        """
        from reward_model.modeldir import load_model

        return load_model(path).model


def _window_tokens(device: torch.device) -> int:
    return CPU_WINDOW_TOKENS if device.type == "cpu" else WINDOW_TOKENS


def _token_batches(order: Tensor, lengths: Tensor, budget: int) -> list[Tensor]:
    """Cut ``order`` (rows by rising length) into batches of at most ``budget`` padded tokens."""
    batches: list[Tensor] = []
    start = 0
    sizes: Sequence[int] = lengths[order].tolist()
    for index, size in enumerate(sizes):
        if index > start and (index - start + 1) * size > budget:
            batches.append(order[start:index])
            start = index
    batches.append(order[start:])
    return batches
