"""Evidence where the backbone is trained: a regime drawn each epoch; all of them choose and calibrate."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from scorers import few_resamples, finrm
from tiny_bert import report_rows, write_rows, write_tiny_bert

from reward_model import regimes
from reward_model.config import TrainConfig
from reward_model.dataset_multidim import RewardCollator
from reward_model.errors import InputError
from reward_model.evidence import EVIDENCE_SIZE, REGIMES, evidence_rows
from reward_model.inference import RewardScorer
from reward_model.model import FinancialRewardModel
from reward_model.modeldir import load_model
from reward_model.regimes import DrawnRegimes, EveryRegime, drawn_regime
from reward_model.samples import GradedText
from reward_model.schema import FactSheet
from reward_model.stats.calibration import fit_temperatures
from reward_model.train_multidim import main, train
from reward_model.training import TrainOutcome

FACTS = FactSheet(
    unit="亿元", periods=["2023", "2024"], items={"营业收入": [100.0, 120.0], "营业成本": [60.0, 66.0]}
)
RIGHT = "2024年营业收入120.00亿元，同比增长20.00%，毛利率45.00%。"
WRONG = "2024年营业收入120.00亿元，同比增长26.00%，毛利率38.00%。"
MODES: dict[str, dict[str, Any]] = {"all layers": {}, "upper layers": {"trainable_layers": 1}}


def graded(n: int) -> list[GradedText]:
    """Texts that their figures tell apart, every other one wrong; no two alike."""
    return [
        GradedText(
            str(i),
            (RIGHT if i % 2 else WRONG) + "增长" * (i // 2 % 7),
            (i % 5, i * 3 % 5, 4 if i % 2 else 0),
            f"g{i}",
            facts=FACTS,
        )
        for i in range(n)
    ]


def report_texts(n: int) -> list[GradedText]:
    """Texts of different lengths that show their levels, with figures that are right or wrong."""
    return [
        GradedText(
            str(i),
            row["text"] + (RIGHT if row["scores"]["accuracy"] > 2 else WRONG) + "增长" * (i * 7 % 5),
            tuple(row["scores"].values()),
            f"g{i}",
            facts=FACTS,
        )
        for i, row in enumerate(report_rows(n))
    ]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bert(tmp_path_factory.mktemp("base") / "tiny", layers=2)


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FINRM_CACHE", str(tmp_path / "cache"))


def settings(base: Path, output: Path, **changes: Any) -> TrainConfig:
    given = {
        "num_epochs": 3,
        "precision": "fp32",
        "learning_rate": 1e-3,
        "val_fraction": 0.3,
        "max_length": 96,
    }
    paths = {"base_model_name": str(base), "output_dir": str(output)}
    return TrainConfig(**{**paths, **given, "evidence": True, **changes})


# The draw


def test_a_draw_depends_on_seed_epoch_and_item_alone_and_favours_no_regime() -> None:
    draws = {(s, e, i): drawn_regime(s, e, i) for s in (1, 2) for e in range(8) for i in range(100)}
    assert all(drawn_regime(*key) == regime for key, regime in reversed(draws.items()))
    counts = Counter(draws.values())
    assert set(counts) == set(REGIMES)
    # 1,600 draws: 533 each, with a standard deviation of 19.
    assert all(abs(count - 1600 / 3) < 80 for count in counts.values())
    for other in ((2, 0), (1, 1)):
        same = sum(draws[(1, 0, i)] == draws[(*other, i)] for i in range(100))
        assert 15 < same < 55, "another seed and another epoch draw anew"
    assert min(Counter(draws[(1, e, 3)] for e in range(8)).values()) < 8


def test_a_drawn_item_has_the_evidence_of_its_regime_and_all_of_them_in_time() -> None:
    texts = graded(6)
    rows = evidence_rows(texts)
    items = [{"input_ids": [1, 2, 3 + i], "labels": list(text.labels)} for i, text in enumerate(texts)]
    drawn = DrawnRegimes(items, rows, seed=5)
    assert len(drawn) == 6
    seen = set()
    for epoch in range(12):
        drawn.begin_epoch(epoch)
        for index in range(6):
            item, regime = drawn[index], drawn_regime(5, epoch, index)
            assert item["input_ids"] == items[index]["input_ids"]
            assert np.array_equal(item["evidence"], rows[regime][index, :-1]), "never that of another regime"
            assert item["evidence_mask"] == 1
            seen.add((index, regime))
    assert len(seen) == 18
    wrong = {regime: rows[regime][0, 0] for regime in REGIMES}
    assert wrong == {"facts": 1, "text": 0, "off": 0}


def test_every_regime_follows_the_other_and_batches_carry_the_evidence() -> None:
    texts = graded(4)
    rows = evidence_rows(texts)
    items = [{"input_ids": [1] * (2 + i), "labels": list(text.labels)} for i, text in enumerate(texts)]
    every = EveryRegime(items, rows)
    assert len(every) == 12
    batch = RewardCollator(0)([every[i] for i in range(12)])
    assert batch["evidence"].shape == (12, EVIDENCE_SIZE)
    assert batch["evidence"].dtype == torch.float32
    whole = np.concatenate([rows[regime] for regime in REGIMES])
    assert np.array_equal(batch["evidence"], whole[:, :-1])
    assert batch["evidence_mask"].tolist() == [1] * 12
    assert batch["attention_mask"].sum(1).tolist() == [2, 3, 4, 5] * 3
    with pytest.raises(IndexError):  # by which a sampler that iterates over it finds its end
        every[12]


# Training


@pytest.mark.parametrize("mode", MODES)
def test_a_trained_model_scores_under_three_regimes(base: Path, tmp_path: Path, mode: str) -> None:
    # Nothing but the evidence learns, so what tells the texts apart can come from nowhere else.
    config = settings(base, tmp_path / "out", num_epochs=12, learning_rate=1e-12, **MODES[mode])
    outcome = train(config, train_texts=graded(32))
    assert load_model(outcome.path).model.config.frozen_backbone is False
    scorer = RewardScorer.from_pretrained(outcome.path)
    assert set(scorer.regimes) == {"facts", "text"}

    def gap(**options: Any) -> float:
        right, wrong = (scorer.score(text, **options) for text in (RIGHT, WRONG))
        assert right.evidence == wrong.evidence
        return right.expected["accuracy"] - wrong.expected["accuracy"]

    assert gap(facts=FACTS) > 0.5
    assert abs(gap(facts=FACTS, check=False)) < 0.05
    assert scorer.score(WRONG).evidence == "text"
    # Strictly, by the model's own configuration.
    state = torch.load(outcome.path / "best_model.pt", weights_only=True)
    model = FinancialRewardModel(load_model(outcome.path).model.config)
    model.load_state_dict(state, strict=True)
    assert model.evidence is not None
    assert model.evidence.weight.abs().max() > 0.1


@pytest.mark.parametrize("changes", [*MODES.values(), {"group_by_length": True}, {"evidence": False}])
def test_each_regimes_temperatures_are_fitted_on_its_own_logits(
    base: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    # Enough of them, or no temperature is fitted, with labels that the marks of a text give away at times.
    texts = report_texts(104)
    learn, held = texts[:48], texts[48:]
    config = settings(base, tmp_path / "out", num_epochs=4, learning_rate=5e-3, **changes)
    outcome = train(config, train_texts=learn, eval_texts=held)
    scorer = RewardScorer.from_pretrained(outcome.path)
    labels = np.array([text.labels for text in held])
    stored = json.loads((outcome.path / "calibration.json").read_text(encoding="utf-8"))
    rows = {**evidence_rows(held)} if config.evidence else {"off": None}
    assert stored["n"] == 56
    assert set(stored["regimes"]) == set(rows) - {"off"}
    for regime, evidence in rows.items():
        fitted = fit_temperatures(scorer.logits([text.text for text in held], evidence=evidence)[0], labels)
        kept = stored["temperatures"] if regime == "off" else stored["regimes"][regime]
        assert list(kept.values()) == pytest.approx(fitted.tolist(), rel=1e-3)
        kept = scorer.temperatures if regime == "off" else scorer.regimes[regime]
        assert kept.tolist() == pytest.approx(fitted.tolist(), rel=1e-3)


def test_the_best_epoch_is_judged_under_all_regimes(base: Path, tmp_path: Path) -> None:
    texts = graded(20)
    outcome = train(settings(base, tmp_path / "out"), train_texts=texts[:12], eval_texts=texts[12:])
    model = outcome.loaded.model
    scorer = RewardScorer(outcome.loaded)
    labels = np.array([text.labels for text in texts[12:]])
    right = [
        scorer.logits([text.text for text in texts[12:]], evidence=rows)[0].argmax(-1) == labels
        for rows in evidence_rows(texts[12:]).values()
    ]
    best = max(row["validation"]["overall_accuracy"] for row in outcome.history)
    assert np.mean(right) == pytest.approx(best)
    assert model.evidence is not None


def test_the_weights_of_the_evidence_have_their_own_learning_rate(base: Path, tmp_path: Path) -> None:
    moved = {}
    for rate in (1e-12, 0.05):
        config = settings(base, tmp_path / str(rate), evidence_learning_rate=rate)
        evidence = train(config, train_texts=graded(16)).loaded.model.evidence
        assert evidence is not None
        moved[rate] = evidence.weight.abs().max().item()
    assert moved[1e-12] < 1e-9
    assert moved[0.05] > 0.05


# Interruptions


def interrupted(
    base: Path,
    output: Path,
    stop_at: int | None = None,
    *,
    texts: list[GradedText] | None = None,
    **changes: Any,
) -> TrainOutcome:
    def stop(done: int, total: int) -> None:
        if done == stop_at and total > 20:  # not while the figures are checked
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.05)

    resume = changes.pop("resume", False)
    config = settings(base, output, batch_size=2, num_epochs=3, dropout=0.3, **changes)
    return train(config, train_texts=texts or graded(20), resume=resume, progress=stop)


def drawn_while_learning(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Epoch and index of each item that training asks for."""
    seen: list[tuple[int, int]] = []

    def recorded(seed: int, epoch: int, index: int) -> str:
        seen.append((epoch, index))
        return drawn_regime(seed, epoch, index)

    monkeypatch.setattr(regimes, "drawn_regime", recorded)
    return seen


def test_each_epoch_draws_once_for_each_text_also_when_it_is_resumed(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = drawn_while_learning(monkeypatch)
    interrupted(base, tmp_path / "whole")
    every = [(epoch, index) for epoch in range(3) for index in range(14)]
    assert sorted(seen) == every
    seen.clear()
    with pytest.raises(InputError, match="--resume"):
        interrupted(base, tmp_path / "parts", 10)  # three steps into the second epoch
    seen.clear()
    interrupted(base, tmp_path / "parts", resume=True)
    assert {epoch for epoch, _ in seen} == {1, 2}
    assert len(set(seen)) == 4 * 2 + 14


@pytest.mark.parametrize("stop_at", [3, 7, 10, 17])
@pytest.mark.parametrize("mode", MODES)
def test_a_resumed_run_draws_what_an_uninterrupted_one_does(
    base: Path, tmp_path: Path, mode: str, stop_at: int
) -> None:
    whole = interrupted(base, tmp_path / "whole", **MODES[mode])
    with pytest.raises(InputError, match="--resume"):
        interrupted(base, tmp_path / "parts", stop_at, **MODES[mode])
    resumed = interrupted(base, tmp_path / "parts", resume=True, **MODES[mode])
    assert resumed.history == whole.history
    for name, value in whole.loaded.model.state_dict().items():
        assert torch.equal(value, resumed.loaded.model.state_dict()[name]), name


def test_a_run_is_not_resumed_on_other_facts(base: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--resume"):
        interrupted(base, tmp_path / "parts", 7)
    other = FactSheet(unit="亿元", periods=["2023", "2024"], items={"营业收入": [90.0, 120.0]})
    changed = [replace(text, facts=other) if text.id == "3" else text for text in graded(20)]
    with pytest.raises(InputError, match="other data"):
        interrupted(base, tmp_path / "parts", texts=changed, resume=True)


# Commands


def test_the_commands_train_evaluate_and_export_such_a_model(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    few_resamples(monkeypatch)
    rows = [
        {
            "text": text.text,
            "scores": dict(zip(("depth", "professionalism", "accuracy"), text.labels, strict=True)),
            "facts": FACTS.model_dump(),
        }
        for text in graded(24)
    ]
    data, out = write_rows(tmp_path / "rows.jsonl", rows), tmp_path / "out"
    given = ["--base-model", base, "--epochs", "2", "--evidence", "--precision", "fp32", "--max-length", "64"]
    assert main([str(data), *map(str, given), "--output", str(out)]) == 0
    capfd.readouterr()
    ran = finrm(capfd, "evaluate", out, data, "--json", "-")
    assert ran.code == 0
    assert set(json.loads(ran.out)["regimes"]) == set(REGIMES)

    pytest.importorskip("onnx")
    from reward_model.onnx_scorer import OnnxScorer

    assert finrm(capfd, "export-model", out, tmp_path / "onnx", "--format", "onnx", "--check", "2").code == 0
    exported, scorer = OnnxScorer(tmp_path / "onnx"), RewardScorer.from_pretrained(out)
    for facts, check in ((FACTS, True), (None, True), (None, False)):
        one, two = (model.score(WRONG, facts=facts, check=check) for model in (exported, scorer))
        assert one.evidence == two.evidence
        assert list(one.expected.values()) == pytest.approx(list(two.expected.values()), abs=1e-4)
