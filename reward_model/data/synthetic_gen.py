"""Makes analysis frameworks: fact sheets by code, outline and background by models or, offline, by code too.

``uv run reward_model/data/synthetic_gen.py`` writes ``reward_model/data/frameworks.jsonl`` (relative to the
working directory), which ``synthetic_gen_v2.py --frameworks`` takes. Edit the settings at the end of this
file, or give flags. Run again, the same command completes the file; what was paid for is in the ledger.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reward_model.arguments import OneLineParser, complain, refuse_overwriting, run
from reward_model.data.endpoint_flags import add_endpoint_flags, call_settings
from reward_model.data.framework_plan import FIELDS
from reward_model.data.framework_run import FrameworkSettings, make_frameworks
from reward_model.errors import FinrmError
from reward_model.progress import progress_bar, say

FRAMEWORKS = Path("reward_model/data/frameworks.jsonl")
"""Where the frameworks go, relative to the working directory, as the guide has the pairs."""
FRAMEWORKS_PER_FIELD = 10
_SHOWN_FAILURES = 10

Models = Sequence[str | Mapping[str, Any]]


def frameworks_command(
    arguments: Sequence[str] | None,
    prog: str | None = None,
    *,
    fields: Sequence[str] = FIELDS,
    n: int = FRAMEWORKS_PER_FIELD,
    model_configs: Models | None = None,
    base_url: str | None = None,
) -> int:
    """Make frameworks as flags say, else the settings given here; returns the exit code.

    0; 1 if models failed at some of them, which ``--retry-failures`` asks again.
    """
    parser = OneLineParser(
        prog=prog, description="生成分析框架：三年报表、提纲与背景 (make analysis frameworks)"
    )
    parser.add_argument(
        "--fields", nargs="+", metavar="F", default=list(fields), help=f"行业（默认 {' '.join(fields)}）"
    )
    parser.add_argument("--n", type=int, metavar="N", default=n, help="每个行业的框架数（默认 %(default)s）")
    parser.add_argument(
        "--out", metavar="F", default=str(FRAMEWORKS), help="写到这里，一行一个（默认 %(default)s）"
    )
    parser.add_argument(
        "--catalogue",
        action="append",
        default=[],
        metavar="F.yaml",
        help="自己的行业、业务与情节，补充或替换内置的；可多次给出",
    )
    add_endpoint_flags(parser, writer=True)
    options = parser.parse_args(arguments)
    refuse_overwriting(options.catalogue, [options.out])
    options.base_url = options.base_url or base_url
    settings = FrameworkSettings(
        fields=options.fields,
        n=options.n,
        out=Path(options.out),
        models=options.model or model_configs,
        catalogues=options.catalogue,
        call=call_settings(options),
    )
    with progress_bar("生成分析框架") as progress:
        tally = asyncio.run(make_frameworks(settings, say, progress))
    if tally is None or not tally.failed:
        return 0
    for identity, reason in list(tally.failed.items())[:_SHOWN_FAILURES]:
        complain(f"{identity}: {reason}")
    if len(tally.failed) > _SHOWN_FAILURES:
        complain(f"{len(tally.failed) - _SHOWN_FAILURES} frameworks more; see finrm ledger")
    return FinrmError.exit_code


def main(arguments: Sequence[str] | None = None, **settings: Any) -> int:
    """Run the script with these settings, overridden by flags; returns the exit code."""
    return run(lambda given: frameworks_command(given, **settings), arguments)


if __name__ == "__main__":
    # The module that others import must not exist a second time under the name __main__.
    from reward_model.data.synthetic_gen import main as imported_main

    # 行业列表
    fields = ["制造业", "服务业", "金融业", "房地产", "科技业"]
    # 每个行业的框架数
    n = 10
    # 写提纲与背景的模型，可以有多个；weight 是各自的份额。
    # 密钥只从环境变量 DASHSCOPE_API_KEY 或 OPENAI_API_KEY 读取。
    model_configs = [{"model": "qwen-plus", "weight": 1}]
    # OpenAI 兼容端点；None 取 OPENAI_BASE_URL，其次为 DashScope
    base_url = None

    sys.exit(imported_main(fields=fields, n=n, model_configs=model_configs, base_url=base_url))
