"""What an evaluation measured, as cells and charts: a figure as text, its interval beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reward_model.report.svg import interval_chart, interval_domain
from reward_model.report.text import figure, finite, interval

Words = Mapping[str, str]
View = dict[str, Any]


def entries(value: Any) -> list[tuple[str, Any]]:
    """The items of a mapping that may be missing, without the empty ones."""
    return [(str(key), entry) for key, entry in (value or {}).items() if entry]


def metrics_of(holder: Mapping[str, Any] | None, dim: str) -> Mapping[str, Any]:
    """The figures of one dimension; empty where ``holder`` has none."""
    return ((holder or {}).get("per_dim") or {}).get(dim) or {}


def measured(holder: Mapping[str, Any], key: str) -> View:
    """A figure as a cell: ``kind``, ``raw`` (or None), ``text``, ``low``, ``high``, ``interval``.

    The bounds come from ``holder["intervals"][key]``; ``interval`` is "" where they are missing.
    """
    bounds = (holder.get("intervals") or {}).get(key) or {}
    return {
        "kind": key,
        "raw": finite(holder.get(key)),
        "text": figure(holder.get(key), key),
        "low": bounds.get("low"),
        "high": bounds.get("high"),
        "interval": interval(bounds, key),
    }


def interval_charts(systems: Sequence[View], titles: Mapping[str, str], name: str) -> list[View]:
    """One chart of QWK a dimension, all on the same axis: ``{"title", "svg"}``.

    ``systems``: ``{"label", "main", "qwk": a cell of :func:`measured` a dimension}``. ``name`` is what a
    chart is called for those who cannot see it, with ``{title}`` for the dimension's.
    """
    rows = [
        [
            {
                "label": system["label"],
                "main": system["main"],
                "value": system["qwk"][index]["raw"],
                "low": system["qwk"][index]["low"],
                "high": system["qwk"][index]["high"],
            }
            for system in systems
        ]
        for index in range(len(titles))
    ]
    domain = interval_domain([row for group in rows for row in group])
    return [
        {"title": title, "svg": interval_chart(group, title=name.format(title=title), domain=domain)}
        for title, group in zip(titles.values(), rows, strict=True)
    ]
