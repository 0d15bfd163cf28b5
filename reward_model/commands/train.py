"""``finrm train``: the guide's training script as a command."""

from __future__ import annotations

from collections.abc import Sequence

from reward_model.train_multidim import train_command


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    return train_command(arguments, prog="finrm train")
