"""A chat server that writes and judges: real reports of the corpus, faults made by code, levels that follow.

Its answers depend on the request alone, so that a killed run's files can be compared with a whole one's.
"""

from __future__ import annotations

import functools
import json
import random
import re
from collections.abc import Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from chat_answers import text_of
from chat_server import ChatServer, running

from reward_model.data.gates import gold_faults
from reward_model.data.llm_writer import LENGTH, MARKER
from reward_model.degrade.figures import corrupt_figures
from reward_model.degrade.passages import first_part, shuffle_sentences
from reward_model.rubric import load_rubric
from reward_model.samples import corpus_path
from reward_model.schema import FactSheet
from reward_model.tasks import Framework, PairTask

PLATITUDES = (
    "公司将坚持稳中求进的工作总基调，积极应对内外部环境变化，推动经营质量迈上新台阶。",
    "在各方共同努力下，公司整体运行平稳，发展韧性持续增强，长期向好的趋势没有改变。",
    "下一步要优化结构、提升效率、防范风险，为高质量发展打下坚实基础。",
)
COLLOQUIAL = {
    "净利润": "到手的钱",
    "同比": "跟去年比",
    "毛利率": "毛利那个率",
    "有息负债": "借的钱",
    "现金流": "现金进出",
}


@functools.cache
def golds(count: int = 20) -> dict[str, tuple[Framework, str]]:
    """Company to (framework, a gold text that passes the gates), from the corpus; several fields."""
    rubric = load_rubric()
    found: dict[str, tuple[Framework, str]] = {}
    for line in corpus_path().read_text(encoding="utf-8").splitlines():
        pair = json.loads(line)
        meta = pair["metadata"]
        framework = Framework(
            id=f"f-{meta['id']}",
            field=meta["field"],
            company=meta["company"],
            style=meta.get("style", ""),
            outline=("盈利", "现金流", "偿债"),
            fact_sheet=FactSheet.model_validate(meta["fact_sheet"]),
        )
        task = PairTask("t", framework, "归因深度导向", rubric.degradations[0], "中度")
        if not gold_faults(pair["chosen"], task, LENGTH):
            found[framework.company] = (framework, pair["chosen"])
        if len(found) == count:
            break
    return found


def frameworks(count: int = 20) -> list[Framework]:
    return [framework for framework, _ in golds(count).values()]


def write_frameworks(path: Path, count: int = 20) -> Path:
    lines = [json.dumps(f.model_dump(mode="json"), ensure_ascii=False) for f in frameworks(count)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def degraded(gold: str, kind: str, facts: FactSheet | None) -> tuple[str, list[str]]:
    """``gold`` with the faults of ``kind``, and what they are."""
    rng = random.Random(gold + kind)
    if kind == "引入计算错误":
        assert facts is not None
        made = corrupt_figures(gold, facts, wrong=3, seed=1)
        return made.text, [f"写了{edit.became}，应为{edit.was}" for edit in made.edits]
    if kind == "结构混乱":
        return shuffle_sentences(gold, 1), ["全文语序打乱"]
    if kind == "弱化专业性":
        text = gold
        for term, plain in COLLOQUIAL.items():
            text = text.replace(term, plain)
        lines = [f"说白了啊，{line}" for line in text.replace("。", "吧。").split("\n")]
        return "\n".join(lines), ["术语换成大白话"]
    short = first_part(gold, 0.6)
    return f"{short}\n{''.join(rng.sample(PLATITUDES, 3))}", ["后半篇换成套话"]


def company_of(text: str) -> str:
    found = re.search(r"【公司】(.+?)（", text)
    return found[1] if found else ""


def answer(text: str, more: Mapping[str, tuple[Framework, str]] | None = None) -> str | None:
    """The answer to a prompt of this package; None if it is none. ``more``: companies beside the corpus's."""
    company = company_of(text)
    framework, gold = {**golds(), **(more or {})}.get(company, (None, ""))
    if MARKER in text:
        kind = re.search(r"【要写成的毛病：(.+?)，程度", text)
        given = re.search(r"<<<(原报告-\w+)\n(.*)\n\1>>>", text, re.DOTALL)
        assert kind is not None
        assert given is not None
        made, faults = degraded(given[2], kind[1], framework.fact_sheet if framework else None)
        return "\n".join([made, MARKER, *(f"- {fault}" for fault in faults)])
    if "【评分标准】" in text:
        return judgement(text, gold, framework.fact_sheet if framework else None)
    if "【写作要求】" in text:
        return gold or None
    return None


def judgement(text: str, gold: str, facts: FactSheet | None) -> str:
    """Levels: the top for the gold text, less in the dimension that a known fault is in."""
    given = re.search(r"<<<(REPORT-\w+)\n(.*)\n\1>>>", text, re.DOTALL)
    assert given is not None
    report = given[2]
    names = re.findall(r"^.+（(\w+)）：", text, re.MULTILINE)
    top = int(re.findall(r"从 0 到 (\d+) 分", text)[0])
    levels = dict.fromkeys(names, top)
    wrong: list[str] = []
    targets = {d.name: d.target for d in load_rubric().degradations}
    for kind, target in targets.items():
        if target in levels and facts is not None and gold and report == degraded(gold, kind, facts)[0]:
            levels[target] = top // 3
    numbers = set(re.findall(r"\d+\.\d+", report)) - set(re.findall(r"\d+\.\d+", gold))
    if "accuracy" in levels and gold and numbers:
        levels["accuracy"] = top // 3
        wrong = [f"写了{number}" for number in sorted(numbers)]
    reasons = {name: f"{name} 的理由：{report[:10]}" for name in names}
    return json.dumps({"wrong_numbers": wrong, "reasons": reasons, "levels": levels}, ensure_ascii=False)


class FinancialServer(ChatServer):
    """The misbehaving server, answering as :func:`answer`; ``spoil``: part of a prompt to its answer."""

    def __init__(self, spoil: Mapping[str, str] | None = None, **config: Any) -> None:
        self.spoil = dict(spoil or {})
        self.more: dict[str, tuple[Framework, str]] = {}
        self.asked: list[str] = []
        super().__init__(**config)

    def _text(self, body: Mapping[str, Any], key: str, item: str) -> str:
        text = text_of(body)
        self.asked.append(text)
        for part, said in self.spoil.items():
            if part in text:
                return said
        return answer(text, self.more) or super()._text(body, key, item)


@asynccontextmanager
async def financial_chat(spoil: Mapping[str, str] | None = None, **config: Any):
    """A running :class:`FinancialServer`."""
    async with running(FinancialServer(spoil, **config)) as server:
        yield server
