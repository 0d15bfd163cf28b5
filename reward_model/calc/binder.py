"""Binds the figures of a text: a walk over its sentences, and in each from figure to figure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from reward_model.calc import words
from reward_model.calc.annotated import AnnotatedText
from reward_model.calc.binding import Binding, changed, compatible
from reward_model.calc.book import Period
from reward_model.calc.continued import continued
from reward_model.calc.joined import LIST
from reward_model.calc.lists import with_list
from reward_model.calc.operands import begins, is_last_result, result_of
from reward_model.calc.roles import with_role
from reward_model.calc.rules import Mention, Metric
from reward_model.calc.sentences import clause_around, sentences
from reward_model.calc.subjects import Subject, subject_of
from reward_model.calc.surroundings import Carried, Surroundings, surroundings_of
from reward_model.calc.when import when

LONGEST_HEADING = 30
"""Characters of a line that may be a heading."""
MOST_NEARBY = 12
"""Metrics of a sentence that other readings are tried with."""
MOST_SEEN = 8
"""Figures of a sentence that are remembered."""
LONGEST_BEHIND = 24
"""Characters behind a figure that are looked at."""

SEGMENT_END = re.compile(r"[；;]")
"""Ends a part of a sentence; of what was carried, only the year goes on."""
LEVEL_BASE = re.compile(r"(?:较|比|对比|相较于?)(?:于)?[^，,。；;]{2,8}(?:的|为)?\s*$")
"""Before a level that what follows is compared with: 较2023年的A（亿元）增长."""
BASES = re.compile(
    "期末口径|期末余额|年末余额|期末净资产|期末总资产|摊薄|平均口径|平均余额|平均净资产|加权|平均总资产|年均"
)
"""Words that say which balance a ratio is on."""


@dataclass
class _Sentence:
    """A sentence, and what holds for all its figures.

    Attributes:
        start, end: where it is.
        first, last: its figures: ``first`` and those before ``last``.
        number: of the sentence in its text.
        nearby: its metrics and the one before it.
        supposed_from: from where on it tells of what may be.
        advice: it stands under a heading or in a paragraph of aims.
        long: it looks back further than a year.
        dated: it names a period, or has a row of levels, of which any may be of another one.
    """

    start: int
    end: int
    first: int
    last: int
    number: int
    nearby: tuple[Metric, ...]
    supposed_from: int
    advice: bool
    long: bool
    dated: bool


def bind(note: AnnotatedText) -> list[Binding]:
    """A binding for each figure of a text, in order."""
    found: list[Binding] = []
    last: Metric | None = None
    headings = _Headings()
    for number, (start, end) in enumerate(sentences(note.text)):
        first, after = note.figures_from(start), note.figures_from(end)
        advice = headings.advice(note, start, end, first < after)
        inside = note.mentions_in(start, end)
        if first < after:
            sentence = _Sentence(
                start,
                end,
                first,
                after,
                number,
                nearby=_nearby(inside, last),
                supposed_from=_supposed_from(note, start, end),
                advice=advice,
                long=words.LONG.search(note.text, start, end) is not None,
                dated=_dated(note, start, end),
            )
            found += _bind_sentence(note, sentence, last)
        if inside:
            last = inside[-1].metric
    return found


@dataclass
class _Headings:
    """Whether the text is at a heading or in a paragraph that says what should be done."""

    under: bool = field(default=False)
    paragraph: bool = field(default=False)

    def advice(self, note: AnnotatedText, start: int, end: int, figures: bool) -> bool:
        """Go on to a sentence, with ``figures`` or without, and say whether it tells of aims."""
        if start == 0 or note.text[start - 1] == "\n":
            line = note.text[start:end].strip(" #*-—>【】\n|")
            if len(line) < LONGEST_HEADING and not line.endswith(("。", "；")):
                self.under = not figures and words.ADVICE.search(line) is not None
            self.paragraph = False
        if words.PLAN.search(note.text, start, end):
            self.paragraph = True
        return self.under or self.paragraph


def _nearby(inside: Sequence[Mention], last: Metric | None) -> tuple[Metric, ...]:
    metrics = {mention.metric.name: mention.metric for mention in inside}
    if last is not None:
        metrics.setdefault(last.name, last)
    return tuple(metrics.values())[:MOST_NEARBY]


def _dated(note: AnnotatedText, start: int, end: int) -> bool:
    """Whether a sentence names a period other than the current one, bases of comparison aside."""
    for mention in note.periods_in(start, end):
        compared = words.BASE.search(note.text[max(start, mention.start - 3) : mention.start])
        if note.period_of(mention) != Period(note.current) and not compared:
            return True
    return False


def _supposed_from(note: AnnotatedText, start: int, end: int) -> int:
    """Where a sentence begins to tell of what may be; its end if it doesn't."""
    for found in words.SUPPOSED.finditer(note.text[start:end]):
        if not note.in_name(start + found.start()):
            return start + found.start()
    return end


def _bind_sentence(note: AnnotatedText, sentence: _Sentence, last: Metric | None) -> Iterator[Binding]:
    carried = Carried()
    behind_last = sentence.start
    previous: Binding | None = None
    operand: Binding | None = None  # the first of a written calculation
    for index in range(sentence.first, sentence.last):
        figure = note.figures[index]
        start = behind_last
        for cut in SEGMENT_END.finditer(note.text, behind_last, figure.start):
            start = cut.end()
        if start > behind_last:
            carried = Carried(period=carried.period if carried.period and not carried.period.part else None)
            previous = None
        behind = note.text[figure.end : min(_next_start(note, sentence, index), figure.end + LONGEST_BEHIND)]
        here = surroundings_of(note, index, start, behind, previous, carried)
        binding = _bind_figure(note, here, last)
        unsure = sentence.advice or _is_unsure(note, sentence, here)
        firm = binding.firm
        if index in note.operands:
            firm = False
            if begins(note, index, sentence.first):
                operand = binding if binding.firm else None
            elif operand is not None and is_last_result(note, index):
                binding = result_of(operand, figure, note.rules)
                firm = binding.role != ""
        if binding.role == "level" and _in_row(note, sentence, index):
            sentence.dated = True
            binding = changed(binding, explicit=False)
        binding = changed(
            binding,
            supposed=unsure,
            firm=firm,
            nearby=sentence.nearby,
            sentence=sentence.number,
            long=sentence.long,
            dated=sentence.dated or binding.dated,
        )
        yield binding
        previous, behind_last = binding, figure.end


def _next_start(note: AnnotatedText, sentence: _Sentence, index: int) -> int:
    return note.figures[index + 1].start if index + 1 < sentence.last else sentence.end


def _is_unsure(note: AnnotatedText, sentence: _Sentence, here: Surroundings) -> bool:
    """Whether a figure is one of what may be, or a yardstick."""
    figure = here.figure
    if figure.start > sentence.supposed_from:
        return True
    clause = clause_around(note.text, sentence.start, figure.start, min(sentence.end, figure.end + 30))
    return words.NORM.search(clause) is not None


def _in_row(note: AnnotatedText, sentence: _Sentence, index: int) -> bool:
    """Whether a figure is one of several in a row, by 、 or arrows."""
    figures, text = note.figures, note.text
    if index in note.arrows:
        return True
    if index > sentence.first and LIST.fullmatch(text[figures[index - 1].end : figures[index].start]):
        return True
    return (
        index + 1 < sentence.last
        and LIST.fullmatch(text[figures[index].end : figures[index + 1].start]) is not None
    )


def _bind_figure(note: AnnotatedText, here: Surroundings, last: Metric | None) -> Binding:
    """What one figure claims, by the words around it; ``last`` is the metric before its sentence."""
    subject = subject_of(note, here, last)
    metric, figure = subject.metric, here.figure
    period, base, explicit = when(note, here)
    binding = Binding(
        subject.figure,
        metric=metric,
        period=period,
        base=base,
        firm=subject.firm,
        explicit=explicit,
        subject=subject.name,
        tail=here.tail,
        sequential=words.SEQUENTIAL.search(here.left) is not None,
        basis=_basis(note, here) if metric is not None and len(metric.variants) > 1 else "",
    )
    binding = with_role(note, binding, here)
    binding = with_list(note, binding, here)
    binding = continued(note, binding, here)
    binding = compatible(binding)
    if figure.kind == "number" and metric is not None and metric.kind not in ("multiple", "turns"):
        binding = changed(binding, firm=False)
    return _carry_on(here, subject, binding)


def _basis(note: AnnotatedText, here: Surroundings) -> str:
    """Which balance the words around a ratio name: "期末", "平均" or ""."""
    at = here.figure.start
    found = BASES.findall(note.text[max(here.start, at - 40) : at] + here.behind[:10])
    if not found:
        return ""
    return "期末" if found[-1][:1] in "期摊" or found[-1] == "年末余额" else "平均"


def _carry_on(here: Surroundings, subject: Subject, binding: Binding) -> Binding:
    """Keep what goes on to the next figure; ``binding`` with the base that was carried here."""
    carried, named = here.carried, here.mention is not None
    if named or subject.behind or here.rest:
        carried.metric = binding.metric if named or subject.behind else None
        carried.subject, carried.narrowed = subject.name, subject.narrowed
        carried.origin = None
    change = binding.role in ("growth", "delta")
    if not named and carried.against is not None and change:
        binding = changed(binding, base=carried.against)
    level = binding.role == "level"
    carried.against = binding.period if level and LEVEL_BASE.search(here.tail) else None
    # A change that isn't bound firmly takes nothing from the figures after it.
    carried.firm = binding.firm or (not named and carried.firm and not here.rest and change)
    if level and words.FROM.search(here.tail):
        carried.origin = binding.period
    elif not named and binding.base is None and binding.role in ("growth", "delta", "cagr"):
        binding = changed(binding, base=carried.origin if carried.origin != binding.period else None)
    carried.role = binding.role
    if binding.metric is not None:
        carried.seen.append((binding.metric, binding.role))
        del carried.seen[:-MOST_SEEN]
    return binding
