"""Fixtures that many test files share."""

from __future__ import annotations

import copy
import os
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from reward_model.jsonl import JsonlReader
from reward_model.rubric import load_rubric
from reward_model.samples import corpus_path
from reward_model.schema import Located, read_pairs

# Tiny models gain nothing from a second thread, and much is lost where cores are busy. Compiled files go to a
# cache also where the environment forbids them beside the sources: importing transformers takes twice as long
# without. Both reach the processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")
_COMPILED = os.path.join(os.path.dirname(__file__), "..", ".pytest_cache", "pycache")
os.environ.setdefault("PYTHONPYCACHEPREFIX", os.path.abspath(_COMPILED))
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
sys.pycache_prefix = os.environ["PYTHONPYCACHEPREFIX"]

# Times differ on a shared machine; a slow example is no fault.
settings.register_profile("finrm", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("finrm")

# The guide's own example of a record, field for field.
GUIDE_PAIR: dict[str, Any] = {
    "prompt": "请根据以下分析框架生成制造业的财务分析报告：...",
    "chosen": "黄金响应全文...",
    "rejected": "缺陷响应全文...",
    "metadata": {
        "field": "制造业",
        "model": "qwen-plus",
        "gold_metadata": {"quality_focus": "数据准确性导向"},
        "defect_metadata": {"degradation_type": "浅化深度"},
    },
    "scores": {
        "chosen": {"depth": 4, "professionalism": 3, "accuracy": 4},
        "rejected": {"depth": 1, "professionalism": 2, "accuracy": 3},
        "reasoning": {
            "depth": "黄金响应有深入的归因分析，缺陷响应只有表面描述",
            "professionalism": "黄金响应使用了专业术语，缺陷响应较通用",
            "accuracy": "黄金响应计算精确，缺陷响应有简化",
        },
    },
}


@pytest.fixture
def make_pair() -> Callable[..., dict[str, Any]]:
    """A factory of the guide's record as a fresh dict; keywords replace its top-level fields."""

    def make(**overrides: Any) -> dict[str, Any]:
        return copy.deepcopy(GUIDE_PAIR) | overrides

    return make


@pytest.fixture(scope="session")
def corpus_records() -> list[Located]:
    """The graded pairs that come with the package, all of them sound."""
    reader = JsonlReader(corpus_path())
    records = list(read_pairs(reader, load_rubric()))
    assert not reader.problems
    return records
