"""The client: asks endpoints, learns their limits, pays for nothing twice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import NamedTuple, TypeVar

from reward_model.errors import InputError
from reward_model.jsonl import one_line, shown
from reward_model.llm.budget import Budget
from reward_model.llm.gate import Gate, Slots
from reward_model.llm.ledger import Ledger
from reward_model.llm.outcome import Outcome
from reward_model.llm.repairs import REPAIRABLE, repaired, use
from reward_model.llm.sending import Sender, Sent, Tally
from reward_model.llm.tokens import estimate_tokens
from reward_model.llm.transport import Transport
from reward_model.llm.types import Answer, ChatRequest, Endpoint, Failure
from reward_model.llm.wire import draw_endpoint, request_body, request_key

T = TypeVar("T")

_GRACE = 60.0
"""Seconds that a run which was interrupted waits for the answers it has asked for."""


class Counters(NamedTuple):
    """Where a run stands.

    Attributes:
        done: requests that ended, well or not.
        in_flight: sent, no answer yet.
        waiting: for the endpoint's limits, not sent yet.
        retrying: failed at least once, waiting to be sent again.
    """

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


class _Asked(NamedTuple):
    """What :meth:`ChatClient._ask` found: the row, what it says, attempts made now."""

    row: int
    outcome: Outcome | None
    attempts: int
    verdict: str | None = None
    failure: Failure | None = None


class ChatClient:
    """Asks OpenAI-compatible endpoints; an async context manager.

    Args:
        endpoints: whom to ask.
        ledger: where every attempt is kept, and where answers are looked up first.
        budget: the most that all attempts in the ledger, earlier runs included, may cost; needs a price for
            each endpoint and ``max_tokens`` in each request.
        max_in_flight: requests at a time, over all endpoints.
        timeout: seconds for one attempt.
        replay: answer from the ledger only; no network.
        retry_failures: ask again what failed for good in an earlier run (refused, filtered, unusable).
        patience: seconds that an endpoint which only fails is tried again before the run ends.
        notify: gets a line when the run slows down, waits or stops sending.

    Raises:
        InputError: no endpoint, the same one twice, or a budget without prices.
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
        patience: float = 120,
        notify: Callable[[str], None] | None = None,
    ) -> None:
        if not endpoints:
            raise InputError("no endpoint to ask; name a model and a base URL")
        names = [(one.identity, one.model, one.enable_thinking, repr(dict(one.extra))) for one in endpoints]
        if len(set(names)) < len(names):
            raise InputError("the same model at the same address is given twice; raise its weight instead")
        unpriced = [one.model for one in endpoints if one.price is None]
        if budget is not None and unpriced:
            raise InputError(f"a budget needs the price of {shown(unpriced[0])}; give prices, or no budget")
        if max_in_flight < 1 or timeout <= 0 or patience <= 0 or (budget is not None and budget <= 0):
            raise InputError("max_in_flight, timeout, patience and budget must be over 0; correct them")
        self._endpoints = tuple(endpoints)
        self._ledger = ledger
        self._cap = budget
        self._most = max_in_flight
        self._timeout = timeout
        self._replay = replay
        self._patience = patience
        self._notify = notify
        self._failures_from = ledger.last_id if retry_failures else 0
        self._senders: list[Sender] = []
        self._asking: dict[bytes, asyncio.Event] = {}
        self._tally = Tally()

    async def __aenter__(self) -> ChatClient:
        if self._replay:
            return self
        slots = Slots(self._most)
        budget = Budget(self._cap, self._ledger.spent() if self._cap is not None else 0.0)
        for endpoint in self._endpoints:
            number, mode, limits = self._ledger.endpoint(endpoint.identity, endpoint.model)
            gate = Gate(
                one_line(endpoint.model, 60),
                endpoint.limits,
                limits,
                slots,
                self._patience,
                self._notify,
                proven=self._ledger.knows_answers(number),
            )
            transport = Transport(endpoint, self._timeout)
            parts = (gate, transport, self._ledger, budget, self._tally, self._notify)
            self._senders.append(Sender(endpoint, number, mode, *parts))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for what is in flight (it is paid for), then close the connections."""
        senders, self._senders = self._senders, []
        left = sum(sender.in_flight for sender in senders)
        if left and self._notify is not None:
            self._notify(
                f"等待 {left} 个已发出的请求 (waiting for what is paid for; interrupt again to drop it)"
            )
        grace = self._timeout if kind is None else min(self._timeout, _GRACE)
        await asyncio.gather(*(sender.close(grace) for sender in senders))

    @property
    def counters(self) -> Counters:
        """Where the run stands now."""
        tally = self._tally
        return Counters(tally.done, tally.in_flight, tally.waiting, tally.retrying)

    def quote(self, requests: Iterable[ChatRequest], *, model: str | None = None) -> Quote:
        """What ``requests`` would cost; nothing is sent. Works outside of ``async with`` too."""
        count = known = prompt = completion = 0
        cost: float | None = 0.0
        ratios: dict[int, float] = {}
        for request in requests:
            count += 1
            index = self._choose(request, model)
            endpoint = self._endpoints[index]
            body = request_body(endpoint, request)
            if self._ledger.find(request_key(endpoint, request, body), self._failures_from) is not None:
                known += 1
                continue
            if index not in ratios:
                number = self._ledger.endpoint(endpoint.identity, endpoint.model)[0]
                ratios[index] = self._ledger.token_ratio(number) or 1.0
            tokens = round(estimate_tokens(body.decode("utf-8")) * ratios[index])
            prompt += tokens
            completion += request.max_tokens or 0
            if endpoint.price is None or request.max_tokens is None:
                cost = None
            elif cost is not None:
                cost += endpoint.price.of(tokens, request.max_tokens)
        return Quote(count, known, prompt, completion, cost)

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
            read: makes a value of the answer. With a ``schema`` it gets the answer's JSON alone, mended where
                it was nearly JSON. An AnswerError or pydantic ValidationError that it raises is shown to the
                model, and the model is asked again.
            repairs: how often.

        Raises:
            EndpointError: what ends the run: 401, 403, an unknown model, no money, an endpoint that keeps
                failing.
            BudgetError: the next attempt might cost more than is left.
            InputError: no endpoint has that model, or a budget meets a request without ``max_tokens``.
        """
        index = self._choose(request, model)
        name = self._endpoints[index].model
        item = request_key(self._endpoints[index], request)
        attempts = 0
        asked = request
        try:
            for left in range(max(0, repairs), -1, -1):
                found = await self._ask(index, asked, item)
                attempts += found.attempts
                if found.outcome is None:
                    return Answer(None, None, found.failure, name, attempts, attempts == 0)
                text = found.outcome.text or None
                value, failure = use(asked, found.outcome, read)
                self._record(found, failure)
                if failure is None or failure.kind not in REPAIRABLE or not left:
                    return Answer(text, value, failure, name, attempts, attempts == 0)
                asked = repaired(request, failure, text, max(0, repairs) - left + 1)
            raise AssertionError("unreachable")
        finally:
            self._tally.done += 1

    def _record(self, found: _Asked, failure: Failure | None) -> None:
        verdict = failure.kind if failure is not None and failure.kind in ("schema", "rejected") else None
        if verdict != found.verdict and not self._ledger.read_only:
            self._ledger.judge(found.row, verdict)

    def _choose(self, request: ChatRequest, model: str | None) -> int:
        places = [place for place, one in enumerate(self._endpoints) if model in (None, one.model)]
        if not places:
            raise InputError(f"no endpoint has the model {shown(model)}; add one, or name another model")
        return places[draw_endpoint([self._endpoints[place] for place in places], request)]

    async def _ask(self, index: int, request: ChatRequest, item: bytes) -> _Asked:
        """The answer from the ledger, else from the endpoint. The same request is not sent twice at a
        time."""
        key = request_key(self._endpoints[index], request)
        while True:
            found = self._ledger.find(key, self._failures_from)
            if found is not None:
                return _Asked(found.id, found.outcome, 0, found.verdict)
            if self._replay:
                return _Asked(0, None, 0, None, Failure("missing", self._why_missing(key)))
            other = self._asking.get(key)
            if other is None:
                break
            await other.wait()
        if not self._senders:
            raise RuntimeError("the client isn't open; use it as: async with ChatClient(...) as client")
        self._asking[key] = event = asyncio.Event()
        try:
            sent: Sent = await self._senders[index].send(request, key, item)
        finally:
            del self._asking[key]
            event.set()
        if sent.given_up:
            reason = f"given up after {sent.attempts} attempts, the last: {sent.outcome.reason}"
            return _Asked(sent.row, None, sent.attempts, None, Failure("exhausted", reason))
        return _Asked(sent.row, sent.outcome, sent.attempts)

    def _why_missing(self, key: bytes) -> str:
        query = "SELECT kind, fingerprint FROM attempts WHERE key = ? ORDER BY id DESC LIMIT 1"
        last = self._ledger.rows(query, (key,))
        if not last:
            return "not in the ledger"
        kind, fingerprint = last[0]
        return (
            f"no answer in the ledger; its last attempt failed: {kind} ({one_line(fingerprint or '', 200)})"
        )
