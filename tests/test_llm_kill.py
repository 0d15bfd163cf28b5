"""SIGKILL at random moments of a run: no answer that was paid for is lost, at most those in flight repeat."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from chat_server import ServerProcess

IN_FLIGHT = 16
WORK = """
import asyncio, json, sys
from reward_model.llm import AnswerError, ChatClient, ChatRequest, Endpoint, Ledger

url, ledger_path, out, count = sys.argv[1:4] + [int(sys.argv[4])]

def read(text):
    # Some are no use, by what they say: repairs must come out the same too.
    if text[2] in "012":
        raise AnswerError("换一种写法")
    return text

async def item(client, number):
    message = {"role": "user", "content": f"写第{number}份"}
    first = await client.complete(ChatRequest((message,), purpose="gold"))
    second = ChatRequest(({"role": "user", "content": f"改：{first.text}"},), purpose="degraded")
    answer = await client.complete(second, read=read)
    return [number, first.text, first.failure and first.failure.kind, answer.text,
            answer.failure and answer.failure.kind]

async def main():
    with Ledger(ledger_path) as ledger:
        several = [Endpoint("qwen-max", url, "k")]
        async with ChatClient(several, ledger, max_in_flight=16, timeout=20) as client:
            return await asyncio.gather(*(item(client, number) for number in range(count)))

found = asyncio.run(main())
with open(out, "w", encoding="utf-8") as stream:
    json.dump(found, stream, ensure_ascii=False)
"""


def start(server: ServerProcess, folder: Path, name: str, count: int) -> subprocess.Popen[bytes]:
    files = [str(folder / f"{name}.sqlite"), str(folder / f"{name}.json")]
    return subprocess.Popen([sys.executable, "-c", WORK, server.base_url, *files, str(count)])


def killed_run(tmp_path: Path, count: int, kills: int, seed: int) -> tuple[int, int, dict[str, Any]]:
    """Kills that hit, answers repeated beyond what each kill allows, the server's figures."""
    rng, hit = random.Random(seed), 0
    config = {"latency": 0.05, "jitter": 0.05, "faults": {"500": 0.03, "reset": 0.02}}
    with ServerProcess(**config) as server:
        assert start(server, tmp_path, "whole", count).wait(120) == 0
        whole = server.stats()
        server.change(reset=True)
        for _ in range(kills):
            process = start(server, tmp_path, "killed", count)
            before = server.stats()["requests"]
            deadline = time.monotonic() + 30
            while (
                process.poll() is None
                and server.stats()["requests"] == before
                and time.monotonic() < deadline
            ):
                time.sleep(0.01)
            time.sleep(rng.uniform(0, 0.6))
            hit += process.poll() is None
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert start(server, tmp_path, "killed", count).wait(120) == 0
        stats = server.stats()
    results = [json.loads((tmp_path / f"{name}.json").read_text("utf-8")) for name in ("whole", "killed")]
    assert results[0] == results[1]
    assert stats["answers"] == whole["answers"]
    assert stats["paid_bodies"] == whole["paid_bodies"] == whole["paid"]
    return hit, stats["repeated"], stats


def test_killed_and_started_again(tmp_path: Path) -> None:
    hit, repeated, _ = killed_run(tmp_path, count=60, kills=4, seed=0)
    assert hit >= 2
    assert repeated <= hit * IN_FLIGHT


@pytest.mark.slow
def test_killed_many_times(tmp_path: Path) -> None:
    hit, repeated, stats = killed_run(tmp_path, count=400, kills=25, seed=1)
    assert hit >= 15
    assert repeated <= hit * IN_FLIGHT
    assert repeated < stats["paid_bodies"]
