"""Models and baselines by leave-one-out over writers or industries, options fixed beforehand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from reward_model.config import TrainConfig
from reward_model.evaluation import Evaluation, System, baseline_systems, join_folds
from reward_model.rubric import Rubric
from reward_model.samples import GradedText, leave_one_out


def compare(
    texts: Sequence[GradedText],
    rubric: Rubric,
    settings: TrainConfig,
    *,
    by: str = "writer",
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
        notify, progress: as for training.

    Returns:
        The result as of ``evaluate --json``, with ``folds`` (texts a fold) and ``split``; and the evaluation.

    Raises:
        InputError: if there are fewer than two values, or the backbone isn't frozen.
    """
    from reward_model.backbone import resolve_base
    from reward_model.errors import InputError
    from reward_model.frozen import FrozenFeatures, fold_probabilities

    if not settings.freeze_backbone:
        raise InputError("compare trains heads on a frozen backbone only; use --preset frozen")
    tell = notify or (lambda line: None)
    unnamed = sum(not text.slices.get(by) for text in texts)
    texts = [text for text in texts if text.slices.get(by)]
    folds = list(leave_one_out(texts, by))
    frozen = FrozenFeatures(
        settings, rubric, resolve_base(settings.base_model_name, notify=notify), tell, progress
    )
    tell("计算特征（按内容缓存） ...")
    features = frozen.features(texts)
    row_of = {id(text): row for row, text in enumerate(texts)}
    parts = []
    for done, (value, rest, held) in enumerate(folds):
        train_rows, test_rows = ([row_of[id(text)] for text in part] for part in (rest, held))
        probabilities = fold_probabilities(frozen, features[train_rows], rest, features[test_rows])
        model = System("model", {"zh": "模型", "en": "model"}, probabilities)
        parts.append((np.array(test_rows), [model, *baseline_systems(rest, held, rubric, settings.seed)]))
        tell(f"留出 {value}：训练 {len(rest)} 篇，预测 {len(held)} 篇（{done + 1}/{len(folds)}）")
    model, *others = join_folds(parts, len(texts))
    evaluation = Evaluation(texts, rubric, seed=settings.seed)
    result = evaluation.result(model, others)
    result["split"] = f"leave one {by} out"
    result["folds"] = {value: len(held) for value, _, held in folds}
    result["seed"] = settings.seed
    result["evidence"] = "off"
    result["warnings"] = []
    if unnamed:
        result["warnings"].append(
            f"{unnamed} 篇没有 {by}，未计入 ({unnamed} texts name no {by} and were left out)"
        )
    return result, evaluation
