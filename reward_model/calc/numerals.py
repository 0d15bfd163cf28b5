"""汉字 numerals: 一百二十三, 三点五, 两千万, 十四点九四亿."""

from __future__ import annotations

import re
from decimal import Decimal

_DIGITS = {character: value for value, character in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2}
_PLACES = {"十": 10, "百": 100, "千": 1000}
_SCALES = {"万": 10**4, "亿": 10**8}
MAX_LENGTH = 24
"""Longest numeral that is read; longer runs are no numbers that anybody writes in words."""

NUMERAL = (
    f"[零〇一二两三四五六七八九十][零〇一二两三四五六七八九十百千万亿]{{0,{MAX_LENGTH // 2}}}+"
    f"(?:点[零〇一二两三四五六七八九]{{1,8}}+[万亿]{{0,2}}+)?+"
)
"""Pattern of a numeral; 百, 千, 万, 亿 alone begin none."""

_PARTS = re.compile("([零〇一二两三四五六七八九十百千万亿]+)(?:点([零〇一二两三四五六七八九]+)([万亿]*))?")


def read_numeral(text: str) -> tuple[Decimal, Decimal] | None:
    """Value and unit of the last digit of a numeral, as its digits would be written: 两千万 like 2000万.

    三点五亿 is 350000000 to the ten million, 两千万 is 20000000 to the ten thousand, 二十 is 20 to the one.
    None if it is no well-formed numeral, or one that can be read in two ways (三万五).
    """
    found = _PARTS.fullmatch(text) if len(text) <= MAX_LENGTH else None
    if not found:
        return None
    whole, decimals, scales = found.groups()
    value = _whole(whole)
    if value is None:
        return None
    if decimals is None:
        return Decimal(value), Decimal(_scale(whole[len(whole.rstrip("万亿")) :]))
    if whole[-1] in _SCALES:
        return None
    scale = _scale(scales)
    fraction = "".join(str(_DIGITS[character]) for character in decimals)
    return Decimal(f"{value}.{fraction}") * scale, Decimal(1).scaleb(-len(fraction)) * scale


def _scale(text: str) -> int:
    scale = 1
    for character in text:
        scale *= _SCALES[character]
    return scale


def _whole(text: str) -> int | None:
    """An integer: positional (二〇二四) or with places (一百二十三万四千)."""
    if all(character in _DIGITS for character in text):
        return int("".join(str(_DIGITS[character]) for character in text))
    total = section = 0
    digit: int | None = None
    place, scale = 10**4, 10**16
    zero = False
    for character in text:
        if character in _DIGITS:
            if digit is not None and not zero:
                return None
            digit, zero = _DIGITS[character], _DIGITS[character] == 0
        elif character in _PLACES:
            if _PLACES[character] >= place or (digit in (None, 0) and (character != "十" or section % 100)):
                return None
            place = _PLACES[character]
            section += (digit or 1) * place
            digit, zero = None, False
        else:
            section += digit or 0
            factor = _SCALES[character]
            if section == 0 and total and factor == 10**8 and scale == 10**4:
                total, scale = total * factor, 10**8  # 万亿
            elif section == 0 or factor >= scale:
                return None
            else:
                total, scale = total + section * factor, factor
            section, digit, place, zero = 0, None, 10**4, False
    if digit and not zero and text[-2:-1] not in ("十", "零", "〇"):
        return None  # 一百二, 三万五: a short form
    return total + section + (digit or 0)
