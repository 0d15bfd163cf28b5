"""Attention in bfloat16 on a CPU, in blocks that stay in its cache.

torch's fused kernel for CPUs computes its small products itself. The library's matrix products over a few
heads at a time are twice as fast, forwards and backwards, and need no more memory: a block of scores is gone
before the next one comes, and is computed again for the gradient (as in Dao et al. (2022), "FlashAttention").
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

NAME = "finrm_blocked"
"""How transformers finds it (``attn_implementation``)."""

BLOCK_SCORES = 1 << 21
"""Scores that a block holds at most: 4 MB."""


def _blocks(matrices: int, queries: int, keys: int) -> tuple[int, int]:
    """How many matrices, and how many rows of each, make a block."""
    if queries * keys <= BLOCK_SCORES:
        return min(matrices, BLOCK_SCORES // (queries * keys)), queries
    return 1, max(1, BLOCK_SCORES // keys)


def _probabilities(query: Tensor, key: Tensor, bias: Tensor | None, scale: float) -> Tensor:
    # The scale is taken inside the product, before its fp32 sums are rounded.
    if bias is None:
        nothing = query.new_zeros(1, 1, 1)
        return torch.baddbmm(nothing, query, key.mT, beta=0, alpha=scale).softmax(-1)
    return torch.baddbmm(bias, query, key.mT, alpha=scale).softmax(-1)


class _BlockedAttention(torch.autograd.Function):
    """softmax(``scale`` ``query`` ``key``ᵀ + ``bias``) ``value`` for [N, L, E], [N, S, E], [N, S, E] and a
    ``bias`` that is [N, 1 or L, S] (without a gradient) or None."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, scale: float
    ) -> Tensor:
        matrices, rows = _blocks(query.shape[0], query.shape[1], key.shape[1])
        out = query.new_empty(*query.shape[:2], value.shape[-1])
        for one in range(0, query.shape[0], matrices):
            m = slice(one, one + matrices)
            for row in range(0, query.shape[1], rows):
                r = slice(row, row + rows)
                weights = _probabilities(query[m, r], key[m], _bias_block(bias, m, r), scale)
                if rows >= query.shape[1]:
                    torch.bmm(weights, value[m], out=out[m])
                else:
                    out[m, r] = torch.bmm(weights, value[m])
        ctx.save_for_backward(query, key, value, bias)
        ctx.scale = scale
        return out

    @staticmethod
    def backward(  # type: ignore[override]
        ctx: Any, gradient: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, None, None]:
        query, key, value, bias = ctx.saved_tensors
        scale = ctx.scale
        matrices, rows = _blocks(query.shape[0], query.shape[1], key.shape[1])
        gradient, nothing = gradient.contiguous(), query.new_zeros(1, 1, 1)

        def product(left: Tensor, right: Tensor, out: Tensor | None = None) -> Tensor:
            return torch.baddbmm(nothing, left, right, beta=0, alpha=scale, out=out)

        of_query = torch.empty_like(query)
        # Sums over blocks of rows are taken in fp32.
        several = rows < query.shape[1]
        kept = torch.float32 if several else query.dtype
        of_key, of_value = torch.empty_like(key, dtype=kept), torch.empty_like(value, dtype=kept)
        if several:
            of_key.zero_()
            of_value.zero_()
        for one in range(0, query.shape[0], matrices):
            m = slice(one, one + matrices)
            for row in range(0, query.shape[1], rows):
                r = slice(row, row + rows)
                weights = _probabilities(query[m, r], key[m], _bias_block(bias, m, r), scale)
                of_weights = torch.bmm(gradient[m, r], value[m].mT)
                of_scores = torch._softmax_backward_data(of_weights, weights, -1, weights.dtype)
                if several:
                    of_value[m] += torch.bmm(weights.mT, gradient[m, r])
                    of_key[m] += product(of_scores.mT, query[m, r])
                    of_query[m, r] = product(of_scores, key[m])
                else:
                    torch.bmm(weights.mT, gradient[m], out=of_value[m])
                    product(of_scores.mT, query[m], out=of_key[m])
                    product(of_scores, key[m], out=of_query[m])
        return of_query, of_key.to(key.dtype), of_value.to(value.dtype), None, None


def _bias_block(bias: Tensor | None, matrices: slice, rows: slice) -> Tensor | None:
    if bias is None:
        return None
    return bias[matrices] if bias.shape[1] == 1 else bias[matrices, rows]


def blocked_attention(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None, scale: float | None = None
) -> Tensor:
    """Scaled dot-product attention, with a gradient.

    A row whose keys are all masked attends to all of them alike.

    Args:
        query: [B, H, L, E].
        key, value: [B, H, S, E].
        mask: what ``query`` may see, [B, 1 or H, 1 or L, S]: True where it may, or what is added to scores.
        scale: of the products of query and key; 1 / sqrt(E) if not given.

    Returns:
        [B, H, L, E].
    """
    batch, heads, rows, width = query.shape
    bias = None
    if mask is not None:
        if mask.shape[2] > 1 and torch.equal(mask, mask[:, :, :1].expand_as(mask)):
            mask = mask[:, :, :1]  # padding alone: a row for all, which costs a quarter less
        lowest = torch.finfo(query.dtype).min
        if mask.dtype == torch.bool:
            mask = torch.zeros_like(mask, dtype=query.dtype).masked_fill_(~mask, lowest)
        mask = mask.to(query.dtype).clamp(min=lowest)
        bias = mask.expand(batch, heads, *mask.shape[2:]).reshape(batch * heads, *mask.shape[2:])
    query = query.reshape(-1, rows, width)
    key, value = key.reshape(-1, *key.shape[2:]), value.reshape(-1, *value.shape[2:])
    out: Tensor = _BlockedAttention.apply(query, key, value, bias, width**-0.5 if scale is None else scale)
    return out.view(batch, heads, rows, -1)


def _attend(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """What transformers calls; whatever isn't bfloat16 on a CPU goes to torch's kernel."""
    from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward

    causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
    # Under autocast torch's kernel would convert too: rotary embeddings leave query and key in fp32.
    cast = torch.is_autocast_enabled(query.device.type)
    dtype = torch.get_autocast_dtype(query.device.type) if cast else query.dtype
    fits = query.device.type == "cpu" and dtype == torch.bfloat16 and not torch.compiler.is_compiling()
    if not fits or dropout or others.get("position_bias") is not None:
        found, _ = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout, scaling, is_causal, **others
        )
        return found, None
    if causal and attention_mask is None and query.shape[2] > 1:
        # In blocks too, or a text alone and the same text in a padded batch would be computed differently.
        seen = torch.ones(query.shape[2], key.shape[2], dtype=torch.bool, device=query.device)
        attention_mask = seen.tril(key.shape[2] - query.shape[2])[None, None]
    query, key, value = query.to(dtype), key.to(dtype), value.to(dtype)
    groups = getattr(module, "num_key_value_groups", 1)
    if groups > 1:
        key, value = repeat_kv(key, groups), repeat_kv(value, groups)
    out = blocked_attention(query, key, value, attention_mask, scaling)
    return out.transpose(1, 2).contiguous(), None


def use_blocked_attention(backbone: Any) -> None:
    """Let a transformers backbone that would use torch's kernel attend in blocks where that is faster."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    if getattr(backbone.config, "_attn_implementation", None) != "sdpa":
        return
    AttentionInterface.register(NAME, _attend)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    backbone.set_attn_implementation(NAME)
