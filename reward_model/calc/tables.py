"""Figures in Markdown tables: rows of metrics under columns of periods and changes, or the other way."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from reward_model.calc.binding import Binding, compatible
from reward_model.calc.book import Period, unit_scale
from reward_model.calc.figures import Figure
from reward_model.calc.layout import Row, Table, tables
from reward_model.calc.periods import find_periods
from reward_model.calc.rules import Metric, Rules

MAX_COLUMNS = 60

UNIT = re.compile(
    r"(?:单位\s*[:：为]?\s*|[（(]\s*)(?:人民币)?"
    r"((?:百|千|十|万|亿)*(?:万|亿|千|百)?(?:元|美元|港元|港币|欧元|日元|英镑))"
)
"""The money unit that a caption or a label names: 单位：亿元, （万元）."""
PERCENT_LABEL = re.compile("[%％]|百分比")
"""A label of percentages."""
RATE_COLUMN = re.compile(
    "同比|增速|增幅|增长率|变动率|变化率|变动幅度|增减率|增减幅|YoY|yoy|涨跌幅|变动比例|幅度"
)
"""The header of a column of growth rates."""
CHANGE_COLUMN = re.compile("差异|变动|增减|变化|差额|增加|增量|较上年|较年初|净增")
"""The header of a column of differences."""
GROWTH_LABEL = re.compile("(.+?)(?:同比增长率|同比增速|同比增幅|同比|增速|增长率|增幅)")
"""The label of a row of growth rates."""
NOT_ACTUAL = re.compile("预算|预测|预计|目标|计划|行业|同业|均值|可比|[EeFf]$|假设|测算|情景")
"""A header or label of figures that no statement holds."""
BARE_YEAR = re.compile(r"(?:19|20)\d\d[AaEe]?")
"""A header that is nothing but a year."""
NO_NAME = re.compile(r"[（(][^）)]*[）)]|^其中[:：]?|^[一二三四五六七八九十\d]+[、.．]|[:：*\s]")
"""What stands around a metric's name in a label: list numbers, units, marks."""


@dataclass(frozen=True, slots=True)
class _Cell:
    """A cell's text without blanks, and where it lies."""

    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Column:
    """What the figures under a header, or beside a label, are of their metric.

    Attributes:
        period, base, role: as in :class:`reward_model.calc.binding.Binding`; no period is the current one.
        percent: the header says that they are percentages.
    """

    period: Period | None
    base: Period | None
    role: str
    percent: bool


@dataclass(frozen=True, slots=True)
class _Place:
    """What row and column say of a figure.

    Attributes:
        metric: of the row or column.
        column: of the other.
        label: as it stands there.
        named: the money unit that the table names; None if it names none.
        unit: the one to try then; None if there is none.
    """

    metric: Metric
    column: _Column
    label: str
    named: str | None
    unit: str | None


def bind_tables(
    text: str, rules: Rules, figures: Sequence[Figure], current: int, unit: str | None
) -> dict[int, Binding]:
    """Bindings of the figures in tables by their index in ``figures``.

    Args:
        text: the report.
        rules: metrics.
        figures: all figures of the text.
        current: the year that the text reports on.
        unit: the money unit to try where a table names none.
    """
    found: dict[int, Binding] = {}
    starts: list[int] = []
    for table in tables(text):
        starts = starts or [figure.start for figure in figures]
        for cell, place in _places(text, table, rules, current, unit):
            index = bisect_left(starts, cell.start)
            if index >= len(figures) or figures[index].end > cell.end:
                continue
            if index + 1 < len(figures) and figures[index + 1].start < cell.end:
                continue  # two figures in a cell
            binding = _bound(figures[index], place, current)
            if binding is not None:
                found[index] = binding
    return found


def _places(
    text: str, table: Table, rules: Rules, current: int, unit: str | None
) -> list[tuple[_Cell, _Place]]:
    """The cells whose metric and column are known, in order."""
    header, *rows = (_cells(text, row) for row in table.rows)
    caption = UNIT.search(" ".join(cell.text for cell in header)) or UNIT.search(table.above)
    columns = [_column(cell.text, current) for cell in header]
    by_metric = [rules.canonical(_name(cell.text)) for cell in header]
    found = []
    for row in rows:
        if not row:
            continue
        label = row[0].text
        metric, when = rules.canonical(_name(label)), _column(label, current)
        grown = GROWTH_LABEL.fullmatch(_name(label)) if metric is None else None
        for place, cell in enumerate(row[1 : len(header)], start=1):
            of, column, said = metric, columns[place], label
            if column is not None and grown:
                of, column = rules.canonical(grown[1]), replace(column, role="growth", percent=True)
            if of is None:
                of, column, said = by_metric[place], when, header[place].text
            if of is not None and column is not None:
                own = UNIT.search(said) or caption
                found.append((cell, _Place(of, column, said, own[1] if own else None, unit)))
    return found


def _cells(text: str, row: Row) -> list[_Cell]:
    cells: list[_Cell] = []
    start = text.index("|", row.start) + 1
    while len(cells) < MAX_COLUMNS and (end := text.find("|", start, row.end)) >= 0:
        cells.append(_Cell(text[start:end].strip(" *\t"), start, end))
        start = end + 1
    return cells


def _name(label: str) -> str:
    """The metric's name in a label."""
    return NO_NAME.sub("", label)


def _column(header: str, current: int) -> _Column | None:
    """What a header says; None if it names no period and no change, or figures that no statement holds."""
    if NOT_ACTUAL.search(header):
        return None
    if BARE_YEAR.fullmatch(header):
        periods = [Period(int(header[:4]))]
    else:
        periods = []
        for mention in find_periods(header):
            year = mention.year if mention.year is not None else current + (mention.offset or 0)
            periods.append(Period(year, "" if mention.part == "start" else mention.part))
    first = periods[0] if periods else None
    percent = PERCENT_LABEL.search(header) is not None
    if RATE_COLUMN.search(header):
        return _Column(first, None, "growth", percent)
    if CHANGE_COLUMN.search(header):
        return _Column(first, periods[1] if len(periods) > 1 else None, "delta", percent)
    return _Column(first, None, "level", percent) if len(periods) == 1 else None


def _bound(figure: Figure, place: _Place, current: int) -> Binding | None:
    """What the figure of a cell claims; None if nobody can say in which unit it is."""
    metric, column = place.metric, place.column
    if figure.kind == "number":
        found = _in_unit(figure, place)
        if found is None:
            return None
        figure, role, firm = found
    else:
        role, firm = _role(figure, metric, column.role)
    if role == "growth" and metric.kind == "percent":
        role, firm = "delta", False
    if role == "level" and figure.kind == "percent" and metric.kind == "money":
        role, firm = "growth", False
    return compatible(
        Binding(
            figure,
            role=role,
            metric=metric,
            period=column.period or Period(current),
            base=column.base,
            firm=firm,
            explicit=True,
            subject=metric.name,
            nearby=(metric,),
        )
    )


def _role(figure: Figure, metric: Metric, role: str) -> tuple[str, bool]:
    """(role, whether it is certain) of a figure with a unit, under a column of ``role``."""
    if figure.kind == "percent" and role == "delta":
        return ("delta", False) if metric.kind == "percent" else ("growth", True)
    if role == "growth" and figure.kind in ("points", "money"):
        return "delta", True
    return role, True


def _in_unit(figure: Figure, place: _Place) -> tuple[Figure, str, bool] | None:
    """A bare number with the unit that its table gives it, its role, and whether both are certain."""
    metric, column, role = place.metric, place.column, place.column.role
    percent = column.percent or PERCENT_LABEL.search(place.label) is not None
    if role == "growth" or (role == "delta" and column.percent and metric.kind == "money"):
        return replace(figure, kind="percent", unit="%"), "growth", percent
    if metric.kind == "percent":
        kind = "points" if role == "delta" else "percent"
        return replace(figure, kind=kind), role, percent or role == "delta"
    if metric.kind != "money":
        return figure, role, True
    unit = place.named or place.unit
    if unit is None:
        return None
    scale, currency = unit_scale(unit or "元")
    by = Decimal(int(scale))
    scaled = replace(
        figure,
        kind="money",
        unit=currency,
        value=figure.value * by,
        step=figure.step * by,
        low=figure.low * by,
        high=figure.high * by,
    )
    return scaled, role, place.named is not None
