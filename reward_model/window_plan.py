"""Where the windows of a long text begin and which tokens count in which: plain integers, no tensors."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise


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


def document_windows(
    tokens: Sequence[int],
    *,
    limit: int | None,
    overlap: int,
    prefix: Sequence[int] = (),
    suffix: Sequence[int] = (),
) -> list[tuple[list[int], int, int]]:
    """Windows of one document as (token ids, first owned, end of owned), offsets into the window.

    When the special tokens ``prefix`` and ``suffix`` stand around the document, every window gets them; they
    count in the first and the last window only. Each token of the document is owned by one window.

    Args:
        tokens: ids of the document without padding; none at all make one empty window.
        limit: most tokens of a window, special ones included; None for one window.
        overlap: tokens that neighbouring windows share at least; more than half a window is taken for half.
        prefix, suffix: the special tokens before and behind a document.
    """
    ids = list(tokens)
    if limit is None or len(ids) <= limit:
        return [(ids, 0, len(ids))]
    head, tail = len(prefix), len(suffix)
    if ids[:head] != list(prefix) or (tail and ids[-tail:] != list(suffix)):
        head = tail = 0
    before, body, behind = ids[:head], ids[head : len(ids) - tail], ids[len(ids) - tail :]
    capacity = limit - head - tail
    # An overlap that leaves no room to advance would never end.
    starts = window_starts(len(body), capacity, min(overlap, capacity // 2))
    # Between two windows the seam lies in the middle of what they share: the tokens near an edge,
    # which saw least of their surroundings, are owned by the other window.
    seams = [(previous + capacity + start) // 2 for previous, start in pairwise(starts)]
    bounds = [0, *seams, len(body)]
    windows = []
    for index, start in enumerate(starts):
        window = [*before, *body[start : start + capacity], *behind]
        first = head + bounds[index] - start if index else 0
        end = head + bounds[index + 1] - start if index < len(starts) - 1 else len(window)
        windows.append((window, first, end))
    return windows


def token_batches(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Indices in batches of like length, of at most ``budget`` padded tokens each (one item may be more)."""
    order = sorted(range(len(lengths)), key=lambda index: lengths[index])
    batches: list[list[int]] = []
    for index in order:
        if batches and (len(batches[-1]) + 1) * lengths[index] <= budget:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches
