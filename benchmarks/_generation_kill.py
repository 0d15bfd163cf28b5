"""SIGKILL at random moments over one run: what is lost, what is paid for twice, is the result the same."""

from __future__ import annotations

import contextlib
import itertools
import json
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import _bench as bench
from _generation_items import prompt
from chat_answers import item_of
from chat_server import ServerProcess

FAULTS = {"500": 0.02, "429": 0.01, "reset": 0.01}
"""Some attempts fail too; none of these is paid for or changes the next request."""

_LATE = 0.1
"""What a dead client sent reaches the server within so many seconds; a new one takes longer to start."""


def _start(job: dict[str, Any], folder: Path) -> subprocess.Popen[str]:
    file = folder / "job.json"
    file.write_text(json.dumps(job), encoding="utf-8")
    command = [sys.executable, str(bench.HERE / "_generation_ours.py"), str(file)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def _finish(process: subprocess.Popen[str], timeout: float) -> str | None:
    """None once the run ended well; else why it didn't."""
    try:
        _, errors = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return f"did not end within {timeout:.0f} s"
    return None if process.returncode == 0 else f"exit {process.returncode}: {errors.strip()[-400:]}"


def _await_moment(
    process: subprocess.Popen[str],
    server: ServerProcess,
    target: float,
    rng: random.Random,
    sizes: dict[str, Any],
) -> bool:
    """Wait for the moment to kill; whether the process still runs then."""
    if rng.random() < 0.2:  # anywhere, its start and its look into the ledger included
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(rng.uniform(0, 1.5))
        return process.poll() is None
    before = server.counts()
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        now = server.counts()
        # What earlier lives left in flight is paid too, so that alone doesn't show that this one has begun.
        if now["requests"] > before["requests"] and now["paid"] >= target:
            break
        time.sleep(0.005)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(rng.uniform(0, sizes["latency"]))
    return process.poll() is None


def kill(sizes: dict[str, Any], seed: int, budget: float) -> dict[str, Any]:
    """One uninterrupted run, then one that is killed ``kills`` times, each with a server of its own.

    Args:
        sizes: ``n``, ``kills``, ``in_flight``, ``latency``, ``prompt_chars``.
        seed: of the moments.
        budget: seconds for each of the two.
    """
    rng = random.Random(seed)
    config = {"latency": sizes["latency"], "jitter": sizes["latency"] / 2, "faults": FAULTS, "log": True}
    with tempfile.TemporaryDirectory(prefix="finrm-bench-") as name:
        folder = Path(name)

        def job(server: ServerProcess, run: str) -> dict[str, Any]:
            files = {what: str(folder / f"{run}.{what}") for what in ("ledger", "done", "out")}
            return {
                **sizes,
                **files,
                "base_url": server.base_url,
                "tag": "kill",
                "timeout": 30,
                "schema": False,
            }

        with ServerProcess(**config) as server:
            wrong = _finish(_start(job(server, "whole"), folder), budget)
            if wrong:
                return {"sizes": sizes, "error": f"the uninterrupted run: {wrong}"}
            whole_requests = server.stats()["requests"]
        bench.say(f"kill: uninterrupted run done, {whole_requests} requests")
        started, kills = time.monotonic(), []
        with ServerProcess(**config) as server:
            given = job(server, "killed")
            for target in sorted(rng.uniform(0, sizes["n"] * 0.98) for _ in range(sizes["kills"])):
                process = _start(given, folder)
                alive = _await_moment(process, server, target, rng, sizes)
                if alive:
                    process.send_signal(signal.SIGKILL)
                process.communicate()
                if alive:
                    kills.append(time.time())
                if process.returncode not in (0, -signal.SIGKILL):
                    return {"sizes": sizes, "error": f"after {len(kills)} kills: exit {process.returncode}"}
                if len(kills) % 20 == 0 and alive:
                    bench.say(f"kill: {len(kills)} kills, {server.counts()['paid']} answers paid")
                if process.returncode == 0 or time.monotonic() - started > budget:
                    break
            wrong = _finish(_start(given, folder), budget)
            if wrong:
                return {"sizes": sizes, "error": f"the run after {len(kills)} kills: {wrong}"}
            stats, log = server.stats(), server.log()
        same = (folder / "whole.out").read_bytes() == (folder / "killed.out").read_bytes()
        with contextlib.closing(sqlite3.connect(folder / "killed.ledger")) as database:
            sound = database.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        counted = count(kills, log, _first_done(folder / "killed.done", sizes))
    return {
        "sizes": sizes,
        "kills": len(kills),
        "seconds": time.monotonic() - started,
        "identical": same,
        "ledger_sound": sound,
        "requests": stats["requests"],
        "requests_uninterrupted": whole_requests,
        "paid": stats["paid"],
        **counted,
    }


def _first_done(path: Path, sizes: dict[str, Any]) -> dict[str, float]:
    """When each item was first reported done, by the server's name of the item."""
    found: dict[str, float] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        index, at = line.split()
        text = prompt(int(index), "kill", sizes["prompt_chars"])
        found.setdefault(item_of({"messages": [{"role": "user", "content": text}]}), float(at))
    return found


def count(kills: Sequence[float], log: Sequence[Sequence[Any]], done: dict[str, float]) -> dict[str, Any]:
    """What the kills cost.

    Args:
        kills: when the process was gone, in seconds since 1970, as the log.
        log: as the server gives it.
        done: when each item was first reported done to the caller.
    """
    paid: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for begin, end, item, _, status, _ in log:
        if status == "200":
            paid[item].append((begin, end))
    lost = in_flight = delivered = 0
    oldest = 0.0
    by_kill: dict[int, int] = defaultdict(int)
    for item, times in paid.items():
        times.sort()
        for (began, ended), (again, _) in itertools.pairwise(times):
            if item in done and done[item] < again:
                lost += 1
                continue
            # The kill that ended the life which asked first; others may have followed before the next.
            cause = next((index for index, at in enumerate(kills) if began < at + _LATE and at < again), None)
            if cause is None:
                lost += 1
                continue
            by_kill[cause] += 1
            if ended > kills[cause]:
                in_flight += 1
            else:
                delivered += 1
                oldest = max(oldest, kills[cause] - ended)
    waiting = [sum(1 for begin, end, *_ in log if begin < at < end) for at in kills]
    return {
        "lost": lost,
        "repeated": sum(by_kill.values()),
        "repeated_in_flight": in_flight,
        "repeated_delivered": delivered,
        "delivered_oldest_ms": oldest * 1000,
        "in_flight_at_kills": sum(waiting),
        "most_repeated_by_a_kill": max(by_kill.values(), default=0),
    }


def kill_table(found: dict[str, Any]) -> str:
    """The figures as Markdown."""
    sizes = found["sizes"]
    intro = (
        f"One run of {sizes['n']:,} calls, {sizes['in_flight']} in flight, {sizes['latency'] * 1000:.0f} ms "
        "latency and up to half as much more, killed (SIGKILL) and started again; 4% of the attempts fail."
    )
    if "error" in found:
        return f"{intro}\n\n{found['error']}"
    rows = [
        ["kills", str(found["kills"])],
        ["answers reported done and paid for again (lost)", str(found["lost"])],
        ["requests in flight at the kills, at the server", str(found["in_flight_at_kills"])],
        ["answers paid for twice", str(found["repeated"])],
        ["... of them in flight at the server", str(found["repeated_in_flight"])],
        [
            "... of them sent, not yet kept",
            f"{found['repeated_delivered']} (at most {found['delivered_oldest_ms']:.0f} ms before)",
        ],
        ["most paid for twice by one kill", str(found["most_repeated_by_a_kill"])],
        ["requests, uninterrupted run", f"{found['requests_uninterrupted']:,}"],
        ["requests, killed run", f"{found['requests']:,}"],
        ["result identical", "yes" if found["identical"] else "NO"],
        ["ledger sound", "yes" if found["ledger_sound"] else "NO"],
    ]
    return f"{intro}\n\n{bench.markdown(['', 'figure'], rows)}"


def kill_aims(found: dict[str, Any]) -> list[tuple[str, str, bool]]:
    """What was aimed at, what was reached, whether that is enough."""
    if "error" in found:
        return [("the killed run ends", found["error"], False)]
    most, in_flight = found["most_repeated_by_a_kill"], found["sizes"]["in_flight"]
    return [
        ("kills", str(found["kills"]), found["kills"] == found["sizes"]["kills"]),
        ("paid answers lost: 0", str(found["lost"]), found["lost"] == 0),
        (f"repeated by a kill: at most the {in_flight} in flight", str(most), most <= in_flight),
        ("final files identical", str(found["identical"]), found["identical"] and found["ledger_sound"]),
    ]
