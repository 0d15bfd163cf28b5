"""Which pairs to write: quotas over focuses, degradations, severities and models, as even as can be."""

from __future__ import annotations

import hashlib
import math
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from reward_model.errors import InputError
from reward_model.rubric import Degradation, Rubric
from reward_model.tasks import Framework, PairTask


@dataclass(frozen=True)
class Slot:
    """A place in the data set, to be filled by the first pair that passes.

    Attributes:
        field: the industry.
        number: of the slot within its field, from 0.
        model: who writes.
        tasks: what to write, one after the other until a pair passes: the same cell with another framework.
    """

    field: str
    number: int
    model: str
    tasks: tuple[PairTask, ...]

    @property
    def id(self) -> str:
        """Of the pair that fills it."""
        return self.tasks[0].id


def plan_slots(
    frameworks: Sequence[Framework],
    rubric: Rubric,
    models: Mapping[str, float],
    per_field: int,
    *,
    tries: int = 1,
    seed: int = 0,
) -> Iterator[Slot]:
    """The slots of a run, in order; the fields take turns, so that a run cut short has some of each.

    Every combination of focus and degradation comes once before any comes twice, over all fields, and
    any beginning of the plan is balanced in both. Severities are spread over degradations, models by weight.

    Args:
        frameworks: of all fields; those of a field are used in turn.
        rubric: has the focuses, degradations and severities.
        models: name to weight.
        per_field: slots of each field.
        tries: tasks a slot.
        seed: of the orders and of the tasks' own seeds.

    Raises:
        InputError: a rubric without focuses, degradations or severities.
    """
    for name in ("quality_focuses", "degradations", "severities"):
        if not getattr(rubric, name):
            raise InputError(f"rubric {rubric.name}: {name} is empty, so no pair can be planned; fill it in")
    by_field: dict[str, list[Framework]] = {}
    for framework in frameworks:
        by_field.setdefault(framework.field, []).append(framework)
    cells = _cells(rubric, models, seed)
    for number in range(per_field):
        for place, (field, own) in enumerate(by_field.items()):
            focus, degradation, severity, model = next(cells)
            first = f"{place + 1:02d}-{number + 1:05d}"
            task = PairTask(first, own[number % len(own)], focus, degradation, severity)
            yield Slot(
                field,
                number,
                model,
                tuple(
                    replace(
                        task,
                        id=first if not turn else f"{first}.{turn + 1}",
                        framework=own[(number + turn) % len(own)],
                        seed=_seed(seed, field, number, turn),
                    )
                    for turn in range(tries)
                ),
            )


def _cells(
    rubric: Rubric, models: Mapping[str, float], seed: int
) -> Iterator[tuple[str, Degradation, str, str]]:
    rng = random.Random(f"plan:{seed}")
    focuses = rng.sample(rubric.quality_focuses, len(rubric.quality_focuses))
    degradations = rng.sample(rubric.degradations, len(rubric.degradations))
    severities = rng.sample(rubric.severities, len(rubric.severities))
    names = rng.sample(sorted(models), len(models))
    turn = math.lcm(len(focuses), len(degradations))
    seen: Counter[tuple[str, ...]] = Counter()
    number = 0
    while True:
        # Diagonals of the grid: each focus and each degradation once in a row, every combination once in all.
        step = number % (len(focuses) * len(degradations))
        focus = focuses[step % len(focuses)]
        degradation = degradations[(step + step // turn) % len(degradations)]
        kind = degradation.name
        severity = min(severities, key=lambda s: (seen["s", kind, s], seen["s", s]))
        model = min(
            names,
            key=lambda m: (
                (seen["m", m] + 1) / models[m],
                seen["m", m, kind],
                seen["m", m, severity],
            ),
        )
        for key in (("s", kind, severity), ("s", severity), ("m", model), ("m", model, kind)):
            seen[key] += 1
        seen["m", model, severity] += 1
        yield focus, degradation, severity, model
        number += 1


def _seed(seed: int, field: str, number: int, turn: int) -> int:
    """A seed of 31 bits, which every endpoint takes."""
    digest = hashlib.sha256(f"{seed}|{field}|{number}|{turn}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1
