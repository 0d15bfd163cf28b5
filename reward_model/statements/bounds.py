"""What statements can look like: identities that must hold, and bounds that are believable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from reward_model.schema import FactSheet
from reward_model.statements.catalogue import Kind


@dataclass(frozen=True)
class Identity:
    """``total`` = sum of ``plus`` - sum of ``minus``, to the last digit."""

    total: str
    plus: tuple[str, ...]
    minus: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.total} = " + " + ".join(self.plus) + "".join(f" - {name}" for name in self.minus)


IDENTITIES = (
    Identity(
        "利润总额",
        ("营业收入", "其他收益及减值净额"),
        ("营业成本", "销售费用", "管理费用", "研发费用", "财务费用"),
    ),
    Identity("资产总计", ("负债合计", "所有者权益")),
    Identity("营业收入", ("利息净收入", "手续费及佣金净收入", "其他非息收入")),
    Identity("利润总额", ("营业收入",), ("业务及管理费", "信用减值损失")),
)
"""All that hold exactly in the corpus; one applies where a sheet has all its items."""

NOT_OVER = (
    (("货币资金", "应收账款", "存货"), "流动资产"),
    (("流动资产",), "资产总计"),
    (("流动负债",), "负债合计"),
    (("有息负债",), "负债合计"),
    (("合同负债",), "流动负债"),
    (("核心一级资本净额",), "资本净额"),
    (("贷款总额",), "资产总额"),
    (("存款总额",), "资产总额"),
    (("不良贷款余额",), "贷款总额"),
)
"""Parts that can't be over the whole."""


def identity_faults(sheet: FactSheet) -> list[str]:
    """Which identities a sheet breaks, and which parts are over their whole: a line a period, for people.

    Values are taken as written, digit by digit; periods with a null among them are passed over.
    """
    exact: dict[str, list[Decimal | None]] = {
        name: [None if value is None else Decimal(str(value)) for value in values]
        for name, values in sheet.items.items()
    }
    faults = []
    for identity in IDENTITIES:
        rows = _rows(exact, (identity.total, *identity.plus, *identity.minus))
        for period, row in zip(sheet.periods, rows, strict=False):
            if row is None:
                continue
            plus = row[1 : 1 + len(identity.plus)]
            total = sum(plus, Decimal()) - sum(row[1 + len(identity.plus) :], Decimal())
            if total != row[0]:
                faults.append(f"{period}: {identity} does not hold ({row[0]} ≠ {total})")
    for parts, whole in NOT_OVER:
        for period, row in zip(sheet.periods, _rows(exact, (whole, *parts)), strict=False):
            if row is not None and sum(row[1:]) > row[0]:
                faults.append(f"{period}: {' + '.join(parts)} ({sum(row[1:])}) is over {whole} ({row[0]})")
    return faults


def _rows(exact: Mapping[str, Sequence[Decimal | None]], names: Sequence[str]) -> list[list[Decimal] | None]:
    """The named items' values a period; None for a period that lacks one; nothing if an item is missing."""
    if any(name not in exact for name in names):
        return []
    rows: list[list[Decimal] | None] = []
    for values in zip(*(exact[name] for name in names), strict=True):
        known = [value for value in values if value is not None]
        rows.append(known if len(known) == len(values) else None)
    return rows


_BOUNDS: Mapping[Kind, tuple[tuple[str, str, int, int], ...]] = {
    "company": (
        ("营业成本", "营业收入", 1_500, 9_650),
        ("净利润", "营业收入", -3_500, 4_200),
        ("负债合计", "资产总计", 1_500, 8_200),
        ("流动资产", "资产总计", 1_500, 9_300),
        ("流动资产", "流动负债", 6_000, 40_000),
        ("有息负债", "负债合计", 500, 8_500),
        ("货币资金", "资产总计", 150, 4_500),
        ("经营活动现金流量净额", "营业收入", -3_000, 5_500),
        ("购建长期资产支付的现金", "营业收入", 10, 3_500),
        ("财务费用", "营业收入", 1, 800),
        ("应收账款", "营业收入", 30, 6_000),
        ("净利润", "所有者权益", -4_500, 5_500),
    ),
    "property": (
        ("营业成本", "营业收入", 5_500, 9_700),
        ("净利润", "营业收入", -3_500, 2_500),
        ("负债合计", "资产总计", 5_500, 8_900),
        ("流动资产", "资产总计", 4_000, 9_300),
        ("流动资产", "流动负债", 8_000, 25_000),
        ("有息负债", "负债合计", 500, 7_500),
        ("货币资金", "资产总计", 150, 3_000),
        ("经营活动现金流量净额", "营业收入", -6_000, 8_000),
        ("购建长期资产支付的现金", "营业收入", 5, 2_500),
        ("财务费用", "营业收入", 1, 900),
        ("合同销售金额", "营业收入", 2_500, 25_000),
        ("合同负债", "流动负债", 500, 7_500),
    ),
    "bank": (
        ("贷款总额", "资产总额", 4_200, 7_200),
        ("存款总额", "资产总额", 5_800, 8_600),
        ("贷款总额", "存款总额", 5_500, 10_500),
        ("生息资产平均余额", "资产总额", 8_200, 10_200),
        ("利息净收入", "生息资产平均余额", 95, 300),
        ("业务及管理费", "营业收入", 2_000, 5_500),
        ("净利润", "归母净资产", -1_500, 2_000),
        ("不良贷款余额", "贷款总额", 60, 350),
        ("贷款减值准备余额", "不良贷款余额", 12_000, 48_000),
        ("风险加权资产", "资产总额", 5_400, 7_800),
        ("核心一级资本净额", "风险加权资产", 760, 1_500),
        ("资本净额", "风险加权资产", 1_050, 1_900),
    ),
}
"""(item, base, lowest, highest) in ten-thousandths of the base. A bank's capital is at least the regulator's
minimum with the buffer, 7.5 % and 10.5 %."""


def implausible(figures: Mapping[str, Sequence[int]], kind: Kind) -> list[str]:
    """Which bounds statements are outside of; parts over their whole too."""
    faults = []
    for parts, whole in NOT_OVER:
        if whole in figures and all(part in figures for part in parts):
            sums = [sum(values) for values in zip(*(figures[part] for part in parts), strict=True)]
            if any(part > most for part, most in zip(sums, figures[whole], strict=True)):
                faults.append(f"{' + '.join(parts)} over {whole}")
    for item, base, low, high in _BOUNDS[kind]:
        for above, below in zip(figures[item], figures[base], strict=True):
            if below <= 0 or not below * low <= above * 10_000 <= below * high:
                faults.append(f"{item}/{base} out of bounds")
    return faults
