"""``finrm validate``: the guide's data validation as a command."""

from __future__ import annotations

from collections.abc import Sequence

from reward_model.data.validate_multidim_pairs import validate_command


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    return validate_command(arguments, prog="finrm validate")
