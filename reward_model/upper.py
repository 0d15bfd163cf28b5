"""Training the upper layers only: activations below the first trained layer are computed once.

Below that layer nothing changes while training, so what its layers make of a text is kept instead of being
made anew in every epoch.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from reward_model.dataset_multidim import pad_batch, stack_beside
from reward_model.errors import InputError
from reward_model.model import FinancialRewardModel

ACTIVATION_BYTES = 6 * 1024**3
"""Most memory that kept activations may take."""
_BATCH = 8


class _GivenEmbeddings(nn.Module):
    """Stands where BERT's embeddings would: the activations come in their place."""

    def forward(self, *args: Any, inputs_embeds: Tensor | None = None, **kwargs: Any) -> Tensor:
        assert inputs_embeds is not None
        return inputs_embeds


def layer_list(backbone: nn.Module) -> nn.ModuleList:
    """The backbone's stack of layers: BERT's ``encoder.layer`` or a decoder's ``layers``.

    Raises:
        InputError: for an architecture that has neither.
    """
    for path in ("encoder.layer", "layers"):
        found: Any = backbone
        for name in path.split("."):
            found = getattr(found, name, None)
        if isinstance(found, nn.ModuleList):
            return found
    raise InputError(
        f"trainable_layers: the layers of a {type(backbone).__name__} are not known here; leave it out"
    )


def first_trained(backbone: nn.Module, trainable_layers: int) -> int:
    """Index of the first trained layer when the upper ``trainable_layers`` are.

    Raises:
        InputError: if the backbone has fewer layers.
    """
    n_layers = len(layer_list(backbone))
    if trainable_layers > n_layers:
        raise InputError(f"trainable_layers: is {trainable_layers}, but the base model has {n_layers} layers")
    return n_layers - trainable_layers


def freeze_below(backbone: nn.Module, first: int) -> None:
    """Train layers from ``first`` on and what stands above them; embeddings and lower layers stay."""
    layers = layer_list(backbone)
    model: Any = backbone
    below = model.embeddings if hasattr(model, "embeddings") else model.get_input_embeddings()
    for module in [below, *layers[:first]]:
        module.requires_grad_(False)


def upper_part(backbone: nn.Module, first: int) -> nn.Module:
    """The backbone from layer ``first`` on, sharing its weights; takes activations as ``inputs_embeds``."""
    part = copy.copy(backbone)
    part._modules = dict(backbone._modules)
    layers = nn.ModuleList(layer_list(backbone)[first:])
    if hasattr(backbone, "embeddings"):
        part.embeddings = _GivenEmbeddings()
        part.encoder = copy.copy(backbone.encoder)
        part.encoder._modules = {**backbone.encoder._modules, "layer": layers}  # type: ignore[union-attr, dict-item]
    else:
        part.layers = layers
        part.config = copy.copy(backbone.config)
        part.config.num_hidden_layers = len(layers)  # type: ignore[union-attr]
    return part


def use_upper_part(model: FinancialRewardModel, first: int) -> None:
    """Let ``model`` read activations of layer ``first`` (``prepared``), and train from there on.

    Raises:
        InputError: if it pools a layer below.
    """
    n_layers = len(layer_list(model.backbone))
    for layer in model.config.pool_layers:
        if (layer if layer >= 0 else n_layers + 1 + layer) < first:
            raise InputError(
                f"pool_layers: layer {layer} lies below the trained layers; pool higher or train more layers"
            )
    freeze_below(model.backbone, first)
    # Not registered: its weights are the backbone's own and must not be counted or stored twice.
    object.__setattr__(model, "upper", (upper_part(model.backbone, first), first))


def activations(
    model: FinancialRewardModel,
    sequences: Sequence[Sequence[int]],
    first: int,
    *,
    pad_id: int,
    bf16: bool,
    progress: Callable[[int, int], None] | None = None,
) -> list[dict[str, Tensor]]:
    """What the layers below ``first`` make of each text.

    Returns:
        A dict a text: ``hidden`` [W, L, H] (bfloat16 if ``bf16``), ``attention_mask`` and ``owned`` [W, L].

    Raises:
        InputError: if they would take more than ``ACTIVATION_BYTES``.
    """
    size = 2 if bf16 else 4
    needed = sum(map(len, sequences)) * int(model.backbone.config.hidden_size) * size  # type: ignore[union-attr, arg-type]
    if needed > ACTIVATION_BYTES:
        raise InputError(
            f"trainable_layers: activations take {needed / 1e9:.0f} GB; lower max_length, or leave it out"
        )
    device = next(model.backbone.parameters()).device
    found: list[dict[str, Tensor]] = [{} for _ in sequences]
    order = sorted(range(len(sequences)), key=lambda index: len(sequences[index]))
    model.backbone.eval()
    for start in range(0, len(order), _BATCH):
        rows = order[start : start + _BATCH]
        input_ids, mask = pad_batch([sequences[row] for row in rows], pad_id)
        with torch.no_grad(), torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16):
            windows = model.windows(input_ids.to(device), mask.to(device))
            hidden = model.hidden_states(windows.input_ids, windows.attention_mask, [first])[0]
        for place, row in enumerate(rows):
            own = windows.document == place
            width = int(windows.attention_mask[own].sum(1).max())
            found[row] = {
                "hidden": hidden[own, :width].to(torch.bfloat16 if bf16 else torch.float32).cpu(),
                "attention_mask": windows.attention_mask[own, :width].cpu(),
                "owned": windows.owned[own, :width].cpu(),
            }
        if progress:
            progress(min(start + _BATCH, len(order)), len(order))
    return found


class ActivationDataset:
    """Items ``{"prepared": activations of a text, "labels": [D]}``, and "soft_targets" [D, K] if given."""

    def __init__(
        self, prepared: Sequence[dict[str, Tensor]], labels: Tensor, soft_targets: Tensor | None = None
    ) -> None:
        self.prepared, self.labels, self.soft_targets = prepared, labels, soft_targets

    def __len__(self) -> int:
        return len(self.prepared)

    def __getitem__(self, index: int) -> dict[str, Any]:
        item: dict[str, Any] = {"prepared": self.prepared[index], "labels": self.labels[index]}
        if self.soft_targets is not None:
            item["soft_targets"] = self.soft_targets[index]
        return item


def collate_activations(items: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Items to a batch.

    labels [B, D], ``prepared`` with hidden [W, L, H], masks [W, L] and document [W], and what
    :func:`reward_model.dataset_multidim.stack_beside` finds.
    """
    parts = [item["prepared"] for item in items]
    width = max(part["hidden"].shape[1] for part in parts)

    def joined(name: str) -> Tensor:
        padded = []
        for part in parts:
            value = part[name]
            shape = (value.shape[0], width, *value.shape[2:])
            padded.append(value.new_zeros(shape))
            padded[-1][:, : value.shape[1]] = value
        return torch.cat(padded)

    document = torch.cat([torch.full((len(part["hidden"]),), row) for row, part in enumerate(parts)])
    prepared = {name: joined(name) for name in ("hidden", "attention_mask", "owned")}
    # Labels first: the trainer takes the size of a batch from the first tensor that it finds.
    return {
        "labels": torch.stack([item["labels"] for item in items]),
        "prepared": {**prepared, "document": document},
        **stack_beside(items),
    }
