"""What is said around a figure: 约, 超过, 不到, 左右, 以上; 亏损."""

from __future__ import annotations

import re

_BEFORE = {
    "about": "约|大约|约为|大概|大致|近似|估计|约合|几乎|≈|~|差不多",
    "over": "超过|超|逾|多于|高于|突破|大于|不低于|不少于|不小于|不止|不下|不下于|至少|最少|>|≥|过",
    "under": (
        "不到|不足|低于|未到|近|将近|接近|少于|小于|未达|未满|不满|跌破|不超过|不超|不逾|不高于|不大于|"
        "不多于|"
        "至多|最多|逼近|<|≤"
    ),
}
_AFTER = {
    "about": "左右|上下|附近|略多",
    "over": "以上|出头|有余|多|开外|还多|之上",
    "under": "以内|以下|之内|不到|之下",
}
_NOT_AFTER = re.compile("上下[游半]|以上[述各因三两几]|以下[简方几因措问]|不到位|以内[部生]")
# 两倍多 is more than two; 比上年的9.29亿元多 compares.
_AFTER_SIZES = frozenset({"多", "还多", "略多"})
_SIZES = frozenset("倍成半番")
# What stands before a hedge's character in other words: 节约, 最近, 通过.
_NOT_BEFORE = {
    "约": "合节预履契签违制公条租集特简缩",
    "近": "最附靠临邻相亲",
    "超": "高赶反",
    "过": "通经超不透越渡",
}
_FILLERS = ("达到了", "达到", "为", "达", "了", "在", "有", "至", "到")


def _by_end(words: dict[str, str], at: int) -> dict[str, list[tuple[str, str]]]:
    table: dict[str, list[tuple[str, str]]] = {}
    for hedge, row in words.items():
        for word in row.split("|"):
            table.setdefault(word[at], []).append((word, hedge))
    for entries in table.values():
        entries.sort(key=lambda entry: -len(entry[0]))
    return table


_BY_LAST = _by_end(_BEFORE, -1)
_BY_FIRST = _by_end(_AFTER, 0)
_FILLER_ENDS = frozenset(filler[-1] for filler in _FILLERS)

_LOSS = re.compile(
    r"(?<![减扭止多少])(?:亏损?(?:总?额|金额)?)(?:(?:扩大|收窄|缩小|减少|增加|增|降|减)(?:至|到)|从|由|"
    r"了|为|是|达到?|至|在|：|:)?"
    r"(?:约为?|大约|近|超过?|逾|不到|不足|将近|接近|[-+(])? ?$"
)
_LOSS_MOVED = re.compile(
    "[，,]?(?:进一步|大幅|小幅|明显|继续)?(?:扩大|收窄|缩小|减少|增加|增|降|减)[至到](?:约|近|超过?)?"
)


def hedge_of(plain: str, start: int, end: int) -> str:
    """The hedge directly before or behind a figure: "about", "over", "under" or ""."""
    return _before(plain, start) or _after(plain, end)


def _before(plain: str, start: int) -> str:
    at = start
    while at > 0 and start - at < 3 and plain[at - 1] in " *(":
        at -= 1
    found = _ending_at(plain, at)
    if found or plain[at - 1 : at] not in _FILLER_ENDS:
        return found
    for filler in _FILLERS:
        if plain.endswith(filler, 0, at):
            return _ending_at(plain, at - len(filler))
    return ""


def _ending_at(plain: str, at: int) -> str:
    for word, hedge in _BY_LAST.get(plain[at - 1 : at], ()) if at else ():
        if plain.startswith(word, at - len(word)) and at >= len(word):
            before = plain[at - len(word) - 1 : at - len(word)]
            if len(word) == 1 and before and before in _NOT_BEFORE.get(word, ""):
                return ""
            return hedge
    return ""


def _after(plain: str, end: int) -> str:
    for word, hedge in _BY_FIRST.get(plain[end : end + 1], ()):
        if plain.startswith(word, end):
            compared = word in _AFTER_SIZES and plain[end - 1] not in _SIZES
            return "" if compared or _NOT_AFTER.match(plain, end) else hedge
    return ""


def is_loss(plain: str, start: int) -> bool:
    """Whether 亏损, and nothing but what leads to its size, stands directly before a figure."""
    begin = max(0, start - 14)
    return plain.find("亏", begin, start) >= 0 and _LOSS.search(plain, begin, start) is not None


def loss_moved(plain: str, start: int, end: int) -> bool:
    """Whether what stands between two figures says where a loss moved: 亏损由0.5亿元[扩大至]1.2亿元."""
    return end - start <= 10 and _LOSS_MOVED.fullmatch(plain, start, end) is not None
