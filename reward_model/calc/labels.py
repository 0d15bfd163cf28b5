"""Numbers that are no figures: list numbers, share codes, clause numbers, times, product names."""

from __future__ import annotations

import re

from reward_model.calc.layout import Row

# Dates and spans of time; 3-5年 and 22/23年 too.
LASTING = re.compile(
    r"[ \u00a0]?(?:[-–—~至到][ ]?[0-9]{1,3}(?:\.[0-9]{1,2})?[ ]?|(?:[/、][0-9]{1,2}){1,4})?"
    r"[多余来]?(?:年|月(?!均)|日(?![元圆均])|号(?!称)|季|周(?![转期边])|小时|分[钟秒]|秒|岁|点钟|"
    r"时[0-9]{1,2}分|世纪|星期|财年"
    r"|个(?:半|多)?(?:月|季|星期|周|小时|工作日|交易日|自然日|营业日|财年|年度|会计年度|完整|百分位))"
)
LASTING_HEADS = frozenset("年月日号季周小分秒岁点时世星财个多余来-–—~至到/、 \u00a0")
_RATIO = re.compile(r"[:：对比][0-9]{1,3}(?:\.[0-9]{1,4})?(?![0-9])")
_PHONE = re.compile(r"(?:1[3-9][0-9]{9}|0[0-9]{2,3}-[0-9]{7,8}|[48]00-[0-9]{3,4}-[0-9]{3,4})(?![0-9])")
_DATE_TAIL = re.compile(r"(?:-[0-9]{1,4}){2}(?![0-9.])")
_THINGS = frozenset("大类级期轮折步维版批届阶环重代核端线层楼栋号强星码座方要点环倍因")
_RANK = re.compile(r"(?:第 ?|(?<![目当之此提以])前|[Tt][Oo][Pp] ?|[№§#])$")
_NUMBERED_THING = re.compile("(?:图表?|表格?|附?注|附件|附录|脚注|编号|公告|条款?|文号|序号)$")
_LINE_HEAD = frozenset(" \t>#*_-+•·●■◆▪□◇([【")
_INLINE_HEAD = frozenset("；;。：:！!？?\n")
_JOINTS = frozenset("-–—~至到")
_OPERATORS = frozenset("=+×*/÷<>%≈＝")
_CODE = re.compile("60[0135]|68[89]|00[0-3]|30[012]|43|8[37]|920|900|200|51|588|159|11[0138]|12[378]")
"""How the six digits of a share, fund or bond begin."""


def label_end(plain: str, start: int, end: int, row: Row | None, counted: bool) -> int | None:
    """The end of the label that the number at ``start``:``end`` belongs to; None if the number is a figure.

    Args:
        plain: the width-normalised text.
        start, end: the number, without sign and unit.
        row: the table row it stands in.
        counted: a measure word stands behind it (3家), so that it is no list number.
    """
    before = plain[start - 1] if start else "\n"
    behind = plain[end : end + 1]
    whole = "." not in plain[start:end]
    if whole and before in "第前 pP№§#" and _RANK.search(plain, max(0, start - 4), start):
        return end
    if counted:
        return None
    if whole and before in "图表格注件录号告条款" and _NUMBERED_THING.search(plain, max(0, start - 2), start):
        return end
    if behind and behind.isascii() and (behind.isalpha() or behind == "_"):
        return end
    if whole and (end - start == 11 or behind == "-"):
        number = _PHONE.match(plain, start) or _DATE_TAIL.match(plain, end)
        if number:
            return number.end()
    if behind and behind in ":：对" and end - start <= 4 and (ratio := _RATIO.match(plain, end)):
        return ratio.end()
    if behind == "." and plain[end + 1 : end + 2].isascii() and plain[end + 1 : end + 2].isalpha():
        return end  # 0700.HK
    if whole and end - start > 1 and plain[start] == "0":
        return end
    if whole and (behind in _THINGS or behind == "]" or behind == "】"):
        return end
    if row is not None:
        return end if whole and start < row.first_end else None
    if end - start == 6 and whole and _CODE.match(plain, start):
        return end
    return end if _is_list_number(plain, start, end, before, behind) else None


def _is_list_number(plain: str, start: int, end: int, before: str, behind: str) -> bool:
    """Whether it numbers a heading, a paragraph or a point within one: 3.1 经营, 2、, （3）, 1)."""
    whole = "." not in plain[start:end]
    short = whole and end - start <= 2
    if behind == ")" and short and before in "(；;。：:，,、 \t\n*":
        return True
    at = start - 1
    while at >= 0 and start - at < 16 and plain[at] in _LINE_HEAD:
        at -= 1
    if at < 0 or plain[at] == "\n":
        if whole:
            joined = behind in _JOINTS and plain[end + 1 : end + 2].isdecimal()
            return short and behind not in _OPERATORS and not joined
        digits, decimals = plain[start:end].split(".")
        after = plain[end : end + 2].strip()[:1]
        return len(digits) <= 2 and len(decimals) <= 2 and (after.isalpha() or after in ("、", "《", "“"))
    if not short or behind not in ("、", "."):
        return False
    if behind == "." and plain[end + 1 : end + 2] == " " and before in " *":
        return True
    return plain[at] in _INLINE_HEAD and not plain[end + 1 : end + 2].isdecimal()
