"""Degrades a text in a rubric's way at a rubric's severity, with every edit known.

A degradation that the rubric names itself is done by the technique that its words ask for
(``words/degradations.yaml``): its name counts three times, its description once a word, the title and
description of its target dimension decide between equals, and what no word decides loses its analysis.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from typing import Any

from reward_model.calc.check import check_text
from reward_model.degrade.figures import Corrupted, corrupt_figures
from reward_model.offline.disorder import disorder
from reward_model.offline.edits import Edit, Made, apply, first, tidy
from reward_model.offline.material import material
from reward_model.offline.techniques import (
    Technique,
    colloquial,
    empty,
    reassuring,
    shallow,
    unreadable,
    vague_advice,
)
from reward_model.rubric import Degradation, Rubric
from reward_model.tasks import Framework

EDITING: dict[str, Technique] = {
    "shallow": shallow,
    "empty": empty,
    "colloquial": colloquial,
    "reassuring": reassuring,
    "vague_advice": vague_advice,
    "unreadable": unreadable,
}
SHARES: dict[str, tuple[float, float]] = {
    "shallow": (0.45, 1.0),
    "empty": (0.3, 1.0),
    "colloquial": (0.22, 1.0),
    "reassuring": (0.4, 1.0),
    "vague_advice": (0.4, 1.0),
    "unreadable": (0.3, 1.0),
    "disorder": (0.4, 1.0),
}
"""Of all that a technique can do: the share done at the lightest severity and at the heaviest."""

_TRIES = 6
_WRITTEN = re.compile(r"\d[\d,]*(?:\.\d+)?(?=%|个百分点|亿|万|元|倍|天|次)")
_WORDS = {"轻": 0.0, "微": 0.0, "中": 0.5, "重": 1.0, "严": 1.0}


@dataclass(frozen=True)
class Degraded:
    """A text made worse, and how; ``technique`` names the way it was done."""

    text: str
    technique: str
    defects: tuple[dict[str, Any], ...]


def technique_of(rubric: Rubric, degradation: Degradation) -> str:
    """The technique that a degradation means; see the module."""
    content = material("degradations")
    target = next(d for d in rubric.dimensions if d.name == degradation.target)

    def worth(words: list[str]) -> tuple[int, int]:
        said = sum(3 * (word in degradation.name) + (word in degradation.description) for word in words)
        return said, sum(word in target.title + target.description for word in words)

    found = {name: worth(words) for name, words in content["techniques"].items()}
    best = max(found, key=lambda name: found[name])
    return best if any(found[best]) else str(content["fallback"])


def strength(rubric: Rubric, severity: str) -> float:
    """0 for the lightest severity to 1 for the heaviest; by its words where the rubric doesn't name it."""
    names = rubric.severities
    if severity in names and len(names) > 1:
        return names.index(severity) / (len(names) - 1)
    return next((value for word, value in _WORDS.items() if word in severity), 0.5)


def degrade(rubric: Rubric, framework: Framework, degradation: Degradation, severity: str, gold: str,
            seed: str) -> Degraded:  # fmt: skip
    """``gold`` made worse.

    Args:
        rubric: orders severities and describes dimensions.
        framework: the company, its industry and figures.
        degradation, severity: what is to be done, and how far.
        gold: any text.
        seed: of all choices. The same one makes heavier severities do what lighter ones do, and more.
    """
    technique = technique_of(rubric, degradation)
    strong = strength(rubric, severity)
    if technique == "figures":
        return Degraded(*_wrong_figures(framework, gold, strong, seed))
    low, high = SHARES[technique]
    share = low + (high - low) * strong
    if technique == "disorder":
        return _disordered(framework, gold, share, seed)
    edits = first(EDITING[technique](gold, framework, random.Random(seed)), share)
    text, defects = _kept_true(framework, gold, edits)
    return Degraded(text, technique, tuple(defects))


# -- figures ---------------------------------------------------------------------------------------------


def how_many(strong: float, rng: random.Random) -> int:
    """Wrong figures at a strength: 1-2 at the lightest, 3-4 in the middle, 6-8 at the heaviest."""
    if strong < 1 / 3:
        return rng.randint(1, 2)
    return rng.randint(3, 4) if strong < 0.7 else rng.randint(6, 8)


def _wrong_figures(
    framework: Framework, gold: str, strong: float, seed: str
) -> tuple[str, str, tuple[dict[str, Any], ...]]:
    rng = random.Random(seed)
    wanted = how_many(strong, rng)
    made = _best_found(framework, gold, wanted, rng)
    defects = [
        {
            "kind": f"wrong figure: {edit.kind}",
            "was": edit.was,
            "became": edit.became,
            "span": list(edit.span),
            "metric": edit.metric,
            "period": edit.period,
        }
        for edit in made.edits
    ]
    text = made.text
    missing = wanted - len(defects)
    if missing > 0:
        # Figures that nothing here can check can be made untrue as well: they are no longer what was meant.
        spans = [edit.span for edit in made.edits]
        edits = _other_figures(text, spans, missing, rng)
        text, more = apply(text, edits)
        if more:
            defects = [{key: v for key, v in d.items() if key != "span"} for d in defects]
            defects += [one.record() for one in more]
    return text, "figures", tuple(defects)


def _best_found(framework: Framework, gold: str, wanted: int, rng: random.Random) -> Corrupted:
    """Wrong figures that the checker finds again, as far as a few tries go.

    One that other readings of its words explain is an error all the same, but nobody could be held to it.
    """
    best: tuple[int, Corrupted] | None = None
    for _ in range(_TRIES // 2):
        made = corrupt_figures(gold, framework.fact_sheet, wrong=wanted, seed=rng.getrandbits(32))
        wrong = [claim.span for claim in check_text(made.text, framework.fact_sheet).wrong]
        found = sum(any(a < edit.span[1] and edit.span[0] < b for a, b in wrong) for edit in made.edits)
        if best is None or found > best[0]:
            best = (found, made)
        if found == len(made.edits):
            break
    assert best is not None
    return best[1]


def _other_figures(text: str, taken: list[tuple[int, int]], count: int, rng: random.Random) -> list[Edit]:
    found = [
        match
        for match in _WRITTEN.finditer(text)
        if all(match.end() <= start or end <= match.start() for start, end in taken)
    ]
    rng.shuffle(found)
    edits = []
    for match in found[:count]:
        written = match.group().replace(",", "")
        places = len(written.partition(".")[2])
        changed = float(written) * rng.choice((0.72, 0.84, 1.19, 1.31)) or 1.0
        became = f"{changed:.{places}f}"
        if became != written:
            edits.append(Edit(match.start(), match.end(), became, "wrong figure: unchecked"))
    return edits


# -- figures that stay right -----------------------------------------------------------------------------


def _wrong_in(framework: Framework, text: str) -> set[tuple[str, tuple[int, int]]]:
    return {(claim.text, claim.span) for claim in check_text(text, framework.fact_sheet).wrong}


def _kept_true(framework: Framework, gold: str, edits: list[Edit]) -> tuple[str, list[dict[str, Any]]]:
    """The text with ``edits`` made, without those that make a figure read wrong that was right before."""
    before = {text for text, _ in _wrong_in(framework, gold)}
    text, made = apply(gold, edits)
    for _ in range(_TRIES):
        wrong = [span for said, span in _wrong_in(framework, text) if said not in before]
        if not wrong:
            break
        edits = _without(text, made, wrong)
        text, made = apply(gold, edits)
    tidied = tidy(text)
    records = [one.record() for one in made]
    return tidied, records if tidied == text else [_found_again(record, tidied) for record in records]


def _without(text: str, made: list[Made], wrong: list[tuple[int, int]]) -> list[Edit]:
    """The edits less those in sentences with wrong figures; where there are none, less the one before."""
    gone: set[int] = set()
    for start, end in wrong:
        begin = max(text.rfind("。", 0, start), text.rfind("\n", 0, start)) + 1
        inside = {i for i, one in enumerate(made) if begin <= one.span[1] and one.span[0] < end}
        before = [i for i, one in enumerate(made) if one.span[0] < end and i not in gone]
        gone |= inside or set(before[-1:])
    return [one.edit for i, one in enumerate(made) if i not in gone]


def _found_again(defect: dict[str, Any], text: str) -> dict[str, Any]:
    """``defect`` with the span that it has in ``text``, or without one where it isn't certain."""
    became = defect["became"]
    if became and text.count(became) == 1:
        start = text.index(became)
        return defect | {"span": [start, start + len(became)]}
    return {key: value for key, value in defect.items() if key != "span"}


def _disordered(framework: Framework, gold: str, share: float, seed: str) -> Degraded:
    before = {text for text, _ in _wrong_in(framework, gold)}
    best: tuple[int, str, list[dict[str, Any]]] | None = None
    for turn in range(_TRIES):
        text, defects = disorder(gold, share, random.Random(f"{seed}:{turn}" if turn else seed))
        wrong = sum(said not in before for said, _ in _wrong_in(framework, text))
        if best is None or wrong < best[0]:
            best = (wrong, text, defects)
        if not wrong:
            break
    assert best is not None
    return Degraded(best[1], "disorder", tuple(_found_again(d, best[1]) for d in best[2]))
