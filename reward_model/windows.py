"""Texts longer than a backbone's positions: overlapping windows in which every token counts once.

Pure tensor arithmetic on token ids; knows nothing of models.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor


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


def window_starts(length: int, capacity: int, overlap: int) -> list[int]:
    """Where windows of ``capacity`` tokens start so that they cover ``length`` tokens evenly.

    Neighbours share at least ``overlap`` tokens; one window suffices when the text fits.

    Raises:
        ValueError: unless 0 <= ``overlap`` < ``capacity``: such windows would never get to the end.
    """
    if not 0 <= overlap < capacity:
        raise ValueError(f"windows of {capacity} tokens can't share {overlap}")
    if length <= capacity:
        return [0]
    stride = capacity - overlap
    count = -(-(length - overlap) // stride)
    return [round(index * (length - capacity) / (count - 1)) for index in range(count)]


def _document_windows(
    tokens: Tensor, limit: int | None, overlap: int, prefix: list[int], suffix: list[int]
) -> list[tuple[Tensor, int, int]]:
    """Windows of one document as (ids, first owned, end of owned), offsets into the window."""
    length = len(tokens)
    if limit is None or length <= limit:
        return [(tokens, 0, length)]
    head, tail = len(prefix), len(suffix)
    if tokens[:head].tolist() != prefix or (tail and tokens[length - tail :].tolist() != suffix):
        head = tail = 0
    body = tokens[head : length - tail]
    capacity = limit - head - tail
    # An overlap that leaves no room to advance would never end.
    starts = window_starts(len(body), capacity, min(overlap, capacity // 2))
    # Between two windows the seam lies in the middle of what they share: the tokens near an edge,
    # which saw least of their surroundings, are owned by the other window.
    seams = [(previous + capacity + start) // 2 for previous, start in pairwise(starts)]
    bounds = [0, *seams, len(body)]
    windows = []
    for index, start in enumerate(starts):
        chunk = body[start : start + capacity]
        ids = torch.cat([tokens[:head], chunk, tokens[length - tail :]])
        first = head + bounds[index] - start if index else 0
        end = head + bounds[index + 1] - start if index < len(starts) - 1 else len(ids)
        windows.append((ids, first, end))
    return windows


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
    found: list[tuple[Tensor, int, int]] = []
    document = []
    for row in range(len(input_ids)):
        tokens = input_ids[row][attention_mask[row].bool()]
        for window in _document_windows(tokens, limit, overlap, prefix, suffix):
            found.append(window)
            document.append(row)
    width = max(1, max(len(ids) for ids, _, _ in found))
    shape = (len(found), width)
    ids_out = input_ids.new_full(shape, pad_id)
    mask = torch.zeros(shape, dtype=torch.long, device=input_ids.device)
    owned = torch.zeros_like(mask)
    for index, (ids, first, end) in enumerate(found):
        ids_out[index, : len(ids)] = ids
        mask[index, : len(ids)] = 1
        owned[index, first:end] = 1
        if not len(ids):
            mask[index, 0] = 1  # attention over nothing at all would be NaN
    return Windows(ids_out, mask, owned, torch.tensor(document, device=input_ids.device))
