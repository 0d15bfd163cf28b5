"""``finrm compare``: leave one writer (or industry) out, model and baselines side by side."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from reward_model.arguments import OneLineParser, complain, refuse_overwriting
from reward_model.commands.evaluate import add_outputs, bad_lines_code, present, seed
from reward_model.progress import progress_bar


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    parser = OneLineParser(
        prog="finrm compare",
        description="留一交叉验证 (leave-one-out over writers or industries; heads on a frozen base)",
    )
    parser.add_argument("data", nargs="?", help="scored pairs (JSONL); the shipped corpus if not given")
    parser.add_argument("--by", choices=("writer", "industry"), default="writer", help="(default writer)")
    parser.add_argument("--base-model", default="embedded", help="embedded, a directory or a hub name")
    parser.add_argument("--rubric", default="financial", help="name or YAML file")
    parser.add_argument("--seed", type=seed, default=42, help="(default 42)")
    parser.add_argument("--precision", choices=("fp32", "bf16", "auto"), default="fp32", help="of the base")
    parser.add_argument(
        "--nested", action="store_true", help="let each fold choose its options inside its training part"
    )
    parser.add_argument(
        "--shuffle-labels", action="store_true", help="control: shuffled training labels must give chance"
    )
    parser.add_argument(
        "--soft-labels",
        action=argparse.BooleanOptionalAction,
        help="learn from the spread of the judges' votes, not from the labels alone",
    )
    add_outputs(parser)
    options = parser.parse_args(arguments)
    refuse_overwriting([options.data], [options.json, options.html])
    from reward_model.comparison import OPTIONS, compare
    from reward_model.evaluation import left_out, read_graded
    from reward_model.rubric import load_rubric
    from reward_model.samples import corpus_path
    from reward_model.train_multidim import config, settings_from

    rubric = load_rubric(options.rubric)
    data = Path(options.data) if options.data else corpus_path()
    flags = {
        "base_model_name": options.base_model,
        "rubric": options.rubric,
        "seed": options.seed,
        "precision": options.precision,
        "soft_labels": options.soft_labels,
    }
    settings = settings_from(config, flags, preset="frozen")
    texts, bad_lines = read_graded(data, rubric)
    with progress_bar("比较") as progress:
        result, evaluation = compare(
            texts,
            rubric,
            settings,
            by=options.by,
            options=OPTIONS if options.nested else ({},),
            shuffle_labels=options.shuffle_labels,
            notify=complain,
            progress=progress,
        )
    result["data"], result["bad_lines"] = str(data), bad_lines
    if bad_lines:
        result["warnings"].append(left_out(bad_lines))
    present(result, evaluation.texts, json_path=options.json, html_path=options.html, lang=options.lang)
    return bad_lines_code(result, options.skip_bad)
