"""Metrics, and their names found in prose and in the lines of statements."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from reward_model.calc.formula import parse_expression

MAX_LENGTH = 60
"""Characters of a name."""

# What statements print before and behind the name of a line: 减：营业成本, 一、营业收入（亿元）
_BEFORE = re.compile(
    r"(?:[一二三四五六七八九十]{1,3}、|[（(][一二三四五六七八九十\d]{1,3}[）)]|\d{1,2}[.、]|[减加][:：]|其中[:：])+"
)
_BEHIND = re.compile(r"(?:[（(][^（）()]{0,20}[）)]|[:：*])+$")
_LATIN = re.compile(r"[A-Za-z0-9_]")
_FULL_WIDTH = str.maketrans({chr(code): chr(code + 0xFEE0) for code in range(0x21, 0x7F)})


@dataclass(frozen=True, slots=True)
class Variant:
    """One accepted formula; ``name`` says what sets it apart ("平均余额，365天"), "" if there is one only."""

    name: str
    expression: str

    @property
    def names(self) -> frozenset[str]:
        """The metrics that it is over."""
        return parse_expression(self.expression).names

    @property
    def stand_in(self) -> bool:
        """Whether it is only what another metric is called where a statement lacks this one."""
        return self.names == {self.expression.strip(" '\"")}


@dataclass(frozen=True, slots=True)
class Metric:
    """Something that reports give figures of.

    Attributes:
        name: the canonical one, as fact sheets write it.
        kind: "money", "percent", "days", "turns", "multiple" or "count".
        names: the canonical name and all synonyms, longest first.
        stock: a balance at a date, not a flow.
        variants: the accepted formulas, the usual one first; none where only a statement can tell.
        cost: more is worse.
        tolerance: how far off a stated value may be beyond rounding, in ``unit``.
        unit: the base unit of values: "元", "%", "天" ...; "" for counts of anything.
    """

    name: str
    kind: str
    names: tuple[str, ...]
    stock: bool
    variants: tuple[Variant, ...]
    cost: bool = False
    tolerance: float = 0.0
    unit: str = ""

    def __hash__(self) -> int:
        # Of its name alone: metrics are keys of what is computed, and their formulas are long.
        return hash(self.name)


@dataclass(frozen=True, slots=True)
class Mention:
    """A metric's name in a text: ``text[start:end]``."""

    start: int
    end: int
    metric: Metric


@dataclass(frozen=True)
class Rules:
    """All metrics by canonical name, and the phrases that hold a name but aren't one."""

    metrics: Mapping[str, Metric]
    stop: frozenset[str] = frozenset()

    @cached_property
    def _phrases(self) -> dict[str, Metric | None]:
        """Every spelling to look for; None for those to pass over."""
        phrases: dict[str, Metric | None] = {}
        for metric in self.metrics.values():
            for name in metric.names:
                phrases.update(dict.fromkeys(_spellings(name), metric))
        for name in self.stop:
            phrases.update(dict.fromkeys(_spellings(name)))
        return phrases

    @cached_property
    def _lengths(self) -> dict[str, tuple[int, ...]]:
        """The lengths, longest first, of the phrases that begin with two characters."""
        lengths: dict[str, set[int]] = {}
        for phrase in self._phrases:
            lengths.setdefault(phrase[:2], set()).add(len(phrase))
        return {begin: tuple(sorted(found, reverse=True)) for begin, found in lengths.items()}

    @cached_property
    def _by_key(self) -> dict[str, Metric]:
        return {
            _key(name): metric for metric in self.metrics.values() for name in (metric.name, *metric.names)
        }

    def canonical(self, name: str) -> Metric | None:
        """The metric of a statement's line: 营业成本 for "减：营业成本（万元）". None if unknown."""
        if len(name) > 4 * MAX_LENGTH:
            return None
        key = _key(name)
        return self._by_key.get(key) or self._by_key.get(_BEHIND.sub("", _BEFORE.sub("", key, count=1)))

    @cached_property
    def _firsts(self) -> frozenset[str]:
        """The characters that phrases begin with."""
        return frozenset(begin[0] for begin in self._lengths if begin)

    def find(self, text: str) -> list[Mention]:
        """Every name in ``text``, in order and not overlapping: the leftmost, of those the longest."""
        phrases, lengths_of, firsts = self._phrases, self._lengths, self._firsts
        found: list[Mention] = []
        end = 0
        for start, first in enumerate(text):
            # Most characters begin no name: one look-up each must do.
            if first not in firsts or start < end:
                continue
            lengths = lengths_of.get(text[start : start + 2])
            if lengths is None:
                continue
            for length in lengths:
                phrase = text[start : start + length]
                if phrase in phrases and _stands_alone(text, start, start + len(phrase)):
                    end = start + len(phrase)
                    metric = phrases[phrase]
                    if metric is not None:
                        found.append(Mention(start, end, metric))
                    break
        return found


def _spellings(name: str) -> Iterator[str]:
    """``name`` as it may be typed: words in either case (abbreviations as they are), full-width letters."""
    yield name
    if name.isascii():
        yield name.translate(_FULL_WIDTH)
    if any("a" <= char <= "z" for char in name):
        yield name.lower()
        yield " ".join(word[:1].upper() + word[1:] for word in name.split(" "))


def _key(name: str) -> str:
    return "".join(name.split()).strip("*").casefold()


def _stands_alone(text: str, start: int, end: int) -> bool:
    """Whether no Latin word goes on to the left or right: ROE in "ROE达" and "ROE12%", not in "HEROES"."""
    if start and text[start] < "\x80" and _LATIN.match(text, start - 1):
        return False
    after = _LATIN.match(text, end) if text[end - 1] < "\x80" else None
    return after is None or after[0].isdigit()
