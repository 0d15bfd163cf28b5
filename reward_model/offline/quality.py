"""From features to a quality between 0 and 1 for each kind of dimension, and from that to a level.

Depth and professionalism have weights and cuts fitted on graded texts (``words/judge_weights.yaml``, made by
``benchmarks/offline_judge.py --fit``); the kinds that users' rubrics add have weights set by hand
(``words/judge_manual.yaml``). Accuracy is counted: :func:`accuracy_level`.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from reward_model.offline.material import material
from reward_model.offline.reading import Reading
from reward_model.rubric import Dimension, Rubric

FITTED = ("depth", "professionalism")
FITTED_TOP = 4.2
"""What speaks for a text adds up to no more: hardly above the scale that weights were fitted to."""

SPREAD = 0.08
"""By what share a vote's weights differ from the judge's own, at most."""

FEW_FIGURES = 3
"""With no more figures that can be checked, a text is at best in the middle: 可核对的数字太少."""

MIDDLE = 0.55
_WRONG_LADDER = ((5, 0.2), (3, 0.33), (2, 0.48), (1, 0.55))
_SLIP = 0.78


@dataclass(frozen=True)
class Weighed:
    """A quality between 0 and 1, and what each feature added to it, by name."""

    quality: float
    weights: Mapping[str, float]


def family_of(dimension: Dimension) -> str | None:
    """What a dimension is judged by: the family with most words in its name and title (three times each) and
    description; None where there is none, then depth and professionalism count equally."""
    hits = {}
    for family, words in material("judge")["families"].items():
        title = f"{dimension.name} {dimension.title} {dimension.title_en}".lower()
        hits[family] = sum(3 * (word in title) + (word in dimension.description) for word in words)
    best = max(hits, key=lambda family: hits[family])
    return str(best) if hits[best] else None


def _varied(weights: Mapping[str, float], vote: int, family: str) -> dict[str, float]:
    if not vote:
        return dict(weights)
    rng = random.Random(f"vote:{vote}:{family}")
    return {name: weight * (1 + rng.uniform(-SPREAD, SPREAD)) for name, weight in weights.items()}


def placed(score: float, cuts: Sequence[float]) -> float:
    """``score`` on a scale of 0 to 1 where the cuts lie evenly: 0.2, 0.4, 0.6, 0.8 for four of them."""
    step = 1 / (len(cuts) + 1)
    ends = [cuts[0] - (cuts[1] - cuts[0]), *cuts, cuts[-1] + (cuts[-1] - cuts[-2])]
    if score <= ends[0]:
        return 0.0
    for place, (low, high) in enumerate(pairwise(ends)):
        if score < high:
            return (place + (score - low) / (high - low)) * step
    return 1.0


def fitted_score(intercept: float, weights: Mapping[str, float], values: Mapping[str, float]) -> float:
    """A score on the scale of the levels 0 to 4 that the weights were fitted to.

    What speaks for a text reaches the top level at most: what speaks against it then always lowers it.
    """
    favour = sum(weight * values[name] for name, weight in weights.items() if weight > 0)
    against = sum(weight * values[name] for name, weight in weights.items() if weight < 0)
    return min(FITTED_TOP, intercept + favour) + against


def weigh(reading: Reading, family: str, vote: int = 0) -> Weighed:
    """The quality of a text in one family other than accuracy."""
    values = reading.values
    if family in FITTED:
        entry = material("judge_weights")[family]
        weights = _varied(entry["weights"], vote, family)
        quality = placed(fitted_score(entry["intercept"], weights, values), entry["cuts"])
        ceiling = MIDDLE
    else:
        entry = material("judge_manual")[family]
        weights = _varied(entry["weights"], vote, family)
        quality = entry["base"] + sum(weight * values[name] for name, weight in weights.items())
        ceiling = entry["without_figures"]
    if not reading.figured:
        quality = min(quality, ceiling)
    return Weighed(min(1.0, max(0.0, quality)), weights)


def level_of(quality: float, num_classes: int) -> int:
    """The level that a quality falls into: as many equal steps from 0 to 1 as there are levels."""
    return min(num_classes - 1, int(quality * num_classes))


def accuracy_level(reading: Reading, rubric: Rubric, dimension: str) -> int:
    """The level of a text's figures: the rubric's own (``known_edits.figures``) where it gives them for this
    dimension, else a ladder over its levels."""
    top = rubric.num_classes - 1
    checked = reading.checked
    wrong, slips = len(reading.wrong), len(reading.slips)
    given = rubric.known_edits.figures if rubric.known_edits else None
    if given is not None and given.dimension == dimension:
        found = given.level(wrong, slips, checked)
        level = top if found is None else found
    else:
        level = round(_accuracy_quality(wrong, slips, checked) * top)
    # Without statements little can be checked, whatever the text says; then all its figures count.
    told = checked if reading.result.evidence == "facts" else reading.numbers
    if told == 0:
        return 0
    return min(level, round(MIDDLE * top)) if told <= FEW_FIGURES else level


def _accuracy_quality(wrong: int, slips: int, checked: int) -> float:
    if 2 * wrong > checked:
        return 0.0
    for count, quality in _WRONG_LADDER:
        if wrong >= count:
            return quality
    return _SLIP if slips else 1.0
