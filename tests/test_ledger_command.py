"""``finrm ledger``: the figures are those that the server counted, in the terminal, as JSON and raw."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from chat_server import serving
from llm_calls import SCHEMA, Verdict, ask_all, endpoint, request, requests, rows
from rich.cells import cell_len

from reward_model.cli import main
from reward_model.llm import ChatClient, Ledger, Price, pacing, sending

CONFIG = {
    "faults": {"500": 0.1, "429": 0.05, "truncated": 0.1, "schema": 0.1, "hang": 0.03},
    "poison": {"content_filter": 0.1, "refusal": 0.05},
    "schema": SCHEMA,
}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "_BACKOFF", 0.01)
    monkeypatch.setattr(pacing, "START_RATE", 200.0)


@pytest.fixture
def run(tmp_path: Path, quick: None) -> tuple[Path, dict[str, Any], list[Any]]:
    """A ledger after a run with faults, what the server counted, the answers."""
    path = tmp_path / "pairs.ledger.sqlite"

    async def work() -> tuple[dict[str, Any], list[Any]]:
        async with serving(**CONFIG) as server:
            with Ledger(path) as ledger:
                several = [endpoint(server.base_url, price=Price(2.0, 8.0))]
                async with ChatClient(several, ledger, timeout=0.5) as client:
                    gold = await ask_all(client, requests(50, purpose="gold", max_tokens=500))
                    asked = [request(f"评{n}", purpose="judge", schema=SCHEMA) for n in range(50)]
                    judged = await ask_all(client, asked, read=Verdict.model_validate_json)
            return server.stats(), [*gold, *judged]

    return path, *asyncio.run(work())


def test_figures_are_what_the_server_counted(
    run: tuple[Path, dict[str, Any], list[Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, stats, answers = run
    assert main(["ledger", str(path), "--json", str(tmp_path / "f.json"), "--failures"]) == 0
    printed = capsys.readouterr().out
    found = json.loads((tmp_path / "f.json").read_text("utf-8"))
    totals = found["totals"]
    assert totals["calls"] == stats["requests"]
    # Failed attempts' tokens are counted too: they are on the bill.
    for name in ("prompt_tokens", "completion_tokens"):
        assert totals[name] == stats["tokens"][name]
    assert totals["unused_tokens"] > 0
    bill = Price(2.0, 8.0).of(stats["tokens"]["prompt_tokens"], stats["tokens"]["completion_tokens"])
    assert totals["cost"] == pytest.approx(bill)
    assert totals["perhaps_billed"] == stats["faults"].get("hang", 0)
    assert found["requests"] == 100
    good = sum(answer.failure is None for answer in answers)
    assert found["answered"] == good
    assert len(found["unanswered"]) == 100 - good
    by_class: dict[str, int] = {}
    for row in found["failures"]:
        by_class[row["class"]] = by_class.get(row["class"], 0) + row["count"]
    faults = stats["faults"]
    assert by_class.get("server_error", 0) == faults.get("500", 0)
    assert by_class.get("rate_limit", 0) == faults.get("429", 0)
    assert by_class.get("truncated", 0) == faults.get("truncated", 0)
    assert by_class.get("content_filter", 0) == faults.get("content_filter", 0)
    assert sum(by_class.values()) + totals["used"] == totals["calls"]
    assert {(row["purpose"], row["model"]) for row in found["by_purpose"]} == {
        ("gold", "qwen-max"),
        ("judge", "qwen-max"),
    }
    assert sum(row["calls"] for row in found["by_purpose"]) == totals["calls"]
    for text in ("gold", "judge", "内容过滤 content_filter", f"{totals['calls']:,}", "json_schema"):
        assert text in printed
    assert max(map(cell_len, printed.splitlines())) <= 80


def test_every_raw_attempt_can_be_taken_out(
    run: tuple[Path, dict[str, Any], list[Any]], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path, stats, _ = run
    out = tmp_path / "raw.jsonl"
    assert main(["ledger", str(path), "--export", str(out)]) == 0
    capfd.readouterr()
    lines = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    assert len(lines) == stats["requests"]
    for line in lines:
        assert json.loads(line["request"])["model"] == "qwen-max"
        if line["class"] == "ok":
            assert json.loads(line["response"])["choices"][0]["message"]["content"] == line["text"]
    repaired = next(line for line in lines if line["verdict"] == "schema")
    assert main(["ledger", str(path), "--show", repaired["key"][:12]]) == 0
    shown = json.loads(capfd.readouterr().out)
    assert len(shown["attempts"]) >= 2
    assert main(["ledger", str(path), "--export", "-"]) == 0
    assert [json.loads(line) for line in capfd.readouterr().out.splitlines()] == lines
    for wrong in ("zz", "0000000000000000000000", "abc"):
        assert main(["ledger", str(path), "--show", wrong]) == 2
        assert len(capfd.readouterr().err.splitlines()) == 1


def test_which_ledger(
    run: tuple[Path, dict[str, Any], list[Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path, _, _ = run
    monkeypatch.chdir(tmp_path)
    assert main(["ledger"]) == 0
    assert path.name in capsys.readouterr().out
    Ledger(tmp_path / "b.ledger.sqlite").close()
    assert main(["ledger"]) == 2
    assert "b.ledger.sqlite" in capsys.readouterr().err
    usual = tmp_path / "reward_model" / "data" / "comparison_pairs.ledger.sqlite"
    Ledger(usual).close()
    assert main(["ledger"]) == 0
    assert "没有调用" in capsys.readouterr().out


def test_bad_files_and_arguments_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    monstrous = tmp_path / "x.ledger.sqlite"
    monstrous.write_bytes(b"no database")
    (tmp_path / "other.sqlite").touch()
    with closing(sqlite3.connect(tmp_path / "other.sqlite")) as connection:
        connection.execute("CREATE TABLE t (x)")
    for given in (
        [str(monstrous)],
        [str(tmp_path / "none")],
        [str(tmp_path)],
        [str(tmp_path / "other.sqlite")],
        ["--nope"],
    ):
        assert main(["ledger", *given]) == 2
        told = capsys.readouterr()
        assert told.out == ""
        assert len(told.err.splitlines()) == 1
    assert monstrous.read_bytes() == b"no database"
    Ledger(tmp_path / "y.sqlite").close()
    assert main(["ledger", str(tmp_path / "y.sqlite"), "--json", str(tmp_path / "y.sqlite")]) == 2
    assert "same file" in capsys.readouterr().err


def test_hostile_names_reach_no_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def work() -> None:
        async with serving() as server:
            with Ledger(tmp_path / "x.sqlite") as ledger:
                several = [endpoint(server.base_url, "m\x1b[2J[red]x")]
                async with ChatClient(several, ledger) as client:
                    await client.complete(request(purpose="p\x1b]0;title\x07[bold]"))

    asyncio.run(work())
    assert main(["ledger", str(tmp_path / "x.sqlite")]) == 0
    printed = capsys.readouterr().out
    assert "\x1b[2J" not in printed
    assert "\x1b]0" not in printed
    assert "[red]" in printed


def test_it_needs_neither_aiohttp_nor_torch(tmp_path: Path) -> None:
    Ledger(tmp_path / "x.sqlite").close()
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['aiohttp', 'torch', 'filelock', 'json_repair']));"
        f"from reward_model.cli import main; sys.exit(main(['ledger', {str(tmp_path / 'x.sqlite')!r}]))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert rows(tmp_path / "x.sqlite") == []


def test_a_ledger_can_be_read_while_it_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.sqlite"

    async def work() -> None:
        async with serving(latency=0.3) as server:
            with Ledger(path) as ledger:
                async with ChatClient([endpoint(server.base_url)], ledger) as client:
                    asked = asyncio.ensure_future(client.complete(request()))
                    await asyncio.sleep(0.2)
                    assert main(["ledger", str(path)]) == 0
                    await asked

    asyncio.run(work())
    assert "进行中 1" in capsys.readouterr().out
