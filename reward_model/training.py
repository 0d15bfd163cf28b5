"""One training run from texts to a model directory; called by ``train_multidim``."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reward_model.backbone import BaseReference, load_backbone, load_base_config, load_tokenizer, special_ids
from reward_model.config import TrainConfig
from reward_model.dataset_multidim import (
    MultiDimRewardDataset,
    RewardCollator,
    encode_texts,
    model_input,
)
from reward_model.errors import InputError
from reward_model.features import FeatureCache, backbone_sha256, cache_key, compute_features
from reward_model.heads import FeatureDataset, collate_features, cross_fitted_logits, new_heads
from reward_model.jsonl import one_line
from reward_model.model import FinancialRewardConfig, FinancialRewardModel
from reward_model.model_card import model_card
from reward_model.modeldir import Calibration, LoadedModel, save_model
from reward_model.rubric import Rubric
from reward_model.samples import GradedText
from reward_model.stats.calibration import apply_temperatures, fit_temperatures
from reward_model.train_multidim import BEST_MODEL, TrainOutcome, text_key, versions
from reward_model.trainer import MultiDimRewardTrainer, Notify, Progress, save_state, wants_bf16

CALIBRATION_FOLDS = 5
FITTED_ON = "fitted on the validation texts, which also chose the best epoch"


def thirds(n_layers: int) -> list[int]:
    """The layers at a third, two thirds and the end of a backbone of ``n_layers`` layers."""
    return sorted({max(1, round(n_layers * share / 3)) for share in (1, 2, 3)})


def model_config(
    settings: TrainConfig, rubric: Rubric, base_config: Any, reference: BaseReference, tokenizer: Any
) -> FinancialRewardConfig:
    """The model's configuration for a base model and settings.

    ``settings`` must fit ``rubric`` (see :mod:`reward_model.train_multidim`).
    """
    layers = settings.pool_layers
    prefix, suffix = special_ids(tokenizer)
    return FinancialRewardConfig(
        base_config={**base_config.to_dict(), "model_type": base_config.model_type},
        base_model=reference.to_dict(),
        pooling=settings.pooling,
        pool_layers=thirds(base_config.num_hidden_layers) if isinstance(layers, str) else list(layers),
        pool_stats=list(settings.pool_stats),
        num_dimensions=settings.num_dimensions,
        num_classes=settings.num_classes,
        dimension_names=list(rubric.names),
        use_multi_head=settings.use_multi_head,
        dropout=settings.dropout,
        window_overlap=settings.window_overlap,
        max_length=settings.max_length,
        include_prompt=settings.include_prompt,
        prefix_ids=prefix,
        suffix_ids=suffix,
        class_weights=None if settings.class_weights is None else np.array(settings.class_weights).tolist(),
    )


def _require_writable(folder: Path) -> None:
    """Find out before hours of training, not behind them."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        name = one_line(str(folder))
        raise InputError(f"{name}: cannot be written ({error.strerror}); name another --output") from None
    if (folder / BEST_MODEL).is_dir():
        raise InputError(f"{folder / BEST_MODEL}: is a directory; name another --output")


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
        ids, coverage = encode_texts(self.tokenizer, inputs, settings.max_length)
        _tell_cut(coverage, settings.max_length, self.tell)
        bf16 = wants_bf16(settings)
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
        with tempfile.TemporaryDirectory() as scratch:
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

    def calibrate(
        self, features: torch.Tensor, labels: torch.Tensor, groups: Sequence[str]
    ) -> tuple[np.ndarray, str]:
        """Temperatures [D] fitted on logits of heads that had not seen the text's group."""
        logits = cross_fitted_logits(
            lambda x, y: self.fit(x, y).model.cpu(), features, labels, groups, n_folds=CALIBRATION_FOLDS
        )
        how = f"cross-fitted on the training texts in {CALIBRATION_FOLDS} folds by group"
        return fit_temperatures(logits, labels.numpy()), how


def fold_probabilities(
    frozen: FrozenFeatures, features: torch.Tensor, texts: Sequence[GradedText], held: torch.Tensor
) -> np.ndarray:
    """Calibrated probabilities [M, D, K] for the features ``held``, by heads fitted on ``texts`` alone."""
    labels = label_tensor(texts)
    heads = frozen.fit(features, labels).model
    temperatures, _ = frozen.calibrate(features, labels, [text.group for text in texts])
    return apply_temperatures(_logits(heads, held), temperatures)


def _logits(model: FinancialRewardModel, features: torch.Tensor) -> np.ndarray:
    with torch.inference_mode():
        logits: np.ndarray = model.eval().classify(features.to(model.feature_mean.device)).cpu().numpy()
    return logits


def label_tensor(texts: Sequence[GradedText]) -> torch.Tensor:
    """Labels [N, D] of ``texts``."""
    return torch.tensor([text.labels for text in texts], dtype=torch.long)


def _tell_cut(coverage: Sequence[float], max_length: int, tell: Notify) -> None:
    cut = sum(share < 1 for share in coverage)
    if cut:
        tell(f"注意：{cut} 篇文本超过 max_length={max_length} 个词元，只读开头部分")


class Run:
    """A training run; :meth:`execute` does it all."""

    def __init__(
        self,
        settings: TrainConfig,
        rubric: Rubric,
        reference: BaseReference,
        train_texts: list[GradedText],
        eval_texts: list[GradedText],
        source: dict[str, Any],
        tell: Notify,
        progress: Progress | None,
    ) -> None:
        self.settings, self.rubric, self.reference = settings, rubric, reference
        self.train_texts, self.eval_texts = train_texts, eval_texts
        self.source, self.tell, self.progress = source, tell, progress
        self.output = Path(settings.output_dir)

    def execute(self) -> TrainOutcome:
        """Train, calibrate, write ``best_model.pt`` and the model directory."""
        started = time.monotonic()
        self.tell(
            f"训练 {len(self.train_texts)} 篇，验证 {len(self.eval_texts)} 篇；"
            f"基础模型 {self.reference.name}（{self.reference.kind}）；随机种子 {self.settings.seed}"
        )
        _require_writable(self.output)
        frozen = self.settings.freeze_backbone
        loaded, trainer, temperatures, how = self._frozen() if frozen else self._full()
        names = self.rubric.names
        calibration = Calibration(
            temperatures=dict(zip(names, map(float, temperatures), strict=True)),
            n=len(self.eval_texts or self.train_texts),
            how=how,
        )
        best_epoch = trainer.best[1] if trainer.best else None
        loaded.training = self._facts(trainer, best_epoch, time.monotonic() - started)
        card = model_card(self.settings, self.rubric, self.reference, loaded.training, calibration)
        save_model(
            loaded, self.output, reference=self.reference, frozen=frozen, calibration=calibration, card=card
        )
        return TrainOutcome(
            loaded=loaded,
            path=self.output,
            history=trainer.history,
            best_epoch=best_epoch,
            n_train=len(self.train_texts),
            n_validation=len(self.eval_texts),
            facts=loaded.training,
        )

    def _frozen(self) -> tuple[LoadedModel, MultiDimRewardTrainer, np.ndarray, str]:
        frozen = FrozenFeatures(self.settings, self.rubric, self.reference, self.tell, self.progress)
        self.tell("计算特征（按内容缓存） ...")
        everything = frozen.features([*self.train_texts, *self.eval_texts])
        features, rest = everything[: len(self.train_texts)], everything[len(self.train_texts) :]
        labels = label_tensor(self.train_texts)
        validation = (rest, label_tensor(self.eval_texts)) if self.eval_texts else None
        trainer = frozen.fit(features, labels, validation, quiet=False)
        if validation:
            # The same heads: those of other folds would have trained for more epochs than the best one.
            temperatures, how = (
                fit_temperatures(_logits(trainer.model, rest), validation[1].numpy()),
                FITTED_ON,
            )
        else:
            self.tell("校准置信度（交叉拟合） ...")
            temperatures, how = frozen.calibrate(features, labels, [text.group for text in self.train_texts])
        model = frozen.model.cpu()
        model.load_state_dict(trainer.model.cpu().head_state(), strict=False)
        model.eval()
        save_state(model.state_dict(), self.output / BEST_MODEL)
        loaded = LoadedModel(
            model,
            frozen.tokenizer,
            self.rubric,
            torch.tensor(temperatures),
            backbone_hash=frozen.backbone_hash,
        )
        return loaded, trainer, temperatures, how

    def _full(self) -> tuple[LoadedModel, MultiDimRewardTrainer, np.ndarray, str]:
        from transformers import set_seed

        settings = self.settings
        base_config = load_base_config(self.reference)
        tokenizer = load_tokenizer(self.reference)
        set_seed(settings.seed)
        model = FinancialRewardModel(
            model_config(settings, self.rubric, base_config, self.reference, tokenizer),
            backbone=load_backbone(self.reference, base_config),
        )
        train_set, eval_set = (
            MultiDimRewardDataset(
                texts,
                tokenizer,
                settings.max_length,
                rubric=self.rubric,
                include_prompt=settings.include_prompt,
            )
            for texts in (self.train_texts, self.eval_texts)
        )
        _tell_cut([*train_set.coverage, *eval_set.coverage], settings.max_length, self.tell)
        with tempfile.TemporaryDirectory() as scratch:
            trainer = MultiDimRewardTrainer(
                model,
                settings,
                self.rubric.names,
                train_dataset=train_set,
                eval_dataset=eval_set,
                data_collator=RewardCollator(tokenizer.pad_token_id),
                processing_class=tokenizer,
                output_dir=scratch,
                best_path=self.output / BEST_MODEL,
                notify=self.tell,
                progress=self.progress,
            )
            trainer.train_best()
            temperatures = fit_temperatures(
                trainer.predict_logits(eval_set), label_tensor(self.eval_texts).numpy()
            )
        loaded = LoadedModel(model.cpu(), tokenizer, self.rubric, torch.tensor(temperatures))
        return (
            loaded,
            trainer,
            temperatures,
            "fitted on the validation texts, which also chose the best epoch",
        )

    def _facts(
        self, trainer: MultiDimRewardTrainer, best_epoch: int | None, seconds: float
    ) -> dict[str, Any]:
        best = next((row for row in trainer.history if row["epoch"] == best_epoch), trainer.history[-1])
        return {
            **self.source,
            "n_train": len(self.train_texts),
            "n_validation": len(self.eval_texts),
            "train_slices": _slice_counts(self.train_texts),
            "settings": self.settings.model_dump(mode="json"),
            "versions": versions(),
            "seconds": round(seconds, 1),
            "best_epoch": best_epoch,
            "metrics": {key: best[key] for key in ("train", "validation") if key in best},
            "history": trainer.history,
            "train_texts": sorted({text_key(text.text) for text in self.train_texts}),
            "validation_texts": sorted({text_key(text.text) for text in self.eval_texts}),
        }


def _slice_counts(texts: Sequence[GradedText]) -> dict[str, dict[str, int]]:
    counts: dict[str, Counter[str]] = {}
    for text in texts:
        for name, value in text.slices.items():
            counts.setdefault(name, Counter())[value] += 1
    return {name: dict(sorted(count.items())) for name, count in counts.items()}
