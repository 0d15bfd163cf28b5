"""Statements that a report can make: when one is true of the figures, and the ways to say it.

A statement of ``words/*.yaml``::

    - topic: 毛利                    # the topic, which decides the section
      kind: cause                   # lead, fact, cause, link, test, caveat or outlook
      tone: bad                     # good or bad news, for connectives; left out: neither
      when: 毛利率.d < -0.3         # a Jinja expression over numbers (.v .p .o .d .g); unknown is false
      weight: 2                     # of the choice among statements
      say:                          # ways to say it, Jinja with {...} for values (see measures._WORDS)
        - 毛利率{毛利率.由至}。

What a phrase names and the sheet can't give makes that phrase unsayable, never an error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from jinja2 import Environment, StrictUndefined, meta
from jinja2.environment import TemplateExpression
from jinja2.exceptions import UndefinedError

from reward_model.offline.material import material
from reward_model.offline.measures import UnknownError

KINDS = ("lead", "fact", "cause", "link", "test", "caveat", "outlook")
Names = Callable[[str], Any]
"""Gives what a name in a phrase stands for, or raises :class:`UnknownError`."""

_UNSAYABLE = (UnknownError, UndefinedError, ArithmeticError)


@cache
def _environment() -> Environment:
    # The package's own files are rendered, into plain text: nothing to escape.
    return Environment(
        variable_start_string="{", variable_end_string="}", undefined=StrictUndefined, autoescape=False
    )


_UP = re.compile(r"(?:增加|增长|提高|上升|升至|多出|增至|高出)\{(\w+)\.(?:差|幅|今)\}")
_DOWN = re.compile(r"(?:减少|下降|降至|回落至|减至|收窄至)\{(\w+)\.(?:差|幅|今)\}")


@cache
def _moves(source: str) -> tuple[tuple[str, int], ...]:
    """What a phrase says went up (1) or down (-1)."""
    return tuple((name, 1) for name in _UP.findall(source)) + tuple(
        (name, -1) for name in _DOWN.findall(source)
    )


class Phrase:
    """One way to say something. 增加{存货.差} can't be said of what fell."""

    def __init__(self, source: str) -> None:
        self.source = source

    def render(self, names: Names) -> str | None:
        """The sentence; None where something that it names isn't known."""
        template, wanted = _compiled(self.source)
        try:
            if any(names(metric).d * sign <= 0 for metric, sign in _moves(self.source)):
                return None
            rendered: str = template.render({name: names(name) for name in wanted})
        except _UNSAYABLE:
            return None
        return rendered.strip()


@cache
def _compiled(source: str) -> tuple[Any, frozenset[str]]:
    environment = _environment()
    names = meta.find_undeclared_variables(environment.parse(source))
    return environment.from_string(source), frozenset(names)


@cache
def _condition(source: str) -> tuple[TemplateExpression, frozenset[str]]:
    environment = _environment()
    names = meta.find_undeclared_variables(environment.parse("{" + source + "}"))
    return environment.compile_expression(source, undefined_to_none=False), frozenset(names)


def evaluate(source: str, names: Names) -> Any:
    """The value of a Jinja expression over the figures; None where something isn't known."""
    expression, wanted = _condition(source)
    try:
        return expression({name: names(name) for name in wanted})
    except (*_UNSAYABLE, TypeError):
        return None


@dataclass(frozen=True)
class Statement:
    """See the module. ``key`` names it by file and place."""

    key: str
    topic: str
    kind: str
    tone: str
    when: str
    weight: float
    say: tuple[Phrase, ...]

    def holds(self, names: Names) -> bool:
        """Whether it is true of the figures."""
        return not self.when or bool(evaluate(self.when, names))


def _statement(entry: Mapping[str, Any], key: str) -> Statement:
    unknown = set(entry) - {"topic", "kind", "tone", "when", "weight", "say"}
    if unknown or entry.get("kind") not in KINDS:
        raise ValueError(f"{key}: {unknown or entry.get('kind')}")
    when = entry.get("when", "")
    return Statement(
        key=key,
        topic=entry["topic"],
        kind=entry["kind"],
        tone=entry.get("tone", ""),
        when=" and ".join(f"({part})" for part in when) if isinstance(when, list) else when,
        weight=float(entry.get("weight", 1)),
        say=tuple(map(Phrase, entry["say"])),
    )


@cache
def statements(name: str) -> tuple[Statement, ...]:
    """The statements of ``words/<name>.yaml``."""
    return tuple(_statement(entry, f"{name}:{i}") for i, entry in enumerate(material(name)["statements"]))


@dataclass(frozen=True)
class Issue:
    """Something that deserves a risk, an advice, a question ...: forms by name, ways to say each."""

    key: str
    when: str
    size: str
    forms: Mapping[str, tuple[Phrase, ...]]

    def weight(self, names: Names) -> float | None:
        """How much it matters; None where it doesn't hold."""
        if not evaluate(self.when, names):
            return None
        size = evaluate(self.size, names)
        return None if size is None else float(size)


@cache
def issues(group: str) -> tuple[Issue, ...]:
    """The issues of ``words/issues.yaml`` for a "company", and what "property" adds, or for a "bank"."""
    content = material("issues")
    entries = content["issues"] if group == "company" else content[group]

    def forms(entry: Mapping[str, Any]) -> Iterator[tuple[str, tuple[Phrase, ...]]]:
        for form, says in entry.items():
            if form not in {"when", "size"}:
                yield form, tuple(map(Phrase, says))

    return tuple(
        Issue(key, entry["when"], str(entry.get("size", 1)), dict(forms(entry)))
        for key, entry in entries.items()
    )
