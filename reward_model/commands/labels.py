"""``finrm labels``: the guide's label distribution as a command."""

from __future__ import annotations

from collections.abc import Sequence

from reward_model.dataset_multidim import labels_command


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    return labels_command(arguments, prog="finrm labels")
