"""Numbers written in 汉字: 三点五亿元, 百分之三点五, 两成半, 一半, 四分之一, 两倍多, 翻番."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal

from reward_model.calc.numerals import NUMERAL, read_numeral
from reward_model.calc.units import Amount, read_unit

_HEAD = re.compile("[零〇一二两三四五六七八九十百千万半翻]")
_NUMERAL = re.compile(NUMERAL)
_HUNDREDTHS = re.compile(f"(?P<of>[百千万])分之(?P<sign>负)?(?P<number>{NUMERAL}|百(?!分))")
_FRACTION = re.compile("分之(?P<above>[一二两三四五六七八九])(?![十百千万亿])")
_DOUBLED = re.compile("翻(?:了|上了?)?(?:近|约|超过?|逾)?(?:(?P<times>[一二两三四五])?番|倍)")
_HALF = re.compile("一半|半数|半个(?=百分点)|半成(?![品本功])|(?<=[过近超逾])半(?![年天月百个数小径导路场])")
_AND_A_BIT = re.compile("(?P<half>半)|(?P<digit>[一二三四五六七八九])(?![十百千万亿个家项大分成倍年月、])")
_DIGITS = frozenset("零〇一二两三四五六七八九")
_VALUES = {character: value for value, character in enumerate("零一二三四五六七八九")} | {"两": 2}
_TENS = frozenset("十百千万亿点")
_NO_NUMBERS_BEFORE = frozenset("第数几上每某这那同另逐零〇一二两三四五六七八九十百千万亿点")
_OF = {"百": Decimal(1), "千": Decimal("0.1"), "万": Decimal("0.01")}
_ONE, _TEN = Decimal(1), Decimal(10)


def in_words(plain: str) -> Iterator[Amount]:
    """The amounts of a width-normalised text that are written in words, in order, not overlapping.

    Small numbers of things (两家, 三项) and ordinals are left out.
    """
    done = 0
    for match in _HEAD.finditer(plain):
        start = match.start()
        if start < done:
            continue
        amount = _read(plain, start)
        if amount is not None:
            yield amount
            done = amount.end
        elif (run := _NUMERAL.match(plain, start)) is not None:
            done = run.end()


def _read(plain: str, start: int) -> Amount | None:
    head = plain[start]
    if head in "百千万":
        return _hundredths(plain, start)
    if head == "翻":
        match = _DOUBLED.match(plain, start)
        if match is None:
            return None
        value = Decimal(_VALUES[match["times"]] if match["times"] else 1)
        return Amount(start, match.end(), "doublings", "番", value, _ONE, _ONE, coarse=True)
    if (half := _HALF.match(plain, start)) is not None:
        return _half(plain, start, half)
    if head == "半" or plain.startswith("一成不变", start):
        return None
    return _numeral(plain, start)


def _half(plain: str, start: int, match: re.Match[str]) -> Amount | None:
    if match[0] == "半个":
        unit = read_unit(plain, match.end())
        half = Decimal("0.5")
        return Amount(start, unit.end, "points", "pp", half, half, _ONE, coarse=True) if unit else None
    if match[0] == "半成":
        return Amount(start, match.end(), "percent", "%", Decimal(5), Decimal(5), _ONE, coarse=True)
    return Amount(start, match.end(), "percent", "%", Decimal(50), _TEN, _ONE, coarse=True)


def _hundredths(plain: str, start: int) -> Amount | None:
    """百分之三点五, 负百分之三, 百分之百."""
    match = _HUNDREDTHS.match(plain, start)
    if match is None:
        return None
    number = (Decimal(100), _ONE) if match["number"] == "百" else read_numeral(match["number"])
    if number is None:
        return None
    first, negative = _sign(plain, start)
    negative = negative or match["sign"] is not None
    value, step = number[0] * _OF[match["of"]], number[1] * _OF[match["of"]]
    value = -value if negative else value
    return Amount(first, match.end(), "percent", "%", value, step, _OF[match["of"]], signed=negative)


def _sign(plain: str, start: int) -> tuple[int, bool]:
    return (start - 1, True) if plain[start - 1 : start] == "负" else (start, False)


def _numeral(plain: str, start: int) -> Amount | None:
    match = _NUMERAL.match(plain, start)
    if match is None or plain[start - 1 : start] in _NO_NUMBERS_BEFORE:
        return None
    text, end = match[0], match.end()
    if (fraction := _FRACTION.match(plain, end)) is not None:
        below = read_numeral(text)
        above = Decimal(_VALUES[fraction["above"]])
        if below is None or below[0] <= above:
            return None
        value = (above * 100 / below[0]).quantize(Decimal("0.01"))
        return Amount(start, fraction.end(), "percent", "%", value, _TEN, _ONE, coarse=True)
    unit = read_unit(plain, end)
    if unit is None or unit.kind in ("count", "turns", "number", "doublings"):
        return None
    number = read_numeral(text)
    if number is None or (len(text) > 1 and all(character in _DIGITS for character in text)):
        return None  # 三四成, 五六倍
    exact = "点" in text
    if unit.kind == "money" and unit.scale == 1 and not (len(text) > 1 and not _TENS.isdisjoint(text)):
        return None  # 二元, 三元
    if unit.bare and unit.scale < 10**8:
        return None  # 一万 of anything
    if unit.kind == "days" and plain[end : end + 1] != "天":
        return None
    value, step = number[0] * unit.scale, number[1] * unit.scale
    last = unit.end
    coarse = unit.kind in ("multiple", "percent") and not exact
    bit = _AND_A_BIT.match(plain, last) if coarse else None
    if bit is not None and (bit["half"] or unit.kind == "percent"):
        tenth = unit.scale / 10
        value += (5 if bit["half"] else _VALUES[bit["digit"]]) * tenth
        step, last = (5 if bit["half"] else 1) * tenth, bit.end()
    first, negative = _sign(plain, start)
    value = -value if negative else value
    return Amount(first, last, unit.kind, unit.name, value, step, unit.scale, negative, coarse, unit.more)
