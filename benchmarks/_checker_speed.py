"""How fast the calculation checker is; as a script, one hostile text in a process of its own."""

from __future__ import annotations

import random
import resource
import statistics
import sys
import time
from typing import Any

import _bench as bench

MEGABYTES = 10
TIMEOUT = 300.0
"""Seconds that a hostile text may take before it counts as unbounded."""

HOSTILE = {
    "digits": "7",
    "digits and commas": "1,234,",
    "digits and points": "1.",
    "由1%升至": "由1%升至",
    "metric names": "营业收入",
    "a metric and growth": "营业收入同比增长",
    "one metric, other values": "营业收入1亿元，营业收入2亿元，",
    "years": "2024年",
    "opening brackets": "（(",
    "brackets and figures": "（(1-2)/3=",
    "signs": "-−+负亏损",
    "汉字 numerals": "一二三四百千万亿",
    "lists": "、1亿元",
    "分别为": "营业收入、净利润分别为",
    "table pipes": "|",
    "table rows": "| 营业收入 | 1.00 | 2.00 |\n",
    "table, one row": "| 1.00 ",
    "rule rows": "|---",
    "blank lines": "\n",
    "spaces": " ",
    "no punctuation": "的",
}
"""Each repeated to ten megabytes of UTF-8."""


def hostile_text(name: str) -> str:
    """Ten megabytes of a kind of ``HOSTILE``, of "report" (a corpus report over and over), or of "mixed"."""
    size = MEGABYTES * 10**6
    if name == "report":
        from _checker_cases import corpus

        piece = f"{corpus()[0]['chosen']}\n\n"
    elif name == "mixed":
        generator = random.Random(0)
        piece = "".join(generator.choices([*HOSTILE.values(), "，", "。", "由", "至", "%", "亿元"], k=50_000))
    else:
        piece = HOSTILE[name]
    return piece * (size // len(piece.encode()))


def worker() -> None:
    """Check one hostile text; seconds, and how much memory it took beyond the text's own."""
    from reward_model.calc.check import check_text

    text = hostile_text(bench.read_job()["name"])
    check_text("2024年营业收入1.00亿元，同比增长1.00%。")  # loads the rules
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    outcome = check_text(text)
    seconds = time.perf_counter() - started
    # Linux counts in KiB, macOS in bytes.
    unit = 2**20 if sys.platform == "darwin" else 2**10
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / unit
    bench.give_result(
        {
            "seconds": seconds,
            "memory_mib": peak,
            "figures": len(outcome.claims),
            "cut": bool(outcome.warnings),
        }
    )


def hostile() -> dict[str, dict[str, Any]]:
    """Every hostile text, a process each."""
    from pathlib import Path

    found = {}
    for name in (*HOSTILE, "report", "mixed"):
        found[name] = bench.run_worker(sys.executable, Path(__file__).resolve(), {"name": name}, TIMEOUT)
        bench.say(f"{name}: {found[name].get('error') or format(found[name]['seconds'], '.1f') + ' s'}")
    return found


def throughput(repeats: int) -> dict[str, Any]:
    """Reports a second over the whole corpus on one core, and microseconds a character at x1, x10, x100."""
    from _checker_cases import texts

    from reward_model.calc.check import check_text

    reports = list(texts().values())
    check_text(*reports[0])
    rates: dict[str, list[float]] = {"facts": [], "text": []}
    for _ in range(repeats):
        for mode, seen in rates.items():
            started = time.perf_counter()
            for text, facts in reports:
                check_text(text, facts if mode == "facts" else None)
            seen.append(len(reports) / (time.perf_counter() - started))
    joined = "\n\n".join(text for text, _ in reports[:4])
    scaling = {}
    for times in (1, 10, 100):
        text = "\n\n".join([joined] * times)
        seconds = []
        for _ in range(3):
            started = time.perf_counter()
            check_text(text, reports[0][1])
            seconds.append(time.perf_counter() - started)
        scaling[times] = {"characters": len(text), "us_per_character": min(seconds) / len(text) * 1e6}
    return {
        "reports": len(reports),
        "characters": statistics.mean(len(text) for text, _ in reports),
        **{f"reports_per_s_{mode}": bench.spread(seen) for mode, seen in rates.items()},
        "scaling": scaling,
    }


if __name__ == "__main__":
    worker()
