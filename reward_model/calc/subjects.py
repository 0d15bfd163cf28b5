"""Which metric a figure is of, and how firmly the words before it say so."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import NamedTuple

from reward_model.calc import words
from reward_model.calc.annotated import AnnotatedText
from reward_model.calc.figures import Figure
from reward_model.calc.rules import Mention, Metric
from reward_model.calc.surroundings import EQUALS, Surroundings

NET = frozenset({"自由现金流", "净有息负债", "净负债率", "核心利润", "拨备前利润", "购建长期资产支付的现金"})
"""Metrics that are a difference themselves: 扣除 before them takes nothing away."""
PROFITS = frozenset({"净利润", "利润总额", "归母净利润", "扣非净利润", "营业利润"})
"""What 亏损 is said of."""
EXPENSES = ("销售费用", "管理费用", "研发费用", "财务费用")
LONGEST_NOUN = 24
"""Characters of a subject that no rule knows."""

LOSS = re.compile("亏损?额?[^，,。；;]{0,8}$")
"""亏损 in the clause of a profit's figure."""
LOSS_NAMED = re.compile("亏损|净亏")
"""亏损 where no metric is named: the profit is meant."""
NOUN_EDGE = re.compile(r"[，,。；;：:（(）)\n|、]")
"""Between the parts of the words before a figure."""
SHUT = re.compile("[）)〕]")
"""A closing bracket behind a metric's name: the name was part of an aside ..."""
SHUT_OWN = re.compile(r"[^）)〕]{0,24}?[（(〔][^）)〕]*[）)〕]")
"""... unless the bracket was opened behind the name too."""
DEDUCTED = re.compile("(?:扣除|剔除|扣减|减去)$")
"""Right before a metric's name: it is what is taken away."""
DEDUCTS = re.compile("扣除|剔除|扣减")
"""Before a metric's name: something is taken away from it."""
THAN = re.compile("(?:已|仍|就|约|为|达|是)*(?:超过|超|逾|不到|不足|突破)了?")
"""Between a metric's name and its figure: a hedge, no comparison."""
BEHIND_NOUN = re.compile(
    f"的(?!{words.RATE_NOUN.pattern}|增|降|减|升|涨|跌|水平|高位|低位|历史|基础|区间|局面)[\u4e00-\u9fff]"
)
"""Behind a figure: it is the figure of the noun that follows."""
WORD_EDGE = re.compile(r"[，,。；;：:、\n）)（(*|和与及后]")
"""Before a metric's name: what stands before it belongs to something else."""
DAYS_OR_RATE = re.compile("天数$|率$|次数$")
"""The end of a turnover's name."""


class Subject(NamedTuple):
    """Whose figure it is.

    Attributes:
        metric: the metric, if it is known.
        firm: nothing but glue stands between its name and the figure.
        name: the metric's name, or the words in its place.
        narrowed: the words before the name make it a part of the metric, or another company's.
        behind: the name follows the figure.
        figure: the figure; a profit's after 亏损 as a loss.
    """

    metric: Metric | None
    firm: bool
    name: str
    narrowed: bool
    behind: bool
    figure: Figure


def subject_of(note: AnnotatedText, here: Surroundings, last: Metric | None) -> Subject:
    """The metric of a figure: named before it or behind, carried on in its sentence, or from the one before.

    Args:
        note: the text.
        here: where the figure stands.
        last: the last metric of the sentences before.
    """
    figure, mention, carried, rest = here.figure, here.mention, here.carried, here.rest
    narrowed = is_narrowed(note, here.start, mention) if mention else carried.narrowed
    metric = mention.metric if mention else carried.metric
    firm = not rest and metric is not None and not narrowed and not _spent(note, here) and not figure.coarse
    name = ""
    if mention is None:
        firm = firm and carried.firm
        name = "" if rest else carried.subject
    elif not narrowed and not rest:
        name = mention.metric.name
    if not name and metric is None:
        name = _noun(here.left)
    follows = _behind(note, figure) if mention is None else None
    if follows is not None:
        metric, firm, name = follows, False, follows.name
    elif metric is None and last is not None and not rest:
        metric, firm = last, False
    firm = firm and _undisputed(note, here, metric)
    if mention is None and LOSS_NAMED.search(here.left) and (metric is None or metric.name not in PROFITS):
        # 净亏损 names it; 亏损 alone may be another profit's.
        metric = note.rules.metrics.get("净利润", metric)
        firm = "净亏损" in here.left and not rest and _behind(note, figure) is None
    metric, firm = _in_full(note, here, metric, firm, last)
    if metric is not None and metric.name in PROFITS and LOSS.search(here.left) and not figure.signed:
        figure = replace(figure, loss=True)
    return Subject(metric, firm, name, narrowed, follows is not None, figure)


def _spent(note: AnnotatedText, here: Surroundings) -> bool:
    """Whether the name went with the figure before it: 「88.73亿元收入，与今年8.03亿元」."""
    mention = here.mention
    return (
        mention is not None
        and here.previous is not None
        and note.text[here.start : mention.start].strip() in ("", "的")
        and note.text[mention.end : mention.end + 1] in "，,。；;、"
    )


def _noun(left: str) -> str:
    """The words of the last clause before a figure without glue: the name of a subject that no rule knows."""
    parts = [part for part in NOUN_EDGE.split(left) if words.residue(part)]
    return words.residue(parts[-1])[-LONGEST_NOUN:] if parts else ""


def _behind(note: AnnotatedText, figure: Figure) -> Metric | None:
    """The metric that follows a figure: 「88.73亿元收入」, 「7.47亿元的销售费用」."""
    at = note.mentions_from(figure.end)
    if figure.kind not in ("money", "percent", "days", "count") or at >= len(note.mentions):
        return None
    mention = note.mentions[at]
    if note.text[figure.end : mention.start].strip() not in ("", "的"):
        return None
    return mention.metric if mention.metric.kind == figure.kind else None


def is_narrowed(note: AnnotatedText, start: int, mention: Mention) -> bool:
    """Whether the words right before a metric's name make it a part of it, or another company's."""
    before = note.text[max(start, mention.start - 8) : mention.start]
    previous = note.mentions_from(mention.start) - 1
    if previous >= 0 and note.mentions[previous].end == mention.start:
        return True  # 贷款资产: one name of two
    if previous >= 0 and note.mentions[previous].end > mention.start - len(before):
        before = before[note.mentions[previous].end - (mention.start - len(before)) :]
    before = WORD_EDGE.split(before)[-1]
    for other in note.periods_in(mention.start - 8, mention.start):
        before = before[max(0, other.end - (mention.start - len(before))) :]
    return bool(before) and words.NARROWING.search(before) is not None


# -- is the nearest metric a yardstick of another's figure? --------------------------------------------------


def _undisputed(note: AnnotatedText, here: Surroundings, metric: Metric | None) -> bool:
    """Whether nothing around makes the nearest metric a yardstick of another's figure."""
    figure, mention, tail = here.figure, here.mention, here.tail
    if _in_aside(note, here) or _deducted(here, metric):
        return False
    clause = words.LAST_CLAUSE.split(here.left)[-1]
    if words.SUM.search(tail) or words.CONTRIBUTION.search(clause) or words.ASIDE.search(tail):
        return False
    if figure.kind == "money" and (words.OVER_YEARS.search(clause) or words.EFFECT.search(clause)):
        return False
    if figure.kind == "days" and figure.value in (360, 365):
        return False
    if THAN.fullmatch(tail.strip()) and not note.text.startswith("的", figure.end):
        return True
    level = figure.kind != "percent" or (metric is not None and metric.kind == "percent")
    if words.GAP.search(tail) and level and not note.periods_in(figure.start - len(tail), figure.start):
        return False
    if mention is None:
        return BEHIND_NOUN.match(note.text, figure.end) is None
    return not _is_yardstick(note, here, mention)


def _in_aside(note: AnnotatedText, here: Surroundings) -> bool:
    """Whether the name stood in an aside in brackets, or on the left of a written formula."""
    if here.mention is None:
        return False
    if SHUT.search(here.tail) and not SHUT_OWN.match(here.tail):
        return True
    end = here.mention.end
    return note.text[end : end + 1] in EQUALS and "/" in here.tail


def _deducted(here: Surroundings, metric: Metric | None) -> bool:
    """Whether something was taken away from the metric, so that the figure is no longer its own."""
    if metric is None or metric.name in NET:
        return False
    mention = here.mention
    if mention is not None and DEDUCTED.search(here.left[: mention.start - here.start]):
        return False  # the metric itself is what is taken away
    # Not in the name itself: 剔除合同负债后的资产负债率.
    before = here.left if mention is None else here.left[: mention.start - here.start]
    return DEDUCTS.search(before) is not None


def _is_yardstick(note: AnnotatedText, here: Surroundings, mention: Mention) -> bool:
    """Whether the words before the name say that something else is measured by it."""
    figure = here.figure
    if mention.end - mention.start <= 3 and mention.metric.name in ("期间费用", "期间费用率"):
        # After 销售费用, 费用 may be that one.
        near = note.mentions_in(max(0, mention.start - 60), mention.start)
        if any(other.metric.name.startswith(EXPENSES) for other in near):
            return True
    before = note.text[max(here.start, mention.start - 4) : mention.start]
    if words.GAP.search(before) and figure.kind != "percent":
        return True
    if figure.kind == "money" and (before.endswith("对") or mention.metric.name == "利润"):
        return True
    return words.YARDSTICK.search(before) is not None


# -- names that are short for others -------------------------------------------------------------------------


def _in_full(
    note: AnnotatedText, here: Surroundings, metric: Metric | None, firm: bool, last: Metric | None
) -> tuple[Metric | None, bool]:
    """周转天数 and 周转率 are those of the last balance that was named, 费用率 that of the last expense."""
    figure, left, carried = here.figure, here.left, here.carried.metric
    if metric is None:
        return None, firm
    if here.inside and metric.name == "期间费用率":
        expense = _expense_rate(note, here)
        if expense is not None and expense is not metric:
            return expense, False
    if figure.kind == "days" and metric.kind == "money" and "周转" not in left:
        of = note.rules.canonical(f"{metric.name}周转天数")
        return (of, False) if of is not None else (metric, False)
    if figure.kind not in ("days", "turns", "multiple", "number"):
        return metric, firm
    carries = not here.inside and carried is not None and "周转" in carried.name
    if not (carries or "周转" in metric.name or "周转" in (here.tail if here.inside else left)):
        return metric, firm
    kind = "天数" if figure.kind == "days" else "率"
    if "周转" in metric.name:
        return note.rules.metrics.get(DAYS_OR_RATE.sub(kind, metric.name), metric), firm
    named = (mention.metric.name for mention in reversed(here.inside))
    for name in [metric.name, *named, last.name if last else ""]:
        found = note.rules.canonical(f"{name}周转{kind}") if name else None
        if found is not None:
            rest = words.residue(left[left.rfind("周转") + 2 :].removeprefix("天数").removeprefix("率"))
            return found, not rest and name == metric.name
    return metric, False


def _expense_rate(note: AnnotatedText, here: Surroundings) -> Metric | None:
    """The rate of the expense that 费用率 alone is short for."""
    mention = here.inside[-1]
    if note.text[mention.start : mention.end] != "费用率":
        return None
    if len(here.inside) > 1:
        before = here.inside[-2].metric.name
    else:
        before = here.carried.metric.name if here.carried.metric else ""
    return note.rules.metrics.get(f"{before}率") if before.endswith("费用") else None
