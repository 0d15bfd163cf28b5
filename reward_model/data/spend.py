"""What a ledger says was spent: calls, tokens, money."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from reward_model.llm import Ledger
from reward_model.llm.ledger_summary import summarize


@dataclass(frozen=True)
class Spend:
    """Sums over attempts; ``cost`` in the currency of the prices, 0 where none were given."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0

    def __sub__(self, other: Spend) -> Spend:
        return Spend(
            self.calls - other.calls,
            self.prompt_tokens - other.prompt_tokens,
            self.completion_tokens - other.completion_tokens,
            self.cost - other.cost,
        )

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "calls": self.calls,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "cost": round(self.cost, 9),
        }

    def text(self) -> str:
        """For people, without the money where no price was known."""
        money = f"，花费 {self.cost:.4g}" if self.cost else ""
        return (
            f"{self.calls} 次调用，输入 {self.prompt_tokens:,} / 输出 {self.completion_tokens:,} token{money}"
        )


def spend_of(ledger: Ledger, purpose: str | None = None) -> Spend:
    """Everything in ``ledger``, or what was spent for one purpose ("judge" ...), earlier runs included."""
    found = summarize(ledger)
    rows = [row for row in found["by_purpose"] if row["purpose"] == purpose] if purpose else [found["totals"]]
    return Spend(
        sum(row["calls"] for row in rows),
        sum(row["prompt_tokens"] for row in rows),
        sum(row["completion_tokens"] for row in rows),
        sum(row["cost"] or 0.0 for row in rows),
    )
