"""Makes one figure of a true report untrue."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any

from drawn_sheets import Sheet
from report_page import FULL_WIDTH, HALF_WIDTH, UP_DOWN, Report, Written

OPPOSITE = {word: pair[not index] for pair in UP_DOWN for index, word in enumerate(pair)}


@dataclass(frozen=True)
class Edited:
    """A report with one figure made untrue.

    Attributes:
        what: the edit, for people.
        where: the edited figure's span in ``text``.
        also: further spans at which the error may show: its direction word, the rest of its equation or sum.
    """

    text: str
    what: str
    where: tuple[int, int]
    also: tuple[tuple[int, int], ...]
    report: Report

    def __repr__(self) -> str:
        return f"{self.what}\n{self.text}\nsheet: {self.report.sheet}"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """How hypothesis shows a counterexample."""
        printer.text(repr(self))


NUMBER = re.compile(r"[0-9][0-9,]*(?:\.[0-9]+)?")
EDITS = ("tenfold", "tenth", "swap", "lead", "sign", "unit", "points", "direction")


def _new_number(number: str, kind: str) -> str | None:
    if kind == "tenfold":
        return f"{Decimal(number) * 10:f}"
    if kind == "tenth":
        return f"{Decimal(number) / 10:f}"
    if kind == "swap":
        for index, (one, two) in enumerate(pairwise(number)):
            if one.isdigit() and two.isdigit() and one != two and not (index == 0 and two == "0"):
                return number[:index] + two + one + number[index + 2 :]
        return None
    return f"{(int(number[0]) + 2) % 9 + 1}{number[1:]}" if number[0] != "0" else None


def _is_untrue(figure: Written, sheet: Sheet, nudged: Sequence[Sheet], new: Fraction, step: Fraction) -> bool:
    """Whether ``new`` is beyond what rounding, the hedge and every accepted formula allow."""
    rights = figure.rights(sheet)
    if (figure.hedge == "超过" and new <= rights[0]) or (figure.hedge == "近" and new >= rights[0]):
        return False
    for index, right in enumerate(rights):
        slack = max(abs(figure.rights(other)[index] - right) for other in nudged) * 3
        slack += 3 * step + abs(right) * (Fraction(15, 100) if figure.hedge else Fraction(2, 100))
        if abs(new - right) <= slack:
            return False
    return True


def _edited_text(figure: Written, sheet: Sheet, nudged: Sequence[Sheet], kind: str) -> str | None:
    """The figure's text made untrue; None where this edit doesn't suit it or leaves it true enough."""
    plain = figure.text.translate(HALF_WIDTH)
    if kind == "points":
        # The other way round is no error to everybody: "毛利率提升2%" is read as points.
        return plain.replace("%", "个百分点") if figure.how == "growth" and figure.linked is None else None
    if kind == "unit":
        if "亿元" not in plain and "万元" not in plain:
            return None
        new = plain.translate(str.maketrans("亿万", "万亿"))
        factor = Fraction(1, 10**4) if "万元" in new else Fraction(10**4)
        value = figure.rights(sheet)[0] * factor
        step = Fraction(1, 10**figure.decimals) * factor
        return new if _is_untrue(figure, sheet, nudged, value, step) else None
    if kind == "sign":
        if figure.how != "growth" or plain[0] not in "+-":
            return None
        return ("-" if plain[0] == "+" else "+") + figure.text[1:]
    match = NUMBER.search(plain)
    assert match is not None
    number = match.group().replace(",", "")
    changed = _new_number(number, kind)
    if changed is None or Decimal(changed) == Decimal(number):
        return None
    # Signs before growth are its direction; ``rights`` of growth have none.
    is_negative = plain.startswith("-") and figure.how != "growth"
    step = Fraction(1, 10 ** min(len(changed.partition(".")[2]), figure.decimals))
    if not _is_untrue(figure, sheet, nudged, Fraction(changed) * (-1 if is_negative else 1), step):
        return None
    shown = f"{Decimal(changed):,f}" if "," in plain else changed
    new = plain[: match.start()] + shown + plain[match.end() :]
    return new if plain == figure.text else new.translate(FULL_WIDTH)


def _edit(report: Report, index: int, kind: str, nudged: Sequence[Sheet]) -> Edited | None:
    figure = report.figures[index]
    text = report.text
    start, end = figure.start, figure.end
    if kind == "direction":
        if figure.direction is None:
            return None
        start, end = figure.direction
        new: str | None = OPPOSITE[text[start:end]]
    else:
        new = _edited_text(figure, report.sheet, nudged, kind)
    if new is None:
        return None
    by = len(new) - (end - start)
    moved = [other.moved(by) if other.start >= end else other for other in report.figures]
    where = (start, start + len(new))
    here = (moved[index].start, moved[index].end) if kind == "direction" else where
    also = [here, *filter(None, [figure.direction])] if kind != "direction" else [here]
    for other in moved:
        if figure.linked is not None and other.linked == figure.linked:
            also += [(other.start, other.end), *filter(None, [other.direction])]
    what = f"{kind}: {text[start:end]} -> {new} ({figure.says})"
    return Edited(text[:start] + new + text[end:], what, where, tuple(also), report)


def edits(report: Report) -> list[Edited]:
    """Every way known here to make one figure of the report untrue."""
    nudged = [report.sheet.nudged(seed) for seed in range(4)]
    found = (_edit(report, index, kind, nudged) for index in range(len(report.figures)) for kind in EDITS)
    return [edited for edited in found if edited is not None]
