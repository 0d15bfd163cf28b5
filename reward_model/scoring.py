"""Scoring files: single reports, and JSON Lines in which every row in is a row out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from reward_model.errors import InputError
from reward_model.inference import BLANK, default_model_path, is_blank
from reward_model.intake import Request, Write, error_line
from reward_model.jsonl import one_line
from reward_model.onnx_dir import is_onnx_dir

if TYPE_CHECKING:
    from reward_model.inference import BaseScorer

CHUNK = 64
"""Rows that are held in memory and scored together."""


def load_scorer(
    path: str | Path | None = None,
    *,
    device: str | None = None,
    threads: int | None = None,
    precision: str | None = None,
) -> BaseScorer:
    """The scorer of a model directory, of torch's kind or of ONNX's (which needs no torch).

    Args:
        path: None for the model that comes with the package.
        device: None for the best there is.
        threads: of one pass on the CPU; None leaves it to the library.
        precision: as :class:`reward_model.inference.RewardScorer` takes it; None for fp32. What an ONNX model
            computes in was chosen when it was exported.

    Raises:
        InputError: if the directory is missing, damaged or incomplete, or the device isn't there.
        ResourceError: if its base model can't be had.
    """
    folder = Path(path) if path is not None else default_model_path()
    if is_onnx_dir(folder):
        if precision not in (None, "auto"):
            raise InputError(
                f"{folder}: an ONNX model computes in what it was exported in; leave --precision out, or "
                "name the model directory it came from"
            )
        from reward_model.onnx_scorer import OnnxScorer

        return OnnxScorer.from_pretrained(folder, device=device, threads=threads)
    from reward_model.inference import RewardScorer

    scorer = RewardScorer.from_pretrained(folder, device=device, precision=precision or "fp32")
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    return scorer


def _judged(request: Request) -> Request:
    """The request, or one with an error where its text can't be scored: one row must not stop the others."""
    if request.error is None and is_blank(request.text):
        return Request(request.id, error=f"{one_line(request.id)}: {BLANK}")
    return request


def score_requests(
    scorer: BaseScorer,
    requests: Iterator[Request],
    write: Write,
    *,
    check: bool = True,
    total: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[int, int]:
    """Score ``requests`` in chunks and hand each line to ``write``, in order.

    Args:
        scorer: a model.
        requests: what to score.
        write: takes each line.
        check: let the calculation checker run, where the model takes its findings.
        total: requests that are expected, for ``progress``.
        progress: is called with (requests done, requests in all).

    Returns:
        How many lines were written, and how many of them are errors.
    """
    done = failed = 0
    chunk: list[Request] = []

    def flush() -> None:
        nonlocal done, failed
        chunk[:] = [_judged(request) for request in chunk]
        sound = [request for request in chunk if request.error is None]
        scores = iter(
            scorer.score_batch(
                [request.text for request in sound],
                prompts=[request.prompt for request in sound],
                ids=[request.id for request in sound],
                facts=[request.facts for request in sound],
                check=check,
            )
        )
        for request in chunk:
            if request.error is None:
                write(next(scores).to_dict(), request)
            else:
                failed += 1
                write(error_line(request), request)
            done += 1
        chunk.clear()
        if progress and total:
            progress(min(done, total), total)

    for request in requests:
        chunk.append(request)
        if len(chunk) >= CHUNK:
            flush()
    flush()
    return done, failed
