"""The embedded judge: levels from the checker's findings and from features of the text, with reasons."""

from __future__ import annotations

import re

from reward_model.evidence import find_facts
from reward_model.offline.features import read
from reward_model.offline.material import material
from reward_model.offline.quality import (
    FITTED,
    Weighed,
    accuracy_level,
    family_of,
    level_of,
    weigh,
)
from reward_model.offline.reading import Reading
from reward_model.rubric import Dimension, Rubric
from reward_model.tasks import JudgeCase, Judgement

MODEL = "offline-judge"
_MOST_NAMED = 20
_SEEN = 0.15
"""From where on an unfavourable feature is named."""

_SHORTEST = 40
"""Characters below which there is nothing to judge."""

_FEWEST_WORDS = 3
"""Different words of the field that a text on it has at least."""

_HAN = re.compile(r"[一-鿿]")
_FINANCE = re.compile(
    r"收入|利润|毛利|费用|现金|资产|负债|权益|存货|应收|借款|贷款|存款|息差|不良|拨备|资本|销售|财务|经营|盈利|亏损|分红"
)


class OfflineJudge:
    """Judges one text at a time by any rubric; the same text always gets the same levels.

    Args:
        rubric: the dimensions and how many levels they have.
    """

    def __init__(self, rubric: Rubric) -> None:
        self.rubric = rubric
        self._families = {dimension.name: family_of(dimension) for dimension in rubric.dimensions}

    async def judge(self, case: JudgeCase, *, vote: int = 0) -> Judgement:
        """A judgement; ``vote`` above 0 weighs the features slightly otherwise, each in its own way."""
        nothing = _nothing_to_judge(case.text)
        if nothing:
            names = self.rubric.names
            return Judgement(MODEL, dict.fromkeys(names, 0), dict.fromkeys(names, nothing))
        try:
            reading = read(case.text, find_facts(case.facts, case.prompt))
        except Exception as error:  # a text may be anything; one that breaks the judge is not scored
            none = dict.fromkeys(self.rubric.names)
            return Judgement(MODEL, none, failure=f"cannot be read: {type(error).__name__}")
        levels: dict[str, int | None] = {}
        reasons = {}
        for dimension in self.rubric.dimensions:
            levels[dimension.name], reasons[dimension.name] = self._one(reading, dimension, vote)
        return Judgement(MODEL, levels, reasons, wrong_numbers=wrong_numbers(reading))

    def _one(self, reading: Reading, dimension: Dimension, vote: int) -> tuple[int, str]:
        family = self._families[dimension.name]
        if family == "accuracy":
            return accuracy_level(reading, self.rubric, dimension.name), _of_figures(reading)
        if family is None:
            both = [weigh(reading, name, vote) for name in FITTED]
            mean = sum(one.quality for one in both) / len(both)
            return level_of(mean, self.rubric.num_classes), _reason(reading, both[0])
        weighed = weigh(reading, family, vote)
        return level_of(weighed.quality, self.rubric.num_classes), _reason(reading, weighed)


def _nothing_to_judge(text: str) -> str:
    """Why a text gets the lowest levels at once; "" for one that is judged."""
    head = text[:100_000]
    han = len(_HAN.findall(head))
    if han < _SHORTEST:
        return (
            "全文几乎没有中文内容，无从评价。" if len(text.strip()) >= _SHORTEST else "文本过短，无从评价。"
        )
    if len(set(_FINANCE.findall(head))) < _FEWEST_WORDS:
        return "全文未涉及财务内容，答非所问。"
    return ""


def wrong_numbers(reading: Reading) -> tuple[str, ...]:
    """The wrong figures of a text, each with what it should be."""
    found = []
    for claim in [*reading.wrong, *reading.slips][:_MOST_NAMED]:
        what = f"{claim.metric or ''}{f'[{claim.period}]' if claim.period else ''}"
        right = f"，应为{claim.recomputed}" if claim.recomputed else ""
        found.append(f"{what}：写为{claim.text}{right}")
    return tuple(found)


def _of_figures(reading: Reading) -> str:
    checked = reading.checked
    named = wrong_numbers(reading)
    if reading.wrong:
        more = f"等{len(reading.wrong)}处" if len(reading.wrong) > 2 else ""
        return f"可核对的{checked}处数字中有误：{'；'.join(named[:2])}{more}。"
    if reading.slips:
        return f"数值可复算，但单位或口径有瑕疵：{'；'.join(named[:2])}。"
    if not reading.numbers:
        return "全文没有可核对的数字。"
    held = "与报表一致" if reading.result.evidence == "facts" else "前后一致（未附报表，只核对文内勾稽）"
    few = "，但可核对的数字偏少" if checked < 5 else ""
    return f"可核对的{checked}处数字{held}{few}。"


def _reason(reading: Reading, weighed: Weighed) -> str:
    """What speaks for the text, then what speaks against it, the weightiest first."""
    values, weights = reading.values, weighed.weights
    words = material("judge_reasons")
    # What the text's own words show comes before what is only counted.
    for_it = sorted(
        (name for name, weight in weights.items() if weight > 0 and values[name] >= 0.55),
        key=lambda name: (not reading.found.get(name), -weights[name] * values[name]),
    )
    lacking = sorted(
        (name for name, weight in weights.items() if weight > 0 and values[name] <= 0.3),
        key=lambda name: -weights[name] * (1 - values[name]),
    )
    against = sorted(
        (
            name
            for name, weight in weights.items()
            if weight < 0 and values[name] >= words[name].get("from", _SEEN)
        ),
        key=lambda name: weights[name] * values[name],
    )
    good = [_say(reading, name, "good") for name in for_it[:2]]
    bad = list(dict.fromkeys(_say(reading, name, "bad") for name in against[:2]))
    bad += [_say(reading, name, "bad") for name in lacking[: 2 if not against else 1]]
    if good and bad:
        return f"{'，'.join(good)}；但{'，'.join(bad)}。"
    return f"{'，'.join(good or bad) or '未见突出之处，也无明显缺陷'}。"


def _say(reading: Reading, name: str, side: str) -> str:
    said: str = material("judge_reasons")[name][side]
    quoted = [text for text in reading.found.get("recited" if name == "analysed" else name, []) if text]
    # Words are shown together, sentences by one of them.
    shown = quoted[:3] if name in ("colloquial", "platitudes", "vague") else quoted[:1]
    return said.replace("{例}", f"（如{'、'.join(f'“{text}”' for text in shown)}）" if shown else "")
