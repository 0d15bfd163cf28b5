"""Features of a text's order: headings and what stands under them, contradictions, loose ends."""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise

from reward_model.offline.edits import Piece
from reward_model.offline.material import material
from reward_model.offline.reading import FIGURE, Reading, full, share, words


def order(reading: Reading) -> None:
    """Headings, conclusions, contradictions."""
    text = reading.text
    excluded = []
    for one, other in material("judge")["contradiction"]:
        found = (re.search(one, text), re.search(other, text))
        if found[0] and found[1]:
            excluded.append((found[0].group(), found[1].group()))
    hollow = [match.group() for match in words("nothing").finditer(text)]
    lines = [line for line in text.split("\n") if line.strip() and not line.lstrip().startswith("|")]
    unfinished = [
        part.text.strip()
        for part in reading.parts
        if part.role in ("sentence", "item")
        and len(part.text.strip()) > 8
        and words("unfinished").search(part.text)
    ]
    misplaced, titled = _misplaced(reading)
    repeated = _repeated(reading)
    opening = [line for line in lines[:4] if FIGURE.search(line)]
    headings = [part for part in reading.parts if part.role == "heading"]
    numbers = [_NUMERALS.find(match.group(1)) for part in headings if (match := _NUMBERED.match(part.text))]
    reading.values |= {
        "contradictions": full(len(excluded), 2),
        "hollow": full(len(hollow), 2),
        "unfinished": full(len(unfinished), 2),
        "misplaced": share(misplaced, titled),
        "repeated": full(repeated, 6),
        "concludes_first": float(any(words("concluding").search(line) for line in opening)),
        "headed": full(len(headings), 3) if reading.figured else 0.0,
        "switches": _switches(reading)[0],
        "returns": _switches(reading)[1],
        "dangling": full(_dangling(reading), 3),
        "covered": _covered(reading),
        "misnumbered": float(any(b != a + 1 for a, b in pairwise(numbers))),
    }
    reading.found |= {
        "contradictions": [f"{one}”与“{other}" for one, other in excluded[:2]],
        "hollow": list(dict.fromkeys(hollow))[:2],
        "unfinished": [line[-14:] for line in unfinished[:1]],
        "misplaced": _misplaced_titles(reading)[:2],
    }


_DANGLING = re.compile(r"(?:但|不过|其中|这(?!一?年)|另外|同时|此外|因此|所以|可见|由此|上述|该)")


def _subjects(text: str) -> frozenset[int]:
    return frozenset(
        i for i, names in enumerate(material("judge")["subjects"]) if any(name in text for name in names)
    )


def _switches(reading: Reading) -> tuple[float, float]:
    """How often the subject changes from a sentence with figures to the next, and how often it comes back."""
    told = [subjects for piece in reading.figured if (subjects := _subjects(piece.text))]
    if len(told) < 4:
        return 0.0, 0.0
    changes = sum(not (one & other) for one, other in pairwise(told))
    returns = 0
    for subject in range(len(material("judge")["subjects"])):
        places = [index for index, subjects in enumerate(told) if subject in subjects]
        returns += sum(b - a > 2 for a, b in pairwise(places))
    return changes / (len(told) - 1), full(returns / len(told), 1.5)


def _dangling(reading: Reading) -> int:
    """Paragraphs that begin as if something stood before them."""
    first: dict[int, Piece] = {}
    for part in reading.parts:
        first.setdefault(part.line, part)
    return sum(
        part.role == "sentence" and bool(_DANGLING.match(part.text.lstrip("- "))) for part in first.values()
    )


def _covered(reading: Reading) -> float:
    """Of the sentences with figures under headings that name a subject, the share that speak of it."""
    figured = {piece.start for piece in reading.figured}
    subjects: frozenset[int] = frozenset()
    hits = count = 0
    for part in reading.parts:
        if part.role == "heading":
            subjects = _subjects(part.text)
        elif subjects and part.start in figured:
            count += 1
            hits += bool(subjects & _subjects(part.text))
    return hits / count if count > 2 else 0.5


_NUMERALS = "一二三四五六七八九十"
_NUMBERED = re.compile(r"[#*\s（(]*([一二三四五六七八九十])[、）)]")


def _sections(reading: Reading) -> list[tuple[str, str]]:
    """(heading, sentences with figures below it)."""
    figured = {piece.start for piece in reading.figured}
    found: list[list[str]] = []
    for part in reading.parts:
        if part.role == "heading":
            found.append([part.text, ""])
        elif found and part.start in figured:
            found[-1][1] += part.text
    return [(title, body) for title, body in found]


def _heads(title: str, body: str) -> bool | None:
    """Whether ``body`` speaks of what ``title`` names; None where the title names nothing known."""
    named = [names for names in material("judge")["subjects"] if any(name in title for name in names)]
    if not named:
        return None
    return any(name in body for names in named for name in names)


def _misplaced_titles(reading: Reading) -> list[str]:
    return [title.strip("#* ") for title, body in _sections(reading) if body and _heads(title, body) is False]


def _misplaced(reading: Reading) -> tuple[int, int]:
    """(headings whose text speaks of something else, headings that could be judged)."""
    verdicts = [
        verdict for title, body in _sections(reading) if body and (verdict := _heads(title, body)) is not None
    ]
    return verdicts.count(False), len(verdicts)


def _repeated(reading: Reading) -> int:
    """How often a figure of one measure and period is told more than twice outside tables."""
    table = [part for part in reading.parts if part.role == "table"]
    told = Counter(
        (claim.metric, claim.period, claim.stated)
        for claim in reading.result.claims
        if claim.metric and not any(part.start <= claim.span[0] < part.end for part in table)
    )
    return sum(count - 2 for count in told.values() if count > 2)
