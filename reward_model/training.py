"""One training run from texts to a model directory; called by ``train_multidim``."""

from __future__ import annotations

import contextlib
import platform
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError

from reward_model import checkpoints
from reward_model.assembly import (
    label_tensor,
    model_config,
    require_known_ids,
    set_dropout,
    tell_cut,
)
from reward_model.backbone import BaseReference, load_backbone, load_base_config, load_tokenizer
from reward_model.config import BEST_MODEL, TrainConfig
from reward_model.dataset_multidim import MultiDimRewardDataset, RewardCollator
from reward_model.errors import InputError
from reward_model.frozen import FrozenFeatures, rows_of, stack_regimes
from reward_model.heads import classify_inputs
from reward_model.jsonl import one_line
from reward_model.model import FinancialRewardModel
from reward_model.model_card import model_card
from reward_model.modeldir import Calibration, LoadedModel, save_model
from reward_model.precision import wants_bf16
from reward_model.rubric import Rubric
from reward_model.samples import GradedText, text_key
from reward_model.stats.calibration import fit_temperatures
from reward_model.trainer import MultiDimRewardTrainer, Notify, Progress, save_state
from reward_model.upper import (
    ActivationDataset,
    activations,
    collate_activations,
    first_trained,
    use_upper_part,
)

FITTED_ON = "fitted on the validation texts, which also chose the best epoch"


@dataclass
class TrainOutcome:
    """What a run gave: the model, its directory, and a row an epoch (see ``MultiDimRewardTrainer``)."""

    loaded: LoadedModel
    path: Path
    history: list[dict[str, Any]]
    best_epoch: int | None
    n_train: int
    n_validation: int
    facts: dict[str, Any] = field(default_factory=dict)


def versions() -> dict[str, str]:
    """Versions that a trained model's figures depend on."""
    names = ("reward-model", "torch", "transformers", "tokenizers", "numpy", "scikit-learn")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}


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
        resume: bool = False,
    ) -> None:
        self.settings, self.rubric, self.reference = settings, rubric, reference
        self.train_texts, self.eval_texts = train_texts, eval_texts
        self.resume = resume
        self.source, self.tell, self.progress = source, tell, progress
        self.output = Path(settings.output_dir)

    def execute(self) -> TrainOutcome:
        """Train, calibrate, write ``best_model.pt`` and the model directory."""
        folders = [folder for folder in (self.output, *self.output.parents) if not folder.exists()]
        try:
            return self._execute()
        except BaseException as error:
            checkpoints.discard_useless(self.output, error)
            for folder in folders:  # only those that are empty go
                with contextlib.suppress(OSError):
                    folder.rmdir()
            raise

    def _execute(self) -> TrainOutcome:
        started = time.monotonic()
        self.tell(
            f"训练 {len(self.train_texts)} 篇，验证 {len(self.eval_texts)} 篇；"
            f"基础模型 {self.reference.name}（{self.reference.kind}）；随机种子 {self.settings.seed}"
        )
        _require_writable(self.output)
        # Before anything is loaded or computed, and for frozen runs too: none may end by removing
        # the checkpoints of another that isn't finished.
        folder, checkpoint = checkpoints.prepare(
            self.output, self.settings, self.train_texts, self.eval_texts, resume=self.resume
        )
        if self.resume:
            self.tell(f"从检查点继续：{checkpoint}" if checkpoint else "没有未完成的训练，从头开始")
        frozen = self.settings.freeze_backbone
        loaded, trainer, temperatures, how = self._frozen() if frozen else self._full(folder, checkpoint)
        names = self.rubric.names
        calibration = Calibration(
            temperatures=dict(zip(names, map(float, temperatures), strict=True)),
            regimes={
                regime: dict(zip(names, map(float, values), strict=True))
                for regime, values in loaded.regimes.items()
            },
            n=len(self.eval_texts or self.train_texts),
            how=how,
        )
        best_epoch = trainer.best[1] if trainer.best else None
        loaded.training = self._facts(trainer, best_epoch, time.monotonic() - started)
        card = model_card(self.settings, self.rubric, self.reference, loaded.training, calibration)
        try:
            save_model(
                loaded,
                self.output,
                reference=self.reference,
                frozen=frozen,
                calibration=calibration,
                card=card,
            )
        except (OSError, SafetensorError) as error:
            raise InputError(f"{self.output}: cannot be written ({error}); name another --output") from None
        checkpoints.finish(self.output)
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
        everything = frozen.inputs([*self.train_texts, *self.eval_texts])
        n = len(self.train_texts)
        inputs, rest = rows_of(everything, range(n)), rows_of(everything, range(n, n + len(self.eval_texts)))
        labels = label_tensor(self.train_texts)
        known = label_tensor(self.eval_texts) if self.eval_texts else None
        validation = stack_regimes(rest, known) if known is not None else None
        trainer = frozen.fit(*stack_regimes(inputs, labels), validation, quiet=False)
        if known is not None:
            # The same heads: those of other folds would have trained for more epochs than the best one.
            how = FITTED_ON
            temperatures = {
                regime: fit_temperatures(classify_inputs(trainer.model, matrix), known.numpy())
                for regime, matrix in rest.items()
            }
        else:
            self.tell("校准置信度（交叉拟合） ...")
            temperatures, how = frozen.calibrate(inputs, labels, [text.group for text in self.train_texts])
        model = frozen.model.cpu()
        model.load_state_dict(trainer.model.cpu().head_state(), strict=False)
        model.eval()
        save_state(model.state_dict(), self.output / BEST_MODEL)
        loaded = LoadedModel(
            model,
            frozen.tokenizer,
            self.rubric,
            torch.tensor(temperatures["off"]),
            backbone_hash=frozen.backbone_hash,
            regimes={regime: found for regime, found in temperatures.items() if regime != "off"},
        )
        return loaded, trainer, temperatures["off"], how

    def _full(
        self, folder: Path, checkpoint: Path | None
    ) -> tuple[LoadedModel, MultiDimRewardTrainer, np.ndarray, str]:
        from transformers import set_seed

        settings = self.settings
        base_config = load_base_config(self.reference)
        tokenizer = load_tokenizer(self.reference)
        set_dropout(
            base_config, attention_dropout=settings.attention_dropout, hidden_dropout=settings.hidden_dropout
        )
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
        require_known_ids([*train_set.input_ids, *eval_set.input_ids], model.backbone, self.reference)
        tell_cut([*train_set.coverage, *eval_set.coverage], settings.max_length, self.tell)
        train_items: Any = train_set
        eval_items: Any = eval_set
        collator: Any = RewardCollator(tokenizer.pad_token_id)
        if settings.trainable_layers is not None:
            train_items, eval_items = self._prepared(model, train_set, eval_set, tokenizer.pad_token_id)
            collator = collate_activations
        trainer = MultiDimRewardTrainer(
            model,
            settings,
            self.rubric.names,
            train_dataset=train_items,
            eval_dataset=eval_items,
            data_collator=collator,
            processing_class=tokenizer,
            output_dir=folder,
            best_path=folder / BEST_MODEL,
            notify=self.tell,
            progress=self.progress,
            checkpoints=True,
        )
        with checkpoints.stop_on_sigterm(trainer):
            trainer.train_best(checkpoint)
        temperatures = fit_temperatures(
            trainer.predict_logits(eval_items), label_tensor(self.eval_texts).numpy()
        )
        save_state(model.state_dict(), self.output / BEST_MODEL)
        loaded = LoadedModel(model.cpu(), tokenizer, self.rubric, torch.tensor(temperatures))
        return loaded, trainer, temperatures, FITTED_ON

    def _prepared(
        self,
        model: FinancialRewardModel,
        train_set: MultiDimRewardDataset,
        eval_set: MultiDimRewardDataset,
        pad_id: int,
    ) -> tuple[ActivationDataset, ActivationDataset]:
        assert self.settings.trainable_layers is not None
        first = first_trained(model.backbone, self.settings.trainable_layers)
        use_upper_part(model, first)
        self.tell(f"冻结前 {first} 层，其激活只计算一次 ...")
        sequences = [*train_set.input_ids, *eval_set.input_ids]
        if torch.cuda.is_available():
            model.to("cuda")
        kept = activations(
            model,
            sequences,
            first,
            pad_id=pad_id,
            bf16=wants_bf16(self.settings.precision),
            progress=self.progress,
        )
        n = len(train_set)
        return (
            ActivationDataset(kept[:n], label_tensor(self.train_texts)),
            ActivationDataset(kept[n:], label_tensor(self.eval_texts)),
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
