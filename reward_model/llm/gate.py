"""Where requests wait until an endpoint may be asked: pace, concurrency and circuit breaker together."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from reward_model.llm.breaker import Breaker
from reward_model.llm.outcome import ANSWERS, FATAL, Outcome
from reward_model.llm.pacing import Pacer, Sent
from reward_model.llm.types import EndpointError, Limits

LONGEST_WAIT = 600.0
"""An endpoint that asks to wait longer ends the run, which can go on later."""
_REMEDIES = {
    "auth": "check the API key, and that it may use this model",
    "not_found": "check the model's name and the base URL",
    "no_money": "top up the account, then run the same command again",
    "quota": "raise the quota or top up the account, then run the same command again",
    "redirect": "requests with a key are not redirected",
}
_OVERLOAD = frozenset({"server_error", "timeout", "connection", "unreachable"})
_QUIET = 10.0
"""Seconds between two lines about the same thing."""


@dataclass(slots=True)
class Ticket:
    """Leave to send one request."""

    sent: Sent
    probe: bool


class Slots:
    """Requests in flight over all endpoints."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.used = 0
        self.gates: list[Gate] = []

    def release(self) -> None:
        """One ended: let others in, on whichever endpoint."""
        self.used -= 1
        for gate in self.gates:
            if self.used >= self.most:
                break
            gate.pump()
        # Whoever came last should not always come last.
        if len(self.gates) > 1:
            self.gates.append(self.gates.pop(0))


class Gate:
    """One endpoint's entrance.

    Concurrency is additive increase, multiplicative decrease: halved when over two fifths of the last
    answers were overload (5xx, time-outs, resets), one more after each window of good ones.

    Args:
        name: the endpoint's, for messages.
        limits: that the user gave.
        learnt: of an earlier run.
        slots: shared by all endpoints.
        patience: seconds without any answer after which it is given up.
        notify: gets a line when something slows down.
        proven: it answered in an earlier run.
    """

    def __init__(
        self,
        name: str,
        limits: Limits,
        learnt: dict[str, float] | None,
        slots: Slots,
        patience: float,
        notify: Callable[[str], None] | None,
        proven: bool = False,
    ) -> None:
        self.name = name
        self.pacer = Pacer(limits, learnt)
        self.breaker = Breaker(patience)
        self.breaker.proven = proven
        self.window = float(slots.most)
        self.in_flight = 0
        self.error: EndpointError | None = None
        self._slots = slots
        self._patience = patience
        self._notify = notify
        self._told: dict[str, float] = {}
        self._waiters: deque[tuple[asyncio.Future[Ticket], int]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._overload = 0.0
        self._cut = 0
        self._loop = asyncio.get_running_loop()
        slots.gates.append(self)

    async def enter(self, tokens: int, *, ahead: bool = False) -> Ticket:
        """Wait for leave to send a request that may cost ``tokens``; ``ahead`` of those that come new.

        Raises:
            EndpointError: the endpoint was given up.
        """
        if self.error is not None:
            raise self.error
        if not self._waiters and self._wait(tokens) <= 0:
            return self._admit(tokens)
        future: asyncio.Future[Ticket] = self._loop.create_future()
        (self._waiters.appendleft if ahead else self._waiters.append)((future, tokens))
        self.pump()
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:
                self.leave(future.result(), None)
            raise

    def _wait(self, tokens: int) -> float:
        if self.in_flight >= int(self.window) or self._slots.used >= self._slots.most:
            return math.inf
        held = self.breaker.delay(self._loop.time())
        return held if held == math.inf else max(held, self.pacer.delay(self._loop.time(), tokens))

    def _admit(self, tokens: int) -> Ticket:
        self.in_flight += 1
        self._slots.used += 1
        return Ticket(self.pacer.sent(self._loop.time(), tokens), self.breaker.sent())

    def pump(self) -> None:
        """Let in whoever may go now; come back when the next one may."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waiters:
            future, tokens = self._waiters[0]
            if future.done():
                self._waiters.popleft()
                continue
            wait = self._wait(tokens)
            if wait > 0:
                if wait < math.inf:
                    self._timer = self._loop.call_later(wait, self.pump)
                return
            self._waiters.popleft()
            future.set_result(self._admit(tokens))

    def leave(
        self,
        ticket: Ticket,
        outcome: Outcome | None,
        wait: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """A request ended; None: it was never sent. Learn from it, then let others in.

        Args:
            ticket: from :meth:`enter`.
            outcome: what came of it.
            wait: seconds that the endpoint asks to wait.
            headers: of the answer, with lower-case names.
        """
        self.in_flight -= 1
        now = self._loop.time()
        if outcome is None:
            self.breaker.dropped(ticket.probe)
        else:
            self._learn(ticket, outcome, wait, now)
            if headers:
                self._announced(headers)
        self._slots.release()

    def _learn(self, ticket: Ticket, outcome: Outcome, wait: float | None, now: float) -> None:
        kind = outcome.kind
        if wait is not None and wait > LONGEST_WAIT:
            self.give_up(
                f"asks to wait {wait / 60:.0f} minutes ({outcome.reason}); run the same command again then"
            )
            return
        if kind in FATAL or (kind == "quota" and not self.breaker.proven):
            self.give_up(f"{outcome.reason}; {_REMEDIES[kind]}")
        elif kind in ("rate_limit", "quota"):
            self._limited(ticket, outcome, wait, now)
        elif kind in _OVERLOAD or kind in ("bad_body", "oversized"):
            self._failed(ticket, outcome, wait, now)
        elif kind == "client_error":
            self.pacer.answered(ticket.sent, now, None)
            if self.breaker.refused(outcome.fingerprint):
                self.give_up(f"refuses every request: {outcome.reason}; check the settings of the model")
        else:
            tokens = (outcome.prompt_tokens or 0) + (outcome.completion_tokens or 0)
            self.pacer.answered(ticket.sent, now, tokens or None)
            self._overload *= 31 / 32
            if kind in ANSWERS or kind == "content_filter":
                if self.breaker.is_open:
                    self._tell("open", "恢复应答，继续 (answers again)", now, always=True)
                self.breaker.succeeded()
            else:
                self.breaker.dropped(ticket.probe)
            if self.in_flight + 1 >= int(self.window) < self._slots.most:
                self.window = min(self._slots.most, self.window + 1 / self.window)

    def _limited(self, ticket: Ticket, outcome: Outcome, wait: float | None, now: float) -> None:
        self.breaker.dropped(ticket.probe)
        told = f"{outcome.code} {outcome.reason}".lower()
        growth = "burst" in told or "increased too quickly" in told
        by_tokens = outcome.kind == "quota" or "token" in told or "allocat" in told or "tpm" in told
        before = self.pacer.rate
        self.pacer.rejected(ticket.sent, now, by_tokens=by_tokens, growth=growth, wait=wait)
        blocked = self.pacer.blocked_since
        # A minute's limit can hold everything back for a minute and the longest pause.
        if blocked is not None and now - blocked > max(self._patience, 100.0):
            self.give_up(f"lets nothing through for {now - blocked:.0f} s: {outcome.reason}")
        elif self.pacer.paused_until - now > 5:
            pause = self.pacer.paused_until - now
            self._tell("limit", f"被限流，等待 {pause:.0f} 秒 (rate limited: {outcome.reason})", now)
        elif self.pacer.rate is not None and self.pacer.rate != before:
            self._tell(
                "limit", f"被限流，降到每秒 {self.pacer.rate:.1f} 次 (rate limited: {outcome.reason})", now
            )

    def _failed(self, ticket: Ticket, outcome: Outcome, wait: float | None, now: float) -> None:
        if outcome.kind in _OVERLOAD:
            self._overload = self._overload * 31 / 32 + 1 / 32
        if self._overload > 0.4 and ticket.sent.index >= self._cut and self.window > 1:
            self.window = float(max(1, int(self.window) // 2))
            # Those that are in flight already say nothing about the smaller window.
            self._cut = ticket.sent.index + self.in_flight + 1
            self._overload = 0.0
            self._tell("window", f"过载，并发降到 {self.window:.0f} (overloaded: {outcome.reason})", now)
        if wait is not None and wait > 5:
            self.pacer.paused_until = max(self.pacer.paused_until, now + wait)
            self._tell("limit", f"要求等待 {wait:.0f} 秒 (asked to wait: {outcome.reason})", now)
        was_open = self.breaker.is_open
        if self.breaker.failed(now, ticket.probe):
            self.give_up(f"does not answer: {outcome.reason}")
        elif self.breaker.is_open:
            pause = max(0.0, self.breaker.delay(now))
            if not was_open or pause < math.inf:
                self._tell(
                    "open",
                    f"连续 {self.breaker.failures} 次失败，{pause:.0f} 秒后再试 (failing: {outcome.reason})",
                    now,
                    always=not was_open,
                )

    def _announced(self, headers: Mapping[str, str]) -> None:
        found = [_number(headers.get(f"x-ratelimit-limit-{what}")) for what in ("requests", "tokens")]
        if found != [None, None]:
            self.pacer.announced(*found)

    def give_up(self, reason: str) -> None:
        """End everything that waits here; requests in flight are let finish."""
        if self.error is None:
            self.error = EndpointError(f"{self.name}: {reason}")
        if self._timer is not None:
            self._timer.cancel()
        while self._waiters:
            future, _ = self._waiters.popleft()
            if not future.done():
                future.set_exception(self.error)

    def _tell(self, about: str, line: str, now: float, *, always: bool = False) -> None:
        if self._notify is None or (not always and now - self._told.get(about, -math.inf) < _QUIET):
            return
        self._told[about] = now
        self._notify(f"{self.name}: {line}")


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text else math.nan
    except ValueError:
        return None
    return value if 0 < value < math.inf else None
