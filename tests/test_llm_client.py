"""The client against a server that misbehaves: each item ends well or with a named failure, paid once."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from chat_server import serving
from llm_calls import SCHEMA, Verdict, ask_all, endpoint, kinds, request, requests, rows, run_against

from reward_model.errors import InputError
from reward_model.llm import (
    Answer,
    AnswerError,
    BudgetError,
    ChatClient,
    ChatRequest,
    EndpointError,
    Ledger,
    Price,
    pacing,
    sending,
)

FAULTS = {
    "429": 0.04,
    "500": 0.05,
    "503": 0.03,
    "html_502": 0.02,
    "hang": 0.01,
    "reset": 0.02,
    "reset_body": 0.02,
    "cut_body": 0.02,
    "not_json": 0.02,
    "truncated": 0.04,
    "schema": 0.04,
    "empty": 0.02,
    "fenced": 0.05,
}
POISON = {"content_filter": 0.04, "refusal": 0.03, "filtered": 0.02, "400": 0.02}
ENDS = {
    "content_filter": "content_filter",
    "filtered": "content_filter",
    "refusal": "refusal",
    "400": "client_error",
}


@pytest.fixture
def slow_start() -> None:
    """For tests of how a run begins."""


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Waits between attempts a tenth as long; and a quick start, where it isn't the start that is tested."""
    monkeypatch.setattr(sending, "_BACKOFF", sending._BACKOFF / 10)
    if "slow_start" not in request.fixturenames:
        monkeypatch.setattr(pacing, "START_RATE", 200.0)


def read_verdict(text: str) -> Verdict:
    return Verdict.model_validate_json(text)


def one(config: dict[str, Any], path: Path, asked: ChatRequest | None = None, **more: Any) -> tuple[Any, Any]:
    """The answer to one request, or the error; the server's figures."""
    call = {name: more.pop(name) for name in ("read", "repairs") if name in more}

    async def work(client: ChatClient) -> Any:
        try:
            return await client.complete(asked or request(), **call)
        except (EndpointError, BudgetError) as error:
            return error

    return run_against(config, path, work, **more)


def test_every_kind_of_fault_mixed(tmp_path: Path) -> None:
    path, lines = tmp_path / "x.sqlite", []
    config = {"latency": 0.01, "faults": FAULTS, "poison": POISON, "schema": SCHEMA}
    asked = requests(400, schema=SCHEMA)

    async def run() -> None:
        async with serving(**config) as server:
            for again in (False, True):
                with Ledger(path) as ledger:
                    several = [endpoint(server.base_url)]
                    async with ChatClient(several, ledger, timeout=1, notify=lines.append) as client:
                        found = await ask_all(client, asked, read=read_verdict)
                        assert client.counters == (400, 0, 0, 0)
                stats = server.stats()
                ends = Counter(answer.failure.kind if answer.failure else "ok" for answer in found)
                wanted: Counter[str] = Counter()
                for end, count in stats["ends"].items():
                    wanted[ENDS.get(end, "ok")] += count
                assert ends == wanted
                assert all((answer.value is None) == (answer.failure is not None) for answer in found)
                assert all(answer.failure is None or answer.failure.reason for answer in found)
                # Not one call more than the faults made necessary, and none the second time.
                assert stats["requests"] == stats["unavoidable"]
                assert all(answer.from_ledger == again for answer in found)

    asyncio.run(run())
    assert all("\n" not in line for line in lines)


@pytest.mark.parametrize(
    ("script", "kind", "calls"),
    [
        (["content_filter"], "content_filter", 1),
        (["filtered"], "content_filter", 1),
        (["refusal"], "refusal", 1),
        (["400"], "client_error", 1),
        (["truncated"] * 3, "truncated", 3),
        (["empty"] * 3, "empty", 3),
        (["schema"] * 3, "schema", 3),
        (["500"] * 6, "exhausted", 6),
        (["cut_body", "reset", "not_json", "html_200", "502", "503"], "exhausted", 6),
        (["hang"] * 3, "exhausted", 3),
    ],
)
def test_failures_have_names_and_limits(tmp_path: Path, script: list[str], kind: str, calls: int) -> None:
    asked = request(schema=SCHEMA)
    config = {"script": [*script, "ok"], "schema": SCHEMA}
    answer, stats = one(config, tmp_path / "x.sqlite", asked, read=read_verdict, timeout=0.3)
    assert answer.failure is not None
    assert answer.failure.kind == kind
    assert answer.failure.reason
    assert answer.value is None
    assert answer.attempts == stats["requests"] == calls == len(rows(tmp_path / "x.sqlite"))


def test_a_repair_tells_the_model_what_was_wrong(tmp_path: Path) -> None:
    seen: list[str] = []

    def read(text: str) -> str:
        seen.append(text)
        if len(seen) < 3:
            raise AnswerError(f"第{len(seen)}次：毛利率写错了\n请核对")
        return text

    config = {"keep": 10}

    async def work(client: ChatClient) -> Any:
        return await client.complete(request(), read=read)

    async def run() -> None:
        async with serving(**config) as server:
            with Ledger(tmp_path / "x.sqlite") as ledger:
                async with ChatClient([endpoint(server.base_url)], ledger) as client:
                    answer = await work(client)
            bodies = [kept["body"]["messages"] for kept in server.kept]
        assert answer.failure is None
        assert answer.value == seen[2]
        assert [len(messages) for messages in bodies] == [1, 3, 3]
        assert bodies[1][1] == {"role": "assistant", "content": seen[0]}
        assert "毛利率写错了" in bodies[1][2]["content"]
        assert bodies[2][1]["content"] == seen[1]
        assert "第 2 次" in bodies[2][2]["content"]

    asyncio.run(run())
    assert [row["verdict"] for row in rows(tmp_path / "x.sqlite")] == ["rejected", "rejected", None]
    assert len({row["item"] for row in rows(tmp_path / "x.sqlite")}) == 1


def test_the_same_bad_answer_twice_is_asked_for_a_third_time(tmp_path: Path) -> None:
    config = {"script": ["schema", "schema", "ok"], "schema": SCHEMA}
    answer, stats = one(config, tmp_path / "x.sqlite", request(schema=SCHEMA), read=read_verdict)
    assert isinstance(answer.value, Verdict)
    assert stats["requests"] == 3


def test_a_bug_in_read_is_no_failure_of_the_model(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        one({}, tmp_path / "x.sqlite", read=lambda text: 1 / 0)
    assert kinds(tmp_path / "x.sqlite") == ["ok"]


@pytest.mark.parametrize(
    ("always", "config", "word"),
    [
        ("401", {}, "API key"),
        ("403", {}, "API key"),
        ("404", {}, "model's name"),
        ("arrearage", {}, "top up"),
        ("quota", {}, "quota"),
        ("redirect", {}, "redirect"),
        (None, {"api_key": "another"}, "API key"),
        (None, {"models": ["other"]}, "model's name"),
    ],
)
def test_what_ends_a_run_ends_it_at_once(
    tmp_path: Path, slow_start: None, always: str | None, config: dict[str, Any], word: str
) -> None:
    async def work(client: ChatClient) -> Any:
        return await asyncio.gather(
            *(client.complete(asked) for asked in requests(100)), return_exceptions=True
        )

    found, stats = run_against({"always": always, **config}, tmp_path / "x.sqlite", work)
    assert all(isinstance(error, EndpointError) for error in found)
    assert found[0].exit_code == 3
    assert word in str(found[0])
    assert "\n" not in str(found[0])
    # Slow start: it isn't a hundred that are refused.
    assert stats["requests"] <= 5
    assert stats["followed"] == 0


def test_the_same_error_for_every_item_ends_the_run_and_is_asked_again_later(tmp_path: Path) -> None:
    path = tmp_path / "x.sqlite"

    async def run() -> None:
        async with serving(always="400") as server:
            with Ledger(path) as ledger:
                async with ChatClient([endpoint(server.base_url)], ledger) as client:
                    calls = [client.complete(asked) for asked in requests(200)]
                    found = await asyncio.gather(*calls, return_exceptions=True)
            refused = sum(isinstance(answer, EndpointError) for answer in found)
            assert refused > 150
            assert 20 <= server.requests <= 20 + 64
            assert kinds(path).count("refused_all") >= 20
            server.change({"always": None})
            with Ledger(path) as ledger:
                async with ChatClient([endpoint(server.base_url)], ledger) as client:
                    again = await ask_all(client, requests(200))
        # It was the settings: nothing is left refused for what it is.
        assert all(answer.failure is None for answer in again)

    asyncio.run(run())


def test_an_endpoint_that_only_fails_is_given_up_with_few_calls(tmp_path: Path, slow_start: None) -> None:
    lines: list[str] = []

    async def work(client: ChatClient) -> Any:
        return await asyncio.gather(
            *(client.complete(asked) for asked in requests(100)), return_exceptions=True
        )

    began = time.monotonic()
    found, stats = run_against(
        {"always": "500"}, tmp_path / "x.sqlite", work, patience=2, notify=lines.append
    )
    assert time.monotonic() - began < 15
    assert any(isinstance(answer, EndpointError) for answer in found)
    assert all(isinstance(answer, EndpointError) or answer.failure.kind == "exhausted" for answer in found)
    assert stats["requests"] < 60
    assert any("连续" in line for line in lines)


def test_nobody_there(tmp_path: Path) -> None:
    async def run() -> None:
        async with serving() as server:
            url = server.base_url
        with Ledger(tmp_path / "x.sqlite") as ledger:
            async with ChatClient([endpoint(url)], ledger, patience=1) as client:
                await ask_all(client, requests(30))

    with pytest.raises(EndpointError, match="cannot be reached"):
        asyncio.run(run())
    assert set(kinds(tmp_path / "x.sqlite")) == {"unreachable"}


def test_an_outage_loses_nothing(tmp_path: Path, slow_start: None) -> None:
    lines: list[str] = []

    async def run() -> list[Answer[Any]]:
        async with serving(latency=0.01) as server:
            with Ledger(tmp_path / "x.sqlite") as ledger:
                several = [endpoint(server.base_url)]
                async with ChatClient(several, ledger, notify=lines.append, patience=30) as client:
                    task = asyncio.ensure_future(ask_all(client, requests(60)))
                    await asyncio.sleep(1)
                    server.change({"always": "503"})
                    await asyncio.sleep(1.5)
                    server.change({"always": None})
                    return await task

    found = asyncio.run(run())
    assert all(answer.failure is None for answer in found)
    assert any("恢复" in line for line in lines)


@pytest.mark.parametrize("how", ["seconds", "ms", "date"])
def test_retry_after_is_kept(tmp_path: Path, how: str) -> None:
    async def run() -> None:
        async with serving(script=["429"], retry_after=how, log=True) as server:
            with Ledger(tmp_path / "x.sqlite") as ledger:
                async with ChatClient([endpoint(server.base_url)], ledger) as client:
                    answer = await client.complete(request())
            assert answer.failure is None
            first, second = server.events
            # A date has whole seconds.
            assert second[0] - first[1] >= (0.98 if how != "date" else 0.0)

    asyncio.run(run())
    assert kinds(tmp_path / "x.sqlite") == ["rate_limit", "ok"]


def test_a_rate_that_nobody_tells_is_learnt_and_remembered(tmp_path: Path, slow_start: None) -> None:
    async def run() -> list[dict[str, Any]]:
        found = []
        async with serving(latency=0.1, limits={"requests": 20, "window": "sliding"}) as server:
            for tag in "ab":
                server.change({"reset": True})
                with Ledger(tmp_path / "x.sqlite") as ledger:
                    async with ChatClient([endpoint(server.base_url)], ledger, max_in_flight=32) as client:
                        await ask_all(client, [request(f"{tag}{number}") for number in range(40)])
                found.append(server.stats())
        return found

    first, second = asyncio.run(run())
    assert first["rejected_429"] <= 10
    assert second["rejected_429"] <= 2


def test_what_an_endpoint_takes_is_found_once_and_remembered(tmp_path: Path) -> None:
    path, lines = tmp_path / "x.sqlite", []

    async def run() -> None:
        config = {"response_formats": ["text", "json_object"], "json_word": True, "schema": SCHEMA}
        async with serving(**config) as server:
            for tag, refused in (("甲", 1), ("乙", 1)):
                with Ledger(path) as ledger:
                    async with ChatClient([endpoint(server.base_url)], ledger, notify=lines.append) as client:
                        asked = [request(f"{tag}{number}", schema=SCHEMA) for number in range(30)]
                        found = await ask_all(client, asked, read=read_verdict)
                assert all(answer.failure is None for answer in found)
                assert server.stats()["statuses"].get("400", 0) == refused
            server.change({"response_formats": ["text"]})
            with Ledger(path) as ledger:
                async with ChatClient([endpoint(server.base_url)], ledger) as client:
                    assert (await client.complete(request("丙", schema=SCHEMA), read=read_verdict)).value
            assert server.stats()["statuses"]["400"] == 2

    asyncio.run(run())
    assert len(lines) == 1
    assert rows(path, "SELECT mode FROM endpoints") == [{"mode": "text"}]


def test_the_same_request_twice_is_paid_once(tmp_path: Path) -> None:
    async def work(client: ChatClient) -> Any:
        return await ask_all(
            client, [request(purpose="a"), request(purpose="b"), request(), request(sample=1)]
        )

    found, stats = run_against({"latency": 0.05}, tmp_path / "x.sqlite", work)
    assert stats["requests"] == 2
    assert len({answer.text for answer in found[:3]}) == 1
    assert sorted(answer.attempts for answer in found) == [0, 0, 1, 1]


def test_a_new_rubric_asks_only_the_judge(tmp_path: Path) -> None:
    async def work(client: ChatClient) -> None:
        for version in ("1", "2"):
            gold = await client.complete(request("写", purpose="gold"))
            await client.complete(request(f"评：{gold.text}", purpose="judge", version=version))

    _, stats = run_against({}, tmp_path / "x.sqlite", work)
    assert stats["requests"] == 3
    found = rows(tmp_path / "x.sqlite")
    assert [row["purpose"] for row in found] == ["gold", "judge", "judge"]


def test_replay_gives_the_same_bit_for_bit_without_network(tmp_path: Path) -> None:
    path = tmp_path / "x.sqlite"
    asked = requests(60, schema=SCHEMA)
    config = {
        "faults": {"schema": 0.2, "truncated": 0.2, "500": 0.2},
        "poison": {"refusal": 0.2},
        "schema": SCHEMA,
    }

    async def run() -> None:
        async with serving(**config) as server:
            with Ledger(path) as ledger:
                async with ChatClient([endpoint(server.base_url)], ledger) as client:
                    first = await ask_all(client, asked, read=read_verdict)
        # The server is gone.
        with Ledger(path, read_only=True) as ledger:
            async with ChatClient([endpoint(server.base_url, api_key=None)], ledger, replay=True) as client:
                again = await ask_all(client, asked, read=read_verdict)
                missing = await client.complete(request("没问过"))
        assert [(a.text, a.value, a.failure) for a in first] == [(a.text, a.value, a.failure) for a in again]
        assert all(answer.from_ledger for answer in again)
        assert missing.failure is not None
        assert missing.failure.kind == "missing"

    asyncio.run(run())


def test_failures_can_be_asked_again_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.sqlite"

    async def run() -> None:
        async with serving(scripts={"坏": ["refusal"], "乱": ["schema"] * 3}, schema=SCHEMA) as server:
            for retry, calls in ((False, 5), (False, 0), (True, 2), (True, 0)):
                before = server.requests
                with Ledger(path) as ledger:
                    several = [endpoint(server.base_url)]
                    async with ChatClient(several, ledger, retry_failures=retry) as client:
                        asked = [request(text, schema=SCHEMA) for text in ("好", "坏", "乱")]
                        found = await ask_all(client, asked, read=read_verdict)
                assert server.requests - before == calls
            assert all(answer.failure is None for answer in found)

    asyncio.run(run())


def test_budget_is_a_hard_cap_and_resumable(tmp_path: Path) -> None:
    path = tmp_path / "x.sqlite"
    asked = requests(60, max_tokens=300)
    model = {"price": Price(2.0, 8.0)}

    async def run() -> None:
        async with serving(latency=0.01, answer_chars=200) as server:
            with Ledger(path) as ledger:
                quote = ChatClient([endpoint(server.base_url, **model)], ledger).quote(asked)
                assert quote.known == 0
                assert quote.cost is not None
            budget = quote.cost / 3
            with Ledger(path) as ledger:
                several = [endpoint(server.base_url, **model)]
                async with ChatClient(several, ledger, budget=budget) as client:
                    found = await asyncio.gather(*map(client.complete, asked), return_exceptions=True)
            paid = server.stats()["tokens"]
            spent = Price(2.0, 8.0).of(paid["prompt_tokens"], paid["completion_tokens"])
            stopped = [error for error in found if isinstance(error, BaseException)]
            assert stopped
            assert all(isinstance(error, BudgetError) and error.exit_code == 2 for error in stopped)
            assert spent <= budget
            # What was reserved and not used is spent too: it isn't the worst case that counts in the end.
            assert spent > 0.7 * budget
            with Ledger(path, read_only=True) as ledger:
                assert ledger.spent() == pytest.approx(spent)
            with Ledger(path) as ledger:
                async with ChatClient(several, ledger, budget=quote.cost * 2) as client:
                    assert client.quote(asked).known == 60 - len(stopped)
                    await ask_all(client, asked)
            assert server.stats()["repeated"] == 0

    asyncio.run(run())


def test_a_budget_needs_prices_and_bounds(tmp_path: Path) -> None:
    with Ledger(tmp_path / "x.sqlite") as ledger, pytest.raises(InputError, match="price"):
        ChatClient([endpoint("http://h/v1")], ledger, budget=1)
    with pytest.raises(InputError, match="max_tokens"):
        one({}, tmp_path / "x.sqlite", budget=1, model={"price": Price(1, 1)})
    answer, stats = one(
        {}, tmp_path / "x.sqlite", request(max_tokens=10_000), budget=0.001, model={"price": Price(1, 1)}
    )
    assert isinstance(answer, BudgetError)
    assert stats["requests"] == 0


@pytest.mark.parametrize(
    ("several", "more"),
    [
        ([], {}),
        ([endpoint("http://h/v1"), endpoint("http://h/v1/", weight=2)], {}),
        ([endpoint("http://h/v1")], {"max_in_flight": 0}),
        ([endpoint("http://h/v1")], {"timeout": 0}),
    ],
)
def test_settings_that_make_no_sense(tmp_path: Path, several: list[Any], more: dict[str, Any]) -> None:
    with Ledger(tmp_path / "x.sqlite") as ledger, pytest.raises(InputError):
        ChatClient(several, ledger, **more)


def test_several_endpoints_share_by_weight(tmp_path: Path) -> None:
    async def run() -> None:
        async with serving() as server:
            several = [endpoint(server.base_url, "甲"), endpoint(server.base_url, "乙", weight=3)]
            with Ledger(tmp_path / "x.sqlite") as ledger:
                async with ChatClient(several, ledger, max_in_flight=3) as client:
                    found = await ask_all(client, requests(200))
                    assert (await client.complete(request(), model="甲")).model == "甲"
                    with pytest.raises(InputError, match="丙"):
                        await client.complete(request(), model="丙")
            assert server.peak <= 3
        assert 120 <= sum(answer.model == "乙" for answer in found) <= 175

    asyncio.run(run())


def test_an_interrupted_run_keeps_what_it_asked_for(tmp_path: Path, slow_start: None) -> None:
    lines: list[str] = []

    async def run() -> int:
        async with serving(latency=0.4) as server:
            with Ledger(tmp_path / "x.sqlite") as ledger:
                async with ChatClient([endpoint(server.base_url)], ledger, notify=lines.append) as client:
                    task = asyncio.ensure_future(ask_all(client, requests(50)))
                    await asyncio.sleep(0.6)
                    task.cancel()
                    with pytest.raises(asyncio.CancelledError):
                        await task
            return server.requests

    asked = asyncio.run(run())
    assert 0 < asked < 50
    assert kinds(tmp_path / "x.sqlite") == ["ok"] * asked
    assert any("等待" in line for line in lines)


def test_bodies_without_end_and_slow_ones_are_cut(tmp_path: Path) -> None:
    config = {"script": ["huge", "drip", "ok"], "drip_seconds": 60}
    answer, _ = one(config, tmp_path / "x.sqlite", timeout=1.5)
    assert answer.failure is None
    assert kinds(tmp_path / "x.sqlite") == ["oversized", "timeout", "ok"]


def test_what_is_sent_is_what_the_key_was_made_of(tmp_path: Path) -> None:
    import zlib

    async def run() -> None:
        async with serving(keep=1) as server:
            with Ledger(tmp_path / "x.sqlite") as ledger:
                several = [endpoint(server.base_url, enable_thinking=False)]
                async with ChatClient(several, ledger) as client:
                    await client.complete(request("问", temperature=0, seed=3))
            kept = server.kept[0]
        stored = rows(tmp_path / "x.sqlite", "SELECT body FROM requests")[0]["body"]
        assert json.loads(zlib.decompress(stored)) == kept["body"]
        assert kept["body"] == {
            "model": "qwen-max",
            "messages": [{"role": "user", "content": "问"}],
            "temperature": 0,
            "seed": 3,
            "enable_thinking": False,
        }

    asyncio.run(run())
