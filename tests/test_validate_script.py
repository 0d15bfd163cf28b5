"""The guide's validation script: both forms, exit codes, every kind of bad input."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from validation_data import names, pair, script, write

from reward_model.data import validate_multidim_pairs as front_door
from reward_model.data.validate_multidim_pairs import run_validate, validate_file
from reward_model.errors import InputError, ResourceError

SCRIPT = Path(front_door.__file__)

# The script


def run_script(cwd: Path, *args: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *map(str, args)]
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8", "COLUMNS": "80"}
    return subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, encoding="utf-8", env=environment, check=False
    )


def test_script_runs_in_both_forms_from_another_directory(tmp_path: Path) -> None:
    rows = [pair(1), pair(2, rejected=(4, 4, 4)), pair(3)]
    source = write(tmp_path / "scored.jsonl", rows)
    first = run_script(tmp_path, "scored.jsonl")
    assert (first.returncode, first.stderr) == (0, "")
    for heading in ("整体分数差异", "各维度分差", "标签分布", "问题对比对", "改进建议"):
        assert heading in first.stdout
    assert names(tmp_path) == ["scored.jsonl"]
    second = run_script(tmp_path, "scored.jsonl", "new/filtered.jsonl", "--json", "report.json")
    assert (second.returncode, second.stderr) == (0, "")
    lines = source.read_bytes().splitlines(keepends=True)
    assert (tmp_path / "new/filtered.jsonl").read_bytes() == lines[0] + lines[2]
    assert json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["filter"]["kept"] == 2


def test_who_stops_reading_does_not_change_the_exit_code(tmp_path: Path) -> None:
    write(tmp_path / "in.jsonl", [pair()])
    read, sink = os.pipe()
    os.close(read)
    command = [sys.executable, str(SCRIPT), "in.jsonl"]
    done = subprocess.run(command, cwd=tmp_path, stdout=sink, stderr=subprocess.PIPE, text=True, check=False)
    os.close(sink)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "flags", [[], ["in.jsonl", "--min-gap", "x"], ["in.jsonl", "a", "b"], ["in.jsonl", "--x"]]
)
def test_unusable_arguments_are_one_line(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert script(*flags) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_json_on_standard_output_is_nothing_but_json(tmp_path: Path) -> None:
    write(tmp_path / "in.jsonl", [pair()])
    done = run_script(tmp_path, "in.jsonl", "--json", "-")
    assert json.loads(done.stdout)["pairs"] == 1


def test_json_keys_are_stable(tmp_path: Path) -> None:
    report = validate_file(write(tmp_path / "in.jsonl", [pair()]))
    assert list(report) == [
        *(
            "file",
            "rubric",
            "num_classes",
            "pairs",
            "gap_thresholds",
            "rate_thresholds",
            "overall",
            "per_dim",
        ),
        *("labels", "isolation", "target", "severities", "severity_monotonic", "agreement", "lengths"),
        *("problem_counts", "severe_pairs", "problem_pairs", "problems"),
        *("bad_lines", "bad_line_faults", "notes", "filter", "advice"),
    ]


def test_report_of_pairs_without_any_gap_has_nulls_not_nan(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write(tmp_path / "in.jsonl", [pair(chosen=(None, None, None))])
    assert run_validate(source, json_path=tmp_path / "r.json", fail_under="fair") == 1
    report = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    assert report["overall"]["mean_gap"] is None
    assert report["per_dim"]["depth"]["grade"] is None
    assert "—" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("rejected", "wanted", "code"),
    [
        ((1, 4, 4), "good", 0),
        ((1, 4, 4), "excellent", 1),
        ((2, 4, 4), "fair", 0),
        ((2, 4, 4), "good", 1),
        ((3, 4, 4), "fair", 1),
        ((1, 2, 4), "excellent", 0),
    ],
)
def test_fail_under(
    tmp_path: Path, rejected: tuple[int, ...], wanted: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write(tmp_path / "in.jsonl", [pair(n, rejected=rejected) for n in range(3)])
    assert script(source, "--fail-under", wanted) == code
    assert capsys.readouterr().err.count("\n") == code


def test_fail_under_looks_at_the_positive_rate_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [pair(n, rejected=(0, 0, 0)) for n in range(9)] + [pair(9, rejected=(4, 4, 4))]
    assert script(write(tmp_path / "in.jsonl", rows), "--fail-under", "excellent") == 1
    error = capsys.readouterr().err
    assert "positive-difference rate is good" in error
    assert "mean gap" not in error


def test_unknown_grade_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="excellent, good, fair"):
        run_validate(write(tmp_path / "in.jsonl", [pair()]), fail_under="poor")
    assert script(tmp_path / "in.jsonl", "--fail-under", "poor") == 2


def test_another_rubric(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write(tmp_path / "in.jsonl", [pair(chosen=(9, 9, 9), rejected=(2, 9, 9))])
    assert script(source, "--rubric", "financial_ten_level") == 0
    assert script(source) == 2
    assert script(source, "--rubric", tmp_path / "none.yaml") == 2
    assert "no such rubric" in capsys.readouterr().err


def test_filter_flags_reach_the_rules(tmp_path: Path) -> None:
    rows = [pair(1, chosen=(4, None, 4), rejected=(4, 4, 4)), pair(1), pair(1)]
    source = write(tmp_path / "in.jsonl", rows)
    flags = ("--min-gap", "-1", "--min-target-drop", "0", "--allow-null", "--keep-severe")
    assert script(source, tmp_path / "out.jsonl", *flags) == 0
    assert (tmp_path / "out.jsonl").read_bytes() == source.read_bytes()


# Bad input

GOOD = json.dumps(pair(1), ensure_ascii=False).encode()


def line(change: Any) -> bytes:
    row = deepcopy(pair(2))
    change(row)
    return json.dumps(row, ensure_ascii=False).encode()


BAD_LINES = {
    "broken": b'{"prompt": "',
    "array": b"[1]",
    "duplicate key": b'{"prompt": "a", "prompt": "b"}',
    "level as text": line(lambda row: row["scores"]["chosen"].update(depth="4")),
    "level as truth value": line(lambda row: row["scores"]["chosen"].update(depth=True)),
    "level too high": line(lambda row: row["scores"]["chosen"].update(depth=5)),
    "level below zero": line(lambda row: row["scores"]["rejected"].update(depth=-1)),
    "level missing": line(lambda row: row["scores"]["rejected"].pop("accuracy")),
    "strange dimension": line(lambda row: row["scores"]["rejected"].update(grace=1)),
    "no scores": line(lambda row: row.pop("scores")),
    "no rejected": line(lambda row: row.pop("rejected")),
    "no chosen": line(lambda row: row.pop("chosen")),
    "one side of scores": line(lambda row: row["scores"].pop("rejected")),
    "blank text": line(lambda row: row.update(chosen=" \n")),
    "text as number": line(lambda row: row.update(chosen=3)),
    "single report": b'{"text": "a", "scores": {"depth": 1, "professionalism": 1, "accuracy": 1}}',
    "NaN": b'{"prompt": NaN}',
    "wrong encoding": '{"prompt": "报告"}'.encode("gb18030"),
    "deep": b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
}


@pytest.mark.parametrize("name", BAD_LINES)
def test_bad_line_is_named_and_the_rest_is_used(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_bytes(GOOD + b"\n" + BAD_LINES[name] + b"\n")
    assert script(source, out, "--json", tmp_path / "r.json") == 2
    faults = capsys.readouterr().err.splitlines()
    assert len(faults) == 2, faults
    assert faults[0].startswith(f"{source}:2: ")
    assert "1 bad lines" in faults[1]
    assert out.read_bytes() == GOOD + b"\n"
    report = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    assert (report["pairs"], report["bad_lines"], len(report["bad_line_faults"])) == (1, 1, 1)
    assert script(source, out, "--skip-bad") == 0


def test_one_line_with_two_faults_is_one_bad_line(tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_bytes(GOOD + b"\n" + line(lambda row: row["scores"]["chosen"].update(depth=7, accuracy=9)))
    report = validate_file(source)
    assert (report["bad_lines"], len(report["bad_line_faults"])) == (1, 2)


def test_many_bad_lines_are_counted_not_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "in.jsonl"
    source.write_bytes(GOOD + b"\n" + b"x\n" * 1000)
    assert script(source, "--json", tmp_path / "r.json") == 2
    faults = capsys.readouterr().err.splitlines()
    assert len(faults) == 22
    assert "980 more" in faults[20]
    assert json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))["bad_lines"] == 1000


def test_faults_stay_one_line_whatever_they_quote(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "in.jsonl"
    key = "x\n\x1b[31m" + "长" * 10_000
    source.write_bytes(GOOD + b"\n" + line(lambda row: row["scores"]["chosen"].update({key: 1})))
    assert script(source) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 2
    assert "\x1b" not in error
    assert len(error) < 3000


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n\r\n  \n",
        b"\xef\xbb\xbf",
        b"x\n",
        bytes(range(256)) * 40,
        b"\x1f\x8b\x08\x00" + os.urandom(5000),
        "﻿{}".encode("utf-16-le"),
        b"{}\n" * 100,
    ],
    ids=["empty", "blank", "mark only", "text", "all bytes", "gzip", "utf-16", "no pairs"],
)
def test_nothing_usable_writes_nothing(
    tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_bytes(content)
    out.write_text("earlier")
    for flags in ((), ("--skip-bad",)):
        assert script(source, out, "--json", tmp_path / "r.json", *flags) == 2
        shown = capsys.readouterr()
        assert shown.out == ""
        assert 1 <= shown.err.count("\n") <= 22
        assert "Traceback" not in shown.err
    assert out.read_text() == "earlier"
    assert names(tmp_path) == ["in.jsonl", "out.jsonl"]


def test_missing_file_and_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for source in (tmp_path / "none.jsonl", tmp_path, tmp_path / ("x" * 300)):
        assert script(source, tmp_path / "out.jsonl") == 2
        assert capsys.readouterr().err.count("\n") == 1
    source = write(tmp_path / "in.jsonl", [pair()])
    for out in (tmp_path, source / "out.jsonl", tmp_path / ("x" * 300), Path("-")):
        assert script(source, out) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert names(tmp_path) == ["in.jsonl"]


@pytest.mark.parametrize(
    ("encode", "note"),
    [
        (lambda text: b"\xef\xbb\xbf" + text.encode(), False),
        (lambda text: text.encode("gb18030"), True),
        (lambda text: text.replace("\n", "\r\n").encode(), False),
        (lambda text: ("\n" + text.replace("\n", "\n\n \n")).encode(), False),
    ],
    ids=["byte-order mark", "GB18030", "CRLF", "empty lines"],
)
def test_tolerated_forms(tmp_path: Path, encode: Any, note: bool, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    content = "".join(json.dumps(pair(n), ensure_ascii=False) + "\n" for n in range(3))
    source.write_bytes(encode(content))
    assert script(source, out) == 0
    assert out.read_text(encoding="utf-8") == content
    assert ("GB18030" in capsys.readouterr().err) is note


def test_a_line_of_100_mb_is_passed_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    with source.open("wb") as stream:
        stream.write(b'{"prompt": "')
        for _ in range(100):
            stream.write(b"a" * 1_000_000)
        stream.write(b'"}\n' + GOOD + b"\n")
    assert script(source, out) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"{source}:1: line of 100,000,0")
    assert len(error) < 1000
    assert out.read_bytes() == GOOD + b"\n"


def test_the_input_is_never_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write(tmp_path / "in.jsonl", [pair(rejected=(4, 4, 4))])
    before = source.read_bytes()
    (tmp_path / "soft.jsonl").symlink_to(source)
    os.link(source, tmp_path / "hard.jsonl")
    (tmp_path / "folder").mkdir()
    for name in ("in.jsonl", "folder/../in.jsonl", "soft.jsonl", "hard.jsonl"):
        with pytest.raises(InputError, match="same file"):
            run_validate(source, tmp_path / name)
        assert script(source, "--json", tmp_path / name) == 2
    with pytest.raises(InputError, match="same file"):
        run_validate(source, tmp_path / "a", json_path=tmp_path / "folder/../a")
    assert source.read_bytes() == before
    assert "same file" in capsys.readouterr().err


def test_a_full_disk_is_one_line_and_keeps_the_earlier_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = write(tmp_path / "in.jsonl", [pair()]), tmp_path / "out.jsonl"
    out.write_text("earlier")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ResourceError, match="No space left"):
        run_validate(source, out)
    assert out.read_text() == "earlier"
    assert names(tmp_path) == ["in.jsonl", "out.jsonl"]
