"""``finrm demo``: the whole journey on embedded parts, in a few minutes on two cores."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from reward_model.arguments import OneLineParser
from reward_model.errors import InputError
from reward_model.jsonl import write_json, write_text
from reward_model.progress import progress_bar

HELD_OUT_WRITERS = ("llm-w4", "llm-w8")
"""One profile of each half of the corpus; the demo's model never sees a text of theirs."""

PAIRS_PER_FIELD = 5
"""Generated pairs of each of the five industries: every focus with every degradation once."""

_GRADES = {"excellent": "优秀", "good": "良好", "fair": "一般", "poor": "不合格"}


def examples_dir() -> Path | None:
    """The example reports: inside an installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parent.parent
    return next((p for p in (package / "examples", package.parent / "examples") if p.is_dir()), None)


def example_reports() -> list[Path]:
    """The reports among the examples, by name."""
    folder = examples_dir()
    if folder is None:
        return []
    return sorted(path for path in folder.iterdir() if path.name.startswith("report_"))


class _Steps:
    """Prints numbered steps with the time since the start."""

    def __init__(self, total: int, console: Console) -> None:
        self.total, self.console = total, console
        self.done = 0
        self.started = time.monotonic()

    def __call__(self, title: str) -> None:
        self.done += 1
        elapsed = time.monotonic() - self.started
        self.console.print(
            f"\n[{self.done}/{self.total}] {title}（{elapsed:.0f} 秒）", style="bold", markup=False
        )


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    parser = OneLineParser(prog="finrm demo", description="完整演示 (the whole journey on embedded parts)")
    parser.add_argument("--output", default="finrm-demo", metavar="DIR", help="(default finrm-demo)")
    parser.add_argument("--lang", choices=("zh", "en"), default="zh", help="language of the pages")
    options = parser.parse_args(arguments)
    console = Console()
    step = _Steps(7, console)

    def tell(line: str) -> None:
        # Unbroken, so that a path can be copied; the terminal wraps it.
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    output = Path(options.output)
    try:
        (output / "generated").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{output}: cannot be written ({error.strerror}); name another --output") from None

    with progress_bar("生成与评判") as progress:
        step("生成对比对并盲评（内置写作者与裁判）")
        generation = _generate(output, console, tell, progress)

    step("准备内置基础模型")
    from reward_model.backbone import resolve_base

    base = resolve_base("embedded", notify=tell)
    tell(f"就绪：{base.source}")

    step("验证随附语料")
    validation = _validate(output, tell)

    with progress_bar("演示") as progress:
        step(f"训练（不看写作者 {'、'.join(HELD_OUT_WRITERS)} 的任何文本）")
        training = _train(output, tell, progress)
        step("在没见过的写作者上评估，与基线同表")
        evaluation = _evaluate(output, console, progress, options.lang)

    step("给 examples/ 中的报告打分")
    cards = _score(console)

    step("写出页面")
    page = _write_pages(output, generation, validation, training, evaluation, cards, options.lang)
    tell(f"演示完成，用时 {time.monotonic() - step.started:.0f} 秒")
    tell(f"网页摘要：{page}")
    tell(f"评估细节：{output / 'evaluation.html'}")
    tell(f"模型目录：{output / 'model'}（finrm score --model {output / 'model'} REPORT）")
    return 0


def _generate(
    output: Path, console: Console, tell: Callable[[str], None], progress: Callable[[int, int], None]
) -> dict[str, Any]:
    """Pairs by the embedded writer, judged by the embedded judge: {"accepted", "validation", "card"}."""
    from reward_model.data.endpoint_flags import CallSettings
    from reward_model.data.framework_plan import FIELDS
    from reward_model.data.generate_run import GenerateSettings, generate
    from reward_model.data.judge_run import JudgeRunSettings, judge_file
    from reward_model.data.synthetic_gen_v2 import scored_path
    from reward_model.data.validate_multidim_pairs import validate_file
    from reward_model.report.judge_card_view import print_judge_card

    call = CallSettings(offline=True)
    pairs = output / "generated" / "comparison_pairs.jsonl"
    tally = asyncio.run(generate(GenerateSettings(FIELDS, PAIRS_PER_FIELD, pairs, call=call), tell, progress))
    judging = JudgeRunSettings(str(pairs), scored_path(pairs), votes=2, call=call)
    outcome = asyncio.run(judge_file(judging, tell, progress))
    assert tally is not None  # only a quote has none ...
    assert outcome.card is not None
    print_judge_card(outcome.card, console)
    report = validate_file(scored_path(pairs), pairs.parent / "filtered_pairs.jsonl")
    tell(
        f"内置写作者的文本由数据和措辞库拼成，只用来走通流程；训练用的是随附语料。平均分差 "
        f"{report['overall']['mean_gap']:.2f}，正差异率 {report['overall']['positive_rate']:.1%}"
    )
    return {"accepted": tally.accepted, "validation": report, "card": outcome.card}


def _validate(output: Path, tell: Callable[[str], None]) -> dict[str, Any]:
    from reward_model.data.validate_multidim_pairs import validate_file
    from reward_model.samples import corpus_path

    report = validate_file(corpus_path(), output / "filtered_pairs.jsonl")
    overall = report["overall"]
    tell(
        f"{report['pairs']} 对：平均分差 {overall['mean_gap']:.2f}（{_GRADES[overall['mean_gap_grade']]}），"
        f"正差异率 {overall['positive_rate']:.1%}（{_GRADES[overall['positive_rate_grade']]}）；"
        f"过滤后保留 {report['filter']['kept']} 对 -> {output / 'filtered_pairs.jsonl'}"
    )
    return report


def _train(output: Path, tell: Callable[[str], None], progress: Callable[[int, int], None]) -> dict[str, Any]:
    from reward_model.dataset_multidim import load_texts
    from reward_model.rubric import load_rubric
    from reward_model.train_multidim import config, settings_from, train

    rubric = load_rubric()
    texts = load_texts(output / "filtered_pairs.jsonl", rubric)
    groups = {text.group for text in texts if text.slices.get("writer") in HELD_OUT_WRITERS}
    flags = {
        "base_model_name": "embedded",
        "precision": "auto",
        "val_fraction": 0.0,
        "output_dir": str(output / "model"),
    }
    settings = settings_from(config, flags, preset="frozen")
    rest = [text for text in texts if text.group not in groups]
    outcome = train(settings, train_texts=rest, notify=tell, progress=progress)
    return outcome.facts


def _evaluate(
    output: Path, console: Console, progress: Callable[[int, int], None], lang: str
) -> dict[str, Any]:
    from reward_model.commands.evaluate import present
    from reward_model.evaluation import evaluate_model
    from reward_model.jsonl import JsonlReader, atomic_writer

    held = output / "held_out_pairs.jsonl"
    with atomic_writer(held) as stream:
        for row in JsonlReader(output / "filtered_pairs.jsonl"):
            if row.value["metadata"]["model"] in HELD_OUT_WRITERS:
                stream.write(row.text + "\n")
    result, evaluation = evaluate_model(
        output / "model", held, train_data=output / "filtered_pairs.jsonl", progress=progress
    )
    present(
        result,
        evaluation.texts,
        json_path=str(output / "evaluation.json"),
        html_path=str(output / "evaluation.html"),
        lang=lang,
        console=console,
    )
    return result


def _score(console: Console) -> list[tuple[str, str, dict[str, Any]]]:
    from reward_model.inference import RewardScorer
    from reward_model.reading import read_report
    from reward_model.report.score_view import print_score

    scorer = RewardScorer.default()
    cards = []
    for path in example_reports():
        text = read_report(path)
        line = scorer.score(text, id=path.name).to_dict()
        print_score(line, scorer.rubric.titles, console)
        cards.append((path.name, text, line))
    return cards


def _write_pages(
    output: Path,
    generation: dict[str, Any],
    validation: dict[str, Any],
    training: dict[str, Any],
    evaluation: dict[str, Any],
    cards: list[tuple[str, str, dict[str, Any]]],
    lang: str,
) -> Path:
    from reward_model.report.demo_page import demo_page

    write_json(output / "scores.json", [line for _, _, line in cards])
    page = output / "index.html"
    write_text(page, demo_page(generation, validation, training, evaluation, cards, lang=lang))
    return page
