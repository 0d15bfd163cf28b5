"""Rubrics: dimensions x levels with an anchor text each, and which degradation targets which dimension."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from reward_model.errors import InputError, require_file
from reward_model.jsonl import one_line, shown

DEFAULT_RUBRIC = "financial"
_MAX_BYTES = 1_000_000
_MAX_FAULTS = 10_000
_MAX_NODES = 100_000
_FORMAT = "see reward_model/rubrics/financial.yaml for the format"

# pydantic's kinds of fault in plain words, with the way out. "{given}" is the value as written.
_WHOLE = ("must be a whole number, not {given}", "write 0, 1, 2 ... without quotes")
_NUMBER = ("must be a number, not {given}", "write it in digits, without quotes")
_OBJECT = ("must be an object, not {given}", "give it keys and values")
_LIST = ("must be a list, not {given}", "put it in brackets")
_BOOL = ("must be true or false, not {given}", "write true or false")
_EMPTY = ("is empty", "fill it in, or remove what it stands in")
_PLAIN: dict[str, tuple[str, str]] = {
    "missing": ("is missing", "add it"),
    "extra_forbidden": ("is no known key", "correct its spelling or remove it"),
    "invalid_key": ("is a key that is not text", "put it in quotes"),
    "string_type": ("must be a string, not {given}", "put the text in quotes"),
    "string_too_short": _EMPTY,
    "string_too_long": ("is over {max_length} characters long", "shorten it"),
    "int_type": _WHOLE,
    "int_from_float": _WHOLE,
    "int_parsing": _WHOLE,
    "int_parsing_size": _WHOLE,
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "finite_number": _NUMBER,
    "bool_type": _BOOL,
    "bool_parsing": _BOOL,
    "dict_type": _OBJECT,
    "model_type": _OBJECT,
    "list_type": _LIST,
    "tuple_type": _LIST,
    "too_short": ("needs at least {min_length} entries", "add what is missing"),
    "too_long": ("has over {max_length} entries", "shorten it"),
    "greater_than": ("must be over {gt}, not {given}", "correct it"),
    "greater_than_equal": ("must be at least {ge}, not {given}", "correct it"),
    "less_than": ("must be below {lt}, not {given}", "correct it"),
    "less_than_equal": ("must be at most {le}, not {given}", "correct it"),
    "literal_error": ("must be {expected}, not {given}", "choose one of them"),
    "value_error": ("{error}", "correct it"),
}


def plain_faults(error: ValidationError, value: Any) -> Iterator[tuple[str, str, str]]:
    """What is wrong with ``value``: one (dotted field, message, remedy) a field, in plain words."""
    if error.error_count() > _MAX_FAULTS:  # each would be an object of its own
        yield "", f"has {error.error_count():,} faults", "correct or remove it"
        return
    found: dict[str, list[Any]] = {}
    for fault in error.errors(include_url=False):
        found.setdefault(_dotted(fault["loc"], value), []).append(fault)
    for field, faults in found.items():
        kinds = {fault["type"] for fault in faults}
        kind, given = faults[0]["type"], shown(faults[0]["input"])
        if {"string_type", "int_type"} <= kinds:  # what pydantic tried one after the other
            yield field, f"must be a string or a whole number, not {given}", "put it in quotes"
        elif {"float_type", "int_type"} <= kinds:
            yield field, _NUMBER[0].format(given=given), _NUMBER[1]
        elif kind == "string_pattern_mismatch":
            if faults[0]["ctx"]["pattern"] == r"\S":
                yield field, *_EMPTY
            else:
                yield (
                    field,
                    f"must begin with a letter and hold letters, digits and _, not {given}",
                    "rename it",
                )
        else:
            message, remedy = _PLAIN.get(kind, ("{msg}", "correct it"))
            words = faults[0].get("ctx", {}) | {"given": given, "msg": faults[0]["msg"]}
            yield field, message.format(**words), remedy


def _dotted(location: tuple[int | str, ...], value: Any) -> str:
    """``location`` without the steps that are pydantic's own, such as the members of a union."""
    steps = []
    for step in location:
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list | tuple) and isinstance(step, int):
            value = value[step] if step < len(value) else None
        else:
            continue
        steps.append(one_line(str(step), 60))
    return ".".join(steps)


class _Loader(yaml.SafeLoader):
    """YAML without repeated keys, and without aliases that make gigabytes of a few lines."""

    def get_single_node(self) -> Any:
        node = super().get_single_node()
        if node is not None and _expanded(node, {}) > _MAX_NODES:
            problem = f"it stands for over {_MAX_NODES:,} values, aliases (*name) written out"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen = set()
        for key, _ in getattr(node, "value", ()):
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                problem = f"the key {shown(key.value)} appears twice"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else id(key))
        return super().construct_mapping(node, deep)


def _expanded(node: yaml.Node, sizes: dict[int, float]) -> float:
    """How many values ``node`` stands for; infinitely many if it holds an alias of itself."""
    if id(node) not in sizes:
        sizes[id(node)] = math.inf
        parts = node.value if isinstance(node, yaml.CollectionNode) else []
        if isinstance(node, yaml.MappingNode):
            parts = [part for pair in parts for part in pair]
        sizes[id(node)] = 1 + sum(_expanded(part, sizes) for part in parts)
    return sizes[id(node)]


def load_yaml(text: str, source: str) -> Any:
    """The value that ``text`` holds as YAML; ``source`` names it in errors.

    Raises:
        InputError: one line saying where it is at fault.
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except RecursionError:
        raise InputError(f"{source}: nested too deeply; correct it") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line if mark else text[: getattr(error, "position", 0)].count("\n")
        problem = one_line(
            getattr(error, "problem", None) or getattr(error, "reason", None) or "damaged", 120
        )
        raise InputError(f"{source}:{line + 1}: not valid YAML ({problem}); correct it") from None
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError):
        # PyYAML lets them through for values such as the date 2024-13-45 or "!!bool x".
        raise InputError(
            f"{source}: holds a date, number or tag that can't be read; put such values in quotes"
        ) from None


def load_yaml_file(path: str | Path, what: str) -> Any:
    """Like :func:`load_yaml`, from a UTF-8 file of moderate size; ``what`` says what it should be."""
    name = one_line(str(path))
    try:
        with require_file(path, what).open("rb") as stream:
            raw = stream.read(_MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"{name}: cannot be read ({error.strerror}); check the path") from None
    if len(raw) > _MAX_BYTES:
        raise InputError(f"{name}: over {_MAX_BYTES // 1_000_000} MB, no {what}; check the path")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{name}: not UTF-8; save it as UTF-8") from None
    return load_yaml(text, name)


# Bounds far above any rubric that people could judge by, far below what would hang.
Title = Annotated[str, Field(max_length=200)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=4000, pattern=r"\S")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Dimension(_Strict):
    """One dimension; ``levels[k]`` is the anchor text of level k, worst first."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$", max_length=60)]
    title: Title
    title_en: Title = ""
    description: Annotated[str, Field(max_length=4000)]
    levels: Annotated[tuple[Text, ...], Field(min_length=2, max_length=101)]


class Degradation(_Strict):
    """One way to make a text worse, and the dimension that it is meant to lower most."""

    name: Title
    target: str
    description: Annotated[str, Field(max_length=4000)] = ""


Level = Annotated[int, Field(strict=True, ge=0, le=100)]


class FigureLevels(_Strict):
    """The level of ``dimension`` by how many figures of a text are wrong, as its anchors say."""

    dimension: str
    minor: Level
    """No figure is wrong; some have a wrong unit."""
    wrong: Annotated[dict[Annotated[int, Field(ge=1)], Level], Field(min_length=1, max_length=100)]
    """From so many wrong figures on, this level."""
    most: Level
    """More than half of the figures that can be checked are wrong."""

    @property
    def wrong_from(self) -> int:
        """The number of wrong figures that leads to the last of the levels in ``wrong``."""
        return max(self.wrong)

    def level(self, wrong: int, slips: int, checked: int) -> int | None:
        """The level with ``wrong`` of ``checked`` figures and ``slips`` wrong units; None without errors."""
        if 2 * wrong > checked:
            return self.most
        reached = [count for count in self.wrong if count <= wrong]
        if reached:
            return self.wrong[max(reached)]
        return self.minor if slips or wrong else None


class KnownEdits(_Strict):
    """The levels that a text falls to, at best, by what is done to it by code."""

    figures: FigureLevels | None = None
    shuffled: dict[str, Level] = Field(default_factory=dict)
    """All its sentences in another order: level a dimension; what isn't named is not known."""
    first_quarter: dict[str, Level] = Field(default_factory=dict)
    """Its first quarter alone."""


class Rubric(_Strict):
    """What a text is graded on. All dimensions have the same number of levels."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"\S")]
    version: int = 1
    dimensions: Annotated[tuple[Dimension, ...], Field(min_length=1, max_length=50)]
    degradations: Annotated[tuple[Degradation, ...], Field(max_length=200)] = ()
    quality_focuses: Annotated[tuple[Title, ...], Field(max_length=200)] = ()
    severities: Annotated[tuple[Title, ...], Field(max_length=200)] = ()
    known_edits: KnownEdits | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Rubric:
        if len(set(self.names)) != len(self.names):
            raise ValueError("two dimensions have the same name")
        if len({item.name for item in self.degradations}) != len(self.degradations):
            raise ValueError("two degradations have the same name")
        if len({len(dimension.levels) for dimension in self.dimensions}) != 1:
            raise ValueError("all dimensions need the same number of levels")
        for degradation in self.degradations:
            if degradation.target not in self.names:
                raise ValueError(
                    f"degradation {shown(degradation.name)} targets {shown(degradation.target)}, no dimension"
                )
        for field, dimension, level in self._edit_levels():
            if dimension not in self.names:
                raise ValueError(f"known_edits.{field} names {shown(dimension)}, no dimension")
            if level >= self.num_classes:
                raise ValueError(f"known_edits.{field} leads to level {level}, above {self.num_classes - 1}")
        return self

    def _edit_levels(self) -> Iterator[tuple[str, str, int]]:
        edits = self.known_edits or KnownEdits()
        if edits.figures is not None:
            for level in (edits.figures.minor, *edits.figures.wrong.values(), edits.figures.most):
                yield "figures", edits.figures.dimension, level
        for field, levels in (("shuffled", edits.shuffled), ("first_quarter", edits.first_quarter)):
            for dimension, level in levels.items():
                yield field, dimension, level

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
    return _rubric(load_yaml(text, source), source)


def _rubric(value: Any, source: str) -> Rubric:
    return validated(Rubric, value, source, _FORMAT)


Model = TypeVar("Model", bound=BaseModel)


def validated(model: type[Model], value: Any, source: str, see: str) -> Model:
    """``value`` as a ``model``; ``source`` and ``see`` (where the format is told) stand in the error.

    Raises:
        InputError: one line naming the first field at fault.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        field, message, remedy = next(plain_faults(error, value))
        where = f"{source}: {field}" if field else source
        raise InputError(one_line(f"{where}: {message}; {remedy} ({see})", 1000)) from None


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
    if not _exists(name_or_path):
        raise InputError(
            f"{one_line(str(name_or_path))}: no such rubric; "
            f"name a YAML file or one of {', '.join(builtin_rubrics())}"
        )
    return _rubric(load_yaml_file(name_or_path, "rubric"), one_line(str(name_or_path)))


def _exists(path: str | Path) -> bool:
    try:
        return Path(path).exists()
    except (OSError, ValueError):  # a name that no file could have
        return False
