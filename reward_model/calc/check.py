"""The checker's door: :func:`check_text` recomputes the figures of a report.

A figure is called wrong only if it is bound firmly and nothing that its own words allow explains it; what can't
be bound or computed is "unverifiable", which is never a pass.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any, Literal, cast

from reward_model.calc import judge, words
from reward_model.calc.arithmetic import calculations
from reward_model.calc.binding import Binder, Binding, changed
from reward_model.calc.book import Book, Facts, Period, fact_book
from reward_model.calc.expected import Expected, expected
from reward_model.calc.figures import Figure, find_figures
from reward_model.calc.formula import Operand, Value
from reward_model.calc.joined import share_units
from reward_model.calc.judge import Fit
from reward_model.calc.local import equations
from reward_model.calc.periods import PeriodMention, find_periods
from reward_model.calc.readings import PRECISE, another_reading
from reward_model.calc.result import CheckResult, Claim, Severity, Verdict
from reward_model.calc.rules import Metric, Rules, load_rules
from reward_model.calc.tables import bind_tables

MOST_CHARACTERS = 2_000_000
"""Of a text that are read; the rest is left out with a warning."""

CUT = "文本过长，只核对了前 {n} 个字符 (only the first {n} characters were checked)"
UNKNOWN = "认不出是哪一项指标"
NO_OPERANDS = "缺少可核对的数据"
UNSURE = "口径不明确，与可得数据不符但不能断定"
LONGEST_MOVE = 16
TURNED = "与前后两数的变动方向相反"
IN_POINTS = "增长率以百分比计，百分点只用于比率之差"
SUPPOSED = "假设、目标或外部基准，不核对"
SEQUENTIAL = "环比需要季度或月度数据"

OPENING = 120
"""Characters at the beginning of a text without facts in which its year must be named."""
TITLE = 40
"""Characters at the beginning of a text in which a year is that of the report."""
ROLE_NAMES = {
    "growth": "同比",
    "delta": "变动",
    "cagr": "复合增速",
    "share": "占比",
    "ratio": "倍数",
    "times": "倍数",
    "gap": "差额",
    "sum": "合计",
    "sum_delta": "合计变动",
}
RANK = {"ok": 0, "rounding": 1, "wrong": 2}


@lru_cache(maxsize=1)
def default_rules() -> Rules:
    """The rules that come with the package."""
    return load_rules()


@dataclass(frozen=True, slots=True)
class _Finding:
    """The best explanation of a figure so far."""

    verdict: str
    binding: Binding
    value: Expected | None = None
    fit: Fit | None = None
    values: tuple[Expected, ...] = ()
    reason: str = ""


def check_text(text: str, facts: Facts | None = None, rules: Rules | None = None) -> CheckResult:
    """Recompute the figures of ``text``.

    Args:
        text: the report; spans are offsets into it.
        facts: the statements behind it, if there are any; without them the text is held against itself.
        rules: metrics and formulas; None for those that come with the package.
    """
    return _Check(text, facts, rules or default_rules()).run()


class _Check:
    """One run over one text."""

    def __init__(self, text: str, facts: Facts | None, rules: Rules) -> None:
        self.warnings: list[str] = []
        if len(text) > MOST_CHARACTERS:
            text = text[:MOST_CHARACTERS]
            self.warnings.append(CUT.format(n=f"{MOST_CHARACTERS:,}"))
        self.text, self.rules = text, rules
        self.facts = fact_book(facts, rules) if facts is not None else None
        self._sheet = facts
        self.unit = facts.unit if facts is not None else None
        self.periods = find_periods(text)
        self.figures = share_units(text, find_figures(text, self.periods))
        self.current = _current_year(self.periods, self.facts)
        self.book = Book(rules)

    @cached_property
    def points(self) -> Book:
        """The sheet's values as written, not as intervals."""
        assert self._sheet is not None
        return fact_book(self._sheet, self.rules, exact=True)

    def run(self) -> CheckResult:
        bindings = self.bound = self._bindings()
        self._note_statements(bindings)
        spans = [
            (p.start, p.year, p.end_year) for p in self.periods if p.year is not None and p.end_year is not None
        ]
        self.local = equations(self.text, bindings, spans)
        self.calculated = calculations(self.text, self.figures)
        findings = [self._find(index, binding) for index, binding in enumerate(bindings)]
        self._swap(findings)
        self._turned(findings)
        preferred = _preferred(findings)
        claims = tuple(self._claim(finding, preferred) for finding in findings)
        evidence: Literal["facts", "text"] = "facts" if self.facts is not None else "text"
        return CheckResult(claims, evidence, tuple(self.warnings))

    def _bindings(self) -> list[Binding]:
        mentions = self.rules.find(self.text)
        bound = Binder(self.text, self.rules, self.figures, mentions, self.periods, self.current).bind()
        tables = bind_tables(self.text, self.rules, self.figures, self.current, self.unit)
        return [
            tables.get(index, changed(binding, role="", firm=False) if binding.figure.cell else binding)
            for index, binding in enumerate(bound)
        ]

    def _note_statements(self, bindings: Sequence[Binding]) -> None:
        """Enter every level that the text states of a metric, the first time, as what the text says itself."""
        years: set[Period] = set()
        for binding in bindings:
            figure, metric, period = binding.figure, binding.metric, binding.period
            if binding.role != "level" or not binding.firm or binding.supposed:
                continue
            if not binding.explicit and binding.dated and not binding.came_from:
                continue  # of which year is a guess
            if metric is None or period is None or figure.hedge or figure.coarse or figure.is_range:
                continue
            if not _same_kind(figure, metric):
                continue
            low, high = judge.bounds(figure, 0, False)
            value = -float(figure.value) if figure.loss and figure.value > 0 else float(figure.value)
            operand = Operand(metric.name, str(period), value, "text")
            self.book.add(metric.name, period, Value(low, high, (operand,), f"{metric.name}[{period}]"))
            years.add(period)
        self.book.periods = sorted(years, key=lambda p: (p.year, p.part))

    # -- a figure ---------------------------------------------------------------------------------------

    def _find(self, index: int, binding: Binding) -> _Finding:
        figure = binding.figure
        if figure.is_range:
            return _Finding("unverifiable", binding, reason=NO_OPERANDS)
        if binding.sequential and not binding.explicit and self.facts is not None:
            return _Finding("unverifiable", binding, reason=SEQUENTIAL)
        book = self.facts
        if binding.role == "growth_in_points":
            return self._in_points(binding)
        if index in self.calculated:
            near = self.text[max(0, figure.start - 2) : figure.start]
            about = changed(binding, figure=replace(figure, hedge="about")) if "≈" in near else binding
            written = self._settle(about, self.calculated[index], firm=True, alone=True)
            if written.verdict == "wrong" or not binding.firm:
                return replace(written, binding=changed(written.binding, figure=figure))
        values = expected(binding, book) if book is not None else []
        from_text = False
        if not values and index in self.local:
            return self._settle(binding, self.local[index], firm=True, alone=True)
        if not values:
            values = self._from_text(binding)
            from_text = bool(values)
        if values:
            loose = from_text and binding.role in ("level", "share", "ratio", "gap")
            firm = binding.firm and not binding.supposed and not loose
            found = self._settle(binding, values, firm=firm)
            if found.verdict in ("ok", "rounding"):
                return found
            other = self._rescued(binding, firm)
            if other is None and index in self.local and not firm:
                return self._settle(binding, self.local[index], firm=True, alone=True)
            return other or found
        other = self._rescued(binding, False)
        if other is not None:
            return other
        reason = SUPPOSED if binding.supposed else UNKNOWN if binding.metric is None else NO_OPERANDS
        return _Finding("unverifiable", binding, reason=reason)

    def _in_points(self, binding: Binding) -> _Finding:
        """An amount "up 14.37 percentage points" that grew by 14.37%: the unit is wrong, and nothing else said."""
        grown = changed(binding, role="growth")
        for value in expected(grown, self.facts) if self.facts is not None else ():
            if judge.fit(binding.figure, value, binding.sign).verdict == "ok" and binding.firm:
                return _Finding("wrong", grown, value, Fit("wrong", 0.0), (value,), reason=IN_POINTS)
        return _Finding("unverifiable", binding, reason=UNSURE)

    def _from_text(self, binding: Binding) -> list[Expected]:
        """What the text's own statements make of a figure; of a level, only what formulas give."""
        if binding.role != "level":
            return expected(binding, self.book)
        metric, period = binding.metric, binding.period
        if metric is None or period is None or not metric.variants:
            return []
        alone = Book(self.rules)
        for name, when, value in self.book.entries():
            if name != metric.name:
                alone.add(name, when, value)
        return expected(binding, alone)

    def _settle(
        self, binding: Binding, values: Sequence[Expected], *, firm: bool, alone: bool = False
    ) -> _Finding:
        """The best of ``values``; what fits none is wrong if the binding is firm."""
        fits = [(judge.fit(binding.figure, value, binding.sign), value) for value in values]
        best, value = min(fits, key=lambda pair: (RANK[pair[0].verdict], not pair[0].opposite, pair[0].distance))
        if best.verdict == "wrong" and not firm:
            reason = SUPPOSED if binding.supposed else UNSURE
            return _Finding("unverifiable", binding, reason=reason)
        if alone:
            binding = changed(binding, base=None)
        return _Finding(best.verdict, binding, value, best, tuple(values))

    def _rescued(self, binding: Binding, firm: bool) -> _Finding | None:
        """Another reading of a figure that explains it exactly; of a firm one, only one its words allow."""
        figure, book = binding.figure, self.facts
        if book is None or figure.hedge:
            return None
        found = another_reading(binding, firm, book)
        if found is not None:
            other, value, fitting = found
            return _Finding("ok", other, value, fitting, (value,))
        if firm and figure.signed and figure.kind == "money" and binding.role in ("level", "delta"):
            return self._signed(binding, book)
        return None

    @staticmethod
    def _signed(binding: Binding, book: Book) -> _Finding | None:
        """A signed amount as a change; in a list of what moved profit, a cost that fell counts as plus."""
        change = changed(binding, role="delta")
        for value in expected(change, book):
            turned = replace(value, low=-value.high, high=-value.low)
            cost = binding.metric is not None and binding.metric.cost
            for candidate in (value, turned) if cost else (value,):
                found = judge.fit(binding.figure, candidate, 0)
                if found.verdict in ("ok", "rounding"):
                    return _Finding(found.verdict, change, value, found, (value,))
        return None

    def _swap(self, findings: list[_Finding]) -> None:
        """由A降至B with the years' figures exchanged: the first was saved by fitting the later year."""
        for index in range(len(findings) - 1):
            one, two = findings[index], findings[index + 1]
            came = one.binding.came_from and one.verdict == "ok" and two.verdict == "wrong" and self.facts
            bound = self.bound[index]
            if not came or one.binding.period == bound.period or one.binding.period != two.binding.period:
                continue
            mistaken = changed(two.binding, period=bound.period)
            if self.facts is not None and _explains(mistaken, self.facts):
                findings[index] = self._settle(bound, expected(bound, self.facts), firm=True)

    def _turned(self, findings: list[_Finding]) -> None:
        """由1倍下降到2倍: the word against the two figures, whatever they should be."""
        for index in range(1, len(findings)):
            one, two = findings[index - 1], findings[index]
            a, b = self.bound[index - 1].figure, self.bound[index].figure
            if not self.bound[index - 1].came_from or two.verdict == "wrong" or a.kind != b.kind:
                continue
            gap = self.text[a.end : b.start]
            if len(gap) > LONGEST_MOVE or not words.reached(gap) or min(a.low, b.low) < 0 or a.unit != b.unit:
                continue
            way = words.STRICT.search(gap)
            if way is None or one.binding.metric is not two.binding.metric:
                continue
            if (a.high < b.low) if way["down"] else (b.high < a.low):
                value = two.value or Expected(
                    float(b.low), float(b.high), f"{a.text} → {b.text}", (), point=float(b.value)
                )
                findings[index] = replace(
                    two, verdict="wrong", value=value, fit=Fit("wrong", 0.0, opposite=True), reason=TURNED
                )

    def _from_word(self, binding: Binding) -> int:
        """Where the word begins that gives a change its direction; the figure itself if there is none near."""
        figure = binding.figure
        begin = max(figure.start - LONGEST_MOVE, figure.start - len(binding.tail))
        found = None
        for pattern in (words.CHANGE, words.DOWN_NOUN, words.UP_NOUN):
            for match in pattern.finditer(self.text, begin, figure.start):
                if found is None or match.end() > found.end():
                    found = match
        return found.start() if found else figure.start

    # -- a claim ----------------------------------------------------------------------------------------

    def _claim(self, finding: _Finding, preferred: dict[str, str]) -> Claim:
        binding, figure = finding.binding, finding.binding.figure
        metric = None
        if binding.metric is not None and finding.reason != UNKNOWN:
            metric = binding.metric.name
            if binding.other is not None:
                metric += f" / {binding.other.name}" if binding.role != "gap" else f" - {binding.other.name}"
            if binding.role in ROLE_NAMES:
                metric += f" {ROLE_NAMES[binding.role]}"
        elif binding.subject:
            metric = binding.subject
        value, found = finding.value, finding.fit
        if finding.verdict == "wrong" and len(finding.values) > 1 and binding.metric and not (found and found.opposite):
            note = preferred.get(_family(binding.metric))
            value = next((v for v in finding.values if note is not None and v.note == note), finding.values[0])
        recomputed = formula = mistake = None
        severity: Severity | None = None
        reason = finding.reason
        operands: tuple[dict[str, Any], ...] = ()
        if value is not None and found is not None:
            middle = value.middle if finding.verdict == "ok" else self._point(binding, value)
            keep = middle < 0 if not value.signed else self._keep_sign(binding, value)
            recomputed = judge.written(figure, middle, keep_sign=keep)
            formula = value.formula
            operands = tuple(
                {"name": o.name, "period": o.period, "value": _plain(o.value), "source": o.source}
                for o in dict.fromkeys(value.operands)
            )
            if value.note:
                reason = f"口径：{value.note}"
            if finding.verdict == "wrong":
                severity = cast(Severity, judge.severity(figure, value, found.opposite))
                mistake = judge.simple_mistake(figure, value, found.opposite) or self._mistake(binding, value)
                if finding.reason == IN_POINTS:
                    mistake = "pp_for_percent"
                    recomputed = judge.written(replace(figure, kind="percent"), middle, keep_sign=keep)
                    recomputed = recomputed.replace("个百分点", "%").rstrip("ptcP点百分个").rstrip("%") + "%"
                reason = "；".join(part for part in (judge.MISTAKES.get(mistake or "", ""), reason) if part)
        period = str(binding.period) if binding.period is not None and metric is not None else None
        # A wrong direction is the word's fault: it belongs to what is quoted.
        start = self._from_word(binding) if mistake == "sign" else figure.start
        return Claim(
            text=self.text[start : figure.end],
            span=(start, figure.end),
            metric=metric,
            period=period,
            stated=figure.text,
            recomputed=recomputed,
            formula=formula,
            operands=operands,
            verdict=cast(Verdict, finding.verdict),
            severity=severity,
            reason=reason,
            mistake=mistake,
        )

    def _point(self, binding: Binding, value: Expected) -> float:
        """The value to show: from the figures as written, not from the middle of what they may stand for."""
        if value.high - value.low <= 0.2 * float(binding.figure.step):
            return value.middle
        if self._sheet is not None and all(operand.source == "facts" for operand in value.operands):
            same = (v for v in expected(binding, self.points) if v.formula == value.formula and v.note == value.note)
            return next((v.middle for v in same), value.middle)
        return value.point if value.point is not None else value.middle

    @staticmethod
    def _keep_sign(binding: Binding, value: Expected) -> bool:
        """Whether a change needs a sign: where no word says the way it went, or the word says the other."""
        if binding.figure.signed or binding.sign == 0:
            return value.middle < 0 or binding.figure.signed
        return (value.middle < 0) != (binding.sign < 0)

    def _mistake(self, binding: Binding, value: Expected) -> str | None:
        """A mistake that another value of the book explains."""
        book = self.facts or self.book
        figure, metric, period = binding.figure, binding.metric, binding.period
        if metric is None or period is None or judge.significant(figure) < PRECISE:
            return None
        plain = changed(binding, base=None)
        for other in book.periods:
            if other != period and _explains(changed(plain, period=other), book):
                return "base_year"
        if binding.role in ("growth", "delta") and _explains(changed(plain, base=period.back(2)), book):
            return "base_year"
        swapped = {"level": "delta", "delta": "level"}.get(binding.role)
        if swapped and _explains(changed(plain, role=swapped), book):
            return "stale_level"
        if binding.role == "delta" and metric.kind == "percent" and _explains(changed(plain, role="growth"), book):
            return "pp_for_percent"
        if binding.role in ("level", "growth", "delta"):
            names = {name for name, _, _ in book.entries()}
            others = [self.rules.metrics[name] for name in names if name in self.rules.metrics]
            for near in others:
                same = near.kind == metric.kind and near is not metric
                if same and _explains(changed(plain, metric=near), book):
                    return "neighbouring_line"
        return None


def _explains(binding: Binding, book: Book) -> bool:
    return any(judge.fit(binding.figure, value, binding.sign).verdict == "ok" for value in expected(binding, book))


def _same_kind(figure: Figure, metric: Metric) -> bool:
    if metric.kind == figure.kind:
        return True
    return metric.kind in ("multiple", "turns") and figure.kind in ("number", "multiple", "turns")


def _family(metric: Metric) -> str:
    return metric.name


def _preferred(findings: Sequence[_Finding]) -> dict[str, str]:
    """The variant that the report itself uses of each metric, by its figures that fit."""
    votes: dict[str, Counter[str]] = {}
    for finding in findings:
        if finding.verdict in ("ok", "rounding") and finding.value is not None and finding.binding.metric is not None:
            if len(finding.values) > 1:
                votes.setdefault(_family(finding.binding.metric), Counter())[finding.value.note] += 1
    return {name: counter.most_common(1)[0][0] for name, counter in votes.items()}


def _current_year(periods: Sequence[PeriodMention], facts: Book | None) -> int:
    """The year that a text reports on: the latest of the facts that it names, or the one it names most."""
    named = Counter(p.end_year or p.year for p in periods if p.year is not None)
    if facts is not None and facts.periods:
        last = facts.periods[-1].year
        known = {period.year for period in facts.periods}
        first = next((p for p in periods if p.year is not None and p.start < TITLE), None)
        # A report on an earlier year says so at once, and never names the last.
        if first is not None and first.year in known and not any(year == last for year in named):
            return first.year or last
        return last
    # Years that text or table begin with; without one, "this year" has no number.
    row = [p.year for p in periods if p.year is not None and p.start < OPENING]
    return max(row, default=0)


def _plain(value: float) -> float | int:
    """A float without its noise: 12 significant digits, an integer where it is one."""
    short = float(f"{value:.12g}")
    return int(short) if short.is_integer() and abs(short) < 1e15 else short
