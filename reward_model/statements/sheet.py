"""Fact sheets by code: three years of one company's consistent statements, moved by a storyline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from reward_model.errors import InputError
from reward_model.jsonl import shown
from reward_model.schema import FactSheet
from reward_model.statements import bank, company
from reward_model.statements.bounds import implausible
from reward_model.statements.catalogue import (
    Catalogue,
    Industry,
    Kind,
    Part,
    Scenario,
    load_catalogue,
    overlap,
)
from reward_model.statements.draws import Draws
from reward_model.statements.signs import holds

UNIT = "亿元"
LAST_YEAR = 2024
_ATTEMPTS = 400
_MOST_SIDES = 2


@dataclass(frozen=True)
class Plot:
    """The storylines of a sheet: the year before the last, the last year's main one, and those beside it."""

    before: Scenario
    main: Scenario
    sides: tuple[Scenario, ...]

    @property
    def last(self) -> tuple[Scenario, ...]:
        """Those of the last year."""
        return (self.main, *self.sides)


@dataclass(frozen=True)
class Statements:
    """A company's statements, and the story behind them.

    Attributes:
        field: the industry as it was asked for.
        industry: the catalogue's, which it was read as.
        kind: of statements.
        years: the last one is what a report is about.
        figures: in hundredths of 亿元, an item's values a year.
        events: amounts that the items don't show, such as dividends, in the same unit; a year each.
        plot: the storylines.
    """

    field: str
    industry: str
    kind: Kind
    years: tuple[int, int, int]
    figures: Mapping[str, tuple[int, int, int]]
    events: tuple[Mapping[str, int], ...]
    plot: Plot

    def fact_sheet(self) -> FactSheet:
        """As reports and checker get it."""
        items = {name: [value / 100 for value in values] for name, values in self.figures.items()}
        return FactSheet.model_validate({"unit": UNIT, "periods": list(map(str, self.years)), "items": items})

    def holds(self, claim: str, year: int) -> bool:
        """Whether a claim such as ``revenue up`` is true of the year of this index."""
        return holds(claim, self.figures, self.events, year)


def fact_sheet(field: str, seed: int) -> FactSheet:
    """The sheet that :func:`draw_statements` draws with the package's catalogue."""
    return draw_statements(field, str(seed)).fact_sheet()


def draw_statements(
    field: str,
    key: str,
    *,
    catalogue: Catalogue | None = None,
    main: str | None = None,
    last_year: int = LAST_YEAR,
) -> Statements:
    """Three years of statements of a fictional company.

    Args:
        field: an industry of the catalogue, an alias of one, or any other name, which gets the default one.
        key: what the draws come from; the same field and key give the same statements anywhere.
        catalogue: industries and storylines; None for those that come with the package.
        main: the name of the last year's main storyline; None draws one that fits.
        last_year: of the three.

    Raises:
        InputError: if the storylines lead to no plausible statements, or there is none that fits.
    """
    catalogue = catalogue or load_catalogue()
    name, industry = catalogue.industry(field)
    fitting = [scenario for scenario in catalogue.scenarios if _fits(scenario, name, industry)]
    # Settled before the attempts: storylines that often fail are not to become rare.
    chosen = _main(fitting, field, main, Draws(f"main/{name}/{key}"))
    faults: list[str] = []
    for attempt in range(_ATTEMPTS):
        draws = Draws(f"statements/{name}/{key}/{attempt}")
        plot = _plot(fitting, field, chosen, draws)
        found = _drawn(field, name, industry, plot, last_year, draws)
        faults = implausible(found.figures, found.kind) + _unexpected(found)
        if not faults:
            return found
    raise InputError(
        f"storyline {shown(chosen.name)} gives {shown(field)} no plausible statements ({faults[0]}); "
        "correct its moves or expects"
    )


def main_storylines(field: str, catalogue: Catalogue) -> list[str]:
    """The names of the storylines that can be the main one of a field's sheets."""
    name, industry = catalogue.industry(field)
    return [s.name for s in catalogue.scenarios if "main" in s.parts and _fits(s, name, industry)]


def _fits(scenario: Scenario, name: str, industry: Industry) -> bool:
    return scenario.kind == industry.kind and (not scenario.fields or name in scenario.fields)


def _of_part(fitting: list[Scenario], part: Part, field: str) -> list[Scenario]:
    found = [scenario for scenario in fitting if part in scenario.parts]
    if not found and part != "side":
        raise InputError(f"{shown(field)}: no storyline has part {part}; add one to the catalogue")
    return found


def _main(fitting: list[Scenario], field: str, name: str | None, draws: Draws) -> Scenario:
    mains = _of_part(fitting, "main", field)
    if name is None:
        return draws.of(mains)
    named = [scenario for scenario in mains if scenario.name == name]
    if not named:
        known = ", ".join(scenario.name for scenario in mains)
        raise InputError(f"{shown(name)} is no main storyline for {shown(field)}; there are {known}")
    return named[0]


def _plot(fitting: list[Scenario], field: str, main: Scenario, draws: Draws) -> Plot:
    others = [scenario for scenario in _of_part(fitting, "before", field) if scenario is not main]
    sides: list[Scenario] = []
    for scenario in draws.shuffled(_of_part(fitting, "side", field)):
        if len(sides) == _MOST_SIDES or (sides and draws.chance(40)):
            break
        if not any(overlap(scenario.moves.named, other.moves.named) for other in (main, *sides)):
            sides.append(scenario)
    return Plot(draws.of(others or [main]), main, tuple(sides))


def _drawn(field: str, name: str, industry: Industry, plot: Plot, last_year: int, draws: Draws) -> Statements:
    def move(*scenarios: Scenario) -> dict[str, int]:
        return {
            driver: draws.whole(*bounds)
            for scenario in scenarios
            for driver, bounds in scenario.moves.named.items()
        }

    moves = (move(plot.before), move(*plot.last))
    size = _size(industry.size, draws)
    if industry.bank is not None:
        years = bank.bank_years(industry.bank, size, moves, draws)
        names: tuple[str, ...] = bank.ITEMS
    else:
        assert industry.company is not None
        years = company.company_years(industry.company, size, moves, draws)
        names = company.PROPERTY_ITEMS if industry.kind == "property" else company.ITEMS
    first, second, third = (year.items for year in years)
    return Statements(
        field=field,
        industry=name,
        kind=industry.kind,
        years=(last_year - 2, last_year - 1, last_year),
        figures={item: (first[item], second[item], third[item]) for item in names},
        events=tuple(year.events for year in years),
        plot=plot,
    )


def _size(bounds: tuple[int, int], draws: Draws) -> int:
    """In hundredths; each doubling alike likely."""
    low, high = bounds[0] * 100, bounds[1] * 100
    steps = [low]
    while steps[-1] * 2 < high:
        steps.append(steps[-1] * 2)
    start = draws.of(steps)
    return draws.whole(start, min(high, start * 2))


def _unexpected(found: Statements) -> list[str]:
    missing = [(claim, 1) for claim in found.plot.before.expects if not found.holds(claim, 1)]
    missing += [(claim, 2) for s in found.plot.last for claim in s.expects if not found.holds(claim, 2)]
    return [f'"{claim}" does not come out of it in {found.years[year]}' for claim, year in missing]
