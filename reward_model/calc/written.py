"""A value as a figure would have written it: same unit, same number of digits."""

from __future__ import annotations

import re

from reward_model.calc.figures import Figure

NUMBER = re.compile(r"[-−－+＋负]?[(（]?[-−－]?\s*[\d０-９][\d０-９,，]*(?:[.．][\d０-９]+)?[)）]?")
"""A number with its sign and brackets, without its unit."""
NO_DIGITS = re.compile(r"[^\d.]")
_WIDE = str.maketrans("０１２３４５６７８９．，", "0123456789.,")


def written(figure: Figure, value: float, *, keep_sign: bool) -> str:
    """``value`` as the figure writes its own: same unit, same number of digits.

    Args:
        figure: the figure.
        value: in the figure's base unit.
        keep_sign: write a sign; else the size alone, as after 下降.
    """
    match = NUMBER.search(figure.text)
    unit = figure.text[match.end() :].strip(" 余多") if match else ""
    digits, scale = 2, 1.0
    if match and not figure.is_range and figure.value:
        number = NO_DIGITS.sub("", match[0].translate(_WIDE))
        digits = len(number.partition(".")[2])
        size = float(number or 0)
        scale = abs(float(figure.value)) / size if size else 1.0
    elif not match:
        unit = {"percent": "%", "points": "个百分点"}.get(figure.kind, figure.unit)
    amount = value / (scale or 1.0)
    if not keep_sign:
        amount = abs(amount)
    sign = "+" if keep_sign and amount > 0 and figure.text[:1] in "+＋" else ""
    rounded = f"{amount:.{digits}f}"
    if float(rounded) == 0:
        rounded = rounded.lstrip("-")
    return f"{sign}{rounded}{unit}"


def digits_of(text: str) -> str:
    """The digits of a number as written, full-width ones too: 1，234.5亿元 gives 12345."""
    return "".join(filter(str.isdecimal, text.translate(_WIDE)))
