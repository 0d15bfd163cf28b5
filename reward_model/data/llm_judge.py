"""A language model as a judge: one text a call, blind, reasons before levels."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reward_model.data.prompt_values import dimension_values, fenced, sound
from reward_model.data.prompting import prompt_version, render_messages
from reward_model.jsonl import shown
from reward_model.llm import Answer, AnswerError, ChatClient, ChatRequest
from reward_model.rubric import Dimension, Rubric
from reward_model.schema import FactSheet
from reward_model.tasks import JudgeCase, Judgement, fact_table

_MAX_TOKENS = 2048
_MAX_REASON = 1000
_MAX_WRONG = 200


@dataclass(frozen=True)
class JudgeSettings:
    """How judgements are asked for.

    Attributes:
        per_dimension: one call a dimension instead of one for all; dearer, and no halo among dimensions.
        temperature: as sent.
        prompts: a folder of the user's own prompts.
    """

    per_dimension: bool = False
    temperature: float = 0.0
    prompts: Path | None = None


class LlmJudge:
    """Judges with one model of ``client``; a :class:`reward_model.tasks.Judge`."""

    def __init__(
        self, client: ChatClient, model: str, rubric: Rubric, settings: JudgeSettings | None = None
    ) -> None:
        self.model = model
        self._client = client
        self._rubric = rubric
        self._settings = settings or JudgeSettings()

    async def judge(self, case: JudgeCase, *, vote: int = 0) -> Judgement:
        """A judgement; where a call failed its levels are None and ``failure`` says why."""
        # One call after the other: a text's first call warms the endpoint's cache for the next.
        answers = [
            (dimensions, await self._client.complete(request, model=self.model, read=_Reader(dimensions)))
            for dimensions, request in judge_requests(case, self._rubric, self._settings, vote=vote)
        ]
        return _joined(self.model, self._rubric, answers)


def judge_requests(
    case: JudgeCase, rubric: Rubric, settings: JudgeSettings, *, vote: int = 0
) -> list[tuple[tuple[Dimension, ...], ChatRequest]]:
    """The calls of one vote, each with the dimensions it asks for.

    Each vote names the dimensions in another order (turned by one), as judges lean towards what comes first.
    """
    turn = vote % rubric.num_dimensions
    order = rubric.dimensions[turn:] + rubric.dimensions[:turn]
    asked = [(dimension,) for dimension in order] if settings.per_dimension else [order]
    fence, text = fenced(case.text)
    common: dict[str, Any] = {
        "top": rubric.num_classes - 1,
        "task_prompt": None if case.prompt is None else fenced(case.prompt)[1],
        "facts": _facts(case.facts, case.prompt),
        "report": text,
        "fence": fence,
    }
    name = "judge_dimension" if settings.per_dimension else "judge"
    version = prompt_version(name, folder=settings.prompts)
    found = []
    for dimensions in asked:
        values = [dimension_values(dimension) for dimension in dimensions]
        own = {"dimension": values[0]} if settings.per_dimension else {"dimensions": values}
        request = ChatRequest(
            messages=render_messages(name, folder=settings.prompts, **own, **common),
            temperature=settings.temperature,
            max_tokens=_MAX_TOKENS,
            schema=_schema(dimensions),
            purpose="judge",
            version=f"{rubric.name}@{rubric.version}+{version}",
            sample=vote,
        )
        found.append((tuple(dimensions), request))
    return found


def _facts(facts: FactSheet | None, prompt: str | None) -> str | None:
    """The figures as a table with their unit; None where the prompt holds that table already."""
    if facts is None:
        return None
    table = fact_table(facts)
    return None if prompt is not None and table in prompt else f"单位：{facts.unit}\n{table}"


def _schema(dimensions: Sequence[Dimension]) -> dict[str, Any]:
    """Reasons stand before levels, and wrong figures before both: what is written first guides the rest."""
    names = [dimension.name for dimension in dimensions]

    def object_of(properties: dict[str, Any]) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        }

    levels = {d.name: {"type": "integer", "enum": list(range(len(d.levels)))} for d in dimensions}
    return object_of(
        {
            "wrong_numbers": {"type": "array", "items": {"type": "string"}},
            "reasons": object_of({name: {"type": "string"} for name in names}),
            "levels": object_of(levels),
        }
    )


@dataclass(frozen=True)
class _Read:
    levels: dict[str, int]
    reasons: dict[str, str]
    wrong: tuple[str, ...]


@dataclass(frozen=True)
class _Reader:
    """Makes levels of an answer, or says what is wrong with it in words that the model can follow."""

    dimensions: tuple[Dimension, ...]

    def __call__(self, text: str) -> _Read:
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            raise AnswerError("不是 JSON，请只输出一个 JSON 对象") from None
        if not isinstance(value, dict):
            raise AnswerError("不是 JSON 对象")
        levels, reasons = value.get("levels"), value.get("reasons")
        if not isinstance(levels, dict):
            raise AnswerError('缺少对象 "levels"')
        reasons = reasons if isinstance(reasons, dict) else {}
        found, why = {}, {}
        for dimension in self.dimensions:
            name, top = dimension.name, len(dimension.levels) - 1
            level = levels.get(name)
            # true is an int to Python, and 3.0 is a whole number to JSON; a string is neither.
            if isinstance(level, bool) or not isinstance(level, int | float) or level not in range(top + 1):
                raise AnswerError(f"levels.{name} 应为 0 到 {top} 的整数，而不是 {shown(level)}")
            reason = reasons.get(name)
            if not isinstance(reason, str) or not reason.strip():
                raise AnswerError(f"缺少 reasons.{name}，请先写理由")
            found[name], why[name] = int(level), sound(reason).strip()[:_MAX_REASON]
        wrong = value.get("wrong_numbers")
        items = [item for item in wrong if isinstance(item, str)] if isinstance(wrong, list) else []
        kept = tuple(sound(item).strip()[:_MAX_REASON] for item in items[:_MAX_WRONG] if item.strip())
        return _Read(found, why, kept)


def _joined(
    model: str, rubric: Rubric, answers: Iterable[tuple[tuple[Dimension, ...], Answer[_Read]]]
) -> Judgement:
    levels: dict[str, int | None] = dict.fromkeys(rubric.names)
    reasons: dict[str, str] = {}
    wrong: dict[str, None] = {}
    failures = []
    for dimensions, answer in answers:
        if answer.value is None or answer.failure is not None:
            failure = answer.failure
            names = "" if len(dimensions) == rubric.num_dimensions else f"{dimensions[0].name}: "
            failures.append(names + (f"{failure.kind}: {failure.reason}" if failure else "empty: no answer"))
            continue
        levels |= answer.value.levels
        reasons |= answer.value.reasons
        wrong |= dict.fromkeys(answer.value.wrong)
    ordered = {name: reasons[name] for name in rubric.names if name in reasons}
    return Judgement(model, levels, ordered, tuple(wrong), "; ".join(failures) or None)
