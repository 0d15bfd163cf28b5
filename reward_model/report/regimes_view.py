"""The regimes of an evaluation, side by side: how much of a model's figures rests on the checker's material.

A regime is what the arithmetic checker may use: a report's statements ("facts"), its text alone ("text"), or
nothing ("off"). The rest of an evaluation's page is about one of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reward_model.report.measured import View, Words, entries, interval_charts, measured, metrics_of
from reward_model.report.text import NONE, figure, finite, interval, localised


def regimes_view(
    result: Mapping[str, Any], titles: Mapping[str, str], lang: str, words: Words
) -> View | None:
    """What the section shows, or None for fewer than two regimes, which leave nothing to compare.

    ``result["regimes"]``: by name, figures as of a whole result (``per_dim``, ``overall_accuracy``,
    ``exact_match``, ``pairs``, each with ``intervals``); in a dimension ``minus_best_baseline`` may hold
    ``baseline`` (a key of ``result["baselines"]``), ``difference``, ``low`` and ``high``.
    ``result["evidence"]`` names the regime of all the other figures. ``titles`` are those of the dimensions.
    """
    regimes = entries(result.get("regimes"))
    if len(regimes) < 2:
        return None
    main = str(result.get("evidence"))
    rows = [_regime(name, holder, titles, name == main, words) for name, holder in regimes]
    about = next((_described(row, words) for row in rows if row["main"]), "")
    return {
        "top": words["regimes.top"].format(regime=about) if about else "",
        "about": words["regimes.about"].format(regime=about) if about else "",
        "charts": interval_charts(rows, titles, words["regimes.chart"]),
        "rows": rows,
        "dimensions": [
            {
                "title": title,
                "baseline": _baselines(dim, [holder for _, holder in regimes], result, lang, words),
                "rows": [
                    _row(row, metrics_of(holder, dim), words)
                    for row, (_, holder) in zip(rows, regimes, strict=True)
                ],
            }
            for dim, title in titles.items()
        ],
    }


def _regime(
    name: str, holder: Mapping[str, Any], titles: Mapping[str, str], main: bool, words: Words
) -> View:
    return {
        "label": words.get(f"regime.{name}", name),
        "note": words.get(f"card.evidence.{name}", ""),
        "main": main,
        "qwk": [measured(metrics_of(holder, dim), "qwk") for dim in titles],
        "overall": [
            measured(holder, "overall_accuracy"),
            measured(holder, "exact_match"),
            measured(holder.get("pairs") or {}, "ranking_accuracy"),
        ],
    }


def _described(row: View, words: Words) -> str:
    return words["regime.described"].format(**row) if row["note"] else str(row["label"])


def _row(regime: View, metrics: Mapping[str, Any], words: Words) -> View:
    floor = finite(metrics.get("ece_noise_floor"))
    return {
        "label": regime["label"],
        "main": regime["main"],
        "cells": [measured(metrics, key) for key in ("qwk", "accuracy", "mae")],
        "ece": figure(metrics.get("ece"), "ece"),
        "floor": "" if floor is None else words["regimes.floor"].format(value=figure(floor, "ece")),
        "gap": _gap(metrics.get("minus_best_baseline") or {}, words),
    }


def _gap(found: Mapping[str, Any], words: Words) -> View:
    """The difference with its sign, and on which side of 0 its interval lies ("" where it has none)."""
    value, low, high = (finite(found.get(key)) for key in ("difference", "low", "high"))
    text = NONE if value is None else figure(value, "qwk")
    if value is not None and value > 0 and text != figure(0, "qwk"):
        text = f"+{text}"
    above, verdict = False, ""
    if low is not None and high is not None:
        above = low > 0
        verdict = words["gap.above" if above else "gap.below" if high < 0 else "gap.unclear"]
    return {"text": text, "interval": interval(found, "qwk"), "verdict": verdict, "above": above}


def _baselines(
    dim: str, regimes: Sequence[Mapping[str, Any]], result: Mapping[str, Any], lang: str, words: Words
) -> str:
    """The baseline that a dimension's differences are taken to, by its title and with its QWK."""
    known = result.get("baselines") or {}
    found = [(metrics_of(holder, dim).get("minus_best_baseline") or {}).get("baseline") for holder in regimes]
    shown = [
        words["regimes.baseline"].format(
            title=localised((known.get(name) or {}).get("title") or name, lang),
            value=figure(metrics_of(known.get(name), dim).get("qwk"), "qwk"),
        )
        for name in dict.fromkeys(str(name) for name in found if name)
    ]
    return words["list_separator"].join(shown)
