"""What each figure of running text is a figure of: metric, period, and whether it is a level, a change, a share.

A figure is bound by the words between it and the figure before. It is bound *firmly* only if nothing but glue
(:data:`reward_model.calc.words.GLUE`) stands between it and the name of its metric: only such a figure can be
called wrong. Whatever else is left may be confirmed, never refuted.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from reward_model.calc import words
from reward_model.calc.book import Period
from reward_model.calc.figures import Figure
from reward_model.calc.joined import LIST, arrows, joined_by, operands
from reward_model.calc.periods import PeriodMention
from reward_model.calc.rules import Mention, Metric, Rules

SENTENCE_END = re.compile(r"[。！？!?\n]|(?<!\d)\.(?=\s)")
SEGMENT_END = re.compile(r"[；;]")
CLAUSE_END = re.compile(r"[，,。；;：:！？!?\n]")
LONGEST_HEADING = 30
LONGEST_SENTENCE = 1500
"""Characters; what is longer is cut there, so that no text makes binding slow."""


@dataclass(frozen=True)
class Binding:
    """What a figure claims.

    Attributes:
        figure: the figure.
        role: "level", "growth" (percent against a base), "delta" (difference to a base), "cagr", "share"
            (percent of ``other``), "ratio" (times ``other``), "times" (multiple of its own base), "more" (by how many times it grew), "growth_in_points" (a growth
            written as 个百分点), "years" (sum of ``years_back`` periods), "gap"
            (difference to ``other``), "sum" (of ``group``), "sum_delta", or "" if nothing is known.
        metric: of what.
        period: when.
        base: what a change is against; None for the year before.
        other: the second metric of a share, ratio or gap.
        group: the metrics of a sum.
        sign: +1 or -1 as the words say, 0 if they don't.
        firm: nothing else stood between the metric's name and the figure.
        explicit: the period was named in the same clause.
        subject: key of the subject for equations inside the text: the metric's name, or its own words.
        supposed: the sentence tells of what may be, or of a yardstick.
        nearby: all metrics of the sentence and the subject carried into it.
        years: years that the sentence names.
        dated: the sentence names a period.
        came_from: it is where something moved from.
        basis: "期末" or "平均" where the words say which balance a ratio is on.
        years_back: the periods that a sum is over.
        long: the sentence looks back further than a year.
        sequential: against the quarter or month before.
    """

    figure: Figure
    role: str = ""
    metric: Metric | None = None
    period: Period | None = None
    base: Period | None = None
    other: Metric | None = None
    group: tuple[Metric, ...] = ()
    sign: int = 0
    firm: bool = False
    explicit: bool = False
    subject: str = ""
    supposed: bool = False
    nearby: tuple[Metric, ...] = ()
    years: tuple[int, ...] = ()
    sequential: bool = False
    tail: str = ""
    sentence: int = 0
    long: bool = False
    dated: bool = False
    came_from: bool = False
    basis: str = ""
    years_back: int = 0


def changed(binding: Binding, **fields: object) -> Binding:
    """``dataclasses.replace`` at a fifth of its cost: a text makes thousands of readings."""
    other = object.__new__(Binding)
    other.__dict__.update(binding.__dict__)
    other.__dict__.update(fields)
    return other


_COMPARES = re.compile("[^，,。；;]{0,10}(?:相比|相较|比较|比|持平|相当)")
_BASIS = re.compile("(?:实际|末|全年|水平)?(?:为|作)?(?:基准|基数|基期|起点)")
_THAT_YEAR = frozenset({"当年", "该年", "同期", "当期", "同年"})
_LOSS = re.compile("亏损?额?[^，,。；;]{0,8}$")
_NET = frozenset({"自由现金流", "净有息负债", "净负债率", "核心利润", "拨备前利润", "购建长期资产支付的现金"})
_PROFITS = frozenset({"净利润", "利润总额", "归母净利润", "扣非净利润", "营业利润"})


@dataclass
class _State:
    """What is carried from one figure to the next inside a sentence."""

    metric: Metric | None = None
    subject: str = ""
    narrowed: bool = False
    period: Period | None = None
    group: list[Metric] = field(default_factory=list)
    role: str = ""
    firm: bool = True
    origin: Period | None = None
    base: Period | None = None
    queue: list[tuple[Metric | None, Period | None]] = field(default_factory=list)
    queue_kind: str = ""
    apart: bool = False
    seen: list[tuple[Metric, str]] = field(default_factory=list)
    against: Period | None = None


def sentences(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of each sentence; a line break ends one."""
    start = 0
    for end in SENTENCE_END.finditer(text):
        yield from _cut(start, end.end())
        start = end.end()
    yield from _cut(start, len(text))


def _cut(start: int, end: int) -> Iterator[tuple[int, int]]:
    while end - start > LONGEST_SENTENCE:
        yield start, start + LONGEST_SENTENCE
        start += LONGEST_SENTENCE
    if end > start:
        yield start, end


class Binder:
    """Binds the figures of one text.

    Args:
        text: the text.
        rules: metrics.
        figures, mentions, periods: what was found in it, each in order.
        current: the year that the text reports on.

    Figures that hang together (:mod:`reward_model.calc.joined`) are read together.
    """

    def __init__(
        self,
        text: str,
        rules: Rules,
        figures: Sequence[Figure],
        mentions: Sequence[Mention],
        periods: Sequence[PeriodMention],
        current: int,
    ) -> None:
        self.text, self.rules, self.current = text, rules, current
        self.figures, self.mentions, self.periods = figures, mentions, periods
        self._mention_starts = [mention.start for mention in mentions]
        self._period_starts = [period.start for period in periods]
        self._figure_starts = [figure.start for figure in figures]
        self._arrows = arrows(text, figures)
        self._operands = operands(text, figures)

    def bind(self) -> list[Binding]:
        """A binding a figure, in order."""
        found: list[Binding] = []
        carried: Metric | None = None
        paragraph: Period | None = None
        advice = paragraph_advice = False
        for number, (start, end) in enumerate(sentences(self.text)):
            first = bisect_left(self._figure_starts, start)
            last = bisect_left(self._figure_starts, end)
            if start == 0 or self.text[start - 1] == "\n":
                paragraph = None
                line = self.text[start:end].strip(" #*-—>【】\n|")
                if len(line) < LONGEST_HEADING and not line.endswith(("。", "；")):
                    advice = words.ADVICE.search(line) is not None and first == last
                paragraph_advice = False
            if words.PLAN.search(self.text, start, end):
                paragraph_advice = True
            inside = self._mentions(start, end)
            years = tuple({p.year for p in self._periods(start, end) if p.year is not None})
            if first < last:
                state = _State(metric=None, period=paragraph)
                nearby = tuple({m.metric.name: m.metric for m in inside}.values())
                if carried is not None and carried not in nearby:
                    nearby += (carried,)
                shared = {"nearby": nearby[:12], "years": years, "sentence": number, "advice": advice or paragraph_advice}
                shared["dated"] = len(self._periods(start, end)) > 0
                shared["long"] = words.LONG.search(self.text, start, end) is not None
                found += self._sentence(start, end, first, last, state, shared, carried)
            if inside:
                carried = inside[-1].metric
        return found

    # -- look-ups ---------------------------------------------------------------------------------------

    def _mentions(self, start: int, end: int) -> Sequence[Mention]:
        return self.mentions[bisect_left(self._mention_starts, start) : bisect_left(self._mention_starts, end)]

    def _periods(self, start: int, end: int) -> Sequence[PeriodMention]:
        return self.periods[bisect_left(self._period_starts, start) : bisect_right(self._period_starts, end - 1)]

    def period_of(self, mention: PeriodMention) -> Period | None:
        """As an absolute period; a quarter or month of an unnamed year counts in the current one."""
        year = mention.year
        if year is None:
            if mention.offset is None:
                return Period(self.current, mention.part) if mention.part not in ("", "start") else None
            year = self.current + mention.offset
        elif mention.part == "start":
            year -= 1
        return Period(year, "" if mention.part == "start" else mention.part)

    # -- a sentence -------------------------------------------------------------------------------------

    def _sentence(
        self,
        start: int,
        end: int,
        first: int,
        last: int,
        state: _State,
        shared: dict[str, object],
        carried: Metric | None,
    ) -> Iterator[Binding]:
        sentence = self.text[start:end]
        supposed_from = next(
            (start + found.start() for found in words.SUPPOSED.finditer(sentence) if not self._in_name(start + found.start())),
            end,
        )
        previous_end = start
        previous: Binding | None = None
        calculated: Binding | None = None
        for index in range(first, last):
            figure = self.figures[index]
            behind_end = self.figures[index + 1].start if index + 1 < last else end
            behind = self.text[figure.end : min(behind_end, figure.end + 24)]
            left_start = previous_end
            between = self.text[previous_end : figure.start]
            cut = None
            for cut in SEGMENT_END.finditer(between):
                pass
            if cut is not None:
                left_start = previous_end + cut.end()
                state = _State(period=state.period if state.period and not state.period.part else None)
                previous = None
            binding = self._figure(index, left_start, behind, state, previous, carried)
            clause = self._clause(start, figure.start, min(end, figure.end + 30))
            unsure = figure.start > supposed_from or words.NORM.search(clause) is not None or shared["advice"]
            firm = binding.firm
            if index in self._operands:
                firm = False
                on = index + 1 < len(self.figures) and joined_by(self.text, figure, self.figures[index + 1])
                equal = _EQUAL.search(self.text[max(0, figure.start - 3) : figure.start])
                if index == first or not joined_by(self.text, self.figures[index - 1], figure):
                    calculated = binding if binding.firm else None
                elif calculated is not None and equal and not (on and not self._equal_next(figure)):
                    binding = _result(calculated, figure, self.rules)
                    firm = binding.role != ""
            row = index > first and LIST.fullmatch(self.text[self.figures[index - 1].end : figure.start])
            next_in_row = index + 1 < last and LIST.fullmatch(self.text[figure.end : self.figures[index + 1].start])
            if (row or next_in_row or index in self._arrows) and binding.role == "level":
                shared = {**shared, "dated": True}
                binding = changed(binding, explicit=False)
            kept = {name: value for name, value in shared.items() if name != "advice"}
            kept["dated"] = kept["dated"] or binding.dated
            binding = changed(binding, supposed=bool(unsure), firm=firm, **kept)  # type: ignore[arg-type]
            yield binding
            previous, previous_end = binding, figure.end

    def _in_name(self, at: int) -> bool:
        """Whether a character is inside the name of a metric (剔除合同负债后的资产负债率)."""
        place = bisect_right(self._mention_starts, at) - 1
        return place >= 0 and at < self.mentions[place].end

    def _equal_next(self, figure: Figure) -> bool:
        """Whether an equals sign comes next."""
        return self.text[figure.end : figure.end + 3].strip()[:1] in ("=", "≈", "＝")

    def _clause(self, start: int, at: int, stop: int) -> str:
        begin = start
        for found in CLAUSE_END.finditer(self.text, max(start, at - 40), at):
            begin = found.end()
        begin = max(begin, at - 40)
        match = CLAUSE_END.search(self.text, at, stop)
        return self.text[begin : match.start() if match else stop]

    def _figure(
        self,
        index: int,
        left_start: int,
        behind: str,
        state: _State,
        previous: Binding | None,
        carried: Metric | None,
    ) -> Binding:
        figure = self.figures[index]
        left = self.text[left_start : figure.start]
        inside = self._mentions(left_start, figure.start)
        mention = inside[-1] if inside else None
        tail_start = mention.end if mention else left_start
        defined = self._defined(inside, figure.start)
        if defined is not None:
            shut = self._closing(defined.end, figure.start)
            if self.text[defined.end] in "=＝":
                shut = inside[-1].end
            inside, tail_start = inside[: inside.index(defined) + 1], shut
            mention = defined
        # 「88.73亿元收入，与今年8.03亿元」: the name went with the figure before it.
        spent = (
            mention is not None
            and previous is not None
            and self.text[left_start : mention.start].strip() in ("", "的")
            and self.text[mention.end : mention.end + 1] in "，,。；;、"
        )
        narrowed = self._narrowed(left_start, mention) if mention else state.narrowed
        tail = self.text[tail_start : figure.start]
        spans = [(p.start, p.end) for p in self._periods(tail_start, figure.start)]
        rest = words.residue(_without(tail, tail_start, spans))
        metric = mention.metric if mention else state.metric
        firm = not rest and metric is not None and not narrowed and not spent and not figure.coarse
        if mention is None:
            firm = firm and state.firm
        subject = state.subject if mention is None and not rest else ""
        if mention is not None and not narrowed and not rest:
            subject = mention.metric.name
        if not subject and metric is None:
            subject = _noun(left)
        behind_metric = self._behind(figure) if mention is None else None
        if behind_metric is not None:
            metric, firm, subject = behind_metric, False, behind_metric.name
        elif mention is None and metric is None and carried is not None and not rest:
            metric, firm = carried, False
        firm = firm and self._undisputed(figure, mention, left_start, left, tail, metric)
        if mention is None and re.search("亏损|净亏", left) and (metric is None or metric.name not in _PROFITS):
            metric, firm = self.rules.metrics.get("净利润", metric), False
        metric, firm = self._generic(metric, firm, left, inside, state, carried, figure)
        if metric is not None and metric.name in _PROFITS and _LOSS.search(left) and not figure.signed:
            figure = replace(figure, loss=True)
        period, base, explicit = self._when(
            left_start, figure.start, figure.kind == "points" or figure.signed, state
        )
        binding = Binding(
            figure,
            metric=metric,
            period=period,
            base=base,
            firm=firm,
            explicit=explicit,
            subject=subject,
            tail=tail,
            sequential=words.SEQUENTIAL.search(left) is not None,
            basis=_basis(self.text[max(left_start, figure.start - 40) : figure.start] + behind[:10])
            if metric is not None and len(metric.variants) > 1
            else "",
        )
        binding = self._role(binding, tail, behind, inside, state, previous, left_start)
        binding = self._listed(binding, left, left_start, inside, state, previous)
        binding = self._continued(binding, index, left, tail, inside, previous)
        binding = compatible(binding)
        if binding.figure.kind == "number" and metric is not None and metric.kind not in ("multiple", "turns"):
            binding = changed(binding, firm=False)
        if mention is not None or behind_metric is not None or rest:
            state.metric = None if rest and mention is None and behind_metric is None else binding.metric
            state.subject, state.narrowed = subject, narrowed
            state.origin = None
        if mention is None and state.against is not None and binding.role in ("delta", "growth"):
            binding = changed(binding, base=state.against)
        state.against = binding.period if binding.role == "level" and _LEVEL_BASE.search(tail) else None
        kept_on = mention is None and state.firm and not rest and binding.role in ("growth", "delta")
        state.firm = binding.firm or kept_on
        if binding.role == "level" and words.FROM.search(tail):
            state.origin = binding.period
        elif binding.role in ("growth", "delta", "cagr") and binding.base is None and mention is None:
            binding = changed(binding, base=state.origin if state.origin != binding.period else None)
        state.role = binding.role
        if binding.metric is not None:
            state.seen.append((binding.metric, binding.role))
            del state.seen[:-8]
        return binding

    def _defined(self, inside: Sequence[Mention], at: int) -> Mention | None:
        """The metric whose definition in brackets holds the last names: 净负债率（有息负债减货币资金 ...）."""
        for mention in reversed(inside[:-1]):
            if self.text[mention.end : mention.end + 1] in ("=", "＝"):
                return mention
            if self.text[mention.end : mention.end + 1] in "（(〔[":
                end = self._closing(mention.end, at)
                return mention if end > inside[-1].start and end <= at else None
        return None

    def _closing(self, opening: int, at: int) -> int:
        """Behind the bracket that closes the one at ``opening``; behind ``at`` if none does."""
        depth = 0
        for place in range(opening, at):
            depth += (self.text[place] in "（(〔[") - (self.text[place] in "）)〕]")
            if depth == 0:
                return place + 1
        return at + 1

    def _behind(self, figure: Figure) -> Metric | None:
        """The metric that follows a figure: 「88.73亿元收入」, 「7.47亿元的销售费用」."""
        at = bisect_left(self._mention_starts, figure.end)
        if figure.kind not in ("money", "percent", "days", "count") or at >= len(self.mentions):
            return None
        mention = self.mentions[at]
        if self.text[figure.end : mention.start].strip() not in ("", "的"):
            return None
        return mention.metric if mention.metric.kind == figure.kind else None

    def _undisputed(
        self,
        figure: Figure,
        mention: Mention | None,
        left_start: int,
        left: str,
        tail: str,
        metric: Metric | None,
    ) -> bool:
        """Whether nothing around makes the nearest metric a yardstick of another's figure."""
        clause = words.LAST_CLAUSE.split(left)[-1]
        if mention is not None and _SHUT.search(tail) and not _SHUT_OWN.match(tail):
            return False  # the name was part of an aside in brackets
        if mention is not None and self.text[mention.end : mention.end + 1] in ("=", "＝") and "/" in tail:
            return False
        if words.SUM.search(tail) or words.CONTRIBUTION.search(clause) or words.ASIDE.search(tail):
            return False
        if figure.kind == "money" and (words.OVER_YEARS.search(clause) or words.EFFECT.search(clause)):
            return False
        if figure.kind == "days" and figure.value in (360, 365):
            return False
        deducted = mention is not None and re.search("(?:扣除|剔除|扣减|减去)$", left[: mention.start - left_start])
        if metric is not None and metric.name not in _NET and not deducted and re.search("扣除|剔除|扣减", left[: -len(tail) or None]):
            return False
        named = self._periods(figure.start - len(tail), figure.start)
        if _THAN.fullmatch(tail.strip()) and not self.text.startswith("的", figure.end):
            return True
        level = figure.kind != "percent" or (metric is not None and metric.kind == "percent")
        if words.GAP.search(tail) and not named and level:
            return False
        if mention is None:
            return _BEHIND_NOUN.match(self.text, figure.end) is None
        if mention.end - mention.start <= 3 and mention.metric.name in ("期间费用", "期间费用率"):
            # After 销售费用, 费用 may be that one.
            near = self._mentions(max(0, mention.start - 60), mention.start)
            if any(other.metric.name.startswith(_EXPENSES) for other in near):
                return False
        before = self.text[max(left_start, mention.start - 4) : mention.start]
        if words.GAP.search(before) and figure.kind != "percent":
            return False
        if figure.kind == "money" and (before.endswith("对") or mention.metric.name == "利润"):
            return False
        return words.YARDSTICK.search(before) is None

    def _narrowed(self, left_start: int, mention: Mention) -> bool:
        """Whether the words right before a metric's name make it a part of it, or another company's."""
        before = self.text[max(left_start, mention.start - 8) : mention.start]
        previous = bisect_left(self._mention_starts, mention.start) - 1
        if previous >= 0 and self.mentions[previous].end == mention.start:
            return True  # 贷款资产: one name of two
        if previous >= 0 and self.mentions[previous].end > mention.start - len(before):
            before = before[self.mentions[previous].end - (mention.start - len(before)) :]
        at = max(before.rfind(mark) for mark in "，,。；;：:、\n）)（(*|和与及后")
        before = before[at + 1 :]
        for other in self.periods[bisect_left(self._period_starts, mention.start - 8) :]:
            if other.start >= mention.start:
                break
            before = before[max(0, other.end - (mention.start - len(before))) :]
        return bool(before) and words.NARROWING.search(before) is not None

    def _generic(
        self,
        metric: Metric | None,
        firm: bool,
        left: str,
        inside: Sequence[Mention],
        state: _State,
        carried: Metric | None,
        figure: Figure,
    ) -> tuple[Metric | None, bool]:
        """周转天数 and 周转率 are those of the last balance that was named, 费用率 that of the last expense."""
        before = [m.metric.name for m in reversed(inside[:-1])] + [state.metric.name if state.metric else ""]
        if metric is not None and inside and metric.name == "期间费用率":
            last = self.text[inside[-1].start : inside[-1].end]
            own = self.rules.metrics.get(f"{before[0]}率") if last == "费用率" and before[0] else None
            if own is not None and own is not metric and before[0].endswith("费用"):
                return own, False
        if figure.kind == "days" and metric is not None and metric.kind == "money" and "周转" not in left:
            of = self.rules.canonical(f"{metric.name}周转天数")
            return (of, False) if of is not None else (metric, False)
        kind = "天数" if figure.kind == "days" else "率"
        if figure.kind not in ("days", "turns", "multiple", "number") or metric is None:
            return metric, firm
        if "周转" not in left and not (state.metric and "周转" in state.metric.name):
            return metric, firm
        if "周转" in metric.name:
            wanted = re.sub("天数$|率$|次数$", kind, metric.name)
            return self.rules.metrics.get(wanted, metric), firm
        for name in [metric.name, *(m.metric.name for m in reversed(inside)), carried.name if carried else ""]:
            found = self.rules.canonical(f"{name}周转{kind}") if name else None
            if found is not None:
                rest = words.residue(left[left.rfind("周转") + 2 :].removeprefix("天数").removeprefix("率"))
                return found, not rest and name == metric.name
        return metric, False

    # -- when -------------------------------------------------------------------------------------------

    def _when(
        self, left_start: int, at: int, change: bool, state: _State
    ) -> tuple[Period | None, Period | None, bool]:
        """(period, base, whether one was named) of a figure; carries a period on."""
        period = base = None
        back = 0
        explicit = False
        for mention in self._periods(left_start, at):
            found = self.period_of(mention)
            if found is None or mention.end > at:
                continue
            before = self.text[max(left_start, mention.start - 3) : mention.start]
            between = self.text[mention.end : at]
            close = not between.strip(" 的为是：:约)）（(") and not change
            if _BASIS.match(between):
                base = found if "基数" not in between[:4] else base
                continue
            against = words.BASE.search(before)
            if against and against[0].strip() in ("与", "同", "对") and not _COMPARES.match(between):
                against = None
            if against and not close:
                if mention.year is None and mention.offset is not None and mention.part in ("", "start"):
                    back = max(1, -mention.offset)
                else:
                    base, state.base = found, found
                continue
            same_clause = not re.search("[，,；;（(]", between)
            if mention.text in _THAT_YEAR and state.period is not None:
                found = state.period
            opens = _OPENS.search(self.text[max(0, mention.start - 3) : mention.start]) or mention.start == 0
            if mention.year is not None:
                if not close and opens:
                    state.period = found
                period, explicit = found, explicit or same_clause
            elif same_clause:
                period, explicit = found, True
            elif mention.offset is not None and mention.offset < 0 and opens and between[:1] in "，,":
                state.period = found
        if period is None:
            period = state.period or Period(self.current)
        if back:
            base = period.back(back)
        if words.YEAR_ON_YEAR.search(self.text, left_start, at) and base is None:
            state.base = None
        base = base or state.base
        if base is None and period is not None and (years := words.SPAN.search(self.text, left_start, at)):
            base = period.back(2 if years[0][0] in "两三近" else 2)
        return period, base, explicit

    # -- role -------------------------------------------------------------------------------------------

    def _role(
        self,
        binding: Binding,
        tail: str,
        behind: str,
        inside: Sequence[Mention],
        state: _State,
        previous: Binding | None,
        left_start: int,
    ) -> Binding:
        figure, metric = binding.figure, binding.metric
        kind = metric.kind if metric else ""
        origin = words.FROM.search(tail)
        if origin is None and (words.MOVES_ON.fullmatch(behind) or behind.startswith(("变为", "转为"))) and not words.reached(tail):
            origin = _NOTHING.search(tail)
        near_tail = re.split("[，,]", tail)[-1]
        sign = -1 if figure.loss else words.direction(near_tail, behind)
        at_level = words.reached(near_tail)
        changes = sign != 0 and not figure.loss
        if figure.text[:1] in "+＋" and figure.kind != "number" and origin is None:
            sign, changes = 1, True
            binding = changed(binding, sign=1)
        binding = changed(binding, sign=sign if changes else 0)
        if origin is not None and not self._periods(figure.start - len(origin["between"]), figure.start):
            over = words.SPAN.search(self.text, left_start, figure.start)
            now = state.period or Period(self.current)
            binding = changed(binding, period=now.back(2 if over else 1), base=None)
        pair = self._pair(binding, tail, behind, inside, state, left_start)
        if pair is not None:
            return pair
        if words.COMPOUND.search(tail):
            return changed(binding, role="cagr")
        if figure.kind == "points":
            rated = words.RATE_NOUN.search(tail) or words.RATE_NOUN.match(behind.lstrip("的 "))
            if kind in ("money", "count") and changes and not rated:
                return changed(binding, role="growth_in_points", firm=binding.firm)
            return changed(binding, role="delta", firm=binding.firm and kind in ("percent", ""))
        if figure.kind == "percent" and kind != "percent" and words.SHARE.search(tail):
            return changed(binding, role="share", firm=False)
        if figure.kind == "percent" and words.AMOUNT_NOUN.search(tail):
            return changed(binding, role="", firm=False)
        rate = words.RATE_NOUN.search(tail) or words.RATE_NOUN.match(behind.lstrip("的 "))
        if figure.kind == "percent" and kind not in ("percent",):
            if kind == "multiple" and not changes and not rate:
                return changed(binding, role="level")
            reached = at_level and previous is not None and words.FROM.search(previous.tail) is not None
            if reached or origin is not None:  # 增速由A回落至B: the growth itself rose or fell
                binding = changed(binding, sign=0)
            known = changes or rate or figure.signed or (previous is not None and previous.role == "growth" and not inside)
            compared = state.role == "growth" and words.GAP.search(tail) is not None
            if at_level and not rate and not reached:
                return changed(binding, role="growth", firm=False)
            if not (known or compared or words.YEAR_ON_YEAR.search(tail)):
                return changed(binding, role="growth", firm=False)
            return changed(binding, role="growth", firm=binding.firm and kind in ("money", "count", ""))
        if rate and figure.kind == "percent":
            return changed(binding, role="growth", firm=False)
        if origin is not None:
            return changed(binding, role="level", sign=0, came_from=True)
        if at_level and previous is not None and previous.came_from and not inside:
            again = re.match("，?(?:再|又|并|随后|进而)", behind)
            binding = changed(binding, explicit=again is None, dated=again is not None)
        amount = words.AMOUNT_NOUN.search(tail) is not None
        if (changes and not at_level) or amount:
            if figure.kind == "percent":  # 毛利率提升2%: points are meant, or a rate of a rate
                return changed(binding, role="delta", firm=False)
            if figure.kind in ("multiple", "doublings") and kind not in ("multiple", "turns"):
                return changed(binding, role="more", sign=1)
            return changed(binding, role="delta")
        if figure.kind in ("multiple", "doublings") and kind not in ("multiple", "turns"):
            return changed(binding, role="times", firm=False)
        if kind == "money" and figure.kind not in ("money", "number"):
            return changed(binding, role="", firm=False)
        if kind and figure.kind == "money" and kind != "money":
            return changed(binding, role="", firm=False)
        if figure.kind == "number" and kind in ("money", "percent", "days", "count"):
            return changed(binding, role="level", firm=False)
        if not inside and not at_level and not binding.explicit:
            return changed(binding, role="level", sign=0, firm=False)
        return changed(binding, role="level", sign=0)

    def _continued(
        self,
        binding: Binding,
        index: int,
        left: str,
        tail: str,
        inside: Sequence[Mention],
        previous: Binding | None,
    ) -> Binding:
        """What goes on from the figure before: 「由A升至B」 of a share, 「（上年B）」, 「A→B→C」."""
        steps = self._arrows.get(index)
        if steps is not None:
            last = Period(self.current)
            came = previous is not None and self._arrows.get(index - 1, -1) == steps + 1
            if came and previous is not None:
                return changed(
                    previous,
                    figure=binding.figure,
                    period=previous.period.back(-1) if previous.period else None,
                    explicit=steps == 0,
                    tail="→",
                )
            if steps:
                role = binding.role if binding.role in ("ratio", "share", "growth") else "level"
                firm = binding.firm and binding.figure.kind != "number"
                return changed(
                    binding, period=last.back(steps), role=role, explicit=False, firm=firm, sign=0
                )
        if previous is None or inside:
            return binding
        figure = binding.figure
        if figure.kind != previous.figure.kind:
            return binding
        if previous.role in ("share", "ratio", "gap") and binding.role in ("level", "growth", "share", "times"):
            to = words.FROM.search(previous.tail) and words.reached(tail)
            if to and previous.period is not None:
                period = binding.period if binding.explicit else Period(self.current)
                return changed(previous, figure=figure, period=period, tail=tail)
        if _PREVIOUS.fullmatch(left.strip()) and binding.period is not None and previous.role:
            return changed(previous, figure=figure, period=binding.period, explicit=True, base=None, tail=tail)
        return binding

    def _pair(
        self,
        binding: Binding,
        tail: str,
        behind: str,
        inside: Sequence[Mention],
        state: _State,
        left_start: int,
    ) -> Binding | None:
        """Shares, covers and gaps: a claim about two metrics."""
        figure = binding.figure
        if not inside:
            return None
        its = re.match("对其|与其|占其", tail)
        if its and state.metric is not None and inside[-1].metric.kind == state.metric.kind == "money":
            role = "share" if figure.kind == "percent" else "ratio"
            firm = state.firm and not words.residue(tail[its.end() :])
            pair = changed(binding, role=role, metric=inside[-1].metric, other=state.metric, sign=0)
            return changed(pair, firm=firm and figure.kind != "money")
        last = inside[-1]
        second = last.metric
        if len(inside) > 1:
            first, joint = inside[-2].metric, self.text[inside[-2].end : last.start]
            near = not self._narrowed(left_start, inside[-2])
        elif state.metric is not None:
            first, joint = state.metric, self.text[left_start : last.start]
            near = not state.narrowed
        else:
            return None
        if first is second or len(joint) > 24:
            return None
        if re.match("的?(?:增速|增量|增幅|增额|增长|变动|降幅|新增)", tail):
            return changed(binding, role="", firm=False)  # a share of a change
        firm = binding.firm and near and (len(inside) > 1 or state.firm)
        joined = joint.strip(" ，,")
        if figure.kind == "points" and first.kind == second.kind == "percent":
            if words.GAP.search(joint):
                down = re.search("低于|少于|小于|不及|缺口|低出", joint)
                return changed(
                    binding, role="gap", metric=first, other=second, sign=-1 if down else 1, firm=firm
                )
            return None
        if figure.kind == "percent" and first.kind == "money" and second.kind == "money":
            compared = re.search(r"[/／÷与和对]$", joined) and re.match(r"之比|的?比[例率值重由从为]|/", tail)
            shared = _SHARED.search(joined) and not words.CHANGE.search(joint)
            if compared or shared:
                plain = not re.search("增量|增加|新增|增长|变动|降幅|增幅|减少|多|少", joint + tail)
                plain = plain and (len(inside) < 3 or not _AND.fullmatch(self._joint(inside[-3], inside[-2])))
                return changed(binding, role="share", metric=first, other=second, firm=firm and plain, sign=0)
            return None
        if figure.kind in ("multiple", "number", "turns") and first.kind == second.kind == "money":
            if behind.startswith("的"):  # the base of what follows: 覆盖有息负债27.35的0.31倍
                return None
            if re.search(r"[/／÷]$|对$|与$|为$|是$|覆盖$|除以$|相当于$|占$|够$", joined) or "覆盖" in tail or "/" in joint:
                moved = words.CHANGE.search(joint)
                return changed(
                    binding, role="ratio", metric=first, other=second, firm=firm and not moved, sign=0
                )
            return None
        if figure.kind == "money" and first.kind == second.kind == "money" and words.GAP.fullmatch(
            re.sub("的|了|则|却|仍|明显|略|均|大幅|远", "", joined)
        ):
            down = re.search("低于|少于|小于|不及|缺口", joined)
            return changed(binding, role="gap", metric=first, other=second, sign=-1 if down else 1, firm=firm)
        return None

    def _joint(self, one: Mention, two: Mention) -> str:
        return self.text[one.end : two.start].strip()

    # -- lists ------------------------------------------------------------------------------------------

    def _listed(
        self,
        binding: Binding,
        left: str,
        left_start: int,
        inside: Sequence[Mention],
        state: _State,
        previous: Binding | None,
    ) -> Binding:
        """「A、B分别为x、y」 and 「三年分别为x、y、z」: in order; 「A与B合计z」: a sum."""
        several = _N_YEARS.search(left)
        apart = words.RESPECTIVELY.search(left) is not None or several is not None
        named = self._periods(left_start, binding.figure.start)
        both = len(named) > 1 and all(
            _AND.fullmatch(self.text[a.end : b.start].strip()) for a, b in zip(named, named[1:], strict=False)
        )
        if apart or both:
            metrics = self._elided(inside, left_start, binding.figure) if apart else []
            if apart and not inside and len(named) < 2 and several is None:
                metrics = self._named_before(state, binding)
            when = [self.period_of(p) for p in self._periods(left_start, binding.figure.start)]
            span = next((p for p in self._periods(left_start, binding.figure.start) if p.end_year), None)
            if span is not None and span.year is not None and span.end_year is not None:
                when = [Period(year) for year in range(span.year, min(span.end_year, span.year + 12) + 1)]
            if several is not None and len(metrics) <= 1:
                last = Period(self.current)
                when = [last.back(back) for back in range({"两": 2, "三": 3}[several[1]] - 1, -1, -1)]
            if len(when) > 1 and len(metrics) <= 1:
                state.queue = [(binding.metric, period) for period in when]
            elif len(metrics) > 1:
                state.queue = [(metric, binding.period) for metric in metrics]
            else:
                state.queue = []
            state.queue_kind, state.apart = binding.figure.kind, apart
        elif inside or binding.figure.kind != state.queue_kind:
            state.queue = []
        if state.queue:
            metric, period = state.queue.pop(0)
            between = words.residue(left) if not inside else ""
            subject = metric.name if metric else binding.subject
            if not inside and previous is not None and not (apart or both):  # what the first one claims, they all do
                binding = changed(binding, role=previous.role, sign=previous.sign, base=previous.base)
            return changed(
                binding,
                metric=metric,
                period=period,
                subject=subject,
                explicit=True,
                firm=not between and (state.apart or binding.firm),
            )
        over = _OVER.search(left)
        if over and inside and binding.figure.kind == "money" and words.SUM.search(left):
            plain = not words.residue(re.sub("[两三]年", "", left[: inside[-1].start - left_start][-8:]))
            count = 2 if over[0].startswith("两") else 3
            return changed(binding, role="years", years_back=count, sign=0, firm=plain and len(inside) == 1)
        group = tuple({m.name: m for m in self._elided(inside, left_start, binding.figure)}.values())
        if len(group) > 1 and binding.role in ("level", "delta"):
            last = self._joint(inside[-2], inside[-1]) if len(inside) > 1 else "和"
            summed = words.SUM.search(self.text[inside[-1].end : binding.figure.start])
            if _AND.fullmatch(last) or summed:
                joints = [self.text[a.end : b.start] for a, b in zip(inside, inside[1:], strict=False)]
                tight = all(re.fullmatch(r"\s*[、和与及＋+]\s*|以及", joint) for joint in joints)
                role = "sum_delta" if binding.role == "delta" else "sum"
                return changed(binding, role=role, group=group, firm=binding.firm and tight and bool(summed))
        return binding

    def _named_before(self, state: _State, binding: Binding) -> list[Metric]:
        """The metrics of the figures before: 「ROA为a，ROE为b，分别较上年下降c和d」."""
        at = bisect_left(self._figure_starts, binding.figure.start)
        count = 1
        while at + count < len(self.figures) and LIST.fullmatch(
            self.text[self.figures[at + count - 1].end : self.figures[at + count].start]
        ):
            count += 1
        before = [metric for metric, role in state.seen if role == "level"]
        unique = list(dict.fromkeys(before))
        return unique[-count:] if 1 < count <= len(unique) else []

    def _elided(self, inside: Sequence[Mention], left_start: int, figure: Figure) -> list[Metric]:
        """The metrics of a list whose names share an end: 管理、研发费用; 应收与存货周转天数."""
        metrics: list[Metric] = []
        group = len(inside)
        while group > 1 and _AND.fullmatch(self._joint(inside[group - 2], inside[group - 1])):
            group -= 1
        for mention in inside[max(0, group - 1) :] if inside else ():
            name = mention.metric.name
            kind = _EXPENSE.fullmatch(name)
            before = self.text[max(left_start, mention.start - 12) : mention.start]
            if kind and (shorts := _ELIDED.search(before)):
                for short in re.findall("销售|管理|研发|财务", shorts[0]):
                    metrics.append(self.rules.metrics[f"{short}费用{kind[1] or ''}"])
            metrics.append(mention.metric)
        if figure.kind == "days" and metrics and metrics[-1].kind == "days":
            found = [m if m.kind == "days" else self.rules.canonical(f"{m.name}周转天数") for m in metrics]
            metrics = [m for m in found if m is not None]
        return metrics


def _without(text: str, offset: int, spans: Sequence[tuple[int, int]]) -> str:
    """``text``, which starts at ``offset``, without the ``spans`` inside it."""
    for start, end in reversed(spans):
        text = text[: max(0, start - offset)] + text[max(0, end - offset) :]
    return text


_SHARED = re.compile(
    r"[/／÷]$|(?:占|为|是|相当于)(?:比|当年|同期|全年|本期|年末|期末|上年|了)?(?:公司|全行)?$"
)
_OVER = re.compile("[两三]年")
_EQUAL = re.compile(r"[=≈＝]\s*约?$")
_THAN = re.compile("(?:已|仍|就|约)*(?:超过|超|逾|不到|不足|突破)了?")
_LEVEL_BASE = re.compile(r"(?:较|比|对比|相较于?)(?:于)?[^，,。；;]{2,8}(?:的|为)?\s*$")
_OPENS = re.compile(r"(?:[，,。；;：:（(\n、\s*|#>—-]|公司|全行|我行|集团|其|在|而|但|且|从|至|到|与|和)$")
_SHUT = re.compile("[）)〕]")
_SHUT_OWN = re.compile(r"[^）)〕]{0,24}?[（(〔][^）)〕]*[）)〕]")
_N_YEARS = re.compile("([两三])年(?:[^。；;]{0,18}(?:分别|依次)(?:为|是)?|(?:各)?(?:为|是))")
_EXPENSES = ("销售费用", "管理费用", "研发费用", "财务费用")
_EXPENSE = re.compile("(?:销售|管理|研发|财务)费用(率)?")
_ELIDED = re.compile("(?:(?:销售|管理|研发|财务)(?:、|和|与|及|以及))+$")
_NOTHING = re.compile("(?P<between>)$")
_AND = re.compile("、|和|与|及|以及|加|[+＋]")
_BEHIND_NOUN = re.compile(f"的(?!{words.RATE_NOUN.pattern}|增|降|减|升|涨|跌|水平|高位|低位|历史|基础|区间|局面)[\u4e00-\u9fff]")
_PREVIOUS = re.compile(r"[，,]?[（(，,]?(?:而)?(?:明显|显著|略|远)?(?:高于|低于|好于|弱于|优于|不及|大于|小于|超过)?(?:上年同期|去年同期|上年末|上年|去年|年初|期初|(?:19|20)\d\d年?末?)(?:仅|只有|为|是|的|则为|约|同期)*[:：]?")
_NOUN_EDGE = re.compile(r"[，,。；;：:（(）)\n|、]")


def _noun(left: str) -> str:
    """The words of the last clause before a figure without glue: the name of a subject that no rule knows."""
    parts = [part for part in _NOUN_EDGE.split(left) if words.residue(part)]
    return words.residue(parts[-1])[-24:] if parts else ""


def _result(first: Binding, figure: Figure, rules: Rules) -> Binding:
    """What the result of a written calculation claims: what stood before its first operand."""
    metric = first.metric
    if metric is not None and figure.kind == "days":
        metric = rules.metrics.get(re.sub("率$", "天数", metric.name), metric)
    role = ""
    if metric is not None and (metric.kind == figure.kind or figure.kind in ("number", "money")):
        role = "level" if first.role not in ("delta",) else "delta"
    elif metric is not None and figure.kind == "percent" and first.role == "growth":
        role = "growth"
    first = changed(first, metric=metric)
    return compatible(changed(first, figure=figure, role=role, sign=0 if role == "level" else first.sign))


_BASES = re.compile(
    "期末口径|期末余额|年末余额|期末净资产|期末总资产|摊薄|平均口径|平均余额|平均净资产|加权|平均总资产|年均"
)


def _basis(words_around: str) -> str:
    """Which balance the words name: "期末", "平均" or ""."""
    found = _BASES.findall(words_around)
    if not found:
        return ""
    return "期末" if found[-1][:1] in "期摊" or found[-1] == "年末余额" else "平均"


def compatible(binding: Binding) -> Binding:
    """A figure of a kind that its metric can't have claims nothing that can be refuted."""
    metric, figure = binding.metric, binding.figure
    if metric is None or binding.other is not None or binding.role not in ("level", "delta"):
        return binding
    kinds = {
        "money": ("money", "number"),
        "percent": ("percent", "points", "number"),
        "days": ("days", "number"),
        "multiple": ("multiple", "number", "turns", "percent"),
        "turns": ("multiple", "number", "turns"),
        "count": ("count", "number", "money"),
    }[metric.kind]
    if figure.kind not in kinds:
        return changed(binding, role="", firm=False)
    if figure.kind == "percent" and metric.kind == "multiple":
        return changed(binding, firm=False)
    return binding
