"""Who the company is and what happened to it: the words around a sheet, told from its storylines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from reward_model.errors import InputError
from reward_model.jsonl import shown
from reward_model.statements.catalogue import Business, Catalogue, Say, Scenario
from reward_model.statements.draws import Draws
from reward_model.statements.phrases import Words, slots_of
from reward_model.statements.sheet import Statements

LAST = 2
"""Index of the year that a report is about."""


@dataclass(frozen=True)
class Company:
    """A fictional company and the business it is in."""

    name: str
    business: Business


class Teller:
    """Tells one sheet's story.

    Args:
        statements: the sheet with its storylines.
        company: whose it is.
        catalogue: where common words stand.
        draws: where choices come from.
    """

    def __init__(self, statements: Statements, company: Company, catalogue: Catalogue, draws: Draws) -> None:
        self._statements = statements
        self._company = company
        self._draws = draws
        self._words = Words(_slots(statements, company, catalogue), draws, catalogue.steady)
        self._said: set[str] = set()
        self._subject = "该行" if statements.kind == "bank" else "公司"

    def background(self, endings: Sequence[Say] = ()) -> str:
        """A few sentences; ``endings`` are what the document's kind may close with. No figures."""
        plot, years = self._statements.plot, self._statements.years
        opening = [self._fill(self._draws.of(self._company.business.intro))]
        if self._draws.chance(55):
            opening += self._trait()
        before = self._year(
            plot.before, years[1], 1, self._draws.of(("context", "context", "effect", "effect", ""))
        )
        around = self._draws.of(("both", "both", "both", "context", "effect"))
        main = self._year(plot.main, years[2], LAST, around)
        closing = self._beside(plot.sides)
        if self._draws.chance(45):
            closing.append(self._pick(endings, LAST) or "")
        parts = ("；".join(filter(None, part)) for part in (opening, before, main, closing))
        return "".join(f"{part}。" for part in parts if part)

    def _fill(self, phrase: str) -> str:
        return self._words.fill(phrase)

    def _trait(self) -> list[str]:
        known = [trait for trait in self._company.business.traits if self._words.knows(trait)]
        return [self._fill(self._draws.of(known))] if known else []

    def _pick(self, options: Iterable[Say], year: int) -> str | None:
        """One of the phrases that are true and not yet told, filled."""
        left = [
            option
            for option in options
            if option.say not in self._said
            and self._words.knows(option.say)
            and tellable(option, self._statements, year)
        ]
        if not left:
            return None
        chosen = self._draws.of(left).say
        self._said.add(chosen)
        return self._fill(chosen)

    def _action(self, scenario: Scenario, year: int) -> str:
        action = self._pick(scenario.tell.action, year)
        if action is None:
            raise InputError(
                f"storyline {shown(scenario.name)}: none of its actions can be told of "
                f"{shown(self._company.name)}; give one without needs, or the business words for its slots"
            )
        return action

    def _year(self, scenario: Scenario, year: int, index: int, around: str) -> list[str]:
        """What happened in a year; ``around`` the action: its context, its effect, both or neither."""
        context = self._pick(scenario.tell.context, index) if around in ("context", "both") else None
        action = self._subject + self._action(scenario, index)
        effect = self._pick(scenario.tell.effect, index) if around in ("effect", "both") else None
        return [f"{year}年{f'{context}，' if context else ''}{action}", effect or ""]

    def _beside(self, sides: Sequence[Scenario]) -> list[str]:
        told = []
        for scenario in sides:
            effect = self._pick(scenario.tell.effect, LAST) if self._draws.chance(50) else None
            told.append(self._action(scenario, LAST) + (f"，{effect}" if effect else ""))
        if told:
            told[0] = self._draws.of(("年内", "同年", "当年", "此外，")) + self._subject + told[0]
        return [told[0], *(self._draws.of(("同时", "同期")) + rest for rest in told[1:])] if told else []


def tellable(option: Say, statements: Statements, year: int) -> bool:
    """Whether a phrase fits the industry and is true of the year of this index."""
    fits = not option.fields or statements.industry in option.fields
    if option.last and year != LAST:
        return False
    return fits and all(statements.holds(claim, year) for claim in option.needs)


def _slots(statements: Statements, company: Company, catalogue: Catalogue) -> dict[str, tuple[str, ...]]:
    own = {"company": (company.name,), "field": (statements.field,), "年": (f"{statements.years[LAST]}年",)}
    return {**catalogue.slots, **company.business.slots, **own}


def fitting_businesses(statements: Statements, catalogue: Catalogue) -> list[Business]:
    """The industry's businesses that every storyline of the sheet can be told of.

    Raises:
        InputError: if there is none.
    """
    plot = statements.plot
    told = ((plot.before, 1), *((scenario, LAST) for scenario in plot.last))
    found = []
    for business in catalogue.businesses.get(statements.industry, ()):
        known = {"company", "field", "年", *catalogue.slots, *business.slots}
        if all(
            any(
                slots_of(option.say) <= known and tellable(option, statements, year)
                for option in scenario.tell.action
            )
            for scenario, year in told
        ):
            found.append(business)
    if not found:
        names = "、".join(scenario.name for scenario, _ in told)
        raise InputError(
            f"no business of {shown(statements.industry)} has the words for {shown(names)}; "
            "add them to its slots in the catalogue"
        )
    return found
