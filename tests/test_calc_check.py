"""What ``check_text`` says of a figure, by example: with a fact sheet, with the text alone, at its limits."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from reward_model.calc import check
from reward_model.calc.check import check_text
from reward_model.calc.result import Claim
from reward_model.calc.rules import load_rules

FACTS = SimpleNamespace(
    unit="亿元",
    periods=["2022", "2023", "2024"],
    items={
        "营业收入": [100.0, 110.0, 121.0],
        "营业成本": [60.0, 66.0, 70.0],
        "净利润": [10.0, 11.0, 9.9],
        "资产总计": [200.0, 210.0, 220.0],
        "负债合计": [80.0, 90.0, 99.0],
        "销售费用": [5.0, 5.5, 6.0],
        "管理费用": [4.0, 4.4, 5.0],
        "货币资金": [20.0, 25.0, 30.0],
        "有息负债": [40.0, 45.0, 50.0],
    },
)


def with_facts(text: str) -> list[Claim]:
    return list(check_text(text, FACTS).claims)


def from_text(text: str) -> list[Claim]:
    return list(check_text(text).claims)


def last(claims: list[Claim]) -> tuple[str, str | None]:
    return claims[-1].verdict, claims[-1].recomputed


@pytest.mark.parametrize(
    ("text", "verdict", "recomputed"),
    [
        pytest.param("2024年营业收入121.00亿元，同比增长10.00%。", "ok", "10.00%", id="growth"),
        pytest.param("2024年营业收入121.00亿元，同比增长12.00%。", "wrong", "10.00%", id="growth wrong"),
        pytest.param("2024年毛利率42.15%，同比提升2.15个百分点。", "ok", "2.15个百分点", id="points"),
        pytest.param(
            "2024年毛利率42.15%，同比提升3.15个百分点。", "wrong", "2.15个百分点", id="points wrong"
        ),
        pytest.param(
            "营业收入由2023年的110.00亿元增长至2024年的121.00亿元。", "ok", "121.00亿元", id="from-to"
        ),
        pytest.param(
            "营业收入由2023年的110.00亿元增长至2024年的131.00亿元。",
            "wrong",
            "121.00亿元",
            id="from-to wrong",
        ),
        pytest.param("2024年销售费用占营业收入的4.96%。", "ok", "4.96%", id="share"),
        pytest.param("2024年销售费用占营业收入的5.96%。", "wrong", "4.96%", id="share wrong"),
        pytest.param("2024年货币资金是有息负债的0.60倍。", "ok", "0.60倍", id="cover"),
        pytest.param("2024年货币资金是有息负债的0.80倍。", "wrong", "0.60倍", id="cover wrong"),
        pytest.param(
            "2024年营业收入、净利润分别为121.00亿元、9.90亿元。", "ok", "9.90亿元", id="list in order"
        ),
        pytest.param(
            "2024年营业收入、净利润分别为121.00亿元、8.90亿元。", "wrong", "9.90亿元", id="list wrong"
        ),
        pytest.param("2024年销售费用与管理费用合计11.00亿元。", "ok", "11.00亿元", id="sum"),
    ],
)
def test_a_fact_sheet_decides(text: str, verdict: str, recomputed: str) -> None:
    assert last(with_facts(text)) == (verdict, recomputed)


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("2024年营业收入约120亿元。", "ok"),
        ("2024年营业收入超过120.00亿元。", "ok"),
        ("2024年营业收入不到122.00亿元。", "ok"),
        ("2024年营业收入不到110.00亿元。", "wrong"),
        ("2024年营业收入超过130.00亿元。", "wrong"),
    ],
)
def test_a_hedge_leaves_room_on_its_side(text: str, verdict: str) -> None:
    assert with_facts(text)[0].verdict == verdict


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("2024年营业收入110.00亿元。", "base_year"),
        ("2024年营业收入121.00万元。", "wan_yi"),
        ("2024年营业收入12.10亿元。", "decimal"),
        ("2024年营业收入112.00亿元。", "digit_swap"),
        ("2024年营业收入下降10.00%。", "sign"),
        ("2024年营业收入同比增长10.00个百分点。", "pp_for_percent"),
    ],
)
def test_the_likely_mistake_of_a_wrong_figure(text: str, mistake: str) -> None:
    claim = with_facts(text)[-1]
    assert (claim.verdict, claim.mistake) == ("wrong", mistake)


def test_a_wrong_direction_word_is_part_of_what_is_quoted() -> None:
    text = "2024年营业收入下降10.00%。"
    claim = with_facts(text)[-1]
    assert claim.text == "下降10.00%"
    assert text[slice(*claim.span)] == claim.text
    assert claim.stated == "10.00%"


def test_spans_are_offsets_of_what_is_quoted() -> None:
    text = "一、概况\n2024年营业收入121.00亿元，净利润9.90亿元。"
    claims = with_facts(text)
    assert [text[slice(*claim.span)] for claim in claims] == ["121.00亿元", "9.90亿元"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("2024年存货12.00亿元。", "缺少可核对的数据"),
        ("2024年某项指标为12.34亿元。", "认不出是哪一项指标"),
        ("若2025年营业收入增长50.00%，利润随之改善。", "假设、目标或外部基准，不核对"),
        ("营业收入环比增长5.00%。", "环比需要季度或月度数据"),
        ("2024年销售费用与管理费用合计12.00亿元。", "口径不明确，与可得数据不符但不能断定"),
    ],
)
def test_why_a_figure_cannot_be_checked(text: str, reason: str) -> None:
    claim = with_facts(text)[-1]
    assert (claim.verdict, claim.reason, claim.recomputed) == ("unverifiable", reason, None)


@pytest.mark.parametrize("word", ["若", "假设", "预计", "如果"])
def test_what_is_supposed_is_never_wrong(word: str) -> None:
    assert all(c.verdict != "wrong" for c in with_facts(f"{word}2024年营业收入达到181.50亿元，增长50.00%。"))


def test_a_loss_is_negative() -> None:
    facts = SimpleNamespace(unit="亿元", periods=["2023", "2024"], items={"净利润": [-2.5, -1.0]})
    right = check_text("2024年净利润亏损1.00亿元，上年亏损2.50亿元。", facts)
    assert [claim.verdict for claim in right.claims] == ["ok", "ok"]
    wrong = check_text("2024年净利润1.00亿元。", facts)
    assert [claim.verdict for claim in wrong.claims] == ["wrong"]


TABLE = """
| 项目 | 2023年 | 2024年 | 同比 |
| --- | --- | --- | --- |
| 营业收入（亿元） | 110.00 | 121.00 | 10.00% |
| 净利润（亿元） | 11.00 | {profit} | -10.00% |
"""


@pytest.mark.parametrize(("profit", "verdict"), [("9.90", "ok"), ("9.80", "wrong")])
def test_a_table_is_read_by_its_rows_and_columns(profit: str, verdict: str) -> None:
    claims = with_facts(TABLE.format(profit=profit))
    assert [(claim.metric, claim.period) for claim in claims] == [
        ("营业收入", "2023"),
        ("营业收入", "2024"),
        ("营业收入 同比", "2024"),
        ("净利润", "2023"),
        ("净利润", "2024"),
        ("净利润 同比", "2024"),
    ]
    assert [claim.verdict for claim in claims] == ["ok"] * 4 + [verdict, "ok"]


# -- nothing but the text ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "verdict", "recomputed"),
    [
        pytest.param("某业务收入由5.00亿元增长至6.00亿元，增长20.0%。", "ok", "20.0%", id="from-to"),
        pytest.param("某业务收入由5.00亿元增长至6.00亿元，增长25.0%。", "wrong", "20.0%", id="from-to wrong"),
        pytest.param("毛利率由20.00%提升至25.00%，提升5.00个百分点。", "ok", "5.00个百分点", id="points"),
        pytest.param(
            "毛利率由20.00%提升至25.00%，提升6.00个百分点。", "wrong", "5.00个百分点", id="points wrong"
        ),
        pytest.param(
            "营业收入从2019年的10.00亿元增长至2023年的20.00亿元，年均复合增长18.92%。",
            "ok",
            "18.92%",
            id="annual rate",
        ),
        pytest.param(
            "营业收入从2019年的10.00亿元增长至2023年的20.00亿元，年均复合增长14.87%。",
            "wrong",
            "18.92%",
            id="annual rate over a period too many",
        ),
        pytest.param("销售费用1.00亿元、管理费用2.00亿元，两项合计3.00亿元。", "ok", "3.00亿元", id="sum"),
        pytest.param(
            "销售费用1.00亿元、管理费用2.00亿元，两项合计4.00亿元。", "wrong", "3.00亿元", id="sum wrong"
        ),
        pytest.param("(523.73-412.62)/412.62=26.93%", "ok", "26.93%", id="calculation"),
        pytest.param("(523.73-412.62)/412.62=36.93%", "wrong", "26.93%", id="calculation wrong"),
        pytest.param("某项支出3.00亿元，即30000万元。", "ok", "30000万元", id="another unit"),
        pytest.param("某项支出3.00亿元，即3000万元。", "wrong", "30000万元", id="another unit wrong"),
    ],
)
def test_a_text_is_held_against_itself(text: str, verdict: str, recomputed: str) -> None:
    assert last(from_text(text)) == (verdict, recomputed)
    assert check_text(text).evidence == "text"


def test_a_word_against_the_two_figures_beside_it() -> None:
    claim = from_text("毛利率由20.00%下降至25.00%。")[-1]
    assert (claim.text, claim.verdict, claim.mistake) == ("下降至25.00%", "wrong", "sign")


def test_a_level_stated_twice_is_never_wrong() -> None:
    claims = from_text("2024年营业收入5.00亿元。2024年营业收入6.00亿元。")
    assert [claim.verdict for claim in claims] == ["unverifiable", "unverifiable"]


# -- rules and limits ----------------------------------------------------------------------------------------


def test_rules_of_a_user(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text("metrics:\n  费效比:\n    unit: 倍\n    formula: 营业收入 / 销售费用\n", encoding="utf-8")
    text = "2024年费效比为21.17倍。"
    assert check_text(text, FACTS).claims[0].metric is None or check_text(text, FACTS).summary.checked == 0
    claim = check_text(text, FACTS, load_rules(path)).claims[0]
    assert (claim.metric, claim.verdict, claim.recomputed) == ("费效比", "wrong", "20.17倍")


def test_a_sheet_that_changes_is_read_anew() -> None:
    facts = SimpleNamespace(unit="亿元", periods=["2024"], items={"营业收入": [5.0]})
    assert check_text("2024年营业收入5.00亿元。", facts).claims[0].verdict == "ok"
    facts.items["营业收入"][0] = 6.0
    assert check_text("2024年营业收入5.00亿元。", facts).claims[0].recomputed == "6.00亿元"


def test_a_long_text_is_cut_with_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "MOST_CHARACTERS", len("2024年营业收入121.00亿元。"))
    found = check_text("2024年营业收入121.00亿元。2024年净利润9.90亿元。", FACTS)
    assert [claim.stated for claim in found.claims] == ["121.00亿元"]
    assert len(found.warnings) == 1


@pytest.mark.parametrize("piece", ["、1亿元", "（(1-2)/3=", "| 1.00 ", "由1%升至", "一半，", "1,234,"])
def test_a_text_crowded_with_numbers_is_cut_with_a_warning(
    piece: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "MOST_FIGURES", 50)
    found = check_text(piece * 100)
    assert 0 < len(found.claims) <= 50
    assert len(found.warnings) == 1
    assert "50" in found.warnings[0]


def test_a_text_within_the_limits_is_read_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "2024年营业收入121.00亿元，净利润9.90亿元。" * 10
    whole = check_text(text, FACTS)
    monkeypatch.setattr(check, "MOST_FIGURES", 30)  # two figures and a year, ten times
    assert check_text(text, FACTS) == whole
    assert not whole.warnings
