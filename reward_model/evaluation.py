"""Honest evaluation: every figure with an interval, slices, baselines in the same table, leaks said aloud."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reward_model.dataset_multidim import load_texts
from reward_model.heads import group_folds
from reward_model.rubric import Rubric
from reward_model.samples import IGNORED, GradedText, corpus_path, pairs_of
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


def training_texts(
    training: dict[str, Any], rubric: Rubric, train_data: str | Path | None
) -> list[GradedText] | None:
    """The texts a model was trained on, if their file is named or is the shipped corpus; else None."""
    from reward_model.train_multidim import file_hash, text_key

    path = Path(train_data) if train_data else corpus_path()
    if not train_data and file_hash(path) != training.get("data_sha256"):
        return None
    keys = set(training.get("train_texts") or [])
    found = [text for text in load_texts(path, rubric) if text_key(text.text) in keys]
    return found or None


def evaluate_model(
    model_path: str | Path,
    data: str | Path,
    *,
    train_data: str | Path | None = None,
    unseen: bool = False,
    skip_bad: bool = False,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[dict[str, Any], Evaluation]:
    """Evaluate a model directory on a graded file.

    Args:
        model_path: the directory.
        data: pairs or graded reports; must fit the model's rubric.
        train_data: what the baselines learn from; by default what the model was trained on, where that is the
            shipped corpus, else the evaluated file itself by cross-validation.
        unseen: leave out texts that the model was trained or validated on.
        skip_bad: pass over lines at fault.
        seed: of the bootstrap and the baselines.
        progress: is called with (texts done, texts in all).

    Raises:
        InputError: if model or data are unusable, or nothing is left to evaluate on.
    """
    from reward_model.errors import InputError
    from reward_model.inference import RewardScorer
    from reward_model.train_multidim import text_key

    scorer = RewardScorer.from_pretrained(model_path)
    rubric = scorer.rubric
    texts = load_texts(data, rubric, skip_bad=skip_bad)
    training = scorer.loaded.training
    known = set(training.get("train_texts") or []) | set(training.get("validation_texts") or [])
    seen = [text_key(text.text) in known for text in texts]
    warnings = []
    if unseen:
        texts = [text for text, old in zip(texts, seen, strict=True) if not old]
        if not texts:
            raise InputError(f"{data}: the model was trained on every text in it; name other data")
    elif any(seen):
        warnings.append(
            f"{sum(seen)} of {len(texts)} texts were among the model's training or validation texts: "
            "these figures flatter it (--unseen leaves them out)"
        )
    logits, coverage = scorer.logits([text.text for text in texts], [text.prompt for text in texts], progress)
    if cut := sum(share < 1 for share in coverage):
        warnings.append(f"{cut} texts were longer than max_length and read in part")
    model = System("model", {"zh": "模型", "en": "model"}, scorer._calibrated(logits))
    evaluation = Evaluation(texts, rubric, seed=seed)
    learned = training_texts(training, rubric, train_data)
    keys = {text_key(text.text) for text in texts}
    learned = [text for text in learned or [] if text_key(text.text) not in keys]
    if learned:
        others = baseline_systems(learned, texts, rubric, seed)
        fitted = f"{len(learned)} texts that the model was trained on"
    elif len({text.group for text in texts}) >= BASELINE_FOLDS:
        others = cross_validated_baselines(texts, rubric, seed)
        fitted = f"the evaluated texts themselves, cross-validated in {BASELINE_FOLDS} folds"
    else:
        others, fitted = [], "nothing: too few texts, name --train-data"
    result = evaluation.result(model, others)
    result["baselines_fitted_on"] = fitted
    result["coverage"] = float(np.mean(coverage))
    result["evidence"] = "off"
    result["seed"] = seed
    result["model"], result["data"] = str(model_path), str(data)
    result["warnings"] = warnings
    return result, evaluation
