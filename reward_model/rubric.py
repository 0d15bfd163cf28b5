"""Rubrics: dimensions x levels with an anchor text each, and which degradation targets which dimension."""

from __future__ import annotations

from functools import cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from reward_model.errors import InputError, require_file

DEFAULT_RUBRIC = "financial"
_MAX_BYTES = 1_000_000


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Dimension(_Strict):
    """One dimension; ``levels[k]`` is the anchor text of level k, worst first."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]
    title: str
    title_en: str = ""
    description: str
    levels: Annotated[tuple[str, ...], Field(min_length=2)]


class Degradation(_Strict):
    """One way to make a text worse, and the dimension that it is meant to lower most."""

    name: str
    target: str
    description: str = ""


class Rubric(_Strict):
    """What a text is graded on. All dimensions have the same number of levels."""

    name: str
    version: int = 1
    dimensions: Annotated[tuple[Dimension, ...], Field(min_length=1)]
    degradations: tuple[Degradation, ...] = ()
    quality_focuses: tuple[str, ...] = ()
    severities: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Rubric:
        if len(set(self.names)) != len(self.names):
            raise ValueError("two dimensions have the same name")
        if len({len(dimension.levels) for dimension in self.dimensions}) != 1:
            raise ValueError("all dimensions need the same number of levels")
        for degradation in self.degradations:
            if degradation.target not in self.names:
                raise ValueError(f"degradation {degradation.name} targets {degradation.target}, no dimension")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The dimensions' names, in the order of the model's heads."""
        return tuple(dimension.name for dimension in self.dimensions)

    @property
    def titles(self) -> dict[str, str]:
        """Name to Chinese title."""
        return {dimension.name: dimension.title for dimension in self.dimensions}

    @property
    def num_dimensions(self) -> int:
        """How many dimensions there are."""
        return len(self.dimensions)

    @property
    def num_classes(self) -> int:
        """How many levels each dimension has: 0 to ``num_classes`` - 1."""
        return len(self.dimensions[0].levels)

    def target_of(self, degradation: str | None) -> str | None:
        """The dimension that ``degradation`` is meant to lower, or None if the rubric doesn't name it."""
        return next((item.target for item in self.degradations if item.name == degradation), None)

    def to_yaml(self) -> str:
        """The rubric as YAML that :func:`parse_rubric` reads back to an equal rubric."""
        return yaml.safe_dump(self.model_dump(mode="json"), allow_unicode=True, sort_keys=False, width=110)


def parse_rubric(text: str, source: str) -> Rubric:
    """Parse a rubric from YAML; ``source`` names it in errors.

    Raises:
        InputError: one line naming the field at fault.
    """
    try:
        value: Any = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f":{mark.line + 1}" if mark else ""
        raise InputError(f"{source}{where}: not valid YAML; correct it") from None
    except RecursionError:
        raise InputError(f"{source}: nested too deeply; see reward_model/rubrics/financial.yaml") from None
    try:
        return Rubric.model_validate(value)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        field = ".".join(str(step) for step in fault["loc"]) or "rubric"
        message = fault["msg"].removeprefix("Value error, ")
        raise InputError(
            f"{source}: {field}: {message}; see reward_model/rubrics/financial.yaml for the format"
        ) from None


def builtin_rubrics() -> list[str]:
    """Names of the rubrics that come with the package."""
    folder = resources.files("reward_model") / "rubrics"
    return sorted(item.name.removesuffix(".yaml") for item in folder.iterdir() if item.name.endswith(".yaml"))


@cache
def _builtin(name: str) -> Rubric:
    resource = resources.files("reward_model") / "rubrics" / f"{name}.yaml"
    return parse_rubric(resource.read_text(encoding="utf-8"), f"rubric {name}")


def load_rubric(name_or_path: str | Path = DEFAULT_RUBRIC) -> Rubric:
    """Load a built-in rubric by name, or one from a YAML file.

    Raises:
        InputError: if there is none, or it is unusable.
    """
    if str(name_or_path) in builtin_rubrics():
        return _builtin(str(name_or_path))
    if not Path(name_or_path).exists():
        raise InputError(
            f"{name_or_path}: no such rubric; name a YAML file or one of {', '.join(builtin_rubrics())}"
        )
    path = require_file(name_or_path, "rubric")
    if path.stat().st_size > _MAX_BYTES:
        raise InputError(f"{path}: over {_MAX_BYTES // 1_000_000} MB, no rubric; check the path")
    try:
        return parse_rubric(path.read_text(encoding="utf-8-sig"), str(path))
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8; save it as UTF-8") from None
