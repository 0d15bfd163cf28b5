"""Metrics, calibration, bootstrap and baselines against hand-computed values, scikit-learn and simulation."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, cohen_kappa_score, f1_score

from reward_model.stats import baselines, metrics
from reward_model.stats.bootstrap import grouped_bootstrap, paired_difference
from reward_model.stats.calibration import (
    MIN_LABELS,
    apply_temperatures,
    ece_noise_floor,
    expected_calibration_error,
    fit_temperatures,
    reliability,
)

NAMES = ("depth", "professionalism", "accuracy")
FIGURES = ["accuracy", "macro_f1", "qwk", "mae", "within_1", "ece", "ece_noise_floor", "confusion"]


def sharp(levels: object, k: int = 5) -> np.ndarray:
    """Probabilities that are certain of ``levels``."""
    return np.eye(k)[np.asarray(levels)]


def graded(n: int, seed: int = 0, d: int = 3, k: int = 5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels with gaps, probabilities that lean towards them, and pairs of neighbours."""
    random = np.random.default_rng(seed)
    labels = random.integers(k, size=(n, d))
    logits = random.normal(size=(n, d, k)) + 1.5 * np.eye(k)[labels]
    labels[random.random((n, d)) < 0.1] = -100
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    return labels, probabilities, np.arange(n // 2 * 2).reshape(-1, 2)


levels_of_two = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=40)


# --- metrics -----------------------------------------------------------------------------------------------


def test_expected_scores_and_predicted_levels_by_hand() -> None:
    probabilities = np.array([[[0.1, 0.2, 0.3, 0.4, 0.0], [0.4, 0.1, 0.1, 0.0, 0.4]]])
    assert metrics.expected_scores(probabilities) == pytest.approx(np.array([[2.0, 1.9]]))
    # Of equally probable levels the lowest.
    assert metrics.predicted_levels(probabilities).tolist() == [[3, 0]]


def test_figures_of_one_confusion_matrix_by_hand() -> None:
    labels, predicted = [0, 1, 2, 2, -100, 4], [0, 2, 2, 0, 3, 4]
    confusion = metrics.confusion_matrix(labels, predicted, 5)
    assert confusion.tolist() == [
        [1, 0, 0, 0, 0],
        [0, 0, 1, 0, 0],
        [1, 0, 1, 0, 0],
        [0, 0, 0, 0, 0],
        [0, 0, 0, 0, 1],
    ]
    assert metrics.accuracy(confusion) == pytest.approx(3 / 5)
    assert metrics.within_one(confusion) == pytest.approx(4 / 5)
    # Levels 0, 1, 2, 4 occur: 2/3, 0, 1/2, 1.
    assert metrics.macro_f1(confusion) == pytest.approx((2 / 3 + 0 + 1 / 2 + 1) / 4)
    # Squared distances observed: 1 + 4. By chance, from margins (1, 1, 2, 0, 1) and (2, 0, 2, 0, 1), row by
    # row: (24 + 13 + 24 + 0 + 40) / 5.
    assert metrics.kappa(confusion) == pytest.approx(1 - 5 / (101 / 5))


@settings(deadline=None)
@given(levels_of_two)
def test_confusion_figures_equal_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    a, b = (np.array(side) for side in zip(*pairs, strict=True))
    confusion = metrics.confusion_matrix(a, b, 5)
    assert metrics.accuracy(confusion) == pytest.approx(accuracy_score(a, b))
    assert metrics.within_one(confusion) == pytest.approx(np.mean(np.abs(a - b) <= 1))
    assert metrics.macro_f1(confusion) == pytest.approx(f1_score(a, b, average="macro", zero_division=0))
    if len(set(a) | set(b)) > 1:
        theirs = cohen_kappa_score(a, b, labels=range(5), weights="quadratic")
        assert metrics.quadratic_kappa(a, b, 5) == pytest.approx(theirs, abs=1e-12)


@settings(deadline=None)
@given(levels_of_two)
def test_kappa_is_symmetric_bounded_and_blind_to_direction_and_unused_levels(
    pairs: list[tuple[int, int]],
) -> None:
    a, b = (np.array(side) for side in zip(*pairs, strict=True))
    kappa = metrics.quadratic_kappa(a, b, 5)
    assert -1 - 1e-12 <= kappa <= 1
    assert metrics.quadratic_kappa(b, a, 5) == pytest.approx(kappa)
    assert metrics.quadratic_kappa(4 - a, 4 - b, 5) == pytest.approx(kappa)
    assert metrics.quadratic_kappa(a + 3, b + 3, 10) == pytest.approx(kappa)


def test_kappa_where_a_side_is_constant_or_missing() -> None:
    assert metrics.quadratic_kappa([0, 1, 2, 4], [3, 3, 3, 3], 5) == 0
    assert metrics.quadratic_kappa([4, 4, 4], [4, 4, 4], 5) == 0
    assert metrics.quadratic_kappa([0, 4, 4], [0, 4, 4], 5) == 1
    assert metrics.quadratic_kappa([0, 4], [4, 0], 5) == -1
    assert metrics.quadratic_kappa([0, 4, -100, 2], [0, 4, 1, -100], 5) == 1
    assert math.isnan(metrics.quadratic_kappa([-100, 1], [1, -100], 5))


def test_evaluate_by_hand() -> None:
    labels = [[4, 3, 0], [1, 2, -100], [2, 2, 2], [2, 3, 1]]
    probabilities = sharp([[4, 2, 0], [1, 2, 3], [0, 2, 2], [2, 3, 1]])
    probabilities[2, 0] = [0.6, 0, 0.4, 0, 0]
    found = metrics.evaluate_predictions(labels, probabilities, [(0, 1), (2, 3)], NAMES)
    assert found["n"] == 4
    assert found["overall_accuracy"] == pytest.approx(9 / 11)
    assert found["exact_match"] == pytest.approx(1 / 3)
    depth = found["per_dim"]["depth"]
    assert depth["accuracy"] == pytest.approx(3 / 4)
    assert depth["within_1"] == pytest.approx(3 / 4)
    # The expected score of the third text is 0.8, its argmax 0.
    assert depth["mae"] == pytest.approx(1.2 / 4)
    assert depth["confusion"][2][0] == 1
    assert found["per_dim"]["accuracy"]["confusion"][3] == [0] * 5
    # Sums: 6 against 6 tie; 4.8 against 6 lose.
    assert found["pairs"]["n"] == 2
    assert found["pairs"]["ranking_accuracy"] == pytest.approx(0.25)
    # depth: right on the first pair, labels tie on the second. professionalism: 2 and 2 tie though labels
    # are 3 and 2; the second pair's rejected text is labelled and predicted higher. accuracy: one label
    # missing in the first pair, right in the second.
    assert found["pairs"]["per_dim"] == {"depth": 1.0, "professionalism": 0.75, "accuracy": 1.0}


def test_contract_keys_and_plain_json() -> None:
    labels, probabilities, pairs = graded(60)
    found = metrics.evaluate_predictions(labels, probabilities.astype(np.float32), pairs, NAMES)
    assert list(found) == ["n", "overall_accuracy", "exact_match", "per_dim", "pairs"]
    assert list(found["per_dim"]) == list(NAMES) == list(found["pairs"]["per_dim"])
    assert all(list(figures) == FIGURES for figures in found["per_dim"].values())
    assert list(found["pairs"]) == ["n", "ranking_accuracy", "per_dim"]
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_missing_labels_give_null_and_leave_the_rest_alone() -> None:
    labels, probabilities, pairs = graded(40)
    full = metrics.evaluate_predictions(labels, probabilities, pairs, NAMES)
    labels[:, 1] = -100
    found = metrics.evaluate_predictions(labels, probabilities, pairs, NAMES)
    json.dumps(found, allow_nan=False)
    assert found["per_dim"]["professionalism"] == dict.fromkeys(FIGURES)
    assert found["per_dim"]["depth"] == full["per_dim"]["depth"]
    assert found["exact_match"] is None
    assert found["pairs"]["per_dim"]["professionalism"] is None
    assert found["pairs"]["ranking_accuracy"] == full["pairs"]["ranking_accuracy"]


def test_what_a_missing_label_hides_changes_no_figure() -> None:
    labels, probabilities, _ = graded(40)
    other = probabilities.copy()
    other[labels == -100] = sharp(0)
    one = metrics.evaluate_predictions(labels, probabilities, [], NAMES)
    assert one == metrics.evaluate_predictions(labels, other, [], NAMES)


def test_no_texts_no_pairs() -> None:
    found = metrics.evaluate_predictions(np.empty((0, 3), int), np.empty((0, 3, 5)), [], NAMES)
    json.dumps(found, allow_nan=False)
    assert (found["n"], found["overall_accuracy"], found["pairs"]["ranking_accuracy"]) == (0, None, None)


def test_constant_labels_and_predictions_are_finite() -> None:
    labels = np.full((30, 3), 4)
    found = metrics.evaluate_predictions(labels, sharp(labels), [(0, 1)], NAMES)
    json.dumps(found, allow_nan=False)
    depth = found["per_dim"]["depth"]
    assert (depth["accuracy"], depth["macro_f1"], depth["qwk"], depth["ece"]) == (1, 1, 0, 0)
    assert found["pairs"]["ranking_accuracy"] == 0.5
    assert found["pairs"]["per_dim"]["depth"] is None


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000))
def test_row_order_changes_nothing(seed: int) -> None:
    labels, probabilities, pairs = graded(50, seed)
    # Repeated confidences are where bins could depend on the order.
    probabilities[::3] = probabilities[0]
    order = np.random.default_rng(seed).permutation(len(labels))
    moved = np.argsort(order)[pairs]
    one = metrics.evaluate_predictions(labels, probabilities, pairs, NAMES)
    other = metrics.evaluate_predictions(labels[order], probabilities[order], moved[::-1], NAMES)
    for name in NAMES:
        assert other["per_dim"][name].pop("confusion") == one["per_dim"][name].pop("confusion")
        assert other["per_dim"][name] == pytest.approx(one["per_dim"][name])
        assert other["pairs"]["per_dim"][name] == pytest.approx(one["pairs"]["per_dim"][name])
    for key in ("overall_accuracy", "exact_match"):
        assert other[key] == pytest.approx(one[key])
    assert other["pairs"]["ranking_accuracy"] == pytest.approx(one["pairs"]["ranking_accuracy"])


def test_swapping_the_sides_turns_the_ranking_round() -> None:
    labels, probabilities, pairs = graded(80)
    one = metrics.evaluate_predictions(labels, probabilities, pairs, NAMES)["pairs"]
    other = metrics.evaluate_predictions(labels, probabilities, pairs[:, ::-1], NAMES)["pairs"]
    assert one["ranking_accuracy"] != 0.5
    assert other["ranking_accuracy"] == pytest.approx(1 - one["ranking_accuracy"])
    # A dimension's ranking follows its labels, whichever side is called chosen.
    assert other["per_dim"] == pytest.approx(one["per_dim"])


def test_shuffled_labels_drop_to_chance() -> None:
    labels, probabilities, pairs = graded(2000)
    true = metrics.evaluate_predictions(labels, probabilities, pairs, NAMES)
    shuffled = np.random.default_rng(1).permutation(labels)
    control = metrics.evaluate_predictions(shuffled, probabilities, pairs, NAMES)
    for name in NAMES:
        assert true["per_dim"][name]["qwk"] > 0.4
        assert abs(control["per_dim"][name]["qwk"]) < 0.08
        assert control["per_dim"][name]["accuracy"] == pytest.approx(0.2, abs=0.04)
        assert control["pairs"]["per_dim"][name] == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize(
    ("labels", "probabilities", "pairs"),
    [
        ([[5, 0, 0]], sharp([[0, 0, 0]]), []),
        ([[-1, 0, 0]], sharp([[0, 0, 0]]), []),
        ([[0.5, 0, 0]], sharp([[0, 0, 0]]), []),
        ([[0, 0]], sharp([[0, 0, 0]]), []),
        ([[0, 0, 0]], sharp([[0, 0, 0]]) * np.nan, []),
        ([[0, 0, 0]], sharp([[0, 0, 0]]) * 3 - 1, []),
        ([[0, 0, 0]], sharp([[0, 0, 0]]), [(0, 1)]),
        ([[0, 0, 0]], sharp([[0, 0, 0]]), [(0, -1)]),
    ],
)
def test_unusable_arrays_are_refused(labels: list, probabilities: np.ndarray, pairs: list) -> None:
    with pytest.raises(ValueError):
        metrics.evaluate_predictions(labels, probabilities, pairs, NAMES)


# --- calibration -------------------------------------------------------------------------------------------


def test_ece_by_hand_with_equal_mass_bins() -> None:
    confidence, correct = [0.9, 0.5, 0.6, 0.8], [True, True, False, True]
    # Bins {0.5, 0.6} and {0.8, 0.9}: |0.5 - 0.55| and |1 - 0.85|, half the mass each.
    assert expected_calibration_error(confidence, correct, bins=2) == pytest.approx(0.5 * 0.05 + 0.5 * 0.15)
    points = reliability(confidence, correct, bins=2)
    assert [point["n"] for point in points] == [2, 2]
    assert [point["confidence"] for point in points] == pytest.approx([0.55, 0.85])
    assert [point["accuracy"] for point in points] == pytest.approx([0.5, 1.0])


def test_bins_hold_equal_mass_and_equal_confidences_share_one() -> None:
    random = np.random.default_rng(0)
    sizes = [point["n"] for point in reliability(random.random(450), random.random(450) < 0.5)]
    assert len(sizes) == 15
    assert (min(sizes), max(sizes)) == (30, 30)
    assert reliability(np.full(40, 0.7), [True] * 10 + [False] * 30) == [
        {"confidence": pytest.approx(0.7), "accuracy": 0.25, "n": 40}
    ]
    assert expected_calibration_error(np.full(40, 0.7), [True] * 10 + [False] * 30) == pytest.approx(0.45)


def test_a_calibrated_model_is_near_its_noise_floor_and_an_overconfident_one_above() -> None:
    random = np.random.default_rng(0)
    confidence = random.uniform(0.3, 1, size=450)
    floor = ece_noise_floor(confidence)
    calibrated = [expected_calibration_error(confidence, random.random(450) < confidence) for _ in range(200)]
    assert np.mean(calibrated) == pytest.approx(floor, rel=0.05)
    overconfident = expected_calibration_error(confidence, random.random(450) < confidence - 0.2)
    assert overconfident > 2 * floor
    # More texts, less noise.
    assert ece_noise_floor(random.uniform(0.3, 1, size=4500)) < floor / 2


def test_noise_floor_is_repeatable_and_chunked_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    confidence = np.random.default_rng(0).uniform(0.3, 1, size=100)
    floor = ece_noise_floor(confidence)
    assert ece_noise_floor(confidence[::-1]) == floor
    monkeypatch.setattr("reward_model.stats.calibration._DRAWS_AT_ONCE", 700)
    assert ece_noise_floor(confidence) == pytest.approx(floor)
    assert ece_noise_floor(np.ones(30)) == 0
    assert math.isnan(ece_noise_floor([]))
    assert math.isnan(expected_calibration_error([], []))


def test_confidence_outside_the_unit_interval_is_refused() -> None:
    for bad in ([1.2], [-0.1], [float("nan")]):
        with pytest.raises(ValueError):
            expected_calibration_error(bad, [True])
    with pytest.raises(ValueError):
        expected_calibration_error([0.5, 0.5], [True])


def test_temperatures_recover_a_known_scaling() -> None:
    random = np.random.default_rng(0)
    logits = random.normal(scale=2, size=(6000, 3, 5))
    probabilities = apply_temperatures(logits, [1, 1, 1])
    labels = (probabilities.cumsum(axis=2) < random.random((6000, 3, 1))).sum(axis=2)
    true = np.array([0.5, 1.0, 3.0])
    labels[::7] = -100
    found = fit_temperatures(logits * true[:, None], labels)
    assert found == pytest.approx(true, rel=0.08)
    # The minimum in fact: a step either way is worse.
    rows = np.flatnonzero(labels[:, 2] != -100)

    def loss(temperature: float) -> float:
        chosen = apply_temperatures(logits * true[:, None], [1, 1, temperature])[rows, 2, labels[rows, 2]]
        return -float(np.log(chosen).mean())

    assert loss(found[2]) < min(loss(found[2] * 1.02), loss(found[2] / 1.02))


def test_temperatures_without_enough_labels_or_at_the_bounds() -> None:
    labels = np.full((MIN_LABELS, 3), -100)
    labels[:-1, 0] = 1
    labels[:, 1] = 2
    labels[:, 2] = 3
    logits = np.zeros((MIN_LABELS, 3, 5))
    logits[:, 0, 4] = 3
    logits[:, 1, 2] = 3
    logits[:, 2, 4] = 3
    found = fit_temperatures(logits, labels)
    assert found[0] == 1
    assert 0.05 <= found[1] < 0.3
    assert 10 < found[2] <= 20


def test_apply_temperatures_is_a_stable_softmax() -> None:
    logits = np.array([[[1000.0, 1001.0, 1000.0], [0.0, 0.0, -5000.0]]], dtype=np.float32)
    found = apply_temperatures(logits, [0.5, 2.0])
    assert found.dtype == np.float64
    assert found.sum(axis=2) == pytest.approx(np.ones((1, 2)))
    assert found[0, 0] == pytest.approx(np.array([1, math.e**2, 1]) / (2 + math.e**2))
    assert found[0, 1] == pytest.approx([0.5, 0.5, 0])
    for bad in ([1.0], [0.0, 1.0], [float("nan"), 1.0]):
        with pytest.raises(ValueError):
            apply_temperatures(logits, bad)
    with pytest.raises(ValueError):
        apply_temperatures(logits * np.nan, [1.0, 1.0])


# --- bootstrap ---------------------------------------------------------------------------------------------


def test_groups_are_drawn_whole() -> None:
    groups = ["a", "b", "a", "c", "b", "a"]

    def check(rows: np.ndarray) -> float:
        counts = np.bincount(rows, minlength=6)
        assert counts[0] == counts[2] == counts[5]
        assert counts[1] == counts[4]
        assert counts[0] + counts[1] + counts[3] == 3
        return float(counts[3])

    assert grouped_bootstrap(check, groups, n_resamples=300) == {"low": 0, "high": 3}


def test_interval_has_the_width_and_the_coverage_it_claims() -> None:
    random = np.random.default_rng(0)
    covered, widths = 0, []
    for _ in range(100):
        values = random.normal(size=100)
        found = grouped_bootstrap(lambda rows, v=values: float(v[rows].mean()), range(100), n_resamples=300)
        assert found["low"] < values.mean() < found["high"]
        covered += found["low"] < 0 < found["high"]
        widths.append(found["high"] - found["low"])
    assert 88 <= covered <= 99
    assert np.mean(widths) == pytest.approx(2 * 1.96 / 10, rel=0.1)


def test_ignoring_groups_would_make_intervals_too_narrow() -> None:
    values = np.repeat(np.random.default_rng(0).normal(size=50), 4)

    def mean(rows: np.ndarray) -> float:
        return float(values[rows].mean())

    whole, single = grouped_bootstrap(mean, np.repeat(range(50), 4)), grouped_bootstrap(mean, range(200))
    assert whole["high"] - whole["low"] > 1.7 * (single["high"] - single["low"])


def test_undefined_figures_are_dropped_and_never_nan() -> None:
    def statistic(rows: np.ndarray) -> dict[str, float | None]:
        return {"never": math.nan, "none": None, "some": float(rows.min()) if 0 in rows else math.nan}

    found = grouped_bootstrap(statistic, range(5), n_resamples=200)
    assert found == {
        "never": {"low": None, "high": None},
        "none": {"low": None, "high": None},
        "some": {"low": 0.0, "high": 0.0},
    }
    # One group says nothing of the spread.
    assert grouped_bootstrap(lambda rows: 1.0, ["a", "a"]) == {"low": None, "high": None}
    with pytest.raises(ValueError):
        grouped_bootstrap(lambda rows: 1.0, [])
    with pytest.raises(ValueError):
        grouped_bootstrap(lambda rows: 1.0, [1, 2], confidence=95)


def test_seed_repeats_and_confidence_widens() -> None:
    values = np.random.default_rng(0).normal(size=60)

    def mean(rows: np.ndarray) -> float:
        return float(values[rows].mean())

    assert grouped_bootstrap(mean, range(60), seed=3) == grouped_bootstrap(mean, range(60), seed=3)
    assert grouped_bootstrap(mean, range(60), seed=3) != grouped_bootstrap(mean, range(60), seed=4)
    wide = grouped_bootstrap(mean, range(60), seed=3, confidence=0.99)
    narrow = grouped_bootstrap(mean, range(60), seed=3, confidence=0.5)
    assert wide["low"] < narrow["low"] < narrow["high"] < wide["high"]


def test_paired_difference_cancels_what_is_hard_for_both() -> None:
    random = np.random.default_rng(0)
    hard = random.normal(size=200)
    first, second = hard + 0.1 + random.normal(scale=0.05, size=200), hard

    def one(rows: np.ndarray) -> dict[str, float]:
        return {"mean": float(first[rows].mean()), "only_first": 1.0}

    def other(rows: np.ndarray) -> dict[str, float]:
        return {"mean": float(second[rows].mean())}

    found = paired_difference(one, other, range(200))
    assert set(found) == {"mean"}
    assert found["mean"]["difference"] == pytest.approx(float((first - second).mean()))
    assert 0.08 < found["mean"]["low"] < found["mean"]["difference"] < found["mean"]["high"] < 0.12
    same = paired_difference(lambda rows: float(first[rows].mean()), lambda rows: math.nan, range(200))
    assert same == {"difference": None, "low": None, "high": None}


def test_figures_agree_with_evaluate_and_bootstrap_in_time() -> None:
    labels, probabilities, pairs = graded(450)
    quick = metrics.figures(labels, probabilities, pairs, NAMES)
    found = metrics.evaluate_predictions(labels, probabilities, pairs, NAMES)
    # On any resample: what evaluating the resampled texts, pairs moved along, would give.
    drawn = np.random.default_rng(0).integers(len(pairs), size=len(pairs))
    rows = pairs[drawn].ravel()
    again = metrics.evaluate_predictions(labels[rows], probabilities[rows], pairs, NAMES)
    for source, figures in ((found, quick(np.arange(450))), (again, quick(rows))):
        for name in NAMES:
            for figure in ("accuracy", "macro_f1", "qwk", "mae", "within_1"):
                assert figures[f"per_dim.{name}.{figure}"] == pytest.approx(source["per_dim"][name][figure])
            assert figures[f"pairs.per_dim.{name}"] == pytest.approx(source["pairs"]["per_dim"][name])
        assert figures["overall_accuracy"] == pytest.approx(source["overall_accuracy"])
        assert figures["exact_match"] == pytest.approx(source["exact_match"])
        assert figures["pairs.ranking_accuracy"] == pytest.approx(source["pairs"]["ranking_accuracy"])
    started = time.perf_counter()
    intervals = grouped_bootstrap(quick, np.arange(450) // 2, n_resamples=1000)
    assert time.perf_counter() - started < 5
    for path, value in quick(np.arange(450)).items():
        assert intervals[path]["low"] < value < intervals[path]["high"]
    json.dumps(intervals, allow_nan=False)


# --- baselines ---------------------------------------------------------------------------------------------

GOOD, BAD = "毛利率提升主要因为产品结构优化，费用率下降。", "总体来看情况很好，未来可期。"
TRAIN = [f"{GOOD}{i}" for i in range(12)] + [f"{BAD}{i}" for i in range(12)]


@pytest.mark.parametrize("name", baselines.BASELINES)
def test_baselines_give_probabilities_whatever_the_labels(name: str) -> None:
    # Three levels with gaps, one level only, and no label at all.
    labels = np.full((24, 3), -100)
    labels[:12, 0], labels[12:, 0], labels[0, 0], labels[5, 0] = 3, 1, 4, -100
    labels[3:9, 1] = 2
    found = baselines.fit_predict(name, TRAIN, labels, [GOOD, BAD, "完全不同"], 5, seed=0)
    assert found.shape == (3, 3, 5)
    assert found.sum(axis=2) == pytest.approx(np.ones((3, 3)))
    assert np.all(found[:, 0, [0, 2]] == 0)
    assert np.all(found[:, 0, [1, 3, 4]] > 0)
    assert found[:, 1].tolist() == [[0, 0, 1, 0, 0]] * 3
    assert found[:, 2] == pytest.approx(np.full((3, 5), 0.2))
    assert np.array_equal(
        found, baselines.fit_predict(name, TRAIN, labels, [GOOD, BAD, "完全不同"], 5, seed=0)
    )
    assert set(baselines.TITLES[name]) == {"zh", "en"}


def test_majority_is_the_class_frequencies() -> None:
    labels = [[0], [4], [4], [-100]]
    found = baselines.fit_predict("majority", ["甲", "乙", "丙", "丁"], labels, ["戊", "己"], 5, seed=0)
    assert found[:, 0] == pytest.approx(np.array([[1 / 3, 0, 0, 0, 2 / 3]] * 2))


def test_length_sees_length_and_nothing_else() -> None:
    texts = ["字" * n for n in range(10, 50)]
    labels = [[0] if len(text) < 30 else [4] for text in texts]
    found = baselines.fit_predict("length", texts, labels, ["字" * 12, "别" * 12, "字 \n" * 12, "字" * 48], 5)
    assert found[:, 0].argmax(axis=1).tolist() == [0, 0, 0, 4]
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])


def test_tfidf_in_the_span_of_its_rows_is_the_ordinary_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    words = list("营收毛利费用率上升下降同比环比现金流资产负债")
    texts = ["".join(random.choice(words, size=40)) for _ in range(60)]
    labels = random.integers(5, size=(60, 2))
    labels[:10, 1] = -100
    quick = baselines.fit_predict("tfidf_lr", texts[:50], labels[:50], texts[50:], 5)
    monkeypatch.setattr(baselines, "_MAX_ROTATED", 0)
    assert baselines.fit_predict("tfidf_lr", texts[:50], labels[:50], texts[50:], 5) == pytest.approx(
        quick, abs=2e-3
    )


def test_tfidf_learns_nothing_from_test_texts() -> None:
    labels = [[4]] * 12 + [[0]] * 12
    alone = baselines.fit_predict("tfidf_lr", TRAIN, labels, [GOOD], 5)
    among = baselines.fit_predict("tfidf_lr", TRAIN, labels, [GOOD, "营收" * 500, BAD], 5)
    assert alone[0] == pytest.approx(among[0], abs=1e-12)
    assert among[0, 0, 4] > 0.9
    assert among[2, 0, 0] > 0.9


@pytest.mark.parametrize("name", baselines.BASELINES)
def test_baselines_on_blank_few_or_no_texts(name: str) -> None:
    blank = baselines.fit_predict(name, [" ", "\n"], [[0], [4]], ["", "甲"], 5)
    assert blank.sum(axis=2) == pytest.approx(np.ones((2, 1)))
    assert baselines.fit_predict(name, ["甲", "乙丙"], [[0], [4]], [], 5).shape == (0, 1, 5)
    assert baselines.fit_predict(name, [], np.empty((0, 2), int), ["甲"], 5) == pytest.approx(
        np.full((1, 2, 5), 0.2)
    )


def test_baselines_refuse_what_they_cannot_use() -> None:
    with pytest.raises(ValueError, match="majority, length, tfidf_lr"):
        baselines.fit_predict("bert", ["甲"], [[0]], ["乙"], 5)
    with pytest.raises(ValueError, match="levels"):
        baselines.fit_predict("majority", ["甲"], [[5]], ["乙"], 5)
    with pytest.raises(ValueError, match="train_labels"):
        baselines.fit_predict("majority", ["甲", "乙"], [[0]], ["乙"], 5)


def test_importing_stats_loads_neither_torch_nor_scikit_learn() -> None:
    code = (
        "import sys\n"
        "from reward_model.stats import baselines, bootstrap, calibration, metrics\n"
        "print([name for name in ('torch', 'sklearn', 'scipy', 'transformers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
