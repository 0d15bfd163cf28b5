"""A generation run from settings to files: frameworks, plan, writers, quote, pairs, the line at the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reward_model.data.endpoint_flags import CallSettings, endpoints, open_client
from reward_model.data.llm_writer import LlmWriter, WriterSettings, degraded_request, gold_request
from reward_model.data.pairs import PairSettings, PairTally, Progress, quarantine_path, write_pairs
from reward_model.data.plan import Slot, plan_slots
from reward_model.data.quote import QuoteBook
from reward_model.llm import ChatClient
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
    async with open_client(found, settings.call, beside=settings.out, notify=notify) as (client, _):
        frameworks = await frameworks_for(settings, rubric, notify, client, found[0].model)
        slots = _slots(settings, rubric, frameworks, {item.model: item.weight for item in found})
        if settings.call.dry_run:
            notify(_quote(client, slots, rubric, settings.writer))
            return None
        writers: dict[str, Writer] = {
            item.model: LlmWriter(client, item.model, rubric, settings.writer) for item in found
        }
        return await _written(settings, slots, writers, rubric, notify, progress)


async def _offline(
    settings: GenerateSettings, rubric: Rubric, notify: Notify, progress: Progress | None
) -> PairTally | None:
    from reward_model.offline import OfflineWriter

    frameworks = await frameworks_for(settings, rubric, notify, None, None)
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
        notify(_last_line(settings, tally, len(slots), "中断"))
        raise
    notify(_last_line(settings, tally, len(slots), "完成"))
    return tally


def _last_line(settings: GenerateSettings, tally: PairTally, slots: int, word: str) -> str:
    line = f"{word}：接受 {tally.accepted}/{slots} 对，写入 {settings.out}"
    if tally.quarantined:
        named = "，".join(f"{kind} {count}" for kind, count in sorted(tally.reasons.items()))
        line += f"；隔离 {tally.quarantined} 项（{named}），见 {quarantine_path(settings.out)}"
    return line


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


def _quote(client: ChatClient, slots: Sequence[Slot], rubric: Rubric, writer: WriterSettings) -> str:
    """Each slot's first task at its first attempt; the degradation of a text as long as the one asked for."""
    book = QuoteBook(client)
    stand_in = "字" * (sum(writer.length) // 2)
    for slot in slots:
        task = slot.tasks[0]
        book.add("黄金响应", slot.model, [gold_request(task, rubric, writer)])
        book.add("受控降级", slot.model, [degraded_request(task, stand_in, rubric, writer)])
    return book.text("没有通过检查的文本会重写，调用因此可能更多；--budget 可设上限")


async def frameworks_for(
    settings: GenerateSettings,
    rubric: Rubric,
    notify: Notify,
    client: ChatClient | None,
    model: str | None,
) -> list[Framework]:
    """The frameworks of the run's fields, read from its file or made; those of each field in order."""
    raise NotImplementedError
