"""Scored pairs for the tests of step 2, and how to run it on them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from reward_model.data import validate_multidim_pairs as front_door
from reward_model.data.validation import Validator
from reward_model.rubric import Rubric, load_rubric
from reward_model.schema import Located, PairRecord

DIMENSIONS = ("depth", "professionalism", "accuracy")
TARGETS = {"引入计算错误": "accuracy", "浅化深度": "depth", "弱化专业性": "professionalism"}


def text(seed: int, length: int = 120) -> str:
    return "".join(chr(0x4E00 + (seed * 97 + step * step * 31) % 5000) for step in range(length))


def pair(
    seed: int = 1,
    chosen: tuple[int | None, ...] = (4, 4, 4),
    rejected: tuple[int | None, ...] = (1, 4, 4),
    degradation: str | None = "浅化深度",
    **metadata: Any,
) -> dict[str, Any]:
    """A pair without any problem, unless the arguments put one in."""
    return {
        "prompt": "请根据以下分析框架生成制造业的财务分析报告：",
        "chosen": text(seed),
        "rejected": text(seed + 5000, 110),
        "metadata": {
            "id": f"p{seed}",
            "field": "制造业",
            "model": "qwen-plus",
            "gold_metadata": {"quality_focus": "数据准确性导向"},
            "defect_metadata": {"degradation_type": degradation, "severity": "中度"},
            **metadata,
        },
        "scores": {
            "chosen": dict(zip(DIMENSIONS, chosen, strict=True)),
            "rejected": dict(zip(DIMENSIONS, rejected, strict=True)),
        },
    }


def write(path: Path, records: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records), encoding="utf-8")
    return path


def report_of(*records: dict[str, Any], rubric: Rubric | None = None) -> Any:
    validator = Validator(rubric or load_rubric())
    for line, record in enumerate(records, start=1):
        validator.add(Located(line, "", PairRecord.model_validate(record)))
    return validator.report()


def kinds(*records: dict[str, Any]) -> dict[str, str]:
    return {item.kind: item.severity for item in report_of(*records).problems}


def script(*args: str | Path) -> int:
    with pytest.raises(SystemExit) as stop:
        front_door.main([str(arg) for arg in args])
    return int(stop.value.code or 0)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
