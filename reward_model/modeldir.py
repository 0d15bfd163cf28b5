"""Model directories: written whole, read strictly. Anything missing, extra or different is refused.

``config.json``, ``model.safetensors``, tokenizer files, ``rubric.yaml``, ``calibration.json``,
``training.json`` and a model card. A backbone that was not trained is kept by reference: it is built anew
from where it came from and its hash is verified.
"""

from __future__ import annotations

import json
import math
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from reward_model.backbone import (
    BaseReference,
    load_backbone,
    load_base_config,
    load_tokenizer,
    quiet_transformers,
    resolve_base,
)
from reward_model.errors import InputError
from reward_model.features import backbone_sha256
from reward_model.jsonl import write_json, write_text
from reward_model.model import FinancialRewardConfig, FinancialRewardModel
from reward_model.rubric import Rubric, load_rubric

WEIGHTS = "model.safetensors"
_MAX_JSON = 16_000_000
_MAX_LAYERS = 512


class Calibration(BaseModel):
    """``calibration.json``: one temperature a dimension, by name (1 leaves the logits as they are)."""

    model_config = ConfigDict(extra="forbid")

    method: str = "temperature"
    temperatures: dict[str, float]
    n: int = Field(ge=0)
    """Held-out texts that the temperatures were fitted on."""
    how: str = ""


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
        tensors = {name: value.detach().cpu().contiguous().clone() for name, value in state.items()}
        save_file(tensors, fresh / WEIGHTS, metadata={"format": "pt"})
        (fresh / WEIGHTS).chmod(0o644)  # the library makes it readable to its owner only
        if not (frozen and reference.kind == "embedded"):
            loaded.tokenizer.save_pretrained(fresh)
        write_text(fresh / "rubric.yaml", loaded.rubric.to_yaml())
        write_json(fresh / "calibration.json", calibration.model_dump())
        write_json(fresh / "training.json", loaded.training)
        write_text(fresh / "README.md", card)
        # The weights go last: a directory without them is refused, so a kill in between is never mistaken.
        (target / WEIGHTS).unlink(missing_ok=True)
        for item in sorted(fresh.iterdir(), key=lambda item: item.name == WEIGHTS):
            shutil.move(item, target / item.name)
    return target


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(f"{path.parent}: {path.name} is missing; the model directory is incomplete")
    if path.stat().st_size > _MAX_JSON:
        raise InputError(f"{path}: far too large; not a model directory of this project")
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, ValueError, RecursionError):
        raise InputError(f"{path}: not valid JSON; the model directory is damaged") from None
    if not isinstance(value, dict):
        raise InputError(f"{path}: holds no JSON object; the model directory is damaged")
    return value


def _read_config(folder: Path) -> FinancialRewardConfig:
    value = _read_json(folder / "config.json")
    if value.get("model_type") != FinancialRewardConfig.model_type:
        raise InputError(
            f"{folder}: config.json is not of a reward model (model_type is {value.get('model_type')!r}); "
            "name a directory that 'finrm train' wrote"
        )
    base = value.get("base_config")
    if not isinstance(base, dict) or not isinstance(base.get("model_type"), str):
        raise InputError(f"{folder}/config.json: base_config is missing; the model directory is damaged")
    if not isinstance(value.get("base_model"), dict):
        raise InputError(f"{folder}/config.json: base_model is missing; the model directory is damaged")
    layers = base.get("num_hidden_layers", 0)
    if not isinstance(layers, int) or not 0 <= layers <= _MAX_LAYERS:
        raise InputError(f"{folder}/config.json: base_config.num_hidden_layers is {layers!r}; refused")
    try:
        config: FinancialRewardConfig = FinancialRewardConfig.from_dict(value)
        return config
    except Exception as error:  # transformers' own checks raise several kinds
        line = str(error).strip().splitlines()[0][:200]
        raise InputError(f"{folder}/config.json: {line}; the model directory is damaged") from None


def _header(path: Path) -> dict[str, tuple[tuple[int, ...], str]]:
    """Names, shapes and types of the stored tensors, read without the tensors."""
    if not path.is_file():
        raise InputError(f"{path.parent}: {path.name} is missing; the model directory is incomplete")
    try:
        with safe_open(path, framework="pt") as stored:
            slices = {name: stored.get_slice(name) for name in stored.keys()}  # noqa: SIM118
            return {name: (tuple(s.get_shape()), s.get_dtype()) for name, s in slices.items()}
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: damaged ({error}); copy the model again") from None


def _check_weights(
    path: Path, expected: dict[str, torch.Tensor], stored: dict[str, tuple[tuple[int, ...], str]]
) -> None:
    def listing(names: list[str]) -> str:
        return ", ".join(names[:3]) + (" ..." if len(names) > 3 else "")

    if missing := sorted(set(expected) - set(stored)):
        raise InputError(f"{path}: {len(missing)} weights are missing ({listing(missing)}); refused")
    if extra := sorted(set(stored) - set(expected)):
        raise InputError(f"{path}: {len(extra)} weights belong to no part of it ({listing(extra)}); refused")
    for name, value in expected.items():
        shape, dtype = stored[name]
        if shape != tuple(value.shape):
            raise InputError(
                f"{path}: {name} has shape {list(shape)}, config.json says {list(value.shape)}; refused"
            )
        if dtype not in {"F32", "F16", "BF16"} and value.is_floating_point():
            raise InputError(f"{path}: {name} is of type {dtype}; refused")


def _meta_model(config: FinancialRewardConfig, folder: Path) -> FinancialRewardModel:
    """The model's shape without memory, so that a config can't make us allocate what the file hasn't got."""
    try:
        with torch.device("meta"):
            return FinancialRewardModel(config)
    except InputError:
        raise
    except Exception as error:
        line = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise InputError(f"{folder}/config.json: describes no model ({line}); refused") from None


def _reference_backbone(config: FinancialRewardConfig, folder: Path) -> tuple[Any, BaseReference]:
    facts = dict(config.base_model or {})
    kind, name = facts.get("kind"), facts.get("name")
    if kind not in {"embedded", "local", "hub"} or not isinstance(name, str):
        raise InputError(f"{folder}/config.json: base_model is unusable; the model directory is damaged")
    source = facts.get("source") if kind == "local" else name
    reference = resolve_base(str(source), revision=facts.get("revision"))
    if reference.kind != kind:
        raise InputError(f"{folder}: its base model {source} is not on this machine; copy it there")
    base_config = load_base_config(reference)
    if {**base_config.to_dict(), "model_type": base_config.model_type}.get("hidden_size") != (
        config.base_config or {}
    ).get("hidden_size"):
        raise InputError(f"{folder}: its base model {source} has another size now; refused")
    return load_backbone(reference, base_config), reference


def load_model(path: str | Path) -> LoadedModel:
    """Load a model directory.

    Raises:
        InputError: if anything is missing, extra or different; never a model with random weights.
        ResourceError: if a referenced base model can't be had.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such model directory; name one that 'finrm train' wrote")
    quiet_transformers()
    config = _read_config(folder)
    rubric = load_rubric(folder / "rubric.yaml")
    if (rubric.num_dimensions, rubric.num_classes) != (config.num_dimensions, config.num_classes):
        raise InputError(
            f"{folder}: rubric.yaml has {rubric.num_dimensions} dimensions x {rubric.num_classes} levels, "
            f"config.json {config.num_dimensions} x {config.num_classes}; refused"
        )
    if list(rubric.names) != list(config.dimension_names or rubric.names):
        raise InputError(f"{folder}: rubric.yaml and config.json name other dimensions; refused")
    weights = folder / WEIGHTS
    stored = _header(weights)
    frozen = bool(getattr(config, "frozen_backbone", False))
    shape = _meta_model(config, folder)
    _check_weights(weights, shape.head_state() if frozen else shape.state_dict(), stored)
    temperatures = _temperatures(folder, rubric)
    training = _read_json(folder / "training.json")

    backbone_hash = None
    if frozen:
        backbone, reference = _reference_backbone(config, folder)
        backbone_hash = backbone_sha256(backbone)
        if backbone_hash != (config.base_model or {}).get("weights_sha256"):
            raise InputError(
                f"{folder}: the weights of its base model {reference.name} have changed; refused"
            )
        model = FinancialRewardModel(config, backbone=backbone)
        # A copy of the tokenizer comes with every model but those on the embedded base, which has its own.
        tokenizer = load_tokenizer(reference if reference.kind == "embedded" else _local(folder))
    else:
        model = FinancialRewardModel(config)
        tokenizer = load_tokenizer(_local(folder))
    state = {name: value.float() for name, value in load_file(weights).items()}
    for name, value in state.items():
        if not torch.isfinite(value).all():
            raise InputError(f"{weights}: {name} holds values that are no numbers; refused")
    model.load_state_dict(state, strict=not frozen)
    model.eval()
    return LoadedModel(model, tokenizer, rubric, temperatures, training, folder, backbone_hash)


def _local(folder: Path) -> BaseReference:
    return BaseReference("local", str(folder), str(folder))


def _temperatures(folder: Path, rubric: Rubric) -> torch.Tensor:
    try:
        calibration = Calibration.model_validate(_read_json(folder / "calibration.json"))
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        where = ".".join(str(step) for step in fault["loc"])
        raise InputError(f"{folder}/calibration.json: {where}: {fault['msg']}; refused") from None
    values = calibration.temperatures
    if set(values) != set(rubric.names) or not all(math.isfinite(v) and v > 0 for v in values.values()):
        raise InputError(f"{folder}/calibration.json: needs one positive temperature a dimension; refused")
    return torch.tensor([values[name] for name in rubric.names], dtype=torch.float64)
