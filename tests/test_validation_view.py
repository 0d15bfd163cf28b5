"""What step 2 prints: 80 columns, plain text, nothing of the data that moves a cursor."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from validation_data import pair, write

from reward_model.data.validate_multidim_pairs import validate_file
from reward_model.report.cjk_wrap import wrap
from reward_model.report.labels_view import bar, labels_table, print_labels
from reward_model.report.validation_view import print_validation
from reward_model.samples import corpus_path


@pytest.fixture(scope="module")
def corpus_report() -> dict[str, Any]:
    return validate_file(corpus_path())


# What is printed


def printed(report: dict[str, Any], width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    print_validation(report, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_report_fits_80_columns_and_is_plain_text(corpus_report: dict[str, Any]) -> None:
    shown = printed(corpus_report)
    assert all(cell_len(row) <= 80 for row in shown.splitlines())
    assert "\x1b" not in shown
    for words in (
        "1.51 分",
        "99.6%（224/225）",
        "2.82*",
        "-0.11",
        "轻度 0.98",
        "逐级递增",
        "x063",
        "可保留 224 对",
    ):
        assert words in shown


def test_report_from_its_json_prints_the_same(corpus_report: dict[str, Any]) -> None:
    assert printed(json.loads(json.dumps(corpus_report))) == printed(corpus_report)


def test_report_shows_no_control_characters_of_the_data(tmp_path: Path) -> None:
    row = pair(id="\x1b[31m[red]" + "长" * 500, degradation="\x1b[2J[bold]坏")
    shown = printed(validate_file(write(tmp_path / "in.jsonl", [row])))
    assert "\x1b" not in shown
    assert "[bold]坏" in shown


def test_long_lists_of_problems_are_cut_severe_ones_first(tmp_path: Path) -> None:
    rows = [pair(n, field=None) for n in range(50)] + [pair(90, rejected=(4, 4, 4))]
    shown = printed(validate_file(write(tmp_path / "in.jsonl", rows)))
    assert "p90" in shown
    assert "另有 45 条" in shown
    assert shown.index("p90") < shown.index("p0 ")


def test_labels_table_takes_levels_as_strings_and_hides_empty_sides() -> None:
    console = Console(file=io.StringIO(), width=80)
    print_labels(
        {"depth": {"title": "分析深度", "all": {"0": 1, "4": 3}, "chosen": {}, "rejected": {}}}, console
    )
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    assert "标签分布" in shown
    assert "75% ██████" in shown
    assert "Chosen" not in shown
    both = labels_table({"depth": {"title": "", "all": {0: 1}, "chosen": {0: 1}, "rejected": {0: 0}}})
    assert len(both.columns) == 4
    print_labels({"depth": {"title": "", "all": {0: 0}, "chosen": {}, "rejected": {}}}, console)
    assert "没有标签" in console.file.getvalue()


@pytest.mark.parametrize(
    ("share", "shown"), [(0, ""), (0.001, "▏"), (0.5, "████"), (1, "████████"), (2, "████████")]
)
def test_bar(share: float, shown: str) -> None:
    assert bar(share) == shown


@given(st.text(st.sampled_from("中文，。（）1234.5% abc\n"), max_size=80), st.integers(4, 40))
def test_wrap_loses_nothing_but_spaces(content: str, width: int) -> None:
    lines = wrap(content, width)
    assert all(cell_len(row) <= width for row in lines)
    assert "".join("".join(lines).split()) == "".join(content.split())


def test_wrap_breaks_chinese_where_the_line_ends() -> None:
    assert wrap("收入增长12.5%，利润下降。", 12) == ["收入增长", "12.5%，利润", "下降。"]
