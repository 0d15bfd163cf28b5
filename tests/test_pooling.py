"""Pooling a document from its windows equals pooling it whole."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from reward_model.pooling import join_stats, pool_documents, window_stats

KINDS = ("mean", "std", "max")


def whole(states: Tensor) -> Tensor:
    """Mean, standard deviation and maximum over all rows at once, in float64."""
    values = states.double()
    return torch.cat([values.mean(0), values.std(0, correction=0), values.amax(0)]).float()


def batch_of(windows: list[tuple[int, Tensor, Tensor]]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Windows given as (document, states, owned) padded to hidden, mask, owned, document."""
    width = max(len(states) for _, states, _ in windows)
    hidden = torch.full((len(windows), width, windows[0][1].shape[1]), 1e3)  # padding must not leak in
    mask, owned = torch.zeros(2, len(windows), width, dtype=torch.long)
    for index, (_, states, own) in enumerate(windows):
        hidden[index, : len(states)] = states
        mask[index, : len(states)] = 1
        owned[index, : len(states)] = own
    return hidden, mask, owned, torch.tensor([document for document, _, _ in windows])


def pool(windows: list[tuple[int, Tensor, Tensor]], n: int, pooling: str = "mean", chunk: int = 99) -> Tensor:
    kinds = KINDS if pooling == "mean" else ("mean",)
    parts = [
        window_stats(*batch_of(windows[start : start + chunk]), pooling, kinds)
        for start in range(0, len(windows), chunk)
    ]
    return pool_documents(join_stats(parts), n, pooling, kinds)


@st.composite
def documents(draw: st.DrawFn) -> tuple[list[tuple[int, Tensor, Tensor]], list[Tensor]]:
    """Windows of some documents in any order, and all owned states of each document."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10_000)))
    windows, owned_states = [], []
    for document in range(draw(st.integers(1, 4))):
        states = []
        for _ in range(draw(st.integers(1, 4))):
            length = draw(st.integers(1, 9))
            own = torch.zeros(length, dtype=torch.long)
            first = draw(st.integers(0, length - 1))
            own[first : draw(st.integers(first + 1, length))] = 1
            hidden = torch.randn(length, 6, generator=generator) * 3 + draw(st.integers(-50, 50))
            windows.append((document, hidden, own))
            states.append(hidden[own.bool()])
        owned_states.append(torch.cat(states))
    return draw(st.permutations(windows)), owned_states


@given(documents(), st.integers(1, 5))
def test_statistics_over_windows_equal_those_over_all_owned_states(
    drawn: tuple[list[tuple[int, Tensor, Tensor]], list[Tensor]], chunk: int
) -> None:
    windows, owned_states = drawn
    found = pool(windows, len(owned_states), chunk=chunk)
    for row, states in zip(found, owned_states, strict=True):
        torch.testing.assert_close(row, whole(states), atol=2e-5, rtol=1e-5)


def test_the_spread_survives_a_mean_far_from_zero() -> None:
    # The textbook formula E[x^2] - E[x]^2 has no digit left here in fp32.
    states = torch.randn(200, 3, generator=torch.Generator().manual_seed(1)) + 4096
    ones = torch.ones(50, dtype=torch.long)
    found = pool([(0, states[start : start + 50], ones) for start in range(0, 200, 50)], 1)
    torch.testing.assert_close(found[0, 3:6], states.double().std(0, correction=0).float(), rtol=1e-3, atol=0)


@pytest.mark.parametrize(("pooling", "column"), [("cls", 0), ("last", -1)])
def test_cls_and_last_of_one_window_are_its_first_and_last_token(pooling: str, column: int) -> None:
    states = torch.arange(12.0).view(4, 3)
    longer = torch.ones(7, 3)
    found = pool([(0, states, torch.ones(4)), (1, longer, torch.ones(7))], 2, pooling)
    assert torch.equal(found[0], states[column])


@pytest.mark.parametrize(("pooling", "column"), [("cls", 0), ("last", -1)])
def test_cls_and_last_of_several_windows_weigh_each_by_what_it_owns(pooling: str, column: int) -> None:
    one, two = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(2))
    found = pool(
        [(0, one, torch.tensor([1, 1, 1, 1, 0])), (0, two, torch.tensor([0, 0, 0, 1, 1]))], 1, pooling
    )
    torch.testing.assert_close(found[0], (4 * one[column] + 2 * two[column]) / 6)


@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
def test_a_document_without_tokens_is_zeros_and_harms_no_other(pooling: str) -> None:
    states = torch.randn(4, 3, generator=torch.Generator().manual_seed(3))
    empty = (0, torch.full((1, 3), 5.0), torch.zeros(1))
    found = pool([empty, (1, states, torch.ones(4))], 2, pooling)
    assert torch.isfinite(found).all()
    torch.testing.assert_close(found[0], torch.zeros_like(found[0]), atol=2e-6, rtol=0)
    torch.testing.assert_close(found[1], pool([(0, states, torch.ones(4))], 1, pooling)[0])


def test_gradients_stay_finite_where_all_tokens_agree_and_where_a_document_is_empty() -> None:
    alike = torch.ones(4, 3, requires_grad=True)
    none = torch.ones(1, 3, requires_grad=True)
    pool([(0, alike, torch.ones(4)), (1, none, torch.zeros(1))], 2).sum().backward()
    assert alike.grad is not None
    assert torch.isfinite(alike.grad).all()
    assert none.grad is not None
    assert not none.grad.any()


def test_pooling_is_in_fp32_whatever_the_states_are_in() -> None:
    states = torch.randn(300, 4, generator=torch.Generator().manual_seed(4)).bfloat16()
    hidden, mask, owned, document = batch_of([(0, states.float(), torch.ones(300))])
    stats = window_stats(hidden.bfloat16(), mask, owned, document, "mean", KINDS)
    found = pool_documents(stats, 1, "mean", KINDS)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found[0], whole(states), atol=1e-5, rtol=1e-5)


def test_kinds_come_in_the_order_that_was_asked_for() -> None:
    windows = [(0, torch.tensor([[1.0], [5.0]]), torch.ones(2))]
    stats = window_stats(*batch_of(windows), "mean", ["max", "mean"])
    assert pool_documents(stats, 1, "mean", ["max", "mean"]).tolist() == [[5.0, 3.0]]
