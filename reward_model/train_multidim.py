"""The guide's training script: edit ``config`` below, or give flags.

``uv run reward_model/train_multidim.py`` trains on the guide's scored file where there is one, else on the
corpus that comes with the package, and says which.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reward_model.arguments import run as run_command
from reward_model.config import BEST_MODEL, PRESETS, TrainConfig, load_config
from reward_model.errors import InputError
from reward_model.rubric import Rubric, load_rubric
from reward_model.samples import IGNORED, GradedText, default_data, file_hash, split_groups

if TYPE_CHECKING:
    from reward_model.trainer import Notify, Progress
    from reward_model.training import TrainOutcome

config = {
    "base_model_name": "hfl/chinese-roberta-wwm-ext",  # 基础模型：hub 名称、本地目录或 embedded
    "max_length": 2048,  # 最大序列长度
    "batch_size": 4,  # 批次大小
    "learning_rate": 2e-5,  # 学习率
    "num_epochs": 10,  # 训练轮数
    "num_dimensions": 3,  # 维度数
    "num_classes": 5,  # 类别数（0-4）
    "use_multi_head": True,  # 使用多头（推荐）
}


def __getattr__(name: str) -> Any:
    # The trainer needs torch; this module must answer --help and refuse bad settings without it.
    if name == "MultiDimRewardTrainer":
        from reward_model.trainer import MultiDimRewardTrainer

        return MultiDimRewardTrainer
    raise AttributeError(name)


def check_rubric(settings: TrainConfig, rubric: Rubric) -> None:
    """Raise :class:`InputError` unless the settings have the rubric's dimensions and levels."""
    wanted = (settings.num_dimensions, settings.num_classes)
    if wanted != (rubric.num_dimensions, rubric.num_classes):
        raise InputError(
            f"num_dimensions x num_classes is {wanted[0]} x {wanted[1]}, but rubric {rubric.name} has "
            f"{rubric.num_dimensions} x {rubric.num_classes}; set them alike, or name the right --rubric"
        )


def check_class_weights(settings: TrainConfig) -> None:
    """Raise :class:`InputError` unless the class weights are [K] or [D, K], each row with one above 0."""
    weights = settings.class_weights
    if weights is None or isinstance(weights, str):
        return
    n_dimensions, n_classes = settings.num_dimensions, settings.num_classes
    rows = [row for row in weights if isinstance(row, tuple)]
    n_rows = len(rows)
    if not rows:
        rows, n_rows = [tuple(weight for weight in weights if isinstance(weight, float))], n_dimensions
    if n_rows != n_dimensions or any(len(row) != n_classes for row in rows):
        raise InputError(
            f"class_weights: give {n_classes} numbers, or {n_dimensions} lists of {n_classes} numbers"
        )
    if not all(map(any, rows)):
        raise InputError("class_weights: all are 0, which leaves nothing to learn from; give one above 0")


def train(
    settings: TrainConfig,
    *,
    train_texts: Sequence[GradedText] | None = None,
    eval_texts: Sequence[GradedText] | None = None,
    resume: bool = False,
    notify: Notify | None = None,
    progress: Progress | None = None,
) -> TrainOutcome:
    """Train a model as ``settings`` say and write its directory to ``settings.output_dir``.

    Args:
        settings: where ``data`` is None, the guide's scored file or the corpus is used.
        train_texts, eval_texts: texts already read, instead of ``settings.data`` and ``eval_data``.
        resume: go on with the unfinished run in ``settings.output_dir``, which must have had the same
            settings and data; from the start where there is none. Heads on a frozen backbone take seconds
            and start anew, with the features that were computed.
        notify: is called with lines for people.
        progress: is called with (done, in all) during long steps.

    Raises:
        InputError: if settings or data are unusable.
        ResourceError: if the base model can't be had.
    """
    tell = notify or (lambda line: None)
    rubric = load_rubric(settings.rubric)
    check_rubric(settings, rubric)
    check_class_weights(settings)
    # Cheap checks first: a base model that can't be had is said before anything heavy is loaded.
    from reward_model.backbone import resolve_base

    reference = resolve_base(settings.base_model_name, notify=notify)
    source: dict[str, Any] = {}
    if train_texts is None:
        from reward_model.dataset_multidim import load_texts

        path, phrase = (Path(settings.data), settings.data) if settings.data else default_data()
        tell(f"训练数据：{phrase}")
        train_texts = load_texts(path, rubric)
        source = _source("data", path)
    if eval_texts is None and settings.eval_data:
        from reward_model.dataset_multidim import load_texts

        eval_texts = load_texts(settings.eval_data, rubric)
        source |= _source("eval_data", settings.eval_data)
    if eval_texts is None and settings.val_fraction:
        train_texts, eval_texts = split_groups(train_texts, settings.val_fraction, settings.seed)
    eval_texts = list(eval_texts or [])
    if not eval_texts and not settings.freeze_backbone:
        raise InputError(
            "val_fraction is 0, and no validation file is given; training needs one to choose by"
        )
    _require_scores(train_texts, "training", "judge the data first (finrm judge)")
    if eval_texts:
        _require_scores(eval_texts, "validation", "name scored --eval-data, or another --seed")
    if settings.class_weights == "balanced":
        weights = balanced_weights([text.labels for text in train_texts], settings.num_classes)
        settings = settings.model_copy(update={"class_weights": weights})
        tell(f"类别权重（按训练标签）：{[[round(w, 2) for w in row] for row in weights]}")
    from reward_model.training import Run

    run = Run(settings, rubric, reference, list(train_texts), eval_texts, source, tell, progress, resume)
    return run.execute()


def balanced_weights(labels: Sequence[Sequence[int]], num_classes: int) -> tuple[tuple[float, ...], ...]:
    """Weights [D, K] under which every level that occurs counts alike: n / (levels that occur x count).

    The formula is scikit-learn's ``class_weight="balanced"``, a dimension; a level that never occurs gets 1.
    """
    table = []
    for column in zip(*labels, strict=True):
        known = [level for level in column if level != IGNORED]
        counts = Counter(known)
        table.append(
            tuple(
                len(known) / (len(counts) * counts[level]) if counts[level] else 1.0
                for level in range(num_classes)
            )
        )
    return tuple(table)


def _source(key: str, path: str | Path) -> dict[str, Any]:
    if str(path) == "-":  # standard input can't be read a second time
        return {key: "<stdin>"}
    return {key: Path(path).name, f"{key}_sha256": file_hash(path)}


def _require_scores(texts: Sequence[GradedText], use: str, remedy: str) -> None:
    if all(label == IGNORED for text in texts for label in text.labels):
        raise InputError(f"none of the {use} texts has a score; {remedy}")


def settings_from(
    base: Mapping[str, Any], flags: Mapping[str, Any], *, file: str | None = None, preset: str | None = None
) -> TrainConfig:
    """Settings of ``base`` under a named preset, a file, the environment and flags (later ones win).

    A rubric named by a flag brings its own number of dimensions and levels.
    """
    layer = {**base, **(PRESETS[preset] if preset else {})}
    flags = {key: value for key, value in flags.items() if value is not None}
    if "rubric" in flags:
        rubric = load_rubric(flags["rubric"])
        shape = {"num_dimensions": rubric.num_dimensions, "num_classes": rubric.num_classes}
        flags = {**shape, **flags}
    return load_config(layer, file=file, flags=flags)


def terminal_train(settings: TrainConfig, resume: bool = False) -> int:
    """Train with lines on standard output and a progress bar on standard error; returns the exit code."""
    from reward_model.progress import progress_bar, say

    with progress_bar("训练") as progress:
        outcome = train(settings, resume=resume, notify=say, progress=progress)
    metrics = outcome.facts["metrics"].get("validation") or outcome.facts["metrics"]["train"]
    best = f"第 {outcome.best_epoch} 轮" if outcome.best_epoch else "最后一轮"
    say(
        f"完成，用时 {outcome.facts['seconds']:.0f} 秒；最佳：{best}，"
        f"整体准确率 {metrics.get('overall_accuracy', float('nan')):.3f}"
    )
    say(f"最佳模型：{outcome.path / BEST_MODEL}")
    say(f"模型目录：{outcome.path}（finrm score --model {outcome.path} REPORT）")
    return 0


def train_command(arguments: Sequence[str] | None, prog: str | None = None) -> int:
    """Train by ``config`` above, overridden by a preset, a file, the environment and flags."""
    from reward_model.train_flags import parse_flags

    given = parse_flags(arguments, prog)
    settings = settings_from(config, given.settings, file=given.file, preset=given.preset)
    return terminal_train(settings, given.resume)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the script; returns the exit code."""
    return run_command(train_command, arguments)


if __name__ == "__main__":
    # The module that others import must not exist a second time under the name __main__;
    # settings edited above reach it, because both are the same file.
    from reward_model.train_multidim import main as imported_main

    sys.exit(imported_main())
