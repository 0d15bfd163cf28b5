"""The checker's door: :func:`check_text` recomputes the figures of a report.

A figure is called wrong only if it is bound firmly and nothing that its own words allow explains it; what
can't be bound or computed is "unverifiable", which is never a pass.
"""

from __future__ import annotations

from functools import lru_cache

from reward_model.calc.annotated import AnnotatedText
from reward_model.calc.arithmetic import calculations
from reward_model.calc.binder import bind
from reward_model.calc.binding import Binding, changed
from reward_model.calc.book import Facts, fact_book
from reward_model.calc.claims import claim_of, preferred_variants
from reward_model.calc.figures import end_of_figures, find_figures
from reward_model.calc.findings import Sources, find
from reward_model.calc.joined import share_units
from reward_model.calc.local import equations
from reward_model.calc.moves import judge_moves
from reward_model.calc.periods import find_periods
from reward_model.calc.result import CheckResult
from reward_model.calc.rules import Rules, load_rules
from reward_model.calc.statements import current_year, stated_book
from reward_model.calc.tables import bind_tables

MOST_CHARACTERS = 2_000_000
"""Of a text that are read; the rest is left out with a warning."""

MOST_FIGURES = 150_000
"""Numbers of a text that are read, years and list numbers among them; each costs time and memory. Two million
characters of reports dense with figures hold fewer."""

CUT = "文本过长，只核对了前 {n} 个字符 (only the first {n} characters were checked)"
CROWDED = "数字过多，只核对了前 {n} 个 (only the first {n} numbers were checked)"


@lru_cache(maxsize=1)
def default_rules() -> Rules:
    """The rules that come with the package."""
    return load_rules()


def check_text(text: str, facts: Facts | None = None, rules: Rules | None = None) -> CheckResult:
    """Recompute the figures of ``text``.

    Args:
        text: the report; spans are offsets into it.
        facts: the statements behind it, if there are any; without them the text is held against itself.
        rules: metrics and formulas; None for those that come with the package.
    """
    rules = rules or default_rules()
    text, warnings = _shortened(text)
    book = fact_book(facts, rules) if facts is not None else None
    periods = find_periods(text)
    figures = share_units(text, find_figures(text, periods))
    year = current_year(periods, book)
    note = AnnotatedText(text, rules, figures, rules.find(text), periods, year)
    bound = _bound(note, facts.unit if facts is not None else None)
    sources = Sources(
        text,
        rules,
        sheet=facts,
        facts=book,
        stated=stated_book(rules, bound),
        equations=equations(text, bound, periods),
        calculations=calculations(text, figures),
    )
    findings = [find(sources, index, binding) for index, binding in enumerate(bound)]
    judge_moves(sources, bound, findings)
    preferred = preferred_variants(findings)
    claims = tuple(claim_of(sources, finding, preferred) for finding in findings)
    return CheckResult(claims, "facts" if facts is not None else "text", tuple(warnings))


def _shortened(text: str) -> tuple[str, list[str]]:
    """As much of a text as is read, and a warning for each limit that it is over."""
    warnings = []
    if len(text) > MOST_CHARACTERS:
        text = text[:MOST_CHARACTERS]
        warnings.append(CUT.format(n=f"{MOST_CHARACTERS:,}"))
    end = end_of_figures(text, MOST_FIGURES)
    if end is not None:
        text = text[:end]
        warnings.append(CROWDED.format(n=f"{MOST_FIGURES:,}"))
    return text, warnings


def _bound(note: AnnotatedText, unit: str | None) -> list[Binding]:
    """What each figure claims: in tables by its row and column, elsewhere by the words before it."""
    tables = bind_tables(note.text, note.rules, note.figures, note.current, unit)
    return [
        tables.get(index, changed(binding, role="", firm=False) if binding.figure.cell else binding)
        for index, binding in enumerate(bind(note))
    ]
