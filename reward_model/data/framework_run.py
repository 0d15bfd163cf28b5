"""A run that makes frameworks: from settings to a file, by code or by models."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reward_model.data.endpoint_flags import CallSettings, endpoints, open_client
from reward_model.data.framework_files import refuse_foreign
from reward_model.data.framework_plan import FrameworkPlan, embedded_framework, plan_frameworks
from reward_model.data.framework_writer import framework_request, write_framework
from reward_model.data.ordered import LineFile, in_order
from reward_model.data.quote import QuoteBook
from reward_model.errors import InputError
from reward_model.jsonl import dump_line, one_line
from reward_model.llm import ChatClient, Endpoint
from reward_model.rubric import Rubric
from reward_model.statements.catalogue import load_catalogue
from reward_model.statements.draws import Draws
from reward_model.tasks import Framework

Notify = Callable[[str], None]
Progress = Callable[[int, int], None]
MOST = 100_000
"""Frameworks of a field in one run."""


@dataclass(frozen=True)
class FrameworkSettings:
    """What to make.

    Attributes:
        fields: the industries.
        n: frameworks of each.
        out: the file.
        models: names or configurations as in the guide's script; None for the endpoint's default.
        catalogues: files of industries and storylines, laid over those that come with the package.
        call: how models are called; ``offline`` for none.
    """

    fields: Sequence[str]
    n: int
    out: Path
    models: Sequence[str | Mapping[str, Any]] | None = None
    catalogues: Sequence[str | Path] = ()
    call: CallSettings = field(default_factory=CallSettings)


@dataclass
class FrameworkTally:
    """What came of a run: frameworks written, and why others weren't, by id."""

    written: int = 0
    failed: dict[str, str] = field(default_factory=dict)


async def make_frameworks(
    settings: FrameworkSettings, notify: Notify, progress: Progress | None = None
) -> FrameworkTally | None:
    """Make them and write the file, in the plan's order; None after a quote.

    The same settings give the same file: a run that was cut short leaves its beginning, and goes on.

    Raises:
        InputError: unusable settings, no key, or a file that holds something else.
        EndpointError: an endpoint that fails for good.
    """
    if not 1 <= settings.n <= MOST:
        raise InputError(f"--n: {settings.n:,} frameworks of a field; give 1 to {MOST:,}")
    rubric = settings.call.load_rubric()
    plans = planned(settings.fields, settings.n, settings.call.seed, rubric, settings.catalogues)
    refuse_foreign(settings.out, {plan.id for plan in plans}, embedded=settings.call.offline)
    if settings.call.offline:
        if settings.call.dry_run:
            notify(f"报价：{len(plans)} 个分析框架由程序生成，不调用模型，费用为 0")
            return None
        return await _write(settings.out, plans, _embedded(plans), notify, progress)
    found = endpoints(settings.models, settings.call)
    async with open_client(found, settings.call, beside=settings.out, notify=notify) as (client, _):
        if settings.call.dry_run:
            notify(quote(plans, client, found, settings.call.prompts))
            return None
        made = written_frameworks(
            plans, client, found, prompts=settings.call.prompts, workers=settings.call.max_in_flight
        )
        return await _write(settings.out, plans, made, notify, progress)


def planned(
    fields: Sequence[str], n: int, seed: int, rubric: Rubric, catalogues: Sequence[str | Path] = ()
) -> list[FrameworkPlan]:
    """The plans of ``n`` frameworks for each field; a field that is named twice counts once."""
    names = list(dict.fromkeys(name.strip() for name in fields))
    if not names or not all(names):
        raise InputError("--fields: name at least one industry, such as 制造业")
    return list(plan_frameworks(names, n, seed, rubric, load_catalogue(*catalogues)))


async def written_frameworks(
    plans: Sequence[FrameworkPlan],
    client: ChatClient,
    found: Sequence[Endpoint],
    *,
    prompts: Path | None = None,
    workers: int = 64,
) -> AsyncIterator[Framework | str]:
    """What models make of ``plans``, in their order: each a framework, or why there is none."""

    async def one(plan: FrameworkPlan) -> Framework | str:
        framework, answer = await write_framework(plan, client, writer_of(plan, found), prompts)
        if framework is not None:
            return framework
        failure = answer.failure
        return f"{failure.kind}: {failure.reason}" if failure else "empty: no answer"

    async for made in in_order(plans, one, workers):
        yield made


def writer_of(plan: FrameworkPlan, found: Sequence[Endpoint]) -> str:
    """The model that writes a plan: drawn by weight, the same for the same plan."""
    point = Draws(f"model/{plan.id}").whole(0, 999_999) * sum(item.weight for item in found) / 1_000_000
    for item in found:
        point -= item.weight
        if point < 0:
            return item.model
    return found[-1].model


def quote(
    plans: Sequence[FrameworkPlan], client: ChatClient, found: Sequence[Endpoint], prompts: Path | None
) -> str:
    """What the run would cost at most, for people."""
    book = QuoteBook(client)
    for plan in plans:
        book.add("分析框架", writer_of(plan, found), [framework_request(plan, prompts)])
    return book.text("没有通过检查的回答会重问，调用因此可能更多；--budget 可设上限")


async def _embedded(plans: Sequence[FrameworkPlan]) -> AsyncIterator[Framework | str]:
    for plan in plans:
        yield embedded_framework(plan)


async def _write(
    out: Path,
    plans: Sequence[FrameworkPlan],
    made: AsyncIterator[Framework | str],
    notify: Notify,
    progress: Progress | None,
) -> FrameworkTally:
    tally = FrameworkTally()
    word = "中断"
    try:
        with LineFile(out) as file:
            async for framework in made:
                if isinstance(framework, str):
                    tally.failed[plans[tally.written + len(tally.failed)].id] = framework
                else:
                    file.write(dump_line(framework.model_dump(mode="json")))
                    tally.written += 1
                if progress is not None:
                    progress(tally.written + len(tally.failed), len(plans))
        word = "完成"
    finally:
        failed = f"；{len(tally.failed)} 个没有写成（--retry-failures 可重试）" if tally.failed else ""
        notify(f"{word}：{tally.written}/{len(plans)} 个分析框架，写入 {one_line(str(out))}{failed}")
    return tally
