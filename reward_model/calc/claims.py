"""Findings as claims: what people are shown of a figure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from reward_model.calc import judge, words
from reward_model.calc.binding import Binding
from reward_model.calc.expected import Expected, expected
from reward_model.calc.findings import UNKNOWN, Finding, Sources
from reward_model.calc.judge import Fit
from reward_model.calc.mistakes import MISTAKES, mistake_of
from reward_model.calc.moves import LONGEST_MOVE
from reward_model.calc.result import Claim, Severity
from reward_model.calc.slips import SLIPS
from reward_model.calc.written import NUMBER, written

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
"""What is claimed of a metric, behind its name."""

EXACT = 0.2
"""Of a figure's last digit: an interval up to this wide is shown by its middle."""


def preferred_variants(findings: Sequence[Finding]) -> dict[str, str]:
    """The variant that a report itself uses of each metric, by its figures that fit."""
    votes: dict[str, Counter[str]] = {}
    for finding in findings:
        metric, value = finding.binding.metric, finding.value
        if finding.holds and value is not None and metric is not None and len(finding.values) > 1:
            votes.setdefault(metric.name, Counter())[value.note] += 1
    return {name: counter.most_common(1)[0][0] for name, counter in votes.items()}


def claim_of(sources: Sources, finding: Finding, preferred: Mapping[str, str]) -> Claim:
    """What people are shown of a finding.

    Args:
        sources: of the text.
        finding: on one of its figures.
        preferred: the variant that the report uses, by metric: what a wrong figure should be.
    """
    binding, figure = finding.binding, finding.binding.figure
    metric = _metric_shown(finding)
    value, fit = _value_shown(finding, preferred), finding.fit
    recomputed = formula = mistake = None
    severity: Severity | None = None
    reason = finding.reason
    operands: tuple[dict[str, Any], ...] = ()
    if value is not None and fit is not None:
        recomputed = _recomputed(sources, finding, value)
        formula, operands = value.formula, _operands(value)
        if value.note:
            reason = f"口径：{value.note}"
        if finding.verdict == "wrong":
            severity = judge.severity(figure, value, fit.opposite)
            mistake = _mistake(sources, finding, value, fit)
            reason = "；".join(part for part in (MISTAKES.get(mistake or "", ""), reason) if part)
    # A wrong direction is the word's fault: it belongs to what is quoted.
    start = _word_start(sources.text, binding) if mistake == "sign" else figure.start
    return Claim(
        text=sources.text[start : figure.end],
        span=(start, figure.end),
        metric=metric,
        period=str(binding.period) if binding.period is not None and metric is not None else None,
        stated=figure.text,
        recomputed=recomputed,
        formula=formula,
        operands=operands,
        verdict=finding.verdict,
        severity=severity,
        reason=reason,
        mistake=mistake,
    )


def _metric_shown(finding: Finding) -> str | None:
    """The metric with what is claimed of it: "营业收入 同比"; the subject's own words if it is unknown."""
    binding = finding.binding
    if binding.metric is None or finding.reason == UNKNOWN:
        return binding.subject or None
    name = binding.metric.name
    if binding.other is not None:
        name += f" - {binding.other.name}" if binding.role == "gap" else f" / {binding.other.name}"
    return f"{name} {ROLE_NAMES[binding.role]}" if binding.role in ROLE_NAMES else name


def _value_shown(finding: Finding, preferred: Mapping[str, str]) -> Expected | None:
    """The accepted value nearest to a figure; for a wrong one, by the variant that the report uses."""
    metric, fit, values = finding.binding.metric, finding.fit, finding.values
    if finding.verdict != "wrong" or len(values) < 2 or metric is None or (fit and fit.opposite):
        return finding.value
    note = preferred.get(metric.name)
    return next((value for value in values if note is not None and value.note == note), values[0])


def _recomputed(sources: Sources, finding: Finding, value: Expected) -> str:
    """``value`` as the figure would have written it."""
    binding, figure = finding.binding, finding.binding.figure
    number = value.middle if finding.verdict == "ok" else _point(sources, binding, value)
    sign = _keeps_sign(binding, value) if value.signed else number < 0
    shown = written(figure, number, keep_sign=sign)
    slip = SLIPS.get(finding.reason)
    if slip is None:
        return shown
    match = NUMBER.match(shown)
    return f"{match[0] if match else shown}{slip.unit}"


def _point(sources: Sources, binding: Binding, value: Expected) -> float:
    """The value to show: from the figures as written, not from the middle of what they may stand for."""
    if value.high - value.low <= EXACT * float(binding.figure.step):
        return value.middle
    if sources.exact is not None and all(operand.source == "facts" for operand in value.operands):
        for exact in expected(binding, sources.exact):
            if exact.formula == value.formula and exact.note == value.note:
                return exact.middle
        return value.middle
    return value.point if value.point is not None else value.middle


def _keeps_sign(binding: Binding, value: Expected) -> bool:
    """Whether a change needs a sign: where no word says the way it went, or the word says the other."""
    if binding.figure.signed or binding.sign == 0:
        return value.middle < 0 or binding.figure.signed
    return (value.middle < 0) != (binding.sign < 0)


def _operands(value: Expected) -> tuple[dict[str, Any], ...]:
    return tuple(
        {"name": o.name, "period": o.period, "value": _plain(o.value), "source": o.source}
        for o in dict.fromkeys(value.operands)
    )


def _plain(value: float) -> float | int:
    """A float without its noise: 12 significant digits, an integer where it is one."""
    short = float(f"{value:.12g}")
    return int(short) if short.is_integer() and abs(short) < 1e15 else short


def _mistake(sources: Sources, finding: Finding, value: Expected, fit: Fit) -> str | None:
    if finding.reason in SLIPS:
        return SLIPS[finding.reason].mistake
    return mistake_of(finding.binding, value, fit.opposite, sources.rules, sources.book)


def _word_start(text: str, binding: Binding) -> int:
    """Where the word begins that gives a change its direction; the figure itself if there is none near."""
    figure = binding.figure
    begin = max(figure.start - LONGEST_MOVE, figure.start - len(binding.tail))
    start = end = 0
    for pattern in (words.CHANGE, words.DOWN_NOUN, words.UP_NOUN):
        for match in pattern.finditer(text, begin, figure.start):
            if match.end() > end:
                start, end = match.span()
    return start if end else figure.start
