"""The embedded writer: golds composed from the fact sheet, degradations with known edits."""

from __future__ import annotations

import random
from collections.abc import Sequence

from reward_model.calc.check import check_text
from reward_model.offline.compose import compose
from reward_model.offline.degrading import degrade
from reward_model.rubric import Rubric
from reward_model.tasks import Draft, PairTask

MODEL = "offline-writer"
_TRIES = 4


class OfflineWriter:
    """Composes reports from a fact sheet by code, and degrades any text with edits that are recorded.

    Args:
        rubric: names severities in order and what each degradation targets.
        seed: of all choices, beside each task's own.
    """

    def __init__(self, rubric: Rubric, seed: int = 0) -> None:
        self.rubric = rubric
        self.seed = seed

    def _seed(self, task: PairTask, attempt: int, what: str) -> str:
        return f"{self.seed}:{task.seed}:{task.framework.id}:{task.quality_focus}:{attempt}:{what}"

    async def gold(self, task: PairTask, *, attempt: int = 0, feedback: Sequence[str] = ()) -> Draft:
        """A report in which the checker finds no wrong figure; another one for each ``attempt``."""
        named = ""
        for turn in range(_TRIES):
            rng = random.Random(self._seed(task, attempt, f"gold{turn}"))
            text = compose(task.framework, task.quality_focus, rng)
            wrong = check_text(text, task.framework.fact_sheet).wrong
            if not wrong:
                return Draft(text, MODEL)
            named = "、".join(claim.text for claim in wrong[:3])
        return Draft(None, MODEL, failure=f"the checker finds figures wrong in every wording tried: {named}")

    async def degraded(
        self, task: PairTask, gold: str, *, attempt: int = 0, feedback: Sequence[str] = ()
    ) -> Draft:
        """``gold`` made worse in the task's way; heavier severities of one seed do more of the same."""
        seed = self._seed(task, attempt, f"degraded:{task.degradation.name}")
        made = degrade(self.rubric, task.framework, task.degradation, task.severity, gold, seed)
        if not made.defects or made.text == gold:
            return Draft(
                None, MODEL, failure=f"nothing in the text that {task.degradation.name} could change"
            )
        return Draft(made.text, MODEL, defects=made.defects)
