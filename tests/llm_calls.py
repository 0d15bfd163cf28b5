"""What the tests of the llm room share: requests, clients against a loopback server, rows of a ledger."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from chat_server import serving
from pydantic import BaseModel

from reward_model.llm import Answer, ChatClient, ChatRequest, Endpoint, Ledger

KEY = "sk-4f9d2c7b1e8a6035"
SCHEMA = {
    "type": "object",
    "properties": {"reason": {"type": "string"}, "depth": {"type": "integer", "minimum": 0, "maximum": 4}},
    "required": ["reason", "depth"],
    "additionalProperties": False,
}


class Verdict(BaseModel):
    """What SCHEMA describes."""

    reason: str
    depth: int


def request(text: str = "写一份报告", **more: Any) -> ChatRequest:
    return ChatRequest(messages=({"role": "user", "content": text},), **more)


def requests(count: int, **more: Any) -> list[ChatRequest]:
    return [request(f"写第{number}份报告", **more) for number in range(count)]


def endpoint(base_url: str, model: str = "qwen-max", **more: Any) -> Endpoint:
    return Endpoint(model, base_url, **{"api_key": KEY, **more})


async def ask_all(client: ChatClient, asked: Sequence[ChatRequest], **more: Any) -> list[Answer[Any]]:
    return await asyncio.gather(*(client.complete(one, **more) for one in asked))


def run_against(
    config: dict[str, Any],
    path: Path,
    work: Callable[[ChatClient], Awaitable[Any]],
    *,
    model: dict[str, Any] | None = None,
    **client: Any,
) -> tuple[Any, dict[str, Any]]:
    """What ``work`` gives with a client of a server of this ``config``; the server's figures."""

    async def run() -> tuple[Any, dict[str, Any]]:
        async with serving(**config) as server:
            with Ledger(path) as ledger:
                async with ChatClient([endpoint(server.base_url, **(model or {}))], ledger, **client) as made:
                    found = await work(made)
            return found, server.stats()

    return asyncio.run(run())


def rows(path: Path, query: str = "SELECT * FROM attempts ORDER BY id") -> list[dict[str, Any]]:
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(query)]


def kinds(path: Path) -> list[str]:
    return [row["kind"] for row in rows(path)]
