"""``finrm frameworks``: analysis frameworks, sheets by code and words by models or offline."""

from __future__ import annotations

from collections.abc import Sequence

from reward_model.data.synthetic_gen import frameworks_command


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    return frameworks_command(arguments, prog="finrm frameworks")
