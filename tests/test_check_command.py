"""``finrm check``: every report and row gets its line, and the terminal shows what is wrong and where."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from docx import Document
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from scorers import EXAMPLES, Ran, finrm
from tiny_bert import run_python

from reward_model import checking
from reward_model.calc.result import CheckResult, Claim
from reward_model.checking import NOT_CHINESE, OTHER_FACTS, Checked, check_requests
from reward_model.errors import InputError
from reward_model.intake import Request
from reward_model.report import check_view
from reward_model.report.check_view import print_check
from reward_model.schema import FactSheet

Finrm = Callable[..., Ran]

TABLE = "（单位：亿元）\n| 项目 | 2023 | 2024 |\n|---|---|---|\n| 营业收入 | {} | 523.73 |\n"
RIGHT, WRONG, UNSURE = "毛利率为36.22%", "毛利率为99.00%", "满意度为88.00%"


def claim(text: str, start: int, end: int, verdict: str = "wrong", **changes: Any) -> Claim:
    """A claim on ``text[start:end]``."""
    told: dict[str, Any] = {
        "metric": "毛利率",
        "period": "2024",
        "recomputed": "36.22%" if verdict in ("wrong", "rounding") else None,
        "formula": "(营业收入 - 营业成本) / 营业收入",
        "operands": (
            {"name": "营业收入", "period": "2024", "value": 52_373_000_000.0, "source": "facts"},
            {"name": "营业成本", "period": "2024", "value": 33_406_000_000.0, "source": "text"},
        ),
        "severity": "major" if verdict == "wrong" else None,
        "reason": "与重算值不符",
    }
    return Claim(
        text[start:end],
        (start, end),
        stated=text[start:end],
        verdict=verdict,
        **(told | changes),  # type: ignore[arg-type]
    )


def fake_check(text: str, facts: FactSheet | None = None, rules: object = None) -> CheckResult:
    """A checker that knows three percentages, and says in a warning which facts and rules it was given."""
    if facts is not None and facts.unit == "斤":
        raise InputError('unit "斤" is no unit of money; give 元, 万元 or 亿元')
    verdicts = {"36.22%": "ok", "99.00%": "wrong", "88.00%": "unverifiable"}
    claims = tuple(
        claim(text, match.start(), match.end(), verdicts[match[0]])
        for match in re.finditer(r"36\.22%|99\.00%|88\.00%", text)
    )
    first = None if facts is None else next(iter(facts.items.values()))[0]
    return CheckResult(
        claims,
        evidence="text" if facts is None else "facts",
        warnings=(f"facts {first}", f"rules {rules is not None}"),
    )


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Finrm:
    """Run ``finrm check`` with ``fake_check`` in the checker's place."""
    monkeypatch.setattr(checking, "check_text", fake_check)
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments: str | Path, stdin: str | bytes | None = None) -> Ran:
        return finrm(capfd, "check", *arguments, stdin=stdin)

    return run


def lines_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def write_lines(path: Path, *rows: Any) -> Path:
    """Rows as JSON Lines; a string is a line as it stands."""
    lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def sheet(revenue: float, unit: str = "亿元") -> dict[str, Any]:
    return {"unit": unit, "periods": ["2023"], "items": {"营业收入": [revenue]}}


def fact_seen(line: dict[str, Any]) -> str:
    """What ``fake_check`` says of the facts it was given."""
    return str(line["warnings"][0]).removeprefix("facts ")


# --- reports ------------------------------------------------------------------------------------------------


def test_reports_of_any_format_are_checked_alike(check: Finrm, tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("甲.md", "乙.txt", "丙.docx")]
    paths[0].write_text(WRONG, encoding="utf-8")
    paths[1].write_bytes(WRONG.encode("gb18030"))
    document = Document()
    document.add_paragraph(WRONG)
    document.save(str(paths[2]))
    ran = check("--json", *paths)
    assert (ran.code, ran.err) == (0, "")
    found = lines_of(ran.out)
    assert [line["id"] for line in found] == list(map(str, paths))
    assert [(line["claims"], line["summary"]) for line in found[1:]] == [
        (found[0]["claims"], found[0]["summary"])
    ] * 2


def test_a_line_holds_what_the_contract_says(check: Finrm) -> None:
    (line,) = lines_of(check("--json", "-", stdin=f"{RIGHT}，{WRONG}，{UNSURE}").out)
    assert list(line) == ["id", "claims", "summary", "evidence", "warnings"]
    assert line["id"] == "-"
    assert line["summary"] == {
        "figures": 3, "checked": 2, "ok": 1, "rounding": 0, "wrong": 1, "unverifiable": 1,
    }  # fmt: skip
    wrong = line["claims"][1]
    assert wrong["verdict"] == "wrong"
    assert wrong["span"] == [15, 21]
    assert wrong["operands"][0]["source"] == "facts"


def test_no_report_at_a_terminal_is_said_instead_of_waiting_for_input(
    check: Finrm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    ran = check()
    assert ran.code == 2
    assert ran.err == "finrm check: no report given; name files, - or --input F.jsonl\n"


def test_strict_makes_a_wrong_figure_a_no(check: Finrm, tmp_path: Path) -> None:
    rows = write_lines(tmp_path / "rows.jsonl", {"text": WRONG + WRONG}, {"text": RIGHT}, {"text": UNSURE})
    assert check("--input", rows).code == 0
    ran = check("--input", rows, "--strict")
    assert (ran.code, ran.err) == (1, "2 wrong figures in 1 of 3 reports (--strict)\n")
    assert len(lines_of(ran.out)) == 3
    ran = check("-", "--strict", stdin=RIGHT + UNSURE)
    assert (ran.code, ran.err) == (0, "")


def test_unusable_input_outranks_wrong_figures_unless_it_is_forgiven(check: Finrm, tmp_path: Path) -> None:
    rows = write_lines(tmp_path / "rows.jsonl", {"text": WRONG}, "{broken")
    assert check("--input", rows, "--strict").code == 2
    assert check("--input", rows, "--strict", "--skip-bad").code == 1
    assert check("--input", rows, "--skip-bad").code == 0


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("空.md", b"  \n", "is empty; check that it was saved"),
        ("全角空格.md", "\u3000\u3000\n".encode(), "holds no text; give the report's text"),
        ("图.md", b"\x89PNG\r\n\x1a\n\0\0\0", "is a binary file, not text; give"),
        ("表.md", b"PK\x03\x04abc", "is a zip or Office file; name it .docx, or save it as text"),
        ("行.jsonl", b'{"text": "1"}', "is JSON Lines, not a report; give it as --input"),
    ],
)  # fmt: skip
def test_what_holds_no_report_is_one_line_and_does_not_stop_the_others(
    check: Finrm, tmp_path: Path, name: str, data: bytes, said: str
) -> None:
    (tmp_path / name).write_bytes(data)
    sound = tmp_path / "好.md"
    sound.write_text(RIGHT, encoding="utf-8")
    ran = check(tmp_path / name, sound)
    assert ran.code == 2
    assert ran.err.startswith(f"{tmp_path / name}: {said}")
    assert len(ran.err.splitlines()) == 1
    assert "未发现计算错误" in ran.out


@pytest.mark.parametrize("text", ["。", "公司经营稳健。", "The company did well."])
def test_a_report_without_figures_says_so_and_is_no_failure(check: Finrm, text: str) -> None:
    ran = check("-", "--strict", stdin=text)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines()[-2] == "没有找到数字，无可核对 (no figures found, nothing to check)"
    assert "未发现计算错误" not in ran.out


def test_a_report_that_is_hardly_chinese_is_said_to_be(check: Finrm) -> None:
    (english,) = lines_of(check("--json", stdin="Gross margin was 36.22% in the year under review.").out)
    assert english["warnings"][-1] == NOT_CHINESE
    for text in (RIGHT, "36.22%", "ROE与GPM同升，毛利率为36.22%"):
        assert NOT_CHINESE not in lines_of(check("--json", stdin=text).out)[0]["warnings"]


@pytest.mark.parametrize(
    ("wrong", "right", "facts", "said"),
    [(6, 4, True, True), (5, 5, True, False), (6, 4, False, False), (9, 0, True, False)],
)
def test_facts_of_another_company_are_suspected(
    check: Finrm, tmp_path: Path, wrong: int, right: int, facts: bool, said: bool
) -> None:
    row = {"text": WRONG * wrong + RIGHT * right} | ({"facts": sheet(1)} if facts else {})
    (line,) = lines_of(check("--input", write_lines(tmp_path / "rows.jsonl", row)).out)
    assert (OTHER_FACTS in line["warnings"]) == said


# --- JSON Lines ---------------------------------------------------------------------------------------------


def test_every_row_in_is_a_row_out_in_order(check: Finrm, tmp_path: Path) -> None:
    rows = write_lines(
        tmp_path / "rows.jsonl",
        {"id": "a", "text": WRONG},
        "{broken",
        {"id": 7, "text": RIGHT, "another": [1]},
        "",
        {"id": "b", "text": " "},
        {"id": "c", "text": RIGHT, "facts": {"unit": "亿元"}},
        {"id": "d", "text": "。"},
        {"id": "e", "text": RIGHT, "facts": sheet(1.0, "斤")},
        {"text": UNSURE},
    )
    output = tmp_path / "out.jsonl"
    ran = check("--input", rows, "--output", output)
    assert (ran.code, ran.out) == (2, "")
    found = lines_of(output.read_text(encoding="utf-8"))
    assert [line["id"] for line in found] == ["a", "2", "7", "b", "c", "d", "e", "9"]
    errors = {line["id"]: line["error"] for line in found if "error" in line}
    assert sorted(errors) == ["2", "b", "c", "e"]
    assert errors["2"]["code"] == "bad_line"
    assert errors["e"] == {
        "code": "bad_input",
        "message": 'e: unit "斤" is no unit of money; give 元, 万元 or 亿元',
    }
    assert ran.err.splitlines()[-1] == '4 of 8 rows could not be checked; see their "error"'


def test_a_pairs_file_gives_two_rows_a_pair_checked_against_its_fact_sheet(
    check: Finrm, tmp_path: Path
) -> None:
    pair = {"prompt": "请分析", "chosen": RIGHT, "rejected": WRONG}
    rows = write_lines(
        tmp_path / "pairs.jsonl", pair | {"metadata": {"id": "x1", "fact_sheet": sheet(412.62)}}, pair
    )
    found = lines_of(check("--input", rows).out)
    assert [line["id"] for line in found] == ["x1.chosen", "x1.rejected", "2.chosen", "2.rejected"]
    assert [line["evidence"] for line in found] == ["facts", "facts", "text", "text"]
    assert [line["summary"]["wrong"] for line in found] == [0, 1, 0, 1]
    assert fact_seen(found[0]) == "412.62"


def test_rows_are_read_from_standard_input(check: Finrm) -> None:
    ran = check("--input", "-", stdin='{"id": "甲", "text": "毛利率为36.22%"}\n'.encode("gb18030"))
    assert (ran.code, ran.err) == (0, "<stdin>:1: not UTF-8, read as GB18030\n")
    assert lines_of(ran.out)[0]["id"] == "甲"


def test_a_file_without_rows_is_said_and_leaves_an_earlier_output(check: Finrm, tmp_path: Path) -> None:
    rows, output = tmp_path / "rows.jsonl", tmp_path / "out.jsonl"
    rows.write_text("\n")
    output.write_text("earlier\n")
    ran = check("--input", rows, "--output", output)
    assert ran.code == 2
    assert ran.err == f'{rows}: holds no row; give lines such as {{"id": 1, "text": ...}}\n'
    assert output.read_text() == "earlier\n"


# --- facts, prompts, rules ----------------------------------------------------------------------------------


def test_facts_come_from_the_row_else_from_the_flag_else_from_a_table_in_the_prompt(
    check: Finrm, tmp_path: Path
) -> None:
    facts, prompt = tmp_path / "facts.md", tmp_path / "prompt.txt"
    facts.write_text(TABLE.format(2), encoding="utf-8")
    prompt.write_text("请分析。" + TABLE.format(4), encoding="utf-8")
    rows = write_lines(
        tmp_path / "rows.jsonl",
        {"text": RIGHT, "facts": sheet(1), "prompt": TABLE.format(3)},
        {"text": RIGHT, "metadata": {"fact_sheet": sheet(1.5)}},
        {"text": RIGHT, "prompt": TABLE.format(3)},
        {"text": RIGHT, "prompt": "请分析"},
        {"text": RIGHT},
    )

    def seen(*flags: str | Path) -> list[str]:
        return [fact_seen(line) for line in lines_of(check("--input", rows, *flags).out)]

    assert seen() == ["1", "1.5", "3", "None", "None"]
    assert seen("--prompt", prompt) == ["1", "1.5", "3", "None", "4"]
    assert seen("--facts", facts) == ["1", "1.5", "2", "2", "2"]
    report = lines_of(check("--json", "--facts", facts, "--prompt", prompt, "-", stdin=RIGHT).out)[0]
    assert fact_seen(report) == "2"


def test_rules_reach_the_checker(check: Finrm, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    loaded: list[tuple[str, ...]] = []

    def load(*paths: str) -> object:
        loaded.append(paths)
        return object()

    monkeypatch.setattr("reward_model.commands.check.load_rules", load)
    report = tmp_path / "r.md"
    report.write_text(RIGHT, encoding="utf-8")
    assert lines_of(check("--json", report).out)[0]["warnings"][1] == "rules False"
    ran = check("--json", "--rules", "a.yaml", "--rules", "b.yaml", report)
    assert lines_of(ran.out)[0]["warnings"][1] == "rules True"
    assert loaded == [("a.yaml", "b.yaml")]


@pytest.mark.parametrize("flag", ["--facts", "--prompt", "--rules", "report", "--input"])
def test_output_may_be_no_file_that_is_read(check: Finrm, tmp_path: Path, flag: str) -> None:
    path, report = tmp_path / "file.md", tmp_path / "report.md"
    path.write_text(RIGHT, encoding="utf-8")
    report.write_text(RIGHT, encoding="utf-8")
    reading = {"report": (path,), "--input": (flag, path)}.get(flag, (report, flag, path))
    ran = check(*reading, "--output", path)
    assert ran.code == 2
    assert "is the same file as" in ran.err
    assert path.read_text(encoding="utf-8") == RIGHT


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--input", "none.jsonl"), "none.jsonl: no such file"),
        (("--input", "rows.jsonl", "r.md"), "give reports or --input, not both"),
        (("--facts", "none.csv", "r.md"), "none.csv: no such file"),
        (("--facts", "r.md", "r.md"), "r.md"),
        (("--prompt", "none.txt", "r.md"), "none.txt: no such file"),
        (("--rules", "none.yaml", "r.md"), "none.yaml"),
        (("--model", "m", "r.md"), "unrecognized arguments: --model;"),
    ],
)
def test_unusable_arguments_are_one_line_and_exit_code_2(
    check: Finrm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("r.md").write_text(RIGHT, encoding="utf-8")
    Path("rows.jsonl").write_text('{"text": "1"}')
    ran = check(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err
    assert len(ran.err.splitlines()) == 1


def test_progress_counts_requests_up_to_the_total_and_faults_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(checking, "check_text", fake_check)
    seen: list[tuple[int, int]] = []
    requests = [
        Request("1", WRONG),
        Request("2", error="2: bad"),
        Request("3", RIGHT),
        Request("4", WRONG * 2),
    ]
    found = check_requests(
        requests, lambda line, request: None, total=3, progress=lambda done, total: seen.append((done, total))
    )
    assert found == Checked(done=4, failed=1, wrong_reports=2, wrong_figures=3)
    assert seen == [(1, 3), (2, 3), (3, 3), (3, 3)]


# --- the terminal -------------------------------------------------------------------------------------------


def printed(
    text: str,
    *claims: Claim,
    color: bool = False,
    width: int = 80,
    everything: bool = False,
    name: str = "r.md",
    warnings: tuple[str, ...] = (),
) -> list[str]:
    """The lines that a result on ``text`` shows as."""
    console = Console(file=io.StringIO(), width=width, force_terminal=color, highlight=False)
    line = {"id": name, **CheckResult(claims, warnings=warnings).to_dict()}
    print_check(line, text, console, everything=everything)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_a_wrong_figure_shows_in_the_text_with_the_right_one_and_in_the_list_with_its_place() -> None:
    text = "公司稳健。\n毛利率为99.00%，较上年提高。\n"
    lines = printed(text, claim(text, 10, 16))
    assert lines[1] == "数字 1  已核对 1（相符 0，舍入 0，有误 1）  无法核验 0  依据 仅正文"
    assert lines[3:5] == ["公司稳健。", "毛利率为【99.00% → 36.22%】，较上年提高。"]
    at = lines.index("计算有误 1 处")
    assert [line.strip() for line in lines[at + 2 :]] == [
        "2:5   毛利率 2024  99.00% → 36.22%（重大）",
        "公式 (营业收入 - 营业成本) / 营业收入",
        "取数 营业收入[2024] = 523.73亿（事实表）；营业成本[2024] = 334.06亿（正",
        "文）",
        "说明 与重算值不符",
        "",
    ]


def test_a_formula_that_is_one_look_up_is_not_said_twice() -> None:
    text = "收入为1亿元"
    operands = ({"name": "营业收入", "period": "2024", "value": 2e8, "source": "facts"},)
    shown = "".join(printed(text, claim(text, 3, 6, formula="营业收入[2024]", operands=operands)))
    assert "取数 营业收入[2024] = 2亿（事实表）" in shown
    assert "公式" not in shown
    operands = ({"name": "2.00亿元", "period": "", "value": 2e8, "source": "text"},)
    assert "取数 2.00亿元 = 2亿（正文）" in "".join(printed(text, claim(text, 3, 6, operands=operands)))
    operands = ({"name": "2亿元", "period": "", "value": 2e8, "source": "text"},)
    assert "取数 2亿元（正文）" in "".join(printed(text, claim(text, 3, 6, operands=operands)))


def test_wrong_right_and_rounding_have_their_colours_where_there_is_colour() -> None:
    text = "甲99.00%，乙36.21%。"
    shown = "\n".join(printed(text, claim(text, 1, 7), claim(text, 9, 15, "rounding"), color=True))
    assert "\x1b[1;31m【99.00%\x1b[0m\x1b[32m → 36.22%】\x1b[0m" in shown
    assert "\x1b[2;33m36.21%\x1b[0m" in shown
    assert "\x1b" not in "\n".join(printed(text, claim(text, 1, 7)))


def test_a_wrong_word_without_a_value_is_marked_too() -> None:
    text = "收入下降了。"
    lines = printed(
        text, claim(text, 2, 4, recomputed=None, formula=None, operands=(), metric=None, period=None)
    )
    assert "收入【下降 ✗】了。" in lines
    assert any("（未识别指标）  下降（重大）" in line for line in lines)


def test_what_could_not_be_checked_is_counted_and_listed_when_asked_for() -> None:
    text = "甲36.22%，乙88.00%，丙36.21%。"
    claims = (
        claim(text, 1, 7, "ok"),
        claim(text, 9, 15, "unverifiable", reason="没有可用的公式"),
        claim(text, 17, 23, "rounding"),
    )
    brief, full = printed(text, *claims), printed(text, *claims, everything=True)
    assert "已核对的 2 个数字未发现计算错误。" in brief
    assert "另有 1 个数字无法核验（不等于正确，--all 列出）。" in brief
    assert not any("没有可用的公式" in line for line in brief)
    assert any(line.startswith("1:10") and line.endswith("没有可用的公式") for line in full)
    assert "舍入差异 1 处" in full
    assert "--all" not in "\n".join(full)


def test_nothing_checked_never_passes_for_right() -> None:
    text = "乙88.00%"
    lines = printed(text, claim(text, 1, 7, "unverifiable"))
    assert "没有一个数字能够核对，不能说明报告正确 (nothing could be checked)。" in lines
    assert "未发现计算错误" not in "".join(lines)


def test_a_report_with_nothing_wrong_is_not_printed_back() -> None:
    text = "甲36.22%"
    assert "甲36.22%" not in printed(text, claim(text, 1, 7, "ok"))
    assert "甲36.22%" in printed(text, claim(text, 1, 7, "ok"), everything=True)


def long_text() -> tuple[str, int]:
    """A long report and where its one wrong figure starts."""
    lines = [f"第{number}段，没有什么可说的。" for number in range(400)]
    lines[200] = "毛利率为99.00%。"
    return "\n".join(lines), sum(len(line) + 1 for line in lines[:200]) + 4


def test_of_a_long_report_the_lines_around_wrong_figures_are_shown() -> None:
    text, at = long_text()
    wrong = claim(text, at, at + 6)
    lines = printed(text, wrong)
    start = lines.index("⋯ 199 行")
    assert lines[start : start + 5] == [
        *("⋯ 199 行", "第199段，没有什么可说的。", "毛利率为【99.00% → 36.22%】。"),
        *("第201段，没有什么可说的。", "⋯ 198 行"),
    ]
    assert any(line.startswith("201:5") for line in lines)
    full = printed(text, wrong, everything=True)
    assert {"第0段，没有什么可说的。", "第399段，没有什么可说的。"} <= set(full)


def test_a_long_line_is_cut_around_its_wrong_figures_but_not_within_a_figure() -> None:
    clause = "收入为1234567.89万元，"
    text = clause * 200 + "毛利率为99.00%，" + clause * 200
    at = text.index("99.00%")
    shown = "".join(printed(text, claim(text, at, at + 6))[3:])
    shown = shown[: shown.index("计算有误")]
    assert "毛利率为【99.00% → 36.22%】，收入为" in shown
    assert len(shown) < 400
    assert shown.strip().startswith("⋯ 收入为1234567.89万元")
    assert shown.rstrip().endswith("收入为1234567.89万元， ⋯")


def test_wrong_figures_beyond_the_limit_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_view, "MAX_LISTED", 2)
    text = "甲99.00%，" * 5
    claims = [claim(text, 8 * number + 1, 8 * number + 7) for number in range(5)]
    lines = printed(text, *claims)
    assert "计算有误 2 处" in lines
    assert "另有 3 处有误未列出，--all 或 --json 可见全部。" in lines
    assert "计算有误 5 处" in printed(text, *claims, everything=True)


def test_untrusted_text_cannot_move_the_cursor_nor_be_taken_for_markup() -> None:
    hostile = "\x1b[2J\x9b31m\r\u202e[red]甲[/red]\u2028"
    text = f"\u3000\u3000{hostile}99.00%\t乙"
    at = text.index("99.00%")
    told = dict.fromkeys(("metric", "period", "stated", "recomputed", "formula", "reason"), hostile)
    operands = ({"name": hostile, "period": hostile, "value": hostile, "source": hostile},)
    for verdict in ("wrong", "unverifiable"):
        wrong = Claim(text[at : at + 6], (at, at + 6), **told, operands=operands, verdict=verdict)  # type: ignore[arg-type]
        lines = printed(text, wrong, everything=True, name=hostile, warnings=(hostile,))
        shown = "\n".join(lines)
        assert not set("\x1b\x9b\r\u202e\u2028\t") & set(shown)
        assert "[red]甲[/red]" in shown
        assert any(line.startswith("\u3000\u3000·[2J·31m··[red]甲[/red]·") for line in lines)


def test_everything_fits_80_columns() -> None:
    text = "这是很长的一段话，" * 30 + "毛利率为99.00%，" + "a" * 200
    at = text.index("99.00%")
    lines = printed(
        text,
        claim(text, at, at + 6, reason="可能取自相邻一行，" * 20),
        claim(text, at + 7, at + 7, "unverifiable", reason="没有可用的公式，" * 20, metric="很长的名字" * 10),
        everything=True,
        name="很长的路径/" * 40,
        warnings=("事实表的单位与正文不同，" * 10,),
    )
    assert max(map(cell_len, lines)) <= 80


HEADINGS = ("计算有误", "舍入差异")


@given(
    st.text(alphabet="甲乙，。 \n\t\u30001a.%（【", max_size=200),
    st.lists(
        st.tuples(st.integers(0, 200), st.integers(0, 12), st.sampled_from(["wrong", "rounding"])),
        min_size=1,
    ),
    st.integers(20, 60),
)
def test_the_marked_text_is_the_text_whatever_the_spans(
    text: str, spans: list[tuple[int, int, str]], width: int
) -> None:
    claims = [
        claim(text, min(start, len(text)), min(start + length, len(text)), verdict, recomputed="→")
        for start, length, verdict in spans
    ]
    lines = printed(text, *claims, width=width, everything=True)
    assert max(map(cell_len, lines)) <= width
    body = "".join(lines[lines.index("") : next(at for at, line in enumerate(lines) if line[:4] in HEADINGS)])
    marks = re.compile(r"\s|【|→|】")
    assert marks.sub("", body) == marks.sub("", text)


# --- processes ----------------------------------------------------------------------------------------------

BLOCKED = """
import json, sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "transformers", "tokenizers", "sklearn", "scipy", "onnxruntime"}:
            raise ImportError(f"{name} is blocked")
sys.meta_path.insert(0, Blocker())
from reward_model import cli
try:
    cli.main(["check", "--help"])
except SystemExit as stopped:
    assert stopped.code == 0
sys.exit(cli.main(json.loads(sys.argv[1])))
"""


def test_checking_needs_no_torch(tmp_path: Path) -> None:
    arguments = ["check", "--facts", str(EXAMPLES / "facts_good.csv"), str(EXAMPLES / "report_good.md")]
    done = run_python(tmp_path, "-c", BLOCKED, json.dumps(arguments))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: finrm check")
    assert "依据 事实表与正文" in done.stdout
