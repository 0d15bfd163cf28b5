"""Gold texts and their degradations by a language model: prompts in, drafts out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from reward_model.data.prompt_values import (
    degradation_values,
    dimension_values,
    fenced,
    figure_dimension,
    sound,
)
from reward_model.data.prompting import has_prompt, prompt_version, render, render_messages
from reward_model.llm import Answer, AnswerError, ChatClient, ChatRequest
from reward_model.rubric import Rubric
from reward_model.tasks import Draft, PairTask

GOLD_TEMPERATURE = 0.3
DEGRADATION_TEMPERATURE = 0.5
"""The guide's; it advises up to 0.7 where degradations come out too weak."""
LENGTH = (700, 1300)
"""Characters that a report is asked to have; the corpus's have about 900."""
MARKER = "===毛病清单==="
_MARKER = re.compile(r"^\W{0,6}毛病清单\W{0,6}$", re.MULTILINE)
_BULLET = re.compile(r"^\s*(?:[-*•·]|\d{1,2}[.、)）])\s*")
_MAX_TOKENS = 4096
_SEEDS = 2**31


@dataclass(frozen=True)
class WriterSettings:
    """How texts are asked for.

    Attributes:
        gold_temperature, degradation_temperature: as sent.
        length: characters of a text, from and to.
        prompts: a folder of the user's own prompts.
    """

    gold_temperature: float = GOLD_TEMPERATURE
    degradation_temperature: float = DEGRADATION_TEMPERATURE
    length: tuple[int, int] = LENGTH
    prompts: Path | None = None


class LlmWriter:
    """Writes with one model of ``client``; a :class:`reward_model.tasks.Writer`."""

    def __init__(
        self, client: ChatClient, model: str, rubric: Rubric, settings: WriterSettings | None = None
    ) -> None:
        self._client = client
        self._model = model
        self._rubric = rubric
        self._settings = settings or WriterSettings()

    async def gold(self, task: PairTask, *, attempt: int = 0, feedback: Sequence[str] = ()) -> Draft:
        """The gold text; ``feedback`` goes into the prompt."""
        request = gold_request(task, self._rubric, self._settings, attempt=attempt, feedback=feedback)
        answer = await self._client.complete(request, model=self._model, read=_report)
        return self._draft(answer)

    async def degraded(
        self, task: PairTask, gold: str, *, attempt: int = 0, feedback: Sequence[str] = ()
    ) -> Draft:
        """``gold`` with the task's faults, and the model's own list of them as ``defects``."""
        request = degraded_request(
            task, gold, self._rubric, self._settings, attempt=attempt, feedback=feedback
        )
        return self._draft(await self._client.complete(request, model=self._model, read=_report_and_faults))

    def _draft(self, answer: Answer[tuple[str, tuple[str, ...]]]) -> Draft:
        if answer.failure is not None or answer.value is None:
            failure = answer.failure
            reason = f"{failure.kind}: {failure.reason}" if failure else "empty: no answer"
            return Draft(None, answer.model, failure=reason)
        text, faults = answer.value
        return Draft(text, answer.model, defects=faults)


def gold_request(
    task: PairTask,
    rubric: Rubric,
    settings: WriterSettings,
    *,
    attempt: int = 0,
    feedback: Sequence[str] = (),
) -> ChatRequest:
    """The request for a gold text."""
    framework, folder = task.framework, settings.prompts
    partial = _named("focus", task.quality_focus, folder)
    shared = {"focus": task.quality_focus, "field": framework.field, "company": framework.company}
    messages = render_messages(
        "gold",
        folder=folder,
        **shared,
        task_prompt=framework.prompt(),
        style=framework.style,
        unit=framework.fact_sheet.unit,
        periods=list(framework.fact_sheet.periods),
        guidance=render(partial, folder=folder, **shared),
        dimensions=[dimension_values(dimension) for dimension in rubric.dimensions],
        length=list(settings.length),
        feedback=list(feedback),
    )
    version = prompt_version("gold", partial, folder=folder)
    return _request(messages, settings.gold_temperature, task, rubric, "gold", version, attempt)


def degraded_request(
    task: PairTask,
    gold: str,
    rubric: Rubric,
    settings: WriterSettings,
    *,
    attempt: int = 0,
    feedback: Sequence[str] = (),
) -> ChatRequest:
    """The request for ``gold``'s degradation."""
    folder = settings.prompts
    partial = _named("degrade", task.degradation.name, folder)
    shared = degradation_values(task.degradation, task.severity, rubric)
    fence, text = fenced(gold, "原报告")
    messages = render_messages(
        "degrade",
        folder=folder,
        **{key: value for key, value in shared.items() if key not in {"levels", "aim"}},
        task_prompt=task.framework.prompt(),
        gold=text,
        fence=fence,
        kept=[item.title for item in rubric.dimensions if item.name != task.degradation.target],
        guidance=render(partial, folder=folder, **shared),
        figures_are_target=task.degradation.target == figure_dimension(rubric),
        length=list(_length(gold, settings.length)),
        marker=MARKER,
        feedback=list(feedback),
    )
    version = prompt_version("degrade", partial, folder=folder)
    return _request(messages, settings.degradation_temperature, task, rubric, "degraded", version, attempt)


def _length(gold: str, asked: tuple[int, int]) -> tuple[int, int]:
    """About the gold text's own length: a judge, or a model, must not tell the two by it."""
    size = len(gold)
    return (8 * size // 100 * 10, 12 * size // 100 * 10) if size >= 100 else asked


def _request(
    messages: tuple[dict[str, str], ...],
    temperature: float,
    task: PairTask,
    rubric: Rubric,
    purpose: str,
    version: str,
    attempt: int,
) -> ChatRequest:
    return ChatRequest(
        messages=messages,
        temperature=temperature,
        max_tokens=_MAX_TOKENS,
        seed=(task.seed + attempt) % _SEEDS,
        purpose=purpose,
        version=f"{rubric.name}@{rubric.version}+{version}",
        sample=attempt,
    )


def _named(kind: str, name: str, folder: Path | None) -> str:
    """The partial of this name, or the general one."""
    own = f"{kind}/{name}"
    usable = "/" not in name and "\\" not in name and not name.startswith(("_", "."))
    return own if usable and has_prompt(own, folder) else f"{kind}/_other"


def _report(text: str) -> tuple[str, tuple[str, ...]]:
    return _clean(text), ()


def _report_and_faults(text: str) -> tuple[str, tuple[str, ...]]:
    """The report before the marker and the list after it; without a marker there is no list."""
    parts = _MARKER.split(text)
    body = _clean(parts[0])
    lines = (_BULLET.sub("", line).strip() for line in sound("\n".join(parts[1:])).splitlines())
    return body, tuple(line for line in lines if line and not _MARKER.match(line))


def _clean(text: str) -> str:
    """The text without a fence around all of it, which some models can't be talked out of."""
    body = sound(text).strip()
    fence = re.fullmatch(r"```[a-zA-Z]*\n(.*?)\n```", body, re.DOTALL)
    body = (fence[1] if fence and "```" not in fence[1] else body).strip()
    if not body:
        raise AnswerError("没有报告正文，请写出报告全文")
    return body
