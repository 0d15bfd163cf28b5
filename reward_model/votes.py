"""What single judges said of a text: the votes behind a pair's levels, as far as they fit the rubric."""

from __future__ import annotations

from reward_model.rubric import Rubric
from reward_model.schema import PairRecord, Side

Shares = tuple[tuple[float, ...], ...]
"""[D, K]: for each dimension the share of its votes that each level got; an empty row where it has none."""


def votes(record: PairRecord, side: Side, dimension: str, num_classes: int) -> list[int]:
    """The usable levels that the single judgements gave; malformed or missing ones are passed over."""
    judgements = (record.scores.judgements if record.scores else None) or {}
    found = (judgement.get(dimension) for judgement in judgements.get(side, []))
    return [v for v in found if isinstance(v, int) and not isinstance(v, bool) and 0 <= v < num_classes]


def vote_shares(record: PairRecord, side: Side, rubric: Rubric) -> Shares | None:
    """How the votes on one side spread over the levels, dimensions in rubric order; None without a vote."""
    rows: list[tuple[float, ...]] = []
    for name in rubric.names:
        found = votes(record, side, name, rubric.num_classes)
        levels = range(rubric.num_classes) if found else ()
        rows.append(tuple(found.count(level) / len(found) for level in levels))
    return tuple(rows) if any(rows) else None
