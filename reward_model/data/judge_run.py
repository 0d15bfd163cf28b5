"""A judging run from settings to files: pairs, judges, quote, scores, controls, the card, the last line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reward_model.data.controls import DEFAULT_CONTROLS, ControlSample, judge_controls
from reward_model.data.controls import KINDS as CONTROL_KINDS
from reward_model.data.endpoint_flags import DEFAULT_JUDGE, CallSettings, endpoints, open_client
from reward_model.data.judge_card import CardBuilder, card_path
from reward_model.data.judging import (
    JudgedText,
    JudgeTally,
    JudgingSettings,
    PairToJudge,
    Progress,
    judge_pairs,
)
from reward_model.data.llm_judge import JudgeSettings, LlmJudge, judge_requests
from reward_model.data.quote import QuoteBook
from reward_model.data.spend import Spend, spend_of
from reward_model.errors import InputError, Problem
from reward_model.jsonl import JsonlReader, write_json
from reward_model.llm import ChatClient, Ledger, default_ledger
from reward_model.rubric import Rubric
from reward_model.schema import SIDES, PairRecord, parse_row
from reward_model.tasks import Judge

Notify = Callable[[str], None]
OFFLINE_JUDGE = "offline-judge"
_UNUSED_VOTE = 999_983


@dataclass(frozen=True)
class JudgeRunSettings:
    """What to judge.

    Attributes:
        source: the pairs; "-" for standard input.
        out: the scored pairs.
        models: judges, names or configurations; None for the endpoint's default.
        votes: of each judge on each text.
        controls: texts of each kind of planted control; 0 for none.
        call, judge: how models are called and judgements asked for.
    """

    source: str
    out: Path
    models: Sequence[str | Mapping[str, Any]] | None = None
    votes: int = 1
    controls: int = DEFAULT_CONTROLS
    call: CallSettings = field(default_factory=CallSettings)
    judge: JudgeSettings = field(default_factory=JudgeSettings)


@dataclass(frozen=True)
class JudgeOutcome:
    """What a run came to: counts, the card (None after a quote), and what was wrong with the file."""

    tally: JudgeTally
    card: dict[str, Any] | None
    problems: tuple[Problem, ...] = ()


async def judge_file(
    settings: JudgeRunSettings, notify: Notify, progress: Progress | None = None
) -> JudgeOutcome:
    """Run it.

    Raises:
        InputError: settings, files or templates that can't be used; a budget that is used up.
        EndpointError: an endpoint that fails for good.
    """
    rubric = settings.call.load_rubric()
    reader = JsonlReader(settings.source)
    if settings.call.offline:
        from reward_model.offline.judge import OfflineJudge

        if settings.call.dry_run:
            notify("报价：由内置裁判打分，不调用模型，费用为 0")
            return JudgeOutcome(JudgeTally(), None)
        judge = OfflineJudge(rubric)
        return await _judged(settings, rubric, reader, {OFFLINE_JUDGE: judge}, notify, progress)
    found = endpoints(settings.models, settings.call, default=DEFAULT_JUDGE, flag="--judge-model")
    async with open_client(found, settings.call, beside=_ledger_beside(settings), notify=notify) as (
        client,
        ledger,
    ):
        if settings.call.dry_run:
            notify(_quote(settings, rubric, reader, client, [item.model for item in found]))
            return JudgeOutcome(JudgeTally(), None, tuple(reader.problems))
        judges = {item.model: LlmJudge(client, item.model, rubric, settings.judge) for item in found}
        return await _judged(settings, rubric, reader, judges, notify, progress, ledger)


def _ledger_beside(settings: JudgeRunSettings) -> Path:
    """The pairs where their own ledger lies, so that a project has one; else the output."""
    source = Path(settings.source)
    return source if settings.source != "-" and default_ledger(source).is_file() else settings.out


async def _judged(
    settings: JudgeRunSettings,
    rubric: Rubric,
    reader: JsonlReader,
    judges: Mapping[str, Judge],
    notify: Notify,
    progress: Progress | None,
    ledger: Ledger | None = None,
) -> JudgeOutcome:
    before = None if ledger is None else spend_of(ledger)
    tally = JudgeTally()
    builder = CardBuilder(rubric, list(judges), settings.votes)
    sample = ControlSample(settings.controls, settings.call.seed, rubric)
    every = list(judges.values())

    def see(text: JudgedText) -> None:
        builder.see(text)
        sample.see(text)

    try:
        await judge_pairs(
            pairs_of(reader),
            every,
            rubric,
            settings.out,
            settings=JudgingSettings(settings.votes, settings.call.seed, settings.call.max_in_flight),
            progress=progress,
            tally=tally,
            see=see,
        )
        if not tally.pairs:
            first = f"; {reader.problems[0]}" if reader.problems else ""
            raise InputError(f"{reader.name}: holds no pair to judge{first}")
        controls = await judge_controls(sample.planted(), every, settings.votes)
    except BaseException:
        notify(_last_line(settings, tally, "中断") + _spent(ledger, before))
        raise
    # Of all runs over this ledger: what the judgements cost, not what this run of the command did.
    spend = {} if ledger is None else spend_of(ledger, "judge").to_dict()
    card = builder.card(tally, controls, spend)
    write_json(card_path(settings.out), card)
    notify(_last_line(settings, tally, "完成") + _spent(ledger, before))
    return JudgeOutcome(tally, card, tuple(reader.problems))


def pairs_of(reader: JsonlReader) -> Iterator[PairToJudge]:
    """The pairs of a file, scored or not; faults are added to ``reader.problems``.

    Scores that are there are not held against the rubric: they are replaced.
    """
    for row in reader:
        value = {key: item for key, item in row.value.items() if key != "scores"}
        record = parse_row(reader, type(row)(row.line, row.text, value))
        if record is None:
            continue
        if not isinstance(record, PairRecord):
            reader.problem(row.line, "chosen", "is missing", "this command needs pairs (chosen, rejected)")
            continue
        name = record.metadata.id
        yield PairToJudge(str(row.line if name is None else name), value, record)


def _spent(ledger: Ledger | None, before: Spend | None) -> str:
    return "" if ledger is None or before is None else f"；本次 {(spend_of(ledger) - before).text()}"


def _last_line(settings: JudgeRunSettings, tally: JudgeTally, word: str) -> str:
    line = f"{word}：{tally.pairs} 对（{tally.texts} 篇评全）写入 {settings.out}"
    lost = tally.partial + tally.failed
    if lost:
        named = "，".join(f"{kind} {count}" for kind, count in sorted(tally.failures.items()))
        line += f"；{lost} 篇没有评全（{named}），缺的分数为 null"
    return line


def _quote(
    settings: JudgeRunSettings, rubric: Rubric, reader: JsonlReader, client: ChatClient, models: Sequence[str]
) -> str:
    book = QuoteBook(client)
    texts = 0
    for pair in pairs_of(reader):
        for side in SIDES:
            texts += 1
            case = pair.case(side)
            for model in models:
                for vote in range(settings.votes):
                    calls = judge_requests(case, rubric, settings.judge, vote=vote)
                    book.add("评判", model, [request for _, request in calls])
                if texts <= settings.controls:
                    # Which texts they will be made of isn't known yet; these are about as long, and new.
                    calls = judge_requests(case, rubric, settings.judge, vote=_UNUSED_VOTE)
                    book.add("植入对照", model, [request for _, request in calls] * len(CONTROL_KINDS))
    if not texts:
        raise InputError(f"{reader.name}: holds no pair to judge")
    return book.text()
