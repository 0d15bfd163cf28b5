"""What prompts are filled with: the rubric as plain values, and texts fenced off so that they stay texts."""

from __future__ import annotations

import hashlib
import math
import re
from typing import Any

from reward_model.rubric import Degradation, Dimension, Rubric

STRENGTHS = ("light", "medium", "heavy")
_AIM = {"light": 2 / 3, "medium": 0.4, "heavy": 0.15}
"""Share of the top level that a degradation of this strength aims at, on average over the corpus's pairs."""
_FENCE_LIKE = re.compile(r"<{3,}|>{3,}")


def dimension_values(dimension: Dimension) -> dict[str, Any]:
    """A dimension as templates see it; ``levels`` from worst to best, ``best`` the last one's text."""
    return {
        "name": dimension.name,
        "title": dimension.title,
        "description": dimension.description,
        "levels": [{"level": level, "text": text} for level, text in enumerate(dimension.levels)],
        "best": dimension.levels[-1],
    }


def strength_of(severity: str, rubric: Rubric) -> str:
    """Where a severity stands on the rubric's ladder, in thirds; a severity that it lacks is medium."""
    if severity not in rubric.severities:
        return "medium"
    place, steps = rubric.severities.index(severity), len(rubric.severities)
    return STRENGTHS[min(2, 3 * (2 * place + 1) // (2 * steps))]


def degradation_values(degradation: Degradation, severity: str, rubric: Rubric) -> dict[str, Any]:
    """What templates of degradations see of the rubric."""
    target = next(item for item in rubric.dimensions if item.name == degradation.target)
    strength = strength_of(severity, rubric)
    aim = math.floor(_AIM[strength] * (rubric.num_classes - 1) + 0.5)
    return {
        "degradation": degradation.name,
        "description": degradation.description,
        "severity": severity,
        "strength": strength,
        "target": {"name": target.name, "title": target.title, "description": target.description},
        "levels": dimension_values(target)["levels"],
        "aim": target.levels[aim],
    }


def figure_dimension(rubric: Rubric) -> str | None:
    """The dimension that wrong figures lower: the rubric's ``known_edits`` says, else one named accuracy."""
    if rubric.known_edits is not None and rubric.known_edits.figures is not None:
        return rubric.known_edits.figures.dimension
    return "accuracy" if "accuracy" in rubric.names else None


def sound(text: str) -> str:
    """A model's words as text that can be written: half surrogate pairs, which JSON allows, become "?"."""
    return text.encode("utf-8", "replace").decode("utf-8")


def fenced(text: str, label: str = "REPORT") -> tuple[str, str]:
    """(fence, text in which neither the fence nor anything like its brackets stands).

    The fence comes from the text's hash: the same for the same text, so that a rerun asks the same, and not
    to be guessed by whoever wrote the text, who would have to know the hash of what holds it.
    """
    fence = f"{label}-{hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()[:16]}"
    # Full-width brackets look alike and mean nothing to the prompt.
    inside = _FENCE_LIKE.sub(lambda match: match[0].replace("<", "＜").replace(">", "＞"), text)
    return fence, inside.replace(fence, fence.replace("-", "－"))
