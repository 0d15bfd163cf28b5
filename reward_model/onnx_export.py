"""From a model directory to an ONNX one: two graphs and all that scoring needs beside them.

The graphs are traced from the very modules that torch scores with; nothing is written a second time.
"""

from __future__ import annotations

import contextlib
import io
import logging
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from reward_model.errors import FinrmError, InputError
from reward_model.inference import BaseScorer, RewardScorer
from reward_model.jsonl import one_line, write_json, write_text
from reward_model.model import FinancialRewardModel
from reward_model.modeldir import LoadedModel
from reward_model.onnx_dir import (
    CARD,
    CONFIG,
    HEADS,
    MANIFEST,
    MODEL,
    TOKENIZER,
    OnnxConfig,
    is_onnx_dir,
    write_manifest,
)
from reward_model.onnx_quantize import quantize_weights
from reward_model.onnx_scorer import OnnxScorer, PlainTokenizer
from reward_model.pooling import WindowStats, pool_documents, window_stats
from reward_model.stats.metrics import expected_scores, predicted_levels

Quantize = Literal["none", "int8"]

OPSET = 18
LEVELS_AGREE = 0.99
EXPECTED_APART = 0.05
_ONE_FILE = 1_800_000_000
"""Bytes of weights up to which a graph is one file; the format's own limit is 2 GiB."""

# Where tokenizers go apart, they do at such places: spaces, full-width forms, names of special tokens.
_HARD_TEXTS = (
    "",
    " ",
    "  a  b\n\n\t年",
    "Ａ１％。\u3000",
    "[CLS]<s></s>[PAD]<|endoftext|>",
    "ﬁ①㎡\U0001f600é",
)


@dataclass(frozen=True)
class Parity:
    """How far an exported model's answers lie from the model's own.

    Attributes:
        n: texts compared.
        labels: labels compared, n x D.
        agree: share of the labels with the same level.
        largest, mean: of the absolute differences of expected scores.
    """

    n: int
    labels: int
    agree: float
    largest: float
    mean: float

    @property
    def holds(self) -> bool:
        """Whether the exported model may stand for the other: at least 99% and at most 0.05."""
        return self.agree >= LEVELS_AGREE and self.largest <= EXPECTED_APART


def parity(model: BaseScorer, exported: BaseScorer, texts: Sequence[str]) -> Parity:
    """Compare two scorers on ``texts`` (at least one)."""
    first, second = model.probabilities(texts), exported.probabilities(texts)
    apart = np.abs(expected_scores(first) - expected_scores(second))
    agree = predicted_levels(first) == predicted_levels(second)
    return Parity(len(texts), agree.size, float(agree.mean()), float(apart.max()), float(apart.mean()))


class _Backbone(nn.Module):
    """Token ids [W, L] to the statistics of each window: "count" [W], others [W, layers, H]."""

    def __init__(self, model: FinancialRewardModel, names: Sequence[str]) -> None:
        super().__init__()
        self.model, self.names = model, list(names)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, owned: Tensor) -> tuple[Tensor, ...]:
        config = self.model.config
        document = torch.zeros_like(input_ids[:, 0])
        parts = [
            window_stats(hidden, attention_mask, owned, document, config.pooling, config.pool_stats)
            for hidden in self.model.hidden_states(input_ids, attention_mask, config.pool_layers)
        ]
        others = (torch.stack([getattr(part, name) for part in parts], dim=1) for name in self.names[1:])
        return (parts[0].count, *others)


class _Heads(nn.Module):
    """Statistics of one document's windows to its logits [1, D, K]."""

    def __init__(self, model: FinancialRewardModel, names: Sequence[str]) -> None:
        super().__init__()
        self.model, self.names = model, list(names)

    def forward(self, *inputs: Tensor) -> Tensor:
        config = self.model.config
        given = dict(zip(self.names, inputs, strict=False))
        count = given.pop("count")
        document = torch.zeros_like(count, dtype=torch.long)
        features = []
        for layer in range(len(config.pool_layers)):
            part = {name: values[:, layer] for name, values in given.items()}
            # Pooling at an edge reads of the mean no more than its width.
            mean = part.pop("mean") if "mean" in part else part["edge"]
            stats = WindowStats(count, document, mean, part.get("spread"), part.get("peak"), part.get("edge"))
            features.append(pool_documents(stats, 1, config.pooling, config.pool_stats))
        evidence, mask = inputs[len(self.names) :] or (None, None)
        return self.model.classify(torch.cat(features, dim=-1), evidence=evidence, evidence_mask=mask)


def _statistics(model: FinancialRewardModel) -> list[str]:
    """Names of what :func:`reward_model.pooling.window_stats` finds with this model's pooling."""
    if model.config.pooling != "mean":
        return ["count", "edge"]
    extra = {"std": "spread", "max": "peak"}
    return ["count", "mean", *(name for stat, name in extra.items() if stat in model.config.pool_stats)]


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's own reports off the terminal."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _export(
    module: nn.Module,
    inputs: dict[str, Tensor],
    free: dict[str, dict[int, Any]],
    outputs: Sequence[str],
    path: Path,
) -> None:
    """Trace ``module`` with ``inputs``; the dimensions in ``free`` may have any size."""
    weights = sum(value.nbytes for value in module.state_dict().values())
    by_position = tuple(free[name] for name in inputs)
    # A parameter like *inputs takes one tuple of them.
    shapes = (by_position,) if isinstance(module, _Heads) else by_position
    try:
        with _quiet(), torch.inference_mode(False), torch.no_grad():
            torch.onnx.export(
                module.eval(),
                tuple(inputs.values()),
                path,
                input_names=list(inputs),
                output_names=list(outputs),
                dynamic_shapes=shapes,
                opset_version=OPSET,
                dynamo=True,
                external_data=weights > _ONE_FILE,
                verbose=False,
            )
    except (FinrmError, ModuleNotFoundError, OSError):
        raise
    except Exception as error:  # whatever the exporter meets in a base model that it can't express
        line = one_line(" ".join(str(error).split()) or type(error).__name__, 160)
        raise InputError(f"this base model can't be written as ONNX ({line}); use it as it is") from None


def write_graphs(model: FinancialRewardModel, folder: Path, quantize: Quantize = "none") -> list[str]:
    """Write ``model.onnx`` and ``heads.onnx``; returns the names of the statistics between them.

    Args:
        model: on the CPU.
        folder: where to.
        quantize: "int8" keeps the backbone's matrices in eight bits; the heads stay fp32.

    Raises:
        InputError: if the exporter can't express the base model.
    """
    names = _statistics(model)
    length = min(8, model.layout.max_positions or 8)
    ids = torch.ones(3, length, dtype=torch.long)
    mask = torch.ones_like(ids)
    mask[1, length // 2 :] = 0
    dynamic = torch.export.Dim.DYNAMIC
    inputs = {"input_ids": ids, "attention_mask": mask, "owned": mask.clone()}
    free = {name: {0: dynamic, 1: dynamic} for name in inputs}
    backbone = _Backbone(model, names)
    with torch.no_grad():
        found = dict(zip(names, backbone(*inputs.values()), strict=True))
    _export(backbone, inputs, free, names, folder / MODEL)
    shapes: dict[str, dict[int, Any]] = {name: {0: dynamic} for name in names}
    if model.config.evidence_size:
        found |= {"evidence": torch.zeros(1, model.config.evidence_size), "evidence_mask": torch.ones(1)}
        shapes |= {"evidence": {}, "evidence_mask": {}}
    _export(_Heads(model, names), found, shapes, ["logits"], folder / HEADS)
    if quantize == "int8":
        quantize_weights(folder / MODEL)
    return names


def _write_tokenizer(loaded: LoadedModel, folder: Path, texts: Sequence[str]) -> None:
    """Copy the tokenizer, and check that without transformers around it it gives the same tokens."""
    with tempfile.TemporaryDirectory() as scratch:
        loaded.tokenizer.save_pretrained(scratch)
        source = Path(scratch) / TOKENIZER
        if not source.is_file():
            raise InputError("this model's tokenizer has no fast form (tokenizer.json); it can't be exported")
        shutil.copyfile(source, folder / TOKENIZER)
    plain = PlainTokenizer(folder / TOKENIZER)
    for text in (*_HARD_TEXTS, *texts):
        for options in ({"truncation": False}, {"truncation": True, "max_length": 16}):
            if plain(text, **options)["input_ids"] != loaded.tokenizer(text, **options)["input_ids"]:
                raise InputError(
                    "this model's tokenizer gives other tokens without transformers; it can't be exported"
                )


def _config(loaded: LoadedModel, names: Sequence[str], quantize: Quantize) -> OnnxConfig:
    model = loaded.model
    config = model.config
    pad_id = config.base_config.get("pad_token_id")
    return OnnxConfig(
        num_dimensions=config.num_dimensions,
        num_classes=config.num_classes,
        dimension_names=list(loaded.rubric.names),
        max_length=config.max_length,
        max_positions=model.layout.max_positions,
        window_overlap=config.window_overlap,
        prefix_ids=config.prefix_ids,
        suffix_ids=config.suffix_ids,
        pad_id=pad_id if isinstance(pad_id, int) and pad_id >= 0 else 0,
        include_prompt=config.include_prompt,
        skip_padding=config.skip_padding,
        evidence_size=config.evidence_size,
        evidence_version=config.evidence_version,
        statistics=list(names),
        quantize=quantize,
        base_model=str((config.base_model or {}).get("name", "")),
    )


def require_output(path: str | Path, source: str | Path) -> Path:
    """``path`` as a directory to export ``source`` into, made where it isn't there.

    Raises:
        InputError: if it can't be written, or holds anything but an earlier export.
    """
    target = Path(path)
    name = one_line(str(target))
    try:
        if target.exists() and not target.is_dir():
            raise InputError(f"{name}: is a file; name a directory")
        if target.exists() and target.samefile(source):
            raise InputError(f"{name}: is the model itself; name another directory")
        if target.exists() and any(target.iterdir()) and not is_onnx_dir(target):
            raise InputError(f"{name}: holds other files; name a new or an empty directory")
        target.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target, prefix=".writing-"):
            return target
    except OSError as error:
        raise InputError(f"{name}: cannot be written ({error.strerror}); choose another place") from None


def export_onnx(
    loaded: LoadedModel,
    path: str | Path,
    *,
    quantize: Quantize = "none",
    check_texts: Sequence[str] = (),
    notify: Callable[[str], None] | None = None,
) -> Parity | None:
    """Write ``loaded`` as an ONNX model directory; it appears under ``path`` only when it is whole and sound.

    Args:
        loaded: a model directory, as :func:`reward_model.modeldir.load_model` returns it.
        path: the directory; an earlier export in it is replaced.
        quantize: "none", or "int8" for eight-bit weights (what is computed with them stays fp32).
        check_texts: texts on which both must agree; none for no check.
        notify: is called with a line for each step.

    Returns:
        What the check found. If it doesn't hold, nothing was written.

    Raises:
        InputError: if the model can't be exported, or ``path`` not written.
    """
    source = loaded.path
    if source is None:
        raise ValueError("only a model that was loaded from a directory can be exported")
    target = require_output(path, source)
    tell = notify or (lambda line: None)
    loaded.model.to("cpu").eval()
    try:
        with tempfile.TemporaryDirectory(dir=target, prefix=".writing-") as temporary:
            fresh = Path(temporary)
            _write_tokenizer(loaded, fresh, check_texts)
            tell("写计算图 ...")
            names = write_graphs(loaded.model, fresh, quantize)
            write_json(fresh / CONFIG, _config(loaded, names, quantize).model_dump())
            write_text(fresh / "rubric.yaml", loaded.rubric.to_yaml())
            for name in ("calibration.json", "training.json"):
                shutil.copyfile(source / name, fresh / name)
            write_manifest(fresh)
            found = None
            if check_texts:
                tell(f"与原模型对照 {len(check_texts)} 篇 ...")
                found = parity(RewardScorer(loaded, device="cpu"), OnnxScorer(fresh), check_texts)
                if not found.holds:
                    return found
            write_text(fresh / CARD, _card(source, quantize, found))
            _publish(fresh, target)
    except OSError as error:
        name = one_line(str(target))
        raise InputError(f"{name}: cannot be written ({error.strerror}); choose another place") from None
    return found


def _publish(fresh: Path, target: Path) -> None:
    # The manifest goes last: a directory without it is refused, so a kill in between is never mistaken.
    (target / MANIFEST).unlink(missing_ok=True)
    for old in target.glob("*.onnx*"):
        old.unlink()
    for item in sorted(fresh.iterdir(), key=lambda item: item.name == MANIFEST):
        item.chmod(0o644)
        shutil.move(item, target / item.name)


def _card(source: Path, quantize: Quantize, found: Parity | None) -> str:
    weights = "8-bit weights, fp32 arithmetic" if quantize == "int8" else "fp32"
    lines = [
        "# ONNX export",
        "",
        f"This directory is an ONNX export ({weights}) of the model whose card follows. It scores with",
        "`pip install 'reward-model[onnx]'`, without torch: `finrm score --model PATH/OF/THIS/DIRECTORY",
        "REPORT`, or `reward_model.onnx_scorer.OnnxScorer.from_pretrained(PATH)`.",
        "",
    ]
    if found is not None:
        lines += [
            f"Compared with that model on {found.n} texts: {found.agree:.2%} of {found.labels} labels agree; "
            f"expected scores differ by {found.largest:.2g} at most, {found.mean:.2g} on average.",
            "",
        ]
    card = source / CARD
    original = card.read_text(encoding="utf-8") if card.is_file() else ""
    return "\n".join(lines) + "\n" + _without_front_matter(original)


def _without_front_matter(card: str) -> str:
    """A card's text behind its YAML head, which has to stand first in a file or nowhere."""
    if not card.startswith("---\n"):
        return card
    return card.partition("\n---\n")[2]
