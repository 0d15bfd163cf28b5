"""What can be wrong with one scored pair, and how bad it is.

A problem is *severe* when training on the pair would teach something wrong or nothing at all; it is a
*warning* when somebody should look, because good data has such pairs too.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from hashlib import blake2b
from typing import Literal

from reward_model.rubric import Rubric
from reward_model.schema import SIDES, PairRecord, Side
from reward_model.votes import votes

ProblemSeverity = Literal["severe", "warning"]
Finding = tuple[str, ProblemSeverity, str]
"""(kind, severity, explanation)."""

NEAR_IDENTICAL = 0.95
"""Share of common character 4-grams from which two texts count as nearly identical."""
FAILED_LENGTH = 0.1
"""A rejected text shorter than this share of the chosen one is a failed answer, not a degraded report."""
LENGTH_RANGE = (0.5, 2.0)
"""Rejected/chosen lengths outside this range let a model tell the sides apart by length alone."""
SHORT_TEXT = 50
"""Characters below which a text is hardly a report."""
SURPRISE = 2
"""Levels. Two judgements rarely differ by more than one, so a difference of two is not noise."""

_SIDE_NAMES: dict[Side, str] = {"chosen": "黄金响应", "rejected": "缺陷响应"}
_SAMPLED_LENGTH = 20_000


@dataclass(frozen=True)
class PairProblem:
    """One finding: where (1-based line, the pair's id), what (a stable ``kind``), how bad, and why."""

    line: int
    id: str
    kind: str
    severity: ProblemSeverity
    explanation: str


@dataclass(frozen=True)
class PairFigures:
    """The numbers of one pair, without its texts.

    Attributes:
        id: the record's own id, or its line number.
        target: the dimension that the degradation is meant to lower; None if the rubric doesn't name it.
        drops: chosen minus rejected, in levels, for the dimensions with both levels.
        gap: mean of ``drops``; None when there are none.
        length_ratio: characters of the rejected text over those of the chosen one.
    """

    line: int
    id: str
    degradation: str | None
    severity: str | None
    target: str | None
    chosen: dict[str, int | None]
    rejected: dict[str, int | None]
    drops: dict[str, int]
    gap: Fraction | None
    length_ratio: float

    def levels(self, side: Side) -> dict[str, int | None]:
        """The levels of one side, every dimension of the rubric among them."""
        return self.chosen if side == "chosen" else self.rejected


def pair_figures(line: int, record: PairRecord, rubric: Rubric) -> PairFigures:
    """Compute the numbers of one pair; ``record`` has scores that fit ``rubric``."""
    chosen, rejected = record.labels("chosen"), record.labels("rejected")
    drops: dict[str, int] = {}
    for name in rubric.names:
        high, low = chosen.get(name), rejected.get(name)
        if high is not None and low is not None:
            drops[name] = high - low
    metadata = record.metadata
    degradation = metadata.defect_metadata.degradation_type or None
    return PairFigures(
        line=line,
        id=str(metadata.id if metadata.id is not None else line),
        degradation=degradation,
        severity=metadata.defect_metadata.severity or None,
        target=rubric.target_of(degradation),
        chosen={name: chosen.get(name) for name in rubric.names},
        rejected={name: rejected.get(name) for name in rubric.names},
        drops=drops,
        gap=Fraction(sum(drops.values()), len(drops)) if drops else None,
        length_ratio=len(record.rejected) / len(record.chosen),
    )


class PairChecker:
    """Finds the problems of pairs given one after another; keeps hashes and levels of earlier ones only."""

    def __init__(self, rubric: Rubric) -> None:
        self._rubric = rubric
        self._pairs: dict[bytes, int] = {}
        self._texts: dict[bytes, tuple[int, Side, tuple[int | None, ...]]] = {}
        self._levels: dict[tuple[int | None, ...], tuple[int | None, ...]] = {}

    def check(self, figures: PairFigures, record: PairRecord) -> list[PairProblem]:
        """All problems of one pair; the later of two duplicates carries the problem."""
        findings = [
            *_score_findings(figures, self._rubric),
            *_judge_findings(record, self._rubric),
            *_text_findings(record),
            *_metadata_findings(record, self._rubric),
            *self._duplicate_findings(figures, record),
        ]
        return [PairProblem(figures.line, figures.id, *finding) for finding in findings]

    def _duplicate_findings(self, figures: PairFigures, record: PairRecord) -> Iterator[Finding]:
        digests = {side: _digest(record.text(side)) for side in SIDES}
        first = self._pairs.setdefault(digests["chosen"] + digests["rejected"], figures.line)
        if first != figures.line:
            # A copy adds no information, weighs double and may sit on both sides of somebody's own split.
            yield "duplicate_pair", "severe", f"与第 {first} 行两侧文本完全相同"
            return
        for side in SIDES:
            own = tuple(figures.levels(side).values())
            own = self._levels.setdefault(own, own)
            line, other_side, other = self._texts.setdefault(digests[side], (figures.line, side, own))
            if line == figures.line:
                continue
            where = f"{_SIDE_NAMES[side]}与第 {line} 行的{_SIDE_NAMES[other_side]}文本相同"
            if other != own:
                # One of the two labels is wrong, but nothing here says which.
                yield "conflicting_labels", "warning", f"{where}，分数却不同"
            else:
                # One gold text with several degradations is a sound design.
                yield "duplicate_text", "warning", where


def _digest(text: str) -> bytes:
    return blake2b("".join(text.split()).encode(), digest_size=12).digest()


def _score_findings(figures: PairFigures, rubric: Rubric) -> Iterator[Finding]:
    titles = rubric.titles
    for side in SIDES:
        missing = [titles[name] for name, level in figures.levels(side).items() if level is None]
        if missing:
            # A missing level is masked in training and teaches nothing wrong; without any gap left the pair
            # can't be verified at all.
            bad: ProblemSeverity = "warning" if figures.drops else "severe"
            yield "null_score", bad, f"{_SIDE_NAMES[side]}缺少分数：{'、'.join(missing)}"
    if figures.gap is not None and figures.gap <= 0:
        # The pair says that the degraded text is as good or better: the one thing it must not say.
        yield "non_positive_gap", "severe", f"平均分差 {float(figures.gap):.2f}，黄金响应不高于缺陷响应"
    yield from _target_findings(figures, titles)
    for name, drop in figures.drops.items():
        if name != figures.target and drop <= -SURPRISE:
            yield "dimension_reversed", "warning", f"「{titles[name]}」缺陷响应反而高 {-drop} 分"
    # Labels are absolute, so a weak gold text is usable data; but it is no gold.
    low = [
        f"{titles[name]} {level}"
        for name, level in figures.chosen.items()
        if level is not None and level < (rubric.num_classes - 1) / 2
    ]
    if low:
        yield "gold_low", "warning", f"黄金响应得分偏低：{'、'.join(low)}"


def _target_findings(figures: PairFigures, titles: dict[str, str]) -> Iterator[Finding]:
    target = figures.target
    if target is None or target not in figures.drops:
        return
    drop = figures.drops[target]
    if drop <= 0:
        # The controlled difference that the metadata claims isn't there.
        high, low = figures.chosen[target], figures.rejected[target]
        yield (
            "target_not_dropped",
            "severe",
            f"「{figures.degradation}」的目标维度「{titles[target]}」未下降（黄金 {high}，缺陷 {low}）",
        )
    more = [f"{titles[name]} {other}" for name, other in figures.drops.items() if other > drop]
    if more:
        # A degraded text often loses elsewhere too (halo), so a single pair like this proves nothing.
        yield (
            "other_dropped_more",
            "warning",
            f"非目标维度降幅更大：{'、'.join(more)}，目标「{titles[target]}」{drop}",
        )


def _judge_findings(record: PairRecord, rubric: Rubric) -> Iterator[Finding]:
    for side in SIDES:
        for name in rubric.names:
            found = votes(record, side, name, rubric.num_classes)
            if len(found) > 1 and max(found) - min(found) >= SURPRISE:
                # The stored level is a mean of opinions that exclude each other: unsure, not wrong.
                shown = "、".join(map(str, found))
                yield (
                    "judges_disagree",
                    "warning",
                    f"{_SIDE_NAMES[side]}「{rubric.titles[name]}」裁判分歧：{shown}",
                )


def _text_findings(record: PairRecord) -> Iterator[Finding]:
    if "".join(record.chosen.split()) == "".join(record.rejected.split()):
        # Same input, different labels: nothing can be learned but noise.
        yield "identical_texts", "severe", "黄金响应与缺陷响应文本相同，降级没有发生"
        return
    # A wrong figure in an otherwise unchanged text is a perfect degradation, so figures must agree as well.
    if _numbers(record.chosen) == _numbers(record.rejected):
        overlap = _overlap(record.chosen, record.rejected)
        if overlap >= NEAR_IDENTICAL:
            yield (
                "near_identical",
                "warning",
                f"两侧文本几乎相同（重合度 {overlap:.1%}，数字全同），请确认降级生效",
            )
    ratio = len(record.rejected) / len(record.chosen)
    lengths = f"缺陷响应 {len(record.rejected)} 字，黄金响应 {len(record.chosen)} 字"
    if ratio < FAILED_LENGTH:
        # A refusal or a truncated answer: its labels grade a failure of the writer, not a kind of report.
        yield "rejected_too_short", "severe", f"{lengths}，像是生成失败"
    elif not LENGTH_RANGE[0] <= ratio <= LENGTH_RANGE[1]:
        yield "length_imbalance", "warning", f"{lengths}，单凭长度就能区分"
    short = [f"{_SIDE_NAMES[side]} {n} 字" for side in SIDES if (n := len(record.text(side))) < SHORT_TEXT]
    if short and ratio >= FAILED_LENGTH:
        yield "short_text", "warning", f"文本过短：{'、'.join(short)}"


def _metadata_findings(record: PairRecord, rubric: Rubric) -> Iterator[Finding]:
    metadata = record.metadata
    wanted = {
        "field": metadata.field,
        "model": metadata.model,
        "gold_metadata.quality_focus": metadata.gold_metadata.quality_focus,
        "defect_metadata.degradation_type": metadata.defect_metadata.degradation_type,
    }
    missing = [name for name, value in wanted.items() if not value]
    # Texts and levels are what is trained on; metadata only explains them.
    if missing:
        yield "missing_metadata", "warning", f"缺少元数据：{'、'.join(missing)}"
    degradation = metadata.defect_metadata.degradation_type
    if degradation and rubric.target_of(degradation) is None:
        yield "unknown_degradation", "warning", f"评分标准中没有降级类型「{degradation}」，无法核对目标维度"
    severity = metadata.defect_metadata.severity
    if severity and rubric.severities and severity not in rubric.severities:
        yield "unknown_severity", "warning", f"评分标准中没有严重程度「{severity}」"


def _numbers(text: str) -> list[str]:
    return re.findall(r"\d+(?:\.\d+)?", text)


def _overlap(first: str, second: str) -> float:
    """Jaccard similarity of the character 4-grams, of a fixed sample of them in very long texts."""
    # The sample is by value, so that both texts keep the same 4-grams; hash() would change with every run.
    every = 1 + max(len(first), len(second)) // _SAMPLED_LENGTH
    sets = []
    for text in (first, second):
        grams = (text[start : start + 4] for start in range(max(1, len(text) - 3)))
        sets.append({gram for gram in grams if every == 1 or zlib.crc32(gram.encode()) % every == 0})
    union = len(sets[0] | sets[1])
    return len(sets[0] & sets[1]) / union if union else 0.0
