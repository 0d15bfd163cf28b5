"""What the generation benchmark asks, and how a process measures itself. Peers import it: no packages."""

from __future__ import annotations

import functools
import os
import random
import resource
import time
from pathlib import Path
from typing import Any

_LINES = (
    "营业收入{0}亿元，同比增长{1}%",
    "归母净利润{0}亿元，净利率{1}%",
    "经营活动现金流净额{0}亿元，占净利润的{1}%",
    "应收账款{0}亿元，周转率{1}次",
    "存货{0}亿元，周转天数{1}天",
    "资产负债率{1}%，有息负债{0}亿元",
)


@functools.lru_cache(maxsize=4)
def _figures(chars: int) -> str:
    rng = random.Random(0)
    text = ""
    while len(text) < chars:
        text += rng.choice(_LINES).format(f"{rng.uniform(1, 900):.2f}", f"{rng.uniform(1, 90):.1f}") + "；\n"
    return text[:chars]


def prompt(index: int, tag: str, chars: int) -> str:
    """A prompt of about ``chars`` characters, another one for each ``index`` and ``tag``; cheap to make."""
    return f"请根据以下分析框架生成制造业的财务分析报告（{tag}，第{index}份）：\n{_figures(chars)}"


_UNIT = 1 if os.uname().sysname == "Darwin" else 1024
"""Bytes in a unit of ``ru_maxrss``."""


def _peak() -> int:
    """Peak memory of this process, in bytes."""
    try:
        # Linux carries the parent's peak over into ru_maxrss when a process starts; this it doesn't.
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _UNIT


class Usage:
    """Wall and CPU time from its making on; peak memory of the whole process."""

    def __init__(self) -> None:
        self._wall = time.perf_counter()
        self._cpu = self._seconds()

    @staticmethod
    def _seconds() -> float:
        both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        return sum(usage.ru_utime + usage.ru_stime for usage in both)

    def figures(self) -> dict[str, Any]:
        """``seconds``; ``cpu_s``, with ended children; ``rss_mb``, peak of this one or the largest child."""
        wall, cpu = time.perf_counter() - self._wall, self._seconds() - self._cpu
        children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        return {"seconds": wall, "cpu_s": cpu, "rss_mb": max(_peak(), children * _UNIT) / 2**20}
