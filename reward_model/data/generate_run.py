"""A generation run from settings to files: frameworks, plan, writers, quote, pairs, the line at the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reward_model.data.endpoint_flags import CallSettings, endpoints, open_client
from reward_model.data.framework_files import read_frameworks
from reward_model.data.framework_plan import FrameworkPlan, embedded_framework
from reward_model.data.framework_run import planned, writer_of, written_frameworks
from reward_model.data.framework_writer import framework_request
from reward_model.data.llm_writer import LlmWriter, WriterSettings, degraded_request, gold_request
from reward_model.data.pairs import PairSettings, PairTally, Progress, quarantine_path, write_pairs
from reward_model.data.plan import Slot, plan_slots
from reward_model.data.quote import QuoteBook
from reward_model.data.spend import Spend, spend_of
from reward_model.errors import InputError, ResourceError
from reward_model.jsonl import one_line
from reward_model.llm import ChatClient, Endpoint, Ledger
from reward_model.offline.writer import OfflineWriter
from reward_model.rubric import Rubric
from reward_model.tasks import Framework, Writer

Notify = Callable[[str], None]
OFFLINE_WRITER = "offline-writer"
TRIES = 4
"""Tasks that a slot of ``--target`` may use up before it stays empty."""


@dataclass(frozen=True)
class GenerateSettings:
    """What to generate.

    Attributes:
        fields: the industries.
        per_field: pairs of each: tried, or with ``target`` accepted.
        target: whether a task that fails is replaced by another of the same cell.
        out: the pairs.
        frameworks: a file of them; None makes them.
        models: names or configurations as in the guide's script; None for the endpoint's default.
        call, writer, pair: how models are called, texts asked for, pairs accepted.
    """

    fields: Sequence[str]
    per_field: int
    out: Path
    target: bool = False
    frameworks: Path | None = None
    models: Sequence[str | Mapping[str, Any]] | None = None
    call: CallSettings = field(default_factory=CallSettings)
    writer: WriterSettings = field(default_factory=WriterSettings)
    pair: PairSettings = field(default_factory=PairSettings)


async def generate(
    settings: GenerateSettings, notify: Notify, progress: Progress | None = None
) -> PairTally | None:
    """Run it; None after a quote.

    Raises:
        InputError: settings, files or templates that can't be used; a budget that is used up.
        EndpointError: an endpoint that fails for good.
    """
    rubric = settings.call.load_rubric()
    if settings.call.offline:
        return await _offline(settings, rubric, notify, progress)
    found = endpoints(settings.models, settings.call)
    weights = {item.model: item.weight for item in found}
    given = None if settings.frameworks is None else _given_frameworks(settings, settings.frameworks, notify)
    plans = [] if given else planned(settings.fields, settings.per_field, settings.call.seed, rubric)
    async with open_client(found, settings.call, beside=settings.out, notify=notify) as (client, ledger):
        if settings.call.dry_run:
            book = QuoteBook(client)
            for plan in plans:
                request = framework_request(plan, settings.call.prompts)
                book.add("分析框架", writer_of(plan, found), [request])
            # Frameworks not written yet are about as long as those made by code.
            slots = _slots(settings, rubric, given or [embedded_framework(plan) for plan in plans], weights)
            notify(_quote(book, slots, rubric, settings.writer))
            return None
        before = spend_of(ledger)
        frameworks = given or await _written_frameworks(settings, plans, client, found, notify)
        slots = _slots(settings, rubric, frameworks, weights)
        writers: dict[str, Writer] = {
            item.model: LlmWriter(client, item.model, rubric, settings.writer) for item in found
        }
        return await _written(settings, slots, writers, rubric, notify, progress, _spender(ledger, before))


async def _offline(
    settings: GenerateSettings, rubric: Rubric, notify: Notify, progress: Progress | None
) -> PairTally | None:
    if settings.frameworks is not None:
        frameworks = _given_frameworks(settings, settings.frameworks, notify)
    else:
        plans = planned(settings.fields, settings.per_field, settings.call.seed, rubric)
        frameworks = [embedded_framework(plan) for plan in plans]
    slots = _slots(settings, rubric, frameworks, {OFFLINE_WRITER: 1.0})
    if settings.call.dry_run:
        notify(f"报价：{len(slots)} 对，由内置写作者生成，不调用模型，费用为 0")
        return None
    writer = OfflineWriter(rubric, settings.call.seed)
    return await _written(settings, slots, {OFFLINE_WRITER: writer}, rubric, notify, progress)


async def _written(
    settings: GenerateSettings,
    slots: Sequence[Slot],
    writers: Mapping[str, Writer],
    rubric: Rubric,
    notify: Notify,
    progress: Progress | None,
    spent: Callable[[], str] = str,
) -> PairTally:
    tally = PairTally()
    try:
        await write_pairs(
            slots,
            writers,
            rubric,
            settings.out,
            settings=settings.pair,
            total=len(slots),
            progress=progress,
            tally=tally,
        )
    except BaseException:
        notify(_last_line(settings, tally, len(slots), "中断", spent()))
        raise
    notify(_last_line(settings, tally, len(slots), "完成", spent()))
    return tally


def _spender(ledger: Ledger, before: Spend) -> Callable[[], str]:
    """What tells the run's spend, when asked."""
    return lambda: f"；本次 {(spend_of(ledger) - before).text()}"


def _last_line(settings: GenerateSettings, tally: PairTally, slots: int, word: str, spent: str) -> str:
    line = f"{word}：接受 {tally.accepted}/{slots} 对，写入 {settings.out}"
    if tally.quarantined:
        named = "，".join(f"{kind} {count}" for kind, count in sorted(tally.reasons.items()))
        line += f"；隔离 {tally.quarantined} 项（{named}），见 {quarantine_path(settings.out)}"
    return line + spent


def _slots(
    settings: GenerateSettings, rubric: Rubric, frameworks: Sequence[Framework], models: Mapping[str, float]
) -> list[Slot]:
    return list(
        plan_slots(
            frameworks,
            rubric,
            models,
            settings.per_field,
            tries=TRIES if settings.target else 1,
            seed=settings.call.seed,
        )
    )


def _quote(book: QuoteBook, slots: Sequence[Slot], rubric: Rubric, writer: WriterSettings) -> str:
    """Each slot's first task at its first attempt; the degradation of a text as long as the one asked for."""
    stand_in = "字" * (sum(writer.length) // 2)
    for slot in slots:
        task = slot.tasks[0]
        book.add("黄金响应", slot.model, [gold_request(task, rubric, writer)])
        book.add("受控降级", slot.model, [degraded_request(task, stand_in, rubric, writer)])
    return book.text("没有通过检查的文本会重写，调用因此可能更多；--budget 可设上限")


def _given_frameworks(settings: GenerateSettings, path: Path, notify: Notify) -> list[Framework]:
    """Those of the run's fields, in the fields' order.

    Raises:
        InputError: the file is unusable, or a field has none.
    """
    found = read_frameworks(path, notify)
    missing = [name for name in settings.fields if name not in {item.field for item in found}]
    if missing:
        raise InputError(
            f"{one_line(str(path))}: holds no framework of {', '.join(missing)}; name other --fields"
        )
    return [item for name in settings.fields for item in found if item.field == name]


async def _written_frameworks(
    settings: GenerateSettings,
    plans: Sequence[FrameworkPlan],
    client: ChatClient,
    found: Sequence[Endpoint],
    notify: Notify,
) -> list[Framework]:
    """What models make of the plans; those that fail are told and left out, the others take their turns.

    Raises:
        ResourceError: a field is left without any.
    """
    made = written_frameworks(
        plans, client, found, prompts=settings.call.prompts, workers=settings.call.max_in_flight
    )
    kept, failed = [], []
    async for item in made:
        if isinstance(item, Framework):
            kept.append(item)
        else:
            failed.append(item)
    if failed:
        notify(f"{len(failed)} 个分析框架没有写成（{failed[0]}），由其余的代替")
    empty = [name for name in settings.fields if name not in {item.field for item in kept}]
    if empty:
        raise ResourceError(f"no framework could be written for {', '.join(empty)}: {failed[0]}")
    return kept
