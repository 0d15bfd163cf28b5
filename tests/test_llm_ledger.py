"""The ledger as a file: what is refused, what survives, who may write."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from llm_calls import kinds, rows

from reward_model.errors import FinrmError, InputError, ResourceError
from reward_model.llm import Ledger, default_ledger
from reward_model.llm.outcome import Outcome

GOOD = b'{"choices": [{"message": {"content": "\xe5\xa5\xbd"}, "finish_reason": "stop"}]}'


def row(key: bytes = b"k", **more: Any) -> dict[str, Any]:
    given = {
        "key": key,
        "item": key,
        "endpoint": 1,
        "purpose": "gold",
        "version": "1",
        "sample": 0,
        "attempt": 1,
    }
    return {**given, "mode": None, "started": 1.0, "estimated": 9, "reserved": 0.5, **more}


def finished(ledger: Ledger, key: bytes, kind: str = "ok", cost: float | None = 0.25) -> None:
    async def run() -> None:
        number = ledger.begin(row(key), b"{}")
        outcome = Outcome(kind, "", 200, prompt_tokens=18, completion_tokens=3)
        await ledger.finish(number, outcome, GOOD if kind == "ok" else None, 0.1, cost)

    asyncio.run(run())


def test_default_place() -> None:
    assert default_ledger("data/comparison_pairs.jsonl") == Path("data/comparison_pairs.ledger.sqlite")


def test_an_answer_is_found_again_in_another_process(tmp_path: Path) -> None:
    path = tmp_path / "new" / "x.ledger.sqlite"
    with Ledger(path) as ledger:
        assert ledger.find(b"k") is None
        finished(ledger, b"k")
        found = ledger.find(b"k")
        assert found is not None
        assert (found.outcome.text, found.verdict) == ("好", None)
        ledger.judge(found.id, "schema")
    with Ledger(path, read_only=True) as ledger:
        again = ledger.find(b"k")
        assert again is not None
        assert again.verdict == "schema"
        # What was no use in an earlier run can be asked again.
        assert ledger.find(b"k", failures_from=again.id) is None
        assert ledger.find(b"other") is None


def test_spent_counts_the_worst_case_of_what_was_lost(tmp_path: Path) -> None:
    path = tmp_path / "x.sqlite"
    with Ledger(path) as ledger:
        finished(ledger, b"a")
        finished(ledger, b"b", "timeout", None)
        finished(ledger, b"c", "rate_limit", 0.0)
        ledger.begin(row(b"d"), b"{}")
    with Ledger(path) as ledger:
        assert kinds(path) == ["ok", "timeout", "rate_limit", "lost"]
        assert ledger.spent() == pytest.approx(0.25 + 0.5 + 0.5)
        assert ledger.tries(b"d") == 1


def test_limits_and_formats_are_remembered_for_a_week(tmp_path: Path) -> None:
    path = tmp_path / "x.sqlite"
    with Ledger(path) as ledger:
        number, mode, limits = ledger.endpoint("https://h/v1", "m")
        assert (mode, limits) == (None, {})
        assert ledger.endpoint("https://h/v1", "n")[0] != number
        ledger.remember(number, mode="text", limits={"requests_per_second": 9.5})
    with Ledger(path) as ledger:
        assert ledger.endpoint("https://h/v1", "m") == (number, "text", {"requests_per_second": 9.5})
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE endpoints SET learnt_at = learnt_at - 8 * 86400")
    with Ledger(path) as ledger:
        assert ledger.endpoint("https://h/v1", "m") == (number, "text", {})


def test_token_estimates_are_corrected_by_what_was_counted(tmp_path: Path) -> None:
    with Ledger(tmp_path / "x.sqlite") as ledger:
        for number in range(4):
            finished(ledger, bytes([number]))
        assert ledger.token_ratio(1) is None
        finished(ledger, b"\x09")
        assert ledger.token_ratio(1) == pytest.approx(2.0)


def corrupt(path: Path) -> None:
    with Ledger(path) as ledger:
        for number in range(200):
            finished(ledger, bytes([number]))
    data = bytearray(path.read_bytes())
    for place in range(4096, len(data)):
        data[place] = (data[place] * 7 + 13) % 256
    path.write_bytes(data)


def foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE notes (text)")


def newer(path: Path) -> None:
    Ledger(path).close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA user_version = 99")


def no_tables(path: Path) -> None:
    Ledger(path).close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DROP TABLE attempts")


MAKERS = {
    "corrupt": corrupt,
    "foreign": foreign,
    "newer": newer,
    "no tables": no_tables,
    "text": lambda path: path.write_text('{"not": "a database"}' * 10, encoding="utf-8"),
    "folder": lambda path: path.mkdir(),
    "cut": lambda path: path.write_bytes(b"SQLite format 3\0" + b"\xff" * 50),
}


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize("what", MAKERS)
def test_what_is_no_ledger_is_refused_in_one_line(tmp_path: Path, what: str, read_only: bool) -> None:
    path = tmp_path / "x.ledger.sqlite"
    MAKERS[what](path)
    before = path.read_bytes() if path.is_file() else b""
    with pytest.raises(FinrmError) as caught, Ledger(path, read_only=read_only) as ledger:
        ledger.rows("SELECT SUM(LENGTH(body)) FROM attempts")
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    if path.is_file() and what != "corrupt":
        assert path.read_bytes() == before
    # The lock is not kept by one that failed.
    with pytest.raises(FinrmError, match=r"^(?!.*another run)"), Ledger(path, read_only=read_only) as ledger:
        ledger.rows("SELECT SUM(LENGTH(body)) FROM attempts")


def test_reading_needs_a_ledger_and_no_right_to_write(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such ledger"):
        Ledger(tmp_path / "none.sqlite", read_only=True)
    assert not (tmp_path / "none.sqlite").exists()
    path = tmp_path / "x.sqlite"
    with Ledger(path) as ledger:
        finished(ledger, b"k")
    for beside in tmp_path.glob("x.sqlite-*"):
        beside.unlink()
    with Ledger(path, read_only=True) as ledger:
        assert ledger.find(b"k") is not None
        with pytest.raises(InputError, match="opened to read"):
            ledger.begin(row(), b"{}")


HOLDER = """
import sys
from reward_model.llm import Ledger
with Ledger(sys.argv[1]) as ledger:
    print("open", flush=True)
    sys.stdin.read()
"""


def test_one_writer_at_a_time_and_any_number_of_readers(tmp_path: Path) -> None:
    path = tmp_path / "x.sqlite"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(InputError, match="another run is writing"):
            Ledger(path)
        with Ledger(path, read_only=True) as reader:
            assert reader.last_id == 0
        # Killed, it holds nothing back.
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        Ledger(path).close()
    finally:
        holder.kill()
        holder.communicate()


FULL = """
import asyncio, resource, signal, sys
from reward_model.errors import FinrmError
from reward_model.llm import Ledger
from reward_model.llm.outcome import Outcome
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
async def run(ledger):
    row = {"endpoint": 1, "purpose": "", "version": "", "sample": 0, "attempt": 1, "mode": None,
           "started": 1.0, "estimated": 1, "reserved": None}
    for number in range(1000):
        key = number.to_bytes(8, "big")
        one = ledger.begin({**row, "key": key, "item": key}, b"{}")
        await ledger.finish(one, Outcome("ok", "", 200), __import__("os").urandom(4000), 0.1, None)
        print(number, flush=True)
try:
    with Ledger(sys.argv[1]) as ledger:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
        asyncio.run(run(ledger))
except FinrmError as error:
    print(error, file=sys.stderr)
    sys.exit(error.exit_code)
"""


def test_a_full_disk_ends_the_run_and_keeps_what_was_told(tmp_path: Path) -> None:
    path = tmp_path / "x.sqlite"
    ran = subprocess.run([sys.executable, "-c", FULL, str(path)], capture_output=True, text=True, timeout=60)
    assert ran.returncode == ResourceError.exit_code
    assert "cannot be written" in ran.stderr
    assert len(ran.stderr.splitlines()) == 1
    told = [int(line) for line in ran.stdout.split()]
    assert told
    kept = {int.from_bytes(one["key"], "big") for one in rows(path) if one["kind"] == "ok"}
    assert set(told) <= kept


WRITER = """
import asyncio, sys
from reward_model.llm import Ledger
from reward_model.llm.outcome import Outcome
row = {"endpoint": 1, "purpose": "", "version": "", "sample": 0, "attempt": 1, "mode": None, "started": 1.0,
       "estimated": 1, "reserved": None}
async def one(ledger, number):
    key = number.to_bytes(8, "big")
    made = ledger.begin({**row, "key": key, "item": key}, b"{}")
    await ledger.finish(made, Outcome("ok", "", 200), b"{}" * 500, 0.1, None)
    print(number, flush=True)
async def run(ledger):
    for start in range(0, 100_000, 16):
        await asyncio.gather(*(one(ledger, start + place) for place in range(16)))
with Ledger(sys.argv[1]) as ledger:
    asyncio.run(run(ledger))
"""


@pytest.mark.parametrize("seconds", [0.05, 0.15, 0.3])
def test_what_was_told_to_be_written_survives_sigkill(tmp_path: Path, seconds: float) -> None:
    path = tmp_path / "x.sqlite"
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(seconds)
    os.kill(process.pid, signal.SIGKILL)
    told, _ = process.communicate()
    numbers = {int(line) for line in told.splitlines()[:-1]} | {0}
    with Ledger(path) as ledger:
        assert ledger.rows("PRAGMA integrity_check") == [("ok",)]
    kept = {int.from_bytes(one["key"], "big"): one["kind"] for one in rows(path)}
    assert all(kept[number] == "ok" for number in numbers)
    assert sum(kind == "lost" for kind in kept.values()) <= 16
