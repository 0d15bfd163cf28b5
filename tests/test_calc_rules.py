"""The rules: every built-in formula on real statements, names found in prose, files of users."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reward_model.calc.formula import Operand, Value, parse_expression
from reward_model.calc.rules import Rules, load_rules
from reward_model.errors import InputError
from reward_model.samples import corpus_path

RULES = load_rules()


@pytest.fixture(scope="module")
def sheets():
    """The corpus's fact sheets by company."""
    with corpus_path().open(encoding="utf-8") as stream:
        rows = [json.loads(line)["metadata"] for line in stream]
    return {row["company"]: row["fact_sheet"] for row in rows}


def lookup_in(sheet, rules: Rules, year: str = "2024"):
    """Values of a sheet's items, and of metrics that their formulas give from them."""
    current = sheet["periods"].index(year)
    items = {}
    for name, values in sheet["items"].items():
        metric = rules.canonical(name)
        items[metric.name if metric else name] = values

    def lookup(name, offset):
        index = current + offset
        if name in items:
            if index < 0 or items[name][index] is None:
                return None
            value = items[name][index]
            return Value(value, value, (Operand(name, sheet["periods"][index], value, "facts"),), name)
        values = (
            parse_expression(variant.expression).evaluate(lookup, offset)
            for variant in rules.metrics[name].variants
        )
        return next((value for value in values if value is not None), None)

    return lookup


def values_of(name, sheet, year="2024", rules=RULES):
    """Each accepted formula's value by the variant's name."""
    lookup = lookup_in(sheet, rules, year)
    found = {}
    for variant in rules.metrics[name].variants:
        value = parse_expression(variant.expression).evaluate(lookup)
        if value is not None:
            found[variant.name] = round((value.low + value.high) / 2, 2)
    return found


@pytest.mark.parametrize(
    ("metric", "year", "variant", "expected"),
    [
        ("毛利率", "2024", "", 36.22),
        ("毛利率", "2023", "", 33.02),
        ("净利率", "2024", "净利润", 16.63),
        ("期间费用", "2024", "含研发费用", 78.53),
        ("期间费用率", "2024", "含研发费用", 14.99),
        ("资产负债率", "2024", "", 55.55),
        ("应收账款周转天数", "2024", "平均余额，365天", 76.33),
        ("应收账款周转天数", "2023", "平均余额，365天", 78.74),
        ("ROE", "2024", "平均净资产", 35.15),
        ("ROE", "2023", "平均净资产", 32.19),
        ("流动比率", "2024", "", 1.81),
        ("净现比", "2024", "净利润", 1.50),
        ("自由现金流", "2024", "", 97.02),
        ("货币资金/有息负债", "2024", "期末", 0.70),
        ("利润总额", "2024", "收入减成本费用，加其他收益及减值净额", 102.47),
        ("权益流出", "2024", "所有者权益", 59.50),
    ],
)
def test_known_values_of_a_company(sheets, metric, year, variant, expected):
    assert values_of(metric, sheets["海澜酒店"], year)[variant] == pytest.approx(expected, abs=1e-9)


def test_known_values_of_a_bank(sheets):
    sheet = next(sheet for sheet in sheets.values() if "利息净收入" in sheet["items"])
    items = sheet["items"]
    coverage = round(items["贷款减值准备余额"][-1] / items["不良贷款余额"][-1] * 100, 2)
    assert values_of("拨备覆盖率", sheet) == {"": coverage}
    assert len(set(values_of("拨贷比", sheet).values())) == 1, "拨贷比 = 拨备覆盖率 x 不良贷款率"
    average = sum(items["归母净资产"][-2:]) / 2
    assert values_of("ROE", sheet)["净利润，平均归母净资产"] == round(items["净利润"][-1] / average * 100, 2)
    assert values_of("ROE", sheet)["平均净资产"] == values_of("ROE", sheet)["净利润，平均归母净资产"]
    assert values_of("ROA", sheet), "资产总额 is 资产总计"
    parts = items["手续费及佣金净收入"][-1] + items["其他非息收入"][-1]
    assert set(values_of("非息收入", sheet).values()) == {round(parts, 2)}


def test_every_formula_computes_where_its_items_exist(sheets):
    computed = set()
    for sheet in sheets.values():
        if any(values[-1] == 0 for values in sheet["items"].values()):
            continue  # one company earned 0.00
        items = {RULES.canonical(name).name for name in sheet["items"]}
        assert len(items) == len(sheet["items"]), "each item of the corpus is a metric of its own"
        lookup = lookup_in(sheet, RULES)
        for metric in RULES.metrics.values():
            for variant in metric.variants:
                value = parse_expression(variant.expression).evaluate(lookup)
                assert value is not None or not variant.names <= items, (metric.name, variant.name)
                if value is not None:
                    computed.add((metric.name, variant.name))
    assert len(computed) > 120


def test_statements_agree_with_the_formulas_for_their_lines(sheets):
    """利润总额, 净资产 and the like are items and have formulas: both say the same, to rounding."""
    for sheet in sheets.values():
        for name in ("利润总额", "负债合计"):
            metric_values = sheet["items"].get(name)
            if metric_values:
                for value in values_of(name, sheet).values():
                    assert value == pytest.approx(metric_values[-1], abs=0.06)


def test_every_name_means_one_metric_and_is_found():
    for metric in RULES.metrics.values():
        for name in metric.names:
            assert RULES.canonical(name) is metric
            mentions = RULES.find(f"公司{name}12.3亿元")
            assert [(mention.start, mention.metric) for mention in mentions] == [(2, metric)], name


def test_kinds_and_units_belong_together():
    kinds = {"元": "money", "%": "percent", "天": "days", "次": "turns", "倍": "multiple"}
    for metric in RULES.metrics.values():
        assert metric.kind == kinds.get(metric.unit, "count"), metric.name
        for variant in metric.variants:
            assert (
                variant.expression.endswith("* 100") == (metric.kind == "percent" and metric.name != "拨贷比")
                or variant.name == "拨备覆盖率乘不良率"
                or metric.name == "拨贷比"
            )
    assert RULES.metrics["资产总计"].stock
    assert not RULES.metrics["营业收入"].stock


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("净利率16.63%，毛利率由33.02%回升", ["净利率", "毛利率"]),
        ("应收账款周转天数由78.74天降至76.33天", ["应收账款周转天数"]),
        ("购建长期资产支付的33.29亿元", ["购建长期资产支付的现金"]),
        ("经营活动产生的现金流量净额1亿元", ["经营活动现金流量净额"]),
        ("归属于上市公司股东的净利润2亿元", ["归母净利润"]),
        ("不良贷款率1.5%，不良贷款余额3亿元", ["不良贷款率", "不良贷款余额"]),
        ("货币资金对有息负债的覆盖倍数由0.62升至0.70", ["货币资金/有息负债"]),
        ("剔除合同负债后的资产负债率68.2%", ["剔除合同负债后的资产负债率"]),
        ("ROE35.15%、2024年ROA 3%，ＧＰＭ 4%", ["ROE", "ROA", "毛利率"]),
        ("gross margin 36%, Gross Margin 35%, Net profit 3", ["毛利率", "毛利率", "净利润"]),
        ("净利息收入与非利息收入", ["利息净收入", "非息收入"]),
        ("HEROES, AROE, ROEs, NPLX, x_ROE1", []),
        ("成本管控与费用管控、收入端、负债端、权益类资产", ["资产总计"]),
        ("Cash flow 3, cash Flow 4, 其中: Cash 5", ["货币资金", "货币资金"]),
        ("云业务收入4715万元，海外收入1亿元，融资成本3%", []),
        ("期间费用49.89亿元，四项费用合计78.53亿元，三费合计", ["期间费用", "四项费用", "三项费用"]),
        ("", []),
        ("收", []),
        ("其中收入", ["营业收入"]),
    ],
)
def test_names_in_prose(text, found):
    expected = ["购建长期资产支付的现金" if name.startswith("购建") else name for name in found]
    assert [mention.metric.name for mention in RULES.find(text)] == expected


@given(
    st.lists(
        st.sampled_from(
            ["营业收入", "净利润", "率", "资产负债", "ROE", " ", "a", "成本管", "控", "，", "不良"]
        )
    )
)
def test_mentions_are_in_order_apart_and_names(parts):
    text = "".join(parts)
    end = 0
    for mention in RULES.find(text):
        assert end <= mention.start < mention.end <= len(text)
        assert text[mention.start : mention.end] in mention.metric.names
        end = mention.end


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("减：营业成本（万元）", "营业成本"),
        ("一、营业总收入", "营业收入"),
        ("四、净利润（净亏损以“－”号填列）", "净利润"),
        ("（一）存 货：", "存货"),
        ("1.存货", "存货"),
        ("**总资产**", "资产总计"),
        ("资产总额", "资产总计"),
        ("NPL  RATIO", "不良贷款率"),
        ("roe", "ROE"),
    ],
)
def test_lines_of_statements(line, name):
    assert RULES.canonical(line).name == name


@pytest.mark.parametrize("line", ["", "（亿元）", "火星收入占比", "x" * 100_000])
def test_lines_that_are_no_metric(line):
    assert RULES.canonical(line) is None


EXAMPLE = """
metrics:
  门店数:
    unit: 家
    synonyms: [门店数量, 门店总数]
  单店收入:
    unit: 万元
    synonyms: [平均单店收入]
    formula: 营业收入 / 门店数
    tolerance: 0.5
  毛利率:
    synonyms: [综合毛利水平]
    formula: {含其他收益: (营业收入 - 营业成本 + 其他收益及减值净额) / 营业收入 * 100}
stop: [单店收入模型]
"""


@pytest.fixture
def write(tmp_path):
    def write(text, name="mine.yaml"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
        return path

    return write


def test_a_users_rules(write):
    rules = load_rules(write(EXAMPLE.replace("unit: 家\n", "unit: 数量\n")))
    store = rules.metrics["单店收入"]
    assert (store.kind, store.unit, store.tolerance) == ("money", "元", 5000.0)
    assert store.variants[0].expression == "营业收入 / 门店数"
    assert rules.canonical("平均单店收入") is store
    text = "平均单店收入1200万元，综合毛利水平30%；单店收入模型见附录，门店总数300家"
    assert [mention.metric.name for mention in rules.find(text)] == ["单店收入", "毛利率", "门店数"]
    assert [variant.name for variant in rules.metrics["毛利率"].variants] == ["", "含其他收益"]
    sheet = {"unit": "亿元", "periods": ["2024"], "items": {"营业收入": [36.0], "门店数": [300]}}
    assert values_of("单店收入", sheet, rules=rules) == {"": 0.12}
    assert "单店收入" not in load_rules().metrics, "the built-in rules stay as they are"


def test_files_build_on_one_another(write):
    first = write("metrics: {门店面积: {unit: 平方米, stock: true}}", "a.yaml")
    second = write("metrics: {坪效: {unit: 万元/平方米, formula: 营业收入 / avg(门店面积)}}", "b.yaml")
    rules = load_rules(first, second)
    assert rules.metrics["坪效"].unit == "元"
    assert rules.metrics["门店面积"].unit == "平方米"
    with pytest.raises(InputError, match=r"b\.yaml: metrics\.坪效\.formula: \"门店面积\" is no metric"):
        load_rules(second)


def test_a_user_may_silence_a_name_and_take_over_a_stopped_phrase(write):
    rules = load_rules(write("stop: [收入]\nmetrics: {海外收入: {unit: 元}}"))
    assert [mention.metric.name for mention in rules.find("收入1亿元，海外收入2亿元")] == ["海外收入"]


def test_an_empty_file_adds_nothing(write):
    assert load_rules(write("metrics: {}")).metrics == RULES.metrics


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must be an object with metrics or stop, not null"),
        ("- 1", "must be an object with metrics or stop"),
        ("metrics: [1]", "metrics: must map names to metrics"),
        ("metric: {}", "metric: is no known key"),
        ("metrics: {坪效: {unit: 元, synonym: [x]}}", "metrics.坪效.synonym: is no known key"),
        ("metrics: {坪效: 营业收入}", 'metrics.坪效: must be an object with .*, not "营业收入"'),
        ("metrics: {坪效: {formula: 营业收入}}", r"metrics\.坪效\.unit: is missing; add it"),
        ("metrics: {坪效: {unit: 3}}", r"metrics\.坪效\.unit: 3 is no unit"),
        ("metrics: {坪效: {unit: %}}", r'mine\.yaml:1: not valid YAML .*"%" needs quotes'),
        ("metrics: {毛利率: {unit: 元}}", r"metrics\.毛利率\.unit: \"元\" doesn't fit, as 毛利率 is in %"),
        ("metrics: {营收: {unit: 元}}", r"metrics\.营收: is another name of 营业收入 already"),
        ("metrics: {坪效: {unit: 元, synonyms: [ROE, roa]}}", r"synonyms: \"ROE\" is a name of ROE already"),
        ("metrics: {坪效: {unit: 元, synonyms: 营收}}", "must be a list"),
        ("metrics: {坪效: {unit: 元, synonyms: [2024]}}", "2024 is no name; put the text in quotes"),
        ("metrics: {坪效: {unit: 元, synonyms: ['2024']}}", "is no name; use words"),
        ("metrics: {坪: {unit: 元}}", '"坪" is no name; write 2 to 60 characters'),
        ('metrics: {"坪\\n效": {unit: 元}}', "is no name"),
        ("metrics: {2024: {unit: 元}}", "2024 is no name"),
        (
            "metrics: {坪效: {unit: 元, formula: 营收 / 2}}",
            '"营收" is another name of 营业收入; write 营业收入',
        ),
        ("metrics: {坪效: {unit: 元, formula: 营业收入 / 面积}}", '"面积" is no metric; define it'),
        (
            "metrics: {坪效: {unit: 元, formula: 营业收入 ** 2}}",
            r"metrics\.坪效\.formula: .* knows the operators",
        ),
        (
            "metrics: {坪效: {unit: 元, formula: {期末: 'f(x)'}}}",
            r"metrics\.坪效\.formula\.期末: .* knows the func",
        ),
        ("metrics: {坪效: {unit: 元, formula: {期末: 3}}}", "must be a formula, not 3"),
        ("metrics: {坪效: {unit: 元, formula: [a]}}", "must be a formula or an object"),
        ("metrics: {坪效: {unit: 元, formula: 坪效 + 1}}", "goes in a circle"),
        ("metrics: {营业收入: {formula: 毛利 + 营业成本}}", r"metrics\.营业收入\.formula: goes in a circle"),
        ("metrics: {坪效: {unit: 元, stock: 1}}", "stock: must be true or false, not 1"),
        ("metrics: {坪效: {unit: 元, tolerance: -1}}", "tolerance: must be a number of at least 0, not -1"),
        ("metrics: {坪效: {unit: 元, tolerance: .inf}}", "tolerance: must be a number"),
        ("metrics: {坪效: {unit: 元}, 坪效: {unit: 元}}", 'mine.yaml:1: the key "坪效" appears twice'),
        ("a: &a [1]\nb: *a", "is used by an alias"),
        ("a: 2024-13-45", "can't be read"),
        ("a: !!python/object/apply:os.system ['true']", "not valid YAML"),
        ("[" * 5000, "nested too deeply"),
        ("stop: 收入", "stop: must be a list"),
        (b"\xff\xfe", "not UTF-8"),
        (b"#" * 1_000_001, "over 1 MB"),
        ("metrics:\n" + "".join(f"  名{i}: {{unit: 元}}\n" for i in range(2000)), "over 2,000 metrics"),
    ],
)
def test_unusable_files(write, text, message):
    path = write(text)
    with pytest.raises(InputError, match=message) as error:
        load_rules(path)
    line = str(error.value)
    assert line.startswith(str(path))
    assert "\n" not in line
    assert "; " in line, "says what to do"


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(InputError, match="no such rule file"):
        load_rules(tmp_path / "none.yaml")
    with pytest.raises(InputError, match="is a directory"):
        load_rules(tmp_path)
