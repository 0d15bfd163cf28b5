"""Scoring with an exported model: onnxruntime, tokenizers and numpy, where no torch is installed.

scorer = OnnxScorer.from_pretrained("onnx_model")
print(scorer.score(open("report.md", encoding="utf-8").read()).scores)
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Tokenizer

from reward_model.dataset_multidim import encode_texts
from reward_model.errors import InputError, ResourceError
from reward_model.evidence import require_version
from reward_model.inference import BaseScorer
from reward_model.jsonl import one_line
from reward_model.model_files import read_json, read_regimes, read_temperatures
from reward_model.onnx_dir import HEADS, MODEL, TOKENIZER, OnnxConfig, read_onnx_config
from reward_model.rubric import load_rubric
from reward_model.window_plan import document_windows, token_batches

Stats = dict[str, NDArray[np.float32]]


class PlainTokenizer:
    """A ``tokenizer.json`` without transformers around it, called as transformers' tokenizers are.

    Raises:
        InputError: if the file holds no tokenizer.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # whatever the library meets in a damaged file
            raise InputError(f"{path}: holds no usable tokenizer ({_reason(error)})") from None
        self._tokenizer.no_padding()

    def __call__(
        self, text: str, *, truncation: bool = False, max_length: int | None = None, **_: Any
    ) -> dict[str, list[int]]:
        """``{"input_ids"}`` of ``text``, cut at ``max_length`` with ``truncation``."""
        if truncation and max_length is not None:
            self._tokenizer.enable_truncation(max_length)
        else:
            self._tokenizer.no_truncation()
        return {"input_ids": self._tokenizer.encode(text).ids}


def default_threads() -> int:
    """``OMP_NUM_THREADS`` where it is set, as for torch; else the processors that this process may use."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    if given.isdecimal() and int(given) > 0:
        return int(given)
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _reason(error: Exception) -> str:
    return one_line(" ".join(str(error).split()) or type(error).__name__, 200)


def _session(path: Path, threads: int, providers: list[str]) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Plans of memory are kept a shape, and every batch has a shape of its own.
    options.enable_mem_pattern = False
    # Threads that wait in a loop slow down whatever else the machine does, and other threads of ours.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # the library has a class for each kind of fault, without a common one
        raise InputError(f"{path}: onnxruntime cannot load it ({_reason(error)}); export it again") from None


def _providers(device: str | None) -> list[str]:
    if device in (None, "cpu"):
        return ["CPUExecutionProvider"]
    if device == "cuda" and "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        return ["CUDAExecutionProvider", "CPUExecutionProvider"]
    raise InputError(f"device {one_line(str(device))}: not with this onnxruntime; name another, such as cpu")


class OnnxScorer(BaseScorer):
    """Scores reports with an exported model; used like :class:`reward_model.inference.RewardScorer`.

    A score is the same alone, in any batch and in any order (within 1e-5).

    Args:
        path: an ONNX model directory.
        device: "cpu" (also None), or "cuda" with onnxruntime-gpu.
        threads: of one pass; None for :func:`default_threads`.
        batch_tokens: padded tokens that are read at a time; one window is read also if it is more.

    Raises:
        InputError: if the directory is missing, damaged or incomplete, or the device isn't there.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        device: str | None = None,
        threads: int | None = None,
        batch_tokens: int = 4096,
    ) -> None:
        folder = Path(path)
        providers = _providers(device)
        self.config: OnnxConfig = read_onnx_config(folder)
        self.rubric = load_rubric(folder / "rubric.yaml")
        shape = (self.config.num_dimensions, self.config.num_classes)
        if (self.rubric.num_dimensions, self.rubric.num_classes) != shape:
            raise InputError(f"{folder}: rubric.yaml and config.json are of different shapes; refused")
        require_version(self.config.evidence_size, self.config.evidence_version, str(folder))
        self.temperatures = read_temperatures(folder, self.rubric)
        self.regimes = read_regimes(folder, self.rubric) if self.config.evidence_size else {}
        self.training = read_json(folder / "training.json")
        self.max_length = self.config.max_length
        self.reads_prompts = self.config.include_prompt
        self.skips_padding = self.config.skip_padding
        self.batch_tokens = batch_tokens
        self.tokenizer = PlainTokenizer(folder / TOKENIZER)
        self._model = _session(folder / MODEL, threads or default_threads(), providers)
        # So small that a second thread would only be waited for.
        self._heads = _session(folder / HEADS, 1, ["CPUExecutionProvider"])

    @classmethod
    def from_pretrained(
        cls, path: str | Path, *, device: str | None = None, threads: int | None = None
    ) -> OnnxScorer:
        """The same as calling the class, under the name that the field knows."""
        return cls(path, device=device, threads=threads)

    def logits(
        self,
        texts: Sequence[str],
        prompts: Sequence[str | None] | None = None,
        progress: Callable[[int, int], None] | None = None,
        evidence: np.ndarray | None = None,
    ) -> tuple[np.ndarray, list[float]]:
        """See :meth:`BaseScorer.logits`.

        Raises:
            ResourceError: if onnxruntime fails, as where memory runs out.
        """
        config = self.config
        ids, coverage = encode_texts(self.tokenizer, self._inputs(texts, prompts), self.max_length)
        windows: list[tuple[list[int], int, int]] = []
        of_document: list[list[int]] = []
        for tokens in ids:
            found = document_windows(
                tokens,
                limit=config.max_positions,
                overlap=config.window_overlap,
                prefix=config.prefix_ids,
                suffix=config.suffix_ids,
            )
            of_document.append(list(range(len(windows), len(windows) + len(found))))
            windows.extend(found)
        stats: list[Stats] = [{} for _ in windows]
        logits = np.zeros((len(ids), config.num_dimensions, config.num_classes), dtype=np.float32)
        waiting = list(range(len(ids)))
        for batch in token_batches([len(tokens) for tokens, _, _ in windows], self.batch_tokens):
            for row, values in zip(batch, self._window_stats([windows[row] for row in batch]), strict=True):
                stats[row] = values
            # A document alone, so that nothing of another can enter its score.
            ready = [row for row in waiting if all(stats[window] for window in of_document[row])]
            for row in ready:
                found_there = None if evidence is None else evidence[row]
                logits[row] = self._classify([stats[window] for window in of_document[row]], found_there)
            waiting = [row for row in waiting if row not in set(ready)]
            if progress:
                progress(len(ids) - len(waiting), len(ids))
        return logits, coverage

    def _window_stats(self, windows: Sequence[tuple[list[int], int, int]]) -> list[Stats]:
        """What pooling needs of each window."""
        width = max(1, max(len(tokens) for tokens, _, _ in windows))
        input_ids = np.full((len(windows), width), self.config.pad_id, dtype=np.int64)
        mask = np.zeros_like(input_ids)
        owned = np.zeros_like(input_ids)
        for row, (tokens, first, end) in enumerate(windows):
            input_ids[row, : len(tokens)] = tokens
            mask[row, : max(1, len(tokens))] = 1  # attention over nothing at all would be NaN
            owned[row, first:end] = 1
        inputs = {"input_ids": input_ids, "attention_mask": mask, "owned": owned}
        outputs = _run(self._model, self.config.statistics, inputs)
        names = self.config.statistics
        return [
            dict(zip(names, (output[row] for output in outputs), strict=True)) for row in range(len(windows))
        ]

    def _classify(self, windows: Sequence[Stats], evidence: np.ndarray | None) -> NDArray[np.float32]:
        """Logits [D, K] of one document from the statistics of its windows and its evidence [E + 1]."""
        inputs: dict[str, Any] = {
            name: np.stack([window[name] for window in windows]) for name in self.config.statistics
        }
        if self.config.evidence_size:
            row = np.zeros(self.config.evidence_size + 1) if evidence is None else evidence
            inputs["evidence"] = row[None, :-1].astype(np.float32)
            inputs["evidence_mask"] = row[-1:].astype(np.float32)
        found: NDArray[np.float32] = _run(self._heads, ["logits"], inputs)[0][0]
        return found


def _run(session: Any, outputs: Sequence[str], inputs: dict[str, Any]) -> list[NDArray[np.float32]]:
    try:
        found: list[NDArray[np.float32]] = session.run(list(outputs), inputs)
    except Exception as error:  # as in _session
        raise ResourceError(
            f"onnxruntime failed ({_reason(error)}); with too little memory, use smaller batch_tokens"
        ) from None
    return found
