"""``finrm judge``: blind judgements of pairs, one text at a time, with a judge card."""

from __future__ import annotations

from collections.abc import Sequence

from reward_model.data.synthetic_gen_v2 import judge_command


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    return judge_command(arguments, prog="finrm judge")
