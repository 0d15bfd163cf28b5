"""ONNX model directories: what stands in them, and the check that all of it is as it was written.

``model.onnx`` (token ids to the statistics that pooling needs of each window), ``heads.onnx`` (those of a
document's windows to logits), ``config.json``, ``tokenizer.json``, ``rubric.yaml``, ``calibration.json``,
``training.json``, a model card, and ``manifest.json`` with the SHA-256 of every file but the card. Needs
neither torch nor transformers nor onnxruntime.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from reward_model.errors import InputError
from reward_model.jsonl import one_line, write_json
from reward_model.model_files import file_digest, read_json, require_folder
from reward_model.rubric import plain_faults

MODEL = "model.onnx"
HEADS = "heads.onnx"
CONFIG = "config.json"
TOKENIZER = "tokenizer.json"
MANIFEST = "manifest.json"
CARD = "README.md"
REQUIRED = (MODEL, HEADS, CONFIG, TOKENIZER, "rubric.yaml", "calibration.json", "training.json")
MODEL_TYPE = "financial_reward_onnx"

Count = Field(ge=0)


class OnnxConfig(BaseModel):
    """``config.json``: what a scorer must know beside the graphs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model_type: Literal["financial_reward_onnx"] = "financial_reward_onnx"
    version: Literal[1] = 1
    num_dimensions: int = Field(ge=1)
    num_classes: int = Field(ge=2)
    dimension_names: list[str] | None = None
    max_length: int = Field(ge=1)
    """Most tokens of a text that are read."""
    max_positions: int | None = Field(default=None, ge=1)
    """Most tokens of a window, special ones included; null for one window a text."""
    window_overlap: int = Count
    prefix_ids: list[int] = []
    suffix_ids: list[int] = []
    pad_id: int = Count
    include_prompt: bool = False
    skip_padding: bool = False
    evidence_size: int = Count
    evidence_version: str | None = None
    statistics: list[str] = Field(min_length=2)
    """Outputs of ``model.onnx``, which are inputs of ``heads.onnx``."""
    quantize: Literal["none", "int8"] = "none"
    base_model: str = ""
    """The base model's name, for people."""


def is_onnx_dir(path: str | Path) -> bool:
    """Whether ``path`` is an ONNX model directory, be it a damaged one."""
    try:
        folder = require_folder(path)
        if any((folder / name).is_file() for name in (MODEL, HEADS, MANIFEST)):
            return True
        return read_json(folder / CONFIG).get("model_type") == MODEL_TYPE
    except InputError:
        return False


def _digest(path: Path) -> str:
    if path.suffix == ".json" or path.suffix == ".yaml":
        return file_digest(path)
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_manifest(folder: Path) -> None:
    """Write the hashes of every file of ``folder`` but the model card."""
    names = sorted(item.name for item in folder.iterdir() if item.is_file())
    kept = [name for name in names if name not in {CARD, MANIFEST}]
    write_json(folder / MANIFEST, {"files": {name: _digest(folder / name) for name in kept}})


def read_onnx_config(path: str | Path) -> OnnxConfig:
    """Check every file of an ONNX model directory against the manifest; returns its configuration.

    Raises:
        InputError: if anything is missing or not as it was written.
    """
    folder = require_folder(path)
    try:
        _check_files(folder, read_json(folder / MANIFEST).get("files"))
    except OSError as error:
        name = one_line(str(error.filename or folder))
        raise InputError(f"{name}: cannot be read ({error.strerror}); check its permissions") from None
    value = read_json(folder / CONFIG)
    try:
        return OnnxConfig.model_validate(value)
    except ValidationError as error:
        field, message, remedy = next(plain_faults(error, value))
        raise InputError(
            f"{folder / CONFIG}: {field}: {message}; {remedy}, or export the model again"
        ) from None


def _check_files(folder: Path, digests: Any) -> None:
    if not isinstance(digests, dict) or not all(isinstance(value, str) for value in digests.values()):
        raise InputError(f"{folder / MANIFEST}: lists no files; export the model again")
    for name in sorted({*REQUIRED, *digests}):
        path = folder / Path(name).name
        if name not in digests:
            raise InputError(f"{folder / MANIFEST}: says nothing of {name}; export the model again")
        if not path.is_file():
            raise InputError(f"{folder}: {one_line(path.name)} is missing; the model directory is incomplete")
        if _digest(path) != digests[name]:
            raise InputError(f"{path}: is not as it was written (SHA-256 differs); copy the model again")
