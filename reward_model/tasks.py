"""What is written and judged, whoever writes and judges it: frameworks, tasks, drafts, judgements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated, Any, Protocol

from pydantic import BaseModel, ConfigDict, Field

from reward_model.rubric import Degradation
from reward_model.schema import FactSheet, NonEmpty

PROMPT_START = "请根据以下分析框架生成{field}的财务分析报告："


class Framework(BaseModel):
    """What a report is to be written to: an outline, some background, and the statements of one company.

    A line of a frameworks file; unknown fields are kept.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    id: NonEmpty
    field: NonEmpty
    """The industry."""
    company: NonEmpty
    style: str = ""
    """文体: 卖方研究简评, 管理层讨论 ..."""
    outline: Annotated[tuple[NonEmpty, ...], Field(min_length=1, max_length=40)]
    background: str = ""
    fact_sheet: FactSheet

    def prompt(self) -> str:
        """The framework as the writer's task, beginning as in the guide; the figures as a Markdown table."""
        lines = [
            PROMPT_START.format(field=self.field),
            "",
            f"【公司】{self.company}（{self.field}）",
            *([f"【文体】{self.style}"] if self.style else []),
            "【分析框架】",
            *(f"{number}. {title}" for number, title in enumerate(self.outline, 1)),
            *(["【背景】", self.background] if self.background else []),
            f"【财务数据】（单位：{self.fact_sheet.unit}）",
            fact_table(self.fact_sheet),
        ]
        return "\n".join(lines)


def fact_table(sheet: FactSheet) -> str:
    """The figures as a Markdown table, an item a row; the unit stands outside it."""
    lines = ["| 项目 | " + " | ".join(sheet.periods) + " |", "|---" * (len(sheet.periods) + 1) + "|"]
    for name, values in sheet.items.items():
        lines.append(f"| {name} | " + " | ".join(map(_written, values)) + " |")
    return "\n".join(lines)


def _written(value: float | int | None) -> str:
    if value is None:
        return "—"
    # As exact as given, two decimals at least: 42 is written 42.00 beside 59.11.
    exact = Decimal(str(value))
    places = exact.as_tuple().exponent
    return f"{exact:.2f}" if isinstance(places, int) and places >= -2 else f"{exact:f}"


@dataclass(frozen=True)
class PairTask:
    """One pair to be written.

    Attributes:
        id: names the pair within a run.
        framework: what both texts are written to.
        quality_focus: what the gold text is to be best at, one of the rubric's.
        degradation: what is done to it, one of the rubric's.
        severity: how far, one of the rubric's.
        seed: of everything drawn at random for this pair.
    """

    id: str
    framework: Framework
    quality_focus: str
    degradation: Degradation
    severity: str
    seed: int = 0


@dataclass(frozen=True)
class Draft:
    """A text that was written, or why there is none.

    Attributes:
        text: None where writing failed.
        model: who wrote it.
        defects: what is known to be wrong with it, as ``metadata.defect_metadata.defects`` takes it.
        failure: why there is no text.
    """

    text: str | None
    model: str
    defects: tuple[Any, ...] = ()
    failure: str | None = None


class Writer(Protocol):
    """Writes gold texts and degrades them."""

    async def gold(self, task: PairTask, *, attempt: int = 0, feedback: Sequence[str] = ()) -> Draft:
        """The gold text. ``feedback``: which checks the attempts before this one failed, for people."""
        ...

    async def degraded(
        self, task: PairTask, gold: str, *, attempt: int = 0, feedback: Sequence[str] = ()
    ) -> Draft:
        """``gold`` made worse in the task's way."""
        ...


@dataclass(frozen=True)
class JudgeCase:
    """What a judge sees, and all of it: one text and what it was written to; not where it comes from."""

    text: str
    prompt: str | None = None
    facts: FactSheet | None = None


@dataclass(frozen=True)
class Judgement:
    """One judge's view of one text.

    Attributes:
        model: who judged.
        levels: a level a dimension; None where it could not be judged, never a number then.
        reasons: a reason a dimension.
        wrong_numbers: the wrong figures it named.
        failure: why levels are missing.
    """

    model: str
    levels: Mapping[str, int | None]
    reasons: Mapping[str, str] = field(default_factory=dict)
    wrong_numbers: tuple[str, ...] = ()
    failure: str | None = None


class Judge(Protocol):
    """Judges texts one at a time."""

    async def judge(self, case: JudgeCase, *, vote: int = 0) -> Judgement:
        """A judgement; ``vote`` numbers repeated judgements of one text by the same judge."""
        ...
