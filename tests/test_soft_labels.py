"""Soft labels: the spread of the judges' votes as what is learned, where there are votes that fit."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from scorers import few_resamples, finrm
from tiny_bert import pair_rows, write_rows, write_tiny_bert
from torch import Tensor
from torch.nn import functional as F

from reward_model import comparison, frozen
from reward_model.assembly import soft_label_tensor
from reward_model.comparison import _shuffled
from reward_model.config import TrainConfig
from reward_model.dataset_multidim import MultiDimRewardDataset, RewardCollator, load_texts
from reward_model.heads import FeatureDataset, collate_features, cross_fitted_logits, new_heads
from reward_model.loss import label_weight, reward_loss
from reward_model.model import FinancialRewardConfig
from reward_model.rubric import load_rubric
from reward_model.samples import IGNORED, GradedText, soft_levels
from reward_model.schema import parse_record
from reward_model.train_flags import parse_flags
from reward_model.train_multidim import train
from reward_model.trainer import MultiDimRewardTrainer
from reward_model.votes import vote_shares

RUBRIC = load_rubric()
NAMES = RUBRIC.names
K = 5


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bert(tmp_path_factory.mktemp("base") / "tiny", layers=2, dropout=0.0)


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FINRM_CACHE", str(tmp_path / "cache"))


# Votes


def shares(*judgements: Any) -> Any:
    """The spread of a chosen text's votes."""
    value = pair_rows(1)[0]
    value["scores"]["judgements"] = {"chosen": list(judgements), "rejected": [{"depth": 0}]}
    record = parse_record(value)
    return vote_shares(record, "chosen", RUBRIC)  # type: ignore[arg-type]


def test_votes_spread_over_the_levels_in_rubric_order() -> None:
    found = shares(
        {"accuracy": 2, "depth": 4, "professionalism": 3, "wrong_numbers": []},
        {"accuracy": 2, "depth": 3, "professionalism": 3},
        {"depth": 3, "professionalism": 0},
    )
    assert NAMES == ("depth", "professionalism", "accuracy")
    assert found == ((0, 0, 0, 2 / 3, 1 / 3), (1 / 3, 0, 0, 2 / 3, 0), (0, 0, 1, 0, 0))


@pytest.mark.parametrize("bad", [None, "3", 3.0, True, 5, -1, [3], {"level": 3}, 10**30])
def test_a_vote_that_fits_no_rubric_is_passed_over_in_its_dimension_alone(bad: Any) -> None:
    assert shares({"depth": bad, "professionalism": 1}, {"depth": 2}) == (
        (0, 0, 1, 0, 0),
        (0, 1, 0, 0, 0),
        (),
    )
    assert shares({"depth": bad}) is None


@pytest.mark.parametrize(
    "judgements", [None, {}, {"chosen": []}, {"rejected": [{"depth": 1}]}, {"other": []}]
)
def test_without_votes_there_is_no_spread(judgements: Any) -> None:
    value = pair_rows(1)[0]
    value["scores"]["judgements"] = judgements
    assert vote_shares(parse_record(value), "chosen", RUBRIC) is None  # type: ignore[arg-type]
    del value["scores"]
    assert vote_shares(parse_record(value), "chosen", RUBRIC) is None  # type: ignore[arg-type]


def voted(n: int) -> list[GradedText]:
    """Texts with level 4 everywhere, which two of three judges put at 3."""
    spread = (0.0, 0.0, 0.0, 2 / 3, 1 / 3)
    return [
        GradedText(str(i), "营业收入" + f"{i}增长"[: 3 + i % 3], (4,) * 3, f"g{i}", votes=(spread,) * 3)
        for i in range(n)
    ]


def test_each_side_has_its_own_votes_and_the_labels_stay(tmp_path: Path) -> None:
    rows = pair_rows(2)
    rows[0]["scores"]["judgements"] = {"chosen": [{"depth": 4}, {"depth": 3}], "rejected": [{"depth": 0}]}
    texts = load_texts(write_rows(tmp_path / "pairs.jsonl", rows), RUBRIC)
    assert [text.votes for text in texts] == [
        ((0, 0, 0, 0.5, 0.5), (), ()),
        ((1, 0, 0, 0, 0), (), ()),
        None,
        None,
    ]
    assert texts[0].labels == tuple(rows[0]["scores"]["chosen"].values())


def test_what_is_learned_is_the_spread_else_the_label_and_nothing_without_one() -> None:
    text = GradedText("1", "x", (4, 2, IGNORED), "g", votes=((0, 0, 0, 0.5, 0.5), (), (1, 0, 0, 0, 0)))
    assert soft_levels(text, K) == [[0, 0, 0, 0.5, 0.5], [0, 0, 1, 0, 0], [0] * 5]
    assert soft_levels(replace(text, votes=None), K) == [[0, 0, 0, 0, 1], [0, 0, 1, 0, 0], [0] * 5]
    assert soft_label_tensor([text], TrainConfig()) is None
    soft = soft_label_tensor([text, text], TrainConfig(soft_labels=True))
    assert soft is not None
    assert (soft.shape, soft.dtype) == ((2, 3, K), torch.float32)


def test_every_text_of_the_corpus_has_votes_about_its_label() -> None:
    from reward_model.samples import corpus_path

    texts = load_texts(corpus_path(), RUBRIC)
    soft = np.array([soft_levels(text, K) for text in texts])
    assert soft.shape == (450, 3, K)
    assert np.allclose(soft.sum(-1), 1)
    mean = soft @ np.arange(K)
    assert (abs(mean - np.array([text.labels for text in texts])) <= 0.5).all()
    assert ((soft > 0) & (soft < 1)).any(-1).sum(0).tolist() == [79, 89, 21], "texts on which judges differ"


# The loss

GENERATOR = torch.Generator().manual_seed(0)
LOGITS = torch.randn(6, 3, K, generator=GENERATOR) * 3
LABELS = torch.randint(0, K, (6, 3), generator=GENERATOR)
LABELS[0, 0] = LABELS[3] = IGNORED
SOFT = torch.rand(6, 3, K, generator=GENERATOR).softmax(-1)
WEIGHTS = [None, torch.tensor([2.0, 1.5, 1.0, 0.0, 0.5]), torch.rand(3, K, generator=GENERATOR)]


def one_hot(labels: Tensor) -> Tensor:
    return F.one_hot(labels.clamp(min=0), K).float()


@pytest.mark.parametrize("weights", WEIGHTS, ids=["plain", "levels", "table"])
def test_soft_labels_that_are_hard_give_the_hard_loss_and_gradient(weights: Tensor | None) -> None:
    found = []
    for soft in (None, one_hot(LABELS)):
        logits = LOGITS.clone().requires_grad_()
        loss = reward_loss(logits, LABELS, weights, soft)
        loss.backward()
        found.append((loss.detach(), logits.grad))
    torch.testing.assert_close(found[1][0], found[0][0], atol=1e-6, rtol=0)
    torch.testing.assert_close(found[1][1], found[0][1], atol=1e-6, rtol=0)
    torch.testing.assert_close(
        label_weight(LABELS, weights, one_hot(LABELS)), label_weight(LABELS, weights), atol=1e-6, rtol=0
    )


def test_unweighted_it_is_torchs_cross_entropy_with_probabilities() -> None:
    known = LABELS != IGNORED
    torch.testing.assert_close(
        reward_loss(LOGITS, LABELS, None, SOFT), F.cross_entropy(LOGITS[known], SOFT[known])
    )


@pytest.mark.parametrize("weights", WEIGHTS[1:], ids=["levels", "table"])
def test_weighted_it_is_the_formula_that_it_states(weights: Tensor) -> None:
    table = weights.expand(3, K)
    total = mass = 0.0
    for row in range(6):
        for dimension in range(3):
            if LABELS[row, dimension] == IGNORED:
                continue
            for level in range(K):
                share = float(table[dimension, level] * SOFT[row, dimension, level])
                total -= share * float(LOGITS[row, dimension].log_softmax(-1)[level])
                mass += share
    assert reward_loss(LOGITS, LABELS, weights, SOFT).item() == pytest.approx(total / mass, rel=1e-5)
    assert label_weight(LABELS, weights, SOFT).item() == pytest.approx(mass, rel=1e-5)


@pytest.mark.parametrize("weights", WEIGHTS, ids=["plain", "levels", "table"])
def test_parts_weighed_by_label_weight_give_the_whole(weights: Tensor | None) -> None:
    parts = [slice(i, i + 2) for i in (0, 2, 4)]
    sizes = torch.stack([label_weight(LABELS[p], weights, SOFT[p]) for p in parts])
    losses = torch.stack([reward_loss(LOGITS[p], LABELS[p], weights, SOFT[p]) for p in parts])
    whole = reward_loss(LOGITS, LABELS, weights, SOFT)
    torch.testing.assert_close((losses * sizes).sum() / sizes.sum(), whole)


def test_nothing_to_learn_gives_zero_not_nan() -> None:
    nothing = torch.full_like(LABELS, IGNORED)
    assert reward_loss(LOGITS, nothing, None, SOFT) == 0
    assert reward_loss(LOGITS, LABELS, torch.zeros(K), SOFT) == 0


# Batches and steps


def test_items_and_batches_carry_them_only_where_they_are_asked_for(base: Path) -> None:
    from reward_model.backbone import load_tokenizer, resolve_base

    tokenizer = load_tokenizer(resolve_base(str(base)))
    texts = voted(3)
    plain = MultiDimRewardDataset(texts, tokenizer, 32)
    assert set(plain[0]) == {"input_ids", "labels"}
    soft = MultiDimRewardDataset(texts, tokenizer, 32, soft_labels=True)
    batch = RewardCollator(0)([soft[i] for i in range(3)])
    assert batch["soft_targets"][2, 1].tolist() == pytest.approx([0, 0, 0, 2 / 3, 1 / 3])
    assert batch["soft_targets"].shape == (3, 3, K)
    assert batch["labels"].tolist() == [[4] * 3] * 3


@pytest.mark.parametrize("weights", [None, [2.0, 1.5, 1.0, 0.2, 0.5]])
def test_accumulated_gradients_are_those_of_one_batch(weights: list[float] | None, tmp_path: Path) -> None:
    features = torch.randn(6, 8, generator=torch.Generator().manual_seed(1))
    base_config = {"model_type": "bert", "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    model_config = FinancialRewardConfig(base_config=base_config, dropout=0.0, class_weights=weights)
    expected = None
    for batch, steps in ((6, 1), (2, 3), (4, 2)):
        config = TrainConfig(batch_size=batch, accumulation_steps=steps)
        model = new_heads(model_config, features, 0).train()
        items = FeatureDataset(features, LABELS, None, SOFT)
        trainer = MultiDimRewardTrainer(
            model, config, NAMES, train_dataset=items, data_collator=collate_features, output_dir=tmp_path
        )
        batches = [
            collate_features([items[i] for i in range(start, min(6, start + batch))])
            for start in range(0, 6, batch)
        ]
        samples, total = trainer.get_batch_samples(iter(batches), len(batches), torch.device("cpu"))
        for sample in samples:
            trainer.training_step(model, sample, total)
        found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
        if expected is None:
            model.zero_grad()
            table = None if weights is None else torch.tensor(weights)
            reward_loss(model(features=features).logits, LABELS, table, SOFT).backward()
            expected = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            torch.testing.assert_close(found[name], value, atol=1e-6, rtol=1e-4)


# Training

MODES: dict[str, dict[str, Any]] = {
    "frozen": {"freeze_backbone": True, "pool_layers": "thirds", "evidence": True},
    "all layers": {},
    "upper layers": {"trainable_layers": 1},
    "evidence": {"evidence": True},
}


def run(base: Path, output: Path, mode: str, texts: list[GradedText], **changes: Any) -> Any:
    given = {"num_epochs": 12, "precision": "fp32", "learning_rate": 1e-2, "batch_size": 4, "max_length": 32}
    paths = {"base_model_name": str(base), "output_dir": str(output)}
    config = TrainConfig(**{**paths, **given, "dropout": 0.0, **MODES[mode], **changes})
    return train(config, train_texts=texts[:24], eval_texts=texts[24:])


@pytest.mark.parametrize("mode", MODES)
def test_a_model_learns_what_the_judges_differ_about(base: Path, tmp_path: Path, mode: str) -> None:
    texts = voted(36)
    for soft, expected in ((False, 0.0), (True, np.log(3))):
        rows = run(base, tmp_path / str(soft), mode, texts, soft_labels=soft).history[-1]
        # Both figures are by the label, which got a third of the votes, whatever was learned.
        assert rows["train"]["loss"] == pytest.approx(expected, abs=0.15)
        if mode != "frozen":  # standardised features of texts so alike are noise elsewhere
            assert rows["validation"]["loss"] == pytest.approx(expected, abs=0.15)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("weights", [None, "balanced"])
def test_votes_that_agree_with_the_labels_train_what_the_labels_do(
    base: Path, tmp_path: Path, mode: str, weights: str | None
) -> None:
    texts = [
        replace(
            text, labels=(i % 5, IGNORED if i % 4 == 1 else i % 3, 4), votes=one_hot_votes((i % 5, i % 3, 4))
        )
        for i, text in enumerate(voted(36))
    ]
    rows = [
        run(
            base, tmp_path / str(soft), mode, texts, soft_labels=soft, num_epochs=2, class_weights=weights
        ).history[-1]
        for soft in (False, True)
    ]
    for part in ("train", "validation"):
        assert rows[1][part] == pytest.approx(rows[0][part], abs=1e-3)


def one_hot_votes(levels: tuple[int, ...]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(float(k == level) for k in range(K)) for level in levels)


def test_heads_that_judge_a_fold_learn_the_votes_of_the_rest(base: Path) -> None:
    n = 10
    features = torch.arange(n).float().view(n, 1).expand(n, 4)
    labels = torch.arange(n).view(n, 1).expand(n, 3)
    soft = torch.arange(n).float().view(n, 1, 1).expand(n, 3, K)
    seen = []

    def fit(x: Tensor, y: Tensor, p: Tensor | None) -> Any:
        assert p is not None
        assert torch.equal(x[:, 0], p[:, 0, 0])
        assert torch.equal(x[:, 0].long(), y[:, 0])
        seen.append(len(x))
        config = {"model_type": "bert", "hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 1}
        return new_heads(FinancialRewardConfig(base_config=config), x, 0)

    cross_fitted_logits(fit, features, labels, [f"g{i}" for i in range(n)], soft=soft, n_folds=5)
    assert seen == [8] * 5


# Settings and commands


def test_the_flag_is_a_setting_like_any_other() -> None:
    assert TrainConfig().soft_labels is False
    assert parse_flags(["--soft-labels"]).settings == {"soft_labels": True}
    assert parse_flags(["--no-soft-labels"]).settings == {"soft_labels": False}


def test_shuffled_labels_take_their_votes_along() -> None:
    texts = [
        replace(t, labels=(i % 5,) * 3, votes=one_hot_votes((i % 5,) * 3)) for i, t in enumerate(voted(20))
    ]
    moved = _shuffled(texts, 3)
    assert [text.labels for text in moved] != [text.labels for text in texts]
    for text in moved:
        assert text.votes == one_hot_votes(text.labels)
    # The draw of earlier versions, whose figures are published.
    labels = [text.labels for text in texts]
    random.Random(3).shuffle(labels)
    assert [text.labels for text in moved] == labels


def test_compare_learns_soft_labels_in_every_fold(
    base: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    few_resamples(monkeypatch)
    monkeypatch.setenv("FINRM_NUM_EPOCHS", "1")
    monkeypatch.setattr(comparison, "OPTIONS", ({}, {"dropout": 0.5}))
    monkeypatch.setattr(comparison, "INNER_FOLDS", 2)
    monkeypatch.setattr(frozen, "CALIBRATION_FOLDS", 2)
    rows = pair_rows(12)
    for index, row in enumerate(rows):
        row["metadata"] = {"model": f"w{index % 2}", "field": "制造业"}
        row["scores"]["judgements"] = {"chosen": [{"depth": 4}, {"depth": 3}], "rejected": [{"depth": 1}]}
    fitted: list[Tensor | None] = []
    fit = frozen.FrozenFeatures.fit

    def recorded(self: Any, inputs: Tensor, labels: Tensor, *given: Any, **options: Any) -> Any:
        soft = options.get("soft")
        fitted.append(soft)
        if soft is not None:
            assert soft.shape == (*labels.shape, K)
            known = labels[:, 1:] != IGNORED
            assert torch.equal(soft[:, 1:].argmax(-1)[known], labels[:, 1:][known])
        return fit(self, inputs, labels, *given, **options)

    monkeypatch.setattr(frozen.FrozenFeatures, "fit", recorded)
    arguments = ["compare", write_rows(tmp_path / "p.jsonl", rows), "--base-model", base, "--json", "-"]
    for flag, is_soft in ((["--no-soft-labels"], False), (["--nested"], True)):
        fitted.clear()
        ran = finrm(capfd, *arguments, *flag)
        assert ran.code == 0, ran.err
        assert json.loads(ran.out)["soft_labels"] is is_soft
        assert {soft is not None for soft in fitted} == {is_soft}


def test_a_run_is_not_resumed_on_other_votes(base: Path, tmp_path: Path) -> None:
    from reward_model import checkpoints
    from reward_model.errors import InputError

    config = TrainConfig(base_model_name=str(base), output_dir=str(tmp_path), soft_labels=True)
    texts = voted(4)
    folder, _ = checkpoints.prepare(tmp_path, config, texts, [], resume=False)
    (folder / "checkpoint-1").mkdir()
    (folder / "checkpoint-1" / "run_state.pt").touch()
    assert checkpoints.prepare(tmp_path, config, texts, [], resume=True)[1] is not None
    other = [replace(texts[0], votes=None), *texts[1:]]
    with pytest.raises(InputError, match="other data"):
        checkpoints.prepare(tmp_path, config, other, [], resume=True)
