"""The rate limits that the chat server of the tests enforces, and how it tells of them."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field


@dataclass
class Limits:
    """Caps; None: no cap. Times are seconds of a monotonic clock."""

    requests: float | None = None
    """Requests in ``per`` seconds."""
    per: float = 1.0
    window: str = "bucket"
    """``bucket`` (refilled evenly, ``burst`` deep) or ``sliding`` (``requests`` in the last ``per``)."""
    burst: float = 1.0
    tokens: float | None = None
    """Tokens in ``tokens_per`` seconds, a sliding window, as the request is estimated to cost."""
    tokens_per: float = 60.0
    growth: float | None = None
    """A second's requests may exceed the one before this many times (at least ``growth_floor``)."""
    growth_floor: float = 8.0
    count_rejected: bool = False
    """Rejected requests use up the limit too."""
    _level: float = field(default=-1.0, repr=False)
    _at: float = field(default=0.0, repr=False)
    _seen: deque[float] = field(default_factory=deque, repr=False)
    _spent: deque[tuple[float, float]] = field(default_factory=deque, repr=False)
    _second: int = field(default=0, repr=False)
    _now: int = field(default=0, repr=False)
    _before: int = field(default=0, repr=False)

    def check(self, now: float, cost: float) -> tuple[str, float] | None:
        """Take one request of ``cost`` tokens; why it is refused and for how many seconds, or None."""
        for name, wait in (
            ("limit_burst_rate", self._grown(now)),
            ("limit_requests", self._asked(now)),
            ("limit_tokens", self._priced(now, cost)),
        ):
            if wait > 0:
                if self.count_rejected:
                    self._take(now, 0.0)
                return name, wait
        self._take(now, cost)
        return None

    def remaining(self, now: float) -> float:
        """Requests that would be let through at once."""
        if self.requests is None:
            return float("inf")
        self._asked(now)
        return max(0.0, self._level if self.window == "bucket" else self.requests - len(self._seen))

    def _asked(self, now: float) -> float:
        if self.requests is None:
            return 0.0
        if self.window == "sliding":
            while self._seen and self._seen[0] <= now - self.per:
                self._seen.popleft()
            return 0.0 if len(self._seen) < self.requests else self._seen[0] + self.per - now
        rate = self.requests / self.per
        self._level = (
            self.burst if self._level < 0 else min(self.burst, self._level + (now - self._at) * rate)
        )
        self._at = now
        return 0.0 if self._level >= 1 else (1 - self._level) / rate

    def _priced(self, now: float, cost: float) -> float:
        if self.tokens is None:
            return 0.0
        while self._spent and self._spent[0][0] <= now - self.tokens_per:
            self._spent.popleft()
        spent = sum(tokens for _, tokens in self._spent)
        if spent + cost <= self.tokens or not self._spent:
            return 0.0
        return self._spent[0][0] + self.tokens_per - now

    def _grown(self, now: float) -> float:
        if self.growth is None:
            return 0.0
        second = int(now)
        if second != self._second:
            self._before = self._now if second == self._second + 1 else 0
            self._second, self._now = second, 0
        allowed = max(self.growth_floor, self.growth * self._before)
        return 0.0 if self._now < allowed else second + 1 - now

    def _take(self, now: float, cost: float) -> None:
        self._now += 1
        if self.requests is not None:
            if self.window == "sliding":
                self._seen.append(now)
            else:
                self._level -= 1
        if self.tokens is not None and cost:
            self._spent.append((now, cost))
