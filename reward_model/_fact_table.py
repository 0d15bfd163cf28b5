"""Fact tables: rows of a Markdown table, a CSV file or a workbook to a :class:`FactSheet`.

The shape is a header row ``项目|2022|2023|2024`` and a row for each item. All three sources become the same
rows of cells first, so that one set of rules reads them.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from reward_model._fact_cells import Formula, is_blank, is_null, is_ratio, number, period, plain
from reward_model._office import check_package, damaged
from reward_model.errors import InputError
from reward_model.jsonl import shown
from reward_model.schema import FactSheet

DEFAULT_UNIT = "元"
MAX_ROWS = 20_000
MAX_COLUMNS = 200
_CAPTION_ROWS = 5

SHAPE = "give a header row 项目|2022|2023|2024 and one item a row"


@dataclass(frozen=True)
class Row:
    """Cells of one row with its 1-based number; a cell is a str, a number, a date, None or a formula."""

    line: int
    cells: list[Any]

    def blank(self) -> bool:
        return all(is_blank(cell) for cell in self.cells)


_LABEL = re.compile(r"项目|科目|指标|名称|数据|报表|单位|年度|年份|期间|item|account|metric", re.IGNORECASE)
_MONEY = r"(?:人民币)?\s*((?:[十百千]?[万亿]|万亿|[十百千])?\s*(?:美元|港元|港币|欧元|日元|英镑|元))"
_SAID_UNIT = re.compile(rf"单位(?:\s*[:：为]\s*|\s+){_MONEY}")
_BRACKETED_UNIT = re.compile(rf"[（(]\s*{_MONEY}\s*(?:人民币)?[)）]")
_LABELLED_UNIT = re.compile(rf"(?:^|[（(/：:,，\s]){_MONEY}\s*(?:人民币)?(?:[)）]|$)")
# 编制单位：某公司 names a company, so only a "单位" that starts its phrase counts.
_OTHER_UNIT = re.compile(r"(?:^|[（(\s，,；;])单位\s*[:：]\s*([^）)，,；;|\n]{1,40})")
_NOTE = re.compile(r"\s*(?:注|备注|说明|附注|(?:数据|资料)?来源|(?:编制|填报)?单位|审核|制表)\s*\d*\s*[:：]")


# --- tables -----------------------------------------------------------------------------------------------


def _trimmed(cells: list[Any]) -> list[Any]:
    length = len(cells)
    while length and is_blank(cells[length - 1]):
        length -= 1
    return cells[:length]


def _header(row: Row) -> list[str] | None:
    """The periods, if ``row`` is the header of a fact table."""
    cells = _trimmed(row.cells)
    if not 2 <= len(cells) <= MAX_COLUMNS or not _is_label(cells[0]):
        return None
    periods = [period(cell) for cell in cells[1:]]
    return [name for name in periods if name] if all(periods) else None


def _is_label(cell: Any) -> bool:
    """Whether a cell can head the column of items. An item can't: its amounts may look like years."""
    return is_blank(cell) or _LABEL.search(plain(cell)) is not None or _money(cell) is not None


def _money(cell: Any) -> str | None:
    found = _LABELLED_UNIT.search(plain(cell))
    return re.sub(r"\s", "", found[1]) if found else None


def _captioned(row: Row) -> str | None:
    text = " ".join(str(cell) for cell in row.cells if not is_blank(cell))
    found = _SAID_UNIT.search(text) or (_BRACKETED_UNIT.search(text) if len(text) <= 100 else None)
    return re.sub(r"\s", "", found[1]) if found else None


def _captions(rows: list[Row], header: int, end: int) -> Iterator[Row]:
    """The lines above a table, nearest first and not beyond another table, then the line below it."""
    above = [row for row in rows[max(0, header - 3 * _CAPTION_ROWS) : header] if not row.blank()]
    for row in above[: -_CAPTION_ROWS - 1 : -1]:
        if any(_is_amount(cell) for cell in row.cells[1:]):
            break
        yield row
    yield from [row for row in rows[end : end + _CAPTION_ROWS] if not row.blank()][:1]


def _is_amount(cell: Any) -> bool:
    try:
        return number(cell) is not None
    except ValueError:
        return False


def _unit(rows: list[Row], header: int, end: int, name: str) -> str:
    """The unit said in the header's first cell, else in the nearest caption, else anywhere in the text."""
    if unit := _money(rows[header].cells[0]):
        return unit
    captions = list(_captions(rows, header, end))
    for row in captions:
        if unit := _captioned(row):
            return unit
    for row in captions:
        for cell in row.cells:
            if found := _OTHER_UNIT.search(str(cell)):
                raise InputError(
                    f"{name}:{row.line}: unit {shown(found[1].strip())} is not understood; "
                    "write 元, 万元, 亿元 ..."
                )
    texts = (str(cell) for row in rows for cell in row.cells)
    elsewhere = {re.sub(r"\s", "", found[1]) for text in texts for found in _SAID_UNIT.finditer(text)}
    if len(elsewhere) > 1:
        raise InputError(
            f"{name}:{rows[header].line}: the table's unit is not clear "
            f"({', '.join(sorted(elsewhere))} are said); write it in the header, such as 项目（亿元）"
        )
    return elsewhere.pop() if elsewhere else DEFAULT_UNIT


def _read_table(rows: list[Row], header: int, end: int, name: str, *, skip_ratios: bool) -> FactSheet:
    head = rows[header]
    periods = _header(head) or []
    if repeated := [each for each in periods if periods.count(each) > 1]:
        raise InputError(f"{name}:{head.line}: period {repeated[0]} stands twice; name each period once")
    items: dict[str, list[float | int | None]] = {}
    start = header + 2 if header + 1 < end and _is_rule(rows[header + 1]) else header + 1
    for row in rows[start:end]:
        cells = _trimmed(row.cells)
        where = f"{name}:{row.line}"
        if not cells or (len(cells) == 1 and _NOTE.match(str(cells[0]))):
            continue
        if cells[0] == head.cells[0] and (again := _header(row)):
            if again != periods:
                raise InputError(f"{where}: a second table with other periods; give them one header")
            continue
        values = cells[1:]
        if skip_ratios and _are_ratios(values):
            continue
        if is_blank(cells[0]):
            raise InputError(f"{where}: the row has values but no item name; name it in the first column")
        if len(values) > len(periods):
            raise InputError(
                f"{where}: {len(values)} values for {len(periods)} periods; "
                "give one a period (quote numbers that have thousands separators)"
            )
        item = str(cells[0]).strip()
        if item in items:
            raise InputError(f"{where}: item {shown(item)} stands twice; give each item one row")
        items[item] = _values(values, periods, where)
    if not items:
        raise InputError(f"{name}:{head.line}: the table has no items; {SHAPE}")
    # Last, because it may look through the whole text.
    return FactSheet(unit=_unit(rows, header, end, name), periods=periods, items=items)


def _are_ratios(cells: list[Any]) -> bool:
    given = [cell for cell in cells if not is_null(cell)]
    return bool(given) and all(is_ratio(cell) for cell in given)


def _is_rule(row: Row) -> bool:
    """Whether a row is the ``|---|---:|`` line below a Markdown header."""
    return all(isinstance(cell, str) and re.fullmatch(r":?-+:?", cell) for cell in row.cells)


def _values(cells: list[Any], periods: list[str], where: str) -> list[float | int | None]:
    values: list[float | int | None] = [None] * len(periods)
    for index, cell in enumerate(cells):
        try:
            values[index] = number(cell)
        except ValueError as error:
            raise InputError(f"{where}: {periods[index]}: {error}") from None
    return values


def _no_table(rows: list[Row], name: str) -> InputError:
    """What to say where no header was found: the column that spoils a header, if one nearly fits."""
    for row in rows:
        cells = _trimmed(row.cells)
        others = [cell for cell in cells[1:] if period(cell) is None]
        if others and len(others) < len(cells) - 1 and _is_label(cells[0]):
            return InputError(
                f"{name}:{row.line}: column {shown(str(others[0]))} is not a period; "
                "keep only the item and its periods"
            )
    return InputError(f"{name}: holds no fact table; {SHAPE}")


# --- sources ----------------------------------------------------------------------------------------------


def _markdown_rows(text: str) -> list[Row]:
    """Every line as a row: table lines split into cells, others as one cell, empty ones without cells."""
    rows = []
    for line, raw in enumerate(text.split("\n"), start=1):
        content = raw.strip()
        if "|" in content:
            cells = re.split(r"(?<!\\)\|", content)
            if not cells[0].strip():
                del cells[0]
            if len(cells) > 1 and not cells[-1].strip():
                del cells[-1]
            rows.append(Row(line, [_markdown_cell(cell) for cell in cells]))
        else:
            rows.append(Row(line, [content] if content else []))
    return rows


def _markdown_cell(raw: str) -> str:
    cell = raw.replace("\\|", "|").strip()
    bold = re.fullmatch(r"(\*\*|__)(.+)\1", cell)
    return bold[2].strip() if bold else cell


def _markdown_tables(rows: list[Row]) -> Iterator[tuple[int, int]]:
    """Header and end of each table of the shape; the header is the first line of its table."""
    index = 0
    while index < len(rows):
        end = index
        while end < len(rows) and len(rows[end].cells) > 1:
            end += 1
        if end > index and _header(rows[index]):
            yield index, end
        index = max(end, index + 1)


def facts_from_text(text: str) -> FactSheet | None:
    """The first Markdown table of the shape in a text such as a prompt; None if there is none.

    Rows of ratios (12.5%, 1.3倍) are left out; a table with any other cell that is no amount is passed over.
    """
    rows = _markdown_rows(text)
    for header, end in _markdown_tables(rows):
        try:
            return _read_table(rows, header, end, "text", skip_ratios=True)
        except InputError:
            continue
    return None


def markdown_facts(text: str, name: str) -> FactSheet:
    """The first table of the shape in a Markdown file.

    Raises:
        InputError: if there is none, or a cell of it is not a number.
    """
    rows = _markdown_rows(text)
    for header, end in _markdown_tables(rows):
        return _read_table(rows, header, end, name, skip_ratios=False)
    raise _no_table(rows, name)


def _sheet(rows: list[Row], name: str) -> FactSheet | None:
    """The table of a CSV file or worksheet: from its header to its last row; None without a header."""
    for index, row in enumerate(rows):
        if _header(row):
            return _read_table(rows, index, len(rows), name, skip_ratios=False)
    return None


def csv_facts(text: str, name: str) -> FactSheet:
    """The table in a CSV file; commas, semicolons or tabs separate.

    Raises:
        InputError: if there is none, it is too large, or a cell of it is not a number.
    """
    delimiter = "\t" if "\t" in text else ";" if text.count(";") > text.count(",") else ","
    rows = []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        for cells in reader:
            rows.append(Row(reader.line_num, list(cells)))
            if len(rows) > MAX_ROWS or len(cells) > MAX_COLUMNS:
                raise _too_large(name)
    except csv.Error as error:
        raise InputError(
            f"{name}:{reader.line_num}: not readable as CSV ({error}); check the quotes"
        ) from None
    sheet = _sheet(rows, name)
    if sheet is None:
        raise _no_table(rows, name)
    return sheet


def _too_large(name: str) -> InputError:
    return InputError(f"{name}: is over {MAX_ROWS} rows or {MAX_COLUMNS} columns; keep only the fact table")


def xlsx_facts(data: bytes, name: str) -> FactSheet:
    """The tables of all worksheets together; sheets without one are passed over.

    Looked at are the first ``MAX_ROWS`` rows and ``MAX_COLUMNS`` columns of each.

    Raises:
        InputError: if there is no table, a cell is not a number, two sheets differ in periods or unit or
            repeat an item, or the file is unsafe or damaged.
    """
    check_package(data, name, ".xlsx")
    try:
        sheets = _workbook_rows(data)
    except Exception:  # openpyxl raises many kinds on malformed parts
        raise damaged(name, ".xlsx") from None
    merged: FactSheet | None = None
    for title, rows in sheets:
        place = name if len(sheets) == 1 else f"{name}[{title}]"
        found = _sheet(rows, place)
        if found is None:
            continue
        if merged is None:
            merged = found
            continue
        if (merged.unit, merged.periods) != (found.unit, found.periods):
            raise InputError(
                f"{place}: has unit {found.unit} and periods {', '.join(found.periods)}, another sheet "
                f"{merged.unit} and {', '.join(merged.periods)}; give all sheets the same"
            )
        for item, values in found.items.items():
            if merged.items.setdefault(item, values) != values:
                raise InputError(f"{place}: item {shown(item)} has other values in another sheet; rename one")
    if merged is None:
        raise _no_table(sheets[0][1] if sheets else [], name)
    return merged


def _workbook_rows(data: bytes) -> list[tuple[str, list[Row]]]:
    import openpyxl

    values = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
    formulas = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=False)
    sheets = []
    for stored, written in zip(values.worksheets, formulas.worksheets, strict=True):
        rows = []
        # The size that a sheet declares may be wrong, and its row numbers may be absurd.
        pairs = zip(*(_capped(sheet) for sheet in (stored, written)), strict=True)
        for line, (cells, sources) in enumerate(pairs, start=1):
            row = Row(
                line, _trimmed([_cell(cell, source) for cell, source in zip(cells, sources, strict=True)])
            )
            if row.cells:
                rows.append(row)
        sheets.append((str(stored.title), rows))
    return sheets


def _capped(sheet: Any) -> Iterator[tuple[Any, ...]]:
    rows: Iterator[tuple[Any, ...]] = sheet.iter_rows(max_row=MAX_ROWS, max_col=MAX_COLUMNS, values_only=True)
    return rows


def _cell(value: Any, written: Any) -> Any:
    return Formula(str(written)) if value is None and written is not None else value
