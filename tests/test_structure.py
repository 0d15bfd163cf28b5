"""How a text is put together, and what of it is padding."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reward_model.dataset_multidim import load_texts, model_input
from reward_model.degrade.passages import shuffle_sentences
from reward_model.model_card import figures_section, put_figures
from reward_model.padding import is_bare_list, without_padding
from reward_model.rubric import load_rubric
from reward_model.samples import corpus_path
from reward_model.structure import STRUCTURE_FEATURES, structure_vector

GOLDS = [text.text for text in load_texts(corpus_path(), load_rubric()) if text.side == "chosen"]


def features(text: str) -> dict[str, float]:
    return dict(zip(STRUCTURE_FEATURES, structure_vector(text), strict=True))


def test_shuffling_shows_in_the_features_and_nothing_else_need_change():
    moved = 0
    for number, gold in enumerate(GOLDS):
        before, after = features(gold), features(shuffle_sentences(gold, number))
        moved += after["cohesion_gain"] < before["cohesion_gain"]
    assert moved / len(GOLDS) > 0.8
    headed = [gold for gold in GOLDS if "\n一、" in f"\n{gold}" and "\n二、" in gold]
    assert len(headed) > 20
    breaks = [features(shuffle_sentences(gold, 1))["number_breaks"] for gold in headed]
    assert sum(breaks) / len(breaks) > 0.2
    assert max(features(gold)["number_breaks"] for gold in headed) < 0.5


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("因此利润下降。\n收入增长。", "backward_openings", 0.5),
        ("因此利润下降。\n收入增长。", "opens_midway", 1.0),
        ("收入增长。\n但利润下降。", "connective_openings", 0.5),
        ("收入增长。\n其他收益为负。", "connective_openings", 0.0),
        ("收入增长。二、利润。三、现金。", "inner_headings", 1.0),
        ("一、收入。\n二、利润。\n四、现金。", "number_breaks", 1 / 3),
        ("一、收入。\n1. 量。\n2. 价。\n二、利润。\n1. 毛利。", "number_breaks", 0.0),
        ("2024.5亿元的收入增长。", "inner_headings", 0.0),
        ("收入增长。利润下降\n现金为负。", "inner_fragments", 1.0),
        ("", "cohesion", 0.0),
        ("。。。\n \n", "cohesion", 0.0),
    ],
)
def test_a_feature_says_what_its_name_says(text, name, value):
    assert features(text)[name] == pytest.approx(value)


@given(st.text(alphabet="甲乙丙、。一二1. \n因此", max_size=200))
@settings(max_examples=300)
def test_features_stay_within_their_bounds(text):
    vector = structure_vector(text)
    assert len(vector) == len(STRUCTURE_FEATURES)
    assert all(-1 <= value <= 1 for value in vector)


def test_a_long_text_costs_no_more_than_its_length():
    long = "\n".join(f"第{n}项收入增长{n}%。" for n in range(50_000))
    assert len(structure_vector(long)) == len(STRUCTURE_FEATURES)


def test_repetition_and_lists_are_left_out():
    text = "收入增长12%，主要来自量。\n利润下降，因为价格。"
    terms = "毛利率、净利率、周转率、负债率、流动比率。"
    assert without_padding(f"{text}\n{text}") == text
    assert without_padding(f"{text}\n{terms}") == text
    assert without_padding(f"{terms}{text}") == text


def test_a_second_table_keeps_its_rule_row():
    table = "| 项目 | 2023 | 2024 |\n|---|---|---|\n| {} | 1 | 2 |"
    text = table.format("营业收入") + "\n\n" + table.format("净利润").replace("项目", "指标")
    assert without_padding(text) == text


def test_what_is_nothing_but_padding_stays():
    terms = "毛利率、净利率、周转率、负债率、流动比率。"
    assert without_padding(terms) == terms
    assert without_padding("") == ""


@pytest.mark.parametrize(
    ("sentence", "bare"),
    [
        ("毛利率、净利率、周转率、负债率。", True),
        ("指标：毛利率、净利率、周转率、负债率。", True),
        ("毛利率12%、净利率5%、周转率0.8、负债率55%。", False),
        ("收入、利润、现金均好于上年，主要因为新线投产后单位成本下降。", False),
        ("应收账款、存货、预付款项占用上升，经营现金流因此转负，需要持续关注。", False),
    ],
)
def test_only_lists_that_say_nothing_are_bare(sentence, bare):
    assert is_bare_list(sentence) is bare


def test_the_corpus_loses_next_to_nothing():
    kept = sum(len(without_padding(gold)) for gold in GOLDS)
    assert kept / sum(map(len, GOLDS)) > 0.995


@given(st.text(alphabet="甲乙丙丁戊己庚、。1\n", max_size=120))
@settings(max_examples=300)
def test_leaving_out_padding_twice_changes_nothing_more(text):
    once = without_padding(text)
    assert without_padding(once) == once
    assert once.strip() or not text.strip()


def test_the_model_reads_the_prompt_as_it_is():
    assert model_input("收入增长很多。收入增长很多。", "问：收入、利润、现金、负债？", True) == (
        "问：收入、利润、现金、负债？\n收入增长很多。"
    )
    assert model_input("收入增长很多。收入增长很多。", None, False) == "收入增长很多。收入增长很多。"


def test_the_card_quotes_figures_of_every_regime():
    result = json.loads(Path("docs/leave_one_writer_out.json").read_text(encoding="utf-8"))
    card = "# M\n\n## Figures\nold words\n\n## Limits\n- none\n"
    new = put_figures(card, figures_section(result, "`f.json`"))
    assert "old words" not in new
    assert new.endswith("## Limits\n- none\n")
    for regime, title in (("facts", "with facts"), ("text", "text only"), ("off", "checker off")):
        row = result["regimes"][regime]["per_dim"]["accuracy"]
        part = new.split(f"**{title}**")[1].split("**")[0]
        assert f"| accuracy | {row['qwk']:.3f} [" in part
        assert f"| {row['ece']:.3f} |" in part
    with pytest.raises(ValueError):
        put_figures("# no figures", "x")
