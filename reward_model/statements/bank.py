"""Three years of a bank, as whole numbers; bad loans, allowance and capital roll forward."""

from __future__ import annotations

from reward_model.statements.catalogue import BankLevels
from reward_model.statements.company import Move, Year
from reward_model.statements.draws import Draws, rate, scaled, share, wander

ITEMS = (
    "资产总额", "贷款总额", "存款总额", "生息资产平均余额", "利息净收入", "手续费及佣金净收入",
    "其他非息收入", "营业收入", "业务及管理费", "信用减值损失", "利润总额", "净利润", "不良贷款余额",
    "贷款减值准备余额", "风险加权资产", "核心一级资本净额", "资本净额", "归母净资产",
)  # fmt: skip


def bank_years(levels: BankLevels, assets: int, moves: tuple[Move, Move], draws: Draws) -> list[Year]:
    """Three years that begin with ``assets``; ``moves`` are those of the second and the third."""
    years = [_first_year(levels, assets, draws)]
    for move in moves:
        years.append(_next_year(years[-1], levels, move, draws))
    return years


def _profit(items: dict[str, int], tax: int) -> None:
    items["营业收入"] = items["利息净收入"] + items["手续费及佣金净收入"] + items["其他非息收入"]
    profit = items["营业收入"] - items["业务及管理费"] - items["信用减值损失"]
    items["利润总额"] = profit
    items["净利润"] = profit - share(profit, tax) if profit > 0 else profit


def _first_year(levels: BankLevels, assets: int, draws: Draws) -> Year:
    ratios = {name: draws.whole(*bounds) for name, bounds in levels}
    items = {"资产总额": assets, "贷款总额": share(assets, ratios["loans"])}
    items["存款总额"] = share(assets, ratios["deposits"])
    opening = assets * 10_000 // (10_000 + ratios["growth"])
    items["生息资产平均余额"] = share((assets + opening) // 2, ratios["earning"])
    items["利息净收入"] = share(items["生息资产平均余额"], ratios["margin"])
    items["手续费及佣金净收入"] = share(items["利息净收入"], ratios["fees"])
    items["其他非息收入"] = share(items["利息净收入"], ratios["other_income"])
    income = items["利息净收入"] + items["手续费及佣金净收入"] + items["其他非息收入"]
    items["业务及管理费"] = share(income, ratios["overhead"])
    items["信用减值损失"] = share(items["贷款总额"], ratios["credit_cost"])
    _profit(items, ratios["tax"])
    items["不良贷款余额"] = share(items["贷款总额"], ratios["bad_loans"])
    items["贷款减值准备余额"] = share(items["不良贷款余额"], ratios["coverage"])
    items["风险加权资产"] = share(assets, ratios["density"])
    items["核心一级资本净额"] = share(items["风险加权资产"], ratios["core"])
    items["资本净额"] = items["核心一级资本净额"] + share(items["风险加权资产"], ratios["supplementary"])
    items["归母净资产"] = scaled(items["核心一级资本净额"], ratios["goodwill"])
    return Year(items, {}, 0, 0, 0, ratios)


def _next_year(before: Year, levels: BankLevels, move: Move, draws: Draws) -> Year:
    ratios, was = dict(before.ratios), before.items

    def moved(name: str, width: int) -> int:
        """A ratio of the year before with its change."""
        ratios[name] = max(1, ratios[name] + move.get(name, wander(draws, width)))
        return ratios[name]

    def grown(item: str, name: str, usual: int) -> int:
        """An item of the year before with its growth."""
        return max(1, scaled(was[item], move.get(name, usual)))

    growth = move["growth"] if "growth" in move else draws.whole(*levels.growth)
    items = {"资产总额": scaled(was["资产总额"], growth)}
    items["贷款总额"] = grown("贷款总额", "loans", growth + wander(draws, 900))
    items["存款总额"] = grown("存款总额", "deposits", growth + wander(draws, 900))
    average = (items["资产总额"] + was["资产总额"]) // 2
    items["生息资产平均余额"] = share(average, ratios["earning"] + wander(draws, 80))
    # Margins have been falling by some basis points a year.
    ratios["margin"] += move.get("margin", draws.whole(-21, 9))
    items["利息净收入"] = share(items["生息资产平均余额"], ratios["margin"])
    items["手续费及佣金净收入"] = grown("手续费及佣金净收入", "fees", draws.whole(-3_200, 3_000))
    items["其他非息收入"] = grown("其他非息收入", "other_income", draws.whole(-4_500, 5_500))
    income = items["利息净收入"] + items["手续费及佣金净收入"] + items["其他非息收入"]
    # Pay follows income with a lag.
    followed = share(rate(income, was["营业收入"]) - 10_000, 6_000)
    items["业务及管理费"] = grown("业务及管理费", "overhead", followed + draws.whole(-700, 900))
    loans = (items["贷款总额"] + was["贷款总额"]) // 2
    items["信用减值损失"] = max(1, share(loans, moved("credit_cost", 20)))
    _profit(items, ratios["tax"])
    events = _bad_loans(before, items, moved("bad_loans", 34), moved("coverage", 5_500))
    items["风险加权资产"] = share(items["资产总额"], moved("density", 150))
    payout = move["payout"] if "payout" in move else draws.whole(*levels.payout)
    events["dividends"] = share(max(0, was["净利润"]), payout)
    events["raised"] = share(was["核心一级资本净额"], move.get("raised", 0))
    kept = items["净利润"] - events["dividends"] + events["raised"]
    items["核心一级资本净额"] = was["核心一级资本净额"] + kept
    other = rate(was["资本净额"] - was["核心一级资本净额"], was["风险加权资产"])
    issued = move.get("supplementary", wander(draws, 20))
    other_capital = share(items["风险加权资产"], max(80, other + issued))
    events["issued"] = other_capital - (was["资本净额"] - was["核心一级资本净额"])
    items["资本净额"] = items["核心一级资本净额"] + other_capital
    items["归母净资产"] = was["归母净资产"] + kept
    return Year(items, events, 0, 0, 0, ratios)


def _bad_loans(before: Year, items: dict[str, int], bad: int, coverage: int) -> dict[str, int]:
    """Set bad loans and allowance; returns what was written off and what newly went bad.

    allowance = opening + impairment on loans - written off + recovered; bad loans = opening + newly bad -
    written off. A wanted coverage that the year's impairment can't pay for is not reached.
    """
    was = before.items
    items["不良贷款余额"] = max(1, share(items["贷款总额"], bad))
    charged = share(items["信用减值损失"], 9_500)
    wanted = share(items["不良贷款余额"], coverage)
    # 15 % of what is written off comes back in the same year.
    written_off = (was["贷款减值准备余额"] + charged - wanted) * 100 // 85
    written_off = max(written_off, share(was["不良贷款余额"], 600))
    written_off = max(written_off, was["不良贷款余额"] - items["不良贷款余额"])
    allowance = was["贷款减值准备余额"] + charged - share(written_off, 8_500)
    items["贷款减值准备余额"] = max(1, allowance)
    newly_bad = items["不良贷款余额"] - was["不良贷款余额"] + written_off
    return {"written_off": written_off, "newly_bad": newly_bad}
