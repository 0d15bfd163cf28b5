"""The chat server of the tests does what it says: the llm room's tests and benchmarks stand on it."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from typing import Any

import aiohttp
import pytest
from chat_faults import Config, schedule
from chat_limits import Limits
from chat_server import ServerProcess, serving

SCHEMA = {
    "type": "object",
    "properties": {"reason": {"type": "string", "minLength": 5}, "depth": {"$ref": "#/$defs/level"}},
    "required": ["reason", "depth"],
    "$defs": {"level": {"type": "integer", "minimum": 0, "maximum": 4}},
}


def body(text: str = "写一份报告", **more: Any) -> dict[str, Any]:
    return {"model": "qwen-max", "messages": [{"role": "user", "content": text}], **more}


async def ask(session: aiohttp.ClientSession, url: str, given: dict[str, Any]) -> tuple[int, Any]:
    async with session.post(f"{url}/chat/completions", json=given, allow_redirects=False) as response:
        text = await response.text(errors="replace")
        return response.status, json.loads(text) if response.content_type == "application/json" else text


def in_loop(
    config: dict[str, Any], given: list[dict[str, Any]], timeout: float = 5
) -> tuple[list[Any], dict[str, Any]]:
    """The answers to ``given``, one after the other, exceptions included; the server's figures."""

    async def run() -> tuple[list[Any], dict[str, Any]]:
        found: list[Any] = []
        limit = aiohttp.ClientTimeout(total=timeout)
        async with serving(**config) as server, aiohttp.ClientSession(timeout=limit) as session:
            for one in given:
                try:
                    found.append(await ask(session, server.base_url, one))
                except (aiohttp.ClientError, TimeoutError) as error:
                    found.append(error)
            return found, server.stats()

    return asyncio.run(run())


def test_answers_depend_on_the_request_alone() -> None:
    first, _ = in_loop({}, [body("甲"), body("乙")])
    second, stats = in_loop({}, [body("乙"), body("甲"), body("甲")])
    assert first[0] == second[1] == second[2]
    assert first[1] == second[0]
    assert first[0] != first[1]
    assert (stats["paid"], stats["paid_bodies"], stats["repeated"]) == (3, 2, 1)


def test_answers_fit_the_schema_asked_for() -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}
    found, _ = in_loop({}, [body(str(n), response_format=wanted) for n in range(20)])
    values = [json.loads(answer["choices"][0]["message"]["content"]) for _, answer in found]
    assert all(0 <= value["depth"] <= 4 and len(value["reason"]) >= 5 for value in values)
    assert len({value["depth"] for value in values}) > 1


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("429", 429, "Throttling.RateQuota"),
        ("quota", 429, "insufficient_quota"),
        ("content_filter", 400, "data_inspection_failed"),
        ("401", 401, "invalid_api_key"),
        ("404", 404, "model_not_found"),
        ("500", 500, "internal_error"),
        ("503", 503, "ModelServingError"),
    ],
)
def test_errors(fault: str, status: int, code: str) -> None:
    found, stats = in_loop({"script": [fault]}, [body(), body()])
    assert found[0][0] == status
    assert found[0][1]["error"]["code"] == code
    assert found[1][0] == 200
    assert stats["faults"] == {fault: 1, "ok": 1}


def test_bad_answers() -> None:
    names = ["truncated", "schema", "empty", "refusal", "filtered", "fenced"]
    found, stats = in_loop({"script": list(names), "schema": SCHEMA}, [body()] * len(names))
    choices = [answer["choices"][0] for _, answer in found]
    contents = dict(zip(names, (choice["message"]["content"] for choice in choices), strict=True))
    assert choices[0]["finish_reason"] == "length"
    with pytest.raises(json.JSONDecodeError):
        json.loads(contents["truncated"])
    assert "depth" not in json.loads(contents["schema"])
    assert contents["empty"] == ""
    assert choices[3]["message"]["refusal"]
    assert choices[4]["finish_reason"] == "content_filter"
    assert contents["fenced"].count("```") == 2
    assert stats["paid"] == len(names)


def test_broken_transports() -> None:
    script = ["reset", "reset_body", "cut_body", "hang", "html_502", "html_200", "redirect"]
    found, stats = in_loop({"script": list(script)}, [body()] * (len(script) + 1), timeout=0.5)
    assert isinstance(found[0], aiohttp.ServerDisconnectedError | aiohttp.ClientOSError)
    assert isinstance(found[1], aiohttp.ClientPayloadError | aiohttp.ClientOSError)
    assert isinstance(found[2], aiohttp.ClientPayloadError)
    assert isinstance(found[3], TimeoutError)
    assert found[4][0] == 502
    assert found[5][0] == 200
    assert found[5][1].startswith("<html>")
    assert found[6][0] == 307
    assert found[7][0] == 200
    assert stats["paid"] == 1
    assert stats["followed"] == 0


def test_not_json_is_no_json() -> None:
    async def run() -> bytes:
        async with (
            serving(script=["not_json"]) as server,
            aiohttp.ClientSession() as session,
            session.post(f"{server.base_url}/chat/completions", json=body()) as response,
        ):
            return await response.read()

    with pytest.raises(ValueError):
        json.loads(asyncio.run(run()))


def test_huge_and_slow_bodies() -> None:
    config = {"script": ["huge", "drip"], "huge_bytes": 1 << 20, "drip_seconds": 0.3, "answer": "短"}

    async def run() -> tuple[int, float]:
        async with serving(**config) as server, aiohttp.ClientSession() as session:
            async with session.post(f"{server.base_url}/chat/completions", json=body()) as response:
                size = len(await response.read())
            began = time.monotonic()
            assert (await ask(session, server.base_url, body()))[0] == 200
            return size, time.monotonic() - began

    size, seconds = asyncio.run(run())
    assert size > 900_000
    assert seconds > 0.25


def test_requests_it_refuses() -> None:
    config = {"models": ["qwen-max"], "response_formats": ["text", "json_object"], "json_word": True}
    wanted = {"type": "json_object"}
    found, _ = in_loop(
        config,
        [
            body(model="qwen-min"),
            body(response_format={"type": "json_schema", "json_schema": {"schema": SCHEMA}}),
            body(response_format=wanted),
            body("答 JSON", response_format=wanted),
        ],
    )
    assert [status for status, _ in found] == [404, 400, 400, 200]
    assert in_loop({"api_key": "k"}, [body()])[0][0][0] == 401


def test_item_keeps_its_schedule_through_repairs() -> None:
    config = {"scripts": {"修": ["schema", "500"]}}
    first = body("修")
    repaired = body("修")
    repaired["messages"] = [
        *first["messages"],
        {"role": "assistant", "content": "x"},
        {"role": "user", "content": "改"},
    ]
    found, stats = in_loop(config, [first, repaired, repaired])
    assert [status for status, _ in found] == [200, 500, 200]
    assert stats["distinct_items"] == 1
    assert stats["distinct_bodies"] == 2


def test_schedules_are_seeded_and_end() -> None:
    config = Config(faults={"429": 0.3, "truncated": 0.6}, poison={"content_filter": 0.1}, max_faults=5)
    plans = [schedule(config, str(n)) for n in range(2000)]
    assert plans == [schedule(config, str(n)) for n in range(2000)]
    assert all(len(plan) <= 6 and plan.count("truncated") <= 2 for plan in plans)
    assert 120 < sum(plan[-1] == "content_filter" for plan in plans) < 280
    assert {plan[-1] for plan in plans} == {"ok", "content_filter"}
    firsts = [plan[0] for plan in plans]
    assert 480 < firsts.count("429") < 720
    other = Config(seed=1, faults=config.faults, poison=config.poison, max_faults=5)
    assert plans != [schedule(other, str(n)) for n in range(2000)]


@pytest.mark.parametrize("window", ["bucket", "sliding"])
def test_request_limit(window: str) -> None:
    limits = Limits(requests=10, window=window)
    through = [t / 100 for t in range(500) if limits.check(100 + t / 100, 1) is None]
    # A bucket one deep is full a little before the next of these steps: it lets fewer through.
    assert 44 <= len(through) <= 51
    if window == "bucket":
        assert min(b - a for a, b in itertools.pairwise(through)) >= 0.1 - 1e-9


def test_token_and_growth_limits() -> None:
    tokens = Limits(tokens=1000, tokens_per=1)
    assert [tokens.check(5.0, 400) is None for _ in range(3)] == [True, True, False]
    assert tokens.check(5.1, 400) == ("limit_tokens", pytest.approx(0.9))
    assert tokens.check(6.01, 400) is None
    growth = Limits(growth=2, growth_floor=5)
    passed = [
        sum(growth.check(second + n / 100, 1) is None for n in range(60)) for second in (10, 11, 12, 13)
    ]
    assert passed == [5, 10, 20, 40]


def test_limits_are_told_where_asked() -> None:
    async def run(**config: Any) -> Any:
        async with serving(limits={"requests": 2}, **config) as server, aiohttp.ClientSession() as session:
            for _ in range(2):
                async with session.post(f"{server.base_url}/chat/completions", json=body()) as response:
                    headers, status = response.headers, response.status
            return status, headers, server.stats()

    status, headers, stats = asyncio.run(run())
    assert status == 429
    assert "Retry-After" not in headers
    assert stats["limited"] == {"limit_requests": 1}
    # A refused request is no attempt.
    assert stats["paid"] == 1
    _, headers, _ = asyncio.run(run(retry_after="seconds", ratelimit_headers=True))
    assert headers["Retry-After"] == "1"
    assert headers["x-ratelimit-limit-requests"] == "120"


def test_unknown_settings_are_refused() -> None:
    for wrong in (
        {"latancy": 1},
        {"faults": {"501": 0.1}},
        {"faults": {"refusal": 0.1}},
        {"poison": {"500": 1}},
    ):
        with pytest.raises(ValueError):
            in_loop(wrong, [])


def test_process_of_its_own() -> None:
    async def run(url: str) -> None:
        async with aiohttp.ClientSession() as session:
            await asyncio.gather(*(ask(session, url, body(str(n))) for n in range(20)))

    with ServerProcess(latency=0.1, log=True, keep=5) as server:
        asyncio.run(run(server.base_url))
        stats = server.stats()
        assert stats["paid"] == 20
        assert stats["peak"] == 20
        assert stats["in_flight"] == 0
        assert len(server.log()) == 20
        assert all(end - begin >= 0.1 for begin, end, *_ in server.log())
        assert len(server.bodies()) == 5
        server.change(reset=True, always="503")
        asyncio.run(run(server.base_url))
        assert server.stats()["statuses"] == {"503": 20}
        process = server.process
    assert process.poll() is not None
