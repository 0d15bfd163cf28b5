"""Outlines: what sections a document of a style, an industry and a quality focus has."""

from __future__ import annotations

from collections.abc import Sequence

from reward_model.statements.catalogue import Catalogue, Say, Section, Style
from reward_model.statements.draws import Draws
from reward_model.statements.phrases import Words
from reward_model.statements.sheet import Statements
from reward_model.statements.story import LAST, tellable

_ALWAYS = {"company": ("盈利",), "property": ("盈利", "结转"), "bank": ("盈利", "资产质量", "资本")}
"""Themes that no report of the kind goes without."""
_FEWEST, _MOST = 4, 6


def outline(
    statements: Statements, style: Style, focus: str | None, draws: Draws, catalogue: Catalogue
) -> tuple[str, ...]:
    """Four to six titles in order.

    Args:
        statements: titles such as 亏损构成 are chosen only where they are true of the last year.
        style: how the document opens and closes.
        focus: the quality focus, whose sections come first; for None or an unknown one those of any.
        draws: where choices come from.
        catalogue: with the sections.
    """
    words = Words({"年": (f"{statements.years[LAST]}年",)}, draws)
    ends = [_title(options, statements, draws, words) or "" for options in (style.first, style.last)]
    if not any(focus in section.focus for section in catalogue.sections):
        focus = None  # one of a rubric's own
    sections: dict[str, list[Section]] = {}
    for section in catalogue.sections:
        if statements.kind in section.kinds and (
            not section.focus or focus is None or focus in section.focus
        ):
            sections.setdefault(section.theme, []).append(section)
    themes = _themes(sections, statements.kind, focus, draws.whole(_FEWEST, _MOST) - 2, draws)
    middle = []
    for theme in catalogue.themes:
        if theme in themes:
            title = _title(draws.of(sections[theme]).titles, statements, draws, words)
            if title and title not in ends and title not in middle:
                middle.append(title)
    return tuple(title for title in (ends[0], *middle, ends[1]) if title)


def _themes(
    sections: dict[str, list[Section]], kind: str, focus: str | None, count: int, draws: Draws
) -> set[str]:
    chosen = [theme for theme in _ALWAYS[kind] if theme in sections]
    own = [theme for theme, found in sections.items() if focus and any(s.focus for s in found)]
    # Half of the room that is left is for what the focus asks for.
    for theme in draws.shuffled(own)[: max(1, (count - len(chosen) + 1) // 2)]:
        if theme not in chosen:
            chosen.append(theme)
    for theme in draws.shuffled(list(sections)):
        if len(chosen) >= max(count, 2):
            break
        if theme not in chosen:
            chosen.append(theme)
    return set(chosen)


def _title(options: Sequence[Say], statements: Statements, draws: Draws, words: Words) -> str | None:
    fitting = [option for option in options if words.knows(option.say) and tellable(option, statements, LAST)]
    if not fitting:
        return None
    # A title that says what happened, where one is true, in half of the cases.
    telling = [option for option in fitting if option.needs]
    return words.fill(draws.of(telling if telling and draws.chance(50) else fitting).say)
