"""The README of a model directory."""

from __future__ import annotations

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
