"""Training a model with its backbone, or with the backbone's upper layers, and calibrating it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reward_model import checkpoints
from reward_model.assembly import (
    label_tensor,
    model_config,
    require_known_ids,
    set_dropout,
    soft_label_tensor,
    tell_cut,
)
from reward_model.backbone import BaseReference, load_backbone, load_base_config, load_tokenizer
from reward_model.config import BEST_MODEL, TrainConfig
from reward_model.dataset_multidim import MultiDimRewardDataset, RewardCollator
from reward_model.evidence import evidence_rows
from reward_model.model import FinancialRewardModel
from reward_model.precision import wants_bf16
from reward_model.regimes import DrawnRegimes, EveryRegime
from reward_model.rubric import Rubric
from reward_model.samples import GradedText
from reward_model.stats.calibration import fit_temperatures
from reward_model.trainer import MultiDimRewardTrainer, Notify, Progress
from reward_model.upper import (
    ActivationDataset,
    activations,
    collate_activations,
    first_trained,
    use_upper_part,
)


class FullTraining:
    """A model whose backbone is trained; :meth:`fit` trains it once.

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
        from transformers import set_seed

        self.settings, self.rubric, self.reference = settings, rubric, reference
        self.tell, self.progress = tell, progress
        base_config = load_base_config(reference)
        self.tokenizer = load_tokenizer(reference)
        set_dropout(
            base_config, attention_dropout=settings.attention_dropout, hidden_dropout=settings.hidden_dropout
        )
        set_seed(settings.seed)
        self.model = FinancialRewardModel(
            model_config(settings, rubric, base_config, reference, self.tokenizer),
            backbone=load_backbone(reference, base_config),
        )

    def fit(
        self,
        train_texts: Sequence[GradedText],
        eval_texts: Sequence[GradedText],
        folder: Path,
        checkpoint: Path | None,
    ) -> tuple[MultiDimRewardTrainer, dict[str, np.ndarray]]:
        """Train on ``train_texts``, choose the epoch and calibrate by ``eval_texts``.

        Args:
            train_texts, eval_texts: graded texts, at least one of each.
            folder: where checkpoints go.
            checkpoint: one of them to go on from.

        Returns:
            The trainer, whose model (``self.model``) has the best epoch's weights, and temperatures [D] a
            regime; of "off" alone without evidence.
        """
        settings = self.settings
        train_items, eval_items, collator = self._items(train_texts, eval_texts)
        regimes = ["off"]
        if settings.evidence:
            # Once for all epochs: the trainer draws among what was found.
            self.tell("核对数字（有报表、仅正文两种口径） ...")
            rows = evidence_rows([*train_texts, *eval_texts], self.progress)
            regimes, n = list(rows), len(train_texts)
            learned = {regime: values[:n] for regime, values in rows.items()}
            held = {regime: values[n:] for regime, values in rows.items()}
            train_items = DrawnRegimes(train_items, learned, settings.seed)
            eval_items = EveryRegime(eval_items, held)
        trainer = MultiDimRewardTrainer(
            self.model,
            settings,
            self.rubric.names,
            train_dataset=train_items,
            eval_dataset=eval_items,
            data_collator=collator,
            processing_class=self.tokenizer,
            output_dir=folder,
            best_path=folder / BEST_MODEL,
            notify=self.tell,
            progress=self.progress,
            checkpoints=True,
        )
        with checkpoints.stop_on_sigterm(trainer):
            trainer.train_best(checkpoint)
        parts = np.split(trainer.predict_logits(eval_items), len(regimes))
        known = label_tensor(eval_texts).numpy()
        return trainer, {
            regime: fit_temperatures(part, known) for regime, part in zip(regimes, parts, strict=True)
        }

    def _items(
        self, train_texts: Sequence[GradedText], eval_texts: Sequence[GradedText]
    ) -> tuple[Any, Any, Any]:
        """Training items, validation items, and what makes batches of them."""
        settings, tokenizer = self.settings, self.tokenizer
        train_set, eval_set = (
            MultiDimRewardDataset(
                texts,
                tokenizer,
                settings.max_length,
                rubric=self.rubric,
                include_prompt=settings.include_prompt,
                skip_padding=settings.skip_padding,
                soft_labels=soft,
            )
            # Validation is by the labels, whatever was learned.
            for texts, soft in ((train_texts, settings.soft_labels), (eval_texts, False))
        )
        require_known_ids([*train_set.input_ids, *eval_set.input_ids], self.model.backbone, self.reference)
        tell_cut([*train_set.coverage, *eval_set.coverage], settings.max_length, self.tell)
        pad_id = tokenizer.pad_token_id
        if settings.trainable_layers is None:
            return train_set, eval_set, RewardCollator(pad_id)
        kept = self._activations([*train_set.input_ids, *eval_set.input_ids], settings.trainable_layers)
        n = len(train_set)
        return (
            ActivationDataset(kept[:n], label_tensor(train_texts), soft_label_tensor(train_texts, settings)),
            ActivationDataset(kept[n:], label_tensor(eval_texts)),
            collate_activations,
        )

    def _activations(self, sequences: Sequence[Sequence[int]], trained: int) -> list[dict[str, torch.Tensor]]:
        """What the layers below the upper ``trained`` ones make of each text; the model reads that from here
        on."""
        first = first_trained(self.model.backbone, trained)
        use_upper_part(self.model, first)
        self.tell(f"冻结前 {first} 层，其激活只计算一次 ...")
        if torch.cuda.is_available():
            self.model.to("cuda")
        return activations(
            self.model,
            sequences,
            first,
            pad_id=self.tokenizer.pad_token_id,
            bf16=wants_bf16(self.settings.precision),
            progress=self.progress,
        )
