"""The embedded writer: golds that the checker finds right, degradations that are known edits."""

from __future__ import annotations

import asyncio
import itertools
import random
import re
import time

import pytest
from corpus_frameworks import corpus_rows, four_by_ten, framework_of
from drawn_sheets import SeededChoice, draw_sheet
from hypothesis import given, settings
from hypothesis import strategies as st

from reward_model.calc.check import check_text
from reward_model.offline.background import Background, clauses
from reward_model.offline.degrading import degrade, strength, technique_of
from reward_model.offline.edits import pieces
from reward_model.offline.material import material
from reward_model.offline.outline import closing_of, focus_of, numeral, sections
from reward_model.offline.phrases import Phrase, issues, statements
from reward_model.offline.scene import Scene, round_line
from reward_model.offline.writer import OfflineWriter
from reward_model.rubric import Degradation, load_rubric, parse_rubric
from reward_model.schema import FactSheet
from reward_model.tasks import Framework, PairTask

ROWS = corpus_rows()
RUBRIC = load_rubric()
FRAMEWORKS = [framework_of(row) for row in ROWS]
FIELDS = {field: next(f for f in FRAMEWORKS if f.field == field) for field in {f.field for f in FRAMEWORKS}}
NUMBER = re.compile(r"\d+(?:\.\d+)?")


def task(framework, focus="归因深度导向", degradation=0, severity="中度", seed=0, rubric=RUBRIC):
    return PairTask("p", framework, focus, rubric.degradations[degradation], severity, seed)


def gold(framework, focus="归因深度导向", seed=0, **options):
    draft = asyncio.run(OfflineWriter(RUBRIC, seed).gold(task(framework, focus), **options))
    assert draft.text is not None, draft.failure
    return draft.text


def degraded(framework, text, degradation, severity, seed=0, rubric=RUBRIC):
    wanted = task(framework, degradation=degradation, severity=severity, seed=seed, rubric=rubric)
    return asyncio.run(OfflineWriter(rubric).degraded(wanted, text))


# -- golds -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("focus", RUBRIC.quality_focuses)
def test_golds_of_the_corpus_hold_no_wrong_figure_and_many_right_ones(focus):
    for framework in FRAMEWORKS[::9]:
        text = gold(framework, focus)
        result = check_text(text, framework.fact_sheet)
        assert result.wrong == ()
        assert result.summary.checked >= 15
        assert result.summary.checked > 0.5 * result.summary.figures
        assert 600 <= len(text) <= 1500


@settings(max_examples=40)
@given(st.integers(0, 2**32), st.sampled_from(RUBRIC.quality_focuses))
def test_golds_of_invented_sheets_hold_no_wrong_figure(seed, focus):
    """Sheets with losses, tiny figures, other units: what can't be said is left out."""
    sheet = draw_sheet(SeededChoice(random.Random(seed)))
    framework = Framework(
        id=str(seed),
        field="制造业",
        company=sheet.company,
        outline=("总体结论", "利润", "现金流与偿债", "建议"),
        fact_sheet=sheet.facts(),
    )
    draft = asyncio.run(OfflineWriter(RUBRIC, seed).gold(task(framework, focus)))
    assert draft.text is not None, (draft.failure, sheet)
    assert check_text(draft.text, framework.fact_sheet).wrong == ()


def test_headings_are_the_outlines_in_its_order():
    for framework in FRAMEWORKS[::20]:
        text = gold(framework)
        places = [text.index(title) for title in framework.outline]
        assert places == sorted(places)
        headings = [piece.text for piece in pieces(text) if piece.role == "heading"]
        assert len(headings) == len(framework.outline)


def test_texts_differ_by_seed_focus_and_attempt_and_repeat_with_the_same():
    framework = FIELDS["制造业"]
    assert gold(framework) == gold(framework)
    by_seed = {gold(framework, seed=seed) for seed in range(8)}
    by_focus = {gold(framework, focus) for focus in RUBRIC.quality_focuses}
    assert len(by_seed) == 8
    assert len(by_focus) == len(RUBRIC.quality_focuses)
    assert gold(framework, attempt=1) != gold(framework)


def test_golds_of_different_companies_share_little():
    texts = [gold(f, RUBRIC.quality_focuses[i % 5], seed=i) for i, f in enumerate(FRAMEWORKS[:60])]
    grams = [{text[i : i + 4] for i in range(len(text) - 3)} for text in texts]
    alike = [len(a & b) / len(a | b) for a, b in itertools.combinations(grams, 2)]
    assert len(set(texts)) == len(texts)
    assert sum(alike) / len(alike) < 0.15
    assert max(alike) < 0.5


def test_each_focus_dwells_on_its_own_matter():
    def share(focus, pattern):
        texts = [gold(framework, focus) for framework in FRAMEWORKS[:25]]
        return sum(len(re.findall(pattern, text)) for text in texts) / len(texts)

    assert share("数据准确性导向", "口径|复核|勾稽核对") > 3 * share(
        "决策建议导向", "口径说明|复核：|勾稽核对"
    )
    assert share("风险识别导向", "风险") > share("归因深度导向", "风险")
    assert share("决策建议导向", "部门|委员会|董事会") > share("归因深度导向", "部门|委员会|董事会")


def test_causes_come_from_the_background_and_fit_the_direction():
    background = "2023年公司降价清货。2024年原料树脂价格下行，但新产线转固，公司加大品牌推广。"
    drawn = Background(background, 2024, "甲公司", random.Random(0))
    assert drawn.cause("毛利率", "升") == "原料树脂价格下行"
    assert drawn.cause("毛利率", "升") is None  # told already
    assert drawn.cause("毛利率", "降") == "新产线转固"  # 降价 was the year before
    assert drawn.cause("销售费用", "升") == "公司加大品牌推广"
    assert drawn.cause("没有这一项", "升") is None
    told = [clause.text for clause in clauses("年内银行则将到期贷款续作为流贷，毛利率达到30.5%")]
    assert told == ["银行将到期贷款续作为流贷"]


def sheet_of(**items) -> FactSheet:
    return FactSheet(unit="亿元", periods=["2022", "2023", "2024"], items=items)


def framework_with(sheet, outline=("收入与利润", "其他", "建议"), **fields):
    return Framework(id="x", field="游戏", company="甲公司", outline=outline, fact_sheet=sheet, **fields)


@pytest.mark.parametrize(
    "sheet",
    [
        sheet_of(会员数=[1.0, 2.0, 3.5], 门店面积=[10.0, 9.0, 8.0]),
        sheet_of(营业收入=[1.0, None, 3.0], 净利润=[None, None, None]),
        sheet_of(营业收入=[0, 0, 0], 净利润=[0, 0, 0], 营业成本=[0, 0, 0]),
        sheet_of(营业收入=[-1.0, 5.0, -3.0], 净利润=[1e15, -1e15, 1e-9], 资产总计=[0, 1, 0]),
        FactSheet(unit="元", periods=["2024"], items={"营业收入": [123456789012.5], "净利润": [1.0]}),
        FactSheet(unit="万元", periods=["2024", "2023"], items={"营收": [20.0, 10.0], "净利润": [2.0, 3.0]}),
        FactSheet(unit="万元", periods=["本期", "上期"], items={"营业收入": [20.0, 10.0]}),
        FactSheet(
            unit="亿元", periods=["2023H1", "2024H1"], items={"营业收入": [2.0, 3.0], "净利润": [1.0, 0.5]}
        ),
        FactSheet(unit="枚", periods=["2023", "2024"], items={}),
    ],
)
def test_odd_sheets_are_written_to_all_the_same(sheet):
    for seed in range(6):
        text = gold(framework_with(sheet), seed=seed)
        assert "建议" in text
        assert check_text(text, sheet).wrong == ()
        assert not re.search(r"[{}]|None|nan|inf\b", text)


def test_unknown_items_are_told():
    assert "会员数" in gold(framework_with(sheet_of(会员数=[1.0, 2.0, 3.5])))


def test_periods_out_of_order_are_read_by_their_years():
    rising = FactSheet(
        unit="亿元", periods=["2024", "2023"], items={"营业收入": [20.0, 10.0], "净利润": [3.0, 2.0]}
    )
    assert "100.00%" in gold(framework_with(rising))


def test_forty_headings_and_a_single_one():
    sheet = FIELDS["服务业"].fact_sheet
    many = gold(framework_with(sheet, outline=tuple(f"第{i}节 事项" for i in range(40))))
    assert sum(piece.role == "heading" for piece in pieces(many)) >= 39
    assert check_text(gold(framework_with(sheet, outline=("评述",))), sheet).wrong == ()


def test_a_gold_takes_a_few_milliseconds():
    gold(FRAMEWORKS[0])
    started = time.process_time()
    for framework in FRAMEWORKS[:20]:
        gold(framework)
    assert (time.process_time() - started) / 20 < 0.1


# -- phrases ---------------------------------------------------------------------------------------------


def test_every_phrase_and_condition_can_be_compiled_and_names_only_known_things():
    """A misspelt measure makes a phrase unsayable without a word: each must be sayable of some sheet."""
    said: set[str] = set()
    wanted: set[str] = set()
    groups = ("company", "property", "bank")
    for name in groups:
        for statement in statements(name):
            wanted |= {phrase.source for phrase in statement.say}
    for name in groups:
        for issue in issues(name):
            wanted |= {phrase.source for says in issue.forms.values() for phrase in says}
    for index, row_framework in enumerate(FRAMEWORKS):
        scene = Scene(row_framework, random.Random(index))
        found = [phrase for statement in scene.statements() for phrase in statement.say]
        found += [phrase for _, issue in scene.issues() for says in issue.forms.values() for phrase in says]
        said |= {phrase.source for phrase in found if phrase.source not in said and phrase.render(scene.name)}
    silent = {source for source in wanted - said if "因(" not in source}
    # Rare states that no sheet of the corpus is in.
    assert len(silent) <= 12, sorted(silent)


def test_a_phrase_is_not_said_against_the_figures():
    scene = Scene(framework_with(sheet_of(存货=[1.0, 3.0, 2.0], 营业收入=[1.0, 2.0, 3.0])), random.Random(0))
    assert Phrase("存货增加{存货.差}。").render(scene.name) is None
    assert Phrase("存货减少{存货.差}。").render(scene.name) == "存货减少1.00亿元。"
    assert Phrase("商誉{商誉.今}。").render(scene.name) is None


def test_statements_refuse_what_is_misspelt():
    from reward_model.offline.phrases import _statement

    with pytest.raises(ValueError, match="kind"):
        _statement({"topic": "毛利", "kind": "kind", "say": ["x"]}, "here")


def test_numerals_and_thresholds():
    assert [numeral(n) for n in (1, 10, 11, 20, 35)] == ["一", "十", "十一", "二十", "三十五"]
    assert round_line(23.26, 0.5) == "23.5"
    assert round_line(100.4, 5) == "100"
    assert round_line(0.01, 0.5) == "0"


def test_headings_say_topics_and_closings():
    found = sections(("投资建议", "毛利率分析", "现金流与应收", "质询要点"), "", "company")
    assert "投资" not in found[0].topics
    assert found[1].topics[0] == "毛利"
    assert {"现金流", "应收"} <= set(found[2].topics)
    assert found[3].closing == "质询"
    assert closing_of("结语", "授信审查意见", last=True) == "条件"
    assert closing_of("结语", "", last=False) is None


def test_focuses_of_other_rubrics_are_told_by_their_words():
    assert focus_of("风险合规优先") == focus_of("风险识别导向")
    assert focus_of("面向数据核对") == focus_of("数据准确性导向")
    assert focus_of("随便什么").points == focus_of("").points


# -- degradations ----------------------------------------------------------------------------------------


def by_name(name):
    return next(i for i, d in enumerate(RUBRIC.degradations) if d.name == name)


@pytest.mark.parametrize("name", [d.name for d in RUBRIC.degradations])
@pytest.mark.parametrize("source", ["own", "corpus"])
def test_degradations_do_more_with_severity_and_record_it(name, source):
    for index in (0, 26, 33, 84, 141, 190):
        framework = FRAMEWORKS[index]
        text = gold(framework) if source == "own" else ROWS[index]["chosen"]
        drafts = [degraded(framework, text, by_name(name), severity) for severity in RUBRIC.severities]
        assert all(draft.text and draft.text != text for draft in drafts)
        counts = [len(draft.defects) for draft in drafts]
        assert counts == sorted(counts)
        assert counts[0] >= 1
        assert counts[-1] > counts[0]
        for draft in drafts:
            assert 0.5 < len(draft.text) / len(text) < 1.8
            for defect in draft.defects:
                assert {"kind", "was", "became"} <= set(defect)
                if "span" in defect:
                    assert draft.text[slice(*defect["span"])] == defect["became"]


def test_edits_by_code_undo_to_the_text():
    """What is recorded is all that was done: putting it back gives the gold text."""
    framework = FIELDS["科技业"]
    text = gold(framework)
    for severity in RUBRIC.severities:
        draft = degraded(framework, text, by_name("弱化专业性"), severity)
        back, place = [], 0
        for defect in sorted(draft.defects, key=lambda d: d["span"]):
            start, end = defect["span"]
            back += [draft.text[place:start], defect["was"]]
            place = end
        assert "".join([*back, draft.text[place:]]) == text


@pytest.mark.parametrize(("severity", "least", "most"), [("轻度", 1, 2), ("中度", 3, 4), ("重度", 6, 8)])
def test_wrong_figures_are_as_many_as_the_severity_says(severity, least, most):
    for framework in FRAMEWORKS[::45]:
        text = gold(framework)
        draft = degraded(framework, text, by_name("引入计算错误"), severity)
        assert least <= len(draft.defects) <= most
        wrong = check_text(draft.text, framework.fact_sheet).wrong
        assert len(wrong) >= len(draft.defects) - 2
        assert len(wrong) >= 1


@pytest.mark.parametrize("name", ["浅化深度", "空泛套话", "弱化专业性", "结构混乱"])
def test_other_degradations_leave_figures_right(name):
    for framework in FRAMEWORKS[::15]:
        text = gold(framework)
        for severity in RUBRIC.severities:
            draft = degraded(framework, text, by_name(name), severity)
            assert check_text(draft.text, framework.fact_sheet).wrong == (), (framework.id, severity)


def test_what_each_degradation_takes():
    framework = FIELDS["制造业"]
    text = gold(framework)
    empty = degraded(framework, text, by_name("空泛套话"), "重度").text
    assert len(NUMBER.findall(empty)) < 0.2 * len(NUMBER.findall(text))
    assert framework.company in empty
    shallow = degraded(framework, text, by_name("浅化深度"), "重度").text
    assert len(NUMBER.findall(shallow)) > 0.5 * len(NUMBER.findall(text))
    assert not re.search("若|展望|拖累|说明", shallow)
    spoken = degraded(framework, text, by_name("弱化专业性"), "重度").text
    decimals = re.compile(r"\d+\.\d+")
    assert sorted(decimals.findall(spoken)) == sorted(decimals.findall(text))
    disordered = degraded(framework, text, by_name("结构混乱"), "重度").text
    assert set(decimals.findall(disordered)) == set(decimals.findall(text))


def test_a_text_without_anything_to_change_is_a_failure_not_a_pair():
    framework = FIELDS["制造业"]
    draft = degraded(framework, "一、结论", by_name("引入计算错误"), "轻度")
    assert draft.text is None
    assert "引入计算错误" in draft.failure


def test_figures_that_the_checker_does_not_know_become_wrong_too():
    framework = framework_with(sheet_of(会员数=[1.0, 2.0, 3.0]))
    draft = degraded(framework, "单店坪效为3.25万元，客流增长12.5%。", by_name("引入计算错误"), "轻度")
    assert draft.defects
    assert all(defect["was"] != defect["became"] for defect in draft.defects)


@settings(max_examples=60)
@given(
    st.sampled_from(range(len(RUBRIC.degradations))),
    st.sampled_from(RUBRIC.severities),
    st.text(alphabet="，。；：\n|*#- 12.5%亿元增长利润建议一、若（）", max_size=300),
)
def test_any_text_can_be_degraded_or_refused(degradation, severity, text):
    draft = degraded(FIELDS["服务业"], text, degradation, severity)
    assert (draft.text is None) == (draft.failure is not None)


# -- rubrics of users ------------------------------------------------------------------------------------


def test_degradations_that_users_name_find_their_technique():
    rubric = four_by_ten()
    found = [technique_of(rubric, degradation) for degradation in rubric.degradations]
    assert found == ["shallow", "reassuring", "unreadable", "figures"]
    unheard = Degradation(name="甲", target="insight", description="乙")
    assert technique_of(rubric, unheard) in material("degradations")["techniques"]


def test_techniques_all_exist():
    from reward_model.offline.degrading import EDITING

    assert set(material("degradations")["techniques"]) == {*EDITING, "figures", "disorder"}


def test_severities_are_placed_by_their_order_else_by_their_words():
    rubric = four_by_ten()
    assert [round(strength(rubric, severity), 2) for severity in rubric.severities] == [0, 0.33, 0.67, 1]
    none = parse_rubric(
        "name: n\ndimensions: [{name: d, title: 深度, description: x, levels: [a, b]}]\n", "n.yaml"
    )
    assert [strength(none, word) for word in ("轻度", "中等", "严重", "?")] == [0.0, 0.5, 1.0, 0.5]


@pytest.mark.parametrize("index", range(4))
def test_degradations_of_users_do_more_with_severity(index):
    rubric = four_by_ten()
    for framework in FRAMEWORKS[::60]:
        text = gold(framework)
        counts = []
        for severity in rubric.severities:
            made = degrade(rubric, framework, rubric.degradations[index], severity, text, "s")
            assert made.text != text
            counts.append(len(made.defects))
        assert counts == sorted(counts)
        assert counts[-1] > counts[0]
