"""Requests and tokens in the last minute, by seconds: bounded memory at any rate."""

from __future__ import annotations

import math
from collections import deque

MINUTE = 60.0


class Minute:
    """What was sent in the last minute; ``requests`` and ``tokens`` are its sums."""

    def __init__(self) -> None:
        self.requests = 0.0
        self.tokens = 0.0
        self._seconds: deque[list[float]] = deque()

    def add(self, at: float, requests: float, tokens: float) -> None:
        """Count what was sent at a time within the minute; later corrections may be negative."""
        second = math.floor(at)
        if not self._seconds or self._seconds[-1][0] < second:
            self._seconds.append([second, 0.0, 0.0])
        for entry in reversed(self._seconds):
            if entry[0] <= second:
                if entry[0] == second:
                    entry[1] += requests
                    entry[2] += tokens
                    self.requests += requests
                    self.tokens += tokens
                return

    def wait(self, now: float, tokens: int, most_requests: float | None, most_tokens: float | None) -> float:
        """Seconds until a request of so many tokens keeps within both limits (None: no limit)."""
        while self._seconds and self._seconds[0][0] + 1 + MINUTE <= now:
            _, requests, spent = self._seconds.popleft()
            self.requests -= requests
            self.tokens -= spent
        over_requests = self.requests + 1 - most_requests if most_requests is not None else 0.0
        # One that is larger than the whole limit must be let through alone, or it would wait for ever.
        over_tokens = self.tokens + tokens - max(most_tokens, tokens) if most_tokens is not None else 0.0
        leaves = now
        for second, requests, spent in self._seconds:
            if over_requests <= 0 and over_tokens <= 0:
                break
            over_requests -= requests
            over_tokens -= spent
            leaves = second + 1 + MINUTE
        return max(0.0, leaves - now)
