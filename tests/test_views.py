"""What ``score`` and ``evaluate`` print, and the demo's page: plain at 80 columns, safe with any text."""

from __future__ import annotations

import html
import io
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.cells import cell_len
from rich.console import Console
from scorers import EXAMPLES

from reward_model.data.validate_multidim_pairs import validate_file
from reward_model.evaluation import Evaluation, System
from reward_model.inference import NOT_CHINESE, SHORT, STYLE_ONLY
from reward_model.report.demo_page import demo_page
from reward_model.report.evaluation_view import print_evaluation
from reward_model.report.page import chart, charts, summary_page
from reward_model.report.score_view import print_score
from reward_model.report.svg import distribution_chart
from reward_model.report.text import figure
from reward_model.rubric import load_rubric
from reward_model.samples import GradedText, corpus_path

RUBRIC = load_rubric()
HOSTILE = "</summary><script>document.title='ran'</script>&\x00\x1b[2J"


def score_line(**changes: Any) -> dict[str, Any]:
    """A line of ``finrm score --json``."""
    probabilities = {
        "depth": [0.05, 0.8, 0.1, 0.03, 0.02],
        "professionalism": [0.0, 0.0, 0.5, 0.5, 0.0],
        "accuracy": [0.0, 0.0, 0.0, 0.0, 1.0],
    }
    line = {
        "id": "report.md",
        "scores": {"depth": 1, "professionalism": 2, "accuracy": 4},
        "expected": {"depth": 1.17, "professionalism": 2.5, "accuracy": 4.0},
        "probabilities": probabilities,
        "confidence": {"depth": 0.8, "professionalism": 0.5, "accuracy": 1.0},
        "overall": 0.639,
        "coverage": 1.0,
        "evidence": "off",
        "warnings": [STYLE_ONLY],
        "calc": None,
    }
    return line | changes


def terminal(color: bool = False) -> Console:
    return Console(file=io.StringIO(), width=80, force_terminal=color, highlight=False)


def shown_by(console: Console) -> list[str]:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


# --- scores in a terminal -----------------------------------------------------------------------------------


def printed_score(**changes: Any) -> list[str]:
    console = terminal()
    print_score(score_line(**changes), RUBRIC.titles, console)
    return shown_by(console)


def test_a_score_shows_levels_expected_scores_and_confidence_of_each_dimension() -> None:
    lines = printed_score()
    assert lines[0] == "report.md"
    rows = [line.split() for line in lines[2:5]]
    assert [row[:3] for row in rows] == [
        ["分析深度", "1/4", "1.17"],
        ["专业度", "2/4", "2.50"],
        ["数值计算准确性", "4/4", "4.00"],
    ]
    assert [row[-1] for row in rows] == ["80%", "50%", "100%"]
    assert rows[2][3] == "█" * 10
    assert lines[5] == "总分 0.64（0-1）  读取 100%"


def test_a_score_fits_80_columns_with_every_warning_whole() -> None:
    warnings = [STYLE_ONLY, SHORT, NOT_CHINESE]
    lines = printed_score(id="很长的路径/" * 40, warnings=warnings)
    assert max(map(cell_len, lines)) <= 80
    squeezed = "".join("".join(lines).split())
    assert all("".join(f"注意：{warning}".split()) in squeezed for warning in warnings)


@pytest.mark.parametrize(("coverage", "said"), [(1.0, "100%"), (0.997, "99%"), (0.5, "50%"), (0.002, "1%")])
def test_a_score_never_calls_a_part_the_whole(coverage: float, said: str) -> None:
    assert any(line.endswith(f"读取 {said}") for line in printed_score(coverage=coverage))


def test_a_score_prints_names_from_files_as_they_stand_but_no_control_characters() -> None:
    console = terminal()
    print_score(score_line(id="[/b]\x1b[2J\n报告"), {"depth": "[red]深度\x07"}, console)
    shown = "\n".join(shown_by(console))
    assert "[/b]·[2J·报告" in shown
    assert "[red]深度·" in shown
    assert "professionalism" in shown
    assert "\x1b" not in shown


def test_low_middling_and_high_scores_differ_in_colour_where_there_is_colour() -> None:
    console = terminal(color=True)
    print_score(score_line(), RUBRIC.titles, console)
    bars = [line for line in shown_by(console) if "█" in line]
    assert [re.search(r"\x1b\[(\d+)m\S*█", line)[1] for line in bars] == ["31", "33", "32"]  # type: ignore[index]


# --- evaluations in a terminal ------------------------------------------------------------------------------


def evaluation_result(slice_name: str = "制造业") -> dict[str, Any]:
    """An evaluation of 24 made-up texts with intervals, slices and two baselines."""
    draw = np.random.default_rng(0)
    texts = [
        GradedText(
            f"p{row // 2}.{side}",
            f"{side}{row}{HOSTILE}",
            tuple(int(level) for level in draw.integers(0, 5, 3)),
            group=f"p{row // 2}",
            pair=f"p{row // 2}",
            side=side,
            slices={"industry": slice_name if row < 12 else "服务业", "severity": "中度"},
        )
        for row, side in enumerate(["chosen", "rejected"] * 12)
    ]
    systems = []
    for name in ("model", "tfidf_lr", "majority"):
        values = draw.random((24, 3, 5))
        systems.append(
            System(name, {"zh": f"系统 {name}", "en": name}, values / values.sum(-1, keepdims=True))
        )
    result = Evaluation(texts, RUBRIC, n_resamples=50).result(systems[0], systems[1:])
    return result | {"baselines_fitted_on": "20 texts", "warnings": ["注意数据" * 30]}


def printed_evaluation(result: dict[str, Any]) -> list[str]:
    console = terminal()
    print_evaluation(result, console)
    return shown_by(console)


@pytest.fixture(scope="module")
def evaluated() -> dict[str, Any]:
    return evaluation_result()


def test_an_evaluation_fits_80_columns_and_shows_model_and_baselines(evaluated: dict[str, Any]) -> None:
    lines = printed_evaluation(evaluated)
    assert max(map(cell_len, lines)) <= 80
    shown = "\n".join(lines)
    for words in ("系统 tfidf_lr", "系统 majority", "20 texts", "噪声下限", "按行业", "按严重程度", "24 篇"):
        assert words in shown
    depth = evaluated["per_dim"]["depth"]
    bounds = depth["intervals"]["qwk"]
    assert f"{depth['qwk']:.2f} [{bounds['low']:.2f}, {bounds['high']:.2f}]" in shown
    assert "".join(shown.split()).count("注意数据") == 30


def test_an_evaluation_cuts_no_figure_off_also_where_all_are_negative(evaluated: dict[str, Any]) -> None:
    result = json.loads(json.dumps(evaluated))
    result["baselines"]["tfidf_lr"]["title"] = {"zh": "TF-IDF + 逻辑回归"}
    for row in (result, *result["baselines"].values()):
        for found in row["per_dim"].values():
            found |= {"qwk": -0.123, "intervals": {"qwk": {"low": -0.456, "high": -0.012}}}
    lines = printed_evaluation(result)
    assert max(map(cell_len, lines)) <= 80
    assert "\n".join(lines).count("-0.12 [-0.46, -0.01]") == 9
    assert "…" not in "\n".join(lines)


def test_an_evaluation_survives_its_json_and_missing_figures(evaluated: dict[str, Any]) -> None:
    again = json.loads(json.dumps(evaluated))
    assert printed_evaluation(again) == printed_evaluation(evaluated)
    again["per_dim"]["depth"] |= {"qwk": None, "macro_f1": None}
    again["pairs"] = {"n": 0, "ranking_accuracy": None}
    del again["slices"], again["baselines"], again["warnings"], again["baselines_fitted_on"]
    shown = printed_evaluation(again)
    assert sum(line.count("—") for line in shown) == 3


def test_an_evaluation_prints_names_from_the_data_as_they_stand() -> None:
    shown = "\n".join(printed_evaluation(evaluation_result("[/b]\x1b[2J" + "长" * 30)))
    assert "[/b]·[2J长长" in shown
    assert "\x1b" not in shown


def test_what_rounds_to_nothing_has_no_sign(evaluated: dict[str, Any]) -> None:
    result = json.loads(json.dumps(evaluated))
    result["per_dim"]["depth"] |= {"qwk": -0.0001, "intervals": {"qwk": {"low": -0.001, "high": 0.2}}}
    shown = "\n".join(printed_evaluation(result))
    assert "0.00 [0.00, 0.20]" in shown
    assert "-0.00" not in shown
    assert [figure(-0.001, "qwk"), figure(-0.0001, "accuracy"), figure(-0.2)] == ["0.00", "0.0%", "−0.20"]


# --- the demo's page ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def validation() -> dict[str, Any]:
    return validate_file(corpus_path()) | {"filter": {"kept": 224}}


def page(validation: dict[str, Any], evaluated: dict[str, Any], lang: str) -> str:
    training = {"settings": {"base_model_name": "embedded"}, "n_train": 348, "seconds": 71.4}
    text = (EXAMPLES / "report_shallow.txt").read_text(encoding="utf-8")
    cards = [("report.md", text, score_line()), (HOSTILE, HOSTILE, score_line(warnings=[HOSTILE]))]
    change = {dim: {"mean_change": -0.4} for dim in ("depth", "professionalism", "accuracy")}
    card = {"controls": {kind: {"judged": 5, "per_dim": change} for kind in ("padded", HOSTILE)}}
    generation = {"validation": validation, "card": card}
    return demo_page(generation, validation, training, evaluated, cards, lang=lang)


@pytest.mark.parametrize(
    ("lang", "words"),
    [
        (
            "zh",
            (
                "在没见过的写作者上",
                "分析深度",
                "225 个对比对",
                "掺入空话",
                "黄金响应",
                "系统 tfidf_lr",
                "348 篇文本",
            ),
        ),
        (
            "en",
            (
                "On writers it never saw",
                "Depth of analysis",
                "225 pairs",
                "padded with",
                "chosen",
                "348 texts in 71 s",
            ),
        ),
    ],
)
def test_demo_page_tells_the_journey_in_either_language(
    validation: dict[str, Any], evaluated: dict[str, Any], lang: str, words: tuple[str, ...]
) -> None:
    content = page(validation, evaluated, lang)
    assert f'<html lang="{"zh-CN" if lang == "zh" else "en"}">' in content
    for word in words:
        assert word in content
    assert content.count('<div class="charts">') == 2
    assert "nan" not in re.sub(r"<[^>]+>", " ", content).lower().split()


def test_demo_page_holds_hostile_texts_as_text(validation: dict[str, Any], evaluated: dict[str, Any]) -> None:
    content = page(validation, evaluated, "zh")
    assert "<script" not in content
    assert html.escape("</summary><script>", quote=False) in content
    assert "\x1b" not in content
    assert "\x00" not in content


def test_demo_page_refuses_a_language_it_does_not_speak(
    validation: dict[str, Any], evaluated: dict[str, Any]
) -> None:
    with pytest.raises(ValueError):
        page(validation, evaluated, "fr")


# --- charts side by side ------------------------------------------------------------------------------------


def charts_page() -> str:
    series = [{"label": "黄金响应", "counts": [1, 2, 3, 4, 5]}]
    drawings = [
        chart(distribution_chart(series, title=f"图{index}", level="档位"), caption=f"图{index}")
        for index in range(3)
    ]
    return summary_page([charts(*drawings), chart(HOSTILE)], title="图")


def test_a_block_of_charts_holds_each_with_its_caption() -> None:
    content = charts_page()
    block = content.split('<div class="charts">')[1].split("</div>")[0]
    assert block.count("<figure>") == block.count("<svg") == 3
    assert re.findall(r"<figcaption>(.*?)</figcaption>", block) == ["图0", "图1", "图2"]
    assert '<figure class="block">' in content
    assert "<script" not in content


def test_charts_stand_in_a_row_where_there_is_room_and_stack_where_there_is_none(tmp_path: Path) -> None:
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        if os.environ.get("FINRM_REQUIRE_BROWSER") == "1":
            pytest.fail("no chromium on the path, and FINRM_REQUIRE_BROWSER=1 asks for one")
        pytest.skip("no chromium on the path; apt-get install chromium fonts-noto-cjk to run this test")
    # The page allows no scripts; one around it may measure where its charts stand.
    frames = "".join(
        f'<iframe style="width:{width}px;height:900px" srcdoc="{html.escape(charts_page())}"></iframe>'
        for width in (1100, 800, 400)
    )
    measure = """<script>onload = () => {
      const tops = f => [...f.contentDocument.querySelectorAll(".charts figure")].map(
        x => [x.getBoundingClientRect().top, x.querySelector("svg").getBoundingClientRect().right]);
      document.title = JSON.stringify([...document.querySelectorAll("iframe")].map(tops));
    }</script>"""
    outer = tmp_path / "outer.html"
    outer.write_text(f"<meta charset=utf-8><title></title>{frames}{measure}", encoding="utf-8")
    quiet = ("quic", "background-networking", "component-update", "sync", "gpu", "dev-shm-usage")
    done = subprocess.run(
        [
            *(browser, "--headless", "--no-sandbox", "--no-first-run", "--dump-dom"),
            *(f"--disable-{feature}" for feature in quiet),
            *(f"--user-data-dir={tmp_path / 'profile'}", outer.as_uri()),
        ],
        capture_output=True,
        timeout=120,
        check=True,
    )
    title = re.search("<title>(.*?)</title>", done.stdout.decode("utf-8"))
    assert title is not None
    places = json.loads(html.unescape(title[1]))
    rows = [len({round(top) for top, _ in frame}) for frame in places]
    assert rows == [1, 2, 3]
    for width, frame in zip((1100, 800, 400), places, strict=True):
        assert max(right for _, right in frame) <= width
