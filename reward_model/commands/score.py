"""``finrm score``: reports, standard input, or JSON Lines in which every row in is a row out."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

from rich.console import Console

from reward_model.arguments import OneLineParser, complain, refuse_overwriting
from reward_model.errors import InputError
from reward_model.jsonl import JsonlReader, atomic_writer, dump_line
from reward_model.progress import progress_bar
from reward_model.reading import read_facts, read_report
from reward_model.report.score_view import print_score
from reward_model.scoring import (
    Request,
    count_lines,
    file_requests,
    jsonl_requests,
    load_scorer,
    score_requests,
)

Write = Callable[[dict[str, Any], Request], None]


def _parser() -> OneLineParser:
    parser = OneLineParser(prog="finrm score", description="给报告打分 (score reports)")
    parser.add_argument("reports", nargs="*", help=".md .txt .docx .pdf; - is standard input")
    parser.add_argument(
        "--model", metavar="DIR", help="model directory, ONNX ones too (default: the one that is shipped)"
    )
    parser.add_argument("--input", metavar="F.jsonl", help="rows with text, or pairs; - is standard input")
    parser.add_argument("--output", metavar="F.jsonl", help="where the rows go (default: standard output)")
    parser.add_argument("--facts", metavar="F", help="statements: .json .xlsx .csv or a Markdown table")
    parser.add_argument(
        "--prompt",
        metavar="F",
        help="a file with what reports (and rows without one) were written to",
    )
    parser.add_argument("--json", action="store_true", help="a line of JSON a report on standard output")
    parser.add_argument("--device", help="cpu, cuda ... (default: a GPU where there is one)")
    parser.add_argument("--threads", type=_threads, metavar="N", help="processor threads to use")
    parser.add_argument(
        "--precision",
        choices=["auto", "fp32", "bf16"],
        help="of the backbone: bf16 is faster where the hardware has it, auto takes it there (default: fp32)",
    )
    parser.add_argument("--skip-bad", action="store_true", help="exit 0 although rows are at fault")
    return parser


def _threads(text: str) -> int:
    if (value := int(text)) < 1:
        raise ValueError
    return value


def main(arguments: Sequence[str]) -> int:
    """Run the command; the exit code is 2 if a report or row was at fault."""
    options = _parser().parse_args(arguments)
    if options.input and options.reports:
        raise InputError("finrm score: give reports or --input, not both")
    if not options.input and not options.reports:
        if sys.stdin.isatty():
            raise InputError("finrm score: no report given; name files, - or --input F.jsonl")
        options.reports = ["-"]
    refuse_overwriting([options.input, *options.reports, options.facts, options.prompt], [options.output])
    if options.facts:
        read_facts(options.facts)
        complain("注意：此模型不核对数字，--facts 未使用 (this model checks no figures: --facts is not used)")
    prompt = read_report(options.prompt) if options.prompt else None
    requests: Iterator[Request]
    reader = None
    if options.input:
        reader = JsonlReader(options.input)
        requests, total = jsonl_requests(reader, prompt), count_lines(options.input)
    else:
        requests, total = file_requests(options.reports, prompt), len(options.reports)
    scorer = load_scorer(
        options.model, device=options.device, threads=options.threads, precision=options.precision
    )
    if prompt and not scorer.reads_prompts:
        complain(
            "注意：此模型不读提示词，--prompt 未使用 (this model reads no prompts: --prompt is not used)"
        )
    lines = bool(options.json or options.input or options.output)
    with ExitStack() as stack:
        progress = stack.enter_context(progress_bar("评分"))
        write = _line_writer(options.output, stack) if lines else _printer(scorer.rubric.titles)
        done, failed = score_requests(scorer, requests, write, total=total, progress=progress)
        if done == 0:  # raised in here, so that the file that --output names stays as it was
            raise InputError(f'{options.input}: holds no row; give lines such as {{"id": 1, "text": ...}}')
    for note in reader.notes if reader else []:
        complain(note)
    if failed and reader:
        complain(f'{failed} of {done} rows could not be scored; see their "error"')
    return InputError.exit_code if failed and not options.skip_bad else 0


def _line_writer(output: str | None, stack: ExitStack) -> Write:
    stream = stack.enter_context(atomic_writer(output)) if output else sys.stdout

    def write(line: dict[str, Any], request: Request) -> None:
        stream.write(dump_line(line) + "\n")
        if request.error is not None:
            complain(request.error)

    return write


def _printer(titles: dict[str, str]) -> Write:
    console = Console()

    def write(line: dict[str, Any], request: Request) -> None:
        if request.error is not None:
            complain(request.error)
        else:
            print_score(line, titles, console)

    return write
