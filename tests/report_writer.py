"""Writes true reports from a fact sheet in many wordings.

Everything written is true of the sheet: values are exact fractions, rounded at the precision drawn; hedges
are used truthfully. A sentence that doesn't fit the figures (growth from a loss) is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from drawn_sheets import COVERS, LAST, SHARES, SUMS, YEARS, Choose, Measure, Sheet
from report_page import UP_DOWN, Page, Report, Rights

GROWTH, CHANGE, POINTS, BECAME = UP_DOWN[:1], UP_DOWN[1:2], UP_DOWN[2:5], UP_DOWN[5:]
FILLERS = (
    "上述变化与行业景气度基本一致。", "管理层表示将持续优化结构。", "相关口径与年度报告保持一致。",
    "截至2024年12月31日，审计工作已完成。", "下一步重点是落实三项措施。",
)  # fmt: skip


# -- what sentences are made of ------------------------------------------------------------------------------


def _said(measure: Measure, year: int, what: str) -> str:
    return f"{measure.name}[{YEARS[year]}] {what}"


def _unit(page: Page, measure: Measure) -> str:
    return page.unit if measure.unit == "元" else measure.unit


def _level(page: Page, measure: Measure, year: int, *, hedges: bool = False, bare: bool = False) -> None:
    how = "level" if measure.unit == "元" else "ratio"
    rights: Rights = lambda sheet: measure.right(sheet, year)  # noqa: E731
    page.figure(_said(measure, year, how), how, rights, _unit(page, measure), hedges=hedges, bare=bare)


def _growth(measure: Measure, year: int, base: int) -> Rights:
    def rights(sheet: Sheet) -> tuple[Fraction, ...]:
        now, before = measure.value(sheet, year), measure.value(sheet, base)
        assert now is not None
        assert before
        return (abs(now / before - 1) * 100,)

    return rights


def _difference(measure: Measure, year: int, base: int) -> Rights:
    def rights(sheet: Sheet) -> tuple[Fraction, ...]:
        pairs = zip(measure.right(sheet, year), measure.right(sheet, base), strict=False)
        return tuple(abs(now - before) for now, before in pairs)

    return rights


def _both(
    page: Page, measure: Measure, year: int, base: int, *, positive: bool = True
) -> tuple[Fraction, Fraction] | None:
    """Both years' values, or None where a sentence that compares them can't be written well."""
    if base < 0:
        return None
    now, before = measure.value(page.sheet, year), measure.value(page.sheet, base)
    if now is None or before is None or (positive and (now <= 0 or before <= 0)):
        return None
    unit = _unit(page, measure)
    shown = page.shown(now, unit), page.shown(before, unit)
    # Levels that look the same, and ones of which rounding leaves nothing, aren't compared in words.
    return None if shown[0] == shown[1] or not all(shown) else (now, before)


def _grew(page: Page, measure: Measure, year: int, base: int) -> bool:
    """Write "增长26.93%"; False where it would read 0."""
    (growth,) = _growth(measure, year, base)(page.sheet)
    if not page.shown(growth, "%"):
        return False
    now, before = measure.value(page.sheet, year), measure.value(page.sheet, base)
    page.turn(GROWTH, (now or 0) > (before or 0))
    page.figure(_said(measure, year, "growth"), "growth", _growth(measure, year, base), "%", hedges=True)
    return True


def _changed(page: Page, measure: Measure, year: int, base: int) -> bool:
    """Write "增加111.11亿元" or "提高3.20个百分点"; False where it would read 0."""
    change = _difference(measure, year, base)
    unit = {"元": page.unit, "%": page.choose.of(("个百分点", "个百分点", "pct", "pp"))}.get(
        measure.unit, measure.unit
    )
    if not page.shown(change(page.sheet)[0], unit):
        return False
    now, before = measure.value(page.sheet, year), measure.value(page.sheet, base)
    page.turn(CHANGE if measure.unit == "元" else POINTS, (now or 0) > (before or 0))
    how = "points" if measure.unit == "%" else "change"
    if unit == "个百分点" and page.choose.whole(0, 5) == 5 and page.ratio_decimals == 0:
        page.figure(_said(measure, year, how), how, change, "个基点", scale=100)
    else:
        page.figure(_said(measure, year, how), how, change, unit)
    return True


def _pick_year(page: Page) -> int:
    return page.choose.of((LAST, LAST, LAST, 1))


# -- sentences: each writes nothing where it does not fit ----------------------------------------------------


def a_level(page: Page) -> None:
    """A metric and its value, with or without 同比."""
    measure = page.choose.of(page.money)
    year = page.choose.of((LAST, LAST, 1, 0))
    page.when(year, measure.stock)
    page.add(page.choose.of(("公司", "公司实现", "")) if not measure.stock else "")
    page.name(measure)
    page.add(page.choose.of(("", "为", "达到", "是")))
    _level(page, measure, year, hedges=True)
    if _both(page, measure, year, year - 1):
        mark = len(page.text)
        page.add(page.choose.of(("，同比", "，较上年", "，")) if not measure.stock else "，较上年末")
        if not _grew(page, measure, year, year - 1):
            page.text = page.text[:mark]
    page.add("。")


def signed_growth(page: Page) -> None:
    """同比+26.93% and YoY, in brackets or not."""
    measure = page.choose.of(page.money)
    year = _pick_year(page)
    both = _both(page, measure, year, year - 1)
    if both is None or not page.shown(_growth(measure, year, year - 1)(page.sheet)[0], "%"):
        return
    page.when(year)
    page.name(measure)
    _level(page, measure, year)
    before, after = page.choose.of((("（同比", "）"), ("（", "）"), ("，同比", ""), ("，YoY ", "")))
    page.add(before)
    sign = "+" if both[0] > both[1] else "-"
    page.figure(_said(measure, year, "growth"), "growth", _growth(measure, year, year - 1), "%", sign=sign)
    page.add(after + "。")


def from_to(page: Page) -> None:
    """由A升至B, perhaps with the change or the growth behind."""
    measure = page.choose.of(page.money + page.ratios + page.ratios + page.others)
    year = _pick_year(page)
    both = _both(page, measure, year, year - 1)
    if both is None:
        return
    page.when(year, measure.stock)
    page.name(measure)
    with page.linked():
        page.add(page.choose.of(("由", "从")))
        dated = page.choose.whole(0, 3) == 3
        page.add(f"{YEARS[year - 1]}年{'末' if measure.stock else ''}的" if dated else "")
        _level(page, measure, year - 1)
        page.turn(BECAME, both[0] > both[1])
        _level(page, measure, year)
    mark = len(page.text)
    page.add("，")
    behind = page.choose.of((_grew, _changed) if measure.unit == "元" else (_changed,))
    if (
        measure.unit not in ("元", "%")
        or page.choose.whole(0, 3) == 3
        or not behind(page, measure, year, year - 1)
    ):
        page.text = page.text[:mark]
    page.add("。")


def arrow(page: Page) -> None:
    """毛利率30.02%→24.59%."""
    measure = page.choose.of(page.money + page.ratios)
    if _both(page, measure, LAST, LAST - 1) is None:
        return
    page.when(LAST)
    page.name(measure)
    with page.linked():
        _level(page, measure, LAST - 1, bare=page.choose.whole(0, 1) == 1)
        page.add("→")
        _level(page, measure, LAST)
    page.add("。")


def a_change(page: Page) -> None:
    """较上年增加A至B, and the same over a change of percentage points."""
    measure = page.choose.of(page.money + page.ratios)
    year = _pick_year(page)
    if _both(page, measure, year, year - 1) is None:
        return
    mark, figures = len(page.text), len(page.figures)
    page.when(year, measure.stock)
    page.name(measure)
    leads = page.choose.whole(0, 1) == 1
    if leads:
        _level(page, measure, year)
        page.add("，")
    page.add("较上年末" if measure.stock else "较上年")
    if not _changed(page, measure, year, year - 1):
        page.text, page.word = page.text[:mark], None
        del page.figures[figures:]
        return
    if not leads and page.choose.whole(0, 1):
        page.add("至")
        _level(page, measure, year)
    page.add("。")


def carried(page: Page) -> None:
    """One subject over several clauses."""
    measure = page.choose.of(page.money)
    if _both(page, measure, LAST, LAST - 1) is None:
        return
    mark, figures = len(page.text), len(page.figures)
    page.when(LAST, measure.stock)
    page.name(measure)
    page.add("为")
    _level(page, measure, LAST)
    page.add("，较上年末的" if measure.stock else "，较上年的")
    _level(page, measure, LAST - 1)
    if _grew(page, measure, LAST, LAST - 1):
        page.add("，")
        if _changed(page, measure, LAST, LAST - 1):
            page.add("。")
            return
    page.text, page.word = page.text[:mark], None
    del page.figures[figures:]


def ratios(page: Page) -> None:
    """One to three ratios of one year."""
    year = _pick_year(page)
    pool = page.ratios + page.others
    wanted = [page.choose.of(pool) for _ in range(page.choose.whole(1, 3))]
    chosen = [
        m for i, m in enumerate(wanted) if m not in wanted[:i] and m.value(page.sheet, year) is not None
    ]
    if not chosen:
        return
    page.when(year)
    for index, measure in enumerate(chosen):
        page.add("，" if index else "")
        page.name(measure)
        page.add(page.choose.of(("", "为")))
        _level(page, measure, year, hedges=True, bare=measure.unit == "倍" and page.choose.whole(0, 1) == 1)
    page.add("。")


def ratio_change(page: Page) -> None:
    """毛利率36.22%，较上年提高3.20个百分点, or against the year before that."""
    measure = page.choose.of(page.ratios)
    base, words = page.choose.of(((LAST - 1, "较上年"), (LAST - 1, "同比"), (LAST - 2, "较2022年")))
    if _both(page, measure, LAST, base) is None:
        return
    page.when(LAST)
    page.name(measure)
    _level(page, measure, LAST)
    mark = len(page.text)
    page.add("，" + words)
    if not _changed(page, measure, LAST, base):
        page.text = page.text[:mark]
    page.add("。")


def a_share(page: Page) -> None:
    """A占B的x%."""
    part, whole = page.choose.of(SHARES[page.sheet.kind])
    year = _pick_year(page)

    def rights(sheet: Sheet) -> tuple[Fraction, ...]:
        above, below = part.value(sheet, year), whole.value(sheet, year)
        assert above is not None
        assert below
        return (above / below * 100,)

    below = whole.value(page.sheet, year)
    if below is None or below <= 0:
        return
    page.when(year)
    page.name(part)
    page.add("占")
    page.name(whole)
    page.add(page.choose.of(("的", "的比重为", "的比例为", "比重为")))
    page.figure(f"{part.name}占{whole.name}[{YEARS[year]}]", "share", rights, "%", hedges=True)
    page.add("。")


def a_cover(page: Page) -> None:
    """A是B的x倍."""
    if not COVERS[page.sheet.kind]:
        return
    part, whole = page.choose.of(COVERS[page.sheet.kind])

    def rights(sheet: Sheet) -> tuple[Fraction, ...]:
        above, below = part.value(sheet, LAST), whole.value(sheet, LAST)
        assert above is not None
        assert below
        return (above / below,)

    above, below = part.value(page.sheet, LAST), whole.value(page.sheet, LAST)
    if above is None or below is None or above <= 0 or below <= 0:
        return
    page.when(LAST)
    page.name(part)
    page.add(page.choose.of(("为", "是", "相当于")))
    page.name(whole)
    page.add("的")
    page.figure(f"{part.name}/{whole.name}[2024]", "cover", rights, "倍")
    page.add("。")


def a_sum(page: Page) -> None:
    """A total with its parts."""
    whole, parts = SUMS[page.sheet.kind]
    year = _pick_year(page)
    with page.linked():
        page.when(year)
        if page.choose.whole(0, 1):
            page.name(whole)
            page.add(page.choose.of(("合计", "", "为")))
            _level(page, whole, year)
            page.add("，其中")
            for index, part in enumerate(parts):
                page.add("、" if index else "")
                page.name(part)
                _level(page, part, year)
        else:
            page.add("、".join(part.name for part in parts) + "分别为")
            for index, part in enumerate(parts):
                page.add("、" if index else "")
                _level(page, part, year)
            page.add("，合计")
            _level(page, whole, year)
    page.add("。")


def free_cash(page: Page) -> None:
    """经营活动现金流量净额 less capital spending; netted debt; a bank's profit before provisions."""
    found = {measure.name: measure for measure in page.money}
    start, less, left, words = page.choose.of(
        (("营业收入", "业务及管理费", "拨备前利润", "扣除"),)
        if page.sheet.kind == "bank"
        else (
            ("经营活动现金流量净额", "购建长期资产支付的现金", "自由现金流", "扣除"),
            ("有息负债", "货币资金", "净有息负债", "扣除"),
            ("营业收入", "营业成本", "毛利", "减去"),
        )
    )
    with page.linked():
        page.when(LAST)
        page.name(found[start])
        _level(page, found[start], LAST)
        page.add("，" + words)
        page.name(found[less])
        _level(page, found[less], LAST)
        page.add(page.choose.of(("后，", "，")))
        page.name(found[left])
        page.add(page.choose.of(("", "为")))
        _level(page, found[left], LAST)
    page.add("。")


def years_list(page: Page) -> None:
    """2022年至2024年…分别为A、B和C, perhaps with the growth over the years."""
    measure = page.choose.of(page.money + page.ratios)
    values = [measure.value(page.sheet, year) for year in range(len(YEARS))]
    if any(value is None or value <= 0 for value in values):
        return
    with page.linked():
        page.add(page.choose.of(("2022年至2024年", "2022—2024年", "2022-2024年", "近三年")))
        page.add("，" if page.choose.whole(0, 1) else "")
        page.name(measure)
        page.add("分别为")
        for year in range(len(YEARS)):
            page.add(("", "、", page.choose.of(("和", "、")))[year])
            _level(page, measure, year)

        def rights(sheet: Sheet) -> tuple[Fraction, ...]:
            first, last = measure.value(sheet, 0), measure.value(sheet, LAST)
            assert first
            assert last is not None
            return (Fraction(float(last / first) ** 0.5 - 1) * 100,)

        if measure.unit == "元" and page.choose.whole(0, 1):
            page.add(page.choose.of(("，年均复合增长率为", "，CAGR为", "，复合增速")))
            page.figure(f"{measure.name}[2022-2024] CAGR", "cagr", rights, "%")
    page.add("。")
    page.year = 0


def equation(page: Page) -> None:
    """An equation written out: (A-B)/B=x%."""
    measure = page.choose.of(page.money)
    both = _both(page, measure, LAST, LAST - 1)
    if both is None or page.full_width:
        return
    now, before = (Fraction(page.shown(value, page.unit)) for value in both)
    (growth,) = _growth(measure, LAST, LAST - 1)(page.sheet)
    # Readers reckon with what is written: levels too short for the result are not set out like this.
    if abs(abs(now / before - 1) * 100 - growth) > Fraction(1, 10**page.ratio_decimals):
        return
    with page.linked():
        page.when(LAST)
        page.name(measure)
        page.add("同比增速为（")
        for index, year in enumerate((LAST, LAST - 1, LAST - 1)):
            page.add(("", "-", "）/")[index])
            _level(page, measure, year, bare=True)
        page.add("=")
        sign = "-" if both[0] < both[1] else ""
        page.figure(
            _said(measure, LAST, "growth"), "growth", _growth(measure, LAST, LAST - 1), "%", sign=sign
        )
    page.add("。")


def a_loss(page: Page) -> None:
    """净亏损 with its amount."""
    year = page.choose.of((LAST, LAST, 1, 0))
    if page.sheet.yuan("净利润", year) >= 0:
        return
    page.when(year)
    page.add(page.choose.of(("净亏损", "公司净亏损", "净利润亏损")))
    page.figure(f"净利润[{YEARS[year]}] loss", "loss", lambda s: (-s.yuan("净利润", year),), page.unit)
    page.add("。")


def dupont(page: Page) -> None:
    """净利率 x 总资产周转率 x 权益乘数 = ROE, all on average balances."""
    sheet = page.sheet
    if sheet.kind == "bank" or sheet.yuan("净利润", LAST) <= 0:
        return

    def average(of: Sheet, name: str) -> Fraction:
        return (of.yuan(name, LAST) + of.yuan(name, LAST - 1)) / 2

    parts: tuple[tuple[str, str, Rights], ...] = (
        ("净利率", "%", lambda s: (s.yuan("净利润", LAST) / s.yuan("营业收入", LAST) * 100,)),
        ("总资产周转率", "次", lambda s: (s.yuan("营业收入", LAST) / average(s, "资产总计"),)),
        ("权益乘数", "倍", lambda s: (average(s, "资产总计") / average(s, "所有者权益"),)),
        ("ROE", "%", lambda s: (s.yuan("净利润", LAST) / average(s, "所有者权益") * 100,)),
    )
    with page.linked():
        page.when(LAST)
        page.add(page.choose.of(("按平均余额作杜邦拆解，", "杜邦分解（平均口径）：")))
        joints = page.choose.of((("", "×", "×", "="), ("", "、", "、", "，三者相乘得")))
        for joint, (name, unit, rights) in zip(joints, parts, strict=True):
            page.add(joint + name)
            page.figure(f"{name}[2024]", "ratio", rights, unit)
    page.add("。")


def table(page: Page) -> None:
    """A Markdown table over the years, its unit in the header or behind the names."""
    pool = page.money + page.ratios
    wanted = [page.choose.of(pool) for _ in range(page.choose.whole(1, 4))]
    rows = [m for i, m in enumerate(wanted) if m.name not in [w.name for w in wanted[:i]]]
    style = page.choose.of(("header", "cells"))
    page.commas = False
    shown_year = page.choose.of(("", "年"))
    page.add(f"\n\n| {'指标（' + page.unit + '）' if style == 'header' else '指标'} |")
    page.add("".join(f" {year}{shown_year} |" for year in YEARS) + "\n|---|---:|---:|---:|\n")
    with page.linked():
        for measure in rows:
            page.add(f"| {measure.name} |")
            for year in range(len(YEARS)):
                page.add(" ")
                if measure.value(page.sheet, year) is None:
                    page.add("—")
                else:
                    _level(page, measure, year, bare=style == "header" and measure.unit == "元")
                page.add(" |")
            page.add("\n")
    page.add("\n")
    page.year = LAST


def filler(page: Page) -> None:
    """A sentence that says nothing of the figures."""
    page.add(page.choose.of(FILLERS))


def break_line(page: Page) -> None:
    """A new paragraph, perhaps with a heading or a list mark."""
    page.add(page.choose.of(("\n\n", "\n- ", "\n\n## 经营情况\n\n", "\n1. ", "\n\n二、财务状况\n")))


SENTENCES: tuple[Callable[[Page], None], ...] = (
    a_level, a_level, signed_growth, from_to, from_to, arrow, a_change, carried, ratios, ratios, ratio_change,
    a_share, a_cover, a_sum, free_cash, years_list, equation, dupont, a_loss, table, filler, break_line,
)  # fmt: skip


def write_report(choose: Choose, sheet: Sheet, most: int = 8, page: Page | None = None) -> Report:
    """A report of one to ``most`` sentences in any order, on ``page`` if one is given."""
    page = page or Page(choose, sheet)
    page.add(choose.of((f"# {sheet.company}2024年度财务分析\n\n", f"{sheet.company}2024年报点评\n")))
    for _ in range(choose.whole(1, most)):
        page.restyle()
        choose.of(SENTENCES)(page)
    return Report(page.text, tuple(page.figures), sheet)
