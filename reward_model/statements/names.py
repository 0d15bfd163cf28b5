"""Names of fictional companies, and the real ones that must not be met by chance."""

from __future__ import annotations

from functools import cache, lru_cache
from importlib import resources

from reward_model.statements.draws import Draws

FIRST = "东中云华同启嘉宁安恒新昌泰海瑞百盛金远博承鸿晋锦骏隆兆庆永凯景润晟弘铭嵩岱沧淮湘赣陇蓟"
SECOND = "劭屿峰拓樾沛泽湛澜衡铠霖岳川昱朔珩麓翎砚棠曜璟嵘澍煦岑琅钧桓庭栩湉骞"
_TAKEN = frozenset((
    "海澜", "华润", "海峰", "海川", "海岳", "金峰", "金川", "金泽", "瑞泽", "盛泽", "东岳",
    "安泽", "安川", "新泽", "恒泽", "华岳", "华峰", "润泽", "泰岳", "百川", "景峰", "湘川",
))  # fmt: skip
"""First two characters that a well-known company has made its own."""


def core_at(index: int, key: str) -> str:
    """The two characters that the company of this index is called by; all others come before one again.

    ``key`` settles in which order they come.
    """
    order = _cores(key)
    return order[index % len(order)]


@lru_cache(maxsize=64)
def _cores(key: str) -> list[str]:
    cores = [first + second for first in FIRST for second in SECOND]
    return Draws(key).shuffled([core for core in cores if core not in _TAKEN])


def real_names(text: str) -> list[str]:
    """The well-known companies that ``text`` names."""
    return sorted(name for name in _real() if name in text)


@cache
def _real() -> frozenset[str]:
    path = resources.files("reward_model") / "statements" / "catalogue" / "real_companies.txt"
    lines = path.read_text(encoding="utf-8").splitlines()
    return frozenset(name for line in lines if not line.startswith("#") for name in line.split())
