"""One training run from texts to a model directory; called by ``train_multidim``."""

from __future__ import annotations

import contextlib
import platform
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError

from reward_model import checkpoints
from reward_model.assembly import label_tensor, soft_label_tensor
from reward_model.augmentation import augmented
from reward_model.backbone import BaseReference
from reward_model.config import BEST_MODEL, TrainConfig
from reward_model.errors import InputError
from reward_model.frozen import FrozenFeatures, repeat_soft, rows_of, stack_regimes, were_graded
from reward_model.full import FullTraining
from reward_model.heads import classify_inputs
from reward_model.jsonl import one_line
from reward_model.model import FinancialRewardModel
from reward_model.model_card import model_card
from reward_model.modeldir import Calibration, LoadedModel, save_model
from reward_model.rubric import Rubric
from reward_model.samples import GradedText, text_key
from reward_model.stats.calibration import fit_temperatures
from reward_model.trainer import MultiDimRewardTrainer, Notify, Progress, save_state

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
        self.made_texts = augmented(
            train_texts, rubric, settings.augment, share=settings.augment_share, seed=settings.seed
        )
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
        made = f"（另由已知改动生成 {len(self.made_texts)} 篇）" if self.made_texts else ""
        self.tell(
            f"训练 {len(self.train_texts)} 篇{made}，验证 {len(self.eval_texts)} 篇；"
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
        learned = [*self.train_texts, *self.made_texts]
        everything = frozen.inputs([*learned, *self.eval_texts])
        n = len(learned)
        inputs, rest = rows_of(everything, range(n)), rows_of(everything, range(n, n + len(self.eval_texts)))
        labels = label_tensor(learned)
        known = label_tensor(self.eval_texts) if self.eval_texts else None
        validation = stack_regimes(rest, known) if known is not None else None
        soft = soft_label_tensor(learned, self.settings)
        targets = repeat_soft(soft, len(inputs))
        trainer = frozen.fit(*stack_regimes(inputs, labels), validation, soft=targets, quiet=False)
        if known is not None:
            # The same heads: those of other folds would have trained for more epochs than the best one.
            how = FITTED_ON
            temperatures = {
                regime: fit_temperatures(classify_inputs(trainer.model, matrix), known.numpy())
                for regime, matrix in rest.items()
            }
        else:
            self.tell("校准置信度（交叉拟合） ...")
            groups = [text.group for text in learned]
            temperatures, how = frozen.calibrate(inputs, labels, groups, soft, were_graded(learned))
        model = frozen.model.cpu()
        model.load_state_dict(trainer.model.cpu().head_state(), strict=False)
        model.eval()
        save_state(model.state_dict(), self.output / BEST_MODEL)
        loaded = self._loaded(model, frozen.tokenizer, temperatures, frozen.backbone_hash)
        return loaded, trainer, temperatures["off"], how

    def _full(
        self, folder: Path, checkpoint: Path | None
    ) -> tuple[LoadedModel, MultiDimRewardTrainer, np.ndarray, str]:
        full = FullTraining(self.settings, self.rubric, self.reference, self.tell, self.progress)
        trainer, temperatures = full.fit(
            [*self.train_texts, *self.made_texts], self.eval_texts, folder, checkpoint
        )
        save_state(full.model.state_dict(), self.output / BEST_MODEL)
        loaded = self._loaded(full.model.cpu(), full.tokenizer, temperatures)
        return loaded, trainer, temperatures["off"], FITTED_ON

    def _loaded(
        self,
        model: FinancialRewardModel,
        tokenizer: Any,
        temperatures: Mapping[str, np.ndarray],
        backbone_hash: str | None = None,
    ) -> LoadedModel:
        return LoadedModel(
            model,
            tokenizer,
            self.rubric,
            torch.tensor(temperatures["off"]),
            backbone_hash=backbone_hash,
            regimes={regime: found for regime, found in temperatures.items() if regime != "off"},
        )

    def _facts(
        self, trainer: MultiDimRewardTrainer, best_epoch: int | None, seconds: float
    ) -> dict[str, Any]:
        best = next((row for row in trainer.history if row["epoch"] == best_epoch), trainer.history[-1])
        return {
            **self.source,
            "n_train": len(self.train_texts),
            "n_made": len(self.made_texts),
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
