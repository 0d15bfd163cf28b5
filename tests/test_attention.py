"""Blocked attention against the textbook formula in fp32, and inside real backbones."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from reward_model import attention
from reward_model.attention import blocked_attention

pytest_plugins = ["fixtures_models"]


def textbook(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scale: float) -> Tensor:
    scores = query.float() @ key.float().mT * scale
    if mask is not None:
        scores = scores.masked_fill(~mask, -1e30) if mask.dtype == torch.bool else scores + mask.float()
    return scores.softmax(-1) @ value.float()


def tensors(shape: tuple[int, ...], seed: int, kv: int | None = None) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    other = (*shape[:2], kv or shape[2], shape[3])
    return [
        torch.randn(*size, generator=generator).bfloat16().requires_grad_() for size in (shape, other, other)
    ]


def close(found: Tensor, wanted: Tensor) -> None:
    # bfloat16 has 8 bits: a few roundings of values of about this size, or of about 1 where those cancel out.
    size = float(wanted.detach().abs().max()) + 1
    assert float((found.detach().float() - wanted.detach().float()).abs().max()) <= 0.03 * size


@given(
    st.integers(1, 3),
    st.integers(1, 4),
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from([8, 32]),
    st.sampled_from(["none", "padding", "pairs", "added"]),
    st.sampled_from([1, 64, 300, 1 << 21]),
    st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_values_and_gradients_are_those_of_the_formula(
    batch: int, heads: int, rows: int, keys: int, width: int, kind: str, block: int, seed: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attention, "BLOCK_SCORES", block)
        query, key, value = tensors((batch, heads, rows, width), seed, keys)
        generator = torch.Generator().manual_seed(seed + 1)
        mask: Tensor | None = None
        if kind == "padding":
            mask = (torch.arange(keys) < torch.randint(1, keys + 1, (batch, 1), generator=generator)).view(
                batch, 1, 1, keys
            )
            mask = mask.expand(batch, 1, rows, keys)
        elif kind == "pairs":
            mask = torch.rand(batch, 1, rows, keys, generator=generator) < 0.6
            mask[..., 0] = True
        elif kind == "added":
            mask = torch.randn(batch, heads, rows, keys, generator=generator)
        upstream = torch.randn(batch, heads, rows, width, generator=generator).bfloat16()
        scale = 0.3
        found = blocked_attention(query, key, value, mask, scale)
        found.backward(upstream)
        copies = [tensor.detach().float().requires_grad_() for tensor in (query, key, value)]
        wanted = textbook(*copies, mask, scale)
        wanted.backward(upstream.float())
        close(found, wanted)
        for ours, theirs in zip((query, key, value), copies, strict=True):
            assert ours.grad is not None
            assert theirs.grad is not None
            close(ours.grad, theirs.grad)


def test_the_usual_scale_is_taken_and_a_row_that_sees_nothing_is_finite() -> None:
    query, key, value = tensors((1, 1, 4, 16), 0)
    close(blocked_attention(query, key, value), textbook(query, key, value, None, 0.25))
    blind = torch.ones(1, 1, 4, 4, dtype=torch.bool)
    blind[:, :, 2] = False
    assert torch.isfinite(blocked_attention(query, key, value, blind)).all()


@pytest.mark.parametrize("family", ["bert", "roberta", "qwen2"])
def test_backbones_attend_in_blocks_in_bf16_and_as_before_in_fp32(
    bases: dict[str, Path], family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from reward_model.backbone import load_backbone, load_base_config, resolve_base

    reference = resolve_base(str(bases[family]))
    backbone = load_backbone(reference, load_base_config(reference)).eval()
    assert backbone.config._attn_implementation == attention.NAME
    calls = 0
    inner = attention.blocked_attention

    def counted(*arguments: object) -> Tensor:
        nonlocal calls
        calls += 1
        return inner(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(attention, "blocked_attention", counted)
    ids = torch.randint(10, 60, (2, 20), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    mask[0, 15:] = 0
    with torch.inference_mode():
        exact = backbone(input_ids=ids, attention_mask=mask).last_hidden_state
        assert calls == 0
        with torch.autocast("cpu", torch.bfloat16):
            half = backbone(input_ids=ids, attention_mask=mask).last_hidden_state
        assert calls == backbone.config.num_hidden_layers
        backbone.set_attn_implementation("sdpa")
        assert torch.equal(exact, backbone(input_ids=ids, attention_mask=mask).last_hidden_state)
        with torch.autocast("cpu", torch.bfloat16):
            torchs = backbone(input_ids=ids, attention_mask=mask).last_hidden_state
    seen = mask.bool()
    off, usual = (float((found - exact)[seen].abs().max()) for found in (half.float(), torchs.float()))
    assert 0 < off <= 2 * usual + 0.01


@pytest.mark.parametrize("family", ["bert", "roberta", "qwen2"])
def test_dropout_is_set_by_whatever_name_the_base_has(bases: dict[str, Path], family: str) -> None:
    from reward_model.assembly import set_dropout
    from reward_model.backbone import build_backbone, load_base_config, resolve_base

    config = load_base_config(resolve_base(str(bases[family])))
    untouched = config.to_dict()
    set_dropout(config, attention_dropout=None, hidden_dropout=None)
    assert config.to_dict() == untouched
    set_dropout(config, attention_dropout=0.25, hidden_dropout=0.0)
    modules = build_backbone(config).modules()
    rates = {module.p for module in modules if isinstance(module, torch.nn.Dropout)}
    assert rates <= {0.25, 0.0}
    assert 0.25 in {
        getattr(config, name, None) for name in ("attention_probs_dropout_prob", "attention_dropout")
    }
