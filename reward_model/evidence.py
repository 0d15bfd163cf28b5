"""What a model's heads are told of a text beside its features, under three regimes of the checker.

The checker's findings (with facts, text only, or none with the checker off), and how the text is put
together, which is known under each regime.

Most users' reports come without statements, so a model learns all three: each training text is checked with
its facts, without them, and not at all. What is checked without facts is checked anew, not blanked out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from reward_model.calc import evidence as calc_evidence
from reward_model.calc.check import check_text
from reward_model.calc.result import CheckResult
from reward_model.errors import InputError
from reward_model.reading import facts_in_prompt
from reward_model.samples import GradedText
from reward_model.schema import FactSheet
from reward_model.structure import STRUCTURE_FEATURES, structure_vector
from reward_model.structure import VERSION as STRUCTURE_VERSION

REGIMES = ("facts", "text", "off")
EVIDENCE_FEATURES = (*calc_evidence.FEATURES, *STRUCTURE_FEATURES)
EVIDENCE_SIZE = len(EVIDENCE_FEATURES)
EVIDENCE_VERSION = f"{calc_evidence.VERSION}.{STRUCTURE_VERSION}"


def require_version(size: int, version: str | None, where: str) -> None:
    """Refuse a model whose evidence is not this version's.

    Raises:
        InputError: with what to do.
    """
    if size and (size != EVIDENCE_SIZE or version != EVIDENCE_VERSION):
        raise InputError(
            f"{where}: takes evidence {version} of {size} values, this version makes {EVIDENCE_VERSION} of "
            f"{EVIDENCE_SIZE}; train it anew, or install the version it was made with"
        )


def find_facts(facts: FactSheet | None, prompt: str | None) -> FactSheet | None:
    """The facts of a text: those given, else a table in the prompt that it was written to."""
    if facts is not None or not prompt:
        return facts
    try:
        return facts_in_prompt(prompt)
    except InputError:
        return None


def regime_of(facts: FactSheet | None, check: bool) -> str:
    """Which regime a text falls under."""
    return "off" if not check else "facts" if facts is not None else "text"


def checked(text: str, facts: FactSheet | None, regime: str) -> CheckResult | None:
    """The check of a text under a regime; None if it is off."""
    if regime == "off":
        return None
    return check_text(text, facts if regime == "facts" else None)


def evidence_row(text: str, result: CheckResult | None) -> list[float]:
    """The evidence [E + 1] of a text and its check; the last value says that it counts.

    Where the checker is off, its part is 0, as if its term were left out.
    """
    return _row(structure_vector(text), result)


def _row(structure: list[float], result: CheckResult | None) -> list[float]:
    found = [0.0] * len(calc_evidence.FEATURES) if result is None else calc_evidence.evidence_vector(result)
    return [*found, *structure, 1.0]


def evidence_rows(
    texts: Sequence[GradedText], progress: Callable[[int, int], None] | None = None
) -> dict[str, NDArray[np.float32]]:
    """Evidence [N, E + 1] of ``texts`` under each regime, as :func:`evidence_row` gives it.

    A text without facts has under "facts" what it has under "text".
    """
    found: dict[str, list[list[float]]] = {regime: [] for regime in REGIMES}
    for done, text in enumerate(texts):
        facts = find_facts(text.facts, text.prompt)
        structure = structure_vector(text.text)
        alone = _row(structure, check_text(text.text))
        found["off"].append(_row(structure, None))
        found["text"].append(alone)
        found["facts"].append(alone if facts is None else _row(structure, check_text(text.text, facts)))
        if progress and done % 20 == 19:
            progress(done + 1, len(texts))
    return {regime: np.asarray(rows, dtype=np.float32) for regime, rows in found.items()}
