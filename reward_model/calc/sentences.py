"""The sentences of a text, and the clause around a place in one."""

from __future__ import annotations

import re
from collections.abc import Iterator

SENTENCE_END = re.compile(r"[。！？!?\n]|(?<!\d)\.(?=\s)")
"""Ends a sentence: a full stop (no decimal point), or the end of a line."""
CLAUSE_END = re.compile(r"[，,。；;：:！？!?\n]")
"""Ends a clause."""

LONGEST_SENTENCE = 1500
"""Characters; what is longer is cut there, so that no text makes binding slow."""
CLAUSE_BEFORE = 40
"""Characters of a clause before a figure that are looked at."""


def sentences(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of each sentence; a line break ends one."""
    start = 0
    for end in SENTENCE_END.finditer(text):
        yield from _cut(start, end.end())
        start = end.end()
    yield from _cut(start, len(text))


def _cut(start: int, end: int) -> Iterator[tuple[int, int]]:
    while end - start > LONGEST_SENTENCE:
        yield start, start + LONGEST_SENTENCE
        start += LONGEST_SENTENCE
    if end > start:
        yield start, end


def clause_around(text: str, start: int, at: int, stop: int) -> str:
    """The clause that holds ``at``: from ``start`` at the earliest, to ``stop`` at the latest."""
    begin = start = max(start, at - CLAUSE_BEFORE)
    for found in CLAUSE_END.finditer(text, start, at):
        begin = found.end()
    end = CLAUSE_END.search(text, at, stop)
    return text[begin : end.start() if end else stop]
