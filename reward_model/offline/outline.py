"""Headings of a framework's outline: which topics each asks for, what the last one closes with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from reward_model.offline.material import material

NUMERALS = "一二三四五六七八九十"
FORMS = ("质询", "条件", "风险", "建议", "展望")
"""What a report can close with."""


@dataclass(frozen=True)
class Section:
    """One heading; ``closing`` is the form of the points that its text ends with, if it closes the report."""

    title: str
    topics: tuple[str, ...]
    named: int
    """How many of the topics, the first ones, the heading names itself."""
    closing: str | None = None


@dataclass(frozen=True)
class Focus:
    """What a report dwells on: factors of kinds and topics of statements, the closing, the layout."""

    kinds: Mapping[str, float]
    topics: Mapping[str, float]
    closing: str
    points: int
    table: float
    caliber: bool = False


def numeral(number: int) -> str:
    """1 to 一, 11 to 十一, 20 to 二十."""
    if number <= 10:
        return NUMERALS[number - 1]
    tens, ones = divmod(number, 10)
    return ("" if tens == 1 else NUMERALS[tens - 1]) + "十" + (NUMERALS[ones - 1] if ones else "")


def focus_of(name: str) -> Focus:
    """The focus that ``name`` means: by name, else by its words (``focus_words``), else a balanced one."""
    content = material("outline")
    known = next((key for key in content["focuses"] if key and key in name), None)
    if known is None:
        hits = {key: sum(word in name for word in words) for key, words in content["focus_words"].items()}
        best = max(hits, key=lambda key: hits[key])
        known = best if hits[best] else ""
    return Focus(**content["focuses"][known])


def closing_of(title: str, style: str, *, last: bool) -> str | None:
    """The form that a heading closes with; None for one that doesn't close."""
    content = material("outline")
    if not last:
        return None
    for form, words in content["closings"].items():
        if any(word in title for word in words):
            return str(form)
    return next((str(form) for word, form in content["styles"].items() if word in style), None)


@cache
def _topics(kind: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    entry: dict[str, Any] = material("outline")["bank" if kind == "bank" else "company"]
    return tuple((name, tuple(words)) for name, words in entry["topics"].items())


def _order(kind: str) -> list[str]:
    found: list[str] = material("outline")["bank" if kind == "bank" else "company"]["order"]
    return found


def sections(titles: Sequence[str], style: str, kind: str) -> list[Section]:
    """The sections of an outline for a "company", "property" or "bank".

    A topic that several headings name goes to the one whose word for it is longest, then to the first; topics
    that no heading names go to the headings without any, else to the section of their nearest neighbour.
    """
    wanted: dict[str, tuple[int, int, int]] = {}
    for index, given in enumerate(titles):
        title = _plain(given)
        for topic, words in _topics(kind):
            length, place = max(
                ((len(word), -title.find(word)) for word in words if word in title), default=(0, 0)
            )
            if length and (topic not in wanted or length > wanted[topic][0]):
                wanted[topic] = (length, index, -place)
    held: list[list[str]] = [[] for _ in titles]
    for topic in sorted(wanted, key=lambda topic: (wanted[topic][2], -wanted[topic][0])):
        held[wanted[topic][1]].append(topic)
    named = [len(topics) for topics in held]
    spare = [topic for topic in _order(kind) if topic not in wanted and topic != "总览"]
    # The last heading mostly closes, and holds points rather than topics.
    empty = [index for index, topics in enumerate(held[:-1]) if not topics]
    for place, topic in enumerate(spare):
        if empty:
            held[empty[place * len(empty) // len(spare)]].append(topic)
        else:
            held[_nearest(topic, held, kind)].append(topic)
    last = len(titles) - 1
    return [
        Section(title, tuple(held[index]), min(3, named[index]), closing_of(title, style, last=index == last))
        for index, title in enumerate(titles)
    ]


def _plain(title: str) -> str:
    """``title`` without phrases that hold a topic's word and don't name it: 投资建议 is on no investment."""
    for phrase in material("outline")["ignore"]:
        title = title.replace(phrase, phrase.removeprefix("投资"))
    return title


def _nearest(topic: str, held: Sequence[Sequence[str]], kind: str) -> int:
    order = _order(kind)
    at = order.index(topic)
    distances = {
        index: min(abs(order.index(other) - at) for other in topics if other in order)
        for index, topics in enumerate(held)
        if any(other in order for other in topics)
    }
    return min(distances, key=lambda index: distances[index]) if distances else 0
