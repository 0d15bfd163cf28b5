"""Sending one request until it has an answer: every attempt a row, every error treated as its class asks."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from reward_model.errors import InputError
from reward_model.llm.budget import Budget
from reward_model.llm.gate import Gate
from reward_model.llm.ledger import Ledger
from reward_model.llm.outcome import ANSWERS, FINAL, UNKNOWN_COST, Outcome, failed_transport, read_answer
from reward_model.llm.tokens import estimate_tokens
from reward_model.llm.transport import Transport, TransportError, asked_to_wait
from reward_model.llm.types import ChatRequest, Endpoint
from reward_model.llm.wire import MODES, request_body

TRIES = 6
"""Failures of one item (5xx, broken connections) while others succeed, after which it is given up."""
TIMEOUTS = 3
"""Time-outs of one item: each may have been billed."""
LIMITED = 40
"""Rejections for the rate of one item, though others get through."""
_BACKOFF, _MAX_BACKOFF = 0.25, 20.0
_DETECTION_SECONDS = 2.0
"""An unsupported answer format is refused at once; those that come after wait so long for the first to
find out."""


class Sent(NamedTuple):
    """What came of a request: the row and class of its last attempt, and the attempts made now."""

    row: int
    outcome: Outcome
    attempts: int
    given_up: bool = False
    """Attempts ran out before there was an answer."""


@dataclass
class Tally:
    """What a client is doing now."""

    done: int = 0
    in_flight: int = 0
    waiting: int = 0
    retrying: int = 0


class Sender:
    """One endpoint with all that belongs to it.

    Args:
        endpoint: whom to ask.
        number, mode: of the endpoint in the ledger, and the answer format it is known to take.
        gate: where to wait.
        transport: how to send.
        ledger: where attempts are kept.
        budget: what may be spent.
        tally: what is counted.
        notify: gets a line when the answer format changes.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        number: int,
        mode: str | None,
        gate: Gate,
        transport: Transport,
        ledger: Ledger,
        budget: Budget,
        tally: Tally,
        notify: Callable[[str], None] | None,
    ) -> None:
        self.endpoint = endpoint
        self.number = number
        self.gate = gate
        self._mode = mode if mode in MODES else None
        self._next_mode = self._mode or MODES[0]
        self._detecting: asyncio.Event | None = None
        self._transport = transport
        self._ledger = ledger
        self._budget = budget
        self._tally = tally
        self._notify = notify
        self._ratio = ledger.token_ratio(number) or 1.0
        self._completion = 500.0
        self._in_flight: set[asyncio.Task[tuple[Outcome, int, float | None]]] = set()
        self._refused: list[int] = []

    async def send(self, request: ChatRequest, key: bytes, item: bytes) -> Sent:
        """Send until there is an answer, or there won't be one.

        Args:
            request: what to ask.
            key: its key.
            item: the key of the request that this one repairs, else its own.

        Raises:
            EndpointError: the endpoint was given up.
            BudgetError: there isn't enough left.
        """
        row = attempts = failures = timeouts = limited = 0
        tries = self._ledger.tries(key)
        while True:
            mode, finder = await self._format(request)
            try:
                outcome, row, wait = await self._attempt(
                    request, (key, item), mode, tries + attempts + 1, attempts > 0
                )
            finally:
                if finder is not None:
                    finder.set()
                    self._detecting = None
            attempts += 1
            kind = outcome.kind
            self._learn_format(request, mode, outcome)
            if kind == "client_error":
                self._refused.append(row)
            elif kind in ANSWERS:
                self._refused.clear()
            if kind in FINAL:
                if self.gate.error is not None and kind == "client_error":
                    self._unmake_refusals()
                    raise self.gate.error
                return Sent(row, outcome, attempts)
            if self.gate.error is not None:
                raise self.gate.error
            pause = wait or 0.0
            if kind in ("rate_limit", "quota"):
                limited += 1
            elif kind != "mode":
                timeouts += kind == "timeout"
                # While everything fails it isn't this item's fault.
                failures += not self.gate.breaker.is_open
                backoff = _BACKOFF * 2 ** min(failures, 8) * (0.5 + random.random())
                pause = max(pause, min(_MAX_BACKOFF, backoff))
            if failures >= TRIES or timeouts >= TIMEOUTS or limited >= LIMITED:
                return Sent(row, outcome, attempts, given_up=True)
            if pause:
                self._tally.retrying += 1
                try:
                    await asyncio.sleep(pause)
                finally:
                    self._tally.retrying -= 1

    # -- one attempt -----------------------------------------------------------------------------------------

    async def _attempt(
        self, request: ChatRequest, keys: tuple[bytes, bytes], mode: str, number: int, again: bool
    ) -> tuple[Outcome, int, float | None]:
        body = request_body(self.endpoint, request, mode)
        estimated = estimate_tokens(body.decode("utf-8"))
        worst = self.worst_case(request, estimated)
        if worst is None and self._budget.cap is not None:
            raise InputError(
                "a budget needs a price and max_tokens in every request; give both, or no budget"
            )
        await self._budget.reserve(worst or 0.0)
        counter = "retrying" if again else "waiting"
        self._count(counter, 1)
        try:
            tokens = round(estimated * self._ratio + min(self._completion, request.max_tokens or 1 << 20))
            ticket = await self.gate.enter(tokens, ahead=again)
        except BaseException:
            self._budget.settle(worst or 0.0, 0.0)
            raise
        finally:
            self._count(counter, -1)
        row = {
            "key": keys[0],
            "item": keys[1],
            "endpoint": self.number,
            "purpose": request.purpose,
            "version": request.version,
            "sample": request.sample,
            "attempt": number,
            "mode": mode if request.schema is not None else None,
            "started": time.time(),
            "estimated": estimated,
            "reserved": worst,
        }
        # A task of its own, and shielded: whoever waits may be cancelled, but the answer is paid for.
        task = asyncio.ensure_future(self._exchange(ticket, row, body, worst or 0.0))
        self._in_flight.add(task)
        task.add_done_callback(self._in_flight.discard)
        return await asyncio.shield(task)

    async def _exchange(
        self, ticket: Any, row: dict[str, Any], body: bytes, worst: float
    ) -> tuple[Outcome, int, float | None]:
        self._tally.in_flight += 1
        began = time.perf_counter()
        headers = received = wait = outcome = None
        number = 0
        try:
            number = self._ledger.begin(row, body)
            try:
                reply = await self._transport.post(body)
                received, headers = reply.body, reply.headers
                wait = asked_to_wait(headers)
                asked = row["mode"] in MODES[:2]
                outcome = read_answer(reply.status, reply.body, schema_asked=asked)
            except TransportError as error:
                outcome = failed_transport(error.kind, error.reason)
            seconds = time.perf_counter() - began
            cost = self._cost(outcome, row["estimated"])
            self._budget.settle(worst, worst if cost is None else cost)
            await self._ledger.finish(number, outcome, received, seconds, cost)
        finally:
            self._tally.in_flight -= 1
            # The slot is free only now: so never more is unrecorded than may be in flight.
            self.gate.leave(ticket, outcome, wait, headers)
        self._calibrate(outcome, row["estimated"])
        return outcome, number, wait

    def _count(self, counter: str, by: int) -> None:
        setattr(self._tally, counter, getattr(self._tally, counter) + by)

    # -- money -----------------------------------------------------------------------------------------------

    def worst_case(self, request: ChatRequest, estimated: int) -> float | None:
        """The most that a request may cost; None where the price or ``max_tokens`` isn't known."""
        if self.endpoint.price is None or request.max_tokens is None:
            return None
        # Estimates are off by some percent; the cap is not to be.
        return self.endpoint.price.of(round(estimated * max(1.0, self._ratio) * 1.2), request.max_tokens)

    def _cost(self, outcome: Outcome, estimated: int) -> float | None:
        price = self.endpoint.price
        if price is None or outcome.kind in UNKNOWN_COST:
            return None
        prompt, completion = outcome.prompt_tokens, outcome.completion_tokens
        if prompt is None and outcome.kind in ANSWERS:
            prompt, completion = round(estimated * self._ratio), estimate_tokens(outcome.text or "")
        return price.of(prompt or 0, completion or 0)

    def _calibrate(self, outcome: Outcome, estimated: int) -> None:
        if outcome.prompt_tokens and estimated:
            self._ratio += 0.05 * (outcome.prompt_tokens / estimated - self._ratio)
        if outcome.completion_tokens:
            self._completion += 0.05 * (outcome.completion_tokens - self._completion)

    # -- answer formats --------------------------------------------------------------------------------------

    async def _format(self, request: ChatRequest) -> tuple[str, asyncio.Event | None]:
        """The answer format to ask for; with an event to set if this request is the one that finds out."""
        if request.schema is None or self._mode is not None:
            return self._next_mode, None
        if self._detecting is None:
            self._detecting = asyncio.Event()
            return self._next_mode, self._detecting
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._detecting.wait(), _DETECTION_SECONDS)
        return self._next_mode, None

    def _learn_format(self, request: ChatRequest, mode: str, outcome: Outcome) -> None:
        if request.schema is None:
            return
        if outcome.kind == "mode":
            below = MODES[min(MODES.index(mode) + 1, len(MODES) - 1)]
            if MODES.index(below) > MODES.index(self._next_mode):
                self._next_mode, self._mode = below, None
                if self._notify is not None:
                    self._notify(f"{self.gate.name}: 不支持 {mode}，改用 {below} ({outcome.reason})")
        elif outcome.kind in ANSWERS and self._mode is None and mode == self._next_mode:
            self._mode = mode
            self._ledger.remember(self.number, mode=mode)

    # -- ends ------------------------------------------------------------------------------------------------

    def _unmake_refusals(self) -> None:
        """The last requests were refused for the settings, not for what they are: they may be asked again."""
        if self._refused:
            self._ledger.reclassify(self._refused, "refused_all")
            self._refused = []

    async def close(self, grace: float) -> None:
        """Wait for what is in flight, keep what was learnt, close the connections."""
        try:
            if self._in_flight:
                await asyncio.wait(self._in_flight, timeout=grace)
            for task in list(self._in_flight):
                task.cancel()
            if self._in_flight:
                await asyncio.gather(*self._in_flight, return_exceptions=True)
            learnt = self.gate.pacer.learnt()
            if learnt:
                self._ledger.remember(self.number, limits=learnt)
        finally:
            self.gate.give_up("the client was closed")
            await self._transport.close()

    @property
    def in_flight(self) -> int:
        """Requests that were sent and have no answer yet."""
        return len(self._in_flight)
