"""What a text must pass before a pair is accepted; a failed check is a sentence for writer and user."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from rapidfuzz import fuzz

from reward_model.calc.check import check_text
from reward_model.calc.result import CheckResult, Claim
from reward_model.data.prompt_values import figure_dimension
from reward_model.rubric import Rubric
from reward_model.tasks import PairTask

_HAN = re.compile(r"[\u3400-\u9fff]")
_LETTER = re.compile(r"[^\W\d_]")
_NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")
_META = re.compile(
    r"作为(?:一[名个位款])?(?:AI|人工智能|大?语言模型|大模型)|(?:AI|语言模型)助手"
    r"|我(?:无法|不能)(?:完成|提供|生成|协助)|黄金(?:响应|标准)|降级|改写(?:稿|后|版)|原报告|毛病清单"
    r"|(?:按照|根据)(?:您|你)的?(?:要求|指示|需求)|提示词|质量侧重|(?:As an AI|Here is|Here's)\b",
    re.IGNORECASE,
)
_OPENING = re.compile(
    r"\s*(?:好的[，,。！]|当然[，,！]|没问题|以下(?:是|为)[^。\n]{0,30}(?:报告|分析|版本|正文)[^。\n]{0,10}[：:]\s*\n)"
)

_LEAD = 6
"""Characters before a figure that tell whether it is said of the same thing."""


@dataclass(frozen=True)
class Gates:
    """Bounds of the checks.

    Attributes:
        length_slack: a gold text may be so many times shorter or longer than was asked for.
        length_ratio: characters of the degraded text over the gold text's, from and to.
        most_alike: similarity of the two from which on nothing seems to have been done; where figures are the
            target, one changed figure is enough.
        least_alike: similarity below which the degraded text isn't the gold text's.
        han_share: of all letters, at least.
        least_figures: figures of a gold text that the checker must be able to check.
        strange_figures: share of the degraded text's figures that may be neither the gold text's nor the
            statements' nor checked, where figures are not the target.
    """

    length_slack: float = 1.6
    length_ratio: tuple[float, float] = (0.5, 1.8)
    most_alike: float = 0.985
    least_alike: float = 0.05
    han_share: float = 0.45
    least_figures: int = 3
    strange_figures: float = 0.2


DEFAULT_GATES = Gates()


def gold_faults(
    text: str, task: PairTask, length: tuple[int, int], gates: Gates = DEFAULT_GATES
) -> list[str]:
    """The checks that a gold text fails; [] if it can be used."""
    faults = list(_form_faults(text, gates))
    size, low, high = len(text), length[0] / gates.length_slack, length[1] * gates.length_slack
    if not low <= size <= high:
        faults.append(f"篇幅 {size} 字，要求 {length[0]} 至 {length[1]} 字")
    result = check_text(text, task.framework.fact_sheet)
    faults += [_wrong(claim) for claim in result.wrong]
    if result.summary.checked < gates.least_figures:
        faults.append(f"能与数据表核对的数字只有 {result.summary.checked} 个，请引用并计算更多数据")
    return faults


def degraded_faults(
    text: str, gold: str, task: PairTask, rubric: Rubric, gates: Gates = DEFAULT_GATES
) -> list[str]:
    """The checks that a degraded text fails beside its gold text; [] if it can be used."""
    faults = list(_form_faults(text, gates))
    low, high = gates.length_ratio
    ratio = len(text) / max(1, len(gold))
    if not low <= ratio <= high:
        faults.append(f"篇幅为原报告的 {ratio:.2f} 倍，应在 {low:g} 至 {high:g} 倍之间")
    about_figures = task.degradation.target == figure_dimension(rubric)
    alike = fuzz.ratio(text, gold) / 100
    if text == gold or (not about_figures and alike > gates.most_alike):
        faults.append(f"与原报告几乎相同（相似度 {alike:.2f}），看不出“{task.degradation.name}”")
    elif alike < gates.least_alike or not _same_subject(text, gold, task):
        faults.append(f"与原报告无关（相似度 {alike:.2f}，没有共同的公司名或数字）")
    result = check_text(text, task.framework.fact_sheet)
    strange = _strange(result, gold, task)
    # What the gold text says in the same words, it says elsewhere: in a text out of order the checker may
    # hold a figure against the wrong year.
    wrong = [claim for claim in result.wrong if _with_lead(text, claim) not in gold]
    if about_figures:
        if not wrong and not strange:
            faults.append("没有发现算错的数字，请写入与数据表不符的数字")
        return faults
    # A wrong unit (% for 个百分点) is a slip of style, which other degradations may well bring.
    faults += [f"数字不应改动：{_wrong(claim)}" for claim in wrong if claim.severity == "major"]
    if len(strange) > max(3, gates.strange_figures * result.summary.figures):
        named = "、".join(claim.text for claim in strange[:5])
        faults.append(f"有 {len(strange)} 个数字不在原报告与数据表中，如 {named}")
    return faults


def _form_faults(text: str, gates: Gates) -> Iterator[str]:
    letters = len(_LETTER.findall(text))
    share = len(_HAN.findall(text)) / letters if letters else 0.0
    if share < gates.han_share:
        yield f"不是中文报告（汉字占 {share:.0%}）"
    found = _META.search(text) or _OPENING.match(text)
    if found:
        yield f"出现与报告无关的话：“{found[0].strip()[:30]}”"
    if "```" in text:
        yield "出现代码块标记"


def _same_subject(text: str, gold: str, task: PairTask) -> bool:
    if task.framework.company in text:
        return True
    return bool({n for n in _NUMBER.findall(text) if "." in n} & set(_NUMBER.findall(gold)))


def _strange(result: CheckResult, gold: str, task: PairTask) -> list[Claim]:
    """Figures that can't be checked and stand neither in the gold text nor in the task."""
    known = set(_NUMBER.findall(gold)) | set(_NUMBER.findall(task.framework.prompt()))
    return [
        claim
        for claim in result.claims
        if claim.verdict == "unverifiable" and set(_NUMBER.findall(claim.text)) - known
    ]


def _with_lead(text: str, claim: Claim) -> str:
    start, end = claim.span
    return text[max(0, start - _LEAD) : end]


def _wrong(claim: Claim) -> str:
    name = " ".join(filter(None, (claim.metric, claim.period)))
    right = f"，应为 {claim.recomputed}" if claim.recomputed else ""
    how = f"：{claim.formula}" if claim.formula else ""
    return f"“{claim.text}”{f'（{name}）' if name else ''}有误{right}{how}"
