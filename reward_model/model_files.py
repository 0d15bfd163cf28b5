"""The small files of a model directory, of torch's kind and of ONNX's: read strictly, without torch."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from reward_model.errors import InputError
from reward_model.jsonl import one_line
from reward_model.rubric import Rubric
from reward_model.stats.calibration import TEMPERATURE_BOUNDS

_MAX_JSON = 16_000_000


class Calibration(BaseModel):
    """``calibration.json``: one temperature a dimension, by name (1 leaves the logits as they are)."""

    model_config = ConfigDict(extra="forbid")

    method: str = "temperature"
    temperatures: dict[str, float]
    n: int = Field(ge=0)
    """Held-out texts that the temperatures were fitted on."""
    how: str = ""
    regimes: dict[str, dict[str, float]] = Field(default_factory=dict)
    """The same for texts that were checked with their facts ("facts") and without ("text")."""


def require_folder(path: str | Path) -> Path:
    """``path`` if it is a directory.

    Raises:
        InputError: if it is none, or no directory could have that name.
    """
    folder = Path(path)
    try:
        found = folder.is_dir()
    except (OSError, ValueError):  # too long for a name
        found = False
    if not found:
        raise InputError(
            f"{one_line(str(path), 200)}: no such model directory; name one that 'finrm train' wrote"
        )
    return folder


def file_digest(path: Path) -> str:
    """SHA-256 of what a file says: of ``config.json`` without the place of the base model, which may move."""
    if path.name == "config.json":
        value = {key: item for key, item in read_json(path).items() if key != "base_model"}
        content = json.dumps(value, sort_keys=True).encode()
    else:
        content = path.read_bytes().replace(b"\r\n", b"\n")  # version control may have changed line ends
    return hashlib.sha256(content).hexdigest()


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object that a model directory's file holds.

    Raises:
        InputError: if the file is missing, far too large, or holds none.
    """
    if not path.is_file():
        raise InputError(f"{path.parent}: {path.name} is missing; the model directory is incomplete")
    try:
        if path.stat().st_size > _MAX_JSON:
            raise InputError(f"{path}: far too large; not a model directory of this project")
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check its permissions") from None
    except (UnicodeDecodeError, ValueError, RecursionError):
        raise InputError(f"{path}: not valid JSON; the model directory is damaged") from None
    if not isinstance(value, dict):
        raise InputError(f"{path}: holds no JSON object; the model directory is damaged")
    return value


def read_temperatures(folder: Path, rubric: Rubric) -> NDArray[np.float64]:
    """Temperatures [D] of ``calibration.json``, in the rubric's order.

    Raises:
        InputError: unless there is one for each dimension, within ``TEMPERATURE_BOUNDS``.
    """
    return _in_order(folder, _read_calibration(folder).temperatures, rubric)


def read_regimes(folder: Path, rubric: Rubric) -> dict[str, NDArray[np.float64]]:
    """Temperatures [D] of each regime in which the checker runs; a model without evidence has none.

    Raises:
        InputError: unless "facts" and "text" are there, as for :func:`read_temperatures`.
    """
    found = _read_calibration(folder).regimes
    if set(found) != {"facts", "text"}:
        raise InputError(f"{folder}/calibration.json: needs the regimes facts and text; refused")
    return {regime: _in_order(folder, values, rubric) for regime, values in found.items()}


def _read_calibration(folder: Path) -> Calibration:
    try:
        return Calibration.model_validate(read_json(folder / "calibration.json"))
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        where = one_line(".".join(str(step) for step in fault["loc"]), 100)
        raise InputError(f"{folder}/calibration.json: {where}: {one_line(fault['msg'])}; refused") from None


def _in_order(folder: Path, values: dict[str, float], rubric: Rubric) -> NDArray[np.float64]:
    low, high = TEMPERATURE_BOUNDS
    if set(values) != set(rubric.names) or not all(low <= value <= high for value in values.values()):
        raise InputError(
            f"{folder}/calibration.json: needs one temperature a dimension, {low:g} to {high:g}; refused"
        )
    return np.array([values[name] for name in rubric.names], dtype=np.float64)
