"""Periods: years, parts of them, dates, spans and words for them; and what only looks like one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reward_model.calc.figures import find_figures
from reward_model.calc.periods import PeriodMention, find_periods

Expected = tuple[int | None, int | None, str, int | None]


def read(text: str) -> list[Expected]:
    return [(found.year, found.offset, found.part, found.end_year) for found in find_periods(text)]


@pytest.mark.parametrize(
    ("text", "year", "offset", "part"),
    [
        ("2024年", 2024, None, ""),
        ("2024 年", 2024, None, ""),
        ("２０２４年", 2024, None, ""),
        ("2024年末", 2024, None, ""),
        ("2024年度", 2024, None, ""),
        ("2024年12月31日", 2024, None, ""),
        ("2024-12-31", 2024, None, ""),
        ("2024年初", 2024, None, "start"),
        ("2024年1月1日", 2024, None, "start"),
        ("24年", 2024, None, ""),
        ("24年一季度", 2024, None, "Q1"),
        ("FY2024", 2024, None, ""),
        ("FY24", 2024, None, ""),
        ("2024财年", 2024, None, ""),
        ("2024A", 2024, None, ""),
        ("2025E", 2025, None, ""),
        ("2024Q1", 2024, None, "Q1"),
        ("3Q24", 2024, None, "Q3"),
        ("1H2021", 2021, None, "H1"),
        ("21H1", 2021, None, "H1"),
        ("2024年上半年", 2024, None, "H1"),
        ("2024年半年度", 2024, None, "H1"),
        ("2024年第三季度", 2024, None, "Q3"),
        ("2024年前三季度", 2024, None, "9M"),
        ("2024年1-3月", 2024, None, "Q1"),
        ("2024年1-5月", 2024, None, "M1-5"),
        ("2024年5月", 2024, None, "M5"),
        ("2024年6月30日", 2024, None, "H1"),
        ("2024年6月末", 2024, None, "H1"),
        ("2024/6", 2024, None, "H1"),
        ("二〇二四年", 2024, None, ""),
        ("1-3月", None, None, "Q1"),
        ("1~9月份", None, None, "9M"),
        ("前三季度", None, None, "9M"),
        ("Q1-Q3", None, None, "9M"),
        ("四季度", None, None, "Q4"),
        ("上半年", None, None, "H1"),
        ("12月31日", None, 0, ""),
        ("本年", None, 0, ""),
        ("当年", None, 0, ""),
        ("今年", None, 0, ""),
        ("报告期内", None, 0, ""),
        ("期末", None, 0, ""),
        ("年末", None, 0, ""),
        ("全年", None, 0, ""),
        ("上年", None, -1, ""),
        ("去年", None, -1, ""),
        ("上年同期", None, -1, ""),
        ("去年同期", None, -1, ""),
        ("上年末", None, -1, ""),
        ("上期", None, -1, ""),
        ("基期", None, -1, ""),
        ("上一年度", None, -1, ""),
        ("去年上半年", None, -1, "H1"),
        ("年初", None, -1, "start"),
        ("期初", None, -1, "start"),
        ("本年初", None, -1, "start"),
        ("前年", None, -2, ""),
        ("明年", None, 1, ""),
    ],
)
def test_one_period(text: str, year: int | None, offset: int | None, part: str) -> None:
    for sentence in (text, f"公司{text}营业收入增长", f"较{text}，"):
        assert read(sentence) == [(year, offset, part, None)], sentence
        assert find_periods(sentence)[0].text == text
        assert find_figures(sentence) == []


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("2019-2022年", 2019, 2022),
        ("2022至2024年", 2022, 2024),
        ("2022—2024年", 2022, 2024),
        ("2019年至2022年", 2019, 2022),
        ("2018至2024年间", 2018, 2024),
        ("2019–2022", 2019, 2022),
        ("2019-24年", 2019, 2024),
        ("22-24年", 2022, 2024),
    ],
)
def test_spans_of_years(text: str, first: int, last: int) -> None:
    assert read(f"{text}收入年均增长5%") == [(first, None, "", last)]


def test_lists_of_years() -> None:
    assert [row[0] for row in read("2022、2023、2024年分别为")] == [2022, 2023, 2024]
    assert [row[0] for row in read("22/23/24年EPS为")] == [2022, 2023, 2024]
    assert [row[0] for row in read("预计24、25年")] == [2024, 2025]
    assert [row[0] for row in read("1.2025年展望")] == [2025]


@pytest.mark.parametrize(
    "text",
    [
        "成本期间费用，以上期间，以前年度，三年来年均，过去一年，近20年，20年期国债，10年期，5年CAGR，36个月",
        "2000家，2,012，2012.5亿元，2024元，+2024，H100，连续三季度，同期，基本年均，资本年化",
    ],
)
def test_what_is_no_period(text: str) -> None:
    assert find_periods(text) == []


def test_a_tables_years_and_amounts() -> None:
    text = "| 项目 | 2023 | 2024 |\n|---|---|---|\n| 收入 | 2015 | 2023.12 |\n| 2021 | 1 | 2 |\n"
    assert [found.text for found in find_periods(text)] == ["2023", "2024", "2021"]
    assert [found.text for found in find_figures(text)] == ["2015", "2023.12", "1", "2"]


@given(st.integers(1990, 2045), st.sampled_from(["年", "年末", "年度", "A", "Q2", "-12-31", "年报"]))
def test_years_are_never_figures(year: int, form: str) -> None:
    text = f"同比{year}{form}增长220.97%"
    assert [found.year for found in find_periods(text)] == [year]
    assert [found.text for found in find_figures(text)] == ["220.97%"]


def test_a_mention_says_what_is_written() -> None:
    text = "公司２０２４年末较上年同期"
    assert find_periods(text) == [
        PeriodMention(2, 8, "２０２４年末", 2024, None, ""),
        PeriodMention(9, 13, "上年同期", None, -1, ""),
    ]
