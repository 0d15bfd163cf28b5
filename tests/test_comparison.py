"""Leave-one-out comparison: nothing of a left-out writer reaches what predicts its texts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from models import write_base
from scorers import few_resamples, finrm
from tiny_bert import pair_rows, write_rows

from reward_model import comparison, frozen
from reward_model.comparison import compare
from reward_model.config import TrainConfig
from reward_model.dataset_multidim import load_texts
from reward_model.errors import InputError
from reward_model.evaluation import Evaluation, System
from reward_model.rubric import load_rubric
from reward_model.samples import GradedText
from reward_model.stats import baselines
from reward_model.train_multidim import config, settings_from

Inputs = Mapping[str, torch.Tensor]
RUBRIC = load_rubric()
N_WRITERS, PAIRS_A_WRITER = 3, 4


@pytest.fixture(autouse=True)
def own_cache_and_quick_bootstrap(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    few_resamples(monkeypatch)
    monkeypatch.setenv("FINRM_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    found = pair_rows(N_WRITERS * PAIRS_A_WRITER)
    for index, row in enumerate(found):
        row["metadata"] = {"model": f"w{index % N_WRITERS}", "field": ("制造业", "服务业")[index % 2]}
    return found


@pytest.fixture(scope="module")
def texts(rows: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> list[GradedText]:
    return load_texts(write_rows(tmp_path_factory.mktemp("data") / "pairs.jsonl", rows), RUBRIC)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_base(tmp_path_factory.mktemp("base"), "bert")


@pytest.fixture(scope="module")
def settings(base: Path) -> TrainConfig:
    flags = {"base_model_name": str(base), "num_epochs": 2, "max_length": 64}
    return settings_from(config, flags, preset="frozen")


def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer resamples and folds where neither is what a test is about."""
    few_resamples(monkeypatch)
    monkeypatch.setattr(frozen, "CALIBRATION_FOLDS", 2)


def predictions(
    texts: Sequence[GradedText], settings: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> dict[str, np.ndarray]:
    """What each system predicts for ``texts``, by name."""
    found: dict[str, np.ndarray] = {}

    def recorded(_: Evaluation, model: System, others: Sequence[System]) -> dict[str, Any]:
        found.update({system.name: system.probabilities for system in (model, *others)})
        return {}

    with monkeypatch.context() as patch:
        patch.setattr(Evaluation, "result", recorded)
        patch.setattr(Evaluation, "regimes", lambda *_: {})  # would read the figures that are not there
        compare(texts, RUBRIC, settings)
    return found


def even(held: Mapping[str, torch.Tensor]) -> dict[str, np.ndarray]:
    """Every level alike, under each regime."""
    return {regime: np.full((len(matrix), 3, 5), 0.2) for regime, matrix in held.items()}


def rows_of(texts: Sequence[GradedText], writer: str) -> list[int]:
    return [index for index, text in enumerate(texts) if text.slices["writer"] == writer]


def test_a_left_out_writers_labels_change_nothing_in_what_is_predicted_for_them(
    texts: list[GradedText], settings: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frozen, "CALIBRATION_FOLDS", 2)
    texts = [text for text in texts if text.slices["writer"] != "w2"]
    turned = [
        replace(text, labels=tuple(4 - level for level in text.labels))
        if text.slices["writer"] == "w1"
        else text
        for text in texts
    ]
    before = predictions(texts, settings, monkeypatch)
    after = predictions(turned, settings, monkeypatch)
    assert set(before) == {"facts", *baselines.BASELINES}
    held, rest = rows_of(texts, "w1"), rows_of(texts, "w0")
    for name, values in before.items():
        assert np.array_equal(values[held], after[name][held]), name
        # The labels did matter to those who may learn from them.
        assert not np.allclose(values[rest], after[name][rest]), name


def test_heads_and_baselines_are_fitted_without_the_left_out_writers_texts(
    texts: list[GradedText], settings: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer_of = {text.text: text.slices["writer"] for text in texts}
    heads: list[tuple[set[str], int]] = []
    learned: list[set[str]] = []
    real_baseline = baselines.fit_predict

    def fold(model: Any, inputs: Inputs, rest: Sequence[GradedText], held: Inputs) -> dict[str, np.ndarray]:
        # The inputs are those of the texts that are said to be learned from.
        for regime, matrix in model.inputs(rest).items():
            assert torch.equal(inputs[regime], matrix)
        heads.append(({text.slices["writer"] for text in rest}, len(held["off"])))
        return even(held)

    def baseline(name: str, train: Sequence[str], labels: Any, test: Sequence[str], *more: Any) -> Any:
        assert not {writer_of[text] for text in train} & {writer_of[text] for text in test}
        learned.append({writer_of[text] for text in train})
        return real_baseline(name, train, labels, test, *more)

    monkeypatch.setattr(frozen, "fold_probabilities", fold)
    monkeypatch.setattr(baselines, "fit_predict", baseline)
    predictions(texts, settings, monkeypatch)
    folds = [{"w1", "w2"}, {"w0", "w2"}, {"w0", "w1"}]
    assert heads == [(writers, 2 * PAIRS_A_WRITER) for writers in folds]
    assert learned == [writers for writers in folds for _ in baselines.BASELINES]


def test_every_text_is_predicted_exactly_once(
    texts: list[GradedText], settings: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, predicted = comparison.join_folds, []

    def recorded(parts: Any, n: int) -> list[System]:
        predicted.extend(row for rows, _ in parts for row in rows.tolist())
        assert n == len(texts)
        return real(parts, n)

    monkeypatch.setattr(frozen, "fold_probabilities", lambda *given: even(given[3]))
    monkeypatch.setattr(comparison, "join_folds", recorded)
    for values in predictions(texts, settings, monkeypatch).values():
        assert np.allclose(values.sum(-1), 1)
    assert sorted(predicted) == list(range(len(texts)))


def test_the_shared_framework_of_two_writers_teaches_neither_about_the_other(
    texts: list[GradedText], settings: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One company's figures, written up by w0 and by w1: its texts belong to one group.
    shared = [replace(text, group="one") if text.pair in {"1@1", "2@2"} else text for text in texts]
    seen = []
    made: list[int] = []

    def fold(model: Any, inputs: Inputs, rest: Sequence[GradedText], held: Inputs) -> dict[str, np.ndarray]:
        graded = [text for text in rest if text.made_from is None]
        seen.append(({text.group for text in graded}, len(graded)))
        # What is made of a text goes where the text goes.
        assert {text.made_from for text in rest} <= {None, *(text.id for text in graded)}
        made.append(len(rest) - len(graded))
        return even(held)

    monkeypatch.setattr(frozen, "fold_probabilities", fold)
    predictions(shared, settings, monkeypatch)
    n_rest = 2 * PAIRS_A_WRITER * (N_WRITERS - 1)
    assert [("one" in groups, n) for groups, n in seen] == [
        (False, n_rest - 2),
        (False, n_rest - 2),
        (True, n_rest),
    ]
    assert sum(made) > 0


def test_texts_without_a_writer_are_left_out_and_said_to_be(
    texts: list[GradedText], settings: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    partial = [replace(text, slices={}) if text.pair == "1@1" else text for text in texts]
    monkeypatch.setattr(frozen, "fold_probabilities", lambda *given: even(given[3]))
    result, evaluation = compare(partial, RUBRIC, settings)
    assert len(evaluation.texts) == result["n"] == sum(result["folds"].values()) == len(texts) - 2
    assert "2 texts name no writer and were left out" in result["warnings"][0]


@pytest.mark.parametrize(("by", "writers"), [("writer", ["w0"]), ("writer", []), ("severity", ["w0", "w1"])])
def test_fewer_than_two_values_to_leave_out_are_refused(
    texts: list[GradedText], settings: TrainConfig, by: str, writers: list[str]
) -> None:
    few = [text for text in texts if text.slices["writer"] in writers]
    with pytest.raises(InputError, match=f"fewer than two values of {by}"):
        compare(few, RUBRIC, settings, by=by)


def test_a_backbone_that_would_be_trained_is_refused(texts: list[GradedText], base: Path) -> None:
    guide = settings_from(config, {"base_model_name": str(base)})
    with pytest.raises(InputError, match="--preset frozen"):
        compare(texts, RUBRIC, guide)


def test_compare_prints_json_and_a_page_and_names_its_folds(
    rows: list[dict[str, Any]],
    base: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("FINRM_NUM_EPOCHS", "1")
    monkeypatch.setattr(frozen, "fold_probabilities", lambda *given: even(given[3]))
    data, page = write_rows(tmp_path / "pairs.jsonl", rows), tmp_path / "page.html"
    with data.open("a", encoding="utf-8") as stream:
        stream.write("{broken\n")
    arguments = ("compare", data, "--base-model", base, "--by", "industry", "--json", "-", "--html", page)
    ran = finrm(capfd, *arguments)
    assert ran.code == 2
    assert f"{data}:13: not valid JSON" in ran.err
    result = json.loads(ran.out)
    assert result["split"] == "leave one industry out"
    assert result["folds"] == {"制造业": 12, "服务业": 12}
    assert result["bad_lines"] == 1
    assert set(result["baselines"]) == set(baselines.BASELINES)
    assert "leave one industry out" in page.read_text(encoding="utf-8")
    assert finrm(capfd, *arguments, "--skip-bad").code == 0


def test_a_fold_chooses_its_options_without_the_left_out_writer(
    texts: list[GradedText], settings: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[set[str]] = []
    choose = comparison._choose

    def watched(candidates: Any, inputs: Any, rest: Sequence[GradedText], rubric: Any) -> int:
        seen.append({text.slices["writer"] for text in rest})
        assert all(len(matrix) == len(rest) for given in inputs for matrix in given.values())
        return choose(candidates, inputs, rest, rubric)

    monkeypatch.setattr(comparison, "_choose", watched)
    quick(monkeypatch)
    options = ({}, {"num_epochs": 1}, {"pool_stats": ("mean", "max")})
    result, _ = compare(texts, RUBRIC, settings, options=options)
    assert seen == [{"w1", "w2"}, {"w0", "w2"}, {"w0", "w1"}]
    assert set(result["chosen"]) == {"w0", "w1", "w2"}
    assert all(change in [dict(option) for option in options] for change in result["chosen"].values())


def test_the_best_of_the_options_is_chosen(
    base: Path, texts: list[GradedText], monkeypatch: pytest.MonkeyPatch
) -> None:
    quick(monkeypatch)
    flags = {"base_model_name": str(base), "num_epochs": 40, "learning_rate": 1e-2, "max_length": 64}
    settings = settings_from(config, flags, preset="frozen")
    # With a learning rate of next to nothing the heads stay as they were drawn.
    idle = {"learning_rate": 1e-12, "evidence_learning_rate": 1e-12}
    result, _ = compare(texts, RUBRIC, settings, options=(idle, {}))
    assert list(result["chosen"].values()).count({}) >= 2


def test_shuffled_training_labels_say_so_and_leave_the_left_out_ones_alone(
    texts: list[GradedText], settings: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick(monkeypatch)
    result, evaluation = compare(texts, RUBRIC, settings, shuffle_labels=True)
    assert "shuffled" in result["warnings"][0]
    assert evaluation.labels.tolist() == [list(text.labels) for text in texts]
