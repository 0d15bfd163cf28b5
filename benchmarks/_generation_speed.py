"""Throughput, memory and rate limits: each system in a process of its own against a server in another."""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import _bench as bench
from chat_server import ServerProcess
from peers import GENERATORS, PeersError, ensure_peers

MAX_WALL, MAX_CPU_MS = 1.10, 1.5
"""Aims: our wall time over the bare loop's in the same round; our CPU a call above it."""
MAX_MEMORY = 1.10
"""Aim: peak memory at the largest N over that at the smallest."""
LIMIT_MESSAGE = "Rate limit reached for requests per second. Please try again later."
"""As OpenAI words it: curator knows a rate limit by these words."""
MAX_429 = (10, 2)
"""Aims: requests refused in the first and in the second run."""


@dataclass(frozen=True)
class System:
    """A row: which worker runs it, and in whose environment (None: this project's)."""

    title: str
    worker: str
    environment: str | None = None


SYSTEMS = {
    "bare": System("bare aiohttp loop (no retry, no record)", "_generation_client.py"),
    "ours": System("ours (every attempt in a ledger)", "_generation_client.py"),
    "openai": System("openai SDK", "_generation_client.py", "openai"),
    "designer": System("NeMo Data Designer", "_generation_peer.py", "designer"),
    "distilabel": System("distilabel", "_generation_peer.py", "distilabel"),
    "curator": System("curator", "_generation_peer.py", "curator"),
}


def title(name: str) -> str:
    """A row's title, with the version where it is somebody else's."""
    environment = SYSTEMS[name].environment
    if environment is None:
        return SYSTEMS[name].title
    return f"{SYSTEMS[name].title} {next(iter(GENERATORS[environment].values()))}"


def run_system(name: str, server: ServerProcess, job: dict[str, Any], timeout: float) -> dict[str, Any]:
    """One run: the worker's figures and the server's, or ``{"error": why}``."""
    system = SYSTEMS[name]
    try:
        python = sys.executable if system.environment is None else ensure_peers(system.environment)
    except PeersError as error:
        return {"error": f"not installed: {error}"[:300], "wall_s": 0.0}
    job = {"system": name, "base_url": server.base_url, **job}
    found = bench.run_worker(python, bench.HERE / system.worker, job, timeout)
    if "error" in found:
        return found
    stats = server.stats()
    found["server"] = {
        k: stats[k] for k in ("requests", "peak", "paid", "distinct_bodies", "repeated", "rejected_429")
    }
    return found


def throughput(names: Sequence[str], sizes: dict[str, Any], repeats: int, budget: float) -> dict[str, Any]:
    """Time, CPU and memory of N calls, and memory at other N.

    Args:
        names: of SYSTEMS.
        sizes: ``n``, ``memory`` (other N), ``warmup``, ``in_flight``, ``latency``, ``prompt_chars``,
            ``answer_chars``.
        repeats: rounds.
        budget: seconds for all.
    """

    def run_one(name: str, repeat: int, left: float, n: int = sizes["n"]) -> dict[str, Any]:
        with (
            ServerProcess(latency=sizes["latency"], answer_chars=sizes["answer_chars"]) as server,
            tempfile.TemporaryDirectory(prefix="finrm-bench-") as folder,
        ):
            job = {**sizes, "n": n, "tag": f"{repeat}-{n}", "retries": 0, "ledger": f"{folder}/ledger.sqlite"}
            found = run_system(name, server, job, min(left, 900))
        if "error" not in found and found["answered"] != n:
            return {"error": f"{found['answered']} answers to {n} prompts", "wall_s": found["wall_s"]}
        return found

    def describe(run: dict[str, Any], n: int = sizes["n"]) -> str:
        cpu = run["cpu_s"] * 1000 / n
        return f"{run['seconds']:.2f} s, {cpu:.2f} ms CPU a call, {run['rss_mb']:.0f} MB"

    runs = bench.run_rounds(names, repeats, budget, run_one, describe)
    rows = []
    for name in names:
        good = [run for run in runs[name] if "error" not in run]
        row: dict[str, Any] = {"name": name, "title": title(name), "runs": runs[name]}
        if not good:
            row["error"] = runs[name][0]["error"] if runs[name] else "not run: the budget was spent"
            rows.append(row)
            continue
        row["seconds"] = bench.spread([run["seconds"] for run in good])
        row["cpu_ms"] = bench.spread([run["cpu_s"] * 1000 / sizes["n"] for run in good])
        row["rss_mb"] = {sizes["n"]: statistics.median(run["rss_mb"] for run in good)}
        row["wall_ratio"], row["cpu_above_ms"] = _against_bare(runs["bare"], runs[name], sizes["n"])
        for n in sizes["memory"]:
            found = run_one(name, 0, 900, n)
            row["rss_mb"][n] = found.get("rss_mb")
            bench.say(f"{name}, {n} calls: {found['error'] if 'error' in found else describe(found, n)}")
        rows.append(row)
    return {"sizes": sizes, "rows": rows}


def _against_bare(bare: Sequence[dict[str, Any]], runs: Sequence[dict[str, Any]], n: int) -> tuple[Any, Any]:
    both = [(a, b) for a, b in zip(bare, runs, strict=False) if "error" not in a and "error" not in b]
    wall = bench.spread([b["seconds"] / a["seconds"] for a, b in both])
    return wall, bench.spread([(b["cpu_s"] - a["cpu_s"]) * 1000 / n for a, b in both])


def throughput_table(found: dict[str, Any]) -> str:
    """The rows as Markdown."""
    sizes = found["sizes"]
    numbers = sorted({sizes["n"], *sizes["memory"]})
    header = [
        "system",
        "wall, s",
        "over bare",
        "CPU, ms a call",
        "above bare",
        *(f"MB at {n:,}" for n in numbers),
    ]
    rows, notes = [], []
    for row in found["rows"]:
        if "error" in row:
            rows.append([row["title"], *["–"] * (len(header) - 1)])
            notes.append(f"- {row['title']}: {row['error']}")
            continue
        memory = [row["rss_mb"].get(n) for n in numbers]
        rows.append(
            [
                row["title"],
                bench.shown(row["seconds"], 2),
                bench.shown(row["wall_ratio"], 2),
                bench.shown(row["cpu_ms"], 2),
                bench.shown(row["cpu_above_ms"], 2),
                *("–" if one is None else f"{one:.0f}" for one in memory),
            ]
        )
    ideal = sizes["n"] / sizes["in_flight"] * sizes["latency"]
    intro = (
        f"{sizes['n']:,} calls behind {sizes['warmup']} to warm up, {sizes['latency'] * 1e3:.0f} ms latency, "
        f"{sizes['in_flight']} in flight (at best {ideal:.2f} s), prompts of {sizes['prompt_chars']:,} and "
        f"answers of {sizes['answer_chars']:,} characters; median (lowest-highest)."
    )
    return "\n\n".join(part for part in (intro, bench.markdown(header, rows), "\n".join(notes)) if part)


def rate_limit(
    names: Sequence[str], sizes: dict[str, Any], windows: Sequence[str], budget: float
) -> dict[str, Any]:
    """Calls to a server that refuses more than so many a second and doesn't tell; twice in a row."""
    rows = []
    for window in windows:
        for name in names:
            if name == "bare" or (window != windows[0] and name != "ours"):
                continue
            rows.append(_rate_row(name, window, sizes, budget))
    return {"sizes": sizes, "rows": rows}


def _rate_row(name: str, window: str, sizes: dict[str, Any], budget: float) -> dict[str, Any]:
    row: dict[str, Any] = {"name": name, "title": title(name), "window": window, "runs": []}
    config = {"limits": {"requests": sizes["rate"], "window": window}, "limit_message": LIMIT_MESSAGE}
    with (
        ServerProcess(latency=sizes["latency"], **config) as server,
        tempfile.TemporaryDirectory(prefix="finrm-bench-") as folder,
    ):
        for repeat in range(2):
            server.change(reset=True)
            job = {**sizes, "warmup": 0, "tag": f"rate-{repeat}", "retries": 20}
            job |= {"ledger": str(Path(folder) / "ledger.sqlite")}
            run = run_system(name, server, job, budget)
            row["runs"].append(run)
            if "error" in run:
                row["error"] = run["error"]
                break
            bench.say(
                f"{window} {name} {repeat + 1}: {run['server']['rejected_429']} refused, "
                f"{run['seconds']:.1f} s, {run['answered']} answered"
            )
    return row


def rate_table(found: dict[str, Any]) -> str:
    """The rows as Markdown."""
    sizes = found["sizes"]
    rows, notes = [], []
    for row in found["rows"]:
        cells = [row["title"], row["window"]]
        for run in [*row["runs"], {}, {}][:2]:
            if "server" in run:
                cells += [str(run["server"]["rejected_429"]), f"{run['seconds']:.1f}"]
                cells += [str(run["answered"])]
            else:
                cells += ["–"] * 3
        rows.append(cells)
        if "error" in row:
            notes.append(f"- {row['title']}: {row['error']}")
    header = ["system", "window", "429s, first run", "s", "answered", "429s, second run", "s", "answered"]
    at_best = (sizes["n"] - sizes["rate"]) / sizes["rate"] + sizes["latency"]
    intro = (
        f"{sizes['n']} calls, {sizes['in_flight']} in flight, {sizes['latency'] * 1e3:.0f} ms latency, at "
        f"most {sizes['rate']} requests a second, which no header tells (at best {at_best:.1f} s). Window: "
        f"`sliding`, at most {sizes['rate']} in the last second; `bucket`, one each 1/{sizes['rate']} s, "
        "none saved up."
    )
    return "\n\n".join(part for part in (intro, bench.markdown(header, rows), "\n".join(notes)) if part)


def aims(speed: dict[str, Any] | None, rate: dict[str, Any] | None) -> list[tuple[str, str, bool]]:
    """What was aimed at, what was reached, whether that is enough."""
    found: list[tuple[str, str, bool]] = []
    for row in (speed or {}).get("rows", []):
        if row["name"] != "ours" or "error" in row:
            continue
        wall, cpu = row["wall_ratio"]["median"], row["cpu_above_ms"]["median"]
        found.append((f"wall at most {MAX_WALL:.2f} times the bare loop's", f"{wall:.3f}", wall <= MAX_WALL))
        found.append((f"CPU at most {MAX_CPU_MS} ms a call above it", f"{cpu:.2f}", cpu <= MAX_CPU_MS))
        memory = [row["rss_mb"][n] for n in sorted(row["rss_mb"]) if row["rss_mb"][n]]
        if len(memory) > 1:
            growth = memory[-1] / memory[0]
            found.append(
                (f"memory flat in N (at most {MAX_MEMORY:.2f} times)", f"{growth:.3f}", growth <= MAX_MEMORY)
            )
    for row in (rate or {}).get("rows", []):
        if row["name"] != "ours":
            continue
        for index, (run, most) in enumerate(zip(row["runs"], MAX_429, strict=False)):
            if "server" in run:
                refused = run["server"]["rejected_429"]
                what = f"at most {most} refused, run {index + 1}, {row['window']}"
                found.append((what, str(refused), refused <= most))
    return found
