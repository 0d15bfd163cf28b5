"""Figures: value, last digit, unit, sign, hedge and place in text, lists and tables; what is no figure."""

from __future__ import annotations

import time
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reward_model.calc.figures import Figure, find_figures
from reward_model.calc.layout import tables
from reward_model.calc.numerals import read_numeral
from reward_model.calc.periods import find_periods


def only(text: str) -> Figure:
    """The one figure of a text."""
    figures = find_figures(text)
    assert len(figures) == 1, [figure.text for figure in figures]
    return figures[0]


def texts(text: str) -> list[str]:
    return [figure.text for figure in find_figures(text)]


@pytest.mark.parametrize(
    ("text", "kind", "unit", "value", "step"),
    [
        ("营业收入12.3亿元", "money", "元", "1230000000", "10000000"),
        ("营业收入44.67 亿元", "money", "元", "4467000000", "1000000"),
        ("营业收入1,234,567.89元", "money", "元", "1234567.89", "0.01"),
        ("营业收入28，311.57万元", "money", "元", "283115700", "100"),
        ("营业收入１，２３４．５万元", "money", "元", "12345000", "1000"),
        ("研发投入达71.48亿", "money", "元", "7148000000", "1000000"),
        ("补助1500万", "money", "元", "15000000", "10000"),
        ("信贷4185.3百万美元", "money", "美元", "4185300000", "100000"),
        ("成交额0.76万亿元", "money", "元", "760000000000", "10000000000"),
        ("收入5千万元", "money", "元", "50000000", "10000000"),
        ("收入3亿5000万元", "money", "元", "350000000", "10000"),
        ("收入US$3.2亿", "money", "美元", "320000000", "10000000"),
        ("收入HK$5亿", "money", "港元", "500000000", "100000000"),
        ("收入RMB12.3亿", "money", "元", "1230000000", "10000000"),
        ("was RMB 12.3 billion,", "money", "元", "12300000000", "100000000"),
        ("was $3.2bn.", "money", "美元", "3200000000", "100000000"),
        ("收入12个亿", "money", "元", "1200000000", "100000000"),
        ("每股收益1.23元/股", "money", "元/股", "1.23", "0.01"),
        ("均价12000元/吨", "money", "元/吨", "12000", "1"),
        ("同比增长26.93%", "percent", "%", "26.93", "0.01"),
        ("同比增长１２．５％", "percent", "%", "12.5", "0.1"),
        ("同比增长5‰", "percent", "%", "0.5", "0.1"),
        ("占比3成", "percent", "%", "30", "10"),
        ("占比百分之3.5", "percent", "%", "3.5", "0.1"),
        ("提高3.20个百分点", "points", "pp", "3.20", "0.01"),
        ("下降8.36pct", "points", "pp", "8.36", "0.01"),
        ("下降2.8pcts", "points", "pp", "2.8", "0.1"),
        ("回落1.75pp", "points", "pp", "1.75", "0.01"),
        ("上行15bp", "points", "pp", "0.15", "0.01"),
        ("上行5.2个基点", "points", "pp", "0.052", "0.001"),
        ("涨了2.1个点", "points", "pp", "2.1", "0.1"),
        ("周转天数78.74天", "days", "天", "78.74", "0.01"),
        ("周转天数为78日", "days", "天", "78", "1"),
        ("总资产周转率0.82次", "turns", "次", "0.82", "0.01"),
        ("覆盖倍数16.38倍", "multiple", "倍", "16.38", "0.01"),
        ("覆盖1.50x，偏低", "multiple", "倍", "1.50", "0.01"),
        ("员工7,321 人", "count", "人", "7321", "1"),
        ("产能2，345万吨", "count", "吨", "23450000", "10000"),
        ("销量1500万片", "count", "片", "15000000", "10000"),
        ("装机12GWh", "count", "GWh", "12", "1"),
        ("流动比率1.81，稳健", "number", "", "1.81", "0.01"),
        ("EPS1.23，", "number", "", "1.23", "0.01"),
        ("流动比率只有1，", "number", "", "1", "1"),
    ],
)
def test_units_and_last_digits(text: str, kind: str, unit: str, value: str, step: str) -> None:
    figure = only(text)
    assert (figure.kind, figure.unit) == (kind, unit)
    assert (figure.value, figure.step) == (Decimal(value), Decimal(step))
    assert (figure.low, figure.high) == (figure.value - figure.step / 2, figure.value + figure.step / 2)
    assert not figure.signed
    assert not figure.hedge


@pytest.mark.parametrize(
    ("text", "kind", "value", "coarse"),
    [
        ("收入三点五亿元", "money", "350000000", False),
        ("收入负十四点九四亿元", "money", "-1494000000", False),
        ("收入两千万元", "money", "20000000", False),
        ("多出四个多亿，", "money", "400000000", False),
        ("占百分之三点五", "percent", "3.5", False),
        ("占百分之百", "percent", "100", False),
        ("占两成", "percent", "20", True),
        ("占一成半", "percent", "15", True),
        ("占两成三。", "percent", "23", True),
        ("占一半", "percent", "50", True),
        ("占比过半", "percent", "50", True),
        ("占四分之一", "percent", "25", True),
        ("占三分之二", "percent", "66.67", True),
        ("增长两倍", "multiple", "2", True),
        ("增长一倍半", "multiple", "1.5", True),
        ("提高零点五个百分点", "points", "0.5", False),
        ("提高半个百分点", "points", "0.5", True),
        ("利润翻番", "doublings", "1", True),
        ("利润翻了两番", "doublings", "2", True),
        ("缩短三十天", "days", "30", False),
    ],
)
def test_words(text: str, kind: str, value: str, coarse: bool) -> None:
    figure = only(text)
    assert (figure.kind, figure.value, figure.coarse) == (kind, Decimal(value), coarse)


@pytest.mark.parametrize(
    ("text", "written", "value"),
    [
        ("利润-16.9亿", "-16.9亿", "-1690000000"),
        ("利润−16.9亿", "−16.9亿", "-1690000000"),
        ("利润－１６．９亿", "－１６．９亿", "-1690000000"),
        ("利润负14.94亿元", "负14.94亿元", "-1494000000"),
        ("利润(0.45)亿元", "(0.45)亿元", "-45000000"),
        ("利润为（0.45亿元）", "（0.45亿元）", "-45000000"),
        ("同比+5.81%", "+5.81%", "5.81"),
        ("YoY-10.41%", "-10.41%", "-10.41"),
        ("YoY +5.81%", "+5.81%", "5.81"),
        ("由盈转亏（-5.36个百分点）", "-5.36个百分点", "-5.36"),
    ],
)
def test_written_signs(text: str, written: str, value: str) -> None:
    figure = only(text)
    assert (figure.text, figure.value, figure.signed) == (written, Decimal(value), True)


def test_brackets_after_a_name_are_no_sign() -> None:
    assert [f.value for f in find_figures("净利润（0.45亿元）占比（26.93%）")] == [45000000, Decimal("26.93")]


def test_losses() -> None:
    def losses(text: str) -> list[bool]:
        return [figure.loss for figure in find_figures(text)]

    assert losses("净亏损2.3亿元，亏1.2亿，亏损约3亿元，亏损额为0.2亿元") == [True] * 4
    assert losses("减亏0.3亿元，扭亏为盈1.2亿元，亏损扩大0.3亿元，亏损面12%，多亏1亿元") == [False] * 5
    assert losses("亏损由0.5亿元扩大至1.2亿元，收入2亿元") == [True, True, False]
    assert only("亏损2.3亿元").value == 230000000


@pytest.mark.parametrize(
    ("text", "hedge"),
    [
        ("约30%", "about"),
        ("约为30%", "about"),
        ("≈30%", "about"),
        ("30%左右", "about"),
        ("超过30%", "over"),
        ("超30%", "over"),
        ("30%以上", "over"),
        ("不低于30%", "over"),
        ("30余家", "over"),
        ("40余亿元", "over"),
        ("6倍多，", "over"),
        ("三成多。", "over"),
        ("翻一番还多", "over"),
        ("近30%", "under"),
        ("将近30%", "under"),
        ("不足三成", "under"),
        ("不超过30%", "under"),
        ("不超30%", "under"),
        ("30%以内", "under"),
        ("节约3亿元", ""),
        ("合约3亿元", ""),
        ("最近30%", ""),
        ("9.29亿元多出一截", ""),
        ("30%上下游", ""),
        ("30%", ""),
    ],
)
def test_hedges(text: str, hedge: str) -> None:
    assert only(text).hedge == hedge


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("10%-15%", "9.5", "15.5"),
        ("10%～15%", "9.5", "15.5"),
        ("25-30%", "24.5", "30.5"),
        ("10~15%", "9.5", "15.5"),
        ("3亿至5亿元", "250000000", "550000000"),
        ("3至5亿元", "250000000", "550000000"),
        ("-5%至-3%", "-5.5", "-2.5"),
        ("20-80元/吨", "19.5", "80.5"),
        ("400-500万吨", "3995000", "5005000"),
    ],
)
def test_ranges(text: str, low: str, high: str) -> None:
    figure = only(text)
    assert figure.is_range
    assert (figure.low, figure.high) == (Decimal(low), Decimal(high))
    assert figure.value == (Decimal(low) + Decimal(high)) / 2
    assert figure.text == text


@pytest.mark.parametrize(
    "text",
    [
        "由10%升至15%",
        "由10%至15%",
        "从3亿到5亿元",
        "增加0.37亿元至24.38亿元",
        "+0.76亿元至1.89亿元",
        "财务费用省1.6亿元至5.9亿元",
        "周转率0.29次到0.30次",
        "上升3.2个百分点至14.99%",
        "15%-10%",
    ],
)
def test_two_figures_that_are_no_range(text: str) -> None:
    assert [figure.is_range for figure in find_figures(text)] == [False, False]


def test_equations_keep_their_operands() -> None:
    figures = find_figures("(523.73-412.62)/412.62=26.93%，-0.85-0.77=-1.62，1.65×0.76×12.5%=15.7%")
    assert [str(figure.value) for figure in figures] == [
        "523.73", "412.62", "412.62", "26.93", "-0.85", "0.77", "-1.62", "1.65", "0.76", "12.5", "15.7",
    ]  # fmt: skip
    assert [figure.value for figure in find_figures("4.5亿元-12.3亿元=-7.8亿元")] == [
        450000000,
        1230000000,
        -780000000,
    ]


@pytest.mark.parametrize(
    "text",
    [
        "2024年，24年，2022，2023，2024-12-31，2024/6，2024年3月，12月31日，2019-2022年，2024A，2025E，FY2024",
        "Q1，1-3月，前三季度，三年，近5年，5年CAGR，36个月，5个交易日，3-5年，10年期，3季度，2小时",
        "1. 收入\n2、成本\n（3）费用\n  4) 利润\n① 其他\n3.1 经营分析\n## 4 结论\n**5. 展望**\n- 6. 其余",
        "原因：1、收入；2、成本；（1）毛利率（2）费用。3）其他",
        "1.2025年展望",
        "600519，（000001.SZ），0700.HK，第12条，第 3 章，附注12，图1，表2，[1]",
        "5G，200G，A500，T+0，COVID-19，3C，2B，7x24，1对1，双十一，V2.1，版本1.2.3，14:30，世界500强",
        "13812345678，010-12345678，400-820-8820，www.a12.com/45，https://a.cn/2024?x=1.5，a1@b2.cn",
        "两家，三项，一次，两期，三大，三因素，十四五，三道红线，一季度，二元结构，一是，前5大，第一，数十亿元",
        "低于预期，一成不变，三成立，五六倍，万一，百年，千万别",
    ],
)
def test_what_is_no_figure(text: str) -> None:
    assert texts(text) == []


def test_figures_beside_labels() -> None:
    assert texts("1. 收入12亿元；2、成本5亿元") == ["12亿元", "5亿元"]
    assert texts("1.40%的毛利率") == ["1.40%"]
    assert texts("CET1 8.84%，M2为7316.52亿元，前5大客户占比32.1%") == ["8.84%", "7316.52亿元", "32.1%"]
    assert texts("由1月0.61%降至0.38%") == ["0.61%", "0.38%"]
    assert texts("流动比率1.81、1.64、2023年末1.52") == ["1.81", "1.64", "1.52"]
    assert texts("分别为120，130亿元") == ["120", "130亿元"]
    assert texts("速动比率低于1时") == ["1"]
    assert texts("12日元") == ["12日元"]


TABLE = """\
| 项目（亿元） | 2023 | 2024年 | 同比 |
|---|---:|---:|---|
| 营业收入 | 2015 | 427.95 | -4.26% |
| 净利润 | 1.41 | (0.45) | +4.00 |
| 2022 | 1.0 | | |

| 没有 | 规则行 | 2024 |
"""


def test_tables() -> None:
    figures = find_figures(TABLE)
    assert [figure.text for figure in figures] == [
        "2015", "427.95", "-4.26%", "1.41", "(0.45)", "+4.00", "1.0",
    ]  # fmt: skip
    assert all(figure.cell for figure in figures)
    assert figures[4].value == Decimal("-0.45")
    assert not only("|毛利率|36.22%|").cell


@pytest.mark.parametrize(
    ("text", "value", "step"),
    [
        ("一百二十三", 123, 1),
        ("十", 10, 1),
        ("两万零三", 20003, 1),
        ("一亿两千万", 120000000, 10000),
        ("三点五万亿", 3500000000000, 100000000000),
        ("二〇二四", 2024, 1),
        ("一千零五十三", 1053, 1),
    ],
)
def test_numerals(text: str, value: int, step: int) -> None:
    assert read_numeral(text) == (value, step)


@pytest.mark.parametrize(
    "text", ["", "三万五", "一百二", "十十", "百", "一二十", "亿", "三万三十万", "一" * 30]
)
def test_numerals_that_are_none(text: str) -> None:
    assert read_numeral(text) is None


HAN = "零一二三四五六七八九"


def in_han(number: int) -> str:
    """A number below ten thousand in words."""
    if not number:
        return "零"
    words, gap = "", False
    for place, name in ((1000, "千"), (100, "百"), (10, "十"), (1, "")):
        digit = number // place % 10
        if digit:
            words += ("零" if gap and words else "") + HAN[digit] + name
            gap = False
        else:
            gap = True
    return words


@given(st.integers(0, 9999), st.integers(1, 9999))
def test_numerals_read_back(small: int, large: int) -> None:
    assert read_numeral(in_han(small)) == (small, 1)
    assert read_numeral(in_han(large) + "万") == (large * 10**4, 10**4)
    assert read_numeral(in_han(large) + "亿") == (large * 10**8, 10**8)


UNITS = [
    ("亿元", "money", "元", 10**8),
    ("万元", "money", "元", 10**4),
    ("元", "money", "元", 1),
    ("万亿元", "money", "元", 10**12),
    ("亿美元", "money", "美元", 10**8),
    ("亿", "money", "元", 10**8),
    ("%", "percent", "%", 1),
    ("％", "percent", "%", 1),
    ("个百分点", "points", "pp", 1),
    ("pct", "points", "pp", 1),
    ("bp", "points", "pp", Decimal("0.01")),
    ("天", "days", "天", 1),
    ("次", "turns", "次", 1),
    ("倍", "multiple", "倍", 1),
    ("x", "multiple", "倍", 1),
    ("万吨", "count", "吨", 10**4),
    ("家", "count", "家", 1),
]
SIGNS = [("", 1), ("-", -1), ("−", -1), ("－", -1), ("负", -1), ("+", 1), ("＋", 1)]
WIDE_DIGITS = str.maketrans("0123456789.", "０１２３４５６７８９．")


@settings(max_examples=300)
@given(
    st.integers(0, 10**9),
    st.integers(0, 4),
    st.sampled_from(UNITS),
    st.sampled_from(SIGNS),
    st.sampled_from(["", ",", "，"]),
    st.booleans(),
    st.sampled_from(["", " "]),
    st.sampled_from(["营业收入", "同比", "2024年净利润为", "由", "（", "1. 毛利率", "ROE"]),
    st.sampled_from(["。", "，较上年", "）", "", "\n", "；其中"]),
)
def test_a_rendered_figure_is_read_back(
    digits: int,
    decimals: int,
    unit: tuple[str, str, str, int | Decimal],
    sign: tuple[str, int],
    comma: str,
    wide: bool,
    gap: str,
    before: str,
    after: str,
) -> None:
    suffix, kind, name, scale = unit
    number = Decimal(digits).scaleb(-decimals)
    written = f"{number:,.{decimals}f}" if comma else f"{number:.{decimals}f}"
    if comma == "，" and kind == "money" and suffix.startswith("万") and number < 10**6:
        written = written.replace(",", "，")
    if wide:
        written = written.translate(WIDE_DIGITS)
    if suffix == "x":
        gap = ""
        after = after or "。"
    if gap and before == "ROE":
        before = "ROE "
    figure_text = f"{sign[0]}{written}{gap}{suffix}"
    text = f"{before}{figure_text}{after}"
    figure = next(figure for figure in find_figures(text) if figure.end == len(before) + len(figure_text))
    assert text[figure.start : figure.end] == figure.text == figure_text
    assert (figure.kind, figure.unit, figure.signed) == (kind, name, sign[0] != "")
    assert figure.value == sign[1] * number * scale
    assert figure.step == Decimal(1).scaleb(-decimals) * scale
    assert figure.high - figure.low == figure.step
    assert not figure.hedge


HOSTILE = (
    "0123456789.,，、;；:：%％‰+-－−–—~～至到由从负()（）[]|\n\t *#xX年月日季度个一二三两十百千万亿"
    "点半成倍番分之约近超多余元天次"
)
WORDS = [
    "亏损",
    "百分点",
    "2024",
    "2024年",
    "Q1",
    "FY24",
    "|---|---|\n",
    "\n| ",
    " |",
    "亿元",
    "pct",
    "http://",
    "@",
    "上年",
]
PIECES = st.sampled_from([*HOSTILE, *WORDS, "。", "\x00"])


@settings(max_examples=400)
@given(st.lists(PIECES, max_size=40).map("".join) | st.text(max_size=60))
def test_any_text_is_read(text: str) -> None:
    figures = find_figures(text)
    periods = find_periods(text)
    spans = [(figure.start, figure.end) for figure in figures]
    for found in (*figures, *periods):
        assert text[found.start : found.end] == found.text != ""
    for figure in figures:
        assert figure.low <= figure.value <= figure.high
        assert figure.step > 0
    assert all(first[1] <= second[0] for first, second in pairwise(spans))
    taken = sorted(spans + [(period.start, period.end) for period in periods])
    assert all(first[1] <= second[0] for first, second in pairwise(taken))


@pytest.mark.parametrize(
    "piece",
    [
        "1", "1,234,", "1，234，", "1.2", "十", "一亿", "|1|-|\n", "(1)", "由1%升至", "2024", "1至", "a@",
        "www.", "亏损", "三分之一", "1-3", "\n1.", "- ", "1  ", "-", "（", "|-", "二〇二四年", "24/",
    ],
)  # fmt: skip
def test_hostile_texts_end_soon(piece: str) -> None:
    text = (piece * (200_000 // len(piece) + 1))[:200_000]
    started = time.process_time()
    find_figures("|a|\n|-|\n|" + text)
    find_figures("|" + text + "x\n|-")
    assert time.process_time() - started < 30


@pytest.mark.parametrize("gap", ["\n\n", "\n \n\n"])
def test_blank_lines_between_the_rows_of_a_table_do_not_end_it(gap: str) -> None:
    rows = ["| 项目 | 2023 | 2024 |", "|---|---|---|", "| 营业收入 | 100 | 120 |", "| 净利润 | 10 | 9 |"]
    (whole,), (spread,) = tables("\n".join(rows)), tables(gap.join(rows))
    assert len(spread.rows) == len(whole.rows) == 3
    assert [row.header for row in spread.rows] == [True, False, False]
    other = "| 指标 | 2024 |\n|---|---|\n| ROE | 8% |"
    one, two = tables("\n".join(rows) + "\n\n" + other)
    assert (len(one.rows), len(two.rows)) == (3, 2)
    assert two.rows[0].header
    assert len(tables("\n".join(rows) + "\n\n其后为正文。\n\n" + other)) == 2
