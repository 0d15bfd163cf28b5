"""Graded texts as training, evaluation and the baselines see them, and splits that leak nothing."""

from __future__ import annotations

import hashlib
import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path

from reward_model.errors import InputError
from reward_model.jsonl import shown
from reward_model.rubric import Rubric
from reward_model.schema import SIDES, FactSheet, Located, PairRecord, ReportRecord
from reward_model.votes import Shares, vote_shares

IGNORED = -100
"""The label of a dimension that has none; the loss and every metric pass it over."""

GUIDE_DATA = Path("reward_model/data/comparison_pairs_scored.jsonl")
"""Where the guide's data generation leaves scored pairs, relative to the working directory."""


@dataclass(frozen=True)
class GradedText:
    """One text with its levels.

    Attributes:
        id: the record's own id or its line number, with ".chosen" or ".rejected" for a side of a pair.
        labels: a level a dimension in rubric order; ``IGNORED`` where there is none.
        pair: the pair it belongs to (same value for both sides), or None.
        side: "chosen", "rejected", or None.
        group: texts of one group must stay on one side of any split.
        slices: what the text is counted under: industry, degradation, severity, writer.
        facts: the statements behind it.
        votes: how the judges' votes spread over the levels, [D, K] with an empty row where a dimension has
            none; None where none is known. Whoever gives a text other labels must give it other votes.
        made_from: the id of the text that it was made from by known edits; None for a text that was graded.
    """

    id: str
    text: str
    labels: tuple[int, ...]
    group: str
    prompt: str | None = None
    pair: str | None = None
    side: str | None = None
    slices: dict[str, str] = field(default_factory=dict)
    facts: FactSheet | None = None
    votes: Shares | None = None
    made_from: str | None = None


def file_hash(path: str | Path) -> str:
    """SHA-256 of a data file, in hex."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def text_key(text: str) -> str:
    """Short hash of a text, by which evaluation finds out whether the model was trained on it."""
    return hashlib.sha256(text.strip().encode("utf-8")).hexdigest()[:16]


def corpus_path() -> Path:
    """The graded pairs that come with the package."""
    return Path(str(resources.files("reward_model") / "corpus" / "pairs_scored.jsonl"))


def default_data() -> tuple[Path, str]:
    """The data to use where none is named, and a phrase that says which it is."""
    if GUIDE_DATA.is_file():
        return GUIDE_DATA, f"{GUIDE_DATA} (found in the working directory)"
    return corpus_path(), f"the corpus that comes with the package, as there is no {GUIDE_DATA}"


def _levels(scores: dict[str, int | None], rubric: Rubric) -> tuple[int, ...]:
    return tuple(IGNORED if (level := scores.get(name)) is None else level for name in rubric.names)


def soft_levels(text: GradedText, num_classes: int) -> list[list[float]]:
    """What to learn of a text, [D, K]: the spread of its votes, or all on its label where there are none.

    A dimension without a label stays without: zeros.
    """
    rows = []
    for dimension, label in enumerate(text.labels):
        shares = text.votes[dimension] if text.votes is not None else ()
        if label == IGNORED or not shares:
            rows.append([float(level == label) for level in range(num_classes)])
        else:
            rows.append(list(shares))
    return rows


def _texts_of(located: Located, rubric: Rubric) -> Iterator[GradedText]:
    record = located.record
    metadata = record.metadata
    slices = {
        "industry": metadata.field,
        "writer": metadata.model,
        "degradation": metadata.defect_metadata.degradation_type,
        "severity": metadata.defect_metadata.severity,
    }
    known = {key: value for key, value in slices.items() if value}
    if isinstance(record, PairRecord):
        name = str(metadata.id if metadata.id is not None else located.line)
        for side in SIDES:
            yield GradedText(
                id=f"{name}.{side}",
                text=record.text(side),
                labels=_levels(record.labels(side), rubric),
                group=f"line {located.line}",
                prompt=record.prompt,
                # A line number can't repeat; an id in somebody's file can.
                pair=f"{name}@{located.line}",
                side=side,
                slices=known,
                facts=metadata.fact_sheet,
                votes=vote_shares(record, side, rubric),
            )
        return
    assert isinstance(record, ReportRecord)
    yield GradedText(
        id=str(record.id if record.id is not None else located.line),
        text=record.text,
        labels=_levels(record.scores or {}, rubric),
        group=f"line {located.line}",
        prompt=record.prompt,
        slices=known,
        facts=record.facts,
    )


def graded_texts(records: Iterable[Located], rubric: Rubric) -> list[GradedText]:
    """All texts of ``records`` (two a pair) with their groups.

    Records that share a text or a prompt share a group: a gold text and all its degradations, and everything
    that was written to one framework, which holds one company's figures.
    """
    texts = [text for located in records for text in _texts_of(located, rubric)]
    parent = {text.group: text.group for text in texts}

    def root(group: str) -> str:
        while parent[group] != group:
            parent[group] = parent[parent[group]]
            group = parent[group]
        return group

    owner: dict[tuple[str, str], str] = {}
    for text in texts:
        keys = [("text", text.text.strip())]
        if text.prompt and text.prompt.strip():
            keys.append(("prompt", text.prompt.strip()))
        for key in keys:
            first = owner.setdefault(key, text.group)
            parent[root(text.group)] = root(first)
    return [replace(text, group=root(text.group)) for text in texts]


def pairs_of(texts: Sequence[GradedText]) -> list[tuple[int, int]]:
    """Indices (chosen, rejected) of every pair that has both sides among ``texts``."""
    sides: dict[str, dict[str, int]] = defaultdict(dict)
    for index, text in enumerate(texts):
        if text.pair is not None and text.side is not None:
            sides[text.pair][text.side] = index
    return [(found["chosen"], found["rejected"]) for found in sides.values() if len(found) == 2]


def split_groups(
    texts: Sequence[GradedText], fraction: float, seed: int
) -> tuple[list[GradedText], list[GradedText]]:
    """Split into (rest, held out) by group; about ``fraction`` of the groups, at least one, is held out.

    Raises:
        InputError: if there are fewer than two groups.
    """
    groups = sorted({text.group for text in texts})
    if len(groups) < 2:
        raise InputError("the data holds fewer than two independent groups; add records or name --eval-data")
    random.Random(seed).shuffle(groups)
    held = set(groups[: min(len(groups) - 1, max(1, round(fraction * len(groups))))])
    return [t for t in texts if t.group not in held], [t for t in texts if t.group in held]


def leave_one_out(
    texts: Sequence[GradedText], by: str
) -> Iterator[tuple[str, list[GradedText], list[GradedText]]]:
    """Yield (value, rest, held out) for each value of the slice ``by``, such as "writer" or "industry".

    Texts of a held-out text's group leave the rest too, so that no group crosses the split.

    Raises:
        InputError: if fewer than two values are there to leave out, or leaving one out leaves nothing.
    """
    values = sorted({text.slices[by] for text in texts if text.slices.get(by)})
    if len(values) < 2:
        raise InputError(f"the data names fewer than two values of {by}; choose another grouping")
    for value in values:
        held = [text for text in texts if text.slices.get(by) == value]
        groups = {text.group for text in held}
        rest = [text for text in texts if text.group not in groups]
        if not rest:
            raise InputError(
                f"without {by} {shown(value)} nothing is left, as all other texts share a prompt or a text "
                "with it; choose another grouping"
            )
        yield value, rest, held
