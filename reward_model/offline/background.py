"""A framework's background text as causes: which of its clauses explains which movement.

A clause is used for a movement only if its words fit the direction (``words/causes.yaml``): 降价 explains a
falling gross margin, never a rising one. Clauses of an earlier year explain nothing of this one.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field
from functools import cache

from reward_model.offline.material import material

_SENTENCE = re.compile(r"[。！？；;\n]+")
_CLAUSE = re.compile(r"[，,]")
_YEAR = re.compile(r"(20\d\d)年?")
_LEADING = re.compile(
    r"^(?:但|并且|并|而且|而|且|同时|此外|另外|其中|随后|因此|同期|同年|年内|当年|全年|本年|下半年|上半年|也|又|则|叠加)+[，,]?"
)
_CONTRAST = re.compile(r"^(.{1,5}?)[则也却](?=[^\s])")
_UNFIT = re.compile(r"[“”（）()？?]|\d|少有|已无|不再|未能")
"""Quotes that a clause may cut in two, figures that nothing here can check, and what did not happen."""
_SHORTEST, _LONGEST = 5, 32


@dataclass(frozen=True)
class Clause:
    """One clause and the year it is told of; None where it names none."""

    text: str
    year: int | None


def clauses(background: str) -> list[Clause]:
    """The clauses of ``background`` that can stand alone, in its order."""
    found = []
    for sentence in _SENTENCE.split(background):
        year: int | None = None
        for part in _CLAUSE.split(sentence):
            text = part.strip()
            years = _YEAR.findall(text)
            if years:
                year = int(years[-1])
            text = _YEAR.sub("", text, count=1) if re.match(r"20\d\d年", text) else text
            text = _LEADING.sub("", text).strip(" 　：:")
            text = _CONTRAST.sub(r"\1", text)
            if _SHORTEST <= len(text) <= _LONGEST and not _UNFIT.search(text):
                found.append(Clause(text, year))
    return found


@cache
def _patterns() -> dict[tuple[str, str], re.Pattern[str]]:
    return {
        (topic, direction): re.compile("|".join(words))
        for topic, directions in material("causes")["causes"].items()
        for direction, words in directions.items()
    }


@dataclass
class Background:
    """The causes that a background text offers; each is told once.

    Args:
        text: the background.
        year: the year that the report is about.
        company: its name, which is not repeated at the beginning of a cause.
        rng: which of several fitting clauses is told.
    """

    text: str
    year: int
    company: str
    rng: random.Random
    used: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._clauses = clauses(self.text)

    def cause(self, topic: str, direction: str) -> str | None:
        """A clause that explains ``topic`` going 升 or 降; None if there is none left."""
        pattern = _patterns().get((topic, direction))
        if pattern is None:
            return None
        fits = [
            clause
            for clause in self._clauses
            if clause.text not in self.used
            and clause.year in (None, self.year)
            and pattern.search(clause.text)
        ]
        if not fits:
            return None
        dated = [clause for clause in fits if clause.year == self.year] or fits
        chosen = self.rng.choice(dated)
        self.used.add(chosen.text)
        return chosen.text.removeprefix(self.company)
