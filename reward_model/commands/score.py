"""``finrm score``: reports, standard input, or JSON Lines in which every row in is a row out."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from rich.console import Console

from reward_model.arguments import OneLineParser, complain
from reward_model.errors import InputError
from reward_model.intake import Request, Write, add_report_flags, line_writer, open_intake, wants_lines
from reward_model.progress import progress_bar
from reward_model.report.score_view import print_score
from reward_model.scoring import load_scorer, score_requests


def _parser() -> OneLineParser:
    parser = OneLineParser(prog="finrm score", description="给报告打分 (score reports)")
    add_report_flags(parser)
    parser.add_argument(
        "--model", metavar="DIR", help="model directory, ONNX ones too (default: the one that is shipped)"
    )
    parser.add_argument("--device", help="cpu, cuda ... (default: a GPU where there is one)")
    parser.add_argument("--threads", type=_threads, metavar="N", help="processor threads to use")
    parser.add_argument(
        "--precision",
        choices=["auto", "fp32", "bf16"],
        help="of the backbone: bf16 is faster where the hardware has it, auto takes it there (default: fp32)",
    )
    parser.add_argument("--no-check", action="store_true", help="leave the calculation checker off")
    return parser


def _threads(text: str) -> int:
    if (value := int(text)) < 1:
        raise ValueError
    return value


def main(arguments: Sequence[str]) -> int:
    """Run the command; the exit code is 2 if a report or row was at fault."""
    options = _parser().parse_args(arguments)
    intake = open_intake("finrm score", options)
    scorer = load_scorer(
        options.model, device=options.device, threads=options.threads, precision=options.precision
    )
    if options.facts and (options.no_check or not scorer.regimes):
        complain("注意：此模型不核对数字，--facts 未使用 (this model checks no figures: --facts is not used)")
    if options.prompt and not scorer.reads_prompts and not scorer.regimes:
        complain(
            "注意：此模型不读提示词，--prompt 未使用 (this model reads no prompts: --prompt is not used)"
        )
    with ExitStack() as stack:
        progress = stack.enter_context(progress_bar("评分"))
        lines = wants_lines(options)
        write = line_writer(options.output, stack) if lines else _printer(scorer.rubric.titles)
        done, failed = score_requests(
            scorer,
            intake.requests,
            write,
            check=not options.no_check,
            total=intake.total,
            progress=progress,
        )
        intake.require_rows(done)
    intake.tell_faults(done, failed, "scored")
    return InputError.exit_code if failed and not options.skip_bad else 0


def _printer(titles: dict[str, str]) -> Write:
    console = Console()

    def write(line: dict[str, Any], request: Request) -> None:
        if request.error is not None:
            complain(request.error)
        else:
            print_score(line, titles, console)

    return write
