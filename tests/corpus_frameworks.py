"""The corpus's prompts as frameworks, and rubrics other than the built-in ones."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

from reward_model.rubric import Rubric, parse_rubric
from reward_model.samples import corpus_path
from reward_model.schema import FactSheet
from reward_model.tasks import Framework


@cache
def corpus_rows() -> tuple[dict[str, Any], ...]:
    """The pairs that come with the package."""
    return tuple(json.loads(line) for line in corpus_path().read_text(encoding="utf-8").splitlines())


def framework_of(row: dict[str, Any]) -> Framework:
    """The framework that a corpus prompt was made from."""
    prompt, metadata = row["prompt"], row["metadata"]
    outline = re.findall(r"^\d+\. (.*)$", prompt.split("【分析框架】")[1].split("【")[0], re.M)
    background = re.search(r"【背景】\n?(.*?)\n【财务", prompt, re.S)
    style = re.search(r"【文体】(.*)", prompt)
    company = re.search(r"【公司】(.*?)（", prompt)
    assert company
    return Framework(
        id=str(metadata["id"]),
        field=metadata["field"],
        company=company[1],
        style=style[1] if style else "",
        outline=tuple(outline),
        background=background[1] if background else "",
        fact_sheet=FactSheet.model_validate(metadata["fact_sheet"]),
    )


def four_by_ten() -> Rubric:
    """A user's rubric: four dimensions of ten levels, degradations, focuses and severities of its own."""
    levels = "".join(f"      - 第{level}级\n" for level in range(10))
    dimensions = (
        ("insight", "洞察力", "是否说明原因并把科目联系起来。"),
        ("disclosure", "风险揭示", "是否指出风险及其触发条件。"),
        ("clarity", "可读性", "行文是否清晰易读。"),
        ("figures", "数字准确", "数字是否经得起复算。"),
    )
    text = "name: four\ndimensions:\n" + "".join(
        f"  - name: {name}\n    title: {title}\n    description: {said}\n    levels:\n{levels}"
        for name, title, said in dimensions
    )
    text += (
        "degradations:\n"
        "  - {name: 只报数字, target: insight, description: 去掉归因与前瞻。}\n"
        "  - {name: 报喜不报忧, target: disclosure, description: 删去风险与预警。}\n"
        "  - {name: 冗长晦涩, target: clarity, description: 长句、啰嗦、不分段。}\n"
        "  - {name: 算错数, target: figures, description: 写入错误的数值。}\n"
        "quality_focuses: [风险合规优先, 简明扼要]\n"
        "severities: [轻微, 较轻, 明显, 严重]\n"
    )
    return parse_rubric(text, "four.yaml")
