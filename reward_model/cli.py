"""``finrm``: every command parses its arguments, calls one function and prints.

Commands are loaded when they are called, so that ``finrm --help`` needs no torch and answers at once.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version

from reward_model.arguments import run
from reward_model.errors import InputError

COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("reward_model.commands.demo", "完整演示：从数据到评分，无需密钥、GPU 或网络"),
    "frameworks": ("reward_model.commands.frameworks", "生成分析框架：三年报表、提纲与背景"),
    "generate": ("reward_model.commands.generate", "生成对比对：黄金响应与受控降级"),
    "judge": ("reward_model.commands.judge", "AI 裁判逐篇盲评对比对"),
    "ledger": ("reward_model.commands.ledger", "调用账本：花费、用量、失败分类、原始回答"),
    "validate": ("reward_model.commands.validate", "验证对比对的质量，可导出过滤后的数据"),
    "labels": ("reward_model.commands.labels", "标签分布"),
    "train": ("reward_model.commands.train", "训练奖励模型"),
    "compare": ("reward_model.commands.compare", "留一写作者（或行业）交叉验证，与基线比较"),
    "evaluate": ("reward_model.commands.evaluate", "在已打分数据上评估模型，与基线同表"),
    "score": ("reward_model.commands.score", "给报告打分"),
    "check": ("reward_model.commands.check", "核对报告中的计算，无需模型"),
    "export-model": ("reward_model.commands.export_model", "导出模型（ONNX），供没有 torch 的机器使用"),
    "doctor": ("reward_model.commands.doctor", "这台机器能做什么、缺什么"),
}
"""Name to (module whose ``main(arguments) -> int`` is called, summary)."""


def usage() -> str:
    """The help text."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name.ljust(width)}  {summary}" for name, (_, summary) in COMMANDS.items()]
    return "\n".join(
        [
            "finrm: 给中文财务分析报告打分 (grade Chinese financial-analysis reports)",
            "",
            "用法 (usage): finrm COMMAND [ARGUMENTS]    finrm COMMAND --help    finrm --version",
            "",
            *lines,
            "",
            "退出码 (exit codes): 0 完成；1 结论为否；2 输入或参数不可用；3 端点、hub 或设备失败",
        ]
    )


def _dispatch(arguments: Sequence[str] | None) -> int:
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] in {"-h", "--help", "help"}:
        print(usage())  # noqa: T201
        return 0 if given else InputError.exit_code
    if given[0] in {"-V", "--version"}:
        print(f"finrm {version('reward-model')}")  # noqa: T201
        return 0
    if given[0] not in COMMANDS:
        raise InputError(f"finrm: no command {given[0]!r}; there are {', '.join(COMMANDS)}")
    module = import_module(COMMANDS[given[0]][0])
    return int(module.main(given[1:]))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``finrm``; returns the exit code."""
    return run(_dispatch, arguments)


if __name__ == "__main__":
    sys.exit(main())
