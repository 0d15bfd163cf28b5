"""The engine: slots in, accepted pairs and quarantined tasks out, in order, a view of what the ledger holds.

Nothing here remembers a run. Writers answer from their ledger what was paid for before, decisions follow from
the texts and the plan's seed, and results are written in the plan's order: so the same command goes on
where the last one stopped, and ends with the same files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reward_model.data.gates import DEFAULT_GATES, Gates, degraded_faults, gold_faults
from reward_model.data.llm_writer import LENGTH
from reward_model.data.ordered import LineFile, in_order
from reward_model.data.plan import Slot
from reward_model.jsonl import dump_line
from reward_model.rubric import Rubric
from reward_model.tasks import Draft, PairTask, Writer

ATTEMPTS = 3
"""Drafts of a text before its task is quarantined; each after the first is told what failed."""
_MOST_FEEDBACK = 8

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class PairSettings:
    """How pairs are accepted.

    Attributes:
        attempts: drafts of a text before its task is quarantined.
        length: characters asked of a gold text.
        gates: bounds of the checks.
        workers: slots at a time.
    """

    attempts: int = ATTEMPTS
    length: tuple[int, int] = LENGTH
    gates: Gates = DEFAULT_GATES
    workers: int = 64


@dataclass
class PairTally:
    """What became of a run: ``accepted`` pairs, ``quarantined`` tasks, ``empty`` slots that no task filled.

    ``reasons`` counts quarantined tasks by stage and the kind of what went wrong.
    """

    accepted: int = 0
    quarantined: int = 0
    empty: int = 0
    drafts: int = 0
    reasons: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class _Filled:
    """What came of a slot: a record or none, and its tasks that failed."""

    record: dict[str, Any] | None
    failed: tuple[dict[str, Any], ...]
    drafts: int


def quarantine_path(out: str | Path) -> Path:
    """Where the tasks that failed are told: ``pairs.jsonl`` -> ``pairs.quarantine.jsonl``."""
    return Path(out).with_suffix(".quarantine.jsonl")


async def write_pairs(
    slots: Iterable[Slot],
    writers: Mapping[str, Writer],
    rubric: Rubric,
    out: str | Path,
    *,
    settings: PairSettings | None = None,
    total: int = 0,
    progress: Progress | None = None,
    tally: PairTally | None = None,
) -> PairTally:
    """Fill ``slots`` and write the pairs to ``out``, what failed to :func:`quarantine_path`.

    Args:
        slots: what to write, as ``plan_slots`` gives it.
        writers: the writer of each model that slots name.
        rubric: what degradations aim at.
        out: the pairs, in the guide's format, not scored yet.
        settings: bounds and how many at a time.
        total, progress: how many slots there are, and what is told after each.
        tally: is counted up, so that a caller knows where a run that raised stood.

    Raises:
        EndpointError, BudgetError: from the writers; what is done until then is in the files.
        InputError: if a file can't be written.
    """
    settings, tally = settings or PairSettings(), tally or PairTally()
    done = 0

    async def fill(slot: Slot) -> _Filled:
        return await _fill(slot, writers[slot.model], rubric, settings)

    with LineFile(out) as pairs, LineFile(quarantine_path(out)) as quarantine:
        async for filled in in_order(slots, fill, settings.workers):
            if filled.record is not None:
                pairs.write(dump_line(filled.record))
            for line in filled.failed:
                quarantine.write(dump_line(line))
                tally.reasons[f"{line['stage']}: {line['kind']}"] += 1
            tally.accepted += filled.record is not None
            tally.empty += filled.record is None
            tally.quarantined += len(filled.failed)
            tally.drafts += filled.drafts
            done += 1
            if progress is not None:
                progress(done, max(total, done))
    return tally


async def _fill(slot: Slot, writer: Writer, rubric: Rubric, settings: PairSettings) -> _Filled:
    failed: list[dict[str, Any]] = []
    drafts = 0
    for task in slot.tasks:
        pair, used = await _write(task, writer, rubric, settings)
        drafts += used
        if isinstance(pair, _Pair):
            # The slot's name, whichever of its tasks filled it: ids without gaps to wonder about.
            return _Filled(_record(pair, task, slot.id), tuple(failed), drafts)
        failed.append(_quarantined(pair, task, slot.model))
    return _Filled(None, tuple(failed), drafts)


@dataclass(frozen=True)
class _Pair:
    gold: Draft
    degraded: Draft


@dataclass(frozen=True)
class _Stop:
    """Why there is no text: ``kind`` "writer" (the model gave none) or "gates" (none passed)."""

    stage: str
    kind: str
    reasons: tuple[str, ...]
    text: str | None


async def _write(
    task: PairTask, writer: Writer, rubric: Rubric, settings: PairSettings
) -> tuple[_Pair | _Stop, int]:
    """The pair, or what stopped it; and how many drafts were asked for."""

    async def gold(attempt: int, feedback: Sequence[str]) -> Draft:
        return await writer.gold(task, attempt=attempt, feedback=feedback)

    first, used = await _accepted(
        "chosen", gold, lambda text: gold_faults(text, task, settings.length, settings.gates), settings
    )
    if isinstance(first, _Stop):
        return first, used
    text = first.text or ""

    async def degraded(attempt: int, feedback: Sequence[str]) -> Draft:
        return await writer.degraded(task, text, attempt=attempt, feedback=feedback)

    second, more = await _accepted(
        "rejected",
        degraded,
        lambda draft: degraded_faults(draft, text, task, rubric, settings.gates),
        settings,
    )
    if isinstance(second, _Stop):
        return second, used + more
    return _Pair(first, second), used + more


async def _accepted(
    stage: str,
    write: Callable[[int, Sequence[str]], Awaitable[Draft]],
    faults_of: Callable[[str], list[str]],
    settings: PairSettings,
) -> tuple[Draft | _Stop, int]:
    faults: list[str] = []
    draft = Draft(None, "")
    for attempt in range(settings.attempts):
        draft = await write(attempt, faults[:_MOST_FEEDBACK])
        if draft.text is None:
            # The client asked as often as it helps; another framework may fare better.
            return _Stop(stage, "writer", (draft.failure or "no text",), None), attempt + 1
        faults = faults_of(draft.text)
        if not faults:
            return draft, attempt + 1
    return _Stop(stage, "gates", tuple(faults), draft.text), settings.attempts


def _record(pair: _Pair, task: PairTask, name: str) -> dict[str, Any]:
    framework = task.framework
    return {
        "prompt": framework.prompt(),
        "chosen": pair.gold.text,
        "rejected": pair.degraded.text,
        "metadata": {
            "id": name,
            "field": framework.field,
            "company": framework.company,
            "style": framework.style,
            "framework": framework.id,
            "model": pair.gold.model,
            "gold_metadata": {"quality_focus": task.quality_focus},
            "defect_metadata": {
                "degradation_type": task.degradation.name,
                "severity": task.severity,
                "defects": list(pair.degraded.defects),
            },
            "fact_sheet": framework.fact_sheet.model_dump(mode="json", exclude_unset=True),
        },
    }


def _quarantined(stop: _Stop, task: PairTask, model: str) -> dict[str, Any]:
    return {
        "id": task.id,
        "field": task.framework.field,
        "framework": task.framework.id,
        "model": model,
        "quality_focus": task.quality_focus,
        "degradation_type": task.degradation.name,
        "severity": task.severity,
        "stage": stop.stage,
        "kind": stop.kind,
        "reasons": list(stop.reasons),
        "text": stop.text,
    }
