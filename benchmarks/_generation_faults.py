"""Many calls to a server that fails in every way: where each item ends, and how many calls that took."""

from __future__ import annotations

import json
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import _bench as bench
from _generation_items import prompt
from _generation_ours import LEVELS, SCHEMA
from chat_answers import item_of
from chat_faults import POISON, Config, schedule
from chat_server import ServerProcess

FAULTS = {
    "429": 0.03,
    "500": 0.03,
    "503": 0.02,
    "html_502": 0.005,
    "hang": 0.003,
    "reset": 0.01,
    "reset_body": 0.005,
    "cut_body": 0.005,
    "truncated": 0.02,
    "schema": 0.02,
    "empty": 0.005,
    "fenced": 0.01,
}
"""Shares of attempts."""
POISONED = {"content_filter": 0.01, "refusal": 0.005, "filtered": 0.005}
"""Shares of items."""
KINDS = {"content_filter": "content_filter", "filtered": "content_filter", "refusal": "refusal"}
"""The failure that each should end as."""
MAX_CALLS = 1.1
"""Aim: calls over the unavoidable ones."""


def faults(sizes: dict[str, Any], seed: int, budget: float) -> dict[str, Any]:
    """Ask ``n`` items of a misbehaving server.

    Args:
        sizes: ``n``, ``in_flight``, ``latency``, ``timeout`` (seconds of an attempt), ``prompt_chars``.
        seed: of the faults.
        budget: seconds.
    """
    config = {"faults": FAULTS, "poison": POISONED, "seed": seed}
    with (
        tempfile.TemporaryDirectory(prefix="finrm-bench-") as name,
        ServerProcess(latency=sizes["latency"], schema=SCHEMA, **config) as server,
    ):
        files = {what: str(Path(name) / what) for what in ("ledger", "done", "out.jsonl")}
        job = {
            **sizes,
            **files,
            "out": files["out.jsonl"],
            "base_url": server.base_url,
            "tag": "faults",
            "schema": True,
        }
        run = bench.run_worker(sys.executable, bench.HERE / "_generation_ours.py", job, budget)
        stats = server.stats()
        if "error" in run:
            return {"sizes": sizes, "error": run["error"], "server": stats}
        lines = Path(files["out.jsonl"]).read_text(encoding="utf-8").splitlines()
        rows = {row["index"]: row for row in map(json.loads, lines)}
    return {"sizes": sizes, "run": run, "server": stats, **judge(rows, Config(**config), sizes)}


def judge(rows: dict[int, dict[str, Any]], config: Config, sizes: dict[str, Any]) -> dict[str, Any]:
    """Where items ended, beside where the server's schedule says they should."""
    ends: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    wrong: list[str] = []
    for index in range(sizes["n"]):
        text = prompt(index, "faults", sizes["prompt_chars"])
        end = schedule(config, item_of({"messages": [{"role": "user", "content": text}]}))[-1]
        row = rows.get(index)
        if row is None:
            ends["lost"] += 1
        elif row["kind"] is None:
            value = row["value"]
            fits = (
                isinstance(value, dict) and type(value.get("depth")) is int and 0 <= value["depth"] < LEVELS
            )
            ends["accepted" if fits and end not in POISON else "accepted by accident"] += 1
        elif not row["reason"]:
            ends["quarantined without a reason"] += 1
        elif end in POISON:
            ends["quarantined"] += 1
            kinds[f"{end} -> {row['kind']}"] += 1
            if row["kind"] != KINDS[end]:
                wrong.append(f"{end}: {row['kind']}: {row['reason']}")
        else:
            ends["given up"] += 1
            kinds[f"{end} -> {row['kind']}"] += 1
            wrong.append(f"{end}: {row['kind']}: {row['reason']}")
    return {"ends": dict(ends), "kinds": dict(kinds), "unexpected": wrong[:20]}


def faults_table(found: dict[str, Any]) -> str:
    """The figures as Markdown."""
    sizes, stats = found["sizes"], found["server"]
    mix = ", ".join(f"{name} {share:.1%}" for name, share in FAULTS.items())
    poison = ", ".join(f"{name} {share:.1%}" for name, share in POISONED.items())
    intro = (
        f"{sizes['n']:,} items, {sizes['in_flight']} in flight, {sizes['latency'] * 1000:.0f} ms latency, "
        f"time-out {sizes['timeout']} s. Attempts that fail: {mix}; at most three an item, two of them "
        f"unusable answers. Items that fail every time: {poison}."
    )
    if "error" in found:
        return f"{intro}\n\n{found['error']}"
    ratio = stats["requests"] / stats["unavoidable"]
    rows = [[name, f"{count:,}"] for name, count in sorted(found["ends"].items())]
    rows += [[f"... {name}", f"{count:,}"] for name, count in sorted(found["kinds"].items())]
    rows += [
        ["calls", f"{stats['requests']:,}"],
        ["unavoidable calls", f"{stats['unavoidable']:,}"],
        ["calls over unavoidable", f"{ratio:.4f}"],
        ["wall, s", f"{found['run']['seconds']:.1f}"],
        ["CPU, ms an item", f"{found['run']['cpu_s'] * 1000 / sizes['n']:.2f}"],
    ]
    return f"{intro}\n\n{bench.markdown(['', 'figure'], rows)}"


def faults_aims(found: dict[str, Any]) -> list[tuple[str, str, bool]]:
    """What was aimed at, what was reached, whether that is enough."""
    if "error" in found:
        return [("the run ends", found["error"], False)]
    ends, stats = found["ends"], found["server"]
    ratio = stats["requests"] / stats["unavoidable"]
    bad = {
        name: ends.get(name, 0)
        for name in ("lost", "accepted by accident", "quarantined without a reason", "given up")
    }
    return [(f"{name}: 0", str(count), count == 0) for name, count in bad.items()] + [
        (f"calls at most {MAX_CALLS} times the unavoidable", f"{ratio:.4f}", ratio <= MAX_CALLS)
    ]
