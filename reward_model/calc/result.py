"""What the checker says of a text: claims with verdicts, and their counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Verdict = Literal["ok", "rounding", "wrong", "unverifiable"]
Severity = Literal["minor", "major"]
VERDICTS: tuple[Verdict, ...] = ("ok", "rounding", "wrong", "unverifiable")


@dataclass(frozen=True)
class Claim:
    """One figure (or direction word) of a text and what became of it.

    Attributes:
        text: as written: ``report[start:end]``.
        span: character offsets (start, end) into the text as given.
        metric: what it is a figure of, with what is claimed: "营业收入", "营业收入 同比"; None if unknown.
        period: "2024"; None if unknown.
        stated: as written, without hedges.
        recomputed: the value that the formula gives, written as ``stated`` is (same unit and digits); None
            where nothing could be computed.
        formula: how: "营业收入[2024] / 营业收入[2023] - 1".
        operands: each ``{"name", "period", "value", "source"}``, source "facts" or "text".
        verdict: "ok", "rounding" (off by less than rounding on the way explains), "wrong", or "unverifiable".
        severity: "minor" or "major" of a wrong one.
        reason: for people: which accepted variant fits, the likely mistake, or why it can't be checked.
        mistake: the likely mistake of a wrong one as a code ("base_year", "wan_yi", "sign" ...); None if
            unknown.
    """

    text: str
    span: tuple[int, int]
    metric: str | None
    period: str | None
    stated: str
    recomputed: str | None
    formula: str | None
    operands: tuple[Mapping[str, Any], ...]
    verdict: Verdict
    severity: Severity | None = None
    reason: str = ""
    mistake: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """As ``finrm check`` writes it."""
        return {
            "text": self.text,
            "span": list(self.span),
            "metric": self.metric,
            "period": self.period,
            "stated": self.stated,
            "recomputed": self.recomputed,
            "formula": self.formula,
            "operands": [dict(operand) for operand in self.operands],
            "verdict": self.verdict,
            "severity": self.severity,
            "reason": self.reason,
            "mistake": self.mistake,
        }


@dataclass(frozen=True)
class Summary:
    """How many figures there are and what became of them; ``checked`` = ok + rounding + wrong."""

    figures: int = 0
    ok: int = 0
    rounding: int = 0
    wrong: int = 0
    unverifiable: int = 0

    @property
    def checked(self) -> int:
        return self.ok + self.rounding + self.wrong

    def to_dict(self) -> dict[str, int]:
        """As ``finrm check`` writes it."""
        return {
            "figures": self.figures,
            "checked": self.checked,
            "ok": self.ok,
            "rounding": self.rounding,
            "wrong": self.wrong,
            "unverifiable": self.unverifiable,
        }


@dataclass(frozen=True)
class CheckResult:
    """All claims of one text, in its order.

    Attributes:
        claims: one a figure; a wrong direction word is a claim too.
        evidence: "facts" where a fact sheet was there, else "text".
        warnings: what to bear in mind (a text cut short, facts of another unit ...).
    """

    claims: tuple[Claim, ...] = ()
    evidence: Literal["facts", "text"] = "text"
    warnings: tuple[str, ...] = field(default=())

    @property
    def summary(self) -> Summary:
        """Counts over ``claims``."""
        counts = {name: sum(claim.verdict == name for claim in self.claims) for name in VERDICTS}
        return Summary(figures=len(self.claims), **counts)

    @property
    def wrong(self) -> tuple[Claim, ...]:
        """The claims that are wrong."""
        return tuple(claim for claim in self.claims if claim.verdict == "wrong")

    def to_dict(self) -> dict[str, Any]:
        """``{"claims": [...], "summary": {...}}``; the command adds the id."""
        return {
            "claims": [claim.to_dict() for claim in self.claims],
            "summary": self.summary.to_dict(),
            "evidence": self.evidence,
            "warnings": list(self.warnings),
        }
