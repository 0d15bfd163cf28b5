"""The trainer: gradients that don't depend on how a batch is cut, figures over all items, the best epoch."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_bert import pair_rows, report_rows, same_weights, write_rows, write_tiny_bert
from torch import Tensor
from torch.nn import functional as F
from transformers import TrainerCallback

from reward_model.backbone import resolve_base
from reward_model.config import FROZEN_PRESET, TrainConfig
from reward_model.dataset_multidim import MultiDimRewardDataset, RewardCollator, load_texts
from reward_model.features import backbone_sha256
from reward_model.heads import FeatureDataset, collate_features, new_heads
from reward_model.model import FinancialRewardConfig, FinancialRewardModel
from reward_model.modeldir import load_model
from reward_model.rubric import load_rubric
from reward_model.samples import IGNORED, GradedText
from reward_model.train_multidim import train
from reward_model.trainer import MultiDimRewardTrainer, epoch_line, level_figures
from reward_model.training import TrainOutcome

NAMES = ("depth", "professionalism", "accuracy")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny base without dropout, so that a batch gives the same gradients however often it is read."""
    return write_tiny_bert(tmp_path_factory.mktemp("base") / "tiny", layers=2, dropout=0.0)


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FINRM_CACHE", str(tmp_path / "cache"))


def texts_of(folder: Path, rows: list[dict[str, Any]]) -> list[GradedText]:
    return load_texts(write_rows(folder / "rows.jsonl", rows), load_rubric())


def settings(base: Path, output: Path, **changes: Any) -> TrainConfig:
    return TrainConfig(**{"base_model_name": str(base), "output_dir": str(output), **changes})


def frozen(base: Path, output: Path, **changes: Any) -> TrainConfig:
    return settings(base, output, **{**FROZEN_PRESET, **changes})


# Gradients


class Gradients(TrainerCallback):
    """Keeps the gradients of every step."""

    def __init__(self) -> None:
        self.steps: list[dict[str, Tensor]] = []

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        self.steps.append(
            {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
        )


def gradients(base: Path, texts: list[GradedText], folder: Path, batch: int, accumulation: int) -> Any:
    """The gradients of each step of an epoch, and the batches that were read."""
    config = settings(
        base,
        folder,
        batch_size=batch,
        accumulation_steps=accumulation,
        num_epochs=1,
        # Too small to move the weights, so that every step's gradients are those of the first weights.
        learning_rate=1e-30,
        dropout=0.0,
        precision="fp32",
    )
    torch.manual_seed(0)
    model = FinancialRewardModel(base_model_name=str(base), dropout=0.0)
    tokenizer = load_tokenizer_of(base)
    batches: list[dict[str, Tensor]] = []
    collate = RewardCollator(tokenizer.pad_token_id)

    def collated(items: Any) -> dict[str, Tensor]:
        batches.append(collate(items))
        return batches[-1]

    trainer = MultiDimRewardTrainer(
        model,
        config,
        NAMES,
        train_dataset=MultiDimRewardDataset(texts, tokenizer),
        data_collator=collated,
        output_dir=folder / "trainer",
    )
    trainer.args.max_grad_norm = 0.0
    kept = Gradients()
    trainer.add_callback(kept)
    trainer.train()
    return kept.steps, batches, model


def load_tokenizer_of(base: Path) -> Any:
    from reward_model.backbone import load_tokenizer

    return load_tokenizer(resolve_base(str(base)))


def test_gradients_of_one_batch_of_eight_equal_those_of_four_batches_of_two(
    base: Path, tmp_path: Path
) -> None:
    texts = texts_of(tmp_path, report_rows(8))
    whole, _, _ = gradients(base, texts, tmp_path, 8, 1)
    parts, _, _ = gradients(base, texts, tmp_path, 2, 4)
    assert len(whole) == len(parts) == 1
    assert whole[0].keys() == parts[0].keys()
    for name, gradient in whole[0].items():
        assert torch.allclose(gradient, parts[0][name], atol=1e-6), name
    assert max(gradient.abs().max() for gradient in whole[0].values()) > 0.01


def test_an_accumulation_that_the_epoch_cuts_short_is_divided_by_what_it_has(
    base: Path, tmp_path: Path
) -> None:
    texts = texts_of(tmp_path, report_rows(10))
    steps, batches, model = gradients(base, texts, tmp_path, 2, 4)
    assert (len(steps), len(batches)) == (2, 5)
    model.zero_grad()
    last = batches[-1]
    logits = model(last["input_ids"], last["attention_mask"]).logits
    F.cross_entropy(logits.view(-1, 5), last["labels"].view(-1)).backward()
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            assert torch.allclose(parameter.grad, steps[-1][name], atol=1e-6), name


def test_heads_can_have_a_learning_rate_of_their_own(base: Path, tmp_path: Path) -> None:
    model = FinancialRewardModel(base_model_name=str(base))
    config = settings(base, tmp_path, learning_rate=1e-5, head_learning_rate=1e-3, weight_decay=0.1)
    trainer = MultiDimRewardTrainer(
        model, config, NAMES, train_dataset=[], data_collator=None, output_dir=tmp_path
    )
    groups = trainer.create_optimizer().param_groups
    rate_of = {id(p): (group["lr"], group["weight_decay"]) for group in groups for p in group["params"]}
    for name, parameter in model.named_parameters():
        rate, decay = rate_of.pop(id(parameter))
        assert rate == (1e-5 if name.startswith("backbone.") else 1e-3), name
        assert decay == (0.1 if parameter.ndim > 1 else 0.0), name
    assert rate_of == {}
    plain = settings(base, tmp_path, learning_rate=1e-5)
    trainer = MultiDimRewardTrainer(
        model, plain, NAMES, train_dataset=[], data_collator=None, output_dir=tmp_path
    )
    assert {group["lr"] for group in trainer.create_optimizer().param_groups} == {1e-5}


# Figures


def heads_on(features: Tensor, config: TrainConfig, **changes: Any) -> FinancialRewardModel:
    """Heads of the model on features of any width."""
    base_config = {"model_type": "bert", "hidden_size": features.shape[1], "num_hidden_layers": 1}
    model_config = FinancialRewardConfig(
        base_config={**base_config, "num_attention_heads": 1}, dropout=config.dropout, **changes
    )
    return new_heads(model_config, features, config.seed)


def feature_trainer(
    config: TrainConfig,
    train_set: tuple[Tensor, Tensor],
    folder: Path,
    eval_set: tuple[Tensor, Tensor] | None = None,
    **changes: Any,
) -> MultiDimRewardTrainer:
    return MultiDimRewardTrainer(
        heads_on(train_set[0], config, **changes),
        config,
        NAMES,
        train_dataset=FeatureDataset(*train_set),
        eval_dataset=FeatureDataset(*eval_set) if eval_set else None,
        data_collator=collate_features,
        output_dir=folder,
    )


def random_set(n: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, 8, generator=generator), torch.randint(0, 5, (n, 3), generator=generator)


WEIGHTS = [1.0, 2.0, 0.5, 3.0, 1.0]


@pytest.mark.parametrize(
    "weights", [None, WEIGHTS, [WEIGHTS, WEIGHTS[::-1], [1.0] * 5]], ids=["plain", "weights", "table"]
)
@pytest.mark.parametrize("some_missing", [False, True], ids=["all labels", "labels missing"])
def test_an_epochs_figures_are_over_all_items_at_once(
    weights: Any, some_missing: bool, tmp_path: Path
) -> None:
    # Batches of four and one, the one with labels of its own: means of batch means would differ.
    features, labels = random_set(5)
    labels[-1] = 4
    if some_missing:
        labels[0], labels[1, :2] = IGNORED, IGNORED
    config = TrainConfig(batch_size=4, num_epochs=1, learning_rate=1e-30, dropout=0.0)
    trainer = feature_trainer(config, (features, labels), tmp_path, (features, labels), class_weights=weights)
    trainer.train()
    logits = trainer.model(features=features).logits.detach()
    table = torch.tensor(WEIGHTS if weights is None else weights).expand(3, 5)
    if weights is None:
        table = torch.ones(3, 5)
    known = labels != IGNORED
    losses = F.cross_entropy(logits.transpose(1, 2), labels, ignore_index=IGNORED, reduction="none")
    chosen = table[torch.arange(3).expand(5, 3), labels.clamp(min=0)] * known
    row = trainer.history[0]
    expected = ((losses * chosen).sum() / chosen.sum()).item()
    right = (logits.argmax(-1) == labels) & known
    for figures in (row["train"], row["validation"]):
        assert figures["loss"] == pytest.approx(expected, rel=1e-5)
        assert figures["overall_accuracy"] == pytest.approx((right.sum() / known.sum()).item())
        for index, name in enumerate(NAMES):
            share = right[:, index].sum() / known[:, index].sum()
            assert figures[f"accuracy_{name}"] == pytest.approx(share.item())


def test_level_figures_of_an_example_by_hand() -> None:
    labels = np.array([[0, 1, 4], [0, 1, 4], [1, IGNORED, 4], [1, 2, 4]])
    predicted = np.array([[0, 1, 4], [1, 1, 4], [1, 0, 4], [1, 2, 4]])
    logits = 9.0 * (predicted[..., None] == np.arange(5))
    found = level_figures(logits, labels, NAMES)
    assert found["overall_accuracy"] == pytest.approx(10 / 11)
    assert found["accuracy_depth"] == 0.75
    # Level 0: precision 1, recall 1/2; level 1: precision 2/3, recall 1.
    assert found["macro_f1_depth"] == pytest.approx((2 / 3 + 0.8) / 2)
    assert (found["accuracy_professionalism"], found["macro_f1_professionalism"]) == (1.0, 1.0)


def test_an_epochs_line_tells_loss_accuracy_and_f1_of_both_parts() -> None:
    figures = {"loss": 1.5, "overall_accuracy": 0.5}
    for name in NAMES:
        figures |= {f"accuracy_{name}": 0.25, f"macro_f1_{name}": 0.125}
    line = epoch_line({"epoch": 2, "train": figures, "validation": figures}, 9, NAMES, best=True)
    dims = " ".join(f"{name} 0.250/0.125" for name in NAMES)
    part = f"损失 1.500 整体准确率 0.500（准确率/F1：{dims}）"
    assert line == f"第 2/9 轮 | 训练 {part} | 验证 {part} ★ 最佳"


# The best epoch


def test_the_best_epochs_weights_are_loaded_in_the_end(tmp_path: Path) -> None:
    train_set, eval_set = random_set(40), random_set(40, seed=1)
    config = TrainConfig(batch_size=8, num_epochs=8, learning_rate=0.05, dropout=0.0)
    trainer = feature_trainer(config, train_set, tmp_path, eval_set)
    model = trainer.train_best()
    accuracies = [row["validation"]["overall_accuracy"] for row in trainer.history]
    assert [row["epoch"] for row in trainer.history] == list(range(1, 9))
    assert trainer.best == (max(accuracies), 1 + accuracies.index(max(accuracies)))
    assert accuracies[-1] < max(accuracies), "noise can't be learned: this must differ from the last epoch"
    assert not model.training
    assert model(features=eval_set[0], labels=eval_set[1]).accuracy == pytest.approx(max(accuracies))


def test_without_validation_data_the_last_epoch_stays(tmp_path: Path) -> None:
    config = TrainConfig(batch_size=8, num_epochs=3, learning_rate=0.05)
    trainer = feature_trainer(config, random_set(16), tmp_path)
    told: list[str] = []
    trainer.notify = told.append
    trainer.train_best()
    assert trainer.best is None
    assert [("验证" in line, "最佳" in line) for line in told] == [(False, False)] * 3


def test_a_run_in_bf16_and_one_in_fp32_go_on_in_one_process(base: Path, tmp_path: Path) -> None:
    texts = texts_of(tmp_path, report_rows(12))
    results = {}
    for name, precision in (("first", "fp32"), ("half", "bf16"), ("again", "fp32")):
        outcome = train(
            settings(base, tmp_path / name, num_epochs=1, learning_rate=1e-2, precision=precision),
            train_texts=texts,
        )
        results[name] = outcome.history[0]["train"]["loss"]
        assert all(value.dtype == torch.float32 for value in outcome.loaded.model.state_dict().values())
    assert results["first"] == results["again"]
    assert results["half"] == pytest.approx(results["first"], abs=0.05)
    assert results["half"] != results["first"]
    assert same_weights(tmp_path / "first", tmp_path / "again")


# A frozen backbone


def counted_texts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many texts each call of the backbone reads."""
    counts: list[int] = []
    encode = FinancialRewardModel.encode

    def counting(self: FinancialRewardModel, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        counts.append(len(input_ids))
        return encode(self, input_ids, attention_mask)

    monkeypatch.setattr(FinancialRewardModel, "encode", counting)
    return counts


def test_frozen_training_leaves_the_backbone_and_computes_each_text_once(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = counted_texts(monkeypatch)
    before = backbone_sha256(load_model_backbone(base))
    rows = report_rows(12)
    texts = texts_of(tmp_path, rows)
    first = train(frozen(base, tmp_path / "first", augment=()), train_texts=texts)
    assert sum(counts) == 12
    assert backbone_sha256(load_model(tmp_path / "first").model.backbone) == before
    assert backbone_sha256(first.loaded.model.backbone) == before
    counts.clear()
    again = train(frozen(base, tmp_path / "again", augment=()), train_texts=texts)
    assert counts == [], "the second run has every text's features"
    assert same_weights(tmp_path / "first", tmp_path / "again")
    assert [row["train"] for row in again.history] == [row["train"] for row in first.history]
    rows[3]["text"] += "增长"
    train(frozen(base, tmp_path / "third", augment=()), train_texts=texts_of(tmp_path, rows))
    assert counts == [1], "of the texts one is new"
    counts.clear()
    train(frozen(base, tmp_path / "other", pool_layers=(-1,), augment=()), train_texts=texts)
    assert sum(counts) == 12, "other features of the same texts"
    counts.clear()
    other_base = write_tiny_bert(tmp_path / "base", layers=2, dropout=0.0, seed=5)
    train(frozen(other_base, tmp_path / "other", augment=()), train_texts=texts)
    assert sum(counts) == 12, "other weights"


def load_model_backbone(base: Path) -> torch.nn.Module:
    from reward_model.backbone import load_backbone, load_base_config

    reference = resolve_base(str(base))
    backbone: torch.nn.Module = load_backbone(reference, load_base_config(reference))
    return backbone


def test_a_frozen_run_needs_no_validation_texts(base: Path, tmp_path: Path) -> None:
    texts = texts_of(tmp_path, report_rows(40))
    outcome = train(frozen(base, tmp_path / "out", val_fraction=0.0, num_epochs=3), train_texts=texts)
    assert (outcome.n_train, outcome.n_validation, outcome.best_epoch) == (40, 0, None)
    calibration = json.loads((tmp_path / "out/calibration.json").read_text(encoding="utf-8"))
    assert calibration["how"] == "cross-fitted on the training texts in 5 folds by group"
    assert calibration["n"] == 40
    assert all(value != 1 for value in calibration["temperatures"].values())
    assert load_model(tmp_path / "out").training["metrics"].keys() == {"train"}


def test_a_frozen_run_on_one_group_is_not_calibrated(base: Path, tmp_path: Path) -> None:
    texts = texts_of(tmp_path, pair_rows(1))
    outcome = train(frozen(base, tmp_path / "out", val_fraction=0.0, num_epochs=1), train_texts=texts)
    assert outcome.n_train == 2
    calibration = json.loads((tmp_path / "out/calibration.json").read_text(encoding="utf-8"))
    assert calibration["how"].startswith("not fitted")
    assert set(calibration["temperatures"].values()) == {1.0}


def test_shuffled_labels_score_no_better_than_chance(base: Path, tmp_path: Path) -> None:
    texts = texts_of(tmp_path, report_rows(360))
    learn, held = texts[:240], texts[240:]
    labels = [text.labels for text in learn]
    random.Random(0).shuffle(labels)
    shuffled = [replace(text, labels=label) for text, label in zip(learn, labels, strict=True)]

    def accuracy(train_texts: list[GradedText], output: str) -> TrainOutcome:
        config = frozen(base, tmp_path / output, learning_rate=1e-2, num_epochs=12, weight_decay=0.01)
        return train(config, train_texts=train_texts, eval_texts=held)

    true, control = accuracy(learn, "true"), accuracy(shuffled, "control")
    # The last epoch's figures, as the best epoch's are picked to look good.
    learned = true.history[-1]["validation"]["overall_accuracy"]
    by_chance = control.history[-1]["validation"]["overall_accuracy"]
    # 360 guesses among five levels: 0.2, with a standard error of 0.02.
    assert by_chance == pytest.approx(0.2, abs=0.07)
    assert learned > 0.5


def test_balanced_weights_are_scikit_learns_in_each_dimension() -> None:
    from sklearn.utils.class_weight import compute_class_weight

    from reward_model.train_multidim import balanced_weights

    rows = [(0, 4, IGNORED), (0, 4, 2), (1, 4, 2), (3, 0, IGNORED), (0, 1, 4)]
    weights = balanced_weights(rows, 5)
    for d, column in enumerate(zip(*rows, strict=True)):
        known = np.array([level for level in column if level != IGNORED])
        expected = dict(
            zip(
                np.unique(known),
                compute_class_weight("balanced", classes=np.unique(known), y=known),
                strict=True,
            )
        )
        assert weights[d] == pytest.approx([expected.get(level, 1.0) for level in range(5)])


@pytest.mark.parametrize("changes", [{"class_weights": "balanced"}, {"group_by_length": True}])
def test_options_from_the_data_train_a_model(base: Path, tmp_path: Path, changes: dict[str, Any]) -> None:
    texts = texts_of(tmp_path, report_rows(12))
    outcome = train(settings(base, tmp_path / "out", num_epochs=1, **changes), train_texts=texts)
    weights = outcome.loaded.model.config.class_weights
    assert (weights is not None) == ("class_weights" in changes)
    if weights:
        assert torch.tensor(weights).shape == (3, 5)


def test_texts_are_tokenised_once_and_found_by_content(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FINRM_CACHE", str(tmp_path / "cache"))
    tokenizer = load_tokenizer_of(base)
    texts = texts_of(tmp_path, report_rows(4))
    first = MultiDimRewardDataset(texts, tokenizer, 16)

    class NoCall:
        def __init__(self) -> None:
            self.backend_tokenizer = tokenizer.backend_tokenizer

        def __call__(self, text: str, **options: Any) -> Any:
            assert text == "一", "tokenised again"  # asked only for its special tokens
            return tokenizer(text, **options)

    again = MultiDimRewardDataset(texts, NoCall(), 16)
    assert again.input_ids == first.input_ids
    assert again.coverage == first.coverage
    with pytest.raises(AssertionError, match="tokenised again"):
        MultiDimRewardDataset(texts, NoCall(), 17)
