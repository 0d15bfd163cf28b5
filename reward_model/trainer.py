"""``transformers.Trainer`` for the reward model: dataset-level metrics each epoch, the best model kept."""

from __future__ import annotations

import json
import math
import pickle
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import SequentialSampler
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from reward_model.config import TrainConfig
from reward_model.errors import InputError
from reward_model.loss import label_weight, reward_loss
from reward_model.model import FinancialRewardModel
from reward_model.precision import wants_bf16
from reward_model.stats.calibration import apply_temperatures
from reward_model.stats.metrics import figures

BEST_BY = "overall_accuracy"
"""The validation figure by which the best epoch is chosen; of equal ones the earliest."""

_PREFIX = "reward_"

RUN_STATE = "run_state.pt"
"""In a checkpoint: the epochs so far, the best of them, and what was predicted in one that isn't over."""

Notify = Callable[[str], None]
Progress = Callable[[int, int], None]


def softmax(logits: np.ndarray) -> np.ndarray:
    """Uncalibrated probabilities, float64."""
    return apply_temperatures(logits, np.ones(logits.shape[1]))


def level_figures(logits: np.ndarray, labels: np.ndarray, names: Sequence[str]) -> dict[str, float]:
    """Overall accuracy, and accuracy, macro F1 and QWK a dimension, over all rows at once.

    Args:
        logits: [N, D, K].
        labels: [N, D], -100 where there is none.
        names: the dimensions.
    """
    found = figures(labels, softmax(logits), np.empty((0, 2), dtype=int), names)(np.arange(len(labels)))
    result = {"overall_accuracy": found["overall_accuracy"]}
    for name in names:
        for figure in ("accuracy", "macro_f1", "qwk"):
            result[f"{figure}_{name}"] = found[f"per_dim.{name}.{figure}"]
    return {name: value for name, value in result.items() if not math.isnan(value)}


class DivergedError(InputError):
    """The loss is no number any more."""


class _EpochCallback(TrainerCallback):
    """Tells what each epoch gave and keeps the best weights."""

    def __init__(self, trainer: MultiDimRewardTrainer) -> None:
        self.trainer = trainer

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        # Resumed within an epoch it begins a second time, at a fraction.
        if begin := getattr(self.trainer.train_dataset, "begin_epoch", None):
            begin(int(state.epoch or 0))

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.trainer.progress:
            self.trainer.progress(state.global_step, state.max_steps)

        if self.trainer.stop_requested:
            control.should_save = control.should_training_stop = True

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.trainer.stop_requested and not float(state.epoch or 0).is_integer():
            # The epoch goes on when the run is resumed; until then there is nothing to judge.
            control.should_evaluate = control.should_save = False
            return
        self.trainer.finish_epoch(round(state.epoch or 0))

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **kwargs: Any) -> None:
        self.trainer.judge_epoch(round(state.epoch or 0), metrics or {})
        if self.trainer.out_of_patience:
            control.should_training_stop = True


class MultiDimRewardTrainer(Trainer):
    """Trains a :class:`FinancialRewardModel`.

    ``history`` holds a row an epoch: loss and metrics over the training items as they were seen (dropout on),
    and over the validation items after the epoch. The weights of the best epoch by validation
    ``overall_accuracy`` are kept on disk as they are found (``best_path``), or in memory without a path, and
    are loaded at the end of :meth:`train_best`; without validation data the last epoch is the best.

    Args:
        model: the model.
        config: settings of the run.
        names: the dimensions.
        train_dataset, eval_dataset, data_collator, processing_class: as ``transformers.Trainer``; a
            ``train_dataset`` that has ``begin_epoch(epoch)`` is told each epoch, from 0.
        output_dir: for the trainer's own files; with ``checkpoints`` a checkpoint an epoch, the newest two.
        best_path: where the best state dict goes (``torch.load(weights_only=True)`` reads it).
        notify: is called with a line an epoch.
        progress: is called with (steps done, steps in all).
        checkpoints: keep what :meth:`train_best` needs to go on after an interruption.
    """

    def __init__(
        self,
        model: FinancialRewardModel,
        config: TrainConfig,
        names: Sequence[str],
        *,
        train_dataset: Any,
        eval_dataset: Any | None = None,
        data_collator: Any,
        processing_class: Any | None = None,
        output_dir: str | Path,
        best_path: Path | None = None,
        notify: Notify | None = None,
        progress: Progress | None = None,
        checkpoints: bool = False,
    ) -> None:
        self.config = config
        self.names = list(names)
        self.notify = notify
        self.progress = progress
        self.best_path = best_path
        self.best: tuple[float, int] | None = None
        self.history: list[dict[str, Any]] = []
        self._best_state: dict[str, Tensor] | None = None
        self.stop_requested = False
        """Set it (a signal handler may) to stop behind the current step, with a checkpoint."""
        self._seen: list[tuple[Tensor, Tensor]] = []
        self._weights = (
            None if model.config.class_weights is None else torch.tensor(model.config.class_weights)
        )
        bf16 = wants_bf16(config.precision) and not config.freeze_backbone
        arguments = TrainingArguments(
            output_dir=str(output_dir),
            per_device_train_batch_size=config.batch_size,
            per_device_eval_batch_size=config.batch_size,
            gradient_accumulation_steps=config.accumulation_steps,
            learning_rate=config.learning_rate,
            weight_decay=config.weight_decay,
            warmup_steps=config.warmup_ratio,
            num_train_epochs=config.num_epochs,
            seed=config.seed,
            eval_strategy="epoch" if eval_dataset is not None else "no",
            save_strategy="epoch" if checkpoints else "no",
            save_total_limit=2,
            train_sampling_strategy="group_by_length" if config.group_by_length else "random",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
            remove_unused_columns=False,
            label_names=["labels"],
            bf16=bf16,
            # Said outright, or the library refuses bf16 on a processor.
            use_cpu=bf16 and not torch.cuda.is_available(),
            dataloader_pin_memory=torch.cuda.is_available(),
        )
        super().__init__(
            model=model,
            args=arguments,
            train_dataset=train_dataset,
            eval_dataset=eval_dataset,
            data_collator=data_collator,
            processing_class=processing_class,
            compute_metrics=self._metrics,
        )
        # The trainer here, not the model, divides by the labels of the whole accumulated batch.
        self.model_accepts_loss_kwargs = True
        self.remove_callback(PrinterCallback)
        self.add_callback(_EpochCallback(self))

    def _get_eval_sampler(self, eval_dataset: Any) -> Any:
        # Predictions must come in the order of the items; group_by_length would group these too.
        return SequentialSampler(eval_dataset) if self.args.world_size <= 1 else None

    # -- figures -------------------------------------------------------------------------------------------

    def _figures(self, logits: Tensor, labels: Tensor, epoch: int) -> dict[str, float]:
        """Loss and metrics over all items at once: a mean of batch means would count a small batch double."""
        if not logits.isfinite().all():
            raise DivergedError(
                f"training went astray in epoch {epoch} (its loss is no number); set a lower learning_rate"
            )
        loss = reward_loss(logits, labels, self._weights)
        return {"loss": loss.item(), **level_figures(logits.numpy(), labels.numpy(), self.names)}

    def _metrics(self, prediction: Any) -> dict[str, float]:
        logits, labels = torch.as_tensor(prediction.predictions), torch.as_tensor(prediction.label_ids)
        # The trainer puts its own mean of batch means under "loss".
        return {
            _PREFIX + name: value for name, value in self._figures(logits, labels, len(self.history)).items()
        }

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: Any) -> tuple[Any, Any]:
        """The next ``num_batches`` batches, and the weight of all their labels together."""
        samples, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        total = sum(self._label_weight(batch).cpu() for batch in samples)
        return samples, torch.as_tensor(total).clamp(min=torch.finfo(torch.float32).tiny)

    def _label_weight(self, batch: Mapping[str, Any]) -> Tensor:
        return label_weight(batch["labels"], self._weights, batch.get("soft_targets"))

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Cross-entropy; in training over the accumulated batch's labels, however they fall on its parts.

        A mean of the parts' means would weigh labels by how many others are missing beside them. What the
        model predicted on the way is kept for the epoch's training metrics.
        """
        outputs = model(**inputs)
        if not model.training:
            return (outputs.loss, outputs) if return_outputs else outputs.loss
        labels = inputs["labels"]
        self._seen.append((outputs.logits.detach().float().cpu(), labels.cpu()))
        loss = outputs.loss
        if num_items_in_batch is not None:
            loss = loss * (self._label_weight(inputs) / num_items_in_batch.to(loss.device))
        return (loss, outputs) if return_outputs else loss

    def create_optimizer(self, model: Any | None = None) -> Any:
        """AdamW; heads and evidence get learning rates of their own where they have them."""
        config = self.config
        apart = config.head_learning_rate is not None or config.evidence
        if getattr(self, "optimizer", None) is None and apart:
            heads = config.head_learning_rate or config.learning_rate
            rates = {"backbone": config.learning_rate, "evidence": config.evidence_learning_rate}
            groups: dict[tuple[float, bool], list[Tensor]] = {}
            for name, parameter in self.model.named_parameters():
                if parameter.requires_grad:
                    part = name.partition(".")[0]
                    # Few weights on plain counts: decay would only blur them.
                    decays = parameter.ndim > 1 and part != "evidence"
                    groups.setdefault((rates.get(part, heads), decays), []).append(parameter)
            self.optimizer = torch.optim.AdamW(
                [
                    {
                        "params": parameters,
                        "lr": rate,
                        "weight_decay": config.weight_decay if decays else 0.0,
                    }
                    for (rate, decays), parameters in groups.items()
                ]
            )
        return super().create_optimizer(model)

    # -- epochs --------------------------------------------------------------------------------------------

    def finish_epoch(self, epoch: int) -> None:
        """Close the epoch's row with the training figures (called at its end)."""
        logits = torch.cat([logits for logits, _ in self._seen])
        labels = torch.cat([labels for _, labels in self._seen])
        row: dict[str, Any] = {"epoch": epoch, "train": self._figures(logits, labels, epoch)}
        self._seen = []
        self.history.append(row)
        if self.eval_dataset is None:
            self._tell(row)

    def judge_epoch(self, epoch: int, metrics: dict[str, float]) -> None:
        """Add the validation figures, and keep the weights if they are the best so far."""
        if not self.history or self.history[-1]["epoch"] != epoch:
            return
        row = self.history[-1]
        prefix = f"eval_{_PREFIX}"
        row["validation"] = {
            name.removeprefix(prefix): value for name, value in metrics.items() if name.startswith(prefix)
        }
        score = row["validation"].get(BEST_BY, -math.inf)
        if self.best is None or score > self.best[0]:
            self.best = (score, epoch)
            self._keep()
        self._tell(row)

    @property
    def out_of_patience(self) -> bool:
        """Whether ``early_stopping_patience`` epochs have passed without a better one."""
        patience = self.config.early_stopping_patience
        if patience is None or self.best is None or not self.history:
            return False
        return bool(self.history[-1]["epoch"] - self.best[1] >= patience)

    def _keep(self) -> None:
        state = {name: value.detach().cpu().clone() for name, value in self.model.state_dict().items()}
        if self.best_path is None:
            self._best_state = state
        else:
            save_state(state, self.best_path)

    def _tell(self, row: dict[str, Any]) -> None:
        if self.notify:
            best = self.best is not None and self.best[1] == row["epoch"]
            self.notify(epoch_line(row, self.config.num_epochs, self.names, best))

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        state = {
            "history": json.dumps(self.history),
            "best": list(self.best or []),
            "seen": [list(pair) for pair in self._seen],
        }
        # Written last: a checkpoint without it was cut short, and is passed over.
        save_state(state, Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}" / RUN_STATE)

    def _restore(self, checkpoint: Path) -> None:
        try:
            state = torch.load(checkpoint / RUN_STATE, map_location="cpu", weights_only=True)
            self.history = json.loads(state["history"])
            self.best = (float(state["best"][0]), int(state["best"][1])) if state["best"] else None
            self._seen = [(logits, labels) for logits, labels in state["seen"]]
        except (pickle.UnpicklingError, RuntimeError, OSError, ValueError, KeyError, TypeError, EOFError):
            raise InputError(f"{checkpoint}: damaged; delete {checkpoint.parent} to start anew") from None

    def train_best(self, resume: Path | None = None) -> FinancialRewardModel:
        """Train, then load the best epoch's weights; returns the model in evaluation mode.

        Args:
            resume: a checkpoint (see :func:`newest_checkpoint`) of a run with the same settings and data.
                The weights, metrics and patience that follow are those of a run without interruption.
        """
        if resume is not None:
            self._restore(resume)
        if not (resume is not None and self.out_of_patience):
            try:
                self.train(resume_from_checkpoint=None if resume is None else str(resume))
            except pickle.UnpicklingError:
                raise InputError(f"{resume}: damaged; delete {self.args.output_dir} to start anew") from None
        if self.best is not None and not self.stop_requested:
            state = self._best_state
            if state is None and self.best_path is not None:
                state = torch.load(self.best_path, map_location="cpu", weights_only=True)
            self.model.load_state_dict(state, strict=True)
        model: FinancialRewardModel = self.model.eval()
        return model

    def predict_logits(self, dataset: Any) -> np.ndarray:
        """Logits [N, D, K] of every item of ``dataset``."""
        return np.asarray(self.predict(dataset).predictions)


def newest_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint in ``folder``, or None."""
    found = [path.parent for path in folder.glob(f"checkpoint-*/{RUN_STATE}")]
    return max(found, key=lambda path: int(path.name.rsplit("-", 1)[1]), default=None)


def save_state(state: dict[str, Any], path: Path) -> None:
    """Write a plain state dict; it replaces the old one only when it is whole.

    Raises:
        InputError: if it can't be written there.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(state, temporary)
        temporary.replace(path)
    except (OSError, RuntimeError) as error:  # torch says "unexpected pos" where the disk is full
        reason = getattr(error, "strerror", None) or "no space is left, or the disk failed"
        raise InputError(
            f"{path}: cannot be written ({reason}); free space or name another --output"
        ) from None
    finally:
        temporary.unlink(missing_ok=True)


def epoch_line(row: dict[str, Any], n_epochs: int, names: Sequence[str], best: bool) -> str:
    """One epoch as a line for people."""

    def part(title: str, row: dict[str, float]) -> str:
        def shown(figure: str) -> str:
            return f"{row.get(figure, math.nan):.3f}"

        dims = " ".join(f"{name} {shown(f'accuracy_{name}')}/{shown(f'macro_f1_{name}')}" for name in names)
        return f"{title} 损失 {shown('loss')} 整体准确率 {shown('overall_accuracy')}（准确率/F1：{dims}）"

    parts = [f"第 {row['epoch']}/{n_epochs} 轮", part("训练", row["train"])]
    if "validation" in row:
        parts.append(part("验证", row["validation"]))
    return " | ".join(parts) + (" ★ 最佳" if best else "")
