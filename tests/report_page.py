"""A report as it is written: its text, and of every figure what it says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

from drawn_sheets import (
    BASES,
    LAST,
    MONEY,
    MULTIPLES,
    RATIOS,
    SCALES,
    YEARS,
    Choose,
    Measure,
    Sheet,
    balance_ratios,
)

Rights = Callable[[Sheet], tuple[Fraction, ...]]
"""The values that a figure may rightly have, in its unit; the one that was written first."""

FULL_WIDTH = str.maketrans("0123456789.%", "０１２３４５６７８９．％")
HALF_WIDTH = str.maketrans("０１２３４５６７８９．％", "0123456789.%")
UP_DOWN = (
    ("增长", "下降"), ("增加", "减少"), ("上升", "下降"), ("提高", "降低"), ("提升", "回落"),
    ("升至", "降至"), ("增至", "减至"), ("上升至", "下降至"), ("提高到", "下降到"),
)  # fmt: skip


@dataclass(frozen=True)
class Written:
    """A figure of a report.

    Attributes:
        start, end, text: where it stands and how: sign and unit included, hedge not.
        says: what it is, for people: "毛利率[2024] points".
        how: "level", "growth", "change", "points", "ratio", "share", "cagr", "cover" or "loss".
        unit: what ``rights`` count in.
        decimals: digits behind the point.
        hedge: "", "约", "近" or "超过".
        direction: the word that gives its direction, as a span.
        linked: a number that the figures of one equation, sum, list or table share: an edit of one may show
            at another. None elsewhere.
    """

    start: int
    end: int
    text: str
    says: str
    how: str
    unit: str
    decimals: int
    rights: Rights = field(repr=False, compare=False)
    hedge: str = ""
    direction: tuple[int, int] | None = None
    linked: int | None = None

    def moved(self, by: int) -> Written:
        """The same further on."""
        word = self.direction and (self.direction[0] + by, self.direction[1] + by)
        return replace(self, start=self.start + by, end=self.end + by, direction=word)


@dataclass(frozen=True)
class Report:
    """A text, its figures in order, and the sheet behind it."""

    text: str
    figures: tuple[Written, ...]
    sheet: Sheet

    def __repr__(self) -> str:
        lines = "\n".join(f"  [{f.start}:{f.end}] {f.text}  {f.says}" for f in self.figures)
        return f"Report of a {self.sheet}\n{self.text}\nfigures:\n{lines}\n"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """How hypothesis shows a counterexample."""
        printer.text(repr(self))


def rounded(value: Fraction, decimals: int, mode: str) -> Decimal:
    """``value`` at so many decimals; mode "half-up", "half-even", "down" or "up" (both by magnitude)."""
    scaled = abs(value) * 10**decimals
    whole = scaled.numerator // scaled.denominator
    rest = scaled - whole
    up = rest > 0 if mode == "up" else rest > Fraction(1, 2)
    if rest == Fraction(1, 2) and mode.startswith("half"):
        up = mode == "half-up" or whole % 2 == 1
    if mode == "down":
        up = False
    return Decimal((whole + up) * (-1 if value < 0 else 1)).scaleb(-decimals)


class Page:
    """A text that grows, with how its figures are written for now."""

    def __init__(self, choose: Choose, sheet: Sheet) -> None:
        self.choose = choose
        self.sheet = sheet
        self.text = ""
        self.figures: list[Written] = []
        self.year = LAST
        self.link: int | None = None
        basis = choose.of(BASES)
        by_balance = balance_ratios(sheet.kind, basis)
        self.money = MONEY[sheet.kind]
        self.ratios = RATIOS[sheet.kind] + tuple(m for m in by_balance if m.unit == "%")
        self.others = MULTIPLES[sheet.kind] + tuple(m for m in by_balance if m.unit != "%")
        self.word: tuple[int, int] | None = None
        self.full_width = choose.whole(0, 5) == 5
        self.space = choose.of(("", "", " "))
        self.restyle()

    def restyle(self) -> None:
        """Draw precision, rounding and unit for the next sentence."""
        choose = self.choose
        self.mode = choose.of(("half-up", "half-even"))
        self.decimals = choose.of((2, 2, 0, 1, 3, 4))
        self.ratio_decimals = choose.of((2, 2, 0, 1, 3, 4))
        self.unit = choose.of(("亿元", "亿元", "万元", "元"))
        self.commas = self.unit != "亿元" and not self.full_width and choose.whole(0, 1) == 1

    def add(self, text: str) -> None:
        """Write words."""
        self.text += text

    @contextmanager
    def linked(self) -> Iterator[None]:
        """The figures written inside belong to one equation, sum, list or table."""
        self.link = len(self.figures)
        yield
        self.link = None

    def turn(self, pairs: Sequence[tuple[str, str]], is_up: bool) -> None:
        """Write a direction word; it belongs to the next figure."""
        word = self.choose.of(pairs)[0 if is_up else 1]
        self.word = (len(self.text), len(self.text) + len(word))
        self.text += word

    def when(self, year: int, stock: bool = False) -> None:
        """Write the period, or leave it out where the sentence before was of the current one too."""
        words = [f"{YEARS[year]}年{'末' if stock else ''}"]
        if year == LAST:
            words += ["期末" if stock else "报告期内", "年末" if stock else "本年"]
            if self.year == LAST:
                words.append("")
        self.add(self.choose.of(words))
        self.year = year

    def name(self, measure: Measure) -> None:
        """Write a measure by one of its names."""
        self.add(self.choose.of((measure.name, measure.name, *measure.others)))

    def precision(self, unit: str) -> int:
        """Decimals of a figure in ``unit`` in this sentence."""
        decimals = self.decimals if unit in SCALES else self.ratio_decimals
        return min(decimals, 2) if unit == "元" else decimals

    def shown(self, value: Fraction, unit: str) -> Decimal:
        """How ``value`` (in 元, if money) would be written."""
        return rounded(value / SCALES.get(unit, 1), self.precision(unit), self.mode)

    def figure(
        self,
        says: str,
        how: str,
        rights: Rights,
        unit: str = "",
        *,
        hedges: bool = False,
        sign: str = "",
        bare: bool = False,
        scale: int = 1,
    ) -> None:
        """Write a figure; ``rights`` in 元 for money.

        ``bare`` leaves the unit out, ``sign`` is written before; ``scale`` multiplies what is written
        (100 for 个基点).
        """
        money = SCALES.get(unit, 1)
        value = rights(self.sheet)[0] * scale / money
        decimals, mode, hedge = self.precision(unit), self.mode, ""
        if hedges and value > 0 and self.choose.whole(0, 4) == 4:
            words = self.choose.of(("约", "近", "超过"))
            coarse = min(decimals, 1)
            how_rounded = {"约": self.mode, "近": "up", "超过": "down"}[words]
            distance = abs(Fraction(rounded(value, coarse, how_rounded)) - value)
            # A hedge is for a figure that is near: nobody writes 超过1 of 1.9, nor of 1 itself.
            if (distance or words == "约") and distance <= value / 50:
                hedge, decimals, mode = words, coarse, how_rounded
        number = rounded(value, decimals, mode)
        digits = f"{number:,f}" if self.commas and unit in SCALES else f"{number:f}"
        self.text += hedge
        text = sign + digits + ("" if bare else (self.space if unit in SCALES else "") + unit)
        if self.full_width:
            text = text.translate(FULL_WIDTH)
        start = len(self.text)
        self.text += text

        def in_unit(sheet: Sheet) -> tuple[Fraction, ...]:
            return tuple(right * scale / money for right in rights(sheet))

        self.figures.append(
            Written(
                start, len(self.text), text, says, how, unit, decimals, in_unit, hedge, self.word, self.link
            )
        )
        self.word = None
