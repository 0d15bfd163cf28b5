"""When to stop asking an endpoint that only fails: the circuit breaker. Pure: every method is told the
time."""

from __future__ import annotations

import math

THRESHOLD = 10
"""Failures in a row that open it."""
LONGEST = 30.0
"""Seconds between two probes, at most; the first comes after one second, each later after twice as long."""
SAME_ITEM_ERRORS = 20
"""So many requests in a row refused as invalid with the same words: it isn't the requests, it is the
settings."""
UNPROVEN = 20.0
"""Seconds that an endpoint which never answered is given: most likely its address is wrong."""


class Breaker:
    """Counts failures in a row; opens after ``THRESHOLD`` of them, lets single probes through, gives up.

    Args:
        patience: seconds from its opening until it gives up.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self.failures = 0
        self._fingerprint = ""
        self._same_items = 0
        self._opened_at: float | None = None
        self._until = -math.inf
        self._pause = 1.0
        self._probing = False
        self.proven = False

    @property
    def is_open(self) -> bool:
        """Whether requests are held back."""
        return self._opened_at is not None

    def delay(self, now: float) -> float:
        """Seconds until a request may be sent; infinite while a probe is on its way."""
        if self._opened_at is None:
            return 0.0
        return math.inf if self._probing else max(0.0, self._until - now)

    def sent(self) -> bool:
        """Note that a request is sent; whether it is a probe."""
        if self._opened_at is None:
            return False
        self._probing = True
        return True

    def succeeded(self) -> None:
        """The endpoint answered."""
        self.failures = self._same_items = 0
        self._opened_at, self._probing, self._pause = None, False, 1.0
        self.proven = True

    def dropped(self, probe: bool) -> None:
        """A request was given up by us, or refused for the endpoint's limits: it says nothing."""
        if probe:
            self._probing = False

    def failed(self, now: float, probe: bool) -> bool:
        """The endpoint failed. Whether that is the end of its patience."""
        self.failures += 1
        self._same_items = 0
        if self._opened_at is None:
            if self.failures >= THRESHOLD:
                self._opened_at, self._until = now, now + min(self._pause, self._patience / 4)
            return False
        if not probe:
            return False  # sent before it opened
        self._probing = False
        self._pause = min(LONGEST, self._pause * 2)
        ends = self._opened_at + (self._patience if self.proven else min(self._patience, UNPROVEN))
        self._until = min(now + min(self._pause, self._patience / 4), ends)
        return now >= ends

    def refused(self, fingerprint: str) -> bool:
        """A request was refused as invalid. Whether all are, with the same words."""
        self.dropped(True)
        self._same_items = self._same_items + 1 if fingerprint == self._fingerprint else 1
        self._fingerprint = fingerprint
        return self._same_items >= SAME_ITEM_ERRORS
