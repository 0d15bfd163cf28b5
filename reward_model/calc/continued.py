"""What goes on from the figure before: 「由A升至B」 of a share, 「（上年B）」, 「A→B→C」."""

from __future__ import annotations

import re

from reward_model.calc import words
from reward_model.calc.annotated import AnnotatedText
from reward_model.calc.binding import Binding, changed
from reward_model.calc.surroundings import Surroundings

BEFORE = re.compile(
    r"[，,]?[（(，,]?(?:而)?(?:明显|显著|略|远)?(?:高于|低于|好于|弱于|优于|不及|大于|小于|超过)?"
    r"(?:上年同期|去年同期|上年末|上年|去年|年初|期初|(?:19|20)\d\d年?末?)"
    r"(?:仅|只有|为|是|的|则为|约|同期)*[:：]?"
)
"""All that stands before a figure: it is the same of an earlier period."""


def continued(note: AnnotatedText, binding: Binding, here: Surroundings) -> Binding:
    """``binding``, or what the figure before claims, where this one goes on with it."""
    steps = note.arrows.get(here.index)
    if steps is not None:
        found = _on_arrows(note, binding, here, steps)
        if found is not None:
            return found
    previous, figure = here.previous, binding.figure
    if previous is None or here.inside or figure.kind != previous.figure.kind:
        return binding
    if previous.role in ("share", "ratio", "gap") and binding.role in ("level", "growth", "share", "times"):
        moved = words.FROM.search(previous.tail) and words.reached(here.tail)
        if moved and previous.period is not None:
            period = binding.period if binding.explicit else note.now
            return changed(previous, figure=figure, period=period, tail=here.tail)
    if BEFORE.fullmatch(here.left.strip()) and binding.period is not None and previous.role:
        return changed(
            previous, figure=figure, period=binding.period, explicit=True, base=None, tail=here.tail
        )
    return binding


def _on_arrows(note: AnnotatedText, binding: Binding, here: Surroundings, steps: int) -> Binding | None:
    """A figure with ``steps`` arrows behind it: the last one is this year's, each before a year earlier."""
    previous = here.previous
    if previous is not None and note.arrows.get(here.index - 1, -1) == steps + 1:
        return changed(
            previous,
            figure=binding.figure,
            period=previous.period.back(-1) if previous.period else None,
            explicit=steps == 0,
            tail="→",
        )
    if not steps:
        return None
    return changed(
        binding,
        period=note.now.back(steps),
        role=binding.role if binding.role in ("ratio", "share", "growth") else "level",
        explicit=False,
        firm=binding.firm and binding.figure.kind != "number",
        sign=0,
    )
