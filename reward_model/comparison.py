"""Models and baselines by leave-one-out over writers or industries, options fixed beforehand."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from reward_model.augmentation import augmented
from reward_model.config import TrainConfig
from reward_model.evaluation import Evaluation, System, baseline_systems, join_folds
from reward_model.evidence import evidence_rows
from reward_model.rubric import Rubric
from reward_model.samples import GradedText, leave_one_out

if TYPE_CHECKING:
    from torch import Tensor

    from reward_model.frozen import FrozenFeatures

Inputs = Mapping[str, "Tensor"]
"""What heads read of some texts, under each regime."""
INNER_FOLDS = 3
OPTIONS: tuple[dict[str, Any], ...] = (
    {},
    {"dropout": 0.5, "num_epochs": 15},
    {"dropout": 0.5},
    {"weight_decay": 3.0},
    {"learning_rate": 3e-4, "num_epochs": 30},
    {"evidence_learning_rate": 0.02},
    {"pool_layers": (-1,)},
)
"""What ``finrm compare --nested`` lets each fold choose among, as changes to the preset "frozen"."""


def compare(
    texts: Sequence[GradedText],
    rubric: Rubric,
    settings: TrainConfig,
    *,
    by: str = "writer",
    options: Sequence[Mapping[str, Any]] = ({},),
    shuffle_labels: bool = False,
    notify: Callable[[str], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[dict[str, Any], Evaluation]:
    """Leave out one value of ``by`` at a time: fit on the rest, predict the left-out texts, join, evaluate.

    Heads, standardisation, temperatures and baselines see the training part of each fold only; the backbone
    is frozen. Texts without a value of ``by`` are left out.

    Args:
        texts, rubric: the graded texts and what they were graded by.
        settings: must have ``freeze_backbone``.
        by: a slice: writer, industry, degradation or severity.
        options: changes to ``settings`` to choose among. Each fold chooses for itself, by cross-validation
            inside its training part (``INNER_FOLDS`` folds by group, mean QWK), so that no text has a say in
            the options that it is predicted with.
        shuffle_labels: a control: training labels are handed out at random, and figures must drop to chance.
        notify, progress: as for training.

    Returns:
        The result as of ``evaluate --json``, with ``folds`` (texts a fold), ``split`` and, where there
        was a choice, ``chosen`` (the options of each fold); and the evaluation.

    Raises:
        InputError: if there are fewer than two values, or the backbone isn't frozen.
    """
    from reward_model.backbone import resolve_base
    from reward_model.errors import InputError
    from reward_model.frozen import FrozenFeatures, fold_probabilities, rows_of

    if not settings.freeze_backbone:
        raise InputError("compare trains heads on a frozen backbone only; use --preset frozen")
    tell = notify or (lambda line: None)
    unnamed = sum(not text.slices.get(by) for text in texts)
    texts = [text for text in texts if text.slices.get(by)]
    # Behind the graded texts, whose rows stay what they were. Labels handed out at random are no levels to
    # make other texts from.
    made = (
        []
        if shuffle_labels
        else augmented(texts, rubric, settings.augment, share=settings.augment_share, seed=settings.seed)
    )
    everything = [*texts, *made]
    folds = [
        (value, rest, [text for text in held if text.made_from is None])
        for value, rest, held in leave_one_out(everything, by)
    ]
    base = resolve_base(settings.base_model_name, notify=notify)
    candidates = [
        FrozenFeatures(settings.model_copy(update=dict(change)), rubric, base, tell, progress)
        for change in options
    ]
    tell("计算特征（按内容缓存） ...")
    # Once: what the checker finds is the same under all options.
    evidence = None
    if any(candidate.settings.evidence for candidate in candidates):
        tell("核对数字（有报表、仅正文两种口径） ...")
        evidence = evidence_rows(everything, progress)
    inputs = [candidate.inputs(everything, evidence) for candidate in candidates]
    row_of = {id(text): row for row, text in enumerate(everything)}
    parts = []
    chosen: dict[str, Mapping[str, Any]] = {}
    for done, (value, rest, held) in enumerate(folds):
        rows, test_rows = ([row_of[id(text)] for text in part] for part in (rest, held))
        if shuffle_labels:
            rest = _shuffled(rest, settings.seed)
        best = _choose(candidates, [rows_of(given, rows) for given in inputs], rest, rubric)
        chosen[value] = options[best]
        probabilities = fold_probabilities(
            candidates[best], rows_of(inputs[best], rows), rest, rows_of(inputs[best], test_rows)
        )
        others = baseline_systems(
            [text for text in rest if text.made_from is None], held, rubric, settings.seed
        )
        models = [
            System(regime, {"zh": "模型", "en": "model"}, values) for regime, values in probabilities.items()
        ]
        parts.append((np.array(test_rows), [*models, *others]))
        note = f"，选用 {dict(options[best]) or '预设'}" if len(options) > 1 else ""
        tell(f"留出 {value}：训练 {len(rest)} 篇，预测 {len(held)} 篇（{done + 1}/{len(folds)}）{note}")
    joined = join_folds(parts, len(texts))
    models, others = joined[: len(inputs[0])], joined[len(inputs[0]) :]
    evaluation = Evaluation(texts, rubric, seed=settings.seed)
    result = evaluation.result(models[0], others)
    result["regimes"] = evaluation.regimes(models, others, result)
    result["split"] = f"leave one {by} out"
    result["folds"] = {value: len(held) for value, _, held in folds}
    result["seed"] = settings.seed
    result["evidence"] = models[0].name
    result["soft_labels"] = settings.soft_labels
    result["augment"] = list(settings.augment)
    if len(options) > 1:
        result["chosen"] = {value: dict(change) for value, change in chosen.items()}
    result["warnings"] = []
    if shuffle_labels:
        result["warnings"].append("训练标签已打乱，仅作对照 (control: the training labels were shuffled)")
    if unnamed:
        result["warnings"].append(
            f"{unnamed} 篇没有 {by}，未计入 ({unnamed} texts name no {by} and were left out)"
        )
    return result, evaluation


def _choose(
    candidates: Sequence[FrozenFeatures],
    inputs: Sequence[Inputs],
    texts: Sequence[GradedText],
    rubric: Rubric,
) -> int:
    """The candidate with the highest mean QWK in cross-validation over ``texts``; of equal ones the first."""
    if len(candidates) == 1:
        return 0
    from reward_model.assembly import label_tensor, soft_label_tensor
    from reward_model.frozen import repeat_soft, stack_regimes, were_graded
    from reward_model.trainer import level_figures

    groups, counted = [text.group for text in texts], were_graded(texts)
    scores = []
    for candidate, given in zip(candidates, inputs, strict=True):
        stacked, labels = stack_regimes(given, label_tensor(texts))
        soft = repeat_soft(soft_label_tensor(texts, candidate.settings), len(given))
        logits = candidate.cross_fitted(stacked, labels, groups * len(given), INNER_FOLDS, soft)
        rows = np.flatnonzero(counted * len(given))
        found = level_figures(logits[rows], labels.numpy()[rows], rubric.names)
        scores.append(float(np.mean([found.get(f"qwk_{name}", 0.0) for name in rubric.names])))
    return int(np.argmax(scores))


def _shuffled(texts: Sequence[GradedText], seed: int) -> list[GradedText]:
    # Votes go with their labels: left where they were, they would tell what shuffling is to hide.
    given = [(text.labels, text.votes) for text in texts]
    random.Random(seed).shuffle(given)
    return [replace(t, labels=labels, votes=votes) for t, (labels, votes) in zip(texts, given, strict=True)]
