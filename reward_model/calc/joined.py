"""Figures that hang together: a unit written once for several, arrows, operands of a written equation."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

from reward_model.calc.figures import Figure

ARROW = re.compile(r"\s*(?:→|->|—>|⇒|➔|＞＞)\s*")
"""All that stands between two figures, the second later."""
MOVE = re.compile(r"[^，,。；;：:、\n（(|]{0,10}(?:至|到|为|成|→)\s*(?:约|近|了|-)?\s*")
"""All that stands between where something came from and where it got to."""
LIST = re.compile(r"\s*(?:、|和|与|及)\s*")
"""All that stands between two figures of a list."""
OPERATOR = re.compile(r"\s*[)）\]]?\s*(?:[-+＋−－×*÷/=≈＝xX]|等于)\s*[（(\[]?\s*")
"""All that stands between two figures of a written calculation."""
NO_DIGITS = re.compile(r"[^\d.]")
_SIGNS = "+-＋－−"


def plain_number(figure: Figure) -> float:
    """The number as written, without sign and unit."""
    digits = NO_DIGITS.sub("", figure.text.replace("．", "."))
    try:
        return float(digits)
    except ValueError:
        return abs(float(figure.value))


def scale_of(figure: Figure) -> Decimal:
    """What its unit multiplies by: 1e8 for 亿元."""
    number = Decimal(str(plain_number(figure)))
    return abs(figure.value) / number if number else Decimal(1)


def share_units(text: str, figures: Sequence[Figure]) -> list[Figure]:
    """「由5.47降至1.69亿元」, 「5.47→1.69亿元」, 「1.09、1.01亿元」: the last one's unit is that of all."""
    found = list(figures)
    for index in range(len(found) - 2, -1, -1):
        one, two = found[index], found[index + 1]
        if one.kind != "number" or two.kind == "number" or one.is_range or two.is_range or two.coarse:
            continue
        gap = text[one.end : two.start]
        if len(gap) > 14 or not (ARROW.fullmatch(gap) or MOVE.fullmatch(gap) or LIST.fullmatch(gap)):
            continue
        by = scale_of(two)
        found[index] = replace(
            one,
            kind=two.kind if two.kind != "points" or LIST.fullmatch(gap) else one.kind,
            unit=two.unit,
            value=one.value * by,
            step=one.step * by,
            low=one.low * by,
            high=one.high * by,
        )
    return found


def arrows(text: str, figures: Sequence[Figure]) -> dict[int, int]:
    """How many arrows lead on from a figure: 「0.57→0.30→0.23」 gives 2, 1 and 0."""
    found: dict[int, int] = {}
    for index in range(len(figures) - 2, -1, -1):
        gap = text[figures[index].end : figures[index + 1].start]
        if len(gap) < 8 and ARROW.fullmatch(gap):
            found.setdefault(index + 1, 0)
            found[index] = found[index + 1] + 1
    return found


def operands(text: str, figures: Sequence[Figure]) -> set[int]:
    """Figures that stand in a written calculation, its result included."""
    found: set[int] = set()
    for index, figure in enumerate(figures):
        before = text[max(0, figure.start - 2) : figure.start].rstrip(" （(")
        if before[-1:] in "=×÷*≈＝" and before:
            found.add(index)
        if index + 1 < len(figures) and joined_by(text, figure, figures[index + 1]):
            found |= {index, index + 1}
    return found


def joined_by(text: str, one: Figure, two: Figure) -> bool:
    """Whether an operator alone stands between two figures."""
    gap = text[one.end : two.start]
    if gap.strip() == "":
        return one.end == two.start and two.text[:1] in _SIGNS
    return len(gap) < 8 and OPERATOR.fullmatch(gap) is not None
