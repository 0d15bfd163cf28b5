"""What the calculation checker found in one report, for a terminal: marked text, wrong claims, counts."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from reward_model.report.cjk_wrap import Wrapped, wrap
from reward_model.report.validation_view import clean

Claim = Mapping[str, Any]
Piece = tuple[str, str]
"""A stretch of a line and its style."""

LONG_TEXT = 3000
"""Characters from which a text is shown only around its wrong figures."""
MAX_LISTED = 100
"""Wrong figures that are shown unless all are asked for."""
_LONG_LINE = 600
_AROUND = 120
"""A line of more than ``_LONG_LINE`` characters is cut to this many around each of its wrong figures."""

_AFTER_MARK = re.compile("(?<=[，。；：、| ])[^，。；：、| ]{0,60}$")
_TO_MARK = re.compile("^[^，。；：、| ]{0,60}[，。；：、| ]")

_WRONG, _RIGHT, _ROUNDING, _ASIDE = "bold red", "green", "dim yellow", "dim"
_SOURCES = {"facts": "事实表", "text": "正文"}
_EVIDENCE = {"facts": "事实表与正文", "text": "仅正文"}
_SEVERITIES = {"major": "重大", "minor": "轻微"}


def print_check(line: Mapping[str, Any], text: str, console: Console, *, everything: bool = False) -> None:
    """Print a line of ``finrm check`` that holds claims.

    Args:
        line: ``{"id", "claims", "summary", "evidence", "warnings"}``.
        text: the report that the claims' spans point into.
        console: where to; 80 columns are enough.
        everything: show the whole text whatever its length, and list the other figures that did not pass:
            rounding differences and what could not be checked.
    """
    summary, claims = line["summary"], line["claims"]
    console.print(Text(clean(line["id"], 200), style="bold"))
    console.print(Wrapped(_counts(summary, line["evidence"])))
    for warning in line["warnings"]:
        console.print(Wrapped(f"注意：{_safe(warning)}"), style="yellow")
    wrong = [claim for claim in claims if claim["verdict"] == "wrong"]
    rounding = [claim for claim in claims if claim["verdict"] == "rounding"]
    listed = wrong if everything else wrong[:MAX_LISTED]
    lines = _Lines(text)
    if everything or wrong or (rounding and len(text) <= LONG_TEXT):
        console.print()
        for shown in _marked_text(lines, listed, rounding, everything):
            console.print(_wrapped(shown, console.width))
    for title, found in (("计算有误", listed), ("舍入差异", rounding if everything else [])):
        if found:
            console.print(_heading(f"{title} {len(found)} 处"))
            console.print(_findings(lines, found))
    unchecked = [claim for claim in claims if claim["verdict"] == "unverifiable"]
    if everything and unchecked:
        console.print(_heading(f"无法核验 {len(unchecked)} 处"))
        console.print(_unchecked(lines, unchecked))
    for words, style in _closing(summary, len(wrong) - len(listed), everything):
        console.print(Wrapped(words), style=style)
    console.print()


def _counts(summary: Mapping[str, int], evidence: str) -> str:
    parts = [f"数字 {summary['figures']}"]
    if summary["figures"]:
        parts += [
            f"已核对 {summary['checked']}（相符 {summary['ok']}，舍入 {summary['rounding']}，"
            f"有误 {summary['wrong']}）",
            f"无法核验 {summary['unverifiable']}",
        ]
    return "  ".join([*parts, f"依据 {_EVIDENCE.get(evidence, clean(evidence))}"])


def _closing(summary: Mapping[str, int], left_out: int, everything: bool) -> Iterator[tuple[str, str]]:
    """The last lines and their styles; they never let "not checked" pass for "right"."""
    if not summary["figures"]:
        yield "没有找到数字，无可核对 (no figures found, nothing to check)", ""
        return
    if left_out:
        yield f"另有 {left_out} 处有误未列出，--all 或 --json 可见全部。", "red"
    if not summary["checked"]:
        yield "没有一个数字能够核对，不能说明报告正确 (nothing could be checked)。", "yellow"
    elif not summary["wrong"]:
        yield f"已核对的 {summary['checked']} 个数字未发现计算错误。", "green"
    if summary["unverifiable"]:
        hint = "" if everything else "，--all 列出"
        yield f"另有 {summary['unverifiable']} 个数字无法核验（不等于正确{hint}）。", _ASIDE


# --- untrusted text -----------------------------------------------------------------------------------------


def _safe(text: Any, limit: int | None = None) -> str:
    """``text`` with each character that could move a cursor or hide something as a dot: offsets stay."""
    kept = str(text)
    if limit is not None and len(kept) > limit:
        kept = kept[: limit - 1] + "…"
    if kept.isprintable():
        return kept
    # Printable says no to the full-width spaces that Chinese paragraphs begin with.
    return "".join(
        char if char.isprintable() or unicodedata.category(char) == "Zs" else " " if char == "\t" else "·"
        for char in kept
    )


class _Lines:
    """A text's lines and where they begin, for places as people give them."""

    def __init__(self, text: str) -> None:
        self.lines = text.split("\n")
        self.starts = [0]
        for content in self.lines:
            self.starts.append(self.starts[-1] + len(content) + 1)

    def index(self, offset: int) -> int:
        """The 0-based line that holds a character."""
        return min(bisect_right(self.starts, offset), len(self.lines)) - 1

    def place(self, claim: Claim) -> str:
        """Line and column of a claim, both from 1."""
        at = self.index(claim["span"][0])
        return f"{at + 1}:{claim['span'][0] - self.starts[at] + 1}"


# --- the marked text ----------------------------------------------------------------------------------------


def _marked_text(
    lines: _Lines, wrong: Sequence[Claim], rounding: Sequence[Claim], everything: bool
) -> Iterator[list[Piece]]:
    """The lines to show. Of a long text these are the ones with wrong figures and their neighbours."""
    marks: dict[int, list[Claim]] = {}
    for claim in sorted((*wrong, *rounding), key=lambda claim: claim["span"][0]):
        marks.setdefault(lines.index(claim["span"][0]), []).append(claim)
    whole = everything or lines.starts[-1] <= LONG_TEXT + 1
    if whole:
        indices: Iterable[int] = range(len(lines.lines))
    else:
        hits = {lines.index(claim["span"][0]) for claim in wrong}
        indices = sorted(
            near for hit in hits for near in (hit - 1, hit, hit + 1) if 0 <= near < len(lines.lines)
        )
    last = -1
    for index in indices:
        if index == last:  # the neighbour of two
            continue
        if index > last + 1:
            yield [(f"⋯ {index - last - 1} 行", _ASIDE)]
        last = index
        yield _marked_line(lines, index, marks.get(index, []), whole)
    if last < len(lines.lines) - 1:
        yield [(f"⋯ {len(lines.lines) - 1 - last} 行", _ASIDE)]


def _marked_line(lines: _Lines, index: int, claims: Sequence[Claim], whole: bool) -> list[Piece]:
    content, offset = lines.lines[index], lines.starts[index]
    pieces: list[Piece] = []
    cursor = 0
    for claim in claims:
        start, end = (min(position - offset, len(content)) for position in claim["span"])
        if start < cursor:  # a second claim on the same figure
            continue
        pieces.append((content[cursor:start], ""))
        if claim["verdict"] == "rounding":
            pieces.append((content[start:end], _ROUNDING))
        else:
            # Brackets, so that the mark is seen where there is no colour.
            right = claim["recomputed"]
            pieces.append((f"【{content[start:end]}", _WRONG))
            pieces.append((f" → {right}】", _RIGHT) if right else (" ✗】", _WRONG))
        cursor = end
    pieces.append((content[cursor:], ""))
    if not whole and len(content) > _LONG_LINE:
        last = len(pieces) - 1
        pieces = [
            (words if style else _clipped(words, first=at == 0, last=at == last), style)
            for at, (words, style) in enumerate(pieces)
        ]
    return [(_safe(words), style) for words, style in pieces]


def _clipped(words: str, *, first: bool, last: bool) -> str:
    """A stretch between two marks, before the first or after the last, without its far part.

    Cut at a mark of punctuation where one is near, so that no figure is cut in two.
    """
    if len(words) <= 2 * _AROUND:
        return words
    before = words[:_AROUND] if last or not first else ""
    after = words[-_AROUND:] if not last else ""
    return _AFTER_MARK.sub("", before) + " ⋯ " + _TO_MARK.sub("", after)


def _wrapped(pieces: Sequence[Piece], width: int) -> Text:
    """Styled pieces as one text, its lines broken as Chinese is."""
    plain = "".join(words for words, _ in pieces)
    styled = Text(plain)
    start = 0
    for words, style in pieces:
        if style:
            styled.stylize(style, start, start + len(words))
        start += len(words)
    cuts = []
    cursor = 0
    for line in wrap(plain, width):
        # Only spaces are lost where a line is broken, so each line is found after the one before it.
        cursor = plain.index(line, cursor)
        cuts.append(cursor)
        cursor += len(line)
    rows = styled.divide(cuts[1:])
    for row in rows:
        row.rstrip()
    return Text("\n", no_wrap=True).join(rows)


# --- the findings -------------------------------------------------------------------------------------------


def _heading(words: str) -> Text:
    return Text(f"\n{words}", style="bold")


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style=_ASIDE)
    for heading in headings:
        table.add_column(heading, no_wrap=heading == "位置")
    return table


def _subject(claim: Claim) -> str:
    return " ".join(_safe(claim[key], 60) for key in ("metric", "period") if claim[key]) or "（未识别指标）"


def _findings(lines: _Lines, claims: Iterable[Claim]) -> Table:
    table = _table("位置", "指标与期间  原文 → 重算")
    for claim in claims:
        severity = _SEVERITIES.get(claim["severity"] or "", "")
        wrong = claim["verdict"] == "wrong"
        head: list[Piece] = [
            (f"{_subject(claim)}  ", "bold"),
            (_safe(claim["stated"], 60), _WRONG if wrong else _ROUNDING),
        ]
        if claim["recomputed"]:
            head.append((f" → {_safe(claim['recomputed'], 60)}", _RIGHT))
        head.append((f"（{severity}）" if severity else "", ""))
        rows: list[Text | Wrapped] = [Text.assemble(*head)]
        if claim["formula"] and not _is_a_look_up(claim):
            rows.append(Wrapped(f"公式 {_safe(claim['formula'], 300)}"))
        if claim["operands"]:
            rows.append(Wrapped(f"取数 {'；'.join(map(_operand, claim['operands'][:12]))}"))
        if claim["reason"]:
            rows.append(Wrapped(f"说明 {_safe(claim['reason'], 300)}"))
        table.add_row(lines.place(claim), Group(*rows))
    return table


def _is_a_look_up(claim: Claim) -> bool:
    """Whether the formula only names the one operand, which the next line does too."""
    names = [f"{operand['name']}[{operand['period']}]" for operand in claim["operands"]]
    return names == [claim["formula"]]


def _operand(operand: Mapping[str, Any]) -> str:
    source = _SOURCES.get(operand["source"], _safe(operand["source"], 20))
    period = f"[{_safe(operand['period'], 20)}]" if operand["period"] else ""
    name, amount = _safe(operand["name"], 40), _amount(operand["value"])
    # A figure that is bound to no metric is named by what it says.
    return f"{name}{period}（{source}）" if amount in name else f"{name}{period} = {amount}（{source}）"


def _amount(value: Any) -> str:
    """A value in its base unit, large ones in 亿 or 万 as reports write them."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return _safe(value, 40)
    for scale, name in ((1e8, "亿"), (1e4, "万")):
        if abs(value) >= scale:
            return f"{value / scale:,.10g}{name}"
    return f"{value:,.10g}"


def _unchecked(lines: _Lines, claims: Iterable[Claim]) -> Table:
    table = _table("位置", "数字", "指标", "原因")
    for claim in claims:
        table.add_row(
            lines.place(claim),
            Wrapped(_safe(claim["stated"], 40)),
            Wrapped(_subject(claim)),
            Wrapped(_safe(claim["reason"], 200)),
        )
    return table
