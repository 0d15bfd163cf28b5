"""The one contract for every JSON Lines record: pairs (the guide's format) and single graded reports.

Every model keeps unknown fields, so that a record survives a round trip whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from reward_model.errors import InputError
from reward_model.jsonl import JsonlReader, Row, dump_line, shown
from reward_model.rubric import Rubric, plain_faults

Side = Literal["chosen", "rejected"]
SIDES: tuple[Side, Side] = ("chosen", "rejected")

MAX_FAULTS_A_LINE = 20
"""Faults of one line that are named; the rest is a number, or one line could bury all others."""

NonEmpty = Annotated[str, StringConstraints(min_length=1, pattern=r"\S")]
Score = Annotated[int, Field(strict=True)]


class _Open(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)


class FactSheet(_Open):
    """Statements as figures: one value (or null) a period for each item, all in ``unit``."""

    unit: NonEmpty
    periods: Annotated[list[str], Field(min_length=1)]
    items: dict[str, list[float | int | None]]

    @model_validator(mode="after")
    def _one_value_a_period(self) -> FactSheet:
        for name, values in self.items.items():
            if len(values) != len(self.periods):
                raise ValueError(
                    f"item {shown(name)} has {len(values)} values for {len(self.periods)} periods"
                )
        return self


class GoldMetadata(_Open):
    """How the gold text was asked for."""

    quality_focus: str | None = None


class DefectMetadata(_Open):
    """How the other text was degraded."""

    degradation_type: str | None = None
    severity: str | None = None
    defects: list[Any] | None = None


class PairMetadata(_Open):
    """Where a pair comes from. ``field`` is the industry, ``model`` the writer."""

    id: str | int | None = None
    field: str | None = None
    model: str | None = None
    gold_metadata: GoldMetadata = Field(default_factory=GoldMetadata)
    defect_metadata: DefectMetadata = Field(default_factory=DefectMetadata)
    fact_sheet: FactSheet | None = None


class PairScores(_Open):
    """Levels a side and dimension; null is a judgement that failed, never a number."""

    chosen: dict[str, Score | None]
    rejected: dict[str, Score | None]
    reasoning: dict[str, str | None] | None = None
    judgements: dict[str, list[dict[str, Any]]] | None = None
    rubric: str | None = None
    """Name and version of the rubric that the levels are of: "financial@1"; None where nobody said."""


class PairRecord(_Open):
    """The guide's record: a gold text and its degradation for one prompt; ``scores`` once judged."""

    prompt: str
    chosen: NonEmpty
    rejected: NonEmpty
    metadata: PairMetadata = Field(default_factory=PairMetadata)
    scores: PairScores | None = None

    def text(self, side: Side) -> str:
        """The text of one side."""
        return self.chosen if side == "chosen" else self.rejected

    def labels(self, side: Side) -> dict[str, int | None]:
        """The levels of one side; empty when the pair has not been judged."""
        if self.scores is None:
            return {}
        return self.scores.chosen if side == "chosen" else self.scores.rejected


class ReportRecord(_Open):
    """One report, graded (``scores``) or to be graded."""

    text: NonEmpty
    id: str | int | None = None
    prompt: str | None = None
    scores: dict[str, Score | None] | None = None
    facts: FactSheet | None = None
    metadata: PairMetadata = Field(default_factory=PairMetadata)


Record = PairRecord | ReportRecord


@dataclass(frozen=True)
class Located:
    """A record with the place it was read from; ``raw`` is the line's text as it stood."""

    line: int
    raw: str
    record: Record


def _score_faults(record: Record, rubric: Rubric, scored: bool) -> Iterator[tuple[str, str, str]]:
    """What is wrong with a record's levels under ``rubric``: (field, message, remedy)."""
    if isinstance(record, PairRecord):
        sides: list[tuple[str, dict[str, int | None]]] = (
            []
            if record.scores is None
            else [("scores.chosen", record.scores.chosen), ("scores.rejected", record.scores.rejected)]
        )
    else:
        sides = [] if record.scores is None else [("scores", record.scores)]
    named = record.scores.rubric if isinstance(record, PairRecord) and record.scores is not None else None
    if named is not None and named.rpartition("@")[0] != rubric.name:
        # Five levels would pass for ten: what they mean is another thing.
        yield (
            "scores.rubric",
            f"is {shown(named)}, and this is rubric {rubric.name}",
            "name the rubric that the data was judged by (--rubric), or judge it again",
        )
        return
    if not sides and scored:
        yield "scores", "is missing", "judge the data first (finrm judge), or give scored data"
    for path, levels in sides:
        for name in rubric.names:
            if name not in levels:
                yield f"{path}.{name}", "is missing", "add the level, or null if it could not be judged"
        for name, level in levels.items():
            if name not in rubric.names:
                yield (
                    f"{path}.{name}",
                    f"is no dimension of rubric {rubric.name} ({', '.join(rubric.names)})",
                    "name the rubric that the data was judged by (--rubric)",
                )
            elif level is not None and not 0 <= level < rubric.num_classes:
                yield (
                    f"{path}.{name}",
                    f"is {shown(level)}, outside 0-{rubric.num_classes - 1} of rubric {rubric.name}",
                    "correct it, or name the rubric that the data was judged by (--rubric)",
                )


def parse_record(value: dict[str, Any]) -> Record:
    """Parse a pair (has ``chosen`` or ``rejected``) or a single report (has ``text``).

    Raises:
        pydantic.ValidationError: if fields are missing or of the wrong type.
        ValueError: if it is neither.
    """
    if "chosen" in value or "rejected" in value:
        return PairRecord.model_validate(value)
    if "text" in value:
        return ReportRecord.model_validate(value)
    raise ValueError("is neither a pair (chosen, rejected) nor a report (text)")


def dump_record(record: Record) -> str:
    """The record as one line of JSON: every field that was set, unknown ones included."""
    return dump_line(record.model_dump(mode="json", exclude_unset=True))


def read_records(reader: JsonlReader, rubric: Rubric, *, scored: bool = True) -> Iterator[Located]:
    """Yield the sound records of ``reader``; every fault is added to ``reader.problems``.

    Args:
        reader: the opened file.
        rubric: the dimensions and levels that scores must fit.
        scored: whether a record without scores is at fault.
    """
    for row in reader:
        record = parse_row(reader, row)
        if record is None:
            continue
        if not _report(reader, row, _score_faults(record, rubric, scored)):
            yield Located(row.line, row.text, record)


def _report(reader: JsonlReader, row: Row, faults: Iterator[tuple[str, str, str]]) -> int:
    """Add the faults of one line to ``reader``; returns how many there are."""
    count = 0
    for field, message, remedy in islice(faults, MAX_FAULTS_A_LINE):
        reader.problem(row.line, field, message, remedy)
        count += 1
    rest = sum(1 for _ in faults)
    if rest:
        reader.problem(row.line, "", f"has {rest:,} faults more", "correct or remove the line")
    return count + rest


def parse_row(reader: JsonlReader, row: Row) -> Record | None:
    """The record of ``row``, or None when it is at fault: then ``reader.problems`` says why."""
    try:
        return parse_record(row.value)
    except ValidationError as error:
        _report(reader, row, plain_faults(error, row.value))
    except ValueError as error:
        reader.problem(row.line, "", str(error), "see the data format in the guide")
    return None


def read_pairs(reader: JsonlReader, rubric: Rubric, *, scored: bool = True) -> Iterator[Located]:
    """Like :func:`read_records`, for files that must hold pairs only."""
    for located in read_records(reader, rubric, scored=scored):
        if isinstance(located.record, PairRecord):
            yield located
        else:
            reader.problem(
                located.line, "chosen", "is missing", "this command needs pairs (chosen, rejected)"
            )


def require_records(found: Iterable[Located], path: str | Path) -> list[Located]:
    """All of ``found``, or :class:`InputError` when there is none."""
    records = list(found)
    if not records:
        raise InputError(f"{path}: holds no usable record; see the data format in the guide")
    return records
