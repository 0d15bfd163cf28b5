"""The order of a text undone: passages under wrong headings, conclusions that contradict one another."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

from reward_model.offline.edits import Piece, pieces
from reward_model.offline.material import material

_SHARE_OF_SENTENCES = 0.5
"""Of a text's sentences, moved to another paragraph at the heaviest."""


def _lines(text: str) -> list[tuple[str, bool, list[Piece]]]:
    """(line, whether it may be moved within, its pieces)."""
    by_line: dict[int, list[Piece]] = {}
    for piece in pieces(text):
        by_line.setdefault(piece.line, []).append(piece)
    return [
        (line, all(p.role in ("sentence", "item") for p in by_line.get(number, [])), by_line.get(number, []))
        for number, line in enumerate(text.split("\n"))
    ]


def disorder(text: str, share: float, rng: random.Random) -> tuple[str, list[dict[str, Any]]]:
    """``text`` out of order, ``share`` (0 to 1) of what can be done; and what was done.

    The figures stay: every sentence is kept, some twice.
    """
    lines = _lines(text)
    defects: list[dict[str, Any]] = []
    slots = [number for number, (line, movable, parts) in enumerate(lines) if movable and parts]
    bodies = {number: [part.text for part in lines[number][2]] for number in slots}
    prefix = {
        number: lines[number][0][: lines[number][2][0].start - _line_start(text, number)] for number in slots
    }
    _swap_paragraphs(slots, bodies, prefix, share, rng, defects)
    _move_sentences(slots, bodies, share, rng, defects)
    _contradict(slots, bodies, share, rng, defects)
    rebuilt = [
        prefix[number] + "".join(bodies[number]) if number in bodies else line
        for number, (line, _, _) in enumerate(lines)
    ]
    return "\n".join(rebuilt), defects


def _line_start(text: str, number: int) -> int:
    place = 0
    for _ in range(number):
        place = text.index("\n", place) + 1
    return place


def _swap_paragraphs(
    slots: Sequence[int],
    bodies: dict[int, list[str]],
    prefix: dict[int, str],
    share: float,
    rng: random.Random,
    defects: list[dict[str, Any]],
) -> None:
    """The leading paragraphs, then others, change places, so that headings don't fit."""
    if len(slots) < 2:
        return
    order = [slots[0], *rng.sample(list(slots[1:]), len(slots) - 1)]
    count = max(2, math.ceil(share * len(order)))
    moved = order[:count]
    was = [bodies[number] for number in moved]
    for number, body in zip(moved, was[1:] + was[:1], strict=True):
        bodies[number] = body
    defects.append(
        {
            "kind": "paragraphs misplaced",
            "was": "｜".join(body[0][:20] for body in was),
            "became": f"{count} 段错置",
            "count": count,
        }
    )


def _move_sentences(
    slots: Sequence[int],
    bodies: dict[int, list[str]],
    share: float,
    rng: random.Random,
    defects: list[dict[str, Any]],
) -> None:
    sentences = [
        (number, sentence) for number in slots for sentence in bodies[number] if sentence.endswith("。")
    ]
    rng.shuffle(sentences)
    for number, sentence in sentences[: math.floor(share * _SHARE_OF_SENTENCES * len(sentences))]:
        others = [other for other in slots if other != number]
        if not others or len(bodies[number]) < 2 or sentence not in bodies[number]:
            continue
        target = rng.choice(others)
        bodies[number].remove(sentence)
        bodies[target].insert(rng.randint(0, len(bodies[target]) - 1), sentence)
        defects.append({"kind": "sentence moved", "was": sentence, "became": sentence})


def _contradict(
    slots: Sequence[int],
    bodies: dict[int, list[str]],
    share: float,
    rng: random.Random,
    defects: list[dict[str, Any]],
) -> None:
    """Conclusions that exclude one another, references to nothing, repetitions, an end that isn't one."""
    content = material("disorder")
    good, bad = (
        rng.sample(content["good"], len(content["good"])),
        rng.sample(content["bad"], len(content["bad"])),
    )
    says = [sentence for pair in zip(good, bad, strict=False) for sentence in pair]
    for sentence in says[: 2 * max(1, round(share * len(good)))]:
        target = rng.choice(list(slots)) if slots else None
        if target is None:
            return
        bodies[target].insert(rng.randint(0, 1), sentence)
        defects.append({"kind": "contradiction", "was": "", "became": sentence})
    told = [(number, s) for number in slots for s in bodies[number] if s.endswith("。") and s not in says]
    for number, sentence in rng.sample(told, min(len(told), math.ceil(share * 3 - 0.5))):
        target = rng.choice(list(slots))
        said = rng.choice(content["nothing"][:2]) + sentence
        bodies[target].append(said)
        defects.append({"kind": "repetition", "was": sentence, "became": said, "line": number})
    if share > 0.9 and slots:
        end = rng.choice(content["unfinished"])
        bodies[slots[-1]].append(end)
        defects.append({"kind": "unfinished", "was": "", "became": end})
