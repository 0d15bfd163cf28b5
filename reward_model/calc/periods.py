"""The periods that a text speaks of: 2024年, FY2023, 2024Q1, 上年同期, 年初, 2019-2022年."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from reward_model.calc.layout import Row, narrow, table_rows


@dataclass(frozen=True, slots=True)
class PeriodMention:
    """A period as named.

    Attributes:
        start, end: character offsets: ``text[start:end] == self.text``.
        text: as written.
        year: where it is named ("2024年", "24年", "FY2024", "2025E"); else None.
        offset: years from the report's own period, where only that is said: 本年, 期末 0; 上年, 期初 -1;
            前年 -2. None beside a year, and beside a part of an unnamed year (前三季度).
        part: "" for a whole year or its end, "Q1" ... "Q4", "H1", "H2", "9M", "start", "M5", "M1-5". "start"
            is the opening balance: of ``year`` where that is given (2024年初: the end of 2023), while with
            ``offset`` (年初, 期初: -1) the step back is already made.
        end_year: the last year of a span (2019-2022年), whose first is ``year``.
    """

    start: int
    end: int
    text: str
    year: int | None
    offset: int | None
    part: str
    end_year: int | None = None


_Reading = tuple[int | None, int | None, str, int | None, int]
"""year, offset, part, end_year, end"""

_Y4 = "(?:19[89]|20[0-4])[0-9]"
_TO = r"\s?(?:——|[-–—−~～至到])\s?"
_CODE = "Q1[-–~至]Q?[234]|Q[1-4]|H[12]"
# What makes four digits an amount or something else than a year.
_ALONE = (
    r"(?![0-9A-Za-z_%‰]|[.,][0-9]|\s?[元万亿千百倍天次番个余多%]|\s?[家人户台套件只名吨辆片股](?![电均湾期]))"
)
_PART_HEAD = "年期末底终初上下半中前三0123456789一二四第Q同全度H \u00a0"
# Every alternative ends in an empty group whose name says which one it is.
_NUMBERED = re.compile(
    rf"""(?:
    (?P<from>{_Y4})(?:年度?末?)?{_TO}(?:(?P<to>{_Y4})(?:年度?[末底间]?|{_ALONE})|(?P<to_short>[0-4][0-9])年)(?P<span>)
  | (?P<from2>[12][0-9]){_TO}(?P<to2>{_Y4}|[123][0-9])年(?![期以])(?P<span2>)
  | (?P<dated>{_Y4})(?P<mark>[-/.])(?P<month>1[0-2]|0?[1-9])
      (?:(?P=mark)(?P<day>3[01]|[12][0-9]|0?[1-9]))?(?![0-9%]|[.,/-][0-9]|\s?[元亿万倍天个家人户台套吨])(?P<date>)
  | (?P<coded>{_Y4}|[12][0-9])(?:\s?(?:财年|年度?))?\s?-?(?P<code>{_CODE}|[1-4]Q|[12]H|9M)(?![0-9A-Za-z])
      (?P<codes>)
  | (?P<marked>{_Y4}|[12][0-9])[AEF](?![A-Za-z0-9])(?P<marks>)
  | (?P<lead>1-[234]Q|[1-4]Q|[12]H|9M)(?:\s?(?P<lead_year>{_Y4}|[12][0-9](?![0-9.%])))?
      (?![0-9A-Za-z])(?P<leads>)
  | (?P<whole>{_Y4})\s?(?:财?年)(?P<year>)
  | (?P<alone>{_Y4}){_ALONE}(?P<bare>)
  | (?P<two>[12][0-9])
      (?:年(?![期长龄内来以多间后]|前(?![三0-9])|[0-9]?[Cc][Aa]|复合)|(?=[/、][12][0-9][/、0-9]{{0,9}}年))
      (?P<short>)
  | (?P<m1>1[0-2]|[1-9])月?{_TO}(?P<m2>1[0-2]|[1-9])\s?月份?(?![0-9]{{1,2}}日)(?P<months>)
  | (?P<m>1[0-2]|[1-9])\s?月(?:(?P<d>[0-9]{{1,2}})[日号]|(?P<me>[末底])|份)?(?P<single>)
  | (?P<quarter>[1-4])\s?季[度报]?末?(?P<quarters>)
  )""",
    re.VERBOSE,
)
_PART = re.compile(
    rf"""[ \u00a0]?(?:
    (?:年|期)?(?:末|底(?![部价色层])|终(?![端止于]))(?P<end>)
  | (?:年|期)?初(?![步始级创期])(?P<start>)
  | (?P<half>[上下])半年度?(?P<halves>)
  | (?:中期(?![票限目间])|中报|年中|半年[度报])(?P<interim>)
  | (?:前[三3]个?季度?|三季报)(?P<nine>)
  | 第?(?P<quarter>[一二三四1-4])季[度报]?末?(?P<quarters>)
  | (?P<code>{_CODE})(?![0-9A-Za-z])(?P<codes>)
  | 前(?P<first>1[0-2]|[1-9])个?月(?P<firsts>)
  | (?P<m1>1[0-2]|[1-9])月?{_TO}(?P<m2>1[0-2]|[1-9])\s?月份?(?P<months>)
  | (?P<m>1[0-2]|0?[1-9])\s?月(?:\s?(?P<d>[0-9]{{1,2}})\s?[日号]|(?P<me>[末底])|份)?(?P<single>)
  | (?:同期|全年|年度?报|年度|度)(?P<same>)
  )""",
    re.VERBOSE,
)
_NAMED = re.compile(
    rf"""
    (?<![成资基样日版])本(?:年度?|报告期|期)(?![间限货均级轮号])末?(?P<now>)
  | (?:当年度?|当期|今年)(?![轮号均])(?P<now1>)
  | (?<![前本上])报告期(?P<now2>)[内末]?
  | (?<![前本上历每各半多整次假学])(?:期末|年末|年底)(?P<now3>)
  | 全年(?!龄)(?P<now4>)
  | (?:(?<![海线])(?<!年以)上|(?<!过)去)一?年度?(?P<last>)
  | (?<!以)上(?:一)?(?:报告)?期(?![间货所限待望])末?(?P<last1>)
  | (?:前一年度?|基期)末?(?P<last2>)
  | (?<![前本上历每各半多整次])[年期]初(?![步始级创])(?P<start>)
  | 大前年(?P<before1>)
  | (?<![以此目先之])前年(?!度)(?P<before>)
  | (?:(?<![年近未将])来|明|(?<![首每多])次|(?<![线以])下|下一)年度?(?!来)(?P<next>)
  | 上半年(?P<H1>)
  | 下半年(?P<H2>)
  | (?:前[三3]个?季度?|三季报)(?P<M9>)
  | (?<![两三四几个续])(?:第|单)?(?P<quarter>[一二三四])季[度报]末?(?P<quarters>)
  | (?<![0-9A-Za-z])(?P<code>{_CODE})(?:\s?(?P<code_year>20[0-4][0-9]|[12][0-9])(?![0-9.%]))?
      (?![0-9A-Za-z])(?P<codes>)
  | (?<![A-Za-z])FY\s?(?P<fy>20[0-4][0-9]|[12][0-9])(?P<fy_code>{_CODE})?[AEF]?(?![0-9.A-Za-z])(?P<fys>)
  | (?P<words>[一二][〇零九][〇零一二三四五六七八九]{{2}})年(?P<worded>)
    """,
    re.VERBOSE,
)
# Where one can begin: looking there only is several times as fast as trying everything everywhere.
_NUMBERED_HEAD = re.compile("[0-9]++")
_NAMED_HEAD = re.compile("[本当今报期年全上去前基大来明次下三第单一二四QHF]")
_OFFSETS = {"now": 0, "last": -1, "before": -2, "next": 1}
_QUARTERS = {
    digit: f"Q{number}" for number, pair in enumerate(("1一", "2二", "3三", "4四"), 1) for digit in pair
}
_MONTH_SPANS = {
    (1, 3): "Q1",
    (4, 6): "Q2",
    (7, 9): "Q3",
    (10, 12): "Q4",
    (1, 6): "H1",
    (7, 12): "H2",
    (1, 9): "9M",
    (1, 12): "",
}
_MONTH_ENDS = {3: "Q1", 6: "H1", 9: "9M", 12: ""}
_WORD_DIGITS = str.maketrans("〇零一二三四五六七八九", "00123456789")
_LASTS = re.compile("(?:近|过去|未来|约|超|逾|第|连续|期限|期|共|满|达|历|余|长|至少|每|仅)$")
"""Before a number of years rather than a year."""
_TWO_DIGIT_YEARS = range(15, 36)


def find_periods(text: str) -> list[PeriodMention]:
    """Every period of a text, in order, not overlapping."""
    plain = narrow(text)
    numbered = _mentions(text, plain, _NUMBERED_HEAD, _NUMBERED, _read_numbered)
    named = _mentions(text, plain, _NAMED_HEAD, _NAMED, _read_named)
    merged = sorted([*numbered, *named], key=lambda mention: (mention.start, -mention.end))
    rows = table_rows(text)
    found: list[PeriodMention] = []
    done = row = 0
    for mention in merged:
        if mention.start < done:
            continue
        while row < len(rows) and rows[row].end <= mention.start:
            row += 1
        inside = row < len(rows) and rows[row].start <= mention.start
        if inside and _is_amount(plain, mention, rows[row]):
            continue
        found.append(mention)
        done = mention.end
    return found


def _is_amount(plain: str, mention: PeriodMention, row: Row) -> bool:
    """Whether 2015 or 2023.12 in a data cell of a table is an amount: below the header, not a row's name."""
    digits = plain[mention.start : mention.end].replace(".", "", 1)
    return digits.isdecimal() and not row.header and mention.start > row.first_end


def _mentions(
    text: str,
    plain: str,
    head: re.Pattern[str],
    pattern: re.Pattern[str],
    read: Callable[[str, re.Match[str]], _Reading | None],
) -> Iterator[PeriodMention]:
    for begin in head.finditer(plain):
        match = pattern.match(plain, begin.start())
        reading = read(plain, match) if match else None
        if reading is not None:
            year, offset, part, end_year, end = reading
            start = begin.start()
            yield PeriodMention(start, end, text[start:end], year, offset, part, end_year)


def _read_numbered(plain: str, match: re.Match[str]) -> _Reading | None:
    which, start, end = match.lastgroup, match.start(), match.end()
    if plain[start - 1 : start].isascii() and plain[start - 1 : start].isalpha():
        return None  # FY2024 is a name's; Q12024, v2024 are nobody's
    if which == "year":
        return _with_part(plain, int(match["whole"]), None, end)
    if which in ("bare", "date") and start > 1 and plain[start - 1] in ".,+" and plain[start - 2].isdecimal():
        return None
    if which == "bare":
        if plain[start - 1 : start] in ("-", "−", "+", "=", "*", "×", "¥", "$", "第"):
            return None
        return int(match["alone"]), None, "", None, end
    if which == "span":
        first, last = int(match["from"]), _full(match["to"] or match["to_short"])
        return (first, None, "", last, end) if first < last else None
    if which == "span2":
        first, last = _full(match["from2"]), _full(match["to2"])
        usable = int(match["from2"]) in _TWO_DIGIT_YEARS and first < last and not _is_lasting(plain, start)
        return (first, None, "", last, end) if usable else None
    if which == "date":
        day = int(match["day"] or 31)
        return int(match["dated"]), None, _at_date(int(match["month"]), day), None, end
    if which == "codes":
        return _full(match["coded"]), None, _coded(match["code"]), None, end
    if which == "marks":
        return _full(match["marked"]), None, "", None, end
    if which == "leads":
        year = _full(match["lead_year"]) if match["lead_year"] else None
        return year, None, _coded(match["lead"]), None, end
    if which == "short":
        if int(match["two"]) not in _TWO_DIGIT_YEARS or _is_lasting(plain, start):
            return None
        return _with_part(plain, _full(match["two"]), None, end)
    if plain[start - 1 : start] == "." and plain[start - 2 : start - 1].isdecimal():
        return None
    if which == "quarters":
        return None, None, _QUARTERS[match["quarter"]], None, end
    part = _months(match)
    return None, 0 if part == "" else None, part, None, end


def _read_named(plain: str, match: re.Match[str]) -> _Reading | None:
    which, end = match.lastgroup or "", match.end()
    kind = which.rstrip("0123456789")
    if which == "start":
        return None, -1, "start", None, end
    if kind in _OFFSETS:
        return _with_part(plain, None, _OFFSETS[kind] - (which == "before1"), end)
    if which in ("H1", "H2"):
        return None, None, which, None, end
    if which == "M9":
        return None, None, "9M", None, end
    if which == "quarters":
        return None, None, _QUARTERS[match["quarter"]], None, end
    if which == "codes":
        return (
            _full(match["code_year"]) if match["code_year"] else None,
            None,
            _coded(match["code"]),
            None,
            end,
        )
    if which == "fys":
        return _full(match["fy"]), None, _coded(match["fy_code"] or ""), None, end
    return _with_part(plain, int(match["words"].translate(_WORD_DIGITS)), None, end)


def _with_part(plain: str, year: int | None, offset: int | None, end: int) -> _Reading:
    """A year and the part of it that is named behind it."""
    match = _PART.match(plain, end) if plain[end : end + 1] in _PART_HEAD else None
    if match is None:
        return year, offset, "", None, end
    which, end = match.lastgroup, match.end()
    if which == "start":
        return year, None if offset is None else offset - 1, "start", None, end
    if which == "halves":
        part = "H1" if match["half"] == "上" else "H2"
    elif which == "interim":
        part = "H1"
    elif which == "nine":
        part = "9M"
    elif which == "quarters":
        part = _QUARTERS[match["quarter"]]
    elif which == "codes":
        part = _coded(match["code"])
    elif which == "firsts":
        part = _month_span(1, int(match["first"]))
    elif which in ("months", "single"):
        part = _months(match)
    else:
        part = ""
    return year, offset, part, None, end


def _months(match: re.Match[str]) -> str:
    if match["m1"]:
        return _month_span(int(match["m1"]), int(match["m2"]))
    month = int(match["m"])
    if match["d"] or match["me"]:
        return _at_date(month, int(match["d"] or 31))
    return f"M{month}"


def _month_span(first: int, last: int) -> str:
    return _MONTH_SPANS.get((first, last), f"M{first}-{last}" if first != last else f"M{first}")


def _at_date(month: int, day: int) -> str:
    """The part of a year that ends with a date; 1 January is the opening balance."""
    if (month, day) == (1, 1):
        return "start"
    return _MONTH_ENDS.get(month, f"M{month}") if day >= 30 else f"M{month}"


def _coded(code: str) -> str:
    """Q1, 1Q, H2, 2H, 9M, Q1-Q3 or 1-3Q."""
    if len(code) > 2:
        return _MONTH_SPANS[1, 3 * int(code.rstrip("Q")[-1])]
    return code[::-1] if code[:1].isdecimal() and code != "9M" else code


def _full(year: str) -> int:
    return int(year) if len(year) == 4 else 2000 + int(year)


def _is_lasting(plain: str, start: int) -> bool:
    return _LASTS.search(plain, max(0, start - 2), start) is not None
