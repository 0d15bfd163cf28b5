"""Windows over long texts: every token counts once, nothing depends on the batch."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from models import padded

from reward_model.windows import Windows, split_windows, window_starts

PREFIX, SUFFIX, PAD = [2], [3], 0


def document(length: int) -> list[int]:
    """Special tokens around ``length`` tokens of which no two are alike."""
    return [*PREFIX, *range(100, 100 + length), *SUFFIX]


def split(rows: list[list[int]], side: str = "right", extra: int = 0, **options: Any) -> Windows:
    settings: dict[str, Any] = {"overlap": 4, "prefix": PREFIX, "suffix": SUFFIX, "pad_id": PAD}
    return split_windows(*padded(rows, PAD, side, extra), **(settings | options))


def windows_of(found: Windows, row: int) -> list[tuple[list[int], list[int]]]:
    """The windows of a document as (tokens, those of them that it owns)."""
    result = []
    for index in (found.document == row).nonzero().flatten().tolist():
        ids, mask, owned = (part[index] for part in (found.input_ids, found.attention_mask, found.owned))
        result.append((ids[mask.bool()].tolist(), ids[owned.bool()].tolist()))
    return result


# --- where windows start ------------------------------------------------------------------------------------


@given(st.data(), st.integers(1, 40), st.integers(1, 700))
def test_starts_cover_the_text_evenly_with_no_window_too_many(
    data: st.DataObject, capacity: int, length: int
) -> None:
    overlap = data.draw(st.integers(0, capacity - 1))
    starts = window_starts(length, capacity, overlap)
    assert starts[0] == 0
    assert starts[-1] == max(0, length - capacity)
    steps = [after - before for before, after in pairwise(starts)]
    assert all(0 < step <= capacity - overlap for step in steps)
    assert not steps or max(steps) - min(steps) <= 1
    # One window fewer could not have covered it.
    assert len(starts) == 1 or (len(starts) - 1) * (capacity - overlap) + overlap < length


@pytest.mark.parametrize(
    ("length", "capacity", "overlap", "starts"),
    [
        (0, 10, 3, [0]),
        (10, 10, 3, [0]),
        (11, 10, 3, [0, 1]),
        (17, 10, 3, [0, 7]),
        (18, 10, 3, [0, 4, 8]),
        (20, 10, 0, [0, 10]),
        (12, 10, 9, [0, 1, 2]),
        (3, 1, 0, [0, 1, 2]),
    ],
)
def test_starts_at_the_edges(length: int, capacity: int, overlap: int, starts: list[int]) -> None:
    assert window_starts(length, capacity, overlap) == starts


@pytest.mark.parametrize(("capacity", "overlap"), [(10, 10), (10, 11), (0, 0), (-1, 0), (10, -1)])
def test_an_overlap_that_leaves_no_step_is_refused(capacity: int, overlap: int) -> None:
    with pytest.raises(ValueError, match="can't share"):
        window_starts(30, capacity, overlap)


# --- windows of documents -----------------------------------------------------------------------------------

lengths = st.lists(st.integers(0, 120), min_size=1, max_size=5)
limits = st.integers(4, 40)
overlaps = st.integers(0, 50)
sides = st.sampled_from(["left", "right"])


@given(lengths, limits, overlaps, sides)
def test_each_token_is_owned_exactly_once_and_in_order(
    sizes: list[int], limit: int, overlap: int, side: str
) -> None:
    rows = [document(size) for size in sizes]
    found = split(rows, side, limit=limit, overlap=overlap)
    for row, tokens in enumerate(rows):
        assert [token for _, owned in windows_of(found, row) for token in owned] == tokens
    assert found.owned.sum() == sum(map(len, rows))


@given(lengths, limits, overlaps)
def test_a_window_takes_at_most_the_limit_with_special_tokens_in_each(
    sizes: list[int], limit: int, overlap: int
) -> None:
    rows = [document(size) for size in sizes]
    found = split(rows, limit=limit, overlap=overlap)
    assert found.input_ids.shape[1] <= limit
    assert torch.all(found.owned <= found.attention_mask)
    assert found.document.tolist() == sorted(found.document.tolist())
    for row in range(len(rows)):
        for tokens, _ in windows_of(found, row):
            assert tokens[:1] == PREFIX
            assert tokens[-1:] == SUFFIX
            assert not set(tokens[1:-1]) & {*PREFIX, *SUFFIX}


@given(st.integers(41, 400), limits, overlaps)
def test_neighbours_share_at_least_what_was_asked_or_half_a_window(
    size: int, limit: int, overlap: int
) -> None:
    capacity = limit - 2
    wanted = min(overlap, capacity // 2)
    windows = windows_of(split([document(size)], limit=limit, overlap=overlap), 0)
    for (left, _), (right, _) in pairwise(windows):
        assert len(set(left[1:-1]) & set(right[1:-1])) >= wanted


def test_an_overlap_of_more_than_half_a_window_is_taken_for_half() -> None:
    # Were it taken as it is, each window would be one token further: four hundred passes for four hundred.
    found = split([document(400)], limit=22, overlap=1000)
    assert torch.equal(found.input_ids, split([document(400)], limit=22, overlap=10).input_ids)
    assert len(found.document) == 39


@given(st.integers(41, 400), limits, overlaps)
def test_an_owned_token_is_never_at_an_edge_that_another_window_sees_past(
    size: int, limit: int, overlap: int
) -> None:
    margin = min(overlap, (limit - 2) // 2) // 2
    windows = windows_of(split([document(size)], limit=limit, overlap=overlap), 0)
    for index, (tokens, owned) in enumerate(windows):
        if index > 0:
            assert tokens.index(owned[0]) - 1 >= margin
        if index < len(windows) - 1:
            assert len(tokens) - 2 - tokens.index(owned[-1]) >= margin


@given(lengths, limits, overlaps, sides, st.integers(0, 3))
def test_the_windows_of_a_document_depend_on_nothing_else(
    sizes: list[int], limit: int, overlap: int, side: str, extra: int
) -> None:
    rows = [document(size) for size in sizes]
    together = split(rows, side, extra, limit=limit, overlap=overlap)
    for row, tokens in enumerate(rows):
        assert windows_of(together, row) == windows_of(split([tokens], limit=limit, overlap=overlap), 0)


def test_a_text_that_fits_is_one_window_and_one_token_more_makes_two() -> None:
    assert split([document(14)], limit=16).document.tolist() == [0]
    assert split([document(15)], limit=16).document.tolist() == [0, 0]


def test_without_a_limit_a_text_is_one_window_at_any_length() -> None:
    found = split([document(5000), document(3)], limit=None)
    assert found.document.tolist() == [0, 1]
    assert found.input_ids.shape == (2, 5002)


@given(st.integers(1, 100), st.integers(1, 20))
def test_tokens_without_special_ones_around_them_get_none(size: int, limit: int) -> None:
    tokens = list(range(100, 100 + size))
    windows = windows_of(split([tokens], limit=max(limit, 3)), 0)
    assert [token for _, owned in windows for token in owned] == tokens
    assert all(ids == list(range(ids[0], ids[0] + len(ids))) for ids, _ in windows)


def test_only_a_leading_special_token_is_put_before_each_window() -> None:
    # As Llama's tokenizer does: <s> before the text, nothing behind it.
    tokens = [1, *range(100, 130)]
    windows = windows_of(split([tokens], limit=12, prefix=[1], suffix=[]), 0)
    assert len(windows) > 1
    assert all(ids[0] == 1 and ids[-1] >= 100 for ids, _ in windows)
    assert [token for _, owned in windows for token in owned] == tokens


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_token_equal_to_the_padding_is_read_where_the_mask_says_so(side: str) -> None:
    tokens = [2, 100, PAD, 101, PAD, 3]
    assert windows_of(split([tokens, document(20)], side, limit=None), 0) == [(tokens, tokens)]


def test_a_document_without_tokens_is_one_padding_token_that_nothing_owns() -> None:
    found = split([[], document(3)], limit=16)
    assert found.document.tolist() == [0, 1]
    assert found.attention_mask[0].tolist() == [1, 0, 0, 0, 0]
    assert found.owned[0].sum() == 0
    assert found.input_ids[0].tolist() == [PAD] * 5


def test_a_batch_of_empty_documents_has_width_one() -> None:
    found = split_windows(
        torch.zeros(2, 0, dtype=torch.long),
        torch.zeros(2, 0, dtype=torch.long),
        limit=16,
        overlap=4,
        prefix=PREFIX,
        suffix=SUFFIX,
        pad_id=PAD,
    )
    assert found.input_ids.shape == (2, 1)
