"""The generation benchmark counts right: a figure that can't be bad would prove nothing."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))

from _generation_faults import judge
from _generation_items import prompt
from _generation_kill import count
from chat_answers import item_of
from chat_faults import Config, schedule

# item "a" asked at 1.0 and answered at 1.2: a line of the server's log
FIRST = [1.0, 1.2, "a", "body", "200", "ok"]
AGAIN = [2.0, 2.2, "a", "body", "200", "ok"]


def test_repeated_because_in_flight() -> None:
    found = count([1.1], [FIRST, AGAIN], {"a": 2.3})
    assert (found["lost"], found["repeated"], found["repeated_in_flight"]) == (0, 1, 1)
    assert found["in_flight_at_kills"] == 1


def test_repeated_though_sent() -> None:
    found = count([1.3, 1.9], [FIRST, AGAIN], {"a": 2.3})
    assert (found["lost"], found["repeated"], found["repeated_in_flight"]) == (0, 1, 0)
    assert round(found["delivered_oldest_ms"]) == 100


def test_what_arrives_after_the_kill_was_in_flight() -> None:
    found = count([0.99, 1.9], [FIRST, AGAIN], {"a": 2.3})
    assert (found["lost"], found["repeated"], found["repeated_in_flight"]) == (0, 1, 1)


def test_lost_if_reported_done_or_without_a_kill() -> None:
    assert count([1.5], [FIRST, AGAIN], {"a": 1.3})["lost"] == 1
    assert count([], [FIRST, AGAIN], {"a": 2.3})["lost"] == 1
    assert count([1.5], [FIRST], {"a": 1.3})["lost"] == 0


def test_faults_are_judged_by_the_schedule() -> None:
    config, sizes = Config(poison={"refusal": 0.5}), {"n": 40, "prompt_chars": 50}
    value = {"reason": "好", "depth": 3}
    ends = []
    for index in range(sizes["n"]):
        text = prompt(index, "faults", sizes["prompt_chars"])
        ends.append(schedule(config, item_of({"messages": [{"role": "user", "content": text}]}))[-1])
    assert {"ok", "refusal"} == set(ends)

    def row(end: str) -> dict[str, Any]:
        kind = None if end == "ok" else "refusal"
        return {"kind": kind, "reason": kind and "declined", "value": None if kind else value}

    rows = {index: row(end) for index, end in enumerate(ends)}
    good = judge(rows, config, sizes)
    assert good["ends"] == {"accepted": ends.count("ok"), "quarantined": ends.count("refusal")}
    assert not good["unexpected"]

    fine, poisoned = ends.index("ok"), ends.index("refusal")
    bad = {**rows, fine: row("refusal"), poisoned: row("ok")}
    bad.pop(next(index for index in rows if index not in (fine, poisoned)))
    found = judge(bad, config, sizes)["ends"]
    assert (found["given up"], found["accepted by accident"], found["lost"]) == (1, 1, 1)
    rows[poisoned] = {"kind": "refusal", "reason": "", "value": None}
    assert judge(rows, config, sizes)["ends"]["quarantined without a reason"] == 1
