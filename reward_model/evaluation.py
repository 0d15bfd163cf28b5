"""Honest evaluation: every figure with an interval, slices, baselines in the same table, leaks said aloud."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reward_model.arguments import complain
from reward_model.dataset_multidim import load_texts, problem_lines
from reward_model.errors import InputError
from reward_model.evidence import evidence_rows, find_facts
from reward_model.heads import group_folds
from reward_model.jsonl import JsonlReader, one_line
from reward_model.rubric import Rubric
from reward_model.samples import (
    IGNORED,
    GradedText,
    corpus_path,
    file_hash,
    graded_texts,
    pairs_of,
    text_key,
)
from reward_model.schema import read_records
from reward_model.stats import baselines
from reward_model.stats.bootstrap import grouped_bootstrap, paired_difference
from reward_model.stats.calibration import reliability
from reward_model.stats.metrics import (
    evaluate_predictions,
    expected_scores,
    figures,
    predicted_levels,
)

SLICES = ("industry", "degradation", "severity", "writer")
WORST = 10
BASELINE_FOLDS = 5


@dataclass
class System:
    """Something that predicts, and what it predicted for the texts under evaluation: [N, D, K]."""

    name: str
    title: dict[str, str]
    probabilities: np.ndarray


class Evaluation:
    """Figures of predictions on graded texts.

    Args:
        texts: N graded texts.
        rubric: D dimensions, K levels.
        n_resamples: of the bootstrap behind each interval.
        seed: of the bootstrap.
    """

    def __init__(
        self, texts: Sequence[GradedText], rubric: Rubric, *, n_resamples: int = 1000, seed: int = 0
    ) -> None:
        self.texts = list(texts)
        self.rubric = rubric
        self.labels = np.array([text.labels for text in self.texts])
        self.pairs = np.array(pairs_of(self.texts), dtype=int).reshape(-1, 2)
        self.groups = [text.group for text in self.texts]
        self.n_resamples, self.seed = n_resamples, seed

    def _statistic(self, probabilities: np.ndarray) -> Callable[[Any], dict[str, float]]:
        return figures(self.labels, probabilities, self.pairs, self.rubric.names)

    def figures(self, probabilities: np.ndarray) -> dict[str, Any]:
        """The contract's figures of one system, with 95% intervals beside them (resampled by group)."""
        result = evaluate_predictions(self.labels, probabilities, self.pairs, self.rubric.names)
        found = grouped_bootstrap(self._statistic(probabilities), self.groups, self.n_resamples, self.seed)
        result["intervals"] = {name: found[name] for name in ("overall_accuracy", "exact_match")}
        result["pairs"]["intervals"] = {"ranking_accuracy": found["pairs.ranking_accuracy"]}
        for name, row in result["per_dim"].items():
            prefix = f"per_dim.{name}."
            row["intervals"] = {
                key.removeprefix(prefix): value for key, value in found.items() if key.startswith(prefix)
            }
        return result

    def result(self, model: System, others: Sequence[System]) -> dict[str, Any]:
        """The whole of ``evaluate --json``: the model's figures, slices, baselines, the worst errors."""
        result = self.figures(model.probabilities)
        dims = self.rubric.names
        for d, name in enumerate(dims):
            known = self.labels[:, d] != IGNORED
            values = model.probabilities[known, d]
            right = predicted_levels(values) == self.labels[known, d]
            result["per_dim"][name]["reliability"] = (
                reliability(np.minimum(values.max(1), 1.0), right, bins=10) if known.any() else []
            )
        result["slices"] = self.slices(model.probabilities)
        result["baselines"] = {
            other.name: {"title": other.title, **self.figures(other.probabilities)} for other in others
        }
        for other in others:
            result["baselines"][other.name]["model_minus_baseline"] = self._difference(model, other)
        result["dims"] = {d.name: {"zh": d.title, "en": d.title_en or d.name} for d in self.rubric.dimensions}
        result["rubric"] = self.rubric.name
        result["worst"] = self.worst(model.probabilities)
        return result

    def regimes(
        self, models: Sequence[System], others: Sequence[System], main: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Figures of a model under each regime (named as the system), beside the best baseline's.

        ``main`` is what :meth:`result` gave for the first of ``models`` and the same ``others``: its figures
        stand there already, and each took a bootstrap.
        """
        best = {name: self._best(others, d) for d, name in enumerate(self.rubric.names)} if others else {}
        rivals = {other.name: other for other in best.values()}
        known = {name: row["model_minus_baseline"] for name, row in main["baselines"].items()}
        found = {models[0].name: _regime(main, best, known)}
        for model in models[1:]:
            gaps = {name: self._difference(model, other) for name, other in rivals.items()}
            found[model.name] = _regime(self.figures(model.probabilities), best, gaps)
        return found

    def _best(self, systems: Sequence[System], dimension: int) -> System:
        return systems[int(np.argmax([self._qwk(system, dimension) for system in systems]))]

    def _qwk(self, system: System, dimension: int) -> float:
        name = self.rubric.names[dimension]
        return float(self._statistic(system.probabilities)(np.arange(len(self.texts)))[f"per_dim.{name}.qwk"])

    def _difference(self, model: System, other: System) -> dict[str, Any]:
        found = paired_difference(
            self._statistic(model.probabilities),
            self._statistic(other.probabilities),
            self.groups,
            self.n_resamples,
            self.seed,
        )
        return {name: found[f"per_dim.{name}.qwk"] for name in self.rubric.names}

    def slices(self, probabilities: np.ndarray) -> dict[str, Any]:
        """Figures of the texts of each industry, degradation, severity and writer."""
        order = {
            "severity": list(self.rubric.severities),
            "degradation": [item.name for item in self.rubric.degradations],
        }
        result: dict[str, Any] = {}
        for by in SLICES:
            values = {text.slices[by] for text in self.texts if by in text.slices}
            ranked = [value for value in order.get(by, []) if value in values]
            result[by] = {}
            for value in ranked + sorted(values - set(ranked)):
                rows = [i for i, text in enumerate(self.texts) if text.slices.get(by) == value]
                part = [self.texts[i] for i in rows]
                pairs = np.array(pairs_of(part), dtype=int).reshape(-1, 2)
                result[by][value] = evaluate_predictions(
                    self.labels[rows], probabilities[rows], pairs, self.rubric.names
                )
        return {by: found for by, found in result.items() if found}

    def worst(self, probabilities: np.ndarray, most: int = WORST) -> list[dict[str, Any]]:
        """The labels that the expected score misses by most, worst first."""
        expected, levels = expected_scores(probabilities), predicted_levels(probabilities)
        missed = np.where(self.labels != IGNORED, np.abs(expected - self.labels), -1.0)
        order = np.argsort(-missed, axis=None, kind="stable")[:most]
        result = []
        for flat in order.tolist():
            row, d = divmod(flat, len(self.rubric.names))
            if missed[row, d] >= 0:
                result.append(
                    {
                        "id": self.texts[row].id,
                        "row": row,
                        "dim": self.rubric.names[d],
                        "label": int(self.labels[row, d]),
                        "expected": float(expected[row, d]),
                        "predicted": int(levels[row, d]),
                        "confidence": float(probabilities[row, d].max()),
                    }
                )
        return result


def _regime(
    values: Mapping[str, Any], best: Mapping[str, System], gaps: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """One regime's figures; in each dimension what sets it apart from that dimension's best baseline.

    ``gaps``: by baseline and dimension.
    """
    found = {key: values[key] for key in ("overall_accuracy", "exact_match", "per_dim", "pairs", "intervals")}
    # Copies, as the rows may be those of the whole result, which also hold the bins of its charts.
    found["per_dim"] = {
        name: {key: value for key, value in row.items() if key != "reliability"}
        for name, row in values["per_dim"].items()
    }
    for name, other in best.items():
        found["per_dim"][name]["minus_best_baseline"] = {"baseline": other.name, **gaps[other.name][name]}
    return found


def baseline_systems(
    train: Sequence[GradedText], test: Sequence[GradedText], rubric: Rubric, seed: int = 0
) -> list[System]:
    """Each baseline, fitted on ``train``, with its predictions for ``test``."""
    labels = np.array([text.labels for text in train])
    return [
        System(
            name,
            baselines.TITLES[name],
            baselines.fit_predict(
                name,
                [text.text for text in train],
                labels,
                [text.text for text in test],
                rubric.num_classes,
                seed,
            ),
        )
        for name in baselines.BASELINES
    ]


def cross_validated_baselines(texts: Sequence[GradedText], rubric: Rubric, seed: int = 0) -> list[System]:
    """Each baseline, every text predicted by one fitted without its group (``BASELINE_FOLDS`` folds)."""
    folds = group_folds([text.group for text in texts], BASELINE_FOLDS, seed)
    return join_folds(
        [
            (
                fold,
                baseline_systems(
                    [texts[i] for i in np.setdiff1d(np.arange(len(texts)), fold)],
                    [texts[i] for i in fold],
                    rubric,
                    seed,
                ),
            )
            for fold in folds
        ],
        len(texts),
    )


def join_folds(parts: list[tuple[np.ndarray, list[System]]], n: int) -> list[System]:
    """Systems over all ``n`` rows out of (rows, systems) a fold; all folds list the same systems."""
    joined: list[System] = []
    for index, first in enumerate(parts[0][1]):
        values = np.zeros((n, *first.probabilities.shape[1:]))
        for rows, systems in parts:
            values[rows] = systems[index].probabilities
        joined.append(System(first.name, first.title, values))
    return joined


def read_graded(path: str | Path, rubric: Rubric) -> tuple[list[GradedText], int]:
    """The graded texts of a file, and how many of its lines were at fault; those are listed on stderr.

    Raises:
        InputError: if no text is left, or none has a score.
    """
    reader = JsonlReader(path)
    texts = graded_texts(read_records(reader, rubric), rubric)
    for line in [*reader.notes, *([problem_lines(reader)] if reader.problems else [])]:
        complain(line)
    name = one_line(reader.name)
    if not texts:
        raise InputError(f"{name}: holds no graded text that fits rubric {rubric.name}; see the guide")
    if all(label == IGNORED for text in texts for label in text.labels):
        raise InputError(f"{name}: holds no scores; judge it first (finrm judge)")
    return texts, len({problem.line for problem in reader.problems})


def left_out(bad_lines: int) -> str:
    """The warning that some of the data is missing from the figures."""
    return f"{bad_lines} 行数据有误，未计入 ({bad_lines} lines of the data were at fault and left out)"


def training_texts(
    training: dict[str, Any], rubric: Rubric, train_data: str | Path | None
) -> list[GradedText]:
    """The texts a model was trained on, if their file is named or is the shipped corpus; else none.

    Raises:
        InputError: if the file that is named holds none of them.
    """
    path = Path(train_data) if train_data else corpus_path()
    if not train_data and file_hash(path) != training.get("data_sha256"):
        return []
    keys = set(training.get("train_texts") or [])
    found = [text for text in load_texts(path, rubric) if text_key(text.text) in keys]
    if not found and train_data:
        name = one_line(str(path))
        raise InputError(f"{name}: the model was trained on no text in it; name the file it learned from")
    return found


def evaluate_model(
    model_path: str | Path,
    data: str | Path,
    *,
    train_data: str | Path | None = None,
    unseen: bool = False,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[dict[str, Any], Evaluation]:
    """Evaluate a model directory on a graded file.

    Lines at fault are listed on standard error, counted in the result (``bad_lines``) and left out.

    Args:
        model_path: the directory.
        data: pairs or graded reports; must fit the model's rubric.
        train_data: what the baselines learn from; by default what the model was trained on, where that is the
            shipped corpus, else the evaluated file itself by cross-validation.
        unseen: leave out texts that the model was trained or validated on, and all that share a group with
            them.
        seed: of the bootstrap and the baselines.
        progress: is called with (texts done, texts in all).

    Raises:
        InputError: if model or data are unusable, or nothing is left to evaluate on.
    """
    from reward_model.inference import RewardScorer

    scorer = RewardScorer.from_pretrained(model_path)
    rubric = scorer.rubric
    texts, bad_lines = read_graded(data, rubric)
    training = scorer.loaded.training
    learned = training_texts(training, rubric, train_data)
    known = set(training.get("train_texts") or []) | set(training.get("validation_texts") or [])
    seen = [text_key(text.text) in known for text in texts]
    warnings = [left_out(bad_lines)] if bad_lines else []
    if unseen:
        # Whole groups: of a company whose figures the model knows, no text is unseen.
        groups = {text.group for text, old in zip(texts, seen, strict=True) if old}
        texts = [text for text in texts if text.group not in groups]
        if not texts:
            raise InputError(f"{data}: the model was trained on every group in it; name other data")
    elif any(seen):
        warnings.append(
            f"{len(texts)} 篇中有 {sum(seen)} 篇在模型的训练或验证数据里，这些数字高估了模型；"
            f"--unseen 可将其排除 ({sum(seen)} of {len(texts)} texts were among the model's training or "
            "validation texts: these figures flatter it; --unseen leaves them out)"
        )
    words, prompts = [text.text for text in texts], [text.prompt for text in texts]
    rows: dict[str, Any] = {"off": None}
    if scorer.regimes:
        rows = dict(evidence_rows(texts))
        if all(find_facts(text.facts, text.prompt) is None for text in texts):
            del rows["facts"]
    features, coverage = scorer.features(words, prompts, progress)  # the same under each regime
    models = [
        System(
            regime,
            {"zh": "模型", "en": "model"},
            scorer.calibrated(scorer.classify(features, evidence), regime),
        )
        for regime, evidence in rows.items()
    ]
    if cut := sum(share < 1 for share in coverage):
        warnings.append(
            f"{cut} 篇超过 max_length，只读了开头 ({cut} texts were longer than max_length and read in part)"
        )
    evaluation = Evaluation(texts, rubric, seed=seed)
    keys = {text_key(text.text) for text in texts}
    learned = [text for text in learned if text_key(text.text) not in keys]
    if learned:
        others = baseline_systems(learned, texts, rubric, seed)
        fitted = f"模型所用的 {len(learned)} 篇训练文本 ({len(learned)} texts that the model was trained on)"
    elif len({text.group for text in texts}) >= BASELINE_FOLDS:
        others = cross_validated_baselines(texts, rubric, seed)
        fitted = (
            f"被评文本自身，{BASELINE_FOLDS} 折交叉验证 "
            f"(the evaluated texts themselves, cross-validated in {BASELINE_FOLDS} folds)"
        )
    else:
        others = []
        fitted = "无：文本太少，请用 --train-data 指定 (nothing: too few texts, name --train-data)"
    result = evaluation.result(models[0], others)
    result["regimes"] = evaluation.regimes(models, others, result)
    result["baselines_fitted_on"] = fitted
    result["coverage"] = float(np.mean(coverage))
    result["evidence"] = models[0].name
    result["seed"] = seed
    result["model"], result["data"] = str(model_path), str(data)
    result["bad_lines"] = bad_lines
    result["warnings"] = warnings
    return result, evaluation
