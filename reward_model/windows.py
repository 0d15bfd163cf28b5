"""Texts longer than a backbone's positions: overlapping windows in which every token counts once.

Pure tensor arithmetic on token ids; knows nothing of models. Where windows lie is in ``window_plan``.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from reward_model.window_plan import document_windows
from reward_model.window_plan import window_starts as window_starts


@dataclass(frozen=True)
class Windows:
    """All windows of a batch, padded on the right.

    Attributes:
        input_ids: [W, L].
        attention_mask: [W, L], 1 for tokens.
        owned: [W, L], 1 for the tokens that count in this window; each token of a document is owned once.
        document: [W], the row of the batch a window belongs to, non-decreasing.
    """

    input_ids: Tensor
    attention_mask: Tensor
    owned: Tensor
    document: Tensor


def split_windows(
    input_ids: Tensor,
    attention_mask: Tensor,
    *,
    limit: int | None,
    overlap: int,
    prefix: list[int],
    suffix: list[int],
    pad_id: int,
) -> Windows:
    """Split a padded batch [B, T] (padding on either side) into windows of at most ``limit`` tokens.

    A document's windows depend on its own tokens alone, so its score can't depend on the batch. When special
    tokens ``prefix`` and ``suffix`` stand around a document, every window gets them; they count in the first
    and the last window only. A document without any token is one padding token that nothing owns.

    Args:
        input_ids, attention_mask: [B, T].
        limit: most tokens of a window, special ones included; None for one window a document.
        overlap: tokens that neighbouring windows share at least; more than half a window is taken for half.
        prefix, suffix: the special tokens before and behind a document.
        pad_id: fills the windows up.
    """
    found: list[tuple[list[int], int, int]] = []
    document = []
    for row in range(len(input_ids)):
        tokens = input_ids[row][attention_mask[row].bool()].tolist()
        for window in document_windows(tokens, limit=limit, overlap=overlap, prefix=prefix, suffix=suffix):
            found.append(window)
            document.append(row)
    width = max(1, max(len(ids) for ids, _, _ in found))
    shape = (len(found), width)
    ids_out = input_ids.new_full(shape, pad_id)
    mask = torch.zeros(shape, dtype=torch.long, device=input_ids.device)
    owned = torch.zeros_like(mask)
    for index, (ids, first, end) in enumerate(found):
        ids_out[index, : len(ids)] = ids_out.new_tensor(ids)
        mask[index, : len(ids)] = 1
        owned[index, first:end] = 1
        if not len(ids):
            mask[index, 0] = 1  # attention over nothing at all would be NaN
    return Windows(ids_out, mask, owned, torch.tensor(document, device=input_ids.device))
