"""Front door of the guide's step 2: check scored pairs, and export those worth training on.

    uv run reward_model/data/validate_multidim_pairs.py IN.jsonl [FILTERED.jsonl]

The report goes to standard output, faults of the file to standard error.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, TextIO

from rich.console import Console

from reward_model.arguments import OneLineParser, complain, refuse_overwriting, run
from reward_model.data.pair_filter import DEFAULT_RULES, FilterRules, FilterTally
from reward_model.data.validation import Validator
from reward_model.data.validation_advice import advise
from reward_model.data.validation_report import GRADES
from reward_model.errors import FinrmError, InputError, ResourceError
from reward_model.jsonl import JsonlReader, atomic_writer, dump_line, write_json
from reward_model.report.validation_view import print_validation
from reward_model.rubric import DEFAULT_RUBRIC, Rubric, load_rubric
from reward_model.schema import read_pairs

SHOWN_FAULTS = 20
"""Faults of the file that are described on standard error; the others are counted."""


class _FaultPrinter(JsonlReader):
    """A reader that prints faults as it meets them, so that a file full of them doesn't fill the memory."""

    def __init__(self, path: str | Path) -> None:
        super().__init__(path)
        self.faults = 0
        self.bad_lines = 0
        self.shown: list[str] = []
        self._last_line = 0

    def problem(self, line: int, field: str, message: str, remedy: str) -> None:
        super().problem(line, field, message, remedy)
        text = str(self.problems.pop())
        self.faults += 1
        self.bad_lines += line != self._last_line
        self._last_line = line
        if self.faults <= SHOWN_FAULTS:
            self.shown.append(text)
            complain(text)


def _show(text: str) -> None:
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        # Who reads our output (head, less) has seen enough; the exit code still tells of the data.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def validate_file(
    in_path: str | Path,
    filtered_out: str | Path | None = None,
    *,
    rubric: str | Path = DEFAULT_RUBRIC,
    rules: FilterRules = DEFAULT_RULES,
) -> dict[str, Any]:
    """Read scored pairs once, write the kept lines as they stood, and return the report.

    Faulty lines are passed over, described on standard error and counted. ``filtered_out`` appears only when
    all of it is written; it is UTF-8 whatever the input was.

    Args:
        in_path: a JSON Lines file, or "-" for standard input.
        filtered_out: where the kept lines go; None only counts them.
        rubric: name or file of the rubric that the scores are given by.
        rules: what a pair must satisfy to be kept.

    Returns:
        ``ValidationReport.as_dict()`` with "file", "bad_lines", "bad_line_faults" (the first ones), "notes",
        "filter" and "advice".

    Raises:
        InputError: if the input is missing, unreadable or without a usable pair, or the output is the input.
        ResourceError: if the output can't be written to its end.
    """
    _refuse_overwriting(in_path, filtered_out)
    known = load_rubric(rubric)
    reader = _FaultPrinter(in_path)
    validator = Validator(known)
    tally = FilterTally(rules)
    if filtered_out is None:
        _read(reader, known, validator, tally, None)
    else:
        with _writing(filtered_out), atomic_writer(filtered_out) as stream:
            _read(reader, known, validator, tally, stream)
    report = validator.report()
    return {
        "file": reader.name,
        **report.as_dict(),
        "bad_lines": reader.bad_lines,
        "bad_line_faults": reader.shown,
        "notes": reader.notes,
        "filter": {"file": None if filtered_out is None else str(filtered_out), **tally.as_dict()},
        "advice": [{"kind": item.kind, "text": item.text} for item in advise(report)],
    }


@contextmanager
def _writing(path: str | Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ResourceError(
            f"{path}: cannot be written ({error.strerror}); make room or choose another place"
        ) from None


def _read(
    reader: _FaultPrinter, rubric: Rubric, validator: Validator, tally: FilterTally, stream: TextIO | None
) -> None:
    read = 0
    with _progress() as progress:
        for located in read_pairs(reader, rubric):
            figures, problems = validator.add(located)
            if tally.keep(figures, problems) and stream is not None:
                stream.write(located.raw + "\n")
            read += 1
            if read % 100 == 0:
                progress.update(f"已读 {read} 对")
    for note in reader.notes:
        complain(note)
    if reader.faults > SHOWN_FAULTS:
        complain(f"{reader.name}: {reader.faults - SHOWN_FAULTS} more faults are not shown")
    if not read:
        raise InputError(f"{reader.name}: holds no usable pair; see the data format in the guide")


class _Silent:
    def update(self, status: str) -> None:
        pass


@contextmanager
def _progress() -> Iterator[Any]:
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Silent()
        return
    with console.status("读取中") as status:
        yield status


def _refuse_overwriting(in_path: str | Path, *outputs: str | Path | None) -> None:
    if any(str(path) == "-" for path in outputs):
        raise InputError("-: the report goes to standard output; name a file for the kept pairs")
    refuse_overwriting([in_path], outputs)


def run_validate(
    in_path: str | Path,
    filtered_out: str | Path | None = None,
    *,
    rubric: str | Path = DEFAULT_RUBRIC,
    json_path: str | Path | None = None,
    fail_under: str | None = None,
    skip_bad: bool = False,
    rules: FilterRules = DEFAULT_RULES,
) -> int:
    """Validate a file, print the report, and return the exit code.

    Args:
        in_path, filtered_out, rubric, rules: as in :func:`validate_file`.
        json_path: where the report goes as JSON; "-" prints it instead of the tables.
        fail_under: "excellent", "good" or "fair": the grade that both overall figures must reach.
        skip_bad: whether bad lines are no failure.

    Returns:
        0; 1 if a grade is below ``fail_under``; 2 before that if lines were bad and not ``skip_bad``.

    Raises:
        InputError, ResourceError: as in :func:`validate_file`.
    """
    if fail_under is not None and fail_under not in GRADES[1:]:
        raise InputError(f"--fail-under: {fail_under} is no grade; give one of {', '.join(GRADES[:0:-1])}")
    to_stdout = str(json_path) == "-"
    _refuse_overwriting(in_path, filtered_out, None if to_stdout else json_path)
    report = validate_file(in_path, filtered_out, rubric=rubric, rules=rules)
    if to_stdout:
        _show(dump_line(report) + "\n")
    else:
        if json_path is not None:
            with _writing(json_path):
                write_json(json_path, report)
        console = Console(highlight=False)
        with console.capture() as shown:
            print_validation(report, console)
        _show(shown.get())
    passed = fail_under is None or _passes(report, fail_under)
    if report["bad_lines"] and not skip_bad:
        complain(
            f"{report['file']}: {report['bad_lines']} bad lines were passed over; correct them, or --skip-bad"
        )
        return InputError.exit_code
    return 0 if passed else FinrmError.exit_code


def _passes(report: dict[str, Any], fail_under: str) -> bool:
    wanted = GRADES.index(fail_under)
    overall = report["overall"]
    grades = {
        "mean gap": overall["mean_gap_grade"],
        "positive-difference rate": overall["positive_rate_grade"],
    }
    failed = [
        f"{name} is {grade or 'unknown'}"
        for name, grade in grades.items()
        if grade is None or GRADES.index(grade) < wanted
    ]
    if failed:
        complain(f"{report['file']}: {' and '.join(failed)}, below --fail-under {fail_under}")
    return not failed


def _parser(prog: str | None) -> OneLineParser:
    rules = DEFAULT_RULES
    parser = OneLineParser(prog=prog, description="验证已打分的对比对，可同时导出过滤后的高质量数据。")
    parser.add_argument("input", metavar="IN", help="已打分的对比对（JSONL；- 为标准输入）")
    parser.add_argument("filtered", metavar="FILTERED", nargs="?", help="过滤后的数据写到这里")
    parser.add_argument("--json", metavar="F", help="把报告写成 JSON；- 为标准输出（不再打印表格）")
    parser.add_argument("--fail-under", choices=GRADES[:0:-1], help="任一整体指标低于该等级时以退出码 1 结束")
    parser.add_argument("--skip-bad", action="store_true", help="有坏行时不以退出码 2 结束")
    parser.add_argument("--rubric", default=DEFAULT_RUBRIC, help="评分标准：名称或 YAML 文件")
    group = parser.add_argument_group("过滤规则")
    group.add_argument(
        "--min-gap",
        type=float,
        default=rules.min_gap,
        metavar="X",
        help="平均分差的下限；除非为负，分差还必须大于 0（默认 %(default)s）",
    )
    group.add_argument(
        "--min-target-drop",
        type=int,
        default=rules.min_target_drop,
        metavar="N",
        help="目标维度至少下降的分数（默认 %(default)s）",
    )
    group.add_argument("--allow-null", action="store_true", help="保留部分维度缺分的对比对")
    group.add_argument("--keep-severe", action="store_true", help="保留有其他严重问题的对比对")
    return parser


def validate_command(arguments: Sequence[str] | None, prog: str | None = None) -> int:
    """Parse arguments and validate; returns the exit code."""
    options = _parser(prog).parse_args(arguments)
    return run_validate(
        options.input,
        options.filtered,
        rubric=options.rubric,
        json_path=options.json,
        fail_under=options.fail_under,
        skip_bad=options.skip_bad,
        rules=FilterRules(options.min_gap, options.min_target_drop, options.allow_null, options.keep_severe),
    )


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the script with ``arguments`` (the process's by default) and exit."""
    sys.exit(run(validate_command, arguments))


if __name__ == "__main__":
    from reward_model.data.validate_multidim_pairs import main

    main()
