"""Which frameworks to make: companies, storylines, kinds of document and focuses, as varied as can be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from reward_model.rubric import Rubric
from reward_model.statements.catalogue import Catalogue
from reward_model.statements.draws import Draws
from reward_model.statements.names import core_at
from reward_model.statements.outline import outline
from reward_model.statements.sheet import Statements, draw_statements, main_storylines
from reward_model.statements.story import Company, Teller, fitting_businesses
from reward_model.tasks import Framework

FIELDS = ("制造业", "服务业", "金融业", "房地产", "科技业")
"""The guide's industries, for runs that name none."""
EMBEDDED = "embedded"
"""Who wrote a framework that no model wrote."""


@dataclass(frozen=True)
class FrameworkPlan:
    """One framework to be made: all of it that code settles.

    Attributes:
        id: names it within a file: field, seed and number.
        company: fictional, with its business.
        statements: the sheet and its storylines.
        style: the kind of document.
        focus: the quality focus that the outline leans to; None where the rubric has none.
        catalogue: where it came from.
    """

    id: str
    company: Company
    statements: Statements
    style: str
    focus: str | None
    catalogue: Catalogue

    def framework(
        self, outline: Sequence[str], background: str, *, company: str, written_by: str
    ) -> Framework:
        """The framework with these words."""
        plot = self.statements.plot
        return Framework.model_validate(
            {
                "id": self.id,
                "field": self.statements.field,
                "company": company,
                "style": self.style,
                "outline": tuple(outline),
                "background": background,
                "fact_sheet": self.statements.fact_sheet(),
                "quality_focus": self.focus,
                "storylines": {
                    "before": plot.before.name,
                    "main": plot.main.name,
                    "sides": [scenario.name for scenario in plot.sides],
                },
                "written_by": written_by,
            }
        )

    def words(self) -> tuple[tuple[str, ...], str]:
        """An outline and a background by code; the same at each call."""
        draws = Draws(f"words/{self.id}")
        style = self.catalogue.styles[self.style]
        titles = outline(self.statements, style, self.focus, draws, self.catalogue)
        teller = Teller(self.statements, self.company, self.catalogue, draws)
        return titles, teller.background(style.endings)


def embedded_framework(plan: FrameworkPlan) -> Framework:
    """The framework that code alone makes."""
    titles, background = plan.words()
    return plan.framework(titles, background, company=plan.company.name, written_by=EMBEDDED)


def plan_frameworks(
    fields: Sequence[str], n: int, seed: int, rubric: Rubric, catalogue: Catalogue
) -> Iterator[FrameworkPlan]:
    """``n`` frameworks of each field, field by field.

    Each is settled by its field, its number and ``seed`` alone, so that a larger ``n`` or other fields leave
    it as it is. Within a field every storyline is the main one once before any is again, and every
    combination of style and focus likewise.
    """
    for field in fields:
        for number in range(n):
            yield plan_framework(field, number, seed, rubric, catalogue)


def plan_framework(field: str, number: int, seed: int, rubric: Rubric, catalogue: Catalogue) -> FrameworkPlan:
    """The framework of this number, from 0, of a field.

    Raises:
        InputError: if the catalogue's storylines lead to no plausible sheet.
    """
    key = f"{field}/{seed}"
    kinds = [(style, focus) for style in catalogue.styles for focus in rubric.quality_focuses or (None,)]
    mains = main_storylines(field, catalogue)
    style, focus = _shuffled(f"kinds/{key}", tuple(kinds))[number % len(kinds)]
    # Another order each time round, or storylines and kinds of document would meet in a pattern.
    order = _shuffled(f"mains/{key}/{number // max(1, len(mains))}", tuple(mains))
    main = order[number % len(mains)] if mains else None
    statements = draw_statements(field, f"{seed}/{number}", catalogue=catalogue, main=main)
    identity = f"{field}-{seed}-{number + 1:04d}"
    draws = Draws(f"company/{identity}")
    business = draws.of(fitting_businesses(statements, catalogue))
    name = core_at(number, f"names/{key}") + draws.of(business.suffixes)
    return FrameworkPlan(identity, Company(name, business), statements, style, focus, catalogue)


@lru_cache(maxsize=64)
def _shuffled(key: str, options: tuple) -> list:
    return Draws(key).shuffled(options)
