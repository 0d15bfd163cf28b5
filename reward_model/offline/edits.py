"""Known edits: pieces of a text that become something else, with where they stand afterwards."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from reward_model.degrade.passages import sentences

_HEADING = re.compile(
    r"^\s*(?:#{1,6}\s|\*\*[^*]{1,40}\*\*\s*$|[一二三四五六七八九十]{1,3}、[^。；]{1,40}$|"
    r"（[一二三四五六七八九十]{1,3}）[^。；]{1,40}$|\d{1,2}[.．、]\s*[^。；，]{1,30}$)"
)
_ORDINAL = re.compile(r"(?:[第其][一二三四五六七八九十][，、：]|[一二三四五六七八九十]是)")
_ITEM = re.compile(r"^\s*(?:[-*•]\s+|\d{1,2}[.．、]\s*|[（(]\d{1,2}[）)])")


@dataclass(frozen=True)
class Edit:
    """``text[start:end]`` becomes ``became``; ``start == end`` puts it in."""

    start: int
    end: int
    became: str
    kind: str


@dataclass(frozen=True)
class Piece:
    """A sentence, a bullet or a heading and its offsets; ``line`` numbers the line that it stands in."""

    start: int
    end: int
    text: str
    line: int
    role: str
    """"heading", "table", "item" or "sentence"."""

    @property
    def at(self) -> int:
        """Where it begins behind an ordinal: 第一，, 一是."""
        mark = _ORDINAL.match(self.text)
        return self.start + (mark.end() if mark else 0)

    @property
    def is_point(self) -> bool:
        """Whether it is one of several points, in a list or behind an ordinal."""
        return self.role == "item" or (self.role == "sentence" and self.at > self.start)


def pieces(text: str) -> Iterator[Piece]:
    """The pieces of ``text`` in its order; an item of a list is one piece, without its mark."""
    place = 0
    for number, line in enumerate(text.split("\n")):
        if line.strip():
            yield from _of_line(line, place, number)
        place += len(line) + 1


def _of_line(line: str, place: int, number: int) -> Iterator[Piece]:
    if line.lstrip().startswith("|"):
        yield Piece(place, place + len(line), line, number, "table")
    elif _HEADING.match(line):
        yield Piece(place, place + len(line), line, number, "heading")
    else:
        mark = _ITEM.match(line)
        at = mark.end() if mark else 0
        if mark and len(sentences(line[at:])) == 1:
            yield Piece(place + at, place + len(line), line[at:], number, "item")
            return
        for sentence in sentences(line[at:]):
            yield Piece(place + at, place + at + len(sentence), sentence, number, "sentence")
            at += len(sentence)


@dataclass(frozen=True)
class Made:
    """An edit as it was made: what stood there, and where it stands in the new text."""

    edit: Edit
    was: str
    span: tuple[int, int]

    def record(self) -> dict[str, Any]:
        """As ``Draft.defects`` takes it."""
        return {
            "kind": self.edit.kind,
            "was": self.was,
            "became": self.edit.became,
            "span": list(self.span),
        }


def apply(text: str, edits: Iterable[Edit]) -> tuple[str, list[Made]]:
    """``text`` with ``edits`` made. Of edits that overlap the first counts."""
    parts: list[str] = []
    made: list[Made] = []
    place = length = 0
    for edit in sorted(edits, key=lambda edit: (edit.start, edit.end)):
        if edit.start < place:
            continue
        parts += [text[place : edit.start], edit.became]
        length += edit.start - place
        made.append(Made(edit, text[edit.start : edit.end], (length, length + len(edit.became))))
        length += len(edit.became)
        place = edit.end
    return "".join([*parts, text[place:]]), made


def first(edits: Sequence[Edit], share: float) -> list[Edit]:
    """The first ``share`` of ``edits``, rounded up: more of them for more, and the same ones."""
    return list(edits[: math.ceil(share * len(edits))])


def tidy(text: str) -> str:
    """Without lines and marks that edits have emptied."""
    lines = [line.rstrip() for line in text.split("\n")]
    kept = [
        line
        for line in lines
        if not line or not re.fullmatch(r"\s*(?:[-*•]|\d{1,2}[.．、]|[（(]\d{1,2}[）)])?\s*", line)
    ]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip()
