"""Where a text says that a figure went one way and the sheet says it went the other.

Only plain sentences are read ("2024年收入下降"): a year that is named, a measure of the whole company, a verb
beside it. What is supposed, negated or about a part of the company is passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from fractions import Fraction

from reward_model.schema import FactSheet
from reward_model.statements.signs import Figures, holds

_MEASURES = {
    "营业收入": "revenue",
    "营收": "revenue",
    "收入": "revenue",
    "营业成本": "cost",
    "毛利率": "gross_margin",
    "净利润": "profit",
    "利润": "profit",
    "净利率": "net_margin",
    "销售费用率": "selling_rate",
    "管理费用率": "administrative_rate",
    "研发费用率": "research_rate",
    "期间费用率": "expense_rate",
    "销售费用": "selling",
    "管理费用": "administrative",
    "研发费用": "research",
    "研发投入": "research",
    "财务费用": "finance",
    "应收账款": "receivables",
    "存货": "inventories",
    "货币资金": "cash",
    "有息负债": "debt",
    "有息债务": "debt",
    "净资产": "equity",
    "资产负债率": "leverage",
    "经营现金流": "operating_cash",
    "经营活动现金流": "operating_cash",
    "资本开支": "capex",
    "合同销售": "presales",
    "合同签约": "presales",
    "签约": "presales",
    "合同负债": "contract_liabilities",
    "净息差": "margin",
    "息差": "margin",
    "利息净收入": "interest_income",
    "手续费收入": "fees",
    "不良贷款率": "bad_rate",
    "不良率": "bad_rate",
    "不良贷款余额": "bad_loans",
    "拨备覆盖率": "coverage",
    "贷款": "loans",
    "存款": "deposits",
    "核心一级资本充足率": "core_ratio",
    "资本充足率": "capital_ratio",
}
_WAYS = {
    "up": "增加 增长 上升 提高 提升 扩大 抬升 攀升 回升 走高 上行 走阔 大增 转增",
    "down": "减少 下降 下滑 回落 走低 降低 收窄 缩减 下行 下跌 收缩 大降 骤降 压降",
}
_WAY_OF = {word: way for way, words in _WAYS.items() for word in words.split()}
_BEFORE = "公司|该行|当年|年内|同年|同期|全年|集团"
_BETWEEN = (
    "规模|余额|总额|金额|净额|水平|也|亦|均|同比|较上年|随之|相应|明显|大幅|小幅|显著|持续|进一步|有所|出现|同步|略有|继续|"
    "仍|连续|快速|双双|再度"
)
_AFTER = "乏力|放缓|有限|承压|不及|缓慢|空间|压力|停滞|势头|目标|预期|受阻|较慢|滞后|速度"
_CLAIM = re.compile(
    rf"^(?:{_BEFORE})*(?P<what>{'|'.join(sorted(_MEASURES, key=len, reverse=True))})"
    rf"(?:{_BETWEEN})*(?P<way>{'|'.join(_WAY_OF)})(?!{_AFTER})"
)
_SUPPOSED = re.compile(
    r"若|如果|预计|将|可能|拟|计划|力争|避免|防止|未|没有|并非|此前|前期|以往|早年|历史|上年|去年|季度|月|不"
)
_YEAR = re.compile(r"(?<!\d)(20\d\d)(?!\d)")


def contradictions(text: str, sheet: FactSheet, *, year: int | None = None) -> list[str]:
    """The clauses of ``text`` that say the opposite of ``sheet``.

    Args:
        text: a background, or a title.
        sheet: the statements; items with a null are passed over.
        year: index of the year that is meant where the text names none; None: those clauses are passed over.
    """
    figures = _figures(sheet)
    places = {match[1]: index for index, name in enumerate(sheet.periods) if (match := _YEAR.search(name))}
    found = []
    for clause, index in _clauses(text, places, year):
        match = None if _SUPPOSED.search(clause) else _CLAIM.match(clause)
        if match is None or index is None or index < 1:
            continue
        opposite = "down" if _WAY_OF[match["way"]] == "up" else "up"
        if holds(f"{_MEASURES[match['what']]} {opposite}", figures, (), index):
            found.append(clause)
    return found


def _clauses(text: str, places: dict[str, int], year: int | None) -> Iterator[tuple[str, int | None]]:
    """Each clause without the year it begins with, and the index of the year it is about."""
    current = year
    for clause in re.split(r"[，。；、：！？,;:\n]", text):
        for match in _YEAR.finditer(clause):
            # "2023年建成的冷链中心" doesn't say what the rest of the sentence is about.
            current = None if "的" in clause[match.end() :] else places.get(match[1])
        yield re.sub(r"^[在到至]?20\d\d年?", "", clause.strip()), current


def _figures(sheet: FactSheet) -> Figures:
    figures: dict[str, Sequence[Fraction]] = {}
    for name, values in sheet.items.items():
        known = [Fraction(Decimal(str(value))) for value in values if value is not None]
        if len(known) == len(values):
            figures[name] = known
    return figures
