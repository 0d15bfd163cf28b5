"""Two figures of one move, 由A降至B: exchanged ones, and a word that contradicts them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from reward_model.calc import words
from reward_model.calc.binding import Binding, changed
from reward_model.calc.expected import Expected, expected
from reward_model.calc.figures import Figure
from reward_model.calc.findings import Finding, Sources, explains, settle
from reward_model.calc.judge import Fit

LONGEST_MOVE = 16
"""Characters between the two figures."""
TURNED = "与前后两数的变动方向相反"


def judge_moves(sources: Sources, bound: Sequence[Binding], findings: list[Finding]) -> None:
    """Correct the ``findings`` of figures that something moved between, in place.

    Args:
        sources: of the text.
        bound: what each figure claims by its words.
        findings: the explanation of each.
    """
    for index in range(len(findings) - 1):
        _unswap(sources, bound[index], findings, index)
    for index in range(1, len(findings)):
        if bound[index - 1].came_from:
            turned = _turned(sources.text, findings[index - 1], findings[index], bound[index - 1 : index + 1])
            findings[index] = turned or findings[index]


def _unswap(sources: Sources, bound: Binding, findings: list[Finding], index: int) -> None:
    """由A降至B with the years' figures exchanged: the first was saved by fitting the later year."""
    one, two = findings[index], findings[index + 1]
    if not (one.binding.came_from and one.verdict == "ok" and two.verdict == "wrong"):
        return
    if one.binding.period == bound.period or one.binding.period != two.binding.period:
        return
    facts = sources.facts
    if facts is not None and explains(changed(two.binding, period=bound.period), facts):
        values = expected(bound, facts)
        findings[index] = settle(bound, values, firm=True) if values else one


def _turned(text: str, one: Finding, two: Finding, bound: Sequence[Binding]) -> Finding | None:
    """由1倍下降到2倍: the word against the two figures, whatever they should be."""
    a, b = (binding.figure for binding in bound)
    if two.verdict == "wrong" or not _comparable(a, b) or one.binding.metric is not two.binding.metric:
        return None
    gap = text[a.end : b.start]
    way = words.STRICT.search(gap) if len(gap) <= LONGEST_MOVE and words.reached(gap) else None
    if way is None or not ((a.high < b.low) if way["down"] else (b.high < a.low)):
        return None
    stated = Expected(float(b.low), float(b.high), f"{a.text} → {b.text}", (), point=float(b.value))
    fit = Fit("wrong", 0.0, opposite=True)
    return replace(two, verdict="wrong", value=two.value or stated, fit=fit, reason=TURNED)


def _comparable(a: Figure, b: Figure) -> bool:
    return a.kind == b.kind and a.unit == b.unit and min(a.low, b.low) >= 0
