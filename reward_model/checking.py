"""Checking the arithmetic of files: requests in, lines out. No model, no torch."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from reward_model.calc.check import check_text
from reward_model.calc.rules import Rules
from reward_model.errors import InputError
from reward_model.intake import Request, Write, error_line
from reward_model.jsonl import one_line
from reward_model.reading import facts_in_prompt

NOT_CHINESE = (
    "中文字符不足三成，而本核对只读中文报告，多数数字可能无法核验 "
    "(less than 30% Chinese; the checker reads Chinese reports, most figures may stay unchecked)"
)
OTHER_FACTS = (
    "多数已核对的数字与事实表不符，请确认事实表属于这份报告 "
    "(most figures contradict the facts; check that they belong to this report)"
)
_CHINESE_SHARE = 0.3
_ENOUGH = 10
"""Checked figures from which most of them being wrong says something about the facts."""
_CHINESE = re.compile("[㐀-鿿]+")
_SAMPLE = 20_000
"""Characters that are enough to see what language a report is in."""


@dataclass(frozen=True)
class Checked:
    """What became of the requests: lines written, how many are errors, and what was wrong in the others."""

    done: int
    failed: int
    wrong_reports: int
    wrong_figures: int


def _hardly_chinese(text: str) -> bool:
    sample = text[:_SAMPLE]
    letters = sum(map(str.isalpha, sample))
    return sum(map(len, _CHINESE.findall(sample))) < _CHINESE_SHARE * letters


def check_line(request: Request, rules: Rules | None = None) -> dict[str, Any]:
    """The line of a sound request: ``{"id", "claims", "summary", "evidence", "warnings"}``.

    Its facts are those that came with it or were given for all, else the first fact table in its prompt.

    Raises:
        InputError: if its facts can't be used.
    """
    facts = request.facts or (facts_in_prompt(request.prompt) if request.prompt else None)
    line = {"id": request.id, **check_text(request.text, facts, rules).to_dict()}
    summary = line["summary"]
    if (
        line["evidence"] == "facts"
        and summary["checked"] >= _ENOUGH
        and 2 * summary["wrong"] > summary["checked"]
    ):
        line["warnings"] = [*line["warnings"], OTHER_FACTS]
    if summary["figures"] and _hardly_chinese(request.text):
        line["warnings"] = [*line["warnings"], NOT_CHINESE]
    return line


def check_requests(
    requests: Iterable[Request],
    write: Write,
    *,
    rules: Rules | None = None,
    total: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Checked:
    """Check ``requests`` one by one and hand each line to ``write``; a fault costs its own line only.

    Args:
        requests: from :mod:`reward_model.intake`.
        write: gets each line, and the request with its text.
        rules: None for the built-in ones.
        total: how many are expected, for ``progress``; 0 if unknown.
        progress: called with (done, total).
    """
    done = failed = wrong_reports = wrong_figures = 0
    for given in requests:
        request = given
        if request.error is None:
            try:
                line = check_line(request, rules)
            except InputError as error:
                request = Request(request.id, error=f"{one_line(request.id)}: {error}")
        if request.error is not None:
            line = error_line(request)
            failed += 1
        else:
            wrong_figures += line["summary"]["wrong"]
            wrong_reports += line["summary"]["wrong"] > 0
        write(line, request)
        done += 1
        if progress and total:
            progress(min(done, total), total)
    return Checked(done, failed, wrong_reports, wrong_figures)
