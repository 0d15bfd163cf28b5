"""The checkpoints of an unfinished training run: local state that only ``train --resume`` opens."""

from __future__ import annotations

import json
import shutil
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from reward_model.config import TrainConfig
from reward_model.errors import InputError
from reward_model.jsonl import shown, write_json
from reward_model.samples import GradedText, text_key
from reward_model.trainer import DivergedError, MultiDimRewardTrainer, newest_checkpoint

FOLDER = "checkpoints"
_RUN = "run.json"
# Where the model goes and how it is shown changes nothing in what is learned.
_FREE = {"output_dir", "data", "eval_data"}


class InterruptedRunError(InputError):
    """Training stopped at SIGTERM with a checkpoint (exit code 143, as the shell counts signals)."""

    exit_code = 128 + signal.SIGTERM


def _description(
    settings: TrainConfig, train_texts: Sequence[GradedText], eval_texts: Sequence[GradedText]
) -> dict[str, Any]:
    texts = [_learned(text, settings) for text in (*train_texts, *eval_texts)]
    return {
        "settings": {k: v for k, v in settings.model_dump(mode="json").items() if k not in _FREE},
        "n_train": len(train_texts),
        "texts": text_key(json.dumps(texts)),
    }


def _learned(text: GradedText, settings: TrainConfig) -> list[Any]:
    """What a run takes from a text: other votes or facts under the same words make other data."""
    found: list[Any] = [text_key(text.text), *text.labels]
    if settings.soft_labels:
        found.append(text.votes)
    if settings.evidence:
        found += [text.prompt, text.facts.model_dump(mode="json") if text.facts is not None else None]
    return found


def prepare(
    output: Path,
    settings: TrainConfig,
    train_texts: Sequence[GradedText],
    eval_texts: Sequence[GradedText],
    *,
    resume: bool,
) -> tuple[Path, Path | None]:
    """The checkpoint folder of a run, and the checkpoint to go on from (None: from the start).

    Raises:
        InputError: if an unfinished run lies there and ``resume`` is false (nothing of it is lost), or if
            ``resume`` is true and it had other settings or data.
    """
    folder = output / FOLDER
    description = _description(settings, train_texts, eval_texts)
    checkpoint = newest_checkpoint(folder) if folder.is_dir() else None
    if checkpoint is None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        write_json(folder / _RUN, description)
        return folder, None
    if not resume:
        raise InputError(
            f"{folder}: holds an unfinished run; continue it with --resume, or delete that folder"
        )
    try:
        before = json.loads((folder / _RUN).read_text(encoding="utf-8"))
        old = before["settings"]
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(f"{folder / _RUN}: missing or damaged; delete {folder} to start anew") from None
    for name, value in description["settings"].items():
        if old.get(name) != value:
            raise InputError(
                f"{folder}: the unfinished run has {name} = {shown(old.get(name))}, not {shown(value)}; "
                "resume with the same settings, or delete that folder"
            )
    if (before.get("texts"), before.get("n_train")) != (description["texts"], description["n_train"]):
        raise InputError(f"{folder}: the unfinished run has other data; name the same, or delete that folder")
    return folder, checkpoint


def finish(output: Path) -> None:
    """Remove the checkpoints of a run that is done."""
    shutil.rmtree(output / FOLDER, ignore_errors=True)


def discard_useless(output: Path, error: BaseException) -> None:
    """After a failure, remove checkpoints that no run can go on from: none whole, or training went astray."""
    if isinstance(error, DivergedError) or newest_checkpoint(output / FOLDER) is None:
        finish(output)


@contextmanager
def stop_on_sigterm(trainer: MultiDimRewardTrainer) -> Iterator[None]:
    """Let SIGTERM stop ``trainer`` behind the current step, with a checkpoint.

    Raises:
        InterruptedRunError: on the way out, if it came.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set a handler
        return

    def request(number: int, frame: Any) -> None:
        trainer.stop_requested = True

    before = signal.signal(signal.SIGTERM, request)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
    if trainer.stop_requested:
        raise InterruptedRunError("stopped by SIGTERM; the run goes on from its checkpoint with --resume")
