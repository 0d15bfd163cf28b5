"""A frozen backbone: features of texts, heads fitted on them, cross-fitted calibration."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch

from reward_model.assembly import label_tensor, model_config, require_known_ids, tell_cut
from reward_model.backbone import BaseReference, load_backbone, load_base_config, load_tokenizer
from reward_model.config import TrainConfig
from reward_model.dataset_multidim import encode_texts, model_input, token_cache
from reward_model.features import FeatureCache, backbone_sha256, cache_key, compute_features
from reward_model.heads import FeatureDataset, collate_features, cross_fitted_logits, new_heads
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
        inputs = [model_input(text, settings.include_prompt) for text in texts]
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

    def fit(
        self,
        features: torch.Tensor,
        labels: torch.Tensor,
        validation: tuple[torch.Tensor, torch.Tensor] | None = None,
        *,
        quiet: bool = True,
    ) -> MultiDimRewardTrainer:
        """Train fresh heads; the trainer's ``model`` holds the best epoch's."""
        heads = new_heads(self.model.config, features, self.settings.seed)
        with tempfile.TemporaryDirectory() as scratch, one_thread():
            trainer = MultiDimRewardTrainer(
                heads,
                self.settings,
                self.rubric.names,
                train_dataset=FeatureDataset(features, labels),
                eval_dataset=FeatureDataset(*validation) if validation else None,
                data_collator=collate_features,
                output_dir=scratch,
                notify=None if quiet else self.tell,
            )
            trainer.train_best()
        return trainer

    def cross_fitted(
        self, features: torch.Tensor, labels: torch.Tensor, groups: Sequence[str], n_folds: int
    ) -> np.ndarray:
        """Logits [N, D, K] of heads that had not seen the text's group."""
        return cross_fitted_logits(
            lambda x, y: self.fit(x, y).model.cpu(), features, labels, groups, n_folds=n_folds
        )

    def calibrate(
        self, features: torch.Tensor, labels: torch.Tensor, groups: Sequence[str]
    ) -> tuple[np.ndarray, str]:
        """Temperatures [D] fitted on logits of heads that had not seen the text's group; 1 with one group."""
        if len(set(groups)) < 2:
            return np.ones(labels.shape[1]), "not fitted, as all texts belong to one group"
        logits = self.cross_fitted(features, labels, groups, CALIBRATION_FOLDS)
        how = f"cross-fitted on the training texts in {CALIBRATION_FOLDS} folds by group"
        return fit_temperatures(logits, labels.numpy()), how


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


def fold_probabilities(
    frozen: FrozenFeatures, features: torch.Tensor, texts: Sequence[GradedText], held: torch.Tensor
) -> np.ndarray:
    """Calibrated probabilities [M, D, K] for the features ``held``, by heads fitted on ``texts`` alone."""
    labels = label_tensor(texts)
    heads = frozen.fit(features, labels).model
    temperatures, _ = frozen.calibrate(features, labels, [text.group for text in texts])
    return apply_temperatures(head_logits(heads, held), temperatures)


def head_logits(model: FinancialRewardModel, features: torch.Tensor) -> np.ndarray:
    """Logits [N, D, K] of features [N, F]."""
    with torch.inference_mode():
        logits: np.ndarray = model.eval().classify(features.to(model.feature_mean.device)).cpu().numpy()
    return logits
