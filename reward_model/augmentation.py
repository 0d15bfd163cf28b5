"""More training texts out of the same ones: known edits, with the levels that the rubric gives to them.

A text keeps its level where an edit says nothing about a dimension only if the edit changes nothing at all
there (padding); otherwise the dimension is left out of the loss.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from reward_model.calc.check import check_text
from reward_model.config import EDIT_KINDS
from reward_model.degrade import passages, phrases
from reward_model.degrade.figures import corrupt_figures
from reward_model.evidence import find_facts
from reward_model.rubric import FigureLevels, KnownEdits, Rubric
from reward_model.samples import IGNORED, GradedText

FEWEST_FIGURES = 8
"""A text with fewer checked figures has no room for errors of every level."""
CUT = 0.25
PADDINGS = ("keywords", "praise", "plea", "repetition", "blank")


def pad(text: str, kind: str, seed: int) -> str:
    """``text`` longer by one of :data:`PADDINGS`, and no better."""
    rng = random.Random(f"pad:{kind}:{seed}")
    if kind == "repetition":
        return passages.repeat_sentences(text, rng.choice((0.2, 0.5, 1.0)), seed)
    if kind == "blank":
        return passages.blank_lines(text, seed)
    pool = {"keywords": phrases.KEYWORDS, "praise": phrases.PRAISE, "plea": phrases.PLEAS}[kind]
    return passages.insert_phrases(text, rng.sample(pool, rng.randint(1, len(pool))), seed)


def augmented(
    texts: Sequence[GradedText],
    rubric: Rubric,
    kinds: Collection[str] = EDIT_KINDS,
    *,
    share: float = 10.0,
    seed: int = 0,
) -> list[GradedText]:
    """The texts made from ``texts`` by edits of ``kinds``, of :data:`reward_model.config.EDIT_KINDS`.

    Edited texts belong to their original's group and to no pair, and say what they were made from. The levels
    that edits lead to are the rubric's ``known_edits``; what it does not name is not made.
    Of each kind at most ``share`` times as many as ``texts`` are kept, drawn by ``seed``.
    """
    made: dict[str, list[GradedText]] = {kind: [] for kind in kinds}
    for text in texts:
        for kind, new in _made_from(
            text, rubric, kinds, random.Random(f"{seed}:{text.text}").randrange(2**31)
        ):
            made[kind].append(new)
    most = max(1, round(share * len(texts)))
    return [new for kind in made for new in _some(made[kind], most, seed)]


def _some(texts: list[GradedText], most: int, seed: int) -> list[GradedText]:
    """At most so many of ``texts``, in their order."""
    if len(texts) <= most:
        return texts
    return [texts[index] for index in sorted(random.Random(seed).sample(range(len(texts)), most))]


def _made_from(
    text: GradedText, rubric: Rubric, kinds: Collection[str], seed: int
) -> Iterator[tuple[str, GradedText]]:
    known = rubric.known_edits or KnownEdits()
    if known.figures is not None and "figures" in kinds:
        for made in _with_wrong_figures(text, rubric, known.figures, seed):
            yield "figures", made
    for name, levels in (("shuffled", known.shuffled), ("cut", known.first_quarter)):
        # Of a poor text, out of order or cut short, nobody knows how much poorer it is.
        if name in kinds and levels and text.side != "rejected":
            edited = (
                passages.shuffle_sentences(text.text, seed)
                if name == "shuffled"
                else passages.first_part(text.text, CUT)
            )
            labels = tuple(
                min(label, levels[dim]) if dim in levels and label != IGNORED else IGNORED
                for dim, label in zip(rubric.names, text.labels, strict=True)
            )
            yield name, _variant(text, name, edited, labels)
    if "padding" in kinds:
        kind = random.Random(f"kind:{seed}").choice(PADDINGS)
        yield "padding", _variant(text, kind, pad(text.text, kind, seed), text.labels)


def _with_wrong_figures(
    text: GradedText, rubric: Rubric, levels: FigureLevels, seed: int
) -> Iterator[GradedText]:
    """Texts with wrong figures made from one that has none."""
    at = rubric.names.index(levels.dimension)
    facts = find_facts(text.facts, text.prompt)
    if facts is None or text.labels[at] != rubric.num_classes - 1:
        return
    found = check_text(text.text, facts)
    if found.wrong or found.summary.checked < FEWEST_FIGURES:
        return
    rng = random.Random(f"figures:{seed}")
    # Texts with one or two errors are many, and how grave one is decides between two levels: a judge can
    # tell, code can't. What the data lacks is texts that are wrong throughout.
    many = rng.randint(
        min(levels.wrong_from, found.summary.checked), max(levels.wrong_from, found.summary.checked // 2)
    )
    most = min(found.summary.checked, round(found.summary.checked * rng.uniform(0.55, 0.9)))
    for wrong in (many, most):
        made = corrupt_figures(text.text, facts, wrong=wrong, seed=seed)
        count = len(made.edits)
        if not count:
            continue
        level = levels.level(count, 0, made.checked)
        assert level is not None  # there are edits
        labels = tuple(level if index == at else IGNORED for index in range(len(text.labels)))
        yield _variant(text, f"figures{count}", made.text, labels)


def _variant(text: GradedText, name: str, edited: str, labels: tuple[int, ...]) -> GradedText:
    return replace(
        text,
        id=f"{text.id}~{name}",
        text=edited,
        labels=labels,
        pair=None,
        side=None,
        votes=text.votes if labels == text.labels else None,
        made_from=text.id,
    )
