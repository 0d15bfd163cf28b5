"""Flags that every command which calls models shares, and how they become endpoints and a client.

Keys come from the environment only (``DASHSCOPE_API_KEY``, ``OPENAI_API_KEY``), never from a flag or a file,
and go to the host that they belong to.
"""

from __future__ import annotations

import ipaddress
import math
import os
from argparse import ArgumentParser, ArgumentTypeError, BooleanOptionalAction, Namespace
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

from reward_model.data.prompting import require_prompts
from reward_model.errors import InputError
from reward_model.jsonl import one_line, shown
from reward_model.llm import ChatClient, Endpoint, Ledger, Price, default_ledger
from reward_model.rubric import DEFAULT_RUBRIC, Rubric, load_rubric

DASHSCOPE_URL = "https://dashscope.aliyuncs.com/compatible-mode/v1"
OPENAI_URL = "https://api.openai.com/v1"
DEFAULT_WRITER = "qwen-plus"
DEFAULT_JUDGE = "qwen-max"
"""The models at DashScope where none is named; elsewhere they must be named."""
NEEDED = (
    "set DASHSCOPE_API_KEY (DashScope), or OPENAI_API_KEY with OPENAI_BASE_URL or --base-url (others), "
    "name a local server (--base-url http://127.0.0.1:8000/v1), or give --offline (no key, no network)"
)


@dataclass(frozen=True)
class CallSettings:
    """How models are called, whichever they are.

    Attributes:
        base_url: None for the environment's.
        ledger: None for one beside the output.
        budget: the most that may be spent in a run, in the currency of ``prices``; None for no cap.
        prices: model to its price a million tokens.
        max_in_flight: calls at the same time.
        timeout: of one call, in seconds.
        thinking: sent as ``enable_thinking``; None sends False to DashScope and nothing elsewhere.
        dry_run: quote, and call nothing.
        replay: answer from the ledger only.
        retry_failures: ask again what failed for good before.
        offline: the embedded writer and judge instead of models.
        prompts: a folder of the user's own prompts.
        seed: of everything drawn at random.
        rubric: name or file.
    """

    base_url: str | None = None
    ledger: Path | None = None
    budget: float | None = None
    prices: Mapping[str, Price] = field(default_factory=dict)
    max_in_flight: int = 64
    timeout: float = 300.0
    thinking: bool | None = None
    dry_run: bool = False
    replay: bool = False
    retry_failures: bool = False
    offline: bool = False
    prompts: Path | None = None
    seed: int = 0
    rubric: str = DEFAULT_RUBRIC

    def load_rubric(self) -> Rubric:
        """The rubric that ``rubric`` names."""
        return load_rubric(self.rubric)

    @property
    def needs_key(self) -> bool:
        """Whether a call may go out."""
        return not (self.dry_run or self.replay or self.offline)


def add_endpoint_flags(parser: ArgumentParser, *, writer: bool = False, judge: bool = False) -> None:
    """Add the shared flags to ``parser``: ``--model`` to commands that write, ``--judge-model`` to judges."""
    models = parser.add_argument_group("模型与端点 (models and endpoints)")
    if writer:
        models.add_argument(
            "--model",
            nargs="+",
            action="extend",
            metavar="NAME[=WEIGHT]",
            help=f"写作模型，可多个；=WEIGHT 为抽取权重（DashScope 默认 {DEFAULT_WRITER}）",
        )
    if judge:
        models.add_argument(
            "--judge-model",
            nargs="+",
            action="extend",
            metavar="NAME",
            help=f"裁判模型，可多个（DashScope 默认 {DEFAULT_JUDGE}）",
        )
    models.add_argument(
        "--base-url",
        metavar="U",
        help="OpenAI 兼容端点，如 http://127.0.0.1:8000/v1；默认取 OPENAI_BASE_URL，"
        "其次（有 DASHSCOPE_API_KEY 时）为 DashScope。密钥只从环境变量读取",
    )
    models.add_argument(
        "--thinking",
        action=BooleanOptionalAction,
        default=None,
        help="显式发送 enable_thinking（DashScope 默认关闭，其他端点默认不发送）",
    )
    models.add_argument(
        "--max-in-flight", type=_count, default=64, metavar="N", help="同时进行的请求数（默认 64）"
    )
    models.add_argument(
        "--timeout", type=_seconds, default=300.0, metavar="S", help="单次请求的时限，秒（默认 300）"
    )
    money = parser.add_argument_group("费用与账本 (spend and ledger)")
    money.add_argument(
        "--ledger", metavar="F", help="账本（SQLite），每次应答先入账；默认在输出旁（*.ledger.sqlite）"
    )
    money.add_argument("--budget", type=_amount, metavar="X", help="费用上限；到达即停，再次运行可接着做")
    money.add_argument(
        "--price",
        nargs="+",
        action="extend",
        type=_price,
        default=[],
        metavar="NAME=IN,OUT",
        help="模型每百万 token 的输入、输出价格",
    )
    money.add_argument("--dry-run", action="store_true", help="只报价（调用数、token、费用），不发请求")
    money.add_argument(
        "--retry-failures", action="store_true", help="重新请求此前失败（被拒、被过滤、不可用）的条目"
    )
    money.add_argument("--replay", action="store_true", help="只用账本中已有的应答，不联网")
    common = parser.add_argument_group("其他 (other)")
    common.add_argument("--offline", action="store_true", help="用内置的写作者与裁判，无需密钥与网络")
    common.add_argument("--prompts", metavar="DIR", help="自己的提示词目录；同名 .j2 文件替换内置的")
    common.add_argument("--seed", type=int, default=0, metavar="N", help="随机种子（默认 0）")
    common.add_argument(
        "--rubric", default=DEFAULT_RUBRIC, metavar="R", help="评分标准：名称或 YAML 文件（默认 %(default)s）"
    )


def call_settings(options: Namespace) -> CallSettings:
    """The settings that the flags of :func:`add_endpoint_flags` gave.

    Raises:
        InputError: if they contradict each other or name what isn't there.
    """
    if options.replay and options.offline:
        raise InputError("--replay answers from a ledger, --offline uses none; give one of them")
    return CallSettings(
        base_url=options.base_url,
        ledger=None if options.ledger is None else Path(options.ledger),
        budget=options.budget,
        prices=dict(options.price),
        max_in_flight=options.max_in_flight,
        timeout=options.timeout,
        thinking=options.thinking,
        dry_run=options.dry_run,
        replay=options.replay,
        retry_failures=options.retry_failures,
        offline=options.offline,
        prompts=require_prompts(options.prompts),
        seed=options.seed,
        rubric=options.rubric,
    )


def endpoints(
    models: Sequence[str | Mapping[str, Any]] | str | None,
    settings: CallSettings,
    *,
    default: str = DEFAULT_WRITER,
    flag: str = "--model",
) -> list[Endpoint]:
    """Where the named models are asked.

    Args:
        models: names ("qwen-plus", "qwen-plus=2" with a weight) or configurations as in the guide's script:
            ``{"model": ..., "weight": 1, "base_url": ..., "enable_thinking": ..., "price": [in, out],
            "extra": {...}}``; None or none for ``default``, which only DashScope is known to have.
        settings: of the run; a configuration's own values win over them.
        default: the model where none is named.
        flag: names the models' flag in errors.

    Raises:
        InputError: if nothing says where or with which key to ask, or a name or price is missing.
    """
    configs = [_config(model, flag) for model in ([models] if isinstance(models, str) else models or ())]
    if not configs:
        url = _base_url(settings.base_url, settings)
        if not _is_dashscope(url):
            raise InputError(f"{flag}: name the model(s) that {_host(url)} serves")
        configs = [{"model": default}]
    found = [_endpoint(config, settings, flag) for config in configs]
    names = [endpoint.model for endpoint in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"{flag}: {shown(twice)} is named twice; name each model once, with a weight")
    if settings.budget is not None:
        unpriced = [endpoint.model for endpoint in found if endpoint.price is None]
        if unpriced:
            raise InputError(f"--budget needs the price of {', '.join(unpriced)}; give --price NAME=IN,OUT")
    return found


@asynccontextmanager
async def open_client(
    found: Iterable[Endpoint],
    settings: CallSettings,
    *,
    beside: str | Path,
    notify: Callable[[str], None] | None = None,
) -> AsyncIterator[tuple[ChatClient, Ledger]]:
    """A client for ``found`` over the settings' ledger, by default in the folder of the output ``beside``."""
    path = ledger_path(settings, beside)
    if settings.replay and not path.exists():
        raise InputError(f"{one_line(str(path))}: no such ledger to replay; check --ledger")
    with ExitStack() as stack:
        if settings.dry_run and not path.exists():
            # A quote leaves nothing behind.
            path = Path(stack.enter_context(TemporaryDirectory())) / path.name
        ledger = stack.enter_context(Ledger(path))
        async with ChatClient(
            list(found),
            ledger,
            budget=settings.budget,
            max_in_flight=settings.max_in_flight,
            timeout=settings.timeout,
            replay=settings.replay,
            retry_failures=settings.retry_failures,
            notify=notify,
        ) as client:
            yield client, ledger


def ledger_path(settings: CallSettings, beside: str | Path) -> Path:
    """The run's ledger."""
    return settings.ledger or default_ledger(beside)


def _config(model: str | Mapping[str, Any], flag: str) -> dict[str, Any]:
    if isinstance(model, str):
        # "=" and not ":", which stands in names such as qwen2.5:7b.
        name, _, weight = model.rpartition("=") if "=" in model else (model, "", "1")
        return {"model": name, "weight": weight}
    known = {"model", "weight", "base_url", "enable_thinking", "price", "extra"}
    unknown = sorted(set(model) - known)
    if unknown:
        hint = "; keys come from DASHSCOPE_API_KEY or OPENAI_API_KEY" if "api_key" in unknown else ""
        raise InputError(
            f"model_configs: unknown {', '.join(map(str, unknown))}; known are {sorted(known)}{hint}"
        )
    if "model" not in model:
        raise InputError('model_configs: "model" is missing; add the name')
    return dict(model)


def _endpoint(config: Mapping[str, Any], settings: CallSettings, flag: str) -> Endpoint:
    name = config["model"]
    if not isinstance(name, str) or not name.strip():
        raise InputError(f"{flag}: a model's name is empty; correct it")
    try:
        weight = float(config.get("weight", 1))
    except (TypeError, ValueError):
        weight = math.nan
    if not (weight > 0 and math.isfinite(weight)):
        raise InputError(f"{flag}: the weight of {shown(name)} must be a number over 0; write NAME=WEIGHT")
    url = _base_url(config.get("base_url") or settings.base_url, settings)
    price = config.get("price")
    if price is not None and not isinstance(price, Price):
        price = _price(f"{name}={','.join(map(str, price))}")[1]
    thinking = config.get("enable_thinking", settings.thinking)
    if thinking is None and _is_dashscope(url):
        # On by default in several models there, which multiplies the bill.
        thinking = False
    return Endpoint(
        model=name,
        base_url=url,
        api_key=_key(url, settings),
        weight=weight,
        enable_thinking=thinking,
        price=price or settings.prices.get(name),
        extra=dict(config.get("extra") or {}),
    )


def _base_url(given: str | None, settings: CallSettings) -> str:
    url = given or os.environ.get("OPENAI_BASE_URL")
    if not url:
        if os.environ.get("DASHSCOPE_API_KEY") or not settings.needs_key:
            return DASHSCOPE_URL
        if os.environ.get("OPENAI_API_KEY"):
            return OPENAI_URL
        raise InputError(f"no endpoint and no key: {NEEDED}")
    parts = urlsplit(url)
    source = "--base-url" if given else "OPENAI_BASE_URL"
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise InputError(
            f"{source}: {shown(url.split('@')[-1], 80)} is no http(s) URL; write http://HOST:PORT/v1"
        )
    if parts.username or parts.password:
        raise InputError(f"{source}: holds a name or password; remove it, keys come from the environment")
    return url.rstrip("/")


def _key(url: str, settings: CallSettings) -> str | None:
    dashscope, other = os.environ.get("DASHSCOPE_API_KEY"), os.environ.get("OPENAI_API_KEY")
    if _is_dashscope(url):
        key = dashscope or other
    elif _is_local(url):
        # Perhaps a proxy before DashScope; else a server that asks for none.
        return other or dashscope or None
    else:
        # A DashScope key stays out of strangers' logs.
        key = other
    if not key and settings.needs_key:
        wanted = "DASHSCOPE_API_KEY" if _is_dashscope(url) else "OPENAI_API_KEY"
        raise InputError(f"{_host(url)} needs a key, and {wanted} is not set: {NEEDED}")
    return key or None


def _host(url: str) -> str:
    return one_line(urlsplit(url).netloc, 100)


def _is_dashscope(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host == "aliyuncs.com" or host.endswith(".aliyuncs.com")


def _is_local(url: str) -> bool:
    """Whether the host is this machine or stands in a private network, where servers often need no key."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return "." not in host or host.endswith((".local", ".internal", ".lan", ".localhost"))


def _price(text: str) -> tuple[str, Price]:
    name, _, amounts = text.rpartition("=")
    try:
        values = [float(amount) for amount in amounts.split(",")]
    except ValueError:
        values = []
    if not name or len(values) != 2 or not all(value >= 0 and math.isfinite(value) for value in values):
        raise InputError(f"--price: {shown(text)} is no price; write NAME=IN,OUT (a million tokens)")
    return name, Price(*values)


def _amount(text: str) -> float:
    return _positive(text, "an amount over 0")


def _seconds(text: str) -> float:
    return _positive(text, "a number of seconds over 0")


def _positive(text: str, what: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (value > 0 and math.isfinite(value)):
        raise ArgumentTypeError(f"{shown(text)} must be {what}")
    return value


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{shown(text)} must be a whole number over 0")
    return int(text)
