"""Flags of generating and of judging, and the settings they become; shared by commands and the script."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reward_model.data.controls import DEFAULT_CONTROLS
from reward_model.data.endpoint_flags import call_settings
from reward_model.data.framework_plan import FIELDS
from reward_model.data.generate_run import GenerateSettings
from reward_model.data.judge_run import JudgeRunSettings
from reward_model.data.llm_judge import JudgeSettings
from reward_model.data.llm_writer import DEGRADATION_TEMPERATURE, LENGTH, WriterSettings
from reward_model.data.pairs import ATTEMPTS, PairSettings
from reward_model.jsonl import shown

PAIRS_PER_FIELD = 10


def add_generate_flags(
    parser: ArgumentParser, *, fields: Sequence[str] = FIELDS, per_field: int = PAIRS_PER_FIELD
) -> None:
    """Add what only generating takes; ``fields`` and ``per_field`` are the defaults."""
    group = parser.add_argument_group("生成 (generate)")
    group.add_argument(
        "--fields", nargs="+", metavar="F", default=list(fields), help=f"行业（默认 {' '.join(fields)}）"
    )
    number = group.add_mutually_exclusive_group()
    number.add_argument(
        "--n-pairs-per-field",
        type=_count,
        default=per_field,
        metavar="N",
        help="每个行业尝试的对比对数（默认 %(default)s）",
    )
    number.add_argument(
        "--target", type=_count, metavar="N", help="每个行业要通过检查的对比对数，未通过的换题重写"
    )
    group.add_argument("--frameworks", metavar="F", help="已有的分析框架（JSONL）；不给则先生成")
    group.add_argument(
        "--degradation-temperature",
        type=_temperature,
        default=DEGRADATION_TEMPERATURE,
        metavar="T",
        help="降级的温度（默认 %(default)s，降级不明显时可提高到 0.7）",
    )
    group.add_argument(
        "--length",
        type=_range,
        default=LENGTH,
        metavar="MIN-MAX",
        help=f"黄金响应的字数（默认 {LENGTH[0]}-{LENGTH[1]}）",
    )
    group.add_argument(
        "--attempts",
        type=_count,
        default=ATTEMPTS,
        metavar="N",
        help="每篇最多写几稿（默认 %(default)s），之后隔离",
    )


def add_judge_flags(parser: ArgumentParser) -> None:
    """Add what only judging takes."""
    group = parser.add_argument_group("打分 (judge)")
    group.add_argument(
        "--votes", type=_count, default=1, metavar="N", help="每个裁判对每篇评几次，取中位数（默认 1）"
    )
    group.add_argument(
        "--per-dimension", action="store_true", help="每个维度单独一次调用（默认一次评全部维度）"
    )
    group.add_argument(
        "--controls",
        type=_whole,
        default=DEFAULT_CONTROLS,
        metavar="N",
        help="每种植入对照的篇数，0 为不做（默认 %(default)s）；计入报价",
    )


def generate_settings(
    options: Namespace, models: Sequence[str | Mapping[str, Any]] | None, out: str | Path
) -> GenerateSettings:
    """The settings that the flags gave; ``models`` where they name none."""
    call = call_settings(options)
    return GenerateSettings(
        fields=list(dict.fromkeys(options.fields)),
        per_field=options.target or options.n_pairs_per_field,
        target=options.target is not None,
        out=Path(out),
        frameworks=None if options.frameworks is None else Path(options.frameworks),
        models=options.model or models,
        call=call,
        writer=WriterSettings(
            degradation_temperature=options.degradation_temperature,
            length=options.length,
            prompts=call.prompts,
        ),
        pair=PairSettings(attempts=options.attempts, length=options.length, workers=call.max_in_flight),
    )


def judge_settings(
    options: Namespace,
    models: Sequence[str | Mapping[str, Any]] | None,
    source: str | Path,
    out: str | Path,
) -> JudgeRunSettings:
    """The settings that the flags gave; ``models`` where they name none."""
    call = call_settings(options)
    return JudgeRunSettings(
        source=str(source),
        out=Path(out),
        models=options.judge_model or models,
        votes=options.votes,
        controls=options.controls,
        call=call,
        judge=JudgeSettings(per_dimension=options.per_dimension, prompts=call.prompts),
    )


def _whole(text: str) -> int:
    if not text.isdecimal() or len(text) > 9:
        raise ArgumentTypeError(f"{shown(text)} must be a whole number")
    return int(text)


def _count(text: str) -> int:
    if not (value := _whole(text)):
        raise ArgumentTypeError("0 is too few; give 1 or more")
    return value


def _temperature(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 2:
        raise ArgumentTypeError(f"{shown(text)} must be a number from 0 to 2")
    return value


def _range(text: str) -> tuple[int, int]:
    low, dash, high = text.partition("-")
    if not dash or not 0 < _whole(low) < _whole(high):
        raise ArgumentTypeError(f"{shown(text)} must be two whole numbers such as {LENGTH[0]}-{LENGTH[1]}")
    return _whole(low), _whole(high)
