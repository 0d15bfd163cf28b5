"""The catalogue: industries, what their companies do, the storylines of a year, styles and section titles.

YAML, extended by users' files: an industry, storyline or style of the same name replaces the one that comes
with the package, businesses and sections are added.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from reward_model.jsonl import one_line, shown
from reward_model.rubric import load_yaml, load_yaml_file, validated
from reward_model.schema import NonEmpty
from reward_model.statements.phrases import check_phrase, check_word
from reward_model.statements.signs import check_claim

Kind = Literal["company", "property", "bank"]
"""Which statements a company has: an ordinary one's, a property developer's, a bank's."""
Part = Literal["main", "side", "before"]
"""Where a storyline can stand: the last year's main one, beside it, or the year before."""

DEFAULT_INDUSTRY = "其他"
_MOST = 10_000_00


def _hundredths(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"must be a number, not {shown(value)}")
    try:
        scaled = Decimal(str(value)) * 100
        whole = int(scaled)
    except (InvalidOperation, ValueError, OverflowError):
        raise ValueError(f"must be a finite number, not {shown(value)}") from None
    if scaled != whole or abs(whole) > _MOST:
        raise ValueError(f"{shown(value)} needs at most two decimals and to be within ±{_MOST // 100:,}")
    return whole


def _range(value: Any) -> Any:
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise ValueError("must be a list of two numbers, [lowest, highest]")
    low, high = map(_hundredths, value)
    if low > high:
        raise ValueError(f"the lowest, {shown(value[0])}, is over the highest, {shown(value[1])}")
    return low, high


def _claim(value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError(f'must be text such as "revenue up", not {shown(value)}')
    return check_claim(value)


def _word(value: Any) -> Any:
    return check_word(value) if isinstance(value, str) else value


def _phrase(value: Any) -> Any:
    return check_phrase(value) if isinstance(value, str) else value


Range = Annotated[tuple[int, int], BeforeValidator(_range)]
"""[lowest, highest] in YAML, with two decimals at most; held in hundredths: per cent become basis points."""
Claim = Annotated[str, BeforeValidator(_claim)]
Word = Annotated[NonEmpty, BeforeValidator(_word)]
Slots = dict[str, Annotated[tuple[Word, ...], Field(min_length=1)]]
Phrase = Annotated[NonEmpty, BeforeValidator(_phrase)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CompanyLevels(_Strict):
    """Where a company of an industry stands in an ordinary year. Per cent of revenue unless said so."""

    growth: Range
    """Of revenue, per cent a year."""
    gross_margin: Range
    selling: Range
    administrative: Range
    research: Range
    other_income: Range
    """Other income less impairments."""
    interest: Range
    """Per cent of average interest-bearing debt, as far as expensed."""
    tax: Range
    """Per cent of a positive profit before tax."""
    assets: Range
    leverage: Range
    """Liabilities, per cent of assets."""
    current: Range
    """Current assets, per cent of assets."""
    cash: Range
    """Per cent of assets."""
    receivable_days: Range
    inventory_days: Range
    """Days of cost of sales."""
    debt: Range
    """Interest-bearing, per cent of liabilities."""
    short_debt: Range
    """Due within a year, per cent of interest-bearing debt."""
    short_operating: Range
    """Due within a year, per cent of liabilities without interest."""
    depreciation: Range
    """Per cent of opening non-current assets."""
    capex: Range
    payout: Range
    """Dividends, per cent of the profit of the year before."""
    presales: Range | None = None
    """Contracted sales of a property developer."""
    contract_liabilities: Range | None = None


class BankLevels(_Strict):
    """Where a bank stands in an ordinary year. Per cent of assets unless said otherwise."""

    growth: Range
    """Of assets, per cent a year."""
    loans: Range
    deposits: Range
    earning: Range
    """Average interest-earning assets, per cent of average assets."""
    margin: Range
    """Net interest income, per cent of average earning assets."""
    fees: Range
    """Per cent of net interest income."""
    other_income: Range
    """Per cent of net interest income."""
    overhead: Range
    """Per cent of operating income."""
    credit_cost: Range
    """Impairment, per cent of average loans."""
    tax: Range
    bad_loans: Range
    """Per cent of loans."""
    coverage: Range
    """Allowance, per cent of bad loans."""
    density: Range
    """Risk-weighted assets."""
    core: Range
    """Core tier 1, per cent of risk-weighted assets."""
    supplementary: Range
    """Other capital, per cent of risk-weighted assets."""
    goodwill: Range
    """What equity has over core tier 1, per cent of it."""
    payout: Range


class Industry(_Strict):
    """An industry: whose statements its companies have, their size and levels.

    Attributes:
        kind: of statements.
        aliases: other names of it that users write.
        size: revenue (banks: assets) in 亿元; all orders of magnitude between alike likely.
        levels: of the kind.
    """

    kind: Kind
    aliases: tuple[NonEmpty, ...] = ()
    size: tuple[int, int]
    company: CompanyLevels | None = None
    bank: BankLevels | None = None

    @model_validator(mode="after")
    def _whole(self) -> Industry:
        if (self.kind == "bank") != (self.bank is not None) or (self.bank is None) == (self.company is None):
            raise ValueError(
                f"kind {self.kind} needs levels under {'bank' if self.kind == 'bank' else 'company'}"
            )
        if self.company is not None:
            given = (self.company.presales is not None, self.company.contract_liabilities is not None)
            if given != ((self.kind == "property"),) * 2:
                raise ValueError("presales and contract_liabilities belong to kind property, and only there")
        if not 1 <= self.size[0] < self.size[1] <= 1_000_000:
            raise ValueError("size needs [lowest, highest] in 亿元, from 1 to 1000000")
        return self


class Moves(_Strict):
    """What a storyline does to a year; what it doesn't name goes on as before.

    Unless said otherwise a change against the year before, in percentage points.
    """

    growth: Range | None = None
    """Growth itself, per cent: of revenue, a bank's assets."""
    gross_margin: Range | None = None
    selling: Range | None = None
    """Of the expense to revenue; administrative and research alike."""
    administrative: Range | None = None
    research: Range | None = None
    other_income: Range | None = None
    """A company: other income less impairments, per cent of revenue, itself. A bank: per cent of change."""
    interest: Range | None = None
    exchange: Range | None = None
    """Losses (gains below 0) in the financial expense, per cent of revenue, itself."""
    receivables: Range | None = None
    """Of days, per cent of change."""
    inventories: Range | None = None
    """Of days, per cent of change; a property developer's: of the balance."""
    payables: Range | None = None
    """Liabilities without interest to revenue, per cent of change."""
    advances: Range | None = None
    """Current assets beside cash, receivables and inventories: prepayments, deposits; per cent of change."""
    capex: Range | None = None
    """Per cent of revenue, itself."""
    payout: Range | None = None
    """Dividends, per cent of the profit of the year before, itself."""
    raised: Range | None = None
    """Capital paid in, per cent of opening equity (banks: core tier 1), itself."""
    investments: Range | None = None
    """Acquisitions and stakes less disposals, per cent of opening assets, itself."""
    placed: Range | None = None
    """Put into wealth products less redeemed, per cent of opening assets, itself."""
    leverage: Range | None = None
    cash: Range | None = None
    """Of cash to assets, per cent of change."""
    short_debt: Range | None = None
    presales: Range | None = None
    """Growth of contracted sales, per cent, itself."""
    loans: Range | None = None
    """Growth of loans, per cent, itself; deposits, fees, overhead alike."""
    deposits: Range | None = None
    margin: Range | None = None
    fees: Range | None = None
    overhead: Range | None = None
    credit_cost: Range | None = None
    bad_loans: Range | None = None
    coverage: Range | None = None
    density: Range | None = None
    supplementary: Range | None = None
    """Other capital to risk-weighted assets."""

    @property
    def named(self) -> dict[str, tuple[int, int]]:
        """Those that are given."""
        return {name: value for name, value in self if value is not None}


class Say(_Strict):
    """A phrase of a background or a title, told only where it is true.

    Attributes:
        say: may hold ``{slot}`` and ``{one|another}``.
        needs: claims on the year told of, such as ``revenue up``.
        fields: industries it fits; none: all.
        last: told of the last year only, since it looks ahead.
    """

    say: Phrase
    needs: tuple[Claim, ...] = ()
    fields: tuple[NonEmpty, ...] = ()
    last: bool = False


class Tell(_Strict):
    """How a storyline is told: what happened outside, what the company did, what came of it.

    ``context`` and ``effect`` are clauses of their own; ``action`` lacks its subject, the company.
    """

    context: tuple[Say, ...] = ()
    action: Annotated[tuple[Say, ...], Field(min_length=1)]
    effect: tuple[Say, ...] = ()


class Scenario(_Strict):
    """A storyline of a year: drivers that move together, and how that is told.

    Attributes:
        name: what people call it.
        kind: of the statements that it fits; ``company`` ones are for ordinary companies only.
        fields: industries; none: all of the kind.
        parts: where it can stand.
        moves: what it does.
        expects: claims on its year that must come out of it, or the sheet is drawn again.
    """

    name: NonEmpty
    kind: Kind
    fields: tuple[NonEmpty, ...] = ()
    parts: Annotated[tuple[Part, ...], Field(min_length=1)]
    moves: Moves
    expects: tuple[Claim, ...] = ()
    tell: Tell


class Business(_Strict):
    """What companies of an industry do.

    Attributes:
        suffixes: of the company's name.
        intro: sentences that begin with ``{company}``.
        traits: sentences that are true whatever the figures.
        slots: words for the phrases' slots.
    """

    suffixes: Annotated[tuple[NonEmpty, ...], Field(min_length=1)]
    intro: Annotated[tuple[Phrase, ...], Field(min_length=1)]
    traits: tuple[Phrase, ...] = ()
    slots: Slots = Field(default_factory=dict)


class Style(_Strict):
    """A kind of document: how its outline opens and closes, what its background may end with."""

    first: Annotated[tuple[Say, ...], Field(min_length=1)]
    last: Annotated[tuple[Say, ...], Field(min_length=1)]
    endings: tuple[Say, ...] = ()


class Section(_Strict):
    """A group of titles for one theme of a report.

    Attributes:
        theme: its sections stand in the order of the themes in the catalogue.
        kinds: of statements.
        focus: quality focuses that this section belongs to; none: all.
        titles: to choose from.
    """

    theme: NonEmpty
    kinds: tuple[Kind, ...] = ("company", "property", "bank")
    focus: tuple[NonEmpty, ...] = ()
    titles: Annotated[tuple[Say, ...], Field(min_length=1)]


class Catalogue(_Strict):
    """All of it; a file may hold any part."""

    industries: dict[NonEmpty, Industry] = Field(default_factory=dict)
    businesses: dict[NonEmpty, tuple[Business, ...]] = Field(default_factory=dict)
    scenarios: tuple[Scenario, ...] = ()
    styles: dict[NonEmpty, Style] = Field(default_factory=dict)
    themes: tuple[NonEmpty, ...] = ()
    sections: tuple[Section, ...] = ()
    slots: Slots = Field(default_factory=dict)
    """Words for slots that every business may use."""
    steady: tuple[NonEmpty, ...] = ()
    """Slots that keep one word within a background."""

    def industry(self, field: str) -> tuple[str, Industry]:
        """The industry that ``field`` names, by name or alias, else the default one."""
        for name, industry in self.industries.items():
            if field == name or field in industry.aliases:
                return name, industry
        return DEFAULT_INDUSTRY, self.industries[DEFAULT_INDUSTRY]

    def joined(self, other: Catalogue) -> Catalogue:
        """This one with ``other`` laid over it."""
        replaced = {(scenario.kind, scenario.name) for scenario in other.scenarios}
        businesses: dict[str, tuple[Business, ...]] = dict(self.businesses)
        for name, added in other.businesses.items():
            businesses[name] = (*businesses.get(name, ()), *added)
        return Catalogue.model_construct(
            industries={**self.industries, **other.industries},
            businesses=businesses,
            scenarios=(*(s for s in self.scenarios if (s.kind, s.name) not in replaced), *other.scenarios),
            styles={**self.styles, **other.styles},
            themes=tuple(dict.fromkeys((*self.themes, *other.themes))),
            sections=(*self.sections, *other.sections),
            slots={**self.slots, **other.slots},
            steady=tuple(dict.fromkeys((*self.steady, *other.steady))),
        )


@cache
def load_catalogue(*paths: str | Path) -> Catalogue:
    """The catalogue that comes with the package, and the files at ``paths`` laid over it in turn.

    Raises:
        InputError: one line naming the file and field at fault, and what to do.
    """
    folder = resources.files("reward_model") / "statements" / "catalogue"
    found = Catalogue()
    for item in sorted(folder.iterdir(), key=lambda item: item.name):
        if item.name.endswith(".yaml"):
            found = found.joined(
                _catalogue(load_yaml(item.read_text(encoding="utf-8"), item.name), item.name)
            )
    for path in paths:
        found = found.joined(_catalogue(load_yaml_file(path, "catalogue"), one_line(str(path))))
    return found


def _catalogue(value: Any, source: str) -> Catalogue:
    return validated(Catalogue, value, source, "see docs/generation.md")


def overlap(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    """Whether two storylines move the same thing."""
    return not first.keys().isdisjoint(second)
