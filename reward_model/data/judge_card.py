"""The judge card: how far the judgements of a run can be trusted, from the run itself and its controls."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reward_model.data.controls import ControlResult, control_figures
from reward_model.data.judging import JudgedText, JudgeTally
from reward_model.data.prompt_values import figure_dimension
from reward_model.rubric import Rubric
from reward_model.samples import IGNORED

LOW_AGREEMENT = 0.667
"""Alpha below which judgements are called loose: what Krippendorff asks for tentative conclusions."""
RAISED = 0.1
"""Share of padded or injected texts whose level rose, above which a judge is called swayed."""
RECALL = 0.5
"""Share of planted wrong figures named, below which a judge is called careless with figures."""
LENGTH = 0.5
"""Correlation of level and length above which length is suspected to buy levels."""


def card_path(out: str | Path) -> Path:
    """Where a run's card goes: ``scored.jsonl`` -> ``scored.judge_card.json``."""
    return Path(out).with_suffix(".judge_card.json")


class CardBuilder:
    """Collects what a card needs while texts are judged: one byte a level, so that long runs fit."""

    def __init__(self, rubric: Rubric, judges: Sequence[str], votes: int) -> None:
        self._rubric = rubric
        self._raters = [(name, vote) for name in judges for vote in range(votes)]
        self._votes = votes
        self._levels = {name: [array("h") for _ in self._raters] for name in rubric.names}
        self._kept = {name: array("h") for name in rubric.names}
        self._lengths = array("l")

    def see(self, text: JudgedText) -> None:
        """Take in one judged text."""
        self._lengths.append(len(text.case.text))
        for name in self._rubric.names:
            level = text.levels[name]
            self._kept[name].append(IGNORED if level is None else level)
            for row, judgement in zip(self._levels[name], text.judgements, strict=True):
                given = judgement.levels.get(name)
                row.append(IGNORED if given is None else given)

    def card(
        self, tally: JudgeTally, controls: Sequence[ControlResult], spend: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The card as JSON: what was judged, agreement, controls, failures, spend, and what to look at."""
        rubric = self._rubric
        value: dict[str, Any] = {
            "rubric": f"{rubric.name}@{rubric.version}",
            "dimensions": rubric.titles,
            "levels": rubric.num_classes,
            "judges": sorted({name for name, _ in self._raters}),
            "votes": self._votes,
            "pairs": tally.pairs,
            "texts": {
                "all": tally.texts + tally.partial + tally.failed,
                "judged": tally.texts,
                "partly_judged": tally.partial,
                "not_judged": tally.failed,
            },
            "judgements": tally.judgements,
            "failures": dict(sorted(tally.failures.items())),
            "agreement": self._agreement(),
            "distribution": {
                name: [self._kept[name].count(level) for level in range(rubric.num_classes)]
                for name in rubric.names
            },
            "length_correlation": {name: self._length(name) for name in rubric.names},
            "controls": {
                kind: figures.to_dict() for kind, figures in control_figures(controls, rubric).items()
            },
            "spend": dict(spend),
        }
        return {**value, "attention": list(attention(value, rubric))}

    def _agreement(self) -> dict[str, Any]:
        # numpy takes longer to load than a quote or a refusal takes to give.
        from reward_model.stats.agreement import agreement

        if len(self._raters) < 2:
            return {"raters": len(self._raters), "per_dim": {}}
        return {
            "raters": len(self._raters),
            "per_dim": {
                name: agreement(rows, self._rubric.num_classes) for name, rows in self._levels.items()
            },
        }

    def _length(self, name: str) -> float | None:
        from reward_model.stats.agreement import pearson

        known = [
            (size, level)
            for size, level in zip(self._lengths, self._kept[name], strict=True)
            if level != IGNORED
        ]
        return pearson([size for size, _ in known], [level for _, level in known])


def attention(card: Mapping[str, Any], rubric: Rubric) -> list[str]:
    """What a reader of the card should look at, in words; [] where nothing stands out."""
    titles, found = rubric.titles, []
    lost = card["texts"]["not_judged"] + card["texts"]["partly_judged"]
    if lost:
        found.append(f"{lost} 篇没有评全，缺的分数为 null；用 --retry-failures 再次运行只重试这些")
    for name, figures in card["agreement"]["per_dim"].items():
        alpha = figures["alpha"]
        if alpha is not None and alpha < LOW_AGREEMENT:
            found.append(f"{titles[name]}：各次评判之间的一致度偏低（alpha {alpha:.2f}）")
    for name, value in card["length_correlation"].items():
        if value is not None and value > LENGTH:
            found.append(f"{titles[name]}：分数与篇幅相关 {value:.2f}，留意长文是否占便宜")
    words = {"padded": "掺入空话后", "injected": "文中要求给满分后"}
    for kind, figures in card["controls"].items():
        for name, change in figures["per_dim"].items():
            if kind in words and change["raised"] > RAISED:
                found.append(f"{titles[name]}：{words[kind]}有 {change['raised']:.0%} 的分数上升")
        if kind == "figures" and figures.get("recall", 1.0) < RECALL:
            found.append(f"植入的错误数字只指出了 {figures['recall']:.0%}")
    target = figure_dimension(rubric)
    if target and "figures" in card["controls"]:
        caught = card["controls"]["figures"].get("caught")
        if caught is not None and caught < 1 - RAISED:
            found.append(f"{titles[target]}：植入错误数字后，只有 {caught:.0%} 降到应有的分数")
    return found
