"""Charts as inline SVG: plain numbers in, markup out.

Every function returns :class:`markupsafe.Markup`, a ``str`` whose texts are already escaped, so a template
inserts it as it is and any other string stays inert. A chart carries ``role="img"``, a ``<title>`` and fixed
light colours as attributes, so it also works when saved as a file; inside a page the classes ``fill-*`` and
``stroke-*`` (see :data:`PALETTE`) let the style sheet recolour it for dark screens.

Sizes are CSS pixels. Charts are at most about 360 px wide (more with over eight levels), so that they need
no shrinking on a telephone.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup, escape

from reward_model.report.text import figure, finite

# name: (light, dark). Blue against orange stays apart for every common colour blindness; texts in ink, muted,
# accent and second reach a contrast of 4.5 on paper and panel in both themes (tested).
PALETTE: dict[str, tuple[str, str]] = {
    "paper": ("#ffffff", "#13171c"),
    "panel": ("#f5f6f8", "#1c2229"),
    "rule": ("#d8dce2", "#343d47"),
    "ink": ("#1a222c", "#e6eaee"),
    "muted": ("#586470", "#9ba7b4"),
    "accent": ("#1d5b8f", "#82b7e3"),
    "soft": ("#b9cadb", "#3d5469"),
    "second": ("#a9540f", "#e8a566"),
    "alert": ("#a3312a", "#f0938b"),
}

FONT = (
    "system-ui, -apple-system, 'Segoe UI', 'PingFang SC', 'Hiragino Sans GB', 'Microsoft YaHei', "
    "'Noto Sans CJK SC', 'Noto Sans SC', 'Source Han Sans SC', sans-serif"
)

# Steps of a heat map, as (largest share of the row, opacity of the accent). The gap between 0.5 and 0.95
# leaves out the tones on which neither dark nor light figures would be readable.
_HEAT = ((0.0, 0.0), (0.1, 0.09), (0.25, 0.2), (0.5, 0.34), (0.75, 0.5), (1.0, 0.95))


def bar_chart(rows: Sequence[Mapping[str, Any]], *, title: str, width: int = 360) -> Markup:
    """Horizontal bars with their values.

    ``rows``: ``{"label": str, "value": float | None, "text": str (optional, replaces the printed value)}``,
    drawn in the order given. Bars start at 0; negative values reach to its left. A null value has no bar and
    the text "—". Without rows the chart is an empty frame that still carries its title.
    """
    size, step = 12.5, 26
    texts = [str(row.get("text") or figure(row.get("value"))) for row in rows]
    values = [finite(row.get("value")) for row in rows]
    known = [value for value in values if value is not None]
    low, high = min([0.0, *known]), max([0.0, *known]) or 1.0
    wide = max([text_width(str(row["label"]), size) for row in rows], default=0.0)
    left = min(wide, width * 0.42) + 10
    right = width - max([text_width(text, size) for text in texts], default=0.0) - 10
    scale = max(right - left, 20) / ((high - low) or 1.0)
    zero = left - low * scale
    parts: list[Markup] = []
    for index, (row, value, text) in enumerate(zip(rows, values, texts, strict=True)):
        middle = index * step + step / 2
        parts.append(_label(str(row["label"]), left - 10, middle + 4.5, size, left - 10, anchor="end"))
        end = zero
        if value is not None:
            start, end = sorted((zero, zero + value * scale))
            parts.append(_rect(start, middle - 7, max(end - start, 1), 14, "accent"))
        parts.append(_text(text, end + 6, middle + 4.5, size, "ink"))
    parts.append(_line(zero, 0, zero, len(rows) * step, "muted"))
    return _svg(width, max(len(rows) * step, 1), title, parts)


def interval_domain(rows: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """The axis that holds every value and interval of ``rows``: at least 0 to 1, in steps of 0.2."""
    found = [finite(row.get(key)) for row in rows for key in ("value", "low", "high")]
    known = [value for value in found if value is not None]
    lowest, highest = min([0.0, *known]), max([1.0, *known])
    return math.floor(lowest / 0.2 + 1e-9) * 0.2, math.ceil(highest / 0.2 - 1e-9) * 0.2


def interval_chart(
    rows: Sequence[Mapping[str, Any]],
    *,
    title: str,
    domain: tuple[float, float] | None = None,
    width: int = 320,
) -> Markup:
    """Dots with whiskers: one row a system, its value and its interval.

    ``rows``: ``{"label", "value", "low", "high", "main": bool}``; ``value``, ``low`` and ``high`` may be null
    or missing (no dot, no whisker). Rows with ``main`` are drawn filled and in the accent colour, the others
    hollow. Give several charts one ``domain`` (:func:`interval_domain`) to make them comparable.
    """
    low, high = domain or interval_domain(rows)
    size, step, left, right = 12.5, 42, 12.0, width - 52.0
    bottom = len(rows) * step
    steps = round((high - low) / 0.2)
    ticks = [low + index * (high - low) / steps for index in range(steps + 1)]

    def at(value: float) -> float:
        return left + (min(max(value, low), high) - low) / (high - low) * (right - left)

    parts = [_text(_tick(tick), at(tick), bottom + 14, 11, "muted", anchor="middle") for tick in ticks]
    for index, row in enumerate(rows):
        main = bool(row.get("main"))
        color = "accent" if main else "muted"
        top = index * step
        y = top + 29.0
        # The grid keeps to the band of the dots, or its lines would run through the labels' letters.
        for tick in ticks:
            line = "muted" if abs(tick) < 1e-9 else "rule"
            parts.append(_line(at(tick), y - 8, at(tick), y + 9, line))
        parts.append(_label(str(row["label"]), 0, top + 15, size, width, bold=main))
        value, least, most = (finite(row.get(key)) for key in ("value", "low", "high"))
        if least is not None and most is not None:
            parts.append(_line(at(least), y, at(most), y, color, 2.5 if main else 1.5))
            parts.extend(_line(at(end), y - 4, at(end), y + 4, color, 1.5) for end in (least, most))
        if value is not None:
            parts.append(_circle(at(value), y, 5, color if main else "paper", stroke=color))
        parts.append(_text(figure(value), width - 4, y + 4.5, size, "ink", anchor="end", bold=main))
    return _svg(width, bottom + 20, title, parts)


def confusion_chart(matrix: Sequence[Sequence[int]], *, title: str, true: str, predicted: str) -> Markup:
    """Confusion matrix: row i is true level i, column j predicted level j, counts printed.

    A cell is shaded by its share of its row, in the six steps of the module. Totals stand at the right and
    below. ``true`` and ``predicted`` name the axes. An empty matrix yields an empty frame.
    """
    count = len(matrix)
    cell = 44 if count <= 6 else 34
    left, top, size = 46, 42, 13
    edge = count * cell
    parts: list[Markup] = [
        _text(predicted, left + edge / 2, 14, 12, "muted", anchor="middle"),
        _tag(
            "g",
            _text(true, 0, 0, 12, "muted", anchor="middle"),
            transform=f"translate(14 {_pixel(top + edge / 2)}) rotate(-90)",
        ),
    ]
    for i, row in enumerate(matrix):
        y = top + i * cell
        total = sum(row)
        parts.append(_text(str(i), left - 10, y + cell / 2 + 4.5, size, "ink", anchor="middle"))
        parts.append(_text(str(i), left + i * cell + cell / 2, top - 9, size, "ink", anchor="middle"))
        parts.append(_text(str(total), left + edge + 10, y + cell / 2 + 4, 11, "muted"))
        for j, value in enumerate(row):
            x = left + j * cell
            share = value / total if total else 0.0
            opacity = next(tone for limit, tone in _HEAT if share <= limit + 1e-9)
            hint = _tag("title", f"{true} {i}, {predicted} {j}: {value} ({share:.0%})")
            box = _rect(x + 1, y + 1, cell - 2, cell - 2, "panel")
            if opacity:
                box += _rect(x + 1, y + 1, cell - 2, cell - 2, "accent", opacity=opacity)
            color = "paper" if opacity > 0.6 else "ink" if value else "muted"
            middle = x + cell / 2
            count_text = _text(
                str(value), middle, y + cell / 2 + 4.5, size, color, anchor="middle", bold=i == j
            )
            parts.append(_tag("g", hint, box, count_text))
    for j in range(count):
        total = sum(row[j] for row in matrix if j < len(row))
        middle = left + j * cell + cell / 2
        parts.append(_text(str(total), middle, top + edge + 16, 11, "muted", anchor="middle"))
    return _svg(left + edge + 40, top + edge + 24, title, parts)


def reliability_chart(
    bins: Sequence[Mapping[str, Any]], *, title: str, confidence: str, accuracy: str
) -> Markup:
    """Reliability diagram: stated confidence (across) against the share that was right (up), both 0 to 1.

    ``bins``: ``{"confidence", "accuracy", "n"}`` and optionally ``"low"``, ``"high"`` (an interval of the
    accuracy); bins with a null confidence or accuracy are left out. A dot's area grows with ``n``; on the
    dashed diagonal, confidence is deserved. ``confidence`` and ``accuracy`` name the axes.
    """
    left, top, side = 48, 10, 220
    usable = [row for row in bins if finite(row.get("confidence")) is not None]
    usable = [row for row in usable if finite(row.get("accuracy")) is not None]
    usable = sorted(usable, key=lambda row: float(row["confidence"]))
    largest = max([finite(row.get("n")) or 0.0 for row in usable], default=0.0) or 1.0

    def across(value: float) -> float:
        return left + min(max(value, 0.0), 1.0) * side

    def up(value: float) -> float:
        return top + (1 - min(max(value, 0.0), 1.0)) * side

    parts: list[Markup] = []
    for index in range(6):
        tick = index / 5
        parts.append(_line(left, up(tick), left + side, up(tick), "rule"))
        parts.append(_line(across(tick), top, across(tick), top + side, "rule"))
        parts.append(_text(_tick(tick), left - 8, up(tick) + 4, 11, "muted", anchor="end"))
        parts.append(_text(_tick(tick), across(tick), top + side + 16, 11, "muted", anchor="middle"))
    parts.append(_line(left, top + side, left + side, top, "muted", dash="4 4"))
    points = " ".join(f"{_pixel(across(row['confidence']))},{_pixel(up(row['accuracy']))}" for row in usable)
    parts.append(_tag("polyline", points=points, fill="none", **_stroke("accent", 1.2)))
    for row in usable:
        x, y = across(row["confidence"]), up(row["accuracy"])
        low, high = finite(row.get("low")), finite(row.get("high"))
        if low is not None and high is not None:
            parts.append(_line(x, up(low), x, up(high), "accent", 1.2))
        hint = f"{confidence} {row['confidence']:.2f}, {accuracy} {row['accuracy']:.2f}, n={row.get('n')}"
        radius = 2.5 + 4 * math.sqrt((finite(row.get("n")) or 0.0) / largest)
        parts.append(_tag("g", _tag("title", hint), _circle(x, y, radius, "accent", stroke="paper")))
    parts.append(_text(confidence, left + side / 2, top + side + 36, 12, "muted", anchor="middle"))
    turned = f"translate(14 {top + side / 2:g}) rotate(-90)"
    parts.append(_tag("g", _text(accuracy, 0, 0, 12, "muted", anchor="middle"), transform=turned))
    return _svg(left + side + 14, top + side + 46, title, parts)


def distribution_chart(series: Sequence[Mapping[str, Any]], *, title: str, level: str) -> Markup:
    """Counts a level, side by side for up to three series (for instance chosen and rejected texts).

    ``series``: ``{"label": str, "counts": [int, ...]}``, counts from level 0 up; shorter lists count as 0
    above their end. ``level`` names the axis.
    """
    colors = ("accent", "second", "muted")
    levels = max([len(row["counts"]) for row in series], default=0)
    widest = max([text_width(str(count), 11) for row in series for count in row["counts"]], default=0.0)
    bar = max(widest + 2, 16.0)
    group = bar * len(series) + 16
    width, top, height = max(group * levels + 8, 200.0), 40, 130
    highest = max([count for row in series for count in row["counts"]], default=0) or 1
    parts: list[Markup] = []
    x = 4.0
    for row, color in zip(series, colors, strict=False):
        parts.append(_rect(x, 5, 11, 11, color))
        parts.append(_text(str(row["label"]), x + 16, 15, 12, "ink"))
        x += text_width(str(row["label"]), 12) + 34
    width = max(width, x - 10)
    for index in range(levels):
        start = 4 + index * group + 8
        for place, (row, color) in enumerate(zip(series, colors, strict=False)):
            value = row["counts"][index] if index < len(row["counts"]) else 0
            tall = value / highest * height
            left = start + place * bar
            parts.append(_rect(left + 1, top + height - tall, bar - 2, tall, color))
            over = top + height - tall - 4
            parts.append(_text(str(value), left + bar / 2, over, 11, "muted", anchor="middle"))
        middle = start + bar * len(series) / 2
        parts.append(_text(str(index), middle, top + height + 17, 12.5, "ink", anchor="middle"))
    parts.append(_line(4, top + height, width - 4, top + height, "muted"))
    parts.append(_text(level, width / 2, top + height + 35, 12, "muted", anchor="middle"))
    return _svg(width, top + height + 42, title, parts)


def level_chart(
    probabilities: Sequence[float], *, title: str, level: int | None = None, expected: float | None = None
) -> Markup:
    """One report, one dimension: the probability of each level as columns, the given level in the accent.

    ``probabilities``: from level 0 up, each 0 to 1. ``expected`` (in levels) is marked by a triangle under
    the columns. The probability of ``level`` is printed above its column.
    """
    count = len(probabilities)
    step = 30 if count <= 6 else 20
    top, height = 16, 44
    base = top + height
    parts: list[Markup] = []
    for index, probability in enumerate(probabilities):
        share = min(max(finite(probability) or 0.0, 0.0), 1.0)
        chosen = index == level
        x = index * step
        tall = share * height
        hint = _tag("title", f"{index}: {share:.0%}")
        column = _rect(x + 2, base - tall, step - 4, tall, "accent" if chosen else "soft")
        parts.append(_tag("g", hint, _rect(x + 2, top, step - 4, height, "panel"), column))
        if chosen:
            parts.append(_text(f"{share:.0%}", x + step / 2, 12, 11, "muted", anchor="middle"))
        color = "ink" if chosen else "muted"
        parts.append(_text(str(index), x + step / 2, base + 22, 12, color, anchor="middle", bold=chosen))
    parts.append(_line(0, base, count * step, base, "muted"))
    mean = finite(expected)
    if mean is not None and count:
        mark = (min(max(mean, 0.0), count - 1.0) + 0.5) * step
        points = f"{_pixel(mark)},{base + 1} {_pixel(mark - 4.5)},{base + 8} {_pixel(mark + 4.5)},{base + 8}"
        parts.append(_tag("polygon", points=points, **_fill("second")))
    return _svg(max(count * step, 1), base + 28, title, parts)


def text_width(text: str, size: float) -> float:
    """Estimated width of ``text`` at ``size``: a full em for East Asian wide letters, 0.57 em otherwise."""
    return sum(size if unicodedata.east_asian_width(sign) in "WF" else 0.57 * size for sign in text)


def clip(text: str, room: float, size: float) -> str:
    """``text``, or as much of it as fits into ``room`` pixels at ``size``, ending in "…"."""
    if text_width(text, size) <= room:
        return text
    kept, used = [], text_width("…", size)
    for sign in text:
        used += text_width(sign, size)
        if used > room:
            break
        kept.append(sign)
    return "".join(kept).rstrip() + "…"


def _svg(width: float, height: float, title: str, parts: Sequence[Markup]) -> Markup:
    return _tag(
        "svg",
        _tag("title", title),
        *parts,
        xmlns="http://www.w3.org/2000/svg",
        role="img",
        viewBox=f"0 0 {_pixel(width)} {_pixel(height)}",
        width=width,
        height=height,
        font_family=FONT,
    )


def _tag(name: str, *children: str, **attributes: Any) -> Markup:
    """One element. Children that aren't Markup are escaped; control characters, which XML forbids, go."""
    pairs = (
        f' {key.rstrip("_").replace("_", "-")}="{escape(_pixel(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    body = "".join(escape(child if isinstance(child, Markup) else _plain(child)) for child in children)
    return Markup(f"<{name}{''.join(pairs)}>{body}</{name}>")


def _plain(text: str) -> str:
    return "".join(sign for sign in text if sign in "\t\n" or unicodedata.category(sign) not in ("Cc", "Cs"))


def _pixel(value: Any) -> str:
    return f"{round(value, 1):g}" if isinstance(value, int | float) else str(value)


def _fill(color: str) -> dict[str, Any]:
    return {"fill": PALETTE[color][0], "class_": f"fill-{color}"}


def _stroke(color: str, width: float, dash: str | None = None) -> dict[str, Any]:
    light = PALETTE[color][0]
    return {"stroke": light, "class_": f"stroke-{color}", "stroke_width": width, "stroke_dasharray": dash}


def _rect(x: float, y: float, width: float, height: float, color: str, *, opacity: Any = None) -> Markup:
    shade = None if opacity is None else str(opacity)
    return _tag("rect", x=x, y=y, width=width, height=height, fill_opacity=shade, **_fill(color))


def _line(
    x1: float, y1: float, x2: float, y2: float, color: str, width: float = 1, dash: str | None = None
) -> Markup:
    return _tag("line", x1=x1, y1=y1, x2=x2, y2=y2, **_stroke(color, width, dash))


def _circle(x: float, y: float, radius: float, color: str, *, stroke: str) -> Markup:
    both = {**_fill(color), **_stroke(stroke, 1.8), "class_": f"fill-{color} stroke-{stroke}"}
    return _tag("circle", cx=x, cy=y, r=radius, **both)


def _text(
    text: str, x: float, y: float, size: float, color: str, *, anchor: str | None = None, bold: bool = False
) -> Markup:
    weight = "600" if bold else None
    return _tag(
        "text", text, x=x, y=y, font_size=size, text_anchor=anchor, font_weight=weight, **_fill(color)
    )


def _label(
    text: str, x: float, y: float, size: float, room: float, *, anchor: str | None = None, bold: bool = False
) -> Markup:
    """A text of any length in ``room`` pixels; what is cut off can be read by pointing at it."""
    drawn = _text(clip(text, room, size), x, y, size, "ink", anchor=anchor, bold=bold)
    return _tag("g", _tag("title", text), drawn)


def _tick(value: float) -> str:
    return f"{value:.1f}".replace("-0.0", "0.0").replace("-", "−")
