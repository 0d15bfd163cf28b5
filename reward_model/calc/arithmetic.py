"""Calculations that a text writes out: (523.73-412.62)/412.62=26.93%."""

from __future__ import annotations

import re
from collections.abc import Sequence

from reward_model.calc.expected import Expected
from reward_model.calc.figures import Figure
from reward_model.calc.formula import Operand, Value, parse_expression
from reward_model.calc.joined import joined_by, scale_of

EQUALS = re.compile(r"[)）\]%％]?\s*(?:=|≈|＝|等于)\s*(?:约)?\s*$")
"""Between the last operand and the result."""
EQUAL_WORDS = re.compile("[=≈＝约等于]")
ALLOWED = re.compile(r"[fox\d\s.+\-*/()]+")
"""A calculation whose figures are written f0x, f1x ..., in ordinary signs."""
_PLAIN = str.maketrans("（）－−＋×÷＊／［］[]", "()--+*/*/()()")
LONGEST = 30
"""Figures of one calculation, at most."""


def calculations(text: str, figures: Sequence[Figure]) -> dict[int, list[Expected]]:
    """What results of written calculations should be: index of the result's figure to its value."""
    found: dict[int, list[Expected]] = {}
    start = 0
    for index in range(1, len(figures) + 1):
        if index < len(figures) and joined_by(text, figures[index - 1], figures[index]):
            continue
        _chain(text, figures, start, index, found)
        start = index
    return found


def _chain(
    text: str, figures: Sequence[Figure], start: int, end: int, found: dict[int, list[Expected]]
) -> None:
    """Every result in a chain a op b = c (= d ...)."""
    if not 2 < end - start <= LONGEST:
        return
    left = start
    for index in range(start + 1, end):
        gap = text[figures[index - 1].end : figures[index].start]
        if not EQUALS.fullmatch(gap):
            continue
        if index - left > 1:
            value = _evaluate(text, figures[left:index], figures[index])
            if value is not None:
                found[index] = [value]
        left = index


def _evaluate(text: str, parts: Sequence[Figure], result: Figure) -> Expected | None:
    begin = parts[0].start
    while begin > 0 and text[begin - 1] in "(（[［ ":
        begin -= 1
    before = text[begin - 1] if begin else ""
    if before and before in "+-×÷*/＋－−=":
        return None  # it begins further to the left, with words
    pieces, at = [], begin
    for number, part in enumerate(parts):
        signed = part.text[:1] in "+-＋－−" and number > 0
        pieces += [text[at : part.start], part.text[0] if signed else "", f"f{number}x"]
        at = part.end
    stop = text.find("=", at)
    tail = text[at : result.start] if stop < 0 else text[at:stop]
    pieces.append(EQUAL_WORDS.sub("", tail))
    expression = "".join(pieces).translate(_PLAIN)
    opened = expression.count("(") - expression.count(")")
    if opened > 0 and expression.startswith("(" * opened):
        expression = expression[opened:]
    if not ALLOWED.fullmatch(expression):
        return None
    mixed = any(part.kind == "number" for part in (*parts, result)) or result.kind in ("percent", "days")
    values = {}
    for number, part in enumerate(parts):
        size = float(scale_of(part)) if mixed else 1.0
        low, high = float(part.low) / size, float(part.high) / size
        if part.text[:1] in "-－−" and number > 0:
            low, high = -high, -low
        if part.kind == "percent" and not (result.kind in ("percent", "points") and _only_sums(expression)):
            low, high = low / 100, high / 100
        operand = Operand(part.text, "", float(part.value), "text")
        values[f"f{number}x"] = Value(low, high, (operand,), part.text)
    try:
        value = parse_expression(expression).evaluate(lambda name, _: values.get(name))
    except ValueError:
        return None
    if value is None:
        return None
    factor = 1.0
    if result.kind == "percent" and not _only_sums(expression):
        factor = 100.0
    elif mixed and result.kind == "money":
        factor = float(scale_of(result))
    written = text[begin : parts[-1].end]
    return Expected(value.low * factor, value.high * factor, written, value.operands)


def _only_sums(expression: str) -> bool:
    return "*" not in expression and "/" not in expression
