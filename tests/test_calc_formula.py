"""Formulas on intervals: what they accept, what they show, and that no true value falls outside."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reward_model.calc.formula import Expression, Operand, Value, parse_expression

NAMES = ("收入", "成本", "ROE")


def lookup_in(values, width=0.0):
    """A lookup over {(name, offset): value}, each known to +- ``width``."""

    def lookup(name, offset):
        if (name, offset) not in values:
            return None
        value = values[name, offset]
        operand = Operand(name, str(2024 + offset), value, "facts")
        return Value(value - width, value + width, (operand,), name)

    return lookup


def middle(value):
    assert value is not None
    return (value.low + value.high) / 2


FACTS = {
    ("收入", 0): 523.73,
    ("收入", -1): 412.62,
    ("成本", 0): 334.06,
    ("成本", -1): 276.39,
    ("应收", 0): 119.41,
    ("应收", -1): 99.64,
    ("应收", -2): 78.38,
}


@pytest.mark.parametrize(
    ("text", "period", "expected"),
    [
        ("(收入 - 成本) / 收入 * 100", 0, 36.2152),
        ("(收入 - 成本) / 收入 * 100", -1, 33.0159),
        ("avg(应收) / 收入 * 365", 0, 76.3296),
        ("avg(应收) / 收入 * 365", -1, 78.7369),
        ("应收 / 收入 * 360", 0, 82.0797),
        ("收入 / prev(收入) - 1", 0, 0.269279),
        ("prev(prev(应收))", 0, 78.38),
        ("avg(avg(应收))", 0, (119.41 + 2 * 99.64 + 78.38) / 4),
        ("prev(收入 - 成本)", 0, 136.23),
        ("-成本 + 收入", 0, 189.67),
        ("abs(成本 - 收入)", 0, 189.67),
        ("收入 - (成本 - 1) - 1", 0, 189.67),
        ("（收入－成本）÷ 收入 × 100", 0, 36.2152),
    ],
)
def test_values(text, period, expected):
    value = parse_expression(text).evaluate(lookup_in(FACTS), period)
    assert middle(value) == pytest.approx(expected, abs=1e-3)


def test_a_value_names_its_operands_once_and_its_formula():
    expression = parse_expression("(收入 - 成本) / 收入 * 100")
    value = expression.evaluate(lookup_in(FACTS))
    assert [operand.name for operand in value.operands] == ["收入", "成本"]
    assert value.formula == "(收入 - 成本) / 收入"
    assert expression.names == {"收入", "成本"}
    assert expression.periods_back == 0
    assert parse_expression("avg(收入) / prev(prev(成本))").periods_back == 2


def test_a_derived_operand_hands_on_what_it_came_from():
    margin = Value(0.3, 0.4, (Operand("a", "2024", 3.0, "text"), Operand("b", "2024", 1.0, "text")), "a / b")
    value = parse_expression("毛利率 * 2").evaluate(lambda name, offset: margin)
    assert [operand.name for operand in value.operands] == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("avg(应收)/收入*365", "平均应收 / 收入 × 365"),
        ("1/(1-负债率/100)", "1 / (1 - 负债率 / 100)"),
        ("a-(b+c)", "a - (b + c)"),
        ("(a-b)-c", "a - b - c"),
        ("a/(b*c)", "a / (b × c)"),
        ("(a/b)/c", "a / b / c"),
        ("prev(a+b)", "上期(a + b)"),
        ("abs(a-b)", "|a - b|"),
        ('"货币资金/有息负债" * 100', "货币资金/有息负债"),
    ],
)
def test_formulas_as_shown(text, shown):
    assert parse_expression(text).formula == shown


def test_days_are_those_of_a_year():
    value = parse_expression("收入 / days()").evaluate(lookup_in({("收入", 0): 365.0}))
    assert value.low <= 365 / 366 < 1 <= value.high


@pytest.mark.parametrize(
    "values",
    [
        {("收入", 0): 1.0},  # an operand is missing
        {("收入", 0): 1.0, ("成本", 0): 0.0},
        {("收入", 0): 1.0, ("成本", 0): 0.004},  # rounded: may be zero
        {("收入", 0): 1.0, ("成本", 0): math.inf},
        {("收入", 0): math.nan, ("成本", 0): 2.0},
    ],
)
def test_no_value(values):
    assert parse_expression("收入 / 成本").evaluate(lookup_in(values, 0.005)) is None


def test_overflow_is_no_value():
    huge = lookup_in({("收入", 0): 1e300})
    assert parse_expression("收入 * 收入").evaluate(huge) is None
    assert parse_expression("收入 * 收入 - 收入 * 收入").evaluate(huge) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1 + 1",
        "收入 ** 2",
        "收入 // 2",
        "收入 @ 成本",
        "收入; 成本",
        "收入 if 成本 else 1",
        "__import__('os').system('true')",
        "收入.real",
        "[收入]",
        "lambda: 收入",
        "max(收入, 成本)",
        "avg()",
        "avg(收入, 成本)",
        "avg(*收入)",
        "avg(x=收入)",
        "days(收入)",
        "True * 收入",
        "收入 * 1e400",
        "收入 * 1j",
        "not 收入",
        "avg(avg(avg(avg(收入))))",
        "-" * 300 + "收入",
        "(" * 240 + "收入" + ")" * 240,
        "收入 + " * 80 + "收入",
        "收入" * 300,
        "收入\x00",
        "收入\ud800",
        "收入 = 成本",
    ],
)
def test_refused(text):
    with pytest.raises(ValueError) as error:
        parse_expression(text)
    assert type(error.value) is ValueError
    assert "\n" not in str(error.value)


def test_a_metric_that_occurs_twice_widens_nothing():
    """(收入 - 成本) / 收入 at the ends of both, not with 收入 at both ends at once."""
    value = parse_expression("(收入 - 成本) / 收入").evaluate(
        lookup_in({("收入", 0): 10.0, ("成本", 0): 5.0}, 0.5)
    )
    assert value.low == pytest.approx((9.5 - 5.5) / 9.5, rel=1e-12)
    assert value.high == pytest.approx((10.5 - 4.5) / 10.5, rel=1e-12)


def trees(periods=1):
    """Expressions as nested tuples, with the text of each."""
    leaves = st.sampled_from(NAMES).map(lambda name: ("name", name)) | st.integers(1, 400).map(
        lambda number: ("number", number)
    )

    def grow(inner):
        return st.tuples(st.sampled_from("+-*/"), inner, inner) | st.tuples(
            st.sampled_from(["neg", "abs", "prev", "avg"]), inner
        )

    return st.recursive(leaves, grow, max_leaves=7)


def written(tree):
    kind, *parts = tree
    if kind in {"name", "number"}:
        return str(parts[0])
    inner = [written(part) for part in parts]
    if kind == "neg":
        return f"-({inner[0]})"
    return f"{kind}({inner[0]})" if len(inner) == 1 else f"({inner[0]}) {kind} ({inner[1]})"


def exact(tree, at, shift=0):
    """The value of ``tree`` in fractions."""
    kind, *parts = tree
    if kind == "name":
        return at[parts[0], shift]
    if kind == "number":
        return Fraction(parts[0])
    if kind == "prev":
        return exact(parts[0], at, shift - 1)
    a = exact(parts[0], at, shift)
    if kind == "avg":
        return (exact(parts[0], at, shift - 1) + a) / 2
    if kind in {"neg", "abs"}:
        return -a if kind == "neg" else abs(a)
    b = exact(parts[1], at, shift)
    return a + b if kind == "+" else a - b if kind == "-" else a * b if kind == "*" else a / b


@given(trees(), st.data())
def test_every_possible_value_lies_in_the_interval(tree, data):
    try:
        expression = parse_expression(written(tree))
    except ValueError:
        return  # over no metric, or reaching too far back
    intervals, point = {}, {}
    for name in NAMES:
        for offset in range(0, -4, -1):
            low = data.draw(st.floats(-1000, 1000))
            high = low + data.draw(st.floats(0, 50))
            intervals[name, offset] = (low, high)
            share = data.draw(st.sampled_from([0.0, 1.0]) | st.floats(0, 1))
            point[name, offset] = min(
                Fraction(high), Fraction(low) + Fraction(share) * (Fraction(high) - Fraction(low))
            )

    value = expression.evaluate(lambda name, offset: Value(*intervals[name, offset], (), name))
    if value is not None:
        assert value.low <= exact(tree, point) <= value.high


@given(st.text(alphabet="收入成本ROE()+-*/0123456789. avgprevabsdays\"'，,×÷（）", max_size=40))
def test_parsing_any_text_gives_an_expression_or_a_value_error(text):
    try:
        expression = parse_expression(text)
    except ValueError:
        return
    assert isinstance(expression, Expression)
    assert expression.names
    assert 0 <= expression.periods_back <= 3
    expression.evaluate(lookup_in({}))
