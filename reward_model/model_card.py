"""The README of a model directory."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from reward_model.evidence import EVIDENCE_VERSION

if TYPE_CHECKING:
    from reward_model.backbone import BaseReference
    from reward_model.config import TrainConfig
    from reward_model.modeldir import Calibration
    from reward_model.rubric import Rubric


def model_card(
    settings: TrainConfig,
    rubric: Rubric,
    reference: BaseReference,
    training: dict[str, Any],
    calibration: Calibration,
) -> str:
    """Render ``templates/model_card.md.j2`` for a trained model."""
    environment = Environment(
        loader=PackageLoader("reward_model", "templates"),
        undefined=StrictUndefined,
        autoescape=False,  # Markdown; everything in it comes from settings, the rubric and counts
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    template = environment.get_template("model_card.md.j2")
    return template.render(
        settings=settings,
        rubric=rubric,
        reference=reference,
        training=training,
        calibration=calibration,
        evidence_version=EVIDENCE_VERSION,
    )


FIGURES_HEADING = "## Figures\n"
"""Under it a card says how good the model is, up to the next heading of its level."""
_COLUMNS = ("qwk", "accuracy", "macro_f1", "mae", "within_1", "ece", "ece_noise_floor")
_REGIMES = {"facts": "with facts", "text": "text only", "off": "checker off"}


def figures_section(result: Mapping[str, Any], source: str) -> str:
    """What a card says of figures that ``finrm compare --json`` gave: a table a regime.

    Args:
        result: the content of that file.
        source: what the figures are taken from, for people.
    """
    lines = [
        FIGURES_HEADING.rstrip(),
        f"Of models of this kind, {result['split']}: each text scored by one that had seen nothing of its",
        f"group ({result['n']} texts; {source}). Intervals are 95%, by bootstrap over groups.",
    ]
    for regime, found in result["regimes"].items():
        lines += [
            "",
            f"**{_REGIMES.get(regime, regime)}**: {found['overall_accuracy']:.3f} of all labels right, "
            f"{found['exact_match']:.3f} of texts with all right, "
            f"{found['pairs']['ranking_accuracy']:.3f} of pairs ranked",
            "",
            "| | QWK | right | macro F1 | MAE | within 1 | ECE | ECE by chance |",
            "|---|---|---|---|---|---|---|---|",
        ]
        for name, row in found["per_dim"].items():
            bounds = row["intervals"]["qwk"]
            values = [f"{row['qwk']:.3f} [{bounds['low']:.2f}, {bounds['high']:.2f}]"]
            values += [f"{row[column]:.3f}" for column in _COLUMNS[1:]]
            lines.append(f"| {name} | " + " | ".join(values) + " |")
    return "\n".join(lines) + "\n\n"


def put_figures(card: str, section: str) -> str:
    """``card`` with its section of figures replaced.

    Raises:
        ValueError: if it has none.
    """
    start = card.index(FIGURES_HEADING)
    end = card.find("\n## ", start)
    return card[:start] + section + (card[end + 1 :] if end >= 0 else "")


def main(arguments: Sequence[str]) -> int:
    """``python -m reward_model.model_card MODEL FIGURES.json``: put cross-validated figures into a card."""
    folder, figures = map(Path, arguments)
    card = folder / "README.md"
    result = json.loads(figures.read_text(encoding="utf-8"))
    section = figures_section(result, f"`{figures}`")
    card.write_text(put_figures(card.read_text(encoding="utf-8"), section), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
