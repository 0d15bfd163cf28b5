"""Typed settings. The guide's keys keep their names; later layers win: file < environment < flags."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from reward_model.errors import InputError
from reward_model.jsonl import one_line
from reward_model.rubric import load_yaml, load_yaml_file, plain_faults

BEST_MODEL = "best_model.pt"
"""The file that the guide names: a plain state dict of the whole model."""

ENV_PREFIX = "FINRM_"
Pooling = Literal["last", "mean", "cls"]
PoolStat = Literal["mean", "std", "max"]
EditKind = Literal["figures", "shuffled", "cut", "padding"]
EDIT_KINDS: tuple[EditKind, ...] = get_args(EditKind)
Weight = Annotated[float, Field(ge=0)]


class TrainConfig(BaseModel):
    """Settings of a training run; the first eight are the guide's, with the guide's defaults."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)

    base_model_name: Annotated[str, Field(min_length=1)] = "hfl/chinese-roberta-wwm-ext"
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
    early_stopping_patience: Annotated[int, Field(ge=1)] | None = None
    """Stop when the validation accuracy has not risen for so many epochs."""
    pooling: Pooling = "mean"
    pool_layers: Annotated[tuple[int, ...], Field(min_length=1)] | Literal["thirds"] = (-1,)
    """Hidden states that are pooled (0 is the embedding layer, -1 the last layer), concatenated; "thirds" are
    those at a third, two thirds and the end of the backbone."""
    pool_stats: Annotated[tuple[PoolStat, ...], Field(min_length=1)] = ("mean",)
    """With mean pooling: which statistics over the tokens are concatenated."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    trainable_layers: Annotated[int, Field(ge=1)] | None = None
    """Train only so many of the backbone's upper layers; what lies below is computed once."""
    attention_dropout: Annotated[float, Field(ge=0, lt=1)] | None = 0.0
    """Dropout on attention weights while training; null keeps the base model's. With 0 the fused attention
    kernels run, several times faster on a CPU."""
    hidden_dropout: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Dropout on the backbone's hidden states while training; null keeps the base model's. With 0 a step is a
    sixth faster on a CPU."""
    freeze_backbone: bool = False
    """Train the heads only, on features computed once."""
    evidence: bool = False
    """Give the heads what the calculation checker finds: texts are learned from with their facts, without
    them, and with the checker off (each text in all three ways with freeze_backbone, else in one of them,
    drawn anew each epoch)."""
    evidence_learning_rate: Annotated[float, Field(gt=0)] = 0.05
    """Learning rate of the weights of the evidence, which start at zero."""
    head_learning_rate: Annotated[float, Field(gt=0)] | None = None
    """Learning rate of the heads, where it differs from the backbone's."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    warmup_ratio: Annotated[float, Field(ge=0, lt=1)] = 0.1
    window_overlap: Annotated[int, Field(ge=0)] = 64
    """Tokens that neighbouring windows share when a text is longer than the backbone's positions."""
    group_by_length: bool = False
    """Put texts of like length into a batch: less padding, batches less mixed."""
    augment: tuple[EditKind, ...] = ()
    """Learn from texts made of the training texts by known edits too: "figures" made wrong, sentences
    "shuffled", texts "cut" to a quarter, "padding". Their levels are the rubric's ``known_edits``."""
    augment_share: Annotated[float, Field(gt=0, le=10)] = 1.0
    """At most so many made texts of a kind for each graded one; which ones is drawn by the seed."""
    class_weights: Literal["balanced"] | tuple[Weight, ...] | tuple[tuple[Weight, ...], ...] | None = None
    """Weights of the levels in the loss, [K] or [D, K]; "balanced" takes them from the training labels."""
    soft_labels: bool = False
    """Learn the spread of the judges' votes (scores.judgements of a pair) where there are any, else the
    label."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 42
    val_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """Share of the groups held out for validation where no validation file is given. 0 trains on everything
    (with a frozen backbone only, whose calibration is cross-fitted)."""
    precision: Literal["fp32", "bf16", "auto"] = "auto"
    """What the backbone computes in while training; "auto" is bf16 where the hardware has it."""
    rubric: str = "financial"
    include_prompt: bool = False
    """Put the prompt before the text in the model's input."""
    skip_padding: bool = False
    """Read no sentence of a text twice, and none that only lists terms."""
    data: str | None = None
    eval_data: str | None = None
    output_dir: str = "outputs/multidim"

    @field_validator("*", mode="before")
    @classmethod
    def _no_switch_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        # Python takes true for 1: "batch_size: yes" would train with batches of one.
        if isinstance(value, bool) and cls.model_fields[str(info.field_name)].annotation is not bool:
            raise ValueError(f"must not be {str(value).lower()}")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> TrainConfig:
        if self.group_by_length and (self.freeze_backbone or self.trainable_layers is not None):
            raise ValueError("group_by_length needs all layers trained; elsewhere there is no text to read")
        if self.freeze_backbone and self.trainable_layers is not None:
            raise ValueError("freeze_backbone trains no layer; leave trainable_layers out")
        if self.pool_stats != ("mean",) and self.pooling != "mean":
            raise ValueError("pool_stats needs pooling = mean")
        return self


FROZEN_PRESET: dict[str, Any] = {
    "freeze_backbone": True,
    "precision": "fp32",
    "pooling": "mean",
    "pool_layers": "thirds",
    "learning_rate": 1e-3,
    "batch_size": 32,
    "num_epochs": 10,
    "weight_decay": 1.0,
    "dropout": 0.8,
    "evidence": True,
    "soft_labels": True,
    "augment": ("figures", "shuffled"),
    "augment_share": 0.05,
    "skip_padding": True,
}
"""The named preset "frozen": heads only, on standardised features of a frozen backbone."""

PRESETS: dict[str, dict[str, Any]] = {"guide": {}, "frozen": FROZEN_PRESET}


def _describe(error: ValidationError, layer: Mapping[str, Any], source: str) -> str:
    faults = error.errors(include_url=False)
    first = one_line(str(faults[0]["loc"][0]), 60) if faults[0]["loc"] else ""
    if faults[0]["type"] == "extra_forbidden":
        known = ", ".join(TrainConfig.model_fields)
        return f"{source}: {first}: no such setting; known are {known}"
    # Of a setting with two shapes (class_weights), the deepest fault belongs to the shape that was meant.
    plain = list(plain_faults(error, layer))
    of_first = [fault for fault in plain if f"{fault[0]}.".startswith(f"{first}.")]
    field, message, remedy = max(of_first or plain, key=lambda fault: fault[0].count("."))
    return one_line(f"{source}: {field or 'settings'}: {message}; {remedy}", 1000)


def environment_settings(environ: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Settings given as ``FINRM_<KEY>`` variables, e.g. ``FINRM_BATCH_SIZE=2``; an empty one is none.

    Raises:
        InputError: naming the variable that can't be read.
    """
    environ = os.environ if environ is None else environ
    found = {}
    for key, field in TrainConfig.model_fields.items():
        value = environ.get(ENV_PREFIX + key.upper(), "")
        if value.strip():
            # A name or a path is taken as it stands: YAML would make a number or a date of some.
            text = field.annotation in (str, str | None)
            found[key] = value if text else load_yaml(value, f"environment: {ENV_PREFIX}{key.upper()}")
    return found


def settings_file(path: str | Path) -> dict[str, Any]:
    """Settings from a YAML (or JSON) file.

    Raises:
        InputError: if it is no mapping of settings.
    """
    value = load_yaml_file(path, "settings file")
    if not isinstance(value, dict):
        raise InputError(f"{one_line(str(path))}: holds no settings; write lines such as 'batch_size: 4'")
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
    layers: list[tuple[str, dict[Any, Any]]] = [("settings", dict(base or {}))]
    if file is not None:
        layers.append((one_line(str(file)), settings_file(file)))
    layers.append(("environment", environment_settings(environ)))
    layers.append(("flags", {key: value for key, value in (flags or {}).items() if value is not None}))
    merged: dict[Any, Any] = {}
    for source, layer in layers:
        merged |= layer
        try:
            TrainConfig.model_validate(layer)
        except ValidationError as error:
            # Settings that must fit each other may come from two layers: that is judged at the end.
            if error.errors(include_url=False)[0]["loc"]:
                raise InputError(_describe(error, layer, source)) from None
    try:
        return TrainConfig.model_validate(merged)
    except ValidationError as error:
        raise InputError(_describe(error, merged, "settings")) from None
