"""Runs of ours that the kill and fault benchmarks start: a result line for each item, a file at the end."""

from __future__ import annotations

import asyncio
import json
import os
import time
from pathlib import Path
from typing import Any

import _bench as bench
from _generation_client import MODEL
from _generation_items import Usage, prompt

LEVELS = 5
SCHEMA = {
    "type": "object",
    "properties": {
        "reason": {"type": "string", "minLength": 1},
        "depth": {"type": "integer", "minimum": 0, "maximum": LEVELS - 1},
    },
    "required": ["reason", "depth"],
    "additionalProperties": False,
}
"""What a judge would answer."""


def _read(text: str) -> dict[str, Any]:
    from reward_model.llm import AnswerError

    value = json.loads(text)
    if not isinstance(value, dict) or set(value) != {"reason", "depth"}:
        raise AnswerError("the answer needs exactly the fields reason and depth")
    if type(value["depth"]) is not int or not 0 <= value["depth"] < LEVELS or not value["reason"]:
        raise AnswerError(f"depth must be a whole number from 0 to {LEVELS - 1}, reason not empty")
    return value


async def run(job: dict[str, Any]) -> dict[str, Any]:
    """Ask ``n`` items; each is noted in ``done`` when it is, all in order in ``out`` at the end."""
    from reward_model.llm import ChatClient, ChatRequest, Endpoint, Ledger

    schema = SCHEMA if job["schema"] else None
    endpoint = Endpoint(model=MODEL, base_url=job["base_url"], api_key="none")
    results: dict[int, dict[str, Any]] = {}
    # Unbuffered: what is noted survives a kill.
    done = os.open(job["done"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    usage = Usage()
    with Ledger(job["ledger"]) as ledger:
        async with ChatClient(
            [endpoint], ledger, max_in_flight=job["in_flight"], timeout=job["timeout"]
        ) as client:
            waiting = iter(range(job["n"]))

            async def work() -> None:
                for index in waiting:
                    text = prompt(index, job["tag"], job["prompt_chars"])
                    request = ChatRequest(messages=({"role": "user", "content": text},), schema=schema)
                    answer = await client.complete(request, read=_read if schema else None)
                    os.write(done, f"{index} {time.time():.6f}\n".encode())
                    failure = answer.failure
                    results[index] = {
                        "index": index,
                        "text": answer.text if failure is None else None,
                        "value": answer.value,
                        "kind": failure and failure.kind,
                        "reason": failure and failure.reason,
                    }

            await asyncio.gather(*(work() for _ in range(job["in_flight"])))
    figures = usage.figures()
    target = Path(job["out"])
    lines = (json.dumps(results[index], ensure_ascii=False) + "\n" for index in sorted(results))
    target.with_suffix(".part").write_text("".join(lines), encoding="utf-8")
    target.with_suffix(".part").replace(target)
    return figures


if __name__ == "__main__":
    bench.give_result(asyncio.run(run(bench.read_job())))
