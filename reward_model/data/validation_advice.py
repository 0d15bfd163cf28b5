"""Advice (改进建议) derived from a validation report, in the guide's words (Q2, Q3), if it applies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from reward_model.data.validation_report import GRADES, Grade, ValidationReport

RARE_LEVEL = 0.05
"""A level with a smaller share of a dimension's labels is hardly learned."""
DOMINANT_LEVEL = 0.6
"""A level with a larger share makes always answering it look good."""
SPILLOVER = 0.75
"""Another dimension that drops by this share of the target's drop blurs what was degraded."""
WEAK_TARGET = 1.0
"""Mean drop of the target, in levels of five, below which a degradation is too weak."""
LOW_KAPPA = 0.6
"""Below it agreement is no more than moderate (Landis & Koch 1977)."""
HIGH_EXACT = 0.8
"""From this share of equal levels on, a low kappa says only that nearly all levels are the same."""
LENGTH_BIAS = 0.75
"""Median length ratio from which length gives the rejected side away."""
FEW_PAIRS = 50
"""The guide's own default is 5 industries x 10 pairs."""
FREQUENT = 0.05
"""Share of pairs from which a finding is worth a change of the prompts, not just of the pairs."""


@dataclass(frozen=True)
class Advice:
    """One piece of advice; ``kind`` is stable, ``text`` is for people."""

    kind: str
    text: str


def advise(report: ValidationReport) -> list[Advice]:
    """What to do about the findings of ``report``, most consequential first; empty if nothing is amiss."""
    if not report.pairs:
        return []
    return [
        *_on_gaps(report),
        *_on_degradations(report),
        *_on_labels(report),
        *_on_judging(report),
        *_on_texts(report),
    ]


def _below(grade: Grade | None, wanted: Grade) -> bool:
    return grade is not None and GRADES.index(grade) < GRADES.index(wanted)


def _on_gaps(report: ValidationReport) -> Iterator[Advice]:
    overall = report.overall
    if _below(overall.mean_gap_grade, "good"):
        yield Advice(
            "small_gap",
            f"平均分差 {overall.mean_gap:.2f} 偏小，降级不够明显：检查降级提示词是否足够强；"
            "把降级温度从 0.5 提高到 0.7；人工抽查几个样本，看降级是否生效。",
        )
    if _below(overall.positive_rate_grade, "excellent"):
        reversed_pairs = overall.zero + overall.negative
        yield Advice(
            "low_positive_rate",
            f"有 {reversed_pairs} 对的缺陷响应不低于黄金响应：训练前用过滤导出去掉，"
            "并抽查是降级没有生效还是裁判打分有误。",
        )
    weak = [f"{dim.title}（{dim.mean_gap:.2f}）" for dim in report.per_dim.values() if dim.grade == "poor"]
    if weak and not _below(overall.mean_gap_grade, "good"):
        yield Advice(
            "weak_dimension",
            f"{'、'.join(weak)}的分差很小，该维度会学不好：重新设计针对它的降级策略，增加该维度的训练样本。",
        )
    if report.severity_monotonic is False:
        ladder = "、".join(f"{row.severity} {row.mean_gap:.2f}" for row in report.severities)
        yield Advice("severity_order", f"分差没有随严重程度递增（{ladder}）：让各程度的降级提示词拉开差距。")


def _on_degradations(report: ValidationReport) -> Iterator[Advice]:
    for name, row in report.isolation.items():
        if row.target is None:
            continue
        own = row.mean_drop[row.target]
        if own is None:
            continue
        title = report.per_dim[row.target].title
        others = {dim: drop for dim, drop in row.mean_drop.items() if dim != row.target and drop is not None}
        worst = max(others, key=lambda dim: others[dim], default=None)
        rival = f"「{report.per_dim[worst].title}」降 {others[worst]:.2f}" if worst else ""
        if not row.target_most_on_average and worst and others[worst] >= own:
            yield Advice(
                "target_not_most",
                f"「{name}」的目标「{title}」平均只降 {own:.2f}，而{rival}：重新设计这种降级的提示词，"
                "只改目标维度，并写明其余维度保持不变。",
            )
        elif own < WEAK_TARGET * (report.num_classes - 1) / 4:
            yield Advice(
                "target_weak",
                f"「{name}」使「{title}」平均只降 {own:.2f}：加强降级提示词，或把降级温度从 0.5 提高到 0.7。",
            )
        elif worst and others[worst] >= SPILLOVER * own:
            yield Advice(
                "spillover",
                f"「{name}」在降低「{title}」（{own:.2f}）的同时，{rival}，信号不够纯粹："
                "在提示词里要求其余维度不变。",
            )
    dropped = report.problem_counts.get("target_not_dropped", 0)
    if dropped >= FREQUENT * report.pairs:
        yield Advice(
            "target_often_kept",
            f"{dropped} 对的目标维度没有下降：抽查这些样本，确认降级生效、裁判看得出来。",
        )


def _on_labels(report: ValidationReport) -> Iterator[Advice]:
    uneven, absent = [], []
    for labels in report.labels.values():
        total = sum(labels.all.values())
        if not total:
            continue
        shares = {level: count / total for level, count in labels.all.items()}
        empty = [str(level) for level, share in shares.items() if share == 0]
        rare = [f"{level} 分仅 {share:.1%}" for level, share in shares.items() if 0 < share < RARE_LEVEL]
        top = max(shares, key=lambda level: shares[level])
        dominant = [f"{top} 分占 {shares[top]:.0%}"] if shares[top] > DOMINANT_LEVEL else []
        if dominant or rare:
            uneven.append(f"{labels.title}（{'，'.join(dominant + rare)}）")
        if empty:
            absent.append(f"{labels.title} {'、'.join(empty)} 分")
    if uneven:
        yield Advice(
            "imbalanced_labels",
            f"标签分布不平衡：{'；'.join(uneven)}。训练时使用类别权重（class_weights），"
            "评估看宏平均 F1 而不只看准确率。",
        )
    if absent:
        yield Advice(
            "missing_levels",
            f"没有样本的档位：{'；'.join(absent)}。模型学不到这些档位：补充不同程度的降级样本。",
        )


def _on_judging(report: ValidationReport) -> Iterator[Advice]:
    nulls = report.problem_counts.get("null_score", 0)
    if nulls:
        yield Advice("null_scores", f"{nulls} 处打分缺失：对这些样本重新打分（finrm judge）。")
    unsure = [
        f"{report.per_dim[name].title}（κ={item.kappa:.2f}）"
        for name, item in report.agreement.items()
        if item.kappa is not None and item.kappa < LOW_KAPPA and item.exact_share < HIGH_EXACT
    ]
    if unsure:
        yield Advice(
            "judges_disagree",
            f"裁判之间一致性低：{'、'.join(unsure)}。写清各档位的评分标准，或换用更强的裁判模型。",
        )
    low = report.problem_counts.get("gold_low", 0)
    if low >= FREQUENT * report.pairs and low:
        yield Advice("gold_low", f"{low} 对的黄金响应得分偏低：加强高质量提示词，或换用更强的生成模型。")


def _on_texts(report: ValidationReport) -> Iterator[Advice]:
    counts = report.problem_counts
    same = counts.get("identical_texts", 0) + counts.get("near_identical", 0)
    if same:
        yield Advice("same_texts", f"{same} 对的两侧文本相同或几乎相同：检查降级步骤是否真的改写了文本。")
    if counts.get("rejected_too_short"):
        yield Advice(
            "failed_answers",
            f"{counts['rejected_too_short']} 对的缺陷响应像是生成失败（过短）：过滤后重新生成。",
        )
    copies = counts.get("duplicate_pair", 0)
    if copies:
        yield Advice("duplicates", f"{copies} 对与前面的行重复：用过滤导出去重，否则会被重复计权。")
    ratio = report.lengths.median_ratio if report.lengths else 1.0
    if not LENGTH_BIAS <= ratio <= 1 / LENGTH_BIAS:
        side = "短" if ratio < 1 else "长"
        yield Advice(
            "length_bias",
            f"缺陷响应普遍偏{side}（长度中位数为黄金响应的 {ratio:.0%}）：模型可能只学到长度，"
            "在降级提示词里要求篇幅相近。",
        )
    blind = counts.get("missing_metadata", 0) + counts.get("unknown_degradation", 0)
    if blind:
        yield Advice(
            "metadata",
            f"{blind} 处元数据缺失或降级类型不在评分标准内：补全 degradation_type 等字段，"
            "才能核对降级是否作用在目标维度上。",
        )
    if report.pairs < FEW_PAIRS:
        yield Advice(
            "few_pairs",
            f"只有 {report.pairs} 对，以上统计波动较大：增大 n_pairs_per_field，增加数据多样性。",
        )
