"""Formulas over metrics, computed on intervals: a rounded figure stands for every value that rounds to it.

An expression knows ``+ - * /``, unary minus, brackets, numbers, metric names (in quotes where a name isn't
one word) and four functions:

- ``prev(x)``: x one period earlier,
- ``avg(x)``: (prev(x) + x) / 2, the average of opening and closing balance,
- ``abs(x)``,
- ``days()``: the days of a calendar year, 365 to 366.

Full-width operators and ``×``, ``÷`` are read too.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

Interval = tuple[float, float]
Key = tuple[str, int]
"""A metric's name and how many periods before (negative) the one asked for."""
_Slopes = dict[Key, Interval]
_Evaluator = Callable[[dict[Key, Interval], int], Interval]
_Differentiator = Callable[[dict[Key, Interval], int], tuple[Interval, _Slopes]]

MAX_LENGTH = 500
_MAX_BACK = 3  # each avg() within another doubles the work
_MAX_DEPTH = 50

_OPERATORS = str.maketrans("＋－−×＊÷／（）", "+--**//()")
_FUNCTIONS = {"avg": 1, "prev": 1, "abs": 1, "days": 0}
_ZERO: Interval = (0.0, 0.0)
_ONE: Interval = (1.0, 1.0)
_MINUS: Interval = (-1.0, -1.0)
_DAYS: Interval = (365.0, 366.0)


class Operand(NamedTuple):
    """One figure that a value was computed from; ``source`` is "facts" or "text"."""

    name: str
    period: str
    value: float
    source: str


class Value(NamedTuple):
    """What a formula gives: the interval that holds the true value, and how it came about.

    ``formula`` is written for people: "(营业收入 - 营业成本) / 营业收入".
    """

    low: float
    high: float
    operands: tuple[Operand, ...]
    formula: str


Lookup = Callable[[str, int], Value | None]
"""Gives a metric's value by name and period: 0 this period, -1 the one before; None if unknown."""


@dataclass(frozen=True)
class Expression:
    """A parsed formula.

    Attributes:
        text: as given.
        names: the metrics that it needs.
        periods_back: how far it reaches back: 1 with ``prev(x)`` or ``avg(x)``.
        formula: as shown to people, without the factor that turns a share into percent.
    """

    text: str
    names: frozenset[str]
    periods_back: int
    formula: str
    _keys: tuple[Key, ...] = field(repr=False)
    _repeats: bool = field(repr=False)
    _evaluate: _Evaluator = field(repr=False)
    _differentiate: _Differentiator = field(repr=False)

    def evaluate(self, lookup: Lookup, period: int = 0) -> Value | None:
        """The interval of all values the formula can take while each operand stays in its own.

        It holds them all, and nothing else where the formula rises or falls with each operand throughout.
        None if an operand is missing, a divisor may be zero, or the result is no finite number.
        """
        found: dict[Key, Interval] = {}
        operands: dict[Operand, None] = {}
        for name, offset in self._keys:
            value = lookup(name, period + offset)
            if value is None or not (math.isfinite(value.low) and math.isfinite(value.high)):
                return None
            found[name, offset] = (value.low, value.high)
            operands.update(dict.fromkeys(value.operands))
        try:
            low, high = self._tight(found) if self._repeats else self._evaluate(found, 0)
        except ArithmeticError:
            return None
        if not (math.isfinite(low) and math.isfinite(high)):
            return None
        return Value(low, high, tuple(operands), self.formula)

    def _tight(self, found: dict[Key, Interval]) -> Interval:
        """The interval where a metric occurs twice, which plain interval arithmetic makes too wide.

        Where the slope in an operand keeps its sign, the extremes lie at that operand's ends.
        """
        wide, slopes = self._differentiate(found, 0)
        at_low, at_high = dict(found), dict(found)
        for key, (low, high) in slopes.items():
            least, most = found[key]
            if low >= 0:
                at_low[key], at_high[key] = (least, least), (most, most)
            elif high <= 0:
                at_low[key], at_high[key] = (most, most), (least, least)
        low, high = self._evaluate(at_low, 0)[0], self._evaluate(at_high, 0)[1]
        return max(low, wide[0]), min(high, wide[1])


# Every operation widens its result by the last bit, so that the arithmetic of floats loses no value.
def _wide(low: float, high: float) -> Interval:
    if not low <= high:  # infinity minus infinity
        raise OverflowError
    return math.nextafter(low, -math.inf), math.nextafter(high, math.inf)


def _add(a: Interval, b: Interval) -> Interval:
    return _wide(a[0] + b[0], a[1] + b[1])


def _subtract(a: Interval, b: Interval) -> Interval:
    return _wide(a[0] - b[1], a[1] - b[0])


def _multiply(a: Interval, b: Interval) -> Interval:
    products = (a[0] * b[0], a[0] * b[1], a[1] * b[0], a[1] * b[1])
    if any(map(math.isnan, products)):
        raise OverflowError
    return _wide(min(products), max(products))


def _divide(a: Interval, b: Interval) -> Interval:
    if b[0] <= 0 <= b[1]:
        raise ZeroDivisionError
    return _multiply(a, _wide(1 / b[1], 1 / b[0]))


def _absolute(a: Interval) -> Interval:
    return (0.0, max(-a[0], a[1])) if a[0] < 0 < a[1] else (min(map(abs, a)), max(map(abs, a)))


@dataclass(frozen=True)
class _Node:
    """One part of an expression, compiled: what it reads, how to get its value and its slopes."""

    keys: tuple[Key, ...]
    evaluate: _Evaluator
    differentiate: _Differentiator
    shown: str
    binds: int
    """How tightly ``shown`` holds together: 1 a sum, 2 a product, 3 a word."""

    def within(self, binds: int) -> str:
        """``shown``, in brackets where it would fall apart."""
        return self.shown if self.binds >= binds else f"({self.shown})"


def _constant(value: Interval, shown: str) -> _Node:
    return _Node((), lambda at, shift: value, lambda at, shift: (value, {}), shown, 3)


def _name(name: str) -> _Node:
    return _Node(
        ((name, 0),),
        lambda at, shift: at[name, shift],
        lambda at, shift: (at[name, shift], {(name, shift): _ONE}),
        name,
        3,
    )


# An operator's value, its slopes in both sides (from those and the value), its sign, how tightly it binds,
# and how tightly its right side must: a - (b + c) needs the brackets, (a + b) - c doesn't.
_Partial = Callable[[Interval, Interval, Interval], tuple[Interval, Interval]]
_Operation = tuple[Callable[[Interval, Interval], Interval], _Partial, str, int, int]
_BINARY: dict[type[ast.operator], _Operation] = {
    ast.Add: (_add, lambda x, y, value: (_ONE, _ONE), "+", 1, 1),
    ast.Sub: (_subtract, lambda x, y, value: (_ONE, _MINUS), "-", 1, 2),
    ast.Mult: (_multiply, lambda x, y, value: (y, x), "×", 2, 2),
    ast.Div: (
        _divide,
        lambda x, y, value: (_divide(_ONE, y), _divide(_subtract(_ZERO, value), y)),
        "/",
        2,
        3,
    ),
}


def _binary(operator: type[ast.operator], a: _Node, b: _Node) -> _Node:
    if operator not in _BINARY:
        raise ValueError("knows the operators + - * / only")
    operate, partial, sign, binds, right_binds = _BINARY[operator]
    left, right, left_slopes, right_slopes = a.evaluate, b.evaluate, a.differentiate, b.differentiate

    def differentiate(at: dict[Key, Interval], shift: int) -> tuple[Interval, _Slopes]:
        (x, dx), (y, dy) = left_slopes(at, shift), right_slopes(at, shift)
        value = operate(x, y)
        by_x, by_y = partial(x, y, value)
        slopes = {key: _multiply(slope, by_x) for key, slope in dx.items()}
        for key, slope in dy.items():
            slopes[key] = _add(slopes.get(key, _ZERO), _multiply(slope, by_y))
        return value, slopes

    return _Node(
        keys=a.keys + b.keys,
        evaluate=lambda at, shift: operate(left(at, shift), right(at, shift)),
        differentiate=differentiate,
        shown=f"{a.within(binds)} {sign} {b.within(right_binds)}",
        binds=binds,
    )


def _shifted(node: _Node) -> _Node:
    evaluate, differentiate = node.evaluate, node.differentiate
    return _Node(
        tuple((name, offset - 1) for name, offset in node.keys),
        lambda at, shift: evaluate(at, shift - 1),
        lambda at, shift: differentiate(at, shift - 1),
        f"上期{node.within(3)}",
        3,
    )


def _average(node: _Node) -> _Node:
    both = _binary(ast.Add, _shifted(node), node)
    mean = _binary(ast.Div, both, _constant((2.0, 2.0), "2"))
    return _Node(mean.keys, mean.evaluate, mean.differentiate, f"平均{node.within(3)}", 3)


def _magnitude(node: _Node) -> _Node:
    evaluate, differentiate = node.evaluate, node.differentiate

    def slopes(at: dict[Key, Interval], shift: int) -> tuple[Interval, _Slopes]:
        value, inner = differentiate(at, shift)
        sign = _ONE if value[0] >= 0 else _MINUS if value[1] <= 0 else (-1.0, 1.0)
        return _absolute(value), {key: _multiply(slope, sign) for key, slope in inner.items()}

    return _Node(node.keys, lambda at, shift: _absolute(evaluate(at, shift)), slopes, f"|{node.shown}|", 3)


def _negative(node: _Node) -> _Node:
    negated = _binary(ast.Sub, _constant(_ZERO, "0"), node)
    return _Node(node.keys, negated.evaluate, negated.differentiate, f"-{node.within(2)}", 1)


def _number(value: float) -> _Node:
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not number <= 1e15:
        raise ValueError("holds a number over 1e15")
    return _constant((number, number), f"{number:.15g}")


def _call(node: ast.Call, back: int, depth: int) -> _Node:
    name = node.func.id if isinstance(node.func, ast.Name) else ""
    if name not in _FUNCTIONS:
        raise ValueError("knows the functions avg(x), prev(x), abs(x) and days() only")
    if len(node.args) != _FUNCTIONS[name] or node.keywords:
        raise ValueError(
            f"{name}() takes {'one expression' if _FUNCTIONS[name] else 'nothing'} in its brackets"
        )
    if name == "days":
        return _constant(_DAYS, "全年天数")
    if name == "abs":
        return _magnitude(_compile(node.args[0], back, depth))
    if back == _MAX_BACK:
        raise ValueError(f"reaches back more than {_MAX_BACK} periods")
    inner = _compile(node.args[0], back + 1, depth)
    return _shifted(inner) if name == "prev" else _average(inner)


def _compile(node: ast.expr, back: int = 0, depth: int = 0) -> _Node:
    if depth == _MAX_DEPTH:
        raise ValueError(f"is nested more than {_MAX_DEPTH} deep")
    depth += 1
    match node:
        case ast.BinOp():
            return _binary(type(node.op), _compile(node.left, back, depth), _compile(node.right, back, depth))
        case ast.UnaryOp(op=ast.USub()):
            return _negative(_compile(node.operand, back, depth))
        case ast.Name(id=name) | ast.Constant(value=str(name)):
            return _name(name)
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return _number(value)
        case ast.Call():
            return _call(node, back, depth)
        case _:
            raise ValueError(
                "may hold + - * /, brackets, numbers, metric names, avg(), prev(), abs(), days() only"
            )


def _without_percent(node: ast.expr) -> ast.expr:
    """``x`` of ``x * 100``: as a percentage is shown, the factor says nothing."""
    match node:
        case ast.BinOp(left=left, op=ast.Mult(), right=ast.Constant(value=100)):
            return left
        case _:
            return node


@lru_cache(maxsize=4096)
def parse_expression(text: str) -> Expression:
    """Parse a formula; see the module's head for the language.

    Raises:
        ValueError: saying what it may not hold, without naming the formula.
    """
    if len(text) > MAX_LENGTH:
        raise ValueError(f"is over {MAX_LENGTH} characters long")
    try:
        tree = ast.parse(text.translate(_OPERATORS).strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ValueError("is no formula") from None
    node = _compile(tree)
    shown = _compile(_without_percent(tree)).shown
    if not node.keys:
        raise ValueError("names no metric")
    return Expression(
        text=text,
        names=frozenset(name for name, _ in node.keys),
        periods_back=-min(offset for _, offset in node.keys),
        formula=shown,
        _keys=tuple(dict.fromkeys(node.keys)),
        _repeats=len(set(node.keys)) < len(node.keys),
        _evaluate=node.evaluate,
        _differentiate=node.differentiate,
    )
