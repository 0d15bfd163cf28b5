"""Claims about two metrics: shares (A占B的30%), covers (A是B的1.2倍), gaps (A高出B 0.3亿元)."""

from __future__ import annotations

import re
from typing import NamedTuple

from reward_model.calc import words
from reward_model.calc.annotated import AnnotatedText
from reward_model.calc.binding import Binding, changed
from reward_model.calc.rules import Metric
from reward_model.calc.subjects import is_narrowed
from reward_model.calc.surroundings import Surroundings

LONGEST_JOINT = 24
"""Characters between the names of a pair."""

ITS = re.compile("对其|与其|占其")
"""Behind a metric's name: it is measured against the one before."""
OF_A_CHANGE = re.compile("的?(?:增速|增量|增幅|增额|增长|变动|降幅|新增)")
"""Behind the second name: the figure is a share of a change."""
LOWER = re.compile("低于|少于|小于|不及|缺口")
LOWER_IN_POINTS = re.compile("低于|少于|小于|不及|缺口|低出")
"""Between two names: the first is the smaller one."""
COMPARED = re.compile(r"[/／÷与和对]$")
COMPARED_BEHIND = re.compile(r"之比|的?比[例率值重由从为]|/")
"""Between two names and behind them: A与B之比."""
SHARED = re.compile(
    r"[/／÷]$|(?:占|为|是|相当于)(?:比|当年|同期|全年|本期|年末|期末|上年|了)?(?:公司|全行)?$"
)
"""Between two names: A占B."""
CHANGED = re.compile("增量|增加|新增|增长|变动|降幅|增幅|减少|多|少")
"""About a share: what is shared is a change."""
COVERS = re.compile(r"[/／÷]$|对$|与$|为$|是$|覆盖$|除以$|相当于$|占$|够$")
"""Between two names: the first is so many times the second."""
DEGREE = re.compile("的|了|则|却|仍|明显|略|均|大幅|远")
"""What may stand beside 高于 between two amounts."""
AND = re.compile("、|和|与|及|以及|加|[+＋]")
"""Between the names of a list."""


class _Two(NamedTuple):
    """The two metrics of a pair, the words between their names, and whether they are named beyond doubt."""

    first: Metric
    second: Metric
    joint: str
    firm: bool

    @property
    def joined(self) -> str:
        """The words between them without what surrounds them."""
        return self.joint.strip(" ，,")

    @property
    def amounts(self) -> bool:
        return self.first.kind == self.second.kind == "money"


def pair_of(note: AnnotatedText, binding: Binding, here: Surroundings) -> Binding | None:
    """What a figure claims of two metrics; None if it is of one alone."""
    if not here.inside:
        return None
    own = _of_the_one_before(binding, here)
    if own is not None:
        return own
    two = _two(note, binding, here)
    if two is None:
        return None
    kind = binding.figure.kind
    if OF_A_CHANGE.match(here.tail):
        return changed(binding, role="", firm=False)
    if kind == "points":
        return _gap_in_points(binding, two)
    if not two.amounts:
        return None
    if kind == "percent":
        return _share(note, binding, here, two)
    if kind in ("multiple", "number", "turns"):
        return _cover(binding, here, two)
    return _gap(binding, two) if kind == "money" else None


def _of_the_one_before(binding: Binding, here: Surroundings) -> Binding | None:
    """「有息负债20亿元，货币资金对其覆盖0.6倍」: the last name against the metric carried on."""
    other, last = here.carried.metric, here.inside[-1].metric
    its = ITS.match(here.tail)
    if its is None or other is None or not last.kind == other.kind == "money":
        return None
    kind = binding.figure.kind
    firm = here.carried.firm and not words.residue(here.tail[its.end() :]) and kind != "money"
    role = "share" if kind == "percent" else "ratio"
    return changed(binding, role=role, metric=last, other=other, sign=0, firm=firm)


def _two(note: AnnotatedText, binding: Binding, here: Surroundings) -> _Two | None:
    """The last two metrics: both named before the figure, or the first one carried on."""
    last = here.inside[-1]
    if len(here.inside) > 1:
        before = here.inside[-2]
        first, joint = before.metric, note.text[before.end : last.start]
    elif here.carried.metric is not None:
        first, joint = here.carried.metric, note.text[here.start : last.start]
    else:
        return None
    if first is last.metric or len(joint) > LONGEST_JOINT:
        return None
    if len(here.inside) > 1:
        firm = binding.firm and not is_narrowed(note, here.start, here.inside[-2])
    else:
        firm = binding.firm and here.carried.firm and not here.carried.narrowed
    return _Two(first, last.metric, joint, firm)


def _gap_in_points(binding: Binding, two: _Two) -> Binding | None:
    if not two.first.kind == two.second.kind == "percent" or not words.GAP.search(two.joint):
        return None
    sign = -1 if LOWER_IN_POINTS.search(two.joint) else 1
    return changed(binding, role="gap", metric=two.first, other=two.second, sign=sign, firm=two.firm)


def _share(note: AnnotatedText, binding: Binding, here: Surroundings, two: _Two) -> Binding | None:
    compared = COMPARED.search(two.joined) and COMPARED_BEHIND.match(here.tail)
    shared = SHARED.search(two.joined) and not words.CHANGE.search(two.joint)
    if not compared and not shared:
        return None
    inside = here.inside
    plain = not CHANGED.search(two.joint + here.tail)
    plain = plain and (len(inside) < 3 or not AND.fullmatch(note.joint(inside[-3], inside[-2])))
    return changed(binding, role="share", metric=two.first, other=two.second, firm=two.firm and plain, sign=0)


def _cover(binding: Binding, here: Surroundings, two: _Two) -> Binding | None:
    if here.behind.startswith("的"):  # the base of what follows: 覆盖有息负债27.35的0.31倍
        return None
    if not (COVERS.search(two.joined) or "覆盖" in here.tail or "/" in two.joint):
        return None
    firm = two.firm and not words.CHANGE.search(two.joint)
    return changed(binding, role="ratio", metric=two.first, other=two.second, firm=firm, sign=0)


def _gap(binding: Binding, two: _Two) -> Binding | None:
    if not words.GAP.fullmatch(DEGREE.sub("", two.joined)):
        return None
    sign = -1 if LOWER.search(two.joined) else 1
    return changed(binding, role="gap", metric=two.first, other=two.second, sign=sign, firm=two.firm)
