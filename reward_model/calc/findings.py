"""The verdict on a figure: what it claims against what the facts, or the text itself, say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from reward_model.calc import judge
from reward_model.calc.binding import Binding, changed
from reward_model.calc.book import Book, Facts, fact_book
from reward_model.calc.expected import Expected, expected
from reward_model.calc.judge import Fit
from reward_model.calc.readings import another_reading
from reward_model.calc.result import Verdict
from reward_model.calc.rules import Rules
from reward_model.calc.slips import meant

UNKNOWN = "认不出是哪一项指标"
NO_OPERANDS = "缺少可核对的数据"
UNSURE = "口径不明确，与可得数据不符但不能断定"
SUPPOSED = "假设、目标或外部基准，不核对"
SEQUENTIAL = "环比需要季度或月度数据"

RANK = {"ok": 0, "rounding": 1, "wrong": 2}


@dataclass(frozen=True, slots=True)
class Finding:
    """The best explanation of a figure.

    Attributes:
        verdict: on the figure.
        binding: what it claims by this explanation.
        value: what it should be; None if nothing could be computed.
        fit: how it compares with that.
        values: all accepted values.
        reason: for people.
    """

    verdict: Verdict
    binding: Binding
    value: Expected | None = None
    fit: Fit | None = None
    values: tuple[Expected, ...] = ()
    reason: str = ""

    @property
    def holds(self) -> bool:
        """Whether the figure is what it should be, rounding aside."""
        return self.verdict in ("ok", "rounding")


@dataclass
class Sources:
    """All that the figures of one text are held against.

    Attributes:
        text: the text.
        rules: metrics and formulas.
        sheet: the fact sheet, if there is one.
        facts: its values, as intervals.
        stated: the levels that the text states itself.
        equations: what figures should be by the figures before them, by index.
        calculations: what results of written calculations should be, by index.
    """

    text: str
    rules: Rules
    sheet: Facts | None
    facts: Book | None
    stated: Book
    equations: dict[int, list[Expected]]
    calculations: dict[int, list[Expected]]

    @property
    def book(self) -> Book:
        """The facts; without them, what the text states."""
        return self.facts or self.stated

    @cached_property
    def exact(self) -> Book | None:
        """The sheet's values as written, not as intervals; None without a sheet."""
        return fact_book(self.sheet, self.rules, exact=True) if self.sheet is not None else None


def find(sources: Sources, index: int, binding: Binding) -> Finding:
    """The best explanation of the figure ``index``, whose words claim ``binding``."""
    if binding.figure.is_range:
        return Finding("unverifiable", binding, reason=NO_OPERANDS)
    yearly = binding.period is None or not binding.period.part
    if binding.sequential and yearly and sources.facts is not None:
        return Finding("unverifiable", binding, reason=SEQUENTIAL)
    slip = _slip(sources, binding)
    if slip is not None:
        return slip
    calculated = _as_calculated(sources, index, binding)
    if calculated is not None:
        return calculated
    equations = sources.equations.get(index)
    values = expected(binding, sources.facts) if sources.facts is not None else []
    loose = False
    if not values:
        if equations is not None:
            return settle(binding, equations, firm=True, alone=True)
        values = _from_text(sources, binding)
        # Other levels of the text may be of another scope: they confirm, and refute changes only.
        loose = binding.role in ("level", "share", "ratio", "gap")
    if not values:
        reason = SUPPOSED if binding.supposed else UNKNOWN if binding.metric is None else NO_OPERANDS
        return _rescued(sources, binding, False) or Finding("unverifiable", binding, reason=reason)
    firm = binding.firm and not binding.supposed and not loose
    found = settle(binding, values, firm=firm)
    if found.holds:
        return found
    other = _rescued(sources, binding, firm)
    if other is None and equations is not None and not firm:
        return settle(binding, equations, firm=True, alone=True)
    return other or found


def settle(binding: Binding, values: Sequence[Expected], *, firm: bool, alone: bool = False) -> Finding:
    """The best of ``values``; what fits none is wrong if it is claimed firmly, else unverifiable.

    Args:
        binding: the claim.
        values: the accepted values, at least one.
        firm: the claim can be refuted.
        alone: the values come from the text around the figure, whatever its metric and base.
    """
    fits = [(judge.fit(binding.figure, value, binding.sign), value) for value in values]
    best, value = min(fits, key=lambda pair: (RANK[pair[0].verdict], not pair[0].opposite, pair[0].distance))
    if best.verdict == "wrong" and not firm:
        return Finding("unverifiable", binding, reason=SUPPOSED if binding.supposed else UNSURE)
    if alone:
        binding = changed(binding, base=None)
    return Finding(best.verdict, binding, value, best, tuple(values))


def explains(binding: Binding, book: Book) -> bool:
    """Whether the figure is exactly what ``binding`` claims by ``book``."""
    values = expected(binding, book)
    return any(judge.fit(binding.figure, value, binding.sign).verdict == "ok" for value in values)


def _as_calculated(sources: Sources, index: int, binding: Binding) -> Finding | None:
    """The verdict by a calculation written out before the figure; None if its metric is to decide."""
    values = sources.calculations.get(index)
    if values is None:
        return None
    figure = binding.figure
    about = "≈" in sources.text[max(0, figure.start - 2) : figure.start]
    stated = changed(binding, figure=replace(figure, hedge="about")) if about else binding
    found = settle(stated, values, firm=True, alone=True)
    if found.verdict != "wrong" and binding.firm:
        return None
    return replace(found, binding=changed(found.binding, figure=figure))


def _slip(sources: Sources, binding: Binding) -> Finding | None:
    """A figure whose number is right and whose unit is wrong; None if its unit is what it should be."""
    if not binding.worded or binding.supposed:
        return None
    for slip, claim in meant(binding):
        for value in expected(claim, sources.book):
            fit = judge.fit(claim.figure, value, claim.sign)
            if fit.verdict not in ("ok", "rounding"):
                continue
            if slip is None:
                return Finding(fit.verdict, claim, value, fit, (value,))
            shown = changed(claim, figure=binding.figure)
            return Finding("wrong", shown, value, Fit("wrong", 0.0), (value,), reason=slip.reason)
    return None


def _from_text(sources: Sources, binding: Binding) -> list[Expected]:
    """What the text's own statements make of a figure; of a level, only what formulas give."""
    if binding.role != "level":
        return expected(binding, sources.stated)
    metric = binding.metric
    if metric is None or binding.period is None or not metric.variants:
        return []
    return expected(binding, sources.stated.without(metric.name))


def _rescued(sources: Sources, binding: Binding, firm: bool) -> Finding | None:
    """Another reading of a figure that explains it exactly; of a firm one, only one its words allow."""
    figure, book = binding.figure, sources.facts
    if book is None or figure.hedge:
        return None
    found = another_reading(binding, firm, book)
    if found is not None:
        other, value, fitting = found
        return Finding("ok", other, value, fitting, (value,))
    if firm and figure.signed and figure.kind == "money" and binding.role in ("level", "delta"):
        return _signed(binding, book)
    return None


def _signed(binding: Binding, book: Book) -> Finding | None:
    """A signed amount as a change; in a list of what moved profit, a cost that fell counts as plus."""
    change = changed(binding, role="delta")
    for value in expected(change, book):
        for candidate in _either_way(value, binding):
            found = judge.fit(binding.figure, candidate, 0)
            if found.verdict in ("ok", "rounding"):
                return Finding(found.verdict, change, value, found, (value,))
    return None


def _either_way(value: Expected, binding: Binding) -> Iterator[Expected]:
    yield value
    if binding.metric is not None and binding.metric.cost:
        yield value._replace(low=-value.high, high=-value.low)
