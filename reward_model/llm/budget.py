"""The budget: reserve the worst case before sending, settle afterwards."""

from __future__ import annotations

import asyncio

from reward_model.llm.types import BudgetError


class Budget:
    """Money that may be spent in all; what earlier runs on the same ledger spent counts.

    Args:
        cap: None: no cap.
        spent: so far.
    """

    def __init__(self, cap: float | None, spent: float) -> None:
        self.cap = cap
        self.spent = spent
        self.reserved = 0.0
        self._settled = asyncio.Event()

    async def reserve(self, worst: float) -> None:
        """Set ``worst`` aside; waits for requests in flight where what they don't use may be enough.

        Raises:
            BudgetError: it isn't.
        """
        if self.cap is None:
            return
        while self.spent + self.reserved + worst > self.cap:
            if self.spent + worst > self.cap or self.reserved <= 0:
                raise BudgetError(
                    f"the budget of {self.cap:g} is used up: {self.spent:.4g} spent (earlier runs on this "
                    f"ledger included), and the next request may cost {worst:.4g}; "
                    "nothing is lost: run the same command with a larger budget to go on"
                )
            self._settled.clear()
            await self._settled.wait()
        self.reserved += worst

    def settle(self, worst: float, cost: float) -> None:
        """Give back what was set aside, and note what it cost."""
        if self.cap is None:
            return
        self.reserved = max(0.0, self.reserved - worst)
        self.spent += cost
        self._settled.set()
