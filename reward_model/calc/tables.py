"""Figures in Markdown tables: rows of metrics under columns of periods and changes, or the other way round."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from reward_model.calc.binding import Binding, compatible
from reward_model.calc.book import Period, unit_scale
from reward_model.calc.figures import Figure
from reward_model.calc.periods import find_periods
from reward_model.calc.rules import Metric, Rules

RULE_ROW = re.compile(r"[\s:|\-–—]+")
UNIT = re.compile(
    r"(?:单位\s*[:：为]?\s*|[（(]\s*)(?:人民币)?((?:百|千|十|万|亿)*(?:万|亿|千|百)?(?:元|美元|港元|港币|欧元|日元|英镑))"
)
PERCENT_LABEL = re.compile("[%％]|百分比")
RATE_COLUMN = re.compile("同比|增速|增幅|增长率|变动率|变化率|变动幅度|增减率|增减幅|YoY|yoy|涨跌幅|变动比例|幅度")
CHANGE_COLUMN = re.compile("差异|变动|增减|变化|差额|增加|增量|较上年|较年初|净增")
GROWTH_LABEL = re.compile("(.+?)(?:同比增长率|同比增速|同比增幅|同比|增速|增长率|增幅)")
NOT_ACTUAL = re.compile("预算|预测|预计|目标|计划|行业|同业|均值|可比|[EeFf]$|假设|测算|情景")
MAX_COLUMNS = 60


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell's text without blanks, and where it lies."""

    text: str
    start: int
    end: int


def table_blocks(text: str) -> Iterator[tuple[str, list[list[Cell]]]]:
    """(the lines above, rows of cells) of each table; the rule row is left out."""
    position = 0
    above: list[str] = []
    rows: list[list[Cell]] = []
    ruled = False
    for line in text.splitlines(keepends=True):
        body = line.strip()
        if body.startswith("|") and body.count("|") >= 2:
            if "-" in body and RULE_ROW.fullmatch(body):
                ruled = True
            else:
                rows.append(_cells(line, position))
        else:
            if rows and ruled:
                yield "\n".join(above[-3:]), rows
            if rows:
                above.clear()
            rows, ruled = [], False
            above.append(body)
            del above[:-3]
        position += len(line)
    if rows and ruled:
        yield "\n".join(above[-3:]), rows


def _cells(line: str, offset: int) -> list[Cell]:
    cells = []
    start = line.index("|") + 1
    while len(cells) < MAX_COLUMNS and (end := line.find("|", start)) >= 0:
        cells.append(Cell(line[start:end].strip(" *\t"), offset + start, offset + end))
        start = end + 1
    return cells


@dataclass(frozen=True, slots=True)
class _Column:
    period: Period | None
    base: Period | None
    role: str
    percent: bool


def _column(header: str, current: int) -> _Column | None:
    if NOT_ACTUAL.search(header):
        return None
    found = []
    for mention in find_periods(header):
        year = mention.year if mention.year is not None else current + (mention.offset or 0)
        found.append(Period(year, "" if mention.part == "start" else mention.part))
    if re.fullmatch(r"(?:19|20)\d\d[AaEe]?", header):
        found = [Period(int(header[:4]))]
    percent = PERCENT_LABEL.search(header) is not None
    if RATE_COLUMN.search(header):
        return _Column(found[0] if found else None, None, "growth", percent)
    if CHANGE_COLUMN.search(header):
        base = found[1] if len(found) > 1 else None
        return _Column(found[0] if found else None, base, "delta", percent)
    return _Column(found[0], None, "level", percent) if len(found) == 1 else None


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
    starts = [figure.start for figure in figures]
    found: dict[int, Binding] = {}
    for above, rows in table_blocks(text):
        if not rows:
            continue
        caption = UNIT.search(" ".join(cell.text for cell in rows[0])) or UNIT.search(above)
        columns = [_column(cell.text, current) for cell in rows[0]]
        by_metric = [rules.canonical(_label(cell.text)) for cell in rows[0]]
        for row in rows[1:]:
            metric = rules.canonical(_label(row[0].text)) if row else None
            when = _column(row[0].text, current) if row else None
            for place, cell in enumerate(row[1:], start=1):
                index = bisect_left(starts, cell.start)
                if index >= len(figures) or figures[index].end > cell.end:
                    continue
                one = index + 1 >= len(figures) or figures[index + 1].start >= cell.end
                column = columns[place] if place < len(columns) else None
                of, label = metric, row[0].text
                if of is None and column is not None and (grown := GROWTH_LABEL.fullmatch(_label(label))):
                    of = rules.canonical(grown[1])
                    column = replace(column, role="growth", percent=True)
                if of is None and place < len(by_metric):
                    of, column, label = by_metric[place], when, rows[0][place].text
                if of is None or column is None or not one:
                    continue
                own = UNIT.search(label)
                named = own[1] if own else caption[1] if caption else None
                binding = _bound(figures[index], of, column, label, named, unit, current)
                if binding is not None:
                    found[index] = binding
    return found


def _label(text: str) -> str:
    return re.sub(r"[（(][^）)]*[）)]|^其中[:：]?|^[一二三四五六七八九十\d]+[、.．]|[:：*\s]", "", text)


def _bound(
    figure: Figure, metric: Metric, column: _Column, label: str, named: str | None, unit: str | None, current: int
) -> Binding | None:
    firm = True
    role = column.role
    percent = column.percent or PERCENT_LABEL.search(label) is not None
    if figure.kind == "number":
        if role == "growth" or (role == "delta" and column.percent and metric.kind == "money"):
            figure, role = replace(figure, kind="percent", unit="%"), "growth"
            firm = percent
        elif metric.kind == "money":
            if named is None and unit is None:
                return None
            firm = named is not None
            scale, currency = unit_scale(named or unit or "元")
            by = Decimal(int(scale))
            figure = replace(
                figure,
                kind="money",
                unit=currency,
                value=figure.value * by,
                step=figure.step * by,
                low=figure.low * by,
                high=figure.high * by,
            )
        elif metric.kind == "percent":
            figure = replace(figure, kind="points" if role == "delta" else "percent")
            firm = percent or role == "delta"
    elif figure.kind == "percent" and role == "delta":
        if metric.kind == "percent":
            firm = False
        else:
            role = "growth"
    elif role == "growth" and figure.kind in ("points", "money"):
        role = "delta"
    if role == "growth" and metric.kind == "percent":
        role, firm = "delta", False
    if role == "level" and figure.kind == "percent" and metric.kind == "money":
        role, firm = "growth", False
    period = column.period or Period(current)
    return compatible(Binding(
        figure,
        role=role,
        metric=metric,
        period=period,
        base=column.base,
        sign=0,
        firm=firm,
        explicit=True,
        subject=metric.name,
        nearby=(metric,),
    ))
