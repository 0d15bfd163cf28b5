"""Pooled features of texts under a frozen backbone, computed once and kept by content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from reward_model.content_cache import ContentCache
from reward_model.dataset_multidim import pad_batch
from reward_model.model import FinancialRewardModel
from reward_model.window_plan import token_batches

FEATURE_BATCH_TOKENS = 8192


def backbone_sha256(backbone: torch.nn.Module) -> str:
    """SHA-256 over names, types, shapes and bytes of all weights: the same for the same weights anywhere."""
    digest = hashlib.sha256()
    for name, value in sorted(backbone.state_dict().items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


class FeatureCache:
    """Feature vectors on disk under (what computes them, token ids)."""

    def __init__(self, key: str) -> None:
        self._kept = ContentCache("features", key)

    def get(self, ids: Sequence[bytes], width: int) -> dict[bytes, Tensor]:
        """Those of ``ids`` that are there, as fp32 vectors of ``width``."""
        return {
            key: torch.frombuffer(bytearray(value), dtype=torch.float32)
            for key, value in self._kept.get(ids).items()
            if len(value) == 4 * width
        }

    def put(self, vectors: dict[bytes, Tensor]) -> None:
        """Add ``vectors``."""
        self._kept.put({key: value.contiguous().numpy().tobytes() for key, value in vectors.items()})


def _text_key(ids: Sequence[int]) -> bytes:
    return hashlib.sha256(",".join(map(str, ids)).encode()).digest()


def cache_key(model: FinancialRewardModel, backbone_hash: str, bf16: bool) -> str:
    """What a feature depends on beside the token ids."""
    config = model.config
    parts: list[Any] = [
        1,  # raise it when pooling or windows change what they compute
        backbone_hash,
        json.dumps(config.base_config, sort_keys=True),  # the same weights may be put together otherwise
        config.pooling,
        config.pool_layers,
        config.pool_stats,
        config.window_overlap,
        config.prefix_ids,
        config.suffix_ids,
        bf16,
    ]
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def compute_features(
    model: FinancialRewardModel,
    sequences: Sequence[Sequence[int]],
    *,
    pad_id: int,
    cache: FeatureCache | None = None,
    bf16: bool = False,
    batch_tokens: int = FEATURE_BATCH_TOKENS,
    progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Features [N, ``model.feature_width``] of token id sequences, in fp32.

    Args:
        model: its backbone runs in evaluation mode, without gradients.
        sequences: token ids of each text.
        pad_id: the padding token.
        cache: where to look first and keep what is new.
        bf16: compute in bfloat16 (faster on most hardware; features differ by about 1e-3).
        batch_tokens: padded tokens that are read at a time.
        progress: is called with (texts done, texts in all).
    """
    keys = [_text_key(ids) for ids in sequences]
    features = torch.zeros(len(sequences), model.feature_width)
    known = cache.get(keys, model.feature_width) if cache else {}
    todo = []
    for index, key in enumerate(keys):
        if key in known:
            features[index] = known[key]
        else:
            todo.append(index)
    done = len(sequences) - len(todo)
    if progress:
        progress(done, len(sequences))
    device = next(model.backbone.parameters()).device
    training = model.backbone.training
    model.backbone.eval()
    try:
        for batch in token_batches([len(sequences[index]) for index in todo], batch_tokens):
            rows = [todo[position] for position in batch]
            input_ids, mask = pad_batch([sequences[row] for row in rows], pad_id)
            with (
                torch.inference_mode(),
                torch.autocast(device_type=device.type, dtype=torch.bfloat16, enabled=bf16),
            ):
                found = model.encode(input_ids.to(device), mask.to(device)).float().cpu()
            features[rows] = found
            if cache:
                cache.put({keys[row]: vector for row, vector in zip(rows, found, strict=True)})
            done += len(rows)
            if progress:
                progress(done, len(sequences))
    finally:
        model.backbone.train(training)
    return features
