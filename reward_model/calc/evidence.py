"""What the checker found in a report, as a small fixed vector for a model's heads.

A model records :data:`VERSION` and takes no other: any change of the features, their order or their scale
is a new version.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace

from reward_model.calc.result import CheckResult, Claim

VERSION = "2"
FEATURES: tuple[str, ...] = (
    "wrong_1",  # at least one wrong figure ...
    "wrong_2",
    "wrong_3",
    "wrong_4",
    "wrong_6",
    "wrong_9",
    "log_wrong",  # log(1 + wrong figures)
    "major_1",  # at least one of them a major error
    "log_major",
    "unit_slip",  # at least one wrong unit: 百分点 written as %, 倍 as %
    "log_subjects",  # log(1 + metrics and periods that are wrong): repeats of one error count once
    "wrong_share",  # of the checked figures
    "worst_error",  # largest relative error, at most 2
    "rounding_share",
    "checked_share",  # of all figures
    "log_checked",
    "few_checked",  # fewer than 6 figures could be checked
    "log_figures",
)
"""Names of the features, in order; each lies between 0 and about 6."""

FEW = 6
WORST = 2.0
UNIT_SLIPS = frozenset({"pp_for_percent", "percent_for_pp", "percent_for_times"})
_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")


def evidence_vector(result: CheckResult) -> list[float]:
    """The features of a check, in the order of :data:`FEATURES`."""
    # What is said twice counts once: a text gains nothing by repeating its right figures.
    result = replace(result, claims=tuple({_said(claim): claim for claim in result.claims}.values()))
    summary, wrong = result.summary, result.wrong
    count = len(wrong)
    major = sum(claim.severity == "major" for claim in wrong)
    checked = max(1, summary.checked)
    return [
        *(float(count >= least) for least in (1, 2, 3, 4, 6, 9)),
        math.log1p(count),
        float(major > 0),
        math.log1p(major),
        float(any(claim.mistake in UNIT_SLIPS for claim in wrong)),
        math.log1p(len({(claim.metric, claim.period) for claim in wrong})),
        count / checked,
        max((relative_error(claim) for claim in wrong), default=0.0),
        summary.rounding / checked,
        summary.checked / max(1, summary.figures),
        math.log1p(summary.checked),
        float(summary.checked < FEW),
        math.log1p(summary.figures),
    ]


def _said(claim: Claim) -> tuple[object, ...]:
    return claim.text, claim.metric, claim.period, claim.verdict, claim.formula


def relative_error(claim: Claim) -> float:
    """|stated - recomputed| / |recomputed| as both are written, at most :data:`WORST`; that if unknown."""
    stated, right = (_number(text) for text in (claim.stated, claim.recomputed or ""))
    if stated is None or right is None:
        return WORST
    return min(WORST, abs(stated - right) / max(abs(right), 1e-9))


def _number(text: str) -> float | None:
    found = _NUMBER.search(text.replace("，", ",").replace("−", "-").replace("－", "-"))
    return float(found[0].replace(",", "")) if found else None
