"""The metrics that the checker knows: names to find in prose, and formulas to compute them by.

They stand in YAML files: ``rules/financial.yaml`` and, in the same format, whatever a user adds:

.. code-block:: yaml

    metrics:
      门店数:
        unit: 家
        synonyms: [门店数量, 门店总数]
      单店收入:
        unit: 万元                    # or 元, 亿元, 美元 ..., "%", 天, 次, 倍; 数量 for a count of anything
        synonyms: [平均单店收入]
        formula: 营业收入 / 门店数    # or several: {期末口径: ..., 平均口径: 营业收入 / avg(门店数)}
        tolerance: 0.5                # accept this much beyond rounding, in the unit
      毛利率:                         # a metric that is known already gains names and formulas
        synonyms: [综合毛利水平]
    stop: [单店收入模型]              # phrases that hold a name and aren't one

Formulas are in the language of :mod:`reward_model.calc.formula`, and name metrics by their canonical names.
"""

from __future__ import annotations

import graphlib
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, NoReturn

import yaml

from reward_model.calc.formula import parse_expression
from reward_model.calc.metrics import MAX_LENGTH, Mention, Metric, Rules, Variant
from reward_model.errors import InputError, require_file
from reward_model.jsonl import one_line, shown

__all__ = ["Mention", "Metric", "Rules", "Variant", "load_rules"]

_MAX_BYTES = 1_000_000
_MAX_METRICS = 2_000
_MAX_NAMES = 20_000
_MAX_FORMULAS = 30

# A unit: how many of its base, the base, and what it is a share of (万元/家), which isn't followed.
_UNIT = re.compile(r"(万亿|十亿|百万|千万|千|万|亿)?([^\d\s/]{1,10})(/[^\d\s/]{1,10})?")
_SCALES = {"千": 1e3, "万": 1e4, "百万": 1e6, "千万": 1e7, "亿": 1e8, "十亿": 1e9, "万亿": 1e12}
_CURRENCIES = frozenset({"元", "美元", "港元", "欧元", "日元", "英镑"})
_KINDS = {"%": "percent", "天": "days", "次": "turns", "倍": "multiple"} | dict.fromkeys(_CURRENCIES, "money")
_ANY = "数量"


@dataclass
class _Draft:
    """A metric while files still add to it."""

    unit: str
    kind: str
    scale: float
    names: dict[str, None]
    stock: bool = False
    cost: bool = False
    tolerance: float = 0.0
    variants: list[Variant] = field(default_factory=list)


class _Files:
    """What the files read so far say."""

    def __init__(self) -> None:
        self.drafts: dict[str, _Draft] = {}
        self.owners: dict[str, str] = {}
        """Every name in lower case: the metric it means."""
        self.stop: dict[str, None] = {}
        self.formulas: list[tuple[str, Variant, str]] = []
        """Each formula in the order read: its metric, itself, where it stands."""

    def add(self, content: Any, source: str) -> None:
        """Take in one file's ``content``."""
        _check_keys(content, {"metrics", "stop"}, source)
        metrics = content.get("metrics", {})
        if not isinstance(metrics, dict):
            _fault(f"{source}: metrics", f"must map names to metrics, not {shown(metrics)}", "see the format")
        for name, entry in metrics.items():
            self._add_metric(name, entry, f"{source}: metrics.{one_line(str(name), MAX_LENGTH)}")
        for phrase in _phrases(content.get("stop", []), f"{source}: stop"):
            owner = self.owners.pop(phrase.lower(), None)
            if owner is not None:
                self.drafts[owner].names.pop(phrase, None)
            self.stop[phrase] = None
        if len(self.drafts) > _MAX_METRICS or len(self.owners) + len(self.stop) > _MAX_NAMES:
            _fault(source, f"there are over {_MAX_METRICS:,} metrics or {_MAX_NAMES:,} names", "remove some")

    def _add_metric(self, name: Any, entry: Any, where: str) -> None:
        _check_name(name, where)
        _check_keys(entry, {"unit", "synonyms", "formula", "stock", "cost", "tolerance"}, where)
        draft = self.drafts.get(name)
        if draft is None:
            known = self.owners.get(name.lower())
            if known is not None:
                _fault(
                    where, f"is another name of {known} already", f"add to {known}, or choose another name"
                )
            if "unit" not in entry:
                _fault(f"{where}.unit", "is missing", 'add it, such as 元, "%", 天, 次, 倍 or 数量')
            draft = self.drafts[name] = _Draft(*_unit(entry["unit"], f"{where}.unit"), names={})
        elif "unit" in entry:
            unit, _, draft.scale = _unit(entry["unit"], f"{where}.unit")
            if unit != draft.unit:
                given = shown(entry["unit"])
                _fault(f"{where}.unit", f"{given} doesn't fit, as {name} is in {draft.unit}", "remove it")
        for synonym in (name, *_phrases(entry.get("synonyms", []), f"{where}.synonyms")):
            owner = self.owners.get(synonym.lower())
            if owner not in {None, name}:
                _fault(f"{where}.synonyms", f"{shown(synonym)} is a name of {owner} already", "remove it")
            self.owners[synonym.lower()] = name
            self.stop.pop(synonym, None)
            draft.names[synonym] = None
        draft.stock = _flag(entry, "stock", draft.stock, where)
        draft.cost = _flag(entry, "cost", draft.cost, where)
        if "tolerance" in entry:
            draft.tolerance = _tolerance(entry["tolerance"], f"{where}.tolerance") * draft.scale
        for variant, place in _variants(entry.get("formula", {}), f"{where}.formula"):
            if all(variant.expression != known.expression for known in draft.variants):
                draft.variants.append(variant)
                self.formulas.append((name, variant, place))

    def rules(self) -> Rules:
        """All of it, once the formulas are known to be over known metrics and in no circle."""
        graph: dict[str, set[str]] = {}
        for name, variant, place in self.formulas:
            for needed in sorted(variant.names - set(self.drafts)):
                owner = self.owners.get(needed.lower())
                if owner is not None:
                    _fault(place, f"{shown(needed)} is another name of {owner}", f"write {owner}")
                _fault(place, f"{shown(needed)} is no metric", "define it, or correct its spelling")
            graph.setdefault(name, set()).update(variant.names)
        try:
            graphlib.TopologicalSorter(graph).prepare()
        except graphlib.CycleError as error:
            circle = error.args[1]
            # The formula read last is the one that closed the circle.
            links = set(zip(circle[1:], circle, strict=False))
            place = [
                where for name, variant, where in self.formulas if links & {(name, n) for n in variant.names}
            ][-1]
            _fault(place, f"goes in a circle ({' <- '.join(circle)})", "remove one of the formulas")
        metrics = {name: _metric(name, draft) for name, draft in self.drafts.items()}
        return Rules(metrics, frozenset(self.stop))


def _metric(name: str, draft: _Draft) -> Metric:
    return Metric(
        name=name,
        kind=draft.kind,
        names=tuple(sorted(draft.names, key=len, reverse=True)),
        stock=draft.stock,
        variants=tuple(draft.variants),
        cost=draft.cost,
        tolerance=draft.tolerance,
        unit=draft.unit,
    )


def _fault(where: str, message: str, remedy: str) -> NoReturn:
    raise InputError(one_line(f"{where}: {message}; {remedy}", 1000))


def _check_keys(value: Any, known: set[str], where: str) -> None:
    if not isinstance(value, dict):
        _fault(
            where,
            f"must be an object with {' or '.join(sorted(known))}, not {shown(value)}",
            "see the format",
        )
    for key in value:
        if key not in known:
            place = (
                f"{where}.{one_line(str(key), MAX_LENGTH)}"
                if ": " in where
                else f"{where}: {one_line(str(key))}"
            )
            _fault(place, "is no known key", f"correct its spelling; known are {', '.join(sorted(known))}")


def _check_name(name: Any, where: str) -> None:
    if not isinstance(name, str):
        _fault(where, f"{shown(name)} is no name", "put the text in quotes")
    if not 2 <= len(name) <= MAX_LENGTH or name != name.strip() or not name.isprintable():
        _fault(where, f"{shown(name)} is no name", f"write 2 to {MAX_LENGTH} characters on one line")
    if not any(map(str.isalpha, name)):
        _fault(where, f"{shown(name)} is no name", "use words")


def _phrases(value: Any, where: str) -> Iterable[str]:
    if not isinstance(value, list):
        _fault(where, f"must be a list, not {shown(value)}", "put it in brackets")
    for phrase in value:
        _check_name(phrase, where)
    return value


def _unit(value: Any, where: str) -> tuple[str, str, float]:
    """A unit's base, the kind of figure in it, and how many of its base it is."""
    if value == _ANY:
        return "", "count", 1.0
    match = _UNIT.fullmatch(value.replace("％", "%")) if isinstance(value, str) else None
    if match is None:
        _fault(where, f"{shown(value)} is no unit", 'write one such as 元, 亿元, "%", 天, 次, 倍, 家 or 数量')
    scale, base = match[1] or "", match[2]
    if scale == "千" and base not in _CURRENCIES:  # 千克, 千瓦 are units themselves
        scale, base = "", scale + base
    return base, _KINDS.get(base, "count"), _SCALES.get(scale, 1.0)


def _flag(entry: Mapping[str, Any], key: str, otherwise: bool, where: str) -> bool:
    value = entry.get(key, otherwise)
    if not isinstance(value, bool):
        _fault(f"{where}.{key}", f"must be true or false, not {shown(value)}", "write true or false")
    return value


def _tolerance(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        _fault(
            where, f"must be a number of at least 0, not {shown(value)}", "write it in digits, without quotes"
        )
    return float(value)


def _variants(value: Any, where: str) -> Iterator[tuple[Variant, str]]:
    """Each formula and where it stands."""
    if isinstance(value, str):
        value = {"": value}
    if not isinstance(value, dict):
        _fault(where, f"must be a formula or an object of them, not {shown(value)}", "correct it")
    if len(value) > _MAX_FORMULAS:
        _fault(where, f"holds over {_MAX_FORMULAS} formulas", "remove some")
    for name, expression in value.items():
        place = f"{where}.{one_line(str(name), MAX_LENGTH)}" if name else where
        if not isinstance(name, str) or len(name) > MAX_LENGTH:
            _fault(
                place,
                f"{shown(name)} is no name",
                f"write text of at most {MAX_LENGTH} characters in quotes",
            )
        if not isinstance(expression, str):
            _fault(place, f"must be a formula, not {shown(expression)}", "put it in quotes")
        try:
            parse_expression(expression)
        except ValueError as error:
            _fault(place, f"{shown(expression)} {error}", "correct it")
        yield Variant(name, expression), place


def _parse(text: str, source: str) -> Any:
    """The value of one YAML file. No aliases: with them a few lines stand for gigabytes."""
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        _check_node(node, set(), source)
        return None if node is None else loader.construct_document(node)
    except RecursionError:
        _fault(source, "nested too deeply", "correct it")
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or "damaged"
        hint = ' ("%" needs quotes)' if "'%'" in problem else ""
        line = f":{mark.line + 1}" if mark else ""
        _fault(f"{source}{line}", f"not valid YAML ({one_line(problem, 120)}){hint}", "correct it")
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError):
        # PyYAML lets them through for values such as the date 2024-13-45.
        _fault(source, "holds a date, number or tag that can't be read", "put such values in quotes")


def _check_node(node: yaml.Node | None, seen: set[int], source: str) -> None:
    if not isinstance(node, yaml.CollectionNode):
        return
    line = node.start_mark.line + 1
    if id(node) in seen:
        _fault(f"{source}:{line}", "is used by an alias (*name)", "write it out")
    seen.add(id(node))
    keys: set[str] = set()
    for part in node.value:
        if isinstance(part, tuple):
            if part[0].value in keys if isinstance(part[0], yaml.ScalarNode) else False:
                where = f"{source}:{part[0].start_mark.line + 1}"
                _fault(where, f"the key {shown(part[0].value)} appears twice", "join them or remove one")
            if isinstance(part[0], yaml.ScalarNode):
                keys.add(part[0].value)
        for child in part if isinstance(part, tuple) else (part,):
            _check_node(child, seen, source)


@cache
def _builtin() -> Any:
    resource = resources.files("reward_model") / "calc" / "rules" / "financial.yaml"
    return _parse(resource.read_text(encoding="utf-8"), "financial.yaml")


def _read(path: str | Path) -> tuple[Any, str]:
    source = one_line(str(path))
    try:
        with require_file(path, "rule file").open("rb") as stream:
            raw = stream.read(_MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        _fault(source, f"cannot be read ({getattr(error, 'strerror', None) or error})", "check the path")
    if len(raw) > _MAX_BYTES:
        _fault(source, f"over {_MAX_BYTES // 1_000_000} MB, no rule file", "check the path")
    try:
        return _parse(raw.decode("utf-8-sig"), source), source
    except UnicodeDecodeError:
        _fault(source, "not UTF-8", "save it as UTF-8")


@cache
def _builtin_rules() -> Rules:
    files = _Files()
    files.add(_builtin(), "financial.yaml")
    return files.rules()


def load_rules(*paths: str | Path) -> Rules:
    """The built-in rules, and those of the files at ``paths`` added to them in turn.

    Raises:
        InputError: one line naming the file and field at fault, and what to do.
    """
    if not paths:
        return _builtin_rules()
    files = _Files()
    files.add(_builtin(), "financial.yaml")
    for path in paths:
        files.add(*_read(path))
    return files.rules()
