"""``finrm generate``: gold reports and their controlled degradations, by language models or offline."""

from __future__ import annotations

from collections.abc import Sequence

from reward_model.data.synthetic_gen_v2 import generate_command


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    return generate_command(arguments, prog="finrm generate")
