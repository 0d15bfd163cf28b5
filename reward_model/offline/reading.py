"""A text as the embedded judge reads it: its pieces, its sentences with figures, the checker's findings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

from reward_model.calc.check import check_text
from reward_model.calc.result import CheckResult, Claim
from reward_model.offline.edits import Piece, pieces
from reward_model.offline.material import material
from reward_model.schema import FactSheet

LONGEST = 30_000
"""Characters of a text that are read; reports have about a thousand."""

_QUOTED = 24
_BESIDE = 2
_SHORTEST_REPEATED = 10
_BLANKS = re.compile(r"[ \t　]*\n\s*")
_NUMBER_FIRST = re.compile(r"[-+−－\d]")
SPACE = re.compile(r"\s+")
FIGURE = re.compile(r"\d(?:[\d,]*\d)?(?:\.\d+)?\s*(?:%|％|个百分点|亿|万|元|倍|天|次|pct|bp)")


@cache
def words(name: str) -> re.Pattern[str]:
    """The pattern of a list in ``words/judge.yaml``."""
    found = material("judge")[name]
    return re.compile("|".join(found) if isinstance(found, list) else found)


@dataclass
class Reading:
    """A text as the judge reads it.

    Attributes:
        text: as much of it as is read.
        result: the checker's findings.
        sentences: distinct sentences and points, in order.
        figured: those with figures.
        values: features by name, 0 to 1.
        found: what a feature found, in the text's words, where there is something to show.
    """

    text: str
    result: CheckResult
    parts: list[Piece] = field(default_factory=list)
    sentences: list[Piece] = field(default_factory=list)
    figured: list[Piece] = field(default_factory=list)
    values: dict[str, float] = field(default_factory=dict)
    found: dict[str, list[str]] = field(default_factory=dict)

    @property
    def checked(self) -> int:
        """How many figures were checked; one that is told again counts once."""
        return len(_told(claim for claim in self.result.claims if claim.verdict != "unverifiable"))

    @property
    def numbers(self) -> int:
        """How many figures there are; one that is told again counts once."""
        return len(_told(self.result.claims))

    @property
    def wrong(self) -> list[Claim]:
        """Figures that are materially wrong, one for each error."""
        return _errors([claim for claim in self.result.wrong if claim.severity != "minor"])

    @property
    def slips(self) -> list[Claim]:
        """Wrong units and other slight errors."""
        return _errors([claim for claim in self.result.wrong if claim.severity == "minor"])


def _told(claims: Iterable[Claim]) -> set[tuple[str | None, str | None, str]]:
    return {(claim.metric, claim.period, claim.text) for claim in claims}


def _errors(claims: Sequence[Claim]) -> list[Claim]:
    found: list[Claim] = []
    for claim in claims:
        # 由97.57%升至60.28%: that it didn't rise is the first figure's error told again.
        again = found and claim.span[0] - found[-1].span[1] <= _BESIDE and not _NUMBER_FIRST.match(claim.text)
        if not again:
            found.append(claim)
    return found


def _parted(found: list[Piece]) -> Iterator[Piece]:
    """The pieces; where one ends with another one whole, its beginning is a piece of its own.

    A sentence that breaks off stays unfinished when one that stands elsewhere is repeated behind it.
    """
    whole = {piece.text for piece in found if len(piece.text) >= _SHORTEST_REPEATED}
    lengths = sorted({len(text) for text in whole}, reverse=True)
    for piece in found:
        said = piece.text
        tail = next((n for n in lengths if n < len(said) and said[-n:] in whole), 0)
        if tail and piece.role in ("sentence", "item"):
            middle = piece.end - tail
            yield replace(piece, end=middle, text=said[:-tail])
            yield replace(piece, start=middle, text=said[-tail:])
        else:
            yield piece


def parse(text: str, facts: FactSheet | None) -> Reading:
    """A text's pieces and the checker's findings, without any feature."""
    # Empty lines and blanks at the ends of lines say nothing, so they must change nothing.
    text = _BLANKS.sub("\n", text[:LONGEST]).strip()
    reading = Reading(text, check_text(text, facts))
    seen: set[str] = set()
    for piece in _parted(list(pieces(text))):
        reading.parts.append(piece)
        key = SPACE.sub("", piece.text)
        if piece.role in ("sentence", "item") and key and key not in seen:
            seen.add(key)
            reading.sentences.append(piece)
            if FIGURE.search(piece.text):
                reading.figured.append(piece)
    return reading


def share(part: float, whole: float) -> float:
    """``part`` of ``whole``, 1 at most, 0 of nothing."""
    return min(1.0, part / whole) if whole else 0.0


def full(count: float, enough: float) -> float:
    """A count as a share of what is enough."""
    return min(1.0, count / enough)


def matching(reading: Reading, pattern: re.Pattern[str], pool: Sequence[Piece] | None = None) -> list[Piece]:
    """The sentences with figures, or those of ``pool``, that ``pattern`` is found in."""
    return [piece for piece in (reading.figured if pool is None else pool) if pattern.search(piece.text)]


def quoted(pieces_: Sequence[Piece]) -> list[str]:
    """The beginnings of the first two pieces."""
    return [piece.text.strip()[:_QUOTED] for piece in pieces_[:2]]
