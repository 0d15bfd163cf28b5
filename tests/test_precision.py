"""Scoring in bfloat16: near to fp32, the same in any batch, and refused where it can't be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch
from scorers import write_model

from reward_model import packed_linear, precision
from reward_model.errors import InputError
from reward_model.inference import RewardScorer
from reward_model.modeldir import load_model
from reward_model.packed_linear import PackedLinear
from reward_model.precision import has_bf16, wants_bf16

pytest_plugins = ["fixtures_models"]
TEXTS = [
    "营业收入增长12.3%，毛利率提高。" * 3,
    "短。" * 2,
    "现金流改善，负债率下降至45%。" * 40,
    "利润。" * 25,
]


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("half") / "model")


def test_what_auto_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert wants_bf16("bf16")
    assert not wants_bf16("fp32")
    for answer in (True, False):
        monkeypatch.setattr(
            torch.cpu, "_is_avx512_bf16_supported", lambda answer=answer: answer, raising=False
        )
        assert wants_bf16("auto", "cpu") == has_bf16("cpu") == answer
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported")
    assert not has_bf16("cpu")
    assert not has_bf16("meta")


@pytest.mark.parametrize("operation", [True, False])
def test_bf16_scores_are_near_to_fp32_and_the_same_in_any_batch(
    tiny_model: Path, operation: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not operation:  # a torch without oneDNN
        monkeypatch.setattr(packed_linear, "_packed", lambda weight: None)
    exact = RewardScorer.from_pretrained(tiny_model)
    half = RewardScorer.from_pretrained(tiny_model, precision="bf16")
    assert any(isinstance(module, PackedLinear) for module in half.loaded.model.backbone.modules())
    assert not any(isinstance(module, PackedLinear) for module in exact.loaded.model.modules())
    wanted = exact.score_batch(TEXTS)
    together = half.score_batch(TEXTS)
    half.batch_tokens = 1
    for text, one, many, true in zip(TEXTS, half.score_batch(TEXTS), together, wanted, strict=True):
        alone = half.score(text)
        for dim, value in true.expected.items():
            assert abs(alone.expected[dim] - many.expected[dim]) <= 5e-3
            assert abs(one.expected[dim] - many.expected[dim]) <= 5e-3
            assert abs(many.expected[dim] - value) <= 0.05


def test_no_such_precision(tiny_model: Path) -> None:
    with pytest.raises(InputError, match="precision fp8: there is no such; give auto, fp32, bf16"):
        RewardScorer(load_model(tiny_model), precision="fp8")
    assert precision.PRECISIONS == ("auto", "fp32", "bf16")


def test_the_command_takes_it(tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from reward_model.cli import main

    report = tmp_path / "r.md"
    report.write_text(TEXTS[2], encoding="utf-8")
    lines = {}
    for name in ("fp32", "bf16"):
        assert main(["score", str(report), "--model", str(tiny_model), "--json", "--precision", name]) == 0
        lines[name] = json.loads(capsys.readouterr().out)
    assert lines["fp32"]["expected"] != lines["bf16"]["expected"]
    for dim, value in lines["fp32"]["expected"].items():
        assert abs(value - lines["bf16"]["expected"][dim]) <= 0.05
    assert main(["score", str(report), "--model", str(tiny_model), "--precision", "int4"]) == 2
    assert "int4" in capsys.readouterr().err
