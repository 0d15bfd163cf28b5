"""Scorers and graded texts for the tests of scoring, evaluation and the command line."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from models import loaded_model, save, write_base

from reward_model import cli
from reward_model.evaluation import Evaluation
from reward_model.inference import RewardScorer
from reward_model.samples import text_key

EXAMPLES = Path(__file__).parent.parent / "examples"


@lru_cache(maxsize=1)
def default_scorer() -> RewardScorer:
    """The shipped model, loaded once a test run."""
    return RewardScorer.default(device="cpu")


def write_model(
    folder: Path, *, base: Path | None = None, trained_on: Sequence[str] = (), **options: Any
) -> Path:
    """A model directory on a tiny BERT with heads that nobody trained.

    Args:
        folder: where to; the base model goes beside it unless one is given.
        base: a base model that is there already.
        trained_on: texts that it says it was trained on.
        options: as for the model: ``max_length``, ``rubric``, ``include_prompt`` ...
    """
    base = base or write_base(folder.parent / f"{folder.name}-base", "bert")
    loaded = loaded_model(base, **options)
    training = {"metrics": {}, "train_texts": sorted(map(text_key, trained_on)), "validation_texts": []}
    return save(replace(loaded, training=training), folder, base, frozen=False)


def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundredth of the usual resamples behind each interval, unless a test asks for its own number."""
    real = Evaluation.__init__

    def init(self: Evaluation, *args: Any, **options: Any) -> None:
        real(self, *args, **({"n_resamples": 10} | options))

    monkeypatch.setattr(Evaluation, "__init__", init)


@dataclass
class Ran:
    """What a command gave."""

    code: int
    out: str
    err: str


def finrm(capfd: pytest.CaptureFixture[str], *arguments: str | Path, stdin: str | bytes | None = None) -> Ran:
    """Run ``finrm`` in this process, with ``stdin`` piped into it where given."""
    capfd.readouterr()
    with pytest.MonkeyPatch.context() as patch:
        if stdin is not None:
            data = stdin.encode() if isinstance(stdin, str) else stdin
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))
        code = cli.main(list(map(str, arguments)))
    out, err = capfd.readouterr()
    return Ran(code, out, err)
