"""The evaluation of a model as a page: ``evaluate --json`` in, HTML out.

This module only arranges: it picks what the result holds, names it in the reader's language and draws the
charts. Whatever a result lacks is left out; a null figure prints as "—".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reward_model.report.measured import View, Words, entries, interval_charts, measured, metrics_of
from reward_model.report.page import render
from reward_model.report.regimes_view import regimes_view
from reward_model.report.svg import confusion_chart, reliability_chart
from reward_model.report.text import NONE, figure, finite, interval, localised, strings

METRICS = ("qwk", "accuracy", "within_1", "mae", "macro_f1", "ece", "ece_noise_floor")
SLICE_METRICS = ("qwk", "accuracy", "mae")
EXPLAINED = ("qwk", "accuracy", "within_1", "mae", "macro_f1", "ece", "ranking_accuracy", "interval")
_EXCERPT = 64


def evaluation_page(result: Mapping[str, Any], *, lang: str = "zh", meta: Mapping[str, Any]) -> str:
    """The page of one evaluation.

    ``result``: the dict of ``evaluate --json``, of which only ``per_dim`` is needed. Beyond the contract it
    may hold ``dims`` (titles), ``warnings``, ``baselines``, ``regimes`` (shown if there are several, see
    ``regimes_view``), ``slices``, ``worst``, and in each dimension ``intervals`` (``{metric: {"low",
    "high"}}``) and ``reliability`` (bins, see ``svg.reliability_chart``).
    Titles are texts or ``{"zh", "en"}``. ``meta``: ``title`` becomes the heading; ``model``, ``data``,
    ``generated``, ``version``, ``seed``, ``evidence``, ``split``, ``command`` get a translated name, other
    keys are shown as they are; nulls are left out; an ``evidence`` of facts, text or off is put in words.
    ``lang``: "zh" or "en", else ValueError.
    """
    words = strings(lang)
    titles = _titles(result, lang)
    systems = _systems(result, titles, lang, words)
    facts = [
        (words.get(f"meta.{key}", key), words.get(f"card.{key}.{value}", str(value)))
        for key, value in meta.items()
        if key != "title" and value is not None
    ]
    return render(
        "evaluation.html.j2",
        lang,
        title=str(meta.get("title") or words["evaluation"]),
        subtitle=[str(meta[key]) for key in ("model", "data", "generated") if meta.get(key)],
        warnings=[str(warning) for warning in result.get("warnings") or []],
        sentence=_sentence(result, titles, words),
        figures=_figures(result, titles, systems, words),
        baselines_lead=_baselines_lead(systems, words),
        systems=systems,
        titles=titles,
        charts=interval_charts(systems, titles, words["baselines.chart"]) if _comparable(systems) else [],
        regimes=regimes_view(result, titles, lang, words),
        dimensions=[_dimension(dim, titles[dim], result["per_dim"][dim], words) for dim in titles],
        slices=[_slice(name, values, titles, words) for name, values in entries(result.get("slices"))],
        worst=[_worst(entry, titles, words) for entry in result.get("worst") or []],
        explained=[
            (words["interval.head" if key == "interval" else key], words[f"how.{key}"]) for key in EXPLAINED
        ],
        facts=facts,
    )


def _titles(result: Mapping[str, Any], lang: str) -> dict[str, str]:
    names = result.get("dims") or {}
    return {dim: localised(names.get(dim) or dim, lang) for dim in result["per_dim"]}


def _sentence(result: Mapping[str, Any], titles: Mapping[str, str], words: Words) -> str:
    """The main figures in one sentence; clauses whose figures are null are left out."""
    clauses = []
    rated = [
        words["summary.item"].format(title=title, value=figure(metrics_of(result, dim).get("qwk"), "qwk"))
        for dim, title in titles.items()
        if finite(metrics_of(result, dim).get("qwk")) is not None
    ]
    if rated:
        clauses.append(words["summary.qwk"].format(list=words["list_separator"].join(rated)))
    if finite(result.get("overall_accuracy")) is not None:
        clauses.append(
            words["summary.labels"].format(value=figure(result["overall_accuracy"], "overall_accuracy"))
        )
    pairs = result.get("pairs") or {}
    if finite(pairs.get("ranking_accuracy")) is not None:
        value = figure(pairs["ranking_accuracy"], "ranking_accuracy")
        clauses.append(words["summary.pairs"].format(n=figure(pairs.get("n"), "count"), value=value))
    if not clauses:
        return ""
    start = words["summary.n"].format(n=figure(result["n"], "count")) if result.get("n") else ""
    sentence = start + words["clause_separator"].join(clauses) + words["full_stop"]
    return sentence[0].upper() + sentence[1:]


def _figures(
    result: Mapping[str, Any], titles: Mapping[str, str], systems: Sequence[View], words: Words
) -> list[View]:
    """The headline figures: QWK a dimension, then the overall ones, each with a note that gives it scale."""
    shown = []
    for index, (dim, title) in enumerate(titles.items()):
        metrics = metrics_of(result, dim)
        notes = []
        bounds = interval((metrics.get("intervals") or {}).get("qwk"), "qwk")
        if bounds:
            notes.append(words["interval"].format(range=bounds))
        rivals = [system["qwk"][index]["raw"] for system in systems[1:]]
        known = [rival for rival in rivals if rival is not None]
        if known:
            notes.append(words["best_baseline"].format(value=figure(max(known), "qwk")))
        shown.append({"label": f"{title} QWK", "value": figure(metrics.get("qwk"), "qwk"), "notes": notes})
    pairs = result.get("pairs") or {}
    count = finite(result.get("n"))
    labels = None if count is None else count * len(titles)
    for key, value, note in (
        (
            "overall_accuracy",
            result.get("overall_accuracy"),
            words["note.overall_accuracy"].format(labels=figure(labels, "count")),
        ),
        ("exact_match", result.get("exact_match"), words["note.exact_match"].format(dims=len(titles))),
        (
            "ranking_accuracy",
            pairs.get("ranking_accuracy"),
            words["note.ranking"].format(n=figure(pairs.get("n"), "count")),
        ),
    ):
        if value is not None:
            shown.append({"label": words[key], "value": figure(value, key), "notes": [note]})
    return shown


def _systems(result: Mapping[str, Any], titles: Mapping[str, str], lang: str, words: Words) -> list[View]:
    """The rows of the comparison, the model first. The best value of each column is marked, ties all."""
    named = [(words["this_model"], result)]
    for name, baseline in entries(result.get("baselines")):
        named.append((localised(baseline.get("title") or name, lang), baseline))
    systems = [
        {
            "label": label,
            "main": holder is result,
            "qwk": [measured(metrics_of(holder, dim), "qwk") for dim in titles],
            "overall": [
                measured(holder, "overall_accuracy"),
                measured(holder, "exact_match"),
                measured(holder.get("pairs") or {}, "ranking_accuracy"),
            ],
        }
        for label, holder in named
    ]
    for group in ("qwk", "overall"):
        for column in zip(*(system[group] for system in systems), strict=True):
            best = max((cell["raw"] for cell in column if cell["raw"] is not None), default=None)
            for cell in column:
                cell["best"] = (
                    len(systems) > 1 and best is not None and cell["text"] == figure(best, cell["kind"])
                )
    return systems


def _baselines_lead(systems: Sequence[View], words: Words) -> str:
    bracketed = any(cell["interval"] for system in systems for cell in system["qwk"] + system["overall"])
    lead = words["baselines.lead" if len(systems) > 1 else "baselines.only"]
    return lead + (words["baselines.brackets"] if bracketed else "")


def _comparable(systems: Sequence[View]) -> bool:
    """Whether a chart would say more than the headline figures do: there are baselines, or intervals."""
    return len(systems) > 1 or any(cell["low"] is not None for cell in systems[0]["qwk"])


def _dimension(dim: str, title: str, metrics: Mapping[str, Any], words: Words) -> View:
    """One dimension: known metrics first, then any other number that the result holds under its own key."""
    keys = [key for key in METRICS if key in metrics]
    keys += [key for key in metrics if key not in METRICS and finite(metrics[key]) is not None]
    rows = [
        {
            "label": words.get(key, key),
            "value": figure(metrics[key], key if key in METRICS else "plain"),
            "interval": interval((metrics.get("intervals") or {}).get(key), key),
        }
        for key in keys
    ]
    ece, floor = finite(metrics.get("ece")), finite(metrics.get("ece_noise_floor"))
    verdict = ""
    if ece is not None and floor is not None:
        verdict = (
            words["ece.within"]
            if ece <= floor
            else words["ece.above"].format(excess=figure(ece - floor, "ece"))
        )
    matrix, bins = metrics.get("confusion"), metrics.get("reliability")
    return {
        "title": title,
        "rows": rows,
        "intervals": any(row["interval"] for row in rows),
        "verdict": verdict,
        "confusion": confusion_chart(
            matrix,
            title=f"{title}: {words['confusion']}",
            true=words["reference"],
            predicted=words["predicted"],
        )
        if matrix
        else None,
        "reliability": reliability_chart(
            bins,
            title=f"{title}: {words['reliability']}",
            confidence=words["confidence"],
            accuracy=words["share_right"],
        )
        if bins
        else None,
    }


def _slice(name: str, values: Mapping[str, Any], titles: Mapping[str, str], words: Words) -> View:
    """One table: a row a value of the slice; columns that no row knows are left out."""
    entries = [(str(value), entry or {}) for value, entry in values.items()]
    columns = [
        key
        for key in SLICE_METRICS
        if any(key in metrics_of(entry, dim) for _, entry in entries for dim in titles)
    ]
    ranked = any((entry.get("pairs") or {}).get("ranking_accuracy") is not None for _, entry in entries)
    rows = []
    for value, entry in entries:
        cells = [figure(entry.get("n"), "count"), figure(entry.get("overall_accuracy"), "overall_accuracy")]
        if ranked:
            cells.append(figure((entry.get("pairs") or {}).get("ranking_accuracy"), "ranking_accuracy"))
        cells += [figure(metrics_of(entry, dim).get(key), key) for dim in titles for key in columns]
        rows.append({"label": value, "cells": cells})
    return {
        "title": words.get(f"slice.{name}", name),
        "of": words.get(f"slice.of.{name}", name),
        "ranked": ranked,
        "columns": [words.get(f"short.{key}", words[key]) for key in columns],
        "rows": rows,
    }


def _worst(entry: Mapping[str, Any], titles: Mapping[str, str], words: Words) -> View:
    dim = str(entry.get("dim", ""))
    text = str(entry.get("text") or "")
    line = " ".join(text.split())
    facts = [
        (words["worst.reference"], _level(entry.get("label"))),
        (words["worst.predicted"], _level(entry.get("predicted"))),
    ]
    if finite(entry.get("expected")) is not None:
        facts.append((words["worst.expected"], figure(entry["expected"])))
    if finite(entry.get("confidence")) is not None:
        facts.append((words["worst.confidence"], figure(entry["confidence"], "confidence")))
    return {
        "id": str(entry.get("id", NONE)),
        "title": titles.get(dim, dim),
        "facts": facts,
        "excerpt": line if len(line) <= _EXCERPT else line[:_EXCERPT].rstrip() + "…",
        "text": text,
        "other": str(entry.get("other") or ""),
    }


def _level(value: Any) -> str:
    return NONE if value is None else str(value)
