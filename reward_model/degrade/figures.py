"""Makes figures of a report untrue, each edit known: where, what stood there, what stands there now.

Only figures that the checker recomputed and found right are edited, and only to values that no rounding
explains: so each edit is an error whether or not the checker finds it again.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise

from reward_model.calc.check import check_text
from reward_model.calc.result import Claim
from reward_model.schema import FactSheet

MATERIAL = Decimal("0.02")
"""A new value differs from the right one by more than this share of it, and by more than ``MIN_STEPS``."""
MIN_STEPS = 3
"""... units of the last digit written: 1.25% made 1.27% could be somebody's rounding on the way."""

_NUMBER = re.compile(r"[0-9][0-9,]*(?:\.[0-9]+)?")
_POINTS = "个百分点"


@dataclass(frozen=True)
class FigureEdit:
    """One figure made untrue.

    Attributes:
        span: character offsets of the figure in the edited text.
        was, became: the figure before and after, with its unit.
        kind: "digit", "swap", "shift", "near", "other", "sign", or "unit" (a wrong unit, the minor kind).
        metric, period: what it is a figure of, as the checker names it.
    """

    span: tuple[int, int]
    was: str
    became: str
    kind: str
    metric: str | None
    period: str | None


@dataclass(frozen=True)
class Corrupted:
    """A text with known errors; ``checked`` counts the figures that were checked before."""

    text: str
    edits: tuple[FigureEdit, ...]
    checked: int


def _leading(number: str, rng: random.Random) -> str:
    digits = [index for index, char in enumerate(number) if char.isdigit() and char != "0"]
    if not digits:
        return number
    at = digits[0]
    return number[:at] + rng.choice([d for d in "123456789" if d != number[at]]) + number[at + 1 :]


def _swapped(number: str, rng: random.Random) -> str:
    places = [
        index
        for index, (one, two) in enumerate(pairwise(number))
        if one.isdigit() and two.isdigit() and one != two and not (index == 0 and two == "0")
    ]
    if not places:
        return number
    at = places[0] if rng.random() < 0.7 else rng.choice(places)
    return number[:at] + number[at + 1] + number[at] + number[at + 2 :]


def _shifted(number: str, rng: random.Random) -> str:
    value = Decimal(number)
    return f"{value * 10:f}" if rng.random() < 0.5 else f"{value / 10:f}"


def _near(number: str, rng: random.Random) -> str:
    value = Decimal(number)
    changed = value * (1 + Decimal(rng.choice((-1, 1)) * rng.randint(4, 15)) / 100)
    return f"{changed.quantize(Decimal(1).scaleb(-_decimals(number))):f}"


KINDS: dict[str, Callable[[str, random.Random], str]] = {
    "digit": _leading,
    "swap": _swapped,
    "shift": _shifted,
    "near": _near,
}
"""Edits of a number written as plain digits."""


def _decimals(number: str) -> int:
    return len(number.partition(".")[2])


def _is_material(was: str, became: str) -> bool:
    right, wrong = Decimal(was), Decimal(became)
    step = Decimal(1).scaleb(-_decimals(was))
    return abs(wrong - right) > max(abs(right) * MATERIAL, step * MIN_STEPS)


def _unit_of(text: str) -> str:
    return _NUMBER.sub("", text, count=1).lstrip("+-−－")


def _edited(claim: Claim, others: Sequence[Claim], rng: random.Random) -> tuple[str, str] | None:
    """(figure as it becomes, kind); None where no edit suits the figure."""
    found = _NUMBER.search(claim.text)
    if found is None:
        return None
    plain = found.group().replace(",", "")
    kinds = [*KINDS, "other"]
    if claim.text[0] in "+-−－" and Decimal(plain):
        kinds.append("sign")
    rng.shuffle(kinds)
    for kind in kinds:
        if kind == "sign":
            flipped = "-" if claim.text[0] == "+" else "+"
            return flipped + claim.text[1:], kind
        if kind == "other":
            # Copied from a neighbouring line: another figure of the same unit in the same text.
            alike = [other for other in others if _unit_of(other.text) == _unit_of(claim.text)]
            numbers = [match.group() for other in alike if (match := _NUMBER.search(other.text))]
            if not numbers:
                continue
            new = rng.choice(numbers).replace(",", "")
        else:
            new = KINDS[kind](plain, rng)
        if not _is_material(plain, new):
            continue
        written = f"{Decimal(new):,f}" if "," in found.group() else new
        return claim.text[: found.start()] + written + claim.text[found.end() :], kind
    return None


def _apply(text: str, chosen: Sequence[tuple[Claim, str, str]]) -> tuple[str, list[FigureEdit]]:
    parts: list[str] = []
    edits = []
    place = length = 0
    for claim, became, kind in sorted(chosen, key=lambda item: item[0].span):
        start, end = claim.span
        parts += [text[place:start], became]
        length += start - place
        span = (length, length + len(became))
        edits.append(FigureEdit(span, claim.text, became, kind, claim.metric, claim.period))
        length, place = span[1], end
    return "".join([*parts, text[place:]]), edits


def corrupt_figures(
    text: str,
    facts: FactSheet,
    *,
    wrong: int = 0,
    slips: int = 0,
    seed: int = 0,
) -> Corrupted:
    """Make ``wrong`` figures of ``text`` untrue, and give ``slips`` more a wrong unit (% for 个百分点).

    Fewer are edited where the text has fewer figures that the checker finds right with ``facts``.

    Args:
        text, facts: a report and its statements.
        wrong, slips: how many figures of each kind.
        seed: of which figures, and how.
    """
    claims = check_text(text, facts).claims
    right = [claim for claim in claims if claim.verdict in ("ok", "rounding")]
    order = list(right)
    random.Random(f"{seed}:{wrong}").shuffle(order)
    taken: list[tuple[int, int]] = []

    def is_free(claim: Claim) -> bool:
        return all(claim.span[1] <= start or end <= claim.span[0] for start, end in taken)

    chosen: list[tuple[Claim, str, str]] = []
    for claim in order if slips else []:
        if sum(kind == "unit" for _, _, kind in chosen) == slips:
            break
        if _POINTS in claim.text and is_free(claim):
            chosen.append((claim, claim.text.replace(_POINTS, "%"), "unit"))
            taken.append(claim.span)
    for claim in order:
        if len(chosen) - sum(kind == "unit" for _, _, kind in chosen) == wrong:
            break
        if not is_free(claim):
            continue
        others = [other for other in right if other is not claim]
        edited = _edited(claim, others, random.Random(f"{seed}:{claim.span}"))
        if edited is not None:
            chosen.append((claim, *edited))
            taken.append(claim.span)
    new, edits = _apply(text, chosen)
    return Corrupted(new, tuple(edits), len([c for c in claims if c.verdict != "unverifiable"]))
