"""Model directories: written whole, read strictly. Anything missing, extra or different is refused.

``config.json``, ``model.safetensors``, tokenizer files, ``rubric.yaml``, ``calibration.json``,
``training.json`` and a model card. A backbone that was not trained is kept by reference: it is built anew
from where it came from and its hash is verified. The weights carry a seal, hashes of the configuration and
the tokenizer that they were trained with, so that files of two models can't be mixed up.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from transformers import AutoConfig

from reward_model.backbone import (
    BaseReference,
    load_backbone,
    load_tokenizer,
    quiet_transformers,
    resolve_base,
    special_ids,
)
from reward_model.embedded import EMBEDDED
from reward_model.errors import InputError
from reward_model.evidence import require_version
from reward_model.features import backbone_sha256
from reward_model.jsonl import one_line, shown, write_json, write_text
from reward_model.model import FinancialRewardConfig, FinancialRewardModel
from reward_model.model_files import (
    Calibration,
    file_digest,
    read_json,
    read_regimes,
    read_temperatures,
    require_folder,
)
from reward_model.rubric import Rubric, load_rubric

WEIGHTS = "model.safetensors"
SEAL = "seal"
# The library builds a list, a dict or a module for each of what these count, before any shape is known.
_COUNTS = re.compile("layer|label|expert|block|stage|depth")
_MOST = 1024


@dataclass
class LoadedModel:
    """A model ready to score, with all that belongs to it. ``temperatures`` is [D]."""

    model: FinancialRewardModel
    tokenizer: Any
    rubric: Rubric
    temperatures: torch.Tensor
    training: dict[str, Any] = field(default_factory=dict)
    path: Path | None = None
    backbone_hash: str | None = None
    regimes: dict[str, np.ndarray] = field(default_factory=dict)
    """Temperatures [D] of the regimes in which the checker ran ("facts", "text"); models with evidence."""


def save_model(
    loaded: LoadedModel,
    path: str | Path,
    *,
    reference: BaseReference,
    frozen: bool,
    calibration: Calibration,
    card: str,
) -> Path:
    """Write a model directory; it appears under ``path`` only when it is whole.

    Args:
        loaded: the model, tokenizer, rubric and training facts.
        path: the directory; files of an earlier model in it are replaced, other files stay.
        reference: where the backbone came from.
        frozen: the backbone was not trained: keep it by reference.
        calibration: goes to ``calibration.json``.
        card: goes to ``README.md``.
    """
    target = Path(path)
    target.mkdir(parents=True, exist_ok=True)
    model = loaded.model
    with tempfile.TemporaryDirectory(dir=target, prefix=".writing-") as temporary:
        fresh = Path(temporary)
        facts = reference.to_dict()
        state = model.state_dict()
        if frozen:
            facts["weights_sha256"] = loaded.backbone_hash or backbone_sha256(model.backbone)
            state = model.head_state()
        config = FinancialRewardConfig.from_dict({**model.config.to_dict(), "base_model": facts})
        config.frozen_backbone = frozen
        config.architectures = ["FinancialRewardModel"]
        config.save_pretrained(fresh)
        if not (frozen and reference.kind == EMBEDDED):
            loaded.tokenizer.save_pretrained(fresh)
        tensors = {name: value.detach().cpu().contiguous().clone() for name, value in state.items()}
        seal = json.dumps(
            {item.name: file_digest(item) for item in sorted(fresh.iterdir()) if item.is_file()}
        )
        save_file(tensors, fresh / WEIGHTS, metadata={"format": "pt", SEAL: seal})
        (fresh / WEIGHTS).chmod(0o644)  # the library makes it readable to its owner only
        write_text(fresh / "rubric.yaml", loaded.rubric.to_yaml())
        write_json(fresh / "calibration.json", calibration.model_dump())
        write_json(fresh / "training.json", loaded.training)
        write_text(fresh / "README.md", card)
        # The weights go last: a directory without them is refused, so a kill in between is never mistaken.
        (target / WEIGHTS).unlink(missing_ok=True)
        for item in sorted(fresh.iterdir(), key=lambda item: item.name == WEIGHTS):
            shutil.move(item, target / item.name)
    return target


def _absurd_count(value: Any, key: str = "") -> str | None:
    """The first field anywhere in ``value`` that counts more parts than any model has, as ``key: number``."""
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else ((key, item) for item in value)
        return next(filter(None, (_absurd_count(item, str(name)) for name, item in items)), None)
    is_count = isinstance(value, int) and bool(_COUNTS.search(key))
    return one_line(f"{key}: {value}", 80) if is_count and not -_MOST <= value <= _MOST else None


def _read_config(folder: Path) -> FinancialRewardConfig:
    value = read_json(folder / "config.json")
    if value.get("model_type") != FinancialRewardConfig.model_type:
        raise InputError(
            f"{folder}: config.json is of no reward model (model_type is {shown(value.get('model_type'))}); "
            "name a directory that 'finrm train' wrote"
        )
    base = value.get("base_config")
    if not isinstance(base, dict) or not isinstance(base.get("model_type"), str):
        raise InputError(f"{folder}/config.json: base_config is missing; the model directory is damaged")
    if not isinstance(value.get("base_model"), dict):
        raise InputError(f"{folder}/config.json: base_model is missing; the model directory is damaged")
    if absurd := _absurd_count(value):
        raise InputError(f"{folder}/config.json: {absurd} is more than any model has; refused")
    try:
        config: FinancialRewardConfig = FinancialRewardConfig.from_dict(value)
        return config
    except Exception as error:  # transformers' own checks raise several kinds
        raise InputError(f"{folder}/config.json: {_reason(error)}; the model directory is damaged") from None


def _reason(error: Exception) -> str:
    return one_line(" ".join(str(error).split()) or type(error).__name__, 200)


def _header(path: Path) -> tuple[dict[str, tuple[tuple[int, ...], str]], str]:
    """Names, shapes and types of the stored tensors, read without the tensors, and the seal ("" if none)."""
    if not path.is_file():
        raise InputError(f"{path.parent}: {path.name} is missing; the model directory is incomplete")
    try:
        with safe_open(path, framework="pt") as stored:
            slices = {name: stored.get_slice(name) for name in stored.keys()}  # noqa: SIM118
            shapes = {name: (tuple(s.get_shape()), s.get_dtype()) for name, s in slices.items()}
            return shapes, (stored.metadata() or {}).get(SEAL, "")
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: damaged ({_reason(error)}); copy the model again") from None


def _check_seal(folder: Path, seal: str) -> None:
    """Refuse a configuration or a tokenizer that the weights were not trained with."""
    try:
        digests = json.loads(seal)
    except (ValueError, RecursionError):
        digests = None
    if not isinstance(digests, dict) or "config.json" not in digests:
        raise InputError(f"{folder / WEIGHTS}: is not as 'finrm train' wrote it (no seal); refused") from None
    for name, digest in digests.items():
        path = folder / Path(name).name
        if not path.is_file():
            raise InputError(f"{folder}: {one_line(path.name)} is missing; the model directory is incomplete")
        if file_digest(path) != digest:
            raise InputError(f"{path}: is not the one that {WEIGHTS} was trained with; copy the model again")


def _check_weights(
    path: Path, expected: dict[str, torch.Tensor], stored: dict[str, tuple[tuple[int, ...], str]]
) -> None:
    def listing(names: list[str]) -> str:
        return one_line(", ".join(names[:3]) + (" ..." if len(names) > 3 else ""))

    if missing := sorted(set(expected) - set(stored)):
        raise InputError(
            f"{path}: {len(missing)} weights of those that config.json asks for are missing "
            f"({listing(missing)}); refused"
        )
    if extra := sorted(set(stored) - set(expected)):
        raise InputError(f"{path}: {len(extra)} weights belong to no part of it ({listing(extra)}); refused")
    for name, value in expected.items():
        shape, dtype = stored[name]
        if shape != tuple(value.shape):
            raise InputError(
                f"{path}: {name} has shape {list(shape)}, config.json says {list(value.shape)}; refused"
            )
        if (dtype in {"F32", "F16", "BF16"}) != value.is_floating_point():
            raise InputError(f"{path}: {name} is of type {dtype}; refused")


def _meta_model(config: FinancialRewardConfig, folder: Path) -> FinancialRewardModel:
    """The model's shape without memory, so that a config can't make us allocate what the file hasn't got."""
    try:
        with torch.device("meta"):
            return FinancialRewardModel(config)
    except InputError as error:
        raise InputError(f"{folder}/config.json: {error}") from None
    except Exception as error:
        raise InputError(f"{folder}/config.json: describes no model ({_reason(error)}); refused") from None


def _reference(config: FinancialRewardConfig, folder: Path) -> BaseReference:
    """The base model that a frozen model names."""
    facts = config.base_model or {}
    kind, name, source, revision = (facts.get(key) for key in ("kind", "name", "source", "revision"))
    if kind == EMBEDDED:
        return resolve_base(EMBEDDED)
    if kind == "hub" and isinstance(name, str) and isinstance(revision, str):
        return BaseReference("hub", name, name, revision)
    if kind != "local" or not isinstance(source, str):
        raise InputError(f"{folder}/config.json: base_model is unusable; the model directory is damaged")
    # Never resolved as a name: what was a directory must not become a hub model.
    if not Path(source).is_dir():
        raise InputError(
            f"{folder}: its base model {one_line(source)} is not on this machine; copy it there, "
            "or correct base_model.source in config.json"
        )
    return BaseReference("local", source, source)


def _reference_backbone(config: FinancialRewardConfig, folder: Path, reference: BaseReference) -> Any:
    # Built as this model's own configuration says: that of the base may have changed since.
    base_config = AutoConfig.for_model(**(config.base_config or {}))
    backbone = load_backbone(reference, base_config)
    if backbone_sha256(backbone) != (config.base_model or {}).get("weights_sha256"):
        raise InputError(
            f"{folder}: the weights of its base model {one_line(reference.name)} have changed; refused"
        )
    return backbone


def load_model(path: str | Path) -> LoadedModel:
    """Load a model directory.

    Raises:
        InputError: if anything is missing, extra or different; never a model with random weights.
        ResourceError: if a referenced base model can't be had.
    """
    folder = require_folder(path)
    quiet_transformers()
    config = _read_config(folder)
    rubric = load_rubric(folder / "rubric.yaml")
    if (rubric.num_dimensions, rubric.num_classes) != (config.num_dimensions, config.num_classes):
        raise InputError(
            f"{folder}: rubric.yaml has {rubric.num_dimensions} dimensions x {rubric.num_classes} levels, "
            f"config.json {config.num_dimensions} x {config.num_classes}; refused"
        )
    if config.dimension_names is not None and config.dimension_names != list(rubric.names):
        raise InputError(f"{folder}: rubric.yaml and config.json name other dimensions; refused")
    weights = folder / WEIGHTS
    stored, seal = _header(weights)
    frozen = config.frozen_backbone
    shape = _meta_model(config, folder)
    _check_weights(weights, shape.head_state() if frozen else shape.state_dict(), stored)
    _check_seal(folder, seal)
    require_version(config.evidence_size, config.evidence_version, str(folder))
    temperatures = torch.from_numpy(read_temperatures(folder, rubric))
    regimes = read_regimes(folder, rubric) if config.evidence_size else {}
    training = read_json(folder / "training.json")

    backbone_hash = None
    if frozen:
        reference = _reference(config, folder)
        model = FinancialRewardModel(config, backbone=_reference_backbone(config, folder, reference))
        backbone_hash = str((config.base_model or {})["weights_sha256"])
        # A copy of the tokenizer comes with every model but those on the embedded base, which has its own.
        tokenizer = load_tokenizer(reference if reference.kind == EMBEDDED else _local(folder))
    else:
        model = FinancialRewardModel(config)
        tokenizer = load_tokenizer(_local(folder))
    if special_ids(tokenizer) != (config.prefix_ids, config.suffix_ids):
        raise InputError(f"{folder}: its tokenizer is not the one it was trained with; copy the model again")
    state = load_file(weights)
    for name, value in state.items():
        if not torch.isfinite(value).all():
            raise InputError(f"{weights}: {one_line(name)} holds values that are no numbers; refused")
    model.load_state_dict(state, strict=not frozen)
    model.eval()
    return LoadedModel(model, tokenizer, rubric, temperatures, training, folder, backbone_hash, regimes)


def _local(folder: Path) -> BaseReference:
    return BaseReference("local", str(folder), str(folder))
