"""Command-line flags of training, one for every setting of :class:`TrainConfig`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, NamedTuple

import yaml

from reward_model.arguments import OneLineParser
from reward_model.config import PRESETS, TrainConfig

_ALIASES = {"base_model_name": "--base-model", "num_epochs": "--epochs", "output_dir": "--output"}
# Given another way: data is the positional argument.
_NO_FLAG = {"data"}


class TrainFlags(NamedTuple):
    """What was given: settings, a settings file, the name of a preset, whether to resume."""

    settings: dict[str, Any]
    file: str | None
    preset: str | None
    resume: bool


def _value(text: str) -> Any:
    """A flag's text as YAML would read it: numbers, lists such as [1, 2], null."""
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def parse_flags(arguments: Sequence[str] | None, prog: str | None = None) -> TrainFlags:
    """Parse training's flags.

    Raises:
        InputError: if a flag is unknown or lacks its value.
    """
    parser = OneLineParser(
        prog=prog,
        description="训练多维度奖励模型 (train a reward model). "
        "Settings: the script's config < --preset < --config FILE < FINRM_* variables < flags.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        argument_default=argparse.SUPPRESS,
    )
    parser.add_argument(
        "data", nargs="?", help="scored pairs or graded reports (JSONL); else the guide's file or the corpus"
    )
    parser.add_argument(
        "--preset", choices=sorted(PRESETS), help="frozen: heads only, fast; guide: the guide's settings"
    )
    parser.add_argument("--config", dest="settings_file", metavar="FILE", help="settings in YAML")
    for name, field in TrainConfig.model_fields.items():
        if name in _NO_FLAG:
            continue
        flags = [f"--{name.replace('_', '-')}"]
        if name in _ALIASES:
            flags.insert(0, _ALIASES[name])
        summary = " ".join((field.description or "").split()).replace("%", "%%")
        default = f"(default: {field.default})"
        options: dict[str, Any] = {"dest": name, "help": f"{summary} {default}".strip()}
        if field.annotation is bool:
            parser.add_argument(*flags, action=argparse.BooleanOptionalAction, **options)
        elif field.annotation is str or field.annotation == str | None:
            parser.add_argument(*flags, metavar="TEXT", **options)
        else:
            parser.add_argument(*flags, metavar="VALUE", type=_value, **options)
    parser.add_argument(
        "--resume", action="store_true", default=False, help="go on with the unfinished run in --output"
    )
    found = vars(parser.parse_args(arguments))
    file, preset = found.pop("settings_file", None), found.pop("preset", None)
    resume = found.pop("resume")
    return TrainFlags(found, file, preset, resume)
