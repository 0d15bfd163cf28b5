"""Typed settings. The guide's keys keep their names; later layers win: file < environment < flags."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from reward_model.errors import InputError, require_file

ENV_PREFIX = "FINRM_"
Pooling = Literal["last", "mean", "cls"]
PoolStat = Literal["mean", "std", "max"]


class TrainConfig(BaseModel):
    """Settings of a training run; the first eight are the guide's, with the guide's defaults."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_model_name: str = "hfl/chinese-roberta-wwm-ext"
    """A hub name, a local model directory, or "embedded"."""
    max_length: Annotated[int, Field(ge=8)] = 2048
    """Tokens read of a text; longer texts are cut there and their coverage is reported."""
    batch_size: Annotated[int, Field(ge=1)] = 4
    learning_rate: Annotated[float, Field(gt=0)] = 2e-5
    num_epochs: Annotated[int, Field(ge=1)] = 10
    num_dimensions: Annotated[int, Field(ge=1)] = 3
    num_classes: Annotated[int, Field(ge=2)] = 5
    use_multi_head: bool = True

    accumulation_steps: Annotated[int, Field(ge=1)] = 1
    """Batches whose gradients are added before each optimizer step."""
    pooling: Pooling = "mean"
    pool_layers: tuple[int, ...] = (-1,)
    """Hidden states that are pooled (0 is the embedding layer, -1 the last layer), concatenated."""
    pool_stats: Annotated[tuple[PoolStat, ...], Field(min_length=1)] = ("mean",)
    """With mean pooling: which statistics over the tokens are concatenated."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    freeze_backbone: bool = False
    """Train the heads only, on features computed once."""
    head_learning_rate: Annotated[float, Field(gt=0)] | None = None
    """Learning rate of the heads, where it differs from the backbone's."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    warmup_ratio: Annotated[float, Field(ge=0, lt=1)] = 0.1
    window_overlap: Annotated[int, Field(ge=0)] = 64
    """Tokens that neighbouring windows share when a text is longer than the backbone's positions."""
    class_weights: tuple[float, ...] | tuple[tuple[float, ...], ...] | None = None
    """Weights of the levels in the loss, [K] or [D, K]."""
    seed: Annotated[int, Field(ge=0)] = 42
    val_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of the groups held out for validation where no validation file is given."""
    rubric: str = "financial"
    include_prompt: bool = False
    """Put the prompt before the text in the model's input."""
    data: str | None = None
    eval_data: str | None = None
    output_dir: str = "outputs/multidim"

    @model_validator(mode="after")
    def _consistent(self) -> TrainConfig:
        if self.pool_stats != ("mean",) and self.pooling != "mean":
            raise ValueError("pool_stats needs pooling = mean")
        return self


FROZEN_PRESET: dict[str, Any] = {
    "freeze_backbone": True,
    "pooling": "mean",
    "pool_layers": (4, 8, 12),
    "pool_stats": ("mean", "std", "max"),
    "learning_rate": 1e-3,
    "batch_size": 32,
    "num_epochs": 30,
    "weight_decay": 0.1,
    "dropout": 0.5,
}
"""The named preset "frozen": heads only, on standardised features of a frozen backbone."""

PRESETS: dict[str, dict[str, Any]] = {"guide": {}, "frozen": FROZEN_PRESET}


def _describe(error: ValidationError, source: str) -> str:
    fault = error.errors(include_url=False)[0]
    field = ".".join(str(step) for step in fault["loc"])
    if fault["type"] == "extra_forbidden":
        known = ", ".join(TrainConfig.model_fields)
        return f"{source}: {field}: no such setting; known are {known}"
    message = fault["msg"].removeprefix("Value error, ")
    return f"{source}: {field or 'settings'}: {message}; correct it"


def environment_settings(environ: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Settings given as ``FINRM_<KEY>`` variables, e.g. ``FINRM_BATCH_SIZE=2``."""
    environ = os.environ if environ is None else environ
    found = {}
    for key in TrainConfig.model_fields:
        value = environ.get(ENV_PREFIX + key.upper())
        if value is not None:
            found[key] = yaml.safe_load(value)
    return found


def settings_file(path: str | Path) -> dict[str, Any]:
    """Settings from a YAML (or JSON) file.

    Raises:
        InputError: if it is no mapping of settings.
    """
    try:
        value = yaml.safe_load(require_file(path, "settings file").read_text(encoding="utf-8-sig"))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError):
        raise InputError(f"{path}: not valid YAML; correct it") from None
    if not isinstance(value, dict):
        raise InputError(f"{path}: holds no settings; write lines such as 'batch_size: 4'")
    return value


def load_config(
    base: Mapping[str, Any] | None = None,
    *,
    file: str | Path | None = None,
    flags: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
) -> TrainConfig:
    """Merge the layers ``base`` < ``file`` < environment < ``flags`` (None among flags means not given).

    Raises:
        InputError: naming the layer and the setting at fault.
    """
    layers = [("settings", dict(base or {}))]
    if file is not None:
        layers.append((str(file), settings_file(file)))
    layers.append(("environment", environment_settings(environ)))
    layers.append(("flags", {key: value for key, value in (flags or {}).items() if value is not None}))
    merged: dict[str, Any] = {}
    for source, layer in layers:
        merged |= layer
        try:
            config = TrainConfig.model_validate(merged)
        except ValidationError as error:
            raise InputError(_describe(error, source)) from None
    return config
