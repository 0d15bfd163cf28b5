"""Figures of written calculations: an operand claims nothing, the result what stood before the first one."""

from __future__ import annotations

import re

from reward_model.calc.annotated import AnnotatedText
from reward_model.calc.binding import Binding, changed, compatible
from reward_model.calc.figures import Figure
from reward_model.calc.joined import joined_by
from reward_model.calc.rules import Rules

EQUAL = re.compile(r"[=≈＝]\s*约?$")
"""Before a figure: it is a result."""
EQUALS_NEXT = ("=", "≈", "＝")
RATE = re.compile("率$")
"""The end of a turnover's name, whose days a calculation may give."""


def begins(note: AnnotatedText, index: int, first: int) -> bool:
    """Whether a calculation begins with the figure ``index`` of a sentence that begins with ``first``."""
    return index == first or not joined_by(note.text, note.figures[index - 1], note.figures[index])


def is_last_result(note: AnnotatedText, index: int) -> bool:
    """Whether the figure ``index`` stands behind an equals sign and is no operand itself."""
    text, figure = note.text, note.figures[index]
    if not EQUAL.search(text[max(0, figure.start - 3) : figure.start]):
        return False
    on = index + 1 < len(note.figures) and joined_by(text, figure, note.figures[index + 1])
    return not on or text[figure.end : figure.end + 3].strip()[:1] in EQUALS_NEXT


def result_of(first: Binding, figure: Figure, rules: Rules) -> Binding:
    """What a result claims, by what its calculation's ``first`` operand was bound to."""
    metric = first.metric
    if metric is not None and figure.kind == "days":
        metric = rules.metrics.get(RATE.sub("天数", metric.name), metric)
    role = ""
    if metric is not None and (metric.kind == figure.kind or figure.kind in ("number", "money")):
        role = "delta" if first.role == "delta" else "level"
    elif metric is not None and figure.kind == "percent" and first.role == "growth":
        role = "growth"
    sign = 0 if role == "level" else first.sign
    return compatible(changed(first, metric=metric, figure=figure, role=role, sign=sign))
