"""How limits are learnt: the pacer against simulated servers, in virtual time."""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass, field
from typing import Any

import pytest
from chat_limits import Limits as Server

from reward_model.llm.breaker import SAME_ITEM_ERRORS, THRESHOLD, Breaker
from reward_model.llm.pacing import Pacer, Sent
from reward_model.llm.types import Limits


@dataclass
class Run:
    """What a simulated run came to."""

    rejected: int
    seconds: float
    pacer: Pacer
    arrivals: list[float] = field(default_factory=list)


def simulate(
    count: int,
    server: Server | None = None,
    *,
    limits: Limits | None = None,
    learnt: dict[str, float] | None = None,
    latency: float = 0.2,
    in_flight: int = 32,
    tokens: int = 0,
    at_random: float = 0.0,
    told: bool = False,
    seed: int = 0,
    rejected_after: float = 0.002,
) -> Run:
    """``count`` requests through a pacer; timers and the network are late by some milliseconds.

    Args:
        at_random: the share of requests rejected whatever their rate.
        told: rejections say how long to wait.
        rejected_after: seconds that a rejection takes.
    """
    rng, pacer, now = random.Random(seed), Pacer(limits or Limits(), learnt), 1000.0 + seed * 0.13
    begin, left, done, flying, number = now, count, 0, 0, 0
    ends: list[tuple[float, int, Sent, tuple[str, float] | None]] = []
    run = Run(0, 0.0, pacer)
    while done < count:
        while left and flying < in_flight and pacer.delay(now, tokens) <= 0:
            sent, left, flying, number = pacer.sent(now, tokens), left - 1, flying + 1, number + 1
            arrival = now + rng.random() * 0.003
            refused = server.check(arrival, tokens or 1) if server else None
            if refused is None and rng.random() < at_random:
                refused = ("limit_requests", 1.0)
            run.arrivals.append(arrival)
            takes = rejected_after if refused else latency * rng.uniform(0.8, 1.2)
            heapq.heappush(ends, (arrival + takes, number, sent, refused))
        wake = ends[0][0] if ends else now + 60
        if left and flying < in_flight:
            wake = min(wake, now + max(pacer.delay(now, tokens), 1e-4) + rng.random() * 0.002)
        now = wake
        assert now - begin < 3600, "stuck"
        while ends and ends[0][0] <= now:
            _, _, sent, refused = heapq.heappop(ends)
            flying -= 1
            if refused is None:
                done += 1
                pacer.answered(sent, now, None)
            else:
                run.rejected += 1
                left += 1
                kind = refused[0]
                growth, by_tokens = kind == "limit_burst_rate", kind == "limit_tokens"
                wait = refused[1] if told else None
                pacer.rejected(sent, now, by_tokens=by_tokens, growth=growth, wait=wait)
    run.seconds = now - begin
    return run


WINDOWS: dict[str, dict[str, Any]] = {
    "sliding": {"window": "sliding"},
    "one each tenth": {"window": "bucket"},
    "bucket of five": {"window": "bucket", "burst": 5},
}


@pytest.mark.parametrize("told", [False, True])
@pytest.mark.parametrize("latency", [0.02, 0.2, 2.0])
@pytest.mark.parametrize("window", WINDOWS)
def test_ten_a_second_are_found_and_remembered(window: str, latency: float, told: bool) -> None:
    for seed in range(5):
        first = simulate(100, Server(requests=10, **WINDOWS[window]), latency=latency, told=told, seed=seed)
        assert first.rejected <= 10
        assert first.seconds < 16
        learnt = first.pacer.learnt()
        assert 5 <= learnt["requests_per_second"] <= 11.5
        again = Server(requests=10, **WINDOWS[window])
        second = simulate(100, again, latency=latency, told=told, seed=seed, learnt=learnt)
        assert second.rejected <= 2


def test_nothing_holds_back_where_there_is_no_limit() -> None:
    cold = simulate(2000, latency=0.2, in_flight=64)
    assert cold.rejected == 0
    assert cold.seconds < 9  # 6.5 at full speed
    warm = simulate(2000, latency=0.2, in_flight=64, learnt=cold.pacer.learnt())
    assert warm.seconds < 7.2


@pytest.mark.parametrize(("share", "seconds"), [(0.02, 20), (0.05, 45), (0.1, 120)])
def test_rejections_at_random_are_no_limit(share: float, seconds: float) -> None:
    for seed in range(4):
        run = simulate(6000, latency=0.05, in_flight=64, at_random=share, seed=seed)
        # 4.7 at full speed; a rate that each of them lowered would take an hour.
        assert run.seconds < seconds
        assert run.rejected < 6000 * share * 1.4


@pytest.mark.parametrize("tokens", [0, 1000])
def test_a_minutes_limit_is_found(tokens: int) -> None:
    server = Server(tokens=60_000) if tokens else Server(requests=60, per=60, window="sliding")
    run = simulate(150, server, tokens=tokens)
    assert run.rejected <= 15
    assert run.seconds < 200  # 120 at best
    name = "tokens_per_minute" if tokens else "requests_per_minute"
    assert 0.8 <= run.pacer.learnt()[name] / (60_000 if tokens else 60) <= 1
    again = Server(tokens=60_000) if tokens else Server(requests=60, per=60, window="sliding")
    assert simulate(70, again, tokens=tokens, learnt=run.pacer.learnt()).rejected == 0


def test_growth_that_was_too_fast_is_slower_afterwards() -> None:
    run = simulate(500, Server(growth=2), in_flight=64)
    assert run.rejected <= 10
    assert run.pacer.learnt()["doubling"] > 0.5


def test_given_limits_are_kept_from_the_start() -> None:
    run = simulate(30, limits=Limits(requests_per_second=10), latency=0.02)
    assert run.seconds >= 2.9
    gaps = [later - earlier for earlier, later in zip(run.arrivals, run.arrivals[1:], strict=False)]
    assert min(gaps) > 0.09
    run = simulate(90, limits=Limits(requests_per_minute=60))
    assert all(sum(at <= arrival < at + 59.9 for arrival in run.arrivals) <= 60 for at in run.arrivals)
    run = simulate(12, limits=Limits(tokens_per_minute=6000), tokens=1000)
    assert run.seconds > 60
    # One that is larger than the limit waits, but not for ever.
    assert simulate(2, limits=Limits(tokens_per_minute=100), tokens=1000).seconds < 700


def test_announced_limits_are_kept() -> None:
    pacer = Pacer(Limits())
    pacer.announced(120, 60_000)
    sent = pacer.sent(0.0, 500)
    assert pacer.delay(0.0, 500) == pytest.approx(0.5)
    pacer.answered(sent, 0.1, 500)
    assert pacer.learnt() == {"seen_per_second": 1.0, "requests_per_minute": 120, "tokens_per_minute": 60_000}


def test_a_long_wait_asked_for_is_kept() -> None:
    pacer = Pacer(Limits())
    sent = pacer.sent(0.0)
    pacer.rejected(sent, 0.1, wait=30.0)
    assert pacer.delay(0.2) == pytest.approx(29.9)


def test_breaker_opens_probes_and_gives_up() -> None:
    breaker, now, probes = Breaker(patience=120), 0.0, 0
    breaker.proven = True
    for _ in range(THRESHOLD):
        assert breaker.delay(now) == 0
        assert not breaker.failed(now, breaker.sent())
    assert breaker.is_open
    while True:
        now += breaker.delay(now)
        assert breaker.sent()
        assert breaker.delay(now) == float("inf")
        probes += 1
        if breaker.failed(now, True):
            break
    assert 100 < now < 160
    assert probes < 12
    breaker.succeeded()
    assert breaker.delay(now) == 0


def test_breaker_gives_up_sooner_on_what_never_answered() -> None:
    breaker, now = Breaker(patience=120), 0.0
    for _ in range(THRESHOLD):
        breaker.failed(now, breaker.sent())
    while not breaker.failed(now, breaker.sent()):
        now += breaker.delay(now)
    assert now < 30


def test_breaker_counts_only_refusals_with_the_same_words() -> None:
    breaker = Breaker(120)
    assert not any(breaker.refused(f"400 {number % 2}") for number in range(100))
    assert [breaker.refused("400 x") for _ in range(SAME_ITEM_ERRORS)].index(True) == SAME_ITEM_ERRORS - 1
    breaker.succeeded()
    assert not breaker.refused("400 x")
