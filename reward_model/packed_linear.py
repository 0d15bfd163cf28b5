"""A backbone's linear layers for scoring in bfloat16 on a CPU: weights converted and packed once.

Autocast would convert every weight for every batch, and oneDNN would lay it out anew for every product.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

PACK_ROWS = 2048
"""The rows of input that the layout is chosen for; others work too."""


def _packed(weight: Tensor) -> Tensor | None:
    """``weight`` [out, in] as oneDNN wants it, or None where this torch has no such operation."""
    try:
        packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight, PACK_ROWS)
    except (AttributeError, RuntimeError):
        return None
    return packed


class PackedLinear(nn.Module):
    """``nn.Linear`` in bfloat16 whose output is bfloat16 too; for inference only."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight = nn.Parameter(linear.weight.detach().bfloat16(), requires_grad=False)
        self.bias = (
            None
            if linear.bias is None
            else nn.Parameter(linear.bias.detach().bfloat16(), requires_grad=False)
        )
        self.packed = _packed(self.weight)

    def forward(self, inputs: Tensor) -> Tensor:
        """[..., in_features] to [..., out_features]."""
        inputs = inputs.bfloat16()
        if self.packed is None:
            return nn.functional.linear(inputs, self.weight, self.bias)
        found: Tensor = torch.ops.mkldnn._linear_pointwise(inputs, self.packed, self.bias, "none", [], "")
        return found


def pack_linear_layers(module: nn.Module) -> None:
    """Put a :class:`PackedLinear` in the place of every linear layer inside ``module``."""
    for name, child in module.named_children():
        if type(child) is nn.Linear:
            setattr(module, name, PackedLinear(child))
        else:
            pack_linear_layers(child)
