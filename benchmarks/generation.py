"""Calls to language models: throughput, rate limits, kills and faults, against a server on this machine.

``uv run python benchmarks/generation.py --json F --markdown F``; see README.md beside it.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
# The server that misbehaves is the tests' own.
sys.path.insert(0, str(HERE.parent / "tests"))

import _bench as bench  # noqa: E402
import _generation_speed as speed  # noqa: E402
from _generation_faults import faults, faults_aims, faults_table  # noqa: E402
from _generation_kill import kill, kill_aims, kill_table  # noqa: E402

PARTS = ("throughput", "rate", "kill", "faults")
COMMON = {"warmup": 64, "prompt_chars": 1500, "answer_chars": 800}
SIZES: dict[str, dict[str, Any]] = {
    "throughput": {"n": 2000, "memory": [500, 8000], "in_flight": 64, "latency": 0.2},
    "rate": {"n": 100, "in_flight": 32, "latency": 0.2, "rate": 10},
    "kill": {"n": 2000, "kills": 100, "in_flight": 32, "latency": 0.2},
    "faults": {"n": 10_000, "in_flight": 64, "latency": 0.05, "timeout": 2},
}
QUICK: dict[str, dict[str, Any]] = {
    "throughput": {"n": 400, "memory": [200, 1200]},
    "rate": {"n": 40},
    "kill": {"n": 200, "kills": 10},
    "faults": {"n": 800},
}
WINDOWS = ("sliding", "bucket")


def sizes_of(part: str, quick: bool) -> dict[str, Any]:
    """The sizes of a part."""
    return {**COMMON, **SIZES[part], **(QUICK[part] if quick else {})}


def measure(given: argparse.Namespace) -> tuple[dict[str, Any], list[str], list[tuple[str, str, bool]]]:
    """The figures, their tables and the aims."""
    ours = importlib.util.find_spec("reward_model.llm") is not None
    names = [name for name in speed.SYSTEMS if name in given.systems and (ours or name != "ours")]
    names = ["bare", *(name for name in names if name != "bare")]
    result: dict[str, Any] = {"machine": bench.machine(), "quick": given.quick}
    texts: list[str] = []
    aims: list[tuple[str, str, bool]] = []
    if not ours:
        texts.append("This version has no reward_model.llm: nothing of ours was measured.")
    if "throughput" in given.only:
        sizes = sizes_of("throughput", given.quick)
        result["throughput"] = speed.throughput(names, sizes, given.repeats, given.budget)
        texts += ["## Throughput", speed.throughput_table(result["throughput"])]
    if "rate" in given.only:
        result["rate"] = speed.rate_limit(names, sizes_of("rate", given.quick), WINDOWS, given.budget)
        texts += ["## A rate limit that nobody tells", speed.rate_table(result["rate"])]
    aims += speed.aims(result.get("throughput"), result.get("rate"))
    if "kill" in given.only and ours:
        result["kill"] = kill(sizes_of("kill", given.quick), given.seed, given.budget)
        texts += ["## Killed at random moments", kill_table(result["kill"])]
        aims += kill_aims(result["kill"])
    if "faults" in given.only and ours:
        result["faults"] = faults(sizes_of("faults", given.quick), given.seed, given.budget)
        texts += ["## Every kind of fault", faults_table(result["faults"])]
        aims += faults_aims(result["faults"])
    return result, texts, aims


def main() -> int:
    """Measure, print the tables; 1 if an aim was missed or a row has no figure."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument(
        "--only", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART", help=f"of {', '.join(PARTS)}"
    )
    parser.add_argument(
        "--systems",
        nargs="+",
        choices=speed.SYSTEMS,
        default=list(speed.SYSTEMS),
        metavar="NAME",
        help=f"of {', '.join(speed.SYSTEMS)}; the bare loop always runs",
    )
    parser.add_argument("--quick", action="store_true", help="small sizes: minutes, for work on it")
    parser.add_argument("--repeats", type=int, default=3, help="rounds of the throughput")
    parser.add_argument("--budget", type=float, default=1200, help="seconds for each part")
    parser.add_argument("--seed", type=int, default=0, help="of kill moments and faults")
    parser.add_argument("--json", metavar="F", help="write all figures there")
    parser.add_argument("--markdown", metavar="F", help="write the tables there")
    given = parser.parse_args()
    result, texts, aims = measure(given)
    result["aims"] = [{"aim": aim, "reached": reached, "met": met} for aim, reached, met in aims]
    facts = result["machine"]
    load = facts["load_at_start"]
    texts.insert(0, f"{facts['at']}; {facts['cpu']}, {facts['cores']} cores; load average at start {load}.")
    if aims:
        rows = [[aim, reached, "yes" if met else "NO"] for aim, reached, met in aims]
        texts += ["## Aims", bench.markdown(["aim", "reached", "met"], rows)]
    bench.write_results(result, "\n\n".join(texts), given.json, given.markdown)
    rows = [row for part in ("throughput", "rate") for row in result.get(part, {}).get("rows", [])]
    return int(any("error" in row for row in rows) or not all(met for *_, met in aims))


if __name__ == "__main__":
    sys.exit(main())
