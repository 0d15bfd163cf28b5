"""Puts a report together: which statements go under which heading, in which order, and what closes it."""

from __future__ import annotations

import random
import re
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import zip_longest

from reward_model.offline.material import material
from reward_model.offline.measures import UnknownError, plain, to_cents
from reward_model.offline.outline import FORMS, Focus, Section, focus_of, numeral, sections
from reward_model.offline.phrases import KINDS, Statement
from reward_model.offline.scene import Scene
from reward_model.tasks import Framework

SHORTEST, LONGEST = 620, 860
"""Characters that a report aims at."""

POINT = 58
"""Characters of a point of the closing, about."""

NOTHING = "所附报表未列示本节所需数据，结论待补充资料后给出。"
_NO_CONNECTIVE = re.compile(
    r"(总体|核心判断|展望|若|须|需|值得|另有|但|不过|与此|口径|复核|勾稽|上述|本文|敏感性|主线|"
    r"即便|同时|结合|究其|这|其|改善|归因|背景|从|\d)"
)
_LED_FIRST = frozenset({"毛利", "应收", "息差", "资产质量"})


@dataclass
class _Layout:
    """How this report looks."""

    title: str
    bullets: bool
    points: str


@dataclass
class _Composer:
    scene: Scene
    focus: Focus
    rng: random.Random
    pool: list[Statement] = field(default_factory=list)
    led: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.pool = self.scene.statements()
        self.layout = _Layout(
            title=self.rng.choice(material("outline")["titles"]),
            bullets=self.rng.random() < 0.22,
            points=self.rng.choice(("list", "list", "一是", "第一")),
        )

    # -- choosing ------------------------------------------------------------------------------------------

    def _worth(self, item: Statement) -> float:
        factor = self.focus.kinds.get(item.kind, 1.0) * self.focus.topics.get(item.topic, 1.0)
        told = 1 - 0.75 * self.scene.repeats(item.say)
        return item.weight * factor * told * self.rng.uniform(0.7, 1.3)

    def _candidates(self, topics: tuple[str, ...]) -> list[tuple[float, Statement]]:
        return [(self._worth(item), item) for item in self.pool if item.topic in topics and self._may(item)]

    def _may(self, item: Statement) -> bool:
        if item.kind == "lead":
            return item.topic not in self.led
        # 究其原因 ... needs something that it is the reason of.
        return item.kind != "cause" or item.topic not in _LED_FIRST or item.topic in self.led

    def _take(self, item: Statement) -> str | None:
        self.pool.remove(item)
        said = self.scene.say(item.say)
        if said and item.kind == "lead":
            self.led.add(item.topic)
        return said

    def gather(self, topics: tuple[str, ...], budget: int, leads: int = 1) -> list[tuple[Statement, str]]:
        """Statements on ``topics`` of about ``budget`` characters in all, in reading order.

        Whatever else is said, the main movement of the first ``leads`` topics is.
        """
        chosen: list[tuple[Statement, str]] = []
        length = 0
        for topic in topics[:leads]:
            length += self._add(
                chosen, [pair for pair in self._candidates((topic,)) if pair[1].kind == "lead"]
            )
        while length < budget:
            candidates = self._candidates(topics)
            if not candidates:
                break
            length += self._add(chosen, candidates, budget * 1.25 - length if chosen else None)
        order = {topic: place for place, topic in enumerate(topics)}
        chosen.sort(key=lambda pair: (order[pair[0].topic], KINDS.index(pair[0].kind)))
        return chosen

    def _add(
        self,
        chosen: list[tuple[Statement, str]],
        candidates: list[tuple[float, Statement]],
        room: float | None = None,
    ) -> int:
        """Say the worthiest of ``candidates`` if it fits into ``room``; returns its length."""
        if not candidates:
            return 0
        _, item = max(candidates, key=lambda pair: pair[0])
        said = self._take(item)
        if said is None or (room is not None and len(said) > room):
            return 0
        chosen.append((item, said))
        return len(said)

    # -- writing -------------------------------------------------------------------------------------------

    def paragraph(self, said: list[tuple[Statement, str]]) -> str:
        """Statements as running text, or as bullets."""
        if self.layout.bullets and len(said) > 1:
            return "\n".join(f"- {text}" for _, text in said)
        text = ""
        tone = ""
        for item, sentence in said:
            text += self._connective(tone, item, sentence, text) + sentence
            tone = item.tone
        return text

    def _connective(self, before: str, item: Statement, sentence: str, text: str) -> str:
        if not before or item.kind == "lead" or _NO_CONNECTIVE.match(sentence):
            return ""
        key = f"{before}_{item.tone}" if item.tone else "plain"
        if item.kind == "cause" and key.split("_")[0] == key.split("_")[-1]:
            return ""
        options = material("outline")["connect"].get(key, [""])
        if "但" in sentence or "但" in text[-60:]:
            options = [word for word in options if not word.startswith(("但", "不过"))] or [""]
        # 此外 twice in one paragraph reads like a list of oddments.
        options = [word for word in options if not word or word not in text] or [""]
        found: str = self.rng.choice(options)
        return found

    def title(self, section: Section, number: int) -> str:
        style: str = self.layout.title
        return style.format(n=numeral(number), i=number, t=section.title)

    def points(self, form: str, count: int, *, inline: bool = False) -> str:
        """The closing points of one form."""
        said: list[str] = []
        for _, issue in self.scene.issues():
            if len(said) == count:
                break
            text = self.scene.say(issue.forms.get(form, ()))
            if text:
                said.append(text)
        if not said:
            return ""
        lead: str = self.rng.choice(material("outline")["leads"][form])
        if inline or self.layout.points == "一是":
            return lead.rstrip("：") + "：" + "；".join(
                f"{numeral(i)}是{text}" for i, text in enumerate(said, 1)
            ) + "。"  # fmt: skip
        if self.layout.points == "第一":
            return lead.rstrip("：") + "：" + "".join(f"第{numeral(i)}，{t}。" for i, t in enumerate(said, 1))
        return lead + "\n" + "\n".join(f"{i}. {text}；" for i, text in enumerate(said, 1))[:-1] + "。"

    def table(self) -> str:
        """The main figures, this period and the one before."""
        rows = []
        for name in material("outline")["table"]:
            with suppress(UnknownError):
                measure = self.scene.figures[name]
                unit = f"（{measure.unit}）" if measure.kind == "money" else ""
                bare = measure.kind == "money"
                now, before = measure.level(0), measure.level(1)
                change = to_cents(now - before)
                sign = "+" if change > 0 else ""
                if bare:
                    cells = (plain(before), plain(now), sign + plain(change))
                else:
                    cells = (measure.written(before), measure.written(now), sign + measure.apart(change))
                rows.append(f"| {measure.name}{unit} | {' | '.join(cells)} |")
        if len(rows) < 3:
            return ""
        keep = sorted(self.rng.sample(range(len(rows)), min(len(rows), self.rng.randint(4, 6))))
        with suppress(UnknownError):
            head = f"| 指标 | {self.scene.figures.label(1)} | {self.scene.figures.label(0)} | 变动 |"
            return "\n".join([head, "|---|---|---|---|", *(rows[index] for index in keep)])
        return ""


def compose(framework: Framework, quality_focus: str, rng: random.Random) -> str:
    """A report on ``framework`` that is best at ``quality_focus``; the same for the same ``rng``."""
    scene = Scene(framework, rng)
    focus = focus_of(quality_focus)
    composer = _Composer(scene, focus, rng)
    plan = sections(framework.outline, framework.style, scene.kind)
    target = rng.randint(SHORTEST, LONGEST)
    form = plan[-1].closing or focus.closing
    count = max(2, focus.points - (1 if form != focus.closing else 0) + rng.choice((0, 0, 1)))
    table = composer.table() if rng.random() < focus.table else ""
    reserved = count * POINT + (POINT * 2 if form != focus.closing else 0) + len(table) // 2
    blocks: list[str] = []
    # Conclusions first: under the first heading if it asks for them, else before it.
    if "总览" not in plan[0].topics:
        blocks.append(composer.paragraph(composer.gather(("总览",), 110)))
    if table:
        blocks.append(table)
    bodies = _bodies(composer, plan, max(300, target - reserved - sum(map(len, blocks[:1]))))
    _closing(composer, plan, bodies, form, count)
    for number, (section, body) in enumerate(zip(plan, bodies, strict=True), 1):
        blocks += [composer.title(section, number), *(body or [NOTHING])]
    return _joined([block for block in blocks if block], rng)


def _bodies(composer: _Composer, plan: list[Section], budget: int) -> list[list[str]]:
    """The paragraphs of each section, without the closing points."""
    bodies: list[list[str]] = []
    for index, section in enumerate(plan):
        left = len(plan) - index - (1 if plan[-1].closing and index < len(plan) - 1 else 0)
        closing = section.closing is not None
        room = budget // max(1, left) if not closing else min(budget, 120)
        topics = section.topics or (() if closing else _leftover(composer))
        if closing and not section.topics:
            topics = ("展望",)
        said = composer.gather(("总览",), 100) if "总览" in topics else []
        rest = tuple(topic for topic in topics if topic != "总览")
        if rest:
            spent = sum(len(text) for _, text in said)
            said += composer.gather(rest, max(90, room) - spent, leads=max(1, section.named))
        if not said and not closing:
            said = composer.gather(_leftover(composer), 90)
        body = _item_lines(composer) if not said and not closing and composer.scene.kind == "company" else ""
        text = composer.paragraph(said) or body
        budget -= len(text)
        bodies.append([text] if text else [])
    return bodies


def _leftover(composer: _Composer) -> tuple[str, ...]:
    return tuple(
        dict.fromkeys(item.topic for item in composer.pool if item.topic not in ("展望", "口径", "总览"))
    )


def _item_lines(composer: _Composer) -> str:
    """Movements of items of which no statement knows more, two a section."""
    figures = composer.scene.figures
    said: list[str] = []
    for name in figures.items:
        if len(said) == 2:
            break
        if name in composer.scene.told:
            continue
        with suppress(UnknownError):
            measure = figures[name]
            said.append(f"{measure.name}{measure['由至']}，{measure['同比']}。")
            composer.scene.told[name] = 1
    return "".join(said)


def _closing(
    composer: _Composer, plan: list[Section], bodies: list[list[str]], form: str, count: int
) -> None:
    """Add caliber notes, the outlook and the points to the last section."""
    focus = composer.focus
    last = bodies[-1]
    if focus.caliber:
        notes = composer.gather(("口径",), 40)
        if notes:
            bodies[0].append(composer.paragraph(notes))
    if form != focus.closing and focus.closing in FORMS:
        extra = composer.points(focus.closing, 2, inline=True)
        if extra:
            last.append(extra)
    elif composer.rng.random() < 0.5:
        outlook = composer.gather(("展望",), 70)
        if outlook:
            last.append(composer.paragraph(outlook))
    points = composer.points(form, count)
    if points:
        last.append(points)


def _joined(blocks: list[str], rng: random.Random) -> str:
    gap = rng.choice(("\n\n", "\n\n", "\n"))
    lines = [blocks[0]]
    for before, block in zip_longest(blocks, blocks[1:], fillvalue=""):
        if not block:
            break
        # A table ends with an empty line wherever it stands, or Markdown takes what follows into it.
        lines += ["\n\n" if before.startswith("|") or block.startswith("|") else gap, block]
    return "".join(lines)
