"""What a run would cost at most, before anything is sent."""

from __future__ import annotations

from collections.abc import Iterable

from reward_model.llm import ChatClient, ChatRequest, Quote


class QuoteBook:
    """Quotes by kind of request and model, added up as requests are made, so that none need be kept."""

    def __init__(self, client: ChatClient) -> None:
        self._client = client
        self._sums: dict[tuple[str, str], Quote] = {}

    def add(self, what: str, model: str, requests: Iterable[ChatRequest]) -> None:
        """Count in ``requests`` to ``model``."""
        more = self._client.quote(requests, model=model)
        so_far = self._sums.get((what, model))
        self._sums[what, model] = more if so_far is None else _sum(so_far, more)

    def text(self, note: str = "") -> str:
        """The quote for people: a line a kind and model, then the sum."""
        lines = []
        total = Quote(0, 0, 0, 0, 0.0)
        for (what, model), quote in self._sums.items():
            total = _sum(total, quote)
            lines.append(
                f"{what}（{model}）：{quote.requests} 次调用，其中 {quote.known} 次已在账本中；"
                f"其余约 {quote.prompt_tokens:,} token 输入、至多 {quote.completion_tokens:,} token 输出，"
                f"{_money(quote)}"
            )
        lines.append(
            f"报价：{total.requests} 次调用（{total.known} 次已付），{_money(total)}；没有发出任何请求"
            + (f"。{note}" if note else "")
        )
        return "\n".join(lines)


def _sum(one: Quote, two: Quote) -> Quote:
    cost = None if one.cost is None or two.cost is None else one.cost + two.cost
    return Quote(
        one.requests + two.requests,
        one.known + two.known,
        one.prompt_tokens + two.prompt_tokens,
        one.completion_tokens + two.completion_tokens,
        cost,
    )


def _money(quote: Quote) -> str:
    return "费用未知（用 --price 给出价格）" if quote.cost is None else f"费用至多 {quote.cost:.4g}"
