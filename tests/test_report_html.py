"""The HTML pages: well formed, inert, complete in both languages, and readable in a real browser."""

from __future__ import annotations

import os
import re
import shutil
import string
import struct
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pypdfium2
import pytest
from markupsafe import Markup

from reward_model.report import page, svg
from reward_model.report.evaluation_page import evaluation_page
from reward_model.report.text import LANGUAGES, STRINGS, figure, interval, localised, strings

HOSTILE = (
    "\"'><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">&amp;{{ 7*7 }}"
)
VOID = {"meta", "br", "img", "link", "hr", "input"}
DIMS = ("depth", "professionalism", "accuracy")


class Balance(HTMLParser):
    """Collects the tags of a page and fails on one that is closed wrongly."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag


def parsed(html: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = Balance()
    parser.feed(html)
    parser.close()
    assert parser.open == []
    return parser.seen


def assert_inert(html: str) -> None:
    """Well formed, with no element, attribute or address that could run or request anything."""
    for tag, attributes in parsed(html):
        assert tag not in {"script", "img", "iframe", "object", "link", "foreignobject"}
        for name, value in attributes.items():
            assert not name.startswith("on")
            assert name not in {"src", "srcset", "style", "xlink:href"}
            if name == "href":
                assert value is not None
                assert value.startswith("#")
    bare = html.replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?://|@import|url\(|javascript:", bare)
    html.encode("utf-8")
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f]", html)


def metrics(qwk: float, *, rich: bool = True) -> dict[str, Any]:
    plain: dict[str, Any] = {"accuracy": 0.71, "macro_f1": 0.6, "qwk": qwk, "mae": 0.31, "within_1": 0.98}
    if not rich:
        return plain
    return plain | {
        "ece": 0.061,
        "ece_noise_floor": 0.047,
        "confusion": [[11, 2, 0, 0, 0], [9, 48, 13, 2, 0], [0, 11, 39, 10, 1], [0, 0, 16, 60, 16], [0] * 5],
        "intervals": {"qwk": {"low": qwk - 0.04, "high": qwk + 0.03}, "mae": {"low": None, "high": 0.4}},
        "reliability": [
            {"confidence": 0.4, "accuracy": 0.35, "n": 150, "low": 0.3, "high": 0.45},
            {"confidence": None, "accuracy": None, "n": 0},
            {"confidence": 0.9, "accuracy": 0.85, "n": 150},
        ],
    }


def full_result(text: str = "毛利率由33.02%回升至36.22%。") -> dict[str, Any]:
    """An invented evaluation of the corpus's size and shape; ``text`` is put wherever a text can stand."""
    slices = {
        "industry": ["制造业", "服务业", "金融业", "房地产", text],
        "degradation": ["引入计算错误", "浅化深度", "空泛套话", "弱化专业性", "结构混乱"],
        "severity": ["轻度", "中度", "重度"],
        "writer": [f"llm-w{index}" for index in range(9)],
        text: [text],
    }
    return {
        "n": 450,
        "overall_accuracy": 0.713,
        "exact_match": 0.4,
        "per_dim": {dim: metrics(qwk) for dim, qwk in zip(DIMS, (0.91, 0.88, 0.43), strict=True)},
        "pairs": {"n": 225, "ranking_accuracy": 0.9911, "per_dim": dict.fromkeys(DIMS, 0.9)},
        "dims": {"depth": {"zh": "分析深度", "en": "Depth"}, "professionalism": text, "accuracy": "准确性"},
        "baselines": {
            "majority": {"title": {"zh": "最常见档位", "en": "Most common level"}, "per_dim": {}},
            "tfidf": {
                "title": {"zh": text, "en": text},
                "per_dim": {dim: metrics(0.5) for dim in DIMS},
                "overall_accuracy": 0.72,
                "pairs": {"n": 225, "ranking_accuracy": None},
            },
        },
        "slices": {
            name: {
                value: {
                    "n": 90,
                    "overall_accuracy": 0.7,
                    "per_dim": {dim: metrics(0.8, rich=False) for dim in DIMS},
                    "pairs": {"n": 45, "ranking_accuracy": 1.0},
                }
                for value in values
            }
            for name, values in slices.items()
        },
        "worst": [
            {
                "id": text,
                "dim": "accuracy",
                "expected": 1.31,
                "label": 4,
                "predicted": 1,
                "confidence": 0.87,
                "text": text * 40 + "THEEND",
                "other": text,
            },
            {"id": "t002.chosen", "dim": text, "expected": None, "label": None, "predicted": 2, "text": None},
        ],
        "warnings": [text],
    }


def with_regimes(text: str = "TF-IDF") -> dict[str, Any]:
    """An evaluation in three regimes: the lead over the baseline is clear, unclear and negative in turn."""
    gaps = {"facts": (0.412, 0.31, 0.52), "text": (0.023, -0.081, 0.094), "off": (-0.27, -0.35, -0.19)}
    regimes = {}
    for index, (regime, (difference, low, high)) in enumerate(gaps.items()):
        row = metrics(0.91 - index / 5) | {"ece": 0.061 + index / 100, "ece_noise_floor": 0.047 + index / 100}
        row["minus_best_baseline"] = {"baseline": "tfidf", "difference": difference, "low": low, "high": high}
        regimes[regime] = {
            "overall_accuracy": 0.713 - index / 10,
            "exact_match": 0.434 - index / 10,
            "per_dim": dict.fromkeys(DIMS, row),
            "pairs": {
                "n": 225,
                "ranking_accuracy": 0.982 - index / 10,
                "intervals": {"ranking_accuracy": {"low": 0.951 - index / 10, "high": 0.993 - index / 10}},
            },
            "intervals": {"overall_accuracy": {"low": 0.687, "high": 0.731}},
        }
    result = full_result() | {"regimes": regimes, "evidence": "text"}
    result["baselines"]["tfidf"]["title"] = {"zh": text, "en": text}
    return result


def regimes_section(html: str) -> str:
    return html.partition('<section id="regimes">')[2].partition("</section>")[0]


def table_rows(section: str) -> list[str]:
    """The rows of the tables in it, without their tags."""
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", section, flags=re.S)
    return [" ".join(re.sub("<[^>]*>", " ", row).split()) for row in rows]


def bare_result() -> dict[str, Any]:
    """The contract's keys only, all null or empty."""
    keys = ("accuracy", "macro_f1", "qwk", "mae", "within_1", "ece", "ece_noise_floor", "confusion")
    return {
        "n": None,
        "overall_accuracy": None,
        "exact_match": None,
        "per_dim": {"depth": dict.fromkeys(keys)},
        "pairs": {"n": 0, "ranking_accuracy": None, "per_dim": {}},
        "slices": {},
        "baselines": {},
    }


def score(text: str) -> dict[str, Any]:
    start = text.find("57.55%")
    return {
        "id": "t001.rejected",
        "scores": {"depth": 3, "professionalism": 4, "accuracy": None},
        "expected": {"depth": 2.84},
        "probabilities": {"depth": [0.01, 0.06, 0.21, 0.52, 0.2]},
        "confidence": {"depth": 0.52},
        "overall": 0.61,
        "coverage": 1.0,
        "evidence": "facts",
        "warnings": [HOSTILE],
        "calc": {
            "summary": {"figures": 41, "checked": 36, "ok": 31, "rounding": 3, "wrong": 2, "unverifiable": 5},
            "claims": [
                {
                    "text": "57.55%",
                    "span": [start, start + 6],
                    "metric": "资产负债率",
                    "period": "2024",
                    "stated": 57.55,
                    "recomputed": 55.55,
                    "formula": HOSTILE,
                    "verdict": "wrong",
                    "severity": "major",
                },
                {"text": "x", "span": [start + 2, start + 4], "verdict": "wrong"},
                {"text": "x", "span": [0, 10**6], "verdict": "wrong", "recomputed": HOSTILE},
                {"text": "1.81", "verdict": "ok"},
            ],
        },
    }


def demo_blocks(text: str) -> list[page.Block]:
    return [
        page.heading(text),
        page.heading(text, level=3),
        page.paragraph(text),
        page.table(["行业", text, "分差"], [[text, 45, 1.52], ["房地产", None, None]], caption=text),
        page.chart(svg.bar_chart([{"label": text, "value": 0.5}], title=text), caption=text),
        page.chart(f"<svg>{text}</svg>"),
        page.report_card(score(text), name=text, text=text, dims={"depth": text}),
        page.report_card({"id": "x", "error": {"code": "unreadable", "message": text}}, name="a.pdf"),
    ]


@pytest.mark.parametrize("lang", LANGUAGES)
def test_evaluation_page_is_whole_and_shows_the_main_figures(lang: str) -> None:
    meta = {"model": "outputs/multidim", "seed": 17, "evidence": "facts", "x": None}
    html = evaluation_page(full_result(), lang=lang, meta=meta)
    assert_inert(html)
    tags = parsed(html)
    assert tags[0] == ("html", {"lang": {"zh": "zh-CN", "en": "en"}[lang]})
    for expected in ("0.91", "[0.87, 0.94]", "71.3%", "99.1%", "outputs/multidim", "llm-w8", "THEEND"):
        assert expected in html
    words = strings(lang)
    assert all(
        words[key] in html for key in ("baselines", "dimensions", "slices", "worst", "how", "warnings")
    )
    assert f"<dd>{words['card.evidence.facts']}</dd>" in html
    assert words["ece.within"] not in html, "an ECE of 0.061 is above its floor of 0.047"
    assert sum(tag == "svg" for tag, _ in tags) == 3 + 3 + 3
    assert all(attributes.get("scope") for tag, attributes in tags if tag == "th")


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_image_has_a_title_for_those_who_cannot_see_it(lang: str) -> None:
    tags = parsed(evaluation_page(full_result(), lang=lang, meta={}))
    for index, (tag, attributes) in enumerate(tags):
        if tag == "svg":
            assert attributes["role"] == "img"
            assert tags[index + 1][0] == "title"


def test_what_a_result_lacks_is_left_out_and_nulls_are_dashes() -> None:
    html = evaluation_page(bare_result(), lang="zh", meta={})
    assert_inert(html)
    words = strings("zh")
    assert "—" in html
    assert "None" not in html
    for key in ("slices", "worst", "warnings", "confusion.note", "baselines.brackets"):
        assert words[key] not in html
    assert "<svg" not in html
    smallest = evaluation_page({"per_dim": {"depth": {}}}, lang="en", meta={})
    assert_inert(smallest)
    for key in ("baselines", "slices", "worst", "warnings", "dims"):
        assert_inert(evaluation_page(full_result() | {key: None}, lang="en", meta={}))


@pytest.mark.parametrize(
    ("lang", "names", "verdicts", "floor"),
    [
        ("zh", ("有报表", "仅正文", "不核对"), ("高于 0", "含 0", "低于 0"), "噪声底"),
        ("en", ("with facts", "text only", "checker off"), ("above 0", "holds 0", "below 0"), "noise floor"),
    ],
)
def test_regimes_stand_side_by_side_with_their_intervals(
    lang: str, names: tuple[str, ...], verdicts: tuple[str, ...], floor: str
) -> None:
    html = evaluation_page(with_regimes(), lang=lang, meta={})
    assert_inert(html)
    assert 'href="#regimes"' in html
    section, words = regimes_section(html), strings(lang)
    assert section.count("<svg") == len(DIMS)
    overall, by_dimension = (table_rows(part) for part in section.split("<table>")[1:])
    notes = [words[f"card.evidence.{regime}"] for regime in ("facts", "text", "off")]
    assert overall[1:] == [
        f"{names[0]} {notes[0]} 71.3% [68.7%, 73.1%] 43.4% 98.2% [95.1%, 99.3%]",
        f"{names[1]} {notes[1]} 61.3% [68.7%, 73.1%] 33.4% 88.2% [85.1%, 89.3%]",
        f"{names[2]} {notes[2]} 51.3% [68.7%, 73.1%] 23.4% 78.2% [75.1%, 79.3%]",
    ]
    assert "TF-IDF" in by_dimension[1]
    assert "0.50" in by_dimension[1], "the baseline's own QWK"
    assert len(by_dimension) == 1 + len(DIMS) * (1 + 3)
    assert by_dimension[-3:] == [
        f"{names[0]} 0.91 [0.87, 0.94] {verdicts[0]} +0.41 [0.31, 0.52] 71.0% 0.31 0.061 {floor} 0.047",
        f"{names[1]} 0.71 [0.67, 0.74] {verdicts[1]} +0.02 [−0.08, 0.09] 71.0% 0.31 0.071 {floor} 0.057",
        f"{names[2]} 0.51 [0.47, 0.54] {verdicts[2]} −0.27 [−0.35, −0.19] 71.0% 0.31 0.081 {floor} 0.067",
    ]
    assert re.findall(r'class="verdict best">([^<]*)<', section) == [verdicts[0]] * len(DIMS)


@pytest.mark.parametrize("lang", LANGUAGES)
def test_the_page_says_which_regime_it_is_about(lang: str) -> None:
    words = strings(lang)
    html = evaluation_page(with_regimes(), lang=lang, meta={})
    described = words["regime.described"].format(label=words["regime.text"], note=words["card.evidence.text"])
    assert words["regimes.top"].format(regime=described) in html
    assert words["regimes.about"].format(regime=described) in regimes_section(html)
    main = re.findall(r'<tr class="main">\s*<th scope="row">([^<]*)', regimes_section(html))
    assert main == [words["regime.text"]] * (1 + len(DIMS))
    unknown = evaluation_page(with_regimes() | {"evidence": None}, lang=lang, meta={})
    assert words["regimes.top"].partition("{")[0] not in unknown
    assert 'class="main"' not in regimes_section(unknown)


@pytest.mark.parametrize("kept", [None, [], ["facts"]])
def test_a_single_regime_is_no_comparison(kept: list[str] | None) -> None:
    result = with_regimes()
    found = result.pop("regimes")
    if kept is not None:
        result["regimes"] = {name: found[name] for name in kept}
    html = evaluation_page(result, meta={})
    assert '#regimes"' not in html
    assert 'id="regimes"' not in html
    assert strings("zh")["regimes"] not in html
    assert strings("zh")["regimes.top"].partition("{")[0] not in html


def test_what_a_regime_lacks_is_a_dash() -> None:
    regimes = {"facts": {"overall_accuracy": 0.5}, "off": {"per_dim": {"depth": {"qwk": 0.004}}}}
    gap = {"difference": 0.004, "low": None, "high": 0.1}
    regimes["off"]["per_dim"]["depth"]["minus_best_baseline"] = gap
    html = evaluation_page(bare_result() | {"regimes": regimes}, lang="en", meta={})
    assert_inert(html)
    rows = table_rows(regimes_section(html))
    assert rows[-2:] == ["with facts — — — — —", "checker off 0.00 0.00 — — —"]


@pytest.mark.parametrize("lang", LANGUAGES)
def test_hostile_regimes_come_out_inert(lang: str) -> None:
    result = with_regimes(HOSTILE)
    result["regimes"][HOSTILE] = result["regimes"]["off"]
    for regime in result["regimes"].values():
        regime["per_dim"]["depth"] = metrics(0.5) | {"minus_best_baseline": {"baseline": HOSTILE}}
    html = evaluation_page(result | {"evidence": HOSTILE}, lang=lang, meta={})
    assert_inert(html)
    assert "<script" not in html
    # As a regime by that name, as the regime of the page and as a baseline, each spelt out.
    assert regimes_section(html).count("&lt;script&gt;") > 3 + len(DIMS)


def test_not_a_number_is_a_dash_and_best_values_are_bold() -> None:
    result = full_result()
    result["per_dim"]["depth"]["qwk"] = float("nan")
    html = evaluation_page(result, meta={})
    assert "nan" not in re.sub(r"<style>.*?</style>", "", html, flags=re.S).lower()
    # On the overall accuracy the baseline (72.0%) beats the model (71.3%).
    assert re.search(r'<td class="number best[^"]*">72\.0%', html)
    assert not re.search(r'<td class="number best[^"]*">71\.3%', html)


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("hostile", [HOSTILE, "\x00\ud800\u202e\x1b[31m", "https" + "://", "{0.__class__}%s"])
def test_hostile_texts_come_out_inert(lang: str, hostile: str) -> None:
    meta = {"title": hostile, "model": hostile, hostile: hostile}
    pages = [
        evaluation_page(full_result(hostile), lang=lang, meta=meta),
        page.summary_page(demo_blocks(hostile + "57.55%"), title=hostile, lang=lang),
    ]
    for html in pages:
        # An address in a report is shown as text; nothing may turn it into a request.
        assert_inert(html.replace("https://", ""))
        assert "<script" not in html
        assert "{{ 7*7 }}" in html or hostile != HOSTILE, "a text was taken for a template"


def test_charts_escape_their_texts_and_stand_alone() -> None:
    charts = [
        svg.bar_chart([{"label": HOSTILE, "value": -0.3}, {"label": "b", "value": None}], title=HOSTILE),
        svg.interval_chart([{"label": HOSTILE, "value": -0.11, "low": -0.3, "high": 0.1}], title=HOSTILE),
        svg.confusion_chart([[3, 0], [1, 2]], title=HOSTILE, true=HOSTILE, predicted=HOSTILE),
        svg.reliability_chart([], title=HOSTILE, confidence=HOSTILE, accuracy=HOSTILE),
        svg.distribution_chart([{"label": HOSTILE, "counts": [3, 0]}], title=HOSTILE, level=HOSTILE),
        svg.level_chart([0.25, 0.75], title=HOSTILE, level=1, expected=0.75),
    ]
    for drawn in charts:
        assert isinstance(drawn, Markup)
        assert_inert(drawn)
        assert drawn.startswith("<svg xmlns=")
    for empty in (
        svg.bar_chart([], title="t"),
        svg.interval_chart([], title="t"),
        svg.confusion_chart([], title="t", true="a", predicted="b"),
        svg.distribution_chart([], title="t", level="l"),
        svg.level_chart([], title="t"),
    ):
        assert_inert(empty)


def test_confusion_chart_prints_counts_and_totals_for_any_number_of_levels() -> None:
    matrix = [[i * 10 + j for j in range(10)] for i in range(10)]
    drawn = svg.confusion_chart(matrix, title="t", true="true", predicted="predicted")
    printed = re.findall(r">(\d+)</text>", drawn)
    assert set(map(str, range(100))) <= set(printed)
    assert str(sum(matrix[9])) in printed
    assert "true 9, predicted 0: 90" in drawn


def test_interval_charts_of_one_page_share_an_axis() -> None:
    low, high = svg.interval_domain([{"value": -0.05, "low": -0.1, "high": 0.0}, {"value": 0.4}])
    assert (round(low, 6), round(high, 6)) == (-0.2, 1.0)
    assert svg.interval_domain([{"value": None}]) == (0.0, 1.0)


def test_long_labels_are_cut_but_readable_in_full() -> None:
    label = "冻结的内置模型第四、八、十二层加逻辑回归再加数字核对特征的一个很长的名字"
    drawn = svg.interval_chart([{"label": label, "value": 0.5}], title="t")
    assert f"<title>{label}</title>" in drawn
    assert "…</text>" in drawn
    assert svg.clip("abc", 100, 12) == "abc"
    assert svg.text_width("中", 10) > svg.text_width("a", 10)


def _luminance(color: tuple[float, ...]) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in color]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", [0, 1])
def test_texts_have_enough_contrast(theme: int) -> None:
    colors = {
        name: tuple(int(shades[theme][i : i + 2], 16) / 255 for i in (1, 3, 5))
        for name, shades in svg.PALETTE.items()
    }
    for text in ("ink", "muted", "accent", "second", "alert"):
        for ground in ("paper", "panel"):
            assert _contrast(colors[text], colors[ground]) >= 4.5, (text, ground)
    for _, opacity in svg._HEAT[1:]:
        shade = tuple(
            a * opacity + p * (1 - opacity) for a, p in zip(colors["accent"], colors["panel"], strict=True)
        )
        assert _contrast(colors["paper" if opacity > 0.6 else "ink"], shade) >= 4.5, opacity


def test_both_languages_say_the_same_things() -> None:
    for key, pair in STRINGS.items():
        assert len(pair) == len(LANGUAGES)
        assert all(text.strip() for text in pair), key
        fields = [{name for _, name, _, _ in string.Formatter().parse(text) if name} for text in pair]
        assert fields[0] == fields[1], key
    assert set(strings("zh")) == set(strings("en"))
    for call in (
        lambda: strings("fr"),
        lambda: page.summary_page([], title="t", lang="fr"),
        lambda: evaluation_page(bare_result(), lang="fr", meta={}),
    ):
        with pytest.raises(ValueError, match="fr"):
            call()


def test_figures_as_people_read_them() -> None:
    assert figure(None) == figure(float("inf")) == figure("x") == figure(True) == "—"
    assert figure(-0.0213, "qwk") == "−0.02"
    assert figure(0.7134, "accuracy") == "71.3%"
    assert figure(0.0468, "ece") == "0.047"
    assert figure(1350, "count") == "1,350"
    assert figure(55.55, "plain") == "55.55"
    assert figure(1200.0, "plain") == "1,200"
    assert figure(0.52, "share") == "52%"
    assert interval({"low": -0.1, "high": 0.2}, "qwk") == "[−0.10, 0.20]"
    assert interval({"low": None, "high": 0.2}) == interval(None) == ""
    assert localised({"en": "Depth"}, "zh") == "Depth"
    assert localised({}, "zh") == ""


@pytest.mark.parametrize("lang", LANGUAGES)
def test_summary_page_shows_cards_tables_and_marks_wrong_figures(lang: str) -> None:
    text = "资产负债率由51.48%升至57.55%，一年上升。"
    html = page.summary_page(demo_blocks(text), title="演示", lang=lang)
    assert_inert(html)
    marks = re.findall(r"<mark[^>]*>(.*?)</mark>", html)
    assert marks == ["57.55%"]
    assert re.search(r'<mark title="[^"]*55\.55">', html)
    words = strings(lang)
    for expected in ("61", words["card.out_of"], "52%", words["severity.major"], words["card.failed"]):
        assert expected in html
    # Numbers are set flush right, also where some are unknown; a string that is no chart is shown as text.
    assert re.search(r'<td class="number">1\.52</td>', html)
    assert "&lt;svg&gt;" in html


def test_blocks_refuse_what_they_cannot_show() -> None:
    with pytest.raises(ValueError, match="2 cells for 1 columns"):
        page.table(["a"], [[1, 2]])
    with pytest.raises(ValueError, match="level 1"):
        page.heading("x", level=1)
    with pytest.raises(ValueError, match="unknown block"):
        page.summary_page([{"kind": "video"}], title="t")


def test_the_room_imports_no_other_room() -> None:
    for name in ("svg", "page", "evaluation_page", "measured", "regimes_view", "text"):
        source = Path(page.__file__).with_name(f"{name}.py").read_text(encoding="utf-8")
        for module in re.findall(r"^(?:from|import) (reward_model\S*)", source, flags=re.M):
            assert module.startswith("reward_model.report")


def _browser() -> str:
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        if os.environ.get("FINRM_REQUIRE_BROWSER") == "1":
            pytest.fail("no chromium on the path, and FINRM_REQUIRE_BROWSER=1 asks for one")
        pytest.skip("no chromium on the path; apt-get install chromium fonts-noto-cjk to run this test")
    return found


def _chromium(profile: Path, *arguments: str) -> str:
    quiet = ("quic", "background-networking", "component-update", "sync", "gpu", "dev-shm-usage")
    options = ["--headless", "--no-sandbox", "--no-first-run", "--no-pdf-header-footer"]
    options += [f"--disable-{feature}" for feature in quiet]
    command = [_browser(), *options, f"--user-data-dir={profile}", *arguments]
    done = subprocess.run(command, capture_output=True, timeout=120, check=True)
    return done.stdout.decode("utf-8", "replace")


@pytest.mark.timeout(200)
def test_a_real_browser_shows_and_prints_the_page(tmp_path: Path) -> None:
    result = full_result(HOSTILE) | {"regimes": with_regimes()["regimes"]}
    file, shot, paper = tmp_path / "page.html", tmp_path / "page.png", tmp_path / "page.pdf"
    file.write_text(evaluation_page(result, lang="zh", meta={"title": "评测 EVALUATION"}), encoding="utf-8")
    address = file.as_uri()

    dom = _chromium(tmp_path / "profile", "--dump-dom", address)
    assert "<title>评测 EVALUATION</title>" in dom, "a hostile text ran"
    assert "<script" not in dom

    _chromium(tmp_path / "profile", "--window-size=800,2000", f"--screenshot={shot}", address)
    picture = shot.read_bytes()
    assert struct.unpack(">II", picture[16:24]) == (800, 2000)
    assert len(picture) > 40_000, "the screenshot is (nearly) blank"

    _chromium(tmp_path / "profile", f"--print-to-pdf={paper}", address)
    document = pypdfium2.PdfDocument(paper)
    printed = "".join(sheet.get_textpage().get_text_range() for sheet in document)
    assert len(document) >= 4
    assert "EVALUATION" in printed
    assert "THEEND" in printed, "folded texts are not printed"
    document.close()
