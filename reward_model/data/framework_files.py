"""Frameworks in files: read and checked line by line, and kept when a run goes on."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

from pydantic import ValidationError

from reward_model.errors import InputError
from reward_model.jsonl import JsonlReader, one_line, shown
from reward_model.rubric import plain_faults
from reward_model.statements.bounds import identity_faults
from reward_model.tasks import Framework

_MOST_WARNINGS = 20
_BEGINNING = b'{"id": "'
"""Of a line that a run writes."""


def read_frameworks(path: str | Path, notify: Callable[[str], None] | None = None) -> list[Framework]:
    """The frameworks of a JSON Lines file.

    A sheet whose identities don't hold is warned about, not refused: rounded statements are like that.

    Args:
        path: the file; "-" for standard input.
        notify: gets the warnings.

    Raises:
        InputError: a line for each fault, with file, line, field and remedy; or that there is no framework.
    """
    reader = JsonlReader(path)
    found: list[Framework] = []
    places: dict[str, int] = {}
    warnings: list[str] = []
    for row in reader:
        try:
            framework = Framework.model_validate(row.value)
        except ValidationError as error:
            for field, message, remedy in plain_faults(error, row.value):
                reader.problem(row.line, field, message, remedy)
            continue
        if framework.id in places:
            reader.problem(
                row.line,
                "id",
                f"is {shown(framework.id)}, like that of line {places[framework.id]}",
                "give each framework an id of its own",
            )
            continue
        places[framework.id] = row.line
        found.append(framework)
        warnings += [
            one_line(f"{reader.name}:{row.line}: fact_sheet: {fault}; check the figures", 600)
            for fault in identity_faults(framework.fact_sheet)
        ]
    if reader.problems:
        raise InputError("\n".join(map(str, reader.problems)))
    if not found:
        raise InputError(
            f"{one_line(reader.name)}: holds no framework; see docs/generation.md for the format"
        )
    if notify is not None:
        for line in (*reader.notes, *warnings[:_MOST_WARNINGS]):
            notify(line)
        if len(warnings) > _MOST_WARNINGS:
            notify(f"{one_line(reader.name)}: {len(warnings) - _MOST_WARNINGS} such warnings more")
    return found


def refuse_foreign(path: str | Path, ids: Collection[str], *, embedded: bool) -> None:
    """Raise InputError if a file that a run would write holds what that run would not write again.

    Args:
        path: the output; nothing is checked where there is none.
        ids: of the frameworks that the run makes.
        embedded: whether code makes them, not models.
    """
    target = Path(path)
    if not target.exists() or not target.is_file():
        return
    reader = JsonlReader(target)
    name = one_line(str(path))
    for row in reader:
        identity, writer = row.value.get("id"), row.value.get("written_by")
        if identity not in ids or (writer == "embedded") != embedded:
            why = (
                f"{shown(identity)}, which this run would not write"
                if identity not in ids
                else (f"{shown(identity)}, written by {shown(writer)}")
            )
            raise InputError(
                f"{name}:{row.line}: holds framework {why}; name another --out, or move the file away"
            )
    # What a kill cut off is the last line, and begins as all of ours do; the rest is somebody's.
    if len(reader.problems) > 1 or (reader.problems and not _is_cut_off(target)):
        raise InputError(f"{reader.problems[0]}; name another --out, or move the file away")


def _is_cut_off(path: Path) -> bool:
    last = b""
    with path.open("rb") as stream:
        for line in stream:
            last = line
    return not last.endswith(b"\n") and (last.startswith(_BEGINNING) or _BEGINNING.startswith(last))
