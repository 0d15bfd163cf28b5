"""Scoring files: single reports, and JSON Lines in which every row in is a row out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reward_model.errors import InputError
from reward_model.inference import BLANK, default_model_path, is_blank
from reward_model.jsonl import JsonlReader, one_line
from reward_model.onnx_dir import is_onnx_dir
from reward_model.reading import read_report
from reward_model.schema import SIDES, PairRecord, Record, parse_row

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


@dataclass(frozen=True)
class Request:
    """One report to be scored, or the reason why it can't be."""

    id: str
    text: str = ""
    prompt: str | None = None
    error: str | None = None
    code: str = "bad_input"


def error_line(request: Request) -> dict[str, Any]:
    """The line that stands where a score would."""
    return {"id": request.id, "error": {"code": request.code, "message": request.error}}


def _requests_of(line: int, record: Record, prompt: str | None) -> Iterator[Request]:
    if isinstance(record, PairRecord):
        name = str(record.metadata.id if record.metadata.id is not None else line)
        for side in SIDES:
            yield Request(f"{name}.{side}", record.text(side), record.prompt or prompt)
        return
    name = str(record.id if record.id is not None else line)
    yield Request(name, record.text, record.prompt or prompt)


def _own_id(value: dict[str, Any]) -> str | None:
    """The id that a row at fault carries, so that its owner finds it again."""
    metadata = value.get("metadata")
    for holder in (value, metadata if isinstance(metadata, dict) else {}):
        if isinstance(found := holder.get("id"), (str, int)) and not isinstance(found, bool):
            return str(found)
    return None


def jsonl_requests(reader: JsonlReader, prompt: str | None = None) -> Iterator[Request]:
    """Requests in the order of the file; a line at fault is one with an error.

    Args:
        reader: the file.
        prompt: what rows that name no prompt were written to.
    """
    told = 0
    names: dict[int, str] = {}

    def faults() -> Iterator[Request]:
        nonlocal told
        lines: dict[int, list[str]] = {}
        for problem in reader.problems[told:]:
            lines.setdefault(problem.line, []).append(str(problem))
        told = len(reader.problems)
        for number, messages in lines.items():
            yield Request(names.pop(number, str(number)), error="; ".join(messages), code="bad_line")

    for row in reader:
        yield from faults()
        record = parse_row(reader, row)
        if record is None:
            names[row.line] = _own_id(row.value) or str(row.line)
            yield from faults()
            continue
        yield from _requests_of(row.line, record, prompt)
    yield from faults()


def file_requests(paths: Sequence[str], prompt: str | None) -> Iterator[Request]:
    """A request a report file ("-" is standard input); one that can't be read is a request with an error."""
    for path in paths:
        if path.lower().endswith(".jsonl"):
            yield Request(path, error=f"{one_line(path)}: is JSON Lines, not a report; give it as --input")
            continue
        try:
            yield Request(path, read_report(path), prompt)
        except InputError as error:
            yield Request(path, error=str(error))


def _judged(request: Request) -> Request:
    """The request, or one with an error where its text can't be scored: one row must not stop the others."""
    if request.error is None and is_blank(request.text):
        return Request(request.id, error=f"{one_line(request.id)}: {BLANK}")
    return request


def score_requests(
    scorer: BaseScorer,
    requests: Iterator[Request],
    write: Callable[[dict[str, Any], Request], None],
    *,
    total: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[int, int]:
    """Score ``requests`` in chunks and hand each line to ``write``, in order.

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


def count_lines(path: str) -> int:
    """Line feeds in a file, for a progress bar; 0 for what can be read only once, or not at all."""
    if not Path(path).is_file():
        return 0
    with suppress(OSError), Path(path).open("rb") as stream:
        return sum(block.count(b"\n") for block in iter(lambda: stream.read(1 << 20), b""))
    return 0
