"""Three years of an ordinary company or a property developer, as whole numbers that close to the last one.

A small articulated model: each year's balance sheet follows from the opening one through profit, dividends,
capital paid in, borrowing and investment, and the operating cash flow is what the other changes leave.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from reward_model.statements.catalogue import CompanyLevels
from reward_model.statements.draws import Draws, rate, scaled, share, wander

ITEMS = (
    "营业收入", "营业成本", "销售费用", "管理费用", "研发费用", "财务费用", "其他收益及减值净额", "利润总额",
    "净利润", "资产总计", "负债合计", "所有者权益", "流动资产", "流动负债", "货币资金", "应收账款", "存货",
    "有息负债", "经营活动现金流量净额", "购建长期资产支付的现金",
)  # fmt: skip
PROPERTY_ITEMS = (*ITEMS, "合同销售金额", "合同负债")
EXPENSES = {"selling": "销售费用", "administrative": "管理费用", "research": "研发费用"}

Move = Mapping[str, int]
"""What a year's storylines do, in hundredths of the catalogue's units."""


@dataclass
class Year:
    """One year: the items of the statements, and what stands behind them.

    Attributes:
        items: in hundredths of 亿元.
        events: amounts that the items don't show: dividends, raised, investments, placed ...
        other_current: current assets beside cash, receivables and inventories, without what was placed.
        placed: wealth products, in current assets.
        operating: liabilities without interest and contract liabilities.
        ratios: what the next year goes on from, in hundredths of per cent or of days.
    """

    items: dict[str, int]
    events: dict[str, int]
    other_current: int
    placed: int
    operating: int
    ratios: dict[str, int]

    @property
    def fixed(self) -> int:
        """Non-current assets."""
        return self.items["资产总计"] - self.items["流动资产"]


def company_years(levels: CompanyLevels, revenue: int, moves: tuple[Move, Move], draws: Draws) -> list[Year]:
    """Three years that begin with ``revenue``; ``moves`` are those of the second and the third."""
    years = [_first_year(levels, revenue, draws)]
    for move in moves:
        years.append(_next_year(years[-1], levels, move, draws))
    return years


def _profit(items: dict[str, int], tax: int) -> None:
    costs = ("营业成本", *EXPENSES.values(), "财务费用")
    profit = items["营业收入"] - sum(items[name] for name in costs) + items["其他收益及减值净额"]
    items["利润总额"] = profit
    # A loss bears no tax: no deferred tax asset is booked on it.
    items["净利润"] = profit - share(profit, tax) if profit > 0 else profit


def _days(amount: int, hundredths_of_days: int) -> int:
    return (amount * hundredths_of_days + 18_250) // 36_500


def _impairments(items: Mapping[str, int]) -> int:
    """The part of a year's other income and impairments that costs assets, not cash."""
    return max(0, -share(items["其他收益及减值净额"], 8_000))


def _first_year(levels: CompanyLevels, revenue: int, draws: Draws) -> Year:
    ratios = {name: draws.whole(*bounds) for name, bounds in levels if bounds is not None}
    items = {"营业收入": revenue, "营业成本": revenue - share(revenue, ratios["gross_margin"])}
    for name, item in EXPENSES.items():
        items[item] = max(1, share(revenue, ratios[name]))
    assets = share(revenue, ratios["assets"])
    debts = share(assets, ratios["leverage"])
    borrowed = max(1, share(debts, ratios["debt"]))
    items["财务费用"] = max(1, share(borrowed, ratios["interest"]))
    items["其他收益及减值净额"] = share(revenue, ratios["other_income"])
    _profit(items, ratios["tax"])
    cash = share(assets, ratios["cash"])
    receivables = _days(revenue, ratios["receivable_days"])
    inventories = _days(items["营业成本"], ratios["inventory_days"])
    held = cash + receivables + inventories
    current = max(share(assets, ratios["current"]), held + share(held, draws.whole(400, 1_200)))
    presold = share(revenue, ratios.get("contract_liabilities", 0))
    operating = debts - borrowed - presold
    items |= {"资产总计": assets, "负债合计": debts, "所有者权益": assets - debts, "流动资产": current}
    items["流动负债"] = _current_debts(borrowed, operating, presold, ratios)
    items |= {"货币资金": cash, "应收账款": receivables, "存货": inventories, "有息负债": borrowed}
    # Of the opening balance nothing is known but that it was a year's growth smaller.
    tied = receivables + inventories + current - held - operating - presold
    worn = share(assets - current, ratios["depreciation"])
    grown = share(tied, draws.whole(-600, 1_200))
    items["经营活动现金流量净额"] = items["净利润"] + worn + items["财务费用"] + _impairments(items) - grown
    items["购建长期资产支付的现金"] = max(1, share(revenue, ratios["capex"]))
    if levels.presales is not None:
        items |= {"合同销售金额": share(revenue, ratios["presales"]), "合同负债": presold}
        ratios["other_presold"] = draws.whole(-250, 350)
    return Year(items, {}, current - held, 0, operating, ratios)


def _current_debts(borrowed: int, operating: int, presold: int, ratios: Mapping[str, int]) -> int:
    return presold + share(borrowed, ratios["short_debt"]) + share(operating, ratios["short_operating"])


def _next_year(before: Year, levels: CompanyLevels, move: Move, draws: Draws) -> Year:
    ratios, was = dict(before.ratios), before.items
    growth = move["growth"] if "growth" in move else draws.whole(*levels.growth)
    revenue = scaled(was["营业收入"], growth)
    items = {"营业收入": revenue}
    ratios["gross_margin"] += move.get("gross_margin", wander(draws, 380))
    items["营业成本"] = revenue - share(revenue, ratios["gross_margin"])
    for name, item in EXPENSES.items():
        # Expenses follow revenue with a lag.
        usual = scaled(was[item], share(growth, 6_000) + wander(draws, 3_600))
        # No year's savings go beyond two fifths of an expense.
        items[item] = max(1, share(usual, 6_000), usual + share(revenue, move.get(name, 0)))
    stocks = _working_capital(before, items, move, ratios, draws)
    other = move["other_income"] if "other_income" in move else draws.whole(*levels.other_income)
    items["其他收益及减值净额"] = share(revenue, other)
    ratios["interest"] = max(100, ratios["interest"] + move.get("interest", wander(draws, 50)))
    exchange = share(revenue, move.get("exchange", wander(draws, 50)))
    # On opening debt: the closing one depends on the profit, which would go in a circle.
    items["财务费用"] = max(1, share(was["有息负债"], ratios["interest"]) + exchange)
    _profit(items, ratios["tax"])
    events = _decisions(before, items, levels, move, ratios, draws)
    equity = was["所有者权益"] + items["净利润"] - events["dividends"] + events["raised"]
    fixed = before.fixed + items["购建长期资产支付的现金"] - events["depreciation"] - _impairments(items)
    placed = max(0, before.placed + events["placed"])
    events["placed"] = placed - before.placed
    tied = stocks["receivables"] + stocks["inventories"] + stocks["other_current"]
    owed = stocks["operating"] + stocks["presold"]
    cash, borrowed, events["investments"] = _funding(
        before, tied + placed + fixed, equity, owed, move, ratios, draws
    )
    current, debts = cash + tied + placed, borrowed + owed
    short = ratios["short_debt"] + move.get("short_debt", wander(draws, 700))
    ratios["short_debt"] = min(9_000, max(1_500, short))
    tied_before = was["应收账款"] + was["存货"] + before.other_current
    owed_before = before.operating + was.get("合同负债", 0)
    items |= {
        "资产总计": current + fixed + events["investments"],
        "负债合计": debts,
        "所有者权益": equity,
        "流动资产": current,
        "流动负债": _current_debts(borrowed, stocks["operating"], stocks["presold"], ratios),
        "货币资金": cash,
        "应收账款": stocks["receivables"],
        "存货": stocks["inventories"],
        "有息负债": borrowed,
        "经营活动现金流量净额": items["净利润"] + events["depreciation"] + items["财务费用"]
        + _impairments(items) - (tied - tied_before) + owed - owed_before,
    }  # fmt: skip
    if levels.presales is not None:
        items |= {"合同销售金额": stocks["presales"], "合同负债": stocks["presold"]}
    return Year(items, events, stocks["other_current"], placed, stocks["operating"], ratios)


def _working_capital(
    before: Year, items: Mapping[str, int], move: Move, ratios: dict[str, int], draws: Draws
) -> dict[str, int]:
    """Receivables, inventories, other current assets and liabilities without interest at the year's end."""
    revenue, was = items["营业收入"], before.items
    # Half of it moves with revenue: deposits, taxes and pay don't follow every swing.
    drift = share(rate(revenue, was["营业收入"]) - 10_000, 5_000)
    for name, key in (("receivable_days", "receivables"), ("inventory_days", "inventories")):
        ratios[name] = max(100, scaled(ratios[name], move.get(key, wander(draws, 3_600))))
    if "presales" in ratios:  # what is being built doesn't follow what is handed over
        change = move.get("inventories", share(drift, 5_000) + wander(draws, 1_200))
        inventories = scaled(was["存货"], change)
    else:
        inventories = _days(items["营业成本"], ratios["inventory_days"])
    found = {
        "receivables": max(1, _days(revenue, ratios["receivable_days"])),
        "inventories": max(1, inventories),
        "other_current": max(
            1, scaled(before.other_current, drift + move.get("advances", wander(draws, 1_200)))
        ),
    }
    payables = move.get("payables", wander(draws, 900))
    found["operating"] = max(1, scaled(before.operating, drift + payables))
    found["presold"] = found["presales"] = 0
    if "presales" in ratios:
        growth = move["presales"] if "presales" in move else draws.whole(-2_500, 3_500)
        found["presales"] = scaled(was["合同销售金额"], growth)
        # Collected on contracts, less what is recognised as revenue.
        presold = (
            was["合同负债"]
            + share(found["presales"], 8_600)
            - share(revenue, 9_200 - ratios["other_presold"])
        )
        found["presold"] = max(share(revenue, 1_500), presold)
    return found


def _decisions(
    before: Year,
    items: dict[str, int],
    levels: CompanyLevels,
    move: Move,
    ratios: Mapping[str, int],
    draws: Draws,
) -> dict[str, int]:
    """What was decided: dividends, capital, investment. Adds the capital expenditure to ``items``."""
    was = before.items
    payout = move["payout"] if "payout" in move else draws.whole(*levels.payout)
    spent = move["capex"] if "capex" in move else draws.whole(*levels.capex)
    items["购建长期资产支付的现金"] = max(1, share(items["营业收入"], spent))
    return {
        "dividends": share(max(0, was["净利润"]), payout),
        "raised": share(was["所有者权益"], move.get("raised", 0)),
        "placed": share(was["资产总计"], move.get("placed", 0)),
        "depreciation": share(before.fixed, ratios["depreciation"]),
    }


def _funding(
    before: Year, assets: int, equity: int, owed: int, move: Move, ratios: Mapping[str, int], draws: Draws
) -> tuple[int, int, int]:
    """Cash, interest-bearing debt and other investments at the year's end.

    Args:
        before: the year before.
        assets: those that are settled: all but cash and other investments.
        equity: at the year's end.
        owed: liabilities without interest.
        move: the year's.
        ratios: of the company.
        draws: where choices come from.
    """
    was = before.items
    leverage = rate(was["负债合计"], was["资产总计"])
    # Without a storyline back towards the company's usual leverage, slowly.
    usual = (leverage * 7 + ratios["leverage"] * 3) // 10
    leverage = leverage + move["leverage"] if "leverage" in move else usual + wander(draws, 450)
    total = max(0, equity) * 10_000 // max(500, 10_000 - leverage)
    held = share(total, rate(was["货币资金"], was["资产总计"]))
    cash = max(1, scaled(held, move.get("cash", wander(draws, 3_600))))
    planned = share(was["资产总计"], move.get("investments", 0))
    room = share(was["资产总计"], 300)
    invested = min(max(total - cash - assets, planned - room // 3), planned + room)
    # What the plan leaves unfunded (or over) is borrowed (or repaid), and a third taken from cash (or kept).
    gap = cash + assets + invested - total
    cash = max(cash // 3, cash - gap // 3)
    borrowed = cash + assets + invested - equity - owed
    least = share(was["有息负债"], 2_500)
    if borrowed < least:
        cash += least - borrowed
        borrowed = least
    return cash, borrowed, invested
