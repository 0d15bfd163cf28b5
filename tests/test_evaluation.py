"""Evaluation: the figures' contract, honest intervals and baselines, and ``finrm evaluate`` as a command."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scorers import Ran, few_resamples, finrm, write_model
from tiny_bert import pair_rows, report_rows, write_rows

from reward_model import evaluation as evaluation_module
from reward_model.evaluation import (
    Evaluation,
    System,
    baseline_systems,
    cross_validated_baselines,
    evaluate_model,
    join_folds,
)
from reward_model.rubric import load_rubric
from reward_model.samples import IGNORED, GradedText, leave_one_out
from reward_model.stats import baselines

RUBRIC = load_rubric()
DIMENSIONS = ["depth", "professionalism", "accuracy"]
FIGURES = {"accuracy", "macro_f1", "qwk", "mae", "within_1", "ece", "ece_noise_floor", "confusion"}
HOSTILE = "<script>document.title='ran'</script>&<img src=x onerror=alert(1)>"


def graded_pairs(n: int, *, seed: int = 0) -> list[GradedText]:
    """``n`` pairs, each its own group, all levels in use, chosen texts better on the whole."""
    chance = random.Random(seed)
    texts = []
    for index in range(n):
        slices = {
            "industry": chance.choice(("制造业", "服务业")),
            "writer": f"w{index % 3}",
            "severity": ("重度", "轻度", "中度")[index % 3],
            "degradation": ("空泛套话", "浅化深度")[index % 2],
        }
        for side, low, high in (("chosen", 2, 4), ("rejected", 0, 2)):
            labels = [chance.randint(low, high) for _ in DIMENSIONS]
            labels[0] = high if side == "chosen" else low
            name = f"p{index}"
            text = f"{name}{side}" + "".join(chance.choices("净利润增长下降", k=20))
            texts.append(
                GradedText(f"{name}.{side}", text, tuple(labels), name, pair=name, side=side, slices=slices)
            )
    return texts


def one_hot(labels: np.ndarray, num_classes: int = 5) -> np.ndarray:
    return np.eye(num_classes)[np.where(labels == IGNORED, 0, labels)]


def labels_of(texts: list[GradedText]) -> np.ndarray:
    return np.array([text.labels for text in texts])


def model_of(probabilities: np.ndarray) -> System:
    return System("model", {"zh": "模型", "en": "model"}, probabilities)


def noisy(texts: list[GradedText], seed: int = 1) -> np.ndarray:
    """Probabilities that often, but not always, favour the right level."""
    draw = np.random.default_rng(seed)
    values = one_hot(labels_of(texts)) * 0.5 + draw.random((len(texts), 3, 5))
    normalised: np.ndarray = values / values.sum(-1, keepdims=True)
    return normalised


# --- figures of made-up predictions -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def texts() -> list[GradedText]:
    return graded_pairs(40)


@pytest.fixture(scope="module")
def result(texts: list[GradedText]) -> dict[str, Any]:
    evaluation = Evaluation(texts, RUBRIC, n_resamples=200)
    return evaluation.result(model_of(noisy(texts)), [System("other", {"zh": "他"}, noisy(texts, 2))])


def test_a_perfect_model_gets_full_marks_everywhere(texts: list[GradedText]) -> None:
    evaluation = Evaluation(texts, RUBRIC, n_resamples=50)
    found = evaluation.result(model_of(one_hot(labels_of(texts))), [])
    assert found["overall_accuracy"] == found["exact_match"] == found["pairs"]["ranking_accuracy"] == 1
    assert set(found["pairs"]["per_dim"].values()) == {1.0}
    for row in found["per_dim"].values():
        assert row["accuracy"] == row["macro_f1"] == row["qwk"] == row["within_1"] == 1
        assert row["mae"] == row["ece"] == 0
        assert np.trace(row["confusion"]) == np.sum(row["confusion"]) == 80
        assert row["intervals"]["qwk"] == {"low": 1.0, "high": 1.0}
    assert all(entry["label"] == entry["predicted"] for entry in found["worst"])


def test_predictions_of_other_texts_agree_no_better_than_chance() -> None:
    texts = graded_pairs(300)
    shuffled = one_hot(labels_of(texts))[np.random.default_rng(0).permutation(600)]
    found = Evaluation(texts, RUBRIC, n_resamples=100).figures(shuffled)
    for row in found["per_dim"].values():
        assert abs(row["qwk"]) < 0.1
        assert row["intervals"]["qwk"]["low"] < 0 < row["intervals"]["qwk"]["high"]
    assert found["pairs"]["ranking_accuracy"] == pytest.approx(0.5, abs=0.08)


def test_the_result_has_the_documented_keys_and_no_nan(result: dict[str, Any]) -> None:
    assert {"n", "overall_accuracy", "exact_match", "per_dim", "pairs", "slices", "baselines"} <= set(result)
    assert list(result["per_dim"]) == DIMENSIONS
    for row in result["per_dim"].values():
        assert set(row) == FIGURES | {"intervals", "reliability"}
        assert np.shape(row["confusion"]) == (5, 5)
    assert {"n", "ranking_accuracy", "per_dim"} <= set(result["pairs"])
    assert result["n"] == 80
    assert result["pairs"]["n"] == 40
    json.dumps(result, allow_nan=False)


def test_every_interval_holds_its_figure(result: dict[str, Any]) -> None:
    def check(row: dict[str, Any]) -> int:
        for name, bounds in row["intervals"].items():
            assert bounds["low"] <= row[name] <= bounds["high"], name
            assert bounds["low"] < bounds["high"]
        return len(row["intervals"])

    rows = [result, result["baselines"]["other"]]
    found = sum(check(row) + sum(map(check, row["per_dim"].values())) for row in rows)
    assert found == 2 * (2 + 3 * 5)
    difference = result["baselines"]["other"]["model_minus_baseline"]["depth"]
    assert difference["low"] <= difference["difference"] <= difference["high"]
    own, other = (row["per_dim"]["depth"]["qwk"] for row in rows)
    assert difference["difference"] == pytest.approx(own - other)


def test_intervals_are_wide_where_texts_of_a_group_are_right_or_wrong_together(
    texts: list[GradedText],
) -> None:
    labels = labels_of(texts)
    wrong = np.arange(80)[:, None] // 8 % 2 == 0
    probabilities = one_hot(np.where(wrong, 4 - labels + (labels == 2), labels))
    widths = []
    for size in (1, 8):
        grouped = [replace(text, group=f"g{index // size}") for index, text in enumerate(texts)]
        found = Evaluation(grouped, RUBRIC, n_resamples=300).figures(probabilities)["intervals"]
        widths.append(found["overall_accuracy"]["high"] - found["overall_accuracy"]["low"])
    assert widths[1] > 2 * widths[0]


def test_the_same_seed_gives_the_same_result(texts: list[GradedText]) -> None:
    def figures(seed: int) -> dict[str, Any]:
        return Evaluation(texts, RUBRIC, n_resamples=50, seed=seed).figures(noisy(texts))

    assert figures(3) == figures(3)
    assert figures(3) != figures(4)


def test_regimes_hold_each_regimes_figures_beside_the_best_baselines(
    texts: list[GradedText], monkeypatch: pytest.MonkeyPatch
) -> None:
    facts, off = (
        System(name, {"zh": "模"}, noisy(texts, draw)) for draw, name in enumerate(("facts", "off"))
    )
    # A baseline that knows depth, one that knows the rest: the best one differs by dimension.
    halves = [noisy(texts, 5), noisy(texts, 6)]
    halves[0][:, 0], halves[1][:, 1:] = one_hot(labels_of(texts))[:, 0], one_hot(labels_of(texts))[:, 1:]
    others = [System(name, {"zh": name}, values) for name, values in zip("ab", halves, strict=True)]
    evaluation = Evaluation(texts, RUBRIC, n_resamples=50)
    main = evaluation.result(facts, others)
    before, measured = copy.deepcopy(main), []
    figures = Evaluation.figures
    monkeypatch.setattr(
        Evaluation, "figures", lambda self, values: measured.append(values) or figures(self, values)
    )

    regimes = evaluation.regimes([facts, off], others, main)

    assert len(measured) == 1, "the main regime's figures are those of the result"
    assert measured[0] is off.probabilities
    assert main == before
    assert list(regimes) == ["facts", "off"]
    own = {"facts": figures(evaluation, facts.probabilities), "off": figures(evaluation, off.probabilities)}
    for regime, found in regimes.items():
        gaps = {name: row.pop("minus_best_baseline") for name, row in found["per_dim"].items()}
        assert found == {key: own[regime][key] for key in found}
        assert [gap["baseline"] for gap in gaps.values()] == ["a", "b", "b"]
        for name, gap in gaps.items():
            assert gap["difference"] == pytest.approx(found["per_dim"][name]["qwk"] - 1)
            assert gap["low"] < gap["difference"] < gap["high"] < 0
    alone = evaluation.regimes([facts, off], [], evaluation.result(facts, []))
    assert alone["off"]["per_dim"] == own["off"]["per_dim"]


def test_slices_count_each_text_once_in_the_rubrics_order(
    result: dict[str, Any], texts: list[GradedText]
) -> None:
    assert list(result["slices"]) == ["industry", "degradation", "severity", "writer"]
    for by, found in result["slices"].items():
        assert sum(row["n"] for row in found.values()) == 80, by
        assert sum(row["pairs"]["n"] for row in found.values()) == 40, by
    assert list(result["slices"]["severity"]) == ["轻度", "中度", "重度"]
    assert list(result["slices"]["degradation"]) == ["浅化深度", "空泛套话"]
    rows = [index for index, text in enumerate(texts) if text.slices["writer"] == "w1"]
    right = noisy(texts)[rows].argmax(-1) == labels_of(texts)[rows]
    assert result["slices"]["writer"]["w1"]["overall_accuracy"] == pytest.approx(right.mean())


def test_worst_errors_come_first_and_name_text_dimension_and_miss(
    result: dict[str, Any], texts: list[GradedText]
) -> None:
    values, labels = noisy(texts), labels_of(texts)
    missed = np.abs(values @ np.arange(5) - labels)
    assert len(result["worst"]) == 10
    found = [abs(entry["expected"] - entry["label"]) for entry in result["worst"]]
    assert found == pytest.approx(np.sort(missed, axis=None)[::-1][:10])
    for entry in result["worst"]:
        text, d = texts[entry["row"]], DIMENSIONS.index(entry["dim"])
        assert (entry["id"], entry["label"]) == (text.id, text.labels[d])
        assert entry["confidence"] == values[entry["row"], d].max()


def test_texts_without_some_labels_or_slices_count_where_they_have_them(texts: list[GradedText]) -> None:
    partial = [replace(texts[0], labels=(IGNORED, 4, IGNORED), slices={})]
    partial += [replace(text, labels=(*text.labels[:2], IGNORED)) for text in texts[1:]]
    found = Evaluation(partial, RUBRIC, n_resamples=20).result(model_of(noisy(texts)), [])
    json.dumps(found, allow_nan=False)
    assert found["per_dim"]["accuracy"]["qwk"] is None
    assert found["per_dim"]["accuracy"]["confusion"] is None
    assert found["per_dim"]["accuracy"]["reliability"] == []
    assert found["per_dim"]["accuracy"]["intervals"]["qwk"] == {"low": None, "high": None}
    assert np.sum(found["per_dim"]["depth"]["confusion"]) == 79
    assert found["exact_match"] is None
    assert {entry["dim"] for entry in found["worst"]} == {"depth", "professionalism"}
    assert sum(row["n"] for row in found["slices"]["writer"].values()) == 79


def test_single_reports_have_no_pairs_to_rank(texts: list[GradedText]) -> None:
    single = [replace(text, pair=None, side=None) for text in texts]
    found = Evaluation(single, RUBRIC, n_resamples=20).figures(noisy(texts))
    assert found["pairs"]["n"] == 0
    assert found["pairs"]["ranking_accuracy"] is None
    assert found["overall_accuracy"] > 0


# --- baselines ----------------------------------------------------------------------------------------------


def test_baselines_learn_from_the_training_texts_alone(texts: list[GradedText]) -> None:
    rest, held = texts[:60], texts[60:]
    found = baseline_systems(rest, held, RUBRIC)
    turned = [replace(text, labels=tuple(4 - level for level in text.labels)) for text in held]
    for one, other in zip(found, baseline_systems(rest, turned, RUBRIC), strict=True):
        assert one.probabilities.shape == (20, 3, 5)
        assert np.array_equal(one.probabilities, other.probabilities), one.name
    assert [system.name for system in found] == list(baselines.BASELINES)


def test_cross_validated_baselines_never_learn_from_a_texts_own_group(
    texts: list[GradedText], monkeypatch: pytest.MonkeyPatch
) -> None:
    group_of = {text.text: text.group for text in texts}
    predicted: list[str] = []

    def recorded(name: str, train: Any, labels: Any, test: Any, num_classes: int, seed: int) -> np.ndarray:
        assert not {group_of[text] for text in train} & {group_of[text] for text in test}
        assert [text.text for text in texts if text.text in train] == list(train)
        predicted.extend(test)
        return np.full((len(test), 3, num_classes), 1 / num_classes)

    monkeypatch.setattr(baselines, "fit_predict", recorded)
    found = cross_validated_baselines(texts, RUBRIC)
    assert sorted(predicted) == sorted([text.text for text in texts] * len(baselines.BASELINES))
    assert all(system.probabilities.shape == (80, 3, 5) for system in found)


def test_joined_folds_put_each_prediction_in_its_row() -> None:
    def part(rows: list[int]) -> tuple[np.ndarray, list[System]]:
        values = np.array(rows, dtype=float)[:, None, None] * np.ones((1, 3, 5))
        return np.array(rows), [System("a", {}, values), System("b", {}, -values)]

    first, second = join_folds([part([2, 0]), part([1])], 3)
    assert (first.name, second.name) == ("a", "b")
    assert first.probabilities[:, 0, 0].tolist() == [0, 1, 2]
    assert second.probabilities[:, 2, 4].tolist() == [0, -1, -2]


def test_a_fold_that_leaves_a_writer_out_holds_no_group_of_theirs(texts: list[GradedText]) -> None:
    shared = [replace(text, group="p0") if text.group == "p1" else text for text in texts]
    for _, rest, held in leave_one_out(shared, "writer"):
        assert not {text.group for text in rest} & {text.group for text in held}


# --- the command --------------------------------------------------------------------------------------------


@dataclass
class Case:
    """A tiny model, pairs it was trained on, and pairs it never saw."""

    model: Path
    old: Path
    new: Path
    old_rows: list[dict[str, Any]]
    new_rows: list[dict[str, Any]]


Finrm = Callable[..., Ran]


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder = tmp_path_factory.mktemp("evaluation")
    rows = pair_rows(20)
    for index, row in enumerate(rows):
        row["prompt"] = f"请分析公司{index}"
        row["metadata"] |= {"model": f"w{index % 2}", "defect_metadata": {"severity": "中度"}}
    rows[-1]["chosen"] += HOSTILE
    old, new = rows[:10], rows[10:]
    trained_on = [row[side] for row in old for side in ("chosen", "rejected")]
    model = write_model(folder / "model", trained_on=trained_on, max_length=128)
    files = (write_rows(folder / "old.jsonl", old), write_rows(folder / "new.jsonl", new))
    return Case(model, *files, old, new)


@pytest.fixture(autouse=True)
def quick_bootstrap(monkeypatch: pytest.MonkeyPatch) -> None:
    few_resamples(monkeypatch)


@pytest.fixture
def evaluate(capfd: pytest.CaptureFixture[str]) -> Finrm:
    def run(*arguments: str | Path) -> Ran:
        return finrm(capfd, "evaluate", *arguments)

    return run


def result_of(ran: Ran) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(ran.out)
    return found


def test_evaluate_prints_tables_and_writes_json_and_a_page(
    evaluate: Finrm, case: Case, tmp_path: Path
) -> None:
    written, page = tmp_path / "e.json", tmp_path / "e.html"
    ran = evaluate(case.model, case.new, "--json", written, "--html", page)
    assert (ran.code, ran.err) == (0, "")
    assert "TF-IDF" in ran.out
    assert "NaN" not in written.read_text()
    found = json.loads(written.read_text(encoding="utf-8"))
    assert (found["n"], found["pairs"]["n"], found["bad_lines"], found["warnings"]) == (20, 10, 0, [])
    assert set(found["baselines"]) == set(baselines.BASELINES)
    assert (found["model"], found["data"]) == (str(case.model), str(case.new))
    assert (found["evidence"], found["coverage"], found["seed"]) == ("off", 1.0, 0)
    assert found["baselines_fitted_on"] in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(("lang", "word"), [("zh", "误差最大的文本"), ("en", "Worst errors")])
def test_the_page_holds_the_worst_errors_texts_as_text(
    evaluate: Finrm, case: Case, tmp_path: Path, lang: str, word: str
) -> None:
    page = tmp_path / "e.html"
    data = write_rows(tmp_path / "hostile.jsonl", case.new_rows[-1:])
    assert evaluate(case.model, data, "--html", page, "--lang", lang).code == 0
    content = page.read_text(encoding="utf-8")
    assert word in content
    assert "<script" not in content
    assert "<img" not in content
    assert "&lt;script&gt;document.title=&#39;ran&#39;&lt;/script&gt;&amp;&lt;img" in content


def test_json_on_standard_output_is_all_that_is_printed(evaluate: Finrm, case: Case) -> None:
    ran = evaluate(case.model, case.new, "--json", "-")
    assert (ran.code, ran.err) == (0, "")
    assert result_of(ran)["n"] == 20


def test_texts_of_the_training_are_warned_of_and_can_be_left_out(
    evaluate: Finrm, case: Case, tmp_path: Path
) -> None:
    both = write_rows(tmp_path / "both.jsonl", case.old_rows[:3] + case.new_rows)
    found = result_of(evaluate(case.model, both, "--json", "-"))
    assert found["n"] == 26
    assert len(found["warnings"]) == 1
    assert "6 of 26 texts were among the model's training" in found["warnings"][0]
    found = result_of(evaluate(case.model, both, "--json", "-", "--unseen"))
    assert (found["n"], found["warnings"]) == (20, [])
    ran = evaluate(case.model, case.old, "--unseen")
    assert ran.code == 2
    assert "the model was trained on every group in it" in ran.err


def test_unseen_leaves_out_the_other_texts_of_a_company_that_was_seen(
    evaluate: Finrm, case: Case, tmp_path: Path
) -> None:
    sibling = copy.deepcopy(case.old_rows[0])
    sibling["rejected"] += "另一篇"
    sibling["chosen"] += "另一篇"
    rows = [case.old_rows[0], sibling, *case.new_rows]
    found = result_of(evaluate(case.model, write_rows(tmp_path / "d.jsonl", rows), "--json", "-", "--unseen"))
    assert found["n"] == 20


def test_baselines_say_what_they_learned_from(evaluate: Finrm, case: Case, tmp_path: Path) -> None:
    itself = result_of(evaluate(case.model, case.new, "--json", "-"))
    assert "the evaluated texts themselves, cross-validated in 5 folds" in itself["baselines_fitted_on"]
    both = write_rows(tmp_path / "both.jsonl", case.old_rows + case.new_rows)
    named = result_of(evaluate(case.model, case.new, "--json", "-", "--train-data", both))
    assert "20 texts that the model was trained on" in named["baselines_fitted_on"]
    few = write_rows(tmp_path / "few.jsonl", case.new_rows[:3])
    none = result_of(evaluate(case.model, few, "--json", "-"))
    assert none["baselines"] == {}
    assert "--train-data" in none["baselines_fitted_on"]


def test_baselines_learn_from_no_text_that_is_evaluated(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = write_rows(tmp_path / "both.jsonl", case.old_rows + case.new_rows)
    evaluated = write_rows(tmp_path / "evaluated.jsonl", case.old_rows[:2] + case.new_rows)
    real, learned = baselines.fit_predict, []

    def recorded(name: str, train: Any, *rest: Any) -> np.ndarray:
        learned.append(set(train))
        return real(name, train, *rest)

    monkeypatch.setattr(baselines, "fit_predict", recorded)
    evaluate_model(case.model, evaluated, train_data=both)
    expected = {row[side] for row in case.old_rows[2:] for side in ("chosen", "rejected")}
    assert learned == [expected] * len(baselines.BASELINES)


def test_training_data_that_the_model_never_saw_is_refused(evaluate: Finrm, case: Case) -> None:
    ran = evaluate(case.model, case.new, "--train-data", case.new)
    assert ran.code == 2
    assert ran.err == (f"{case.new}: the model was trained on no text in it; name the file it learned from\n")


def test_single_graded_reports_are_evaluated_without_pairs(
    evaluate: Finrm, case: Case, tmp_path: Path
) -> None:
    data = write_rows(tmp_path / "reports.jsonl", report_rows(8))
    found = result_of(evaluate(case.model, data, "--json", "-"))
    assert found["n"] == 8
    assert found["pairs"] | {"intervals": None} == {
        "n": 0,
        "ranking_accuracy": None,
        "per_dim": dict.fromkeys(DIMENSIONS),
        "intervals": None,
    }
    assert found["slices"] == {}
    assert evaluate(case.model, data).code == 0


def test_lines_at_fault_are_listed_counted_and_left_out(evaluate: Finrm, case: Case, tmp_path: Path) -> None:
    data = write_rows(tmp_path / "data.jsonl", case.new_rows)
    with data.open("a", encoding="utf-8") as stream:
        stream.write(
            '{"text": "净利润", "scores": {"depth": 9, "professionalism": 1, "accuracy": 1}}\n{oops\n'
        )
    ran = evaluate(case.model, data, "--json", "-")
    assert ran.code == 2
    assert f"{data}:11: scores.depth: is 9, outside 0-4 of rubric financial" in ran.err
    assert f"{data}:12: not valid JSON" in ran.err
    found = result_of(ran)
    assert (found["n"], found["bad_lines"]) == (20, 2)
    assert "2 lines of the data were at fault and left out" in found["warnings"][0]
    ran = evaluate(case.model, data, "--json", "-", "--skip-bad")
    assert ran.code == 0
    assert f"{data}:12: not valid JSON" in ran.err


def test_data_of_another_rubric_is_refused(evaluate: Finrm, case: Case, tmp_path: Path) -> None:
    rows = [{"text": f"净利润{index}", "scores": dict.fromkeys(DIMENSIONS, 5 + index)} for index in range(4)]
    data = write_rows(tmp_path / "ten.jsonl", rows)
    ran = evaluate(case.model, data, "--skip-bad")
    assert (ran.code, ran.out) == (2, "")
    assert "outside 0-4 of rubric financial; correct it, or name the rubric" in ran.err
    assert ran.err.splitlines()[-1].startswith(f"{data}: holds no graded text that fits rubric financial")


def test_a_model_of_another_rubric_evaluates_its_own_levels(
    evaluate: Finrm, case: Case, tmp_path: Path
) -> None:
    ten = write_model(tmp_path / "ten", rubric="financial_ten_level")
    data = write_rows(tmp_path / "ten.jsonl", report_rows(6, levels=10))
    found = result_of(evaluate(ten, data, "--json", "-"))
    assert np.shape(found["per_dim"]["depth"]["confusion"]) == (10, 10)
    assert found["rubric"] == "financial_ten_level"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"text": "净利润"}, "scores: is missing"),
        ({"text": "净利润", "scores": dict.fromkeys(DIMENSIONS)}, "holds no scores; judge it first"),
        ({"txt": "净利润"}, "is neither a pair"),
    ],
)
def test_data_without_scores_is_refused(
    evaluate: Finrm, case: Case, tmp_path: Path, row: dict[str, Any], message: str
) -> None:
    ran = evaluate(case.model, write_rows(tmp_path / "data.jsonl", [row]))
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err


def test_texts_longer_than_the_model_reads_are_warned_of(evaluate: Finrm, case: Case, tmp_path: Path) -> None:
    row = {"text": "净利润" * 200, "scores": dict.fromkeys(DIMENSIONS, 2)}
    found = result_of(evaluate(case.model, write_rows(tmp_path / "d.jsonl", [row]), "--json", "-"))
    assert "1 texts were longer than max_length and read in part" in found["warnings"][0]
    assert found["coverage"] < 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere", "{new}"), "nowhere: no such model directory"),
        (("{model}", "none.jsonl"), "none.jsonl: no such file"),
        (("{model}", "{new}", "--seed", "-1"), "--seed"),
        (("{model}", "{new}", "--json", "{new}"), "is the same file as"),
        (("{model}", "{new}", "--json", "x", "--html", "x"), "is the same file as"),
        (("{model}", "{new}", "--html", "."), "is a directory"),
        (("{model}", "{new}", "--lang", "fr"), "--lang"),
        (("{model}",), "data"),
    ],
)
def test_unusable_arguments_of_evaluate_are_one_line(
    evaluate: Finrm,
    case: Case,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    before = case.new.read_bytes()
    ran = evaluate(*(argument.format(new=case.new, model=case.model) for argument in arguments))
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err
    assert len(ran.err.splitlines()) == 1
    assert case.new.read_bytes() == before


def test_the_shipped_corpus_is_known_as_what_a_model_learned_from(
    monkeypatch: pytest.MonkeyPatch, case: Case
) -> None:
    monkeypatch.setattr(evaluation_module, "corpus_path", lambda: case.old)
    keys = [evaluation_module.text_key(row["chosen"]) for row in case.old_rows]
    training = {"data_sha256": evaluation_module.file_hash(case.old), "train_texts": keys}
    found = evaluation_module.training_texts(training, RUBRIC, None)
    assert [text.text for text in found] == [row["chosen"] for row in case.old_rows]
    assert evaluation_module.training_texts({**training, "data_sha256": "other"}, RUBRIC, None) == []
