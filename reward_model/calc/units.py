"""What stands behind a number: 亿元, %, 个百分点, bp, 天, 次, 倍, 成, 家 ..."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import NamedTuple


class Unit(NamedTuple):
    """A unit as written.

    Attributes:
        end: offset behind it.
        kind: as in :class:`reward_model.calc.figures.Figure`.
        name: canonical base unit.
        scale: what a written 1 is in the base unit.
        more: 余 or 多 stands in it (40余亿元).
        bare: 万, 亿 or billion without a currency: money by default, of whatever currency stands before.
    """

    end: int
    kind: str
    name: str
    scale: Decimal
    more: bool = False
    bare: bool = False


class Amount(NamedTuple):
    """A number with its unit, before what stands around it is looked at.

    Attributes:
        start, end: offsets, sign, brackets and unit included.
        kind, unit, value, step, signed, coarse: as in :class:`reward_model.calc.figures.Figure`.
        scale: what a written 1 is in the base unit.
        more: 余 or 多 stands in it.
    """

    start: int
    end: int
    kind: str
    unit: str
    value: Decimal
    step: Decimal
    scale: Decimal
    signed: bool = False
    coarse: bool = False
    more: bool = False


CURRENCIES = {
    "元": "元",
    "人民币": "元",
    "RMB": "元",
    "CNY": "元",
    "美元": "美元",
    "美金": "美元",
    "USD": "美元",
    "港元": "港元",
    "港币": "港元",
    "HKD": "港元",
    "欧元": "欧元",
    "EUR": "欧元",
    "英镑": "英镑",
    "GBP": "英镑",
    "日元": "日元",
    "日圆": "日元",
    "JPY": "日元",
    "韩元": "韩元",
    "澳元": "澳元",
    "加元": "加元",
    "台币": "新台币",
    "新台币": "新台币",
    "瑞郎": "瑞士法郎",
    "瑞士法郎": "瑞士法郎",
    "新加坡元": "新加坡元",
    "卢布": "卢布",
    "卢比": "卢比",
}

# Longer ones first; what follows in a lookahead makes another word of it (家电, 人均, 台湾, 股东).
_MEASURES = (
    "千瓦时|千瓦|兆瓦时|兆瓦|吉瓦时|吉瓦|平方公里|平方千米|平方米|立方米|千克|公斤|公里|千米|公顷|标准箱|"
    "标箱|海里|"
    "人次|人天|间夜|用户|会员|客户|粉丝|门店|终端|床位|车位|平米|盎司|桶|吨|亩|箱|瓶|辆|"
    "台(?![湾阶积账])|套(?![期利保现])|家(?![电居庭具装纺族])|人(?![民均工才力为们员])|户(?![外均型])|"
    "名(?![义下称列单])|位(?![于列居置])|片(?!区)|只(?![有是能要需占剩增降减用靠做为算会因])|头(?!部)|件|"
    "双(?![方重向])|支(?![付出持撑行])|张|座|栋|幢|间(?!接)|艘|架(?!构)|米|粒|颗|卷|剂|针(?!对)|例(?!如)|笔|"
    "部(?![分门署])|份(?!额)|单(?![位季一月店独纯])|所(?![以有属得致在处])|项(?!目)|条(?![件款例])|种|"
    "股(?![东份权息利本价票市比指])|度|个"
)
_THINGS = "GWh|MWh|kWh|KWh|TWh|GW|MW|kW|KW|TEU"
_PER = (
    "股|吨|千克|千瓦时|公斤|克|平方米|平米|㎡|立方米|人|天|日|月|年|台|辆|套|件|瓶|桶|盎司|度|kWh|Wh|W|瓦|份|"
    "间夜|片|箱|单|户|次|只|头|亩|公里|TEU|张"
)
_NOT_POINTS = "位评赞子：:"

_UNIT = re.compile(
    rf"""[ \u00a0\u2009\u202f]{{0,2}}+(?:
    (?P<percent>%(?![A-Za-z]))
  | (?P<permille>‰)
  | (?P<english>[BbMm]illion|[Tt]rillion|[bm]n)(?![A-Za-z])
  | (?P<more>个?[余多来](?!样|元化|年|个月))?
    (?:
      个?(?:(?P<points>百分点|[Pp][Cc][Tt][Ss]?(?![A-Za-z])|[Pp][Pp][TtSs]?[Ss]?(?![A-Za-z]))
         |(?P<basis>基点|[Bb][Pp][Ss]?(?![A-Za-z])))
    | (?P<shared>个)(?=[和、及与][-+]?[0-9.]{{1,8}}个百分点)
    | (?P<spoken>个[多来]?点)(?![{_NOT_POINTS}])
    | 个?(?P<scale>[十百千]?[万亿]亿?(?![科达华])|[百千](?=[^\W\d_]))?(?P<over>[余多](?![额款数样]|元化))?(?:
        (?P<money>元(?:人民币)?(?![旦宵素件器])|人民币|美[元金]|港[元币]|欧元|英镑|日[元圆]|韩元|澳元|加元|新?台币
           |瑞士法郎|瑞郎|新加坡元|卢[布比]|RMB|CNY|USD|HKD|EUR|GBP|JPY)
          (?:/(?P<per>{_PER})(?![A-Za-z]))?
      | (?P<times>倍(?![数增率速]))
      | (?P<cross>[xX](?![0-9A-Za-z])|×(?![0-9.(\s]))
      | (?P<days>天(?![然津猫齐地]))
      | (?P<turns>次(?![级月年日贷新要高]))
      | (?P<tenths>成(?![为本立交长效果熟员品功绩就因型名像分都人]))
      | (?P<folds>番)
      | (?P<thing>{_THINGS})(?![A-Za-z])
      | (?P<measure>{_MEASURES})
      | (?P<nothing>(?<=[万亿])|(?<=[万亿][余多]))
      )
    ))""",
    re.VERBOSE,
)
_ONE = Decimal(1)
_POWERS = {
    "": 0,
    "百": 2,
    "千": 3,
    "万": 4,
    "十万": 5,
    "百万": 6,
    "千万": 7,
    "亿": 8,
    "十亿": 9,
    "百亿": 10,
    "千亿": 11,
}
_POWERS |= {"万亿": 12, "十万亿": 13, "百万亿": 14, "千万亿": 15, "亿亿": 16}
_SCALES = {name: Decimal(10**power) for name, power in _POWERS.items()}
_ENGLISH = {"b": Decimal(10**9), "m": Decimal(10**6), "t": Decimal(10**12)}
_FIXED = {
    "percent": ("percent", "%", _ONE),
    "permille": ("percent", "%", Decimal("0.1")),
    "points": ("points", "pp", _ONE),
    "spoken": ("points", "pp", _ONE),
    "shared": ("points", "pp", _ONE),
    "basis": ("points", "pp", Decimal("0.01")),
}
_SCALED = {
    "times": ("multiple", "倍", _ONE),
    "cross": ("multiple", "倍", _ONE),
    "days": ("days", "天", _ONE),
    "turns": ("turns", "次", _ONE),
    "tenths": ("percent", "%", Decimal(10)),
    "folds": ("doublings", "番", _ONE),
}
_SAME = {"平米": "平方米", "公斤": "千克", "千米": "公里", "KW": "千瓦", "kW": "千瓦"}
_SAME |= {"KWh": "千瓦时", "kWh": "千瓦时"}
# First characters that a unit can have, so that most numbers without one cost no search.
_STARTS = frozenset(
    "%‰余多来个百千十万亿元人美港欧英日韩澳加新台瑞卢RCUHEGJ倍xX×天次成番pPbBmMkKtT \u00a0\u2009\u202f"
) | {word[0] for word in _MEASURES.split("|")}


def read_unit(plain: str, at: int) -> Unit | None:
    """The unit at ``at`` of a width-normalised text, up to two spaces before it; None if there is none."""
    if plain[at : at + 1] not in _STARTS:
        return None
    found = _UNIT.match(plain, at)
    if found is None:
        return None
    last = found.lastgroup or ""
    if last == "english":
        return Unit(found.end(), "money", "元", _ENGLISH[found[last][0].lower()], bare=True)
    if last in _FIXED:
        kind, name, factor = _FIXED[last]
        return Unit(found.end(), kind, name, factor, found["more"] is not None)
    scale = _SCALES[found["scale"] or ""]
    more = found["more"] is not None or found["over"] is not None
    if last in _SCALED:
        kind, name, factor = _SCALED[last]
        return Unit(found.end(), kind, name, factor * scale, more)
    if last in ("money", "per"):
        currency = found["money"]
        name = CURRENCIES.get(currency, "元")
        return Unit(found.end(), "money", f"{name}/{found['per']}" if found["per"] else name, scale, more)
    if last == "nothing":
        return Unit(found.end(), "money", "元", scale, more, bare=True)
    word = found[last]
    return Unit(found.end(), "count", _SAME.get(word, word), scale, more)
