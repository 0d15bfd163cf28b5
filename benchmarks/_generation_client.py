"""One run of a plain client (bare aiohttp, the openai SDK) or of ours, in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import _bench as bench
from _generation_items import Usage, prompt

MODEL = "qwen-plus"
Ask = Callable[[str], Awaitable[bool]]
"""Asks one prompt; whether an answer came."""


@contextlib.asynccontextmanager
async def bare(job: dict[str, Any]) -> AsyncIterator[Ask]:
    """aiohttp and nothing else: no retry, no record."""
    import aiohttp

    url = job["base_url"] + "/chat/completions"
    connector = aiohttp.TCPConnector(limit=job["in_flight"])
    async with aiohttp.ClientSession(connector=connector) as session:

        async def ask(text: str) -> bool:
            body = {"model": MODEL, "messages": [{"role": "user", "content": text}]}
            async with session.post(url, json=body) as response:
                answer = json.loads(await response.read())
                return response.status == 200 and bool(answer["choices"][0]["message"]["content"])

        yield ask


@contextlib.asynccontextmanager
async def openai(job: dict[str, Any]) -> AsyncIterator[Ask]:
    """The SDK, with as many retries as the job says (0: none)."""
    import openai as library

    client = library.AsyncOpenAI(base_url=job["base_url"], api_key="none", max_retries=job["retries"])
    async with client:

        async def ask(text: str) -> bool:
            try:
                made = await client.chat.completions.create(
                    model=MODEL, messages=[{"role": "user", "content": text}]
                )
            except library.APIError:
                return False
            return bool(made.choices[0].message.content)

        yield ask


@contextlib.asynccontextmanager
async def ours(job: dict[str, Any]) -> AsyncIterator[Ask]:
    """``reward_model.llm`` as it comes: every attempt in a ledger, limits learnt."""
    from reward_model.llm import ChatClient, ChatRequest, Endpoint, Ledger

    endpoint = Endpoint(model=MODEL, base_url=job["base_url"], api_key="none")
    with Ledger(job["ledger"]) as ledger:
        async with ChatClient([endpoint], ledger, max_in_flight=job["in_flight"]) as client:

            async def ask(text: str) -> bool:
                request = ChatRequest(messages=({"role": "user", "content": text},), purpose="bench")
                return bool((await client.complete(request)).text)

            yield ask


SYSTEMS = {"bare": bare, "openai": openai, "ours": ours}


async def ask_all(ask: Ask, texts: Any, workers: int) -> int:
    """Ask everything with so many workers; how many answers came. Holds no more than what is in flight."""
    waiting = iter(texts)

    async def work() -> int:
        return sum([await ask(text) for text in waiting])

    return sum(await asyncio.gather(*(work() for _ in range(workers))))


async def measure(job: dict[str, Any]) -> dict[str, Any]:
    """Warm up, then run; both with prompts of their own."""
    chars = job["prompt_chars"]
    async with SYSTEMS[job["system"]](job) as ask:
        if job["warmup"]:
            warm = (prompt(index, job["tag"] + "-warm", chars) for index in range(job["warmup"]))
            await ask_all(ask, warm, job["in_flight"])
        bench.call(job["base_url"].removesuffix("/v1") + "/script", {"reset": True})
        usage = Usage()
        texts = (prompt(index, job["tag"], chars) for index in range(job["n"]))
        answered = await ask_all(ask, texts, job["in_flight"])
        figures = usage.figures()
    figures["closing_s"] = usage.figures()["seconds"] - figures["seconds"]
    ledger = Path(job["ledger"])
    figures["ledger_mb"] = sum(p.stat().st_size for p in ledger.parent.glob(ledger.name + "*")) / 2**20
    return {**figures, "answered": answered}


if __name__ == "__main__":
    given = bench.read_job()
    bench.give_result(asyncio.run(measure(given)))
