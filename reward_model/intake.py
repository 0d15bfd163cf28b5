"""Reports for commands that take files, standard input or JSON Lines: every row in becomes a request.

Shared by ``finrm score`` and ``finrm check``; needs no torch.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reward_model.arguments import complain, refuse_overwriting
from reward_model.errors import InputError
from reward_model.jsonl import JsonlReader, atomic_writer, dump_line, one_line
from reward_model.reading import read_facts, read_report
from reward_model.schema import SIDES, FactSheet, PairRecord, Record, parse_row


@dataclass(frozen=True)
class Request:
    """One report to be worked on, or the reason why it can't be.

    ``facts`` is the fact sheet that came with it or was given for all; tables in ``prompt`` are not read.
    """

    id: str
    text: str = ""
    prompt: str | None = None
    error: str | None = None
    code: str = "bad_input"
    facts: FactSheet | None = None


Write = Callable[[dict[str, Any], Request], None]
"""Takes each line of the result with the request it answers."""


def error_line(request: Request) -> dict[str, Any]:
    """The line that stands where a result would."""
    return {"id": request.id, "error": {"code": request.code, "message": request.error}}


def _requests_of(line: int, record: Record, prompt: str | None, facts: FactSheet | None) -> Iterator[Request]:
    if isinstance(record, PairRecord):
        name = str(record.metadata.id if record.metadata.id is not None else line)
        sheet = record.metadata.fact_sheet or facts
        for side in SIDES:
            yield Request(f"{name}.{side}", record.text(side), record.prompt or prompt, facts=sheet)
        return
    name = str(record.id if record.id is not None else line)
    sheet = record.facts or record.metadata.fact_sheet or facts
    yield Request(name, record.text, record.prompt or prompt, facts=sheet)


def _own_id(value: dict[str, Any]) -> str | None:
    """The id that a row at fault carries, so that its owner finds it again."""
    metadata = value.get("metadata")
    for holder in (value, metadata if isinstance(metadata, dict) else {}):
        if isinstance(found := holder.get("id"), (str, int)) and not isinstance(found, bool):
            return str(found)
    return None


def jsonl_requests(
    reader: JsonlReader, prompt: str | None = None, facts: FactSheet | None = None
) -> Iterator[Request]:
    """Requests in the order of the file; a line at fault is one with an error.

    Args:
        reader: the file.
        prompt: what rows that name no prompt were written to.
        facts: the fact sheet of rows that bring none.
    """
    told = 0
    names: dict[int, str] = {}

    def faults() -> Iterator[Request]:
        nonlocal told
        lines: dict[int, list[str]] = {}
        for problem in reader.problems[told:]:
            lines.setdefault(problem.line, []).append(str(problem))
        told = len(reader.problems)
        for number, messages in lines.items():
            yield Request(names.pop(number, str(number)), error="; ".join(messages), code="bad_line")

    for row in reader:
        yield from faults()
        record = parse_row(reader, row)
        if record is None:
            names[row.line] = _own_id(row.value) or str(row.line)
            yield from faults()
            continue
        yield from _requests_of(row.line, record, prompt, facts)
    yield from faults()


def file_requests(
    paths: Sequence[str], prompt: str | None, facts: FactSheet | None = None
) -> Iterator[Request]:
    """A request a report file ("-" is standard input); one that can't be read is a request with an error."""
    for path in paths:
        if path.lower().endswith(".jsonl"):
            yield Request(path, error=f"{one_line(path)}: is JSON Lines, not a report; give it as --input")
            continue
        try:
            yield Request(path, read_report(path), prompt, facts=facts)
        except InputError as error:
            yield Request(path, error=str(error))


def count_lines(path: str) -> int:
    """Line feeds in a file, for a progress bar; 0 for what can be read only once, or not at all."""
    if not Path(path).is_file():
        return 0
    with suppress(OSError), Path(path).open("rb") as stream:
        return sum(block.count(b"\n") for block in iter(lambda: stream.read(1 << 20), b""))
    return 0


# --- the command line -------------------------------------------------------------------------------------


def add_report_flags(parser: ArgumentParser) -> None:
    """Add the flags that say which reports, and where the lines go."""
    parser.add_argument("reports", nargs="*", help=".md .txt .docx .pdf; - is standard input")
    parser.add_argument("--input", metavar="F.jsonl", help="rows with text, or pairs; - is standard input")
    parser.add_argument("--output", metavar="F.jsonl", help="where the rows go (default: standard output)")
    parser.add_argument("--facts", metavar="F", help="statements: .json .xlsx .csv or a Markdown table")
    parser.add_argument(
        "--prompt",
        metavar="F",
        help="a file with what reports (and rows without one) were written to",
    )
    parser.add_argument("--json", action="store_true", help="a line of JSON a report on standard output")
    parser.add_argument("--skip-bad", action="store_true", help="exit 0 although rows are at fault")


@dataclass(frozen=True)
class Intake:
    """The requests of one run; ``total`` of them are expected (0: unknown), ``reader`` is None for files."""

    requests: Iterator[Request]
    total: int
    reader: JsonlReader | None

    def require_rows(self, done: int) -> None:
        """Raise InputError if nothing came; call it where a file being written is still given up by that."""
        if done == 0 and self.reader:
            name = one_line(self.reader.name)
            raise InputError(f'{name}: holds no row; give lines such as {{"id": 1, "text": ...}}')

    def tell_faults(self, done: int, failed: int, verb: str) -> None:
        """Say on standard error how the rows were encoded, and how many could not be ``verb`` ("scored")."""
        if self.reader is None:
            return
        for note in self.reader.notes:
            complain(note)
        if failed:
            complain(f'{failed} of {done} rows could not be {verb}; see their "error"')


def open_intake(command: str, options: Namespace, also_read: Iterable[str] = ()) -> Intake:
    """The requests that the flags of :func:`add_report_flags` name.

    Args:
        command: "finrm score", for messages.
        options: the parsed flags.
        also_read: further files that the output must not overwrite.

    Raises:
        InputError: if they contradict one another, or the facts, the prompt or the rows can't be read.
    """
    if options.input and options.reports:
        raise InputError(f"{command}: give reports or --input, not both")
    reports = options.reports
    if not options.input and not reports:
        if sys.stdin.isatty():
            raise InputError(f"{command}: no report given; name files, - or --input F.jsonl")
        reports = ["-"]
    inputs = [options.input, *reports, options.facts, options.prompt, *also_read]
    refuse_overwriting(inputs, [options.output])
    facts = read_facts(options.facts) if options.facts else None
    prompt = read_report(options.prompt) if options.prompt else None
    if options.input:
        reader = JsonlReader(options.input)
        return Intake(jsonl_requests(reader, prompt, facts), count_lines(options.input), reader)
    return Intake(file_requests(reports, prompt, facts), len(reports), None)


def wants_lines(options: Namespace) -> bool:
    """Whether JSON Lines are asked for rather than a page for people."""
    return bool(options.json or options.input or options.output)


def line_writer(output: str | None, stack: ExitStack) -> Write:
    """Write lines to ``output``, which appears whole when ``stack`` closes, or to standard output."""
    stream = stack.enter_context(atomic_writer(output)) if output else sys.stdout

    def write(line: dict[str, Any], request: Request) -> None:
        stream.write(dump_line(line) + "\n")
        if request.error is not None:
            complain(request.error)

    return write
