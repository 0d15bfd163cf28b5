"""An interrupted run goes on where it stopped, and ends as if nothing had happened."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from tiny_bert import report_rows, write_tiny_bert

from reward_model.config import TrainConfig
from reward_model.errors import InputError
from reward_model.loss import label_weight, reward_loss
from reward_model.model import FinancialRewardModel
from reward_model.samples import IGNORED, GradedText
from reward_model.train_multidim import main, train
from reward_model.trainer import MultiDimRewardTrainer, newest_checkpoint
from reward_model.training import TrainOutcome

SETTINGS = {
    "num_epochs": 4,
    "precision": "fp32",
    "batch_size": 4,
    "learning_rate": 3e-3,
    "dropout": 0.3,
    "val_fraction": 0.3,
    "max_length": 64,
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bert(tmp_path_factory.mktemp("base") / "tiny")


def settings(base: Path, output: Path, **others: object) -> TrainConfig:
    return TrainConfig(base_model_name=str(base), output_dir=str(output), **{**SETTINGS, **others})  # type: ignore[arg-type]


def graded_texts(n: int) -> list[GradedText]:
    return [
        GradedText(str(i), row["text"], tuple(row["scores"].values()), group=str(i))
        for i, row in enumerate(report_rows(n))
    ]


class _StopAt:
    """Ends training behind a given step, as SIGTERM would."""

    def __init__(self, step: int) -> None:
        self.step = step

    def __call__(self, done: int, total: int) -> None:
        if done == self.step:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.05)


def run(
    base: Path, output: Path, *, stop_at: int | None = None, resume: bool = False, **others: object
) -> TrainOutcome:
    return train(
        settings(base, output, **others),
        train_texts=graded_texts(24),
        resume=resume,
        progress=None if stop_at is None else _StopAt(stop_at),
    )


@pytest.mark.parametrize("stop_at", [1, 5, 10, 13])
def test_a_run_stopped_by_sigterm_and_resumed_equals_an_uninterrupted_one(
    base: Path, tmp_path: Path, stop_at: int
) -> None:
    whole = run(base, tmp_path / "whole")
    with pytest.raises(InputError, match="--resume") as stopped:
        run(base, tmp_path / "parts", stop_at=stop_at)
    assert stopped.value.exit_code == 143
    assert not (tmp_path / "parts" / "model.safetensors").exists()
    resumed = run(base, tmp_path / "parts", resume=True)
    assert resumed.history == whole.history
    assert resumed.best_epoch == whole.best_epoch
    for name, value in whole.loaded.model.state_dict().items():
        assert torch.equal(value, resumed.loaded.model.state_dict()[name]), name
    assert not (tmp_path / "parts" / "checkpoints").exists()


def test_patience_is_counted_across_an_interruption(base: Path, tmp_path: Path) -> None:
    # A learning rate of next to nothing never betters the first epoch.
    still = {"num_epochs": 9, "learning_rate": 1e-12, "early_stopping_patience": 3}
    whole = run(base, tmp_path / "whole", **still)
    assert [row["epoch"] for row in whole.history] == [1, 2, 3, 4]
    with pytest.raises(InputError, match="--resume"):
        run(base, tmp_path / "parts", stop_at=12, **still)
    resumed = run(base, tmp_path / "parts", resume=True, **still)
    assert resumed.history == whole.history


def test_killed_outright_a_run_goes_on_from_its_last_epoch(base: Path, tmp_path: Path) -> None:
    whole = run(base, tmp_path / "whole", num_epochs=6)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\n"
        "import test_resume as t\n"
        "import os\n"
        "class Kill:\n"
        "    def __call__(self, done, total):\n"
        "        if done == 18: os.kill(os.getpid(), 9)\n"
        "t._StopAt = lambda step: Kill()\n"
        "t.run(Path(sys.argv[2]), Path(sys.argv[3]), stop_at=1, num_epochs=6)\n"
    )
    folder = tmp_path / "parts"
    done = subprocess.run(
        [sys.executable, "-c", code, str(Path(__file__).parent), str(base), str(folder)], timeout=120
    )
    assert done.returncode == -signal.SIGKILL
    assert newest_checkpoint(folder / "checkpoints") is not None
    resumed = run(base, folder, resume=True, num_epochs=6)
    assert resumed.history == whole.history
    for name, value in whole.loaded.model.state_dict().items():
        assert torch.equal(value, resumed.loaded.model.state_dict()[name]), name


def test_a_checkpoint_cut_short_is_passed_over(base: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError):
        run(base, tmp_path / "parts", stop_at=13)
    folder = tmp_path / "parts" / "checkpoints"
    newest = newest_checkpoint(folder)
    assert newest is not None
    (newest / "run_state.pt").unlink()
    older = newest_checkpoint(folder)
    assert older is not None
    assert older != newest
    assert run(base, tmp_path / "parts", resume=True).history == run(base, tmp_path / "whole").history


def test_an_unfinished_run_is_neither_overwritten_nor_mixed_with_another(base: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError):
        run(base, tmp_path / "parts", stop_at=5)
    before = newest_checkpoint(tmp_path / "parts" / "checkpoints")
    with pytest.raises(InputError, match=r"unfinished run; continue it with --resume"):
        run(base, tmp_path / "parts")
    with pytest.raises(InputError, match=r"learning_rate = 0.003, not 0.5"):
        run(base, tmp_path / "parts", resume=True, learning_rate=0.5)
    with pytest.raises(InputError, match=r"other data"):
        train(settings(base, tmp_path / "parts"), train_texts=graded_texts(30), resume=True)
    assert newest_checkpoint(tmp_path / "parts" / "checkpoints") == before


def test_resume_without_an_unfinished_run_starts_from_the_beginning(base: Path, tmp_path: Path) -> None:
    assert run(base, tmp_path / "a", resume=True).history == run(base, tmp_path / "b").history


def test_a_pickle_in_a_checkpoint_is_not_executed(base: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError):
        run(base, tmp_path / "parts", stop_at=5)
    newest = newest_checkpoint(tmp_path / "parts" / "checkpoints")
    assert newest is not None
    marker = tmp_path / "executed"

    class Evil:
        def __reduce__(self) -> object:
            return (Path.touch, (marker,))

    torch.save({"history": Evil()}, newest / "run_state.pt")
    with pytest.raises(InputError, match="damaged"):
        run(base, tmp_path / "parts", resume=True)
    assert not marker.exists()


def test_the_flag_resumes_from_the_command_line(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["--base-model", str(base), "--resume", "--epochs", "1", "--max-length", "16"]) == 0
    assert "从头开始" in capsys.readouterr().out


@pytest.mark.parametrize("weights", [None, [2.0, 1.5, 1.0, 1.0, 0.5]])
def test_accumulated_gradients_are_those_of_one_batch_however_labels_are_missing(
    base: Path, tmp_path: Path, weights: list[float] | None
) -> None:
    texts = graded_texts(8)
    labels = torch.tensor([text.labels for text in texts])
    labels[:3] = IGNORED  # the first parts hold few labels, the last ones all
    labels[4, 1] = IGNORED
    gradients = []
    for batch, steps in ((8, 1), (2, 4), (3, 3)):
        config = settings(base, tmp_path, batch_size=batch, accumulation_steps=steps, class_weights=weights)
        torch.manual_seed(0)
        model = FinancialRewardModel(base_model_name=str(base), dropout=0.0, class_weights=weights)
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        gradients.append(_accumulated(model, config, labels, tmp_path))
    for other in gradients[1:]:
        for name, value in gradients[0].items():
            assert torch.allclose(value, other[name], atol=1e-6, rtol=1e-4), name


def _accumulated(
    model: FinancialRewardModel, config: TrainConfig, labels: torch.Tensor, folder: Path
) -> dict[str, torch.Tensor]:
    """The gradient of one optimizer step of the trainer, caught before it is clipped or used."""
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(5, 40, (len(labels), 12), generator=generator)
    items = [
        {"input_ids": i, "attention_mask": torch.ones_like(i), "labels": y}
        for i, y in zip(ids, labels, strict=True)
    ]
    trainer = MultiDimRewardTrainer(
        model,
        config,
        ("depth", "professionalism", "accuracy"),
        train_dataset=items,
        data_collator=lambda rows: {k: torch.stack([row[k] for row in rows]) for k in rows[0]},
        output_dir=folder,
    )
    model.train()
    batches = [items[i : i + config.batch_size] for i in range(0, len(items), config.batch_size)]
    samples, total = trainer.get_batch_samples(
        iter([trainer.data_collator(batch) for batch in batches]), len(batches), torch.device("cpu")
    )
    for sample in samples:
        trainer.training_step(model, sample, total)
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


def test_label_weight_is_what_the_loss_divides_by() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(6, 3, 5, generator=generator)
    labels = torch.randint(0, 5, (6, 3), generator=generator)
    labels[0, 0] = IGNORED
    for weights in (None, torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0]), torch.rand(3, 5, generator=generator)):
        halves = [(logits[i : i + 2], labels[i : i + 2]) for i in (0, 2, 4)]
        sizes = torch.stack([label_weight(y, weights) for _, y in halves])
        losses = torch.stack([reward_loss(x, y, weights) for x, y in halves])
        joined = (losses * sizes).sum() / sizes.sum()
        assert torch.allclose(joined, reward_loss(logits, labels, weights))


def test_heads_trained_in_the_same_place_do_not_remove_an_unfinished_run(base: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError):
        run(base, tmp_path / "parts", stop_at=5)
    before = newest_checkpoint(tmp_path / "parts" / "checkpoints")
    for resume in (False, True):
        with pytest.raises(InputError, match="unfinished run"):
            run(base, tmp_path / "parts", resume=resume, freeze_backbone=True)
    assert before is not None
    assert newest_checkpoint(tmp_path / "parts" / "checkpoints") == before
