"""Outline and background by a language model, held against the sheet that code drew."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from reward_model.calc.check import check_text
from reward_model.data.framework_plan import FrameworkPlan
from reward_model.data.prompting import prompt_version, render_messages
from reward_model.llm import Answer, AnswerError, ChatClient, ChatRequest
from reward_model.schema import FactSheet
from reward_model.statements.catalogue import Kind
from reward_model.statements.contradictions import contradictions
from reward_model.statements.names import real_names
from reward_model.statements.sheet import Statements
from reward_model.tasks import Framework, fact_table

PROMPT = "framework"
TEMPERATURE = 0.9
"""High, since variety is what frameworks are asked for; every answer is checked."""
SECTIONS = (4, 7)
LENGTH = (80, 420)
"""Characters of a background; the corpus's have about 130."""
_MAX_TOKENS = 1200
_MOST_TITLE = 30
_MOST_FAULTS = 5

_MOVES: Mapping[Kind, Mapping[str, str]] = {
    "company": {
        "revenue": "营业收入", "gross_margin": "毛利率", "expense_rate": "期间费用率",
        "other_income": "其他收益及减值净额", "profit": "净利润", "receivables": "应收账款",
        "inventories": "存货", "debt": "有息负债", "leverage": "资产负债率",
        "operating_cash": "经营活动现金流量净额", "capex": "购建长期资产支付的现金",
    },
    "property": {
        "revenue": "营业收入", "gross_margin": "毛利率", "profit": "净利润", "presales": "合同销售金额",
        "contract_liabilities": "合同负债", "inventories": "存货", "debt": "有息负债",
        "leverage": "资产负债率", "operating_cash": "经营活动现金流量净额",
    },
    "bank": {
        "loans": "贷款总额", "deposits": "存款总额", "margin": "净息差", "fees": "手续费及佣金净收入",
        "other_bank_income": "其他非息收入", "overhead": "业务及管理费", "impairment": "信用减值损失",
        "profit": "净利润", "bad_rate": "不良贷款率", "coverage": "拨备覆盖率",
        "core_ratio": "核心一级资本充足率",
    },
}  # fmt: skip
"""What a background must not contradict, told to the model in words."""

Title = Annotated[str, StringConstraints(strip_whitespace=True, min_length=2, max_length=_MOST_TITLE)]


class FrameworkText(BaseModel):
    """What a model is asked for.

    Attributes:
        company: another name than the one proposed.
        outline: titles in order, without numbers before them.
        background: a few sentences.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    company: Annotated[str, StringConstraints(strip_whitespace=True, min_length=3, max_length=16)] | None = (
        None
    )
    outline: Annotated[tuple[Title, ...], Field(min_length=SECTIONS[0], max_length=SECTIONS[1])]
    background: Annotated[
        str, StringConstraints(strip_whitespace=True, min_length=LENGTH[0], max_length=LENGTH[1])
    ]


def framework_request(plan: FrameworkPlan, prompts: Path | None = None) -> ChatRequest:
    """The request for a plan's words; ``prompts``: a folder of the user's own."""
    statements = plan.statements
    sheet = statements.fact_sheet()
    messages = render_messages(
        PROMPT,
        folder=prompts,
        field=statements.field,
        company=plan.company.name,
        style=plan.style,
        focus=plan.focus or "",
        unit=sheet.unit,
        periods=list(sheet.periods),
        table=fact_table(sheet),
        moves=movements(statements),
        storylines={
            "before": statements.plot.before.name,
            "main": statements.plot.main.name,
            "sides": [scenario.name for scenario in statements.plot.sides],
        },
        story=plan.words()[1],
        sections=list(SECTIONS),
        length=list(LENGTH),
    )
    return ChatRequest(
        messages=messages,
        temperature=TEMPERATURE,
        max_tokens=_MAX_TOKENS,
        schema=FrameworkText.model_json_schema(),
        purpose="framework",
        version=prompt_version(PROMPT, folder=prompts),
    )


async def write_framework(
    plan: FrameworkPlan, client: ChatClient, model: str, prompts: Path | None = None
) -> tuple[Framework | None, Answer[FrameworkText]]:
    """The framework with a model's words, or None with the answer that says why not."""
    answer = await client.complete(
        framework_request(plan, prompts), model=model, read=lambda text: read_text(text, plan)
    )
    found = answer.value
    if answer.failure is not None or found is None:
        return None, answer
    name = found.company or plan.company.name
    return plan.framework(found.outline, found.background, company=name, written_by=answer.model), answer


def read_text(text: str, plan: FrameworkPlan) -> FrameworkText:
    """A model's answer, if nothing in it contradicts the sheet.

    Raises:
        pydantic.ValidationError: it is not the JSON that was asked for.
        AnswerError: with what is wrong, for the model.
    """
    found = FrameworkText.model_validate_json(text)
    faults = list(_faults(found, plan.statements.fact_sheet()))
    if faults:
        raise AnswerError("；".join(faults[:_MOST_FAULTS]))
    return found


def _faults(found: FrameworkText, sheet: FactSheet) -> list[str]:
    faults = []
    if len(set(found.outline)) < len(found.outline):
        faults.append("分析框架中有重复的标题，请换成不同的标题")
    numbered = [title for title in found.outline if title[0].isdecimal()]
    if numbered:
        faults.append(f"标题“{numbered[0]}”前不要写序号")
    named = real_names(" ".join((found.company or "", found.background, *found.outline)))
    if named:
        faults.append(f"出现了真实公司的名称（{'、'.join(named)}），请改用虚构公司或“同业龙头”一类的说法")
    faults += [
        f"背景中的“{claim.text}”与财务数据不符，请删去数字或改正"
        + (f"（应为{claim.recomputed}）" if claim.recomputed else "")
        for claim in check_text(found.background, sheet).claims
        if claim.verdict == "wrong"
    ]
    last = len(sheet.periods) - 1
    faults += [
        f"背景中的“{clause}”与财务数据的变动方向相反" for clause in contradictions(found.background, sheet)
    ]
    faults += [
        f"标题“{title}”与财务数据的变动方向相反"
        for title in found.outline
        if contradictions(title, sheet, year=last)
    ]
    return faults


def movements(statements: Statements) -> list[dict[str, Any]]:
    """Which way the main figures went: ``{"item": ..., "ways": [...]}``, a way each year but the first."""
    found = []
    for measure, item in _MOVES[statements.kind].items():
        ways = [_way(statements, measure, year) for year in (1, 2)]
        found.append({"item": item, "ways": ways})
    return found


def _way(statements: Statements, measure: str, year: int) -> str:
    for way, word in (("up", "上升"), ("down", "下降")):
        if statements.holds(f"{measure} {way}", year):
            return word
    return "基本持平"
