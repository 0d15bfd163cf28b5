"""The words and numbers of the HTML pages, in Chinese and English.

:data:`STRINGS` keeps both languages of a phrase side by side, so that neither can be missing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

LANGUAGES = ("zh", "en")
HTML_LANG = {"zh": "zh-CN", "en": "en"}
NONE = "—"

# key: (Chinese, English). Fields in braces are filled with str.format and occur in both.
STRINGS: dict[str, tuple[str, str]] = {
    # Page
    "evaluation": ("评测报告", "Evaluation"),
    "contents": ("目录", "Contents"),
    "warnings": ("请先留意", "Before you read on"),
    "about": ("本次评测", "About this run"),
    "made_by": (
        "由 finrm 生成；本页不含脚本，不请求任何外部资源。",
        "Made by finrm; no scripts, no external requests.",
    ),
    # Keys of meta
    "meta.model": ("模型", "Model"),
    "meta.data": ("数据", "Data"),
    "meta.generated": ("生成时间", "Generated"),
    "meta.version": ("版本", "Version"),
    "meta.seed": ("随机种子", "Seed"),
    "meta.evidence": ("计算证据", "Evidence"),
    "meta.split": ("划分", "Split"),
    "meta.command": ("命令", "Command"),
    "meta.baselines": ("基线所用数据", "Baselines fitted on"),
    "meta.n": ("文本数", "Texts"),
    # Summary
    "summary": ("结论", "Summary"),
    "summary.n": ("在 {n} 篇文本上，", "On {n} texts, "),
    "summary.qwk": (
        "模型与参考档位的一致度（QWK）为{list}",
        "the model agrees with the reference levels at a QWK of {list}",
    ),
    "summary.item": ("{title} {value}", "{value} ({title})"),
    "summary.labels": ("全部标签中 {value} 完全正确", "{value} of all labels are exactly right"),
    "summary.pairs": ("{n} 个对比对中 {value} 排序正确", "{value} of {n} pairs are ranked correctly"),
    "list_separator": ("、", ", "),
    "clause_separator": ("；", "; "),
    "full_stop": ("。", "."),
    "colon": ("：", ": "),
    # Figures
    "qwk": ("QWK", "QWK"),
    "accuracy": ("准确率", "Accuracy"),
    "within_1": ("相差不超过 1 档", "Within 1 level"),
    "mae": ("平均绝对误差", "Mean absolute error"),
    "macro_f1": ("宏平均 F1", "Macro F1"),
    "ece": ("校准误差 ECE", "Calibration error (ECE)"),
    "ece_noise_floor": ("ECE 噪声底", "ECE noise floor"),
    "overall_accuracy": ("整体准确率", "Overall accuracy"),
    "exact_match": ("整篇全对", "All labels right"),
    "ranking_accuracy": ("排序正确率", "Ranking accuracy"),
    "short.accuracy": ("准确率", "Acc."),
    "short.mae": ("MAE", "MAE"),
    "note.overall_accuracy": ("{labels} 个标签中完全正确的比例", "of {labels} labels exactly right"),
    "note.exact_match": ("{dims} 个维度同时正确的文本", "of texts with all {dims} dimensions right"),
    "note.ranking": ("{n} 个对比对，优质一方总分更高", "of {n} pairs: the chosen text scores higher"),
    "interval": ("95% 区间 {range}", "95% interval {range}"),
    "best_baseline": ("最佳基线 {value}", "best baseline {value}"),
    # Baselines
    "baselines": ("与基线对比", "Model and baselines"),
    "baselines.lead": (
        "基线在同样的文本上评测。每列最优值加粗。",
        "Baselines are measured on the same texts. The best value of each column is bold.",
    ),
    "baselines.only": ("没有基线可比。", "There is no baseline to compare with."),
    "baselines.brackets": ("方括号内为 95% 区间。", " Brackets hold the 95% interval."),
    "baselines.chart": ("{title}：QWK 与 95% 区间", "{title}: QWK with 95% intervals"),
    "system": ("系统", "System"),
    "this_model": ("本模型", "This model"),
    # Regimes of the checker
    "regimes": ("数字核对的口径", "Regimes of the checker"),
    "regimes.lead": (
        "同一个模型、同一批文本，只是核对数字所能依据的材料不同。方括号内为 95% 区间。",
        "The same model on the same texts; only what the checker of figures may use differs. Brackets hold "
        "the 95% interval.",
    ),
    "regimes.gap_lead": (
        "“高于 0”：与最佳基线之差的整个区间都在 0 以上，领先不大可能出于偶然；“含 0”：看不出差别。ECE 不超"
        "过噪声底，就看不出置信度失准。",
        "“Above 0”: the whole interval of the difference to the best baseline is above 0, so the lead is "
        "hardly chance. “Holds 0”: no difference can be told. An ECE up to its noise floor shows no "
        "miscalibration.",
    ),
    "regimes.top": ("这些数字的口径：{regime}。", "These figures are for: {regime}."),
    "regimes.about": (
        "除本节外，本页的数字都是这一口径：{regime}。",
        " Outside this section, all figures on this page are for: {regime}.",
    ),
    "regimes.others": ("各口径对比", "Compare the regimes"),
    "regimes.chart": ("{title}：各口径的 QWK 与 95% 区间", "{title}: QWK by regime with 95% intervals"),
    "regimes.dimensions": ("各维度", "By dimension"),
    "regimes.overall": ("各维度合计", "All dimensions together"),
    "regimes.baseline": ("最佳基线：{title}，QWK {value}", "best baseline: {title}, QWK {value}"),
    "regimes.gap": ("QWK 与最佳基线之差", "QWK minus best baseline"),
    "regimes.floor": ("噪声底 {value}", "noise floor {value}"),
    "regime": ("口径", "Regime"),
    "regime.facts": ("有报表", "with facts"),
    "regime.text": ("仅正文", "text only"),
    "regime.off": ("不核对", "checker off"),
    "regime.described": ("{label}（{note}）", "{label} ({note})"),
    "gap.above": ("高于 0", "above 0"),
    "gap.below": ("低于 0", "below 0"),
    "gap.unclear": ("含 0", "holds 0"),
    # Dimensions
    "dimensions": ("各维度", "By dimension"),
    "metric": ("指标", "Metric"),
    "value": ("数值", "Value"),
    "interval.head": ("95% 区间", "95% interval"),
    "confusion": ("混淆矩阵", "Confusion matrix"),
    "confusion.note": (
        "行为参考档位，列为预测档位；颜色表示占该行的比例，边缘为合计。",
        "Rows are reference levels, columns predicted ones. Shade is the share of the row; totals at the "
        "edges.",
    ),
    "reliability": ("可靠性图", "Reliability"),
    "reliability.note": (
        "虚线为完全可信：置信度等于实际正确率。点越大样本越多；点在线下表示过于自信。",
        "On the dashed line confidence equals the share that was right. Larger dots hold more texts; dots "
        "below the line are overconfident.",
    ),
    "reference": ("参考档位", "Reference level"),
    "predicted": ("预测档位", "Predicted level"),
    "confidence": ("置信度", "Confidence"),
    "share_right": ("实际正确率", "Share that was right"),
    "ece.within": (
        "ECE 没有超出噪声底：在这个样本量下看不出置信度失准。",
        "The ECE does not exceed its noise floor: at this sample size no miscalibration can be seen.",
    ),
    "ece.above": (
        "ECE 比噪声底高 {excess}。噪声底是平均值，略高于它也可能只是偶然。",
        "The ECE is {excess} above its noise floor. The floor is an average: a small excess may be chance.",
    ),
    # Slices
    "slices": ("分组结果", "Slices"),
    "slices.lead": (
        "n 小的分组波动大；组内档位几乎都相同时 QWK 会偏低，应看平均绝对误差（MAE）。",
        "Small slices are noisy. Where nearly all texts of a slice share one level, QWK turns out low: "
        "look at the mean absolute error (MAE) instead.",
    ),
    "slice.industry": ("按行业", "By industry"),
    "slice.degradation": ("按降级方式", "By degradation"),
    "slice.severity": ("按严重程度", "By severity"),
    "slice.writer": ("按写作者", "By writer"),
    "slice.of.industry": ("行业", "Industry"),
    "slice.of.degradation": ("降级方式", "Degradation"),
    "slice.of.severity": ("严重程度", "Severity"),
    "slice.of.writer": ("写作者", "Writer"),
    "texts": ("文本数", "Texts"),
    # Worst errors
    "worst": ("误差最大的文本", "Worst errors"),
    "worst.lead": (
        "逐条展开可读全文。预期分是各档位按概率的加权平均。",
        "Open an entry to read the full texts. The expected score is the mean of the levels weighted by "
        "their probabilities.",
    ),
    "worst.text": ("被评文本", "Graded text"),
    "worst.other": ("同组另一篇", "Other text of the pair"),
    "worst.reference": ("参考", "reference"),
    "worst.predicted": ("预测", "predicted"),
    "worst.expected": ("预期分", "expected"),
    "worst.confidence": ("置信度", "confidence"),
    # How to read
    "how": ("如何阅读本页", "How to read this page"),
    "how.qwk": (
        "与参考档位的一致程度，扣除了碰巧一致的部分，并按差距的平方惩罚：差两档的代价是差一档的四倍。1 为完"
        "全一致，0 为不比随机好，负值更差。总猜最常见的档位得 0，因此它比准确率更难取巧。",
        "Quadratic-weighted kappa: agreement with the reference levels beyond chance, with misses weighted "
        "by the square of their distance (two levels off cost four times one level). 1 is perfect, 0 no "
        "better than chance, below 0 worse. Always guessing the most common level earns 0, which makes it "
        "harder to game than accuracy.",
    ),
    "how.accuracy": (
        "预测档位与参考档位完全相同的比例。整体准确率对全部“文本 × 维度”的标签计算；“整篇全对”要求同一篇的"
        "各维度都正确。档位分布不均时应与基线比较。",
        "Share of predicted levels equal to the reference. Overall accuracy counts every label of every "
        "text; “all labels right” asks for all dimensions of a text at once. Where levels are unbalanced, "
        "compare it with the baselines.",
    ),
    "how.within_1": (
        "预测与参考相差不超过 1 档的比例。两次人工或 AI 评判之间也常差 1 档，所以它说明的是有没有大错。",
        "Share of predictions at most one level from the reference. Two judges often differ by one level "
        "too, so this tells how rare gross errors are.",
    ),
    "how.mae": (
        "预测与参考平均相差几档，越小越好。",
        "Mean distance from the reference in levels; smaller is better.",
    ),
    "how.macro_f1": (
        "各档位 F1 的简单平均：少见的档位与常见的档位同样重要。",
        "Plain mean of the F1 of each level: rare levels count as much as common ones.",
    ),
    "how.ece": (
        "置信度与实际正确率的平均差距（按样本数等分的区间）。样本有限时，即使完全校准的模型也不会得到 0；噪"
        "声底就是完全校准、样本量相同的模型会显示的数值。只有明显超出噪声底才说明置信度失准。",
        "Mean gap between stated confidence and the share that was right, over bins that hold equally many "
        "texts. On a finite sample even a perfectly calibrated model does not reach 0: the noise floor is "
        "what such a model would show on this many texts. Only a clear excess over it speaks of "
        "miscalibration.",
    ),
    "how.ranking_accuracy": (
        "优质文本的预期分之和高于降级文本的对比对比例，平分计一半。受控降级的对比对容易区分，因此接近 100% "
        "并不说明模型好。",
        "Share of pairs whose chosen text gets the higher sum of expected scores; ties count half. Pairs "
        "made by degrading a text are easy to tell apart, so a value near 100% proves little.",
    ),
    "how.interval": (
        "对样本重新抽样时，95% 的结果落在其中。模型与基线用的是同一批文本，区间重叠并不等于没有差别。",
        "The range in which the figure would fall for 95% of resampled data. Model and baselines share "
        "their texts, so overlapping intervals do not by themselves mean that there is no difference.",
    ),
    # Report card
    "card.score": ("{title}：{level} 档（最高 {top} 档）", "{title}: level {level} of {top}"),
    "card.unknown": ("{title}：没有分数", "{title}: no score"),
    "card.overall": ("综合", "Overall"),
    "card.out_of": ("满分 100", "out of 100"),
    "card.coverage": ("已读比例", "Share read"),
    "card.evidence": ("计算证据", "Evidence"),
    "card.evidence.facts": ("对照报表复算", "checked against statements"),
    "card.evidence.text": ("仅文内数字互相核对", "figures of the text only"),
    "card.evidence.off": ("未核对数字", "figures not checked"),
    "card.failed": ("未能评分", "Could not be scored"),
    "card.text": ("报告全文", "Full text"),
    "card.calc": (
        "共 {figures} 个数字，核对 {checked} 个：正确 {ok}，四舍五入 {rounding}，错误 {wrong}；无法核对 "
        "{unverifiable}。",
        "{figures} figures, {checked} checked: {ok} right, {rounding} rounded, {wrong} wrong; "
        "{unverifiable} could not be checked.",
    ),
    "card.wrong": ("有误的数字", "Wrong figures"),
    "claim.text": ("原文", "In the text"),
    "claim.metric": ("指标", "Metric"),
    "claim.stated": ("文中", "Stated"),
    "claim.recomputed": ("应为", "Should be"),
    "claim.formula": ("算式", "Formula"),
    "claim.severity": ("程度", "Severity"),
    "severity.minor": ("轻微", "minor"),
    "severity.major": ("严重", "major"),
    "table": ("表格", "Table"),
}

PERCENT = frozenset(
    {"accuracy", "within_1", "overall_accuracy", "exact_match", "ranking_accuracy", "confidence"}
)
THREE_DIGITS = frozenset({"ece", "ece_noise_floor"})


def strings(lang: str) -> dict[str, str]:
    """All phrases of ``lang``, "zh" or "en". Raises ValueError for any other language."""
    if lang not in LANGUAGES:
        raise ValueError(f"language {lang!r} is unknown; use one of {', '.join(LANGUAGES)}")
    index = LANGUAGES.index(lang)
    return {key: pair[index] for key, pair in STRINGS.items()}


def localised(value: Any, lang: str) -> str:
    """A title given as text or as ``{"zh": ..., "en": ...}``; another language is better than none."""
    if isinstance(value, Mapping):
        value = value.get(lang) or next((entry for entry in value.values() if entry), "")
    return str(value)


def finite(value: Any) -> float | None:
    """``value`` as a float, or None where it is null, not a number, infinite or a truth value."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def figure(value: Any, kind: str = "") -> str:
    """``value`` as people read it, "—" for null and for what is no finite number.

    ``kind`` is the name of a metric: shares (accuracy, within_1, ...) become percentages with one decimal,
    calibration errors keep three decimals, everything else (QWK, MAE, F1) gets two. "share" is a whole
    percentage, "count" a whole number with thousands separators, "plain" keeps up to four decimals.
    """
    known = finite(value)
    if known is None:
        return NONE
    if kind in PERCENT:
        text = f"{known:.1%}"
    elif kind in THREE_DIGITS:
        text = f"{known:.3f}"
    elif kind == "share":
        text = f"{known:.0%}"
    elif kind == "count":
        text = f"{known:,.0f}"
    elif kind == "plain":
        text = f"{round(known, 4):,.4f}".rstrip("0").rstrip(".")
    else:
        text = f"{known:.2f}"
    if not text.strip("-0.%"):  # what rounds to nothing has no sign
        text = text.lstrip("-")
    return text.replace("-", "−")


def interval(bounds: Any, kind: str = "") -> str:
    """``{"low", "high"}`` as "[0.88, 0.93]", or "" where either bound is missing."""
    if not isinstance(bounds, Mapping):
        return ""
    low, high = finite(bounds.get("low")), finite(bounds.get("high"))
    return "" if low is None or high is None else f"[{figure(low, kind)}, {figure(high, kind)}]"
