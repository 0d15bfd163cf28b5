"""A frozen backbone: features of texts, heads fitted on them, cross-fitted calibration."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import torch

from reward_model.assembly import (
    label_tensor,
    model_config,
    require_known_ids,
    soft_label_tensor,
    tell_cut,
)
from reward_model.backbone import BaseReference, load_backbone, load_base_config, load_tokenizer
from reward_model.config import TrainConfig
from reward_model.dataset_multidim import encode_texts, model_input, token_cache
from reward_model.evidence import evidence_rows
from reward_model.features import FeatureCache, backbone_sha256, cache_key, compute_features
from reward_model.heads import (
    FeatureDataset,
    classify_inputs,
    collate_features,
    cross_fitted_logits,
    new_heads,
)
from reward_model.model import FinancialRewardModel
from reward_model.precision import wants_bf16
from reward_model.rubric import Rubric
from reward_model.samples import GradedText
from reward_model.stats.calibration import apply_temperatures, fit_temperatures
from reward_model.trainer import MultiDimRewardTrainer, Notify, Progress

CALIBRATION_FOLDS = 5


class FrozenFeatures:
    """A frozen backbone and what it makes of texts; fits heads on that.

    Args:
        settings, rubric, reference: as for a run.
        tell, progress: see :func:`reward_model.train_multidim.train`.
    """

    def __init__(
        self,
        settings: TrainConfig,
        rubric: Rubric,
        reference: BaseReference,
        tell: Notify,
        progress: Progress | None = None,
    ) -> None:
        self.settings, self.rubric, self.reference = settings, rubric, reference
        self.tell, self.progress = tell, progress
        base_config = load_base_config(reference)
        self.tokenizer = load_tokenizer(reference)
        config = model_config(settings, rubric, base_config, reference, self.tokenizer)
        self.model = FinancialRewardModel(config, backbone=load_backbone(reference, base_config))
        self.backbone_hash = backbone_sha256(self.model.backbone)
        if torch.cuda.is_available():
            self.model.to("cuda")

    def features(self, texts: Sequence[GradedText]) -> torch.Tensor:
        """Features [N, F] of ``texts``, from the cache where it has them."""
        settings = self.settings
        inputs = [
            model_input(text.text, text.prompt if settings.include_prompt else None, settings.skip_padding)
            for text in texts
        ]
        kept = token_cache(self.tokenizer, settings.max_length)
        ids, coverage = encode_texts(self.tokenizer, inputs, settings.max_length, kept)
        require_known_ids(ids, self.model.backbone, self.reference)
        tell_cut(coverage, settings.max_length, self.tell)
        bf16 = wants_bf16(settings.precision)
        cache = FeatureCache(cache_key(self.model, self.backbone_hash, bf16))
        return compute_features(
            self.model,
            ids,
            pad_id=self.tokenizer.pad_token_id,
            cache=cache,
            bf16=bf16,
            progress=self.progress,
        )

    def inputs(
        self, texts: Sequence[GradedText], evidence: Mapping[str, np.ndarray] | None = None
    ) -> dict[str, torch.Tensor]:
        """What the heads read of ``texts`` under each regime, [N, F + E + 1]; [N, F] without evidence.

        ``evidence`` is :func:`reward_model.evidence.evidence_rows` of the texts, where the caller has it.
        """
        features = self.features(texts)
        if not self.settings.evidence:
            return {"off": features}
        rows = evidence
        if rows is None:
            self.tell("核对数字（有报表、仅正文两种口径） ...")
            rows = evidence_rows(texts, self.progress)
        return {regime: torch.cat([features, torch.from_numpy(rows[regime])], dim=1) for regime in rows}

    def fit(
        self,
        inputs: torch.Tensor,
        labels: torch.Tensor,
        validation: tuple[torch.Tensor, torch.Tensor] | None = None,
        *,
        soft: torch.Tensor | None = None,
        quiet: bool = True,
    ) -> MultiDimRewardTrainer:
        """Train fresh heads; the trainer's ``model`` holds the best epoch's.

        ``soft`` is [N, D, K], what the heads learn instead of ``labels``.
        """
        heads = new_heads(self.model.config, inputs, self.settings.seed)
        with tempfile.TemporaryDirectory() as scratch, one_thread():
            trainer = MultiDimRewardTrainer(
                heads,
                self.settings,
                self.rubric.names,
                train_dataset=FeatureDataset(inputs, labels, heads.feature_width, soft),
                eval_dataset=FeatureDataset(*validation, heads.feature_width) if validation else None,
                data_collator=collate_features,
                output_dir=scratch,
                notify=None if quiet else self.tell,
            )
            trainer.train_best()
        return trainer

    def cross_fitted(
        self,
        features: torch.Tensor,
        labels: torch.Tensor,
        groups: Sequence[str],
        n_folds: int,
        soft: torch.Tensor | None = None,
    ) -> np.ndarray:
        """Logits [N, D, K] of heads that had not seen the text's group."""
        return cross_fitted_logits(
            lambda x, y, p: self.fit(x, y, soft=p).model.cpu(),
            features,
            labels,
            groups,
            soft=soft,
            n_folds=n_folds,
        )

    def calibrate(
        self,
        inputs: Mapping[str, torch.Tensor],
        labels: torch.Tensor,
        groups: Sequence[str],
        soft: torch.Tensor | None = None,
        counted: Sequence[bool] | None = None,
    ) -> tuple[dict[str, np.ndarray], str]:
        """Temperatures [D] a regime, fitted on logits of heads that had not seen the text's group; 1 with one
        group.

        Where ``counted`` is false, a text is only learned from: it was made by code, from a graded one.
        """
        if len(set(groups)) < 2:
            ones = np.ones(labels.shape[1])
            return dict.fromkeys(inputs, ones), "not fitted, as all texts belong to one group"
        stacked, repeated = stack_regimes(inputs, labels)
        names, targets = list(groups) * len(inputs), repeat_soft(soft, len(inputs))
        logits = self.cross_fitted(stacked, repeated, names, CALIBRATION_FOLDS, targets)
        parts = np.split(logits, len(inputs))
        how = f"cross-fitted on the training texts in {CALIBRATION_FOLDS} folds by group"
        rows = np.flatnonzero(np.ones(len(labels)) if counted is None else counted)
        known = labels.numpy()[rows]
        found = {
            regime: fit_temperatures(part[rows], known) for regime, part in zip(inputs, parts, strict=True)
        }
        return found, how


def stack_regimes(
    inputs: Mapping[str, torch.Tensor], labels: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Every text under every regime, one regime after the other, and its labels as often."""
    return torch.cat(list(inputs.values())), labels.repeat(len(inputs), 1)


def repeat_soft(soft: torch.Tensor | None, times: int) -> torch.Tensor | None:
    """The soft labels of what :func:`stack_regimes` stacks."""
    return None if soft is None else soft.repeat(times, 1, 1)


def were_graded(texts: Sequence[GradedText]) -> list[bool]:
    """Whether each text was graded, not made from one that was."""
    return [text.made_from is None for text in texts]


def rows_of(inputs: Mapping[str, torch.Tensor], rows: Sequence[int]) -> dict[str, torch.Tensor]:
    """Some of the texts, under each regime."""
    return {regime: matrix[rows] for regime, matrix in inputs.items()}


@contextmanager
def one_thread() -> Iterator[None]:
    """Run torch on one CPU thread: heads are so small that threads mostly wait for one another.

    On a machine that does other work too, a second thread made training them many times slower.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


Calibrated = Callable[[torch.Tensor, str], np.ndarray]
"""Inputs [M, ...] under a named regime to calibrated probabilities [M, D, K]."""


def fold_heads(
    frozen: FrozenFeatures, inputs: Mapping[str, torch.Tensor], texts: Sequence[GradedText]
) -> Calibrated:
    """Heads fitted on ``texts``, whose ``inputs`` are given, and calibrated on those that were graded."""
    labels, soft = label_tensor(texts), soft_label_tensor(texts, frozen.settings)
    heads = frozen.fit(*stack_regimes(inputs, labels), soft=repeat_soft(soft, len(inputs))).model
    groups = [text.group for text in texts]
    temperatures, _ = frozen.calibrate(inputs, labels, groups, soft, were_graded(texts))

    def calibrated(matrix: torch.Tensor, regime: str) -> np.ndarray:
        return apply_temperatures(classify_inputs(heads, matrix), temperatures[regime])

    return calibrated


def fold_probabilities(
    frozen: FrozenFeatures,
    inputs: Mapping[str, torch.Tensor],
    texts: Sequence[GradedText],
    held: Mapping[str, torch.Tensor],
) -> dict[str, np.ndarray]:
    """Calibrated probabilities [M, D, K] of ``held`` under each regime, by heads fitted on ``texts``."""
    calibrated = fold_heads(frozen, inputs, texts)
    return {regime: calibrated(matrix, regime) for regime, matrix in held.items()}
