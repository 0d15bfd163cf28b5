"""Where a figure stands: the words before and behind it, and what its sentence carries to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from reward_model.calc import words
from reward_model.calc.annotated import OPENING_BRACKETS, AnnotatedText
from reward_model.calc.binding import Binding
from reward_model.calc.book import Period
from reward_model.calc.figures import Figure
from reward_model.calc.rules import Mention, Metric

EQUALS = ("=", "＝")


@dataclass
class Carried:
    """What goes from one figure to the next inside a sentence.

    Attributes:
        metric: the last one that a figure was bound to.
        subject: its name, or the words in its place.
        narrowed: the words before its name make it another's.
        period: the one that the sentence opened with.
        role: the last figure's.
        firm: whether it was bound firmly.
        origin: when what moves began to (由2022年的A).
        base: what changes are against.
        queue: (metric, period) of the figures to come in a list.
        queue_kind: their kind.
        apart: 分别 announced the list.
        seen: (metric, role) of the last figures.
        against: the period of a level that what follows is compared with (较2023年的A增长).
    """

    metric: Metric | None = None
    subject: str = ""
    narrowed: bool = False
    period: Period | None = None
    role: str = ""
    firm: bool = True
    origin: Period | None = None
    base: Period | None = None
    queue: list[tuple[Metric | None, Period | None]] = field(default_factory=list)
    queue_kind: str = ""
    apart: bool = False
    seen: list[tuple[Metric, str]] = field(default_factory=list)
    against: Period | None = None


@dataclass
class Surroundings:
    """A figure and what stands around it.

    Attributes:
        index: of the figure in its text.
        figure: the figure.
        start: where the words before it begin: behind the last figure of its segment.
        left: those words.
        inside: the metrics' names among them.
        mention: the name that is the figure's, the last one as a rule; None if there is none.
        tail: the words between that name and the figure (all of ``left`` without a name).
        rest: what is left of ``tail`` without glue and periods.
        behind: the words behind the figure, up to the next.
        previous: what the figure before claims; None at the beginning of a segment.
        carried: what the sentence carries to it.
    """

    index: int
    figure: Figure
    start: int
    left: str
    inside: Sequence[Mention]
    mention: Mention | None
    tail: str
    rest: str
    behind: str
    previous: Binding | None
    carried: Carried


def surroundings_of(
    note: AnnotatedText, index: int, start: int, behind: str, previous: Binding | None, carried: Carried
) -> Surroundings:
    """What stands around the figure ``index``, whose own words begin at ``start``."""
    figure = note.figures[index]
    inside = note.mentions_in(start, figure.start)
    mention = inside[-1] if inside else None
    tail_start = mention.end if mention else start
    defined = _defined(note, inside, figure.start)
    if defined is not None:
        equation = note.text[defined.end] in EQUALS
        tail_start = inside[-1].end if equation else note.closing(defined.end, figure.start)
        inside, mention = inside[: inside.index(defined) + 1], defined
    tail = note.text[tail_start : figure.start]
    return Surroundings(
        index=index,
        figure=figure,
        start=start,
        left=note.text[start : figure.start],
        inside=inside,
        mention=mention,
        tail=tail,
        rest=words.residue(_without_periods(note, tail, tail_start)),
        behind=behind,
        previous=previous,
        carried=carried,
    )


def _defined(note: AnnotatedText, inside: Sequence[Mention], at: int) -> Mention | None:
    """The metric whose definition in brackets holds the last names: 净负债率（有息负债减货币资金 ...）."""
    for mention in reversed(inside[:-1]):
        opener = note.text[mention.end : mention.end + 1]
        if opener in EQUALS:
            return mention
        if opener in OPENING_BRACKETS:
            end = note.closing(mention.end, at)
            return mention if inside[-1].start < end <= at else None
    return None


def _without_periods(note: AnnotatedText, text: str, offset: int) -> str:
    """``text``, which starts at ``offset``, without the periods that begin in it."""
    for period in reversed(note.periods_in(offset, offset + len(text))):
        text = text[: max(0, period.start - offset)] + text[max(0, period.end - offset) :]
    return text
