"""Everything that a phrase may name, for one report: measures, bridges, periods, causes, helpers."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

from reward_model.offline.background import Background
from reward_model.offline.derived import Bridge, work_out
from reward_model.offline.measures import Figures, Measure, UnknownError, plain
from reward_model.offline.phrases import Issue, Phrase, Statement, issues, statements
from reward_model.tasks import Framework

_LEVELS = re.compile(r"(\w+)\.(?:由至|今|前|同比)")


def round_line(value: float, step: float) -> str:
    """A threshold: ``value`` rounded to a multiple of ``step``, without needless digits."""
    unit = Decimal(str(step))
    steps = (Decimal(str(value)) / unit).to_integral_value()
    found = steps * unit
    return f"{found.normalize():f}" if found else "0"


def share(part: Measure, whole: Measure) -> str:
    """A part in percent of a positive whole."""
    if whole.v <= 0:
        raise UnknownError("share of a loss")
    return f"{plain(abs(part.level(0)) / whole.level(0) * 100)}%"


class Scene:
    """One framework's figures and background under one seed.

    Args:
        framework: what is written to.
        rng: of all choices of words.
    """

    def __init__(self, framework: Framework, rng: random.Random) -> None:
        self.framework = framework
        self.rng = rng
        self.figures = Figures(framework.fact_sheet, rng)
        self.bridges: dict[str, Bridge] = work_out(self.figures)
        self.background = Background(framework.background, self.figures.now.year, framework.company, rng)
        self.told: dict[str, int] = {}
        self.kind = "bank" if self.figures.is_bank else "property" if self.figures.is_property else "company"
        self._fixed: dict[str, Any] = {
            "司": "该行" if self.figures.is_bank else "公司",
            "单位": self.figures.unit,
            "因": self._cause,
            "线": round_line,
            "占比": share,
            "abs": abs,
        }

    def name(self, name: str) -> Any:
        """What ``name`` stands for in a phrase.

        Raises:
            UnknownError: if the sheet doesn't give it.
        """
        if name in self._fixed:
            return self._fixed[name]
        if name in self.bridges:
            return self.bridges[name]
        if name in _PERIODS:
            return _PERIODS[name](self)
        return self.figures[name]

    def _cause(self, topic: str, direction: str) -> str:
        found = self.background.cause(topic, direction)
        if found is None:
            raise UnknownError(f"cause of {topic}")
        return found

    def say(self, phrases: Iterable[Phrase]) -> str | None:
        """One of the sayable ``phrases``, those that tell a cause before others; None if none is sayable."""
        order = list(phrases)
        self.rng.shuffle(order)
        order.sort(key=lambda phrase: "因(" not in phrase.source)
        for phrase in order:
            before = set(self.background.used)
            said = phrase.render(self.name)
            if said:
                for metric in _levels(phrase.source):
                    self.told[metric] = self.told.get(metric, 0) + 1
                return said
            self.background.used = before
        return None

    def repeats(self, phrases: Iterable[Phrase]) -> float:
        """The share of levels that ``phrases`` would tell again."""
        wanted = [metric for phrase in phrases for metric in _levels(phrase.source)]
        return sum(metric in self.told for metric in wanted) / len(wanted) if wanted else 0.0

    def statements(self) -> list[Statement]:
        """What is true of these figures."""
        files = {"bank": ("bank",), "property": ("property", "company"), "company": ("company",)}[self.kind]
        return [item for file in files for item in statements(file) if item.holds(self.name)]

    def issues(self) -> list[tuple[float, Issue]]:
        """What deserves a risk or an advice, the weightiest first."""
        groups = {"bank": ("bank",), "property": ("property", "company"), "company": ("company",)}[self.kind]
        found = []
        for group in groups:
            for issue in issues(group):
                weight = issue.weight(self.name)
                if weight is not None:
                    found.append((weight * self.rng.uniform(0.85, 1.15), issue))
        return sorted(found, key=lambda pair: -pair[0])


def _levels(source: str) -> list[str]:
    return _LEVELS.findall(source)


def _next_year(scene: Scene) -> str:
    label = scene.figures.label(0)
    return f"{scene.figures.now.year + 1}年" if scene.figures.dated and label.endswith("年") else "下一期"


_PERIODS: dict[str, Callable[[Scene], str]] = {
    "年": lambda scene: scene.figures.label(0),
    "首年": lambda scene: scene.figures.label(2),
    "下年": _next_year,
}
