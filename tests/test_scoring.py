"""``finrm score``: every report and row gets its line, and no fault costs more than its own row."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from docx import Document
from scorers import EXAMPLES, Ran, finrm, write_model
from tiny_bert import process_environment

from reward_model import scoring
from reward_model.errors import ResourceError
from reward_model.inference import RewardScorer
from reward_model.intake import Request, count_lines, jsonl_requests
from reward_model.jsonl import JsonlReader
from reward_model.scoring import score_requests

REPORT = (EXAMPLES / "report_good.md").read_text(encoding="utf-8")

Finrm = Callable[..., Ran]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("scoring") / "model", max_length=64)


@pytest.fixture(scope="module")
def prompted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that reads prompts."""
    return write_model(tmp_path_factory.mktemp("prompted") / "model", include_prompt=True)


@pytest.fixture
def score(model: Path, capfd: pytest.CaptureFixture[str]) -> Finrm:
    """Run ``finrm score`` on the tiny model unless another is named."""

    def run(*arguments: str | Path, stdin: str | bytes | None = None) -> Ran:
        named = () if "--model" in arguments else ("--model", model)
        return finrm(capfd, "score", *named, *arguments, stdin=stdin)

    return run


def lines_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def write_lines(path: Path, *rows: Any) -> Path:
    """Rows as JSON Lines; a string is a line as it stands."""
    lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def pair(**metadata: Any) -> dict[str, Any]:
    return {"prompt": "请分析", "chosen": "净利润增长", "rejected": "建议", "metadata": metadata}


# --- report files and standard input ------------------------------------------------------------------------


@pytest.fixture
def reports(tmp_path: Path) -> list[Path]:
    """The same text as Markdown, as GB18030 text and as a Word file."""
    text = "净利润同比增长12.6%。"
    paths = [tmp_path / name for name in ("甲.md", "乙.txt", "丙.docx")]
    paths[0].write_text(text, encoding="utf-8")
    paths[1].write_bytes(text.encode("gb18030"))
    document = Document()
    document.add_paragraph(text)
    document.save(str(paths[2]))
    return paths


def test_reports_of_any_format_are_read_alike(score: Finrm, reports: list[Path]) -> None:
    ran = score("--json", *reports)
    assert (ran.code, ran.err) == (0, "")
    found = lines_of(ran.out)
    assert [line["id"] for line in found] == list(map(str, reports))
    assert [line["expected"] for line in found] == [found[0]["expected"]] * 3


def test_scores_are_printed_for_people_unless_lines_are_asked_for(
    score: Finrm, reports: list[Path], tmp_path: Path
) -> None:
    ran = score(reports[0])
    assert ran.code == 0
    assert "总分" in ran.out
    assert "数值计算准确性" in ran.out
    ran = score(reports[0], "--output", tmp_path / "rows.jsonl")
    assert (ran.code, ran.out) == (0, "")
    assert lines_of((tmp_path / "rows.jsonl").read_text(encoding="utf-8"))[0]["id"] == str(reports[0])


@pytest.mark.parametrize("named", [(), ("-",)])
def test_standard_input_is_a_report(score: Finrm, named: tuple[str, ...]) -> None:
    ran = score("--json", *named, stdin="净利润增长")
    assert (ran.code, ran.err) == (0, "")
    assert [line["id"] for line in lines_of(ran.out)] == ["-"]


def test_nothing_piped_in_is_said(score: Finrm) -> None:
    ran = score("--json", stdin="")
    assert ran.code == 2
    assert ran.err.splitlines() == ["<stdin>: is empty; check that it was saved"]


def test_no_report_at_a_terminal_is_said_instead_of_waiting_for_input(
    score: Finrm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    ran = score()
    assert ran.code == 2
    assert ran.err == "finrm score: no report given; name files, - or --input F.jsonl\n"


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_a_report_that_cannot_be_read_does_not_stop_the_others(
    score: Finrm, reports: list[Path], tmp_path: Path, form: tuple[str, ...]
) -> None:
    blank = tmp_path / "空.md"
    blank.write_text("。\n", encoding="utf-8")
    ran = score(*form, reports[0], tmp_path / "无.md", blank, reports[1])
    assert ran.code == 2
    assert ran.err.splitlines() == [
        f"{tmp_path / '无.md'}: no such file; check the path",
        f"{blank}: holds no words; give the report's text",
    ]
    if form:
        found = lines_of(ran.out)
        assert [sorted(line) for line in found[1:3]] == [["error", "id"]] * 2
        assert found[1]["error"]["code"] == "bad_input"
        assert "scores" in found[0]
        assert "scores" in found[3]
    else:
        assert ran.out.count("总分") == 2


def test_skip_bad_forgives_an_unreadable_report(score: Finrm, reports: list[Path], tmp_path: Path) -> None:
    ran = score("--json", "--skip-bad", tmp_path / "无.md", reports[0])
    assert ran.code == 0
    assert "no such file" in ran.err


def test_json_lines_named_as_a_report_are_not_graded_as_one(score: Finrm, tmp_path: Path) -> None:
    rows = write_lines(tmp_path / "rows.jsonl", {"id": 1, "text": "净利润"})
    ran = score("--json", rows)
    assert ran.code == 2
    assert "give it as --input" in ran.err


def test_a_hostile_file_name_cannot_move_the_cursor(
    score: Finrm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")  # the path of a temporary folder may be long
    path = tmp_path / "a\x1b[2Jb.md"
    path.write_text("净利润", encoding="utf-8")
    ran = score(path)
    assert ran.code == 0
    assert "\x1b" not in ran.out
    assert "a·[2Jb.md" in ran.out


# --- JSON Lines ---------------------------------------------------------------------------------------------


def test_every_row_in_is_a_row_out_in_order(score: Finrm, tmp_path: Path) -> None:
    rows = write_lines(
        tmp_path / "rows.jsonl",
        {"id": "a", "text": "净利润增长"},
        "{broken",
        {"id": 7, "text": "建议", "prompt": "请分析", "facts": None, "another": [1]},
        "",
        {"id": "b", "text": " "},
        {"id": "c", "txt": "建议"},
        {"id": "d", "text": "。。。"},
        {"text": "建议"},
        {"id": True, "text": 5},
        "[1]",
    )
    ran = score("--input", rows)
    found = lines_of(ran.out)
    assert [line["id"] for line in found] == ["a", "2", "7", "b", "c", "d", "8", "9", "10"]
    assert [line["id"] for line in found if "scores" in line] == ["a", "7", "8"]
    errors = {line["id"]: line["error"] for line in found if "error" in line}
    assert set(errors["2"]) == {"code", "message"}
    assert errors["2"]["code"] == "bad_line"
    assert errors["2"]["message"].startswith(f"{rows}:2: not valid JSON")
    assert "text" in errors["b"]["message"]
    assert errors["d"] == {"code": "bad_input", "message": "d: holds no words; give the report's text"}
    assert ran.code == 2
    assert ran.err.splitlines()[-1] == '6 of 9 rows could not be scored; see their "error"'
    assert len(ran.err.splitlines()) == 7


def test_skip_bad_forgives_rows_at_fault_and_still_lists_them(score: Finrm, tmp_path: Path) -> None:
    rows = write_lines(tmp_path / "rows.jsonl", {"id": "a", "text": "净利润"}, "{broken")
    ran = score("--input", rows, "--skip-bad")
    assert ran.code == 0
    assert len(lines_of(ran.out)) == 2
    assert f"{rows}:2: not valid JSON" in ran.err


def test_a_pairs_file_gives_two_rows_a_pair(score: Finrm, tmp_path: Path) -> None:
    bad = pair(id="p9") | {"rejected": ""}
    rows = write_lines(tmp_path / "pairs.jsonl", pair(), pair(id="x001"), bad, pair())
    ran = score("--input", rows)
    found = lines_of(ran.out)
    assert [line["id"] for line in found] == [
        *("1.chosen", "1.rejected", "x001.chosen", "x001.rejected", "p9", "4.chosen", "4.rejected")
    ]
    assert "error" in found[4]
    assert found[0]["expected"] == found[2]["expected"] != found[1]["expected"]
    assert ran.code == 2


def test_rows_of_one_id_all_come_out(score: Finrm, tmp_path: Path) -> None:
    rows = write_lines(tmp_path / "rows.jsonl", *({"id": "a", "text": text} for text in ("净利润", "建议")))
    ran = score("--input", rows)
    assert ran.code == 0
    first, second = lines_of(ran.out)
    assert first["id"] == second["id"] == "a"
    assert first["expected"] != second["expected"]


def test_more_rows_than_are_held_in_memory_keep_their_order(
    score: Finrm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring, "CHUNK", 3)
    texts = ["增" * (1 + index % 5) if index % 4 else "" for index in range(11)]
    rows = write_lines(tmp_path / "rows.jsonl", *({"id": i, "text": t} for i, t in enumerate(texts)))
    found = lines_of(score("--input", rows).out)
    assert [line["id"] for line in found] == [str(index) for index in range(11)]
    assert ["error" in line for line in found] == [not text for text in texts]


def test_rows_are_read_from_standard_input(score: Finrm) -> None:
    ran = score("--input", "-", stdin='{"id": "a", "text": "净利润"}\n')
    assert (ran.code, ran.err) == (0, "")
    assert lines_of(ran.out)[0]["id"] == "a"


def test_rows_in_gb18030_are_read_and_said_to_be(score: Finrm) -> None:
    ran = score("--input", "-", stdin='{"id": "甲", "text": "净利润"}\n'.encode("gb18030"))
    assert ran.code == 0
    assert lines_of(ran.out)[0]["id"] == "甲"
    assert ran.err == "<stdin>:1: not UTF-8, read as GB18030\n"


def test_rows_are_read_from_a_pipe_with_a_name(score: Finrm, tmp_path: Path) -> None:
    # What a shell puts in place of <(zcat rows.jsonl.gz); counting its lines would use it up.
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = subprocess.Popen(
        ["sh", "-c", f"""echo '{{"id": "a", "text": "profit"}}' > {path}"""],
    )
    try:
        ran = score("--input", path)
    finally:
        writer.kill()
        writer.wait()
    assert ran.code == 0
    assert lines_of(ran.out)[0]["id"] == "a"


def test_lines_are_counted_where_they_can_be_read_again(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"{}\n\n{}\n")
    assert count_lines(str(path)) == 3
    assert count_lines("-") == count_lines(str(tmp_path)) == count_lines(str(tmp_path / "none")) == 0


@pytest.mark.parametrize("content", ["", "\n\n"])
def test_an_empty_file_is_said_and_leaves_an_earlier_output(
    score: Finrm, tmp_path: Path, content: str
) -> None:
    rows, output = tmp_path / "rows.jsonl", tmp_path / "out.jsonl"
    rows.write_text(content)
    output.write_text("earlier\n")
    ran = score("--input", rows, "--output", output)
    assert ran.code == 2
    assert ran.err == f'{rows}: holds no row; give lines such as {{"id": 1, "text": ...}}\n'
    assert output.read_text() == "earlier\n"


def test_requests_tell_each_fault_once_and_where_it_stands(tmp_path: Path) -> None:
    rows = write_lines(tmp_path / "rows.jsonl", "{", "{", {"text": "建议"}, {"id": 5}, "{")
    found = list(jsonl_requests(JsonlReader(rows)))
    assert [(request.id, request.error is None) for request in found] == [
        *(("1", False), ("2", False), ("3", True), ("5", False), ("5", False))
    ]


# --- output files -------------------------------------------------------------------------------------------


def test_output_appears_whole_and_standard_output_stays_silent(score: Finrm, tmp_path: Path) -> None:
    rows = write_lines(tmp_path / "rows.jsonl", {"id": "a", "text": "净利润"}, "{broken")
    output = tmp_path / "new folder" / "out.jsonl"
    ran = score("--input", rows, "--output", output)
    assert (ran.code, ran.out) == (2, "")
    assert [line["id"] for line in lines_of(output.read_text(encoding="utf-8"))] == ["a", "2"]


@pytest.mark.parametrize(
    ("failure", "code"), [(KeyboardInterrupt(), 130), (ResourceError("device cuda: out of memory"), 3)]
)
def test_a_run_that_fails_half_way_leaves_the_earlier_output(
    score: Finrm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException, code: int
) -> None:
    monkeypatch.setattr(scoring, "CHUNK", 1)
    rows = write_lines(tmp_path / "rows.jsonl", *[{"text": "净利润"}] * 3)
    output = tmp_path / "out.jsonl"
    output.write_text("earlier\n")
    real, calls = RewardScorer.score_batch, iter(range(9))

    def failing(self: RewardScorer, *args: Any, **options: Any) -> Any:
        if next(calls) == 1:
            raise failure
        return real(self, *args, **options)

    monkeypatch.setattr(RewardScorer, "score_batch", failing)
    ran = score("--input", rows, "--output", output)
    assert ran.code == code
    assert len(ran.err.splitlines()) == 1
    assert output.read_text() == "earlier\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.jsonl", "rows.jsonl"]


@pytest.mark.parametrize("alias", ["same", "link", "hard link", "other name"])
def test_output_may_not_be_the_input(score: Finrm, tmp_path: Path, alias: str) -> None:
    rows = write_lines(tmp_path / "rows.jsonl", {"id": "a", "text": "净利润"})
    before = rows.read_bytes()
    output = tmp_path / "rows.jsonl"
    if alias == "link":
        output = tmp_path / "link.jsonl"
        output.symlink_to(rows)
    elif alias == "hard link":
        output = tmp_path / "hard.jsonl"
        output.hardlink_to(rows)
    elif alias == "other name":
        output = tmp_path / "." / ".." / tmp_path.name / "rows.jsonl"
    ran = score("--input", rows, "--output", output)
    assert ran.code == 2
    assert "is the same file as" in ran.err
    assert rows.read_bytes() == before


@pytest.mark.parametrize("flag", ["report", "--prompt", "--facts"])
def test_output_may_be_no_other_file_that_is_read(score: Finrm, tmp_path: Path, flag: str) -> None:
    path, report = tmp_path / "file.md", tmp_path / "report.md"
    path.write_text("净利润", encoding="utf-8")
    report.write_text("净利润", encoding="utf-8")
    reading = (path,) if flag == "report" else (report, flag, path)
    ran = score(*reading, "--output", path)
    assert ran.code == 2
    assert path.read_text(encoding="utf-8") == "净利润"


def test_output_that_cannot_be_written_is_said_before_anything_is_scored(
    score: Finrm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = write_lines(tmp_path / "rows.jsonl", {"text": "净利润"})
    monkeypatch.setattr(RewardScorer, "score_batch", lambda *_, **__: pytest.fail("scored in vain"))
    for output in (tmp_path, rows / "below" / "out.jsonl"):
        ran = score("--input", rows, "--output", output)
        assert ran.code == 2
        assert len(ran.err.splitlines()) == 1
        assert str(output) in ran.err


# --- prompts, facts, models, flags --------------------------------------------------------------------------


def test_a_prompt_file_reaches_a_model_that_reads_prompts(
    score: Finrm, prompted: Path, tmp_path: Path
) -> None:
    prompt = tmp_path / "prompt.txt"
    prompt.write_text("负债上升", encoding="utf-8")
    rows = write_lines(
        tmp_path / "rows.jsonl",
        {"id": "own", "text": "净利润", "prompt": "建议"},
        {"id": "none", "text": "净利润"},
    )
    own, none = lines_of(score("--model", prompted, "--input", rows, "--prompt", prompt).out)
    bare = lines_of(score("--model", prompted, "--json", stdin="净利润").out)[0]
    report = lines_of(score("--model", prompted, "--json", "--prompt", prompt, stdin="净利润").out)[0]
    assert none["expected"] == report["expected"] != bare["expected"]
    assert own["expected"] not in (none["expected"], bare["expected"])


def test_a_prompt_that_the_model_does_not_read_is_said_to_be_unused(score: Finrm, tmp_path: Path) -> None:
    prompt = tmp_path / "prompt.txt"
    prompt.write_text("负债上升", encoding="utf-8")
    ran = score("--json", "--prompt", prompt, stdin="净利润")
    assert ran.code == 0
    assert "--prompt" in ran.err
    assert lines_of(ran.out)[0]["expected"] == lines_of(score("--json", stdin="净利润").out)[0]["expected"]


def test_facts_are_read_and_said_to_be_unused(score: Finrm) -> None:
    ran = score("--json", "--facts", EXAMPLES / "facts_good.csv", EXAMPLES / "report_good.md")
    assert ran.code == 0
    assert "--facts" in ran.err
    assert lines_of(ran.out)[0]["evidence"] == "off"


def test_files_beside_the_reports_that_cannot_be_read_are_said(score: Finrm, tmp_path: Path) -> None:
    (tmp_path / "facts.csv").write_text("no table")
    for flag, name in (("--facts", "none.csv"), ("--facts", "facts.csv"), ("--prompt", "none.txt")):
        ran = score("--json", flag, tmp_path / name, stdin="净利润")
        assert (ran.code, ran.out) == (2, "")
        assert name in ran.err
        assert len(ran.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--model", "nowhere", "r.md"), "nowhere: no such model directory"),
        (("--model", ".", "r.md"), "config.json is missing"),
        (("--input", "none.jsonl"), "none.jsonl: no such file"),
        (("--input", "."), "is a directory"),
        (("--input", "rows.jsonl", "r.md"), "give reports or --input, not both"),
        (("--device", "nonsense", "r.md"), "device nonsense"),
        (("--jsn", "r.md"), "unrecognized arguments: --jsn"),
    ],
)
def test_unusable_arguments_are_one_line_and_exit_code_2(
    score: Finrm,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("r.md").write_text("净利润", encoding="utf-8")
    Path("rows.jsonl").write_text('{"text": "1"}')
    ran = score(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err
    assert len(ran.err.splitlines()) == 1


def test_progress_counts_rows_up_to_the_total(model: Path) -> None:
    def requests() -> Iterator[Request]:
        for index in range(5):
            yield Request(str(index), "净利润")

    seen: list[tuple[int, int]] = []
    written: list[str] = []
    counts = score_requests(
        RewardScorer.from_pretrained(model, device="cpu"),
        requests(),
        lambda line, request: written.append(line["id"]),
        total=4,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert counts == (5, 0)
    assert written == ["0", "1", "2", "3", "4"]
    assert seen[-1] == (4, 4)


# --- processes ----------------------------------------------------------------------------------------------


def test_a_report_piped_into_the_installed_command_is_scored_by_the_shipped_model(tmp_path: Path) -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("finrm"), "score", "--json"],
        cwd=tmp_path,
        input=REPORT.encode("gb18030"),
        capture_output=True,
        env=process_environment(),
        timeout=200,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    line = json.loads(done.stdout.decode("utf-8"))
    assert line["scores"]["depth"] == 4
    assert done.stdout.count(b"\n") == 1


def test_a_pipe_that_closes_early_is_no_fault(model: Path, tmp_path: Path) -> None:
    rows = write_lines(tmp_path / "rows.jsonl", *({"id": i, "text": f"净利润{i}"} for i in range(400)))
    command = f'"{sys.executable}" -m reward_model.cli score --model "{model}" --input "{rows}"'
    script = f"set -o pipefail\n{command} 2> err.txt | head -1; echo ${{PIPESTATUS[0]}} > code.txt"
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        capture_output=True,
        env=process_environment(),
        timeout=200,
        check=False,
    )
    assert json.loads(done.stdout)["id"] == "0"
    assert (tmp_path / "err.txt").read_text() == ""
    assert (tmp_path / "code.txt").read_text() == "0\n"
