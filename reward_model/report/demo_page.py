"""The page that ``finrm demo`` leaves behind: what was checked, trained, measured and scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reward_model.report.page import chart, charts, heading, paragraph, report_card, summary_page, table
from reward_model.report.svg import distribution_chart, interval_chart, interval_domain
from reward_model.report.text import figure, interval, localised, strings

# key: (Chinese, English)
_WORDS: dict[str, tuple[str, str]] = {
    "title": ("finrm 演示", "finrm demo"),
    "lead": (
        "一条命令走完全程：生成对比对并盲评，验证随附语料，训练，在没见过的写作者上评估，给示例报告打分。"
        "全部在本机完成，没有使用密钥、模型 hub 或 GPU。",
        "One command, the whole journey: generate and judge pairs, check the shipped corpus, train, evaluate "
        "on writers the model never saw, score example reports. All of it on this machine, without key, "
        "model hub or GPU.",
    ),
    "generation": ("一、生成与评判", "1. Generating and judging"),
    "generation_text": (
        "内置写作者写出 {pairs} 对，内置裁判逐篇盲评两次：平均分差 {gap}，正差异率 {rate}。这些文本由数据和"
        "措辞库拼成，用来走通流程；用大模型生成时命令相同（finrm generate、finrm judge）。"
        "训练用的是随附语料。",
        "The embedded writer made {pairs} pairs, the embedded judge judged each text blind and twice: mean "
        "gap {gap}, positive rate {rate}. These texts are composed from figures and stock phrases, to show "
        "the way; with language models the commands are the same (finrm generate, finrm judge). Training "
        "uses the shipped corpus.",
    ),
    "controls": (
        "裁判卡：对同一批文本做已知改动后，分数平均变化多少",
        "Judge card: mean change of the levels after known changes of a text",
    ),
    "control": ("对照", "Control"),
    "texts": ("篇数", "Texts"),
    "identical": ("同一文本再评", "the same text again"),
    "shuffled": ("打乱段落", "paragraphs shuffled"),
    "padded": ("掺入空话", "padded with platitudes"),
    "injected": ("要求给满分", "a plea for full marks"),
    "figures": ("植入错误数字", "wrong figures planted"),
    "data": ("二、随附语料", "2. The shipped corpus"),
    "data_text": (
        "{pairs} 个对比对：平均分差 {gap}，正差异率 {rate}；按规则过滤后保留 {kept} 对。",
        "{pairs} pairs: mean gap {gap}, positive rate {rate}; {kept} pairs pass the filter.",
    ),
    "chosen": ("黄金响应", "chosen"),
    "rejected": ("缺陷响应", "rejected"),
    "level": ("档位", "level"),
    "isolation": ("各降级类型下，每个维度平均下降多少", "Mean drop of each dimension, by degradation"),
    "degradation": ("降级类型", "Degradation"),
    "n": ("对数", "Pairs"),
    "training": ("三、训练", "3. Training"),
    "training_text": (
        "基础模型 {base} 冻结，只训练三个分类头；{n} 篇文本，{seconds} 秒（含特征计算，重复运行时有缓存）。",
        "Base model {base}, frozen; three classification heads trained on {n} texts in {seconds} s (features "
        "included; they are cached for the next run).",
    ),
    "evaluation": ("四、在没见过的写作者上", "4. On writers it never saw"),
    "evaluation_text": (
        "{n} 篇文本。所有文本出自同一个大语言模型的不同写作者设定，因此“没见过的写作者”不等于另一位作者。"
        "细节见同目录下的 evaluation.html。",
        "{n} texts. All texts were written by one large language model under different profiles, so an "
        "unseen writer is another profile, not another author. Details are in evaluation.html beside this "
        "page.",
    ),
    "system": ("系统", "System"),
    "model": ("模型", "model"),
    "qwk": ("与参考档位的一致度：QWK 与 95% 区间", "Agreement with the reference levels: QWK, 95% interval"),
    "overall": ("整体准确率", "Overall accuracy"),
    "scores": ("五、示例报告的得分", "5. Scores of the example reports"),
    "scores_text": (
        "用随附的模型（在全部语料上训练）打分。这里没有给报表，数字只在正文内部核对；"
        "加 --facts 可与报表核对。",
        "Scored with the shipped model (trained on the whole corpus). No statements were given here, so "
        "figures were checked within the text only; --facts checks them against statements.",
    ),
}


def demo_page(
    generation: Mapping[str, Any],
    validation: Mapping[str, Any],
    training: Mapping[str, Any],
    evaluation: Mapping[str, Any],
    cards: Sequence[tuple[str, str, Mapping[str, Any]]],
    *,
    lang: str = "zh",
) -> str:
    """The page, in "zh" or "en".

    Args:
        generation: ``{"validation", "card"}`` of the generated pairs: as below, and their judge card.
        validation: the dict of ``finrm validate --json``.
        training: the model's ``training.json``.
        evaluation: the dict of ``finrm evaluate --json``.
        cards: (file name, text, line of ``finrm score --json``) of each report.
        lang: "zh" or "en".
    """
    words = {key: pair[("zh", "en").index(lang)] for key, pair in _WORDS.items()}
    strings(lang)  # an unknown language is refused here
    titles = {dim: localised(title, lang) for dim, title in evaluation["dims"].items()}
    overall = validation["overall"]
    blocks = [
        paragraph(words["lead"]),
        heading(words["generation"]),
        paragraph(
            words["generation_text"].format(
                pairs=generation["validation"]["pairs"],
                gap=figure(generation["validation"]["overall"]["mean_gap"], "qwk"),
                rate=figure(generation["validation"]["overall"]["positive_rate"], "accuracy"),
            )
        ),
        _isolation(generation["validation"], titles, words),
        _controls(generation["card"], titles, words),
        heading(words["data"]),
        paragraph(
            words["data_text"].format(
                pairs=validation["pairs"],
                gap=figure(overall["mean_gap"], "qwk"),
                rate=figure(overall["positive_rate"], "accuracy"),
                kept=validation["filter"]["kept"],
            )
        ),
        charts(*_distributions(validation, titles, words)),
        _isolation(validation, titles, words),
        heading(words["training"]),
        paragraph(
            words["training_text"].format(
                base=training["settings"]["base_model_name"],
                n=training["n_train"],
                seconds=figure(training["seconds"], "count"),
            )
        ),
        heading(words["evaluation"]),
        paragraph(words["evaluation_text"].format(n=evaluation["n"])),
        _systems_table(evaluation, titles, lang, words),
        charts(*_interval_charts(evaluation, titles, lang, words)),
        heading(words["scores"]),
        paragraph(words["scores_text"]),
        *(report_card(line, name=name, text=text, dims=titles) for name, text, line in cards),
    ]
    return summary_page(blocks, title=words["title"], lang=lang)


def _distributions(
    validation: Mapping[str, Any], titles: Mapping[str, str], words: Mapping[str, str]
) -> list[dict[str, Any]]:
    blocks = []
    for dim, entry in validation["labels"].items():
        series = [
            {
                "label": words[side],
                "counts": [entry[side][level] for level in sorted(entry[side], key=int)],
            }
            for side in ("chosen", "rejected")
        ]
        title = titles.get(dim, dim)
        blocks.append(chart(distribution_chart(series, title=title, level=words["level"]), caption=title))
    return blocks


def _isolation(
    validation: Mapping[str, Any], titles: Mapping[str, str], words: Mapping[str, str]
) -> dict[str, Any]:
    rows = [
        [name, entry["n"], *(figure(entry["mean_drop"][dim], "qwk") for dim in titles)]
        for name, entry in validation["isolation"].items()
    ]
    columns = [words["degradation"], words["n"], *titles.values()]
    return table(columns, rows, caption=words["isolation"])


def _controls(card: Mapping[str, Any], titles: Mapping[str, str], words: Mapping[str, str]) -> dict[str, Any]:
    rows = [
        [
            words.get(kind, kind),
            entry["judged"],
            *(figure(entry["per_dim"][dim]["mean_change"], "qwk") for dim in titles),
        ]
        for kind, entry in card["controls"].items()
    ]
    return table([words["control"], words["texts"], *titles.values()], rows, caption=words["controls"])


def _systems(evaluation: Mapping[str, Any], lang: str, words: Mapping[str, str]) -> dict[str, Any]:
    others = {localised(row["title"], lang): row for row in evaluation["baselines"].values()}
    return {words["model"]: evaluation, **others}


def _systems_table(
    evaluation: Mapping[str, Any], titles: Mapping[str, str], lang: str, words: Mapping[str, str]
) -> dict[str, Any]:
    rows = []
    for name, row in _systems(evaluation, lang, words).items():
        cells = []
        for dim in titles:
            entry = row["per_dim"][dim]
            cells.append(f"{figure(entry['qwk'], 'qwk')} {interval(entry['intervals']['qwk'], 'qwk')}")
        rows.append([name, *cells, figure(row["overall_accuracy"], "overall_accuracy")])
    return table([words["system"], *titles.values(), words["overall"]], rows, caption=words["qwk"])


def _interval_charts(
    evaluation: Mapping[str, Any], titles: Mapping[str, str], lang: str, words: Mapping[str, str]
) -> list[dict[str, Any]]:
    systems = _systems(evaluation, lang, words)
    rows = {
        dim: [
            {
                "label": name,
                "value": row["per_dim"][dim]["qwk"],
                "low": row["per_dim"][dim]["intervals"]["qwk"]["low"],
                "high": row["per_dim"][dim]["intervals"]["qwk"]["high"],
                "main": row is evaluation,
            }
            for name, row in systems.items()
        ]
        for dim in titles
    }
    domain = interval_domain([row for part in rows.values() for row in part])
    return [
        chart(interval_chart(rows[dim], title=f"{title} QWK", domain=domain), caption=f"{title} QWK")
        for dim, title in titles.items()
    ]
