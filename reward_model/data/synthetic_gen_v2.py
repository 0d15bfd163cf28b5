"""The guide's data generation script: edit the settings at the end of this file, or give flags.

``uv run reward_model/data/synthetic_gen_v2.py`` writes ``reward_model/data/comparison_pairs.jsonl`` (relative
to the working directory), has it judged, and leaves ``comparison_pairs_scored.jsonl`` beside it. Kill it when
you like and run it again: what was paid for is in the ledger beside the pairs, the files come out the same.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from reward_model.arguments import OneLineParser, complain, refuse_overwriting, run
from reward_model.data.endpoint_flags import (
    DEFAULT_JUDGE,
    CallSettings,
    add_endpoint_flags,
    endpoints,
    ledger_path,
)
from reward_model.data.generate_run import GenerateSettings, generate
from reward_model.data.generation_flags import (
    FIELDS,
    PAIRS_PER_FIELD,
    add_generate_flags,
    add_judge_flags,
    generate_settings,
    judge_settings,
)
from reward_model.data.judge_card import card_path
from reward_model.data.judge_run import JudgeRunSettings, judge_file
from reward_model.errors import FinrmError, InputError, ResourceError
from reward_model.progress import progress_bar, say
from reward_model.report.judge_card_view import print_judge_card

PAIRS = Path("reward_model/data/comparison_pairs.jsonl")
"""Where the guide has the pairs, relative to the working directory."""
SHOWN_FAULTS = 20

Models = Sequence[str | Mapping[str, Any]]


def scored_path(pairs: str | Path) -> Path:
    """``comparison_pairs.jsonl`` -> ``comparison_pairs_scored.jsonl``."""
    path = Path(pairs)
    return path.with_name(f"{path.stem}_scored{path.suffix}")


def generate_comparison_dataset(
    fields: Sequence[str] = FIELDS,
    n_pairs_per_field: int = PAIRS_PER_FIELD,
    model_configs: Models | None = None,
    judge_model: str | Models | None = DEFAULT_JUDGE,
    *,
    out: str | Path = PAIRS,
    frameworks: str | Path | None = None,
    target: bool = False,
    votes: int = 1,
    offline: bool = False,
    call: CallSettings | None = None,
) -> tuple[Path, Path]:
    """Generate pairs and have them judged.

    Args:
        fields: the industries.
        n_pairs_per_field: pairs of each; with ``target`` pairs that passed every check, else pairs tried.
        model_configs: who writes: names, or ``{"model": "qwen-plus", "weight": 2, "base_url": ...,
            "enable_thinking": False, "price": [in, out]}``; keys come from the environment.
        judge_model: who judges: a name, a configuration, or several.
        out: the pairs; the scored ones go beside them (:func:`scored_path`).
        frameworks: a file of analysis frameworks; None makes them.
        votes: judgements of each judge on each text.
        offline: use the embedded writer and judge; no key, no network.
        call: budget, limits, prompts, rubric, seed and so on.

    Returns:
        The paths of the pairs and of the scored pairs.

    Raises:
        InputError: unusable settings, or no key; nothing was sent then.
        ResourceError: an endpoint failed for good; the same call goes on from the ledger.
    """
    shared = replace(call or CallSettings(), offline=offline or (call is not None and call.offline))
    judges = [judge_model] if isinstance(judge_model, str) else judge_model
    generating = GenerateSettings(
        fields=list(fields),
        per_field=n_pairs_per_field,
        out=Path(out),
        target=target,
        frameworks=None if frameworks is None else Path(frameworks),
        models=model_configs,
        call=shared,
    )
    judging = JudgeRunSettings(str(out), scored_path(out), judges, votes, call=shared)
    run_both(generating, judging)
    return generating.out, judging.out


def run_both(generating: GenerateSettings, judging: JudgeRunSettings) -> int:
    """Generate, then judge, over one ledger; returns the exit code."""
    ledger = ledger_path(generating.call, generating.out)
    generating = replace(generating, call=replace(generating.call, ledger=ledger))
    judging = replace(judging, call=replace(judging.call, ledger=ledger))
    if not generating.call.offline:
        # A judge that can't be asked is said before the first text is paid for.
        endpoints(judging.models, judging.call, default=DEFAULT_JUDGE, flag="--judge-model")
    code = run_generate(generating)
    if generating.call.dry_run:
        say("评判的报价要等对比对生成之后：finrm judge --dry-run")
        return code
    if not generating.out.stat().st_size:
        return code
    return run_judge(judging) or code


def run_generate(settings: GenerateSettings) -> int:
    """Generate with lines on standard output and a bar on standard error; returns the exit code.

    0; 1 if no pair was accepted, or with ``target`` fewer than asked for.
    """
    with progress_bar("生成对比对") as progress:
        tally = asyncio.run(generate(settings, say, progress))
    if tally is None:
        return 0
    if settings.target and tally.empty:
        complain(f"{tally.empty} pairs short of --target; see the quarantine for why")
    elif not tally.accepted:
        complain("no pair passed the checks; see the quarantine for why")
    else:
        return 0
    return FinrmError.exit_code


def run_judge(settings: JudgeRunSettings, *, skip_bad: bool = False) -> int:
    """Judge with a card on standard output; returns the exit code.

    0; 2 if lines of the file were at fault and not ``skip_bad``.

    Raises:
        ResourceError: not one text could be judged.
    """
    refuse_overwriting([settings.source], [settings.out])
    with progress_bar("评判") as progress:
        outcome = asyncio.run(judge_file(settings, say, progress))
    for problem in outcome.problems[:SHOWN_FAULTS]:
        complain(str(problem))
    bad = len({problem.line for problem in outcome.problems})
    if outcome.card is not None:
        console = Console(highlight=False)
        with console.capture() as shown:
            print_judge_card(outcome.card, console)
        say(shown.get().rstrip())
        say(f"裁判卡：{card_path(settings.out)}")
        if not outcome.tally.texts and not outcome.tally.partial:
            kinds = ", ".join(sorted(outcome.tally.failures))
            raise ResourceError(f"none of {outcome.tally.failed} texts could be judged ({kinds})")
    if bad and not skip_bad:
        complain(f"{settings.source}: {bad} bad lines were passed over; correct them, or --skip-bad")
        return InputError.exit_code
    return 0


def generate_command(arguments: Sequence[str] | None, prog: str | None = None) -> int:
    """``finrm generate``."""
    parser = OneLineParser(
        prog=prog, description="生成对比对：黄金响应与受控降级 (generate comparison pairs)"
    )
    parser.add_argument("--out", metavar="F", default=str(PAIRS), help="对比对写到这里（默认 %(default)s）")
    add_generate_flags(parser)
    add_endpoint_flags(parser, writer=True)
    options = parser.parse_args(arguments)
    refuse_overwriting([options.frameworks], [options.out])
    return run_generate(generate_settings(options, None, options.out))


def judge_command(arguments: Sequence[str] | None, prog: str | None = None) -> int:
    """``finrm judge``."""
    parser = OneLineParser(
        prog=prog, description="AI 裁判逐篇盲评对比对 (judge pairs, blind, one text at a time)"
    )
    parser.add_argument("input", metavar="IN", help="对比对（JSONL；- 为标准输入）")
    parser.add_argument(
        "--out", metavar="F", help="打分后的数据写到这里（默认在 IN 旁边：pairs.jsonl 为 pairs_scored.jsonl）"
    )
    parser.add_argument("--skip-bad", action="store_true", help="有坏行时不以退出码 2 结束")
    add_judge_flags(parser)
    add_endpoint_flags(parser, judge=True)
    options = parser.parse_args(arguments)
    if options.out is None and options.input == "-":
        raise InputError("finrm judge: standard input has no name to go by; give --out")
    out = options.out or scored_path(options.input)
    return run_judge(judge_settings(options, None, options.input, out), skip_bad=options.skip_bad)


def main(
    arguments: Sequence[str] | None = None,
    *,
    fields: Sequence[str] = FIELDS,
    n_pairs_per_field: int = PAIRS_PER_FIELD,
    model_configs: Models | None = None,
    judge_model: str | Models | None = DEFAULT_JUDGE,
) -> int:
    """Run the script with these settings, overridden by flags; returns the exit code."""

    def both(given: Sequence[str] | None) -> int:
        parser = OneLineParser(description="生成对比对并由 AI 裁判打分（也可改文件末尾的设置）")
        parser.add_argument(
            "--out", metavar="F", default=str(PAIRS), help="对比对（默认 %(default)s），打分后的在旁边"
        )
        add_generate_flags(parser, fields=fields, per_field=n_pairs_per_field)
        add_judge_flags(parser)
        add_endpoint_flags(parser, writer=True, judge=True)
        options = parser.parse_args(given)
        refuse_overwriting([options.frameworks], [options.out])
        judges = [judge_model] if isinstance(judge_model, str) else judge_model
        return run_both(
            generate_settings(options, model_configs, options.out),
            judge_settings(options, judges, options.out, scored_path(options.out)),
        )

    return run(both, arguments)


if __name__ == "__main__":
    # The module that others import must not exist a second time under the name __main__.
    from reward_model.data.synthetic_gen_v2 import main as imported_main

    # 行业列表
    fields = ["制造业", "服务业", "金融业", "房地产", "科技业"]
    # 每个行业生成的对比对数量
    n_pairs_per_field = 10
    # 生成模型，可以有多个；weight 是各自的份额。可另给 base_url、enable_thinking、price。
    # 密钥只从环境变量 DASHSCOPE_API_KEY 或 OPENAI_API_KEY 读取。
    model_configs = [
        {"model": "qwen-plus", "weight": 2},
        {"model": "qwen-turbo", "weight": 1},
    ]
    # 裁判模型
    judge_model = "qwen-max"

    sys.exit(
        imported_main(
            fields=fields,
            n_pairs_per_field=n_pairs_per_field,
            model_configs=model_configs,
            judge_model=judge_model,
        )
    )
