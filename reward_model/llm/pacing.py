"""How fast an endpoint may be asked: learnt from what it rejects. Pure: every method is told the time.

The model of an endpoint: requests a second, evenly spaced (``rate``; None: no limit met), and requests and
tokens in a sliding minute. It starts slowly and doubles until something is rejected; then it takes the
rate that was let through, holds it, and tries a little more now and then. Rejections that come at every
rate alike (``noise``) are none of the rate's doing and don't lower it.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

from reward_model.llm.minute import MINUTE, Minute
from reward_model.llm.types import Limits

START_RATE = 8.0
"""Requests a second at first."""
DOUBLING = 0.5
"""Seconds after which the rate doubles, as long as nothing is rejected."""
FAST_AFTER, FAST_DOUBLING = 24, 0.2
"""After so many requests without a rejection, most limits that there are would have shown: it doubles
sooner."""
OPEN_RATE = 1024.0
"""At this rate pacing ends: more than this an endpoint that didn't object once doesn't need to be spared."""
MARGIN = 0.97
"""Of a rate that was let through, what is asked for from then on: clocks and networks jitter."""
_AGAIN = 0.98
"""Of the rate that an earlier run held: another day, another jitter."""
MAX_PAUSE = 30.0
_CATCH_UP, _EVEN_BELOW = 0.03, 25.0


@dataclass(slots=True)
class Sent:
    """A request on its way: its number, when it was sent, the tokens that it may cost."""

    index: int
    at: float
    tokens: int


class Pacer:
    """The pace of one endpoint.

    Args:
        limits: upper bounds that the user gave.
        learnt: what :meth:`learnt` gave in an earlier run.
    """

    def __init__(self, limits: Limits, learnt: dict[str, float] | None = None) -> None:
        known = learnt or {}
        if "requests_per_second" in known:
            known = {**known, "requests_per_second": known["requests_per_second"] * _AGAIN}
        self._limits = limits
        self.doubling = known.get("doubling", DOUBLING)
        self.rpm: float | None = known.get("requests_per_minute")
        self.tpm: float | None = known.get("tokens_per_minute")
        self.rate: float | None = known.get("requests_per_second")
        self.holding = self.rate is not None
        if self.rate is None:
            self.rate = max(START_RATE, known.get("seen_per_second", 0.0) / 2)
        # A limit that an earlier run came to know is not tested again at once.
        self._hold_for = 2.0 if not self.holding else 30.0 if known.get("tested") else 12.0
        self._step = 0.05
        self._trial_from: float | None = None
        self._seen = known.get("seen_per_second", 0.0)
        self.noise = 0.0
        self._share = 1.0
        self._capacity = self._let_through = 0.0
        self._slow_sent = self._slow_rejected = 0
        self._ever_rejected = False
        self._index = 0
        self._epoch = 0
        self._epoch_at = self._last_at = -math.inf
        self._epoch_rejected = 0
        self._probe_at = -math.inf
        self._next_at = -math.inf
        self._recent: deque[float] = deque()
        self._last: deque[list[int]] = deque(maxlen=10)
        self._minute = Minute()
        self.paused_until = -math.inf
        self._pauses = 0
        self._probe: int | None = None
        self._blocked_since: float | None = None
        self._blocked_minute = (0.0, 0.0)
        self._blocked_by_tokens = False
        self._slowest_rejection = 0.05

    # -- asking ----------------------------------------------------------------------------------------------

    def delay(self, now: float, tokens: int = 0) -> float:
        """Seconds until a request that may cost ``tokens`` can be sent; 0: now."""
        self._grow(now)
        wait = max(self.paused_until - now, self._next_at - now)
        if self._probe is not None:
            # After a pause one request, and the next when that would have been rejected by now.
            known = self._probe_at + max(0.1, 3 * self._slowest_rejection)
            if now >= known:
                self._unblock(now)
            else:
                wait = max(wait, known - now)
        if self.holding and self.rate is not None:
            self._forget(now)
            room = max(1.0, self.rate / MARGIN)
            if len(self._recent) >= room:
                oldest = self._recent[len(self._recent) - math.floor(room)]
                wait = max(wait, oldest + 1 + (1 - MARGIN) - now)
        minute = self._minute.wait(now, tokens, self._known("requests"), self._known("tokens"))
        return max(0.0, wait, minute)

    def sent(self, now: float, tokens: int = 0) -> Sent:
        """Note that a request is sent now."""
        if self._index == 0:
            self._epoch_at = now
        sent = Sent(self._index, now, tokens)
        self._last_at = now
        self._index += 1
        self._recent.append(now)
        self._last.append([sent.index, 0])
        if self._pauses and self._probe is None:
            self._probe, self._probe_at = sent.index, now
        rate = self._pace(tokens)
        if rate is not None:
            # A timer that fires late must not lower a high rate; at a low one, two at once may be one too
            # many.
            catch_up = _CATCH_UP if rate > _EVEN_BELOW else 0.0
            self._next_at = max(self._next_at, now - catch_up) + 1 / rate
        self._minute.add(now, 1, tokens)
        return sent

    # -- learning --------------------------------------------------------------------------------------------

    def answered(self, sent: Sent, now: float, tokens: int | None) -> None:
        """The endpoint took the request; ``tokens`` it cost, where known."""
        if tokens is not None and tokens != sent.tokens:
            self._minute.add(sent.at, 0, tokens - sent.tokens)
        if self._probe is not None and sent.index >= self._probe:
            self._unblock(now)
        if not self.holding:
            self._forget(now)
            self._seen = max(self._seen, float(len(self._recent)))

    def rejected(
        self,
        sent: Sent,
        now: float,
        *,
        by_tokens: bool = False,
        growth: bool = False,
        wait: float | None = None,
    ) -> None:
        """The endpoint refused for its limits.

        Args:
            sent: the request.
            now: the time.
            by_tokens: the tokens were too many, not the requests.
            growth: the rate grew too fast.
            wait: what the endpoint asks to wait, in seconds.
        """
        self._slowest_rejection = max(0.9 * self._slowest_rejection, min(2.0, now - sent.at))
        self._minute.add(sent.at, -1, -sent.tokens)
        if sent.at in self._recent:
            self._recent.remove(sent.at)
        for entry in self._last:
            if entry[0] == sent.index:
                entry[1] = 1
        self._blocked_by_tokens = by_tokens
        self._ever_rejected = True
        probing = self._probe is not None and sent.index >= self._probe
        if wait is not None and (wait > 5 or self._rejected_lately() >= 2 or probing):
            self.paused_until = max(self.paused_until, now + wait)
        if sent.index < self._epoch:
            return  # sent before the rate was lowered
        self._epoch_rejected += 1
        if probing:
            self._pause(now)
        elif growth:
            self._slow_growth(now)
        elif self._trial_from is not None:
            self._end_trial(sent, now)
        elif self.holding:
            self._lower(sent, now)
        elif self._rejected_lately() > max(1 if wait is not None else 2, 3 * self.noise * len(self._last)):
            self._settle(now)

    def _rejected_lately(self) -> int:
        return sum(rejected for _, rejected in self._last)

    def _settle(self, now: float) -> None:
        """Too fast: take the rate that was let through."""
        rate = self.rate or self._throughput(now)
        first = next(place for place, (_, rejected) in enumerate(self._last) if rejected)
        after = [rejected for _, rejected in self._last][first + 1 :]
        share = after.count(0) / len(after) if after else 0.0
        found = self._throughput(now)
        if share > 0:
            # Two views: what a burst let through, and what is let through now. Either alone misleads.
            found = min(found, math.sqrt(found * max(0.25, share) * rate))
        self._new_rate(now, max(0.1, found * MARGIN))
        self.holding, self._share = True, self._rejected_lately() / len(self._last)
        self._capacity = rate * (1 - self._share)
        self._let_through, self._slow_sent, self._slow_rejected = self._throughput(now), 0, 0
        if not any(rejected == 0 for rejected in after[-3:]):
            self._pause(now)

    def _throughput(self, now: float) -> float:
        """What was let through in the last second, or since the first request if that is less."""
        self._forget(now)
        spread = now - self._recent[0] if self._recent else 1.0
        return len(self._recent) / min(1.0, max(spread, 0.1)) if spread < 1 else float(len(self._recent))

    def _lower(self, rejected: Sent, now: float) -> None:
        # What was sent after the rejected one may be rejected too; that isn't known yet.
        sent = rejected.index - self._epoch + 1
        rate = self.rate or 1.0
        share = self._epoch_rejected / sent
        if rate <= 0.6 * self._let_through:
            # Much slower than what was let through before: if it goes on, it isn't the rate's doing.
            slow_sent, slow_rejected = self._slow_sent + sent, self._slow_rejected + self._epoch_rejected
            if slow_sent < 15 and share < 0.5:
                return
            self.noise = max(self.noise, min(0.15, slow_rejected / slow_sent))
        if self._epoch_rejected < 2 or self._epoch_rejected <= 1 + self._by_chance(sent):
            return
        if sent < 20 and share < 0.15:
            return  # too few to tell
        # What a limit of the rate would still reject at this rate, by what it let through at the one before.
        expected = max(0.0, 1 - self._capacity / rate)
        if sent >= 20 and expected + 0.5 * self._share <= share <= 0.15:
            # Slower, and rejections as before: not the rate's doing.
            self.noise = max(self.noise, share)
        self._share, self._capacity = share, rate * (1 - share)
        self._new_rate(now, max(0.1, rate * max(0.5, 1 - share)))
        if self._rejected_lately() >= 5:
            self._pause(now)

    def _by_chance(self, sent: int) -> float:
        """So many rejections among ``sent`` may be noise: three standard deviations over the mean."""
        mean = self.noise * sent
        return mean + 3 * math.sqrt(mean)

    def _slow_growth(self, now: float) -> None:
        self.doubling = min(8.0, self.doubling * 2)
        if self.rate is not None:
            self._new_rate(now, max(1.0, self.rate / 2))
        self.paused_until = max(self.paused_until, now + 1.0)

    def _end_trial(self, rejected: Sent, now: float) -> None:
        sent = rejected.index - self._epoch + 1
        if self._epoch_rejected <= 0.02 * sent + self._by_chance(sent):
            return
        assert self._trial_from is not None
        rate, self._trial_from = self._trial_from, None
        self._step = max(0.02, self._step / 4)
        self._hold_for = min(8.0 if self.noise else 600.0, self._hold_for * 2)
        self._new_rate(now, rate)

    def _next_epoch(self, now: float) -> None:
        if self.holding and self.rate is not None and self.rate <= 0.6 * self._let_through:
            self._slow_sent += self._index - self._epoch
            self._slow_rejected += self._epoch_rejected
        self._epoch, self._epoch_at, self._epoch_rejected = self._index, now, 0

    def _new_rate(self, now: float, rate: float) -> None:
        self._next_epoch(now)
        self.rate = rate
        self._next_at = max(self._next_at, now + 1 / rate)

    def _grow(self, now: float) -> None:
        if self.rate is None or self._index == 0:
            return
        sent, passed = self._index - self._epoch, now - self._epoch_at
        # A rate that nobody used proved nothing.
        used = sent >= 0.5 * self.rate * passed
        if not self.holding:
            fast = self._index >= FAST_AFTER and not self._ever_rejected and self.doubling == DOUBLING
            if passed >= (FAST_DOUBLING if fast else self.doubling):
                self._next_epoch(now)
                if used and not self._frozen():
                    self.rate *= 2
                    if self.rate >= OPEN_RATE:
                        self.rate = None
            return
        long_enough = 1.0 if self._trial_from is not None else self._hold_for
        if passed < long_enough or sent < max(10, self.rate):
            return
        if not used:
            self._next_epoch(now)
        elif self._trial_from is not None:
            self._trial_from, self._step = None, min(1.0, self._step * 2)
            self._begin_trial(now)
        elif self.rpm is None and self.tpm is None:
            self._begin_trial(now)

    def _frozen(self) -> bool:
        return any(rejected for _, rejected in list(self._last)[-5:])

    def _begin_trial(self, now: float) -> None:
        assert self.rate is not None
        if self.rate * (1 + self._step) >= OPEN_RATE:
            self.rate, self.holding = None, False
            return
        self._trial_from = self.rate
        self.rate *= 1 + self._step
        self._next_epoch(now)

    # -- pauses ----------------------------------------------------------------------------------------------

    def _pause(self, now: float) -> None:
        """Send nothing for a while, twice as long each time; then one request, to see."""
        if self._blocked_since is None:
            self._blocked_since = now
            self._blocked_minute = (self._minute.requests, self._minute.tokens)
        # The first is as long as a one-second window; what asked to wait longer is kept to.
        self.paused_until = max(self.paused_until, now + min(MAX_PAUSE, 1.0 * 2**self._pauses))
        self._pauses += 1
        self._probe = None

    def _unblock(self, now: float) -> None:
        since, pauses = self._blocked_since, self._pauses
        self._pauses, self._probe, self._blocked_since = 0, None, None
        if since is None or now - since < 20 or pauses < 5:
            return
        # Far longer than any limit of a second: it was the minute's.
        requests, tokens = self._blocked_minute
        if self._blocked_by_tokens:
            self.tpm = max(1.0, tokens * MARGIN)
        else:
            self.rpm = max(1.0, requests * MARGIN)
        self._new_rate(now, START_RATE)
        self.holding = False

    @property
    def blocked_since(self) -> float | None:
        """When it began that nothing was let through; None while something is."""
        return self._blocked_since if self._pauses else None

    # -- windows ---------------------------------------------------------------------------------------------

    def announced(self, requests: float | None, tokens: float | None) -> None:
        """What ``x-ratelimit-limit-*`` say: requests and tokens a minute."""
        if requests is not None and requests >= 1:
            self.rpm = requests
        if tokens is not None and tokens >= 1:
            self.tpm = tokens

    def _known(self, what: str) -> float | None:
        """The least that is known to be allowed in a minute, of "requests" or "tokens"."""
        given, learnt = self._limits, (self.rpm if what == "requests" else self.tpm)
        told = given.requests_per_minute if what == "requests" else given.tokens_per_minute
        return min((limit for limit in (learnt, told) if limit is not None), default=None)

    def _pace(self, tokens: int) -> float | None:
        """Requests a second that all limits together allow for requests like this one."""
        requests, priced = self._known("requests"), self._known("tokens")
        rates = [
            self.rate,
            self._limits.requests_per_second,
            requests / MINUTE if requests is not None else None,
            priced / MINUTE / tokens if priced is not None and tokens else None,
        ]
        return min((rate for rate in rates if rate is not None), default=None)

    def _forget(self, now: float) -> None:
        while self._recent and self._recent[0] <= now - 1 - (1 - MARGIN):
            self._recent.popleft()

    def _held(self) -> float:
        rate = self._trial_from or self.rate or START_RATE
        sent, passed = self._index - self._epoch, self._last_at - self._epoch_at
        # A run that ended before a rejection led to anything: what got through in that time.
        if not self._epoch_rejected or passed <= 1:
            return rate
        return min(rate, (sent - self._epoch_rejected) / passed)

    # -- remembering -----------------------------------------------------------------------------------------

    def learnt(self) -> dict[str, float]:
        """What the next run should know."""
        found: dict[str, float] = {}
        if self.holding and self.rate is not None:
            found["requests_per_second"] = round(self._held(), 3)
            found["tested"] = float(self._hold_for > 5)
        elif self._seen:
            found["seen_per_second"] = self._seen
        if self.rpm is not None:
            found["requests_per_minute"] = round(self.rpm, 1)
        if self.tpm is not None:
            found["tokens_per_minute"] = round(self.tpm)
        if self.doubling != DOUBLING:
            found["doubling"] = self.doubling
        return found
