"""Judging: pointwise and blind, several judges and votes, medians kept and every vote stored.

A judge sees one text and what it was written to. The two sides of a pair are judged in calls of their own, in
an order drawn by the seed over all texts. A failure is null with a reason, never a number.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from reward_model.data.ordered import LineFile, in_order
from reward_model.jsonl import dump_line
from reward_model.rubric import Rubric
from reward_model.schema import SIDES, PairRecord, Side
from reward_model.tasks import Judge, JudgeCase, Judgement

_BLOCK = 256
_SIDE_TITLES: dict[Side, str] = {"chosen": "黄金响应", "rejected": "缺陷响应"}

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class PairToJudge:
    """A pair as it was read: ``value`` is written back with its scores, whatever else it holds."""

    id: str
    value: Mapping[str, Any]
    record: PairRecord

    def case(self, side: Side) -> JudgeCase:
        """What a judge sees of one side."""
        return JudgeCase(self.record.text(side), self.record.prompt, self.record.metadata.fact_sheet)


@dataclass(frozen=True)
class JudgedText:
    """One text with all judgements of it, by judge and vote in the settings' order."""

    id: str
    side: Side
    case: JudgeCase
    judgements: tuple[Judgement, ...]
    levels: Mapping[str, int | None]


@dataclass(frozen=True)
class JudgingSettings:
    """How texts are judged.

    Attributes:
        votes: of each judge on each text.
        seed: of the order of texts.
        workers: texts at a time.
    """

    votes: int = 1
    seed: int = 0
    workers: int = 64


@dataclass
class JudgeTally:
    """What became of a run: ``texts`` with all levels, ``partial`` with some, ``failed`` with none.

    ``failures`` counts judgements by what went wrong (the kind of the client's failure).
    """

    pairs: int = 0
    texts: int = 0
    partial: int = 0
    failed: int = 0
    judgements: int = 0
    failures: Counter[str] = field(default_factory=Counter)


def median_level(levels: Iterable[int | None]) -> int | None:
    """The median of the levels there are; of an even number the mean of the middle two, halves rounded up."""
    known = sorted(level for level in levels if level is not None)
    if not known:
        return None
    middle = len(known) // 2
    if len(known) % 2:
        return known[middle]
    return math.floor((known[middle - 1] + known[middle]) / 2 + 0.5)


async def judge_text(
    case: JudgeCase, judges: Sequence[Judge], votes: int, *, first_vote: int = 0
) -> tuple[Judgement, ...]:
    """All judgements of one text, in the order of judges and votes."""
    calls = [judge.judge(case, vote=first_vote + vote) for judge in judges for vote in range(votes)]
    return tuple(await asyncio.gather(*calls))


async def judge_pairs(
    pairs: Iterable[PairToJudge],
    judges: Sequence[Judge],
    rubric: Rubric,
    out: str | Path,
    *,
    settings: JudgingSettings | None = None,
    total: int = 0,
    progress: Progress | None = None,
    tally: JudgeTally | None = None,
    see: Callable[[JudgedText], None] | None = None,
) -> JudgeTally:
    """Judge both texts of each pair and write the pairs with ``scores`` to ``out``, in the order given.

    Args:
        pairs: are read as the work goes on.
        judges: each judges every text ``settings.votes`` times.
        rubric: the dimensions.
        out: the guide's scored format.
        settings: votes, order, how many at a time.
        total, progress: how many texts there are, and what is told after each.
        tally: is counted up, so that a caller knows where a run that raised stood.
        see: is shown every judged text, as they come.

    Raises:
        EndpointError, BudgetError: from the judges; what is done until then is in the file.
    """
    settings, tally = settings or JudgingSettings(), tally or JudgeTally()
    waiting: dict[int, tuple[PairToJudge, dict[Side, JudgedText]]] = {}
    written = done = 0

    async def judged(item: tuple[int, PairToJudge, Side]) -> tuple[int, JudgedText]:
        number, pair, side = item
        case = pair.case(side)
        judgements = await judge_text(case, judges, settings.votes)
        levels = {
            name: median_level(judgement.levels.get(name) for judgement in judgements)
            for name in rubric.names
        }
        return number, JudgedText(pair.id, side, case, judgements, levels)

    def texts() -> Iterator[tuple[int, PairToJudge, Side]]:
        for item in _shuffled(pairs, settings.seed):
            waiting.setdefault(item[0], (item[1], {}))
            yield item

    with LineFile(out) as stream:
        async for number, text in in_order(texts(), judged, settings.workers):
            waiting[number][1][text.side] = text
            _count(tally, text)
            if see is not None:
                see(text)
            done += 1
            if progress is not None:
                progress(done, max(total, done))
            while written in waiting and len(waiting[written][1]) == len(SIDES):
                pair, sides = waiting.pop(written)
                stream.write(dump_line({**pair.value, "scores": scores_of(sides, rubric)}))
                tally.pairs += 1
                written += 1
    return tally


def _shuffled(pairs: Iterable[PairToJudge], seed: int) -> Iterator[tuple[int, PairToJudge, Side]]:
    """All texts, shuffled within blocks: at random, and without holding the file in memory."""
    rng = random.Random(f"judging:{seed}")
    stream = enumerate(pairs)
    while block := list(islice(stream, _BLOCK)):
        texts = [(number, pair, side) for number, pair in block for side in SIDES]
        rng.shuffle(texts)
        yield from texts


def _count(tally: JudgeTally, text: JudgedText) -> None:
    known = sum(level is not None for level in text.levels.values())
    if known == len(text.levels):
        tally.texts += 1
    elif known:
        tally.partial += 1
    else:
        tally.failed += 1
    tally.judgements += len(text.judgements)
    for judgement in text.judgements:
        if judgement.failure is not None:
            tally.failures[failure_kind(judgement.failure)] += 1


def failure_kind(failure: str) -> str:
    """ "schema" of "schema: ..." and of "depth: schema: ...": what a table of failures counts by."""
    parts = failure.split(";")[0].split(": ")
    return parts[1] if len(parts) > 2 and parts[1].replace("_", "").isalpha() else parts[0][:40]


def scores_of(sides: Mapping[Side, JudgedText], rubric: Rubric) -> dict[str, Any]:
    """A pair's ``scores``: medians a side, reasons composed from both, every judgement, and the rubric."""
    reasons = {
        name: "；".join(f"{_SIDE_TITLES[side]}：{_reason(sides[side], name)}" for side in SIDES)
        for name in rubric.names
    }
    return {
        **{side: {name: sides[side].levels[name] for name in rubric.names} for side in SIDES},
        "reasoning": reasons,
        "judgements": {side: [_judgement(item, rubric) for item in sides[side].judgements] for side in SIDES},
        "rubric": f"{rubric.name}@{rubric.version}",
    }


def _reason(text: JudgedText, name: str) -> str:
    """The reason of the judgement that is nearest to the level kept."""
    level = text.levels[name]
    if level is None:
        failure = next((item.failure for item in text.judgements if item.failure), "没有给出分数")
        return f"未能评判（{failure}）"
    near = [
        (abs(given - level), number)
        for number, judgement in enumerate(text.judgements)
        if (given := judgement.levels.get(name)) is not None
    ]
    return text.judgements[min(near)[1]].reasons.get(name, "").strip().rstrip("。；;")


def _judgement(judgement: Judgement, rubric: Rubric) -> dict[str, Any]:
    value: dict[str, Any] = {name: judgement.levels.get(name) for name in rubric.names}
    value["wrong_numbers"] = list(judgement.wrong_numbers)
    value["reasoning"] = dict(judgement.reasons)
    value["model"] = judgement.model
    if judgement.failure is not None:
        value["failure"] = judgement.failure
    return value
