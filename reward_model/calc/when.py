"""When a figure is of, and against when: the periods named before it and the one its sentence opened with."""

from __future__ import annotations

import re
from typing import NamedTuple

from reward_model.calc import words
from reward_model.calc.annotated import AnnotatedText
from reward_model.calc.book import Period
from reward_model.calc.periods import PeriodMention
from reward_model.calc.surroundings import Surroundings

COMPARES = re.compile("[^，,。；;]{0,10}(?:相比|相较|比较|比|持平|相当)")
"""Behind 与2023年: the two are compared, not listed."""
BASIS = re.compile("(?:实际|末|全年|水平)?(?:为|作)?(?:基准|基数|基期|起点)")
"""Behind a period: it is what a change is against."""
OPENS = re.compile(r"(?:[，,。；;：:（(\n、\s*|#>—-]|公司|全行|我行|集团|其|在|而|但|且|从|至|到|与|和)$")
"""Before a period that holds for the rest of the sentence."""
OTHER_CLAUSE = re.compile("[，,；;（(]")
"""Between a period and a figure of another clause."""
THAT_YEAR = frozenset({"当年", "该年", "同期", "当期", "同年"})
"""Periods that are the one spoken of."""


class When(NamedTuple):
    """When a figure is of.

    Attributes:
        period: the period.
        base: what a change is against; None for the year before.
        explicit: the period was named in the same clause.
    """

    period: Period
    base: Period | None
    explicit: bool


def when(note: AnnotatedText, here: Surroundings) -> When:
    """The periods that the words before a figure name; keeps in ``here.carried`` what goes on from there."""
    carried, at = here.carried, here.figure.start
    change = here.figure.kind == "points" or here.figure.signed
    period = base = None
    back = 0
    explicit = False
    for mention in note.periods_in(here.start, at):
        found = note.period_of(mention)
        if found is None or mention.end > at:
            continue
        between = note.text[mention.end : at]
        close = not change and not between.strip(" 的为是：:约)）（(")
        if BASIS.match(between):
            base = base if "基数" in between[:4] else found
        elif not close and _is_base(note, here, mention, between):
            if mention.year is None and mention.offset is not None and mention.part in ("", "start"):
                back = max(1, -mention.offset)
            else:
                base = carried.base = found
        else:
            same_clause = OTHER_CLAUSE.search(between) is None
            if mention.text in THAT_YEAR and carried.period is not None:
                found = carried.period
            opens = mention.start == 0 or OPENS.search(note.text[max(0, mention.start - 3) : mention.start])
            if mention.year is not None:
                if opens and not close:
                    carried.period = found
                period, explicit = found, explicit or same_clause
            elif same_clause:
                period, explicit = found, True
            elif mention.offset is not None and mention.offset < 0 and opens and between[:1] in "，,":
                carried.period = found
    period = period or carried.period or note.now
    return When(period, _base(note, here, period, period.back(back) if back else base), explicit)


def _is_base(note: AnnotatedText, here: Surroundings, mention: PeriodMention, between: str) -> bool:
    """Whether a period is one that something is compared with: 较2023年, 与上年相比."""
    against = words.BASE.search(note.text[max(here.start, mention.start - 3) : mention.start])
    if against is None:
        return False
    listed = against[0].strip() in ("与", "同", "对")
    return not listed or COMPARES.match(between) is not None


def _base(note: AnnotatedText, here: Surroundings, period: Period, named: Period | None) -> Period | None:
    """What a change is against: the period named, the one carried on, or what 两年 reaches back to."""
    at = here.figure.start
    if named is None and words.YEAR_ON_YEAR.search(note.text, here.start, at):
        here.carried.base = None
    base = named or here.carried.base
    if base is None and words.SPAN.search(note.text, here.start, at):
        base = period.back(2)
    return base
