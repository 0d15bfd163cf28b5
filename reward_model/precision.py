"""Which precision a device computes in natively."""

from __future__ import annotations

import torch

PRECISIONS = ("auto", "fp32", "bf16")


def has_bf16(device: str) -> bool:
    """Whether ``device`` ("cpu", "cuda:0" ...) multiplies matrices of bfloat16 in hardware."""
    kind = torch.device(device).type
    if kind == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    probe = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return kind == "cpu" and bool(probe and probe())


def wants_bf16(precision: str, device: str | None = None) -> bool:
    """Whether to compute in bfloat16: as asked, or ("auto") where ``device`` does it natively.

    Without a ``device`` that of training counts: a GPU where there is one.
    """
    if precision != "auto":
        return precision == "bf16"
    return has_bf16(device or ("cuda" if torch.cuda.is_available() else "cpu"))
