"""The shell of every HTML page, and a page built from simple blocks (``finrm demo``).

A page is one self-contained file: style and charts inline, system fonts, no script, no request. Every text is
untrusted and escaped; only :class:`markupsafe.Markup`, which the functions of ``svg`` return, is inserted as
it is. A content security policy in the page forbids whatever escaping should have missed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from reward_model.report.svg import FONT, PALETTE, level_chart
from reward_model.report.text import HTML_LANG, NONE, figure, finite, interval, localised, strings

Block = dict[str, Any]

_NUMBER = re.compile(r"[+\-−]?[\d,]*\.?\d+\s?[%‰]?(\s?\[.*\])?")
# Control characters are forbidden in HTML; a lone surrogate could not even be written as UTF-8.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def heading(text: str, level: int = 2) -> Block:
    """A heading of level 2 or 3 (1 is the page's title). Raises ValueError for other levels."""
    if level not in (2, 3):
        raise ValueError(f"heading level {level} is not 2 or 3")
    return {"kind": "heading", "text": text, "level": level}


def paragraph(text: str) -> Block:
    """A paragraph of plain text; line breaks are kept."""
    return {"kind": "paragraph", "text": text}


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, caption: str = "") -> Block:
    """A table. The first cell of a row is its header; None prints as "—".

    A column is set flush right when all its known cells are numbers, or texts that look like one ("87.4%").
    Raises ValueError for a row whose length differs from that of ``columns``.
    """
    for row in rows:
        if len(row) != len(columns):
            raise ValueError(f"a row has {len(row)} cells for {len(columns)} columns: {row!r}")
    return {
        "kind": "table",
        "columns": list(columns),
        "rows": [list(row) for row in rows],
        "caption": caption,
    }


def chart(svg: str, *, caption: str = "") -> Block:
    """A chart from ``svg``. A plain string that no function of that module made is shown as text."""
    return {"kind": "chart", "svg": svg, "caption": caption}


def charts(*items: Block) -> Block:
    """Blocks of :func:`chart` side by side on a wide screen, below one another on a narrow one."""
    return {"kind": "charts", "items": list(items)}


def report_card(
    result: Mapping[str, Any],
    *,
    name: str,
    text: str | None = None,
    dims: Mapping[str, Any] | None = None,
) -> Block:
    """One scored report: scores with their probabilities, confidence, warnings, wrong figures, folded text.

    ``result`` is a line of ``finrm score --json`` (also one with ``error``); of its keys only those present
    are shown. ``name`` is the file name. In ``text``, which must be the text that was scored, the wrong
    figures are marked. ``dims`` maps dimensions to titles, each a text or ``{"zh", "en"}``.
    """
    return {
        "kind": "card",
        "result": dict(result),
        "name": name,
        "text": text,
        "dims": dict(dims or {}),
    }


def summary_page(sections: Sequence[Block], *, title: str, lang: str = "zh") -> str:
    """An HTML page made of blocks: :func:`heading`, :func:`paragraph`, :func:`table`, :func:`chart`,
    :func:`charts`, :func:`report_card`, in the order given. ``lang``: "zh" or "en". Raises ValueError for
    other languages and for blocks of unknown kind.
    """
    words = strings(lang)
    views = []
    for block in sections:
        kind = block.get("kind")
        if kind == "card":
            views.append(_card_view(block, lang, words))
        elif kind == "table":
            views.append(_table_view(block))
        elif kind in ("heading", "paragraph", "chart", "charts"):
            views.append(block)
        else:
            raise ValueError(f"unknown block kind {kind!r}")
    return render("summary.html.j2", lang, title=title, blocks=views)


def render(template: str, lang: str, **context: Any) -> str:
    """Render a template of this package as a page in ``lang``; what HTML forbids in texts becomes U+FFFD."""
    page = (
        _environment()
        .get_template(template)
        .render(t=strings(lang), html_lang=HTML_LANG[lang], palette=PALETTE, font=FONT, **context)
    )
    return _FORBIDDEN.sub("�", page)


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("reward_model.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals.update(figure=figure, interval=interval, NONE=NONE)
    return environment


def _table_view(block: Block) -> Block:
    rows = [[_cell(value) for value in row] for row in block["rows"]]
    numeric = [
        any(row[index] != NONE for row in rows)
        and all(row[index] == NONE or _NUMBER.fullmatch(row[index]) for row in rows)
        for index in range(len(block["columns"]))
    ]
    return {**block, "rows": rows, "numeric": numeric}


def _cell(value: Any) -> str:
    if value is None:
        return NONE
    return figure(value, "plain") if isinstance(value, float) else str(value)


def _card_view(block: Block, lang: str, words: Mapping[str, str]) -> Block:
    result = block["result"]
    scores = result.get("scores") or {}
    dimensions = [
        _card_dimension(dim, localised(block["dims"].get(dim, dim), lang), result, words) for dim in scores
    ]
    calc = result.get("calc") or {}
    wrong = [claim for claim in calc.get("claims") or [] if claim.get("verdict") == "wrong"]
    facts = []
    overall = finite(result.get("overall"))
    if overall is not None:
        facts.append((words["card.overall"], f"{overall * 100:.0f}", words["card.out_of"]))
    if result.get("coverage") is not None:
        facts.append((words["card.coverage"], figure(result["coverage"], "share"), ""))
    if result.get("evidence"):
        evidence = str(result["evidence"])
        facts.append((words["card.evidence"], words.get(f"card.evidence.{evidence}", evidence), ""))
    summary = calc.get("summary") or {}
    counts = ("figures", "checked", "ok", "rounding", "wrong", "unverifiable")
    return {
        "kind": "card",
        "name": block["name"],
        "error": result.get("error"),
        "warnings": [str(warning) for warning in result.get("warnings") or []],
        "dimensions": dimensions,
        "facts": facts,
        "calc": words["card.calc"].format(**{key: figure(summary.get(key), "count") for key in counts})
        if summary
        else "",
        "wrong": [_claim_view(claim, words) for claim in wrong],
        "text": None if block["text"] is None else _marked(block["text"], wrong),
    }


def _card_dimension(dim: str, title: str, result: Mapping[str, Any], words: Mapping[str, str]) -> Block:
    level = result["scores"].get(dim)
    probabilities = (result.get("probabilities") or {}).get(dim) or []
    expected = (result.get("expected") or {}).get(dim)
    top = len(probabilities) - 1 if probabilities else NONE
    label = words["card.score" if level is not None else "card.unknown"]
    drawn = (
        level_chart(
            probabilities,
            title=label.format(title=title, level=level, top=top),
            level=level,
            expected=expected,
        )
        if probabilities
        else None
    )
    return {
        "title": title,
        "level": NONE if level is None else level,
        "top": top,
        "chart": drawn,
        "expected": figure(expected),
        "confidence": figure((result.get("confidence") or {}).get(dim), "share"),
    }


def _claim_view(claim: Mapping[str, Any], words: Mapping[str, str]) -> dict[str, str]:
    place = " ".join(str(claim[key]) for key in ("period", "metric") if claim.get(key) is not None)
    severity = claim.get("severity")
    return {
        "text": _cell(claim.get("text")),
        "metric": place or NONE,
        "stated": _plain_figure(claim.get("stated")),
        "recomputed": _plain_figure(claim.get("recomputed")),
        "formula": _cell(claim.get("formula")),
        "severity": NONE if severity is None else words.get(f"severity.{severity}", str(severity)),
    }


def _plain_figure(value: Any) -> str:
    return value if isinstance(value, str) else figure(value, "plain")


def _marked(text: str, claims: Sequence[Mapping[str, Any]]) -> list[tuple[str, str | None]]:
    """``text`` cut into pieces: (piece, None), or (piece, what it should be) for a wrong figure.

    Spans that overlap an earlier one, leave the text or are missing are passed over.
    """
    pieces: list[tuple[str, str | None]] = []
    place = 0
    spans = sorted(
        (int(claim["span"][0]), int(claim["span"][1]), _plain_figure(claim.get("recomputed")))
        for claim in claims
        if claim.get("span")
    )
    for start, end, right in spans:
        if place <= start < end <= len(text):
            pieces += [(text[place:start], None), (text[start:end], right)]
            place = end
    pieces.append((text[place:], None))
    return [piece for piece in pieces if piece[0]]
