"""``finrm check``: the arithmetic of reports, standard input, or JSON Lines. No model, no torch."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from rich.console import Console

from reward_model.arguments import OneLineParser, complain
from reward_model.calc.rules import load_rules
from reward_model.checking import check_requests
from reward_model.errors import FinrmError, InputError
from reward_model.intake import Request, Write, add_report_flags, line_writer, open_intake, wants_lines
from reward_model.progress import progress_bar
from reward_model.report.check_view import print_check


def _parser() -> OneLineParser:
    parser = OneLineParser(
        prog="finrm check",
        description="核对报告中的计算 (check the arithmetic of reports; needs no model)",
        epilog="Figures are checked within the text, and against the row's own fact sheet, else --facts, "
        "else a table in its prompt.",
    )
    add_report_flags(parser)
    parser.add_argument(
        "--rules",
        metavar="F.yaml",
        action="append",
        default=[],
        help="metrics, names and formulas of your own; may be given several times",
    )
    parser.add_argument(
        "--all",
        action="store_true",
        dest="everything",
        help="in the terminal: the whole text, and the figures that could not be checked",
    )
    parser.add_argument("--strict", action="store_true", help="exit 1 if any figure is wrong")
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run the command; the exit code is 2 if a report or row was at fault, 1 as ``--strict`` says."""
    options = _parser().parse_args(arguments)
    intake = open_intake("finrm check", options, options.rules)
    rules = load_rules(*options.rules) if options.rules else None
    with ExitStack() as stack:
        progress = stack.enter_context(progress_bar("核对"))
        lines = wants_lines(options)
        write = line_writer(options.output, stack) if lines else _printer(options.everything)
        found = check_requests(intake.requests, write, rules=rules, total=intake.total, progress=progress)
        intake.require_rows(found.done)
    intake.tell_faults(found.done, found.failed, "checked")
    if options.strict and found.wrong_figures:
        complain(
            f"{found.wrong_figures} wrong figures in {found.wrong_reports} of {found.done} reports (--strict)"
        )
    if found.failed and not options.skip_bad:
        return InputError.exit_code
    return FinrmError.exit_code if options.strict and found.wrong_figures else 0


def _printer(everything: bool) -> Write:
    console = Console()

    def write(line: dict[str, Any], request: Request) -> None:
        if request.error is not None:
            complain(request.error)
        else:
            print_check(line, request.text, console, everything=everything)

    return write
