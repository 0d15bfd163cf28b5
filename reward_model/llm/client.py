"""The client: asks endpoints, learns their limits, pays for nothing twice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import NamedTuple, TypeVar

from reward_model.llm.ledger import Ledger
from reward_model.llm.types import Answer, ChatRequest, Endpoint

T = TypeVar("T")


class Counters(NamedTuple):
    """Where a run stands: requests that ended, and those sent, waiting for a limit, waiting to be sent again."""

    done: int
    in_flight: int
    waiting: int
    retrying: int


class Quote(NamedTuple):
    """What requests would cost, before any is sent.

    Attributes:
        requests: how many; ``known`` of them are in the ledger and cost nothing.
        prompt_tokens: estimated, of those that aren't.
        completion_tokens: at most: the sum of ``max_tokens``.
        cost: at most, in the prices' currency; None where a price or a ``max_tokens`` is not given.
    """

    requests: int
    known: int
    prompt_tokens: int
    completion_tokens: int
    cost: float | None


class ChatClient:
    """Asks OpenAI-compatible endpoints; an async context manager.

    Args:
        endpoints: whom to ask.
        ledger: where every attempt is kept, and where answers are looked up first.
        budget: the most that all attempts in the ledger, earlier runs included, may cost; needs a price for each
            endpoint and ``max_tokens`` in each request.
        max_in_flight: requests at a time, over all endpoints.
        timeout: seconds for one attempt.
        replay: answer from the ledger only; no network.
        retry_failures: ask again what failed for good in an earlier run (refused, filtered, unusable).
        notify: gets a line when the run slows down, waits or stops sending.

    Raises:
        InputError: no endpoint, or a budget without prices.
    """

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        ledger: Ledger,
        *,
        budget: float | None = None,
        max_in_flight: int = 64,
        timeout: float = 300,
        replay: bool = False,
        retry_failures: bool = False,
        notify: Callable[[str], None] | None = None,
    ) -> None:
        raise NotImplementedError

    async def __aenter__(self) -> ChatClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for what is in flight (it is paid for), then close the connections."""

    @property
    def counters(self) -> Counters:
        """Where the run stands now."""
        raise NotImplementedError

    def quote(self, requests: Iterable[ChatRequest], *, model: str | None = None) -> Quote:
        """What ``requests`` would cost; nothing is sent."""
        raise NotImplementedError

    async def complete(
        self,
        request: ChatRequest,
        *,
        model: str | None = None,
        read: Callable[[str], T] | None = None,
        repairs: int = 2,
    ) -> Answer[T]:
        """Ask, and ask again where that helps. One bad item never raises: its Answer carries a Failure.

        Args:
            request: what to ask.
            model: which endpoint's model; None: one drawn by weight, always the same for the same request.
            read: makes a value of the answer. With a ``schema`` it gets the answer's JSON alone, mended where it
                was nearly JSON. An AnswerError or pydantic ValidationError it raises is shown to the model and
                the model is asked again.
            repairs: how often.

        Raises:
            EndpointError: what ends the run: 401, 403, an unknown model, no money, an endpoint that keeps failing.
            BudgetError: the next attempt might cost more than is left.
            InputError: no endpoint has that model, or a budget meets a request without ``max_tokens``.
        """
        raise NotImplementedError
